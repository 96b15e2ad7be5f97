"""Callback, and the simplest ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnncore.model import Model


class Callback:
    """Base of the callbacks; a subclass overrides the hooks it needs.

    A hook may set ``self.model.stop_training = True``; training then ends after the batch, and ``History.stopped_by`` has the
    name of the class. What `on_epoch_end` adds to `logs` goes into the history. An error in a hook ends training: the best
    weights come back, the history has what was finished, and the error goes on to the caller of `fit`.

    Attributes
    ----------
    model : Model
        What is trained.
    params : dict
        ``epochs``, ``steps`` (batches per epoch, None where unknown), ``batch_size``, ``samples``.

    Examples
    --------
    >>> from dnncore.callbacks import Callback
    >>> class Goal(Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         self.model.stop_training = logs["loss"] < 0.1
    """

    model: Model
    params: Mapping[str, Any]

    def set_model(self, model: Model) -> None:
        """Take note of the model."""
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Take note of what the run was asked for."""
        self.params = params

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Run before the first epoch."""

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Run after the last epoch, with its values; not after an error."""

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Run before each epoch; epochs count from 0."""

    def on_epoch_end(self, epoch: int, logs: MutableMapping[str, float]) -> None:
        """Run after each epoch and its validation, with their values by name."""

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Run before each training batch."""

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float]) -> None:
        """Run after each training batch; `logs` has the values of the epoch so far, which are read when looked at."""


class LambdaCallback(Callback):
    """Hooks as functions.

    Parameters
    ----------
    on_train_begin, on_train_end : callable of (logs), optional
    on_epoch_begin, on_epoch_end : callable of (epoch, logs), optional
    on_train_batch_begin, on_train_batch_end : callable of (batch, logs), optional

    Raises
    ------
    TypeError
        If one of them cannot be called.

    Examples
    --------
    >>> from dnncore.callbacks import LambdaCallback
    >>> show = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    >>> show.on_epoch_end(0, {"loss": 0.5})
    0 0.5
    """

    def __init__(
        self,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
    ) -> None:
        given = {
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        for name, function in given.items():
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"LambdaCallback: expected {name} to be a function, got {type(function).__name__}")
            setattr(self, name, function)


class TerminateOnNaN(Callback):
    """Ends training at the first batch whose loss is NaN or infinite.

    It reads the loss after every batch.

    Examples
    --------
    >>> from dnncore.callbacks import TerminateOnNaN
    >>> TerminateOnNaN().on_train_batch_end(0, {"loss": 0.5})
    """

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float]) -> None:
        """Look at the loss."""
        if not math.isfinite(logs["loss"]):
            self.model.stop_training = True
