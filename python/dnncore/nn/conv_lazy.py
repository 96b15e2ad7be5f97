"""Convolutions that learn their input's channels at the first call."""

from __future__ import annotations

from typing import Any

from dnncore import _core
from dnncore._checks import checked_size
from dnncore._core import Tensor
from dnncore.nn.conv import Conv1d, Conv2d, Conv3d, ConvNd, Sizes
from dnncore.nn.conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from dnncore.nn.lazy import LazyModuleMixin, materialize
from dnncore.nn.parameter import UninitializedParameter


class _LazyConvNd(LazyModuleMixin, ConvNd):
    def _forget_shapes(self, out_channels: int, bias: bool, device: Any, dtype: _core.dtype | None) -> None:
        """Take `out_channels`, and parameters without a shape in place of the empty ones."""
        self.out_channels = checked_size(type(self).__name__, "out_channels", out_channels)
        self._check_channels()
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw new initial values; nothing to do before the first call."""
        if not self.has_uninitialized_params():
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """Take the number of channels of `input`."""
        layer = type(self).__name__
        if not self.has_uninitialized_params():  # the values were loaded
            self.in_channels = self.weight.shape[0] if self.transposed else self.weight.shape[1] * self.groups
            return
        if input.ndim not in (self.dims + 1, self.dims + 2):
            raise ValueError(f"{layer}: expected an input of {self.dims + 2} dimensions, got shape {tuple(input.shape)}")
        self.in_channels = input.shape[-self.dims - 1]
        self._check_channels()
        materialize(layer, self.weight, self._weight_shape())
        if self.bias is not None:
            materialize(layer, self.bias, (self.out_channels,))
        self.reset_parameters()


class _LazyConv(_LazyConvNd):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__(0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode, device, dtype)
        self._forget_shapes(out_channels, bias, device, dtype)


class _LazyConvTranspose(_LazyConvNd):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__(0, 0, kernel_size, stride, padding, output_padding, groups, False, dilation, padding_mode, device, dtype)
        self._forget_shapes(out_channels, bias, device, dtype)


class LazyConv1d(_LazyConv, Conv1d):
    r"""A `Conv1d` whose ``in_channels`` is the number of channels of its first input.

    Parameters
    ----------
    out_channels : int
        Channels of the output.
    kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        As of `Conv1d`.

    Notes
    -----
    Make the optimizer after the first call.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> layer = nn.LazyConv1d(8, 3)
    >>> layer(dnn.zeros(2, 4, 8)).shape
    (2, 8, 6)
    >>> layer.in_channels
    4
    """

    cls_to_become = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    r"""A `Conv2d` whose ``in_channels`` is the number of channels of its first input.

    Parameters
    ----------
    out_channels : int
        Channels of the output.
    kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        As of `Conv2d`.

    Notes
    -----
    Make the optimizer after the first call.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> layer = nn.LazyConv2d(8, 3)
    >>> layer(dnn.zeros(2, 4, 8, 8)).shape
    (2, 8, 6, 6)
    >>> layer.in_channels
    4
    """

    cls_to_become = Conv2d


class LazyConv3d(_LazyConv, Conv3d):
    r"""A `Conv3d` whose ``in_channels`` is the number of channels of its first input.

    Parameters
    ----------
    out_channels : int
        Channels of the output.
    kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        As of `Conv3d`.

    Notes
    -----
    Make the optimizer after the first call.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> layer = nn.LazyConv3d(8, 3)
    >>> layer(dnn.zeros(2, 4, 8, 8, 8)).shape
    (2, 8, 6, 6, 6)
    >>> layer.in_channels
    4
    """

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):
    r"""A `ConvTranspose1d` whose ``in_channels`` is the number of channels of its first input.

    Parameters
    ----------
    out_channels : int
        Channels of the output.
    kernel_size, stride, padding, output_padding, groups, bias, dilation, padding_mode, device, dtype
        As of `ConvTranspose1d`.

    Notes
    -----
    Make the optimizer after the first call.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> layer = nn.LazyConvTranspose1d(8, 3)
    >>> layer(dnn.zeros(2, 4, 8)).shape
    (2, 8, 10)
    >>> layer.in_channels
    4
    """

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):
    r"""A `ConvTranspose2d` whose ``in_channels`` is the number of channels of its first input.

    Parameters
    ----------
    out_channels : int
        Channels of the output.
    kernel_size, stride, padding, output_padding, groups, bias, dilation, padding_mode, device, dtype
        As of `ConvTranspose2d`.

    Notes
    -----
    Make the optimizer after the first call.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> layer = nn.LazyConvTranspose2d(8, 3)
    >>> layer(dnn.zeros(2, 4, 8, 8)).shape
    (2, 8, 10, 10)
    >>> layer.in_channels
    4
    """

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):
    r"""A `ConvTranspose3d` whose ``in_channels`` is the number of channels of its first input.

    Parameters
    ----------
    out_channels : int
        Channels of the output.
    kernel_size, stride, padding, output_padding, groups, bias, dilation, padding_mode, device, dtype
        As of `ConvTranspose3d`.

    Notes
    -----
    Make the optimizer after the first call.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> layer = nn.LazyConvTranspose3d(8, 3)
    >>> layer(dnn.zeros(2, 4, 8, 8, 8)).shape
    (2, 8, 10, 10, 10)
    >>> layer.in_channels
    4
    """

    cls_to_become = ConvTranspose3d
