"""The epochs of `Model.fit`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dnncore.callbacks import Callback
from dnncore.model._compiled import Compiled, evaluating, is_number
from dnncore.model._feed import Arrays, Stream
from dnncore.model._interrupt import Interrupts
from dnncore.model._pieces import Pieces
from dnncore.model._progress import Progress
from dnncore.model._step import Watched
from dnncore.model.history import History

if TYPE_CHECKING:
    from dnncore.model.model import Model

_HOOKS = ("on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end")

_NO_METRICS: list[Watched] = []


class Settings(NamedTuple):
    """What a run was asked for."""

    epochs: int
    initial_epoch: int
    restore_best_weights: bool
    train_loss_eval: bool
    shift: int  # of the numbers that the orders of samples follow from


class BatchLogs(Mapping[str, Any]):
    """Values so far in the epoch, each read when somebody looks at it."""

    def __init__(self, compiled: Compiled) -> None:
        self._tally = compiled.tally
        self._metrics = {each.key: each.metric for each in compiled.watched}

    def __getitem__(self, name: str) -> Any:
        return self._metrics[name].compute() if name in self._metrics else self._tally.read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self._tally.names, *self._metrics])

    def __len__(self) -> int:
        return len(self._tally.names) + len(self._metrics)


class Hooks:
    """The callbacks of a run; a hook that nobody overrides costs nothing."""

    def __init__(self, callbacks: Sequence[Callback], model: Model, params: dict[str, Any]) -> None:
        self._model = model
        self.stopped_by: str | None = None
        self._by_hook = {name: [each for each in callbacks if _overrides(each, name)] for name in _HOOKS}
        for each in callbacks:
            each.set_model(model)
            each.set_params(params)

    def wants(self, hook: str) -> bool:
        """Whether some callback has this hook."""
        return bool(self._by_hook[hook])

    def call(self, hook: str, *args: Any) -> None:
        """Call a hook of all callbacks, and note the first that asks to stop."""
        for each in self._by_hook[hook]:
            getattr(each, hook)(*args)
            if self._model.stop_training and self.stopped_by is None:
                self.stopped_by = type(each).__name__


def _overrides(callback: Callback, hook: str) -> bool:
    return getattr(type(callback), hook) is not getattr(Callback, hook) or hook in vars(callback)


class Best:
    """The weights of the epoch with the best value of a name."""

    def __init__(self, model: Model, monitor: str, lower: bool) -> None:
        self._module, self.monitor, self._sign = model.module, monitor, 1.0 if lower else -1.0
        self.value = math.inf
        self.epoch: int | None = None
        self._state: dict[str, Any] = {}

    def look(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """Keep the weights if they are better; NaN never is."""
        if self.monitor not in logs:
            raise ValueError(f"fit: expected the monitored value to be one of {', '.join(logs)}, got {self.monitor!r}")
        value = self._sign * float(logs[self.monitor])
        if value < self.value:
            self.value, self.epoch = value, epoch
            self._state = {name: x.clone() if hasattr(x, "clone") else x for name, x in self._module.state_dict().items()}

    def restore(self) -> str | None:
        """Bring the best weights back; return a line that says so."""
        if self.epoch is None:
            return None
        self._module.load_state_dict(self._state)
        return f"fit: the weights are those of epoch {self.epoch + 1}, the best with {self.monitor} {self._sign * self.value:.4g}"


class Run:
    """One call of `fit`."""

    def __init__(
        self,
        model: Model,
        compiled: Compiled,
        settings: Settings,
        train: Arrays | Stream | Pieces,
        validation: Arrays | Stream | None,
        hooks: Hooks,
        best: Best | None,
        progress: Progress,
        history: History,
    ) -> None:
        self._model, self._compiled, self._settings = model, compiled, settings
        self._train, self._validation, self._hooks = train, validation, hooks
        self._best, self._progress, self._history = best, progress, history
        self._watched = compiled.watched
        self._warned = False

    def __call__(self) -> None:
        """Train; whatever ends it, the best weights are back and the history says how."""
        self._history.stopped_by = "error"
        with Interrupts() as interrupts:
            try:
                self._hooks.call("on_train_begin", {})
                self._epochs(interrupts)
                self._history.stopped_by = "user" if interrupts.pressed else self._hooks.stopped_by
                if interrupts.pressed:
                    self._progress.say("fit: stopped by Ctrl-C")
            except KeyboardInterrupt:
                self._history.stopped_by = "user"
                raise
            finally:
                self._end()
            self._hooks.call("on_train_end", self._last_logs())

    def _last_logs(self) -> dict[str, float]:
        return {name: values[-1] for name, values in self._history.history.items() if values}

    def _end(self) -> None:
        if self._best is not None:
            self._history.monitor, self._history.best_epoch = self._best.monitor, self._best.epoch
            if self._settings.restore_best_weights and (text := self._best.restore()):
                self._progress.say(text)
        self._progress.close()

    def _epochs(self, interrupts: Interrupts) -> None:
        for epoch in range(self._settings.initial_epoch, self._settings.epochs):
            if self._model.stop_training or interrupts.pressed:
                return
            self._hooks.call("on_epoch_begin", epoch, {})
            self._progress.epoch_begins(epoch)
            self._model.module.train()
            if not self._batches(epoch, interrupts):
                return
            logs = self._measured(interrupts)
            if interrupts.pressed:
                return
            self._finish(epoch, logs)

    def _batches(self, epoch: int, interrupts: Interrupts) -> bool:
        """Walk through the batches; return whether the epoch came to its end."""
        compiled, hooks, progress, watched = self._compiled, self._hooks, self._progress, self._watched
        begin, end = hooks.wants("on_train_batch_begin"), hooks.wants("on_train_batch_end")
        compiled.reset(watched)
        number = -1
        for number, batch in enumerate(self._train.batches(epoch + self._settings.shift)):
            if begin:
                hooks.call("on_train_batch_begin", number, {})
            compiled.train(batch)
            progress.batch_ends(compiled.tally.read)
            if end:
                hooks.call("on_train_batch_end", number, BatchLogs(compiled))
            if interrupts.pressed:
                return False
            if self._model.stop_training:
                break
        if number < 0:
            raise ValueError(
                f"fit: no batches are left for epoch {epoch + 1}; pass steps_per_epoch, or data that can be walked through again"
            )
        return True

    def _measured(self, interrupts: Interrupts) -> dict[str, Any]:
        """Return the values of the epoch: of training, and of validation under val_."""
        logs = self._compiled.values(self._watched)
        if self._settings.train_loss_eval:
            logs["train_loss_eval"] = evaluated(self._compiled, self._train.in_order(), _NO_METRICS, interrupts)["loss"]
        if self._validation is not None:
            found = evaluated(self._compiled, self._validation, self._watched, interrupts)
            logs.update({f"val_{name}": value for name, value in found.items()})
        return {name: float(value) for name, value in logs.items() if is_number(value)}

    def _finish(self, epoch: int, logs: dict[str, Any]) -> None:
        self._warn_of_nan(epoch, logs["loss"])
        best = self._best
        measured = best is not None and best.monitor in logs
        if best is not None and measured:  # before a callback touches the weights
            best.look(epoch, logs)
        try:
            self._hooks.call("on_epoch_end", epoch, logs)
            if best is not None and not measured:
                best.look(epoch, logs)
        finally:
            self._history.append(epoch, logs)
            self._model._epochs_done += 1
            self._progress.epoch_ends(epoch, logs)

    def _warn_of_nan(self, epoch: int, loss: float) -> None:
        if not math.isfinite(loss) and not self._warned:
            self._warned = True
            warnings.warn(
                f"fit: the loss of epoch {epoch + 1} is {loss}; look for NaN in the data, lower the learning rate, or compile "
                "with clip_norm=1.0; callbacks.TerminateOnNaN ends training there",
                RuntimeWarning,
                stacklevel=7,
            )


def evaluated(
    compiled: Compiled, source: Arrays | Stream, watched: Sequence[Watched], interrupts: Interrupts | None = None
) -> dict[str, Any]:
    """Return losses and metrics of all batches, in evaluation mode; of those until Ctrl-C, if it comes."""
    compiled.reset(watched)
    with evaluating(compiled.module):
        for batch in source.batches():
            compiled.evaluate(batch, watched)
            if interrupts is not None and interrupts.pressed:
                break
        return compiled.values(watched)
