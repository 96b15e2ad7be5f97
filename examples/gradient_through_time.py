"""How far back does a gradient reach? Its norm at each step, for a plain RNN and for LSTMs, before any training."""

import tempfile
from pathlib import Path

import dnncore as dnn
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from dnncore import models, nn

STEPS, HIDDEN, BATCH = 100, 64, 32


def scaled(layer: nn.RNN, factor: float) -> nn.RNN:
    with dnn.no_grad():
        layer.weight_hh_l0.mul_(factor)
    return layer


def layers() -> dict[str, nn.Module]:
    return {
        "RNN": nn.RNN(1, HIDDEN, batch_first=True),
        "RNN, recurrent weights x 3": scaled(nn.RNN(1, HIDDEN, batch_first=True), 3),
        "LSTM": nn.LSTM(1, HIDDEN, batch_first=True),
        f"LSTM, memory of {STEPS} steps": models.chrono_init(nn.LSTM(1, HIDDEN, batch_first=True), STEPS),
    }


def norms(layer: nn.Module) -> list[float]:
    """Return the mean norm of the gradient of the last state with respect to the input of each step, back from the last."""
    x = dnn.randn(BATCH, STEPS, 1).requires_grad_()
    y, _ = layer(x)
    y[:, -1].sum().backward()
    return x.grad.norm(dim=2).mean(0).flip(0).tolist()


def main() -> None:
    dnn.manual_seed(0)
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for name, layer in layers().items():
        found = norms(layer)
        print(f"{name:<28} at the last step {found[0]:8.2e}, {STEPS - 1} steps before {found[-1]:8.2e}")
        axes.semilogy(range(STEPS), found, label=name)
    axes.set(xlabel="steps back from the output", ylabel="norm of the gradient", title="Gradients through time")
    axes.legend()
    path = Path(tempfile.mkdtemp()) / "gradients.png"
    figure.savefig(path, dpi=120)
    print(f"picture in {path}")


if __name__ == "__main__":
    main()
