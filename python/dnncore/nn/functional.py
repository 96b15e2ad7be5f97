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


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``input1^T weight[o] input2 + bias[o]`` for every output o.

    Parameters
    ----------
    input1 : Tensor of shape (..., I)
    input2 : Tensor of shape (..., J)
    weight : Tensor of shape (O, I, J)
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
    >>> F.bilinear(dnn.ones(1, 2), dnn.ones(1, 3), dnn.ones(1, 2, 3)).tolist()
    [[6.0]]
    """
    if weight.ndim != 3 or input1.ndim == 0 or input2.ndim == 0:
        shapes = f"{tuple(input1.shape)}, {tuple(input2.shape)} and {tuple(weight.shape)}"
        raise ValueError(f"bilinear: expected inputs (..., I) and (..., J) and a weight (O, I, J), got shapes {shapes}")
    outputs, first, second = weight.shape
    lead = tuple(input1.shape[:-1])
    if tuple(input2.shape[:-1]) != lead or (input1.shape[-1], input2.shape[-1]) != (first, second):
        raise ValueError(
            f"bilinear: expected shapes {(*lead, first)} and {(*lead, second)} for a weight of shape {tuple(weight.shape)}, "
            f"got {tuple(input1.shape)} and {tuple(input2.shape)}"
        )
    # (N, J) by (O I, J): a row of I per output, which the other input then sums up.
    rows = _core.linear(input2.reshape(-1, second), weight.reshape(outputs * first, second))
    output = rows.reshape(-1, outputs, first).matmul(input1.reshape(-1, first, 1)).reshape(*lead, outputs)
    return output if bias is None else output + bias


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
