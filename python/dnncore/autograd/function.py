"""Functions whose gradient is written in Python."""

from __future__ import annotations

from typing import Any

from dnncore import _core
from dnncore._core import Tensor
from dnncore._grad_mode import no_grad


class FunctionCtx:
    """What `Function.forward` leaves for `Function.backward`; further attributes may be set freely.

    Attributes
    ----------
    needs_input_grad : tuple of bool
        Which arguments of `forward` need a gradient.

    Examples
    --------
    >>> import dnncore as dnn
    >>> class Scale(dnn.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x, factor):
    ...         ctx.factor = factor
    ...         return x * factor
    ...     @staticmethod
    ...     def backward(ctx, grad_output):
    ...         return grad_output * ctx.factor, None
    >>> x = dnn.ones(2, requires_grad=True)
    >>> Scale.apply(x, 3.0).sum().backward()
    >>> x.grad.tolist()
    [3.0, 3.0]
    """

    needs_input_grad: tuple[bool, ...]

    def __init__(self) -> None:
        self._to_save: tuple[Tensor | None, ...] = ()
        self._saved: list[_core._Saved | None] = []
        self._node: _core.Node | None = None
        self._not_differentiable: tuple[Tensor, ...] = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs or outputs of `forward`; reading one that was changed in place since raises."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Tensor):
                raise TypeError(f"save_for_backward: expected tensors or None, got {type(tensor).__name__}")
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors kept by `save_for_backward`, during `backward` only."""
        if self._node is None:
            raise RuntimeError("saved_tensors: only there while backward() runs")
        node = self._node
        return tuple(None if saved is None else saved.get(node) for saved in self._saved)

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Name outputs that have no gradient."""
        self._not_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` gets zeros (the default) or None for an output nobody differentiated."""
        self._materialize = value


class Function:
    """Base of operations with their own gradient: subclass, write `forward` and `backward`, call `apply`.

    `forward` runs without recording. `backward` gets one gradient per output and returns one per argument of `forward` (None
    where there is none); with ``create_graph=True`` what it computes is recorded, so that it can be differentiated again.

    Examples
    --------
    >>> import dnncore as dnn
    >>> class Cube(dnn.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...     @staticmethod
    ...     def backward(ctx, grad_output):
    ...         (x,) = ctx.saved_tensors
    ...         return 3 * x**2 * grad_output
    >>> x = dnn.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad.item()
    12.0
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the output from ``(ctx, *args)``, or from ``(*args)`` where `setup_context` is written too."""
        raise NotImplementedError("Function: expected a static method forward(ctx, *args)")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save what `backward` needs, where `forward` takes no ctx."""
        raise NotImplementedError("Function: expected a static method setup_context(ctx, inputs, output)")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute the gradients of the arguments from those of the outputs."""
        raise NotImplementedError("Function: expected a static method backward(ctx, *grad_outputs)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run `forward`, and put it on the tape when an argument requires grad."""
        ctx = FunctionCtx()
        recording = _core.is_grad_enabled()
        ctx.needs_input_grad = tuple(recording and isinstance(arg, Tensor) and arg.requires_grad for arg in args)
        with no_grad():
            if cls.setup_context is Function.setup_context:
                output = cls.forward(ctx, *args)
            else:
                output = cls.forward(*args)
                cls.setup_context(ctx, args, output)
        if not any(ctx.needs_input_grad):
            return output
        return _recorded(cls, ctx, args, output)


def _recorded(cls: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], output: Any) -> Any:
    """Put one run of the function on the tape: the outputs, now with a history."""
    single = isinstance(output, Tensor)
    outputs = [output] if single else list(output)
    places = [i for i, value in enumerate(outputs) if isinstance(value, Tensor)]
    if not places:
        raise TypeError(f"{cls.__name__}: expected forward() to return tensors, got {type(output).__name__}")
    tensors = [outputs[i] for i in places]
    like = [(tensor.shape, tensor.dtype, tensor.device) for tensor in tensors]
    inputs = [i for i, arg in enumerate(args) if isinstance(arg, Tensor)]
    count, wanted = len(outputs), len(args)  # run() must hold none of the outputs: they hold it

    def run(node: _core.Node | None, *grads: Tensor | None) -> list[Tensor | None] | bool:
        if node is None:
            saved, ctx._saved = ctx._saved, []
            return bool(saved)
        every: list[Tensor | None] = [None] * count
        for i, gradient, (shape, dtype, device) in zip(places, grads, like, strict=True):
            every[i] = _core.zeros(*shape, dtype=dtype, device=device) if gradient is None and ctx._materialize else gradient
        ctx._node = node
        try:
            found = cls.backward(ctx, *every)
        finally:
            ctx._node = None
        answer = list(found) if isinstance(found, (tuple, list)) else [found]
        if len(answer) < wanted or any(extra is not None for extra in answer[wanted:]):
            raise RuntimeError(f"{cls.__name__}: expected backward() to return {wanted} gradients, got {len(answer)}")
        return [answer[i] for i in inputs]

    skipped = {id(tensor) for tensor in ctx._not_differentiable}
    results = _core._record_function(
        cls.__name__, run, [args[i] for i in inputs], tensors, [id(tensor) not in skipped for tensor in tensors]
    )
    numbers = {id(tensor): number for number, tensor in enumerate(tensors)}
    ctx._saved = [
        None
        if tensor is None
        else _core._Saved.output(tensor, numbers[id(tensor)])
        if id(tensor) in numbers and not any(tensor is arg for arg in args)
        else _core._Saved.input(tensor)
        for tensor in ctx._to_save
    ]
    ctx._to_save = ()
    ctx._not_differentiable = ()
    for i, result in zip(places, results, strict=True):
        outputs[i] = result
    return outputs[0] if single else tuple(outputs)
