"""What the sources of the command line share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnncore import _core
from dnncore._core import Tensor
from dnncore.data import stratified_split

_HELD_OUT = 0.2  # of data that comes in one part
_SPLIT_SEED = 1998  # fixed: every run is judged on the same samples


class Rows(NamedTuple):
    """Inputs as the network takes them, and targets as the loss does."""

    x: Tensor
    y: Tensor


def parts(y: Tensor, classes: bool) -> tuple[Tensor, Tensor]:
    """Return the samples to train on and those held out; of classes the same share each."""
    generator = _core.Generator().manual_seed(_SPLIT_SEED)
    if classes:
        return stratified_split(y, _HELD_OUT, generator)
    order = _core.randperm(len(y), generator=generator)
    count = max(1, round(_HELD_OUT * len(y)))
    return order[count:], order[:count]


def array_of(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the samples of a ``.npy`` file, (N, *shape); one may come alone, and they may be flat."""
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        raise ValueError(f"{path}: not a .npy file of numbers") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise ValueError(f"{path}: expected one array of numbers")
    features = math.prod(shape)
    if array.size == 0 or math.prod(array.shape[array.ndim > 1 :]) != features:  # one sample may come alone
        allowed = " or ".join(str(("N", *each)).replace("'", "") for each in dict.fromkeys((shape, (features,))))
        raise ValueError(f"{path}: expected an array of shape {allowed}, got {array.shape}")
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(values).all():
        raise ValueError(
            f"{path}: expected finite numbers that float32 can hold, got values from {values.min():g} to {values.max():g}"
        )
    return values.reshape(-1, *shape)
