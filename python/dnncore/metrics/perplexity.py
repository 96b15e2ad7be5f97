"""How many classes a network wavers between, on average."""

from __future__ import annotations

import math

from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.metrics._labels import IGNORE_INDEX, task_of, true_classes
from dnncore.metrics.metric import Streaming, quotient, weights_of
from dnncore.nn import functional as F


class Perplexity(Streaming):
    """``exp`` of the mean of ``-log(softmax(output)[target])`` over all targets that count: tokens, for a language model.

    1 is certainty, the number of classes is guessing. Whatever the batches, it is the value of all tokens together.

    Parameters
    ----------
    ignore_index : int, default -100
        The class number of targets that do not count, such as padding.
    task : {"multiclass"}, optional
    name : str, optional

    Raises
    ------
    ValueError
        If shapes do not fit, or a target is out of range.

    References
    ----------
    F. Jelinek, R. L. Mercer, L. R. Bahl, J. K. Baker: Perplexity, a measure of the difficulty of speech recognition tasks, 1977.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.metrics import Perplexity
    >>> metric = Perplexity()
    >>> metric.update(dnn.zeros(2, 8, 3), dnn.tensor([[0, 5, 7], [1, -100, -100]]))
    >>> round(metric.compute(), 6)
    8.0
    """

    name = "perplexity"
    tasks = frozenset({"multiclass"})
    higher_is_better = False

    def __init__(self, *, ignore_index: int = IGNORE_INDEX, task: str | None = None, name: str | None = None) -> None:
        super().__init__(task=task, name=name)
        self.ignore_index = ignore_index

    @no_grad()
    def update(self, output: Tensor, target: Tensor, sample_weight: Tensor | None = None) -> None:
        """Add the losses of a batch, of logits (N, C, ...) and class numbers (N, ...)."""
        task_of(self.name, "multiclass", output, target, sample_weight)
        true, kept = true_classes(self.name, output, target, self.ignore_index)
        weight = weights_of(self.name, sample_weight, tuple(true.shape), true.device) * kept
        losses = F.cross_entropy(output, true.where(weight != 0, IGNORE_INDEX), reduction="none")  # 0 where nothing counts
        part, whole = self._totals((), (), beside=weight)
        part.add_((losses.double() * weight).sum())
        whole.add_(weight.sum())

    def compute(self) -> float:
        """Return the perplexity; nan before any counted target."""
        mean = quotient(*self._totals((), ()))
        return math.exp(mean) if mean < 709 else mean if math.isnan(mean) else math.inf
