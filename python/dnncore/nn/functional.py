"""The operations behind the layers, as functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from dnncore import _core
from dnncore._core import Tensor


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


def relu(input: Tensor) -> Tensor:
    """Return max(0, x) of every element.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.relu(dnn.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return _core.relu(input)


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


def gelu(input: Tensor) -> Tensor:
    """Return x (1 + erf(x / sqrt 2)) / 2 of every element.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.gelu(dnn.zeros(1)).tolist()
    [0.0]
    """
    return _core.gelu(input)


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


def pad(
    input: Tensor,
    pad: Sequence[int],
    mode: Literal["constant", "reflect", "replicate", "circular"] = "constant",
    value: float | None = None,
) -> Tensor:
    """Return a copy of ``input`` with entries added at the ends of its last dimensions.

    Parameters
    ----------
    input : Tensor of any shape
    pad : sequence of int
        Left and right of the last dimension, then of the one before it, and so on; negative numbers crop.
    mode : {"constant", "reflect", "replicate", "circular"}, default "constant"
        ``value``; mirrored without the edge; the edge repeated; the other end.
    value : float, optional
        0 when not given.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If there are more sizes than dimensions, or the tensor has too little to mirror or repeat.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.pad(dnn.tensor([1.0, 2.0, 3.0]), (2, 1), "reflect").tolist()
    [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]
    """
    return _core.pad(input, pad, mode, value)


def one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    """Return rows with a single 1 at each class number.

    Parameters
    ----------
    input : Tensor of any shape, int64
        Class numbers.
    num_classes : int, default -1
        Length of the rows; -1 takes the largest class number plus one.

    Returns
    -------
    Tensor of shape (..., num_classes), int64

    Raises
    ------
    ValueError
        If a class number is out of range, or ``num_classes`` cannot be inferred.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.one_hot(dnn.tensor([2, 0])).tolist()
    [[0, 0, 1], [1, 0, 0]]
    """
    return _core.one_hot(input, num_classes)
