"""Callbacks that write files: CSVLogger and ModelCheckpoint."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, MutableMapping
from typing import Any

from dnncore.callbacks.base import Callback
from dnncore.callbacks.monitors import checked_mode, is_lower_better, value_of


class CSVLogger(Callback):
    """Writes the values of each epoch as a line of a CSV file.

    Parameters
    ----------
    filename : path-like
        The file; its folder must exist.
    append : bool, default False
        Whether to go on with a file that is there, whose columns stay.

    Raises
    ------
    OSError
        When training begins, if the file cannot be written.

    Examples
    --------
    >>> from dnncore.callbacks import CSVLogger
    >>> log = CSVLogger("training.csv")
    """

    def __init__(self, filename: str | os.PathLike[str], append: bool = False) -> None:
        self.filename = os.fspath(filename)
        self.append = append
        self._columns: list[str] | None = None

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Open the file, or read its columns."""
        self._columns = None
        if self.append and os.path.exists(self.filename):
            with open(self.filename, newline="") as file:
                self._columns = next(csv.reader(file), None)
        with open(self.filename, "a" if self.append else "w"):
            pass

    def on_epoch_end(self, epoch: int, logs: MutableMapping[str, float]) -> None:
        """Write a line."""
        with open(self.filename, "a", newline="") as file:
            writer = csv.writer(file)
            if self._columns is None:
                self._columns = ["epoch", *logs]
                writer.writerow(self._columns)
            row: dict[str, Any] = {"epoch": epoch, **logs}
            writer.writerow([row.get(name, "") for name in self._columns])


class ModelCheckpoint(Callback):
    """Saves the model after epochs.

    Parameters
    ----------
    filepath : str or path-like
        Where to: a name that ends with ``.safetensors`` gets the weights alone, another one is a folder for `Model.save`.
        ``{epoch}``, counted from 1, and names of values are filled in, as in ``"runs/{epoch:02d}-{val_loss:.3f}"``.
    monitor : str, default "val_loss"
        Name of the value that decides what is best, with `save_best_only`.
    save_best_only : bool, default False
        Whether to save only when the value is better than all before; NaN never is.
    mode : {"auto", "min", "max"}, default "auto"
        Whether the value should fall or rise.

    Raises
    ------
    OSError
        In training, if it cannot be written; what was there stands.
    ValueError
        In training, if there is no such value.

    Examples
    --------
    >>> from dnncore.callbacks import ModelCheckpoint
    >>> best = ModelCheckpoint("best.safetensors", save_best_only=True)
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        save_best_only: bool = False,
        mode: str = "auto",
    ) -> None:
        self.filepath = os.fspath(filepath)
        self.save_best_only = save_best_only
        self.monitor = monitor if save_best_only else None
        self.mode = checked_mode("ModelCheckpoint", mode)

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Start comparing."""
        if self.monitor is not None:
            self._sign = 1.0 if is_lower_better("ModelCheckpoint", self.model, self.monitor, self.mode) else -1.0
            self._best = math.inf

    def on_epoch_end(self, epoch: int, logs: MutableMapping[str, float]) -> None:
        """Save, if it is time."""
        if self.monitor is not None:
            value = self._sign * value_of("ModelCheckpoint", logs, self.monitor)
            if not value < self._best:
                return
            self._best = value
        try:
            path = self.filepath.format(epoch=epoch + 1, **logs)
        except (KeyError, IndexError) as error:
            raise ValueError(
                f"ModelCheckpoint: no value {error} for {self.filepath!r}; there are epoch, {', '.join(logs)}"
            ) from None
        if path.endswith(".safetensors"):
            from dnncore.serialization import save

            save(self.model.module.state_dict(), path)
        else:
            self.model.save(path)
