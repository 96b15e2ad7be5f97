"""Derivatives of whole functions: products with vectors, Jacobians, Hessians."""

from __future__ import annotations

from collections.abc import Callable

from dnncore import _core
from dnncore._core import Tensor
from dnncore._grad_mode import enable_grad
from dnncore.autograd.gradients import grad

Inputs = Tensor | tuple[Tensor, ...]
Function = Callable[..., Tensor]


def _leaves(inputs: Inputs, create_graph: bool) -> tuple[Tensor, ...]:
    tensors = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if create_graph:
        return tuple(x if x.requires_grad else x.detach().requires_grad_() for x in tensors)
    return tuple(x.detach().requires_grad_() for x in tensors)


def _like(inputs: Inputs, found: tuple[Tensor, ...]) -> Inputs:
    return found[0] if isinstance(inputs, Tensor) else found


def _output(op: str, func: Function, leaves: tuple[Tensor, ...]) -> Tensor:
    with enable_grad():
        output = func(*leaves)
    if not isinstance(output, Tensor):
        raise TypeError(f"{op}: expected the function to return one Tensor, got {type(output).__name__}")
    return output


def vjp(func: Function, inputs: Inputs, v: Tensor | None = None, create_graph: bool = False) -> tuple[Tensor, Inputs]:
    """Return the function's value and the product of `v` with its Jacobian.

    Parameters
    ----------
    func : callable
        From tensors to one tensor.
    inputs : Tensor or tuple of Tensor
        Where.
    v : Tensor of the output's shape, optional
        May be left out for a function of one value.
    create_graph : bool, default False
        Whether the result can be differentiated again.

    Returns
    -------
    tuple
        The value, and one tensor per input.

    Examples
    --------
    >>> import dnncore as dnn
    >>> value, product = dnn.autograd.functional.vjp(lambda x: x * x, dnn.tensor([1.0, 2.0]), dnn.ones(2))
    >>> product.tolist()
    [2.0, 4.0]
    """
    leaves = _leaves(inputs, create_graph)
    output = _output("vjp", func, leaves)
    found = grad(output, leaves, v, create_graph=create_graph, materialize_grads=True)
    return (output if create_graph else output.detach()), _like(inputs, found)


def jacobian(func: Function, inputs: Inputs, create_graph: bool = False) -> Inputs:
    """Return the derivatives of all outputs with respect to all inputs, row by row.

    Parameters
    ----------
    func : callable
        From tensors to one tensor.
    inputs : Tensor or tuple of Tensor
        Where.
    create_graph : bool, default False
        Whether the result can be differentiated again.

    Returns
    -------
    Tensor or tuple of Tensor
        Of shape ``(*output.shape, *input.shape)`` for each input.

    Examples
    --------
    >>> import dnncore as dnn
    >>> dnn.autograd.functional.jacobian(lambda x: x * x, dnn.tensor([1.0, 2.0])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    leaves = _leaves(inputs, create_graph)
    output = _output("jacobian", func, leaves)
    flat = output.reshape(-1)
    rows = []
    for i in range(flat.numel() if output.requires_grad else 0):
        with enable_grad():
            one = flat[i]
        rows.append(grad(one, leaves, retain_graph=True, create_graph=create_graph, materialize_grads=True))
    found = tuple(
        _core.stack([row[j] for row in rows]).reshape(*output.shape, *leaf.shape)
        if rows
        else _core.zeros(*output.shape, *leaf.shape, dtype=leaf.dtype, device=leaf.device)
        for j, leaf in enumerate(leaves)
    )
    return _like(inputs, found)


def hessian(func: Function, inputs: Tensor, create_graph: bool = False) -> Tensor:
    """Return the second derivatives of a function of one value.

    Parameters
    ----------
    func : callable
        From one tensor to a tensor of one element.
    inputs : Tensor
        Where.
    create_graph : bool, default False
        Whether the result can be differentiated again.

    Returns
    -------
    Tensor of shape (*inputs.shape, *inputs.shape)

    Examples
    --------
    >>> import dnncore as dnn
    >>> dnn.autograd.functional.hessian(lambda x: (x**3).sum(), dnn.tensor([1.0, 2.0])).tolist()
    [[6.0, 0.0], [0.0, 12.0]]
    """

    def slope(x: Tensor) -> Tensor:
        output = _output("hessian", func, (x,))
        if output.numel() != 1:
            raise ValueError(f"hessian: expected a function of one value, got an output of shape {output.shape}")
        return grad(output.reshape(()), x, create_graph=True, materialize_grads=True)[0]

    found = jacobian(slope, inputs, create_graph)
    assert isinstance(found, Tensor)
    return found


def hvp(func: Function, inputs: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return the value of a function and the product of its Hessian with `v`, without forming the Hessian.

    Parameters
    ----------
    func : callable
        From one tensor to a tensor of one element.
    inputs : Tensor
        Where.
    v : Tensor of the same shape

    Returns
    -------
    tuple of Tensor
        The value and the product.

    Examples
    --------
    >>> import dnncore as dnn
    >>> _, product = dnn.autograd.functional.hvp(lambda x: (x**3).sum(), dnn.tensor([1.0, 2.0]), dnn.ones(2))
    >>> product.tolist()
    [6.0, 12.0]
    """
    (leaf,) = _leaves(inputs, False)
    output = _output("hvp", func, (leaf,))
    (slope,) = grad(output.reshape(()), leaf, create_graph=True, materialize_grads=True)
    if not slope.requires_grad:
        return output.detach(), _core.zeros_like(leaf)
    (product,) = grad(slope, leaf, v, materialize_grads=True)
    return output.detach(), product
