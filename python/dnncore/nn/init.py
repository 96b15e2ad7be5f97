"""Initial values, in place, under PyTorch's names.

Uniform and normal numbers come from the library's counter-based generator and are the same on every CPU. Two functions compute
with them outside of the library: `orthogonal_` factors in float64 through NumPy's LAPACK, whose last bits may differ between
machines (not between instruction sets or thread counts of dnncore), which after rounding to float32 is seldom seen; far tails of
`trunc_normal_` accept or refuse a number by NumPy's exp.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from dnncore import _core
from dnncore._checks import check_tensors
from dnncore._core import Generator, Tensor
from dnncore._grad_mode import no_grad

Mode = Literal["fan_in", "fan_out"]

_LINEAR = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_GAINS = {**dict.fromkeys(_LINEAR, 1.0), "sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor that keeps the variance through a nonlinearity.

    Parameters
    ----------
    nonlinearity : {"linear", "conv1d", ..., "sigmoid", "tanh", "relu", "leaky_relu", "selu"}
        The function after the layer; a convolution counts as linear.
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
        if isinstance(param, (bool, str)) or not (param is None or hasattr(param, "__float__")):
            raise TypeError(f"calculate_gain: expected a number as the slope of leaky_relu, got {type(param).__name__}")
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        known = ", ".join([*_GAINS, "leaky_relu"])
        raise ValueError(f"calculate_gain: expected one of {known}, got {nonlinearity!r}")
    return _GAINS[nonlinearity]


def _fans(op: str, tensor: Tensor) -> tuple[int, int]:
    check_tensors(op, tensor=tensor)
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
    check_tensors("uniform_", tensor=tensor)
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
    check_tensors("normal_", tensor=tensor)
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Generator | None = None
) -> Tensor:
    """Fill with numbers drawn from N(mean, std^2), given that they lie in [a, b]; return the tensor.

    Parameters
    ----------
    tensor : Tensor
        The tensor to fill.
    mean, std : float, default 0 and 1
        Of the normal distribution before it is cut.
    a, b : float, default -2 and 2
        Least and largest value; they are not multiples of `std`.
    generator : Generator, optional
        Where the numbers are drawn from.

    Returns
    -------
    Tensor
        `tensor`.

    Raises
    ------
    ValueError
        If `std` is negative, `a` is above `b`, `mean` or `std` is not finite.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> bool((nn.init.trunc_normal_(dnn.empty(1000), std=5.0).abs() <= 2.0).all())
    True
    """
    check_tensors("trunc_normal_", tensor=tensor)
    if not (0 <= std < math.inf and a <= b and a < math.inf and b > -math.inf and math.isfinite(mean)):
        raise ValueError(
            f"trunc_normal_: expected finite mean and std, std >= 0 and a <= b, got mean={mean}, std={std}, a={a}, b={b}"
        )
    if std == 0:
        return constant_(tensor, min(max(mean, a), b))
    low, high = (a - mean) / std, (b - mean) / std
    values = _cut_normal(tensor.numel(), low, high, generator) * std + mean
    with no_grad():
        return tensor.copy_(_core.from_numpy(np.clip(values, a, b)).reshape(tuple(tensor.shape)))


def _drawn(shape: tuple[int, ...], generator: Generator | None) -> Any:
    return _core.rand(*shape, dtype=_core.float64, generator=generator, device="cpu").numpy()


def _cut_normal(count: int, low: float, high: float, generator: Generator | None) -> Any:
    """`count` standard normal numbers in [low, high], by drawing until they lie there."""
    result = np.empty(count)
    mass = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    missing = count
    # Where less than a quarter of normal numbers would do (a tail, a narrow range), uniform ones are refused by the density.
    near = 0.0 if low <= 0 <= high else low if low > 0 else high  # the densest place
    far = math.hypot(near, math.sqrt(80))  # e^-40 of that density, and less beyond
    left, right = max(low, -far), min(high, far)
    while missing:
        size = (missing + 15,)
        if mass >= 0.25:
            found = _core.empty(size, dtype=_core.float64, device="cpu").normal_(generator=generator).numpy()
            found = found[(found >= low) & (found <= high)]
        else:
            found = left + (right - left) * _drawn(size, generator)
            level = _drawn(size, generator)
            found = found[level <= np.exp((near - found) * (near + found) / 2)]
        found = found[:missing]
        result[count - missing : count - missing + len(found)] = found
        missing -= len(found)
    return result


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with `val`; return the tensor.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.init.constant_(dnn.empty(2), 0.5).tolist()
    [0.5, 0.5]
    """
    check_tensors("constant_", tensor=tensor)
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


