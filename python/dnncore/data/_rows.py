"""Datasets that are rows of tensors in memory, whose batches native code can gather."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from dnncore import _core
from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.data._ahead import Job
from dnncore.data.dataset import ConcatDataset, Dataset, Subset, TensorDataset

Batch = tuple[Tensor, ...]

# A thread that gathers ahead hands over as many batches at once as fit in here, because a hand-over costs 20 microseconds, as
# much as a batch of 64 x 784. Microseconds per batch of that, nothing trained: 21 without a thread, 23 with 2 MiB, 25 with 1 MiB,
# 45 with one batch at a time.
_AHEAD_BYTES = 2 << 20
# Without a thread several small batches per call save 5 microseconds each.
_INLINE_BYTES = 64 << 10
_MOST_BATCHES = 64


class Rows(NamedTuple):
    """Tensors of several parts, which count as one below the other, and which of their rows are the samples."""

    parts: list[Batch]
    chosen: Tensor | None  # None: all rows in order

    @property
    def row_bytes(self) -> int:
        """Bytes of a sample."""
        return sum(tensor[:1].numel() * tensor.element_size() for tensor in self.parts[0])

    def batches(
        self, order: Tensor | None, size: int, drop_last: bool, skip: int, ahead: bool, at_once: int | None = None
    ) -> Iterator[Job[Batch]]:
        """Return jobs that make the batches of an epoch from number `skip` on: views in order, gathered copies else.

        A job makes `at_once` batches, or as many as are fast.
        """
        if order is None:
            order = self.chosen
        elif self.chosen is not None:
            order = self.chosen[order]
        count = sum(len(part[0]) for part in self.parts) if order is None else len(order)
        stop = count - count % size if drop_last else count
        if order is None:
            step = size * (at_once or _MOST_BATCHES)
            return (partial(self._slices, begin, min(begin + step, stop), size) for begin in range(skip * size, stop, step))
        step = size * (at_once or self._batches_at_once(size, ahead))
        if len(self.parts) == 1:
            order, gather = order.to(self.parts[0][0].device), self._gather
        else:
            gather = self._gather_parts
        return (partial(gather, order, begin, min(begin + step, stop), size) for begin in range(skip * size, stop, step))

    def _batches_at_once(self, size: int, ahead: bool) -> int:
        room = _AHEAD_BYTES if ahead else _INLINE_BYTES
        return min(max(room // max(self.row_bytes * size, 1), 1), _MOST_BATCHES)

    def _gather(self, order: Tensor, begin: int, end: int, size: int) -> list[Batch]:
        return _core._gather_batches(self.parts[0], order, begin, end, size)

    def _gather_parts(self, order: Tensor, begin: int, end: int, size: int) -> list[Batch]:
        with no_grad():
            return [self._gather_mixed(order[at : min(at + size, end)]) for at in range(begin, end, size)]

    def _gather_mixed(self, rows: Tensor) -> Batch:
        """Gather rows of several parts: from each what it has, then all into the order asked for."""
        pieces: list[Batch] = []
        places: list[Tensor] = []
        start = 0
        for part in self.parts:
            end = start + len(part[0])
            here = ((rows >= start) & (rows < end)).nonzero().flatten()
            pieces.append(tuple(tensor[rows[here] - start] for tensor in part))
            places.append(here)
            start = end
        back = _core.cat(places).argsort()
        return tuple(_core.cat(column)[back] for column in zip(*pieces, strict=True))

    def _slices(self, begin: int, end: int, size: int) -> list[Batch]:
        if len(self.parts) == 1:
            return _core._slice_batches(self.parts[0], begin, end, size)
        return [self._slice_mixed(at, min(at + size, end)) for at in range(begin, end, size)]

    def _slice_mixed(self, begin: int, end: int) -> Batch:
        """Return rows in order: a view inside one part, a copy across several."""
        pieces: list[Batch] = []
        start = 0
        for part in self.parts:
            stop = start + len(part[0])
            if begin < stop and start < end:
                pieces.append(tuple(tensor[max(begin - start, 0) : end - start] for tensor in part))
            start = stop
        return pieces[0] if len(pieces) == 1 else tuple(_core.cat(column) for column in zip(*pieces, strict=True))


def rows_of(dataset: Dataset) -> Rows | None:
    """Return a dataset as rows of tensors; None where it, or one it is made of, is of another kind."""
    if type(dataset) is TensorDataset:
        return Rows([tuple(tensor.detach() for tensor in dataset.tensors)], None)
    if type(dataset) is Subset:
        whole = rows_of(dataset.dataset)
        if whole is None:
            return None
        return Rows(whole.parts, dataset.indices if whole.chosen is None else whole.chosen[dataset.indices])
    if type(dataset) is ConcatDataset:
        return _concatenated([rows_of(part) for part in dataset.datasets])
    return None


def _concatenated(datasets: list[Rows | None]) -> Rows | None:
    found = [rows for rows in datasets if rows is not None]
    parts = [part for rows in found for part in rows.parts]
    kinds = {tuple((tensor.dtype, tuple(tensor.shape[1:])) for tensor in part) for part in parts}
    if len(found) < len(datasets) or len(kinds) > 1:
        return None
    if all(rows.chosen is None for rows in found):
        return Rows(parts, None)
    chosen: list[Tensor] = []
    start = 0
    for rows in found:
        count = sum(len(part[0]) for part in rows.parts)
        chosen.append((_core.arange(count, device="cpu") if rows.chosen is None else rows.chosen) + start)
        start += count
    return Rows(parts, _core.cat(chosen))
