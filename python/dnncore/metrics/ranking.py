"""Metrics of the order of scores: areas under the receiver operating and the precision-recall curve."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dnncore import _core
from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.metrics._keeping import Keeping, Samples
from dnncore.metrics._labels import CLASSIFICATION, IGNORE_INDEX

RankAverage: TypeAlias = Literal["macro", "weighted"] | None
Values: TypeAlias = NDArray[np.float64]


class _Ranking(Keeping):
    """A value per class, one against the rest, and its mean."""

    tasks = CLASSIFICATION
    higher_is_better = True

    def __init__(
        self,
        *,
        average: RankAverage = "macro",
        from_logits: bool = True,
        ignore_index: int = IGNORE_INDEX,
        task: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(from_logits=from_logits, ignore_index=ignore_index, task=task, name=name)
        if average not in ("macro", "weighted", None):
            raise ValueError(f"{self.name}: expected average 'macro', 'weighted' or None, got {average!r}")
        self.average = average

    @no_grad()
    def compute(self) -> float | Values:
        """Return the value, or one per class with ``average=None``; nan without samples."""
        samples = self._whole()
        if samples is None:
            return math.nan
        scores = self._scores(samples)
        if scores.isnan().any().item():
            return math.nan
        weight = _core.ones(len(scores), dtype=_core.float64, device=scores.device) if samples.weight is None else samples.weight
        return self._value(samples.task, scores, samples.target, weight)

    def _scores(self, samples: Samples) -> Tensor:
        """Return float64 scores; of logits of classes their probabilities, since rows are compared with each other."""
        scores = samples.output.double()
        return scores.softmax(1) if samples.task == "multiclass" and self.from_logits else scores

    def _value(self, task: str, scores: Tensor, target: Tensor, weight: Tensor) -> float | Values:
        if task == "binary":
            scores, truth = scores.unsqueeze(1), target.unsqueeze(1)
        elif task == "multiclass":
            truth = target.unsqueeze(1) == _core.arange(scores.shape[1], device=scores.device)
        else:
            truth = target
        columns = [(scores.select(1, k).contiguous(), truth.select(1, k).contiguous()) for k in range(scores.shape[1])]
        values = np.array([self._one_against_rest(score, positive, weight) for score, positive in columns])
        self._warn_of_nan(values)
        if task == "binary":
            return float(values[0])
        occurs = [(positive * weight).sum().item() for _, positive in columns]
        return _mean(values, self.average, occurs)

    def _one_against_rest(self, score: Tensor, positive: Tensor, weight: Tensor) -> float:
        raise NotImplementedError

    def _warn_of_nan(self, values: Values) -> None:
        if np.isnan(values).any():
            unknown = np.flatnonzero(np.isnan(values)).tolist()
            which = "" if len(values) == 1 else f" for the classes or pairs {unknown}"
            warnings.warn(f"{self.name}: undefined{which}, for want of samples of both kinds: nan", RuntimeWarning, stacklevel=4)


class ROCAUC(_Ranking):
    """The area under the receiver operating characteristic: how often a positive scores above a negative, ties half.

    It is exact and keeps all scores: 4 C + 8 bytes per sample for C float32 classes, 5 for a binary task; `compute` sorts
    them. Undefined values (a class that is absent, or has no opposite) are nan, with a RuntimeWarning, as in scikit-learn,
    and so are means that need them. A nan among the outputs makes the value nan.

    Parameters
    ----------
    multi_class : {"ovr", "ovo"}, default "ovr"
        For multiclass: each class against the rest, or each pair of classes both ways.
    average : {"macro", "weighted"} or None, default "macro"
        The plain mean over classes or pairs, the mean weighted by their share of samples, or, for "ovr" and multilabel,
        an array with a value per class.
    from_logits : bool, default True
        Whether outputs are logits; else probabilities.
    ignore_index : int, default -100
        The class number of multiclass targets that do not count.
    task, name : str, optional
        As in `Metric`.

    References
    ----------
    J. A. Hanley, B. J. McNeil: The meaning and use of the area under a ROC curve, Radiology 143 (1982). D. J. Hand,
    R. J. Till: A simple generalisation of the area under the ROC curve, Machine Learning 45 (2001), for "ovo".

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.metrics import ROCAUC
    >>> metric = ROCAUC()
    >>> metric.update(dnn.tensor([0.1, 0.4]), dnn.tensor([0, 0]))
    >>> metric.update(dnn.tensor([0.35, 0.8]), dnn.tensor([1, 1]))
    >>> metric.compute()
    0.75
    """

    name = "roc_auc"

    def __init__(
        self,
        *,
        multi_class: Literal["ovr", "ovo"] = "ovr",
        average: RankAverage = "macro",
        from_logits: bool = True,
        ignore_index: int = IGNORE_INDEX,
        task: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(average=average, from_logits=from_logits, ignore_index=ignore_index, task=task, name=name)
        if multi_class not in ("ovr", "ovo"):
            raise ValueError(f"{self.name}: expected multi_class 'ovr' or 'ovo', got {multi_class!r}")
        if multi_class == "ovo" and average is None:
            raise ValueError(f"{self.name}: multi_class='ovo' has no value per class; use average='macro' or 'weighted'")
        self.multi_class = multi_class

    def _value(self, task: str, scores: Tensor, target: Tensor, weight: Tensor) -> float | Values:
        if task != "multiclass" or self.multi_class == "ovr":
            return super()._value(task, scores, target, weight)
        values, shares = [], []
        for pair in itertools.combinations(range(scores.shape[1]), 2):
            rows = (target == pair[0]) | (target == pair[1])
            both = [(scores[rows].select(1, k).contiguous(), target[rows] == k) for k in pair]
            values.append(sum(self._one_against_rest(score, positive, weight[rows]) for score, positive in both) / 2)
            shares.append(weight[rows].sum().item())
        self._warn_of_nan(np.array(values))
        return _mean(np.array(values), self.average, shares)

    def _one_against_rest(self, score: Tensor, positive: Tensor, weight: Tensor) -> float:
        score, order = score.sort()
        wins, losses = (positive * weight)[order], (positive.logical_not() * weight)[order]
        below = _sums_before(losses)
        ranks = below[_core.searchsorted(score, score)] + below[_core.searchsorted(score, score, right=True)]
        pairs = (wins.sum() * losses.sum()).item()
        return float((wins * ranks).sum().item()) / (2 * pairs) if pairs else math.nan


class AveragePrecision(_Ranking):
    """The area under the precision-recall curve as a step function, ``sum((R_n - R_(n-1)) P_n)`` over the thresholds n.

    It is exact and keeps all scores as `ROCAUC` does. A class without positives is nan, with a RuntimeWarning (scikit-learn
    has 0 there). A nan among the outputs makes the value nan.

    Parameters
    ----------
    average : {"macro", "weighted"} or None, default "macro"
        For multiclass, one against the rest, and multilabel: the plain mean over the classes, the mean weighted by their
        share of samples, or an array with a value per class.
    from_logits : bool, default True
        Whether outputs are logits; else probabilities.
    ignore_index : int, default -100
        The class number of multiclass targets that do not count.
    task, name : str, optional
        As in `Metric`.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.metrics import AveragePrecision
    >>> metric = AveragePrecision()
    >>> metric.update(dnn.tensor([0.1, 0.4, 0.35, 0.8]), dnn.tensor([0, 0, 1, 1]))
    >>> round(metric.compute(), 4)
    0.8333
    """

    name = "average_precision"

    def _one_against_rest(self, score: Tensor, positive: Tensor, weight: Tensor) -> float:
        falling, order = (-score).sort()
        wins = (positive * weight)[order]
        reached = _core.searchsorted(falling, falling, right=True)  # samples with at least this score
        precision = _sums_before(wins)[reached] / _sums_before(weight[order])[reached]
        positives = wins.sum().item()
        return float((wins * precision).sum().item()) / positives if positives else math.nan


def _sums_before(x: Tensor) -> Tensor:
    """(M,) -> (M + 1,): the sum of the elements before each, and of all."""
    return _core.cat([_core.zeros(1, dtype=x.dtype, device=x.device), x.cumsum(0)])


def _mean(values: Values, average: RankAverage, weight: list[float]) -> float | Values:
    if average is None:
        return values
    if np.isnan(values).any():
        return math.nan
    return float(np.average(values, weights=weight if average == "weighted" else None))
