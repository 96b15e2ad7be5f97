"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from dnncore import _core
from dnncore._core import Tensor
from dnncore._grad_mode import no_grad


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Return all elements of the parameters, one after the other, as a vector; gradients flow back through it.

    Examples
    --------
    >>> from dnncore import nn
    >>> nn.utils.parameters_to_vector(nn.Linear(3, 2).parameters()).shape
    (8,)
    """
    return _core.cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the elements of a vector into the parameters, one after the other.

    Parameters
    ----------
    vec : Tensor of 1 dimension
        As many elements as all parameters have.
    parameters : iterable of Tensor
        Where they go.

    Raises
    ------
    TypeError
        If `vec` is not a tensor.
    ValueError
        If its size does not fit; nothing is written.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> layer = nn.Linear(2, 1)
    >>> nn.utils.vector_to_parameters(dnn.arange(3.0), layer.parameters())
    >>> layer.weight.tolist(), layer.bias.tolist()
    ([[0.0, 1.0]], [2.0])
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: expected a Tensor, got {type(vec).__name__}")
    listed = list(parameters)
    sizes = [parameter.numel() for parameter in listed]
    if tuple(vec.shape) != (sum(sizes),):
        raise ValueError(f"vector_to_parameters: expected shape {(sum(sizes),)}, got {tuple(vec.shape)}")
    with no_grad():
        for parameter, part in zip(listed, vec.split(sizes), strict=True):
            parameter.copy_(part.reshape(tuple(parameter.shape)))
