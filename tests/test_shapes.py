"""Drawn shapes against plane geometry: areas, places, and what shifts do to a classifier of pixels."""

from __future__ import annotations

import dnncore as dnn
import numpy as np
import pytest
from dnncore.data import make_shapes
from dnncore.data.shapes import _draw


def drawn(n, seed=0, **options):
    return make_shapes(n, generator=dnn.Generator().manual_seed(seed), **options)


def centre(pictures: np.ndarray) -> np.ndarray:
    """Return the centres of mass (n, 2) of pictures (n, size, size), from their middles, x first."""
    place = np.arange(pictures.shape[1]) + 0.5 - pictures.shape[1] / 2
    mass = pictures.sum((1, 2))
    return np.stack([(pictures.sum(1) * place).sum(1) / mass, (pictures.sum(2) * place).sum(1) / mass], 1)


def test_shapes_come_from_the_generator():
    x, y = drawn(50, shift=5)
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((50, 1, 32, 32), dnn.float32, (50,), dnn.int64)
    again, same = drawn(50, shift=5)
    assert (again.numpy().tobytes(), same.tolist()) == (x.numpy().tobytes(), y.tolist())
    assert drawn(50, 1, shift=5)[0].numpy().tobytes() != x.numpy().tobytes()
    dnn.manual_seed(3)
    first = make_shapes(5)[0].tolist()
    dnn.manual_seed(3)
    assert make_shapes(5)[0].tolist() == first


def test_shapes_drawn_together_or_apart_are_the_same():
    """More pictures than are drawn at once: the later ones are drawn as if they were alone."""
    x, y = drawn(2500, size=16, shift=2)
    assert np.bincount(y.numpy()).tolist() == [500] * 5
    generator = dnn.Generator().manual_seed(0)
    order, chance = dnn.randperm(2500, generator=generator), dnn.rand(2500, 4, generator=generator)
    last = slice(2490, 2500)
    alone = _draw(order.numpy()[last] % 5, chance.numpy()[last].astype(np.float64), 16, 2)
    np.testing.assert_array_equal(x.numpy()[last, 0], alone.astype(np.float32))


def areas(radius: np.ndarray) -> list[np.ndarray]:
    """Return the areas of the five shapes from plane geometry."""
    inner = 0.55 * radius
    ring = np.pi * (radius**2 - (radius / 2) ** 2)
    return [np.pi * radius**2, (1.7 * radius) ** 2, 3 * np.sqrt(3) * inner**2, ring, (2 * 2 * 0.6 - 0.6**2) * radius**2]


@pytest.mark.parametrize("size", [32, 64])
def test_shapes_have_the_area_and_the_place_they_should(size):
    shift = size / 4
    x, y = drawn(500, size=size, shift=shift)
    generator = dnn.Generator().manual_seed(0)
    dnn.randperm(500, generator=generator)
    chance = dnn.rand(500, 4, generator=generator).numpy().astype(np.float64)
    pictures, classes = x.numpy()[:, 0].astype(np.float64), y.numpy()
    radius = size * (0.16 + 0.06 * chance[:, 2])
    expected = np.choose(classes, areas(radius))
    # Smooth edges keep the area of straight ones; a corner loses or wins less than half a pixel, and there are at most 12.
    np.testing.assert_allclose(pictures.sum((1, 2)), expected, atol=3)
    # The centre of mass of every shape is its middle; what corners miss moves it by less than 0.1 pixel.
    np.testing.assert_allclose(centre(pictures), shift * (2 * chance[:, :2] - 1), atol=0.1)
    assert pictures.min() == 0
    assert pictures.max() == 1
    assert pictures[:, [0, -1]].max() < 0.5  # no shape is cut off by the border
    assert pictures[:, :, [0, -1]].max() < 0.5


def test_shapes_can_be_told_apart():
    """Nearest mean picture: good where all are at the middle, far worse where they are shifted, which is what they are for."""
    train, test, shifted = drawn(500, 0), drawn(500, 1), drawn(500, 2, shift=8)
    flat, classes = train[0].numpy().reshape(500, -1), train[1].numpy()
    means = np.stack([flat[classes == k].mean(0) for k in range(5)])

    def accuracy(x, y):
        distances = ((x.numpy().reshape(500, 1, -1) - means) ** 2).sum(2)
        return float((distances.argmin(1) == y.numpy()).mean())

    assert accuracy(*test) > 0.9
    assert accuracy(*shifted) < 0.6


def test_shapes_refuse():
    assert make_shapes(0)[0].shape == (0, 1, 32, 32)
    for arguments, match in (
        ({"n": -1}, "expected n of at least 0, got -1"),
        ({"n": 1, "size": 15}, "expected a size of at least 16, got 15"),
        ({"n": 1, "shift": 8.5}, r"expected a shift from 0 to size / 4 = 8.0, got 8.5"),
        ({"n": 1, "shift": -1}, "expected a shift from 0"),
        ({"n": 1, "shift": float("nan")}, "expected a shift from 0"),
    ):
        with pytest.raises(ValueError, match=f"^make_shapes: {match}"):
            make_shapes(**arguments)
