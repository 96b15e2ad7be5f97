"""Batches of sequences of several lengths: padded, packed, and from one to the other, under PyTorch's names.

Layers take padded batches with ``lengths=`` as well, in any order and without packing: see `dnncore.nn.LSTM`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from dnncore import _core
from dnncore._checks import check_at_least, check_tensors
from dnncore._core import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Packed):
    """Sequences without padding: the first elements of all of them, then the second ones, from the longest to the shortest.

    Made by `pack_padded_sequence` and `pack_sequence`; recurrent layers take one and return one.

    Parameters
    ----------
    data : Tensor of shape (sum of the lengths, ...)
    batch_sizes : Tensor of int64
        The number of sequences that have a first, a second, ... element.
    sorted_indices : Tensor of int64, optional
        Which sequence each of the sorted ones was; None where they came sorted.
    unsorted_indices : Tensor of int64, optional
        Its inverse, which puts the sorted ones back. Where one of the two is not given, it is worked out from the other.

    Raises
    ------
    ValueError
        If `sorted_indices` or `unsorted_indices` is no permutation, or one does not undo the other.
    TypeError
        If an argument is no tensor, or the indices are no whole numbers.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.nn.utils.rnn import pack_sequence
    >>> packed = pack_sequence([dnn.tensor([1.0, 2.0, 3.0]), dnn.tensor([4.0])])
    >>> packed.data.tolist(), packed.batch_sizes.tolist()
    ([1.0, 4.0, 2.0, 3.0], [2, 1, 1])
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Tensor,
        batch_sizes: Tensor,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        """Check the two permutations, and work out the one that is not given."""
        check_tensors("PackedSequence", data=data, batch_sizes=batch_sizes)
        order = _order(sorted_indices, unsorted_indices)
        if order is None:
            return super().__new__(cls, data, batch_sizes, None, None)
        return super().__new__(
            cls, data, batch_sizes, _integers(order).to(data.device), _integers(_inverse(order)).to(data.device)
        )

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Return the same with data converted as by `Tensor.to`, and indices on its device; itself where nothing changes."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        order, back = (each if each is None else each.to(data.device) for each in (self.sorted_indices, self.unsorted_indices))
        return self._replace(data=data, sorted_indices=order, unsorted_indices=back)

    def cpu(self) -> PackedSequence:
        """Return the same with data on the CPU."""
        return self.to("cpu")

    def double(self) -> PackedSequence:
        """Return the same with data of float64."""
        return self.to(_core.float64)

    def float(self) -> PackedSequence:
        """Return the same with data of float32."""
        return self.to(_core.float32)

    def half(self) -> PackedSequence:
        """Return the same with data of float16."""
        return self.to(_core.float16)


def _whole_numbers(op: str, name: str, values: Sequence[int] | Tensor) -> np.ndarray:
    found = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if found.size == 0:
        found = found.astype(np.int64)
    if not np.issubdtype(found.dtype, np.integer):
        raise TypeError(f"{op}: expected {name} as whole numbers, got {found.dtype}")
    if found.ndim != 1:
        raise ValueError(f"{op}: expected {name} of one dimension, got shape {found.shape}")
    return found.astype(np.int64)


def _permutation(op: str, name: str, values: Tensor) -> np.ndarray:
    check_tensors(op, **{name: values})
    found = _whole_numbers(op, name, values)
    if not np.array_equal(np.sort(found), np.arange(found.size)):
        raise ValueError(f"{op}: expected {name} with each of 0 to {found.size - 1} once, got {found.tolist()}")
    return found


def _inverse(permutation: np.ndarray) -> np.ndarray:
    return np.argsort(permutation, kind="stable")


def _order(sorted_indices: Tensor | None, unsorted_indices: Tensor | None) -> np.ndarray | None:
    """Return the order that a PackedSequence is given by one or both of its permutations."""
    op = "PackedSequence"
    order = None if sorted_indices is None else _permutation(op, "sorted_indices", sorted_indices)
    if unsorted_indices is None:
        return order
    found = _inverse(_permutation(op, "unsorted_indices", unsorted_indices))
    if order is not None and not np.array_equal(order, found):
        given = _inverse(found).tolist()
        raise ValueError(f"{op}: expected unsorted_indices that undo sorted_indices, {_inverse(order).tolist()}, got {given}")
    return found


