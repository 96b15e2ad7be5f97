"""Images read at other places: windows of whole pixels, and bilinear interpolation anywhere."""

from __future__ import annotations

from dnncore import _core
from dnncore._core import Tensor


def windows(x: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """Return for each image of (N, C, H, W) the window whose first pixel is (`top`, `left`), each of shape (N,)."""
    n, channels, _, row = x.shape
    down, across = (_core.arange(size, device=x.device) for size in (height, width))
    rows, columns = top[:, None] + down, left[:, None] + across
    index = (rows[:, :, None] * row + columns[:, None, :]).reshape(n, 1, height * width)
    return _taken(x, index).reshape(n, channels, height, width)


def bilinear(x: Tensor, rows: Tensor, columns: Tensor, fill: float) -> Tensor:
    """Return the images of (N, C, H, W) at fractional places, float64 of shape (N, H', W') each; outside is `fill`.

    Between the outermost pixels and the outside, which begins one pixel further, values are interpolated too.
    """
    n, channels, height, width = x.shape
    framed = _core.pad(x, (1, 1, 1, 1), value=fill)
    shape = (n, channels, *rows.shape[1:])
    rows, columns = ((rows + 1).clamp(0, height + 1).flatten(1), (columns + 1).clamp(0, width + 1).flatten(1))
    top, left = rows.floor().clamp(max=height), columns.floor().clamp(max=width)  # a next pixel is always there
    down, right = ((place - first).to(x.dtype)[:, None] for place, first in ((rows, top), (columns, left)))
    at = (top * (width + 2) + left).long()[:, None]
    upper = _between(_taken(framed, at), _taken(framed, at + 1), right)
    lower = _between(_taken(framed, at + (width + 2)), _taken(framed, at + (width + 3)), right)
    return _between(upper, lower, down).reshape(shape)


def _between(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    return one + (other - one) * share


def _taken(x: Tensor, index: Tensor) -> Tensor:
    """Return pixels of (N, C, H, W) by their number in the image, (N, 1, P), as (N, C, P)."""
    return x.flatten(2).gather(2, index.expand(-1, x.shape[1], -1))
