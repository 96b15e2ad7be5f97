"""Where batches come from: arrays in memory, data sets, loaders and iterators."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import Any, NamedTuple

from dnncore import _core
from dnncore._core import Tensor
from dnncore.data import DataLoader, Subset, TensorDataset
from dnncore.model._arrays import Casts, Nest, as_tensor, called, count_rows, form_of, is_array, mapped, tensors_of, whole
from dnncore.model._objective import Objective
from dnncore.model._split import generator_for
from dnncore.nn.module import Module

Change = Callable[["Samples"], "Samples"]


class Form(NamedTuple):
    """What a step knows of a batch beside its tensors: which of them is what."""

    nest: Any  # how the inputs are passed, see `called`
    inputs: int
    targets: int
    weight: int | None = None  # place of the weight of the loss
    sample_weight: int | None = None  # place of the weight of the metrics
    carried: bool = False  # whether the network goes on from the state it has

    def outputs(self, module: Module, tensors: Sequence[Tensor]) -> Any:
        """Call the network."""
        return called(module, self.nest, tensors[: self.inputs])

    def targets_of(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return one target per output."""
        return tensors[self.inputs : self.inputs + self.targets]

    def weight_of(self, tensors: Sequence[Tensor]) -> Tensor | None:
        """Return the weight of the loss: of shape (N,) or that of the targets."""
        return None if self.weight is None else tensors[self.weight]

    def sample_weight_of(self, tensors: Sequence[Tensor]) -> Tensor | None:
        """Return the weight of the metrics, of shape (N,) or (N, T)."""
        return None if self.sample_weight is None else tensors[self.sample_weight]


class Batch(NamedTuple):
    """The tensors of a batch, in the order that its form says."""

    form: Form
    tensors: Sequence[Tensor]


class Samples(NamedTuple):
    """Some samples, or all of them."""

    inputs: Nest
    targets: list[Tensor]  # one per output
    weight: Tensor | None = None  # of the loss: (N,), (N, T) or of the shape of the targets
    sample_weight: Tensor | None = None  # (N,) or (N, T), of the metrics; where classes have no weights, the same tensor

    @property
    def rows(self) -> int:
        """The number of samples."""
        return int(tensors_of(self.inputs)[0].shape[0])

    def as_batch(self) -> Batch:
        """Return the tensors in one list, each once."""
        inputs = tensors_of(self.inputs)
        tensors = [*inputs, *self.targets]
        form = Form(form_of(self.inputs), len(inputs), len(self.targets))
        if self.weight is not None:
            form = form._replace(weight=len(tensors))
            tensors.append(self.weight)
        if self.sample_weight is not None and self.sample_weight is self.weight:
            form = form._replace(sample_weight=form.weight)
        elif self.sample_weight is not None:
            form = form._replace(sample_weight=len(tensors))
            tensors.append(self.sample_weight)
        return Batch(form, tensors)

    def to(self, device: _core.device) -> Samples:
        """Return the samples on a device."""
        weight = None if self.weight is None else self.weight.to(device)
        same = self.sample_weight is self.weight
        sample_weight = weight if same else None if self.sample_weight is None else self.sample_weight.to(device)
        return Samples(mapped(self.inputs, lambda x: x.to(device)), [x.to(device) for x in self.targets], weight, sample_weight)

    def taken(self, rows: Any) -> Samples:
        """Return some of the samples."""
        inputs = mapped(self.inputs, lambda x: x[rows])
        weight = None if self.weight is None else self.weight[rows]
        same = self.sample_weight is self.weight
        sample_weight = weight if same else None if self.sample_weight is None else self.sample_weight[rows]
        return Samples(inputs, [x[rows] for x in self.targets], weight, sample_weight)


