"""Module: parameters, buffers and sub-modules by name; called, it runs `forward`."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from dnncore import _core
from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.nn._hooks import HookedCalls, RemovableHandle, module_paths
from dnncore.nn._state import IncompatibleKeys, Stateful
from dnncore.nn.parameter import (
    Buffer,
    Parameter,
    UninitializedBuffer,
    UninitializedParameter,
    is_lazy,
    is_replaced,
    replace,
    replacements,
)

__all__ = ["IncompatibleKeys", "Module", "RemovableHandle", "clear_gradients", "module_paths"]

M = TypeVar("M", bound="Module")

_TABLES = ("_parameters", "_buffers", "_modules")
_HOOKS = (
    "_forward_pre_hooks",
    "_forward_hooks",
    "_state_dict_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


class Module(HookedCalls, Stateful):
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
        for table in _TABLES:
            set_plain(table, {})
        set_plain("_transient_buffers", set())
        for hooks in _HOOKS:
            set_plain(hooks, OrderedDict())

    # --- Attributes

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, (Parameter, Module, Buffer)):
            self._set_registered(name, value)
        else:
            self._set_other(name, value)

    def _set_registered(self, name: str, value: Parameter | Module | Buffer) -> None:
        """Let an attribute of another kind give way, but not what the class itself defines."""
        kind, own = ("parameter", "_parameters") if isinstance(value, Parameter) else ("module", "_modules")
        if isinstance(value, Buffer):
            kind, own = "buffer", "_buffers"
        self._check_begun(kind, name)
        if name not in self.__dict__[own] and hasattr(type(self), name):
            raise KeyError(f"{type(self).__name__}: attribute {name!r} exists already")
        self._forget(name, own)
        if isinstance(value, Parameter):
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._modules[name] = value
        else:
            self.register_buffer(name, value, value.persistent)

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
        for table in _TABLES:
            values = held.get(table)
            if values is not None and name in values:
                return values[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for table in _TABLES:
            if name in self.__dict__.get(table, ()):
                del self.__dict__[table][name]
                self._transient_buffers.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        names = {*super().__dir__(), *self._parameters, *self._buffers, *self._modules}
        return sorted(name for name in names if not name[:1].isdigit())

    def _check_begun(self, kind: str, name: object) -> None:
        if "_modules" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() before setting {kind} {name!r}")

    def _check_name(self, kind: str, name: object, own: dict[str, Any]) -> None:
        self._check_begun(kind, name)
        if not isinstance(name, str):
            raise TypeError(f"{type(self).__name__}: expected the name of a {kind} as str, got {type(name).__name__}")
        if not name or "." in name:
            raise KeyError(f"{type(self).__name__}: the name of a {kind} must be non-empty and without a dot, got {name!r}")
        if name not in own and hasattr(self, name):
            raise KeyError(f"{type(self).__name__}: attribute {name!r} exists already")

    def _forget(self, name: str, kept: str) -> None:
        self.__dict__.pop(name, None)
        self._transient_buffers.discard(name)
        for table in _TABLES:
            if table != kept:
                self.__dict__[table].pop(name, None)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under `name`; None keeps the name without a parameter.

        Raises
        ------
        KeyError
            If the name is empty, has a dot, or belongs to another attribute; setting an attribute replaces it.
        TypeError
            If the name is not a string or `param` not a parameter.
        """
        self._check_name("parameter", name, self.__dict__.get("_parameters", {}))
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"register_parameter: expected nn.Parameter or None for {name!r}, got {type(param).__name__}")
        if param is not None and not is_lazy(param) and not param.is_leaf:
            raise ValueError(f"register_parameter: expected a leaf for {name!r}, got a parameter that was computed")
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the state but is not trained; not `persistent`: it stays out of the `state_dict`."""
        self._check_name("buffer", name, self.__dict__.get("_buffers", {}))
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"register_buffer: expected Tensor or None for {name!r}, got {type(tensor).__name__}")
        self._buffers[name] = tensor
        (self._transient_buffers.discard if persistent else self._transient_buffers.add)(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a sub-module under `name`; the same as `add_module`."""
        self.add_module(name, module)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a sub-module under `name`; KeyError if another attribute has the name."""
        self._check_name("module", name, self.__dict__.get("_modules", {}))
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"add_module: expected nn.Module or None for {name!r}, got {type(module).__name__}")
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

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """Yield this module and all below it, each once or, without `remove_duplicate`, as often as it stands there."""
        return (module for _, module in self.named_modules(remove_duplicate=remove_duplicate))

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

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put `module` at the dotted path `target`.

        Parameters
        ----------
        target : str
            The path; everything but its last name must exist.
        module : Module
            The new sub-module.
        strict : bool, default False
            Whether there must be a sub-module at that path already.

        Raises
        ------
        AttributeError
            If the path does not exist or leads to something else than a module.
        """
        path, _, name = target.rpartition(".")
        if not name:
            raise ValueError(f"set_submodule: expected a path that ends with a name, got {target!r}")
        if not isinstance(module, Module):
            raise TypeError(f"set_submodule: expected a module for {target!r}, got {type(module).__name__}")
        parent = self.get_submodule(path)
        present = getattr(parent, name, None)
        if (strict and present is None) or (present is not None and not isinstance(present, Module)):
            raise AttributeError(f"{type(self).__name__}: no sub-module {target!r}")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter at the dotted path `target`."""
        return self._get("_parameters", "parameter", target)  # type: ignore[no-any-return]

    def get_buffer(self, target: str) -> Tensor:
        """Return the buffer at the dotted path `target`."""
        return self._get("_buffers", "buffer", target)  # type: ignore[no-any-return]

    def _get(self, table: str, kind: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        value = getattr(self.get_submodule(path), table).get(name)
        if value is None:
            raise AttributeError(f"{type(self).__name__}: no {kind} {target!r}")
        return value

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
        self.training = mode
        for module in self.children():
            module.train(mode)
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

    # --- Dtype and device

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """Move parameters, buffers and gradients, and cast the floating ones; return the module.

        ``to(dtype)``, ``to(device)``, ``to(device, dtype)`` or ``to(tensor)``, whose dtype and device are taken; integers
        keep their dtype.
        ``memory_format`` is accepted and changes nothing: parameters keep row-major order, convolutions bring their inputs into
        channels-last order and write it in any case.

        Raises
        ------
        TypeError
            If the dtype is not a floating one, or ``memory_format`` no memory format.
        ValueError
            If there is no such kind of device.
        RuntimeError
            If the device cannot be used.

        Notes
        -----
        On another device parameters stay the objects they are, and so does the state of an optimizer that holds them: it follows
        at the next step. Parameters of another dtype are new objects, tied ones stay tied; so an optimizer is made after a cast.
        ``zero_grad`` of one that was made before warns.

        Examples
        --------
        >>> import dnncore as dnn
        >>> from dnncore import nn
        >>> nn.Linear(2, 3).to(dnn.float64).weight.dtype
        dnncore.float64
        """
        order = kwargs.pop("memory_format", None)
        if order is not None and not isinstance(order, _core.memory_format):
            raise TypeError(f"to: expected a memory_format such as dnncore.channels_last, got {order!r}")
        # The two tensors stand for all: where they end in one dtype, that is what was asked for.
        wide, narrow = (_core.empty((0,), dtype=kind).to(*args, **kwargs) for kind in (_core.float64, _core.float32))
        return self._move(wide.dtype if wide.dtype == narrow.dtype else None, _named_device(*args, *kwargs.values()))

    def type(self: M, dst_type: Any) -> M:
        """Cast to a floating dtype; as `to`."""
        return self.to(dtype=dst_type)

    def float(self: M) -> M:
        """Cast to float32; as `to`."""
        return self._cast(_core.float32)

    def double(self: M) -> M:
        """Cast to float64; as `to`."""
        return self._cast(_core.float64)

    def half(self: M) -> M:
        """Cast to float16; as `to`."""
        return self._cast(_core.float16)

    def bfloat16(self: M) -> M:
        """Cast to bfloat16; as `to`."""
        return self._cast(_core.bfloat16)

    def cpu(self: M) -> M:
        """Move to the CPU; as `to`."""
        return self.to("cpu")

    def cuda(self: M, device: Any = None) -> M:
        """Move to a CUDA device, the current one where none is named; as `to`."""
        return self.to(_core._cuda_device("cuda", device))

    def _cast(self: M, dtype: _core.dtype) -> M:
        return self._move(dtype, None)

    def _move(self: M, dtype: _core.dtype | None, device: _core.device | None) -> M:
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(f"{type(self).__name__}.to: expected a floating dtype, got {dtype}")
        moves: dict[int, tuple[Tensor, Tensor]] = {}  # by id: (old, new); tied ones stay tied
        for module in self.modules():
            for table in (module._parameters, module._buffers):
                for name, value in table.items():
                    if value is None:
                        continue
                    kind = dtype if dtype is not None and value.is_floating_point() else value.dtype
                    place = value.device if device is None else device
                    if value.dtype == kind and value.device == place:
                        continue
                    if id(value) not in moves:
                        moves[id(value)] = value, _moved(value, kind, place)
                    table[name] = moves[id(value)][1]  # type: ignore[assignment]
        return self

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
        if replacements() and is_replaced(parameter) and parameter.grad is None:
            warnings.warn(
                f"zero_grad: the module of a parameter of shape {tuple(parameter.shape)} uses another one, since a "
                "cast, load_state_dict(assign=True) or a reparametrization; make the optimizer after it",
                stacklevel=3,
            )
        if set_to_none:  # without a look at it, which a captured step would hold on to
            parameter.grad = None
        elif (gradient := parameter.grad) is not None:
            with no_grad():
                gradient.zero_()
            if gradient.requires_grad:  # of a pass that was recorded: its graph goes too
                parameter.grad = gradient.detach()


def _named_device(*arguments: Any) -> _core.device | None:
    """Return the device that arguments of ``to`` name; None if they name none."""
    for argument in arguments:
        if isinstance(argument, Tensor):
            return argument.device
        if isinstance(argument, _core.device) or (isinstance(argument, str) and argument.startswith("c")):
            return _core.device(argument)
    return None


def _moved(value: Tensor, dtype: _core.dtype, device: _core.device) -> Tensor:
    """Return a parameter or buffer with its gradient in another dtype, which is a new one, or on another device."""
    if value.dtype == dtype and isinstance(value, Parameter):
        _core._relocate(value, device)
        return value
    if isinstance(value, UninitializedBuffer):
        return UninitializedBuffer(device=device, dtype=dtype, persistent=value.persistent)
    if not isinstance(value, Parameter):
        return value.detach().to(device, dtype)
    if is_lazy(value):
        moved: Parameter = UninitializedParameter(value.requires_grad, device, dtype)
    else:
        moved = Parameter(value.detach().to(device, dtype), value.requires_grad)
        moved.grad = None if value.grad is None else value.grad.detach().to(device, dtype)
    replace(value)
    return moved
