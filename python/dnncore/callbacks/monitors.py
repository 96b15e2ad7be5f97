"""Callbacks that watch one value: EarlyStopping and ReduceLROnPlateau."""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING

from dnncore.callbacks.base import Callback
from dnncore.optim import lr_scheduler

if TYPE_CHECKING:
    from dnncore.model import Model


def checked_mode(name: str, mode: str) -> str:
    """Return `mode`, or raise ValueError."""
    if mode not in ("auto", "min", "max"):
        raise ValueError(f"{name}: expected mode 'auto', 'min' or 'max', got {mode!r}")
    return mode


def is_lower_better(name: str, model: Model, monitor: str, mode: str) -> bool:
    """Return the direction of a monitored value; ValueError where only the caller knows it."""
    if mode != "auto":
        return mode == "min"
    lower = model._lower_is_better(monitor)
    if lower is None:
        raise ValueError(f"{name}: whether {monitor!r} should fall or rise is not known; pass mode='min' or mode='max'")
    return lower


def value_of(name: str, logs: Mapping[str, float], monitor: str) -> float:
    """Return the monitored value; ValueError with the names that are there if it is missing."""
    if monitor not in logs:
        raise ValueError(f"{name}: expected monitor to be one of {', '.join(logs)}, got {monitor!r}")
    return float(logs[monitor])


class EarlyStopping(Callback):
    """Ends training when a value has not improved for some epochs.

    Parameters
    ----------
    monitor : str, default "val_loss"
        Name of the value, as the history has it.
    min_delta : float, default 0
        Least improvement that counts.
    patience : int, default 0
        Epochs without improvement that are borne; training ends with the epoch that makes so many, and at 0 with the first.
    mode : {"auto", "min", "max"}, default "auto"
        Whether it should fall or rise; losses and the metrics of the model say so themselves.
    restore_best_weights : bool, default True
        Whether `fit` brings the best weights back in the end, whatever ended it.

    Raises
    ------
    ValueError
        If an argument is out of range; in training, if there is no such value.

    Notes
    -----
    NaN is no improvement.

    Examples
    --------
    >>> from dnncore.callbacks import EarlyStopping
    >>> EarlyStopping(patience=3).monitor
    'val_loss'
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        restore_best_weights: bool = True,
    ) -> None:
        if patience < 0 or not min_delta >= 0:
            raise ValueError(f"EarlyStopping: expected patience and min_delta of at least 0, got {patience} and {min_delta}")
        self.monitor, self.min_delta, self.patience = monitor, min_delta, patience
        self.mode = checked_mode("EarlyStopping", mode)
        self.restore_best_weights = restore_best_weights
        self.wait = 0
        self.best = math.nan

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Start counting."""
        self._sign = 1.0 if is_lower_better("EarlyStopping", self.model, self.monitor, self.mode) else -1.0
        self.wait = 0
        self.best = self._sign * math.inf

    def on_epoch_end(self, epoch: int, logs: MutableMapping[str, float]) -> None:
        """Compare with the best value."""
        value = value_of("EarlyStopping", logs, self.monitor)
        if self._sign * value < self._sign * self.best - self.min_delta:
            self.best, self.wait = value, 0
            return
        self.wait += 1
        if self.wait >= self.patience:
            self.model.stop_training = True


class ReduceLROnPlateau(Callback):
    """Times `factor` the learning rate when a value has not improved for some epochs.

    Parameters
    ----------
    monitor : str, default "val_loss"
        Name of the value, as the history has it.
    factor : float, default 0.1
        Above 0 and below 1.
    patience : int, default 10
        Epochs without improvement after which the rate is reduced.
    mode : {"auto", "min", "max"}, default "auto"
        Whether the value should fall or rise.
    min_delta : float, default 1e-4
        Least improvement that counts.
    cooldown : int, default 0
        Epochs after a reduction in which nothing is counted.
    min_lr : float, default 0
        Least rate.

    Notes
    -----
    The rate goes into the history as ``lr``.

    Examples
    --------
    >>> from dnncore.callbacks import ReduceLROnPlateau
    >>> ReduceLROnPlateau(factor=0.5, patience=3).factor
    0.5
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        if not 0 < factor < 1:
            raise ValueError(f"ReduceLROnPlateau: expected factor above 0 and below 1, got {factor}")
        if patience < 0 or cooldown < 0 or not min_delta >= 0 or not min_lr >= 0:
            raise ValueError("ReduceLROnPlateau: expected patience, cooldown, min_delta and min_lr of at least 0")
        self.monitor, self.factor, self.patience = monitor, factor, patience
        self.mode = checked_mode("ReduceLROnPlateau", mode)
        self.min_delta, self.cooldown, self.min_lr = min_delta, cooldown, min_lr

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Start counting."""
        lower = is_lower_better("ReduceLROnPlateau", self.model, self.monitor, self.mode)
        self._scheduler = lr_scheduler.ReduceLROnPlateau(
            self.model.optimizer,
            mode="min" if lower else "max",
            factor=self.factor,
            patience=max(self.patience - 1, 0),  # there it is the number that is borne
            threshold=self.min_delta,
            threshold_mode="abs",
            cooldown=self.cooldown,
            min_lr=self.min_lr,
        )

    def on_epoch_end(self, epoch: int, logs: MutableMapping[str, float]) -> None:
        """Compare with the best value."""
        logs["lr"] = self.model.optimizer.param_groups[0]["lr"]
        self._scheduler.step(value_of("ReduceLROnPlateau", logs, self.monitor))
