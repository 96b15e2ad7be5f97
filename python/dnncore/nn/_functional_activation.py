"""Activations as functions; `dnncore.nn.functional` offers them.

`inplace` writes into the input. Where gradients are being recorded for it the result is computed out of place all the same:
the values and gradients are those of ``inplace=False``, only the memory is not saved.
"""

from __future__ import annotations

from typing import Any, Literal

from dnncore import _core
from dnncore._checks import check_tensors
from dnncore._core import Tensor

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "logsigmoid",
    "maxout",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "rrelu",
    "selu",
    "silu",
    "softplus",
    "softshrink",
    "softsign",
    "tanhshrink",
    "threshold",
]

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _may_overwrite(input: Tensor, inplace: bool) -> bool:
    return inplace and isinstance(input, Tensor) and not (input.requires_grad and _core.is_grad_enabled())


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return max(0, x) of every element.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.relu(dnn.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return input.relu_() if _may_overwrite(input, inplace) else _core.relu(input)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Return min(max(0, x), 6) of every element.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.relu6(dnn.tensor([-1.0, 2.0, 9.0])).tolist()
    [0.0, 2.0, 6.0]
    """
    return _core._activation("hardtanh", input, 0.0, 6.0, inplace=_may_overwrite(input, inplace))


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Return x where it is positive, else ``negative_slope`` x.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.leaky_relu(dnn.tensor([-2.0, 2.0]), 0.5).tolist()
    [-1.0, 2.0]
    """
    return _core._activation("leaky_relu", input, negative_slope, inplace=_may_overwrite(input, inplace))


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return x where it is positive, else ``alpha`` (exp(x) - 1).

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.elu(dnn.tensor([0.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return _core._activation("elu", input, alpha, 1.0, 1.0, inplace=_may_overwrite(input, inplace))


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return x where it is positive, else ``alpha`` (exp(x / ``alpha``) - 1), whose slope has no jump.

    Raises
    ------
    ValueError
        If `alpha` is 0.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.celu(dnn.tensor([0.0, 2.0]), 0.5).tolist()
    [0.0, 2.0]
    """
    if alpha == 0:
        raise ValueError("celu: expected alpha other than 0")
    return _core._activation("elu", input, alpha, 1.0, 1.0 / alpha, inplace=_may_overwrite(input, inplace))


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return elu(x) scaled so that activations keep mean 0 and variance 1 from layer to layer.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> round(F.selu(dnn.tensor(1.0)).item(), 4)
    1.0507
    """
    scaled_alpha = _SELU_SCALE * _SELU_ALPHA
    return _core._activation("elu", input, scaled_alpha, _SELU_SCALE, 1.0, inplace=_may_overwrite(input, inplace))


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Return log(1 + exp(``beta`` x)) / ``beta``, and x itself where ``beta`` x is above `threshold`.

    Raises
    ------
    ValueError
        If `beta` is 0.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> round(F.softplus(dnn.tensor(0.0)).item(), 4)
    0.6931
    """
    if beta == 0:
        raise ValueError("softplus: expected beta other than 0")
    return _core._activation("softplus", input, beta, threshold)


def softsign(input: Tensor) -> Tensor:
    """Return x / (1 + abs(x)) of every element.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.softsign(dnn.tensor([-1.0, 3.0])).tolist()
    [-0.5, 0.75]
    """
    return _core._activation("softsign", input)


def gelu(input: Tensor, approximate: Literal["none", "tanh"] = "none") -> Tensor:
    """Return x (1 + erf(x / sqrt 2)) / 2 of every element, or its approximation by a tanh.

    Parameters
    ----------
    input : Tensor
    approximate : {"none", "tanh"}, default "none"
        With "tanh": x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.

    Raises
    ------
    ValueError
        If `approximate` is neither.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.gelu(dnn.zeros(1), approximate="tanh").tolist()
    [0.0]
    """
    if approximate == "none":
        return _core.gelu(input)
    if approximate != "tanh":
        raise ValueError(f"gelu: expected approximate 'none' or 'tanh', got {approximate!r}")
    return _core._activation("gelu_tanh", input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return x / (1 + exp(-x)) of every element, also known as swish.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.silu(dnn.zeros(1)).tolist()
    [0.0]
    """
    return _core._activation("silu", input, inplace=_may_overwrite(input, inplace))


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return x tanh(log(1 + exp(x))) of every element.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.mish(dnn.zeros(1)).tolist()
    [0.0]
    """
    return _core._activation("mish", input, inplace=_may_overwrite(input, inplace))


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """Return x limited to [``min_val``, ``max_val``]; the gradient at the limits is 0.

    Raises
    ------
    ValueError
        If `min_val` is above `max_val`.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.hardtanh(dnn.tensor([-3.0, 0.5, 3.0])).tolist()
    [-1.0, 0.5, 1.0]
    """
    if min_val > max_val:
        raise ValueError(f"hardtanh: expected min_val <= max_val, got {min_val} and {max_val}")
    return _core._activation("hardtanh", input, min_val, max_val, inplace=_may_overwrite(input, inplace))


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Return min(max(x + 3, 0), 6) / 6 of every element.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.hardsigmoid(dnn.tensor([-4.0, 0.0, 4.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    return _core._activation("hardsigmoid", input, inplace=_may_overwrite(input, inplace))


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return x hardsigmoid(x) of every element.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.hardswish(dnn.tensor([0.0, 4.0])).tolist()
    [0.0, 4.0]
    """
    return _core._activation("hardswish", input, inplace=_may_overwrite(input, inplace))


def logsigmoid(input: Tensor) -> Tensor:
    """Return -log(1 + exp(-x)) of every element, without overflow.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> round(F.logsigmoid(dnn.tensor(0.0)).item(), 4)
    -0.6931
    """
    return _core._activation("logsigmoid", input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """Return x where it is above `threshold`, else `value`.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.threshold(dnn.tensor([0.0, 2.0]), 1.0, 9.0).tolist()
    [9.0, 2.0]
    """
    return _core._activation("threshold", input, threshold, value, inplace=_may_overwrite(input, inplace))


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Return 0 where abs(x) is at most `lambd`, else x.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.hardshrink(dnn.tensor([-0.5, 2.0])).tolist()
    [0.0, 2.0]
    """
    return _core._activation("hardshrink", input, lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Return x moved towards 0 by `lambd`, and 0 where abs(x) is at most `lambd`.

    Raises
    ------
    ValueError
        If `lambd` is negative.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.softshrink(dnn.tensor([0.25, 2.0])).tolist()
    [0.0, 1.5]
    """
    if lambd < 0:
        raise ValueError(f"softshrink: expected lambd of at least 0, got {lambd}")
    return _core._activation("softshrink", input, lambd)


def tanhshrink(input: Tensor) -> Tensor:
    """Return x - tanh(x) of every element.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.tanhshrink(dnn.zeros(1)).tolist()
    [0.0]
    """
    return input - _core.tanh(input)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Return x where it is positive, else ``weight`` x with a learned weight.

    Parameters
    ----------
    input : Tensor of shape (N, C, ...), or of any shape with a single weight
    weight : Tensor of shape (C,) or (1,)

    Raises
    ------
    ValueError
        If the weight has neither 1 nor C numbers.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.prelu(dnn.tensor([[-2.0, 4.0]]), dnn.tensor([0.5, 0.5])).tolist()
    [[-1.0, 4.0]]
    """
    check_tensors("prelu", input=input, weight=weight)
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or weight.numel() not in (1, channels):
        raise ValueError(
            f"prelu: expected a weight of 1 or {channels} numbers for an input of shape {tuple(input.shape)}, "
            f"got shape {tuple(weight.shape)}"
        )
    if input.ndim > 2 and weight.numel() > 1:
        weight = weight.reshape(-1, *(1,) * (input.ndim - 2))
    elif input.ndim == 0:
        weight = weight.reshape(())
    positive = input > 0
    negative_part = _core.where(positive, 0.0, input)  # an infinity above 0 must not reach the gradient of the weight
    return _core.where(positive, input, weight * negative_part)


def rrelu(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False) -> Tensor:
    """Return x where it is positive, else x times a slope drawn from U(`lower`, `upper`), or their mean outside training.

    Raises
    ------
    ValueError
        If `lower` is above `upper`.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.rrelu(dnn.tensor([-2.0, 2.0]), 0.25, 0.75).tolist()
    [-1.0, 2.0]
    """
    if not lower <= upper:
        raise ValueError(f"rrelu: expected lower <= upper, got {lower} and {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slopes = _core.empty_like(input, requires_grad=False).uniform_(lower, upper)
    result = _core.where(input > 0, input, input * slopes)
    return input.copy_(result) if _may_overwrite(input, inplace) else result


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Return a sigmoid(b), with a and b the halves of the input along `dim`.

    Raises
    ------
    ValueError
        If the size along `dim` is odd.
    IndexError
        If there is no such dimension.

    References
    ----------
    Y. Dauphin et al.: Language Modeling with Gated Convolutional Networks, ICML 2017.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.glu(dnn.tensor([4.0, 0.0])).tolist()
    [2.0]
    """
    check_tensors("glu", input=input)
    if input.ndim == 0:
        raise ValueError("glu: expected a tensor with dimensions, got a 0-d tensor")
    if not -input.ndim <= dim < input.ndim:
        raise IndexError(f"glu: dim {dim} is out of range for shape {tuple(input.shape)}")
    size = input.shape[dim]
    if size % 2:
        raise ValueError(f"glu: expected an even size along dim {dim}, got shape {tuple(input.shape)}")
    half = size // 2
    return input.narrow(dim, 0, half) * _core.sigmoid(input.narrow(dim, half, half))


def maxout(input: Tensor, pieces: int, dim: int = -1) -> Tensor:
    """Return the largest of each `pieces` neighbours along `dim`; the gradient goes to that one.

    Raises
    ------
    ValueError
        If `pieces` does not divide the size along `dim`.
    IndexError
        If there is no such dimension.

    References
    ----------
    I. Goodfellow et al.: Maxout Networks, ICML 2013.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.maxout(dnn.tensor([1.0, 3.0, 2.0, 0.0]), 2).tolist()
    [3.0, 2.0]
    """
    check_tensors("maxout", input=input)
    if not -input.ndim <= dim < input.ndim:
        raise IndexError(f"maxout: dim {dim} is out of range for shape {tuple(input.shape)}")
    shape, dim = tuple(input.shape), dim % input.ndim
    if pieces < 1 or shape[dim] % pieces:
        raise ValueError(f"maxout: expected a size along dim {dim} that {pieces} pieces divide, got shape {shape}")
    grouped: Any = input.reshape(*shape[:dim], shape[dim] // pieces, pieces, *shape[dim + 1 :])
    largest: Tensor = grouped.max(dim + 1).values
    return largest
