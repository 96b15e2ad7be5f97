"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from dnncore.optim.native import ANY, AT_LEAST_0, Limits, NativeOptimizer
from dnncore.optim.optimizer import Params


class SGD(NativeOptimizer):
    r"""Stochastic gradient descent with momentum, weight decay and Nesterov's rule, as PyTorch's.

    With gradient g, parameter p and settings of its group::

        g = -g                      if maximize
        g = g + weight_decay p
        b = g at the first step, momentum b + (1 - dampening) g after
        g = g + momentum b          if nesterov, else b   (without momentum: g itself)
        p = p - lr g

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor) or of dict
        Parameters, with names if they come from ``named_parameters()``, or groups of them with settings of their own.
    lr : float, default 1e-3
        Learning rate.
    momentum : float, default 0
        Part of the last update that is kept.
    dampening : float, default 0
        Part of the gradient that does not enter the momentum.
    weight_decay : float, default 0
        Strength of the L2 penalty.
    nesterov : bool, default False
        Look ahead along the momentum.
    maximize : bool, default False
        Climb instead of descend.
    foreach, fused : bool, optional
        PyTorch's choice of implementation; accepted, and without effect: the update is always one launch.
    differentiable : bool, default False
        Only False: the update is not recorded.

    Raises
    ------
    ValueError
        If a setting is out of range or a parameter appears twice.
    TypeError
        If `params` holds anything but tensors, pairs of a name and a tensor, or dicts.

    References
    ----------
    I. Sutskever, J. Martens, G. Dahl, G. Hinton: On the importance of initialization and momentum in deep learning, ICML 2013.

    Examples
    --------
    >>> import dnncore as dnn
    >>> w = dnn.tensor([1.0], requires_grad=True)
    >>> optimizer = dnn.optim.SGD([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.tolist()
    [0.5]
    """

    _rule = "sgd"
    _limits: ClassVar[Limits] = {"lr": AT_LEAST_0, "momentum": AT_LEAST_0, "dampening": ANY, "weight_decay": AT_LEAST_0}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        super()._check_settings(settings)
        if settings["nesterov"] and (settings["momentum"] <= 0 or settings["dampening"] != 0):
            raise ValueError(
                "SGD: nesterov needs momentum above 0 and no dampening, "
                f"got momentum={settings['momentum']}, dampening={settings['dampening']}"
            )
