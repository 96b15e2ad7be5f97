"""Batch normalisation: every channel to mean 0 and variance 1, over the batch in training and by running statistics after it."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from dnncore import _core
from dnncore._checks import checked_size
from dnncore._core import Tensor
from dnncore.nn import init
from dnncore.nn.lazy import LazyModuleMixin
from dnncore.nn.module import Module
from dnncore.nn.parameter import Parameter, UninitializedBuffer, UninitializedParameter

B = TypeVar("B", bound="_BatchNorm")


class NormBase(Module):
    """Parameters and buffers of the layers that normalise channels and may track running statistics."""

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    _ranks: ClassVar[tuple[int, ...]]  # numbers of dimensions an input may have
    _input: ClassVar[str]  # how such an input is written

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: _core.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.num_features = checked_size(name, "num_features", num_features)
        if not eps >= 0:
            raise ValueError(f"{name}: expected eps of at least 0, got {eps}")
        if momentum is not None and not 0 <= momentum <= 1:
            raise ValueError(f"{name}: expected momentum between 0 and 1, or None, got {momentum}")
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        factory: dict[str, Any] = {"device": device, "dtype": _core.float32 if dtype is None else dtype}

        def values() -> Tensor:
            return _core.empty((self.num_features,), **factory)

        self.register_parameter("weight", Parameter(values()) if affine else None)
        self.register_parameter("bias", Parameter(values()) if affine and bias else None)
        self.register_buffer("running_mean", values() if track_running_stats else None)
        self.register_buffer("running_var", values() if track_running_stats else None)
        counter = _core.zeros((), dtype=_core.int64, device=device) if track_running_stats else None
        self.register_buffer("num_batches_tracked", counter)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Set the running mean to 0, the variance to 1 and the number of batches to 0."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Set the weights to 1, the biases to 0, and forget the running statistics."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input(self, input: Tensor) -> None:
        if input.ndim not in self._ranks:
            raise ValueError(f"{type(self).__name__}: expected input of shape {self._input}, got {tuple(input.shape)}")

    def extra_repr(self) -> str:
        """Return the settings."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(NormBase):
    statistics_frozen = False

    def freeze_statistics(self: B, frozen: bool = True) -> B:
        """Keep the running statistics as they are and use them, whatever `train` says; return the layer.

        Parameters
        ----------
        frozen : bool, default True
            False: the layer follows `train` again; it stays in evaluation mode until then.

        Raises
        ------
        RuntimeError
            If the layer tracks no running statistics.

        Examples
        --------
        >>> from dnncore import nn
        >>> layer = nn.BatchNorm2d(3).freeze_statistics()
        >>> layer.train().training
        False
        """
        if frozen and not self.track_running_stats:
            raise RuntimeError(
                f"{type(self).__name__}.freeze_statistics: the layer has no running statistics (track_running_stats)"
            )
        self.statistics_frozen = frozen
        return self.eval() if frozen else self

    def train(self: B, mode: bool = True) -> B:
        """Set training mode; frozen statistics keep the layer in evaluation mode."""
        return super().train(mode if not self.statistics_frozen or not isinstance(mode, bool) else False)

    def forward(self, input: Tensor, activation: str | None = None) -> Tensor:
        """Normalise (N, C, ...); `Sequential` lets the same kernel apply a ReLU after it."""
        self._check_input(input)
        own: Any = self._parameters
        try:
            weight, bias = own["weight"], own["bias"]
        except KeyError:  # computed from other parameters
            weight, bias = self.weight, self.bias
        mean, var = self.running_mean, self.running_var
        training = self.training or mean is None
        batches = self.num_batches_tracked if training else None
        return _core._batch_norm(input, mean, var, weight, bias, training, self.momentum, self.eps, batches, activation)


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L).

    Every channel is brought to mean 0 and variance 1, scaled and shifted: ``(x - mean) / sqrt(var + eps) * weight + bias``.
    In training mean and variance are the batch's, and the running ones move towards them; in evaluation mode those are used.

    Parameters
    ----------
    num_features : int
        C, the number of channels.
    eps : float, default 1e-5
        Added to the variance.
    momentum : float or None, default 0.1
        Share of the new value in the running statistics; None: they are the mean over all batches so far.
    affine : bool, default True
        Whether to scale and shift every channel by learned numbers.
    track_running_stats : bool, default True
        Whether to keep running statistics; without them the batch's own are used in evaluation too.
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
        If the input has another shape, or one value per channel in training.

    References
    ----------
    S. Ioffe, C. Szegedy: Batch normalization: accelerating deep network training by reducing internal covariate shift, ICML 2015.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> layer = nn.BatchNorm1d(3)
    >>> layer(dnn.randn(8, 3)).shape
    (8, 3)
    >>> layer.num_batches_tracked.item()
    1
    """

    _ranks = (2, 3)
    _input = "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (N, C, H, W).

    Every channel is brought to mean 0 and variance 1, scaled and shifted: ``(x - mean) / sqrt(var + eps) * weight + bias``.
    In training mean and variance are the batch's, and the running ones move towards them; in evaluation mode those are used.

    Parameters
    ----------
    num_features : int
        C, the number of channels.
    eps : float, default 1e-5
        Added to the variance.
    momentum : float or None, default 0.1
        Share of the new value in the running statistics; None: they are the mean over all batches so far.
    affine : bool, default True
        Whether to scale and shift every channel by learned numbers.
    track_running_stats : bool, default True
        Whether to keep running statistics; without them the batch's own are used in evaluation too.
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
        If the input has another shape, or one value per channel in training.

    References
    ----------
    S. Ioffe, C. Szegedy: Batch normalization: accelerating deep network training by reducing internal covariate shift, ICML 2015.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> layer = nn.BatchNorm2d(3)
    >>> layer(dnn.randn(8, 3, 5, 5)).shape
    (8, 3, 5, 5)
    >>> layer.num_batches_tracked.item()
    1
    """

    _ranks = (4,)
    _input = "(N, C, H, W)"


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of (N, C, D, H, W).

    Every channel is brought to mean 0 and variance 1, scaled and shifted: ``(x - mean) / sqrt(var + eps) * weight + bias``.
    In training mean and variance are the batch's, and the running ones move towards them; in evaluation mode those are used.

    Parameters
    ----------
    num_features : int
        C, the number of channels.
    eps : float, default 1e-5
        Added to the variance.
    momentum : float or None, default 0.1
        Share of the new value in the running statistics; None: they are the mean over all batches so far.
    affine : bool, default True
        Whether to scale and shift every channel by learned numbers.
    track_running_stats : bool, default True
        Whether to keep running statistics; without them the batch's own are used in evaluation too.
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
        If the input has another shape, or one value per channel in training.

    References
    ----------
    S. Ioffe, C. Szegedy: Batch normalization: accelerating deep network training by reducing internal covariate shift, ICML 2015.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> layer = nn.BatchNorm3d(3)
    >>> layer(dnn.randn(8, 3, 4, 5, 5)).shape
    (8, 3, 4, 5, 5)
    >>> layer.num_batches_tracked.item()
    1
    """

    _ranks = (5,)
    _input = "(N, C, D, H, W)"


class LazyNormBase(LazyModuleMixin, NormBase):
    """A normalisation layer whose number of channels is the size of dimension 1 of its first input."""

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: _core.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(0, eps, momentum, False, False, device, dtype)  # no memory yet: the shapes below take its place
        self.affine = affine
        self.track_running_stats = track_running_stats
        if affine:
            self.weight = UninitializedParameter(device=device, dtype=dtype)
            if bias:
                self.bias = UninitializedParameter(device=device, dtype=dtype)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(device=device, dtype=dtype)
            self.running_var = UninitializedBuffer(device=device, dtype=dtype)
            self.num_batches_tracked = _core.zeros((), dtype=_core.int64, device=device)

    def reset_parameters(self) -> None:
        """Set initial values; nothing to do before the first call."""
        if not self.has_uninitialized_params():
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor, *args: Any) -> None:
        """Take the number of channels of `input`."""
        own: Any = (self.weight, self.bias, self.running_mean, self.running_var)
        if not self.has_uninitialized_params():
            self.num_features = next((value.shape[0] for value in own if value is not None), input.shape[1])
            return
        self._check_input(input)
        self.num_features = input.shape[1]
        for value in own:
            if value is not None:
                value.materialize((self.num_features,))
        self.reset_parameters()


class LazyBatchNorm1d(LazyNormBase, BatchNorm1d):
    """A `BatchNorm1d` whose number of channels is the size of dimension 1 of its first input.

    Parameters
    ----------
    eps : float, default 1e-5
        Added to the variance.
    momentum : float or None, default 0.1
        Share of the new value in the running statistics; None: they are the mean over all batches so far.
    affine : bool, default True
        Whether to scale and shift every channel by learned numbers.
    track_running_stats : bool, default True
        Whether to keep running statistics; without them the batch's own are used in evaluation too.
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
    >>> layer = nn.LazyBatchNorm1d()
    >>> layer(dnn.randn(8, 3)).shape
    (8, 3)
    >>> layer.num_features
    3
    """

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(LazyNormBase, BatchNorm2d):
    """A `BatchNorm2d` whose number of channels is the size of dimension 1 of its first input.

    Parameters
    ----------
    eps : float, default 1e-5
        Added to the variance.
    momentum : float or None, default 0.1
        Share of the new value in the running statistics; None: they are the mean over all batches so far.
    affine : bool, default True
        Whether to scale and shift every channel by learned numbers.
    track_running_stats : bool, default True
        Whether to keep running statistics; without them the batch's own are used in evaluation too.
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
    >>> layer = nn.LazyBatchNorm2d()
    >>> layer(dnn.randn(8, 3, 5, 5)).shape
    (8, 3, 5, 5)
    >>> layer.num_features
    3
    """

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(LazyNormBase, BatchNorm3d):
    """A `BatchNorm3d` whose number of channels is the size of dimension 1 of its first input.

    Parameters
    ----------
    eps : float, default 1e-5
        Added to the variance.
    momentum : float or None, default 0.1
        Share of the new value in the running statistics; None: they are the mean over all batches so far.
    affine : bool, default True
        Whether to scale and shift every channel by learned numbers.
    track_running_stats : bool, default True
        Whether to keep running statistics; without them the batch's own are used in evaluation too.
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
    >>> layer = nn.LazyBatchNorm3d()
    >>> layer(dnn.randn(8, 3, 4, 5, 5)).shape
    (8, 3, 4, 5, 5)
    >>> layer.num_features
    3
    """

    cls_to_become = BatchNorm3d
