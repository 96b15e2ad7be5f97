"""CSV files as records of text cells, with the places that messages name."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_DELIMITERS = ",;\t|"
_SNIFFED_ROWS = 20
_SNIFFED_TEXT = 1 << 16
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "?"})


def is_number(cell: str) -> bool:
    """Tell whether a cell holds a number; infinities are such, and refused where they are read."""
    return _NUMBER.fullmatch(cell) is not None or _NOT_FINITE.fullmatch(cell) is not None


def is_missing(cell: str) -> bool:
    """Tell whether a cell is empty or one of the usual marks for a missing value."""
    return cell.casefold() in _MISSING


def plain_numbers(cells: list[str]) -> NDArray[np.float64] | None:
    """Return finite numbers all at once, ten times faster than cell by cell; None where one cell is something else."""
    text = "".join(cells)
    if "_" in text or not text.isascii():  # float() takes more than is_number()
        return None
    try:
        values = np.array(list(map(float, cells)))
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None


class Records(NamedTuple):
    """Rows of stripped cells under names, and where they come from."""

    source: str  # how messages begin: "read_csv: iris.csv"
    unit: str  # what `lines` counts
    delimiter: str
    header: bool
    names: list[str]
    rows: list[list[str]]
    lines: list[int]

    def place(self, row: int, name: str) -> str:
        """Return how a message about a cell begins."""
        return f"{self.source}, {self.unit} {self.lines[row]}, column {name!r}"


def read_records(path: str | os.PathLike[str], delimiter: str | None, header: bool | None, encoding: str) -> Records:
    """Read a whole file; ValueError names the line of whatever is wrong with its form."""
    name = Path(path).name
    text = _decoded(Path(path).read_bytes(), name, encoding)
    if delimiter is None:
        delimiter = _sniffed(text)
    elif len(delimiter) != 1:
        raise ValueError(f"read_csv: expected a delimiter of one character, got {delimiter!r}")
    numbered = list(_parsed(text, delimiter, name))
    if not numbered:
        raise ValueError(f"read_csv: {name} is empty")
    if header is None:
        header = not any(is_number(cell) for cell in numbered[0][1]) and any(numbered[0][1])
    width = len(numbered[0][1])
    names = _names(numbered[0][1] if header else [""] * width, name)
    for line, cells in numbered:
        if len(cells) != width:
            raise ValueError(
                f"read_csv: {name}, line {line}: expected {width} cells as in line {numbered[0][0]}, got {len(cells)}"
            )
    body = numbered[header:]
    if not body:
        raise ValueError(f"read_csv: {name} has no rows below its header; header=False where the first line is data")
    return Records(f"read_csv: {name}", "line", delimiter, header, names, [row for _, row in body], [line for line, _ in body])


def _decoded(data: bytes, name: str, encoding: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"read_csv: {name}, line {line}: byte 0x{data[error.start]:02x} is not {error.encoding}; give the encoding, "
            "often 'latin-1' or 'utf-16'"
        ) from None
    except LookupError:
        raise ValueError(f"read_csv: unknown encoding {encoding!r}") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"read_csv: {name}, line {line}: a zero byte; the file is no text, or its encoding is 'utf-16'")
    return text


def _parsed(text: str, delimiter: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line of each record and its cells; lines without content are left out."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ValueError(f"read_csv: {name}, record that begins in line {line}: {error}") from None
        if cells is None:
            return
        cells = [cell.strip() for cell in cells]
        if len(cells) > 1 or any(cells):
            yield line, cells


def _sniffed(text: str) -> str:
    """Return the delimiter that cuts the first rows into most cells, the same number in each."""
    start = text[:_SNIFFED_TEXT]
    best, most = "", 1
    for delimiter in _DELIMITERS:
        rows = list(islice(csv.reader(io.StringIO(start, newline=""), delimiter=delimiter, skipinitialspace=True), _SNIFFED_ROWS))
        if len(text) > len(start) and len(rows) > 1 and len(rows) < _SNIFFED_ROWS:
            rows.pop()  # cut off
        widths = {len(row) for row in rows if row}
        if len(widths) == 1 and (width := widths.pop()) > most:
            best, most = delimiter, width
    first_line = start.partition("\n")[0]
    return best or max(_DELIMITERS, key=first_line.count)


def _names(cells: list[str], file: str) -> list[str]:
    names = [cell or f"column{i}" for i, cell in enumerate(cells, 1)]
    for i, name in enumerate(names):
        first = names.index(name)
        if first < i:
            raise ValueError(f"read_csv: {file}: columns {first + 1} and {i + 1} are both named {name!r}")
    return names
