"""Containers of modules: Sequential, ModuleList and ModuleDict."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, TypeVar, cast, overload

from dnncore._core import Tensor
from dnncore.nn.activation import GELU, ReLU, Sigmoid, Tanh
from dnncore.nn.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from dnncore.nn.conv import Conv1d, Conv2d, Conv3d
from dnncore.nn.linear import Linear
from dnncore.nn.module import Module

I = TypeVar("I", bound="_Indexed")  # noqa: E741
S = TypeVar("S", bound="Sequential")
L = TypeVar("L", bound="ModuleList")

# Which activations a layer's kernel can apply: exact types only, a subclass may compute something else.
_OF_CONV: dict[type[Module], str] = {ReLU: "relu", Tanh: "tanh", Sigmoid: "sigmoid"}
_OF_LINEAR: dict[type[Module], str] = {**_OF_CONV, GELU: "gelu"}
_OF_BATCH_NORM: dict[type[Module], str] = {ReLU: "relu"}
_EPILOGUES: dict[type[Module], dict[type[Module], str]] = {
    Linear: _OF_LINEAR,
    Conv1d: _OF_CONV,
    Conv2d: _OF_CONV,
    Conv3d: _OF_CONV,
    **dict.fromkeys((BatchNorm1d, BatchNorm2d, BatchNorm3d), _OF_BATCH_NORM),
}


def _epilogue(known: dict[type[Module], str], module: Module) -> str | None:
    approximate = getattr(module, "approximate", "none")  # the product's own GELU is the exact one
    return known.get(type(module)) if approximate == "none" else None


def named_pairs(owner: str, values: Any, holds: str) -> Iterator[tuple[Any, Any]]:
    """Yield what a container by name is given: a mapping, another container, or an iterable of (name, value) pairs."""
    if isinstance(values, Mapping) or (isinstance(values, Module) and hasattr(values, "items")):
        yield from values.items()
        return
    if isinstance(values, Tensor) or not isinstance(values, Iterable):
        raise TypeError(f"{owner}: expected a mapping or an iterable of pairs, got {type(values).__name__}")
    for place, pair in enumerate(values):
        if not isinstance(pair, (tuple, list)):
            raise TypeError(f"{owner}: expected pairs of a name and a {holds}, got {type(pair).__name__} at place {place}")
        if len(pair) != 2:
            raise ValueError(f"{owner}: expected pairs of a name and a {holds}, got {len(pair)} items at place {place}")
        yield pair[0], pair[1]


def run_in_order(modules: list[Any], input: Any) -> Any:
    """Run modules one after the other, an activation in the kernel of the layer before it where that has no other effect."""
    position, count = 0, len(modules)
    while position < count:
        module = modules[position]
        position += 1
        epilogues = _EPILOGUES.get(type(module))
        if epilogues is not None and position < count and module._is_plain:
            after = modules[position]
            activation = _epilogue(epilogues, after)
            if activation is not None and after._is_plain:
                input = module(input, activation)
                position += 1
                continue
        input = module(input)
    return input


class _Indexed(Module):
    """Sub-modules in an order, under the names "0", "1", ... unless they were given other ones."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())  # type: ignore[arg-type]

    def __contains__(self, module: object) -> bool:
        return any(own is module for own in self)

    def _key(self, index: Any) -> str:
        position, count = operator.index(index), len(self)
        if not -count <= position < count:
            raise IndexError(f"{type(self).__name__}: index {position} is out of range for {count} modules")
        return list(self._modules)[position]

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self: I, index: slice) -> I: ...
    def __getitem__(self, index: int | slice) -> Module:
        if isinstance(index, slice):
            return self._of(list(self._modules.items())[index])
        return cast(Module, self._modules[self._key(index)])

    def _of(self, named: list[tuple[str, Any]]) -> Module:
        raise NotImplementedError

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._key(index), module)

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)
        gone = set(names[index]) if isinstance(index, slice) else {self._key(index)}
        self._number([module for name, module in self._modules.items() if name not in gone])

    def _number(self, modules: Iterable[Any]) -> None:
        """Hold exactly these modules, named by their places."""
        named = {str(place): module for place, module in enumerate(modules)}
        for module in named.values():
            if not isinstance(module, Module):
                raise TypeError(f"{type(self).__name__}: expected modules, got {type(module).__name__}")
        self._modules.clear()
        self._modules.update(named)

    def _append(self, module: Module) -> None:
        name = str(len(self))
        if name in self._modules:  # a slice of a Sequential keeps its names, so that its length may be one of them
            name = str(1 + max(int(own) for own in self._modules if own.isdecimal()))
        self.add_module(name, module)

    def _insert(self, index: int, module: Module) -> None:
        modules, place = list(self), operator.index(index)
        if not -len(modules) <= place <= len(modules):
            raise IndexError(f"{type(self).__name__}: index {place} is out of range for {len(modules)} modules")
        modules.insert(place, module)
        self._number(modules)

    def pop(self, key: int | slice) -> Module:
        """Take the module at an index out and return it; those behind it move up."""
        module = self[key]
        del self[key]
        return module


