"""Optimizers: PyTorch's rules, one native launch per step for all parameters."""

from dnncore.optim import lr_scheduler
from dnncore.optim.adagrad import Adadelta, Adagrad, RMSprop
from dnncore.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam
from dnncore.optim.asgd import ASGD
from dnncore.optim.lbfgs import LBFGS
from dnncore.optim.optimizer import Optimizer
from dnncore.optim.rprop import Rprop
from dnncore.optim.sgd import SGD

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
]
