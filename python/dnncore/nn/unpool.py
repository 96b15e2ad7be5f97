"""Layers of power-average pooling and of the inverse of max pooling."""

from __future__ import annotations

from collections.abc import Sequence

from dnncore._core import Tensor
from dnncore.nn import _functional_unpool as functional
from dnncore.nn._functional_pool import Sizes
from dnncore.nn.module import Module


class _LPPool(Module):
    def __init__(self, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, ceil_mode={self.ceil_mode}"


class _MaxUnpool(Module):
    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class LPPool1d(_LPPool):
    """The sum of the powers of every window of (N, C, L) or (C, L), and the root of it.

    Parameters
    ----------
    norm_type : float
        The power.
    kernel_size : int or sequence of int
        Elements of a window.
    stride : int or sequence of int, optional
        From one window to the next; the window's size where not given.
    ceil_mode : bool, default False
        Whether a window that begins inside the input counts, though it reaches beyond the other end.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.LPPool1d(1, 2)(dnn.ones(1, 1, 2)).item()
    2.0
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the roots."""
        return functional.lp_pool1d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool2d(_LPPool):
    """The sum of the powers of every window of (N, C, H, W) or (C, H, W), and the root of it.

    Parameters
    ----------
    norm_type : float
        The power.
    kernel_size : int or sequence of int
        Elements of a window, or one per dimension.
    stride : int or sequence of int, optional
        From one window to the next; the window's size where not given.
    ceil_mode : bool, default False
        Whether a window that begins inside the input counts, though it reaches beyond the other end.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.LPPool2d(1, 2)(dnn.ones(1, 1, 2, 2)).item()
    4.0
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the roots."""
        return functional.lp_pool2d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool3d(_LPPool):
    """The sum of the powers of every window of (N, C, D, H, W) or (C, D, H, W), and the root of it.

    Parameters
    ----------
    norm_type : float
        The power.
    kernel_size : int or sequence of int
        Elements of a window, or one per dimension.
    stride : int or sequence of int, optional
        From one window to the next; the window's size where not given.
    ceil_mode : bool, default False
        Whether a window that begins inside the input counts, though it reaches beyond the other end.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.LPPool3d(1, 2)(dnn.ones(1, 1, 2, 2, 2)).item()
    8.0
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the roots."""
        return functional.lp_pool3d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class MaxUnpool1d(_MaxUnpool):
    """Puts elements of (N, C, L) or (C, L) back to where `MaxPool1d` found them, and 0 elsewhere.

    Parameters
    ----------
    kernel_size, stride, padding : int or sequence of int
        Those of the pooling.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> pool, unpool = nn.MaxPool1d(2, return_indices=True), nn.MaxUnpool1d(2)
    >>> unpool(*pool(dnn.arange(2.0).reshape(1, 1, 2))).flatten().tolist()
    [0.0, 1.0]
    """

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Return a tensor of the pooled one's size."""
        return functional.max_unpool1d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool2d(_MaxUnpool):
    """Puts elements of (N, C, H, W) or (C, H, W) back to where `MaxPool2d` found them, and 0 elsewhere.

    Parameters
    ----------
    kernel_size, stride, padding : int or sequence of int
        Those of the pooling, or one per dimension.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> pool, unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
    >>> unpool(*pool(dnn.arange(4.0).reshape(1, 1, 2, 2))).flatten().tolist()
    [0.0, 0.0, 0.0, 3.0]
    """

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Return a tensor of the pooled one's size."""
        return functional.max_unpool2d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool3d(_MaxUnpool):
    """Puts elements of (N, C, D, H, W) or (C, D, H, W) back to where `MaxPool3d` found them, and 0 elsewhere.

    Parameters
    ----------
    kernel_size, stride, padding : int or sequence of int
        Those of the pooling, or one per dimension.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> pool, unpool = nn.MaxPool3d(2, return_indices=True), nn.MaxUnpool3d(2)
    >>> unpool(*pool(dnn.arange(8.0).reshape(1, 1, 2, 2, 2))).flatten().tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 7.0]
    """

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Return a tensor of the pooled one's size."""
        return functional.max_unpool3d(input, indices, self.kernel_size, self.stride, self.padding, output_size)
