"""The operations behind the layers, as functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from dnncore import _core
from dnncore._checks import check_tensors
from dnncore._core import Tensor
from dnncore.nn._functional_activation import *  # noqa: F403
from dnncore.nn._functional_conv import *  # noqa: F403
from dnncore.nn._functional_dropout import *  # noqa: F403
from dnncore.nn._functional_embedding import *  # noqa: F403
from dnncore.nn._functional_grid import *  # noqa: F403
from dnncore.nn._functional_loss import *  # noqa: F403
from dnncore.nn._functional_margin import *  # noqa: F403
from dnncore.nn._functional_norm import *  # noqa: F403
from dnncore.nn._functional_pool import *  # noqa: F403
from dnncore.nn._functional_resize import *  # noqa: F403
from dnncore.nn._functional_sequence import *  # noqa: F403
from dnncore.nn._functional_softmax import *  # noqa: F403
from dnncore.nn._functional_unpool import *  # noqa: F403


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
    check_tensors("bilinear", input1=input1, input2=input2, weight=weight)
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


def normalize(input: Tensor, p: float = 2.0, dim: int | Sequence[int] = 1, eps: float = 1e-12) -> Tensor:
    """Return ``input / max(|input|_p, eps)``: vectors along a dimension, made unit ones.

    Parameters
    ----------
    input : Tensor of any shape
    p : float, default 2
        Which norm.
    dim : int or sequence of int, default 1
    eps : float, default 1e-12
        The least length to divide by.

    Returns
    -------
    Tensor of the input's shape

    Raises
    ------
    TypeError
        If the input is not floating.
    IndexError
        If there is no such dimension.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> [round(x, 4) for x in F.normalize(dnn.tensor([3.0, 4.0]), dim=0).tolist()]
    [0.6, 0.8]
    """
    check_tensors("normalize", input=input)
    return input / input.norm(p, dim, keepdim=True).clamp(min=eps)


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
