"""Networks: modules, layers, losses, initial values."""

from dnncore.nn import functional, init
from dnncore.nn.activation import (
    CELU,
    ELU,
    GELU,
    SELU,
    LeakyReLU,
    LogSigmoid,
    Mish,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softplus,
    Softsign,
    Tanh,
    Tanhshrink,
)
from dnncore.nn.activation_hard import Hardshrink, Hardsigmoid, Hardswish, Hardtanh, Softshrink, Threshold
from dnncore.nn.activation_learned import GLU, Maxout, PReLU, RReLU
from dnncore.nn.container import ModuleList, Sequential
from dnncore.nn.dropout import AlphaDropout, Dropout, Dropout1d, Dropout2d, Dropout3d, FeatureAlphaDropout
from dnncore.nn.linear import Flatten, Identity, Linear
from dnncore.nn import functional, init, utils
from dnncore.nn.activation import GELU, ReLU, Sigmoid, Tanh
from dnncore.nn.container import ModuleDict, ModuleList, Sequential
from dnncore.nn.lazy import LazyLinear
from dnncore.nn.linear import Bilinear, Flatten, Identity, Linear, Unflatten
from dnncore.nn.loss import CrossEntropyLoss
from dnncore.nn.module import Module
from dnncore.nn.parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter
from dnncore.nn.parameter_container import ParameterDict, ParameterList

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "AlphaDropout",
    "Bilinear",
    "Buffer",
    "CrossEntropyLoss",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
    "Flatten",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "LeakyReLU",
    "LazyLinear",
    "Linear",
    "LogSigmoid",
    "Maxout",
    "Mish",
    "Module",
    "ModuleDict",
    "ModuleList",
    "PReLU",
    "Parameter",
    "RReLU",
    "ParameterDict",
    "ParameterList",
    "ReLU",
    "ReLU6",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
    "Unflatten",
    "UninitializedBuffer",
    "UninitializedParameter",
    "functional",
    "init",
    "utils",
]
