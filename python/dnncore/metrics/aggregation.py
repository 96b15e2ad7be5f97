"""Means of numbers that are known per batch, such as losses."""

from __future__ import annotations

from dnncore import _core
from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.metrics.metric import quotient


class Mean:
    """The weighted mean of numbers, ``sum(weight * value) / sum(weight)``, in float64.

    With the mean loss of each batch as value and its number of samples as weight, it is the mean loss over all samples,
    whatever the batch sizes. Adding reads nothing back from the tensor: only `compute` waits for the numbers.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.metrics import Mean
    >>> loss = Mean()
    >>> loss.update(dnn.tensor(1.0), weight=64)
    >>> loss.update(dnn.tensor(4.0), weight=32)
    >>> loss.compute()
    2.0
    """

    def __init__(self) -> None:
        self._part = _core.zeros((), dtype=_core.float64)
        self._whole = _core.zeros((), dtype=_core.float64)

    def reset(self) -> None:
        """Forget all numbers."""
        self._part.zero_()
        self._whole.zero_()

    @no_grad()
    def update(self, value: Tensor | float, weight: Tensor | float = 1.0) -> None:
        """Add a number.

        Parameters
        ----------
        value : Tensor of one element, or float
        weight : Tensor of one element, or float, default 1
            How much it counts: the number of samples it is the mean of, or the sum of their weights.

        Raises
        ------
        ValueError
            If the value has several elements, or the weight is negative or nan.
        """
        value, weight = _scalar("value", value), _scalar("weight", weight)
        if isinstance(weight, Tensor):
            _core._refuse_if((weight >= 0).logical_not(), "Mean: expected a weight of at least 0, got one below or nan")
        elif not weight >= 0:
            raise ValueError(f"Mean: expected a weight of at least 0, got {weight}")
        part = value * weight
        if isinstance(part, Tensor) and part.device != self._part.device:
            self._part, self._whole = self._part.to(part.device), self._whole.to(part.device)
        self._part.add_(part)
        self._whole.add_(weight)

    def compute(self) -> float:
        """Return the mean; nan before any number of positive weight."""
        return quotient(self._part, self._whole)

    def __repr__(self) -> str:
        return "Mean()"


def _scalar(what: str, x: Tensor | float) -> Tensor | float:
    if not isinstance(x, Tensor):
        return x
    if x.numel() != 1:
        raise ValueError(f"Mean: expected a {what} of one element, got shape {tuple(x.shape)}; use its mean() or sum()")
    return x.detach().reshape(()).double()
