"""Datasets: anything with a length and items, tensors in memory, and parts and rows of other datasets."""

from __future__ import annotations

import bisect
from abc import abstractmethod
from collections.abc import Iterable
from itertools import accumulate
from typing import Any, Protocol, runtime_checkable

import numpy as np

from dnncore import _core
from dnncore._core import Tensor


@runtime_checkable
class Dataset(Protocol):
    """Samples by number: whatever has ``__len__`` and ``__getitem__``, a list too.

    Deriving from it is optional. A method ``__getitems__(indices)`` that returns a list of samples, where there is one, is
    called once per batch instead of ``__getitem__`` once per sample.

    Examples
    --------
    >>> from dnncore.data import Dataset
    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 5
    ...     def __getitem__(self, index):
    ...         return index, index**2
    >>> Squares()[3]
    (3, 9)
    """

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples."""
        raise NotImplementedError

    @abstractmethod
    def __getitem__(self, index: Any, /) -> Any:
        """Return sample `index`, 0 to ``len(self) - 1``."""
        raise NotImplementedError


def as_data(op: str, value: object, position: int) -> Tensor:
    """Return an array of any kind as a tensor, its memory shared where that is possible."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray):
        return _core.as_tensor(value)
    if hasattr(value, "__dlpack__"):
        return _core.from_dlpack(value)
    if hasattr(value, "__array__"):
        return _core.as_tensor(np.asarray(value))
    raise TypeError(f"{op}: expected a tensor or an array as argument {position}, got {type(value).__name__}")


class TensorDataset(Dataset):
    """Samples that are rows of tensors: sample i is row i of each.

    A `DataLoader` gathers batches of it in native code.

    Parameters
    ----------
    *tensors : Tensor, NumPy array or DLPack object of shape (N, ...)
        Data in memory, which is shared and not copied where that is possible.

    Raises
    ------
    TypeError
        If an argument is no array.
    ValueError
        If there is no argument or the first sizes differ.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data import TensorDataset
    >>> data = TensorDataset(dnn.arange(6).reshape(3, 2), dnn.tensor([7, 8, 9]))
    >>> len(data), data[1][0].tolist(), data[1][1].item()
    (3, [2, 3], 8)
    """

    def __init__(self, *tensors: object) -> None:
        self.tensors: tuple[Tensor, ...] = tuple(as_data("TensorDataset", value, i) for i, value in enumerate(tensors))
        shapes = [tuple(tensor.shape) for tensor in self.tensors]
        if not shapes or any(not shape or shape[0] != shapes[0][0] for shape in shapes):
            found = ", ".join(map(str, shapes)) or "none"
            raise ValueError(f"TensorDataset: expected tensors of one first size, got shapes {found}")

    def __len__(self) -> int:
        return self.tensors[0].shape[0]

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)


class Subset(Dataset):
    """Some samples of a dataset, in the order of `indices`.

    Parameters
    ----------
    dataset : Dataset
        Where the samples are.
    indices : sequence of int, or int64 Tensor or array of shape (n,)
        Which of them, each 0 to ``len(dataset) - 1``; one may come several times.

    Raises
    ------
    TypeError
        If the indices are not whole numbers.
    ValueError
        If they are not one-dimensional, or one is out of range.

    Examples
    --------
    >>> from dnncore.data import Subset
    >>> part = Subset(["a", "b", "c"], [2, 0])
    >>> len(part), part[0]
    (2, 'c')
    """

    def __init__(self, dataset: Dataset, indices: object) -> None:
        self.dataset = dataset
        self.indices: Tensor = positions("Subset", indices, len(dataset))

    def __len__(self) -> int:
        return self.indices.shape[0]

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index].item())]


def positions(op: str, indices: object, count: int) -> Tensor:
    """Return checked row numbers as an int64 tensor."""
    found = indices.cpu().numpy() if isinstance(indices, Tensor) else np.asarray(indices)
    if found.ndim != 1:
        raise ValueError(f"{op}: expected a list of indices, got shape {found.shape}")
    if found.size and found.dtype.kind not in "iu":
        hint = "; take numpy.flatnonzero(mask)" if found.dtype.kind == "b" else ""
        raise TypeError(f"{op}: expected whole numbers as indices, got {found.dtype}{hint}")
    wrong = np.flatnonzero((found < 0) | (found >= count)) if found.size else found
    if wrong.size:
        at = int(wrong[0])
        raise ValueError(f"{op}: expected indices from 0 to {count - 1}, got {found[at]} at position {at}")
    return _core.tensor(found.astype(np.int64), device="cpu")


class ConcatDataset(Dataset):
    """Several datasets one after the other.

    Parameters
    ----------
    datasets : iterable of Dataset
        At least one.

    Attributes
    ----------
    cumulative_sizes : list of int
        Where each dataset ends.

    Raises
    ------
    ValueError
        If there is no dataset.

    Examples
    --------
    >>> from dnncore.data import ConcatDataset
    >>> both = ConcatDataset(["ab", "cde"])
    >>> len(both), both[3]
    (5, 'd')
    """

    def __init__(self, datasets: Iterable[Dataset]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: expected at least one dataset, got none")
        self.cumulative_sizes = list(accumulate(len(dataset) for dataset in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"ConcatDataset: index {index} is out of range for {len(self)} samples")
        index %= len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]
