"""IDX files, the format of MNIST: two zero bytes, type, rank, sizes and values, big-endian."""

from __future__ import annotations

import math
import os

import numpy as np

from dnncore import _core
from dnncore._core import Tensor
from dnncore.data._data_file import DataFile

# Type in the file, and as which it is held; there are no tensors of signed integers below 32 bits.
_TYPES: dict[int, tuple[str, str]] = {
    0x08: (">u1", "uint8"),
    0x09: (">i1", "int32"),
    0x0B: (">i2", "int32"),
    0x0C: (">i4", "int32"),
    0x0D: (">f4", "float32"),
    0x0E: (">f8", "float64"),
}
_RANK_CAP = 16  # of a tensor


def read_idx(path: str | os.PathLike[str]) -> Tensor:
    """Read an IDX file, the format of MNIST and its relatives, packed with gzip or not.

    Whether it is packed is seen by its content. Everything is checked before memory is taken for the values: the magic number,
    type, rank, and whether the sizes fit the bytes of the file. The file must end where the values end. A packed file may hold
    at most 200 times its own size (16 MiB always, 4 GiB never more).

    Parameters
    ----------
    path : path-like
        The file to read.

    Returns
    -------
    Tensor
        The values in the file's shape: uint8, int32, float32 or float64 as in the file; int32 also for signed integers of 8
        and 16 bits.

    Raises
    ------
    ValueError
        If the file is not an IDX file, is damaged, cut off or followed by other bytes, or unpacks to more than the caps.
    OSError
        If the file cannot be read or is not a regular file.

    References
    ----------
    Y. LeCun, C. Cortes, C. Burges: The MNIST database of handwritten digits, "The IDX file format", 1998.

    Examples
    --------
    >>> import os, tempfile
    >>> from dnncore.data import read_idx
    >>> path = os.path.join(tempfile.mkdtemp(), "labels-idx1-ubyte")
    >>> with open(path, "wb") as file:
    ...     file.write(bytes([0, 0, 8, 1]) + (3).to_bytes(4, "big") + bytes([5, 0, 4]))
    11
    >>> read_idx(path).tolist()
    [5, 0, 4]
    """
    with DataFile(path, "read_idx") as file:
        stored, held, shape = _read_header(file)
        count = math.prod(shape)
        values = file.read_array(count * stored.itemsize).view(stored)
        file.check_end()
    return _core.from_numpy(values.astype(held, copy=False).reshape(shape))


def _read_header(file: DataFile) -> tuple[np.dtype[np.generic], np.dtype[np.generic], tuple[int, ...]]:
    magic = file.read(4)
    if magic[:2] != b"\0\0" or magic[2] not in _TYPES:
        known = ", ".join(f"{code:02x}" for code in _TYPES)
        raise ValueError(
            f"{file.where} is not an IDX file: expected it to begin with 00 00 and one of {known}, got {magic[:3].hex(' ')}"
        )
    rank = magic[3]
    if not 1 <= rank <= _RANK_CAP:
        raise ValueError(f"{file.where}: expected 1 to {_RANK_CAP} dimensions, got {rank}")
    shape = tuple(np.frombuffer(file.read(4 * rank), ">u4").tolist())
    stored, held = (np.dtype(name) for name in _TYPES[magic[2]])
    if math.prod(max(n, 1) for n in shape) * held.itemsize >= 1 << 63:
        raise ValueError(f"{file.where}: sizes {shape} are too large: their bytes do not fit in 63 bits")
    return stored, held, shape
