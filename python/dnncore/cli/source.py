"""Where the command line's data comes from, and how files become what a saved model takes."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dnncore import _core
from dnncore._core import Tensor
from dnncore._extras import require
from dnncore.data import Standardizer, TableEncoder, load_digits, read_csv, stratified_split

_HELD_OUT = 0.2  # of a table
_SPLIT_SEED = 1998  # fixed: every run is judged on the same rows


class Rows(NamedTuple):
    """Inputs as the network takes them, and targets as the loss does."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Source:
    """What a model was trained on, with all it takes to read such data again.

    `y_scaler` is there for regression: the network predicts targets of mean 0 and deviation 1. `digest` tells whether a table is
    still the one of the training, since which rows were held out follows from all of them.
    """

    spec: str  # "digits" or "csv:FILE"
    classes: list[Any] | None  # names of the classes; None for regression
    size: int = 8  # of an image
    encoder: TableEncoder | None = None
    scaler: Standardizer | None = None
    y_scaler: Standardizer | None = None
    digest: str | None = None

    @property
    def features(self) -> int:
        """Number of inputs."""
        return self.size**2 if self.encoder is None else len(self.encoder.columns)

    @property
    def noun(self) -> str:
        """What a sample is called."""
        return "images" if self.encoder is None else "rows"

    def to_notes(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        states = {name: getattr(self, name) for name in ("encoder", "scaler", "y_scaler")}
        return {
            "spec": self.spec,
            "classes": self.classes,
            "size": self.size,
            "digest": self.digest,
            **{name: None if part is None else part.state_dict() for name, part in states.items()},
        }

    @classmethod
    def from_notes(cls, notes: Mapping[str, Any]) -> Source:
        """Return the source that `to_notes` described."""
        kinds: dict[str, Any] = {"encoder": TableEncoder, "scaler": Standardizer, "y_scaler": Standardizer}
        states = {name: None if notes[name] is None else kind.from_state_dict(notes[name]) for name, kind in kinds.items()}
        return cls(notes["spec"], notes["classes"], notes["size"], digest=notes["digest"], **states)

    def scaled(self, x: Tensor, y: Tensor) -> Rows:
        """Return columns of a table as the network takes them."""
        x = x if self.scaler is None else self.scaler.transform(x)
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
        if self.encoder is None:
            return Rows(*load_digits(_digits_size(self.size), "test"))
        path = Path(self.spec.partition(":")[2])
        if _digest(path) != self.digest:
            raise ValueError(
                f"{path} has changed since the training, so that training may have seen any row; give --data csv:FILE"
            )
        return self.from_file(path, held_out_only=True)

    def from_file(self, path: Path, held_out_only: bool = False) -> Rows:
        """Return the rows of a CSV file with targets."""
        if self.encoder is None:
            raise ValueError(f"expected --data digits for a model of images, got {path}")
        table = self.encoder.read_csv(path)
        if table.y is None:
            target = self.encoder.target
            raise ValueError(f"{path}: expected the target {target.name if target else ''!r} among the columns")
        x, y = table.x, table.y
        if held_out_only:
            _, rows = _parts(y, self.classes is not None)
            x, y = x[rows], y[rows]
        return self.scaled(x, y)

    def inputs(self, path: Path, invert: bool = False) -> Tensor:
        """Return what a file without targets holds: an image, an array in a ``.npy`` file, or a table."""
        suffix = path.suffix.lower()
        if suffix == ".npy":
            return self._from_array(path)
        if suffix == ".csv":
            if self.encoder is None:
                raise ValueError(f"{path}: this model takes images; give an image or a .npy file")
            x = self.encoder.read_csv(path, target=False).x
            return x if self.scaler is None else self.scaler.transform(x)
        if self.encoder is not None:
            raise ValueError(f"{path}: this model takes tables; give a .csv or a .npy file")
        return _image(path, self.size, invert)

    def _from_array(self, path: Path) -> Tensor:
        try:
            array = np.load(path, allow_pickle=False)
        except (ValueError, EOFError):
            raise ValueError(f"{path}: not a .npy file of numbers") from None
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
            raise ValueError(f"{path}: expected one array of numbers")
        shape = (self.features,) if self.encoder is not None else (1, self.size, self.size)
        if array.size == 0 or math.prod(array.shape[array.ndim > 1 :]) != self.features:  # one sample may come alone
            allowed = " or ".join(str(("N", *each)).replace("'", "") for each in {shape, (self.features,)})
            raise ValueError(f"{path}: expected an array of shape {allowed}, got {array.shape}")
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(array, dtype=np.float32)
        low, high = values.min(), values.max()
        if not np.isfinite(values).all():
            raise ValueError(f"{path}: expected finite numbers that float32 can hold, got values from {low:g} to {high:g}")
        if self.encoder is None and not 0 <= low <= high <= 1:
            raise ValueError(f"{path}: expected pixels from 0 (dark) to 1 (light), got {low:g} to {high:g}; scale the array")
        x = _core.tensor(values.reshape(-1, *shape))
        return x if self.scaler is None else self.scaler.transform(x)


def load(
    spec: str, *, size: int = 8, target: str | None = None, task: Any = None, drop: tuple[str, ...] = (), missing: Any = "error"
) -> tuple[Source, Rows, Rows]:
    """Return the source, the training part and the held-out part of ``digits`` or ``csv:FILE``."""
    if spec == "digits":
        if target is not None or task is not None or drop or missing != "error":
            raise ValueError("--target, --task, --drop and --missing are for tables, --data csv:FILE; digits are classes 0 to 9")
        side = _digits_size(size)
        source = Source(spec, list(range(10)), size)
        return source, Rows(*load_digits(side, "train")), Rows(*load_digits(side, "test"))
    path = os.path.abspath(spec.partition(":")[2])
    table = read_csv(path, -1 if target is None else target, task=task, drop=drop, missing=missing)
    assert table.y is not None
    if len(table.y) < 10:
        raise ValueError(f"{path}: expected at least 10 rows to train on and to judge by, got {len(table.y)}")
    train, test = _parts(table.y, table.classes is not None)
    scaler = Standardizer.fit(table.x[train])
    y_scaler = None if table.classes is not None else Standardizer.fit(table.y[train].reshape(-1, 1))
    source = Source(f"csv:{path}", table.classes, 0, table.encoder, scaler, y_scaler, _digest(path))
    return source, source.scaled(table.x[train], table.y[train]), source.scaled(table.x[test], table.y[test])


def _digest(path: str | os.PathLike[str]) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _parts(y: Tensor, classes: bool) -> tuple[Tensor, Tensor]:
    """Return the rows to train on and those held out; of classes the same share each."""
    generator = _core.Generator().manual_seed(_SPLIT_SEED)
    if classes:
        return stratified_split(y, _HELD_OUT, generator)
    order = _core.randperm(len(y), generator=generator)
    count = max(1, round(_HELD_OUT * len(y)))
    return order[count:], order[:count]


def _digits_size(size: int) -> Any:
    if size not in (8, 32):
        raise ValueError(f"expected images of size 8 or 32, got {size}")
    return size


def _image(path: Path, size: int, invert: bool) -> Tensor:
    image_module = require("PIL.Image", "data", "predict")
    smooth = image_module.Resampling.BOX  # means of the pixels that fall into one, as the digits were made
    try:
        with image_module.open(path) as image:
            grey = image.convert("L").resize((size, size), smooth)
    except image_module.UnidentifiedImageError:
        raise ValueError(f"{path}: neither an image nor a .npy or .csv file") from None
    except (OSError, SyntaxError, image_module.DecompressionBombError) as error:
        raise ValueError(f"{path}: the image cannot be read: {error}") from None
    pixels = np.asarray(grey, dtype=np.float32) / 255
    return _core.tensor(np.ascontiguousarray((1 - pixels if invert else pixels)[None, None]))
