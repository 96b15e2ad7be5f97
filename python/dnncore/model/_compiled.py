"""What `Model.compile` settles: optimizer, losses and metrics, and the recorded steps of the forms of batches that occur."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple

from dnncore import _core, optim
from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.model._arrays import modules_of
from dnncore.model._feed import Batch, Form, Samples
from dnncore.model._objective import Loss, Objective
from dnncore.model._step import Clip, QuietStep, Step, Tally, TrainStep, Watched
from dnncore.nn.module import Module
from dnncore.nn.parameter import is_lazy
from dnncore.optim.optimizer import Optimizer

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    name.lower(): getattr(optim, name) for name in optim.__all__ if name not in ("Optimizer", "lr_scheduler")
}


_changing_modes = threading.RLock()


def _in_a_forked_child() -> None:
    global _changing_modes
    _changing_modes = threading.RLock()  # a thread that is not here may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_a_forked_child)


class evaluating:  # noqa: N801 - reads as a statement
    """Evaluation mode without gradients in a ``with`` block; afterwards each module has the mode it had.

    Threads go on at the same time where nothing must be changed for them, and else one after the other.
    """

    def __init__(self, module: Module) -> None:
        self._module, self._no_grad, self._lock = module, no_grad(), _changing_modes

    def __enter__(self) -> None:
        self._lock.acquire()
        self._training = [each.__dict__ for each in modules_of(self._module) if each.training]
        for attributes in self._training:
            attributes["training"] = False
        if not self._training:
            self._lock.release()
        self._no_grad.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._no_grad.__exit__(kind, error, trace)
        for attributes in self._training:
            attributes["training"] = True
        if self._training:
            self._lock.release()


@contextmanager
def modes_kept(module: Module) -> Iterator[None]:
    """Give each module the mode it had afterwards."""
    modes = [(each, each.training) for each in module.modules()]
    try:
        yield
    finally:
        for each, mode in modes:
            each.training = mode


class _Recorded(NamedTuple):
    step: QuietStep
    others: list[Watched]  # metrics that run in Python
    watched: Sequence[Watched]  # kept, since its id is the key


class Compiled:
    """A module with its objective; ready to step once it has seen a batch."""

    def __init__(self, module: Module, optimizer: Any, objective: Objective, clip: Clip) -> None:
        self.module, self.objective, self._clip = module, objective, clip
        self._asked = optimizer
        self.optimizer: Optimizer | None = self._made(optimizer)
        self.watched: list[Watched] = []
        self.is_settled = False  # after the first batch
        self.tasks: list[str] = []
        self.tally = Tally(objective.names)
        self._steps: dict[Any, _Recorded] = {}
        self.device = _core.device("cpu")

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_steps": {}}

    def _made(self, optimizer: Any) -> Optimizer | None:
        """Return the optimizer; None if it is a name and the parameters have no shapes yet."""
        if isinstance(optimizer, str):
            if optimizer not in OPTIMIZERS:
                names = ", ".join(sorted(OPTIMIZERS))
                raise ValueError(f"compile: expected optimizer to be one of {names}, or an instance, got {optimizer!r}")
            parameters = [*self.module.parameters()]
            return None if any(map(is_lazy, parameters)) else OPTIMIZERS[optimizer](parameters)
        if isinstance(optimizer, type):
            raise TypeError(f"compile: expected an optimizer, got the class; write {optimizer.__name__}(module.parameters())")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"compile: expected an optimizer of dnncore.optim or its name, got {type(optimizer).__name__}")
        own = {id(parameter) for parameter in self.module.parameters()}
        if not any(id(parameter) in own for group in optimizer.param_groups for parameter in group["params"]):
            raise ValueError("compile: the optimizer holds no parameter of the module; make it from module.parameters()")
        return optimizer

    # --- Device

    def follow(self, device: _core.device) -> None:
        """Bring what steps read to the device of the module."""
        self.objective.to(device)
        if device == self.device:
            return
        self.tally.to(device)
        self._steps = {}
        self.device = device

    # --- The first batch

    def outputs_of(self, samples: Samples) -> list[Tensor]:
        """Return what the network makes of some samples in evaluation mode, one tensor per output."""
        form, tensors = samples.to(self.device).as_batch()
        with evaluating(self.module):
            return self.objective.split("the output", form.outputs(self.module, tensors))

    def settle(self, outputs: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
        """Make what depends on the shapes of the outputs: the optimizer of lazy modules, and metrics."""
        if self.optimizer is None:
            self.optimizer = self._made(self._asked)
        if isinstance(self._asked, str) and self.optimizer is not None:
            self._check_all_are_trained(self.optimizer)
        if not self.is_settled:
            chosen = [output.metrics for output in self.objective.outputs]
            self.watched = self.resolved(chosen, outputs, targets)
            self.is_settled = True

    def _check_all_are_trained(self, optimizer: Optimizer) -> None:
        known = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        for name, parameter in self.module.named_parameters():
            if parameter.requires_grad and id(parameter) not in known:
                raise RuntimeError(
                    f"fit: parameter {name!r} is newer than compile({self._asked!r}), whose optimizer would leave it as it is; "
                    "call compile again"
                )

    def resolved(self, chosen: Sequence[Sequence[Any]], outputs: Sequence[Tensor], targets: Sequence[Tensor]) -> list[Watched]:
        """Return the metrics that are asked for, for each output."""
        self.tasks = [o.loss.task(x, y) for o, x, y in zip(self.objective.outputs, outputs, targets, strict=True)]
        found: list[Watched] = []
        for i, (output, specs) in enumerate(zip(self.objective.outputs, chosen, strict=True)):
            for spec in specs:
                metric = _fitting(spec, self.tasks[i], output.loss)
                key = output.key(metric.name)
                if any(other.key == key for other in found):
                    raise ValueError(f"compile: two metrics are called {key!r}; give one another name")
                found.append(Watched(key, i, metric))
        return found

    # --- Steps

    def train(self, batch: Batch) -> None:
        """Take a training step; count its losses and metrics."""
        self._run("train", batch, self.watched)

    def evaluate(self, batch: Batch, watched: Sequence[Watched]) -> None:
        """Count the losses and metrics of a batch, in whatever mode is on."""
        self._run("evaluate", batch, watched)

    def _run(self, kind: str, batch: Batch, watched: Sequence[Watched]) -> None:
        form, given = batch
        tensors = given
        if self.device.type != "cpu" or any(tensor.is_cuda for tensor in given):
            tensors = [tensor.to(self.device, non_blocking=True) for tensor in given]
        place = kind, form, id(watched)
        found = self._steps.get(place)
        if found is None:
            found = self._steps[place] = self._recorder(kind, form, watched)
        outputs = found.step(*tensors)
        if found.others:
            with no_grad():
                outputs, given = [x.cpu() for x in outputs], [x.cpu() for x in given]
                for each in found.others:
                    each.update(outputs, form, given)

    def _recorder(self, kind: str, form: Form, watched: Sequence[Watched]) -> _Recorded:
        """Return a step; metrics that are sums in tensors are part of it, others get its outputs."""
        from dnncore.metrics.metric import Streaming

        inside = [each for each in watched if isinstance(each.metric, Streaming)]
        others = [each for each in watched if not isinstance(each.metric, Streaming)]
        settings = self.module, self.objective, form, self.tally, inside, bool(others)
        if kind == "evaluate":
            return _Recorded(QuietStep(Step(*settings).evaluated), others, watched)
        assert self.optimizer is not None
        return _Recorded(QuietStep(TrainStep(*settings, optimizer=self.optimizer, clip=self._clip).trained), others, watched)

    def forget(self, watched: Sequence[Watched]) -> None:
        """Drop the steps with these metrics."""
        self._steps = {place: found for place, found in self._steps.items() if found.watched is not watched}

    # --- Values

    def reset(self, watched: Sequence[Watched]) -> None:
        """Start losses and metrics anew."""
        self.tally.reset()
        for each in watched:
            each.metric.reset()

    def values(self, watched: Sequence[Watched]) -> dict[str, Any]:
        """Return losses and metrics by name."""
        return {**self.tally.read(), **{each.key: each.metric.compute() for each in watched}}

    def lower_is_better(self, name: str) -> bool | None:
        """Return the direction of a value in the logs, None if it is not known."""
        name = name.removeprefix("val_")
        if name in self.objective.names or name == "train_loss_eval":
            return True
        for each in self.watched:
            if each.key == name and each.metric.higher_is_better is not None:
                return not each.metric.higher_is_better
        return None


def _fitting(spec: Any, task: str, loss: Loss) -> Any:
    from dnncore.metrics._resolve import MisfitError, resolve

    try:
        metric: Any = resolve(spec, task, from_logits=not loss.of_probabilities)
    except MisfitError as error:
        from dnncore.model._diagnosis import Diagnosis

        message = f"the metric {error.metric!r} is for {' and '.join(error.tasks)}, but the loss {loss.name} makes this {task}"
        raise Diagnosis("D601", message, f"metrics=[{error.fitting[0]!r}]") from error
    if isinstance(spec, str) and loss.ignore_index is not None and hasattr(metric, "ignore_index"):
        metric.ignore_index = loss.ignore_index
    return metric


def is_number(value: Any) -> bool:
    """Whether a metric gave one number, which a history can hold."""
    return isinstance(value, (int, float)) or getattr(value, "ndim", 1) == 0