class Reader:
    """Turns (x, y, sample weights) as the caller has them into samples."""

    def __init__(self, op: str, casts: Casts, objective: Objective | None, dtype: _core.dtype) -> None:
        self._op, self._casts, self._objective, self._dtype = op, casts, objective, dtype

    def cast_integers(self) -> None:
        """From now on cast inputs of whole numbers too."""
        self._casts.integers = True

    def recast(self, samples: Samples) -> Samples:
        """Return samples that were read before, cast as those are that are read now."""
        return samples._replace(inputs=self._casts("x", samples.inputs))

    def __call__(self, x: Any, y: Any, sample_weight: Any = None) -> Samples:
        """Return samples whose tensors have one first size."""
        inputs = self._casts("x", x)
        targets = [] if self._objective is None else self._targets(y, self._objective)
        weight = None if sample_weight is None else self._weight(sample_weight)
        count_rows(self._op, x=inputs, **({"y": tuple(targets)} if len(targets) > 1 else {"y": targets[0]} if targets else {}))
        if weight is not None:
            self._check_weight(tuple(weight.shape), tensors_of(inputs)[0].shape[0], targets)
        return Samples(inputs, targets, weight, weight)

    def _targets(self, y: Any, objective: Objective) -> list[Tensor]:
        if y is None:
            raise ValueError(f"{self._op}: expected targets: give y, or batches of (x, y)")
        if objective.keys is None:
            if isinstance(y, (tuple, dict)):
                raise ValueError(f"{self._op}: expected y to be one array for one loss, got a {type(y).__name__} of {len(y)}")
            given = [as_tensor(self._op, "y", y)]
        else:
            given = [
                as_tensor(self._op, f"y[{key!r}]", item)
                for key, item in zip(objective.keys, objective.split("y", y), strict=True)
            ]
        return [output.loss.target(target, self._dtype) for output, target in zip(objective.outputs, given, strict=True)]

    def _check_weight(self, given: tuple[int, ...], rows: int, targets: list[Tensor]) -> None:
        """One per sample, or one per step of sequences."""
        if given == (rows,) or (len(given) == 2 and all(tuple(target.shape[:2]) == given for target in targets)):
            return
        shapes = " and ".join(str(tuple(target.shape)) for target in targets)
        raise ValueError(
            f"{self._op}: expected sample_weight of shape ({rows},), one per sample, or (N, T), one per step of targets "
            f"(N, T, ...), got {given} for targets of shape {shapes}"
        )

    def _weight(self, sample_weight: Any) -> Tensor:
        weight = as_tensor(self._op, "sample_weight", sample_weight)
        if weight.dtype == _core.bool:  # a mask
            weight = weight.to(self._dtype)
        if bool((weight < 0).any()) or not bool(weight.isfinite().all()):
            raise ValueError(f"{self._op}: expected sample_weight of finite numbers of at least 0")
        return weight.to(self._dtype)


