"""From columns of text to tensors: numbers, categories and targets, in a form that can be stored and applied again."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnncore import _core
from dnncore._core import Tensor
from dnncore.data._csv_file import Records, is_missing, is_number, plain_numbers, read_records

_VERSION = 1
_LARGEST = float(np.finfo(np.float32).max)


class Column(NamedTuple):
    """A feature: its kind, and what cells become."""

    name: str
    kind: str  # "numeric" or "categorical"
    given: bool  # the user named the kind: then only an empty category is missing
    mean: float | None  # of a numeric column, where missing cells become it
    categories: list[str] | None

    @property
    def lacks(self) -> Callable[[str], bool]:
        """What tells whether a cell counts as missing."""
        return lacking(self.given and self.kind == "categorical")


class Target(NamedTuple):
    """The column to predict."""

    name: str
    task: str  # "classification" or "regression"
    classes: list[Any] | None  # int or str, by class number


@dataclass(frozen=True)
class Table:
    r"""Rows of a file as tensors.

    Attributes
    ----------
    x : Tensor of shape (N, F), float32
        Numeric columns, and categories as one-hot columns.
    codes : Tensor of shape (N, K), int64, or None
        Number of the category in each categorical column, for embeddings; None with one-hot columns.
    y : Tensor of shape (N,), or None
        Targets: class numbers (int64) or values (float32).
    columns : list of str
        Names of the columns of `x`; a one-hot column is ``"name=category"``.
    categories : dict of str to list of str
        Categories of each categorical column by their numbers.
    classes : list of str or of int, or None
        What class numbers mean; None for regression.
    lines : list of int
        Line of the file each row comes from.
    encoder : TableEncoder
        Does the same with other files and rows.

    Examples
    --------
    >>> import os, tempfile
    >>> from dnncore.data import read_csv
    >>> path = os.path.join(tempfile.mkdtemp(), "pets.csv")
    >>> with open(path, "w") as file:
    ...     n = file.write("weight,kind\n4,cat\n30,dog\n5,cat\n")
    >>> read_csv(path, target="kind")
    Table(3 rows, 1 column, target 'kind': 2 classes)
    """

    x: Tensor
    codes: Tensor | None
    y: Tensor | None
    columns: list[str]
    categories: dict[str, list[str]]
    classes: list[Any] | None
    lines: list[int]
    encoder: TableEncoder

    def __repr__(self) -> str:
        parts = [_counted(len(self.lines), "row"), _counted(len(self.columns), "column")]
        if self.codes is not None:
            parts.append(_counted(self.codes.shape[1], "column") + " of codes")
        target = self.encoder.target
        if self.y is not None and target is not None:
            kind = "regression" if target.classes is None else f"{len(target.classes)} classes"
            parts.append(f"target {target.name!r}: {kind}")
        return f"Table({', '.join(parts)})"


class TableEncoder:
    r"""What a table's columns mean: kinds, categories, classes. `read_csv` makes it, ``Table.encoder`` holds it.

    Attributes
    ----------
    columns : list of str
        Names of the columns of ``Table.x``.
    categories : dict of str to list of str
        Categories of each categorical column by their numbers.
    classes : list of str or of int, or None
        What class numbers mean.

    Examples
    --------
    >>> import os, tempfile
    >>> from dnncore.data import TableEncoder, read_csv
    >>> path = os.path.join(tempfile.mkdtemp(), "pets.csv")
    >>> with open(path, "w") as file:
    ...     n = file.write("weight,fur,kind\n4,soft,cat\n30,rough,dog\n5,soft,cat\n20,soft,dog\n")
    >>> encoder = TableEncoder.from_state_dict(read_csv(path, target="kind").encoder.state_dict())
    >>> encoder.columns
    ['weight', 'fur=rough', 'fur=soft']
    >>> encoder.encode([{"weight": 7.5, "fur": "soft"}]).x.tolist()
    [[7.5, 0.0, 1.0]]
    """

    def __init__(
        self,
        names: list[str],
        header: bool,
        features: list[Column],
        target: Target | None,
        *,
        categorical: str,
        missing: str,
        unknown: str,
    ) -> None:
        self.names, self.header, self.features, self.target = names, header, features, target
        self.categorical, self.missing, self.unknown = categorical, missing, unknown

    @property
    def columns(self) -> list[str]:
        """Names of the columns of ``Table.x``."""
        names: list[str] = []
        for feature in self.features:
            if feature.categories is None:
                names.append(feature.name)
            elif self.categorical == "onehot":
                names += [f"{feature.name}={category}" for category in feature.categories]
        return names

    @property
    def categories(self) -> dict[str, list[str]]:
        """Categories of each categorical column by their numbers."""
        return {feature.name: list(feature.categories) for feature in self.features if feature.categories is not None}

    @property
    def classes(self) -> list[Any] | None:
        """What class numbers mean; None for regression and without a target."""
        return None if self.target is None or self.target.classes is None else list(self.target.classes)

    def __repr__(self) -> str:
        target = "no target" if self.target is None else f"target {self.target.name!r}: {self.target.task}"
        return f"TableEncoder({_counted(len(self.features), 'feature')}, {target})"

    def read_csv(
        self,
        path: str | os.PathLike[str],
        *,
        target: bool = True,
        delimiter: str | None = None,
        encoding: str = "utf-8-sig",
    ) -> Table:
        """Read another file with the same columns, in any order; the target may be absent, further columns are ignored.

        Parameters
        ----------
        path : path-like
            The file; without a header its columns are those of the first file, with or without the target.
        target : bool, default True
            Whether to read the target where the file has it; if not, its cells may be empty or anything else.
        delimiter, encoding : str, optional
            As for `read_csv`.

        Returns
        -------
        Table
            ``y`` is None where the file has no target.

        Raises
        ------
        ValueError
            If a column is missing, or a cell cannot be what its column holds.
        OSError
            If the file cannot be read.
        """
        records = read_records(path, delimiter, self.header, encoding)
        if not self.header:
            records = records._replace(names=self._names_by_position(records))
        return self._encoded(records, self.target if target else None)

    def encode(self, rows: Sequence[Mapping[str, object]]) -> Table:
        """Encode rows that are not in a file.

        Parameters
        ----------
        rows : sequence of mapping
            Numbers and strings by column name; None is a missing value.

        Returns
        -------
        Table
            ``y`` is None unless the rows have the target.

        Raises
        ------
        ValueError
            As for files.
        """
        if not rows:
            raise ValueError("encode: expected at least one row, got none")
        wanted = [feature.name for feature in self.features]
        if self.target is not None and all(self.target.name in row for row in rows):
            wanted.append(self.target.name)
        for number, row in enumerate(rows, 1):
            if absent := [name for name in wanted if name not in row]:
                raise ValueError(f"encode: row {number} lacks {', '.join(map(repr, absent))}")
        cells = [["" if row[name] is None else str(row[name]).strip() for name in wanted] for row in rows]
        return self._encoded(Records("encode", "row", ",", True, wanted, cells, list(range(1, len(rows) + 1))), self.target)

    def state_dict(self) -> dict[str, Any]:
        """Return everything as JSON-able values."""
        return {
            "version": _VERSION,
            "names": list(self.names),
            "header": self.header,
            "features": [feature._asdict() for feature in self.features],
            "target": None if self.target is None else self.target._asdict(),
            "categorical": self.categorical,
            "missing": self.missing,
            "unknown": self.unknown,
        }

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> TableEncoder:
        """Make the encoder a state was taken from.

        Raises
        ------
        ValueError
            If the state is none of `state_dict`.
        """
        try:
            if state["version"] != _VERSION:
                raise ValueError(f"from_state_dict: expected a table encoder of version {_VERSION}, got {state['version']!r}")
            features = [Column(**feature) for feature in state["features"]]
            target = None if state["target"] is None else Target(**state["target"])
            rules = {name: state[name] for name in ("categorical", "missing", "unknown")}
            encoder = cls(state["names"], state["header"], features, target, **rules)
        except (KeyError, TypeError) as error:
            raise ValueError(f"from_state_dict: not the state of a table encoder: {error}") from error
        _check_state(encoder)
        return encoder

    def _names_by_position(self, records: Records) -> list[str]:
        names = self.names
        if self.target is not None and len(records.names) == len(names) - 1:
            names = [name for name in names if name != self.target.name]
        if len(records.names) != len(names):
            raise ValueError(f"{records.source}, line {records.lines[0]}: expected {len(names)} cells, got {len(records.names)}")
        return names

    def _encoded(self, records: Records, target: Target | None) -> Table:
        absent = [feature.name for feature in self.features if feature.name not in records.names]
        if absent:
            raise ValueError(
                f"{records.source}: expected columns {', '.join(map(repr, absent))}, got {', '.join(map(repr, records.names))}"
            )
        target = target if target is not None and target.name in records.names else None
        if self.missing == "drop":
            checks = [(records.names.index(feature.name), feature.lacks) for feature in self.features]
            if target is not None:
                checks.append((records.names.index(target.name), is_missing))
            records = without_gaps(records, checks)
        numbers: list[NDArray[np.float64]] = []
        codes: list[NDArray[np.int64]] = []
        for feature in self.features:
            cells = column_of(records, feature.name)
            if feature.categories is None:
                numbers.append(_numbers(records, feature, cells)[:, None])
                continue
            found = _categories(records, feature, cells, self.unknown)
            if self.categorical == "onehot":
                numbers.append((found[:, None] == np.arange(len(feature.categories))).astype(np.float64))
            else:
                codes.append(found)
        count = len(records.rows)
        x = np.concatenate([np.zeros((count, 0)), *numbers], axis=1).astype(np.float32)
        return Table(
            x=_core.from_numpy(x),
            codes=_core.from_numpy(np.stack(codes, axis=1)) if codes else None,
            y=None if target is None else _targets(records, target),
            columns=self.columns,
            categories=self.categories,
            classes=self.classes,
            lines=records.lines,
            encoder=self,
        )


def lacking(any_text: bool) -> Callable[[str], bool]:
    """Return what tells whether a cell counts as missing: where any text may be a category, only an empty one."""
    return operator.not_ if any_text else is_missing


def without_gaps(records: Records, checks: list[tuple[int, Callable[[str], bool]]]) -> Records:
    """Leave out rows in which one of the cells, by position, is missing."""
    kept = [i for i, row in enumerate(records.rows) if not any(lacks(row[at]) for at, lacks in checks)]
    if not kept:
        raise ValueError(f"{records.source}: every row lacks a value")
    return records._replace(rows=[records.rows[i] for i in kept], lines=[records.lines[i] for i in kept])


def column_of(records: Records, name: str) -> list[str]:
    """Return the cells of a column."""
    at = records.names.index(name)
    return [row[at] for row in records.rows]


def number(records: Records, row: int, name: str, cell: str) -> float:
    """Return a cell as a number that float32 can hold."""
    if not is_number(cell):
        raise ValueError(f"{records.place(row, name)}: expected a number, got {cell!r}")
    value = float(cell)
    if not abs(value) <= _LARGEST:
        raise ValueError(f"{records.place(row, name)}: {cell} is beyond the range of float32 (3.4e38)")
    return value


def label(cell: str) -> str | int:
    """Return a class as it is named outside: whole numbers as int."""
    return int(cell) if is_whole(cell) else cell


def is_whole(cell: str) -> bool:
    """Tell whether a cell is a whole number written without a point."""
    return cell.lstrip("+-").isdecimal() and is_number(cell) and len(cell) <= 18


def _numbers(records: Records, feature: Column, cells: list[str]) -> NDArray[np.float64]:
    plain = plain_numbers(cells)
    if plain is not None and np.abs(plain).max() <= _LARGEST:
        return plain
    values = np.empty(len(cells))
    for i, cell in enumerate(cells):
        if not is_missing(cell):
            values[i] = number(records, i, feature.name, cell)
        elif feature.mean is not None:
            values[i] = feature.mean
        else:
            raise ValueError(f"{records.place(i, feature.name)}: a missing value ({cell!r}); {_CURES}")
    return values


_CURES = "fill it in, drop the column, or read with missing='mean' or missing='drop'"


def _categories(records: Records, feature: Column, cells: list[str], unknown: str) -> NDArray[np.int64]:
    """Return the number of each cell's category, -1 for one that is not known."""
    known = {category: i for i, category in enumerate(feature.categories or [])}
    codes = np.empty(len(cells), np.int64)
    for i, cell in enumerate(cells):
        if feature.lacks(cell):
            raise ValueError(
                f"{records.place(i, feature.name)}: a missing category ({cell!r}); read with missing='drop', or name it"
            )
        code = known.get(cell)
        if code is None and unknown == "error":
            known_ones = _some(feature.categories or [])
            raise ValueError(f"{records.place(i, feature.name)}: category {cell!r} was not learned, there are {known_ones}")
        codes[i] = -1 if code is None else code
    return codes


