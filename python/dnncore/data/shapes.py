"""Drawn shapes: small pictures with a known place and class, to see what a network makes of a translation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dnncore import _core
from dnncore._core import Generator, Tensor

_LEAST_SIZE = 16  # pixels; at 12 a disc and a square look alike
_RADIUS = (0.16, 0.22)  # of a shape, as a part of the image
_TURN = np.pi / 12  # radians to either side
_AT_ONCE = 1024  # images drawn together: the temporaries of 32 x 32 pixels stay in the cache of the second level
_CLASSES = 5


def make_shapes(n: int, size: int = 32, generator: Generator | None = None, *, shift: float = 0.0) -> tuple[Tensor, Tensor]:
    """Draw pictures of five shapes, white on black with smooth edges, at random places, sizes and angles.

    Classes: 0 disc, 1 square, 2 triangle, 3 ring, 4 cross; each as often as the others, up to one, in random order. A shape of
    radius 0.16 to 0.22 ``size``, turned by up to 15 degrees, lies at the middle of the picture plus a shift drawn uniformly from
    ``[-shift, shift]`` in either direction. A pixel is the part of it that is covered, from the distance d of its centre to the
    edge: ``min(1, max(0, 1/2 - d))``.

    Pictures trained on with ``shift=0`` and tested on with a larger one show what a network knows about translations.

    Parameters
    ----------
    n : int
        Number of pictures.
    size : int, default 32
        Height and width in pixels, at least 16.
    generator : Generator, optional
        Where everything random is drawn from; the default generator when not given. The same state gives the same pictures.
    shift : float, default 0
        Largest shift in pixels along either axis, at most ``0.25 size``, which keeps the shapes inside.

    Returns
    -------
    x : Tensor of shape (n, 1, size, size), float32
        The pictures, in [0, 1].
    y : Tensor of shape (n,), int64
        The classes.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    References
    ----------
    I. Quilez: 2D distance functions, https://iquilezles.org/articles/distfunctions2d/

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data import make_shapes
    >>> x, y = make_shapes(10, size=16, generator=dnn.Generator().manual_seed(0), shift=2)
    >>> x.shape, sorted(y.tolist())
    ((10, 1, 16, 16), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    """
    if n < 0:
        raise ValueError(f"make_shapes: expected n of at least 0, got {n}")
    if size < _LEAST_SIZE:
        raise ValueError(f"make_shapes: expected a size of at least {_LEAST_SIZE}, got {size}")
    if not 0 <= shift <= size / 4:
        raise ValueError(f"make_shapes: expected a shift from 0 to size / 4 = {size / 4}, got {shift}")
    y = _core.randperm(n, generator=generator, device="cpu").numpy() % _CLASSES
    chance = _core.rand(n, 4, generator=generator, device="cpu").numpy().astype(np.float64)
    x = np.empty((n, 1, size, size), np.float32)
    for begin in range(0, n, _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        x[part, 0] = _draw(y[part], chance[part], size, shift)
    return _core.from_numpy(x), _core.from_numpy(y)


def _draw(classes: NDArray[np.int64], chance: NDArray[np.float64], size: int, shift: float) -> NDArray[np.float64]:
    """Return pictures (n, size, size) of `classes` (n,) from numbers (n, 4) in [0, 1): place, radius, angle."""
    column = chance[:, :, None, None]
    radius = size * (_RADIUS[0] + (_RADIUS[1] - _RADIUS[0]) * column[:, 2])
    angle = _TURN * (2 * column[:, 3] - 1)
    place = np.arange(size) + 0.5 - size / 2
    dx = place[None, None, :] - shift * (2 * column[:, 0] - 1)
    dy = place[None, :, None] - shift * (2 * column[:, 1] - 1)
    u, v = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
    distance = np.empty(u.shape)
    for number, shape in enumerate((_disc, _square, _triangle, _ring, _cross)):
        chosen = classes == number
        distance[chosen] = shape(u[chosen], v[chosen], radius[chosen])
    return np.clip(0.5 - distance, 0.0, 1.0)


# Signed distances of points (u, v) to the edge of a shape about the origin, negative inside; v points down.
_Grid = NDArray[np.float64]


def _disc(u: _Grid, v: _Grid, radius: _Grid) -> _Grid:
    distance: _Grid = np.hypot(u, v) - radius
    return distance


def _box(u: _Grid, v: _Grid, half_width: _Grid, half_height: _Grid) -> _Grid:
    a, b = np.abs(u) - half_width, np.abs(v) - half_height
    return np.hypot(np.maximum(a, 0), np.maximum(b, 0)) + np.minimum(np.maximum(a, b), 0)


def _square(u: _Grid, v: _Grid, radius: _Grid) -> _Grid:
    return _box(u, v, 0.85 * radius, 0.85 * radius)


def _triangle(u: _Grid, v: _Grid, radius: _Grid) -> _Grid:
    """Return the distance to an equilateral triangle, as the largest over its sides: exact but beyond the corners."""
    inner = 0.55 * radius  # of the circle inside; the corners are twice as far
    sides = [np.sin(turn) * u + np.cos(turn) * v for turn in (0, 2 * np.pi / 3, 4 * np.pi / 3)]
    largest: _Grid = np.maximum.reduce(sides)
    return largest - inner


def _ring(u: _Grid, v: _Grid, radius: _Grid) -> _Grid:
    return np.abs(np.hypot(u, v) - 0.75 * radius) - 0.25 * radius


def _cross(u: _Grid, v: _Grid, radius: _Grid) -> _Grid:
    return np.minimum(_box(u, v, radius, 0.3 * radius), _box(u, v, 0.3 * radius, radius))
