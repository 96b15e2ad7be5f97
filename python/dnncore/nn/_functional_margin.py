"""Losses of margins and similarities as functions, made of differentiable operations."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeAlias

from dnncore import _core
from dnncore._checks import check_tensors
from dnncore._core import Tensor
from dnncore.nn._functional_loss import Reduction, _check_same, _check_shape, _expanded, _reduced

__all__ = [
    "cosine_embedding_loss",
    "cosine_similarity",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "pairwise_distance",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


Distance: TypeAlias = Callable[[Tensor, Tensor], Any]


def _root(x: Tensor) -> Tensor:
    """Square root whose slope at 0 is taken as 0."""
    flat = x == 0
    return _core.where(flat, 0.0, _core.where(flat, 1.0, x).sqrt())


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return ``x1 x2 / (max(|x1|, eps) max(|x2|, eps))`` along a dimension; the two broadcast.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.cosine_similarity(dnn.tensor([[3.0, 4.0]]), dnn.tensor([[6.0, 8.0]])).tolist()
    [1.0]
    """
    check_tensors("cosine_similarity", x1=x1, x2=x2)
    lengths = [_root((x * x).sum(dim, keepdim=True)).clamp(min=eps) for x in (x1, x2)]
    return ((x1 / lengths[0]) * (x2 / lengths[1])).sum(dim)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """Return the p-norm of ``x1 - x2 + eps`` along the last dimension; the two broadcast.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.pairwise_distance(dnn.tensor([[3.0, 4.0]]), dnn.zeros(1, 2), eps=0.0).tolist()
    [5.0]
    """
    check_tensors("pairwise_distance", x1=x1, x2=x2)
    if not p > 0:
        raise ValueError(f"pairwise_distance: expected p above 0, got {p}")
    difference = x1 - x2 + eps
    if p == 2:
        return _root(difference.square().sum(-1, keepdim=keepdim))
    size = difference.abs()
    if p == math.inf:
        return size.amax(-1, keepdim=keepdim)
    if p == 1:
        return size.sum(-1, keepdim=keepdim)
    total = size.pow(p).sum(-1, keepdim=keepdim)
    flat = total == 0
    return _core.where(flat, 0.0, _core.where(flat, 1.0, total).pow(1 / p))