class Sequential(_Indexed):
    """Modules run one after the other.

    A `Linear` or a convolution directly before a `ReLU`, `Tanh` or `Sigmoid` (a `Linear` also before a `GELU`), and a batch
    normalisation before a `ReLU`, run as one kernel with the same result, unless a hook on either needs the value between
    them. ``+`` joins two, ``*`` repeats the modules themselves; slices keep their names.

    Parameters
    ----------
    *args : Module
        The modules in order; or one dict of modules by name.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    >>> model(dnn.zeros(5, 64)).shape
    (5, 10)
    """

    @overload
    def __init__(self, *args: Module) -> None: ...
    @overload
    def __init__(self, arg: Mapping[str, Module], /) -> None: ...
    def __init__(self, *args: Any) -> None:
        super().__init__()
        named = args[0].items() if len(args) == 1 and isinstance(args[0], Mapping) else ((str(i), m) for i, m in enumerate(args))
        for name, module in named:
            self.add_module(name, module)

    def forward(self, input: Any) -> Any:
        """Run the modules in order."""
        return run_in_order(list(self._modules.values()), input)

    def append(self: S, module: Module) -> S:
        """Add a module at the end; return the container."""
        self._append(module)
        return self

    def insert(self: S, index: int, module: Module) -> S:
        """Put a module before position `index` and name all by their new places; return the container."""
        self._insert(index, module)
        return self

    def extend(self: S, sequential: Iterable[Module]) -> S:
        """Add modules at the end; return the container."""
        for module in list(sequential):
            self._append(module)
        return self

    def __add__(self, other: object) -> Sequential:
        return Sequential(*self, *self._checked(other))

    def __iadd__(self: S, other: object) -> S:
        return self.extend(self._checked(other))

    def __mul__(self, other: int) -> Sequential:
        return Sequential(*list(self) * self._checked_count(other))

    __rmul__ = __mul__

    def __imul__(self: S, other: int) -> S:
        return self.extend(list(self) * (self._checked_count(other) - 1))

    def _of(self, named: list[tuple[str, Any]]) -> Sequential:
        return type(self)(OrderedDict(named))

    @staticmethod
    def _checked(other: object) -> list[Module]:
        if not isinstance(other, Sequential):
            raise TypeError(f"Sequential: expected a Sequential to add, got {type(other).__name__}")
        return list(other)

    @staticmethod
    def _checked_count(count: object) -> int:
        if not isinstance(count, int):
            raise TypeError(f"Sequential: expected an int to multiply with, got {type(count).__name__}")
        if count <= 0:
            raise ValueError(f"Sequential: expected a factor of at least 1, got {count}")
        return count


class ModuleList(_Indexed):
    """A list of modules whose parameters belong to the owner; it has no `forward`.

    Parameters
    ----------
    modules : iterable of Module, optional
        The modules in order.

    Examples
    --------
    >>> from dnncore import nn
    >>> layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
    >>> len(list(layers.parameters()))
    6
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules if modules is not None else ())

    def append(self: L, module: Module) -> L:
        """Add a module at the end; return the list."""
        self._append(module)
        return self

    def extend(self: L, modules: Iterable[Module]) -> L:
        """Add modules at the end; return the list."""
        if not isinstance(modules, Iterable):
            raise TypeError(f"ModuleList: expected an iterable of modules, got {type(modules).__name__}")
        for module in list(modules):
            self._append(module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Put a module before position `index`."""
        self._insert(index, module)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self: L, other: Iterable[Module]) -> L:
        return self.extend(other)

    def _of(self, named: list[tuple[str, Any]]) -> ModuleList:
        return type(self)([module for _, module in named])

    def _child_lines(self) -> list[str]:
        """Equal neighbours share a line, as in PyTorch: ``(0-2): 3 x Linear(...)``."""
        runs: list[tuple[int, int, str]] = []
        for index, module in enumerate(self):
            text = repr(module)
            if runs and runs[-1][2] == text:
                runs[-1] = (runs[-1][0], index, text)
            else:
                runs.append((index, index, text))
        return [f"({i}): {text}" if i == j else f"({i}-{j}): {j - i + 1} x {text}" for i, j, text in runs]


class ModuleDict(Module):
    """Modules by name whose parameters belong to the owner; it has no `forward`.

    Parameters
    ----------
    modules : mapping or iterable of (str, Module), optional
        The modules; their order is kept.

    Examples
    --------
    >>> from dnncore import nn
    >>> heads = nn.ModuleDict({"age": nn.Linear(8, 1), "kind": nn.Linear(8, 3)})
    >>> heads["kind"].out_features
    3
    >>> list(heads.state_dict())
    ['age.weight', 'age.bias', 'kind.weight', 'kind.bias']
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return cast(Module, self._modules[key])

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Take all modules out."""
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Take the module under `key` out and return it."""
        return cast(Module, self._modules.pop(key))

    def keys(self) -> KeysView[str]:
        """Return the names."""
        return self._modules.keys()

    def items(self) -> ItemsView[str, Module]:
        """Return (name, module) pairs."""
        return self._modules.items()  # type: ignore[return-value]

    def values(self) -> ValuesView[Module]:
        """Return the modules."""
        return self._modules.values()  # type: ignore[return-value]

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules, or replace those that have the same name.

        Raises
        ------
        TypeError
            If `modules` is neither a mapping nor an iterable of pairs.
        ValueError
            If a pair has not two items.
        """
        for name, module in named_pairs("ModuleDict", modules, "module"):
            self.add_module(name, module)
