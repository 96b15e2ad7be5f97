"""Every activation of the kernel: its parameters, its formula and slope in NumPy, and what the accuracy contract promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from dnncore.nn import functional as F

Formula = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ActivationCase:
    """`ulp` and `absolute`: promised error in float32 against exact values; 0: exact. float64 may add 2."""

    call: Callable[..., object]
    oracle: Formula
    slope: Formula
    ulp: float = 0
    absolute: float = 0
    kinks: tuple[float, ...] = ()
    kernel: str = ""  # name in kernels.def; several cases may share one


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _two_u(x):
    return 2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)


def _gelu_slope(x):
    near = np.clip(x, -40, 40)
    s = sigmoid(_two_u(near))
    return s + near * s * sigmoid(-_two_u(near)) * 2 * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * near**2)


def _mish_slope(x):
    t = np.tanh(softplus(x))
    return t + x * sigmoid(x) / np.cosh(np.minimum(softplus(x), 300)) ** 2


def _elu(a, b, c):
    return (
        lambda x: np.where(x > 0, b * x, a * np.expm1(np.minimum(c * x, 0))),
        lambda x: np.where(x > 0, b, a * c * np.exp(np.minimum(c * x, 0))),
    )


_ALPHA, _SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
_TINY = 100 * 2.0**-150  # the rounding of a subnormal factor of x, |x| <= 100
_swish_gate = lambda x: np.clip(x + 3, 0, 6) / 6  # noqa: E731

CASES = {
    "leaky_relu": ActivationCase(
        lambda x, **k: F.leaky_relu(x, 0.125, **k),
        lambda x: np.where(x > 0, x, x / 8),
        lambda x: np.where(x > 0, 1, 1 / 8),
        kinks=(0,),
    ),
    "leaky_relu, negative": ActivationCase(
        lambda x, **k: F.leaky_relu(x, -0.5, **k),
        lambda x: np.where(x > 0, x, -x / 2),
        lambda x: np.where(x > 0, 1, -1 / 2),
        kinks=(0,),
    ),
    "elu": ActivationCase(lambda x, **k: F.elu(x, 0.75, **k), *_elu(0.75, 1, 1), ulp=3, kinks=(0,)),
    "celu": ActivationCase(lambda x, **k: F.celu(x, 0.5, **k), *_elu(0.5, 1, 2), ulp=3),
    "selu": ActivationCase(F.selu, *_elu(_ALPHA * _SCALE, _SCALE, 1), ulp=4, kinks=(0,)),
    "softplus": ActivationCase(
        F.softplus, lambda x: np.where(x > 20, x, softplus(x)), lambda x: np.where(x > 20, 1, sigmoid(x)), ulp=4
    ),
    "softplus, sharp": ActivationCase(
        lambda x: F.softplus(x, 4.0, 8.0),
        lambda x: np.where(4 * x > 8, x, softplus(4 * x) / 4),
        lambda x: np.where(4 * x > 8, 1, sigmoid(4 * x)),
        ulp=5,
        kinks=(2,),
    ),
    "softsign": ActivationCase(F.softsign, lambda x: x / (1 + np.abs(x)), lambda x: (1 + np.abs(x)) ** -2.0, ulp=1.5),
    "gelu_tanh": ActivationCase(
        lambda x: F.gelu(x, approximate="tanh"), lambda x: x * sigmoid(_two_u(x)), _gelu_slope, ulp=4, absolute=3e-7
    ),
    "silu": ActivationCase(F.silu, lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * sigmoid(-x)), 3.5, _TINY),
    "mish": ActivationCase(F.mish, lambda x: x * np.tanh(softplus(x)), _mish_slope, 5, _TINY),
    "logsigmoid": ActivationCase(F.logsigmoid, lambda x: -softplus(-x), lambda x: sigmoid(-x), ulp=4),
    "hardtanh": ActivationCase(
        lambda x, **k: F.hardtanh(x, -0.5, 1.5, **k),
        lambda x: np.clip(x, -0.5, 1.5),
        lambda x: np.where((x > -0.5) & (x < 1.5), 1, 0),
        kinks=(-0.5, 1.5),
    ),
    "relu6": ActivationCase(
        F.relu6, lambda x: np.clip(x, 0, 6), lambda x: np.where((x > 0) & (x < 6), 1, 0), kinks=(0, 6), kernel="hardtanh"
    ),
    "hardsigmoid": ActivationCase(
        F.hardsigmoid, _swish_gate, lambda x: np.where((x > -3) & (x < 3), 1 / 6, 0), ulp=1, absolute=1e-7, kinks=(-3, 3)
    ),
    "hardswish": ActivationCase(
        F.hardswish,
        lambda x: x * _swish_gate(x),
        lambda x: np.where(x <= -3, 0, np.where(x < 3, x / 3 + 0.5, 1)),
        ulp=2,
        absolute=3e-7,
        kinks=(-3, 3),
    ),
    "threshold": ActivationCase(
        lambda x, **k: F.threshold(x, 0.5, -7.0, **k),
        lambda x: np.where(x <= 0.5, -7, x),
        lambda x: np.where(x <= 0.5, 0, 1),
        kinks=(0.5,),
    ),
    "hardshrink": ActivationCase(
        F.hardshrink, lambda x: np.where(np.abs(x) <= 0.5, 0, x), lambda x: np.where(np.abs(x) <= 0.5, 0, 1), kinks=(-0.5, 0.5)
    ),
    "softshrink": ActivationCase(
        F.softshrink,
        lambda x: np.where(np.abs(x) <= 0.5, 0 * x, x - np.copysign(0.5, x)),
        lambda x: np.where(np.abs(x) <= 0.5, 0, 1),
        ulp=0.5,
        kinks=(-0.5, 0.5),
    ),
}
INPLACE = ("leaky_relu", "elu", "celu", "selu", "silu", "mish", "hardtanh", "relu6", "hardsigmoid", "hardswish", "threshold")


def kernel_of(name: str) -> str:
    return CASES[name].kernel or {"celu": "elu", "selu": "elu"}.get(name, name.split(",")[0])
