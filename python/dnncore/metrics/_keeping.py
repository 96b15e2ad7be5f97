"""Metrics that need all samples at once: they keep outputs and targets until the value is asked for."""

from __future__ import annotations

from typing import NamedTuple

from dnncore import _core
from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.metrics._labels import IGNORE_INDEX, refuse_non_probabilities, task_of, true_classes, true_labels
from dnncore.metrics.metric import Metric, check_pair, weights_of


class Samples(NamedTuple):
    """One row per sample (per position, where there are several)."""

    task: str
    output: Tensor  # (M,) binary, (M, C) multiclass, (M, K) multilabel, any for regression
    target: Tensor  # (M,) bool; (M,) int64, -1 where ignored; (M, K) bool; as the output
    weight: Tensor | None  # (M,), float64

    def columns(self) -> tuple[int, ...]:
        """Return the sizes that must be equal in all batches."""
        return tuple(self.output.shape[1:])


class Keeping(Metric):
    """A metric that keeps copies of outputs, targets and weights."""

    def __init__(
        self, *, from_logits: bool, ignore_index: int = IGNORE_INDEX, task: str | None = None, name: str | None = None
    ) -> None:
        super().__init__(task=task, name=name)
        self.from_logits = from_logits
        self.ignore_index = ignore_index
        self._batches: list[Samples] = []

    def reset(self) -> None:
        """Forget all batches."""
        self._batches = []

    @no_grad()
    def update(self, output: Tensor, target: Tensor, sample_weight: Tensor | None = None) -> None:
        """Keep a batch."""
        task = self.task if self.task == "regression" else task_of(self.name, self.task, output, target, sample_weight)
        batch = self._samples(task, output, target, sample_weight)
        if self._batches and (batch.task, batch.columns()) != (self._batches[0].task, self._batches[0].columns()):
            raise ValueError(
                f"{self.name}: the earlier batches were {self._batches[0].task} with rows of shape {self._batches[0].columns()}, "
                f"this one is {task} with {batch.columns()}; call reset() between"
            )
        self._batches.append(batch)

    def _samples(self, task: str, output: Tensor, target: Tensor, sample_weight: Tensor | None) -> Samples:
        """Check a batch and copy what will be needed of it to the CPU."""
        op = self.name
        if task == "regression":
            check_pair(op, output, target, sample_weight)
            shape = tuple(output.shape[:1])
            output, target = output.detach().clone(), target.detach().clone()
        elif task == "multiclass":
            true, kept = true_classes(op, output, target, self.ignore_index)
            shape = tuple(true.shape)
            output, target = output.movedim(1, -1).flatten(0, -2), _core.where(kept, true, -1).flatten()
        else:
            target = true_labels(op, output, target)
            shape = tuple(output.shape[:1]) if task == "multilabel" else tuple(output.shape)
            output, target = (output, target) if task == "multilabel" else (output.flatten(), target.flatten())
        if task != "regression" and not self.from_logits:
            refuse_non_probabilities(op, output)
        weight = None if sample_weight is None else weights_of(op, sample_weight, shape).flatten()
        return Samples(task, output.detach().clone().cpu(), target.cpu(), None if weight is None else weight.cpu())

    def _whole(self) -> Samples | None:
        """Return all samples that count, or None without any; those of weight 0 do not."""
        if not self._batches:
            return None
        output = _core.cat([batch.output for batch in self._batches])
        target = _core.cat([batch.target for batch in self._batches])
        weight = None
        if any(batch.weight is not None for batch in self._batches):
            rows = [(batch.weight, len(batch.output)) for batch in self._batches]
            weight = _core.cat(
                [_core.ones(n, dtype=_core.float64, device="cpu") if given is None else given for given, n in rows]
            )
        whole = Samples(self._batches[0].task, output, target, weight)
        if whole.task == "multiclass":
            whole = _rows(whole, target >= 0)
        if whole.weight is not None:
            whole = _rows(whole, whole.weight != 0)
        return whole if len(whole.output) else None


def _rows(samples: Samples, chosen: Tensor) -> Samples:
    if chosen.all().item():
        return samples
    weight = None if samples.weight is None else samples.weight[chosen]
    return Samples(samples.task, samples.output[chosen], samples.target[chosen], weight)
