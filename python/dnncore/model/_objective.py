"""What is minimised: a loss per output, their weights, weights of samples, and the metrics beside."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from dnncore import _core, nn
from dnncore._core import Tensor
from dnncore.model._losses import MEANS_OF_CLASSES, OF_CLASSES, family_of, setting_of
from dnncore.nn.module import Module

LOSSES: dict[str, Callable[[], Module]] = {
    "bce": nn.BCELoss,
    "bce_with_logits": nn.BCEWithLogitsLoss,
    "cross_entropy": nn.CrossEntropyLoss,
    "huber": nn.HuberLoss,
    "l1": nn.L1Loss,
    "mse": nn.MSELoss,
    "multi_margin": nn.MultiMarginLoss,
    "nll": nn.NLLLoss,
    "poisson_nll": nn.PoissonNLLLoss,
    "smooth_l1": nn.SmoothL1Loss,
    "soft_margin": nn.SoftMarginLoss,
}

Kind = Literal["classes", "binary", "numbers", "free"]


_KINDS: dict[str, Kind] = {
    **dict.fromkeys(OF_CLASSES, "classes"),
    **dict.fromkeys(("logits", "probabilities", "labels"), "binary"),
    **dict.fromkeys(("numbers", "scores"), "numbers"),
}


class Loss:
    """The loss of one output."""

    def __init__(self, spec: Any) -> None:
        self.spec = spec
        self.function = _function_of(spec)
        self._family = family_of(self.function)
        self.kind: Kind = _KINDS.get(self._family, "free")
        self.of_probabilities = self._family == "probabilities"
        self._each: Callable[..., Any] | None = None

    @property
    def name(self) -> str:
        """The name or class of the loss, for messages."""
        return self.spec if isinstance(self.spec, str) else getattr(self.function, "__name__", type(self.function).__name__)

    def to(self, device: _core.device) -> None:
        """Move the weights that the loss has to a device."""
        if isinstance(self.function, Module) and any(buffer.device != device for buffer in self.function.buffers()):
            self.function.to(device)
            self._each = None

    @property
    def ignore_index(self) -> int | None:
        """The class number that does not count; None for losses that have none."""
        return setting_of(self.function, "ignore_index", -100) if self._family in MEANS_OF_CLASSES else None

    def target(self, y: Tensor, dtype: _core.dtype) -> Tensor:
        """Return targets in the dtype that the loss takes: whole numbers are classes, or values of the network's dtype."""
        if y.is_floating_point():
            return y.to(dtype)
        return y.to(dtype if self.kind in ("binary", "numbers") else _core.int64)

    def task(self, output: Tensor, target: Tensor) -> str:
        """Return which metrics fit: "multiclass", "binary", "multilabel" or "regression"."""
        if self.kind == "binary":
            return "multilabel" if output.ndim == 2 and output.shape[1] > 1 else "binary"
        classes = self.kind == "free" and target.dtype == _core.int64 and output.ndim == target.ndim + 1
        return "multiclass" if self.kind == "classes" or classes else "regression"

    def __call__(self, output: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
        """Return the loss of a batch, 0-d; with weights ``sum(w l) / sum(w)`` over samples or, where they have some, elements."""
        if weight is not None:
            return self._weighted(output, target, weight)
        loss: Tensor = self.function(output, target)
        if not isinstance(loss, Tensor) or loss.ndim != 0:
            tensor = isinstance(loss, Tensor)
            got = f"a tensor of shape {tuple(loss.shape)}; use reduction='mean'" if tensor else type(loss).__name__
            raise ValueError(f"fit: expected the loss {self.name} to return a tensor of one number, got {got}")
        return loss

    def _weighted(self, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        if self._each is None:
            self._each = _per_element(self.function)
        loss: Tensor = self._each(output, target)
        rows = weight.shape[0]
        if loss.ndim == 0 or loss.shape[0] != rows:
            raise ValueError(
                f"fit: weights of samples need a loss with a value per sample, got one of shape {tuple(loss.shape)} from "
                f"{self.name}; give it an argument reduction, or leave the weights out"
            )
        reduction = setting_of(self.function, "reduction", "mean")
        if reduction != "mean":  # a sum over the rest of each sample
            loss = loss.reshape(rows, -1).sum(1)
        if loss.ndim < weight.ndim:
            raise ValueError(f"fit: class_weight of targets of shape {tuple(target.shape)} needs a loss per element")
        weight = weight.reshape(*weight.shape, *(1,) * (loss.ndim - weight.ndim)).expand(*loss.shape)
        total = (loss * weight).sum()
        return total if reduction == "sum" else total / self._counted(target, weight).sum().clamp(min=1e-30)

    def counted(self, target: Tensor, weight: Tensor | None) -> Tensor | float:
        """Return what a batch counts in a mean over batches: what its own mean divides by."""
        sequences = self._family in MEANS_OF_CLASSES and target.ndim > 1 and not target.is_floating_point()
        if sequences and setting_of(self.function, "reduction", "mean") == "mean":
            if weight is not None:
                weight = weight.reshape(*weight.shape, *(1,) * (target.ndim - weight.ndim))
            counted: Tensor = self._counted(target, 1.0 if weight is None else weight)
            return counted.sum()
        return float(target.shape[0]) if weight is None else weight.sum()

    def _counted(self, target: Tensor, weight: Any) -> Any:
        """Return what each value counts in the mean: nothing where it is ignored, and what the loss itself says of its class."""
        if self._family not in MEANS_OF_CLASSES or target.is_floating_point():
            return weight
        counted = _core.where(target == self.ignore_index, 0.0, weight)
        own = setting_of(self.function, "weight", None)
        return counted if own is None else counted * own[target.clamp(0, len(own) - 1)]


def _function_of(spec: Any) -> Callable[..., Any]:
    if isinstance(spec, str):
        if spec not in LOSSES:
            raise ValueError(f"compile: expected loss to be one of {', '.join(LOSSES)}, or a callable, got {spec!r}")
        return LOSSES[spec]()
    if isinstance(spec, type):
        raise TypeError(f"compile: expected a loss, got the class {spec.__name__}; write {spec.__name__}()")
    if not callable(spec):
        raise TypeError(f"compile: expected loss to be a name, a module or a function, got {type(spec).__name__}")
    function: Callable[..., Any] = spec
    return function


def _per_element(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the loss without its mean."""
    if isinstance(function, Module) and hasattr(function, "reduction"):
        each = copy.copy(function)  # its weights are shared
        each.reduction = "none"
        return each
    try:
        reducible = "reduction" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # native, without a signature
        reducible = function is _core.cross_entropy
    return functools.partial(function, reduction="none") if reducible else function


class Output(NamedTuple):
    """What belongs to one output of the network."""

    name: str  # "" for the only one
    loss: Loss
    share: float  # of the total
    metrics: list[Any]  # as they were asked for

    def key(self, name: str) -> str:
        """Return the name in logs and history."""
        return f"{self.name}_{name}" if self.name else name


class Objective:
    """The losses of all outputs in one number."""

    def __init__(self, loss: Any, loss_weights: Any, metrics: Any) -> None:
        several = isinstance(loss, (tuple, list, Mapping))
        if several and not loss:
            raise ValueError("compile: expected a loss per output, got none")
        self.keys: list[Any] | None = None
        if isinstance(loss, Mapping):
            self.keys = [*loss]
        elif several:
            self.keys = [*range(len(loss))]
        keys = [0] if self.keys is None else self.keys
        names = ["" if self.keys is None else key if isinstance(key, str) else f"output_{key}" for key in keys]
        losses = [loss] if self.keys is None else self._matched("loss", loss)
        shares = [1.0] * len(keys) if loss_weights is None else self._matched("loss_weights", loss_weights)
        self.outputs = [
            Output(name, Loss(each), float(share), chosen)
            for name, each, share, chosen in zip(names, losses, shares, self.metrics_per_output(metrics), strict=True)
        ]

    def to(self, device: _core.device) -> Objective:
        """Move the weights that losses have to a device; return the objective."""
        for output in self.outputs:
            output.loss.to(device)
        return self

    def _matched(self, what: str, given: Any) -> list[Any]:
        """Return one item per output, from a sequence or a mapping as the losses have it."""
        if self.keys is None:
            raise TypeError(f"compile: {what} is for several outputs; give a tuple or dict of losses too")
        if isinstance(given, Mapping):
            if set(given) != set(self.keys):
                raise ValueError(f"compile: expected {what} for the outputs {self.keys}, got {[*given]}")
            return [given[key] for key in self.keys]
        if not isinstance(given, (tuple, list)) or len(given) != len(self.keys):
            got = f"{len(given)}" if isinstance(given, (tuple, list)) else type(given).__name__
            raise ValueError(f"compile: expected {what} for {len(self.keys)} outputs, got {got}")
        return [*given]

    def metrics_per_output(self, given: Any) -> list[list[Any]]:
        """Return the metrics that are asked for, one list per output."""
        if given is None:
            return [[] for _ in self.keys or [0]]
        if self.keys is None:
            return [[*given] if isinstance(given, (list, tuple)) else [given]]
        if isinstance(given, Mapping):
            if unknown := set(given) - set(self.keys):
                raise ValueError(f"compile: metrics for unknown outputs {sorted(map(str, unknown))}; there are {self.keys}")
            chosen = [given.get(key, []) for key in self.keys]
        else:
            chosen = self._matched("metrics", given)
        return [[*each] if isinstance(each, (list, tuple)) else [each] for each in chosen]

    def split(self, what: str, value: Any) -> list[Tensor]:
        """Return what the network returned, or the targets, as one tensor per output."""
        if self.keys is None:
            if not isinstance(value, Tensor):
                raise ValueError(
                    f"fit: expected {what} to be one tensor for one loss, got {_described(value)}; give a loss per output"
                )
            return [value]
        if isinstance(value, Mapping):
            if not set(self.keys) <= set(value):
                raise ValueError(f"fit: expected {what} for {self.keys}, got {[*value]}")
            found = [value[key] for key in self.keys]
        elif isinstance(value, (tuple, list)) and len(value) == len(self.keys):
            found = [*value]
        else:
            raise ValueError(f"fit: expected {what} for {len(self.keys)} losses, got {_described(value)}")
        return found

    def joined(self, items: Sequence[Any]) -> Any:
        """Return one item per output as the losses were given: in a tuple or a dict, or the only one."""
        if self.keys is None:
            return items[0]
        return tuple(items) if isinstance(self.keys[0], int) else dict(zip(self.keys, items, strict=True))

    def __call__(self, outputs: Sequence[Tensor], targets: Sequence[Tensor], weight: Tensor | None) -> list[Tensor]:
        """Return the total loss of a batch and, for several outputs, each part."""
        parts = [output.loss(found, target, weight) for output, found, target in zip(self.outputs, outputs, targets, strict=True)]
        if self.keys is None:
            return parts
        total = parts[0] * self.outputs[0].share
        for output, part in zip(self.outputs[1:], parts[1:], strict=True):
            total = total + part * output.share
        return [total, *parts]

    def counted(self, targets: Sequence[Tensor], weight: Tensor | None) -> Tensor | float:
        """Return what a batch counts in a mean over batches; of several outputs its samples, or the sum of their weights."""
        if self.keys is None:
            return self.outputs[0].loss.counted(targets[0], weight)
        return float(targets[0].shape[0]) if weight is None else weight.sum()

    @property
    def names(self) -> list[str]:
        """The names of what `__call__` returns."""
        return ["loss"] if self.keys is None else ["loss", *(output.key("loss") for output in self.outputs)]


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"{len(value)}" if isinstance(value, (tuple, list, dict)) else type(value).__name__
