"""Truncated back-propagation through time: sequences in pieces, with the state carried from one to the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dnncore._core import Tensor
from dnncore.model._arrays import mapped, modules_of, tensors_of
from dnncore.model._feed import Arrays, Batch, Change, Samples, Stream
from dnncore.nn.module import Module


class Pieces:
    """The batches of a source, each cut along time into pieces of at most `length` steps.

    The networks of the module that can carry their state do so while the batches are walked through, from zeros for each batch.
    """

    def __init__(self, module: Module, source: Arrays | Stream, length: int) -> None:
        self._source, self._length = source, length
        self._carriers: list[Any] = [each for each in modules_of(module) if hasattr(each, "carry_state")]
        if not self._carriers:
            raise ValueError(
                f"fit: truncate={length} needs a network that carries its state from piece to piece; {type(module).__name__} has "
                "none, see dnncore.models.SequenceNetwork"
            )
        self.repeatable, self.wanted = source.repeatable, source.wanted
        self.steps = None
        if isinstance(source, Arrays):
            assert source.steps is not None
            self.steps = source.steps * -(-_steps_of(source.samples) // length)

    def first(self) -> Samples:
        """Return the first piece of the first batch."""
        first = self._source.first()
        return _cut(first, 0, min(self._length, _steps_of(first)))

    def batches(self, epoch: int = 0) -> Iterator[Batch]:
        """Walk through the pieces."""
        try:
            for batch in self._source.batches(epoch):
                self._carry(int(batch.tensors[0].shape[0]))
                yield from self._pieces(batch)
        finally:
            self._carry(None)

    def _carry(self, rows: int | None) -> None:
        for each in self._carriers:
            each.carry_state(rows)

    def _pieces(self, batch: Batch) -> Iterator[Batch]:
        form, tensors = batch
        whole = [*tensors[: form.inputs], *form.targets_of(tensors)]
        steps = _common(whole)
        for begin in range(0, steps, self._length):
            end = min(begin + self._length, steps)
            yield Batch(form._replace(carried=True), [_piece(x, begin, end, steps) for x in tensors])

    def change(self, change: Change) -> None:
        """Replace the samples of the source."""
        self._source.change(change)

    def in_order(self) -> Arrays | Stream:
        """Return the batches of the source, whole."""
        return self._source.in_order()


def _common(tensors: list[Tensor]) -> int:
    """Return the number of steps that all inputs and targets have."""
    sizes = {x.shape[1] if x.ndim > 1 else 0 for x in tensors}
    if len(sizes) != 1 or 0 in sizes:
        shapes = ", ".join(str(tuple(x.shape)) for x in tensors)
        raise ValueError(
            f"fit: truncate cuts along time: expected inputs and targets of shapes (N, T, ...) with one T, got {shapes}"
        )
    return int(sizes.pop())


def _steps_of(samples: Samples) -> int:
    return _common([*tensors_of(samples.inputs), *samples.targets])


def _piece(x: Tensor, begin: int, end: int, steps: int) -> Tensor:
    """Return some steps of a tensor; all of it if it has one value per sample."""
    return x[:, begin:end].contiguous() if x.ndim > 1 and x.shape[1] == steps else x


def _cut(samples: Samples, begin: int, end: int) -> Samples:
    steps = _steps_of(samples)
    weight, sample_weight = (None if x is None else _piece(x, begin, end, steps) for x in (samples.weight, samples.sample_weight))
    return samples._replace(
        inputs=mapped(samples.inputs, lambda x: _piece(x, begin, end, steps)),
        targets=[_piece(x, begin, end, steps) for x in samples.targets],
        weight=weight,
        sample_weight=weight if samples.sample_weight is samples.weight else sample_weight,
    )
