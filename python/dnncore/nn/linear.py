"""Linear layers."""

from __future__ import annotations

import math
from typing import Any

from dnncore import _core
from dnncore._core import Tensor
from dnncore.nn import init
from dnncore.nn.module import Module
from dnncore.nn.parameter import Parameter


class Linear(Module):
    r"""Affine map of the last dimension: ``y = x weight^T + bias``.

    Weights are drawn from U(-sqrt(1/in_features), sqrt(1/in_features)), the bias from the same range, as in PyTorch.

    Parameters
    ----------
    in_features : int
        Size of the last dimension of the input.
    out_features : int
        Size of the last dimension of the output.
    bias : bool, default True
        Whether to add a bias.
    dtype : dtype, optional
        Of the parameters; float32 when not given.

    Attributes
    ----------
    weight : Parameter of shape (out_features, in_features)
    bias : Parameter of shape (out_features,), or None

    References
    ----------
    Y. LeCun, L. Bottou, G. Orr, K.-R. Mueller: Efficient BackProp, 1998 (initial weights).

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Linear(64, 10)(dnn.zeros(32, 64)).shape
    (32, 10)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, dtype: _core.dtype | None = None) -> None:
        super().__init__()
        if in_features < 0 or out_features < 0:
            raise ValueError(f"Linear: expected sizes of at least 0, got in_features={in_features}, out_features={out_features}")
        self.in_features = in_features
        self.out_features = out_features
        kind = _core.float32 if dtype is None else dtype
        self.weight = Parameter(_core.empty((out_features, in_features), dtype=kind))
        self.register_parameter("bias", Parameter(_core.empty((out_features,), dtype=kind)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        bias = self._parameters["bias"]
        if bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0.0
            init.uniform_(bias, -bound, bound)

    def forward(self, input: Tensor, activation: str | None = None) -> Tensor:
        """Map (..., in_features) to (..., out_features); `Sequential` lets the same kernel apply the activation after it."""
        own: Any = self._parameters  # attribute access would search three tables
        output: Tensor = _core.linear(input, own["weight"], own["bias"], activation)
        return output

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self._parameters['bias'] is not None}"


class Identity(Module):
    """Returns its input; takes any arguments, as a stand-in for another layer.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Identity()(dnn.ones(2)).tolist()
    [1.0, 1.0]
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """Return `input`."""
        return input


class Flatten(Module):
    """Joins the dimensions `start_dim` to `end_dim` into one.

    Parameters
    ----------
    start_dim, end_dim : int, default 1 and -1
        First and last dimension to join; the default keeps the batch.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Flatten()(dnn.zeros(32, 1, 8, 8)).shape
    (32, 64)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        """Return `input` with the dimensions joined."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """Return the dimensions."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
