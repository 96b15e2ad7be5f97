"""The operations behind the layers, as functions."""

from __future__ import annotations

from typing import Literal

from dnncore import _core
from dnncore._core import Tensor
from dnncore.nn._functional_activation import *  # noqa: F403
from dnncore.nn._functional_dropout import *  # noqa: F403


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``input weight^T + bias``.

    Parameters
    ----------
    input : Tensor of shape (..., I)
    weight : Tensor of shape (O, I)
    bias : Tensor of shape (O,), optional

    Returns
    -------
    Tensor of shape (..., O)

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.linear(dnn.ones(1, 2), dnn.ones(3, 2), dnn.zeros(3)).tolist()
    [[2.0, 2.0, 2.0]]
    """
    return _core.linear(input, weight, bias)


def tanh(input: Tensor) -> Tensor:
    """Return the hyperbolic tangent of every element.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.tanh(dnn.zeros(1)).tolist()
    [0.0]
    """
    return _core.tanh(input)


def sigmoid(input: Tensor) -> Tensor:
    """Return 1 / (1 + exp(-x)) of every element.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.sigmoid(dnn.zeros(1)).tolist()
    [0.5]
    """
    return _core.sigmoid(input)


def cross_entropy(
    input: Tensor, target: Tensor, *, ignore_index: int = -100, reduction: Literal["mean", "sum", "none"] = "mean"
) -> Tensor:
    """Return ``-log(softmax(input)[target])``, the loss of logits against class numbers.

    Parameters
    ----------
    input : Tensor of shape (N, C)
        Logits, never probabilities.
    target : Tensor of shape (N,), int64
        Class numbers from 0 to C - 1.
    ignore_index : int, default -100
        A target that counts neither in the loss nor in the mean.
    reduction : {"mean", "sum", "none"}, default "mean"
        Mean over the counted samples, their sum, or one value each.

    Returns
    -------
    Tensor
        0-D, or of shape (N,) with ``reduction="none"``.

    Raises
    ------
    ValueError
        If the shapes do not fit or a target is out of range.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> round(F.cross_entropy(dnn.zeros(3, 10), dnn.tensor([1, 2, 3])).item(), 4)
    2.3026
    """
    return _core.cross_entropy(input, target, ignore_index, reduction)
