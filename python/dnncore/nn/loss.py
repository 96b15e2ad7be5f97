"""Losses. They never broadcast: shapes that do not fit are an error."""

from __future__ import annotations

from typing import Literal

from dnncore._core import Tensor
from dnncore.nn import _functional_loss as F
from dnncore.nn.module import Module


class _Loss(Module):
    def __init__(self, reduction: F.Reduction) -> None:
        super().__init__()
        F.check_reduction(type(self).__name__, reduction)
        self.reduction = reduction


class CrossEntropyLoss(_Loss):
    """Softmax and negative log likelihood in one: ``-log(softmax(input)[target])``.

    Parameters
    ----------
    weight : Tensor of shape (C,), optional
        A factor per class.
    ignore_index : int, default -100
        A target that counts neither in the loss nor in the mean.
    label_smoothing : float, default 0
        The share of the target that is spread evenly over all classes.
    reduction : {"mean", "sum", "none"}, default "mean"

    Notes
    -----
    The input is logits, never the output of a softmax.

    References
    ----------
    C. Szegedy et al.: Rethinking the Inception Architecture for Computer Vision, arXiv:1512.00567 (label smoothing).

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> loss = nn.CrossEntropyLoss()(dnn.zeros(3, 10), dnn.tensor([1, 2, 3]))
    >>> round(loss.item(), 4)
    2.3026
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: F.Reduction = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.weight: Tensor | None
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits (N, C, d1, ...) against class numbers (N, d1, ...) or probabilities (N, C, d1, ...)."""
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_Loss):
    """Negative log likelihood of log-probabilities: ``-weight[target] input[target]``.

    Parameters
    ----------
    weight : Tensor of shape (C,), optional
        A factor per class.
    ignore_index : int, default -100
        A target that counts neither in the loss nor in the mean.
    reduction : {"mean", "sum", "none"}, default "mean"

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.NLLLoss()(dnn.tensor([[-1.0, -2.0]]), dnn.tensor([1])).item()
    2.0
    """

    def __init__(self, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: F.Reduction = "mean") -> None:
        super().__init__(reduction)
        self.ignore_index = ignore_index
        self.weight: Tensor | None
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of log-probabilities (N, C, d1, ...) against class numbers (N, d1, ...)."""
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class MSELoss(_Loss):
    """Squared error ``(input - target)^2``.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.MSELoss()(dnn.tensor([1.0, 4.0]), dnn.tensor([1.0, 2.0])).item()
    2.0
    """

    def __init__(self, *, reduction: F.Reduction = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """Absolute error ``|input - target|``.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.L1Loss()(dnn.tensor([1.0, 4.0]), dnn.tensor([1.0, 2.0])).item()
    1.0
    """

    def __init__(self, *, reduction: F.Reduction = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """Absolute error, rounded off by a parabola below `beta`.

    Parameters
    ----------
    beta : float, default 1
        ``d^2 / (2 beta)`` below, ``d - beta / 2`` beyond.
    reduction : {"mean", "sum", "none"}, default "mean"

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.SmoothL1Loss()(dnn.tensor([3.0]), dnn.zeros(1)).item()
    2.5
    """

    def __init__(self, *, reduction: F.Reduction = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """Squared error up to `delta`, linear beyond.

    Parameters
    ----------
    delta : float, default 1
        ``d^2 / 2`` up to it, ``delta (d - delta / 2)`` beyond.
    reduction : {"mean", "sum", "none"}, default "mean"

    References
    ----------
    P. J. Huber: Robust Estimation of a Location Parameter, Ann. Math. Statist. 35 (1964).

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.HuberLoss(delta=2.0)(dnn.tensor([3.0]), dnn.zeros(1)).item()
    4.0
    """

    def __init__(self, reduction: F.Reduction = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.huber_loss(input, target, self.reduction, self.delta)


class BCELoss(_Loss):
    """Binary cross-entropy of probabilities, ``-(t log x + (1 - t) log(1 - x))``.

    Parameters
    ----------
    weight : Tensor, optional
        A factor per element, broadcast to the input's shape.
    reduction : {"mean", "sum", "none"}, default "mean"

    Raises
    ------
    ValueError
        If an input or a target is outside [0, 1].

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> round(nn.BCELoss()(dnn.tensor([0.5]), dnn.tensor([1.0])).item(), 4)
    0.6931
    """

    def __init__(self, weight: Tensor | None = None, *, reduction: F.Reduction = "mean") -> None:
        super().__init__(reduction)
        self.weight: Tensor | None
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of ``sigmoid(input)``, computed without overflow.

    Parameters
    ----------
    weight : Tensor, optional
        A factor per element, broadcast to the input's shape.
    pos_weight : Tensor, optional
        A factor of the positive part, broadcast to the input's shape.
    reduction : {"mean", "sum", "none"}, default "mean"

    Raises
    ------
    ValueError
        If a target is outside [0, 1].

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> round(nn.BCEWithLogitsLoss()(dnn.zeros(1), dnn.ones(1)).item(), 4)
    0.6931
    """

    def __init__(
        self, weight: Tensor | None = None, *, reduction: F.Reduction = "mean", pos_weight: Tensor | None = None
    ) -> None:
        super().__init__(reduction)
        self.weight: Tensor | None
        self.register_buffer("weight", weight)
        self.pos_weight: Tensor | None
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class KLDivLoss(Module):
    """Divergence of log-probabilities from probabilities: ``target (log target - input)``.

    Parameters
    ----------
    log_target : bool, default False
        Whether targets are logarithms too.
    reduction : {"batchmean", "mean", "sum", "none"}, default "mean"

    Notes
    -----
    Only "batchmean", the sum over the size of the first dimension, is the divergence as defined.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> loss = nn.KLDivLoss(reduction="batchmean")(dnn.tensor([[0.5, 0.5]]).log(), dnn.tensor([[1.0, 0.0]]))
    >>> round(loss.item(), 4)
    0.6931
    """

    def __init__(self, *, reduction: Literal["batchmean", "mean", "sum", "none"] = "mean", log_target: bool = False) -> None:
        super().__init__()
        if reduction != "batchmean":
            F.check_reduction("KLDivLoss", reduction, "'batchmean', ")
        self.reduction = reduction
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class PoissonNLLLoss(_Loss):
    """Negative log likelihood of Poisson counts: ``exp(input) - target input``.

    Parameters
    ----------
    log_input : bool, default True
        Whether the input is the logarithm of the rate; else ``input - target log(input + eps)``.
    full : bool, default False
        Add Stirling's approximation of ``log target!``.
    eps : float, default 1e-8
    reduction : {"mean", "sum", "none"}, default "mean"

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.PoissonNLLLoss()(dnn.zeros(2), dnn.tensor([1.0, 3.0])).item()
    1.0
    """

    def __init__(self, log_input: bool = True, full: bool = False, *, eps: float = 1e-8, reduction: F.Reduction = "mean") -> None:
        super().__init__(reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.poisson_nll_loss(input, target, self.log_input, self.full, eps=self.eps, reduction=self.reduction)


class GaussianNLLLoss(_Loss):
    """Negative log likelihood of normal variates: ``(log var + (input - target)^2 / var) / 2``.

    Parameters
    ----------
    full : bool, default False
        Add the constant ``log(2 pi) / 2``.
    eps : float, default 1e-6
        The least variance.
    reduction : {"mean", "sum", "none"}, default "mean"

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.GaussianNLLLoss()(dnn.zeros(2), dnn.ones(2), dnn.ones(2)).item()
    0.5
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: F.Reduction = "mean") -> None:
        super().__init__(reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        """Return the loss."""
        return F.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)


class SoftMarginLoss(_Loss):
    """``log(1 + exp(-target input))`` for targets of 1 or -1.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> round(nn.SoftMarginLoss()(dnn.zeros(2), dnn.tensor([1.0, -1.0])).item(), 4)
    0.6931
    """

    def __init__(self, *, reduction: F.Reduction = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.soft_margin_loss(input, target, reduction=self.reduction)
