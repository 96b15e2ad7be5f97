"""Optimizers whose update is native: one launch per step over all parameters, settings and state in tensor memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, ClassVar, NamedTuple

from dnncore import _core
from dnncore._core import Tensor
from dnncore.nn.parameter import is_replaced, replacements
from dnncore.optim.groups import StateView
from dnncore.optim.optimizer import Optimizer, State, as_number


class Limit(NamedTuple):
    """What a number may be."""

    holds: Callable[[float], bool]
    text: str


# Of settings by name; a pair is for a setting of two numbers.
Limits = Mapping[str, Limit | tuple[Limit, Limit]]

ANY = Limit(lambda x: x == x, "")
AT_LEAST_0 = Limit(lambda x: x >= 0, "of at least 0")
BELOW_1 = Limit(lambda x: 0 <= x < 1, "of at least 0 and below 1")
UP_TO_1 = Limit(lambda x: 0 <= x <= 1, "from 0 to 1")
BETWEEN_0_AND_1 = Limit(lambda x: 0 < x < 1, "above 0 and below 1")
ABOVE_1 = Limit(lambda x: x > 1, "above 1")

# Fields of the native settings, by the names of the groups.
_NATIVE = {
    "betas": ("beta1", "beta2"),
    "etas": ("eta_minus", "eta_plus"),
    "step_sizes": ("step_min", "step_max"),
    "decoupled_weight_decay": ("decoupled",),
    "initial_accumulator_value": ("initial",),
}
_SAME_NAME = {
    *("lr", "weight_decay", "maximize", "momentum", "dampening", "nesterov", "eps", "amsgrad", "momentum_decay"),
    *("alpha", "centered", "rho", "lr_decay", "lambd", "t0"),
}


class NativeOptimizer(Optimizer):
    """Base of the optimizers with a rule of the native kernel; a subclass names the rule and what its numbers may be."""

    _rule: ClassVar[str]
    _limits: ClassVar[Limits]
    _state_from_start: ClassVar[bool] = False

    def _number(self, name: str, value: Any, limit: Limit) -> None:
        plain = type(value) in (float, int)
        if not limit.holds(value if plain else as_number(type(self).__name__, name, value)):
            raise ValueError(f"{type(self).__name__}: expected {name} {limit.text or 'to be a number'}, got {value}")

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        for name, limit in self._limits.items():
            value = settings[name]
            if isinstance(limit, Limit):
                self._number(name, value, limit)
                continue
            if not isinstance(value, (tuple, list)) or len(value) != 2:
                raise TypeError(f"{type(self).__name__}: expected two numbers for {name}, got {value!r}")
            for i, (part, its_limit) in enumerate(zip(value, limit, strict=True)):
                self._number(f"{name}[{i}]", part, its_limit)
        if settings["differentiable"]:
            raise ValueError(f"{type(self).__name__}: expected differentiable=False, got True; the update is not recorded")

    def _native_settings(self, settings: Mapping[str, Any]) -> dict[str, float]:
        found = {key: float(settings[key]) for key in self.defaults if key in _SAME_NAME}
        for key, fields in _NATIVE.items():
            if key in self.defaults:
                values = settings[key] if len(fields) == 2 else (settings[key],)
                found.update(zip(fields, map(float, values), strict=True))
        return found

    def _adopt(self, groups: list[dict[str, Any]], states: Mapping[int, State]) -> None:
        update = _core.OptimizerUpdate(self._rule)
        for index, group in enumerate(groups):
            update.add_group(list(group["params"]), **self._native_settings(group))
            for i, param in enumerate(group["params"]):
                if id(param) in states:
                    update.set_state(index, i, states[id(param)])
        if self._state_from_start:
            update.prepare()
        self._outdate()
        self._update = update
        self._registered = [list(group["params"]) for group in groups]  # as the native update numbers them

    def _outdate(self) -> None:
        if (update := vars(self).get("_update")) is not None:
            update.outdate()

    def _extend(self, group: dict[str, Any]) -> None:
        self._update.add_group(group["params"], **self._native_settings(group))
        self._registered.append(list(group["params"]))
        if self._state_from_start:
            self._update.prepare()

    def _write_settings(self, index: int, settings: Mapping[str, Any]) -> None:
        self._update.set_group(index, **self._native_settings(settings))

    @property
    def state(self) -> MutableMapping[Tensor, State]:
        """State by parameter, such as ``{"step": ..., "exp_avg": ...}``, in the memory that the update uses."""
        found: dict[Tensor, State] = {}
        for g, params in enumerate(self._registered):
            for i, param in enumerate(params):
                state = self._update.state(g, i)
                if state:
                    found[param] = StateView(state)
        return StateView(found)

    def _check_state(self, number: Any, param: Tensor, state: State) -> None:
        for key, value in state.items():
            if not isinstance(value, Tensor):
                state[key] = value = _core.as_tensor(value)
            if tuple(value.shape) not in ((), tuple(param.shape)):
                raise ValueError(
                    f"{type(self).__name__}.load_state_dict: expected {key} {number} of shape {tuple(param.shape)}, "
                    f"got {tuple(value.shape)}"
                )

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
        loss = self._loss_of(closure)
        if replacements() and any(param.grad is None and is_replaced(param) for params in self._registered for param in params):
            warnings.warn(
                f"{type(self).__name__}.step: a module uses another parameter in place of one of these, since a cast, "
                "load_state_dict(assign=True) or a reparametrization; make the optimizer after it",
                stacklevel=2,
            )
        self._update.step()
        return loss
