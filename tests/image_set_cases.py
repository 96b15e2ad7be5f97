"""Files that tests of image sets share, written as their descriptions have it."""

from __future__ import annotations

import struct
import zlib

import numpy as np

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(values: np.ndarray) -> bytes:
    """Return an IDX file, written as its description has it."""
    code = CODES[values.dtype.str[1:]]
    sizes = b"".join(struct.pack(">I", n) for n in values.shape)
    return bytes([0, 0, code, values.ndim]) + sizes + values.astype(values.dtype.newbyteorder(">")).tobytes()


def packed_zeros(start: bytes, count: int) -> bytes:
    """Return gzip of `start` and `count` zeros, made in little memory."""
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(start)] + [packer.compress(bytes(1 << 20)) for _ in range(count >> 20)]
    return b"".join([*parts, packer.compress(bytes(count % (1 << 20))), packer.flush()])
