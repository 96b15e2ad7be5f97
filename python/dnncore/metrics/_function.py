"""Plain functions as metrics."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

from dnncore._checks import check_tensors
from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.metrics.aggregation import Mean
from dnncore.metrics.metric import Metric


class FunctionMetric(Metric):
    """The mean over batches of ``function(output, target)``, each weighted by its samples (the sum of their weights)."""

    def __init__(self, function: Callable[[Tensor, Tensor], Any], *, task: str, name: str) -> None:
        super().__init__(task=task, name=name)
        self.function = function
        self._mean = Mean()

    def reset(self) -> None:
        """Forget all batches."""
        self._mean.reset()

    @no_grad()
    def update(self, output: Tensor, target: Tensor, sample_weight: Tensor | None = None) -> None:
        """Call the function on a batch."""
        value = self.function(output, target)
        if not isinstance(value, (Tensor, numbers.Real)):
            raise TypeError(f"{self.name}: expected the function to return a number, got {type(value).__name__}")
        weight: Tensor | int = len(output)
        if sample_weight is not None:
            check_tensors(self.name, sample_weight=sample_weight)
            weight = sample_weight.double().sum()
        self._mean.update(value if isinstance(value, Tensor) else float(value), weight)

    def compute(self) -> float:
        """Return the mean; nan before the first batch."""
        return self._mean.compute()

    def __repr__(self) -> str:
        return f"mean over batches of {self.name}(output, target)"
