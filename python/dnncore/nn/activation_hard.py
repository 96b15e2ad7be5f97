"""Activation layers made of straight pieces: elementwise functions of any shape."""

from __future__ import annotations

from dnncore._core import Tensor
from dnncore.nn import _functional_activation as functional
from dnncore.nn.activation import InPlace
from dnncore.nn.module import Module


class Hardtanh(InPlace):
    """x limited to [min_val, max_val], element by element.

    Parameters
    ----------
    min_val : float, default -1.0
        Lower limit.
    max_val : float, default 1.0
        Upper limit, above the lower one.
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Hardtanh()(dnn.tensor([-3.0, 0.5])).tolist()
    [-1.0, 0.5]
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        if not min_val < max_val:
            raise ValueError(f"Hardtanh: expected min_val < max_val, got {min_val} and {max_val}")
        self.min_val = min_val
        self.max_val = max_val

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def _settings(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"


class Hardsigmoid(Module):
    """min(max(x + 3, 0), 6) / 6, element by element.

    Parameters
    ----------
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Hardsigmoid()(dnn.tensor([-4.0, 0.0])).tolist()
    [0.0, 0.5]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.hardsigmoid(input, self.inplace)


class Hardswish(Module):
    """x min(max(x + 3, 0), 6) / 6, element by element.

    Parameters
    ----------
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    References
    ----------
    A. Howard et al.: Searching for MobileNetV3, ICCV 2019.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Hardswish()(dnn.tensor([0.0, 4.0])).tolist()
    [0.0, 4.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.hardswish(input, self.inplace)


class Threshold(InPlace):
    """x where it is above the threshold, else a fixed value.

    Parameters
    ----------
    threshold : float
        What x must exceed.
    value : float
        What stands elsewhere.
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Threshold(1.0, 9.0)(dnn.tensor([0.0, 2.0])).tolist()
    [9.0, 2.0]
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.threshold = threshold
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.threshold(input, self.threshold, self.value, self.inplace)

    def _settings(self) -> str:
        return f"threshold={self.threshold}, value={self.value}"


class Hardshrink(Module):
    """0 where abs(x) is at most lambd, else x.

    Parameters
    ----------
    lambd : float, default 0.5
        Half the width of the gap.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Hardshrink()(dnn.tensor([-0.5, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"{self.lambd}"


class Softshrink(Module):
    """x moved towards 0 by lambd, and 0 where abs(x) is at most lambd.

    Parameters
    ----------
    lambd : float, default 0.5
        How far; at least 0.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Softshrink()(dnn.tensor([0.25, 2.0])).tolist()
    [0.0, 1.5]
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every element."""
        return functional.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"{self.lambd}"
