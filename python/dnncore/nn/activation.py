"""Activation layers: elementwise functions of any shape."""

from __future__ import annotations

from dnncore import _core
from dnncore._core import Tensor
from dnncore.nn.module import Module


class ReLU(Module):
    """max(0, x), element by element.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.ReLU()(dnn.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return _core.relu(input)


class Tanh(Module):
    """Hyperbolic tangent, element by element.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Tanh()(dnn.zeros(2)).tolist()
    [0.0, 0.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return _core.tanh(input)


class Sigmoid(Module):
    """1 / (1 + exp(-x)), element by element.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Sigmoid()(dnn.zeros(2)).tolist()
    [0.5, 0.5]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return _core.sigmoid(input)


class GELU(Module):
    """Gaussian error linear unit: x Phi(x) = x (1 + erf(x / sqrt 2)) / 2, the exact form.

    References
    ----------
    D. Hendrycks, K. Gimpel: Gaussian Error Linear Units, arXiv:1606.08415.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.GELU()(dnn.zeros(2)).tolist()
    [0.0, 0.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return _core.gelu(input)
