"""Pooling as functions; `dnncore.nn.functional` offers them. Results are channels-last in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dnncore import _core
from dnncore._core import Tensor

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
]

Sizes = int | Sequence[int]
OutputSizes = int | None | Sequence[int | None]
Pooled = Any  # a tensor, or a tensor and its indices


def max_pool1d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pooled:
    """Return the largest element of every window over L.

    The first of equal elements counts, and a NaN is larger than every number.

    Parameters
    ----------
    input : Tensor of shape (N, C, L) or (C, L)
    kernel_size : int or sequence of int
        Elements of a window.
    stride : int or sequence of int, optional
        From one window to the next; the window's size where not given.
    padding : int or sequence of int, default 0
        Elements of -inf around the input, at most half a window.
    dilation : int or sequence of int, default 1
        From one element of a window to the next.
    ceil_mode : bool, default False
        Whether a window that begins inside the input or its left padding counts, though it reaches beyond the other end.
    return_indices : bool, default False
        Whether to return the positions too, as `max_unpool1d` takes them.

    Returns
    -------
    Tensor, or the same and an int64 Tensor with the position of every element in its channel

    Raises
    ------
    ValueError
        If no window fits, the padding is too large or a window holds no element of the input.
    TypeError
        If the input is not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.max_pool1d(dnn.arange(4.0).reshape(1, 1, 4), 2).flatten().tolist()
    [1.0, 3.0]
    """
    return _core._max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pooled:
    """Return the largest element of every window over H and W.

    The first of equal elements counts, and a NaN is larger than every number.

    Parameters
    ----------
    input : Tensor of shape (N, C, H, W) or (C, H, W)
    kernel_size : int or sequence of int
        Elements of a window, or one per dimension.
    stride : int or sequence of int, optional
        From one window to the next; the window's size where not given.
    padding : int or sequence of int, default 0
        Elements of -inf around the input, at most half a window.
    dilation : int or sequence of int, default 1
        From one element of a window to the next.
    ceil_mode : bool, default False
        Whether a window that begins inside the input or its left padding counts, though it reaches beyond the other end.
    return_indices : bool, default False
        Whether to return the positions too, as `max_unpool2d` takes them.

    Returns
    -------
    Tensor, or the same and an int64 Tensor with the position of every element in its channel

    Raises
    ------
    ValueError
        If no window fits, the padding is too large or a window holds no element of the input.
    TypeError
        If the input is not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.max_pool2d(dnn.arange(16.0).reshape(1, 1, 4, 4), 2).flatten().tolist()
    [5.0, 7.0, 13.0, 15.0]
    """
    return _core._max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pooled:
    """Return the largest element of every window over D, H and W.

    The first of equal elements counts, and a NaN is larger than every number.

    Parameters
    ----------
    input : Tensor of shape (N, C, D, H, W) or (C, D, H, W)
    kernel_size : int or sequence of int
        Elements of a window, or one per dimension.
    stride : int or sequence of int, optional
        From one window to the next; the window's size where not given.
    padding : int or sequence of int, default 0
        Elements of -inf around the input, at most half a window.
    dilation : int or sequence of int, default 1
        From one element of a window to the next.
    ceil_mode : bool, default False
        Whether a window that begins inside the input or its left padding counts, though it reaches beyond the other end.
    return_indices : bool, default False
        Whether to return the positions too, as `max_unpool3d` takes them.

    Returns
    -------
    Tensor, or the same and an int64 Tensor with the position of every element in its channel

    Raises
    ------
    ValueError
        If no window fits, the padding is too large or a window holds no element of the input.
    TypeError
        If the input is not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.max_pool3d(dnn.arange(64.0).reshape(1, 1, 4, 4, 4), 2).flatten().tolist()
    [21.0, 23.0, 29.0, 31.0, 53.0, 55.0, 61.0, 63.0]
    """
    return _core._max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def avg_pool1d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Return the mean of every window over L.

    Parameters
    ----------
    input : Tensor of shape (N, C, L) or (C, L)
    kernel_size : int or sequence of int
        Elements of a window.
    stride : int or sequence of int, optional
        From one window to the next; the window's size where not given.
    padding : int or sequence of int, default 0
        Zeros around the input, at most half a window.
    ceil_mode : bool, default False
        Whether a window that begins inside the input or its left padding counts, though it reaches beyond the other end.
    count_include_pad : bool, default True
        Whether the padding counts among the elements that a sum is divided by.

    Raises
    ------
    ValueError
        If no window fits or the padding is too large.
    TypeError
        If the input is not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.avg_pool1d(dnn.arange(2.0).reshape(1, 1, 2), 2).flatten().tolist()
    [0.5]
    """
    return _core._avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Return the mean of every window over H and W.

    Parameters
    ----------
    input : Tensor of shape (N, C, H, W) or (C, H, W)
    kernel_size : int or sequence of int
        Elements of a window, or one per dimension.
    stride : int or sequence of int, optional
        From one window to the next; the window's size where not given.
    padding : int or sequence of int, default 0
        Zeros around the input, at most half a window.
    ceil_mode : bool, default False
        Whether a window that begins inside the input or its left padding counts, though it reaches beyond the other end.
    count_include_pad : bool, default True
        Whether the padding counts among the elements that a sum is divided by.
    divisor_override : int, optional
        What the sums are divided by instead.

    Raises
    ------
    ValueError
        If no window fits or the padding is too large.
    TypeError
        If the input is not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.avg_pool2d(dnn.arange(4.0).reshape(1, 1, 2, 2), 2).flatten().tolist()
    [1.5]
    """
    return _core._avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Return the mean of every window over D, H and W.

    Parameters
    ----------
    input : Tensor of shape (N, C, D, H, W) or (C, D, H, W)
    kernel_size : int or sequence of int
        Elements of a window, or one per dimension.
    stride : int or sequence of int, optional
        From one window to the next; the window's size where not given.
    padding : int or sequence of int, default 0
        Zeros around the input, at most half a window.
    ceil_mode : bool, default False
        Whether a window that begins inside the input or its left padding counts, though it reaches beyond the other end.
    count_include_pad : bool, default True
        Whether the padding counts among the elements that a sum is divided by.
    divisor_override : int, optional
        What the sums are divided by instead.

    Raises
    ------
    ValueError
        If no window fits or the padding is too large.
    TypeError
        If the input is not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.avg_pool3d(dnn.arange(8.0).reshape(1, 1, 2, 2, 2), 2).flatten().tolist()
    [3.5]
    """
    return _core._avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def adaptive_avg_pool1d(input: Tensor, output_size: OutputSizes) -> Tensor:
    """Return the means of as many windows over L as are asked for.

    Window p of P over S elements goes from p S / P, rounded down, to (p + 1) S / P, rounded up.

    Parameters
    ----------
    input : Tensor of shape (N, C, L) or (C, L)
    output_size : int
        How many.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    TypeError
        If the input is not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.adaptive_avg_pool1d(dnn.arange(3.0).reshape(1, 1, 3), 1).flatten().tolist()
    [1.0]
    """
    return _core._adaptive_avg_pool(1, input, output_size)


