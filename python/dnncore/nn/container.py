"""Containers: Sequential and ModuleList."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, overload

from dnncore.nn.activation import GELU, ReLU, Sigmoid, Tanh
from dnncore.nn.linear import Linear
from dnncore.nn.module import Module

# What the matrix product's epilogue can apply: exact types only, a subclass may compute something else.
_EPILOGUES: dict[type[Module], str] = {ReLU: "relu", Tanh: "tanh", Sigmoid: "sigmoid", GELU: "gelu"}


def _epilogue(module: Module) -> str | None:
    approximate = getattr(module, "approximate", "none")  # the product's own GELU is the exact one
    return _EPILOGUES.get(type(module)) if approximate == "none" else None


class _Indexed(Module):
    """Sub-modules under the names "0", "1", ..."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())  # type: ignore[arg-type]

    def _key(self, index: int) -> str:
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"{type(self).__name__}: index {index} is out of range for {count} modules")
        return list(self._modules)[index]

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> _Indexed: ...
    def __getitem__(self, index: int | slice) -> Module:
        if isinstance(index, slice):
            return self._of(list(self)[index])
        module = self._modules[self._key(index)]
        assert module is not None
        return module

    def _of(self, modules: list[Module]) -> _Indexed:
        raise NotImplementedError

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._key(index), module)

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)
        gone = set(names[index]) if isinstance(index, slice) else {self._key(index)}
        kept = [module for name, module in self._modules.items() if name not in gone]
        self._modules.clear()
        for module in kept:
            self.add_module(str(len(self)), module)


class Sequential(_Indexed):
    """Modules run one after the other.

    A `Linear` directly before a `ReLU`, `Tanh`, `Sigmoid` or `GELU` runs as one kernel with the same result, unless a hook
    on either needs the value between them.

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
    def __init__(self, arg: dict[str, Module], /) -> None: ...
    def __init__(self, *args: Any) -> None:
        super().__init__()
        named = args[0].items() if len(args) == 1 and isinstance(args[0], dict) else ((str(i), m) for i, m in enumerate(args))
        for name, module in named:
            self.add_module(name, module)

    def forward(self, input: Any) -> Any:
        """Run the modules in order."""
        modules: list[Any] = list(self._modules.values())
        position, count = 0, len(modules)
        while position < count:
            module = modules[position]
            position += 1
            if type(module) is Linear and position < count and module._is_plain:
                after = modules[position]
                activation = _epilogue(after)
                if activation is not None and after._is_plain:
                    input = module(input, activation)
                    position += 1
                    continue
            input = module(input)
        return input

    def append(self, module: Module) -> Sequential:
        """Add a module at the end; return the container."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Sequential:
        """Add modules at the end; return the container."""
        for module in modules:
            self.append(module)
        return self

    def _of(self, modules: list[Module]) -> Sequential:
        return type(self)(*modules)


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
        self.extend(modules or ())

    def append(self, module: Module) -> ModuleList:
        """Add a module at the end; return the list."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Add modules at the end; return the list."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Put a module before position `index`."""
        modules = list(self)
        modules.insert(index, module)
        self._modules.clear()
        self.extend(modules)

    def _of(self, modules: list[Module]) -> ModuleList:
        return type(self)(modules)

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
