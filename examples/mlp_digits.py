"""Train a perceptron on the handwritten digits, save it, load it, and show where it errs."""

import tempfile
from pathlib import Path

import dnncore as dnn
from dnncore import nn, optim
from dnncore.data import batches, load_digits

EPOCHS = 20


class Perceptron(nn.Module):
    """Two hidden layers; images (N, 1, 8, 8) to logits (N, 10)."""

    def __init__(self, hidden: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 10)
        )

    def forward(self, x: dnn.Tensor) -> dnn.Tensor:
        return self.layers(x)


def main() -> None:
    dnn.manual_seed(0)
    x, y = load_digits(split="train")
    x_test, y_test = load_digits(split="test")
    model = Perceptron()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(EPOCHS):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - epoch / EPOCHS)
        for xb, yb in batches(x, y, batch_size=32):
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()

    path = Path(tempfile.mkdtemp()) / "digits.safetensors"
    dnn.save(model.state_dict(), path)
    model = Perceptron()
    model.load_state_dict(dnn.load(path))
    with dnn.no_grad():
        predicted = model(x_test).argmax(1)
    wrong = predicted != y_test
    print(f"accuracy {1 - wrong.float().mean().item():.4f}")
    for truth, guess in zip(y_test[wrong].tolist(), predicted[wrong].tolist(), strict=True):
        print(f"  a {truth} was taken for a {guess}")


if __name__ == "__main__":
    main()
