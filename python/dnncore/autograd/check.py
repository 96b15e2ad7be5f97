"""Gradients against central differences, in float64, with a guess at what is wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dnncore import _core
from dnncore._core import Tensor
from dnncore._grad_mode import enable_grad
from dnncore.autograd.gradients import grad

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_SEED = 20170  # of the weights of the outputs


class GradcheckError(RuntimeError):
    """A gradient that differs from the differences; the text is a `GradientReport`.

    Examples
    --------
    >>> import dnncore as dnn
    >>> try:
    ...     dnn.check_gradients(lambda x: x.detach() * 2 + x, dnn.ones(2))
    ... except dnn.autograd.GradcheckError as error:
    ...     print("a factor 3 is missing" in str(error))
    True
    """


@dataclass(frozen=True)
class GradientReport:
    """Where gradient and difference are furthest apart.

    Attributes
    ----------
    ok : bool
        Whether every entry is within the tolerances.
    name : str
        The input or parameter.
    index : tuple of int
        The entry.
    gradient, difference : float
        Its two values.
    error : float
        Their distance over the allowed one; at most 1 when `ok`.
    hint : str
        What the pattern of the errors looks like; "" when `ok`.
    """

    ok: bool
    name: str
    index: tuple[int, ...]
    gradient: float
    difference: float
    error: float
    hint: str

    def __str__(self) -> str:
        verdict = "gradients agree with central differences" if self.ok else "gradient differs from central differences"
        text = (
            f"{verdict}; worst entry {self.name}{list(self.index)}: gradient {self.gradient:.9g}, "
            f"difference {self.difference:.9g} ({self.error:.3g} x the tolerance)"
        )
        return text if self.ok else f"{text}; {self.hint}"


def _as_leaf(value: Any) -> Any:
    """Return a float64 copy that requires grad; anything without a gradient as it is."""
    tensor = value if isinstance(value, Tensor) else None
    if tensor is None:
        import numpy as np

        if not (isinstance(value, np.ndarray) and value.dtype.kind == "f"):
            return value
        tensor = _core.tensor(value)
    if not tensor.is_floating_point():
        return tensor
    return tensor.detach().clone().contiguous().to(_core.float64).clone().requires_grad_()


def _prepared(fn: Callable[..., Any], inputs: Any) -> tuple[Callable[..., Any], list[Any], dict[str, Tensor]]:
    """Return the function in float64, its arguments, and the leaves by name."""
    from dnncore.nn import Module

    given = [inputs] if not isinstance(inputs, (tuple, list)) else list(inputs)
    args = [_as_leaf(value) for value in given]
    leaves = {f"inputs[{i}]": arg for i, arg in enumerate(args) if isinstance(arg, Tensor) and arg.requires_grad}
    if isinstance(fn, Module):
        fn = copy.deepcopy(fn).double()
        leaves.update({name: parameter for name, parameter in fn.named_parameters() if parameter.requires_grad})
    if not leaves:
        raise ValueError("check_gradients: expected at least one floating-point input or parameter")
    return fn, args, leaves


def _floating(output: Any) -> Iterator[Tensor]:
    for value in output if isinstance(output, (tuple, list)) else [output]:
        if isinstance(value, Tensor) and value.is_floating_point():
            yield value


class _Weighted:
    """The function's outputs summed with fixed random weights, which no wrong entry survives unnoticed."""

    def __init__(self, fn: Callable[..., Any], args: list[Any]) -> None:
        self.fn = fn
        self.args = args
        generator = _core.Generator()
        generator.manual_seed(_SEED)
        with enable_grad():  # the function may differentiate inside
            first = list(_floating(fn(*args)))
        self.weights = [_core.rand(*y.shape, dtype=_core.float64, generator=generator, device=y.device) + 0.5 for y in first]
        if not first:
            raise ValueError("check_gradients: expected the function to return floating-point tensors")
        if self().item() != self._sum(first).item():
            raise GradcheckError(
                "check_gradients: two calls gave different values; call eval() on modules with dropout, or fix the seed"
            )

    def _sum(self, outputs: Sequence[Tensor]) -> Tensor:
        terms = [(weight * y).sum() for weight, y in zip(self.weights, outputs, strict=True)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    def __call__(self) -> Tensor:
        with enable_grad():
            return self._sum(list(_floating(self.fn(*self.args))))


def _differences(value: _Weighted, leaf: Tensor, eps: float) -> Array:
    import numpy as np

    found = np.empty(leaf.shape, np.float64)
    memory = leaf.detach()
    for index in np.ndindex(*leaf.shape):
        before = memory[index].item()
        memory[index] = before + eps
        above = value().item()
        memory[index] = before - eps
        below = value().item()
        memory[index] = before
        found[index] = (above - below) / (2 * eps)
    return found


def _hint(gradient: Array, difference: Array, allowed: Array) -> str:
    """Guess what is wrong from the pattern of the errors."""
    import numpy as np

    def agrees(candidate: Array) -> bool:
        return bool(np.all(np.abs(candidate - difference) <= 10 * allowed))

    wrong = np.abs(gradient - difference) > allowed
    if not gradient.any():
        return "hint: the gradient is zero; is the result detached from this input, or does backward return None?"
    if agrees(-gradient):
        return "hint: the sign is wrong"
    if gradient.ndim == 2 and gradient.shape[0] == gradient.shape[1] and agrees(gradient.T):
        return "hint: the transpose would be right"
    factor = float(np.vdot(gradient, difference) / np.vdot(gradient, gradient))
    if factor and agrees(factor * gradient):
        count = round(max(abs(factor), 1 / abs(factor)))
        if count > 1 and abs(max(abs(factor), 1 / abs(factor)) - count) < 1e-3 * count:
            what = f"a factor {count} is missing" if abs(factor) > 1 else f"it is {count} times too large"
            return f"hint: {what}; a mean taken for a sum over the batch, or the other way round?"
        return f"hint: every entry is wrong by the factor {1 / factor:.6g}; look at the formula's constants"
    if wrong.sum() <= max(1, wrong.size // 10):
        return f"hint: {int(wrong.sum())} of {wrong.size} entries are wrong; is the function kinked there?"
    for axis in range(gradient.ndim):
        if gradient.shape[axis] > 1 and np.ptp(gradient, axis=axis).max() == 0 and np.ptp(difference, axis=axis).max() > 0:
            return f"hint: the gradient is constant along dimension {axis}; is a sum over the batch or an index missing?"
    return f"hint: {int(wrong.sum())} of {wrong.size} entries are wrong; look at the formula"


def check_gradients(
    fn_or_module: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-4,
    raise_exception: bool = True,
) -> GradientReport:
    """Compare gradients with central differences, in float64.

    Parameters
    ----------
    fn_or_module : callable
        A function of tensors, or a `nn.Module`, whose parameters are checked too (on a copy).
    inputs : Tensor, ndarray, or a sequence of them
        Its arguments; floating-point ones are checked, in float64.
    eps : float, default 1e-6
        Half the distance of the two values a difference is taken from.
    atol, rtol : float, default 1e-6 and 1e-4
        An entry may differ by ``atol + rtol * abs(difference)``.
    raise_exception : bool, default True
        Raise when it differs by more, instead of returning a report that is not `ok`.

    Returns
    -------
    GradientReport
        The worst entry: where it is, both values, and a hint at the cause.

    Raises
    ------
    GradcheckError
        If a gradient differs, with the report as its text, or two calls give different values.
    ValueError
        If nothing can be checked.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> dnn.check_gradients(nn.Linear(3, 2), dnn.rand(4, 3)).ok
    True
    >>> class Wrong(dnn.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x.mean()
    ...     @staticmethod
    ...     def backward(ctx, grad_output):
    ...         return grad_output.expand(4)
    >>> dnn.check_gradients(Wrong.apply, dnn.ones(4), raise_exception=False).hint
    'hint: it is 4 times too large; a mean taken for a sum over the batch, or the other way round?'
    """
    import numpy as np

    fn, args, leaves = _prepared(fn_or_module, inputs)
    value = _Weighted(fn, args)
    total = value()
    if not total.requires_grad:
        raise GradcheckError(
            "check_gradients: the outputs do not depend on any input through the tape; was detach() or no_grad() used?"
        )
    gradients = grad(total, list(leaves.values()), materialize_grads=True)
    worst: GradientReport | None = None
    for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
        if leaf.numel() == 0:
            continue
        found, difference = np.asarray(gradient.detach().cpu().numpy(), np.float64), _differences(value, leaf, eps)
        allowed = atol + rtol * np.abs(difference)
        error = np.asarray(np.abs(found - difference) / allowed)
        error[np.isnan(error)] = np.inf
        index = np.unravel_index(int(np.argmax(error)), error.shape)
        at = tuple(int(i) for i in index)
        if worst is None or error[index] > worst.error:
            ok = bool(error[index] <= 1)
            hint = "" if ok else _hint(found, difference, allowed)
            worst = GradientReport(ok, name, at, float(found[index]), float(difference[index]), float(error[index]), hint)
    if worst is None:
        raise ValueError("check_gradients: expected at least one input or parameter with elements")
    if raise_exception and not worst.ok:
        raise GradcheckError(f"check_gradients: {worst}")
    return worst


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Return whether the gradients of a function agree with central differences; as `check_gradients`, with PyTorch's name.

    Examples
    --------
    >>> import dnncore as dnn
    >>> dnn.autograd.gradcheck(dnn.tanh, dnn.rand(3))
    True
    """
    return check_gradients(func, inputs, eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception).ok


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Return whether the second derivatives of a function agree with central differences of its gradients.

    Examples
    --------
    >>> import dnncore as dnn
    >>> dnn.autograd.gradgradcheck(dnn.tanh, dnn.rand(3))
    True
    """
    fn, args, _ = _prepared(func, inputs)
    weights = _Weighted(fn, args).weights

    def slopes(*values: Any) -> tuple[Tensor, ...]:
        leaves = [value for value in values if isinstance(value, Tensor) and value.requires_grad]
        with enable_grad():
            outputs = list(_floating(fn(*values)))
            # Weights that differ from those of the check itself, so that nothing cancels by chance.
            return grad(outputs, leaves, [w * w for w in weights], create_graph=True, materialize_grads=True)

    # Every gradient is linear in one more factor per input, so that flat ones have something to depend on.
    def with_inputs(*values: Any) -> tuple[Tensor, ...]:
        leaves = [value for value in values if isinstance(value, Tensor) and value.requires_grad]
        return tuple(slope + 0 * leaf for slope, leaf in zip(slopes(*values), leaves, strict=True))

    return check_gradients(with_inputs, args, eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception).ok
