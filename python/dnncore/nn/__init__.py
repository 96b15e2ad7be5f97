"""Networks: modules, layers, losses, initial values."""

from dnncore.nn import functional, init
from dnncore.nn.activation import GELU, ReLU, Sigmoid, Tanh
from dnncore.nn.container import ModuleList, Sequential
from dnncore.nn.linear import Flatten, Identity, Linear
from dnncore.nn.loss import CrossEntropyLoss
from dnncore.nn.module import Module
from dnncore.nn.parameter import Parameter

__all__ = [
    "GELU",
    "CrossEntropyLoss",
    "Flatten",
    "Identity",
    "Linear",
    "Module",
    "ModuleList",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "functional",
    "init",
]
