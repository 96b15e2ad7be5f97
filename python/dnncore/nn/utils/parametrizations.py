"""Ready-made parametrizations: weight_norm, spectral_norm and orthogonal."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dnncore import _core
from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.nn.module import Module
from dnncore.nn.utils import _rotations
from dnncore.nn.utils.parametrize import register_parametrization

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]

OrthogonalMap = Literal["matrix_exp", "cayley", "householder"]
_MAPS = ("matrix_exp", "cayley", "householder")
_EPSILON = {_core.float64: 2.0**-52, _core.float32: 2.0**-23, _core.float16: 2.0**-10, _core.bfloat16: 2.0**-7}


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


def _tensor_like(weight: Tensor, values: NDArray[np.float64]) -> Tensor:
    return _core.from_numpy(np.ascontiguousarray(values)).to(weight.device, weight.dtype)


def _with_positive_r(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Q of ``matrix = Q R`` with a positive diagonal of R; of a matrix that is orthogonal, itself but for rounding."""
    q, r = np.linalg.qr(matrix)
    return q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]  # type: ignore[no-any-return]


class _Orthogonal(Module):
    base: Tensor | None

    def __init__(self, weight: Tensor, orthogonal_map: OrthogonalMap, use_trivialization: bool = True) -> None:
        super().__init__()
        self.shape = tuple(weight.shape)
        self.orthogonal_map = orthogonal_map
        self.use_trivialization = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, weight: Tensor) -> Tensor:
        wide = weight.shape[-2] < weight.shape[-1]
        x = weight.mT if wide else weight
        q = self._from_tall(x)
        if self.use_trivialization and self.base is not None:
            q = self.base @ q
        return q.mT if wide else q

    def _from_tall(self, x: Tensor) -> Tensor:
        if self.orthogonal_map == "householder":
            # Signs: PyTorch cuts the fraction off, which makes a column 0 once weight decay has touched the diagonal.
            return _rotations.householder(x) * x.detach().diagonal(0, -2, -1).sign().unsqueeze(-2)
        turn = _rotations.matrix_exp if self.orthogonal_map == "matrix_exp" else _rotations.cayley
        return turn(_rotations.skew(x)).narrow(-1, 0, x.shape[-1])

    def right_inverse(self, value: Tensor) -> Tensor:
        if tuple(value.shape) != self.shape:
            raise ValueError(f"orthogonal: expected a tensor of shape {self.shape}, got {tuple(value.shape)}")
        wide = value.shape[-2] < value.shape[-1]
        tall = (value.mT if wide else value).detach().double().cpu().numpy()
        if self.use_trivialization:
            self.base = _tensor_like(value, self._whole(tall, 10 * tall.shape[-2] * _EPSILON[value.dtype]))
            return -_core.eye(*self.shape[-2:], dtype=value.dtype, device=value.device).expand(self.shape).clone()
        if self.orthogonal_map != "householder":
            raise NotImplementedError(
                f"orthogonal: {self.orthogonal_map!r} without use_trivialization cannot be set to a value; "
                "use 'householder' or use_trivialization=True"
            )
        reflections = self._reflections(tall)
        return _tensor_like(value, np.swapaxes(reflections, -1, -2) if wide else reflections)

    @staticmethod
    def _whole(tall: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
        """Return the square orthogonal matrix that begins with `tall`, which is orthogonalised where it must be."""
        n, k = tall.shape[-2:]
        if n != k:
            more = _core.empty((*tall.shape[:-1], n - k), dtype=_core.float64, device="cpu").normal_().numpy()
            return _with_positive_r(np.concatenate([tall, more], -1))
        is_orthogonal = np.allclose(np.swapaxes(tall, -1, -2) @ tall, np.eye(n), atol=tolerance)
        return tall.copy() if is_orthogonal else _with_positive_r(tall)

    @staticmethod
    def _reflections(tall: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the vectors of the reflections whose product is Q of ``tall = Q R``, with the signs of R on the diagonal."""
        raw, tau = np.linalg.qr(tall, mode="raw")
        found = np.swapaxes(raw, -1, -2).copy()
        places = np.arange(found.shape[-1])
        signs = np.sign(found[..., places, places])
        found[..., places, places] = np.where(tau == 0, -signs, signs)  # LAPACK leaves a reflection out: here it counts
        return np.asarray(found, np.float64)


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: OrthogonalMap | None = None, *, use_trivialization: bool = True
) -> Module:
    r"""Keep a weight orthogonal: with orthonormal columns, or orthonormal rows where it has more columns than rows.

    With a matrix X that is trained, A = L - L^T of its part L below the diagonal, and the first columns of::

        matrix_exp      Q = exp(A)
        cayley          Q = (I + A/2) (I - A/2)^-1
        householder     Q = H_1 ... H_k diag(X),  H_i = I - 2 v v^T / v^T v,  v = column i of L, with 1 on the diagonal

    Parameters
    ----------
    module : Module
        The owner of the weight.
    name : str, default "weight"
        Name of the parameter, of shape (..., m, n): a matrix or a batch of them.
    orthogonal_map : {"matrix_exp", "cayley", "householder"}, optional
        How the weight is computed; "matrix_exp" for square matrices and "householder" for others when not given.
    use_trivialization : bool, default True
        Whether the weight is B Q, with an orthogonal B that is kept as ``module.parametrizations.<name>[0].base``, so that X
        starts where its gradients are best. The value of the weight becomes B, once it is orthogonal.

    Returns
    -------
    Module
        `module`, with ``parametrizations.<name>.original`` (X) in the place of the weight. The weight keeps its value where
        that is orthogonal already and is orthogonalised where not, except for "matrix_exp" and "cayley" without
        `use_trivialization`: these start where X leads, and the weight cannot be set.

    Raises
    ------
    ValueError
        If there is no such parameter, it has fewer than 2 dimensions, or the map is unknown.

    References
    ----------
    M. Lezcano-Casado: Trivializations for Gradient-Based Optimization on Manifolds, NeurIPS 2019.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> layer = nn.utils.parametrizations.orthogonal(nn.Linear(20, 40))
    >>> (layer.weight.T @ layer.weight).allclose(dnn.eye(20), atol=1e-5)
    True
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"orthogonal: expected a parameter or buffer {name!r}, got {type(weight).__name__}")
    if weight.ndim < 2:
        raise ValueError(f"orthogonal: expected a matrix or a batch of matrices, got shape {tuple(weight.shape)}")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    if orthogonal_map not in _MAPS:
        raise ValueError(f"orthogonal: expected orthogonal_map of {', '.join(_MAPS)}, got {orthogonal_map!r}")
    # unsafe: a weight that has parametrizations already goes through this one; it is not set to its value.
    return register_parametrization(module, name, _Orthogonal(weight, orthogonal_map, use_trivialization), unsafe=True)
