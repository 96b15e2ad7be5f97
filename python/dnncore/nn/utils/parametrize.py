"""Parametrizations: a parameter that is computed from others whenever it is read."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.nn.container import ModuleDict, ModuleList
from dnncore.nn.module import Module
from dnncore.nn.parameter import Parameter, replace

__all__ = ["ParametrizationList", "cached", "is_parametrized", "register_parametrization", "remove_parametrizations"]

_cache_depth = 0
_cache: dict[tuple[int, str], Tensor] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Compute each parametrized tensor once within the ``with`` block, instead of whenever it is read.

    Examples
    --------
    >>> from dnncore import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    >>> with nn.utils.parametrize.cached():
    ...     layer.weight is layer.weight
    True
    """
    global _cache_depth
    _cache_depth += 1
    try:
        yield
    finally:
        _cache_depth -= 1
        if not _cache_depth:
            _cache.clear()


def _hold(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _check_same(what: str, got: Any, expected: Tensor) -> None:
    if not isinstance(got, Tensor):
        raise ValueError(f"parametrize: expected {what} to be a tensor, got {type(got).__name__}")
    if got.dtype != expected.dtype or tuple(got.shape) != tuple(expected.shape):
        raise ValueError(
            f"parametrize: expected {what} of shape {tuple(expected.shape)} and dtype {expected.dtype}, got "
            f"{tuple(got.shape)} and {got.dtype}; unsafe=True allows other ones"
        )


def _inverted(parametrization: Module, value: Any) -> Any:
    """Return what `parametrization` makes `value` from; without a right_inverse, `value` itself."""
    try:
        return parametrization.right_inverse(value) if hasattr(parametrization, "right_inverse") else value
    except NotImplementedError:
        return value


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor in their order, and what it is computed from; `register_parametrization` makes it.

    Parameters
    ----------
    modules : sequence of Module
        The parametrizations.
    original : Tensor
        The parameter or buffer; it stays, as ``original``, unless ``right_inverse`` gives several: ``original0``, ...
    unsafe : bool, default False
        Whether shape and dtype may change.

    Examples
    --------
    >>> from dnncore import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    >>> [name for name, _ in layer.parametrizations.weight.named_parameters()]
    ['original0', 'original1']
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList: expected at least one module")
        super().__init__(modules)
        self.unsafe = unsafe
        with no_grad():
            new: Any = original
            for module in reversed(list(self)):
                new = _inverted(module, new)
            self.is_tensor = isinstance(new, Tensor)
            if not self.is_tensor and not (isinstance(new, (tuple, list)) and all(isinstance(part, Tensor) for part in new)):
                raise ValueError(f"parametrize: expected right_inverse to return a tensor or several, got {type(new).__name__}")
            if not unsafe:  # before the original is written
                _check_same("the parametrized tensor", self._compute([new] if self.is_tensor else new), original)
        self.ntensors = 1
        if self.is_tensor:
            _hold(self, "original", _updated(original, new))
        else:
            self._hold_several(new, original)

    def _hold_several(self, new: Sequence[Tensor], original: Tensor) -> None:
        self.ntensors = len(new)
        for i, tensor in enumerate(new):
            own = tensor.detach().clone()
            floating = own.is_floating_point()
            if isinstance(original, Parameter):
                own = Parameter(own, original.requires_grad and floating)
            _hold(self, f"original{i}", own)
        if isinstance(original, Parameter):
            replace(original)

    def originals(self) -> list[Tensor]:
        """Return what the tensor is computed from."""
        names = ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]
        return [getattr(self, name) for name in names]

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the parametrized tensor becomes `value`; every parametrization needs a ``right_inverse``."""
        with no_grad():
            new: Any = value
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"parametrize: {type(module).__name__} has no right_inverse, so its tensor cannot be set")
                new = module.right_inverse(new)
            given = [new] if isinstance(new, Tensor) else list(new)
            originals = self.originals()
            if len(given) != len(originals):
                raise ValueError(f"parametrize: expected right_inverse to return {len(originals)} tensors, got {len(given)}")
            for tensor, original in zip(given, originals, strict=True):
                _check_same("what right_inverse returns", tensor, original)
            for tensor, original in zip(given, originals, strict=True):
                original.copy_(tensor)

    def forward(self) -> Tensor:
        """Compute the tensor."""
        return self._compute(self.originals())

    def _compute(self, originals: Sequence[Tensor]) -> Tensor:
        first, *others = list(self)
        x: Tensor = first(*originals)
        for module in others:
            x = module(x)
        return x


def _updated(original: Tensor, new: Tensor) -> Tensor:
    """`original` with the values of `new`: the object itself, which an optimizer knows, where the shape allows."""
    if new is original:
        return original
    if new.dtype != original.dtype:
        raise ValueError(f"parametrize: expected right_inverse to return {original.dtype}, got {new.dtype}")
    if tuple(new.shape) == tuple(original.shape):
        with no_grad():
            original.copy_(new)
        return original
    if not isinstance(original, Parameter):
        return new.detach().clone()
    replace(original)
    return Parameter(new.detach().clone(), original.requires_grad)


def _property(name: str) -> property:
    def read(self: Any) -> Tensor:
        if not _cache_depth:
            return self.parametrizations[name]()  # type: ignore[no-any-return]
        key = id(self), name
        if key not in _cache:
            _cache[key] = self.parametrizations[name]()
        return _cache[key]

    def write(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(read, write)


def _refuse_pickle(self: Any) -> Any:
    raise RuntimeError(f"{type(self).__name__}: a parametrized module cannot be pickled; save its state_dict")


def _deep_copy(self: Any, memo: dict[int, Any]) -> Any:
    replica = self.__new__(type(self))
    memo[id(self)] = replica
    replica.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return replica


def _set_class(module: Module) -> None:
    """Give the object a class with a property per parametrized tensor; a class is never changed, since copies share it."""
    plain: type[Module] = getattr(type(module), "_plain_class", type(module))
    names = list(getattr(module, "parametrizations", ()))
    if not names:
        module.__class__ = plain
        return
    members: dict[str, Any] = {name: _property(name) for name in names}
    members |= {"_plain_class": plain, "__getstate__": _refuse_pickle, "__module__": plain.__module__}
    if not hasattr(plain, "__deepcopy__"):
        members["__deepcopy__"] = _deep_copy
    module.__class__ = type(f"Parametrized{plain.__name__}", (plain,), members)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module has a parametrized tensor of this name, or any.

    Examples
    --------
    >>> from dnncore import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    >>> nn.utils.parametrize.is_parametrized(layer), nn.utils.parametrize.is_parametrized(layer, "bias")
    (True, False)
    """
    found = module._modules.get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def register_parametrization(module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False) -> Module:
    """Compute a parameter or buffer of a module by `parametrization` whenever it is read.

    ``module.weight`` is then ``parametrization(original)``, and gradients reach the original, which is trained, in
    ``module.parametrizations.weight.original``. Several parametrizations of one tensor run one after the other. If each has a
    method ``right_inverse``, the tensor can be set: the originals become what ``right_inverse`` returns, which may be several
    tensors (``original0``, ``original1``, ...) for the first one.

    Parameters
    ----------
    module : Module
        The owner of the tensor; its class becomes one of its own.
    tensor_name : str
        Name of the parameter or buffer.
    parametrization : Module
        Computes the tensor.
    unsafe : bool, default False
        Whether shape and dtype may change.

    Returns
    -------
    Module
        `module`.

    Raises
    ------
    ValueError
        If there is no such tensor, or shape or dtype change.

    Notes
    -----
    Where there are several originals, an optimizer is made after this call.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> class Symmetric(nn.Module):
    ...     def forward(self, x):
    ...         return (x + x.T) / 2
    >>> layer = nn.utils.parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
    >>> layer.weight.equal(layer.weight.T)
    True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        present: Any = module.parametrizations[tensor_name]
        if not unsafe:
            value = getattr(module, tensor_name)
            result = parametrization(value)
            _check_same("the parametrized tensor", result, value)
            _check_same("what right_inverse returns", _inverted(parametrization, result), value)
        present.append(parametrization)
        present.unsafe = present.unsafe or unsafe
        return module
    original = module._parameters.get(tensor_name)
    tensor = module._buffers.get(tensor_name) if original is None else original
    if tensor is None:
        raise ValueError(f"register_parametrization: {type(module).__name__} has no parameter or buffer {tensor_name!r}")
    parametrizations = ParametrizationList([parametrization], tensor, unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = parametrizations
    _set_class(module)
    return module


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make a parametrized tensor an ordinary one again.

    Parameters
    ----------
    module : Module
        The owner of the tensor.
    tensor_name : str
        Name of the tensor.
    leave_parametrized : bool, default True
        Whether it keeps its present value, or takes that of its original, which must be one tensor.

    Returns
    -------
    Module
        `module`.

    Raises
    ------
    ValueError
        If the tensor is not parametrized, or has several originals and `leave_parametrized` is False.

    Examples
    --------
    >>> from dnncore import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    >>> list(nn.utils.parametrize.remove_parametrizations(layer, "weight").state_dict())
    ['bias', 'weight']
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"remove_parametrizations: {type(module).__name__} has no parametrized tensor {tensor_name!r}")
    parametrizations: Any = module.parametrizations[tensor_name]
    originals = parametrizations.originals()
    if not leave_parametrized and len(originals) > 1:
        raise ValueError(
            f"remove_parametrizations: {tensor_name!r} is computed from {len(originals)} tensors; use leave_parametrized=True"
        )
    result = originals[0]
    if leave_parametrized:
        with no_grad():
            value = getattr(module, tensor_name)
        result = _updated(result, value) if parametrizations.is_tensor else _merged(originals, value)
    del module.parametrizations[tensor_name]
    if not len(module.parametrizations):
        del module.parametrizations
    _set_class(module)
    _hold(module, tensor_name, result)
    return module


def _merged(originals: list[Tensor], value: Tensor) -> Tensor:
    """One tensor in the place of several."""
    parameters = [original for original in originals if isinstance(original, Parameter)]
    for parameter in parameters:
        replace(parameter)
    own = value.detach().clone()
    return Parameter(own, any(parameter.requires_grad for parameter in parameters)) if parameters else own
