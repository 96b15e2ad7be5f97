"""Precision, recall and F scores from counts per class."""

from __future__ import annotations

import math
import warnings
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.metrics._labels import IGNORE_INDEX, LabelMetric, task_of

Average: TypeAlias = Literal["binary", "macro", "micro", "weighted"] | None
ZeroDivision: TypeAlias = float | Literal["warn"]
Counts: TypeAlias = NDArray[np.float64]

_AVERAGES = ("binary", "macro", "micro", "weighted", None)


class _CountRate(LabelMetric):
    """A quotient of hits, predictions and occurrences of each class."""

    def __init__(
        self,
        *,
        average: Average = "binary",
        zero_division: ZeroDivision = 0.0,
        threshold: float = 0.5,
        from_logits: bool = True,
        ignore_index: int = IGNORE_INDEX,
        task: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(threshold=threshold, from_logits=from_logits, ignore_index=ignore_index, task=task, name=name)
        if average not in _AVERAGES:
            raise ValueError(f"{self.name}: expected average 'binary', 'macro', 'micro', 'weighted' or None, got {average!r}")
        if zero_division not in ("warn", 0, 1) and not (isinstance(zero_division, float) and math.isnan(zero_division)):
            raise ValueError(f"{self.name}: expected zero_division 0, 1, nan or 'warn', got {zero_division!r}")
        self.average = average
        self.zero_division = zero_division
        self._all_count = False  # whether classes that never occur belong to the macro mean: the labels of multilabel do

    @no_grad()
    def update(self, output: Tensor, target: Tensor, sample_weight: Tensor | None = None) -> None:
        """Count hits, predictions and occurrences of each class in a batch."""
        task = task_of(self.name, self.task, output, target, sample_weight)
        self._all_count = task == "multilabel"
        self._check_average(task, output)
        if task == "multilabel":
            labels = self._labels(output, target, sample_weight)
            hits, predicted, actual, seen = self._totals(*[(output.shape[1],)] * 3, (), beside=labels.weight)
            hits.add_(((labels.predicted & labels.true) * labels.weight).sum(0))
            predicted.add_((labels.predicted * labels.weight).sum(0))
            actual.add_((labels.true * labels.weight).sum(0))
            seen.add_(labels.weight.sum())
            return
        classes = self._classes(task, output, target, sample_weight)
        hits, predicted, actual, seen = self._totals(*[(classes.n_classes,)] * 3, (), beside=classes.weight)
        hits.index_add_(0, classes.true, (classes.predicted == classes.true) * classes.weight)
        predicted.index_add_(0, classes.predicted, classes.weight)
        actual.index_add_(0, classes.true, classes.weight)
        seen.add_(classes.weight.sum())

    def _check_average(self, task: str, output: Tensor) -> None:
        if self.average != "binary" or task == "binary" or (task == "multiclass" and output.shape[1] == 2):
            return
        raise ValueError(
            f"{self.name}: average='binary' is for two classes, the task is {task} with an output of {tuple(output.shape)}; "
            "use average='macro', 'micro', 'weighted' or None"
        )

    def compute(self) -> float | Counts:
        """Return the averaged value, or one per class with ``average=None``; nan before any counted sample."""
        if not self._state:
            return math.nan
        hits, predicted, actual, seen = (total.cpu().numpy() for total in self._state)
        if not seen > 0:  # nothing counted, or a nan among the outputs
            return math.nan if self.average is not None else np.full(len(hits), math.nan)
        if self.average == "binary":
            hits, predicted, actual = hits[1:], predicted[1:], actual[1:]
        elif self.average == "micro":
            hits, predicted, actual = (np.atleast_1d(x.sum()) for x in (hits, predicted, actual))
        elif self.average is not None and not self._all_count:
            occurs = (predicted > 0) | (actual > 0)
            hits, predicted, actual = hits[occurs], predicted[occurs], actual[occurs]
        values = self._divided(*self._rate(hits, predicted, actual))
        if self.average is None:
            return values
        return _mean_of_known(values, actual if self.average == "weighted" else None)

    def _rate(self, hits: Counts, predicted: Counts, actual: Counts) -> tuple[Counts, Counts]:
        """Return numerator and denominator per class."""
        raise NotImplementedError

    def _divided(self, part: Counts, whole: Counts) -> Counts:
        empty = whole == 0
        fallback = 0.0 if self.zero_division == "warn" else self.zero_division
        if self.zero_division == "warn" and empty.any():
            warnings.warn(
                f"{self.name}: undefined for {empty.sum()} of {len(empty)} classes, for want of samples or predictions, "
                "and set to 0; choose with zero_division",
                RuntimeWarning,
                stacklevel=3,
            )
        return np.where(empty, fallback, part / np.where(empty, 1.0, whole))


def _mean_of_known(values: Counts, weight: Counts | None) -> float:
    """Mean of what is not nan, of equal weights when all are 0."""
    known = ~np.isnan(values)
    if not known.any():
        return math.nan
    if weight is None or not weight[known].any():
        return float(values[known].mean())
    return float(np.average(values[known], weights=weight[known]))


class Precision(_CountRate):
    """The share of the predicted that is right, ``tp / (tp + fp)``.

    A nan among the outputs makes the value nan; before any counted sample it is nan too.

    Parameters
    ----------
    average : {"binary", "macro", "micro", "weighted"} or None, default "binary"
        As scikit-learn: "binary" is the value of class 1 of two; "macro" the mean over the classes that occur in targets or
        predictions (over all labels for multilabel); "weighted" that mean weighted by how often each class occurs; "micro"
        the value of the summed counts; None an array with a value per class.
    zero_division : {0, 1, nan, "warn"}, default 0
        The value of a class without predictions; nan leaves it out of a mean; "warn" is 0 with a RuntimeWarning.
    threshold : float, default 0.5
        The probability above which the answer of a binary or multilabel output is yes; also with logits.
    from_logits : bool, default True
        Whether binary and multilabel outputs are logits; else probabilities.
    ignore_index : int, default -100
        The class number of multiclass targets that do not count.
    task, name : str, optional
        As in `Metric`.

    Raises
    ------
    ValueError
        If shapes do not fit, a target is out of range, or ``average="binary"`` meets more than two classes.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.metrics import Precision
    >>> precision = Precision()
    >>> precision.update(dnn.tensor([2.0, 1.0, -1.0]), dnn.tensor([1, 0, 1]))
    >>> precision.update(dnn.tensor([3.0]), dnn.tensor([1]))
    >>> round(precision.compute(), 4)
    0.6667
    """

    name = "precision"

    def _rate(self, hits: Counts, predicted: Counts, actual: Counts) -> tuple[Counts, Counts]:
        return hits, predicted


class Recall(_CountRate):
    """The share of a class that was found, ``tp / (tp + fn)``.

    Parameters are those of `Precision`; ``zero_division`` is the value of a class without samples.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.metrics import Recall
    >>> recall = Recall(average=None)
    >>> recall.update(dnn.eye(3), dnn.tensor([0, 1, 1]))
    >>> recall.compute().tolist()
    [1.0, 0.5, 0.0]
    """

    name = "recall"

    def _rate(self, hits: Counts, predicted: Counts, actual: Counts) -> tuple[Counts, Counts]:
        return hits, actual


class FBetaScore(_CountRate):
    """The weighted harmonic mean of precision and recall, ``(1 + beta^2) tp / ((1 + beta^2) tp + fp + beta^2 fn)``.

    Parameters
    ----------
    beta : float, default 1
        How many times recall matters more than precision, above 0.
    average, zero_division, threshold, from_logits, ignore_index, task, name : optional
        As in `Precision`; ``zero_division`` is the value of a class that neither occurs nor is predicted.

    References
    ----------
    C. J. van Rijsbergen: Information Retrieval, 2nd edition, Butterworths 1979, chapter 7.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.metrics import FBetaScore
    >>> metric = FBetaScore(beta=2.0)
    >>> metric.update(dnn.tensor([2.0, 1.0, -1.0, 1.0]), dnn.tensor([1, 0, 1, 1]))
    >>> round(metric.compute(), 4)
    0.6667
    """

    name = "fbeta"

    def __init__(
        self,
        *,
        beta: float = 1.0,
        average: Average = "binary",
        zero_division: ZeroDivision = 0.0,
        threshold: float = 0.5,
        from_logits: bool = True,
        ignore_index: int = IGNORE_INDEX,
        task: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            average=average,
            zero_division=zero_division,
            threshold=threshold,
            from_logits=from_logits,
            ignore_index=ignore_index,
            task=task,
            name=name,
        )
        if not 0 < beta < math.inf:
            raise ValueError(f"{self.name}: expected a finite beta above 0, got {beta}")
        self.beta = beta

    def _rate(self, hits: Counts, predicted: Counts, actual: Counts) -> tuple[Counts, Counts]:
        square = self.beta**2
        return (1 + square) * hits, predicted + square * actual


class F1Score(_CountRate):
    """The harmonic mean of precision and recall, ``2 tp / (2 tp + fp + fn)``.

    Parameters are those of `Precision`; ``zero_division`` is the value of a class that neither occurs nor is predicted.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.metrics import F1Score
    >>> metric = F1Score(average="macro")
    >>> metric.update(dnn.eye(3), dnn.tensor([0, 1, 1]))
    >>> round(metric.compute(), 4)
    0.5556
    """

    name = "f1"

    def _rate(self, hits: Counts, predicted: Counts, actual: Counts) -> tuple[Counts, Counts]:
        return 2 * hits, predicted + actual