class Arrays:
    """Samples in memory, cut into batches."""

    repeatable = True
    wanted: int | None = None  # batches per epoch, where that is a choice

    def __init__(self, samples: Samples, batch_size: int, shuffle: bool = False) -> None:
        self.samples, self._size, self._shuffle = samples, batch_size, shuffle
        self.rows = samples.rows
        self.steps: int | None = -(-self.rows // batch_size)

    def first(self) -> Samples:
        """Return the first rows, of at most a batch."""
        return self.samples.taken(slice(0, self._size))

    def batches(self, epoch: int = 0) -> Iterator[Batch]:
        """Walk once through the samples; shuffled, the order follows from the global seed and `epoch`."""
        form, tensors = self.samples.as_batch()
        generator = generator_for("order", epoch) if self._shuffle else None
        loader = DataLoader(TensorDataset(*tensors), self._size, self._shuffle, generator=generator)
        return (Batch(form, each) for each in loader)

    def change(self, change: Change) -> None:
        """Replace the samples by what `change` makes of them."""
        self.samples = change(self.samples)

    def part(self, rows: Tensor) -> Arrays:
        """Return some of the samples, batched in the same way."""
        return Arrays(self.samples.taken(rows), self._size, self._shuffle)

    def in_order(self) -> Arrays:
        """Return the same samples without shuffling."""
        return Arrays(self.samples, self._size)


class Stream:
    """Batches that something else makes: ``source(epoch)`` gives those of an epoch."""

    def __init__(self, op: str, source: Callable[[int], Iterable[Any]], read: Reader, steps: int | None) -> None:
        self._op, self._source, self._read, self.wanted = op, source, read, steps
        first = source(0)
        self.repeatable = not isinstance(first, Iterator)  # an iterator goes on where it was
        self.steps = steps if steps is not None or not isinstance(first, Sized) else len(first)
        self._changes: list[Change] = []
        self._peeked: list[Any] = []

    def change(self, change: Change) -> None:
        """Replace each batch by what `change` makes of it."""
        self._changes.append(change)

    def first(self) -> Samples:
        """Return the first batch, which will come again."""
        item = next(iter(self._source(0)), None)
        if item is None:
            raise ValueError(f"{self._op}: expected batches of (x, y), got none")
        if not self.repeatable:
            self._peeked = [item]
        return self._as_samples(item)

    def batches(self, epoch: int = 0) -> Iterator[Batch]:
        """Walk through the batches of an epoch."""
        peeked, self._peeked = self._peeked, []
        items = itertools.chain(peeked, self._source(epoch))
        return (self._as_samples(item).as_batch() for item in itertools.islice(items, self.wanted))

    def in_order(self) -> Stream:
        """Return the batches as they come."""
        return self

    def _as_samples(self, item: Any) -> Samples:
        parts = tuple(item) if isinstance(item, (tuple, list)) else (item,)
        if not 1 <= len(parts) <= 3:
            raise ValueError(f"{self._op}: expected batches of (x, y) or (x, y, sample_weight), got one of {len(parts)} parts")
        samples = self._read(*(*parts, None, None)[:3])
        for change in self._changes:
            samples = change(samples)
        return samples


def _loaders(dataset: Any, batch_size: int, shuffle: bool) -> Callable[[int], Iterable[Any]]:
    """Return what makes the batches of a data set that is no tensor, in an order that follows from seed and epoch."""

    def batches(epoch: int) -> Iterable[Any]:
        chosen = dataset
        if shuffle:
            chosen = Subset(dataset, _core.randperm(len(dataset), generator=generator_for("order", epoch), device="cpu").tolist())
        return DataLoader(chosen, batch_size=batch_size)

    return batches


def _in_memory(op: str, x: Any, y: Any, sample_weight: Any, read: Reader) -> Samples | None:
    """Return arrays and tensor data sets as samples; None for anything else."""
    if isinstance(x, TensorDataset) and y is None and sample_weight is None:
        if not 1 <= len(x.tensors) <= 3:
            raise ValueError(f"{op}: expected a TensorDataset of (x, y) or (x, y, sample_weight), got {len(x.tensors)} tensors")
        return read(*(*x.tensors, None, None)[:3])
    batches = y is None and isinstance(x, list) and bool(x) and isinstance(x[0], tuple)
    return read(x, y, sample_weight) if is_array(x) and not batches else None


def feed(
    op: str, x: Any, y: Any, sample_weight: Any, read: Reader, *, batch_size: int, shuffle: bool = False, steps: int | None = None
) -> Arrays | Stream:
    """Return the batches of whatever the caller passed."""
    batch_size = whole(op, "batch_size", batch_size, 1)
    samples = _in_memory(op, x, y, sample_weight, read)
    if samples is not None:
        if steps is not None:
            raise ValueError(f"{op}: steps_per_epoch is for data that comes in batches; arrays are walked through as a whole")
        return Arrays(samples, batch_size, shuffle)
    if y is not None or sample_weight is not None:
        what = "y" if y is not None else "sample_weight"
        raise ValueError(f"{op}: {what} goes with arrays; a {type(x).__name__} brings batches of (x, y) or (x, y, sample_weight)")
    if not hasattr(x, "__iter__") and hasattr(x, "__getitem__") and hasattr(x, "__len__"):
        return Stream(op, _loaders(x, batch_size, shuffle), read, steps)
    if not isinstance(x, Iterable):
        raise TypeError(f"{op}: expected arrays, a data set, a DataLoader or an iterator of batches, got {type(x).__name__}")
    return Stream(op, lambda epoch: x, read, steps)
