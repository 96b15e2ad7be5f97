"""Adam and its relatives: AdamW, Adamax, NAdam, RAdam."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from dnncore.optim.native import AT_LEAST_0, BELOW_1, Limits, NativeOptimizer
from dnncore.optim.optimizer import Params


class Adam(NativeOptimizer):
    r"""Adaptive moment estimation, as PyTorch's.

    With gradient g (plus weight_decay p) of parameter p at step t::

        g = -g                                  if maximize
        m = beta1 m + (1 - beta1) g
        v = beta2 v + (1 - beta2) g^2
        u = max(u, v)                           if amsgrad, else v
        p = p - lr / (1 - beta1^t) m / (sqrt(u / (1 - beta2^t)) + eps)

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor) or of dict
        Parameters, with names if they come from ``named_parameters()``, or groups of them with settings of their own.
    lr : float, default 1e-3
        Learning rate.
    betas : (float, float), default (0.9, 0.999)
        How much of the averages of the gradient and of its square is kept.
    eps : float, default 1e-8
        Added to the denominator.
    weight_decay : float, default 0
        Strength of the L2 penalty.
    amsgrad : bool, default False
        Divide by the largest average so far.
    foreach, fused, capturable : bool, optional
        PyTorch's choices of implementation; accepted, and without effect: the update is always one launch.
    maximize : bool, default False
        Climb instead of descend.
    differentiable : bool, default False
        Only False: the update is not recorded.
    decoupled_weight_decay : bool, default False
        Shrink the parameter by lr weight_decay instead of adding a penalty to the gradient.

    Raises
    ------
    ValueError
        If a setting is out of range or a parameter appears twice.
    TypeError
        If `params` holds anything but tensors, pairs of a name and a tensor, or dicts, or a setting is no number.

    References
    ----------
    D. P. Kingma, J. Ba: Adam: a method for stochastic optimization, ICLR 2015. S. J. Reddi, S. Kale, S. Kumar: On the
    convergence of Adam and beyond, ICLR 2018 (amsgrad).

    Examples
    --------
    >>> import dnncore as dnn
    >>> w = dnn.tensor([1.0], requires_grad=True)
    >>> optimizer = dnn.optim.Adam([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.75
    """

    _rule = "adam"
    _limits: ClassVar[Limits] = {"lr": AT_LEAST_0, "betas": (BELOW_1, BELOW_1), "eps": AT_LEAST_0, "weight_decay": AT_LEAST_0}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)


class AdamW(Adam):
    r"""Adam whose weight decay does not pass through the averages, as PyTorch's.

    With gradient g (plus weight_decay p) of parameter p at step t::

        p = (1 - lr weight_decay) p             and then as in Adam, without the penalty on g

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor) or of dict
        Parameters, with names if they come from ``named_parameters()``, or groups of them with settings of their own.
    lr : float, default 1e-3
        Learning rate.
    betas : (float, float), default (0.9, 0.999)
        How much of the averages of the gradient and of its square is kept.
    eps : float, default 1e-8
        Added to the denominator.
    weight_decay : float, default 1e-2
        Part of the parameter that goes, times lr.
    amsgrad : bool, default False
        Divide by the largest average so far.
    maximize : bool, default False
        Climb instead of descend.
    foreach, fused, capturable : bool, optional
        PyTorch's choices of implementation; accepted, and without effect: the update is always one launch.
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
    I. Loshchilov, F. Hutter: Decoupled weight decay regularization, ICLR 2019.

    Examples
    --------
    >>> import dnncore as dnn
    >>> w = dnn.tensor([1.0], requires_grad=True)
    >>> optimizer = dnn.optim.AdamW([w], lr=0.25, weight_decay=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.725
    """

    _fixed: ClassVar[Mapping[str, Any]] = {"decoupled_weight_decay": True}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )


class Adamax(NativeOptimizer):
    r"""Adam with the maximum norm, as PyTorch's.

    With gradient g (plus weight_decay p) of parameter p at step t::

        m = beta1 m + (1 - beta1) g
        u = max(beta2 u, |g| + eps)
        p = p - lr / (1 - beta1^t) m / u

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor) or of dict
        Parameters, with names if they come from ``named_parameters()``, or groups of them with settings of their own.
    lr : float, default 2e-3
        Learning rate.
    betas : (float, float), default (0.9, 0.999)
        How much of the averages of the gradient and of its square is kept.
    eps : float, default 1e-8
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
    D. P. Kingma, J. Ba: Adam: a method for stochastic optimization, ICLR 2015, section 7.1.

    Examples
    --------
    >>> import dnncore as dnn
    >>> w = dnn.tensor([1.0], requires_grad=True)
    >>> optimizer = dnn.optim.Adamax([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.75
    """

    _rule = "adamax"
    _limits: ClassVar[Limits] = {"lr": AT_LEAST_0, "betas": (BELOW_1, BELOW_1), "eps": AT_LEAST_0, "weight_decay": AT_LEAST_0}

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)


class NAdam(NativeOptimizer):
    r"""Adam with Nesterov's momentum, as PyTorch's.

    With gradient g (plus weight_decay p) of parameter p at step t::

        mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2),  M = mu_1 ... mu_t,  M' = M mu_(t+1)
        m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,  r = sqrt(v / (1 - beta2^t)) + eps
        p = p - lr (1 - mu_t) / (1 - M) g / r - lr mu_(t+1) / (1 - M') m / r

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor) or of dict
        Parameters, with names if they come from ``named_parameters()``, or groups of them with settings of their own.
    lr : float, default 2e-3
        Learning rate.
    betas : (float, float), default (0.9, 0.999)
        How much of the averages of the gradient and of its square is kept.
    eps : float, default 1e-8
        Added to the denominator.
    weight_decay : float, default 0
        Strength of the L2 penalty.
    momentum_decay : float, default 4e-3
        How fast the momentum approaches beta1.
    decoupled_weight_decay : bool, default False
        Shrink the parameter by lr weight_decay instead of adding a penalty to the gradient.
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
    T. Dozat: Incorporating Nesterov momentum into Adam, ICLR 2016 workshop.

    Examples
    --------
    >>> import dnncore as dnn
    >>> w = dnn.tensor([1.0], requires_grad=True)
    >>> optimizer = dnn.optim.NAdam([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.7359
    """

    _rule = "nadam"
    _limits: ClassVar[Limits] = {
        "lr": AT_LEAST_0,
        "betas": (BELOW_1, BELOW_1),
        "eps": AT_LEAST_0,
        "weight_decay": AT_LEAST_0,
        "momentum_decay": AT_LEAST_0,
    }

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)


class RAdam(NativeOptimizer):
    r"""Adam that waits with the division until its variance is known, as PyTorch's.

    With gradient g (plus weight_decay p) of parameter p at step t::

        m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,  m' = m / (1 - beta1^t)
        R = 2 / (1 - beta2) - 1,  r = R - 2 t beta2^t / (1 - beta2^t)
        p = p - lr m' sqrt((r-4)(r-2)R / ((R-4)(R-2)r)) sqrt(1 - beta2^t) / (sqrt(v) + eps)      if r > 5
        p = p - lr m'                                                                            else

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor) or of dict
        Parameters, with names if they come from ``named_parameters()``, or groups of them with settings of their own.
    lr : float, default 1e-3
        Learning rate.
    betas : (float, float), default (0.9, 0.999)
        How much of the averages of the gradient and of its square is kept.
    eps : float, default 1e-8
        Added to the denominator.
    weight_decay : float, default 0
        Strength of the L2 penalty.
    decoupled_weight_decay : bool, default False
        Shrink the parameter by lr weight_decay instead of adding a penalty to the gradient.
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
    L. Liu, H. Jiang, P. He, W. Chen, X. Liu, J. Gao, J. Han: On the variance of the adaptive learning rate and beyond, ICLR 2020.

    Examples
    --------
    >>> import dnncore as dnn
    >>> w = dnn.tensor([1.0], requires_grad=True)
    >>> optimizer = dnn.optim.RAdam([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.5
    """

    _rule = "radam"
    _limits: ClassVar[Limits] = {"lr": AT_LEAST_0, "betas": (BELOW_1, BELOW_1), "eps": AT_LEAST_0, "weight_decay": AT_LEAST_0}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)
