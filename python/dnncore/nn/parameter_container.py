"""Containers of parameters: ParameterList and ParameterDict."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, overload

from dnncore._core import Tensor
from dnncore.nn.container import named_pairs
from dnncore.nn.module import Module
from dnncore.nn.parameter import Parameter

L = TypeVar("L", bound="ParameterList")
D = TypeVar("D", bound="ParameterDict")


def _as_value(value: Any) -> Any:
    return Parameter(value) if isinstance(value, Tensor) and not isinstance(value, Parameter) else value


def _line(name: object, value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"({name}): Object of type: {type(value).__name__}"
    kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
    return f"({name}): {kind} containing: [{value.dtype} of size {'x'.join(map(str, value.shape))}]"


class ParameterList(Module):
    """A list of parameters that belong to the owner; tensors become parameters, other values are only kept.

    Parameters
    ----------
    values : iterable, optional
        The values in order.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> steps = nn.ParameterList([dnn.ones(2), dnn.zeros(3)])
    >>> [tuple(step.shape) for step in steps]
    [(2,), (3,)]
    >>> list(steps.state_dict())
    ['0', '1']
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _key(self, index: Any) -> str:
        place = operator.index(index)
        if not -self._size <= place < self._size:
            raise IndexError(f"ParameterList: index {place} is out of range for {self._size} values")
        return str(place % self._size)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self: L, index: slice) -> L: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)([self[i] for i in range(self._size)[index]])
        return getattr(self, self._key(index))

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, self._key(index), _as_value(value))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self._size))

    def __iadd__(self: L, values: Iterable[Any]) -> L:
        return self.extend(values)

    def append(self: L, value: Any) -> L:
        """Add a value at the end; return the list."""
        setattr(self, str(self._size), _as_value(value))
        self._size += 1
        return self

    def extend(self: L, values: Iterable[Any]) -> L:
        """Add values at the end; return the list."""
        if isinstance(values, Tensor) or not isinstance(values, Iterable):
            raise TypeError(f"ParameterList: expected an iterable of values, got {type(values).__name__}")
        for value in list(values):
            self.append(value)
        return self

    def extra_repr(self) -> str:
        """Return a line per value."""
        return "\n".join(_line(i, value) for i, value in enumerate(self))


class ParameterDict(Module):
    """Parameters by name that belong to the owner; tensors become parameters, other values are only kept.

    Parameters
    ----------
    parameters : mapping or iterable of pairs, optional
        The values by name; their order is kept.

    Notes
    -----
    PyTorch sorts the names of a plain dict, and only of that: there ``list(ParameterDict({"b": ..., "a": ...}))`` is
    ``["a", "b"]``. States of modules go by name and fit; for an optimizer's state, which goes by place, give both the pairs in
    one order, as ``sorted(values.items())``.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> scales = nn.ParameterDict({"left": dnn.ones(2), "right": dnn.zeros(2)})
    >>> scales["left"].requires_grad
    True
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"ParameterDict: expected names of type str, got {type(key).__name__}")
        if key not in self._keys and hasattr(self, key):
            raise KeyError(f"ParameterDict: attribute {key!r} exists already")
        setattr(self, key, _as_value(value))
        self._keys[key] = None

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self._keys))

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __or__(self: D, other: Any) -> D:
        return self.copy()._updated(other)

    def __ror__(self: D, other: Any) -> D:
        return type(self)(other)._updated(self)

    def __ior__(self: D, other: Any) -> D:
        return self._updated(other)

    def _updated(self: D, other: Any) -> D:
        self.update(other)
        return self

    def copy(self: D) -> D:
        """Return a container of the same values."""
        return type(self)(self.items())

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value under `key`, after setting it if it is not there."""
        if key not in self._keys:
            self[key] = default
        return self[key]

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value under `key`, or `default`."""
        return self[key] if key in self._keys else default

    def clear(self) -> None:
        """Take all values out."""
        for key in list(self._keys):
            del self[key]

    def pop(self, key: str) -> Any:
        """Take the value under `key` out and return it."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Take the last value out and return it with its name."""
        if not self._keys:
            raise KeyError("popitem: this ParameterDict is empty")
        key = next(reversed(self._keys))
        return key, self.pop(key)

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """Return a container with `default` under every name."""
        return ParameterDict((key, default) for key in keys)

    def keys(self) -> Iterable[str]:
        """Return the names."""
        return self._keys.keys()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Return (name, value) pairs."""
        return [(key, self[key]) for key in self._keys]

    def values(self) -> Iterable[Any]:
        """Return the values."""
        return [self[key] for key in self._keys]

    def update(self, parameters: Any) -> None:
        """Add values, or replace those that have the same name, which keep their places.

        Raises
        ------
        TypeError
            If `parameters` is neither a mapping nor an iterable of pairs, or a name is no text.
        ValueError
            If a pair has not two items.
        """
        for name, value in named_pairs("ParameterDict", parameters, "value"):
            self[name] = value

    def extra_repr(self) -> str:
        """Return a line per value."""
        return "\n".join(_line(key, value) for key, value in self.items())
