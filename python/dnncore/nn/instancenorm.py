"""Instance normalisation: every channel of every sample to mean 0 and variance 1."""

from __future__ import annotations

import warnings
from typing import Any

from dnncore import _core
from dnncore._core import Tensor
from dnncore.nn.batchnorm import LazyNormBase, NormBase


class _InstanceNorm(NormBase):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: _core.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, C, ...) or one sample (C, ...)."""
        self._check_input(input)
        sample = input.ndim == self._ranks[0]
        channels = input.shape[0 if sample else 1]
        if channels != self.num_features:
            name = type(self).__name__
            if self.affine or self.track_running_stats:
                raise ValueError(f"{name}: expected {self.num_features} channels, got input of shape {tuple(input.shape)}")
            warnings.warn(f"{name}: {channels} channels where num_features={self.num_features}, which nothing uses", stacklevel=2)
        output = _core._instance_norm(
            input.unsqueeze(0) if sample else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return output.squeeze(0) if sample else output


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of (N, C, L) or (C, L).

    Every channel of every sample is brought to mean 0 and variance 1 by ``(x - mean) / sqrt(var + eps) * weight + bias``. Running
    statistics, when tracked, move towards the mean over the samples in training and are used in evaluation mode.

    Parameters
    ----------
    num_features : int
        C, the number of channels.
    eps : float, default 1e-5
        Added to the variance.
    momentum : float, default 0.1
        Share of the new value in the running statistics.
    affine : bool, default False
        Whether to scale and shift every channel by learned numbers.
    track_running_stats : bool, default False
        Whether to keep running statistics; without them the input's own are used in evaluation too.
    device : device, optional
        Where the parameters are; only the CPU.
    dtype : dtype, optional
        Of the parameters; float32 when not given.
    bias : bool, default True
        Whether an affine layer shifts.

    Attributes
    ----------
    weight, bias : Parameter of shape (C,), or None
    running_mean, running_var : Tensor of shape (C,), or None
    num_batches_tracked : Tensor of shape (), int64, or None

    Raises
    ------
    ValueError
        If the input has another shape, or one value per channel.

    References
    ----------
    D. Ulyanov, A. Vedaldi, V. Lempitsky: Instance normalization: the missing ingredient for fast stylization, 2016.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.InstanceNorm1d(3)(dnn.randn(2, 3, 5)).shape
    (2, 3, 5)
    """

    _ranks = (2, 3)
    _input = "(N, C, L) or (C, L)"


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of (N, C, H, W) or (C, H, W).

    Every channel of every sample is brought to mean 0 and variance 1 by ``(x - mean) / sqrt(var + eps) * weight + bias``. Running
    statistics, when tracked, move towards the mean over the samples in training and are used in evaluation mode.

    Parameters
    ----------
    num_features : int
        C, the number of channels.
    eps : float, default 1e-5
        Added to the variance.
    momentum : float, default 0.1
        Share of the new value in the running statistics.
    affine : bool, default False
        Whether to scale and shift every channel by learned numbers.
    track_running_stats : bool, default False
        Whether to keep running statistics; without them the input's own are used in evaluation too.
    device : device, optional
        Where the parameters are; only the CPU.
    dtype : dtype, optional
        Of the parameters; float32 when not given.
    bias : bool, default True
        Whether an affine layer shifts.

    Attributes
    ----------
    weight, bias : Parameter of shape (C,), or None
    running_mean, running_var : Tensor of shape (C,), or None
    num_batches_tracked : Tensor of shape (), int64, or None

    Raises
    ------
    ValueError
        If the input has another shape, or one value per channel.

    References
    ----------
    D. Ulyanov, A. Vedaldi, V. Lempitsky: Instance normalization: the missing ingredient for fast stylization, 2016.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.InstanceNorm2d(3)(dnn.randn(2, 3, 5, 5)).shape
    (2, 3, 5, 5)
    """

    _ranks = (3, 4)
    _input = "(N, C, H, W) or (C, H, W)"


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of (N, C, D, H, W) or (C, D, H, W).

    Every channel of every sample is brought to mean 0 and variance 1 by ``(x - mean) / sqrt(var + eps) * weight + bias``. Running
    statistics, when tracked, move towards the mean over the samples in training and are used in evaluation mode.

    Parameters
    ----------
    num_features : int
        C, the number of channels.
    eps : float, default 1e-5
        Added to the variance.
    momentum : float, default 0.1
        Share of the new value in the running statistics.
    affine : bool, default False
        Whether to scale and shift every channel by learned numbers.
    track_running_stats : bool, default False
        Whether to keep running statistics; without them the input's own are used in evaluation too.
    device : device, optional
        Where the parameters are; only the CPU.
    dtype : dtype, optional
        Of the parameters; float32 when not given.
    bias : bool, default True
        Whether an affine layer shifts.

    Attributes
    ----------
    weight, bias : Parameter of shape (C,), or None
    running_mean, running_var : Tensor of shape (C,), or None
    num_batches_tracked : Tensor of shape (), int64, or None

    Raises
    ------
    ValueError
        If the input has another shape, or one value per channel.

    References
    ----------
    D. Ulyanov, A. Vedaldi, V. Lempitsky: Instance normalization: the missing ingredient for fast stylization, 2016.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.InstanceNorm3d(3)(dnn.randn(2, 3, 4, 5, 5)).shape
    (2, 3, 4, 5, 5)
    """

    _ranks = (4, 5)
    _input = "(N, C, D, H, W) or (C, D, H, W)"


