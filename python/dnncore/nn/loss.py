"""Losses. They never broadcast: shapes that do not fit are an error."""

from __future__ import annotations

from typing import Literal

from dnncore import _core
from dnncore._core import Tensor
from dnncore.nn.module import Module


class CrossEntropyLoss(Module):
    """Softmax and negative log likelihood in one: ``-log(softmax(input)[target])``.

    Parameters
    ----------
    ignore_index : int, default -100
        A target that counts neither in the loss nor in the mean.
    reduction : {"mean", "sum", "none"}, default "mean"
        Mean over the counted samples, their sum, or one value each.

    Notes
    -----
    The input is logits, never the output of a softmax.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> loss = nn.CrossEntropyLoss()(dnn.zeros(3, 10), dnn.tensor([1, 2, 3]))
    >>> round(loss.item(), 4)
    2.3026
    """

    def __init__(self, *, ignore_index: int = -100, reduction: Literal["mean", "sum", "none"] = "mean") -> None:
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"CrossEntropyLoss: expected reduction 'mean', 'sum' or 'none', got {reduction!r}")
        self.ignore_index = ignore_index
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits (N, C) against class numbers (N,)."""
        return _core.cross_entropy(input, target, self.ignore_index, self.reduction)
