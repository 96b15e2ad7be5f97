"""Adagrad and its relatives with windows: Adadelta, RMSprop."""

from __future__ import annotations

from typing import ClassVar

from dnncore.optim.native import AT_LEAST_0, UP_TO_1, Limits, NativeOptimizer
from dnncore.optim.optimizer import Params


class Adagrad(NativeOptimizer):
    r"""Gradient over the root of the sum of its squares, as PyTorch's.

    With gradient g (plus weight_decay p) of parameter p at step t::

        s = s + g^2
        p = p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor) or of dict
        Parameters, with names if they come from ``named_parameters()``, or groups of them with settings of their own.
    lr : float, default 1e-2
        Learning rate.
    lr_decay : float, default 0
        How fast the learning rate falls.
    weight_decay : float, default 0
        Strength of the L2 penalty.
    initial_accumulator_value : float, default 0
        First value of the sum.
    eps : float, default 1e-10
        Added to the denominator.
    foreach, fused : bool, optional
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
    J. Duchi, E. Hazan, Y. Singer: Adaptive subgradient methods for online learning and stochastic optimization, JMLR 12, 2011.

    Examples
    --------
    >>> import dnncore as dnn
    >>> w = dnn.tensor([1.0], requires_grad=True)
    >>> optimizer = dnn.optim.Adagrad([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.75
    """

    _rule = "adagrad"
    _state_from_start = True  # PyTorch's has its sums before the first step
    _limits: ClassVar[Limits] = {
        "lr": AT_LEAST_0,
        "lr_decay": AT_LEAST_0,
        "eps": AT_LEAST_0,
        "weight_decay": AT_LEAST_0,
        "initial_accumulator_value": AT_LEAST_0,
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)


class Adadelta(NativeOptimizer):
    r"""Adagrad with windows instead of sums and without units, as PyTorch's.

    With gradient g (plus weight_decay p) of parameter p at step t::

        v = rho v + (1 - rho) g^2
        d = sqrt(u + eps) / sqrt(v + eps) g
        u = rho u + (1 - rho) d^2
        p = p - lr d

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor) or of dict
        Parameters, with names if they come from ``named_parameters()``, or groups of them with settings of their own.
    lr : float, default 1.0
        Learning rate.
    rho : float, default 0.9
        How much of the averages is kept.
    eps : float, default 1e-6
        Added to the denominator.
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
    M. D. Zeiler: ADADELTA: an adaptive learning rate method, arXiv:1212.5701, 2012.

    Examples
    --------
    >>> import dnncore as dnn
    >>> w = dnn.tensor([1.0], requires_grad=True)
    >>> optimizer = dnn.optim.Adadelta([w])
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.9968
    """

    _rule = "adadelta"
    _limits: ClassVar[Limits] = {"lr": AT_LEAST_0, "rho": UP_TO_1, "eps": AT_LEAST_0, "weight_decay": AT_LEAST_0}

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)


class RMSprop(NativeOptimizer):
    r"""Gradient over the root of its running mean square, as PyTorch's.

    With gradient g (plus weight_decay p) of parameter p at step t::

        v = alpha v + (1 - alpha) g^2
        a = alpha a + (1 - alpha) g             if centered; then v - a^2 (at least 0) stands for v below
        d = g / (sqrt(v) + eps)
        b = momentum b + d                      if momentum; then b stands for d below
        p = p - lr d

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor) or of dict
        Parameters, with names if they come from ``named_parameters()``, or groups of them with settings of their own.
    lr : float, default 1e-2
        Learning rate.
    alpha : float, default 0.99
        How much of the averages is kept.
    eps : float, default 1e-8
        Added to the denominator.
    weight_decay : float, default 0
        Strength of the L2 penalty.
    momentum : float, default 0
        Part of the last update that is kept.
    centered : bool, default False
        Divide by the estimated variance instead of the mean square.
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
    T. Tieleman, G. Hinton: Lecture 6.5, rmsprop, Coursera 2012. A. Graves: Generating sequences with recurrent neural networks,
    arXiv:1308.0850, 2013 (centered).

    Examples
    --------
    >>> import dnncore as dnn
    >>> w = dnn.tensor([1.0], requires_grad=True)
    >>> optimizer = dnn.optim.RMSprop([w], lr=0.05)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.5
    """

    _rule = "rmsprop"
    _limits: ClassVar[Limits] = {
        "lr": AT_LEAST_0,
        "alpha": AT_LEAST_0,
        "eps": AT_LEAST_0,
        "weight_decay": AT_LEAST_0,
        "momentum": AT_LEAST_0,
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)
