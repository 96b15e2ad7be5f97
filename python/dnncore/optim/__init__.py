"""Optimizers: PyTorch's rules, one native launch per step for all parameters."""

from dnncore.optim.optimizer import Optimizer
from dnncore.optim.sgd import SGD

__all__ = ["SGD", "Optimizer"]
