"""Initial values, in place, under PyTorch's names.

Uniform and normal numbers come from the library's counter-based generator and are the same on every CPU.
"""

from __future__ import annotations

import math
from typing import Literal

from dnncore._core import Generator, Tensor
from dnncore._grad_mode import no_grad

Mode = Literal["fan_in", "fan_out"]

_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor that keeps the variance through a nonlinearity.

    Parameters
    ----------
    nonlinearity : {"linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"}
        The function after the layer.
    param : float, optional
        The negative slope of ``leaky_relu``; 0.01 when not given.

    Returns
    -------
    float
        The gain.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> from dnncore import nn
    >>> nn.init.calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        known = ", ".join([*_GAINS, "leaky_relu"])
        raise ValueError(f"calculate_gain: expected one of {known}, got {nonlinearity!r}")
    return _GAINS[nonlinearity]


def _fans(op: str, tensor: Tensor) -> tuple[int, int]:
    shape = tuple(tensor.shape)
    if len(shape) < 2:
        raise ValueError(f"{op}: expected at least 2 dimensions to count inputs and outputs, got shape {shape}")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with numbers drawn from U(a, b); return the tensor.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> bool((nn.init.uniform_(dnn.empty(100), 2.0, 3.0) >= 2.0).all())
    True
    """
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with numbers drawn from N(mean, std^2); return the tensor.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.init.normal_(dnn.empty(2, 3), std=0.02).shape
    (2, 3)
    """
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with `val`; return the tensor.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.init.constant_(dnn.empty(2), 0.5).tolist()
    [0.5, 0.5]
    """
    with no_grad():
        return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros; return the tensor.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.init.zeros_(dnn.empty(2)).tolist()
    [0.0, 0.0]
    """
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones; return the tensor.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.init.ones_(dnn.empty(2)).tolist()
    [1.0, 1.0]
    """
    return constant_(tensor, 1.0)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill a weight (out, in, ...) from U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)); return it.

    Raises
    ------
    ValueError
        If the tensor has fewer than 2 dimensions.

    References
    ----------
    X. Glorot, Y. Bengio: Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.init.xavier_uniform_(dnn.empty(10, 64)).shape
    (10, 64)
    """
    fan_in, fan_out = _fans("xavier_uniform_", tensor)
    bound = gain * math.sqrt(6.0 / max(1, fan_in + fan_out))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill a weight (out, in, ...) from N(0, s^2), s = gain sqrt(2 / (fan_in + fan_out)); return it.

    Raises
    ------
    ValueError
        If the tensor has fewer than 2 dimensions.

    References
    ----------
    X. Glorot, Y. Bengio: Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.init.xavier_normal_(dnn.empty(10, 64)).shape
    (10, 64)
    """
    fan_in, fan_out = _fans("xavier_normal_", tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / max(1, fan_in + fan_out)), generator)


def _kaiming_std(op: str, tensor: Tensor, a: float, mode: Mode, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{op}: expected mode 'fan_in' or 'fan_out', got {mode!r}")
    fan = _fans(op, tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(1, fan))


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: Mode = "fan_in", nonlinearity: str = "leaky_relu", generator: Generator | None = None
) -> Tensor:
    """Fill a weight (out, in, ...) from U(-b, b), b = gain sqrt(3 / fan); return it.

    Parameters
    ----------
    tensor : Tensor
        The weight.
    a : float, default 0
        Negative slope of the ``leaky_relu`` after the layer.
    mode : {"fan_in", "fan_out"}, default "fan_in"
        Keep the variance forward or backward.
    nonlinearity : str, default "leaky_relu"
        As in `calculate_gain`.
    generator : Generator, optional
        Where the numbers are drawn from.

    Returns
    -------
    Tensor
        `tensor`.

    Raises
    ------
    ValueError
        If the tensor has fewer than 2 dimensions or a name is unknown.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun: Delving deep into rectifiers, ICCV 2015.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.init.kaiming_uniform_(dnn.empty(10, 64), nonlinearity="relu").shape
    (10, 64)
    """
    bound = math.sqrt(3.0) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: Mode = "fan_in", nonlinearity: str = "leaky_relu", generator: Generator | None = None
) -> Tensor:
    """Fill a weight (out, in, ...) from N(0, s^2), s = gain / sqrt(fan); arguments as `kaiming_uniform_`; return it.

    Raises
    ------
    ValueError
        If the tensor has fewer than 2 dimensions or a name is unknown.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun: Delving deep into rectifiers, ICCV 2015.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.init.kaiming_normal_(dnn.empty(10, 64), nonlinearity="relu").shape
    (10, 64)
    """
    return normal_(tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity), generator)
