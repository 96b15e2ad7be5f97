"""From logits and targets to predicted and true classes, with the checks all classification metrics share."""

from __future__ import annotations

import math
from typing import NamedTuple

from dnncore import _core
from dnncore._checks import check_tensors
from dnncore._core import Tensor
from dnncore.metrics.metric import Streaming, weights_of

CLASSIFICATION = frozenset({"binary", "multiclass", "multilabel"})
IGNORE_INDEX = -100
_INTEGERS = (_core.uint8, _core.int32, _core.int64)


class Classes(NamedTuple):
    """One row per answer that may count."""

    predicted: Tensor  # (M,), int64
    true: Tensor  # (M,), int64
    weight: Tensor  # (M,), float64: 0 for what does not count, nan where the output is nan
    n_classes: int


class Labels(NamedTuple):
    """Yes or no for each of K labels."""

    predicted: Tensor  # (N, K), bool
    true: Tensor  # (N, K), bool
    weight: Tensor  # (N, K), float64: nan where the output is nan


class LabelMetric(Streaming):
    """A metric of predicted classes: the largest of C scores, or a score above the threshold."""

    tasks = CLASSIFICATION
    higher_is_better: bool | None = True

    def __init__(
        self, *, threshold: float, from_logits: bool, ignore_index: int, task: str | None = None, name: str | None = None
    ) -> None:
        super().__init__(task=task, name=name)
        if not 0 < threshold < 1:
            raise ValueError(f"{self.name}: expected threshold as a probability between 0 and 1, got {threshold}")
        self.threshold = threshold
        self.from_logits = from_logits
        self.ignore_index = ignore_index

    def _classes(self, task: str, output: Tensor, target: Tensor, sample_weight: Tensor | None) -> Classes:
        """Predicted and true class of a multiclass batch, or 0 and 1 of a binary one."""
        if task == "binary":
            labels = self._labels(output, target, sample_weight)
            return Classes(labels.predicted.flatten().long(), labels.true.flatten().long(), labels.weight.flatten(), 2)
        true, kept = true_classes(self.name, output, target, self.ignore_index)
        best = output.max(1)
        weight = kept.double() if sample_weight is None else weights_of(self.name, sample_weight, tuple(true.shape)) * kept
        weight = spoilt(weight, best.values)
        return Classes(best.indices.flatten(), true.flatten(), weight.flatten(), output.shape[1])

    def _labels(self, output: Tensor, target: Tensor, sample_weight: Tensor | None) -> Labels:
        true = true_labels(self.name, output, target)
        if not self.from_logits:
            refuse_non_probabilities(self.name, output)
        cut = math.log(self.threshold / (1 - self.threshold)) if self.from_logits else self.threshold
        weight = weights_of(self.name, sample_weight, tuple(output.shape), output.device)
        return Labels(output > cut, true, spoilt(weight, output))


def task_of(op: str, task: str | None, output: Tensor, target: Tensor, sample_weight: Tensor | None) -> str:
    """Check kinds and dtypes of a batch; return its task, by its shapes if none is given."""
    check_tensors(op, output=output, target=target)
    if sample_weight is not None:
        check_tensors(op, sample_weight=sample_weight)
    if not output.is_floating_point():
        raise TypeError(f"{op}: expected floating logits or probabilities as output, got {output.dtype}")
    if task is None and (output.ndim < 2 or tuple(output.shape[1:]) == (1,)):
        task = "binary"
    elif task is None:
        task = "multilabel" if output.shape == target.shape else "multiclass"
    if task == "multilabel" and output.ndim != 2:
        raise ValueError(
            f"{op}: expected an output of shape (N, K) for K labels, got {tuple(output.shape)}; "
            "for one label per position set task='binary'"
        )
    return task


def spoilt(weight: Tensor, output: Tensor) -> Tensor:
    """Return `weight`, but nan for what counts although its output is nan: so the metric becomes nan."""
    return _core.where(output.isnan() & (weight != 0), math.nan, weight)


def true_classes(op: str, output: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Return the class number of each position (0 where ignored), and whether it counts, both (N, ...)."""
    shape, given = tuple(output.shape), tuple(target.shape)
    positions = shape[:1] + shape[2:]
    if len(shape) < 2 or shape[1] < 2:
        raise ValueError(
            f"{op}: expected an output of shape (N, C, ...) with C of at least 2 for class numbers, got {shape}; "
            "for one logit per sample use task='binary' and targets of the output's shape"
        )
    if given == shape:
        _core._refuse_if(target.isnan().any(), f"{op}: expected probabilities as target, got some nan")
        return target.argmax(1), _core.ones(positions, dtype=_core.bool, device=target.device)
    if given != positions:
        fix = f"; use target.reshape{positions}" if target.numel() == math.prod(positions) else ""
        raise ValueError(f"{op}: expected class numbers of shape {positions} to match the output {shape}, got {given}{fix}")
    if target.dtype not in _INTEGERS:
        raise TypeError(f"{op}: expected int64 class numbers as target, got {target.dtype}; use target.long()")
    kept = target != ignore_index
    _core._refuse_if(
        (((target < 0) | (target >= shape[1])) & kept).any(),
        f"{op}: expected class numbers from 0 to {shape[1] - 1} or ignore_index={ignore_index}, got some outside; "
        "number the classes from 0",
    )
    return _core.where(kept, target, 0).long(), kept


def true_labels(op: str, output: Tensor, target: Tensor) -> Tensor:
    """Return 0/1 targets of the output's shape as bool."""
    shape, given = tuple(output.shape), tuple(target.shape)
    if shape != given or not shape:
        fix = f"; use target.reshape{shape}" if shape and target.numel() == output.numel() else ""
        raise ValueError(f"{op}: expected 0/1 targets of the output's shape {shape}, got {given}{fix}")
    known = target != 0
    _core._refuse_if(
        (known & (target != 1)).any(),
        f"{op}: expected targets of 0 and 1 for a binary or multilabel task, got other values; "
        "for class numbers let the network return one logit per class",
    )
    return known


def refuse_non_probabilities(op: str, output: Tensor) -> None:
    """Raise ValueError where an output is outside [0, 1]; nan passes."""
    _core._refuse_if(
        ((output < 0) | (output > 1)).any(),
        f"{op}: expected probabilities from 0 to 1 with from_logits=False, got values outside; logits need from_logits=True",
    )
