"""Convolutions."""

from __future__ import annotations

import math
import operator
from typing import Any, ClassVar, TypeAlias

from dnncore import _core
from dnncore._checks import checked_size
from dnncore._core import Tensor
from dnncore.nn import init
from dnncore.nn.module import Module
from dnncore.nn.parameter import Parameter

Sizes: TypeAlias = int | tuple[int, ...]

_MODES = ("zeros", "reflect", "replicate", "circular")


def sizes_of(layer: str, name: str, given: object, dims: int, least: int) -> tuple[int, ...]:
    """Return one number per dimension, each at least `least`, of a number or as many as there are dimensions."""
    several: tuple[Any, ...] = tuple(given) if isinstance(given, (tuple, list)) else (given,) * dims
    if len(several) == 1:
        several *= dims
    if len(several) != dims:
        raise ValueError(f"{layer}: expected {name} as an int or {dims} of them, got {given!r}")
    for size in several:
        if isinstance(size, bool) or not hasattr(size, "__index__"):
            raise TypeError(f"{layer}: expected {name} of type int, got {type(size).__name__}")
        if operator.index(size) < least:
            raise ValueError(f"{layer}: expected {name} of at least {least}, got {name}={given!r}")
    return tuple(map(operator.index, several))


class ConvNd(Module):
    """What convolutions and transposed ones of all dimensions share; `Conv2d` says what the parameters mean."""

    dims: ClassVar[int]
    transposed: ClassVar[bool] = False
    weight: Parameter
    bias: Parameter | None
    padding: tuple[int, ...] | str

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes,
        padding: Sizes | str,
        dilation: Sizes,
        output_padding: Sizes,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: _core.dtype | None,
    ) -> None:
        super().__init__()
        layer, dims = type(self).__name__, self.dims
        self.in_channels = checked_size(layer, "in_channels", in_channels)
        self.out_channels = checked_size(layer, "out_channels", out_channels)
        self.kernel_size = sizes_of(layer, "kernel_size", kernel_size, dims, 1)
        self.stride = sizes_of(layer, "stride", stride, dims, 1)
        self.dilation = sizes_of(layer, "dilation", dilation, dims, 1)
        self.output_padding = sizes_of(layer, "output_padding", output_padding, dims, 0)
        self.groups = checked_size(layer, "groups", groups)
        self.padding_mode = padding_mode
        self.padding = self._checked_padding(padding)
        self._check_channels()
        factory: dict[str, Any] = {"device": device, "dtype": _core.float32 if dtype is None else dtype}
        self.weight = Parameter(_core.empty(self._weight_shape(), **factory))
        self.register_parameter("bias", Parameter(_core.empty((self.out_channels,), **factory)) if bias else None)
        self.reset_parameters()

    def _checked_padding(self, padding: Sizes | str) -> tuple[int, ...] | str:
        layer = type(self).__name__
        if self.padding_mode not in _MODES:
            raise ValueError(f"{layer}: expected padding_mode {', '.join(map(repr, _MODES))}, got {self.padding_mode!r}")
        if not isinstance(padding, str):
            return sizes_of(layer, "padding", padding, self.dims, 0)
        if padding not in ("same", "valid"):
            raise ValueError(f"{layer}: expected padding as numbers, 'same' or 'valid', got {padding!r}")
        if padding == "same" and any(step != 1 for step in self.stride):
            raise ValueError(f"{layer}: padding 'same' expects stride 1, got stride={self.stride}")
        return padding

    def _check_channels(self) -> None:
        layer = type(self).__name__
        if self.groups < 1:
            raise ValueError(f"{layer}: expected groups of at least 1, got groups={self.groups}")
        for name, count in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if count % self.groups:
                raise ValueError(f"{layer}: expected {name} that {self.groups} groups divide, got {name}={count}")

    def _weight_shape(self) -> tuple[int, ...]:
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        return (first, second // self.groups, *self.kernel_size)

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        fan_in = math.prod(self.weight.shape[1:])
        if fan_in == 0 or self.weight.numel() == 0:
            return
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(fan_in)
            init.uniform_(self.bias, -bound, bound)

    def _advice(self, input: Tensor) -> str:
        """Return what to say after an error of this input: the channels that would fit."""
        at = input.ndim - self.dims - 1
        if at not in (0, 1) or input.shape[at] == self.in_channels:
            return ""
        channels = input.shape[at]
        return f"; {type(self).__name__}(in_channels={self.in_channels}) got {channels} channels: use in_channels={channels}"

    def extra_repr(self) -> str:
        """Return the channels and what differs from the defaults."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * self.dims:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self.dims:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * self.dims:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Conv(ConvNd):
    """A convolution."""

    _conv: ClassVar[Any]  # the native function, a builtin: not bound to the instance

    def __init__(
        self,
        in_channels: int,
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
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias, padding_mode, device, dtype
        )

    def forward(self, input: Tensor, activation: str | None = None) -> Tensor:
        """Map (N, in_channels, ...) to (N, out_channels, ...); `Sequential` lets the kernel apply the activation after it."""
        own: Any = self._parameters  # attribute access would search three tables
        try:
            weight, bias = own["weight"], own["bias"]
        except KeyError:  # computed from other parameters: weight_norm and its kin
            weight, bias = self.weight, self.bias
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = _core.pad(input, self._sides(), self.padding_mode), 0
        try:
            return self._conv(input, weight, bias, self.stride, padding, self.dilation, self.groups, activation)  # type: ignore[no-any-return]
        except ValueError as error:
            raise ValueError(f"{error}{self._advice(input)}") from None

    def _sides(self) -> list[int]:
        """Return what `pad` takes: before and after, of the last dimension first."""
        sides: list[int] = []
        for dim in reversed(range(self.dims)):
            if isinstance(self.padding, str):
                total = self.dilation[dim] * (self.kernel_size[dim] - 1) if self.padding == "same" else 0
                sides += (total // 2, total - total // 2)
            else:
                sides += (self.padding[dim], self.padding[dim])
        return sides


class Conv1d(_Conv):
    r"""Convolution of sequences; `Conv2d` describes the parameters.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding, dilation : int or tuple
    groups, bias, padding_mode, device, dtype
        As of `Conv2d`.

    Attributes
    ----------
    weight : Parameter of shape (out_channels, in_channels / groups, kernel_size)
    bias : Parameter of shape (out_channels,), or None

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Conv1d(4, 8, 3, stride=2)(dnn.zeros(10, 4, 50)).shape
    (10, 8, 24)
    """

    dims = 1
    _conv = staticmethod(_core.conv1d)


class Conv2d(_Conv):
    r"""Convolution of images, a cross-correlation: the filter is not flipped.

    Output channel k is ``bias[k] + sum_c weight[k, c] * x[c]`` over the input channels c of its group. Weights and bias are drawn
    from U(-sqrt(1/fan_in), sqrt(1/fan_in)) with fan_in the number of entries of one filter, as in PyTorch.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    out_channels : int
        Channels of the output: the number of filters.
    kernel_size : int or tuple
        Height and width of the filter.
    stride : int or tuple, default 1
        Steps of the filter.
    padding : int, tuple, "same" or "valid", default 0
        Rows and columns added on every side. "valid" is 0; "same" gives an output of the input's size, for stride 1.
    dilation : int or tuple, default 1
        Steps between the entries of the filter.
    groups : int, default 1
        Parts into which the channels are cut; each output part sees its input part only. ``groups=in_channels`` is a depthwise
        convolution.
    bias : bool, default True
        Whether to add a bias.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}, default "zeros"
        What the padding holds.
    device : device, optional
        Where the parameters are; only the CPU.
    dtype : dtype, optional
        Of the parameters; float32 when not given.

    Attributes
    ----------
    weight : Parameter of shape (out_channels, in_channels / groups, height, width)
    bias : Parameter of shape (out_channels,), or None

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition, 1998.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> layer = nn.Conv2d(3, 16, 5, padding=2)
    >>> layer(dnn.zeros(8, 3, 32, 32)).shape
    (8, 16, 32, 32)
    >>> layer
    Conv2d(3, 16, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))
    """

    dims = 2
    _conv = staticmethod(_core.conv2d)


class Conv3d(_Conv):
    r"""Convolution of volumes or of images over time; `Conv2d` describes the parameters.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding, dilation : int or tuple
    groups, bias, padding_mode, device, dtype
        As of `Conv2d`.

    Attributes
    ----------
    weight : Parameter of shape (out_channels, in_channels / groups, depth, height, width)
    bias : Parameter of shape (out_channels,), or None

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Conv3d(3, 4, (3, 5, 5))(dnn.zeros(2, 3, 8, 16, 16)).shape
    (2, 4, 6, 12, 12)
    """

    dims = 3
    _conv = staticmethod(_core.conv3d)