def lecun_uniform_(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    """Fill a weight (out, in, ...) from U(-b, b), b = sqrt(3 / fan_in); return it.

    Raises
    ------
    ValueError
        If the tensor has fewer than 2 dimensions.

    References
    ----------
    Y. LeCun, L. Bottou, G. Orr, K.-R. Mueller: Efficient BackProp, 1998.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> bool((nn.init.lecun_uniform_(dnn.empty(10, 75)).abs() <= 0.2).all())
    True
    """
    bound = math.sqrt(3.0 / max(1, _fans("lecun_uniform_", tensor)[0]))
    return uniform_(tensor, -bound, bound, generator)


def lecun_normal_(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    """Fill a weight (out, in, ...) from N(0, 1 / fan_in), as self-normalising networks want it; return it.

    Raises
    ------
    ValueError
        If the tensor has fewer than 2 dimensions.

    References
    ----------
    G. Klambauer, T. Unterthiner, A. Mayr, S. Hochreiter: Self-Normalizing Neural Networks, NIPS 2017.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.init.lecun_normal_(dnn.empty(10, 64)).shape
    (10, 64)
    """
    return normal_(tensor, 0.0, 1 / math.sqrt(max(1, _fans("lecun_normal_", tensor)[0])), generator)


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with the identity; return it.

    Raises
    ------
    ValueError
        If the tensor does not have 2 dimensions.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.init.eye_(dnn.empty(2, 3)).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    check_tensors("eye_", tensor=tensor)
    if tensor.ndim != 2:
        raise ValueError(f"eye_: expected 2 dimensions, got shape {tuple(tensor.shape)}")
    with no_grad():
        return tensor.copy_(_core.eye(tensor.shape[0], tensor.shape[1], dtype=tensor.dtype))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill the weight (out, in, ...) of a convolution so that it passes its channels through; return it.

    Parameters
    ----------
    tensor : Tensor of 3, 4 or 5 dimensions
        The weight.
    groups : int, default 1
        Groups of the convolution.

    Returns
    -------
    Tensor
        `tensor`.

    Raises
    ------
    ValueError
        If the tensor has another number of dimensions, or `groups` does not divide the outputs.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.init.dirac_(dnn.empty(1, 1, 3, 3)).tolist()
    [[[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]]
    """
    check_tensors("dirac_", tensor=tensor)
    shape = tuple(tensor.shape)
    if len(shape) not in (3, 4, 5):
        raise ValueError(f"dirac_: expected 3, 4 or 5 dimensions, got shape {shape}")
    if groups < 1 or shape[0] % groups:
        raise ValueError(f"dirac_: expected groups that divide {shape[0]} outputs, got {groups}")
    values = np.zeros(shape)
    outputs = shape[0] // groups
    middle = tuple(size // 2 for size in shape[2:])
    for channel in range(min(outputs, shape[1])):
        for group in range(groups):
            values[group * outputs + channel, channel][middle] = 1
    with no_grad():
        return tensor.copy_(_core.from_numpy(values))


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill a weight (out, in, ...), seen as a matrix (out, rest), with orthonormal rows or columns; return it.

    Parameters
    ----------
    tensor : Tensor of at least 2 dimensions
        The weight; the shorter side of the matrix is orthonormal.
    gain : float, default 1
        Factor on the values.
    generator : Generator, optional
        Where the numbers are drawn from.

    Returns
    -------
    Tensor
        `tensor`.

    Raises
    ------
    ValueError
        If the tensor has fewer than 2 dimensions.

    References
    ----------
    A. Saxe, J. McClelland, S. Ganguli: Exact solutions to the nonlinear dynamics of learning in deep linear networks, 2013.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> q = nn.init.orthogonal_(dnn.empty(3, 5))
    >>> (q @ q.T).allclose(dnn.eye(3), atol=1e-6)
    True
    """
    check_tensors("orthogonal_", tensor=tensor)
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: expected at least 2 dimensions, got shape {tuple(tensor.shape)}")
    if tensor.numel() == 0:
        return tensor
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    drawn = _core.empty((rows, columns), dtype=_core.float64, device="cpu").normal_(generator=generator).numpy()
    q, r = np.linalg.qr(drawn if rows >= columns else drawn.T)
    q = q * np.sign(np.diagonal(r))  # makes the factors unique, so that all orthogonal matrices are equally likely
    values = np.ascontiguousarray(gain * (q if rows >= columns else q.T))
    with no_grad():
        return tensor.copy_(_core.from_numpy(values).reshape(tuple(tensor.shape)))


def spectral_radius_(tensor: Tensor, radius: float = 1.0) -> Tensor:
    """Scale a recurrent weight so that the largest absolute value of its eigenvalues is `radius`; return it.

    Below 1 what a plain recurrent layer remembers fades, above 1 it grows: the reservoir of an echo state network is drawn at
    random and scaled so.

    Parameters
    ----------
    tensor : Tensor of shape (H, H) or (gates * H, H)
        The weight, with its values; of several gates each square block is scaled by itself.
    radius : float, default 1
        At least 0.

    Returns
    -------
    Tensor
        `tensor`.

    Raises
    ------
    ValueError
        If the tensor has another shape, the radius is no such number, or a block has eigenvalues of 0 only.

    References
    ----------
    H. Jaeger, H. Haas: Harnessing Nonlinearity: Predicting Chaotic Systems and Saving Energy in Wireless Communication,
    Science 304 (2004).

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.init.spectral_radius_(dnn.tensor([[0.0, 4.0], [-4.0, 0.0]]), 0.5).tolist()
    [[0.0, 0.5], [-0.5, 0.0]]
    """
    check_tensors("spectral_radius_", tensor=tensor)
    shape = tuple(tensor.shape)
    if len(shape) != 2 or shape[1] == 0 or shape[0] % shape[1]:
        raise ValueError(f"spectral_radius_: expected a weight of shape (H, H) or (gates * H, H), got {shape}")
    if not 0 <= radius < math.inf:
        raise ValueError(f"spectral_radius_: expected a radius of at least 0, got {radius}")
    blocks = tensor.detach().double().cpu().numpy().reshape(-1, shape[1], shape[1])
    if not np.isfinite(blocks).all():
        raise ValueError("spectral_radius_: expected finite values")
    found = np.abs(np.linalg.eigvals(blocks)).max(1)
    if not found.all():
        raise ValueError("spectral_radius_: the eigenvalues are 0, which no factor changes; draw the values first")
    values = blocks * (radius / found)[:, None, None]
    with no_grad():
        return tensor.copy_(_core.from_numpy(values.reshape(shape)))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Fill a matrix from N(0, std^2) and set a part of each column to zero; return it.

    Parameters
    ----------
    tensor : Tensor of 2 dimensions
        The matrix.
    sparsity : float
        Part of each column that is zero, from 0 to 1; the number of zeros is rounded up.
    std : float, default 0.01
        Of the other values.
    generator : Generator, optional
        Where the numbers are drawn from.

    Returns
    -------
    Tensor
        `tensor`.

    Raises
    ------
    ValueError
        If the tensor does not have 2 dimensions or `sparsity` is no part.

    References
    ----------
    J. Martens: Deep learning via Hessian-free optimization, ICML 2010.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> (nn.init.sparse_(dnn.empty(10, 4), 0.3) == 0).sum(0).tolist()
    [3, 3, 3, 3]
    """
    check_tensors("sparse_", tensor=tensor)
    if tensor.ndim != 2:
        raise ValueError(f"sparse_: expected 2 dimensions, got shape {tuple(tensor.shape)}")
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparse_: expected sparsity from 0 to 1, got {sparsity}")
    rows = tensor.shape[0]
    normal_(tensor, 0.0, std, generator)
    order = np.argsort(_drawn(tuple(tensor.shape), generator), axis=0, kind="stable")
    zeros = np.zeros(tuple(tensor.shape), bool)
    np.put_along_axis(zeros, order[: math.ceil(sparsity * rows)], True, axis=0)
    with no_grad():
        return tensor.masked_fill_(_core.from_numpy(zeros).to(tensor.device), 0.0)
