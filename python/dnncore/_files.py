"""Files: regular ones opened, others written atomically and durably."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_CHUNK = 1 << 26  # bytes written between two chances for Ctrl-C


def open_regular(path: str, op: str, flags: int = 0) -> Any:
    """Open a regular file for reading, without buffer; OSError if it is anything else."""
    descriptor = os.open(path, os.O_RDONLY | flags | getattr(os, "O_NONBLOCK", 0))  # a pipe must not make it wait
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{op}: expected a regular file, got {path}")
    return open(descriptor, "rb", buffering=0)


def write_atomically(path: str | os.PathLike[str], chunks: Iterable[bytes | memoryview]) -> None:
    """Write `chunks` to `path` so that at any moment the old file or the complete new one is there.

    The bytes go to a temporary file in the same folder and reach the disk before it takes the name; the folder is synced after.
    On any failure the temporary file is removed, the old file stands, and the error is raised.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        try:
            for chunk in chunks:
                _write_all(descriptor, memoryview(chunk).cast("B"))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(target.parent)


def _write_all(descriptor: int, data: memoryview) -> None:
    while len(data):
        written = os.write(descriptor, data[:_CHUNK])
        if written <= 0:
            raise OSError(f"write: {len(data)} bytes left and the system accepts no more")
        data = data[written:]


def sync_folder(folder: Path) -> None:
    """Let the names in a folder reach the disk."""
    if os.name != "posix":
        return  # a folder cannot be opened there; the rename itself is journaled
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
