"""Softmax layers: exponentials over their sum along one dimension."""

from __future__ import annotations

from dnncore import _core
from dnncore._core import Tensor
from dnncore.nn.module import Module


def default_dim(ndim: int) -> int:
    """Return the dimension that PyTorch takes where none is named: 0 of 0, 1 and 3 dimensions, else 1."""
    return 0 if ndim in (0, 1, 3) else 1


class _AlongOne(Module):
    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def _dim(self, input: Tensor) -> int:
        if self.dim is None:
            raise ValueError(f"{type(self).__name__}: dim is not given; use {type(self).__name__}(dim={default_dim(input.ndim)})")
        return self.dim

    def extra_repr(self) -> str:
        """Return the dimension."""
        return f"dim={self.dim}"


class Softmax(_AlongOne):
    """``exp(x_i) / sum_j exp(x_j)`` along one dimension.

    Parameters
    ----------
    dim : int
        Along which the results sum to 1.

    Raises
    ------
    ValueError
        When called without a `dim` (PyTorch guesses one there, with a warning).

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Softmax(dim=1)(dnn.zeros(1, 4)).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function along ``dim``."""
        return _core.softmax(input, self._dim(input))


class LogSoftmax(_AlongOne):
    """Logarithm of softmax, ``x_i - log sum_j exp(x_j)``, along one dimension.

    Parameters
    ----------
    dim : int

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> [round(x, 4) for x in nn.LogSoftmax(dim=0)(dnn.zeros(2)).tolist()]
    [-0.6931, -0.6931]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function along ``dim``."""
        return _core.log_softmax(input, self._dim(input))


class Softmin(_AlongOne):
    """Softmax of the negated input: the smallest gets most.

    Parameters
    ----------
    dim : int

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Softmin(dim=0)(dnn.zeros(2)).tolist()
    [0.5, 0.5]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function along ``dim``."""
        return _core.softmax(-input, self._dim(input))


class Softmax2d(Module):
    """Softmax over the channels at every place of (N, C, H, W) or (C, H, W).

    Raises
    ------
    ValueError
        If the input has another number of dimensions.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Softmax2d()(dnn.zeros(1, 2, 1, 1)).flatten().tolist()
    [0.5, 0.5]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function along the channels."""
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input of shape (N, C, H, W) or (C, H, W), got {tuple(input.shape)}")
        return _core.softmax(input, -3)
