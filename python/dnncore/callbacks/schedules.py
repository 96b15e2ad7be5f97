"""LearningRateScheduler: a function or a schedule of dnncore.optim.lr_scheduler."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableMapping

from dnncore.callbacks.base import Callback
from dnncore.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau


class LearningRateScheduler(Callback):
    """Sets the learning rate by a function of the epoch, or steps a schedule.

    Parameters
    ----------
    schedule : callable of (epoch, lr) -> float, or LRScheduler
        A function is called before each epoch with its number, from 0, and the present rate. A schedule of
        `dnncore.optim.lr_scheduler`, made for the optimizer of the model, is stepped.
    interval : {"epoch", "batch"}, default "epoch"
        How often a schedule is stepped: after each epoch or after each batch.

    Raises
    ------
    TypeError
        If `schedule` is neither.
    ValueError
        If `interval` is another word, or goes with a function; in training, if a function returns no positive number.

    Notes
    -----
    The rate of each epoch, that of the first parameter group, goes into the history as ``lr``.

    Examples
    --------
    >>> from dnncore.callbacks import LearningRateScheduler
    >>> halving = LearningRateScheduler(lambda epoch, lr: lr if epoch < 10 else lr * 0.5)
    """

    def __init__(self, schedule: Callable[[int, float], float] | LRScheduler, interval: str = "epoch") -> None:
        if interval not in ("epoch", "batch"):
            raise ValueError(f"LearningRateScheduler: expected interval 'epoch' or 'batch', got {interval!r}")
        if isinstance(schedule, ReduceLROnPlateau):
            raise TypeError("LearningRateScheduler: this schedule waits for a value; use dnncore.callbacks.ReduceLROnPlateau")
        if isinstance(schedule, LRScheduler):
            self._scheduler: LRScheduler | None = schedule
        elif callable(schedule):
            if interval == "batch":
                raise ValueError("LearningRateScheduler: a function is called once per epoch; interval='batch' is for schedules")
            self._scheduler, self._function = None, schedule
        else:
            raise TypeError(
                "LearningRateScheduler: expected a function or a schedule of dnncore.optim.lr_scheduler, "
                f"got {type(schedule).__name__}"
            )
        self._interval = interval

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Check that the schedule is of this optimizer."""
        if self._scheduler is not None and self._scheduler.optimizer is not self.model.optimizer:
            raise ValueError("LearningRateScheduler: the schedule is of another optimizer; make it with model.optimizer")

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Set the rate by the function."""
        groups = self.model.optimizer.param_groups
        if self._scheduler is None:
            rate = float(self._function(epoch, groups[0]["lr"]))
            if not 0 <= rate < math.inf:
                raise ValueError(f"LearningRateScheduler: expected a finite rate of at least 0 for epoch {epoch}, got {rate}")
            for group in groups:
                group["lr"] = rate
        self._rate = groups[0]["lr"]

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float]) -> None:
        """Step the schedule, if that is done per batch."""
        if self._scheduler is not None and self._interval == "batch":
            self._scheduler.step()

    def on_epoch_end(self, epoch: int, logs: MutableMapping[str, float]) -> None:
        """Note the rate, and step the schedule if that is done per epoch."""
        logs["lr"] = self._rate
        if self._scheduler is not None and self._interval == "epoch":
            self._scheduler.step()
