"""Tables from CSV files."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from typing import Any, Literal

import numpy as np

from dnncore.data._csv_file import Records, is_missing, is_number, plain_numbers, read_records
from dnncore.data.encoder import (
    Column,
    Table,
    TableEncoder,
    Target,
    column_of,
    is_whole,
    label,
    lacking,
    number,
    without_gaps,
)

_MOST_CLASSES = 20  # whole numbers with more different values are taken for a quantity
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)


def read_csv(
    path: str | os.PathLike[str],
    target: str | int | None = None,
    *,
    task: Literal["classification", "regression"] | None = None,
    categorical: Literal["onehot", "codes"] = "onehot",
    kinds: Mapping[str, Literal["numeric", "categorical"]] | None = None,
    drop: Collection[str] = (),
    missing: Literal["error", "mean", "drop"] = "error",
    unknown: Literal["error", "zero"] = "error",
    header: bool | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8-sig",
) -> Table:
    r"""Read a table from a CSV file: features as float32, categories by one-hot columns or codes, and a target.

    A column is numeric if every value in it is a number, else categorical. Cells are stripped of blanks around them. Empty cells,
    ``NA``, ``N/A``, ``NaN``, ``null`` and ``?`` count as missing. Nothing is guessed in silence: ``table.encoder`` tells what was
    made of each column, and does the same with other files and rows.

    Parameters
    ----------
    path : path-like
        The file.
    target : str or int, optional
        Column to predict, by name or position (-1 is the last); without it ``y`` is None.
    task : {"classification", "regression"}, optional
        What the target is. When not given: classes, if it holds text or whole numbers of at most 20 different values that each
        come twice on average; else values.
    categorical : {"onehot", "codes"}, default "onehot"
        Whether categories become columns of zeros and ones in ``x``, or numbers in ``codes`` for embeddings.
    kinds : mapping of str to {"numeric", "categorical"}, optional
        Kinds of columns, where they shall not be told from the values. In a column named as categorical only an empty cell is
        missing.
    drop : collection of str
        Columns to leave out.
    missing : {"error", "mean", "drop"}, default "error"
        What a missing value is: an error; the mean of a numeric column; or a reason to leave out the row, targets included.
    unknown : {"error", "zero"}, default "error"
        What a category that appears first in another file is: an error, or zero in all its one-hot columns.
    header : bool, optional
        Whether the first line holds names. When not given: if none of its cells is a number. Columns without a name are called
        ``column1``, ``column2`` and so on.
    delimiter : str, optional
        What separates cells; when not given the one of comma, semicolon, tab and bar that fits the first rows.
    encoding : str, default "utf-8-sig"
        Encoding of the text: UTF-8 with or without a mark.

    Returns
    -------
    Table
        ``x``, ``y`` and what their columns and numbers mean.

    Raises
    ------
    ValueError
        If the file is empty, no text, or not a table, with the line and the column.
    OSError
        If the file cannot be read.

    References
    ----------
    RFC 4180: Common Format and MIME Type for Comma-Separated Values (CSV) Files, 2005.

    Examples
    --------
    >>> import os, tempfile
    >>> from dnncore.data import read_csv
    >>> path = os.path.join(tempfile.mkdtemp(), "pets.csv")
    >>> with open(path, "w") as file:
    ...     n = file.write("weight,fur,kind\n4,soft,cat\n30,rough,dog\n5,soft,cat\n20,soft,dog\n")
    >>> table = read_csv(path, target="kind")
    >>> table.columns, table.classes
    (['weight', 'fur=rough', 'fur=soft'], ['cat', 'dog'])
    >>> table.x[1].tolist(), table.y.tolist()
    ([30.0, 1.0, 0.0], [0, 1, 0, 1])
    """
    if isinstance(drop, str):
        raise TypeError(f"read_csv: expected drop to be a list of columns, got {drop!r}; write drop=[{drop!r}]")
    _check_choices(task=task, categorical=categorical, missing=missing, unknown=unknown)
    if categorical == "codes" and unknown == "zero":
        raise ValueError("read_csv: unknown='zero' needs categorical='onehot', a code has no zero")
    if task is not None and target is None:
        raise ValueError("read_csv: task needs a target")
    records = read_records(path, delimiter, header, encoding)
    kinds = dict(kinds or {})
    goal = None if target is None else _target_name(records, target)
    _check_names(records, [*kinds, *drop], goal)
    for name, kind in kinds.items():
        _check_choices(**{f"kinds[{name!r}]": kind})
    used = [name for name in records.names if name != goal and name not in drop]
    if not used:
        raise ValueError(f"{records.source}: no column is left for features")
    if missing == "drop":
        records = _complete(records, used if goal is None else [*used, goal], kinds)
    encoder = TableEncoder(
        records.names,
        records.header,
        [_column(records, name, kinds.get(name), missing) for name in used],
        None if goal is None else _target(records, goal, task),
        categorical=categorical,
        missing=missing,
        unknown=unknown,
    )
    return encoder._encoded(records, encoder.target)


_CHOICES = {
    "task": (None, "classification", "regression"),
    "categorical": ("onehot", "codes"),
    "missing": ("error", "mean", "drop"),
    "unknown": ("error", "zero"),
}


def _check_choices(**choices: object) -> None:
    for name, choice in choices.items():
        allowed = _CHOICES.get(name, ("numeric", "categorical"))
        if choice not in allowed:
            raise ValueError(f"read_csv: expected {name} to be {' or '.join(repr(a) for a in allowed)}, got {choice!r}")


def _check_names(records: Records, names: list[str], goal: str | None) -> None:
    for name in names:
        if name not in records.names:
            raise ValueError(f"{records.source}: no column {name!r}; there are {', '.join(map(repr, records.names))}")
        if name == goal:
            raise ValueError(f"{records.source}: column {name!r} is the target; task tells its kind")


def _target_name(records: Records, target: str | int) -> str:
    if isinstance(target, str):
        _check_names(records, [target], None)
        return target
    if isinstance(target, bool) or not isinstance(target, int) or not -len(records.names) <= target < len(records.names):
        raise ValueError(
            f"{records.source}: expected a target among {len(records.names)} columns, by name or position, got {target!r}"
        )
    return records.names[target]


def _complete(records: Records, names: list[str], kinds: Mapping[str, str]) -> Records:
    """Leave out rows that lack something."""
    checks = [(records.names.index(name), lacking(kinds.get(name) == "categorical")) for name in names]
    return without_gaps(records, checks)


def _column(records: Records, name: str, kind: str | None, missing: str) -> Column:
    cells = column_of(records, name)
    given = kind is not None
    if kind == "categorical":
        return Column(name, kind, True, None, _sorted(set(filter(None, cells))))
    if plain_numbers(cells) is not None and missing != "mean":
        return Column(name, "numeric", given, None, None)
    present = [(i, cell) for i, cell in enumerate(cells) if not is_missing(cell)]
    if not present:
        raise ValueError(f"{records.source}: column {name!r} holds no value; leave it out with drop=[{name!r}]")
    kind = kind or _kind(records, name, present)
    if kind == "numeric":
        mean = None
        if missing == "mean":
            mean = float(np.mean([number(records, i, name, cell) for i, cell in present]))
        return Column(name, kind, given, mean, None)
    return Column(name, kind, given, None, _sorted({cell for _, cell in present}))


def _kind(records: Records, name: str, present: list[tuple[int, str]]) -> str:
    """Tell the kind of a column; refuse what is rather a mistake than a category."""
    texts = [(i, cell) for i, cell in present if not is_number(cell)]
    if not texts:
        return "numeric"
    if 2 * len(texts) <= len(present):
        row, cell = texts[0]
        raise ValueError(
            f"{records.place(row, name)}: expected a number as in most rows, got {cell!r}; "
            f"kinds={{{name!r}: 'categorical'}} reads the column as categories"
        )
    if records.delimiter != "," and all(_DECIMAL_COMMA.fullmatch(cell) for _, cell in texts):
        row, cell = texts[0]
        raise ValueError(f"{records.place(row, name)}: {cell!r} has a decimal comma; write a point")
    different = len({cell for _, cell in present})
    if different > max(_MOST_CLASSES, len(present) // 2):
        raise ValueError(
            f"{records.source}: column {name!r} has {different} different texts in {len(present)} rows, too many to learn from; "
            f"leave it out with drop=[{name!r}], or insist with kinds={{{name!r}: 'categorical'}}"
        )
    return "categorical"


def _target(records: Records, name: str, task: str | None) -> Target:
    present = [cell for cell in column_of(records, name) if not is_missing(cell)]
    if not present:
        raise ValueError(f"{records.source}: target {name!r} holds no value")
    different = set(present)
    if task is None:
        are_classes = not all(map(is_number, present)) or (
            all(map(is_whole, present)) and len(different) <= min(_MOST_CLASSES, len(present) // 2)
        )
        task = "classification" if are_classes else "regression"
    if task == "regression":
        return Target(name, task, None)
    classes: list[Any] = [label(cell) for cell in different] if all(map(is_whole, different)) else list(different)
    if len(set(classes)) < 2:
        raise ValueError(f"{records.source}: target {name!r} has one class only, {classes[0]!r}")
    return Target(name, task, sorted(set(classes)))


def _sorted(cells: set[str]) -> list[str]:
    """Sort categories: numbers by value, else by text."""
    if all(is_number(cell) for cell in cells):
        return sorted(cells, key=lambda cell: (float(cell), cell))
    return sorted(cells)
