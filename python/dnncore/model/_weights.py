"""Weights of classes as weights of samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dnncore import _core
from dnncore._core import Tensor
from dnncore.model._feed import Samples
from dnncore.model._objective import Output


class ClassWeights:
    """Gives each sample, or each element of its target, the weight of its class, times the weight it has.

    `output` is what the network returned for some samples; `targets` are all of them, where they are in memory.
    """

    def __init__(self, class_weight: Any, chosen: list[Output], output: Tensor, target: Tensor, targets: Tensor | None) -> None:
        if len(chosen) != 1:
            raise ValueError(f"fit: class_weight is for one output, got {len(chosen)}; pass sample_weight")
        classes = _number_of_classes(chosen[0], output, target)
        by_name = isinstance(class_weight, str)
        weights = _balanced(class_weight, targets, classes) if by_name else _listed(class_weight, classes)
        self._table = _core.tensor(weights, dtype=output.dtype)

    def __call__(self, samples: Samples) -> Samples:
        """Return the samples with these weights."""
        (target,) = samples.targets
        number = target.to(_core.int64).clamp(0, len(self._table) - 1)  # others are ignored, or refused by the loss
        if target.is_floating_point():
            number = number.reshape(-1)  # (N,) or (N, 1)
        weight = self._table.to(number.device)[number]
        if samples.sample_weight is not None:
            weight = weight * samples.sample_weight.reshape(
                *samples.sample_weight.shape, *(1,) * (weight.ndim - samples.sample_weight.ndim)
            )
        return samples._replace(weight=weight)


def _number_of_classes(chosen: Output, output: Tensor, target: Tensor) -> int:
    kind = chosen.loss.kind
    if kind == "binary" and (target.ndim == 1 or (target.ndim == 2 and target.shape[1] == 1)):
        return 2
    if kind in ("classes", "free") and target.dtype == _core.int64 and output.ndim == target.ndim + 1:
        return int(output.shape[1])
    raise ValueError(
        f"fit: class_weight needs class numbers as targets, got {target.dtype} of shape {tuple(target.shape)} for the loss "
        f"{chosen.loss.name}; pass sample_weight"
    )


def _balanced(word: str, targets: Tensor | None, classes: int) -> list[float]:
    """Return ``N / (K n_k)`` for each of the K classes that occur."""
    if word != "balanced":
        raise ValueError(f"fit: expected class_weight to be a dict or 'balanced', got {word!r}")
    if targets is None:
        raise ValueError("fit: class_weight='balanced' needs targets in memory; pass a dict")
    numbers = targets.reshape(-1).to(_core.int64)
    counts = _core.bincount(numbers[(numbers >= 0) & (numbers < classes)], minlength=classes).tolist()
    present = sum(count > 0 for count in counts)
    return [sum(counts) / (present * count) if count else 1.0 for count in counts]


def _listed(class_weight: Any, classes: int) -> list[float]:
    if not isinstance(class_weight, Mapping):
        raise TypeError(f"fit: expected class_weight to be a dict or 'balanced', got {type(class_weight).__name__}")
    weights = [1.0] * classes
    for number, weight in class_weight.items():
        if isinstance(number, bool) or not hasattr(number, "__index__") or not 0 <= int(number) < classes:
            raise ValueError(f"fit: expected the keys of class_weight to be classes from 0 to {classes - 1}, got {number!r}")
        if not 0 <= float(weight) < float("inf"):
            raise ValueError(f"fit: expected a finite weight of at least 0 for class {number}, got {weight}")
        weights[int(number)] = float(weight)
    return weights
