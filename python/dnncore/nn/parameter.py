"""Parameter: a tensor that a module trains."""

from __future__ import annotations

from typing import Any

from dnncore._core import Tensor


class Parameter(Tensor):
    """A tensor that, set as an attribute of a `Module`, becomes one of its parameters.

    Parameters
    ----------
    data : Tensor or array-like
        The values; a tensor's memory is shared.
    requires_grad : bool, default True
        Whether gradients are computed for it.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Parameter(dnn.zeros(3)).requires_grad
    True
    """

    def __new__(cls, data: Any, requires_grad: bool = True) -> Parameter:  # noqa: D102
        self = super().__new__(cls, data)
        self.requires_grad = requires_grad
        return self

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        """Everything is done by __new__, which fixes the memory."""

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()
