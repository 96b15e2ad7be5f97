"""Sequences of several lengths in one tensor."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from dnncore import _core
from dnncore._core import Tensor

__all__ = ["sequence_mask"]


def sequence_mask(lengths: Tensor | Sequence[int], maxlen: int | None = None, dtype: _core.dtype = _core.bool) -> Tensor:
    """Return which steps of padded sequences count: step t of a sequence does if t is below its length.

    As a factor it leaves padding out of a sum or mean; ``Model.fit(x, y, sample_weight=mask)`` takes it for losses and metrics.

    Parameters
    ----------
    lengths : Tensor of shape (...), int64 or int32, or sequence of int
        Steps of each sequence, from 0 to `maxlen`.
    maxlen : int, optional
        Steps of all; the largest length when not given, which is read on the host: a captured step gives it.
    dtype : dtype, default bool
        Of the result.

    Returns
    -------
    Tensor of shape (..., maxlen)

    Raises
    ------
    TypeError
        If the lengths are not whole numbers.
    ValueError
        If a length is negative or above `maxlen`.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.sequence_mask([2, 0, 3], dtype=dnn.int64).tolist()
    [[1, 1, 0], [0, 0, 0], [1, 1, 1]]
    """
    given = lengths if isinstance(lengths, Tensor) else _core.tensor([*map(operator.index, lengths)], dtype=_core.int64)
    if given.dtype not in (_core.int64, _core.int32):
        raise TypeError(f"sequence_mask: expected int64 or int32 lengths, got {given.dtype}; use lengths.long()")
    if maxlen is None:
        maxlen = int(given.max().item()) if given.numel() else 0
        maxlen = max(maxlen, 0)
    if maxlen < 0:
        raise ValueError(f"sequence_mask: expected maxlen of at least 0, got {maxlen}")
    _core._refuse_if(
        ((given < 0) | (given > maxlen)).any(), f"sequence_mask: expected lengths from 0 to {maxlen}, got some outside"
    )
    return (_core.arange(maxlen, device=given.device) < given.unsqueeze(-1)).to(dtype)
