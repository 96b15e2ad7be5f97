"""Batches of sequences of several lengths: padded, packed, and from one to the other, under PyTorch's names.

Layers take padded batches with ``lengths=`` as well, in any order and without packing: see `dnncore.nn.LSTM`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dnncore import _core
from dnncore._checks import check_tensors
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
        Its inverse, which puts the sorted ones back; worked out when not given.

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
        """Work out the inverse of `sorted_indices` where it is not given."""
        check_tensors("PackedSequence", data=data, batch_sizes=batch_sizes)
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Return the same with data converted as by `Tensor.to`; itself where nothing changes."""
        data = self.data.to(*args, **kwargs)
        return self if data is self.data else PackedSequence(data, *self[1:])

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


def _lengths_of(op: str, lengths: Sequence[int] | Tensor) -> np.ndarray:
    found = np.asarray(lengths.tolist() if isinstance(lengths, Tensor) else lengths)
    if found.size == 0:
        found = found.astype(np.int64)
    if not np.issubdtype(found.dtype, np.integer):
        raise TypeError(f"{op}: expected lengths as whole numbers, got {found.dtype}")
    if found.ndim != 1:
        raise ValueError(f"{op}: expected lengths of one dimension, got shape {found.shape}")
    return found.astype(np.int64)


def _integers(values: np.ndarray) -> Tensor:
    return _core.from_numpy(np.ascontiguousarray(values, dtype=np.int64))


def _spread(data: Tensor, rows: np.ndarray, shape: tuple[int, ...], value: float) -> Tensor:
    """Return `value` everywhere but in the rows of the first two dimensions that hold `data`."""
    total = shape[0] * shape[1]
    padded = _core.full((total, *shape[2:]), value, dtype=data.dtype)
    return padded.index_copy(0, _integers(rows), data).reshape(shape)


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
    check_tensors("invert_permutation", permutation=permutation)
    order = _lengths_of("invert_permutation", permutation)
    if not np.array_equal(np.sort(order), np.arange(order.size)):
        raise ValueError(f"invert_permutation: expected each of 0 to {order.size - 1} once, got {order.tolist()}")
    return _integers(np.argsort(order, kind="stable"))


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
    sizes = _lengths_of(op, lengths)
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
    if enforce_sorted and np.any(np.diff(sizes) > 0):
        raise ValueError(
            f"{op}: expected lengths from the longest to the shortest, got {sizes.tolist()}; pass enforce_sorted=False"
        )
    order = np.argsort(-sizes, kind="stable")
    step, place = np.nonzero(sizes[order] > np.arange(sizes.max())[:, None])
    rows = order[place] * steps + step if batch_first else step * batch + order[place]
    flat = input.reshape(steps * batch, *input.shape[2:])
    indices = None if enforce_sorted else _integers(order)
    return PackedSequence(flat.index_select(0, _integers(rows)), _integers(np.bincount(step)), indices)


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
        If `total_length` is below the longest length.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.nn.utils.rnn import pack_sequence, pad_packed_sequence
    >>> padded, lengths = pad_packed_sequence(pack_sequence([dnn.tensor([1, 2]), dnn.tensor([3])]), batch_first=True)
    >>> padded.tolist(), lengths.tolist()
    ([[1, 2], [3, 0]], [2, 1])
    """
    op = "pad_packed_sequence"
    if not isinstance(sequence, PackedSequence):
        raise TypeError(f"{op}: expected a PackedSequence, got {type(sequence).__name__}")
    data, _, _, back = sequence
    sizes = _lengths_of(op, sequence.batch_sizes)
    batch, longest = int(sizes.max(initial=0)), sizes.size
    steps = longest if total_length is None else total_length
    if steps < longest:
        raise ValueError(f"{op}: expected total_length of at least {longest}, the longest length, got {total_length}")
    runs = np.arange(batch) < sizes[:, None]
    step, place = np.nonzero(runs)
    lengths = runs.sum(0)
    if back is not None:
        inverse = _lengths_of(op, back)
        place, lengths = np.argsort(inverse, kind="stable")[place], lengths[inverse]
    rows = place * steps + step if batch_first else step * batch + place
    shape = (batch, steps) if batch_first else (steps, batch)
    return _spread(data, rows, (*shape, *data.shape[1:]), padding_value), _integers(lengths)


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
    place, step = np.nonzero(np.arange(steps) < lengths[:, None])
    if padding_side == "left":
        step = step + (steps - lengths)[place]
    rows = place * steps + step if batch_first else step * batch + place
    shape = (batch, steps) if batch_first else (steps, batch)
    return _spread(_core.cat(found, 0), rows, (*shape, *found[0].shape[1:]), padding_value)


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
    sizes = _lengths_of(op, lengths)
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
        As `pad_sequence` and `pack_padded_sequence`.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.nn.utils.rnn import pack_sequence
    >>> pack_sequence([dnn.tensor([1, 2, 3]), dnn.tensor([4, 5])]).data.tolist()
    [1, 4, 2, 5, 3]
    """
    found = _checked_sequences("pack_sequence", sequences)
    return pack_padded_sequence(pad_sequence(found), [len(sequence) for sequence in found], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Take a packed batch apart; the inverse of `pack_sequence`.

    Parameters
    ----------
    packed_sequences : PackedSequence

    Returns
    -------
    list of Tensor of shape (length, ...)
        In the order in which they were packed.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.nn.utils.rnn import pack_sequence, unpack_sequence
    >>> [x.tolist() for x in unpack_sequence(pack_sequence([dnn.tensor([1, 2]), dnn.tensor([3])]))]
    [[1, 2], [3]]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
