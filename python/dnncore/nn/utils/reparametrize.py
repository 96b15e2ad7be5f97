"""weight_norm and spectral_norm in their first form: a hook sets the weight before each forward pass.

New code is better served by `dnncore.nn.utils.parametrizations`; these exist for the names in older state dicts.
"""

from __future__ import annotations

from typing import Any, TypeVar

from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.nn.module import Module
from dnncore.nn.parameter import Parameter, is_lazy, replace
from dnncore.nn.utils.parametrizations import as_matrix, checked_dim, norm_except, normalized, power_method, weight_from

M = TypeVar("M", bound=Module)


class _WeightHook:
    """Computes one parameter of a module before each forward pass."""

    def __init__(self, name: str, dim: int) -> None:
        self.name = name
        self.dim = dim

    def __call__(self, module: Module, args: object) -> None:
        setattr(module, self.name, self.compute(module))

    def compute(self, module: Any) -> Tensor:
        raise NotImplementedError

    def take_away(self, module: Module, names: tuple[str, ...]) -> None:
        """Make the weight a parameter again, with its present value."""
        with no_grad():
            weight = self.compute(module)
        for name in (self.name, *names):
            old = getattr(module, name)
            delattr(module, name)
            if isinstance(old, Parameter):
                replace(old)
        module.register_parameter(self.name, Parameter(weight.detach()))


def _original(module: Module, kind: type[_WeightHook], op: str, name: str) -> Parameter:
    if _number(module, kind, name) is not None:
        raise RuntimeError(f"{op}: {name!r} of {type(module).__name__} has it already")
    weight = module._parameters.get(name)
    if weight is None or is_lazy(weight):
        raise ValueError(f"{op}: expected a parameter {name!r} with a shape in {type(module).__name__}")
    return weight


def _number(module: Module, kind: type[_WeightHook], name: str) -> int | None:
    for number, hook in module._forward_pre_hooks.items():
        if isinstance(hook.function, kind) and hook.function.name == name:
            return number
    return None


def _removed(module: Module, kind: type[_WeightHook], op: str, name: str) -> Any:
    number = _number(module, kind, name)
    if number is None:
        raise ValueError(f"{op}: {name!r} of {type(module).__name__} does not have it")
    return module._forward_pre_hooks.pop(number).function


class _WeightNormHook(_WeightHook):
    def compute(self, module: Any) -> Tensor:
        return weight_from(getattr(module, f"{self.name}_g"), getattr(module, f"{self.name}_v"), self.dim)


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Train a weight as length and direction, ``w = g v / |v|``, in the parameters ``<name>_g`` and ``<name>_v``.

    Parameters
    ----------
    module : Module
        The owner of the weight.
    name : str, default "weight"
        Name of the parameter.
    dim : int or None, default 0
        The norm is that of each slice along this dimension; of the whole when None.

    Returns
    -------
    Module
        `module`. An optimizer is made after this call.

    Raises
    ------
    ValueError
        If there is no such parameter.
    RuntimeError
        If it has this form already.

    References
    ----------
    T. Salimans, D. Kingma: Weight Normalization, NIPS 2016.

    Examples
    --------
    >>> from dnncore import nn
    >>> layer = nn.utils.weight_norm(nn.Linear(20, 40))
    >>> layer.weight_g.shape, layer.weight_v.shape
    ((40, 1), (40, 20))
    """
    weight = _original(module, _WeightNormHook, "weight_norm", name)
    hook = _WeightNormHook(name, -1 if dim is None else dim)
    delattr(module, name)
    replace(weight)
    module.register_parameter(f"{name}_g", Parameter(norm_except(weight.detach(), hook.dim)))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    hook(module, ())
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Make a weight with `weight_norm` an ordinary parameter of its present value.

    Examples
    --------
    >>> from dnncore import nn
    >>> list(nn.utils.remove_weight_norm(nn.utils.weight_norm(nn.Linear(2, 2))).state_dict())
    ['bias', 'weight']
    """
    _removed(module, _WeightNormHook, "remove_weight_norm", name).take_away(module, (f"{name}_g", f"{name}_v"))
    return module


class _SpectralNormHook(_WeightHook):
    def __init__(self, name: str, dim: int, iterations: int, eps: float) -> None:
        super().__init__(name, dim)
        self.iterations = iterations
        self.eps = eps
        self.moving = True

    def __call__(self, module: Module, args: object) -> None:
        self.moving = module.training
        super().__call__(module, args)

    def compute(self, module: Any) -> Tensor:
        weight: Tensor = getattr(module, f"{self.name}_orig")
        u, v = getattr(module, f"{self.name}_u"), getattr(module, f"{self.name}_v")
        matrix = as_matrix(weight, self.dim)
        if self.moving:
            power_method(matrix.detach().T, v, u, self.iterations, self.eps)
        sigma: Tensor = u.clone().dot(matrix.matmul(v.clone()))
        return weight / sigma

    def take_away(self, module: Module, names: tuple[str, ...]) -> None:
        self.moving = False
        super().take_away(module, names)


def spectral_norm(module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None) -> M:
    """Divide a weight, now the parameter ``<name>_orig``, by its largest singular value before each forward pass.

    Parameters
    ----------
    module : Module
        The owner of the weight.
    name : str, default "weight"
        Name of the parameter.
    n_power_iterations : int, default 1
        Steps of the power method before each forward pass in training mode.
    eps : float, default 1e-12
        Least norm to divide by.
    dim : int, optional
        The dimension that counts the outputs; the first when not given.

    Returns
    -------
    Module
        `module`.

    Raises
    ------
    ValueError
        If there is no such parameter, or `n_power_iterations` is below 1.
    RuntimeError
        If it has this form already.

    References
    ----------
    T. Miyato, T. Kataoka, M. Koyama, Y. Yoshida: Spectral Normalization for Generative Adversarial Networks, ICLR 2018.

    Examples
    --------
    >>> from dnncore import nn
    >>> sorted(nn.utils.spectral_norm(nn.Linear(20, 40)).state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    weight = _original(module, _SpectralNormHook, "spectral_norm", name)
    hook = _SpectralNormHook(name, checked_dim(weight, name, dim, n_power_iterations), n_power_iterations, eps)
    matrix = as_matrix(weight.detach(), hook.dim)
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)
    setattr(module, name, weight.detach())
    for letter, size in zip("uv", matrix.shape, strict=True):
        module.register_buffer(f"{name}_{letter}", normalized(matrix.new_empty(size).normal_(), eps))
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Make a weight with `spectral_norm` an ordinary parameter of its present value.

    Examples
    --------
    >>> from dnncore import nn
    >>> list(nn.utils.remove_spectral_norm(nn.utils.spectral_norm(nn.Linear(2, 2))).state_dict())
    ['bias', 'weight']
    """
    names = tuple(f"{name}_{suffix}" for suffix in ("orig", "u", "v"))
    _removed(module, _SpectralNormHook, "remove_spectral_norm", name).take_away(module, names)
    return module
