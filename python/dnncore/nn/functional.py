"""The operations behind the layers, as functions."""

from __future__ import annotations

from dnncore import _core
from dnncore._core import Tensor
from dnncore.nn._functional_loss import binary_cross_entropy as binary_cross_entropy
from dnncore.nn._functional_loss import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
from dnncore.nn._functional_loss import cross_entropy as cross_entropy
from dnncore.nn._functional_loss import gaussian_nll_loss as gaussian_nll_loss
from dnncore.nn._functional_loss import huber_loss as huber_loss
from dnncore.nn._functional_loss import kl_div as kl_div
from dnncore.nn._functional_loss import l1_loss as l1_loss
from dnncore.nn._functional_loss import mse_loss as mse_loss
from dnncore.nn._functional_loss import nll_loss as nll_loss
from dnncore.nn._functional_loss import poisson_nll_loss as poisson_nll_loss
from dnncore.nn._functional_loss import smooth_l1_loss as smooth_l1_loss
from dnncore.nn._functional_loss import soft_margin_loss as soft_margin_loss
from dnncore.nn._functional_margin import cosine_embedding_loss as cosine_embedding_loss
from dnncore.nn._functional_margin import cosine_similarity as cosine_similarity
from dnncore.nn._functional_margin import hinge_embedding_loss as hinge_embedding_loss
from dnncore.nn._functional_margin import margin_ranking_loss as margin_ranking_loss
from dnncore.nn._functional_margin import multi_margin_loss as multi_margin_loss
from dnncore.nn._functional_margin import multilabel_soft_margin_loss as multilabel_soft_margin_loss
from dnncore.nn._functional_margin import pairwise_distance as pairwise_distance
from dnncore.nn._functional_margin import triplet_margin_loss as triplet_margin_loss
from dnncore.nn._functional_softmax import log_softmax as log_softmax
from dnncore.nn._functional_softmax import softmax as softmax
from dnncore.nn._functional_softmax import softmin as softmin


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
