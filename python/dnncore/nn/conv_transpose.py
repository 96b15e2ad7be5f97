"""Transposed convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from dnncore import _core
from dnncore._core import Tensor
from dnncore.nn.conv import ConvNd, Sizes


class _ConvTranspose(ConvNd):
    """A transposed convolution."""

    transposed = True
    _conv: ClassVar[Any]  # the native function, a builtin: not bound to the instance
    padding: tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
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
        layer = type(self).__name__
        if padding_mode != "zeros":
            raise ValueError(f"{layer}: expected padding_mode 'zeros', got {padding_mode!r}")
        if isinstance(padding, str):
            raise TypeError(f"{layer}: expected padding of type int, got str")
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            output_padding,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Map (N, in_channels, ...) to (N, out_channels, ...).

        Parameters
        ----------
        input : Tensor
        output_size : sequence of int, optional
            The spatial sizes to get (also with those of batch and channels before them) among those that the stride leaves open;
            it takes the place of the layer's `output_padding`.

        Raises
        ------
        ValueError
            If shapes do not fit, or no output padding gives `output_size`.
        """
        extra = self.output_padding if output_size is None else self._output_padding(input, list(output_size))
        try:
            return self._conv(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)  # type: ignore[no-any-return]
        except ValueError as error:
            raise ValueError(f"{error}{self._advice(input)}") from None

    def _output_padding(self, input: Tensor, wanted: list[int]) -> tuple[int, ...]:
        layer, dims = type(self).__name__, self.dims
        if len(wanted) == input.ndim and input.ndim > dims:
            wanted = wanted[-dims:]
        if len(wanted) != dims:
            raise ValueError(f"{layer}: expected output_size of {dims} or {input.ndim} sizes, got {len(wanted)}")
        extra = []
        for i, size in enumerate(wanted):
            reach = self.dilation[i] * (self.kernel_size[i] - 1) + 1
            least = (input.shape[i - dims] - 1) * self.stride[i] - 2 * self.padding[i] + reach
            most = least + self.stride[i] - 1
            if not least <= size <= most:
                raise ValueError(f"{layer}: expected output_size[{i}] from {least} to {most}, got {size}")
            extra.append(size - least)
        return tuple(extra)


class ConvTranspose1d(_ConvTranspose):
    r"""Transposed convolution of sequences; `ConvTranspose2d` describes the parameters.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding, output_padding : int or tuple
    groups, bias, dilation, padding_mode, device, dtype
        As of `ConvTranspose2d`.

    Attributes
    ----------
    weight : Parameter of shape (in_channels, out_channels / groups, kernel_size)
    bias : Parameter of shape (out_channels,), or None

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.ConvTranspose1d(8, 4, 4, stride=2, padding=1)(dnn.zeros(10, 8, 25)).shape
    (10, 4, 50)
    """

    dims = 1
    _conv = staticmethod(_core.conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    r"""Transposed convolution of images: the gradient of `Conv2d` with respect to its input, as a layer.

    With the same settings it maps the sizes of a `Conv2d`'s outputs back to those of its inputs; where the stride lets several
    inputs have one output size, `output_padding` or the argument `output_size` of the call chooses. It does not undo the
    convolution. Weights and bias are drawn from U(-sqrt(1/fan_in), sqrt(1/fan_in)) with fan_in that of the weight's shape, as in
    PyTorch.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    out_channels : int
        Channels of the output.
    kernel_size : int or tuple
        Height and width of the filter.
    stride : int or tuple, default 1
        Steps of the filter in the output.
    padding : int or tuple, default 0
        Rows and columns cut off on every side of the output.
    output_padding : int or tuple, default 0
        Rows and columns more at the end of the output, below stride or dilation.
    groups : int, default 1
        Parts into which the channels are cut; each output part sees its input part only.
    bias : bool, default True
        Whether to add a bias.
    dilation : int or tuple, default 1
        Steps between the entries of the filter.
    padding_mode : {"zeros"}, default "zeros"
        Nothing else is defined.
    device : device, optional
        Where the parameters are; only the CPU.
    dtype : dtype, optional
        Of the parameters; float32 when not given.

    Attributes
    ----------
    weight : Parameter of shape (in_channels, out_channels / groups, height, width)
    bias : Parameter of shape (out_channels,), or None

    References
    ----------
    V. Dumoulin, F. Visin: A guide to convolution arithmetic for deep learning, 2016.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> smaller = nn.Conv2d(3, 16, 3, stride=2, padding=1)(dnn.zeros(8, 3, 32, 32))
    >>> smaller.shape
    (8, 16, 16, 16)
    >>> nn.ConvTranspose2d(16, 3, 3, stride=2, padding=1)(smaller, output_size=(32, 32)).shape
    (8, 3, 32, 32)
    """

    dims = 2
    _conv = staticmethod(_core.conv_transpose2d)


class ConvTranspose3d(_ConvTranspose):
    r"""Transposed convolution of volumes; `ConvTranspose2d` describes the parameters.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding, output_padding : int or tuple
    groups, bias, dilation, padding_mode, device, dtype
        As of `ConvTranspose2d`.

    Attributes
    ----------
    weight : Parameter of shape (in_channels, out_channels / groups, depth, height, width)
    bias : Parameter of shape (out_channels,), or None

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.ConvTranspose3d(4, 3, 2, stride=2)(dnn.zeros(2, 4, 8, 8, 8)).shape
    (2, 3, 16, 16, 16)
    """

    dims = 3
    _conv = staticmethod(_core.conv_transpose3d)
