"""Activation layers: elementwise functions of any shape."""

from __future__ import annotations

from typing import Literal

from dnncore import _core
from dnncore._core import Tensor
from dnncore.nn import _functional_activation as functional
from dnncore.nn.module import Module


class InPlace(Module):
    """Base of activations that may write into their input."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def _settings(self) -> str:
        return ""

    def extra_repr(self) -> str:
        """Return the settings."""
        return ", ".join(filter(None, (self._settings(), "inplace=True" if self.inplace else "")))


class ReLU(InPlace):
    """max(0, x), element by element.

    Parameters
    ----------
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.ReLU()(dnn.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.relu(input, self.inplace)


class ReLU6(InPlace):
    """min(max(0, x), 6), element by element.

    Parameters
    ----------
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.ReLU6()(dnn.tensor([-1.0, 9.0])).tolist()
    [0.0, 6.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.relu6(input, self.inplace)


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
    """Gaussian error linear unit: x Phi(x) = x (1 + erf(x / sqrt 2)) / 2, or its approximation by a tanh.

    Parameters
    ----------
    approximate : {"none", "tanh"}, default "none"
        Exact, or x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.

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

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"approximate={self.approximate!r}"


class LeakyReLU(InPlace):
    """x where it is positive, else a small multiple of it.

    Parameters
    ----------
    negative_slope : float, default 0.01
        Slope below 0.
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.LeakyReLU(0.5)(dnn.tensor([-2.0, 2.0])).tolist()
    [-1.0, 2.0]
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.leaky_relu(input, self.negative_slope, self.inplace)

    def _settings(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(InPlace):
    """Exponential linear unit: x where it is positive, else alpha (exp(x) - 1).

    Parameters
    ----------
    alpha : float, default 1.0
        Minus the value far below 0.
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    References
    ----------
    D. Clevert, T. Unterthiner, S. Hochreiter: Fast and Accurate Deep Network Learning by ELUs, ICLR 2016.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.ELU()(dnn.tensor([0.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.elu(input, self.alpha, self.inplace)

    def _settings(self) -> str:
        return f"alpha={self.alpha}"


class CELU(InPlace):
    """x where it is positive, else alpha (exp(x / alpha) - 1), whose slope has no jump.

    Parameters
    ----------
    alpha : float, default 1.0
        Minus the value far below 0; not 0.
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    References
    ----------
    J. Barron: Continuously Differentiable Exponential Linear Units, arXiv:1704.07483.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.CELU(0.5)(dnn.tensor([0.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.celu(input, self.alpha, self.inplace)

    def _settings(self) -> str:
        return f"alpha={self.alpha}"


class SELU(InPlace):
    """ELU scaled so that activations keep mean 0 and variance 1 from layer to layer.

    Parameters
    ----------
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    References
    ----------
    G. Klambauer et al.: Self-Normalizing Neural Networks, NeurIPS 2017.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> round(nn.SELU()(dnn.tensor(1.0)).item(), 4)
    1.0507
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.selu(input, self.inplace)


class Softplus(Module):
    """log(1 + exp(beta x)) / beta, a smooth ReLU; x itself where beta x is above the threshold.

    Parameters
    ----------
    beta : float, default 1.0
        How sharp the bend is; not 0.
    threshold : float, default 20.0
        From where on the function is x.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> round(nn.Softplus()(dnn.tensor(0.0)).item(), 4)
    0.6931
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"beta={self.beta}, threshold={self.threshold}"


class Softsign(Module):
    """x / (1 + abs(x)), element by element.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Softsign()(dnn.tensor([-1.0, 3.0])).tolist()
    [-0.5, 0.75]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.softsign(input)


class SiLU(InPlace):
    """x / (1 + exp(-x)), element by element, also known as swish.

    Parameters
    ----------
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    References
    ----------
    S. Elfwing, E. Uchibe, K. Doya: Sigmoid-Weighted Linear Units, Neural Networks 107, 2018.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.SiLU()(dnn.zeros(1)).tolist()
    [0.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.silu(input, self.inplace)


class Mish(InPlace):
    """x tanh(log(1 + exp(x))), element by element.

    Parameters
    ----------
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    References
    ----------
    D. Misra: Mish, BMVC 2020.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Mish()(dnn.zeros(1)).tolist()
    [0.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.mish(input, self.inplace)


class LogSigmoid(Module):
    """-log(1 + exp(-x)), element by element, without overflow.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> round(nn.LogSigmoid()(dnn.tensor(0.0)).item(), 4)
    -0.6931
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.logsigmoid(input)


class Tanhshrink(Module):
    """x - tanh(x), element by element.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Tanhshrink()(dnn.zeros(1)).tolist()
    [0.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.tanhshrink(input)
