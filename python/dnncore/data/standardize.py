"""Columns brought to mean 0 and standard deviation 1."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from dnncore import _core
from dnncore._core import Tensor


class Standardizer:
    """Scale columns to mean 0 and standard deviation 1: ``(x - mean) / scale``.

    Mean and standard deviation (of the population) are those of the rows given to `fit`, the training part; a column that does
    not vary keeps scale 1. scikit-learn's ``StandardScaler`` computes the same. This one is for models that carry their scaling
    in their own folder: its state is plain numbers for JSON, and applying it needs no scikit-learn.

    Attributes
    ----------
    mean, scale : list of float
        One number per column.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data import Standardizer
    >>> scaler = Standardizer.fit(dnn.tensor([[1.0, 7.0], [3.0, 7.0]]))
    >>> scaler.transform(dnn.tensor([[5.0, 8.0]])).tolist()
    [[3.0, 1.0]]
    """

    def __init__(self, mean: list[float], scale: list[float]) -> None:
        self.mean, self.scale = mean, scale

    @classmethod
    def fit(cls, x: Tensor) -> Standardizer:
        """Learn mean and standard deviation of each column, in float64.

        Parameters
        ----------
        x : Tensor of shape (N, F)
            The training rows, at least one.

        Raises
        ------
        ValueError
            If the shape is another, or a value is not finite.
        """
        values = x.cpu().numpy().astype(np.float64)
        if values.ndim != 2 or not len(values):
            raise ValueError(f"Standardizer.fit: expected x of shape (N, F) with N of at least 1, got {values.shape}")
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            row, column = wrong[0].tolist()
            raise ValueError(f"Standardizer.fit: expected finite values, got {values[row, column]} in row {row}, column {column}")
        # A constant column's own rounding is not spread: exact equality, not a small deviation, says that nothing varies.
        scale = np.where(np.ptp(values, axis=0) == 0, 1.0, values.std(axis=0))
        return cls(values.mean(axis=0).tolist(), np.where(scale == 0, 1.0, scale).tolist())

    def transform(self, x: Tensor) -> Tensor:
        """Return the scaled rows, in the dtype of `x`.

        Parameters
        ----------
        x : Tensor of shape (N, F)
            Rows with the columns that were fitted.

        Raises
        ------
        TypeError
            If `x` holds whole numbers.
        ValueError
            If the number of columns is another.
        """
        if not x.is_floating_point():
            raise TypeError(f"Standardizer.transform: expected floating x, got {x.dtype}; take x.float()")
        if x.ndim != 2 or x.shape[1] != len(self.mean):
            raise ValueError(f"Standardizer.transform: expected x of shape (N, {len(self.mean)}), got {tuple(x.shape)}")
        mean, scale = (_core.tensor(values, dtype=_core.float64, device=x.device) for values in (self.mean, self.scale))
        return ((x.to(_core.float64) - mean) / scale).to(x.dtype)

    def state_dict(self) -> dict[str, list[float]]:
        """Return mean and scale as JSON-able values."""
        return {"mean": list(self.mean), "scale": list(self.scale)}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> Standardizer:
        """Make the standardizer a state was taken from.

        Raises
        ------
        ValueError
            If the state is none of `state_dict`.
        """
        if not isinstance(state, Mapping) or set(state) != {"mean", "scale"}:
            raise ValueError("from_state_dict: not the state of a standardizer")
        mean, scale = state["mean"], state["scale"]
        if not _finite(mean) or not _finite(scale) or len(mean) != len(scale) or 0.0 in scale:
            raise ValueError("from_state_dict: expected as many finite means as finite scales other than 0")
        return cls(list(mean), list(scale))

    def __repr__(self) -> str:
        return f"Standardizer({len(self.mean)} columns)"


def _finite(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is float and math.isfinite(value) for value in values)
