"""Published data sets: where their files are kept here, and where they come from when that is asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from dnncore._extras import require


class Published(NamedTuple):
    """Files by name with their SHA-256, and the addresses they lie under, the first one tried first."""

    name: str
    mirrors: tuple[str, ...]
    files: dict[str, str]


def folder_of(root: str | os.PathLike[str] | None, name: str) -> Path:
    """Return the folder of a data set: the one given, else its own below the user's cache."""
    if root is not None:
        return Path(root)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dnncore" / name


def fetch(source: Published, name: str, folder: Path, op: str) -> None:
    """Download one file from the first mirror that has it with the right hash."""
    pooch = require("pooch", "data", op)
    failures = []
    for mirror in source.mirrors:
        try:
            pooch.retrieve(mirror + name, f"sha256:{source.files[name]}", fname=name, path=folder, progressbar=True)
        except (OSError, ValueError) as error:
            failures.append(f"{mirror}: {error}")
        else:
            return
    raise OSError(f"{op}: {name} could not be downloaded; put it into {folder} yourself. Tried\n  " + "\n  ".join(failures))


def missing(op: str, source: Published, names: list[str], folder: Path, note: str = "") -> FileNotFoundError:
    """Return the error for files that are not there, with the two ways to get them."""
    return FileNotFoundError(
        f"{op}: {' and '.join(names)} not found in {folder}{note}; either call {op} with download=True, or put there what "
        f"{source.mirrors[0]} has as {', '.join(source.files)}"
    )
