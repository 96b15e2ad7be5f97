"""The loader: minibatches of a dataset, gathered in native code and ahead of their use where the data are tensors."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from dnncore import _core, cuda
from dnncore._core import Generator, Tensor
from dnncore.data import _ahead
from dnncore.data._rows import rows_of
from dnncore.data.augment.transform import transformed
from dnncore.data.collate import default_collate
from dnncore.data.dataset import Dataset
from dnncore.data.sampler import BatchSampler, OrderSampler, RandomSampler, SequentialSampler, check_batch_size

# What PyTorch has for worker processes.
_PYTORCH_ONLY = frozenset(
    {"num_workers", "timeout", "worker_init_fn", "multiprocessing_context", "prefetch_factor"}
    | {"persistent_workers", "pin_memory_device", "in_order"}
)

_LEAST_BYTES_AHEAD = 16 << 20  # to start and end the thread costs 0.4 ms, to gather so much 2 ms


class DataLoader:
    """Minibatches of a dataset, a new order for every epoch where shuffled.

    Batches of a `TensorDataset`, and of a `Subset` or `ConcatDataset` of such, are gathered in native code: tuples of fresh
    tensors when shuffled or chosen, views of the data (no copy, so a change of a batch in place changes the data) when in order.
    They are data: no gradient flows back into the dataset. Of other datasets samples are fetched one by one, or by
    ``__getitems__``, and put together by `collate_fn`. The order of an epoch is drawn when ``iter()`` is called.

    Parameters
    ----------
    dataset : Dataset
        Anything with ``__len__`` and ``__getitem__``.
    batch_size : int, default 1
        Samples per batch; the last batch has what is left.
    shuffle : bool, default False
        Whether samples come in a random order.
    sampler : iterable of int, optional
        The order instead of `shuffle`: a sampler of this module or any other.
    batch_sampler : iterable of lists of int, optional
        Samples of each batch, instead of `batch_size`, `shuffle`, `sampler` and `drop_last`.
    drop_last : bool, default False
        Whether to leave out a last batch that is not full.
    collate_fn : callable, optional
        Makes a batch of a list of samples; `default_collate` when not given.
    transform : callable, optional
        Changes each batch as a whole, called with its parts, images and targets for example, and returning as many: a transform
        of `dnncore.data.augment`, or a function. A transform draws anew in every epoch, for each batch from a generator of its
        own, seeded from `generator` when the epoch begins: nothing else that is drawn changes its numbers.
    generator : Generator, optional
        Where the order of a shuffled epoch, and the seed of `transform`, are drawn from; the default generator when not given.
    prefetch : bool, optional
        Whether one thread makes batches ahead of their use, with the same order and bits. When not given: for tensors that have
        to be gathered, 16 MiB or more, if `get_num_threads` leaves a core free. With True the thread also calls `transform`, and
        ``__getitem__`` and `collate_fn` of other datasets; functions of your own must then share no random state with training.
    pin_memory : bool, default False
        Whether the tensors of a batch are copied into pinned memory, which a GPU reads by itself:
        ``batch.to("cuda", non_blocking=True)`` then returns before it is there. Without a GPU it has no effect, and warns.

    Raises
    ------
    ValueError
        If arguments exclude each other or `batch_size` is not positive.
    TypeError
        If the dataset has no length or items, or an argument belongs to PyTorch's worker processes (``num_workers``, ...),
        which there are none of here.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data import DataLoader, TensorDataset
    >>> x, y = dnn.rand(100, 8), dnn.randint(3, (100,))
    >>> loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    >>> [tuple(xb.shape) for xb, yb in loader]
    [(32, 8), (32, 8), (32, 8), (4, 8)]
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        *,
        drop_last: bool = False,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        transform: Callable[..., Any] | None = None,
        generator: Generator | None = None,
        prefetch: bool | None = None,
        pin_memory: bool = False,
        **unsupported: object,
    ) -> None:
        _check_arguments(dataset, transform, prefetch, unsupported)
        if pin_memory and not cuda.is_available():
            warnings.warn(f"DataLoader: pin_memory has no effect: {cuda.unavailable_reason()}", stacklevel=2)
            pin_memory = False
        batch_size = check_batch_size("DataLoader", batch_size)
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError("DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last")
        if sampler is not None and (shuffle or generator is not None):
            raise ValueError("DataLoader: sampler excludes shuffle and generator; give the generator to the sampler")
        if sampler is None:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        self.dataset, self.collate_fn, self.transform = dataset, collate_fn, transform
        self.generator, self.prefetch, self.pin_memory = generator, prefetch, pin_memory
        self.batch_sampler = batch_sampler if batch_sampler is not None else BatchSampler(sampler, batch_size, drop_last)
        self._epoch: _Epoch | None = None
        self._resumed: _Epoch | None = None

    @property
    def batch_size(self) -> int | None:
        """Samples per batch; None with a batch sampler of one's own."""
        return getattr(self.batch_sampler, "batch_size", None)

    @property
    def drop_last(self) -> bool:
        """Whether a last batch that is not full is left out."""
        return bool(getattr(self.batch_sampler, "drop_last", False))

    @property
    def sampler(self) -> Iterable[int] | None:
        """The order of the samples; None with a batch sampler of one's own."""
        return getattr(self.batch_sampler, "sampler", None)

    def __len__(self) -> int:
        return len(self.batch_sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        epoch, self._resumed = self._resumed or _Epoch(), None
        self._epoch = epoch
        jobs, ahead = self._jobs(epoch)
        return self._walk(epoch, (partial(_pin, job) for job in jobs) if self.pin_memory else jobs, ahead)

    def _walk(self, epoch: _Epoch, jobs: Iterator[_ahead.Job[Any]], ahead: bool) -> Iterator[Any]:
        for batch in (_ahead.run_ahead if ahead else _ahead.run)(jobs):
            epoch.position += 1
            yield batch
        if self._epoch is epoch:
            self._epoch = None

    def _jobs(self, epoch: _Epoch) -> tuple[Iterator[_ahead.Job[Any]], bool]:
        """Return the work of an epoch, all that is random about it drawn, and whether a thread does it ahead."""
        source = epoch.source(self._generator()) if self._draws() else None
        jobs, ahead = self._plain_jobs(epoch, source)
        if self.transform is None:
            return jobs, ahead
        seed = int(_core.randint(1 << 62, (1,), generator=source, device="cpu").item())
        numbered = enumerate(jobs, seed + epoch.position)
        return (partial(_change, job, self.transform, own_seed) for own_seed, job in numbered), bool(self.prefetch)

    def _plain_jobs(self, epoch: _Epoch, source: Generator | None) -> tuple[Iterator[_ahead.Job[Any]], bool]:
        """Return the same without the transform; where there is one, a job makes one batch."""
        batches, sampler = self.batch_sampler, self._order_sampler()
        if sampler is None or not isinstance(batches, BatchSampler):
            return self._fetches(iter(batches)), bool(self.prefetch)
        order = None if type(sampler) is SequentialSampler else sampler.draw(source)
        rows = rows_of(self.dataset) if self.collate_fn is None else None
        if rows is not None:
            gathers = order is not None or rows.chosen is not None
            ahead = gathers and (_pays(len(sampler) * rows.row_bytes) if self.prefetch is None else self.prefetch)  # type: ignore[arg-type]
            at_once = None if self.transform is None else 1
            return rows.batches(order, batches.batch_size, batches.drop_last, epoch.position, ahead, at_once), ahead
        numbers = range(len(self.dataset)) if order is None else order.tolist()
        left = numbers[epoch.position * batches.batch_size :]
        return self._fetches(iter(BatchSampler(left, batches.batch_size, batches.drop_last))), bool(self.prefetch)

    def _fetches(self, batches: Iterator[list[int]]) -> Iterator[_ahead.Job[Any]]:
        return (partial(_fetch, self.dataset, indices, self.collate_fn or default_collate) for indices in batches)

    def state_dict(self) -> dict[str, Any]:
        """Return where the loader is, to continue there in another process: JSON-able.

        Inside a loop it is the place behind the batch handed out last: `load_state_dict` and a new loop give the batches that
        would have come next, and then the epochs that would have followed. A `generator` of the loader is part of it; the default
        generator is not. With several iterators at once it is the place of the one begun last.

        Raises
        ------
        RuntimeError
            With a sampler of one's own, whose order the loader does not know.
        """
        self._check_resumable("state_dict")
        own = self._generator()
        epoch = self._resumed or self._epoch or _Epoch()
        return {
            "batches": len(self),
            "position": epoch.position,
            "order": None if epoch.drawn_from is None else _text(epoch.drawn_from),
            "generator": None if own is None else _text(own.get_state()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where a state was taken, with the next ``iter()``.

        Raises
        ------
        ValueError
            If the state is none, or of a loader with another number of batches or another way of shuffling.
        RuntimeError
            With a sampler of one's own.
        """
        self._check_resumable("load_state_dict")
        if not isinstance(state, dict) or set(state) != {"batches", "position", "order", "generator"}:
            raise ValueError("load_state_dict: expected a state of DataLoader.state_dict()")
        batches, position = state["batches"], state["position"]
        if batches != len(self) or type(position) is not int or not 0 <= position <= batches:
            raise ValueError(
                f"load_state_dict: expected a position in {len(self)} batches, got {position} of {batches}; "
                "data, batch_size and drop_last must be those of the state"
            )
        own = self._generator()
        if (own is None) != (state["generator"] is None) or (position > 0 and self._draws() != (state["order"] is not None)):
            raise ValueError("load_state_dict: shuffling, transform and generator must be as in the loader of the state")
        epoch = _Epoch()
        epoch.position = position
        epoch.drawn_from = None if state["order"] is None else _state(state["order"])
        if own is not None:
            own.set_state(_state(state["generator"]))
        self._epoch, self._resumed = None, epoch

    def _order_sampler(self) -> OrderSampler | None:
        """Return the sampler if it is one whose order is a tensor; None if the user has a say in it."""
        sampler = self.sampler
        if type(self.batch_sampler) is not BatchSampler or not isinstance(sampler, OrderSampler):
            return None
        return sampler if type(sampler).__iter__ is OrderSampler.__iter__ else None

    def _generator(self) -> Generator | None:
        """Return where epochs are drawn from; None is the default generator."""
        sampler = self._order_sampler()
        return self.generator if sampler is None or sampler.generator is None else sampler.generator

    def _draws(self) -> bool:
        """Tell whether the loader draws anything when an epoch begins."""
        sampler = self._order_sampler()
        return self.transform is not None or (sampler is not None and type(sampler) is not SequentialSampler)

    def _check_resumable(self, op: str) -> None:
        if self._order_sampler() is None:
            raise RuntimeError(f"{op}: the order of a sampler of your own is not known here; keep its state yourself")


class _Epoch:
    """What is needed to continue an epoch: the generator's state before it was drawn, and the batches handed out."""

    def __init__(self) -> None:
        self.position = 0
        self.drawn_from: Tensor | None = None

    def source(self, generator: Generator | None) -> Generator | None:
        """Return what to draw from; for an epoch that is continued a copy as it was, so that no generator moves on twice."""
        if self.drawn_from is not None:
            again = Generator()
            again.set_state(self.drawn_from)
            return again
        self.drawn_from = (generator or _core.default_generator).get_state()
        return generator


def _pays(nbytes: int) -> bool:
    """Tell whether a thread gathers an epoch of so many bytes sooner than the training itself: where that leaves it a core.

    Measured at batch 64 of 784 features on two cores, microseconds per step without and with the thread. One training thread:
    48 -> 36 (784-10), 167 -> 147 (784-64-10), 567 -> 563 (784-256-10). Two: 51 -> 51 to 74, 176 -> 196, 583 -> 605.
    """
    return nbytes >= _LEAST_BYTES_AHEAD and bool(_core.get_num_threads() < _core.cpu_info()["allowed_cores"])


def _fetch(dataset: Dataset, indices: list[int], collate: Callable[[list[Any]], Any]) -> list[Any]:
    many = getattr(dataset, "__getitems__", None)
    return [collate([dataset[i] for i in indices] if many is None else many(indices))]


def _pin(job: _ahead.Job[Any]) -> list[Any]:
    return [_pinned(batch) for batch in job()]


def _pinned(batch: Any) -> Any:
    """Return a batch with each tensor in pinned memory."""
    if isinstance(batch, Tensor):
        return batch.pin_memory()
    if isinstance(batch, dict):
        return {key: _pinned(value) for key, value in batch.items()}
    if not isinstance(batch, (tuple, list)):
        return batch
    parts = [_pinned(part) for part in batch]
    return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)


def _change(job: _ahead.Job[Any], transform: Callable[..., Any], seed: int) -> list[Any]:
    """Return the one batch of a job, transformed; a batch of one tensor stays a tuple if it is one."""
    (batch,) = job()
    if isinstance(batch, (tuple, list)):
        return [transformed(transform, tuple(batch), Generator(seed))]
    return list(transformed(transform, (batch,), Generator(seed)))


def _check_arguments(dataset: Dataset, transform: object, prefetch: object, unsupported: dict[str, object]) -> None:
    for name in unsupported:
        if name in _PYTORCH_ONLY:
            raise TypeError(
                f"DataLoader: {name} has no meaning here, there are no worker processes and batches stay in this process; "
                "leave it out (prefetch=True makes batches ahead in a thread)"
            )
        raise TypeError(f"DataLoader: unexpected argument {name!r}")
    if prefetch is not None and not isinstance(prefetch, bool):
        raise TypeError(f"DataLoader: expected prefetch as True, False or None, got {prefetch!r}")
    if transform is not None and not callable(transform):
        raise TypeError(f"DataLoader: expected transform as a callable, got {type(transform).__name__}")
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        hint = "; put it into a TensorDataset" if hasattr(dataset, "__dlpack__") else ""
        raise TypeError(f"DataLoader: expected a dataset with __len__ and __getitem__, got {type(dataset).__name__}{hint}")


def _text(state: Tensor) -> str:
    return bytes(state.tolist()).hex()


def _state(text: str) -> Tensor:
    try:
        state = _core.tensor(list(bytes.fromhex(text)), dtype=_core.uint8, device="cpu")
        Generator().set_state(state)
    except (TypeError, ValueError) as error:
        raise ValueError(f"load_state_dict: expected a generator's state in hexadecimal, got {text!r}") from error
    return state
