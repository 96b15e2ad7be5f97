"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import ClassVar

from dnncore.optim.native import ANY, AT_LEAST_0, Limits, NativeOptimizer
from dnncore.optim.optimizer import Params


class ASGD(NativeOptimizer):
    r"""Averaged stochastic gradient descent, as PyTorch's.

    With gradient g (plus weight_decay p) of parameter p at step t::

        p = (1 - lambd eta) p - eta g
        a = p if mu = 1, else a + mu (p - a)    the average, in state[p]["ax"]
        eta = lr / (1 + lambd lr t)^alpha,  mu = 1 / max(1, t - t0)        for the next step

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor) or of dict
        Parameters, with names if they come from ``named_parameters()``, or groups of them with settings of their own.
    lr : float, default 1e-2
        Learning rate.
    lambd : float, default 1e-4
        Decay of the parameter and of the learning rate.
    alpha : float, default 0.75
        Power by which the learning rate falls.
    t0 : float, default 1e6
        Step at which averaging begins.
    weight_decay : float, default 0
        Strength of the L2 penalty.
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
    B. T. Polyak, A. B. Juditsky: Acceleration of stochastic approximation by averaging, SIAM J. Control Optim. 30(4), 1992.

    Examples
    --------
    >>> import dnncore as dnn
    >>> w = dnn.tensor([1.0], requires_grad=True)
    >>> optimizer = dnn.optim.ASGD([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.5
    """

    _rule = "asgd"
    _limits: ClassVar[Limits] = {"lr": AT_LEAST_0, "lambd": ANY, "alpha": ANY, "t0": ANY, "weight_decay": AT_LEAST_0}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)
