"""Files of data, read once from beginning to end: gzip seen by its content, and caps on what comes out of it."""

from __future__ import annotations

import os
import zlib
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnncore import _core
from dnncore._core import Tensor
from dnncore._files import open_regular

_GZIP = b"\x1f\x8b"
_RATIO = 200  # unpacked to packed size; the published sets of images stay below 10, deflate ends at 1032
_SMALL = 1 << 24  # bytes that any packed file may hold
_CAP = 1 << 32  # bytes that none may
_CHUNK = 1 << 24  # bytes read between two chances for Ctrl-C
_PIECE = 1 << 16  # packed bytes given to zlib together


class _Gunzip:
    """What a packed file holds, its checksums compared; Python's `gzip` reads long names in it byte by byte."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._member = zlib.decompressobj(wbits=31)
        self._piece = b""

    def readinto(self, data: memoryview) -> int:
        while True:
            self._piece = self._piece or self._raw.read(_PIECE)
            if self._member.eof:
                if not self._piece:
                    return 0
                self._member = zlib.decompressobj(wbits=31)
            elif not self._piece:
                raise zlib.error("it ends within what is packed")
            part = self._member.decompress(self._piece, len(data))
            self._piece = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if part:
                data[: len(part)] = part
                return len(part)


class DataFile:
    """A regular file, unpacked where it is gzip; every message begins with the op and names the file."""

    def __init__(self, path: str | os.PathLike[str], op: str) -> None:
        name = os.fspath(path)
        self.where = f"{op}: {name}"
        self._raw: Any = open_regular(name, op)
        self._stream: Any = self._raw
        self.size = self.left = os.fstat(self._raw.fileno()).st_size
        self.packed = self._raw.read(len(_GZIP)) == _GZIP
        self._raw.seek(0)
        if self.packed:
            self.left = min(_CAP, max(_SMALL, _RATIO * self.size))
            self._stream = _Gunzip(self._raw)

    def __enter__(self) -> DataFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._raw.close()

    def check_room(self, size: int) -> None:
        """Refuse, before memory is taken, a content of more bytes than the file can have left."""
        if size <= self.left:
            return
        if self.packed:
            raise ValueError(
                f"{self.where} has {self.size} bytes and is said to unpack to {size}, more than the {self.left} that "
                f"are let ({_RATIO} times its size); if that is no attack, unpack it with gunzip first"
            )
        raise ValueError(f"{self.where} is damaged or cut off: expected {size} more bytes, the file has {self.left}")

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes."""
        return self.read_array(size).tobytes()

    def read_array(self, size: int) -> NDArray[np.uint8]:
        """Return exactly `size` bytes as an array."""
        self.check_room(size)
        values = np.empty(size, np.uint8)
        count = self._fill(values.data)
        if count < size:
            raise ValueError(f"{self.where} is cut off: expected {size - count} more bytes")
        self.left -= size
        return values

    def check_end(self, padding: int = 0) -> None:
        """Refuse bytes after the content, but for zeros up to `padding`; of a packed file this compares the checksum too."""
        tail = bytearray(padding + 1)
        if self._fill(memoryview(tail)) > padding or any(tail):
            raise ValueError(f"{self.where} is damaged: more bytes follow where its content ends")

    def _fill(self, data: memoryview) -> int:
        """Read until `data` is full or the file ends, and return the number of bytes."""
        done = 0
        while done < len(data) and (count := self._read_into(data[done : done + _CHUNK])):
            done += count
        return done

    def _read_into(self, data: memoryview) -> int:
        try:
            return int(self._stream.readinto(data))
        except zlib.error as error:
            raise ValueError(f"{self.where} is damaged or cut off: {error}") from None


def unit_range(pixels: NDArray[np.uint8]) -> Tensor:
    """Return pixels of 8 bits as float32 in [0, 1]."""
    return _core.from_numpy(np.divide(pixels, 255, dtype=np.float32, order="C"))


def check_choice(op: str, name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ValueError that names the choices."""
    if value not in choices:
        raise ValueError(f"{op}: expected {name} {' or '.join(map(repr, choices))}, got {value!r}")
