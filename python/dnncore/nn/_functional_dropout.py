"""Dropout as functions; `dnncore.nn.functional` offers them. Masks come from the default generator."""

from __future__ import annotations

import math

from dnncore import _core
from dnncore._checks import check_tensors
from dnncore._core import Tensor
from dnncore.nn._functional_activation import _may_overwrite

__all__ = [
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
]

_ALPHA = 1.7580993408473766  # minus the value of selu far below 0


def _check_probability(op: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"{op}: expected a probability 0 <= p <= 1, got {p}")


def _scaled(input: Tensor, factor: Tensor | float, inplace: bool) -> Tensor:
    return input.mul_(factor) if _may_overwrite(input, inplace) else input * factor


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set each element to 0 with probability `p` and divide the others by 1 - `p`; outside training return the input.

    Parameters
    ----------
    input : Tensor
    p : float, default 0.5
        Probability of dropping an element, from 0 to 1.
    training : bool, default True
        Whether to drop at all.
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    Raises
    ------
    ValueError
        If `p` is not a probability.

    Notes
    -----
    The mask is drawn as the elements lie in memory: inputs of another order, such as channels-last ones, get other masks.

    References
    ----------
    N. Srivastava et al.: Dropout, JMLR 15, 2014.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> sorted(set(F.dropout(dnn.ones(1000)).tolist()))
    [0.0, 2.0]
    """
    _check_probability("dropout", p)
    if not training or p == 0:
        return input
    if p == 1:
        return _scaled(input, 0.0, inplace)
    return _core._dropout(input, p, _may_overwrite(input, inplace))


def _channel_dropout(op: str, input: Tensor, p: float, training: bool, inplace: bool, leading: dict[int, int]) -> Tensor:
    """Drop whole channels; `leading`: by rank, how many dimensions have values of their own in the mask."""
    _check_probability(op, p)
    check_tensors(op, input=input)
    if input.ndim not in leading:
        ranks = " or ".join(str(rank) for rank in leading)
        raise ValueError(f"{op}: expected an input of {ranks} dimensions, got shape {tuple(input.shape)}")
    if not training or p == 0:
        return input
    if p == 1:
        return _scaled(input, 0.0, inplace)
    kept = leading[input.ndim]
    ones = _core.ones((*input.shape[:kept], *(1,) * (input.ndim - kept)), dtype=input.dtype, device=input.device)
    return _scaled(input, _core._dropout(ones, p, True), inplace)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Drop whole channels of (N, C, L) or (C, L) with probability `p`; divide the others by 1 - `p`.

    Raises
    ------
    ValueError
        If `p` is not a probability or the input has another number of dimensions.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.dropout1d(dnn.ones(2, 3, 4), training=False).sum().item()
    24.0
    """
    return _channel_dropout("dropout1d", input, p, training, inplace, {3: 2, 2: 1})


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Drop whole channels of (N, C, H, W) with probability `p`; divide the others by 1 - `p`.

    As in PyTorch, three dimensions are taken for (N, C, L).

    Raises
    ------
    ValueError
        If `p` is not a probability or the input has another number of dimensions.

    References
    ----------
    J. Tompson et al.: Efficient Object Localization Using Convolutional Networks, CVPR 2015.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.dropout2d(dnn.ones(2, 3, 4, 4), p=1.0).sum().item()
    0.0
    """
    return _channel_dropout("dropout2d", input, p, training, inplace, {4: 2, 3: 2})


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Drop whole channels of (N, C, D, H, W) or (C, D, H, W) with probability `p`; divide the others by 1 - `p`.

    Raises
    ------
    ValueError
        If `p` is not a probability or the input has another number of dimensions.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.dropout3d(dnn.ones(2, 3, 4, 4, 4), p=1.0).sum().item()
    0.0
    """
    return _channel_dropout("dropout3d", input, p, training, inplace, {5: 2, 4: 1})


def _alpha_dropout(input: Tensor, shape: tuple[int, ...], p: float, inplace: bool) -> Tensor:
    if p == 1:
        return _scaled(input, 0.0, inplace)
    a = 1 / math.sqrt((_ALPHA * _ALPHA * p + 1) * (1 - p))
    keep = _core.empty(shape, dtype=input.dtype, device=input.device).bernoulli_(1 - p)
    scale, shift = keep * a, (keep - 1) * (_ALPHA * a) + _ALPHA * a * p
    if _may_overwrite(input, inplace):
        return input.mul_(scale).add_(shift)
    return input * scale + shift


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Set each element to the lowest value of selu with probability `p`, and keep mean and variance.

    Raises
    ------
    ValueError
        If `p` is not a probability.

    References
    ----------
    G. Klambauer et al.: Self-Normalizing Neural Networks, NeurIPS 2017.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.alpha_dropout(dnn.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """
    _check_probability("alpha_dropout", p)
    if not training or p == 0 or input.numel() == 0:
        return input
    return _alpha_dropout(input, tuple(input.shape), p, inplace)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Do as `alpha_dropout` with whole channels of (N, C, ...).

    Raises
    ------
    ValueError
        If `p` is not a probability or the input has fewer than two dimensions.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.feature_alpha_dropout(dnn.ones(2, 3, 4)).sum().item()
    24.0
    """
    _check_probability("feature_alpha_dropout", p)
    check_tensors("feature_alpha_dropout", input=input)
    if input.ndim < 2:
        raise ValueError(f"feature_alpha_dropout: expected an input of shape (N, C, ...), got {tuple(input.shape)}")
    if not training or p == 0 or input.numel() == 0:
        return input
    return _alpha_dropout(input, (*input.shape[:2], *(1,) * (input.ndim - 2)), p, inplace)
