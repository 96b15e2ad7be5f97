"""Pooling layers: the largest element or the mean of every window."""

from __future__ import annotations

from typing import Any

from dnncore._core import Tensor
from dnncore.nn import _functional_pool as functional
from dnncore.nn._functional_pool import OutputSizes, Pooled, Sizes
from dnncore.nn.module import Module


class _MaxPool(Module):
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def _settings(self) -> tuple[Any, ...]:
        return self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices

    def extra_repr(self) -> str:
        """Return the settings."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest element of every window of (N, C, L) or (C, L).

    Parameters
    ----------
    kernel_size : int or sequence of int
        Elements of a window.
    stride : int or sequence of int, optional
        From one window to the next; the window's size where not given.
    padding : int or sequence of int, default 0
        Elements of -inf around the input, at most half a window.
    dilation : int or sequence of int, default 1
        From one element of a window to the next.
    return_indices : bool, default False
        Whether to return the positions too, as `MaxUnpool1d` takes them.
    ceil_mode : bool, default False
        Whether a window that begins inside the input or its left padding counts, though it reaches beyond the other end.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> tuple(nn.MaxPool1d(2)(dnn.zeros(1, 1, 4)).shape)
    (1, 1, 2)
    """

    def forward(self, input: Tensor) -> Pooled:
        """Return the largest elements, and where they are if asked for."""
        return functional.max_pool1d(input, *self._settings())


class MaxPool2d(_MaxPool):
    """The largest element of every window of (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    kernel_size : int or sequence of int
        Elements of a window, or one per dimension.
    stride : int or sequence of int, optional
        From one window to the next; the window's size where not given.
    padding : int or sequence of int, default 0
        Elements of -inf around the input, at most half a window.
    dilation : int or sequence of int, default 1
        From one element of a window to the next.
    return_indices : bool, default False
        Whether to return the positions too, as `MaxUnpool2d` takes them.
    ceil_mode : bool, default False
        Whether a window that begins inside the input or its left padding counts, though it reaches beyond the other end.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> tuple(nn.MaxPool2d(2)(dnn.zeros(1, 1, 4, 4)).shape)
    (1, 1, 2, 2)
    """

    def forward(self, input: Tensor) -> Pooled:
        """Return the largest elements, and where they are if asked for."""
        return functional.max_pool2d(input, *self._settings())


class MaxPool3d(_MaxPool):
    """The largest element of every window of (N, C, D, H, W) or (C, D, H, W).

    Parameters
    ----------
    kernel_size : int or sequence of int
        Elements of a window, or one per dimension.
    stride : int or sequence of int, optional
        From one window to the next; the window's size where not given.
    padding : int or sequence of int, default 0
        Elements of -inf around the input, at most half a window.
    dilation : int or sequence of int, default 1
        From one element of a window to the next.
    return_indices : bool, default False
        Whether to return the positions too, as `MaxUnpool3d` takes them.
    ceil_mode : bool, default False
        Whether a window that begins inside the input or its left padding counts, though it reaches beyond the other end.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> tuple(nn.MaxPool3d(2)(dnn.zeros(1, 1, 4, 4, 4)).shape)
    (1, 1, 2, 2, 2)
    """

    def forward(self, input: Tensor) -> Pooled:
        """Return the largest elements, and where they are if asked for."""
        return functional.max_pool3d(input, *self._settings())


class AvgPool1d(Module):
    """The mean of every window of (N, C, L) or (C, L).

    Parameters
    ----------
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

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> tuple(nn.AvgPool1d(2)(dnn.zeros(1, 1, 4)).shape)
    (1, 1, 2)
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """Return the means."""
        return functional.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(Module):
    """The mean of every window of (N, C, H, W) or (C, H, W).

    Parameters
    ----------
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

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> tuple(nn.AvgPool2d(2)(dnn.zeros(1, 1, 4, 4)).shape)
    (1, 1, 2, 2)
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """Return the means."""
        return functional.avg_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self.divisor_override
        )

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool3d(Module):
    """The mean of every window of (N, C, D, H, W) or (C, D, H, W).

    Parameters
    ----------
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

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> tuple(nn.AvgPool3d(2)(dnn.zeros(1, 1, 4, 4, 4)).shape)
    (1, 1, 2, 2, 2)
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """Return the means."""
        return functional.avg_pool3d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self.divisor_override
        )

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _Adaptive(Module):
    def __init__(self, output_size: OutputSizes) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        """Return the output size."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive):
    """The means of as many windows of (N, C, L) or (C, L) as are asked for, whatever the input's size.

    Parameters
    ----------
    output_size : int
        How many.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> tuple(nn.AdaptiveAvgPool1d(2)(dnn.zeros(1, 1, 5)).shape)
    (1, 1, 2)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the means."""
        return functional.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_Adaptive):
    """The means of as many windows of (N, C, H, W) or (C, H, W) as are asked for, whatever the input's size.

    Parameters
    ----------
    output_size : int or sequence of int or None
        How many; None keeps a size.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> tuple(nn.AdaptiveAvgPool2d(2)(dnn.zeros(1, 1, 5, 5)).shape)
    (1, 1, 2, 2)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the means."""
        return functional.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(_Adaptive):
    """The means of as many windows of (N, C, D, H, W) or (C, D, H, W) as are asked for, whatever the input's size.

    Parameters
    ----------
    output_size : int or sequence of int or None
        How many; None keeps a size.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> tuple(nn.AdaptiveAvgPool3d(2)(dnn.zeros(1, 1, 5, 5, 5)).shape)
    (1, 1, 2, 2, 2)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the means."""
        return functional.adaptive_avg_pool3d(input, self.output_size)


class _AdaptiveMax(_Adaptive):
    def __init__(self, output_size: OutputSizes, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveMaxPool1d(_AdaptiveMax):
    """The largest elements of as many windows of (N, C, L) or (C, L) as are asked for, whatever the input's size.

    Parameters
    ----------
    output_size : int
        How many.
    return_indices : bool, default False
        Whether to return the positions too.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> tuple(nn.AdaptiveMaxPool1d(2)(dnn.zeros(1, 1, 5)).shape)
    (1, 1, 2)
    """

    def forward(self, input: Tensor) -> Pooled:
        """Return the largest elements, and where they are if asked for."""
        return functional.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMax):
    """The largest elements of as many windows of (N, C, H, W) or (C, H, W) as are asked for, whatever the input's size.

    Parameters
    ----------
    output_size : int or sequence of int or None
        How many; None keeps a size.
    return_indices : bool, default False
        Whether to return the positions too.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> tuple(nn.AdaptiveMaxPool2d(2)(dnn.zeros(1, 1, 5, 5)).shape)
    (1, 1, 2, 2)
    """

    def forward(self, input: Tensor) -> Pooled:
        """Return the largest elements, and where they are if asked for."""
        return functional.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool3d(_AdaptiveMax):
    """The largest elements of as many windows of (N, C, D, H, W) or (C, D, H, W) as are asked for, whatever the input's size.

    Parameters
    ----------
    output_size : int or sequence of int or None
        How many; None keeps a size.
    return_indices : bool, default False
        Whether to return the positions too.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> tuple(nn.AdaptiveMaxPool3d(2)(dnn.zeros(1, 1, 5, 5, 5)).shape)
    (1, 1, 2, 2, 2)
    """

    def forward(self, input: Tensor) -> Pooled:
        """Return the largest elements, and where they are if asked for."""
        return functional.adaptive_max_pool3d(input, self.output_size, self.return_indices)
