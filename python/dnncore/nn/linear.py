"""Linear layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dnncore import _core
from dnncore._checks import checked_size
from dnncore._core import Tensor
from dnncore.nn import functional, init
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
    device : device, optional
        Where the parameters are; only the CPU.
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

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: _core.dtype | None = None
    ) -> None:
        super().__init__()
        self.in_features = checked_size("Linear", "in_features", in_features)
        self.out_features = checked_size("Linear", "out_features", out_features)
        factory: dict[str, Any] = {"device": device, "dtype": _core.float32 if dtype is None else dtype}
        self.weight = Parameter(_core.empty((out_features, in_features), **factory))
        self.register_parameter("bias", Parameter(_core.empty((out_features,), **factory)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor, activation: str | None = None) -> Tensor:
        """Map (..., in_features) to (..., out_features); `Sequential` lets the same kernel apply the activation after it."""
        own: Any = self._parameters  # attribute access would search three tables
        try:
            weight, bias = own["weight"], own["bias"]
        except KeyError:  # computed from other parameters: weight_norm and its kin
            weight, bias = self.weight, self.bias
        try:
            return _core.linear(input, weight, bias, activation)
        except ValueError as error:
            raise ValueError(f"{error}{self._advice(input)}") from None

    def _advice(self, input: Tensor) -> str:
        """Return what to say after an error of this input: the sizes that would fit."""
        shape = tuple(input.shape)
        if not shape or shape[-1] == self.in_features:
            return ""
        layer = f"; Linear(in_features={self.in_features}) got {shape[-1]} features: "
        if len(shape) > 2 and math.prod(shape[1:]) == self.in_features:
            return f"{layer}put nn.Flatten() before it"
        return f"{layer}use in_features={shape[-1]}"

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    r"""Product of two inputs: ``y[o] = x1^T weight[o] x2 + bias[o]``.

    Weights and bias are drawn from U(-sqrt(1/in1_features), sqrt(1/in1_features)), as in PyTorch.

    Parameters
    ----------
    in1_features, in2_features : int
        Sizes of the last dimension of the two inputs.
    out_features : int
        Size of the last dimension of the output.
    bias : bool, default True
        Whether to add a bias.
    device : device, optional
        Where the parameters are; only the CPU.
    dtype : dtype, optional
        Of the parameters; float32 when not given.

    Attributes
    ----------
    weight : Parameter of shape (out_features, in1_features, in2_features)
    bias : Parameter of shape (out_features,), or None

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Bilinear(20, 30, 40)(dnn.zeros(8, 20), dnn.zeros(8, 30)).shape
    (8, 40)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in1_features = checked_size("Bilinear", "in1_features", in1_features)
        self.in2_features = checked_size("Bilinear", "in2_features", in2_features)
        self.out_features = checked_size("Bilinear", "out_features", out_features)
        if self.in1_features == 0:
            raise ValueError("Bilinear: expected in1_features of at least 1, got in1_features=0")
        factory: dict[str, Any] = {"device": device, "dtype": _core.float32 if dtype is None else dtype}
        self.weight = Parameter(_core.empty((out_features, in1_features, in2_features), **factory))
        self.register_parameter("bias", Parameter(_core.empty((out_features,), **factory)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """Map (..., in1_features) and (..., in2_features), whose first dimensions are equal, to (..., out_features)."""
        return functional.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes."""
        sizes = f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"


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


class Unflatten(Module):
    """Splits one dimension into several; the counterpart of `Flatten`.

    Parameters
    ----------
    dim : int
        The dimension to split.
    unflattened_size : sequence of int
        Its new sizes; one of them may be -1 and is worked out.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Unflatten(1, (1, 8, -1))(dnn.zeros(32, 64)).shape
    (32, 1, 8, 8)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        if isinstance(dim, bool) or not isinstance(dim, int):
            raise TypeError(f"Unflatten: expected dim of type int, got {type(dim).__name__}")
        if not isinstance(unflattened_size, (tuple, list)) or not all(type(size) is int for size in unflattened_size):
            raise TypeError(f"Unflatten: expected unflattened_size as a tuple of ints, got {unflattened_size!r}")
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        """Return `input` with the dimension split."""
        shape, rank = tuple(input.shape), input.ndim
        if not -rank <= self.dim < rank:
            raise IndexError(f"Unflatten: expected dim from {-rank} to {rank - 1}, got {self.dim}")
        dim = self.dim % rank
        known = math.prod(size for size in self.unflattened_size if size != -1)
        free = self.unflattened_size.count(-1)
        if (
            min(self.unflattened_size, default=0) < -1
            or free > 1
            or (known != shape[dim] if not free else known <= 0 or shape[dim] % known)
        ):
            raise ValueError(f"Unflatten: sizes {self.unflattened_size} do not multiply to size {shape[dim]} of dimension {dim}")
        sizes = tuple(shape[dim] // known if size == -1 else size for size in self.unflattened_size)
        return input.reshape(shape[:dim] + sizes + shape[dim + 1 :])

    def extra_repr(self) -> str:
        """Return the dimension and its sizes."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
