"""Rows of a table, found by id, and their sums, means and maxima."""

from __future__ import annotations

import operator
from numbers import Real
from typing import Literal, SupportsIndex, TypeAlias

from dnncore import _core
from dnncore._checks import check_tensors
from dnncore._core import Tensor

__all__ = ["embedding", "embedding_bag"]

BagMode: TypeAlias = Literal["sum", "mean", "max"]


def padding_row(op: str, padding_idx: int | None, rows: int) -> int:
    """Return the row that is padding, counted from the front; -1 for none."""
    if padding_idx is None:
        return -1
    if isinstance(padding_idx, bool) or not isinstance(padding_idx, SupportsIndex):
        raise TypeError(f"{op}: expected padding_idx of type int, got {type(padding_idx).__name__}")
    if not -rows <= padding_idx < rows:
        raise ValueError(
            f"{op}: expected padding_idx from {-rows} to {rows - 1} for a vocabulary of {rows} rows, got {padding_idx}"
        )
    return operator.index(padding_idx) % rows


def refuse_sparse(op: str, sparse: bool) -> None:
    """Raise for gradients that are no dense tensors."""
    if sparse:
        raise ValueError(
            f"{op}: there are no sparse gradients; with sparse=False rows that no id names are only written as zeros"
        )


def check_settings(op: str, max_norm: object, norm_type: object, scale_grad_by_freq: object) -> None:
    """Raise for norms that are no numbers, and for a switch that is no bool."""
    for name, value in (("max_norm", 0.0 if max_norm is None else max_norm), ("norm_type", norm_type)):
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{op}: expected {name} as a number, got {type(value).__name__}")
    if isinstance(max_norm, Real) and not float(max_norm) >= 0:
        raise ValueError(f"{op}: expected max_norm of at least 0, got {max_norm}")
    if not isinstance(scale_grad_by_freq, bool):
        raise TypeError(f"{op}: expected scale_grad_by_freq of type bool, got {type(scale_grad_by_freq).__name__}")


def _limit(input: Tensor, weight: Tensor, max_norm: float | None, norm_type: float) -> None:
    if max_norm is not None:
        _core._embedding_renorm(weight, input, float(max_norm), float(norm_type))


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Return the row of a table for every id.

    Parameters
    ----------
    input : Tensor of any shape, int64 or int32
        Ids from 0 to V - 1.
    weight : Tensor of shape (V, D)
        The table.
    padding_idx : int, optional
        A row that gets no gradient; negative numbers count from the end.
    max_norm : float, optional
        Rows that ids name are scaled down to this norm where theirs is larger: the table itself changes.
    norm_type : float, default 2
        Which norm.
    scale_grad_by_freq : bool, default False
        Divide the gradient of a row by the number of its ids.
    sparse : bool, default False
        Only False: gradients are dense, and only the rows that ids name are summed.

    Returns
    -------
    Tensor of shape (..., D)

    Raises
    ------
    IndexError
        If an id is outside [0, V).
    ValueError, TypeError
        If the table is no matrix, or ids or table have another dtype.

    References
    ----------
    Y. Bengio, R. Ducharme, P. Vincent, C. Jauvin: A Neural Probabilistic Language Model, JMLR 3 (2003).

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.embedding(dnn.tensor([2, 0]), dnn.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])).tolist()
    [[5.0, 6.0], [1.0, 2.0]]
    """
    check_tensors("embedding", input=input, weight=weight)
    refuse_sparse("embedding", sparse)
    check_settings("embedding", max_norm, norm_type, scale_grad_by_freq)
    padding = padding_row("embedding", padding_idx, weight.shape[0] if weight.ndim else 0)
    _limit(input, weight, max_norm, norm_type)
    return _core._embedding(weight, input, padding, scale_grad_by_freq)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: BagMode = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Return the sum, mean or maximum of the rows of each bag of ids, without the rows in between.

    Parameters
    ----------
    input : Tensor of shape (B, L) or (N,), int64 or int32
        Ids from 0 to V - 1: a bag per row, or all bags one after the other.
    weight : Tensor of shape (V, D)
        The table.
    offsets : Tensor of shape (B,), int64 or int32, optional
        Where each bag begins, with ids of shape (N,): from 0, never falling; equal ones make an empty bag.
    max_norm, norm_type, scale_grad_by_freq, sparse
        As of `embedding`.
    mode : {"mean", "sum", "max"}, default "mean"
    per_sample_weights : Tensor of the ids' shape and the table's dtype, optional
        Factors of the rows, with "sum" only.
    include_last_offset : bool, default False
        `offsets` has one entry more, the number of ids.
    padding_idx : int, optional
        An id that counts nowhere.

    Returns
    -------
    Tensor of shape (B, D)
        0 for a bag without ids.

    Raises
    ------
    IndexError
        If an id is outside [0, V).
    ValueError, TypeError
        If shapes, offsets and settings do not fit.

    References
    ----------
    A. Joulin, E. Grave, P. Bojanowski, T. Mikolov: Bag of Tricks for Efficient Text Classification, arXiv:1607.01759.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> table = dnn.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> F.embedding_bag(dnn.tensor([0, 1, 2]), table, dnn.tensor([0, 2]), mode="sum").tolist()
    [[4.0, 6.0], [5.0, 6.0]]
    """
    optional = {"offsets": offsets, "per_sample_weights": per_sample_weights}
    given = {name: value for name, value in optional.items() if value is not None}
    check_tensors("embedding_bag", input=input, weight=weight, **given)
    refuse_sparse("embedding_bag", sparse)
    check_settings("embedding_bag", max_norm, norm_type, scale_grad_by_freq)
    if offsets is None and include_last_offset:
        raise ValueError("embedding_bag: include_last_offset says how offsets end; pass offsets too")
    padding = padding_row("embedding_bag", padding_idx, weight.shape[0] if weight.ndim else 0)
    _limit(input, weight, max_norm, norm_type)
    return _core._embedding_bag(
        weight, input, offsets, per_sample_weights, mode, include_last_offset, padding, scale_grad_by_freq
    )
