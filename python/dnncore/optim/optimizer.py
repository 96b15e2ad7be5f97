"""Optimizer: groups of parameters, their settings and state."""

from __future__ import annotations

import functools
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, ClassVar

from dnncore import _core
from dnncore._core import Tensor
from dnncore._grad_mode import enable_grad
from dnncore.nn._hooks import Hooks, RemovableHandle, checked, register
from dnncore.nn.module import clear_gradients
from dnncore.optim.groups import FixedList, ParamGroup

Params = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[Mapping[str, Any]]
State = dict[str, Any]
StepHook = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """`step` between the hooks of its optimizer; a call of super().step() inside does not run them again."""

    @functools.wraps(step)
    def hooked(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if not (self._pre_hooks or self._post_hooks) or self._stepping:
            return step(self, *args, **kwargs)
        _core._cannot_repeat("hook", f"of {type(self).__name__} runs Python")
        self._stepping = True
        try:
            args = (self, *args)  # as the hooks of PyTorch see them
            for before in list(self._pre_hooks.values()):
                changed = before(self, args, kwargs)
                if changed is not None:
                    args, kwargs = self._checked_arguments(changed)
            result = step(*args, **kwargs)
            for after in list(self._post_hooks.values()):
                after(self, args, kwargs)
            return result
        finally:
            self._stepping = False

    return hooked


def as_number(op: str, name: str, value: Any) -> float:
    """Return the setting `value` as a float, or raise TypeError."""
    if isinstance(value, Tensor):
        raise TypeError(f"{op}: expected a number for {name}, got a Tensor; write {name}.item()")
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
        raise TypeError(f"{op}: expected a number for {name}, got {type(value).__name__}")
    return float(value)


def _own_copy(value: Any) -> Any:
    """Part of a saved state, copied: tensors and arrays of any library as tensors, containers item by item, the rest as it is."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {key: _own_copy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_own_copy(item) for item in value)
    return _core.as_tensor(value).detach().clone()


class Optimizer:
    """Base of all optimizers: groups, settings, state, hooks; a subclass brings `step`.

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor) or of dict
        Parameters, with names if they come from ``named_parameters()``, or groups of them: dicts with ``params`` and settings
        of their own. All have names or none.
    defaults : dict
        Settings of groups that do not set their own.

    Attributes
    ----------
    param_groups : list of dict
        The groups; writing ``param_groups[i]["lr"]`` takes effect at the next step. The list and the lists of parameters
        are not changed in place: write ``param_groups[i]["params"] = [...]`` or call ``add_param_group``. The names of
        parameters that have them are in ``param_groups[i]["param_names"]``.

    Notes
    -----
    Settings are numbers; a tensor, such as a learning rate PyTorch would read at each step, is refused: write ``lr.item()``,
    and later ``param_groups[i]["lr"] = ...``.

    Examples
    --------
    >>> import dnncore as dnn
    >>> optimizer = dnn.optim.SGD(dnn.nn.Linear(3, 2).named_parameters(), lr=0.1)
    >>> optimizer.param_groups[0]["param_names"]
    ['weight', 'bias']
    """

    # Settings a class insists on, whatever a saved state says.
    _fixed: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in vars(cls):
            cls.step = _with_hooks(vars(cls)["step"])  # type: ignore[method-assign]

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self._check_settings(defaults)
        if isinstance(params, Tensor):
            raise TypeError(f"{type(self).__name__}: expected an iterable of tensors or dicts, got a Tensor; write [parameter]")
        self.defaults = defaults
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError(f"{type(self).__name__}: expected parameters, got an empty list")
        if not isinstance(groups[0], Mapping):
            groups = [{"params": groups}]
        checked = [self._checked_group(group) for group in groups]
        self._check_groups(checked)
        self._start(checked, {})

    def _start(self, groups: list[dict[str, Any]], states: Mapping[int, State]) -> None:
        self._pre_hooks: Hooks = OrderedDict()
        self._post_hooks: Hooks = OrderedDict()
        self._state_dict_pre_hooks: Hooks = OrderedDict()
        self._state_dict_post_hooks: Hooks = OrderedDict()
        self._load_state_dict_pre_hooks: Hooks = OrderedDict()
        self._load_state_dict_post_hooks: Hooks = OrderedDict()
        self._stepping = False
        self._adopt(groups, states)
        self._groups = FixedList([ParamGroup(group, self._on_change) for group in groups], "call add_param_group()")

    # --- Where the state lives; optimizers with native updates override these

    def _adopt(self, groups: list[dict[str, Any]], states: Mapping[int, State]) -> None:
        """Take over groups and the states of parameters by id, or raise and change nothing; the tensors are shared."""
        by_parameter: defaultdict[Tensor, State] = defaultdict(dict)
        for group in groups:
            for param in group["params"]:
                if id(param) in states:
                    by_parameter[param] = dict(states[id(param)])
        self._state = by_parameter

    def _extend(self, group: dict[str, Any]) -> None:
        """Take over one more group, or raise and change nothing."""

    def _write_settings(self, index: int, settings: Mapping[str, Any]) -> None:
        """Bring the settings of a group where the update reads them."""

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        """Raise ValueError or TypeError if a group's settings make no sense."""

    @property
    def state(self) -> MutableMapping[Tensor, State]:
        """State by parameter, such as ``{"momentum_buffer": ...}``, in the memory that the update uses."""
        return self._state

    def _states(self) -> dict[int, State]:
        return {id(param): state for param, state in self.state.items()}

    # --- Groups

    @property
    def param_groups(self) -> list[ParamGroup]:
        """The groups of parameters with their settings."""
        return self._groups

    def _all_params(self) -> list[Tensor]:
        return [param for group in self._groups for param in group["params"]]

    def _checked_group(self, group: Any) -> dict[str, Any]:
        name = type(self).__name__
        if not isinstance(group, Mapping):
            raise TypeError(f"{name}: expected dicts or tensors, not both, got {type(group).__name__}")
        if "params" not in group:
            raise ValueError(f"{name}: expected 'params' in a parameter group, got the keys {list(group)}")
        if isinstance(group["params"], set):
            raise TypeError(f"{name}: expected parameters in a fixed order, got a set")
        params = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        named = [pair for pair in params if isinstance(pair, tuple)]
        if named:
            group = {**group, "param_names": self._names_of(params, named)}
            params = [param for _, param in named]
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(f"{name}: expected tensors, got {type(param).__name__}")
            if not param.is_leaf:
                raise ValueError(f"{name}: expected a leaf tensor, got one of shape {tuple(param.shape)} that was computed")
        settings = {**self.defaults, **group, "params": params}
        self._check_names(settings)
        self._check_settings(settings)
        return settings

    def _names_of(self, params: list[Any], named: list[tuple[Any, ...]]) -> list[Any]:
        if len(named) != len(params):
            raise ValueError(
                f"{type(self).__name__}: expected names for all parameters or for none, got {len(named)} named of {len(params)}"
            )
        for pair in named:
            if len(pair) != 2 or not isinstance(pair[0], str):
                kinds = ", ".join(type(item).__name__ for item in pair)
                raise TypeError(f"{type(self).__name__}: expected pairs of a name and a tensor, got a tuple of ({kinds})")
        return [name for name, _ in named]

    def _check_names(self, group: Mapping[str, Any]) -> None:
        if "param_names" in group and len(group["param_names"]) != len(group["params"]):
            raise ValueError(
                f"{type(self).__name__}: expected {len(group['params'])} param_names, got {len(group['param_names'])}"
            )

    def _check_groups(self, groups: Iterable[Mapping[str, Any]]) -> None:
        """Raise ValueError if a parameter is in two places, or some groups have names and some have none."""
        groups = list(groups)
        ids = [id(param) for group in groups for param in group["params"]]
        if len(set(ids)) != len(ids):
            raise ValueError(f"{type(self).__name__}: a parameter appears more than once")
        named = sum("param_names" in group for group in groups)
        if named not in (0, len(groups)):
            raise ValueError(
                f"{type(self).__name__}: expected names in all parameter groups or in none, got them in {named} of {len(groups)}"
            )

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add a group of parameters: a dict with ``params`` and, where they differ from the defaults, its settings.

        Raises
        ------
        ValueError
            If a parameter is there already, a setting is out of range, or the group has names and the others have none, or
            the other way round.
        """
        group = self._checked_group(param_group)
        self._check_groups([*self._groups, group])
        self._extend(group)
        self._groups._replace([*self._groups, ParamGroup(group, self._on_change)])

    def _on_change(self, group: ParamGroup, keys: set[str]) -> None:
        if not keys.isdisjoint({"params", "param_names"}):
            stale = set() if "param_names" in keys else {"param_names"}
            group._take(self._checked_group({key: value for key, value in group.items() if key not in stale}))
            self._check_groups(self._groups)
            self._adopt([dict(own) for own in self._groups], self._states())
        elif not keys.isdisjoint(self.defaults):  # others, such as initial_lr, are notes of the caller
            self._check_settings(group)
            self._write_settings(next(i for i, own in enumerate(self._groups) if own is group), group)

    # --- Use

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters; with ``set_to_none=False`` fill them with zeros."""
        clear_gradients(iter(self._all_params()), set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters from their gradients; those without a gradient stay.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss anew and its gradients; called once before the update.

        Returns
        -------
        object
            What `closure` returned, or None.
        """
        raise NotImplementedError(f"{type(self).__name__}: expected a method step()")

    @staticmethod
    def _loss_of(closure: Callable[[], Any] | None) -> Any:
        if closure is None:
            return None
        with enable_grad():
            return closure()

    # --- Hooks

    def _register(self, method: str, hooks: Hooks, hook: object, prepend: bool = False) -> RemovableHandle:
        self._outdate()
        return register(hooks, checked(f"{type(self).__name__}.{method}", hook), prepend)

    def _outdate(self) -> None:
        """Tell recorded steps that they no longer mean what this optimizer does."""

    def _checked_arguments(self, changed: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if isinstance(changed, tuple) and len(changed) == 2:
            args, kwargs = changed
            if isinstance(args, (tuple, list)) and args and args[0] is self:
                return tuple(args), kwargs
        raise TypeError(
            f"{type(self).__name__}.step: expected a step hook to return None or a pair of args, which begin with the optimizer, "
            f"and kwargs, got {changed!r}"
        )

    def register_step_pre_hook(self, hook: StepHook) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before each step.

        `args` begin with the optimizer, as PyTorch's do: ``optimizer.step(closure)`` gives ``(optimizer, closure)``. What the
        hook returns, if not None, are the args and kwargs to go on with, as a pair.

        Examples
        --------
        >>> import dnncore as dnn
        >>> optimizer = dnn.optim.SGD([dnn.ones(1, requires_grad=True)])
        >>> handle = optimizer.register_step_pre_hook(lambda optimizer, args, kwargs: print(len(args), kwargs))
        >>> optimizer.step()
        1 {}
        >>> handle.remove()
        """
        return self._register("register_step_pre_hook", self._pre_hooks, hook)

    def register_step_post_hook(self, hook: StepHook) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after each step, with the args and kwargs that the step had."""
        return self._register("register_step_post_hook", self._post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable[[Any], Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` before each `state_dict`; with `prepend`, before the hooks that are there."""
        return self._register("register_state_dict_pre_hook", self._state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[[Any, dict[str, Any]], Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` after each `state_dict`; it may change the dict or return another one.

        Examples
        --------
        >>> import dnncore as dnn
        >>> optimizer = dnn.optim.SGD([dnn.ones(1, requires_grad=True)])
        >>> handle = optimizer.register_state_dict_post_hook(lambda optimizer, state: {**state, "epoch": 3})
        >>> optimizer.state_dict()["epoch"]
        3
        """
        return self._register("register_state_dict_post_hook", self._state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[[Any, dict[str, Any]], Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` before each `load_state_dict`; it may change the dict or return another one.

        The hook gets a shallow copy, and sees the state before it is checked: here names of parameters can be matched.
        """
        return self._register("register_load_state_dict_pre_hook", self._load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[[Any], Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` after each `load_state_dict` that did not raise."""
        return self._register("register_load_state_dict_post_hook", self._load_state_dict_post_hooks, hook, prepend)

    # --- Saving and copying

    def state_dict(self) -> dict[str, Any]:
        """Return state and settings in PyTorch's form; parameters are numbered in the order of the groups.

        The groups of named parameters hold their names, as ``param_names``.
        """
        for before in list(self._state_dict_pre_hooks.values()):
            before(self)
        found = self._packed()
        for after in list(self._state_dict_post_hooks.values()):
            changed = after(self, found)
            found = found if changed is None else changed
        return found

    def _packed(self) -> dict[str, Any]:
        numbers = {id(param): number for number, param in enumerate(self._all_params())}
        groups = [
            {**{k: v for k, v in group.items() if k != "params"}, "params": [numbers[id(param)] for param in group["params"]]}
            for group in self._groups
        ]
        return {"state": {numbers[key]: state for key, state in self._states().items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over state and settings that `state_dict` returned, here or in PyTorch; nothing changes when it raises.

        Parameters are matched by their place, never by name: a hook of `register_load_state_dict_pre_hook` may rearrange them.
        Saved ``param_names`` replace the present ones; where there are none, the present ones stay.

        Raises
        ------
        ValueError
            If the groups do not have the sizes of the present ones, or a state lacks a part, has one too many or one that does
            not have its parameter's shape.
        TypeError
            If `state_dict` is no mapping with ``state`` and ``param_groups``.
        """
        if isinstance(state_dict, Mapping):
            state_dict = dict(state_dict)
            for before in list(self._load_state_dict_pre_hooks.values()):
                changed = before(self, state_dict)
                state_dict = state_dict if changed is None else changed
        self._unpack(state_dict)
        for after in list(self._load_state_dict_post_hooks.values()):
            after(self)

    def _unpack(self, state_dict: Mapping[str, Any]) -> None:
        name = type(self).__name__
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= state_dict.keys():
            raise TypeError(
                f"{name}.load_state_dict: expected a mapping with 'state' and 'param_groups', as state_dict() returns it"
            )
        saved = state_dict["param_groups"]
        have, got = [len(group["params"]) for group in self._groups], [len(group["params"]) for group in saved]
        if have != got:
            raise ValueError(f"{name}.load_state_dict: expected groups of {have} parameters, got {got}")
        numbers = [number for group in saved for number in group["params"]]
        states: dict[int, State] = {}
        for number, param in zip(numbers, self._all_params(), strict=True):
            state = {key: _own_copy(value) for key, value in state_dict["state"].get(number, {}).items() if value is not None}
            self._check_state(number, param, state)
            if state:
                states[id(param)] = state
        groups = [
            {**self.defaults, **self._names_in(own), **group, **self._fixed, "params": list(own["params"])}
            for own, group in zip(self._groups, saved, strict=True)
        ]
        for group in groups:
            self._check_names(group)
            self._check_settings(group)
        self._adopt(groups, states)
        for own, group in zip(self._groups, groups, strict=True):
            own._take(group)

    @staticmethod
    def _names_in(group: Mapping[str, Any]) -> dict[str, Any]:
        return {"param_names": group["param_names"]} if "param_names" in group else {}

    def _check_state(self, number: Any, param: Tensor, state: State) -> None:
        """Raise ValueError if the state saved for a parameter does not fit it."""

    def __getstate__(self) -> dict[str, Any]:
        return {
            "defaults": self.defaults,
            "param_groups": [{**group, "params": list(group["params"])} for group in self._groups],
            "states": [self._states().get(id(param), {}) for param in self._all_params()],
        }

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self.defaults = saved["defaults"]
        groups = saved["param_groups"]
        params = [param for group in groups for param in group["params"]]
        states = {id(param): state for param, state in zip(params, saved["states"], strict=True) if state}
        self._start(groups, states)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for index, group in enumerate(self._groups):
            lines.append(f"Parameter Group {index}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])
