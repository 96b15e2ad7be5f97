"""The share of right answers."""

from __future__ import annotations

from dnncore import _core
from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.metrics._labels import IGNORE_INDEX, LabelMetric, spoilt, task_of, true_classes
from dnncore.metrics.metric import Streaming, quotient, weights_of


class Accuracy(LabelMetric):
    """The share of right answers, ``sum(weight * (predicted == true)) / sum(weight)``.

    Multiclass takes the largest of the scores (the first of equal ones), binary and multilabel a score above the threshold.
    A nan among the outputs makes the value nan; before any counted sample it is nan too.

    Parameters
    ----------
    threshold : float, default 0.5
        The probability above which the answer is yes; also with logits, where 0.5 is the logit 0.
    exact_match : bool, default False
        For multilabel: count a sample as right only if all its labels are (subset accuracy, scikit-learn's
        ``accuracy_score``); else each label counts by itself.
    from_logits : bool, default True
        Whether binary and multilabel outputs are logits; else probabilities.
    ignore_index : int, default -100
        The class number of multiclass targets that do not count.
    task, name : str, optional
        As in `Metric`.

    Raises
    ------
    ValueError
        If shapes do not fit, or a target is out of range.
    TypeError
        If the output is not floating or class numbers are not integers.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.metrics import Accuracy
    >>> accuracy = Accuracy()
    >>> accuracy.update(dnn.tensor([[2.0, 1.0], [0.0, 3.0]]), dnn.tensor([0, 1]))
    >>> accuracy.update(dnn.tensor([[2.0, 1.0]]), dnn.tensor([1]))
    >>> round(accuracy.compute(), 4)
    0.6667
    """

    name = "accuracy"

    def __init__(
        self,
        *,
        threshold: float = 0.5,
        exact_match: bool = False,
        from_logits: bool = True,
        ignore_index: int = IGNORE_INDEX,
        task: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(threshold=threshold, from_logits=from_logits, ignore_index=ignore_index, task=task, name=name)
        self.exact_match = exact_match

    @no_grad()
    def update(self, output: Tensor, target: Tensor, sample_weight: Tensor | None = None) -> None:
        """Count the right answers of a batch."""
        task = task_of(self.name, self.task, output, target, sample_weight)
        if task == "multilabel":
            labels = self._labels(output, target, sample_weight)
            right, weight = labels.predicted == labels.true, labels.weight
            if self.exact_match:
                right, weight = (right | (weight == 0)).all(1), weight.amax(1)
        else:
            classes = self._classes(task, output, target, sample_weight)
            right, weight = classes.predicted == classes.true, classes.weight
        part, whole = self._totals((), (), beside=weight)
        part.add_((right * weight).sum())
        whole.add_(weight.sum())

    def compute(self) -> float:
        """Return the share of right answers."""
        return quotient(*self._totals((), ()))


class TopKAccuracy(Streaming):
    """The share of samples whose true class is among the k largest scores.

    Of equal scores the lower class number comes first, so k = 1 is `Accuracy`, and a network that always returns the same
    does not look perfect. A nan among a sample's outputs makes the value nan.

    Parameters
    ----------
    k : int, default 5
        Below the number of classes.
    ignore_index : int, default -100
        The class number of targets that do not count.
    task : {"multiclass"}, optional
    name : str, optional
        ``top_{k}_accuracy`` when not given.

    Raises
    ------
    ValueError
        If shapes do not fit, a target is out of range, or there are no more than k classes.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.metrics import TopKAccuracy
    >>> metric = TopKAccuracy(k=2)
    >>> metric.update(dnn.tensor([[0.1, 0.3, 0.2], [0.5, 0.1, 0.3]]), dnn.tensor([2, 1]))
    >>> metric.compute()
    0.5
    """

    name = "top_5_accuracy"
    tasks = frozenset({"multiclass"})
    higher_is_better = True

    def __init__(self, k: int = 5, *, ignore_index: int = IGNORE_INDEX, task: str | None = None, name: str | None = None) -> None:
        super().__init__(task=task, name=f"top_{k}_accuracy" if name is None else name)
        if k < 1:
            raise ValueError(f"{self.name}: expected k of at least 1, got {k}")
        self.k = k
        self.ignore_index = ignore_index

    @no_grad()
    def update(self, output: Tensor, target: Tensor, sample_weight: Tensor | None = None) -> None:
        """Count the samples of a batch whose class is among the k largest."""
        task_of(self.name, "multiclass", output, target, sample_weight)
        true, kept = true_classes(self.name, output, target, self.ignore_index)
        if self.k >= output.shape[1]:
            raise ValueError(
                f"{self.name}: expected k below the number of classes {output.shape[1]}, got {self.k}: all answers would be right"
            )
        weight = spoilt(weights_of(self.name, sample_weight, tuple(true.shape), true.device) * kept, output.amax(1))
        part, whole = self._totals((), (), beside=weight)
        part.add_(((_rank(output, true) < self.k) * weight).sum())
        whole.add_(weight.sum())

    def compute(self) -> float:
        """Return the share of samples whose class is among the k largest."""
        return quotient(*self._totals((), ()))


def _rank(scores: Tensor, true: Tensor) -> Tensor:
    """How many classes come before the true one: those with more, and those before it with as much; (N, C, ...) -> (N, ...)."""
    index = true.unsqueeze(1)
    own = scores.gather(1, index)
    numbers = _core.arange(scores.shape[1], device=scores.device).reshape(-1, *[1] * (scores.ndim - 2))
    return ((scores > own) | ((scores == own) & (numbers < index))).sum(1)