def _integers(values: np.ndarray) -> Tensor:
    return _core.from_numpy(np.ascontiguousarray(values, dtype=np.int64))


def _runs(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which run each element of runs one after the other is in, and its place in the run."""
    run = np.repeat(np.arange(counts.size), counts)
    return run, np.arange(run.size) - (np.cumsum(counts) - counts)[run]


def _spread(op: str, data: Tensor, rows: np.ndarray, shape: tuple[int, ...], value: float) -> Tensor:
    """Return `value` everywhere but in the rows of the first two dimensions that hold `data`."""
    if not isinstance(value, Real):
        raise TypeError(f"{op}: expected padding_value as a number, got {type(value).__name__}")
    total = shape[0] * shape[1]
    padded = _core.full((total, *shape[2:]), value, dtype=data.dtype, device=data.device)
    return padded.index_copy(0, _integers(rows).to(padded.device), data).reshape(shape)


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """Return the permutation that undoes this one; None of None.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.nn.utils.rnn import invert_permutation
    >>> invert_permutation(dnn.tensor([2, 0, 1])).tolist()
    [1, 2, 0]
    """
    if permutation is None:
        return None
    return _integers(_inverse(_permutation("invert_permutation", "permutation", permutation))).to(permutation.device)


def _packed(op: str, rows: Tensor, lengths: np.ndarray, enforce_sorted: bool, first: np.ndarray, stride: int) -> PackedSequence:
    """Pack sequences of which element t of sequence b is row ``first[b] + t * stride``."""
    if enforce_sorted and np.any(np.diff(lengths) > 0):
        raise ValueError(
            f"{op}: expected lengths from the longest to the shortest, got {lengths.tolist()}; pass enforce_sorted=False"
        )
    order = np.argsort(-lengths, kind="stable")
    sizes = np.bincount(_runs(lengths)[1])
    step, place = _runs(sizes)
    data = rows.index_select(0, _integers(first[order][place] + step * stride).to(rows.device))
    return PackedSequence(data, _integers(sizes), None if enforce_sorted else _integers(order))


def pack_padded_sequence(
    input: Tensor, lengths: Sequence[int] | Tensor, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack a padded batch of sequences.

    Parameters
    ----------
    input : Tensor of shape (T, B, ...), or (B, T, ...) with `batch_first`
    lengths : sequence of int or Tensor of B whole numbers from 1 to T
    batch_first : bool, default False
    enforce_sorted : bool, default True
        Whether the sequences must come from the longest to the shortest; else they are sorted here.

    Returns
    -------
    PackedSequence

    Raises
    ------
    ValueError
        If the lengths do not fit the input, one is 0, or they are not sorted although they must be.
    TypeError
        If the lengths are no whole numbers.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.nn.utils.rnn import pack_padded_sequence
    >>> packed = pack_padded_sequence(dnn.tensor([[1, 0], [3, 4]]), [1, 2], batch_first=True, enforce_sorted=False)
    >>> packed.data.tolist(), packed.batch_sizes.tolist(), packed.sorted_indices.tolist()
    ([3, 1, 4], [2, 1], [1, 0])
    """
    op = "pack_padded_sequence"
    check_tensors(op, input=input)
    sizes = _whole_numbers(op, "lengths", lengths)
    if input.ndim < 2:
        raise ValueError(f"{op}: expected an input of at least 2 dimensions, got shape {tuple(input.shape)}")
    batch, steps = input.shape[:2] if batch_first else (input.shape[1], input.shape[0])
    if sizes.size != batch:
        raise ValueError(f"{op}: expected {batch} lengths for an input of shape {tuple(input.shape)}, got {sizes.size}")
    if batch == 0:
        raise ValueError(f"{op}: expected at least one sequence, got an input of shape {tuple(input.shape)}")
    if sizes.min() < 1 or sizes.max() > steps:
        hint = "; a layer's lengths= takes 0" if sizes.min() == 0 else ""
        raise ValueError(f"{op}: expected lengths from 1 to {steps}, got {sizes.min()} to {sizes.max()}{hint}")
    rows = input.reshape(steps * batch, *input.shape[2:])
    first, stride = (np.arange(batch) * steps, 1) if batch_first else (np.arange(batch), batch)
    return _packed(op, rows, sizes, enforce_sorted, first, stride)


def _elements(op: str, packed: PackedSequence) -> tuple[np.ndarray, np.ndarray]:
    """Return the step and the sequence of every row of packed data."""
    if not isinstance(packed, PackedSequence):
        raise TypeError(f"{op}: expected a PackedSequence, got {type(packed).__name__}")
    shape = tuple(packed.data.shape)
    sizes = _whole_numbers(op, "batch_sizes", packed.batch_sizes)
    if np.any(sizes < 1) or np.any(np.diff(sizes) > 0):
        raise ValueError(f"{op}: expected batch_sizes that are positive and never grow, got {sizes.tolist()}")
    total = sum(sizes.tolist())  # of Python's numbers, which do not overflow
    if shape[:1] != (total,):
        raise ValueError(f"{op}: expected packed data of {total} rows, the sum of its batch_sizes, got shape {shape}")
    step, place = _runs(sizes)
    if packed.sorted_indices is None:
        return step, place
    order = _permutation(op, "sorted_indices", packed.sorted_indices)
    if order.size != sizes.max(initial=0):
        raise ValueError(f"{op}: expected sorted_indices of {sizes.max(initial=0)} sequences, got {order.size}")
    return step, order[place]


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """Pad a packed batch of sequences; the inverse of `pack_padded_sequence`.

    Parameters
    ----------
    sequence : PackedSequence
    batch_first : bool, default False
        Whether the result is (B, T, ...) instead of (T, B, ...).
    padding_value : float, default 0
        What the padding holds.
    total_length : int, optional
        T; the longest length when not given.

    Returns
    -------
    padded : Tensor of shape (T, B, ...) or (B, T, ...)
        The sequences in the order in which they were packed.
    lengths : Tensor of B int64

    Raises
    ------
    ValueError
        If `total_length` is below the longest length, or the batch sizes do not fit the data.
    TypeError
        If `sequence` is no PackedSequence, `padding_value` no number, or `total_length` no whole number.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.nn.utils.rnn import pack_sequence, pad_packed_sequence
    >>> padded, lengths = pad_packed_sequence(pack_sequence([dnn.tensor([1, 2]), dnn.tensor([3])]), batch_first=True)
    >>> padded.tolist(), lengths.tolist()
    ([[1, 2], [3, 0]], [2, 1])
    """
    op = "pad_packed_sequence"
    step, place = _elements(op, sequence)
    lengths = np.bincount(place)
    batch, longest = lengths.size, int(lengths.max(initial=0))
    steps = longest if total_length is None else total_length
    check_at_least(op, 0, total_length=steps)
    if steps < longest:
        raise ValueError(f"{op}: expected total_length of at least {longest}, the longest length, got {total_length}")
    rows = place * steps + step if batch_first else step * batch + place
    shape = (batch, steps) if batch_first else (steps, batch)
    return _spread(op, sequence.data, rows, (*shape, *sequence.data.shape[1:]), padding_value), _integers(lengths)


def _checked_sequences(op: str, sequences: Iterable[Tensor]) -> list[Tensor]:
    if not isinstance(sequences, Iterable):
        raise TypeError(f"{op}: expected a list of tensors, got {type(sequences).__name__}")
    found = list(sequences)
    if not found:
        raise ValueError(f"{op}: expected at least one sequence, got none")
    for sequence in found:
        check_tensors(op, sequence=sequence)
        if sequence.ndim == 0 or sequence.shape[1:] != found[0].shape[1:]:
            shapes = [tuple(each.shape) for each in found]
            raise ValueError(f"{op}: expected sequences of shape (length, ...) that differ in length alone, got {shapes}")
    return found


def pad_sequence(
    sequences: Iterable[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Stack sequences of several lengths, padded to the longest.

    Parameters
    ----------
    sequences : iterable of Tensor of shape (length, ...)
    batch_first : bool, default False
        Whether the result is (B, T, ...) instead of (T, B, ...).
    padding_value : float, default 0
        What the padding holds.
    padding_side : {"right", "left"}, default "right"
        Where the padding lies.

    Returns
    -------
    Tensor of shape (T, B, ...) or (B, T, ...)

    Raises
    ------
    ValueError
        If there is no sequence, or they differ in more than their length.
    TypeError
        If a sequence is no tensor, or `padding_value` no number.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.nn.utils.rnn import pad_sequence
    >>> pad_sequence([dnn.tensor([1, 2]), dnn.tensor([3])], batch_first=True, padding_value=-1).tolist()
    [[1, 2], [3, -1]]
    """
    op = "pad_sequence"
    found = _checked_sequences(op, sequences)
    if padding_side not in ("right", "left"):
        raise ValueError(f"{op}: expected padding_side 'right' or 'left', got {padding_side!r}")
    lengths = np.array([len(sequence) for sequence in found])
    batch, steps = lengths.size, int(lengths.max())
    place, step = _runs(lengths)
    if padding_side == "left":
        step = step + (steps - lengths)[place]
    rows = place * steps + step if batch_first else step * batch + place
    shape = (batch, steps) if batch_first else (steps, batch)
    return _spread(op, _core.cat(found, 0), rows, (*shape, *found[0].shape[1:]), padding_value)


def unpad_sequence(padded_sequences: Tensor, lengths: Sequence[int] | Tensor, batch_first: bool = False) -> list[Tensor]:
    """Take a padded batch apart; the inverse of `pad_sequence`.

    Parameters
    ----------
    padded_sequences : Tensor of shape (T, B, ...), or (B, T, ...) with `batch_first`
    lengths : sequence of int or Tensor of B whole numbers from 0 to T
    batch_first : bool, default False

    Returns
    -------
    list of Tensor of shape (length, ...)
        Views of the batch.

    Raises
    ------
    ValueError
        If the lengths do not fit the batch.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.nn.utils.rnn import unpad_sequence
    >>> [x.tolist() for x in unpad_sequence(dnn.tensor([[1, 2], [3, 0]]), [2, 1], batch_first=True)]
    [[1, 2], [3]]
    """
    op = "unpad_sequence"
    check_tensors(op, padded_sequences=padded_sequences)
    sizes = _whole_numbers(op, "lengths", lengths)
    if padded_sequences.ndim < 2:
        raise ValueError(f"{op}: expected a batch of at least 2 dimensions, got shape {tuple(padded_sequences.shape)}")
    batch = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    if sizes.size != batch.shape[0]:
        raise ValueError(f"{op}: expected {batch.shape[0]} lengths, got {sizes.size}")
    if sizes.size and (sizes.min() < 0 or sizes.max() > batch.shape[1]):
        raise ValueError(f"{op}: expected lengths from 0 to {batch.shape[1]}, got {sizes.min()} to {sizes.max()}")
    return [batch[i, :length] for i, length in enumerate(sizes.tolist())]


def pack_sequence(sequences: Iterable[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences of several lengths.

    Parameters
    ----------
    sequences : iterable of Tensor of shape (length, ...)
    enforce_sorted : bool, default True
        Whether they must come from the longest to the shortest; else they are sorted here.

    Returns
    -------
    PackedSequence

    Raises
    ------
    ValueError
        If there is no sequence or one is empty, they differ in more than their length, or are not sorted although they must.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.nn.utils.rnn import pack_sequence
    >>> pack_sequence([dnn.tensor([1, 2, 3]), dnn.tensor([4, 5])]).data.tolist()
    [1, 4, 2, 5, 3]
    """
    op = "pack_sequence"
    found = _checked_sequences(op, sequences)
    lengths = np.array([len(sequence) for sequence in found])
    check_at_least(op, 1, lengths=lengths.min())
    return _packed(op, _core.cat(found, 0), lengths, enforce_sorted, np.cumsum(lengths) - lengths, 1)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Take a packed batch apart; the inverse of `pack_sequence`.

    Parameters
    ----------
    packed_sequences : PackedSequence

    Returns
    -------
    list of Tensor of shape (length, ...)
        In the order in which they were packed.

    Raises
    ------
    ValueError
        If the batch sizes do not fit the data.
    TypeError
        If `packed_sequences` is no PackedSequence.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.nn.utils.rnn import pack_sequence, unpack_sequence
    >>> [x.tolist() for x in unpack_sequence(pack_sequence([dnn.tensor([1, 2]), dnn.tensor([3])]))]
    [[1, 2], [3]]
    """
    _, place = _elements("unpack_sequence", packed_sequences)
    rows = np.argsort(place, kind="stable")
    return list(
        packed_sequences.data.index_select(0, _integers(rows).to(packed_sequences.data.device)).split(np.bincount(place).tolist())
    )
