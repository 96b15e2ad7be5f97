"""LRScheduler, and what the schedules share."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Any

from dnncore.optim.optimizer import Optimizer


def checked(name: str, optimizer: Any) -> Optimizer:
    """Return `optimizer`; TypeError if it is none."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{name}: expected an optimizer, got {type(optimizer).__name__}")
    return optimizer


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """Return one value per group, from one value or a list of them."""
    if not isinstance(value, (list, tuple)):
        return [value] * len(optimizer.param_groups)
    if len(value) != len(optimizer.param_groups):
        raise ValueError(f"{name}: expected {len(optimizer.param_groups)} values, one per group, got {len(value)}")
    return list(value)


def function_state(function: Any) -> Any:
    """Return what a state keeps of a function: the attributes of a callable object, nothing of a plain function."""
    return None if isinstance(function, types.FunctionType) else dict(vars(function))


class LRScheduler:
    """Base of the schedules; a subclass defines `get_lr`.

    Parameters
    ----------
    optimizer : Optimizer
        Its groups' ``lr`` is written at each step; the first values are kept as ``initial_lr``.
    last_epoch : int, default -1
        Number of the last step done; -1 starts anew.

    Examples
    --------
    >>> import dnncore as dnn
    >>> class Halving(dnn.optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [base / 2**self.last_epoch for base in self.base_lrs]
    >>> optimizer = dnn.optim.SGD([dnn.ones(1)], lr=1.0)
    >>> scheduler = Halving(optimizer)
    >>> optimizer.step(), scheduler.step()
    (None, None)
    >>> scheduler.get_last_lr()
    [0.5]
    """

    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked(type(self).__name__, optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(f"{type(self).__name__}: last_epoch={last_epoch} needs 'initial_lr' in param_groups[{i}]")
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def _lrs(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _times(self, factor: float) -> list[float]:
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`, from those of the step before where the schedule allows."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method get_lr()")

    def _closed_form(self) -> list[float]:
        """Return the rates of step `last_epoch`, whatever went before."""
        return self.get_lr()

    def get_last_lr(self) -> list[float]:
        """Return the rates that the last step wrote, one per group."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Write the next rates, or those of step number `epoch`."""
        self._step_count += 1
        self._move_to(epoch)

    def _move_to(self, epoch: int | None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._write(self.get_lr() if epoch is None else self._closed_form())

    def _write(self, lrs: Iterable[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, lrs, strict=True):
            group["lr"] = lr
        self._last_lr = self._lrs()

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer, whose own state holds the rates."""
        return {key: value for key, value in vars(self).items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        vars(self).update(state_dict)
