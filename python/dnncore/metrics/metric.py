"""What every metric is, and sums that grow in place from batch to batch."""

from __future__ import annotations

import inspect
from typing import Any

from dnncore import _core
from dnncore._checks import check_tensors
from dnncore._core import Tensor

TASKS = ("binary", "multiclass", "multilabel", "regression")


class Metric:
    """Base of all metrics: a number over any number of batches, as if they had been one.

    Subclasses give `reset`, `update` and `compute`, a `name`, the `tasks` they fit and whether higher is better.

    Parameters
    ----------
    task : {"binary", "multiclass", "multilabel", "regression"}, optional
        What the network's outputs and the targets mean. When not given, `resolve` (and so ``Model.compile``) fills it in;
        without that, the shapes decide in each update: equal ones are "binary" for (N,) and (N, 1) and "multilabel" for
        (N, K), different ones "multiclass".

        - binary: logits and 0/1 targets of one shape, (N,) or (N, 1) as a rule
        - multiclass: logits (N, C, ...) and class numbers (N, ...), or probabilities of the logits' shape
        - multilabel: logits and 0/1 targets of shape (N, K)
        - regression: outputs and targets of one shape
    name : str, optional
        What the number is called in histories and messages.

    Attributes
    ----------
    name : str
    tasks : frozenset of str
        The tasks this metric fits.
    higher_is_better : bool or None
        None where neither is.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.metrics import Metric
    >>> class LargestError(Metric):
    ...     name, tasks, higher_is_better = "largest_error", frozenset({"regression"}), False
    ...     def reset(self):
    ...         self.largest = 0.0
    ...     def update(self, output, target, sample_weight=None):
    ...         self.largest = max(self.largest, (output - target).abs().max().item())
    ...     def compute(self):
    ...         return self.largest
    >>> metric = LargestError()
    >>> metric.reset()
    >>> metric.update(dnn.tensor([1.0, 2.0]), dnn.tensor([1.0, 5.0]))
    >>> metric.compute()
    3.0
    """

    name: str = "metric"
    tasks: frozenset[str] = frozenset(TASKS)
    higher_is_better: bool | None = None
    task: str | None = None

    def __init__(self, *, task: str | None = None, name: str | None = None) -> None:
        if name is not None:
            self.name = name
        if task is not None and task not in self.tasks:
            raise ValueError(f"{self.name}: expected task {one_of(sorted(self.tasks))}, got {task!r}")
        self.task = task

    def reset(self) -> None:
        """Forget all batches."""
        raise NotImplementedError(f"{type(self).__name__}: reset() is missing")

    def update(self, output: Tensor, target: Tensor, sample_weight: Tensor | None = None) -> None:
        """Take in a batch: what the network returned, what was right, and a factor per sample."""
        raise NotImplementedError(f"{type(self).__name__}: update() is missing")

    def compute(self) -> Any:
        """Return the value over all batches since the last reset, a float as a rule."""
        raise NotImplementedError(f"{type(self).__name__}: compute() is missing")

    def __repr__(self) -> str:
        own = {"name": type(self).name}
        shown = [
            f"{setting.name}={getattr(self, setting.name)!r}"
            for setting in inspect.signature(type(self)).parameters.values()
            if getattr(self, setting.name, setting.default) != own.get(setting.name, setting.default)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


class Streaming(Metric):
    """A metric made of float64 sums; counts stay exact below 2^53.

    The sums keep their memory from reset to reset, so a captured step may update them.
    """

    def __init__(self, *, task: str | None = None, name: str | None = None) -> None:
        super().__init__(task=task, name=name)
        self._state: list[Tensor] = []

    def reset(self) -> None:
        """Forget all batches."""
        for total in self._state:
            total.zero_()

    def _totals(self, *shapes: tuple[int, ...], beside: Tensor | None = None) -> list[Tensor]:
        """Return the running sums, of these shapes, to add to, on the device of `beside`."""
        known = [tuple(total.shape) for total in self._state]
        if known != list(shapes):
            if any(total.any().item() for total in self._state):
                raise ValueError(
                    f"{self.name}: the earlier batches had sums of shape {known[0]}, this one has {shapes[0]}; "
                    "keep the number of classes or outputs, or call reset() between"
                )
            self._state = [_core.zeros(shape, dtype=_core.float64) for shape in shapes]
        if beside is not None and self._state[0].device != beside.device:
            self._state = [total.to(beside.device) for total in self._state]
        return self._state


def one_of(names: list[str]) -> str:
    """Write names as "'a', 'b' or 'c'"."""
    quoted = [repr(name) for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def quotient(part: Tensor, whole: Tensor) -> float:
    """Divide two sums; nan when nothing was counted."""
    counted = float(whole.item())
    return float(part.item()) / counted if counted else float("nan")


def weights_of(op: str, sample_weight: Tensor | None, shape: tuple[int, ...], device: _core.device | None = None) -> Tensor:
    """Return a float64 factor for each element of `shape`, whose first dimensions are those of the weights."""
    if sample_weight is None:
        return _core.ones(shape, dtype=_core.float64, device=device)
    given = tuple(sample_weight.shape)
    if not given or given != shape[: len(given)]:
        also = f" or {shape}" if len(shape) > 1 else ""
        raise ValueError(f"{op}: expected sample_weight of shape {shape[:1]}{also} to match the batch, got {given}")
    weight = sample_weight.double()
    _core._refuse_if((weight >= 0).all().logical_not(), f"{op}: expected sample_weight of at least 0, got some below or nan")
    if given != shape:
        weight = weight.reshape(*given, *[1] * (len(shape) - len(given))).expand(*shape)
    return weight


def check_pair(op: str, output: Tensor, target: Tensor, sample_weight: Tensor | None) -> None:
    """Raise unless output and target are tensors of one shape that begins with the samples."""
    check_tensors(op, output=output, target=target)
    if sample_weight is not None:
        check_tensors(op, sample_weight=sample_weight)
    shape, given = tuple(output.shape), tuple(target.shape)
    if shape != given or not shape:
        fix = f"; use target.reshape{shape}" if shape and output.numel() == target.numel() else ""
        raise ValueError(f"{op}: expected output and target of one shape (N, ...), got {shape} and {given}{fix}")
