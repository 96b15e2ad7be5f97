"""Dropout layers: active in training mode only."""

from __future__ import annotations

from dnncore._core import Tensor
from dnncore.nn import _functional_dropout as functional
from dnncore.nn.module import Module


class _DropoutBase(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: expected a probability 0 <= p <= 1, got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutBase):
    """Sets each element to 0 with probability p in training and divides the others by 1 - p.

    Parameters
    ----------
    p : float, default 0.5
        Probability of dropping.
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    References
    ----------
    N. Srivastava et al.: Dropout, JMLR 15, 2014.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Dropout().eval()(dnn.ones(2)).tolist()
    [1.0, 1.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Drop in training mode; return the input otherwise."""
        return functional.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_DropoutBase):
    """Drops whole channels of (N, C, L) or (C, L).

    Parameters
    ----------
    p : float, default 0.5
        Probability of dropping.
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Dropout1d(1.0)(dnn.ones(1, 2, 3)).sum().item()
    0.0
    """

    def forward(self, input: Tensor) -> Tensor:
        """Drop in training mode; return the input otherwise."""
        return functional.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_DropoutBase):
    """Drops whole channels of (N, C, H, W).

    Parameters
    ----------
    p : float, default 0.5
        Probability of dropping.
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    References
    ----------
    J. Tompson et al.: Efficient Object Localization Using Convolutional Networks, CVPR 2015.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Dropout2d(1.0)(dnn.ones(1, 2, 3, 3)).sum().item()
    0.0
    """

    def forward(self, input: Tensor) -> Tensor:
        """Drop in training mode; return the input otherwise."""
        return functional.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_DropoutBase):
    """Drops whole channels of (N, C, D, H, W) or (C, D, H, W).

    Parameters
    ----------
    p : float, default 0.5
        Probability of dropping.
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Dropout3d(1.0)(dnn.ones(1, 2, 3, 3, 3)).sum().item()
    0.0
    """

    def forward(self, input: Tensor) -> Tensor:
        """Drop in training mode; return the input otherwise."""
        return functional.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_DropoutBase):
    """Drops to the lowest value of SELU and keeps mean and variance; goes with `SELU`.

    Parameters
    ----------
    p : float, default 0.5
        Probability of dropping.
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    References
    ----------
    G. Klambauer et al.: Self-Normalizing Neural Networks, NeurIPS 2017.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.AlphaDropout().eval()(dnn.ones(2)).tolist()
    [1.0, 1.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Drop in training mode; return the input otherwise."""
        return functional.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_DropoutBase):
    """Does as `AlphaDropout` with whole channels of (N, C, ...).

    Parameters
    ----------
    p : float, default 0.5
        Probability of dropping.
    inplace : bool, default False
        Whether to write into the input where no gradient is recorded for it.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.FeatureAlphaDropout().eval()(dnn.ones(1, 2, 3)).sum().item()
    6.0
    """

    def forward(self, input: Tensor) -> Tensor:
        """Drop in training mode; return the input otherwise."""
        return functional.feature_alpha_dropout(input, self.p, self.training, self.inplace)
