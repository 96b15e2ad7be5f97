"""`backward` and `grad`: gradients accumulated into leaves, or returned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dnncore import _core
from dnncore._core import Tensor

Tensors = Tensor | Sequence[Tensor]
OptionalTensors = Tensor | Sequence[Tensor | None] | None


def listed(op: str, name: str, tensors: Tensors) -> list[Tensor]:
    """Return one tensor or several as a list."""
    if not isinstance(tensors, (Tensor, Iterable)):
        raise TypeError(f"{op}: expected a tensor or a sequence of tensors as {name}, got {type(tensors).__name__}")
    found = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    for tensor in found:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{op}: expected tensors in {name}, got {type(tensor).__name__}")
    return found


def _listed_optional(op: str, name: str, tensors: OptionalTensors) -> list[Tensor | None] | None:
    if tensors is None:
        return None
    found: list[Tensor | None] = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    for tensor in found:
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"{op}: expected tensors or None in {name}, got {type(tensor).__name__}")
    return found


def backward(
    tensors: Tensors,
    grad_tensors: OptionalTensors = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensors | None = None,
) -> None:
    """Add the gradients of the sum of `tensors` to the ``.grad`` of every leaf that requires grad.

    Parameters
    ----------
    tensors : Tensor or sequence of Tensor
        What is differentiated.
    grad_tensors : Tensor or sequence of Tensor or None, optional
        Weights of their elements, of the same shapes; a tensor of one element needs none.
    retain_graph : bool, optional
        Keep the graph for another pass; `create_graph` when not given.
    create_graph : bool, default False
        Put the pass itself on the tape, for second derivatives. A leaf and its gradient then keep each other alive until
        ``leaf.grad = None``; `grad` has no such circle.
    inputs : Tensor or sequence of Tensor, optional
        Fill the ``.grad`` of these tensors alone.

    Raises
    ------
    RuntimeError
        If a tensor does not require grad, has more than one element and no weights, or its graph was freed.
    ValueError, TypeError
        If weights do not fit.

    Examples
    --------
    >>> import dnncore as dnn
    >>> x = dnn.tensor([1.0, 2.0], requires_grad=True)
    >>> dnn.autograd.backward([(x * x).sum(), x.sum()])
    >>> x.grad.tolist()
    [3.0, 5.0]
    """
    _core._backward(
        listed("backward", "tensors", tensors),
        _listed_optional("backward", "grad_tensors", grad_tensors),
        retain_graph,
        create_graph,
        None if inputs is None else listed("backward", "inputs", inputs),
    )


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: OptionalTensors = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor, ...]:
    """Return the gradients of the sum of `outputs` with respect to `inputs`; no ``.grad`` is touched.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
        What is differentiated.
    inputs : Tensor or sequence of Tensor
        With respect to what; leaves or tensors on the way.
    grad_outputs : Tensor or sequence of Tensor or None, optional
        Weights of the outputs' elements, of the same shapes; a tensor of one element needs none.
    retain_graph : bool, optional
        Keep the graph for another pass; `create_graph` when not given.
    create_graph : bool, default False
        Put the pass itself on the tape, for second derivatives.
    allow_unused : bool, optional
        Return None for an input that no output depends on, instead of raising; `materialize_grads` when not given.
    materialize_grads : bool, default False
        Return zeros for such an input.

    Returns
    -------
    tuple of Tensor
        One per input, of its shape.

    Raises
    ------
    RuntimeError
        If an input does not require grad or is unused, or as `backward`.

    Examples
    --------
    >>> import dnncore as dnn
    >>> x = dnn.tensor(3.0, requires_grad=True)
    >>> (slope,) = dnn.autograd.grad(x**3, x, create_graph=True)
    >>> (curvature,) = dnn.autograd.grad(slope, x)
    >>> slope.item(), curvature.item()
    (27.0, 18.0)
    """
    if materialize_grads and allow_unused is False:
        raise ValueError("grad: materialize_grads=True needs unused inputs allowed, got allow_unused=False")
    results = listed("grad", "outputs", outputs)
    wanted = listed("grad", "inputs", inputs)
    if not wanted:
        raise ValueError("grad: expected at least one tensor in inputs")
    for i, tensor in enumerate(wanted):
        if not tensor.requires_grad:
            raise RuntimeError(f"grad: inputs[{i}] of shape {tensor.shape} does not require grad")
    found = _core._gradients(
        results,
        wanted,
        _listed_optional("grad", "grad_outputs", grad_outputs),
        create_graph if retain_graph is None else retain_graph,
        create_graph,
    )
    allowed = materialize_grads if allow_unused is None else allow_unused
    for i, gradient in enumerate(found):
        if gradient is None and not allowed:
            raise RuntimeError(
                f"grad: no output depends on inputs[{i}] of shape {wanted[i].shape}; pass allow_unused=True for None"
            )
        if gradient is None and materialize_grads:
            found[i] = _core.zeros_like(wanted[i])
    return tuple(found)  # type: ignore[arg-type]
