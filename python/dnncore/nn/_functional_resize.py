"""Interpolation, and rearrangement of pixels by recorded operations; `dnncore.nn.functional` offers them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from dnncore import _core
from dnncore._checks import check_tensors
from dnncore._core import Tensor
from dnncore.nn._functional_pool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from dnncore.nn._functional_unpool import per_dim

__all__ = [
    "channel_shuffle",
    "fold",
    "interpolate",
    "pixel_shuffle",
    "pixel_unshuffle",
    "unfold",
]

Sizes2 = int | Sequence[int]

_RANKS = {"linear": (3,), "bilinear": (4,), "bicubic": (4,), "trilinear": (5,)}
_LINEAR = ("linear", "bilinear", "trilinear", "bicubic")
_MODES = ("nearest", "nearest-exact", *_LINEAR, "area")
_AREA: dict[int, Callable[..., Tensor]] = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}


def _checked_mode(input: Tensor, mode: str, align_corners: bool | None, antialias: bool) -> None:
    if mode not in _MODES:
        raise ValueError(f"interpolate: expected a mode of {', '.join(_MODES)}, got {mode!r}")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(f"interpolate: antialias goes with the modes bilinear, bicubic, not with {mode!r}")
    if align_corners is not None and mode not in _LINEAR:
        raise ValueError(f"interpolate: align_corners goes with the modes {', '.join(_LINEAR)}, not with {mode!r}")
    if not input.is_floating_point():
        raise TypeError(f"interpolate: expected a floating tensor, got {input.dtype}; cast with .float()")
    ranks = _RANKS.get(mode, (3, 4, 5))
    if input.ndim not in ranks or not all(input.shape[1:]):
        raise ValueError(
            f"interpolate: mode {mode!r} expects an input (N, C, ...) with elements, of {' or '.join(map(str, ranks))} "
            f"dimensions, got shape {tuple(input.shape)}"
        )


def _target(
    input: Tensor,
    size: Any,
    scale_factor: float | Sequence[float] | None,
    keeps_factor: bool,
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Sizes of the output, and the factors that positions are divided by; 0 where that is the quotient of the sizes."""
    inner = tuple(input.shape[2:])
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: expected either a size or a scale_factor")
    if scale_factor is None:
        return _possible(input, per_dim("interpolate", "size", size, len(inner))), (0.0,) * len(inner)
    given = tuple(scale_factor) if isinstance(scale_factor, Sequence) else (scale_factor,) * len(inner)
    if len(given) != len(inner) or not all(0 < factor < math.inf for factor in given):
        raise ValueError(f"interpolate: expected one positive scale_factor or {len(inner)}, got {given}")
    sizes = tuple(int(n * factor) for n, factor in zip(inner, given, strict=True))
    return _possible(input, sizes), tuple(float(factor) if keeps_factor else 0.0 for factor in given)


