"""Gradients: of tensors with respect to tensors, of functions written in Python, and their check against differences."""

from dnncore._grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
from dnncore.autograd import functional
from dnncore.autograd.check import GradcheckError, check_gradients, gradcheck, gradgradcheck
from dnncore.autograd.function import Function, FunctionCtx
from dnncore.autograd.gradients import backward, grad

__all__ = [
    "Function",
    "FunctionCtx",
    "GradcheckError",
    "backward",
    "check_gradients",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "set_grad_enabled",
]
