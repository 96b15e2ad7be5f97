"""Minibatches of tensors that fit in memory."""

from __future__ import annotations

from collections.abc import Iterator

from dnncore import _core
from dnncore._core import Generator, Tensor


def batches(
    *tensors: Tensor, batch_size: int, shuffle: bool = True, drop_last: bool = False, generator: Generator | None = None
) -> Iterator[tuple[Tensor, ...]]:
    """Walk once through `tensors` in minibatches, in a new random order at every call.

    Parameters
    ----------
    *tensors : Tensor of shape (N, ...)
        Tensors whose first sizes are equal; row i of each belongs to sample i.
    batch_size : int
        Samples per batch; the last batch has what is left.
    shuffle : bool, default True
        Whether to draw a new order; else the order of the rows.
    drop_last : bool, default False
        Whether to leave out a last batch that is not full.
    generator : Generator, optional
        Where the order is drawn from; the default generator when not given.

    Yields
    ------
    tuple of Tensor
        One tensor of at most `batch_size` rows for each of `tensors`.

    Raises
    ------
    ValueError
        If there is no tensor, the first sizes differ, or `batch_size` is not positive.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data import batches
    >>> x = dnn.arange(5)
    >>> [xb.tolist() for (xb,) in batches(x, batch_size=2, shuffle=False)]
    [[0, 1], [2, 3], [4]]
    """
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if not shapes or any(shape[:1] != shapes[0][:1] or not shape for shape in shapes):
        raise ValueError(f"batches: expected tensors of one first size, got shapes {', '.join(map(str, shapes)) or 'none'}")
    if batch_size < 1:
        raise ValueError(f"batches: expected batch_size of at least 1, got {batch_size}")
    count = shapes[0][0]
    stop = count - count % batch_size if drop_last else count
    return _walk(tensors, count, stop, batch_size, generator, shuffle)


def _walk(
    tensors: tuple[Tensor, ...], count: int, stop: int, batch_size: int, generator: Generator | None, shuffle: bool
) -> Iterator[tuple[Tensor, ...]]:
    order = _core.randperm(count, generator=generator, device="cpu") if shuffle else None
    for start in range(0, stop, batch_size):
        end = min(start + batch_size, stop)
        rows = slice(start, end) if order is None else order[start:end]
        yield tuple(tensor[rows] for tensor in tensors)
