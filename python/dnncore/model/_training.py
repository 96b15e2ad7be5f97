"""What `Model.fit` does before the first step: validation, weights of classes, checks, what is best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dnncore import _core
from dnncore import callbacks as own_callbacks
from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.callbacks import Callback
from dnncore.callbacks.monitors import is_lower_better
from dnncore.model._compiled import Compiled
from dnncore.model._feed import Arrays, Samples, Stream
from dnncore.model._loop import Best, Hooks, Run, Settings
from dnncore.model._pieces import Pieces
from dnncore.model._progress import Progress
from dnncore.model._split import held_out
from dnncore.model._weights import ClassWeights
from dnncore.model.history import History

if TYPE_CHECKING:
    from dnncore.model.model import Model


class Training:
    """The data of one `fit`, and what is settled about it before the run."""

    def __init__(self, model: Model, compiled: Compiled, train: Arrays | Stream, say: Callable[[str], object]) -> None:
        self._model, self._compiled, self._say = model, compiled, say
        self.train: Arrays | Stream | Pieces = train
        self.validation: Arrays | Stream | None = None

    def hold_out(self, share: float, split: str, validation_data: Any) -> None:
        """Take a share of the samples away for validation."""
        if validation_data is not None:
            raise ValueError("fit: expected validation_data or validation_split, got both")
        if isinstance(share, bool) or not 0 < share < 1:
            raise ValueError(f"fit: expected validation_split above 0 and below 1, got {share!r}")
        if split not in ("shuffled", "last"):
            raise ValueError(f"fit: expected split 'shuffled' or 'last', got {split!r}")
        if not isinstance(self.train, Arrays):
            raise ValueError("fit: validation_split needs arrays; pass validation_data")
        if self.train.rows < 2:
            raise ValueError("fit: validation_split needs at least two samples")
        kept, chosen, how = held_out(self.train.rows, share, split, self._classes(self.train.samples))
        self.train, self.validation = self.train.part(kept), self.train.part(chosen).in_order()
        self._say(f"fit: {len(chosen)} of {len(kept) + len(chosen)} samples are held out for validation: {how}")

    def _classes(self, samples: Samples) -> Tensor | None:
        """Return the class of each sample, where that is what the targets are."""
        if len(samples.targets) != 1:
            return None
        (target,) = samples.targets
        if target.ndim == 1 and target.dtype == _core.int64:
            return target
        one_each = target.ndim == 1 or (target.ndim == 2 and target.shape[1] == 1)
        binary = self._compiled.objective.outputs[0].loss.kind == "binary"
        return target.reshape(-1).long() if binary and one_each else None

    def truncate(self, length: int) -> None:
        """Cut the sequences to train on into pieces."""
        assert not isinstance(self.train, Pieces)
        self.train = Pieces(self._model.module, self.train, length)

    def validate_with(self, validation: Arrays | Stream) -> None:
        """Evaluate these after each epoch."""
        self.validation = validation

    def weigh_classes(self, class_weight: Any, outputs: Sequence[Tensor], first: Samples) -> None:
        """Give each training sample the weight of its class."""
        if class_weight is None:
            return
        whole = self.train.samples.targets[0] if isinstance(self.train, Arrays) else None
        chosen = self._compiled.objective.outputs
        self.train.change(ClassWeights(class_weight, chosen, outputs[0], first.targets[0], whole))

    def outputs_of(self, first: Samples) -> list[Tensor]:
        """Return what the network makes of the first batch; where it does not fit, say which layer and what would."""
        try:
            return self._compiled.outputs_of(first)
        except ValueError:
            from dnncore.model.diagnostics import examine_forward

            examine_forward(self._model.module, first.to(self._compiled.device).inputs)
            raise

    def try_validation(self) -> None:
        """Run the first validation batch in memory once: what does not fit is said now, and not after an epoch."""
        if not isinstance(self.validation, Arrays):
            return
        first = self.validation.first().to(self._compiled.device)
        state = _core.default_generator.get_state()
        try:
            with no_grad():
                self._compiled.objective(self._compiled.outputs_of(first), first.targets, first.weight)
        except ValueError as error:
            raise ValueError(f"fit, validation_data: {error}") from error
        finally:
            _core.default_generator.set_state(state)

    def examine(self, first: Samples) -> None:
        """Look for mistakes that numbers show before the first step."""
        from dnncore.model.diagnostics import examine

        first = first.to(self._compiled.device)
        joined, outputs = self._compiled.objective.joined, self._compiled.objective.outputs

        def whole(source: Arrays | Stream | Pieces | None) -> Any:
            return (source.samples.inputs, joined(source.samples.targets)) if isinstance(source, Arrays) else None

        examine(
            self._model.module,
            joined([output.loss.function for output in outputs]),
            [each.metric for each in self._compiled.watched],
            first.inputs,
            joined(first.targets),
            data=whole(self.train),
            validation=whole(self.validation),
            optimizer=self._compiled.optimizer,
        )

    # --- The run

    def run(
        self,
        *,
        epochs: int,
        initial_epoch: int,
        batch_size: int,
        callbacks: Callback | Sequence[Callback] | None,
        restore_best_weights: bool,
        train_loss_eval: bool,
        verbosity: int,
        placed: dict[str, str],
    ) -> History:
        """Train; `placed` says where, and why there."""
        if not self.train.repeatable and epochs - initial_epoch > 1 and self.train.wanted is None:
            raise ValueError("fit: several epochs of an iterator need steps_per_epoch, or data that can be walked through again")
        if not self.train.repeatable and train_loss_eval:
            raise ValueError("fit: train_loss_eval needs data that can be walked through again, got an iterator")
        chosen = _listed(callbacks)
        restore = restore_best_weights and all(getattr(each, "restore_best_weights", True) for each in chosen)
        shift = max(0, self._model._epochs_done - initial_epoch)  # a later call goes on with new orders
        settings = Settings(epochs, initial_epoch, restore, train_loss_eval, shift)
        samples = self.train.rows if isinstance(self.train, Arrays) else None
        params = {"epochs": epochs, "steps": self.train.steps, "batch_size": batch_size, "samples": samples, **placed}
        history = self._model.history = History(params=params)
        hooks = Hooks(chosen, self._model, params)
        best = self._best(chosen, train_loss_eval)
        progress = Progress(verbosity, epochs, initial_epoch, self.train.steps)
        Run(self._model, self._compiled, settings, self.train, self.validation, hooks, best, progress, history)()
        return history

    def _best(self, callbacks: list[Callback], train_loss_eval: bool) -> Best | None:
        watching = [each for each in callbacks if getattr(each, "monitor", None) is not None]
        if all(type(each).__module__.startswith(own_callbacks.__name__) for each in callbacks):
            self._check_monitors(watching, train_loss_eval)  # others may add values of their own
        if not watching:
            return None if self.validation is None else Best(self._model, "val_loss", lower=True)
        monitor, mode = watching[0].monitor, getattr(watching[0], "mode", "auto")  # type: ignore[attr-defined]
        return Best(self._model, monitor, is_lower_better(type(watching[0]).__name__, self._model, monitor, mode))

    def _check_monitors(self, watching: list[Callback], train_loss_eval: bool) -> None:
        names = [*self._compiled.objective.names, *(each.key for each in self._compiled.watched)]
        known = [*names, *(["train_loss_eval"] if train_loss_eval else []), "lr"]
        known += [f"val_{name}" for name in names] if self.validation is not None else []
        for each in watching:
            monitor = each.monitor  # type: ignore[attr-defined]
            if monitor not in known:
                hint = (
                    "; pass validation_data or validation_split" if monitor.startswith("val_") and self.validation is None else ""
                )
                name = type(each).__name__
                raise ValueError(f"{name}: expected monitor to be one of {', '.join(known)}, got {monitor!r}{hint}")


def _listed(callbacks: Callback | Sequence[Callback] | None) -> list[Callback]:
    found = [] if callbacks is None else [callbacks] if isinstance(callbacks, Callback) else [*callbacks]
    for each in found:
        if not isinstance(each, Callback):
            got = f"the class {each.__name__}; write {each.__name__}()" if isinstance(each, type) else type(each).__name__
            raise TypeError(f"fit: expected callbacks to be callbacks, got {got}")
    return found
