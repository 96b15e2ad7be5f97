"""The state of modules: parameters, persistent buffers and extra state by dotted name, out and in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from dnncore import _core
from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.nn._hooks import Hooks, RemovableHandle, checked, register
from dnncore.nn.parameter import Parameter, Uninitialized, is_lazy, replace

if TYPE_CHECKING:
    from dnncore.nn.module import Module

EXTRA_STATE = "_extra_state"  # the last part of its key


class IncompatibleKeys(NamedTuple):
    """What `Module.load_state_dict` with ``strict=False`` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Stateful:
    """The part of `Module` that gives and takes the state."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _transient_buffers: set[str]
    _state_dict_pre_hooks: Hooks
    _state_dict_hooks: Hooks
    _load_state_dict_pre_hooks: Hooks
    _load_state_dict_post_hooks: Hooks

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in ("_save_to_state_dict", "_load_from_state_dict"):
            if name in cls.__dict__:
                raise TypeError(
                    f"{cls.__name__}: {name} is never called here; use get_extra_state and set_extra_state, "
                    "or the hooks register_state_dict_post_hook and register_load_state_dict_pre_hook"
                )

    def state_dict(self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> dict[str, Any]:
        """Return parameters and persistent buffers by dotted name; the tensors share memory with the module.

        Parameters
        ----------
        destination : dict, optional
            Where the entries go; a new dict when not given.
        prefix : str, default ""
            Put before every name.
        keep_vars : bool, default False
            Whether the parameters themselves are returned, instead of tensors without history.

        Returns
        -------
        dict of str to Tensor
            The entries; `get_extra_state` of a module adds one under the name ``_extra_state``.

        Examples
        --------
        >>> from dnncore import nn
        >>> list(nn.Sequential(nn.Linear(2, 3), nn.ReLU()).state_dict())
        ['0.weight', '0.bias']
        """
        if destination is None:
            destination = OrderedDict()
        for hook in list(self._state_dict_pre_hooks.values()):
            hook(self, prefix, keep_vars)
        for name, value in self._own_entries():
            destination[prefix + name] = value if keep_vars or is_lazy(value) else value.detach()
        if _overrides(self, "get_extra_state"):
            destination[prefix + EXTRA_STATE] = self.get_extra_state()
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in list(self._state_dict_hooks.values()):
            changed = hook(self, destination, prefix, {})
            if changed is not None:
                destination = changed
        return cast("dict[str, Any]", destination)

    def _own_entries(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self._parameters.items():
            if parameter is not None:
                yield name, parameter
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._transient_buffers:
                yield name, buffer

    def get_extra_state(self) -> Any:
        """Return what a module adds to its `state_dict` beside tensors; a subclass that has such state defines it."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method get_extra_state(), as it has set_extra_state()")

    def set_extra_state(self, state: Any) -> None:
        """Take what `get_extra_state` returned; a subclass that has such state defines it."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method set_extra_state(), as it has get_extra_state()")

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> IncompatibleKeys:
        """Copy values into parameters and buffers; everything is checked before anything is written.

        Parameters
        ----------
        state_dict : mapping of str to Tensor
            Values by name, as `state_dict` returns them; arrays are accepted too, and cast to the dtype that stands here.
        strict : bool, default True
            Whether the names must be exactly those of this module.
        assign : bool, default False
            Let the given tensors themselves, with their dtype, become the parameters and buffers. An optimizer is made after it.

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

        Notes
        -----
        A hook of `register_load_state_dict_post_hook` may forgive names. Where there is one, names are judged after the values
        are written and the hooks have run.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: expected a mapping of names to tensors, got {type(state_dict).__name__}")
        loading = _Loading(cast("Module", self), state_dict, strict)
        loading.refuse(loading.shape_errors(), names=strict and not loading.forgiving())
        with no_grad():
            loading.write(assign)
        loading.run_post_hooks()
        loading.refuse([], names=strict)
        return loading.keys

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before `state_dict` collects the entries of this module."""
        return register(self._state_dict_pre_hooks, checked("register_state_dict_pre_hook", hook))

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` after `state_dict` has collected the entries of this module.

        The hook changes `state_dict` in place, or returns another one; `local_metadata` is empty.
        """
        return register(self._state_dict_hooks, checked("register_state_dict_post_hook", hook))

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call a hook before `load_state_dict` matches names, so that it can rename entries.

        Its arguments are ``(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)``:
        `state_dict` is a copy it may change, `prefix` the path of this module with a dot, and what it adds to the three lists
        is reported.
        """
        return register(self._load_state_dict_pre_hooks, checked("register_load_state_dict_pre_hook", hook))

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` after the values are loaded; it may take names out of the two lists."""
        return register(self._load_state_dict_post_hooks, checked("register_load_state_dict_post_hook", hook))


