"""Losses as functions. They never broadcast: shapes that do not fit are an error that shows the fix."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from dnncore import _core
from dnncore._checks import check_tensors
from dnncore._core import Tensor

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "gaussian_nll_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "nll_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
]

Reduction: TypeAlias = Literal["mean", "sum", "none"]

_FIX = "losses do not broadcast, use unsqueeze(), squeeze() or expand()"


def check_reduction(op: str, reduction: str, others: str = "") -> None:
    """Raise ValueError for anything but the three reductions; `others` are named with them."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{op}: expected reduction {others}'mean', 'sum' or 'none', got {reduction!r}")


def _reduced(op: str, loss: Tensor, reduction: str) -> Tensor:
    check_reduction(op, reduction)
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def _weighted(op: str, kind: str, input: Tensor, target: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """Return a loss with a factor per element, whose mean divides by the sum of the factors."""
    if weight is None:
        return _core._pointwise_loss(kind, input, target, 0.0, reduction)
    _check_same(op, input=input, weight=weight)
    loss = _core._pointwise_loss(kind, input, target, 0.0, "none") * weight
    return loss.sum() / weight.sum() if reduction == "mean" else _reduced(op, loss, reduction)


def _check_same(op: str, **tensors: Tensor) -> None:
    """All of one shape and one floating dtype."""
    check_tensors(op, **tensors)
    (first, x), *others = tensors.items()
    if not x.dtype.is_floating_point:
        raise TypeError(f"{op}: expected a floating {first}, got {x.dtype}; use {first}.float()")
    for name, y in others:
        if y.dtype != x.dtype:
            raise TypeError(f"{op}: expected {name} of {first}'s dtype {x.dtype}, got {y.dtype}; use {name}.to({first}.dtype)")
        _check_shape(op, name, y, tuple(x.shape), first)


def _check_shape(op: str, name: str, x: Tensor, shape: tuple[int, ...], match: str) -> None:
    check_tensors(op, **{name: x})
    if tuple(x.shape) != shape:
        fix = f"use {name}.reshape({shape})" if x.numel() == math.prod(shape) else _FIX
        raise ValueError(f"{op}: expected {name} of shape {shape} to match {match}, got {tuple(x.shape)}; {fix}")


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return ``-log(softmax(input)[target])``, the loss of logits against class numbers or probabilities.

    Parameters
    ----------
    input : Tensor of shape (C,), (N, C) or (N, C, d1, ...)
        Logits, never probabilities.
    target : Tensor of shape (), (N,) or (N, d1, ...), int64, or of the input's shape and dtype
        Class numbers from 0 to C - 1, or a probability per class.
    weight : Tensor of shape (C,), optional
        A factor per class.
    ignore_index : int, default -100
        A class number that counts neither in the loss nor in the mean.
    reduction : {"mean", "sum", "none"}, default "mean"
        Mean over the counted samples (their weights, when given), their sum, or one value each.
    label_smoothing : float, default 0
        The share of the target that is spread evenly over all classes.

    Returns
    -------
    Tensor
        0-D, or of shape (N, d1, ...) with ``reduction="none"``.

    Raises
    ------
    ValueError
        If the shapes do not fit or a target is out of range.
    TypeError
        If class numbers are not int64 or probabilities are not of the input's dtype.

    References
    ----------
    C. Szegedy et al.: Rethinking the Inception Architecture for Computer Vision, arXiv:1512.00567 (label smoothing).

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> round(F.cross_entropy(dnn.zeros(3, 10), dnn.tensor([1, 2, 3])).item(), 4)
    2.3026
    """
    return _core.cross_entropy(
        input, target, weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )


def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: Reduction = "mean"
) -> Tensor:
    """Return ``-weight[target] input[target]`` of log-probabilities against class numbers.

    Parameters
    ----------
    input : Tensor of shape (C,), (N, C) or (N, C, d1, ...)
        Log-probabilities, as ``log_softmax`` gives.
    target : Tensor of shape (), (N,) or (N, d1, ...), int64
    weight : Tensor of shape (C,), optional
    ignore_index : int, default -100
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean divides by the weights of the counted targets.

    Raises
    ------
    ValueError
        If the shapes do not fit or a target is out of range.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.nll_loss(dnn.tensor([[-1.0, -2.0]]), dnn.tensor([1])).item()
    2.0
    """
    return _core._nll_loss(input, target, weight, ignore_index, reduction)


def mse_loss(input: Tensor, target: Tensor, *, reduction: Reduction = "mean", weight: Tensor | None = None) -> Tensor:
    """Return ``(input - target)^2``, reduced; both of any one shape.

    Parameters
    ----------
    input, target : Tensor of one shape and dtype
    reduction : {"mean", "sum", "none"}, default "mean"
    weight : Tensor of the input's shape and dtype, optional
        A factor per element; the mean divides by their sum.

    Raises
    ------
    ValueError
        If the shapes differ.
    TypeError
        If the dtypes differ.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.mse_loss(dnn.tensor([1.0, 4.0]), dnn.tensor([1.0, 2.0])).item()
    2.0
    """
    return _weighted("mse_loss", "mse", input, target, weight, reduction)


def l1_loss(input: Tensor, target: Tensor, *, reduction: Reduction = "mean", weight: Tensor | None = None) -> Tensor:
    """Return ``|input - target|``, reduced; both of any one shape.

    Parameters
    ----------
    input, target : Tensor of one shape and dtype
    reduction : {"mean", "sum", "none"}, default "mean"
    weight : Tensor of the input's shape and dtype, optional
        A factor per element; the mean divides by their sum.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.l1_loss(dnn.tensor([1.0, 4.0]), dnn.tensor([1.0, 2.0])).item()
    1.0
    """
    return _weighted("l1_loss", "l1", input, target, weight, reduction)


def smooth_l1_loss(input: Tensor, target: Tensor, *, reduction: Reduction = "mean", beta: float = 1.0) -> Tensor:
    """Return ``d^2 / (2 beta)`` where ``d = |input - target| < beta``, and ``d - beta / 2`` beyond, reduced.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.smooth_l1_loss(dnn.tensor([0.0, 3.0]), dnn.zeros(2), reduction="none").tolist()
    [0.0, 2.5]
    """
    if not beta >= 0:
        raise ValueError(f"smooth_l1_loss: expected beta of at least 0, got {beta}")
    return _core._pointwise_loss("smooth_l1" if beta > 0 else "l1", input, target, beta, reduction)


def huber_loss(
    input: Tensor, target: Tensor, reduction: Reduction = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Return ``d^2 / 2`` where ``d = |input - target| <= delta``, and ``delta (d - delta / 2)`` beyond, reduced.

    Parameters
    ----------
    input, target : Tensor of one shape and dtype
    reduction : {"mean", "sum", "none"}, default "mean"
    delta : float, default 1
        Above 0.
    weight : Tensor of the input's shape and dtype, optional
        A factor per element; the mean divides by the number of elements, as PyTorch's of this loss does.

    References
    ----------
    P. J. Huber: Robust Estimation of a Location Parameter, Ann. Math. Statist. 35 (1964).

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.huber_loss(dnn.tensor([0.0, 3.0]), dnn.zeros(2), reduction="none", delta=2.0).tolist()
    [0.0, 4.0]
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: expected delta above 0, got {delta}")
    if weight is None:
        return _core._pointwise_loss("huber", input, target, delta, reduction)
    _check_same("huber_loss", input=input, weight=weight)
    return _reduced("huber_loss", _core._pointwise_loss("huber", input, target, delta, "none") * weight, reduction)


def binary_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: Reduction = "mean") -> Tensor:
    """Return ``-(t log x + (1 - t) log(1 - x))`` of probabilities, reduced.

    Parameters
    ----------
    input : Tensor
        Probabilities, the output of a sigmoid. Their logarithms are limited to -100.
    target : Tensor of the input's shape
        From 0 to 1.
    weight : Tensor, optional
        A factor per element; broadcast to the input's shape.
    reduction : {"mean", "sum", "none"}, default "mean"

    Raises
    ------
    ValueError
        If the shapes differ, or an input or a target is outside [0, 1].

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> round(F.binary_cross_entropy(dnn.tensor([0.5]), dnn.tensor([1.0])).item(), 4)
    0.6931
    """
    if weight is None:
        return _core._pointwise_loss("bce", input, target, 0.0, reduction)
    loss = _core._pointwise_loss("bce", input, target, 0.0, "none")
    return _reduced("binary_cross_entropy", loss * _expanded("binary_cross_entropy", "weight", weight, input), reduction)


def _expanded(op: str, name: str, factor: Tensor, input: Tensor) -> Tensor:
    """`factor` checked to broadcast to the input's shape, and to have its dtype."""
    check_tensors(op, **{name: factor})
    if factor.dtype != input.dtype:
        raise TypeError(
            f"{op}: expected {name} of the input's dtype {input.dtype}, got {factor.dtype}; use {name}.to(input.dtype)"
        )
    try:
        return factor.expand(*input.shape)
    except ValueError:
        shapes = f"{tuple(factor.shape)} to {tuple(input.shape)}"
        raise ValueError(f"{op}: {name} does not broadcast from {shapes}; give it the trailing dimensions of the input") from None


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: Reduction = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Return the binary cross-entropy of ``sigmoid(input)``, computed without overflow, reduced.

    Parameters
    ----------
    input : Tensor
        Logits.
    target : Tensor of the input's shape
        From 0 to 1.
    weight : Tensor, optional
        A factor per element; broadcast to the input's shape.
    reduction : {"mean", "sum", "none"}, default "mean"
    pos_weight : Tensor, optional
        A factor of the positive part ``t log sigmoid(x)``; broadcast to the input's shape.

    Raises
    ------
    ValueError
        If the shapes differ or a target is outside [0, 1].

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> round(F.binary_cross_entropy_with_logits(dnn.zeros(1), dnn.ones(1)).item(), 4)
    0.6931
    """
    op = "binary_cross_entropy_with_logits"
    if weight is None and pos_weight is None:
        return _core._pointwise_loss("bce_with_logits", input, target, 0.0, reduction)
    loss = _core._pointwise_loss("bce_with_logits", input, target, 0.0, "none")
    if pos_weight is not None:  # (1 - t) softplus(x) + p t softplus(-x): nothing cancels
        positive = _expanded(op, "pos_weight", pos_weight, input) * target
        loss = (1 - target) * _core.softplus(input) + positive * _core.softplus(-input)
    if weight is not None:
        loss = loss * _expanded(op, "weight", weight, input)
    return _reduced(op, loss, reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    *,
    reduction: Literal["batchmean", "mean", "sum", "none"] = "mean",
    log_target: bool = False,
) -> Tensor:
    """Return ``target (log target - input)``, the divergence of log-probabilities from probabilities, reduced.

    Parameters
    ----------
    input : Tensor
        Log-probabilities.
    target : Tensor of the input's shape
        Probabilities, or their logarithms with ``log_target``.
    reduction : {"batchmean", "mean", "sum", "none"}, default "mean"
        "batchmean" divides the sum by the size of the first dimension, which is the divergence's definition; "mean"
        divides by the number of elements.
    log_target : bool, default False

    References
    ----------
    S. Kullback, R. A. Leibler: On Information and Sufficiency, Ann. Math. Statist. 22 (1951).

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> round(F.kl_div(dnn.tensor([[0.5, 0.5]]).log(), dnn.tensor([[1.0, 0.0]]), reduction="batchmean").item(), 4)
    0.6931
    """
    kind = "kl_div_log" if log_target else "kl_div"
    if reduction != "batchmean":
        return _core._pointwise_loss(kind, input, target, 0.0, reduction)
    loss = _core._pointwise_loss(kind, input, target, 0.0, "sum")
    return loss / input.shape[0] if input.ndim > 0 else loss


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    *,
    eps: float = 1e-8,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return the negative log likelihood of Poisson counts, reduced.

    Parameters
    ----------
    input : Tensor
        The logarithm of the rate, or the rate itself without `log_input`.
    target : Tensor of the input's shape
        Counts.
    log_input : bool, default True
        ``exp(x) - t x``, else ``x - t log(x + eps)``.
    full : bool, default False
        Add Stirling's approximation of ``log t!`` where t > 1.
    eps : float, default 1e-8
    reduction : {"mean", "sum", "none"}, default "mean"

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.poisson_nll_loss(dnn.zeros(2), dnn.tensor([1.0, 3.0])).item()
    1.0
    """
    kind = "poisson_nll_log" if log_input else "poisson_nll"
    if not full:
        return _core._pointwise_loss(kind, input, target, eps, reduction)
    loss = _core._pointwise_loss(kind, input, target, eps, "none")
    large = _core.where(target > 1, target, 1.0)
    stirling = large * large.log() - large + 0.5 * (2 * math.pi * large).log()
    return _reduced("poisson_nll_loss", loss + _core.where(target > 1, stirling, 0.0), reduction)


def soft_margin_loss(input: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Return ``log(1 + exp(-target input))`` for targets of 1 or -1, reduced.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> round(F.soft_margin_loss(dnn.zeros(2), dnn.tensor([1.0, -1.0])).item(), 4)
    0.6931
    """
    return _core._pointwise_loss("soft_margin", input, target, 0.0, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return ``(log var + (input - target)^2 / var) / 2``, the negative log likelihood of normal variates, reduced.

    Parameters
    ----------
    input, target : Tensor
        Means and samples, of one shape.
    var : Tensor or float
        Variances: of the input's shape, or without its last dimension, or with a last dimension of 1.
    full : bool, default False
        Add the constant ``log(2 pi) / 2``.
    eps : float, default 1e-6
        Variances below are taken as eps; the gradient does not see that.
    reduction : {"mean", "sum", "none"}, default "mean"

    Raises
    ------
    ValueError
        If the shapes do not fit or a variance is negative.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.gaussian_nll_loss(dnn.zeros(2), dnn.ones(2), dnn.ones(2)).item()
    0.5
    """
    op = "gaussian_nll_loss"
    _check_same(op, input=input, target=target)
    if not isinstance(var, Tensor):
        var = _core.full(input.shape, float(var), dtype=input.dtype, device=input.device)
    shape = tuple(input.shape)
    if tuple(var.shape) == shape[:-1] and input.ndim > 0:
        var = var.unsqueeze(-1)
    elif tuple(var.shape) not in (shape, (*shape[:-1], 1)):
        raise ValueError(f"{op}: expected var of shape {shape}, {shape[:-1]} or {(*shape[:-1], 1)}, got {tuple(var.shape)}")
    _core._refuse_if((var < 0).any(), f"{op}: expected variances of at least 0, got some below")
    known = var.detach()
    var = var + (known.clamp(min=eps) - known)
    loss = 0.5 * (var.log() + (input - target).square() / var)
    return _reduced(op, loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)
