"""Hooks on the backward pass of a module: two gates on the tape, around its inputs and around its outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from dnncore._core import Tensor
from dnncore.autograd.function import Function

if TYPE_CHECKING:
    from dnncore.nn._hooks import HookedCalls

Gradients = tuple[Tensor | None, ...]


class BackwardHook(NamedTuple):
    """A function called in the backward pass of a module: before it with the outputs' gradients, or after it with all."""

    function: Callable[..., Any]
    before: bool


class _Gate(Function):
    """Passes tensors on; in the backward pass, passes on what ``seen`` makes of their gradients."""

    @staticmethod
    def forward(ctx: Any, seen: Callable[[Gradients], Gradients], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.seen = seen
        ctx.set_materialize_grads(False)
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        return None, *ctx.seen(gradients)


def _gated(values: tuple[Any, ...], seen: Callable[[Gradients], Gradients]) -> tuple[tuple[Any, ...], bool]:
    """Return `values`, those that need a gradient behind a gate, and whether there are any; `seen` gets None for the others."""
    places = [i for i, value in enumerate(values) if isinstance(value, Tensor) and value.requires_grad]
    if not places:
        return values, False

    def widened(gradients: Gradients) -> Gradients:
        every: list[Tensor | None] = [None] * len(values)
        for i, gradient in zip(places, gradients, strict=True):
            every[i] = gradient
        after = seen(tuple(every))
        return tuple(after[i] for i in places)

    passed = list(values)
    for i, tensor in zip(places, _Gate.apply(widened, *(values[i] for i in places)), strict=True):
        passed[i] = tensor
    return tuple(passed), True


class _BackwardCall:
    """What one call of a module keeps for its backward pass."""

    def __init__(self, module: HookedCalls, hooks: list[BackwardHook]) -> None:
        self.module = module
        self.before = [hook.function for hook in hooks if hook.before]
        self.after = [hook.function for hook in hooks if not hook.before]
        self.grad_output: Gradients | None = None  # between the gate at the outputs and the one at the inputs
        self.inputs = 0
        self.inputs_need_gradients = False

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.inputs = len(args)
        if not self.after:
            return args
        args, self.inputs_need_gradients = _gated(args, self._see_inputs)
        return args

    def leave(self, output: Any) -> Any:
        if isinstance(output, Tensor):
            return _gated((output,), self._see_outputs)[0][0]
        if isinstance(output, (tuple, list)):
            passed, _ = _gated(tuple(output), self._see_outputs)
            return type(output)(*passed) if hasattr(output, "_fields") else type(output)(passed)
        return output

    def _see_outputs(self, gradients: Gradients) -> Gradients:
        for function in self.before:
            gradients = self._changed(gradients, function(self.module, gradients), "grad_output")
        self.grad_output = gradients
        if not self.inputs_need_gradients:  # no gate will be reached at the inputs
            self._see_inputs((None,) * self.inputs)
        return gradients

    def _see_inputs(self, gradients: Gradients) -> Gradients:
        grad_output, self.grad_output = self.grad_output, None
        if grad_output is None:  # this gradient came another way
            return gradients
        for function in self.after:
            gradients = self._changed(gradients, function(self.module, gradients, grad_output), "grad_input")
        return gradients

    def _changed(self, gradients: Gradients, answer: Any, kind: str) -> Gradients:
        if answer is None:
            return gradients
        changed: Gradients = answer if isinstance(answer, tuple) else (answer,)
        if len(changed) != len(gradients):
            name = type(self.module).__name__
            raise ValueError(f"{name}: expected {len(gradients)} gradients from a hook on {kind}, got {len(changed)}")
        return changed


def watched(module: HookedCalls, hooks: list[BackwardHook], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run `forward` between the two gates."""
    call = _BackwardCall(module, hooks)
    return call.leave(module.forward(*call.enter(args), **kwargs))
