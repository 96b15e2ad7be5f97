"""Normalisations, as functions."""

from __future__ import annotations

from collections.abc import Sequence

from dnncore import _core
from dnncore._checks import check_tensors
from dnncore._core import Tensor

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_contrast_norm",
    "local_response_norm",
    "rms_norm",
]


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return ``(x - mean) / sqrt(var + eps) * weight + bias`` with mean and variance of every channel.

    In training they are those of the input, over all dimensions but 1, and the running ones move towards them:
    ``running = (1 - momentum) * running + momentum * found``, the variance there with n - 1 below. Else those are used.

    Parameters
    ----------
    input : Tensor of shape (N, C, ...)
    running_mean, running_var : Tensor of shape (C,), or None
        Changed in place in training; they may be None there.
    weight, bias : Tensor of shape (C,), optional
    training : bool, default False
    momentum : float, default 0.1
    eps : float, default 1e-5

    Returns
    -------
    Tensor of the input's shape and order in memory

    Raises
    ------
    ValueError
        If the shapes do not fit, or there is one value per channel in training.
    TypeError
        If the input is not floating, or the others are of another dtype.

    References
    ----------
    S. Ioffe, C. Szegedy: Batch normalization: accelerating deep network training by reducing internal covariate shift, ICML 2015.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> y = F.batch_norm(dnn.tensor([[1.0], [3.0]]), None, None, training=True)
    >>> [[round(v, 3) for v in row] for row in y.tolist()]
    [[-1.0], [1.0]]
    """
    return _core._batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return the input with every channel of every sample brought to mean 0 and variance 1, times weight plus bias.

    Parameters
    ----------
    input : Tensor of shape (N, C, ...)
    running_mean, running_var : Tensor of shape (C,), optional
        Changed in place where the input's statistics are used: they move towards their mean over the samples.
    weight, bias : Tensor of shape (C,), optional
    use_input_stats : bool, default True
        False: the running statistics are used.
    momentum : float, default 0.1
    eps : float, default 1e-5

    Returns
    -------
    Tensor of the input's shape

    Raises
    ------
    ValueError
        If the shapes do not fit, or a channel of a sample has one value.
    TypeError
        If the input is not floating, or the others are of another dtype.

    References
    ----------
    D. Ulyanov, A. Vedaldi, V. Lempitsky: Instance normalization: the missing ingredient for fast stylization, 2016.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> [round(v, 3) for v in F.instance_norm(dnn.tensor([[[1.0, 3.0]]])).flatten().tolist()]
    [-1.0, 1.0]
    """
    return _core._instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Return the input with every group of channels of every sample brought to mean 0 and variance 1, times weight plus bias.

    Parameters
    ----------
    input : Tensor of shape (N, C, ...)
    num_groups : int
        Of neighbouring channels; it divides C.
    weight, bias : Tensor of shape (C,), optional
    eps : float, default 1e-5

    Returns
    -------
    Tensor of the input's shape

    Raises
    ------
    ValueError
        If the shapes do not fit.
    TypeError
        If the input is not floating, or the others are of another dtype.

    References
    ----------
    Y. Wu, K. He: Group normalization, ECCV 2018.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> [round(v, 3) for v in F.group_norm(dnn.tensor([[1.0, 3.0, 5.0, 9.0]]), 2).flatten().tolist()]
    [-1.0, 1.0, -1.0, 1.0]
    """
    return _core._group_norm(input, num_groups, weight, bias, eps)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return the input with its last dimensions brought to mean 0 and variance 1, times weight plus bias.

    Parameters
    ----------
    input : Tensor of shape (..., *normalized_shape)
    normalized_shape : sequence of int
        Sizes of the last dimensions.
    weight, bias : Tensor of shape normalized_shape, optional
    eps : float, default 1e-5

    Returns
    -------
    Tensor of the input's shape

    Raises
    ------
    ValueError
        If the shapes do not fit.
    TypeError
        If the input is not floating, or the others are of another dtype.

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton: Layer normalization, 2016.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> [round(v, 3) for v in F.layer_norm(dnn.tensor([1.0, 3.0]), (2,)).tolist()]
    [-1.0, 1.0]
    """
    return _core._layer_norm(input, normalized_shape, weight, bias, eps)


