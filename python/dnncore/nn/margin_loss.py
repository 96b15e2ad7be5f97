"""Losses of margins and similarities, and the similarities themselves."""

from __future__ import annotations

from dnncore._core import Tensor
from dnncore.nn import _functional_margin as F
from dnncore.nn._functional_loss import Reduction
from dnncore.nn.loss import _Loss
from dnncore.nn.module import Module


class HingeEmbeddingLoss(_Loss):
    """``input`` where the target is 1, ``max(0, margin - input)`` where it is -1.

    Parameters
    ----------
    margin : float, default 1
    reduction : {"mean", "sum", "none"}, default "mean"

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.HingeEmbeddingLoss()(dnn.tensor([0.5, 0.5]), dnn.tensor([1, -1])).item()
    0.5
    """

    def __init__(self, margin: float = 1.0, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


class CosineEmbeddingLoss(_Loss):
    """``1 - cos`` where the target is 1, ``max(0, cos - margin)`` where it is -1.

    Parameters
    ----------
    margin : float, default 0
        From -1 to 1.
    reduction : {"mean", "sum", "none"}, default "mean"

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> round(nn.CosineEmbeddingLoss()(dnn.ones(1, 4), dnn.ones(1, 4), dnn.tensor([-1])).item(), 6)
    1.0
    """

    def __init__(self, margin: float = 0.0, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction)


class MarginRankingLoss(_Loss):
    """``max(0, margin - target (input1 - input2))``: which of two should be the larger.

    Parameters
    ----------
    margin : float, default 0
    reduction : {"mean", "sum", "none"}, default "mean"

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.MarginRankingLoss()(dnn.tensor([1.0]), dnn.tensor([3.0]), dnn.tensor([1])).item()
    2.0
    """

    def __init__(self, margin: float = 0.0, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.margin_ranking_loss(input1, input2, target, self.margin, reduction=self.reduction)


class TripletMarginLoss(_Loss):
    """``max(0, margin + d(anchor, positive) - d(anchor, negative))`` of p-norm distances.

    Parameters
    ----------
    margin : float, default 1
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
    >>> from dnncore import nn
    >>> nn.TripletMarginLoss()(dnn.zeros(1, 2), dnn.zeros(1, 2), dnn.tensor([[3.0, 4.0]])).item()
    0.0
    """

    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, *, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Return the loss."""
        return F.triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, reduction=self.reduction
        )


class TripletMarginWithDistanceLoss(_Loss):
    """``max(0, margin + d(anchor, positive) - d(anchor, negative))`` of any distance.

    Parameters
    ----------
    distance_function : callable, optional
        Two tensors of the inputs' shape to their distances, without negative ones; `PairwiseDistance` when not given. The
        parameters of a module are parameters of this one.
    margin : float, default 1
        Above 0.
    swap : bool, default False
        Take the distance of positive and negative where it is the smaller one.
    reduction : {"mean", "sum", "none"}, default "mean"

    References
    ----------
    V. Balntas et al.: Learning shallow convolutional feature descriptors with triplet losses, BMVC 2016.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> loss = nn.TripletMarginWithDistanceLoss(distance_function=lambda a, b: (a - b).abs().amax(-1), margin=2.0)
    >>> loss(dnn.zeros(1, 2), dnn.ones(1, 2), dnn.tensor([[2.5, 0.0]])).item()
    0.5
    """

    def __init__(
        self,
        *,
        distance_function: F.Distance | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.distance_function = PairwiseDistance() if distance_function is None else distance_function
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Return the loss."""
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


class MultiMarginLoss(_Loss):
    """``sum_j max(0, margin - x[target] + x[j])^p / C`` over the other classes.

    Parameters
    ----------
    p : {1, 2}, default 1
    margin : float, default 1
    weight : Tensor of shape (C,), optional
        A factor per class of the target.
    reduction : {"mean", "sum", "none"}, default "mean"

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.MultiMarginLoss()(dnn.tensor([[0.0, 1.0]]), dnn.tensor([0])).item()
    1.0
    """

    def __init__(self, p: int = 1, margin: float = 1.0, weight: Tensor | None = None, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.p = p
        self.margin = margin
        self.weight: Tensor | None
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.multi_margin_loss(input, target, self.p, self.margin, self.weight, reduction=self.reduction)


class MultiLabelMarginLoss(_Loss):
    """``sum_jk max(0, 1 - x[target[j]] + x[k]) / C`` over the targets j and the classes k that are no target.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.MultiLabelMarginLoss()(dnn.tensor([0.5, 0.25, 0.0, 1.0]), dnn.tensor([3, 0, -1, 1])).item()
    0.375
    """

    def __init__(self, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of scores (N, C) or (C,) and class numbers of the same shape, filled up with -1."""
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_Loss):
    """Mean over the classes of the binary cross-entropy of ``sigmoid(input)``.

    Parameters
    ----------
    weight : Tensor of shape (C,), optional
    reduction : {"mean", "sum", "none"}, default "mean"

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> round(nn.MultiLabelSoftMarginLoss()(dnn.zeros(1, 3), dnn.ones(1, 3)).item(), 4)
    0.6931
    """

    def __init__(self, weight: Tensor | None = None, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.weight: Tensor | None
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return F.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)


class CosineSimilarity(Module):
    """``x1 x2 / (|x1| |x2|)`` along one dimension.

    Parameters
    ----------
    dim : int, default 1
    eps : float, default 1e-8
        The least length.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.CosineSimilarity()(dnn.tensor([[3.0, 4.0]]), dnn.tensor([[6.0, 8.0]])).tolist()
    [1.0]
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Return the cosines."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of ``x1 - x2 + eps`` along the last dimension.

    Parameters
    ----------
    p : float, default 2
    eps : float, default 1e-6
    keepdim : bool, default False

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.PairwiseDistance(eps=0.0)(dnn.tensor([[3.0, 4.0]]), dnn.zeros(1, 2)).tolist()
    [5.0]
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Return the distances."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
