"""How often each class was taken for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.metrics._labels import IGNORE_INDEX, LabelMetric, task_of

Normalize: TypeAlias = Literal["true", "pred", "all"] | None


class ConfusionMatrix(LabelMetric):
    """Counts of samples by true class (rows) and predicted class (columns).

    It keeps C^2 float64 sums for C classes. A nan among the outputs makes its row's cell nan.

    Parameters
    ----------
    normalize : {"true", "pred", "all"} or None, default None
        Divide by the sums of the rows, of the columns or of all; 0 where a sum is 0.
    labels : sequence of int, optional
        The classes to show, in this order; all when not given.
    threshold : float, default 0.5
        The probability above which the answer of a binary output is 1; also with logits.
    from_logits : bool, default True
        Whether binary outputs are logits; else probabilities.
    ignore_index : int, default -100
        The class number of multiclass targets that do not count.
    task : {"binary", "multiclass"}, optional
    name : str, optional

    Raises
    ------
    ValueError
        If shapes do not fit, or a target or label is out of range.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.metrics import ConfusionMatrix
    >>> matrix = ConfusionMatrix()
    >>> matrix.update(dnn.eye(3), dnn.tensor([0, 1, 1]))
    >>> matrix.update(dnn.eye(3), dnn.tensor([0, 0, 2]))
    >>> matrix.compute()
    array([[2, 1, 0],
           [0, 1, 1],
           [0, 0, 1]])
    """

    name = "confusion_matrix"
    tasks = frozenset({"binary", "multiclass"})
    higher_is_better = None

    def __init__(
        self,
        *,
        normalize: Normalize = None,
        labels: Sequence[int] | None = None,
        threshold: float = 0.5,
        from_logits: bool = True,
        ignore_index: int = IGNORE_INDEX,
        task: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(threshold=threshold, from_logits=from_logits, ignore_index=ignore_index, task=task, name=name)
        if normalize not in ("true", "pred", "all", None):
            raise ValueError(f"{self.name}: expected normalize 'true', 'pred', 'all' or None, got {normalize!r}")
        if labels is not None and len(set(labels)) != len(labels):
            raise ValueError(f"{self.name}: expected different labels, got {list(labels)}")
        self.normalize = normalize
        self.labels = labels
        self._weighted = False

    def reset(self) -> None:
        """Forget all batches."""
        super().reset()
        self._weighted = False

    @no_grad()
    def update(self, output: Tensor, target: Tensor, sample_weight: Tensor | None = None) -> None:
        """Count the samples of a batch by true and predicted class."""
        task = task_of(self.name, self.task, output, target, sample_weight)
        if task == "multilabel":
            raise ValueError(
                f"{self.name}: expected one class per sample, got several labels: outputs and targets of {tuple(output.shape)}; "
                "for class probabilities as targets set task='multiclass'"
            )
        classes = self._classes(task, output, target, sample_weight)
        outside = [label for label in self.labels or () if not 0 <= label < classes.n_classes]
        if outside:
            raise ValueError(f"{self.name}: expected labels from 0 to {classes.n_classes - 1}, got {outside}")
        (cells,) = self._totals((classes.n_classes, classes.n_classes), beside=classes.weight)
        self._weighted |= sample_weight is not None
        cells.view(-1).index_add_(0, classes.true * classes.n_classes + classes.predicted, classes.weight)

    def compute(self) -> NDArray[Any]:
        """Return the matrix: int64 counts, or float64 with weights, `normalize` or nan.

        Raises
        ------
        RuntimeError
            Before the first update, when the number of classes is not known.
        """
        if not self._state:
            raise RuntimeError(f"{self.name}: the number of classes is known after the first update()")
        cells: NDArray[Any] = self._state[0].cpu().numpy().copy()
        if self.labels is not None:
            cells = cells[np.ix_(self.labels, self.labels)]
        if self.normalize is not None:
            axis = {"true": 1, "pred": 0, "all": None}[self.normalize]
            sums = cells.sum(axis=axis, keepdims=True)
            cells = cells / np.where(sums == 0, 1.0, sums)
        floating = self._weighted or self.normalize is not None or np.isnan(cells).any()
        return cells if floating else cells.astype(np.int64)
