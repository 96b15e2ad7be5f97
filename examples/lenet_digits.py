"""Train LeNet-5 on the handwritten digits, then show what it looks at and where it errs."""

import tempfile
from pathlib import Path

import dnncore as dnn
from dnncore import models
from dnncore.callbacks import LearningRateScheduler
from dnncore.data import DataLoader, TensorDataset, load_digits
from dnncore.data.augment import Compose, Normalize, RandomAffine

EPOCHS = 40
RATE = 3e-3


def main() -> None:
    dnn.manual_seed(0)
    x, y = load_digits(32, "train")
    x_test, y_test = load_digits(32, "test")
    normalize = Normalize(x.mean().item(), x.std().item())
    change = RandomAffine(8, translate=(0.06, 0.06), scale=(0.92, 1.08))  # of each image, anew in every epoch
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True, transform=Compose([change, normalize]))
    x_test = normalize(x_test)

    model = dnn.Model(models.lenet5())
    model.compile(dnn.optim.Adam(model.module.parameters(), lr=RATE), "cross_entropy", ["accuracy"])
    falling = LearningRateScheduler(lambda epoch, rate: RATE * (1 - epoch / EPOCHS))
    model.fit(loader, epochs=EPOCHS, callbacks=[falling], verbose=0)
    print(f"accuracy {model.evaluate(x_test, y_test)['accuracy']:.4f}")

    folder = Path(tempfile.mkdtemp())
    model.plot_filters("features.0").savefig(folder / "filters.png")
    model.plot_activations("features.0", x_test[0]).savefig(folder / "activations.png")
    model.plot_saliency(x_test, samples=16).savefig(folder / "saliency.png")
    model.plot_confusion(x_test, y_test).savefig(folder / "confusion.png")
    print(f"pictures in {folder}")


if __name__ == "__main__":
    main()
