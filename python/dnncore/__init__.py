"""dnncore: a small deep-learning core with its own kernels and PyTorch's vocabulary.

Nothing is loaded before it is used: ``import dnncore`` alone reads neither NumPy nor the native module.
"""

# ruff: noqa: F403, F405 - type checkers see the native names through the star, running code through __getattr__
from __future__ import annotations

from typing import TYPE_CHECKING

from dnncore._version import __version__

if TYPE_CHECKING:
    from dnncore import autograd, data, nn, optim
    from dnncore._core import *
    from dnncore._grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
    from dnncore.autograd.check import check_gradients
    from dnncore.serialization import load, save
else:
    _MODULES = frozenset({"autograd", "data", "nn", "optim"})
    _HOMES = {
        "check_gradients": "dnncore.autograd.check",
        "enable_grad": "dnncore._grad_mode",
        "inference_mode": "dnncore._grad_mode",
        "no_grad": "dnncore._grad_mode",
        "set_grad_enabled": "dnncore._grad_mode",
        "load": "dnncore.serialization",
        "save": "dnncore.serialization",
    }

    def __getattr__(name):
        import importlib

        if name in _MODULES:
            return importlib.import_module(f"dnncore.{name}")
        if name not in _PUBLIC:
            raise AttributeError(f"module 'dnncore' has no attribute {name!r}")
        value = getattr(importlib.import_module(_HOMES.get(name, "dnncore._core")), name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted(__all__)


__all__ = [
    "Generator",
    "Node",
    "Tensor",
    "__version__",
    "abs",
    "add",
    "all",
    "allclose",
    "amax",
    "amin",
    "any",
    "arange",
    "argmax",
    "argmin",
    "as_tensor",
    "asarray",
    "autograd",
    "available_isas",
    "bernoulli",
    "bfloat16",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "bmm",
    "bool",
    "build_info",
    "cat",
    "ceil",
    "check_gradients",
    "chunk",
    "clamp",
    "clone",
    "concat",
    "cos",
    "cpu_info",
    "cross_entropy",
    "data",
    "default_generator",
    "device",
    "div",
    "dot",
    "dtype",
    "empty",
    "empty_cache",
    "empty_like",
    "enable_grad",
    "eq",
    "equal",
    "erf",
    "exp",
    "expm1",
    "eye",
    "flatten",
    "flip",
    "float16",
    "float32",
    "float64",
    "floor",
    "floor_divide",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "gather",
    "ge",
    "gelu",
    "get_num_threads",
    "gt",
    "index_select",
    "inference_mode",
    "initial_seed",
    "int32",
    "int64",
    "is_floating_point",
    "is_grad_enabled",
    "is_tensor",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "linear",
    "linspace",
    "load",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_softmax",
    "logical_not",
    "logsumexp",
    "lt",
    "manual_seed",
    "masked_fill",
    "matmul",
    "max",
    "maximum",
    "mean",
    "memory_stats",
    "min",
    "minimum",
    "mm",
    "mul",
    "narrow",
    "ne",
    "neg",
    "nn",
    "no_grad",
    "nonzero",
    "numel",
    "ones",
    "ones_like",
    "optim",
    "permute",
    "pow",
    "prod",
    "promote_types",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "reciprocal",
    "relu",
    "remainder",
    "reset_peak_memory_stats",
    "reshape",
    "result_type",
    "round",
    "rsqrt",
    "save",
    "seed",
    "select",
    "set_grad_enabled",
    "set_num_threads",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "softplus",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "sub",
    "sum",
    "swapaxes",
    "t",
    "tanh",
    "tensor",
    "transpose",
    "trunc",
    "uint8",
    "unbind",
    "unsqueeze",
    "var",
    "where",
    "zeros",
    "zeros_like",
]

_PUBLIC = frozenset(__all__)
