"""Tar archives read in order and in memory: nothing is written to the disk, so no name in them can lead anywhere."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnncore.data._data_file import DataFile

_BLOCK = 512
_PADDING = 1 << 20  # zeros that may follow; tar itself writes up to 10 KiB
_MEMBERS = 100
_FILE, _FOLDER = b"0\0", b"5"
_NOTES = b"xg"  # times and owners, for the member that follows or for all


class _Header(NamedTuple):
    """What a block says about the member that follows it."""

    name: str
    size: int
    kind: bytes


def read_members(file: DataFile, wanted: dict[str, int]) -> tuple[dict[str, NDArray[np.uint8]], list[str]]:
    """Return the contents of the wanted members, at most so many bytes each, and the names of all files."""
    found: dict[str, NDArray[np.uint8]] = {}
    names: list[str] = []
    for _ in range(_MEMBERS):
        block = file.read(_BLOCK)
        if not any(block):
            file.check_end(_PADDING)
            return found, names
        header = _parse(block, file.where)
        if header.kind in _FILE:
            names.append(header.name)
        if header.size > wanted.get(header.name, header.size):
            raise ValueError(f"{file.where}: {header.name} has {header.size} bytes, expected at most {wanted[header.name]}")
        if header.name in found:
            raise ValueError(f"{file.where} is damaged: {header.name} is there twice")
        content = file.read_array(header.size)
        file.read_array(-header.size % _BLOCK)
        if header.name in wanted and header.kind in _FILE:
            found[header.name] = content
    raise ValueError(f"{file.where} has more than {_MEMBERS} members; the published archive has fewer than 10")


def _parse(block: bytes, where: str) -> _Header:
    """Read a header of POSIX 1003.1 (ustar), whose numbers are octal text."""
    size, checksum = _octal(block[124:136]), _octal(block[148:156])
    if size is None or checksum != sum(block[:148]) + sum(b" " * 8) + sum(block[156:]):
        raise ValueError(f"{where} is not a tar archive, or it is damaged: a header does not match its checksum")
    prefix = block[345:500] if block[257:263] == b"ustar\0" else b""
    name = "/".join(_text(part) for part in (prefix, block[:100]) if part.strip(b"\0")).removeprefix("./")
    kind = block[156:157]
    if kind not in _FILE + _FOLDER + _NOTES:
        raise ValueError(f"{where}: {name!r} is neither a file nor a folder (kind {kind!r}); links and devices are refused")
    if kind not in _NOTES and (name.startswith("/") or ".." in name.split("/")):
        raise ValueError(f"{where}: {name!r} leads out of the archive")
    return _Header(name, size, kind)


def _octal(field: bytes) -> int | None:
    digits = field.strip(b" \0")
    return int(digits, 8) if digits and not digits.strip(b"01234567") else None


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "backslashreplace")
