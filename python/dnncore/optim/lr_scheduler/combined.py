"""Schedules made of schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from dnncore.optim.lr_scheduler.base import LRScheduler
from dnncore.optim.lr_scheduler.plateau import ReduceLROnPlateau
from dnncore.optim.optimizer import Optimizer


class _Combined(LRScheduler):
    _schedulers: list[LRScheduler]

    def _take(self, optimizer: Optimizer | None, schedulers: Sequence[LRScheduler]) -> None:
        name = type(self).__name__
        if not schedulers:
            raise ValueError(f"{name}: expected schedulers, got none")
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(f"{name}: expected schedulers, got {type(scheduler).__name__} at {i}")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(f"{name}: ReduceLROnPlateau at {i} needs a metric at each step and cannot be combined")
            if scheduler.optimizer is not (optimizer or schedulers[0].optimizer):
                raise ValueError(f"{name}: expected schedulers of one optimizer, got another one's at {i}")
        self.optimizer = schedulers[0].optimizer
        self._schedulers = list(schedulers)

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer, with the states of the schedulers."""
        return {**super().state_dict(), "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class ChainedScheduler(_Combined):
    """Several schedules at once: each step is a step of all, in order.

    Examples
    --------
    >>> import dnncore as dnn
    >>> schedules = dnn.optim.lr_scheduler
    >>> optimizer = dnn.optim.SGD([dnn.ones(1)], lr=1.0)
    >>> both = [schedules.ExponentialLR(optimizer, 0.5), schedules.StepLR(optimizer, 1, 0.5)]
    >>> scheduler = schedules.ChainedScheduler(both)
    >>> scheduler.step()
    >>> optimizer.param_groups[0]["lr"]
    0.25
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self._take(optimizer, schedulers)
        self._last_lr = self._lrs()

    def step(self, epoch: int | None = None) -> None:
        """Make a step of every scheduler."""
        for scheduler in self._schedulers:
            scheduler.step(epoch)
        self._last_lr = self._lrs()


class SequentialLR(_Combined):
    """One schedule after the other, changing at the `milestones`.

    Examples
    --------
    >>> import dnncore as dnn
    >>> schedules = dnn.optim.lr_scheduler
    >>> optimizer = dnn.optim.SGD([dnn.ones(1)], lr=1.0)
    >>> warm_up = schedules.LinearLR(optimizer, start_factor=0.25, total_iters=3)
    >>> scheduler = schedules.SequentialLR(optimizer, [warm_up, schedules.ExponentialLR(optimizer, 0.5)], milestones=[3])
    >>> rates = []
    >>> for _ in range(5):
    ...     rates += scheduler.get_last_lr()
    ...     scheduler.step()
    >>> rates
    [0.25, 0.5, 0.75, 1.0, 0.5]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        self._take(optimizer, schedulers)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(f"SequentialLR: expected {len(schedulers) - 1} milestones, got {len(milestones)}")
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self._undo(self)  # the first steps that the schedulers made when they were built
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def _undo(self, scheduler: LRScheduler) -> None:
        if isinstance(scheduler, _Combined):
            for inner in scheduler._schedulers:
                self._undo(inner)
        else:
            scheduler.last_epoch -= 1

    def step(self, epoch: int | None = None) -> None:
        """Make a step of the scheduler whose turn it is."""
        if epoch is not None:
            raise ValueError("SequentialLR: expected step() without an epoch")
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[turn]
        if turn > 0 and self._milestones[turn - 1] == self.last_epoch:
            scheduler._move_to(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()
