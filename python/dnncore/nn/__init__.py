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
from dnncore.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    GaussianNLLLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    PoissonNLLLoss,
    SmoothL1Loss,
    SoftMarginLoss,
)
from dnncore.nn.margin_loss import (
    CosineEmbeddingLoss,
    CosineSimilarity,
    HingeEmbeddingLoss,
    MarginRankingLoss,
    MultiLabelSoftMarginLoss,
    MultiMarginLoss,
    PairwiseDistance,
    TripletMarginLoss,
)
from dnncore.nn.module import Module
from dnncore.nn.parameter import Parameter
from dnncore.nn.softmax import LogSoftmax, Softmax, Softmax2d, Softmin

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "AlphaDropout",
    "Bilinear",
    "Buffer",
    "BCELoss",
    "BCEWithLogitsLoss",
    "CosineEmbeddingLoss",
    "CosineSimilarity",
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
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "Identity",
    "KLDivLoss",
    "L1Loss",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MarginRankingLoss",
    "Module",
    "ModuleDict",
    "ModuleList",
    "PReLU",
    "Parameter",
    "RReLU",
    "ParameterDict",
    "ParameterList",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "PairwiseDistance",
    "Parameter",
    "PoissonNLLLoss",
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
    "SmoothL1Loss",
    "SoftMarginLoss",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Tanh",
    "TripletMarginLoss",
    "functional",
    "init",
    "utils",
]
