"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dnncore import _core
from dnncore._core import Tensor
from dnncore.optim.optimizer import Optimizer, Params


class SGD(Optimizer):
    r"""Stochastic gradient descent with momentum, weight decay and Nesterov's rule, as PyTorch's.

    With gradient g, parameter p and settings of its group::

        g = -g                      if maximize
        g = g + weight_decay p
        b = g at the first step, momentum b + (1 - dampening) g after
        g = g + momentum b          if nesterov, else b   (without momentum: g itself)
        p = p - lr g

    Parameters
    ----------
    params : iterable of Tensor or of dict
        Parameters, or groups of them with settings of their own.
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
        If `params` holds anything but tensors or dicts.

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

    _update: _core.SgdUpdate

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
        self._check_settings(defaults)
        super().__init__(params, defaults)

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        for name in ("lr", "momentum", "dampening", "weight_decay"):
            value = settings[name]
            if isinstance(value, (bool, str, Tensor)) or not hasattr(value, "__float__"):
                raise TypeError(f"SGD: expected a number for {name}, got {type(value).__name__}")
            if not float(value) >= 0 and name != "dampening":
                raise ValueError(f"SGD: expected {name} of at least 0, got {value}")
        if settings["nesterov"] and (settings["momentum"] <= 0 or settings["dampening"] != 0):
            raise ValueError(
                "SGD: nesterov needs momentum above 0 and no dampening, "
                f"got momentum={settings['momentum']}, dampening={settings['dampening']}"
            )
        if settings["differentiable"]:
            raise ValueError("SGD: expected differentiable=False, got True; the update is not recorded")

    def _make_update(self, groups: list[list[Tensor]]) -> _core.SgdUpdate:
        return _core.SgdUpdate(groups)

    def _write_settings(self, update: _core.SgdUpdate, index: int, settings: Mapping[str, Any]) -> None:
        update.set_group(
            index,
            lr=float(settings["lr"]),
            momentum=float(settings["momentum"]),
            dampening=float(settings["dampening"]),
            weight_decay=float(settings["weight_decay"]),
            nesterov=bool(settings["nesterov"]),
            maximize=bool(settings["maximize"]),
        )

    def _read_state(self, update: _core.SgdUpdate, group: int, index: int) -> dict[str, Tensor]:
        buffer = update.momentum_buffer(group, index)
        return {} if buffer is None else {"momentum_buffer": buffer}

    def _write_state(self, update: _core.SgdUpdate, group: int, index: int, state: Mapping[str, Any]) -> None:
        update.set_momentum_buffer(group, index, state["momentum_buffer"])
