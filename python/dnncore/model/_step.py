"""Training and evaluation steps: recorded when they repeat, with running sums that are read only when somebody looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from dnncore import _core
from dnncore._capture import CapturedStep
from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.model._feed import Form
from dnncore.model._objective import Objective
from dnncore.nn.module import Module
from dnncore.nn.utils import clip_grad_norm_, clip_grad_value_
from dnncore.optim import LBFGS
from dnncore.optim.optimizer import Optimizer


class QuietStep(CapturedStep[Any, Any]):
    """A captured step that runs in Python without a warning where it cannot be repeated; `reason` still says why."""

    def _tell(self, reason: str | None, level: int) -> None:
        self._reason = reason


class Clip(NamedTuple):
    """Limits on gradients."""

    norm: float | None = None
    value: float | None = None

    def __call__(self, module: Module) -> None:
        """Clip the gradients of `module`, first by value."""
        if self.value is not None:
            clip_grad_value_(module.parameters(), self.value)
        if self.norm is not None:
            clip_grad_norm_(module.parameters(), self.norm)


class Tally:
    """Running means of losses, in tensors: a step adds, nobody waits."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self._sums = [_core.zeros((), dtype=_core.float64, device="cpu") for _ in names]
        self._weight = _core.zeros((), dtype=_core.float64, device="cpu")

    def to(self, device: _core.device) -> None:
        """Go on on a device."""
        self._sums, self._weight = [each.to(device) for each in self._sums], self._weight.to(device)

    def reset(self) -> None:
        """Start anew."""
        with no_grad():
            for tensor in (*self._sums, self._weight):
                tensor.zero_()

    def add(self, losses: Sequence[Tensor], weight: Tensor | float) -> None:
        """Count the mean losses of a batch, which weighs so much: its number of samples, steps or the sum of their weights."""
        with no_grad():
            if isinstance(weight, Tensor):
                weight = weight.to(_core.float64)
            for total, loss in zip(self._sums, losses, strict=True):
                part = loss.detach().to(_core.float64) * weight
                total.add_(part if isinstance(weight, float) else _core.where(weight != 0, part, 0.0))  # nothing counts: no mean
            self._weight.add_(weight)

    def read(self) -> dict[str, float]:
        """Return the means so far."""
        weight = self._weight.item()
        return {
            name: total.item() / weight if weight else float("nan") for name, total in zip(self.names, self._sums, strict=True)
        }


class Watched(NamedTuple):
    """A metric of one output."""

    key: str  # its name in logs and history
    output: int
    metric: Any

    def update(self, outputs: Sequence[Tensor], form: Form, tensors: Sequence[Tensor]) -> None:
        """Show a batch to the metric."""
        weight = form.sample_weight_of(tensors)
        self.metric.update(outputs[self.output].detach(), form.targets_of(tensors)[self.output], weight)


class Step:
    """What is done with batches of one form: tensors in; back come the outputs of the network, if some metric waits for them."""

    def __init__(
        self, module: Module, objective: Objective, form: Form, tally: Tally, watched: Sequence[Watched], outputs: bool
    ) -> None:
        self._module, self._objective, self._form, self._tally = module, objective, form, tally
        self._watched, self._outputs = watched, outputs

    def _losses(self, tensors: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        form = self._form
        outputs = self._objective.split("the output", form.outputs(self._module, tensors))
        return self._objective(outputs, form.targets_of(tensors), form.weight_of(tensors)), outputs

    def _counted(self, losses: Sequence[Tensor], outputs: list[Tensor], tensors: Sequence[Tensor]) -> tuple[Tensor, ...] | None:
        with no_grad():
            self._tally.add(losses, self._objective.counted(self._form.targets_of(tensors), self._form.weight_of(tensors)))
            for each in self._watched:
                each.update(outputs, self._form, tensors)
        return tuple(outputs) if self._outputs else None

    def evaluated(self, *tensors: Tensor) -> tuple[Tensor, ...] | None:
        """Count the losses and metrics of a batch."""
        return self._counted(*self._losses(tensors), tensors)


class TrainStep(Step):
    """Forward pass, loss, backward pass, clipping and update."""

    def __init__(self, *settings: Any, optimizer: Optimizer, clip: Clip) -> None:
        super().__init__(*settings)
        self._optimizer, self._clip = optimizer, clip

    def trained(self, *tensors: Tensor) -> tuple[Tensor, ...] | None:
        """Take a step, and count the losses and metrics before it."""
        if not isinstance(self._optimizer, LBFGS):
            losses, outputs = self._graded(tensors)
            self._optimizer.step()
            return self._counted(losses, outputs, tensors)
        evaluations: list[tuple[list[Tensor], list[Tensor]]] = []

        def loss() -> Tensor:
            evaluations.append(self._graded(tensors))
            return evaluations[-1][0][0]

        self._optimizer.step(loss)  # asks several times
        return self._counted(*evaluations[0], tensors)

    def _graded(self, tensors: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        self._optimizer.zero_grad()
        losses, outputs = self._losses(tensors)
        losses[0].backward()
        self._clip(self._module)
        return losses, outputs
