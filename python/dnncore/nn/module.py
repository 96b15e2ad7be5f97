"""Module: parameters, buffers and sub-modules by name; called, it runs `forward`."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from dnncore import _core
from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.nn.parameter import Parameter

M = TypeVar("M", bound="Module")

# Threads whose module calls are reported, and how; empty in normal use, so that a call pays one truth test.
_reports: dict[int, _Report] = {}


class _Report(NamedTuple):
    paths: dict[int, str]  # by id of the module
    tell: Callable[[str], object]
    running: list[str]


@contextmanager
def module_paths(root: Module, tell: Callable[[str], object] = _core._set_module_path) -> Iterator[None]:
    """Tell the recorder of launches, or ``tell``, which module of `root` is running on this thread; "" for none."""
    paths = {id(module): name or type(module).__name__ for name, module in root.named_modules()}
    thread = threading.get_ident()
    before = _reports.get(thread)
    _reports[thread] = _Report(paths, tell, [""])
    try:
        yield
    finally:
        if before is None:
            del _reports[thread]
        else:
            _reports[thread] = before


class IncompatibleKeys(NamedTuple):
    """What `Module.load_state_dict` with ``strict=False`` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class RemovableHandle:
    """Stands for a registered hook; `remove` takes it away."""

    _numbers = itertools.count()

    def __init__(self, hooks: dict[int, Any]) -> None:
        self._hooks = hooks
        self._number = next(self._numbers)

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        self._hooks.pop(self._number, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class Module:
    """Base of all networks and layers.

    A subclass calls ``super().__init__()``, sets parameters and sub-modules as attributes, and defines `forward`.

    Attributes
    ----------
    training : bool
        True in training mode; see `train` and `eval`.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> class Scale(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = nn.Parameter(dnn.ones(1))
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale()(dnn.tensor([2.0, 3.0])).tolist()
    [2.0, 3.0]
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]

    def __init__(self) -> None:
        set_plain = super().__setattr__
        set_plain("training", True)
        set_plain("_parameters", {})
        set_plain("_buffers", {})
        set_plain("_transient_buffers", set())
        set_plain("_modules", {})
        set_plain("_forward_hooks", {})
        set_plain("_forward_pre_hooks", {})

    # --- Calling

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method forward(), which computes the output")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run `forward` and the hooks around it."""
        if _reports or self._forward_pre_hooks or self._forward_hooks:
            return self._call_observed(args, kwargs)
        return self.forward(*args, **kwargs)

    def _call_observed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        report = _reports.get(threading.get_ident())
        path = report.paths.get(id(self)) if report is not None else None
        if report is None or path is None:
            return self._call_hooked(args, kwargs)
        report.running.append(path)
        report.tell(path)
        try:
            return self._call_hooked(args, kwargs)
        finally:
            report.running.pop()
            report.tell(report.running[-1])

    def _call_hooked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for pre_hook in list(self._forward_pre_hooks.values()):
            changed = pre_hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        output = self.forward(*args, **kwargs)
        for hook in list(self._forward_hooks.values()):
            changed = hook(self, args, output)
            if changed is not None:
                output = changed
        return output

    @property
    def _is_plain(self) -> bool:
        """Whether nobody listens to or replaces this module's own call, so that a container may fuse it with a neighbour."""
        return not (self._forward_pre_hooks or self._forward_hooks or "forward" in self.__dict__)

    def register_forward_hook(self, hook: Callable[[Any, tuple[Any, ...], Any], Any]) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after each forward; what it returns, unless None, replaces the output."""
        handle = RemovableHandle(self._forward_hooks)
        self._forward_hooks[handle._number] = hook
        return handle

    def register_forward_pre_hook(self, hook: Callable[[Any, tuple[Any, ...]], Any]) -> RemovableHandle:
        """Call ``hook(module, args)`` before each forward; what it returns, unless None, replaces the arguments."""
        handle = RemovableHandle(self._forward_pre_hooks)
        self._forward_pre_hooks[handle._number] = hook
        return handle

    # --- Attributes

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self.add_module(name, value)
        else:
            self._set_other(name, value)

    def _set_other(self, name: str, value: Any) -> None:
        held = self.__dict__
        if name in held.get("_parameters", ()):
            if value is not None:
                raise TypeError(
                    f"{type(self).__name__}: expected nn.Parameter or None for parameter {name!r}, got {type(value).__name__}"
                )
            self._parameters[name] = None
        elif name in held.get("_modules", ()):
            if value is not None:
                raise TypeError(
                    f"{type(self).__name__}: expected nn.Module or None for sub-module {name!r}, got {type(value).__name__}"
                )
            self._modules[name] = None
        elif name in held.get("_buffers", ()):
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(f"{type(self).__name__}: expected Tensor or None for buffer {name!r}, got {type(value).__name__}")
            self._buffers[name] = value
        else:
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        held = self.__dict__
        for kind in ("_parameters", "_buffers", "_modules"):
            values = held.get(kind)
            if values is not None and name in values:
                return values[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for values in (self._parameters, self._buffers, self._modules):
            if name in values:
                del values[name]
                self._transient_buffers.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def _check_name(self, kind: str, name: str, own: dict[str, Any]) -> None:
        if "_modules" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() before setting {kind} {name!r}")
        if not isinstance(name, str):
            raise TypeError(f"{type(self).__name__}: expected the name of a {kind} as str, got {type(name).__name__}")
        if not name or "." in name:
            raise KeyError(f"{type(self).__name__}: the name of a {kind} must be non-empty and without a dot, got {name!r}")
        if name not in own and hasattr(self, name):
            raise KeyError(f"{type(self).__name__}: attribute {name!r} exists already")

    def _forget(self, name: str, kept: dict[str, Any]) -> None:
        self.__dict__.pop(name, None)
        for values in (self._parameters, self._buffers, self._modules):
            if values is not kept:
                values.pop(name, None)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under `name`; None keeps the name without a parameter."""
        if "_parameters" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() before setting parameter {name!r}")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"register_parameter: expected nn.Parameter or None for {name!r}, got {type(param).__name__}")
        if name in self.__dict__ or name in self._buffers or name in self._modules:
            self._forget(name, self._parameters)
        self._check_name("parameter", name, self._parameters)
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the state but is not trained; not `persistent`: it stays out of the `state_dict`."""
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"register_buffer: expected Tensor or None for {name!r}, got {type(tensor).__name__}")
        self._buffers[name] = tensor
        (self._transient_buffers.discard if persistent else self._transient_buffers.add)(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a sub-module under `name`; the same as `add_module`."""
        self.add_module(name, module)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a sub-module under `name`."""
        if "_modules" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() before setting module {name!r}")
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"add_module: expected nn.Module or None for {name!r}, got {type(module).__name__}")
        if name in self.__dict__ or name in self._buffers or name in self._parameters:
            self._forget(name, self._modules)
        self._check_name("module", name, self._modules)
        self._modules[name] = module

    # --- Walking

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) of this module and all below it, depth first, each module once."""
        memo = set() if memo is None else memo
        if remove_duplicate:
            if id(self) in memo:
                return
            memo.add(id(self))
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) of the direct sub-modules, each once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """Yield the direct sub-modules, each once."""
        return (module for _, module in self.named_children())

    def _named(self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        owners = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in owners:
            for name, value in getattr(module, kind).items():
                if value is None or (remove_duplicate and id(value) in seen):
                    continue
                seen.add(id(value))
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield (name, parameter); a parameter that appears under several names comes once, under the first."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters, each once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, buffer)."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """Return the sub-module at the dotted path `target`; "" is this module."""
        module: Any = self
        for name in target.split(".") if target else ():
            module = module._modules.get(name)
            if module is None:
                raise AttributeError(f"{type(self).__name__}: no sub-module {target!r}")
        return module  # type: ignore[no-any-return]

    # --- Modes

    def apply(self: M, fn: Callable[[Module], object]) -> M:
        """Call `fn` on every module below and then on this one; return this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self: M, mode: bool = True) -> M:
        """Set training mode here and in all sub-modules; return the module."""
        if not isinstance(mode, bool):
            raise TypeError(f"train: expected mode to be a bool, got {type(mode).__name__}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Set evaluation mode here and in all sub-modules; return the module."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Freeze (False) or unfreeze all parameters; return the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or fill them with zeros."""
        clear_gradients(self.parameters(), set_to_none)

    # --- State

    def state_dict(self, *, prefix: str = "") -> dict[str, Tensor]:
        """Return parameters and persistent buffers by dotted name; the tensors share memory with the module.

        Examples
        --------
        >>> from dnncore import nn
        >>> list(nn.Sequential(nn.Linear(2, 3), nn.ReLU()).state_dict())
        ['0.weight', '0.bias']
        """
        return {name: value.detach() for name, value in self._state_entries(prefix)}

    def _state_entries(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self._parameters.items():
            if parameter is not None:
                yield prefix + name, parameter
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._transient_buffers:
                yield prefix + name, buffer
        for name, module in self._modules.items():
            if module is not None:
                yield from module._state_entries(f"{prefix}{name}.")

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy values into parameters and buffers; everything is checked before anything is written.

        Parameters
        ----------
        state_dict : mapping of str to Tensor
            Values by name, as `state_dict` returns them; arrays are accepted too, and cast to the dtype that stands here.
        strict : bool, default True
            Whether the names must be exactly those of this module.

        Returns
        -------
        IncompatibleKeys
            Names without a value and values without a name (both empty when `strict`).

        Raises
        ------
        ValueError
            If shapes differ, or names when `strict`; the message lists all of them.
        TypeError
            If `state_dict` is no mapping or a value cannot become a tensor.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: expected a mapping of names to tensors, got {type(state_dict).__name__}")
        own = dict(self._state_entries())
        keys = IncompatibleKeys([key for key in own if key not in state_dict], [key for key in state_dict if key not in own])
        values = {key: _core.as_tensor(state_dict[key]) for key in own if key in state_dict}
        report = [
            f"  {key}: expected shape {tuple(own[key].shape)}, got {tuple(value.shape)}"
            for key, value in values.items()
            if tuple(own[key].shape) != tuple(value.shape)
        ]
        if strict:
            report += [f"  {key}: missing, expected shape {tuple(own[key].shape)}" for key in keys.missing_keys]
            report += [f"  {key}: unexpected" for key in keys.unexpected_keys]
        if report:
            raise ValueError(f"load_state_dict: the values do not fit {type(self).__name__}:\n" + "\n".join(report))
        with no_grad():
            for key, value in values.items():
                own[key].copy_(value)
        return keys

    # --- Text

    def extra_repr(self) -> str:
        """Return the settings shown by ``repr``; layers override it."""
        return ""

    def _child_lines(self) -> list[str]:
        return [f"({name}): {module!r}" for name, module in self._modules.items()]

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = [line.replace("\n", "\n  ") for line in self._child_lines()]
        if not lines and "\n" not in extra:
            return f"{type(self).__name__}({extra})"
        body = "\n  ".join([*extra.split("\n"), *lines] if extra else lines)
        return f"{type(self).__name__}(\n  {body}\n)"


def clear_gradients(parameters: Iterator[Tensor], set_to_none: bool) -> None:
    """Forget gradients, or fill them with zeros."""
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is None:
            continue
        if set_to_none:
            parameter.grad = None
        else:
            with no_grad():
                gradient.zero_()
