"""Activation layers with parameters, random slopes or several inputs per output."""

from __future__ import annotations

from typing import Any

from dnncore import _core
from dnncore._core import Tensor
from dnncore.nn import _functional_activation as functional
from dnncore.nn import init as initialisers
from dnncore.nn.activation import InPlace
from dnncore.nn.linear import Linear
from dnncore.nn.module import Module
from dnncore.nn.parameter import Parameter


class PReLU(Module):
    """x where it is positive, else a learned multiple of it.

    Parameters
    ----------
    num_parameters : int, default 1
        1, or one slope for each of the C channels of an input of shape (N, C, ...).
    init : float, default 0.25
        First value of the slopes.
    device : device, optional
        The CPU.
    dtype : dtype, optional
        Of the slopes; float32 when not given.

    Attributes
    ----------
    weight : Parameter of shape (num_parameters,)

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun: Delving Deep into Rectifiers, ICCV 2015.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.PReLU()(dnn.tensor([-4.0, 2.0])).tolist()
    [-1.0, 2.0]
    """

    weight: Parameter

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: _core.dtype | None = None) -> None:
        super().__init__()
        if num_parameters < 1:
            raise ValueError(f"PReLU: expected at least 1 parameter, got {num_parameters}")
        self.num_parameters = num_parameters
        self.init = init
        kind = _core.float32 if dtype is None else dtype
        self.weight = Parameter(_core.empty((num_parameters,), device=device, dtype=kind))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set every slope to its first value."""
        initialisers.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """Return the number of slopes."""
        return f"num_parameters={self.num_parameters}"


class RReLU(InPlace):
    """x where it is positive, else x times a slope: drawn from U(lower, upper) in training, their mean otherwise.

    Parameters
    ----------
    lower, upper : float, default 1/8 and 1/3
        Bounds of the slope.
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    References
    ----------
    B. Xu, N. Wang, T. Chen, M. Li: Empirical Evaluation of Rectified Activations, arXiv:1505.00853.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.RReLU(0.25, 0.75).eval()(dnn.tensor([-2.0, 2.0])).tolist()
    [-1.0, 2.0]
    """

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.lower = lower
        self.upper = upper

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def _settings(self) -> str:
        return f"lower={self.lower}, upper={self.upper}"


class GLU(Module):
    """Gated linear unit: a sigmoid(b), with a and b the halves of the input along a dimension.

    Parameters
    ----------
    dim : int, default -1
        Dimension of even size that is halved.

    References
    ----------
    Y. Dauphin et al.: Language Modeling with Gated Convolutional Networks, ICML 2017.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.GLU()(dnn.tensor([4.0, 0.0])).tolist()
    [2.0]
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Gate the first half by the second."""
        return functional.glu(input, self.dim)

    def extra_repr(self) -> str:
        """Return the dimension."""
        return f"dim={self.dim}"


class Maxout(Linear):
    """The largest of several affine maps: output o is the maximum of rows o pieces ... (o + 1) pieces - 1 of one `Linear`.

    Parameters
    ----------
    in_features : int
        Size of the last dimension of the input.
    out_features : int
        Size of the last dimension of the output.
    pieces : int, default 2
        Affine maps per output.
    bias : bool, default True
        Whether the maps have a bias.
    dtype : dtype, optional
        Of the parameters; float32 when not given.

    Attributes
    ----------
    weight : Parameter of shape (out_features * pieces, in_features)
    bias : Parameter of shape (out_features * pieces,), or None

    References
    ----------
    I. Goodfellow et al.: Maxout Networks, ICML 2013.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Maxout(5, 3, pieces=4)(dnn.zeros(2, 5)).shape
    (2, 3)
    """

    def __init__(
        self, in_features: int, out_features: int, pieces: int = 2, bias: bool = True, *, dtype: _core.dtype | None = None
    ) -> None:
        if pieces < 1:
            raise ValueError(f"Maxout: expected at least 1 piece, got {pieces}")
        super().__init__(in_features, out_features * pieces, bias, dtype=dtype)
        self.out_features = out_features
        self.pieces = pieces

    def forward(self, input: Tensor, activation: str | None = None) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        return functional.maxout(super().forward(input, activation), self.pieces)

    def extra_repr(self) -> str:
        """Return the sizes."""
        has_bias = self._parameters["bias"] is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, pieces={self.pieces}, bias={has_bias}"
