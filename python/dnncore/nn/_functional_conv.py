"""Convolutions, as functions."""

from __future__ import annotations

from typing import TypeAlias

from dnncore import _core
from dnncore._checks import check_tensors
from dnncore._core import Tensor

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]

Sizes: TypeAlias = int | tuple[int, ...]


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Return the convolution of sequences; see `conv2d`.

    Parameters
    ----------
    input : Tensor of shape (N, C, L) or (C, L)
    weight : Tensor of shape (K, C / groups, S)
    bias : Tensor of shape (K,), optional
    stride, padding, dilation, groups
        As of `conv2d`.

    Returns
    -------
    Tensor of shape (N, K, L') or (K, L')

    Raises
    ------
    ValueError
        If shapes or settings do not fit.
    TypeError
        If dtypes differ or are not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.conv1d(dnn.tensor([[[1.0, 2.0, 4.0, 8.0]]]), dnn.tensor([[[-1.0, 1.0]]])).tolist()
    [[[1.0, 2.0, 4.0]]]
    """
    check_tensors("conv1d", input=input, weight=weight)
    return _core.conv1d(input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    r"""Return the convolution of images.

    It is a cross-correlation: the filter is not flipped,
    ``y[n, k, p, q] = bias[k] + sum_{c, r, s} w[k, c, r, s] x[n, c, p stride + r dilation - padding, ...]``, x zero outside.

    Parameters
    ----------
    input : Tensor of shape (N, C, H, W) or (C, H, W)
    weight : Tensor of shape (K, C / groups, R, S)
    bias : Tensor of shape (K,), optional
    stride : int or tuple, default 1
        Steps of the filter.
    padding : int, tuple, "same" or "valid", default 0
        Zeros on both sides. "valid" is 0; "same" gives an output of the input's size, for stride 1, with the odd one of the zeros
        after the image.
    dilation : int or tuple, default 1
        Steps between the entries of the filter.
    groups : int, default 1
        Output channel k sees the channels of its group only: the input is cut into `groups` parts, and so is the output.

    Returns
    -------
    Tensor of shape (N, K, H', W') or (K, H', W')
        ``H' = floor((H + 2 padding - dilation (R - 1) - 1) / stride) + 1``; its memory is channels-last.

    Raises
    ------
    ValueError
        If shapes or settings do not fit.
    TypeError
        If dtypes differ or are not floating.

    References
    ----------
    V. Dumoulin, F. Visin: A guide to convolution arithmetic for deep learning, 2016.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.conv2d(dnn.ones(1, 1, 3, 3), dnn.ones(1, 1, 2, 2)).tolist()
    [[[[4.0, 4.0], [4.0, 4.0]]]]
    >>> F.conv2d(dnn.zeros(8, 3, 32, 32), dnn.zeros(16, 3, 5, 5), padding="same").shape
    (8, 16, 32, 32)
    """
    check_tensors("conv2d", input=input, weight=weight)
    return _core.conv2d(input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Return the convolution of volumes; see `conv2d`.

    Parameters
    ----------
    input : Tensor of shape (N, C, D, H, W) or (C, D, H, W)
    weight : Tensor of shape (K, C / groups, T, R, S)
    bias : Tensor of shape (K,), optional
    stride, padding, dilation, groups
        As of `conv2d`.

    Returns
    -------
    Tensor of shape (N, K, D', H', W') or (K, D', H', W')

    Raises
    ------
    ValueError
        If shapes or settings do not fit.
    TypeError
        If dtypes differ or are not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.conv3d(dnn.zeros(2, 3, 8, 8, 8), dnn.zeros(4, 3, 3, 3, 3), stride=2).shape
    (2, 4, 3, 3, 3)
    """
    check_tensors("conv3d", input=input, weight=weight)
    return _core.conv3d(input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """Return the transposed convolution of sequences; see `conv_transpose2d`.

    Parameters
    ----------
    input : Tensor of shape (N, C, L) or (C, L)
    weight : Tensor of shape (C, K / groups, S)
    bias : Tensor of shape (K,), optional
    stride, padding, output_padding, groups, dilation
        As of `conv_transpose2d`.

    Returns
    -------
    Tensor of shape (N, K, L') or (K, L')

    Raises
    ------
    ValueError
        If shapes or settings do not fit.
    TypeError
        If dtypes differ or are not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.conv_transpose1d(dnn.tensor([[[1.0, 2.0]]]), dnn.tensor([[[1.0, 10.0]]])).tolist()
    [[[1.0, 12.0, 20.0]]]
    """
    check_tensors("conv_transpose1d", input=input, weight=weight)
    return _core.conv_transpose1d(input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """Return the transposed convolution of images: every entry of the input adds a multiple of the filter to the output.

    It is the gradient of `conv2d` with respect to its input, and makes a larger image where that makes a smaller one.

    Parameters
    ----------
    input : Tensor of shape (N, C, H, W) or (C, H, W)
    weight : Tensor of shape (C, K / groups, R, S)
    bias : Tensor of shape (K,), optional
    stride : int or tuple, default 1
        Steps of the filter in the output.
    padding : int or tuple, default 0
        Cut off on both sides of the output.
    output_padding : int or tuple, default 0
        Rows and columns more at the end of the output, below stride or dilation.
    groups : int, default 1
        As of `conv2d`.
    dilation : int or tuple, default 1
        Steps between the entries of the filter.

    Returns
    -------
    Tensor of shape (N, K, H', W') or (K, H', W')
        ``H' = (H - 1) stride - 2 padding + dilation (R - 1) + output_padding + 1``; its memory is channels-last.

    Raises
    ------
    ValueError
        If shapes or settings do not fit.
    TypeError
        If dtypes differ or are not floating.

    References
    ----------
    M. Zeiler, D. Krishnan, G. Taylor, R. Fergus: Deconvolutional networks, 2010.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.conv_transpose2d(dnn.ones(1, 1, 2, 2), dnn.ones(1, 1, 2, 2)).tolist()
    [[[[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]]]
    """
    check_tensors("conv_transpose2d", input=input, weight=weight)
    return _core.conv_transpose2d(input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """Return the transposed convolution of volumes; see `conv_transpose2d`.

    Parameters
    ----------
    input : Tensor of shape (N, C, D, H, W) or (C, D, H, W)
    weight : Tensor of shape (C, K / groups, T, R, S)
    bias : Tensor of shape (K,), optional
    stride, padding, output_padding, groups, dilation
        As of `conv_transpose2d`.

    Returns
    -------
    Tensor of shape (N, K, D', H', W') or (K, D', H', W')

    Raises
    ------
    ValueError
        If shapes or settings do not fit.
    TypeError
        If dtypes differ or are not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.conv_transpose3d(dnn.zeros(2, 4, 3, 3, 3), dnn.zeros(4, 3, 2, 2, 2), stride=2).shape
    (2, 3, 6, 6, 6)
    """
    check_tensors("conv_transpose3d", input=input, weight=weight)
    return _core.conv_transpose3d(input, weight, bias, stride, padding, output_padding, groups, dilation)
