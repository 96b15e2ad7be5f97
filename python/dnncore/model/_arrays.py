"""Arrays of any library as tensors of the dtype a network works in; one tensor, a tuple or a dict of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from dnncore import _core
from dnncore._core import Tensor
from dnncore.nn.module import Module

Nest: TypeAlias = Tensor | tuple[Tensor, ...] | dict[str, Tensor]
Say: TypeAlias = Callable[[str], object]


def modules_of(module: Module) -> list[Module]:
    """Return this module and all below it; as ``module.modules()``, in a fifth of the time, one with two places twice."""
    found, waiting = [], [module]
    while waiting:
        each = waiting.pop()
        found.append(each)
        if each._modules:
            waiting += [child for child in reversed(each._modules.values()) if child is not None]
    return found


def dtype_of(module: Module) -> _core.dtype:
    """Return the dtype of the first floating parameter; float32 where there is none."""
    for each in modules_of(module):
        for parameter in each._parameters.values():
            if parameter is not None and parameter.is_floating_point():
                return parameter.dtype
    return _core.float32


def whole(op: str, name: str, value: Any, least: int) -> int:
    """Return a whole number, of Python or NumPy, as an int."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{op}: expected {name} to be a whole number of at least {least}, got {value!r}")
    return int(value)


def is_array(value: object) -> bool:
    """Whether `value` is data in memory: an array, a tuple or dict of arrays, a list of numbers."""
    if isinstance(value, (tuple, dict)):
        return all(is_array(item) for item in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, (Tensor, np.ndarray, list)) or hasattr(value, "__dlpack__") or hasattr(value, "__array__")


def as_tensor(op: str, name: str, value: Any) -> Tensor:
    """Return an array of any library as a tensor, sharing its memory where that is possible."""
    if isinstance(value, list) and any(is_array(item) and not isinstance(item, list) for item in value):
        raise TypeError(f"{op}: {name} is a list of arrays; pass a tuple for several inputs or outputs, or stack them into one")
    if hasattr(value, "__array__") and not hasattr(value, "__dlpack__"):  # a table of pandas, for one
        value = np.asarray(value)
    try:
        found = value if isinstance(value, Tensor) else _core.as_tensor(value)
    except (TypeError, ValueError, BufferError) as error:
        kind = TypeError if isinstance(error, BufferError) else type(error)
        names = name == "y" and getattr(value, "dtype", None) is not None and np.asarray(value).dtype.kind in "OSU"
        hint = "; names of classes become numbers by numpy.unique(y, return_inverse=True)[1]" if names else ""
        raise kind(f"{op}: {name} cannot become a tensor: {error}{hint}") from error
    return found.detach().contiguous()


def as_nest(op: str, name: str, value: Any) -> Nest:
    """Return `value` with each array as a tensor."""
    if isinstance(value, tuple):
        return tuple(as_tensor(op, f"{name}[{i}]", item) for i, item in enumerate(value))
    if isinstance(value, Mapping):
        return {key: as_tensor(op, f"{name}[{key!r}]", item) for key, item in value.items()}
    return as_tensor(op, name, value)


def tensors_of(nest: Nest) -> list[Tensor]:
    """Return the tensors of a nest in order."""
    if isinstance(nest, Tensor):
        return [nest]
    return [*(nest.values() if isinstance(nest, dict) else nest)]


def mapped(nest: Nest, change: Callable[[Tensor], Tensor]) -> Nest:
    """Return the nest with every tensor changed."""
    if isinstance(nest, Tensor):
        return change(nest)
    if isinstance(nest, dict):
        return {key: change(value) for key, value in nest.items()}
    return tuple(change(value) for value in nest)


def form_of(nest: Nest) -> Any:
    """Return what distinguishes nests apart from their tensors: None, a number of items, or keys."""
    if isinstance(nest, Tensor):
        return None
    return tuple(nest) if isinstance(nest, dict) else len(nest)


def called(module: Module, form: Any, tensors: Sequence[Tensor]) -> Any:
    """Call `module` with tensors that come from a nest of that form: a tuple as arguments, a dict by keyword."""
    if isinstance(form, tuple):
        return module(**dict(zip(form, tensors, strict=True)))
    return module(*tensors)


def count_rows(op: str, **nests: Nest | None) -> int:
    """Return the number of samples, which all tensors must have as their first size."""
    sizes = {}
    for name, nest in nests.items():
        for i, tensor in enumerate([] if nest is None else tensors_of(nest)):
            place = name if isinstance(nest, Tensor) else f"{name}[{i}]"
            if tensor.ndim == 0:
                raise ValueError(f"{op}: expected {place} of shape (N, ...), got a single number")
            sizes[place] = int(tensor.shape[0])
    if len(set(sizes.values())) != 1:
        raise ValueError(f"{op}: expected one number of samples, got {', '.join(f'{n} in {name}' for name, n in sizes.items())}")
    rows = next(iter(sizes.values()))
    if rows == 0:
        raise ValueError(f"{op}: expected at least one sample, got none")
    return rows


class Casts:
    """Brings inputs to the dtype of the network, and says so once."""

    def __init__(self, op: str, module: Module, integers: bool, say: Say) -> None:
        self._op, self._dtype, self.integers, self._say = op, dtype_of(module), integers, say
        self._told: set[str] = set()

    def __call__(self, name: str, value: Any) -> Nest:
        """Return inputs as tensors; floating ones in the network's dtype, whole numbers too where it takes no others."""
        return mapped(as_nest(self._op, name, value), lambda x: self._cast(name, x))

    def _cast(self, name: str, x: Tensor) -> Tensor:
        if x.dtype == self._dtype or not (x.is_floating_point() or self.integers):
            return x
        if name not in self._told:
            self._told.add(name)
            self._say(f"{self._op}: {name} is {_short(x.dtype)}; cast once to the network's {_short(self._dtype)}")
        return x.to(self._dtype)


def _short(dtype: _core.dtype) -> str:
    return str(dtype).rpartition(".")[2]


def on_cpu(outputs: Any) -> Any:
    """Return outputs with each tensor on the CPU."""
    if isinstance(outputs, Tensor):
        return outputs.cpu()
    if isinstance(outputs, dict):
        return {key: on_cpu(value) for key, value in outputs.items()}
    moved = [on_cpu(value) for value in outputs]
    return type(outputs)(*moved) if hasattr(outputs, "_fields") else type(outputs)(moved)


def joined(pieces: Iterable[Any]) -> Any:
    """Return the outputs of consecutive batches as one."""
    pieces = list(pieces)
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    if isinstance(first, Tensor):
        return _core.cat(pieces)
    if isinstance(first, dict):
        return {key: joined(piece[key] for piece in pieces) for key in first}
    columns = [joined(column) for column in zip(*pieces, strict=True)]
    return type(first)(*columns) if hasattr(first, "_fields") else type(first)(columns)
