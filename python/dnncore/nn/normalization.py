"""Layer, RMS and group normalisation, and the local ones of response and contrast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dnncore import _core
from dnncore._checks import checked_size
from dnncore._core import Tensor
from dnncore.nn import _functional_norm as functional
from dnncore.nn import init
from dnncore.nn.module import Module
from dnncore.nn.parameter import Parameter


def _sizes(layer: str, shape: int | Sequence[int]) -> tuple[int, ...]:
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if not sizes:
        raise ValueError(f"{layer}: expected a normalized_shape of at least one dimension, got ()")
    return tuple(checked_size(layer, "normalized_shape", size) for size in sizes)


class _Scaled(Module):
    """Weights that begin as 1 and biases that begin as 0."""

    weight: Parameter | None
    bias: Parameter | None

    def _set_up(self, shape: tuple[int, ...], device: Any, dtype: _core.dtype | None, **wanted: bool) -> None:
        """Register weight and bias, those that are named, as parameters or None."""
        kind = _core.float32 if dtype is None else dtype
        for name, present in wanted.items():
            self.register_parameter(name, Parameter(_core.empty(shape, device=device, dtype=kind)) if present else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weights to 1 and the biases to 0."""
        for name, parameter in self._parameters.items():
            if parameter is not None:
                init.constant_(parameter, 1.0 if name == "weight" else 0.0)


class LayerNorm(_Scaled):
    """Brings the last dimensions to mean 0 and variance 1: ``(x - mean) / sqrt(var + eps) * weight + bias``.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Sizes of the last dimensions.
    eps : float, default 1e-5
        Added to the variance.
    elementwise_affine : bool, default True
        Whether to scale and shift every element by learned numbers.
    bias : bool, default True
        Whether an affine layer shifts.
    device : device, optional
        Where the parameters are; only the CPU.
    dtype : dtype, optional
        Of the parameters; float32 when not given.

    Attributes
    ----------
    weight, bias : Parameter of shape normalized_shape, or None

    Raises
    ------
    ValueError
        If the input does not end in those sizes.

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton: Layer normalization, 2016.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> [round(v, 3) for v in nn.LayerNorm(2)(dnn.tensor([1.0, 3.0])).tolist()]
    [-1.0, 1.0]
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _sizes("LayerNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._set_up(self.normalized_shape, device, dtype, weight=elementwise_affine, bias=elementwise_affine and bias)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise the last dimensions, those of `normalized_shape`."""
        return _core._layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the settings."""
        affine = f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, eps={self.eps}, {affine}"


class RMSNorm(_Scaled):
    """Divides by the root of the mean square of the last dimensions: ``x / sqrt(mean(x^2) + eps) * weight``.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Sizes of the last dimensions.
    eps : float, optional
        Added to the mean square; the machine epsilon when not given.
    elementwise_affine : bool, default True
        Whether to scale every element by a learned number.
    device : device, optional
        Where the parameters are; only the CPU.
    dtype : dtype, optional
        Of the parameters; float32 when not given.

    Attributes
    ----------
    weight : Parameter of shape normalized_shape, or None

    Raises
    ------
    ValueError
        If the input does not end in those sizes.

    References
    ----------
    B. Zhang, R. Sennrich: Root mean square layer normalization, NeurIPS 2019.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> [round(v, 3) for v in nn.RMSNorm(2)(dnn.tensor([3.0, -3.0])).tolist()]
    [1.0, -1.0]
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _sizes("RMSNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._set_up(self.normalized_shape, device, dtype, weight=elementwise_affine)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise the last dimensions, those of `normalized_shape`."""
        return _core._rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(_Scaled):
    """Brings groups of neighbouring channels of every sample to mean 0 and variance 1, then scales and shifts every channel.

    Parameters
    ----------
    num_groups : int
        It divides num_channels.
    num_channels : int
        C, the number of channels.
    eps : float, default 1e-5
        Added to the variance.
    affine : bool, default True
        Whether to scale and shift every channel by learned numbers.
    device : device, optional
        Where the parameters are; only the CPU.
    dtype : dtype, optional
        Of the parameters; float32 when not given.
    bias : bool, default True
        Whether an affine layer shifts.

    Attributes
    ----------
    weight, bias : Parameter of shape (C,), or None

    Raises
    ------
    ValueError
        If the groups do not divide the channels, or the input is not (N, C, ...).

    References
    ----------
    Y. Wu, K. He: Group normalization, ECCV 2018.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.GroupNorm(3, 6)(dnn.randn(2, 6, 5, 5)).shape
    (2, 6, 5, 5)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: _core.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_groups = checked_size("GroupNorm", "num_groups", num_groups)
        self.num_channels = checked_size("GroupNorm", "num_channels", num_channels)
        if self.num_groups == 0 or self.num_channels % self.num_groups != 0:
            raise ValueError(
                f"GroupNorm: expected num_groups that divides num_channels={num_channels}, got num_groups={num_groups}"
            )
        self.eps = eps
        self.affine = affine
        self._set_up((self.num_channels,), device, dtype, weight=affine, bias=affine and bias)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, C, ...)."""
        return _core._group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={self.bias is not None}"


class LocalResponseNorm(Module):
    """Divides by ``(k + alpha * a)^beta`` with `a` the mean of the squares in `size` channels around each one.

    Parameters
    ----------
    size : int
        Number of channels.
    alpha : float, default 1e-4
    beta : float, default 0.75
    k : float, default 1

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. E. Hinton: ImageNet classification with deep convolutional neural networks, NIPS 2012, 3.3.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.LocalResponseNorm(5)(dnn.randn(2, 8, 4, 4)).shape
    (2, 8, 4, 4)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = checked_size("LocalResponseNorm", "size", size)
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, C, ...)."""
        return functional.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class LocalContrastNorm(Module):
    """Subtracts the local mean and divides by the local deviation; see `functional.local_contrast_norm`.

    Parameters
    ----------
    size : int, default 9
        Of the Gaussian window, odd.
    eps : float, default 1e-5
        The least deviation to divide by.

    References
    ----------
    K. Jarrett, K. Kavukcuoglu, M. Ranzato, Y. LeCun: What is the best multi-stage architecture for object recognition?,
    ICCV 2009.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.LocalContrastNorm(5)(dnn.randn(2, 3, 8, 8)).shape
    (2, 3, 8, 8)
    """

    def __init__(self, size: int = 9, eps: float = 1e-5) -> None:
        super().__init__()
        self.size = checked_size("LocalContrastNorm", "size", size)
        self.eps = eps

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, C, H, W)."""
        return functional.local_contrast_norm(input, self.size, self.eps)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"size={self.size}, eps={self.eps}"