def _targets(records: Records, target: Target) -> Tensor:
    cells = column_of(records, target.name)
    for i, cell in enumerate(cells):
        if is_missing(cell):
            raise ValueError(f"{records.place(i, target.name)}: a missing target ({cell!r}); read with missing='drop'")
    if target.classes is None:
        values = _numbers(records, Column(target.name, "numeric", True, None, None), cells)
        return _core.from_numpy(values.astype(np.float32))
    known = {value: i for i, value in enumerate(target.classes)}
    codes = np.empty(len(cells), np.int64)
    for i, cell in enumerate(cells):
        code = known.get(label(cell), known.get(cell))
        if code is None:
            raise ValueError(f"{records.place(i, target.name)}: class {cell!r} is not one of {_some(target.classes)}")
        codes[i] = code
    return _core.from_numpy(codes)


def _check_state(encoder: TableEncoder) -> None:
    """Refuse states that some other writer made, or that were damaged."""
    names = encoder.names
    used = [feature.name for feature in encoder.features] + ([encoder.target.name] if encoder.target else [])
    sound = (
        isinstance(encoder.header, bool)
        and _strings(names)
        and all(name in names for name in used)
        and encoder.categorical in ("onehot", "codes")
        and encoder.missing in ("error", "mean", "drop")
        and encoder.unknown in ("error", "zero")
        and all(_is_sound(feature) for feature in encoder.features)
        and (encoder.target is None or _is_sound_target(encoder.target))
    )
    if not sound:
        raise ValueError("from_state_dict: not the state of a table encoder")


def _is_sound(feature: Column) -> bool:
    if not isinstance(feature.given, bool):
        return False
    if feature.kind == "numeric":
        mean = feature.mean
        return feature.categories is None and (mean is None or (isinstance(mean, float) and abs(mean) <= _LARGEST))
    return feature.kind == "categorical" and feature.mean is None and _strings(feature.categories)


def _is_sound_target(target: Target) -> bool:
    if target.task == "regression":
        return target.classes is None
    if target.task != "classification" or not isinstance(target.classes, list):
        return False
    return all(type(value) in (int, str) for value in target.classes)


def _strings(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _some(values: Iterable[object]) -> str:
    shown = [repr(value) for value in values]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:7], f"... ({len(shown)})"])


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
