"""Resilient backpropagation."""

from __future__ import annotations

from typing import ClassVar

from dnncore.optim.native import ABOVE_1, ANY, AT_LEAST_0, BETWEEN_0_AND_1, Limits, NativeOptimizer
from dnncore.optim.optimizer import Params


class Rprop(NativeOptimizer):
    r"""Resilient backpropagation: steps by sign, as PyTorch's; for whole batches.

    With gradient g (plus weight_decay p) of parameter p at step t::

        a = sign(g h)                           h is the gradient of the last step
        s = s etaplus if a > 0, s etaminus if a < 0, clamped to step_sizes
        g = 0                                   if a < 0
        p = p - sign(g) s,  h = g

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor) or of dict
        Parameters, with names if they come from ``named_parameters()``, or groups of them with settings of their own.
    lr : float, default 1e-2
        First step size of every element.
    etas : (float, float), default (0.5, 1.2)
        Factors of the step size after a change of sign and after none.
    step_sizes : (float, float), default (1e-6, 50)
        Smallest and largest step size.
    foreach, capturable : bool, optional
        PyTorch's choices of implementation; accepted, and without effect: the update is always one launch.
    maximize : bool, default False
        Climb instead of descend.
    differentiable : bool, default False
        Only False: the update is not recorded.

    Raises
    ------
    ValueError
        If a setting is out of range or a parameter appears twice.
    TypeError
        If `params` holds anything but tensors, pairs of a name and a tensor, or dicts, or a setting is no number.

    References
    ----------
    M. Riedmiller, H. Braun: A direct adaptive method for faster backpropagation learning: the RPROP algorithm, ICNN 1993.

    Examples
    --------
    >>> import dnncore as dnn
    >>> w = dnn.tensor([1.0], requires_grad=True)
    >>> optimizer = dnn.optim.Rprop([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.75
    """

    _rule = "rprop"
    _limits: ClassVar[Limits] = {"lr": AT_LEAST_0, "etas": (BETWEEN_0_AND_1, ABOVE_1), "step_sizes": (ANY, ANY)}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)
