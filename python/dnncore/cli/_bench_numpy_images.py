"""The best vectorised NumPy forms of what convolutional networks are made of, (N, C, H, W), with their gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]
Taps = Iterator[tuple[int, int, slice, slice]]

_BLOCK = 8 << 20  # bytes of columns made at a time: they stay in cache until they are multiplied


def _padded(x: Array, pad: int, value: float = 0) -> Array:
    return np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=value) if pad else x


def _inner(x: Array, pad: int) -> Array:
    return x[:, :, pad:-pad, pad:-pad] if pad else x


def _windows(x: Array, filter_size: tuple[int, ...], stride: int, pad: int) -> Array:
    """Return a view of shape (N, C, R, S, H', W')."""
    windows = sliding_window_view(_padded(x, pad), filter_size, (2, 3))
    view: Array = windows[:, :, ::stride, ::stride].transpose(0, 1, 4, 5, 2, 3)
    return view


def _blocks(count: int, bytes_each: int) -> Iterator[slice]:
    images = max(1, _BLOCK // bytes_each)
    for start in range(0, count, images):
        yield slice(start, min(start + images, count))


def _columns(windows: Array) -> Iterator[tuple[slice, Array]]:
    """Give the windows as matrices (C R S, H' W'), some images at a time."""
    n, c, r, s, h, w = windows.shape
    for images in _blocks(n, c * r * s * h * w * windows.itemsize):
        yield images, windows[images].reshape(-1, c * r * s, h * w)


def conv2d(x: Array, weight: Array, bias: Array, stride: int, padding: int) -> Array:
    windows = _windows(x, weight.shape[2:], stride, padding)
    n, *_, h, w = windows.shape
    y = np.empty((n, len(weight), h * w), x.dtype)
    for images, columns in _columns(windows):
        np.matmul(weight.reshape(len(weight), -1), columns, out=y[images])
    y += bias[:, None]
    return y.reshape(n, -1, h, w)


def conv2d_backward_data(dy: Array, weight: Array, size: tuple[int, int], stride: int, padding: int) -> Array:
    """Return the gradient of an input whose images are `size`."""
    (n, k, h, w), (_, c, r, s) = dy.shape, weight.shape
    dx = np.zeros((n, c, size[0] + 2 * padding, size[1] + 2 * padding), dy.dtype)
    matrix = weight.reshape(k, -1).T
    for images in _blocks(n, c * r * s * h * w * dy.itemsize):
        columns = np.matmul(matrix, dy[images].reshape(-1, k, h * w)).reshape(-1, c, r, s, h, w)
        for i, j, rows, cols in _taps(r, s, stride, h, w):
            dx[images, :, rows, cols] += columns[:, :, i, j]
    return _inner(dx, padding)


def conv2d_backward_weights(x: Array, dy: Array, filter_size: tuple[int, int], stride: int, padding: int) -> tuple[Array, Array]:
    """Return the gradients of weight and bias."""
    n, k = dy.shape[:2]
    flat = dy.reshape(n, k, -1)
    dw = np.zeros((k, x.shape[1] * filter_size[0] * filter_size[1]), x.dtype)
    for images, columns in _columns(_windows(x, filter_size, stride, padding)):
        dw += np.matmul(flat[images], columns.transpose(0, 2, 1)).sum(0)
    return dw.reshape(k, -1, *filter_size), flat.sum((0, 2))


def _taps(r: int, s: int, stride: int, h: int, w: int) -> Taps:
    """Give every place of a window with the rows and columns of the image that it meets."""
    for i in range(r):
        for j in range(s):
            yield i, j, slice(i, i + stride * (h - 1) + 1, stride), slice(j, j + stride * (w - 1) + 1, stride)


def _pooled(length: int, size: int, stride: int) -> int:
    return (length - size) // stride + 1


def max_pool2d(x: Array, size: int, stride: int, padding: int, dy: Array | None = None) -> Array:
    """Return the largest values, or the gradient of `x` with `dy` given: the first of equal values gets it."""
    x = _padded(x, padding, -np.inf)
    h, w = (_pooled(length, size, stride) for length in x.shape[2:])
    taps = [(rows, cols) for _, _, rows, cols in _taps(size, size, stride, h, w)]
    y: Array = x[:, :, taps[0][0], taps[0][1]].copy()
    for rows, cols in taps[1:]:
        np.maximum(y, x[:, :, rows, cols], out=y)
    if dy is None:
        return y
    dx, free = np.zeros_like(x), np.ones(y.shape, bool)
    for rows, cols in taps:
        first = x[:, :, rows, cols] == y
        first &= free
        free ^= first
        dx[:, :, rows, cols] += dy * first
    return _inner(dx, padding)


def avg_pool2d(x: Array, size: int, stride: int, padding: int, dy: Array | None = None) -> Array:
    """Return the means, padding counted, or the gradient of `x` with `dy` given."""
    x = _padded(x, padding)
    h, w = (_pooled(length, size, stride) for length in x.shape[2:])
    if dy is None:
        y = np.zeros((*x.shape[:2], h, w), x.dtype)
        for _, _, rows, cols in _taps(size, size, stride, h, w):
            y += x[:, :, rows, cols]
        y *= x.dtype.type(1 / size**2)
        return y
    dx, share = np.zeros_like(x), dy * x.dtype.type(1 / size**2)
    for _, _, rows, cols in _taps(size, size, stride, h, w):
        dx[:, :, rows, cols] += share
    return _inner(dx, padding)


def _normalized(x: Array, axes: tuple[int, ...], eps: float) -> tuple[Array, Array]:
    """Return (x - mean) / sqrt(variance + eps) over `axes`, and the factor."""
    centred = x - x.mean(axes, keepdims=True)
    factor = 1 / np.sqrt(np.square(centred).mean(axes, keepdims=True) + x.dtype.type(eps))
    centred *= factor
    return centred, factor


def _normalized_backward(dy: Array, y: Array, factor: Array, axes: tuple[int, ...]) -> Array:
    dx: Array = dy - dy.mean(axes, keepdims=True)
    dx -= y * (dy * y).mean(axes, keepdims=True)
    dx *= factor
    return dx


def batch_norm(x: Array, weight: Array, bias: Array, dy: Array | None = None, eps: float = 1e-5) -> list[Array]:
    """Return the result in training, or the gradients of `x`, `weight` and `bias` with `dy` given."""
    y, factor = _normalized(x, (0, 2, 3), eps)
    scale = weight[:, None, None]
    if dy is None:
        y *= scale
        y += bias[:, None, None]
        return [y]
    dx = _normalized_backward(dy * scale, y, factor, (0, 2, 3))
    return [dx, (dy * y).sum((0, 2, 3)), dy.sum((0, 2, 3))]


def layer_norm(x: Array, weight: Array, bias: Array, dy: Array | None = None, eps: float = 1e-5) -> list[Array]:
    """Return the result for rows, or the gradients of `x`, `weight` and `bias` with `dy` given."""
    y, factor = _normalized(x, (1,), eps)
    if dy is None:
        y *= weight
        y += bias
        return [y]
    return [_normalized_backward(dy * weight, y, factor, (1,)), (dy * y).sum(0), dy.sum(0)]
