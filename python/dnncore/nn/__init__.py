"""Networks: modules, layers, losses, initial values."""

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
    "GELU",
    "Bilinear",
    "Buffer",
    "CrossEntropyLoss",
    "Flatten",
    "Identity",
    "LazyLinear",
    "Linear",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "Unflatten",
    "UninitializedBuffer",
    "UninitializedParameter",
    "functional",
    "init",
    "utils",
]