class _LazyInstanceNorm(LazyNormBase, _InstanceNorm):
    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: _core.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def initialize_parameters(self, input: Tensor, *args: Any) -> None:
        """Take the number of channels of `input`."""
        self._check_input(input)
        super().initialize_parameters(input.unsqueeze(0) if input.ndim == self._ranks[0] else input)


class LazyInstanceNorm1d(_LazyInstanceNorm, InstanceNorm1d):
    """An `InstanceNorm1d` whose number of channels is that of its first input.

    Parameters
    ----------
    eps : float, default 1e-5
        Added to the variance.
    momentum : float, default 0.1
        Share of the new value in the running statistics.
    affine : bool, default False
        Whether to scale and shift every channel by learned numbers.
    track_running_stats : bool, default False
        Whether to keep running statistics; without them the input's own are used in evaluation too.
    device : device, optional
        Where the parameters are; only the CPU.
    dtype : dtype, optional
        Of the parameters; float32 when not given.
    bias : bool, default True
        Whether an affine layer shifts.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> layer = nn.LazyInstanceNorm1d()
    >>> layer(dnn.randn(2, 3, 5)).shape
    (2, 3, 5)
    >>> layer.num_features
    3
    """

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstanceNorm, InstanceNorm2d):
    """An `InstanceNorm2d` whose number of channels is that of its first input.

    Parameters
    ----------
    eps : float, default 1e-5
        Added to the variance.
    momentum : float, default 0.1
        Share of the new value in the running statistics.
    affine : bool, default False
        Whether to scale and shift every channel by learned numbers.
    track_running_stats : bool, default False
        Whether to keep running statistics; without them the input's own are used in evaluation too.
    device : device, optional
        Where the parameters are; only the CPU.
    dtype : dtype, optional
        Of the parameters; float32 when not given.
    bias : bool, default True
        Whether an affine layer shifts.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> layer = nn.LazyInstanceNorm2d()
    >>> layer(dnn.randn(2, 3, 5, 5)).shape
    (2, 3, 5, 5)
    >>> layer.num_features
    3
    """

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstanceNorm, InstanceNorm3d):
    """An `InstanceNorm3d` whose number of channels is that of its first input.

    Parameters
    ----------
    eps : float, default 1e-5
        Added to the variance.
    momentum : float, default 0.1
        Share of the new value in the running statistics.
    affine : bool, default False
        Whether to scale and shift every channel by learned numbers.
    track_running_stats : bool, default False
        Whether to keep running statistics; without them the input's own are used in evaluation too.
    device : device, optional
        Where the parameters are; only the CPU.
    dtype : dtype, optional
        Of the parameters; float32 when not given.
    bias : bool, default True
        Whether an affine layer shifts.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> layer = nn.LazyInstanceNorm3d()
    >>> layer(dnn.randn(2, 3, 4, 5, 5)).shape
    (2, 3, 4, 5, 5)
    >>> layer.num_features
    3
    """

    cls_to_become = InstanceNorm3d
