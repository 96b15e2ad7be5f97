"""What convolutional networks know about translations: maps move with the image, pooling forgives small moves, data the rest."""

from __future__ import annotations

import dnncore as dnn
import numpy as np
import pytest
from cases import numbers
from dnncore import models, nn
from dnncore.data import DataLoader, TensorDataset, load_digits
from dnncore.data.augment import RandomShift


def moved(x, dx, dy):
    """Return images moved by whole pixels; what leaves the picture was 0."""
    return dnn.roll(x, (dy, dx), (2, 3))


def blobs(n):
    """Return smooth pictures (n, 1, 48, 48) that are 0 outside their middle 16 x 16 pixels."""
    x = dnn.zeros(n, 1, 48, 48)
    window = dnn.tensor(np.hanning(16).astype(np.float32))
    x[:, :, 16:32, 16:32] = dnn.randn(n, 1, 16, 16).cumsum(2).cumsum(3) * window[:, None] * window
    return x


@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (0, -3), (5, 4)])
def test_convolutions_are_equivariant(dx, dy):
    dnn.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(1, 4, 5, padding=2, bias=False), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1, bias=False))
    x = blobs(4)
    with dnn.no_grad():
        np.testing.assert_allclose(numbers(layers(moved(x, dx, dy))), numbers(moved(layers(x), dx, dy)), atol=1e-5)
        assert not np.allclose(numbers(layers(moved(x, dx, dy))), numbers(layers(x)), atol=1e-2)  # not invariant


def test_pooling_forgives_small_moves():
    """How far the answer to an image moved by one pixel is from the answer to the image, by the size of the window."""
    dnn.manual_seed(0)
    conv = nn.Conv2d(1, 8, 5, padding=2, bias=False)
    x = blobs(16)

    def change(pool):
        with dnn.no_grad():
            here, there = (numbers(pool(conv(image).relu())) for image in (x, moved(x, 1, 0)))
        return np.linalg.norm(there - here) / np.linalg.norm(here)

    for kind in (nn.MaxPool2d, nn.AvgPool2d):
        found = [change(nn.Identity()), *(change(kind(size)) for size in (2, 4, 8, 48))]
        assert found == sorted(found, reverse=True)
        assert found[0] > 0.1
        assert found[-1] < 1e-5  # a window over everything: invariant


# --- Digits of 16 x 16 pixels in the middle of 32 x 32 ---------------------------------------------------------------------


def framed(split):
    x, y = load_digits(8, split)
    large = np.kron(numbers(x), np.ones((2, 2), np.float32))
    return dnn.tensor(np.pad(large, ((0, 0), (0, 0), (8, 8), (8, 8))) * 4 - 0.5), y


def accuracy(module, loader, shifts):
    """Train on images in the middle; return the accuracy on moved ones, by the distance."""
    model = dnn.Model(module)
    model.compile(dnn.optim.Adam(module.parameters(), lr=2e-3), "cross_entropy", ["accuracy"])
    model.fit(loader, epochs=6, verbose=0)
    x, y = framed("test")
    result = {}
    for shift in shifts:
        found = [model.evaluate(moved(x, *d), y)["accuracy"] for d in {(shift, 0), (-shift, 0), (0, shift), (0, -shift)}]
        result[shift] = sum(found) / len(found)
    return result


def dense():
    return nn.Sequential(nn.Flatten(), nn.Linear(1024, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10))


def test_shifted_digits():
    """Trained in the middle alone, LeNet-5 bears moves that a dense network does not; with shifts in the data, both more."""
    pytest.importorskip("sklearn", reason="scikit-learn (extra course) holds the digits")
    shifts = (0, 1, 2, 4)
    x, y = framed("train")
    found = {}
    for name, make in (("dense", dense), ("lenet", models.lenet5)):
        for how, transform in (("middle", None), ("shifted", RandomShift(4, fill=-0.5))):
            dnn.manual_seed(0)
            loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True, transform=transform)
            found[name, how] = accuracy(make(), loader, shifts)
    print(found)
    assert found["dense", "middle"][0] > 0.93
    assert found["lenet", "middle"][0] > 0.93
    assert found["lenet", "middle"][2] > found["dense", "middle"][2] + 0.1
    assert found["lenet", "middle"][4] < found["lenet", "middle"][0] - 0.2  # tolerant, not invariant
    assert found["lenet", "shifted"][4] > found["lenet", "middle"][4] + 0.2
    assert found["lenet", "shifted"][4] > found["dense", "shifted"][4]
