"""Limits on gradients: by their norm and by their values."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable

from dnncore import _core
from dnncore._core import Tensor
from dnncore._grad_mode import no_grad


def _listed(tensors: Tensor | Iterable[Tensor], op: str) -> list[Tensor]:
    if isinstance(tensors, Tensor):
        return [tensors]
    exhaustible = iter(tensors) is tensors
    found = list(tensors)
    if exhaustible and not found:
        warnings.warn(f"{op}: the parameters are an empty generator; was it used up before?", stacklevel=3)
    for tensor in found:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{op}: expected tensors, got {type(tensor).__name__}")
    return found


def _gradients(parameters: list[Tensor]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def _norm(x: Tensor, order: float) -> Tensor:
    """Vector norm of all elements, 0-d; halves are summed in float32."""
    if x.dtype in (_core.bfloat16, _core.float16):
        x = x.float()
    if order == 2:
        return x.square().sum().sqrt()
    if order == 0:
        return (x != 0).sum().to(x.dtype)
    size = x.abs()
    if math.isinf(order):
        if x.numel() == 0:
            return _core.zeros((), dtype=x.dtype, device=x.device)
        return size.amax() if order > 0 else size.amin()
    return size.sum() if order == 1 else size.pow(order).sum().pow(1 / order)


def get_total_norm(
    tensors: Tensor | Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """Return the norm of the norms of `tensors`: with order p that of all their elements in one vector.

    Parameters
    ----------
    tensors : Tensor or iterable of Tensor
        The tensors, often gradients.
    norm_type : float, default 2
        Order p of the norm; ``inf`` takes the largest size.
    error_if_nonfinite : bool, default False
        Whether a norm that is not finite is an error.
    foreach : bool, optional
        PyTorch's choice of implementation; accepted, and without effect.

    Returns
    -------
    Tensor
        The norm, 0-d.

    Raises
    ------
    ValueError
        If `error_if_nonfinite` and the norm is infinite or NaN.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.utils.get_total_norm([dnn.tensor([3.0]), dnn.tensor([4.0])]).item()
    5.0
    """
    order = float(norm_type)
    with no_grad():
        norms = [_norm(tensor.detach(), order) for tensor in _listed(tensors, "get_total_norm")]
        if not norms:
            return _core.tensor(0.0)
        kind = _core.float64 if any(norm.dtype == _core.float64 for norm in norms) else _core.float32
        total = _norm(_core.stack([norm.to(kind) for norm in norms]), order)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise ValueError(
            f"get_total_norm: the norm of order {order} is {total.item()}; pass error_if_nonfinite=False to scale all the same"
        )
    return total


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale gradients in place by ``max_norm / (total_norm + 1e-6)`` where that is below 1.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those whose gradients are scaled; without a gradient they are left out.
    max_norm : float
        Largest norm that stays.
    total_norm : Tensor
        The norm of the gradients, 0-d.
    foreach : bool, optional
        PyTorch's choice of implementation; accepted, and without effect.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> x = dnn.ones(1, requires_grad=True)
    >>> x.grad = dnn.tensor([4.0])
    >>> nn.utils.clip_grads_with_norm_(x, 1.0, dnn.tensor(8.0))
    >>> round(x.grad.item(), 6)
    0.5
    """
    with no_grad():
        scale = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
        for gradient in _gradients(_listed(parameters, "clip_grads_with_norm_")):
            gradient.mul_(scale.to(gradient.dtype))


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale gradients in place so that their norm, over all of them in one vector, is at most `max_norm`.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those whose gradients are scaled; without a gradient they are left out.
    max_norm : float
        Largest norm that stays.
    norm_type : float, default 2
        Order p of the norm; ``inf`` takes the largest size.
    error_if_nonfinite : bool, default False
        Whether a norm that is not finite is an error; nothing is scaled then.
    foreach : bool, optional
        PyTorch's choice of implementation; accepted, and without effect.

    Returns
    -------
    Tensor
        The norm before, 0-d.

    Raises
    ------
    ValueError
        If `error_if_nonfinite` and the norm is infinite or NaN.

    References
    ----------
    R. Pascanu, T. Mikolov, Y. Bengio: On the difficulty of training recurrent neural networks, ICML 2013.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> x = dnn.zeros(2, requires_grad=True)
    >>> x.grad = dnn.tensor([3.0, 4.0])
    >>> nn.utils.clip_grad_norm_([x], max_norm=1.0).item()
    5.0
    >>> [round(g, 4) for g in x.grad.tolist()]
    [0.6, 0.8]
    """
    listed = _listed(parameters, "clip_grad_norm_")
    total = get_total_norm(_gradients(listed), norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(listed, max_norm, total, foreach)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Limit every element of the gradients, in place, to [-clip_value, clip_value].

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those whose gradients are limited; without a gradient they are left out.
    clip_value : float
        Largest size of an element.
    foreach : bool, optional
        PyTorch's choice of implementation; accepted, and without effect.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> x = dnn.zeros(2, requires_grad=True)
    >>> x.grad = dnn.tensor([3.0, -0.25])
    >>> nn.utils.clip_grad_value_(x, 0.5)
    >>> x.grad.tolist()
    [0.5, -0.25]
    """
    limit = float(clip_value)
    with no_grad():
        for gradient in _gradients(_listed(parameters, "clip_grad_value_")):
            gradient.minimum_(limit).maximum_(-limit)