def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, *, reduction: Reduction = "mean") -> Tensor:
    """Return ``input`` where the target is 1 and ``max(0, margin - input)`` where it is -1, reduced.

    Parameters
    ----------
    input : Tensor
        Distances.
    target : Tensor of the input's shape, of any dtype
        1 for pairs that belong together, -1 for others.
    margin : float, default 1
    reduction : {"mean", "sum", "none"}, default "mean"

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.hinge_embedding_loss(dnn.tensor([0.5, 0.25]), dnn.tensor([1, -1]), reduction="none").tolist()
    [0.5, 0.75]
    """
    op = "hinge_embedding_loss"
    _check_same(op, input=input)
    _check_shape(op, "target", target, tuple(input.shape), "input")
    apart = _core.where(target != 1, (margin - input).clamp(min=0), 0.0)
    return _reduced(op, apart + _core.where(target != -1, input, 0.0), reduction)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, *, reduction: Reduction = "mean"
) -> Tensor:
    """Return ``1 - cos`` where the target is 1 and ``max(0, cos - margin)`` where it is -1, reduced.

    Parameters
    ----------
    input1, input2 : Tensor of shape (N, D) or (D,)
    target : Tensor of shape (N,) or (), of any dtype
    margin : float, default 0
        From -1 to 1.
    reduction : {"mean", "sum", "none"}, default "mean"

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> round(F.cosine_embedding_loss(dnn.ones(1, 4), dnn.ones(1, 4), dnn.tensor([1])).item(), 6)
    0.0
    """
    op = "cosine_embedding_loss"
    _check_same(op, input1=input1, input2=input2)
    if input1.ndim not in (1, 2):
        raise ValueError(f"{op}: expected inputs of shape (N, D) or (D,), got {tuple(input1.shape)}")
    _check_shape(op, "target", target, tuple(input1.shape[:-1]), "the inputs")
    squares = [(x * x).sum(-1) + 1e-12 for x in (input1, input2)]
    cosine = (input1 * input2).sum(-1) / (squares[0] * squares[1]).sqrt()
    apart = _core.where(target == -1, (cosine - margin).clamp(min=0), 0.0)
    return _reduced(op, _core.where(target == 1, 1 - cosine, 0.0) + apart, reduction)


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, *, reduction: Reduction = "mean"
) -> Tensor:
    """Return ``max(0, margin - target (input1 - input2))``, reduced; the target is 1 where input1 should be larger, or -1.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.margin_ranking_loss(dnn.tensor([1.0, 2.0]), dnn.tensor([3.0, 0.0]), dnn.tensor([1, 1])).item()
    1.0
    """
    op = "margin_ranking_loss"
    _check_same(op, input1=input1, input2=input2)
    _check_shape(op, "target", target, tuple(input1.shape), "the inputs")
    return _reduced(op, (margin - target * (input1 - input2)).clamp(min=0), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return ``max(0, margin + d(anchor, positive) - d(anchor, negative))`` of p-norm distances, reduced.

    Parameters
    ----------
    anchor, positive, negative : Tensor of shape (N, D) or (D,)
    margin : float, default 1
        Above 0.
    p : float, default 2
    eps : float, default 1e-6
    swap : bool, default False
        Take the distance of positive and negative where it is the smaller one.
    reduction : {"mean", "sum", "none"}, default "mean"

    References
    ----------
    V. Balntas et al.: Learning shallow convolutional feature descriptors with triplet losses, BMVC 2016.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.triplet_margin_loss(dnn.zeros(1, 2), dnn.zeros(1, 2), dnn.tensor([[3.0, 4.0]])).item()
    0.0
    """
    distance = functools.partial(pairwise_distance, p=p, eps=eps)
    return _triplet("triplet_margin_loss", (anchor, positive, negative), distance, margin, swap, reduction)


def _triplet(
    op: str, triplet: tuple[Tensor, Tensor, Tensor], distance: Distance, margin: float, swap: bool, reduction: str
) -> Tensor:
    anchor, positive, negative = triplet
    _check_same(op, anchor=anchor, positive=positive, negative=negative)
    if not margin > 0:
        raise ValueError(f"{op}: expected margin above 0, got {margin}")
    close, apart = distance(anchor, positive), distance(anchor, negative)
    check_tensors(op, distances=close)
    if swap:
        apart = _core.minimum(apart, distance(positive, negative))
    return _reduced(op, (margin + close - apart).clamp(min=0), reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Distance | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return ``max(0, margin + d(anchor, positive) - d(anchor, negative))`` of any distance, reduced.

    Parameters
    ----------
    anchor, positive, negative : Tensor of one shape
    distance_function : callable, optional
        Two tensors of that shape to their distances, without negative ones; `pairwise_distance` when not given.
    margin : float, default 1
        Above 0.
    swap : bool, default False
        Take the distance of positive and negative where it is the smaller one.
    reduction : {"mean", "sum", "none"}, default "mean"

    Raises
    ------
    ValueError
        If the shapes differ or the margin is not above 0.
    TypeError
        If the distances are no tensor.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> def largest(a, b):
    ...     return (a - b).abs().amax(-1)
    >>> F.triplet_margin_with_distance_loss(
    ...     dnn.zeros(1, 2), dnn.ones(1, 2), dnn.tensor([[2.5, 0.0]]), distance_function=largest, margin=2.0
    ... ).item()
    0.5
    """
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet("triplet_margin_with_distance_loss", (anchor, positive, negative), distance, margin, swap, reduction)


def _check_class_numbers(op: str, target: Tensor, shape: tuple[int, ...]) -> None:
    check_tensors(op, target=target)
    if target.dtype != _core.int64:
        raise TypeError(f"{op}: expected int64 class indices, got {target.dtype}; convert them with .long()")
    _check_shape(op, "target", target, shape, "the input")


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    *,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return ``sum_j max(0, margin - x[target] + x[j])^p / C`` over the other classes, reduced.

    Parameters
    ----------
    input : Tensor of shape (N, C) or (C,)
        Scores.
    target : Tensor of shape (N,) or (), int64
        Class numbers.
    p : {1, 2}, default 1
    margin : float, default 1
    weight : Tensor of shape (C,), optional
        A factor per class of the target.
    reduction : {"mean", "sum", "none"}, default "mean"

    Raises
    ------
    ValueError
        If the shapes do not fit or a target is out of range.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.multi_margin_loss(dnn.tensor([[0.0, 1.0]]), dnn.tensor([0])).item()
    1.0
    """
    op = "multi_margin_loss"
    _check_same(op, input=input)
    if input.ndim not in (1, 2):
        raise ValueError(f"{op}: expected input of shape (N, C) or (C,), got {tuple(input.shape)}")
    if p not in (1, 2):
        raise ValueError(f"{op}: expected p of 1 or 2, got {p}")
    _check_class_numbers(op, target, tuple(input.shape[:-1]))
    classes = input.shape[-1]
    outside = ((target < 0) | (target >= classes)).any()
    _core._refuse_if(outside, f"{op}: expected targets from 0 to {classes - 1}, got some outside")
    own = target.unsqueeze(-1)
    violation = (margin - input.gather(-1, own) + input).clamp(min=0)
    violation = _core.where(_core.arange(classes, device=own.device) == own, 0.0, violation if p == 1 else violation.square())
    if weight is not None:
        _check_shape(op, "weight", weight, (classes,), "the classes")
        violation = violation * weight[own]
    return _reduced(op, violation.sum(-1) / classes, reduction)


def multilabel_margin_loss(input: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Return ``sum_jk max(0, 1 - x[target[j]] + x[k]) / C`` over the targets j and the classes k that are no target, reduced.

    A row of targets ends at its first -1; what stands after it does not count.

    Parameters
    ----------
    input : Tensor of shape (N, C) or (C,)
        Scores.
    target : Tensor of the input's shape, int64
        Class numbers from 0 to C - 1, filled up with -1.
    reduction : {"mean", "sum", "none"}, default "mean"

    Returns
    -------
    Tensor
        A number, or of shape (N,) or () without a reduction.

    Raises
    ------
    ValueError
        If the shapes do not fit, there are no classes, or a target is out of range.
    TypeError
        If the target is not int64.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.multilabel_margin_loss(dnn.tensor([[0.5, 0.25, 1.0]]), dnn.tensor([[2, 0, -1]])).item()
    0.3333333432674408
    """
    op = "multilabel_margin_loss"
    _check_same(op, input=input)
    if input.ndim not in (1, 2) or not input.shape[-1]:
        raise ValueError(f"{op}: expected input of shape (N, C) or (C,), got {tuple(input.shape)}")
    _check_class_numbers(op, target, tuple(input.shape))
    classes = input.shape[-1]
    outside = ((target < -1) | (target >= classes)).any()
    _core._refuse_if(outside, f"{op}: expected targets from 0 to {classes - 1}, or -1 after the last one, got some outside")
    counts = (target < 0).cumsum(-1) == 0
    longest = int(counts.sum(-1).amax()) if target.numel() else 0
    index = _core.where(counts, target, 0)
    hits = _core.zeros_like(target).scatter_add(-1, index, counts.long())
    own = input.gather(-1, index).narrow(-1, 0, longest).unsqueeze(-1)  # (..., targets, 1)
    pairs = counts.narrow(-1, 0, longest).unsqueeze(-1) & (hits == 0).unsqueeze(-2)  # (..., targets, C)
    violation = _core.where(pairs, (1 - own + input.unsqueeze(-2)).relu(), 0.0)
    return _reduced(op, violation.sum((-2, -1)) / classes, reduction)


def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: Reduction = "mean"
) -> Tensor:
    """Return the mean over the classes of the binary cross-entropy of ``sigmoid(input)``, reduced over the samples.

    Parameters
    ----------
    input : Tensor of shape (..., C)
        Logits.
    target : Tensor of the input's shape
        0 or 1 per class.
    weight : Tensor of shape (C,), optional
    reduction : {"mean", "sum", "none"}, default "mean"

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> round(F.multilabel_soft_margin_loss(dnn.zeros(1, 3), dnn.ones(1, 3)).item(), 4)
    0.6931
    """
    op = "multilabel_soft_margin_loss"
    loss = _core._pointwise_loss("bce_with_logits", input, target, 0.0, "none")
    if weight is not None:
        loss = loss * _expanded(op, "weight", weight, input)
    return _reduced(op, loss.mean(-1), reduction)
