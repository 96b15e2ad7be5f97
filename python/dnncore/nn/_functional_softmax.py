"""Softmax along one dimension, as functions."""

from __future__ import annotations

from dnncore import _core
from dnncore._core import Tensor

__all__ = [
    "log_softmax",
    "softmax",
    "softmin",
]


def softmax(input: Tensor, dim: int, *, dtype: _core.dtype | None = None) -> Tensor:
    """Return ``exp(x_i) / sum_j exp(x_j)`` along a dimension, without overflow.

    Parameters
    ----------
    input : Tensor
    dim : int
        Along which the results sum to 1.
    dtype : dtype, optional
        The input is cast to it first.

    Raises
    ------
    TypeError
        If the input is not floating.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.softmax(dnn.zeros(1, 4), dim=1).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    return _core.softmax(input, dim, dtype=dtype)


def log_softmax(input: Tensor, dim: int, *, dtype: _core.dtype | None = None) -> Tensor:
    """Return the logarithm of softmax along a dimension.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> [round(x, 4) for x in F.log_softmax(dnn.zeros(2), dim=0).tolist()]
    [-0.6931, -0.6931]
    """
    return _core.log_softmax(input, dim, dtype=dtype)


def softmin(input: Tensor, dim: int, *, dtype: _core.dtype | None = None) -> Tensor:
    """Return softmax of the negated input along a dimension.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.softmin(dnn.zeros(2), dim=0).tolist()
    [0.5, 0.5]
    """
    return _core.softmax(-input, dim, dtype=dtype)
