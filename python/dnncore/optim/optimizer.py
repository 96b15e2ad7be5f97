"""Optimizer: groups of parameters, their settings and state; the arithmetic is native."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dnncore import _core
from dnncore._core import Tensor
from dnncore._grad_mode import enable_grad
from dnncore.nn.module import clear_gradients

Params = Iterable[Tensor] | Iterable[Mapping[str, Any]]


class ParamGroup(dict[str, Any]):
    """Settings of one group of parameters; what is written here stands in native memory at once."""

    def __init__(self, settings: Mapping[str, Any], changed: Callable[[ParamGroup, set[str]], None]) -> None:
        super().__init__(settings)
        self._changed = changed

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several settings; none if one of them is refused."""
        before = dict(self)
        fresh = dict(*args, **kwargs)
        super().update(fresh)
        try:
            self._changed(self, set(fresh))
        except BaseException:
            super().clear()
            super().update(before)
            raise

    def __ior__(self, other: Any) -> ParamGroup:  # type: ignore[override,misc]
        self.update(other)
        return self

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the setting, after setting it if it is not there."""
        if key not in self:
            self[key] = default
        return self[key]

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


class Optimizer:
    """Base of all optimizers.

    A subclass says which native update it uses (`_make_update`), how a group's settings reach it (`_write_settings`),
    and which state a parameter has (`_read_state`, `_write_state`).

    Parameters
    ----------
    params : iterable of Tensor or of dict
        Parameters, or groups of them: dicts with ``params`` and settings of their own.
    defaults : dict
        Settings of groups that do not set their own.

    Attributes
    ----------
    param_groups : list of dict
        The groups; writing ``param_groups[i]["lr"]`` takes effect at the next step.
    """

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(f"{type(self).__name__}: expected an iterable of tensors or dicts, got a Tensor; write [parameter]")
        self.defaults = defaults
        self.param_groups: list[ParamGroup] = []
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError(f"{type(self).__name__}: expected parameters, got an empty list")
        if not isinstance(groups[0], Mapping):
            groups = [{"params": groups}]
        checked = [self._checked_group(group) for group in groups]
        self._refuse_shared(checked)
        self.param_groups = [ParamGroup(group, self._on_change) for group in checked]
        self._update = self._new_update()

    # --- For subclasses

    def _make_update(self, groups: list[list[Tensor]]) -> Any:
        raise NotImplementedError(f"{type(self).__name__}: expected a method _make_update()")

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        """Raise ValueError or TypeError if a group's settings make no sense."""

    def _write_settings(self, update: Any, index: int, settings: Mapping[str, Any]) -> None:
        raise NotImplementedError(f"{type(self).__name__}: expected a method _write_settings()")

    def _read_state(self, update: Any, group: int, index: int) -> dict[str, Tensor]:
        raise NotImplementedError(f"{type(self).__name__}: expected a method _read_state()")

    def _write_state(self, update: Any, group: int, index: int, state: Mapping[str, Any]) -> None:
        raise NotImplementedError(f"{type(self).__name__}: expected a method _write_state()")

    # --- Groups

    def _checked_group(self, group: Any) -> dict[str, Any]:
        name = type(self).__name__
        if not isinstance(group, Mapping):
            raise TypeError(f"{name}: expected dicts or tensors, not both, got {type(group).__name__}")
        if "params" not in group:
            raise ValueError(f"{name}: expected 'params' in a parameter group, got the keys {list(group)}")
        if isinstance(group["params"], set):
            raise TypeError(f"{name}: expected parameters in a fixed order, got a set")
        params = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(f"{name}: expected tensors, got {type(param).__name__}")
            if not param.is_leaf:
                raise ValueError(f"{name}: expected a leaf tensor, got one of shape {tuple(param.shape)} that was computed")
        settings = {**self.defaults, **group, "params": params}
        self._check_settings(settings)
        return settings

    def _refuse_shared(self, groups: Iterable[Mapping[str, Any]]) -> None:
        ids = [id(param) for group in groups for param in group["params"]]
        if len(set(ids)) != len(ids):
            raise ValueError(f"{type(self).__name__}: a parameter appears more than once")

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add a group of parameters: a dict with ``params`` and, where they differ from the defaults, its settings."""
        group = self._checked_group(param_group)
        self._refuse_shared([*self.param_groups, group])
        state = self._states()
        self.param_groups.append(ParamGroup(group, self._on_change))
        self._update = self._new_update(state)

    def _on_change(self, group: ParamGroup, keys: set[str]) -> None:
        if "params" in keys:
            dict.__setitem__(group, "params", self._checked_group(group)["params"])
            self._refuse_shared(self.param_groups)
            self._update = self._new_update(self._states())
        else:
            self._check_settings(group)
        index = next((i for i, own in enumerate(self.param_groups) if own is group), None)
        if index is not None:  # a group that was taken out of the list may still be written
            self._write_settings(self._update, index, group)

    def _new_update(self, state: Mapping[int, Mapping[str, Any]] | None = None) -> Any:
        """Native update over the present groups; `state` by id of the parameter."""
        self._params = [list(group["params"]) for group in self.param_groups]
        update = self._make_update(self._params)
        for g, group in enumerate(self.param_groups):
            self._write_settings(update, g, group)
            for i, param in enumerate(self._params[g]):
                if state and id(param) in state:
                    self._write_state(update, g, i, state[id(param)])
        return update

    def _states(self) -> dict[int, dict[str, Tensor]]:
        states = {}
        for g, params in enumerate(self._params):
            for i, param in enumerate(params):
                state = self._read_state(self._update, g, i)
                if state:
                    states[id(param)] = state
        return states

    # --- Use

    @property
    def state(self) -> dict[Tensor, dict[str, Tensor]]:
        """State by parameter, such as ``{"momentum_buffer": ...}``; parameters without state are absent."""
        states = self._states()
        return {param: states[id(param)] for params in self._params for param in params if id(param) in states}

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters; with ``set_to_none=False`` fill them with zeros."""
        clear_gradients((param for params in self._params for param in params), set_to_none)

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
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self._update.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return state and settings in PyTorch's form; parameters are numbered in the order of the groups."""
        groups, number = [], 0
        states: dict[int, dict[str, Tensor]] = {}
        for g, group in enumerate(self.param_groups):
            count = len(self._params[g])
            groups.append({**{k: v for k, v in group.items() if k != "params"}, "params": list(range(number, number + count))})
            for i in range(count):
                state = self._read_state(self._update, g, i)
                if state:
                    states[number + i] = state
            number += count
        return {"state": states, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over state and settings that `state_dict` returned.

        Raises
        ------
        ValueError
            If the groups do not have the sizes of the present ones, or a state does not have its parameter's shape.
        """
        name = type(self).__name__
        saved = state_dict["param_groups"]
        have, got = [len(params) for params in self._params], [len(group["params"]) for group in saved]
        if have != got:
            raise ValueError(f"{name}.load_state_dict: expected groups of {have} parameters, got {got}")
        numbers = [number for group in saved for number in group["params"]]
        params = [param for own in self._params for param in own]
        states: dict[int, dict[str, Any]] = {}
        for number, param in zip(numbers, params, strict=True):
            saved_state = state_dict["state"].get(number, {}).items()
            entries = {k: _core.as_tensor(v) for k, v in saved_state if v is not None}
            for key, value in entries.items():
                if tuple(value.shape) not in ((), tuple(param.shape)):
                    raise ValueError(
                        f"{name}.load_state_dict: expected {key} {number} of shape {tuple(param.shape)}, got {tuple(value.shape)}"
                    )
            if entries:
                states[id(param)] = entries
        groups = [{**self.defaults, **group, "params": own} for group, own in zip(saved, self._params, strict=True)]
        for group in groups:
            self._check_settings(group)
        self.param_groups = [ParamGroup(group, self._on_change) for group in groups]
        self._update = self._new_update(states)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for index, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {index}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])
