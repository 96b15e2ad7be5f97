"""Samplers: the order in which samples are visited. Each draws the order of a whole epoch when the epoch begins."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sized
from itertools import islice

from dnncore import _core
from dnncore._core import Generator, Tensor
from dnncore.data.dataset import positions


class OrderSampler:
    """A sampler whose order is one tensor, drawn at once; what `DataLoader` can hand to native code."""

    generator: Generator | None = None

    def draw(self, generator: Generator | None) -> Tensor:
        """Return the order of an epoch, int64, on the CPU."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[int]:
        return iter(self.draw(self.generator).tolist())


class SequentialSampler(OrderSampler):
    """Samples in their order.

    Parameters
    ----------
    data_source : Dataset
        Anything with a length.

    Examples
    --------
    >>> from dnncore.data import SequentialSampler
    >>> list(SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __len__(self) -> int:
        return len(self.data_source)

    def draw(self, generator: Generator | None) -> Tensor:
        """Return 0 to n - 1."""
        return _core.arange(len(self), device="cpu")


class RandomSampler(OrderSampler):
    """Samples in a random order, a new one for every epoch.

    Parameters
    ----------
    data_source : Dataset
        Anything with a length n.
    replacement : bool, default False
        Whether a sample may come again before all have come.
    num_samples : int, optional
        Samples per epoch; n when not given. Without replacement, more than n are several orders one after the other.
    generator : Generator, optional
        Where the order is drawn from; the default generator when not given.

    Raises
    ------
    ValueError
        If `num_samples` is not positive, or there is nothing to draw it from.

    Examples
    --------
    >>> from dnncore.data import RandomSampler
    >>> sorted(RandomSampler("abc"))
    [0, 1, 2]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        if num_samples is not None and (num_samples < 1 or not len(data_source)):
            raise ValueError(
                f"RandomSampler: expected num_samples of at least 1 and samples to draw, got {num_samples} of {len(data_source)}"
            )
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self._num_samples = num_samples

    @property
    def num_samples(self) -> int:
        """Samples per epoch."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __len__(self) -> int:
        return self.num_samples

    def draw(self, generator: Generator | None) -> Tensor:
        """Return a random order."""
        count, wanted = len(self.data_source), self.num_samples
        if self.replacement and count:
            return _core.randint(count, (wanted,), generator=generator, device="cpu")
        if wanted <= count:
            return _core.randperm(count, generator=generator, device="cpu")[:wanted]
        orders = [_core.randperm(count, generator=generator, device="cpu") for _ in range(-(-wanted // count))]
        return _core.cat(orders)[:wanted]


class SubsetRandomSampler(OrderSampler):
    """Given samples in a random order.

    Parameters
    ----------
    indices : sequence of int, or int64 Tensor or array of shape (n,)
        Which samples.
    generator : Generator, optional
        Where the order is drawn from; the default generator when not given.

    Examples
    --------
    >>> from dnncore.data import SubsetRandomSampler
    >>> sorted(SubsetRandomSampler([5, 3]))
    [3, 5]
    """

    def __init__(self, indices: object, generator: Generator | None = None) -> None:
        self.indices = positions("SubsetRandomSampler", indices, 1 << 62)
        self.generator = generator

    def __len__(self) -> int:
        return self.indices.shape[0]

    def draw(self, generator: Generator | None) -> Tensor:
        """Return the indices in a random order."""
        return self.indices[_core.randperm(len(self), generator=generator, device="cpu")]


class WeightedRandomSampler(OrderSampler):
    """Samples drawn with probabilities in the proportion of their weights, to balance rare classes for example.

    Parameters
    ----------
    weights : sequence of float, or Tensor of shape (n,)
        Not negative; they need not sum to 1.
    num_samples : int
        Samples per epoch.
    replacement : bool, default True
        Whether a sample may come again.
    generator : Generator, optional
        Where samples are drawn from; the default generator when not given.

    Raises
    ------
    ValueError
        If `num_samples` is not positive, a weight is negative or not finite, or too few are positive.

    Examples
    --------
    >>> from dnncore.data import WeightedRandomSampler
    >>> list(WeightedRandomSampler([0.0, 1.0, 0.0], num_samples=3))
    [1, 1, 1]
    """

    def __init__(self, weights: object, num_samples: int, replacement: bool = True, generator: Generator | None = None) -> None:
        if num_samples < 1:
            raise ValueError(f"WeightedRandomSampler: expected num_samples of at least 1, got {num_samples}")
        self.weights = _core.as_tensor(weights, dtype=_core.float64, device="cpu").detach()
        if self.weights.ndim != 1:
            raise ValueError(f"WeightedRandomSampler: expected weights of shape (n,), got {tuple(self.weights.shape)}")
        _core.multinomial(self.weights, num_samples, replacement, generator=Generator(0))  # refuses what cannot be drawn
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator

    def __len__(self) -> int:
        return self.num_samples

    def draw(self, generator: Generator | None) -> Tensor:
        """Return the samples drawn."""
        return _core.multinomial(self.weights, self.num_samples, self.replacement, generator=generator)


def check_batch_size(op: str, size: object) -> int:
    """Return a whole number of at least 1."""
    if isinstance(size, bool) or not hasattr(size, "__index__") or operator.index(size) < 1:
        raise ValueError(f"{op}: expected batch_size of at least 1, got {size!r}")
    return operator.index(size)


class BatchSampler:
    """Lists of sample numbers that make a batch each.

    Parameters
    ----------
    sampler : iterable of int
        The order of the samples.
    batch_size : int
        Samples per batch.
    drop_last : bool
        Whether to leave out a last batch that is not full.

    Raises
    ------
    ValueError
        If `batch_size` is not positive.

    Examples
    --------
    >>> from dnncore.data import BatchSampler
    >>> list(BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        self.sampler, self.drop_last = sampler, drop_last
        self.batch_size = check_batch_size("BatchSampler", batch_size)

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        return self._walk(iter(self.sampler))

    def _walk(self, indices: Iterator[int]) -> Iterator[list[int]]:
        while batch := list(islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch
