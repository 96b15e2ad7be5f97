"""Power-average pooling and the inverse of max pooling, as functions of recorded operations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from dnncore import _core
from dnncore._checks import check_tensors
from dnncore._core import Tensor
from dnncore.nn._functional_pool import Sizes, avg_pool1d, avg_pool2d, avg_pool3d

__all__ = [
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]


def per_dim(op: str, name: str, sizes: Sizes, spatial: int) -> tuple[int, ...]:
    """Return one number for each spatial dimension."""
    found = tuple(sizes) if isinstance(sizes, Sequence) else (sizes,) * spatial
    if len(found) != spatial:
        raise ValueError(f"{op}: expected one {name} or {spatial}, got {found}")
    return found


def _lp_pool(
    spatial: int,
    mean: Callable[..., Tensor],
    input: Tensor,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None,
    ceil_mode: bool,
) -> Tensor:
    op = f"lp_pool{spatial}d"
    check_tensors(op, input=input)
    if norm_type == 0:
        raise ValueError(f"{op}: expected a norm_type that is not 0")
    count = math.prod(per_dim(op, "kernel_size", kernel_size, spatial))
    return (mean(input**norm_type, kernel_size, stride, 0, ceil_mode) * float(count)) ** (1 / norm_type)


def _max_unpool(
    spatial: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    output_size: Sequence[int] | None,
) -> Tensor:
    op = f"max_unpool{spatial}d"
    check_tensors(op, input=input, indices=indices)
    if input.ndim not in (spatial + 1, spatial + 2):
        raise ValueError(f"{op}: expected an input of {spatial + 2} or {spatial + 1} dimensions, got shape {tuple(input.shape)}")
    if indices.shape != input.shape:
        raise ValueError(f"{op}: expected indices of shape {tuple(input.shape)}, got {tuple(indices.shape)}")
    kernel = per_dim(op, "kernel_size", kernel_size, spatial)
    steps = kernel if stride is None else per_dim(op, "stride", stride, spatial)
    pads = per_dim(op, "padding", padding, spatial)
    lead, inner = tuple(input.shape[:-spatial]), tuple(input.shape[-spatial:])
    sizes = tuple((n - 1) * s - 2 * p + k for n, s, p, k in zip(inner, steps, pads, kernel, strict=True))
    if output_size is not None:
        wanted = tuple(output_size)[-spatial:]
        if len(output_size) not in (spatial, spatial + 2) or any(
            not d - s < w < d + s for w, d, s in zip(wanted, sizes, steps, strict=True)
        ):
            raise ValueError(f"{op}: expected an output_size less than a stride {steps} from {sizes}, got {tuple(output_size)}")
        sizes = wanted
    if min(sizes) < 1:
        raise ValueError(f"{op}: an input of shape {tuple(input.shape)} leaves an output of size {sizes}")
    planes = (*lead, -1) if input.numel() else (*lead, 0)
    flat = _core.zeros((*lead, math.prod(sizes)), dtype=input.dtype, device=input.device)
    return flat.scatter(-1, indices.reshape(planes), input.reshape(planes)).reshape(*lead, *sizes)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """Return ``(sum of x^p over every window of L)^(1 / p)``.

    With `ceil_mode`, the mean of a window that reaches beyond the input counts for all of its elements, as in PyTorch.

    Parameters
    ----------
    input : Tensor of shape (N, C, L) or (C, L)
    norm_type : float
        The power p: 1 adds up, infinity would be the largest.
    kernel_size : int or sequence of int
        Elements of a window.
    stride : int or sequence of int, optional
        From one window to the next; the window's size where not given.
    ceil_mode : bool, default False
        Whether a window that begins inside the input counts, though it reaches beyond the other end.

    Raises
    ------
    ValueError
        If no window fits, or `norm_type` is 0.
    TypeError
        If the input is not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.lp_pool1d(dnn.ones(1, 1, 2), 1, 2).item()
    2.0
    """
    return _lp_pool(1, avg_pool1d, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """Return ``(sum of x^p over every window of H and W)^(1 / p)``.

    With `ceil_mode`, the mean of a window that reaches beyond the input counts for all of its elements, as in PyTorch.

    Parameters
    ----------
    input : Tensor of shape (N, C, H, W) or (C, H, W)
    norm_type : float
        The power p: 1 adds up, infinity would be the largest.
    kernel_size : int or sequence of int
        Elements of a window, or one per dimension.
    stride : int or sequence of int, optional
        From one window to the next; the window's size where not given.
    ceil_mode : bool, default False
        Whether a window that begins inside the input counts, though it reaches beyond the other end.

    Raises
    ------
    ValueError
        If no window fits, or `norm_type` is 0.
    TypeError
        If the input is not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.lp_pool2d(dnn.ones(1, 1, 2, 2), 1, 2).item()
    4.0
    """
    return _lp_pool(2, avg_pool2d, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """Return ``(sum of x^p over every window of D, H and W)^(1 / p)``.

    With `ceil_mode`, the mean of a window that reaches beyond the input counts for all of its elements, as in PyTorch.

    Parameters
    ----------
    input : Tensor of shape (N, C, D, H, W) or (C, D, H, W)
    norm_type : float
        The power p: 1 adds up, infinity would be the largest.
    kernel_size : int or sequence of int
        Elements of a window, or one per dimension.
    stride : int or sequence of int, optional
        From one window to the next; the window's size where not given.
    ceil_mode : bool, default False
        Whether a window that begins inside the input counts, though it reaches beyond the other end.

    Raises
    ------
    ValueError
        If no window fits, or `norm_type` is 0.
    TypeError
        If the input is not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.lp_pool3d(dnn.ones(1, 1, 2, 2, 2), 1, 2).item()
    8.0
    """
    return _lp_pool(3, avg_pool3d, input, norm_type, kernel_size, stride, ceil_mode)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Put elements back to where `max_pool1d` found them, and 0 elsewhere.

    Of equal positions the last one stays and has the gradient; PyTorch gives all of them the gradient of that place.

    Parameters
    ----------
    input : Tensor of shape (N, C, L) or (C, L)
    indices : int64 Tensor of the input's shape
        Positions in the result's planes, as ``max_pool1d(..., return_indices=True)`` returns them.
    kernel_size, stride, padding : int or sequence of int
        Those of the pooling.
    output_size : sequence of int, optional
        The size of what was pooled, where the pooling left out elements at its end.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    IndexError
        If a position lies outside the result.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> y, indices = F.max_pool1d(dnn.arange(2.0).reshape(1, 1, 2), 2, return_indices=True)
    >>> F.max_unpool1d(y, indices, 2).flatten().tolist()
    [0.0, 1.0]
    """
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Put elements back to where `max_pool2d` found them, and 0 elsewhere.

    Of equal positions the last one stays and has the gradient; PyTorch gives all of them the gradient of that place.

    Parameters
    ----------
    input : Tensor of shape (N, C, H, W) or (C, H, W)
    indices : int64 Tensor of the input's shape
        Positions in the result's planes, as ``max_pool2d(..., return_indices=True)`` returns them.
    kernel_size, stride, padding : int or sequence of int
        Those of the pooling, or one per dimension.
    output_size : sequence of int, optional
        The size of what was pooled, where the pooling left out elements at its end.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    IndexError
        If a position lies outside the result.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> y, indices = F.max_pool2d(dnn.arange(4.0).reshape(1, 1, 2, 2), 2, return_indices=True)
    >>> F.max_unpool2d(y, indices, 2).flatten().tolist()
    [0.0, 0.0, 0.0, 3.0]
    """
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Put elements back to where `max_pool3d` found them, and 0 elsewhere.

    Of equal positions the last one stays and has the gradient; PyTorch gives all of them the gradient of that place.

    Parameters
    ----------
    input : Tensor of shape (N, C, D, H, W) or (C, D, H, W)
    indices : int64 Tensor of the input's shape
        Positions in the result's planes, as ``max_pool3d(..., return_indices=True)`` returns them.
    kernel_size, stride, padding : int or sequence of int
        Those of the pooling, or one per dimension.
    output_size : sequence of int, optional
        The size of what was pooled, where the pooling left out elements at its end.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    IndexError
        If a position lies outside the result.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> y, indices = F.max_pool3d(dnn.arange(8.0).reshape(1, 1, 2, 2, 2), 2, return_indices=True)
    >>> F.max_unpool3d(y, indices, 2).flatten().tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 7.0]
    """
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)