def adaptive_max_pool1d(input: Tensor, output_size: OutputSizes, return_indices: bool = False) -> Pooled:
    """Return the largest elements of as many windows over L as are asked for.

    The windows are those of `adaptive_avg_pool1d`.

    Parameters
    ----------
    input : Tensor of shape (N, C, L) or (C, L)
    output_size : int
        How many.
    return_indices : bool, default False
        Whether to return the positions too.

    Returns
    -------
    Tensor, or the same and an int64 Tensor with the position of every element in its channel

    Raises
    ------
    ValueError
        If the shapes do not fit.
    TypeError
        If the input is not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.adaptive_max_pool1d(dnn.arange(3.0).reshape(1, 1, 3), 1).flatten().tolist()
    [2.0]
    """
    return _core._adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_avg_pool2d(input: Tensor, output_size: OutputSizes) -> Tensor:
    """Return the means of as many windows over H and W as are asked for.

    Window p of P over S elements goes from p S / P, rounded down, to (p + 1) S / P, rounded up.

    Parameters
    ----------
    input : Tensor of shape (N, C, H, W) or (C, H, W)
    output_size : int or sequence of int or None
        How many; None keeps a size.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    TypeError
        If the input is not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.adaptive_avg_pool2d(dnn.arange(9.0).reshape(1, 1, 3, 3), 1).flatten().tolist()
    [4.0]
    """
    return _core._adaptive_avg_pool(2, input, output_size)


def adaptive_max_pool2d(input: Tensor, output_size: OutputSizes, return_indices: bool = False) -> Pooled:
    """Return the largest elements of as many windows over H and W as are asked for.

    The windows are those of `adaptive_avg_pool2d`.

    Parameters
    ----------
    input : Tensor of shape (N, C, H, W) or (C, H, W)
    output_size : int or sequence of int or None
        How many; None keeps a size.
    return_indices : bool, default False
        Whether to return the positions too.

    Returns
    -------
    Tensor, or the same and an int64 Tensor with the position of every element in its channel

    Raises
    ------
    ValueError
        If the shapes do not fit.
    TypeError
        If the input is not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.adaptive_max_pool2d(dnn.arange(9.0).reshape(1, 1, 3, 3), 1).flatten().tolist()
    [8.0]
    """
    return _core._adaptive_max_pool(2, input, output_size, return_indices)


def adaptive_avg_pool3d(input: Tensor, output_size: OutputSizes) -> Tensor:
    """Return the means of as many windows over D, H and W as are asked for.

    Window p of P over S elements goes from p S / P, rounded down, to (p + 1) S / P, rounded up.

    Parameters
    ----------
    input : Tensor of shape (N, C, D, H, W) or (C, D, H, W)
    output_size : int or sequence of int or None
        How many; None keeps a size.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    TypeError
        If the input is not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.adaptive_avg_pool3d(dnn.arange(27.0).reshape(1, 1, 3, 3, 3), 1).flatten().tolist()
    [13.0]
    """
    return _core._adaptive_avg_pool(3, input, output_size)


def adaptive_max_pool3d(input: Tensor, output_size: OutputSizes, return_indices: bool = False) -> Pooled:
    """Return the largest elements of as many windows over D, H and W as are asked for.

    The windows are those of `adaptive_avg_pool3d`.

    Parameters
    ----------
    input : Tensor of shape (N, C, D, H, W) or (C, D, H, W)
    output_size : int or sequence of int or None
        How many; None keeps a size.
    return_indices : bool, default False
        Whether to return the positions too.

    Returns
    -------
    Tensor, or the same and an int64 Tensor with the position of every element in its channel

    Raises
    ------
    ValueError
        If the shapes do not fit.
    TypeError
        If the input is not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.adaptive_max_pool3d(dnn.arange(27.0).reshape(1, 1, 3, 3, 3), 1).flatten().tolist()
    [26.0]
    """
    return _core._adaptive_max_pool(3, input, output_size, return_indices)