def _overrides(module: Stateful, method: str) -> bool:
    return getattr(type(module), method) is not getattr(Stateful, method)


class _Loading:
    """One call of `load_state_dict`: which value goes where, and what does not fit."""

    def __init__(self, root: Module, state_dict: Mapping[str, Any], strict: bool) -> None:
        self.root = root
        self.given = dict(state_dict)
        self.keys = IncompatibleKeys([], [])
        self.errors: list[str] = []
        self.owners: dict[str, tuple[Module, str]] = {}
        self.expected: dict[str, str] = {}  # what should stand under a missing key
        for path, module in root.named_modules(remove_duplicate=False):
            prefix = f"{path}." if path else ""
            for hook in list(module._load_state_dict_pre_hooks.values()):
                hook(module, self.given, prefix, {}, strict, *self.keys, self.errors)
            self._claim(module, prefix)
        self.keys.missing_keys.extend(key for key in self.owners if key not in self.given)
        self.keys.unexpected_keys.extend(key for key in self.given if key not in self.owners)
        self.values = {
            key: _as_tensor(key, self.given[key])
            for key, (_, name) in self.owners.items()
            if key in self.given and name != EXTRA_STATE and not is_lazy(self.given[key])
        }

    def _claim(self, module: Module, prefix: str) -> None:
        for name, value in module._own_entries():
            self.owners[prefix + name] = module, name
            self.expected[prefix + name] = "any shape" if is_lazy(value) else f"shape {tuple(value.shape)}"
        if _overrides(module, "set_extra_state"):
            self.owners[prefix + EXTRA_STATE] = module, EXTRA_STATE
            self.expected[prefix + EXTRA_STATE] = "the extra state"

    def _present(self, key: str) -> Any:
        module, name = self.owners[key]
        return module._parameters[name] if name in module._parameters else module._buffers[name]

    def shape_errors(self) -> list[str]:
        report = []
        for key in self.owners:
            if is_lazy(self.given.get(key)) and not is_lazy(self._present(key)):
                report.append(f"  {key}: expected {self.expected[key]}, got a tensor that has no shape yet")
        for key, value in self.values.items():
            present = self._present(key)
            if not is_lazy(present) and tuple(present.shape) != tuple(value.shape):
                report.append(f"  {key}: expected {self.expected[key]}, got {tuple(value.shape)}")
        return report

    def refuse(self, report: list[str], names: bool) -> None:
        report = report + [f"  {message}" for message in self.errors]
        if names:
            missing, unexpected = self.keys
            report += [f"  {key}: missing, expected {self.expected.get(key, 'a value')}" for key in missing]
            report += [f"  {key}: unexpected" for key in unexpected]
        if report:
            raise ValueError(f"load_state_dict: the values do not fit {type(self.root).__name__}:\n" + "\n".join(report))

    def forgiving(self) -> bool:
        return any(module._load_state_dict_post_hooks for module in self.root.modules())

    def write(self, assign: bool) -> None:
        # Tied parameters whose values are tied stay tied. The old one is kept, so that its id is not given anew.
        replaced: dict[tuple[int, int], tuple[Parameter, Parameter]] = {}
        for key, value in self.values.items():
            module, name = self.owners[key]
            present = self._present(key)
            if assign and name in module._buffers:
                module._buffers[name] = value
            elif assign:
                place = id(present), value.data_ptr()
                if place not in replaced:
                    replaced[place] = present, _as_parameter(value, present)
                module._parameters[name] = replaced[place][1]
                if replaced[place][1] is not present:
                    replace(present)
            else:
                if isinstance(present, Uninitialized):
                    present.materialize(tuple(value.shape))
                present.copy_(value)
        for key, (module, name) in self.owners.items():
            if name == EXTRA_STATE and key in self.given:
                module.set_extra_state(self.given[key])

    def run_post_hooks(self) -> None:
        for module in reversed(list(self.root.modules())):
            for hook in list(module._load_state_dict_post_hooks.values()):
                if hook(module, self.keys) is not None:
                    raise TypeError(
                        "load_state_dict: expected a post-hook to return None; it changes the lists of names in place"
                    )


def _as_tensor(key: str, value: Any) -> Tensor:
    try:
        return _core.as_tensor(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"load_state_dict: {key}: expected a tensor or an array, got {type(value).__name__}") from error


def _as_parameter(value: Tensor, present: Parameter) -> Parameter:
    requires_grad = present.requires_grad
    if isinstance(value, Parameter):
        value.requires_grad_(requires_grad)
        return value
    return Parameter(value, requires_grad)
