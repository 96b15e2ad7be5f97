"""Tables of the command line: what a model was trained on, and how other files become what it takes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from dnncore import _core
from dnncore._core import Tensor
from dnncore.cli.rows import Rows, array_of, parts
from dnncore.data import Standardizer, TableEncoder, read_csv


@dataclass(frozen=True)
class TableSource:
    """The table a model was trained on, with all it takes to read such data again.

    `y_scaler` is there for regression: the network predicts targets of mean 0 and deviation 1. `digest` tells whether a table is
    still the one of the training, since which rows were held out follows from all of them.
    """

    spec: str  # "csv:FILE"
    classes: list[Any] | None  # names of the classes; None for regression
    encoder: TableEncoder
    scaler: Standardizer
    y_scaler: Standardizer | None
    digest: str
    noun: ClassVar[str] = "rows"
    light_on_dark: ClassVar[bool] = False

    @property
    def features(self) -> int:
        """Number of inputs."""
        return len(self.encoder.columns)

    def to_notes(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        states = {name: getattr(self, name) for name in ("encoder", "scaler", "y_scaler")}
        return {
            "kind": "table",
            "spec": self.spec,
            "classes": self.classes,
            "digest": self.digest,
            **{name: None if part is None else part.state_dict() for name, part in states.items()},
        }

    @classmethod
    def from_notes(cls, notes: Mapping[str, Any]) -> TableSource:
        """Return the source that `to_notes` described."""
        kinds: dict[str, Any] = {"encoder": TableEncoder, "scaler": Standardizer, "y_scaler": Standardizer}
        states = {name: None if notes[name] is None else kind.from_state_dict(notes[name]) for name, kind in kinds.items()}
        return cls(notes["spec"], notes["classes"], digest=notes["digest"], **states)  # type: ignore[arg-type]

    def scaled(self, x: Tensor, y: Tensor) -> Rows:
        """Return columns of a table as the network takes them."""
        x = self.scaler.transform(x)
        if self.classes is not None:
            return Rows(x, y)
        column = y.reshape(-1, 1)
        return Rows(x, column if self.y_scaler is None else self.y_scaler.transform(column))

    def values(self, outputs: Tensor) -> Tensor:
        """Return predictions of shape (N,) in the units of the target from outputs of shape (N, 1)."""
        assert self.y_scaler is not None
        column = outputs.to(_core.float64) * self.y_scaler.scale[0] + self.y_scaler.mean[0]
        return column.reshape(-1)

    def held_out(self) -> Rows:
        """Return the part of the training data that training did not see."""
        path = Path(self.spec.partition(":")[2])
        if digest_of(path) != self.digest:
            raise ValueError(
                f"{path} has changed since the training, so that training may have seen any row; give --data csv:FILE"
            )
        return self._from_file(path, held_out_only=True)

    def other(self, spec: str) -> Rows:
        """Return all rows of another table, with targets."""
        kind, _, file = spec.partition(":")
        if kind != "csv":
            raise ValueError(
                f"evaluate: the model was trained on {self.spec}; expected --data csv:FILE with its columns, got {spec}"
            )
        return self._from_file(Path(file))

    def _from_file(self, path: Path, held_out_only: bool = False) -> Rows:
        table = self.encoder.read_csv(path)
        if table.y is None:
            target = self.encoder.target
            raise ValueError(f"{path}: expected the target {target.name if target else ''!r} among the columns")
        x, y = table.x, table.y
        if held_out_only:
            _, rows = parts(y, self.classes is not None)
            x, y = x[rows], y[rows]
        return self.scaled(x, y)

    def inputs(self, path: Path, invert: bool = False) -> Tensor:
        """Return what a file without targets holds: an array in a ``.npy`` file, or a table."""
        suffix = path.suffix.lower()
        if suffix == ".npy":
            return self.scaler.transform(_core.tensor(array_of(path, (self.features,))))
        if suffix != ".csv":
            raise ValueError(f"{path}: this model takes tables; give a .csv or a .npy file")
        return self.scaler.transform(self.encoder.read_csv(path, target=False).x)


def load(
    spec: str, target: str | None = None, task: Any = None, drop: tuple[str, ...] = (), missing: Any = "error"
) -> tuple[TableSource, Rows, Rows]:
    """Return the source, the training part and the held-out part of ``csv:FILE``."""
    path = os.path.abspath(spec.partition(":")[2])
    table = read_csv(path, -1 if target is None else target, task=task, drop=drop, missing=missing)
    assert table.y is not None
    if len(table.y) < 10:
        raise ValueError(f"{path}: expected at least 10 rows to train on and to judge by, got {len(table.y)}")
    train, test = parts(table.y, table.classes is not None)
    scaler = Standardizer.fit(table.x[train])
    y_scaler = None if table.classes is not None else Standardizer.fit(table.y[train].reshape(-1, 1))
    source = TableSource(f"csv:{path}", table.classes, table.encoder, scaler, y_scaler, digest_of(Path(path)))
    return source, source.scaled(table.x[train], table.y[train]), source.scaled(table.x[test], table.y[test])


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