def rms_norm(input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """Return the input divided by the root of the mean square of its last dimensions, times weight.

    Parameters
    ----------
    input : Tensor of shape (..., *normalized_shape)
    normalized_shape : sequence of int
        Sizes of the last dimensions.
    weight : Tensor of shape normalized_shape, optional
    eps : float, optional
        Added to the mean square; the machine epsilon when not given.

    Returns
    -------
    Tensor of the input's shape

    Raises
    ------
    ValueError
        If the shapes do not fit.
    TypeError
        If the input is not floating, or the weight of another dtype.

    References
    ----------
    B. Zhang, R. Sennrich: Root mean square layer normalization, NeurIPS 2019.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> [round(v, 3) for v in F.rms_norm(dnn.tensor([3.0, -3.0]), (2,)).tolist()]
    [1.0, -1.0]
    """
    return _core._rms_norm(input, normalized_shape, weight, eps)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Return ``x / (k + alpha * a)^beta`` with `a` the mean of the squares in `size` channels around each one.

    Channels beyond the ends count as zeros, in the number to divide by too, as in PyTorch.

    Parameters
    ----------
    input : Tensor of shape (N, C, ...), of at least 3 dimensions
    size : int
        Number of channels.
    alpha : float, default 1e-4
    beta : float, default 0.75
    k : float, default 1

    Returns
    -------
    Tensor of the input's shape, channels-last in memory

    Raises
    ------
    ValueError
        If the input has fewer dimensions, or size is below 1.
    TypeError
        If the input is not floating.

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. E. Hinton: ImageNet classification with deep convolutional neural networks, NIPS 2012, 3.3.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.local_response_norm(dnn.ones(1, 2, 1), 2, alpha=2.0, beta=1.0).flatten().tolist()
    [0.5, 0.3333333432674408]
    """
    check_tensors("local_response_norm", input=input)
    return _core._local_response_norm(input, size, alpha, beta, k)


def _gaussian(size: int) -> list[float]:
    """Return the weights of a Gaussian window, in one dimension, that add up to 1; its deviation is a quarter of the size."""
    middle, deviation = (size - 1) / 2, size / 4
    places = _core.arange(size, dtype=_core.float64, device="cpu")
    weights = (-(((places - middle) / deviation) ** 2) / 2).exp()
    return (weights / weights.sum()).tolist()  # type: ignore[no-any-return]


def _blurred(image: Tensor, weights: list[float]) -> Tensor:
    """Return the weighted sum over a square window around each pixel of (N, 1, H, W); zeros beyond the border."""
    before = len(weights) // 2
    after = len(weights) - 1 - before
    for dim in (2, 3):
        length = image.shape[dim]
        padded = _core.pad(image, [0, 0] * (3 - dim) + [before, after])
        image = sum(padded.narrow(dim, place, length) * weight for place, weight in enumerate(weights))  # type: ignore[assignment]
    return image


def local_contrast_norm(input: Tensor, size: int = 9, eps: float = 1e-5) -> Tensor:
    r"""Return the input without its local mean, divided by its local deviation.

    With a Gaussian window w over `size` x `size` pixels (its deviation is size / 4) whose sum over all channels is 1, and
    m, s and c weighted over the window's pixels inside the image:

    ``v[i, j] = x[i, j] - sum_{c, p, q} w[p, q] x[c, i + p, j + q]``,
    ``s[i, j] = sqrt(sum_{c, p, q} w[p, q] v[c, i + p, j + q]^2)``, ``y = v / max(c, s, eps)``,

    where c is the mean of s over the image. At the border the weights inside the image are divided by their sum.

    Parameters
    ----------
    input : Tensor of shape (N, C, H, W)
    size : int, default 9
        Of the window, odd.
    eps : float, default 1e-5
        The least deviation to divide by.

    Returns
    -------
    Tensor of shape (N, C, H, W)

    Raises
    ------
    ValueError
        If the input has another number of dimensions, or the size is not odd and positive.

    References
    ----------
    K. Jarrett, K. Kavukcuoglu, M. Ranzato, Y. LeCun: What is the best multi-stage architecture for object recognition?,
    ICCV 2009.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.local_contrast_norm(dnn.ones(1, 2, 4, 4), 3).abs().max().item() < 1e-5
    True
    """
    check_tensors("local_contrast_norm", input=input)
    if input.ndim != 4:
        raise ValueError(f"local_contrast_norm: expected input of shape (N, C, H, W), got {tuple(input.shape)}")
    if size < 1 or size % 2 == 0:
        raise ValueError(f"local_contrast_norm: expected an odd size of at least 1, got {size}")
    weights = _gaussian(size)
    inside = _blurred(_core.ones((1, 1, *input.shape[2:]), dtype=input.dtype, device=input.device), weights)
    centred = input - _blurred(input.mean(1, keepdim=True), weights) / inside
    variance = _blurred((centred * centred).mean(1, keepdim=True), weights) / inside
    deviation = variance.clamp(min=eps * eps).sqrt()
    return centred / deviation.maximum(deviation.mean((2, 3), keepdim=True))