def _possible(input: Tensor, sizes: tuple[int, ...]) -> tuple[int, ...]:
    if min(sizes) < 1:
        raise ValueError(
            f"interpolate: expected output sizes of at least 1, got {sizes} for an input of shape {tuple(input.shape)}"
        )
    return sizes


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize every channel of (N, C, L), (N, C, H, W) or (N, C, D, H, W).

    Parameters
    ----------
    input : Tensor
    size : int or sequence of int, optional
        Sizes of the output; this or `scale_factor` is given.
    scale_factor : float or sequence of float, optional
        By what the sizes are multiplied, rounded down.
    mode : {"nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area"}, default "nearest"
        The element at or before; the nearest one, centre to centre; weighted means of the 2, 4 or 8 around, of 16, of all.
    align_corners : bool, optional
        In the weighted modes: whether the outermost elements keep their places, rather than the outer edges.
    recompute_scale_factor : bool, optional
        Whether to go on with the quotient of the sizes instead of `scale_factor`.
    antialias : bool, default False
        With "bilinear" and "bicubic": whether smaller outputs are means of all that they stand for, as Pillow's are.

    Returns
    -------
    Tensor, channels-last in memory

    Raises
    ------
    ValueError
        If mode, number of dimensions and sizes do not fit.
    TypeError
        If the input is not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.interpolate(dnn.tensor([[[0.0, 1.0]]]), scale_factor=2.0, mode="linear").tolist()
    [[[0.0, 0.25, 0.75, 1.0]]]
    """
    check_tensors("interpolate", input=input)
    _checked_mode(input, mode, align_corners, antialias)
    if recompute_scale_factor and scale_factor is None:
        raise ValueError("interpolate: recompute_scale_factor goes with a scale_factor")
    sizes, factors = _target(input, size, scale_factor, not recompute_scale_factor)
    if mode == "area":
        return _AREA[len(sizes)](input, sizes)
    return _core._interpolate(input, mode, sizes, factors, bool(align_corners), antialias)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Turn (..., C r r, H, W) into (..., C, H r, W r): channels become pixels.

    Raises
    ------
    ValueError
        If the channels cannot be divided so.

    References
    ----------
    W. Shi et al.: Real-Time Single Image and Video Super-Resolution, CVPR 2016.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.pixel_shuffle(dnn.arange(4.0).reshape(1, 4, 1, 1), 2).tolist()
    [[[[0.0, 1.0], [2.0, 3.0]]]]
    """
    check_tensors("pixel_shuffle", input=input)
    r = upscale_factor
    if input.ndim < 3 or r < 1 or input.shape[-3] % (r * r):
        raise ValueError(
            f"pixel_shuffle: expected a positive upscale_factor whose square divides the channels of (..., C, H, W), "
            f"got {r} and shape {tuple(input.shape)}"
        )
    *lead, c, h, w = input.shape
    return input.reshape(-1, c // (r * r), r, r, h, w).permute(0, 1, 4, 2, 5, 3).reshape(*lead, c // (r * r), h * r, w * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Turn (..., C, H r, W r) into (..., C r r, H, W): the inverse of `pixel_shuffle`.

    Raises
    ------
    ValueError
        If height and width cannot be divided so.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.pixel_unshuffle(dnn.arange(4.0).reshape(1, 1, 2, 2), 2).flatten().tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    check_tensors("pixel_unshuffle", input=input)
    r = downscale_factor
    if input.ndim < 3 or r < 1 or input.shape[-1] % r or input.shape[-2] % r:
        raise ValueError(
            f"pixel_unshuffle: expected a positive downscale_factor that divides height and width of (..., C, H, W), "
            f"got {r} and shape {tuple(input.shape)}"
        )
    *lead, c, h, w = input.shape
    return input.reshape(-1, c, h // r, r, w // r, r).permute(0, 1, 3, 5, 2, 4).reshape(*lead, c * r * r, h // r, w // r)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Deal the channels of (N, C, ...) out again: the first of every group, then the second, and so on.

    Raises
    ------
    ValueError
        If the groups do not divide the channels.

    References
    ----------
    X. Zhang et al.: ShuffleNet, CVPR 2018.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.channel_shuffle(dnn.arange(4.0).reshape(1, 4, 1), 2).flatten().tolist()
    [0.0, 2.0, 1.0, 3.0]
    """
    check_tensors("channel_shuffle", input=input)
    if input.ndim < 3 or groups < 1 or input.shape[1] % groups:
        raise ValueError(
            f"channel_shuffle: expected groups that divide the channels of (N, C, ...), got {groups} and "
            f"shape {tuple(input.shape)}"
        )
    n, c, *inner = input.shape
    return input.reshape(n, groups, c // groups, *inner).transpose(1, 2).reshape(n, c, *inner)


class _Blocks:
    """Where the elements of sliding blocks lie in a padded plane."""

    def __init__(
        self, op: str, size: Sequence[int], kernel_size: Sizes2, dilation: Sizes2, padding: Sizes2, stride: Sizes2
    ) -> None:
        self.kernel, dilations, self.padding, strides = (
            per_dim(op, name, given, 2)
            for name, given in (("kernel_size", kernel_size), ("dilation", dilation), ("padding", padding), ("stride", stride))
        )
        if min(*self.kernel, *dilations, *strides) < 1 or min(self.padding) < 0:
            raise ValueError(
                f"{op}: expected a positive kernel_size, dilation and stride and a padding of at least 0, "
                f"got {self.kernel}, {dilations}, {strides} and {self.padding}"
            )
        self.padded = tuple(n + 2 * p for n, p in zip(size, self.padding, strict=True))
        reach = [d * (k - 1) + 1 for d, k in zip(dilations, self.kernel, strict=True)]
        self.blocks = tuple((n - r) // s + 1 for n, r, s in zip(self.padded, reach, strides, strict=True))
        if min(n - r for n, r in zip(self.padded, reach, strict=True)) < 0:
            raise ValueError(
                f"{op}: a block of {tuple(reach)} elements does not fit into {tuple(size)} with padding {self.padding}"
            )
        self._steps = dilations, strides

    def positions(self) -> Tensor:
        """In the order (kernel rows, kernel columns, block rows, block columns), flat."""
        (dh, dw), (sh, sw) = self._steps
        kernel, blocks = ([_core.arange(n, device="cpu") for n in sizes] for sizes in (self.kernel, self.blocks))
        rows = kernel[0].reshape(-1, 1, 1, 1) * dh + blocks[0].reshape(-1, 1) * sh
        columns = kernel[1].reshape(-1, 1, 1) * dw + blocks[1] * sw
        return (rows * self.padded[1] + columns).flatten()


def unfold(input: Tensor, kernel_size: Sizes2, dilation: Sizes2 = 1, padding: Sizes2 = 0, stride: Sizes2 = 1) -> Tensor:
    """Return the sliding blocks of (N, C, H, W) or (C, H, W) as columns.

    Parameters
    ----------
    input : Tensor of shape (N, C, H, W) or (C, H, W)
    kernel_size, dilation, padding, stride : int or (int, int)
        Of the blocks, as those of a convolution.

    Returns
    -------
    Tensor of shape (N, C * elements of a block, blocks)

    Raises
    ------
    ValueError
        If no block fits.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.unfold(dnn.arange(6.0).reshape(1, 1, 2, 3), 2).tolist()
    [[[0.0, 1.0], [1.0, 2.0], [3.0, 4.0], [4.0, 5.0]]]
    """
    check_tensors("unfold", input=input)
    if input.ndim not in (3, 4):
        raise ValueError(f"unfold: expected an input of shape (N, C, H, W) or (C, H, W), got {tuple(input.shape)}")
    *lead, c, h, w = input.shape
    blocks = _Blocks("unfold", (h, w), kernel_size, dilation, padding, stride)
    ph, pw = blocks.padding
    planes = (_core.pad(input, (pw, pw, ph, ph)) if ph or pw else input).reshape(*lead, c, blocks.padded[0] * blocks.padded[1])
    return planes.index_select(-1, blocks.positions().to(planes.device)).reshape(
        *lead, c * blocks.kernel[0] * blocks.kernel[1], blocks.blocks[0] * blocks.blocks[1]
    )


def fold(
    input: Tensor,
    output_size: Sizes2,
    kernel_size: Sizes2,
    dilation: Sizes2 = 1,
    padding: Sizes2 = 0,
    stride: Sizes2 = 1,
) -> Tensor:
    """Add sliding blocks up to (N, C, H, W) or (C, H, W): the gradient of `unfold`.

    Parameters
    ----------
    input : Tensor of shape (N, C * elements of a block, blocks)
    output_size : int or (int, int)
        Height and width of the result.
    kernel_size, dilation, padding, stride : int or (int, int)
        Of the blocks, as those of a convolution.

    Raises
    ------
    ValueError
        If the input does not have the blocks of such a result.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.fold(dnn.ones(1, 4, 2), (2, 3), 2).tolist()
    [[[[1.0, 2.0, 1.0], [1.0, 2.0, 1.0]]]]
    """
    check_tensors("fold", input=input)
    h, w = per_dim("fold", "output_size", output_size, 2)
    blocks = _Blocks("fold", (h, w), kernel_size, dilation, padding, stride)
    count, elements = blocks.blocks[0] * blocks.blocks[1], blocks.kernel[0] * blocks.kernel[1]
    if input.ndim not in (2, 3) or input.shape[-1] != count or input.shape[-2] % elements:
        raise ValueError(f"fold: expected an input of shape (N, C * {elements}, {count}), got {tuple(input.shape)}")
    *lead, rows, _ = input.shape
    (ph, pw), (height, width) = blocks.padding, blocks.padded
    planes = _core.zeros((*lead, rows // elements, height * width), dtype=input.dtype, device=input.device)
    sums = planes.index_add(-1, blocks.positions().to(planes.device), input.reshape(*lead, rows // elements, elements * count))
    return sums.reshape(*lead, rows // elements, height, width)[..., ph : ph + h, pw : pw + w]
