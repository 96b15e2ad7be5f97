"""Layers that resize, rearrange pixels, or take sliding blocks."""

from __future__ import annotations

from collections.abc import Sequence

from dnncore._core import Tensor
from dnncore.nn import _functional_resize as functional
from dnncore.nn._functional_resize import Sizes2
from dnncore.nn.module import Module


class Upsample(Module):
    """Resizes every channel of (N, C, L), (N, C, H, W) or (N, C, D, H, W).

    Parameters
    ----------
    size : int or sequence of int, optional
        Sizes of the output; this or `scale_factor` is given.
    scale_factor : float or sequence of float, optional
        By what the sizes are multiplied, rounded down.
    mode : {"nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area"}, default "nearest"
    align_corners : bool, optional
        In the weighted modes: whether the outermost elements keep their places, rather than the outer edges.
    recompute_scale_factor : bool, optional
        Whether to go on with the quotient of the sizes instead of `scale_factor`.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Upsample(scale_factor=2)(dnn.tensor([[[1.0, 2.0]]])).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        self.scale_factor = scale_factor
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """Return the resized tensor."""
        return functional.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        """Return the settings."""
        wanted = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{wanted}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Resizes (N, C, H, W) by repeating elements.

    Parameters
    ----------
    size : int or (int, int), optional
        Height and width of the output; this or `scale_factor` is given.
    scale_factor : float or (float, float), optional

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> tuple(nn.UpsamplingNearest2d(scale_factor=2)(dnn.zeros(1, 1, 2, 3)).shape)
    (1, 1, 4, 6)
    """

    def __init__(self, size: Sizes2 | None = None, scale_factor: float | Sequence[float] | None = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """Resizes (N, C, H, W) by weighted means of four elements; the outermost elements keep their places.

    Parameters
    ----------
    size : int or (int, int), optional
        Height and width of the output; this or `scale_factor` is given.
    scale_factor : float or (float, float), optional

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.UpsamplingBilinear2d((1, 3))(dnn.tensor([[[[0.0, 1.0]]]])).tolist()
    [[[[0.0, 0.5, 1.0]]]]
    """

    def __init__(self, size: Sizes2 | None = None, scale_factor: float | Sequence[float] | None = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


class PixelShuffle(Module):
    """Turns (..., C r r, H, W) into (..., C, H r, W r).

    Parameters
    ----------
    upscale_factor : int
        The factor r.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> tuple(nn.PixelShuffle(2)(dnn.zeros(1, 8, 3, 5)).shape)
    (1, 2, 6, 10)
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """Return the rearranged tensor."""
        return functional.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """Return the factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Turns (..., C, H r, W r) into (..., C r r, H, W).

    Parameters
    ----------
    downscale_factor : int
        The factor r.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> tuple(nn.PixelUnshuffle(2)(dnn.zeros(1, 2, 6, 10)).shape)
    (1, 8, 3, 5)
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """Return the rearranged tensor."""
        return functional.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """Return the factor."""
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """Deals the channels of (N, C, ...) out again, so that every group gets some of each other group.

    Parameters
    ----------
    groups : int

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.ChannelShuffle(2)(dnn.arange(4.0).reshape(1, 4, 1)).flatten().tolist()
    [0.0, 2.0, 1.0, 3.0]
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        """Return the rearranged tensor."""
        return functional.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        """Return the number of groups."""
        return f"groups={self.groups}"


class Unfold(Module):
    """Sliding blocks of (N, C, H, W) or (C, H, W) as columns.

    Parameters
    ----------
    kernel_size, dilation, padding, stride : int or (int, int)
        Of the blocks, as those of a convolution.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> tuple(nn.Unfold(2)(dnn.zeros(1, 3, 4, 5)).shape)
    (1, 12, 12)
    """

    def __init__(self, kernel_size: Sizes2, dilation: Sizes2 = 1, padding: Sizes2 = 0, stride: Sizes2 = 1) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """Return the columns."""
        return functional.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Module):
    """Adds sliding blocks up to (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    output_size : int or (int, int)
        Height and width of the result.
    kernel_size, dilation, padding, stride : int or (int, int)
        Of the blocks, as those of a convolution.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Fold((2, 3), 2)(dnn.ones(1, 4, 2)).flatten().tolist()
    [1.0, 2.0, 1.0, 1.0, 2.0, 1.0]
    """

    def __init__(
        self, output_size: Sizes2, kernel_size: Sizes2, dilation: Sizes2 = 1, padding: Sizes2 = 0, stride: Sizes2 = 1
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """Return the sums."""
        return functional.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """Return the settings."""
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )
