"""Ready-made parametrizations: weight_norm and spectral_norm."""

from __future__ import annotations

from typing import Any

from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.nn.module import Module
from dnncore.nn.utils.parametrize import register_parametrization

__all__ = ["spectral_norm", "weight_norm"]


def norm_except(v: Tensor, dim: int) -> Tensor:
    """Return the 2-norm of every slice along `dim`, the other dimensions kept as 1; of the whole, 0-d, when `dim` is -1."""
    if dim == -1:
        return v.square().sum().sqrt()
    return v.square().sum([d for d in range(v.ndim) if d != dim % v.ndim], keepdim=True).sqrt()


def weight_from(g: Tensor, v: Tensor, dim: int) -> Tensor:
    """Return ``g v / |v|``."""
    return v * (g / norm_except(v, dim))


def normalized(x: Tensor, eps: float) -> Tensor:
    """Return a vector divided by its 2-norm, or by `eps` where that is larger."""
    return x / x.square().sum().sqrt().clamp(min=eps)


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_from(weight_g, weight_v, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    r"""Train a weight as length and direction: ``w = g v / |v|``.

    Parameters
    ----------
    module : Module
        The owner of the weight.
    name : str, default "weight"
        Name of the parameter.
    dim : int or None, default 0
        The norm is that of each slice along this dimension, such as the weights of one output; of the whole when None.

    Returns
    -------
    Module
        `module`, with ``parametrizations.<name>.original0`` (g) and ``original1`` (v) in the place of the weight.

    Raises
    ------
    ValueError
        If there is no such parameter.

    References
    ----------
    T. Salimans, D. Kingma: Weight Normalization, NIPS 2016.

    Examples
    --------
    >>> from dnncore import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(20, 40))
    >>> layer.parametrizations.weight.original0.shape, layer.parametrizations.weight.original1.shape
    ((40, 1), (40, 20))
    """

    def take_old_names(owner: Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
        """Accept the names of nn.utils.weight_norm."""
        for number, letter in enumerate("gv"):
            if f"{prefix}{name}_{letter}" in state_dict:
                state_dict[f"{prefix}parametrizations.{name}.original{number}"] = state_dict.pop(f"{prefix}{name}_{letter}")

    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)
    module.register_load_state_dict_pre_hook(take_old_names)
    return module


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """Return a weight as (outputs, rest), where `dim` counts the outputs."""
    if dim != 0:
        weight = weight.permute([dim, *(d for d in range(weight.ndim) if d != dim)])
    return weight.flatten(1)


def power_method(matrix: Tensor, u: Tensor, v: Tensor, iterations: int, eps: float) -> None:
    """Bring `u` and `v` closer to the first singular vectors of a matrix, in place."""
    with no_grad():
        for _ in range(iterations):
            u.copy_(normalized(matrix.matmul(v), eps))
            v.copy_(normalized(matrix.T.matmul(u), eps))


def checked_dim(weight: Any, name: str, dim: int | None, iterations: int) -> int:
    """Return which dimension of a weight counts its outputs."""
    if not isinstance(weight, Tensor):
        raise ValueError(f"spectral_norm: expected a parameter or buffer {name!r}, got {type(weight).__name__}")
    if iterations <= 0:
        raise ValueError(f"spectral_norm: expected n_power_iterations of at least 1, got {iterations}")
    dim = 0 if dim is None else dim
    if not -weight.ndim <= dim < weight.ndim:
        raise IndexError(f"spectral_norm: expected dim from {-weight.ndim} to {weight.ndim - 1}, got {dim}")
    return dim % weight.ndim


class _SpectralNorm(Module):
    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps
        self.n_power_iterations = n_power_iterations
        if weight.ndim > 1:
            matrix = as_matrix(weight.detach(), dim)
            for name, size in (("_u", matrix.shape[0]), ("_v", matrix.shape[1])):
                self.register_buffer(name, normalized(matrix.new_empty(size).normal_(), eps))
            power_method(matrix, self._u, self._v, 15, eps)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return normalized(weight, self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            power_method(matrix.detach(), self._u, self._v, self.n_power_iterations, self.eps)
        # Copies: a second forward pass, before the backward pass of this one, moves the vectors on.
        u, v = self._u.clone(), self._v.clone()
        return weight / u.dot(matrix.matmul(v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    r"""Divide a weight by its largest singular value, which the power method follows during training.

    Parameters
    ----------
    module : Module
        The owner of the weight.
    name : str, default "weight"
        Name of the parameter.
    n_power_iterations : int, default 1
        Steps of the power method each time the weight is read in training mode.
    eps : float, default 1e-12
        Least norm to divide by.
    dim : int, optional
        The dimension that counts the outputs; the first when not given.

    Returns
    -------
    Module
        `module`, with ``parametrizations.<name>.original`` in the place of the weight.

    Raises
    ------
    ValueError
        If there is no such parameter, or `n_power_iterations` is below 1.
    IndexError
        If `dim` is out of range.

    References
    ----------
    T. Miyato, T. Kataoka, M. Koyama, Y. Yoshida: Spectral Normalization for Generative Adversarial Networks, ICLR 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from dnncore import nn
    >>> layer = nn.utils.parametrizations.spectral_norm(nn.Linear(2, 3), n_power_iterations=500)
    >>> bool(abs(np.linalg.norm(layer.weight.detach().numpy(), 2) - 1) < 1e-3)
    True
    """
    weight = getattr(module, name, None)
    dim = checked_dim(weight, name, dim, n_power_iterations)
    return register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))  # type: ignore[arg-type]
