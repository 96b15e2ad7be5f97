"""Learning-rate schedules: PyTorch's names, arguments and values; call `step` after the optimizer's, once per epoch or batch.

Schedules change the present rate of a group, so several can act on one optimizer.
"""

from dnncore.optim.lr_scheduler.base import LRScheduler
from dnncore.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from dnncore.optim.lr_scheduler.cycles import CyclicLR, OneCycleLR
from dnncore.optim.lr_scheduler.plain import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from dnncore.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
