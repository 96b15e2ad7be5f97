"""What ``dnncore train`` does."""

from __future__ import annotations

import io
import json
import os
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import click

from dnncore import _core
from dnncore._extras import require
from dnncore._files import write_atomically
from dnncore._version import __version__
from dnncore.cli import images, tables
from dnncore.cli.images import ImageSource
from dnncore.cli.rows import Rows
from dnncore.cli.source import Source
from dnncore.cli.tables import TableSource
from dnncore.cli.use import as_json, judged, told
from dnncore.model import History, Model
from dnncore.model._device import checked
from dnncore.nn import Dropout, Flatten, Linear, Module, ReLU, Sequential
from dnncore.optim import SGD, Adam, Optimizer

INTERRUPTED = 130  # exit status after Ctrl-C, as of shells


@dataclass(frozen=True)
class Config:
    """Settings of any training run; with the version they fix its result."""

    data: str = "digits"
    epochs: int = 60
    batch_size: int = 32
    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: float | None = None
    momentum: float = 0.9
    validation: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class MlpConfig(Config):
    """Settings of the training of a perceptron."""

    target: str | None = None
    task: Literal["classification", "regression"] | None = None
    drop: tuple[str, ...] = ()
    missing: Literal["error", "mean", "drop"] = "error"
    size: int | None = None
    hidden: tuple[int, ...] = (256, 128)
    dropout: float = 0.2


_LR = {"sgd": 0.05, "adam": 0.001}


def mlp(config: MlpConfig, inputs: int, outputs: int) -> Sequential:
    """Return the untrained network of a configuration."""
    widths = [inputs, *config.hidden]
    layers: list[Module] = [Flatten()]
    for narrow, wide in pairwise(widths):
        layers += [Linear(narrow, wide), ReLU(), *([Dropout(config.dropout)] if config.dropout else [])]
    return Sequential(*layers, Linear(widths[-1], outputs))


def train_mlp(config: MlpConfig, out: str | os.PathLike[str], threads: int | None = None, device: str = "cpu") -> int:
    """Train, judge on held-out data, and write the model, its record and its curve to `out`; return the exit status."""
    folder = prepare(out, threads, config.seed, device)
    source, train, test = _loaded(config)
    started = time.perf_counter()
    model = Model(mlp(config, source.features, 1 if source.classes is None else len(source.classes)), device)
    if source.classes is None:
        model.compile(optimizer(config, model.module), "mse", ["mae"])
    else:
        model.compile(optimizer(config, model.module), "cross_entropy", ["accuracy"])
    model.fit(train.x, train.y, epochs=config.epochs, batch_size=config.batch_size, validation_split=config.validation)
    return finish(folder, model, "mlp", config, source, test, time.perf_counter() - started)


def _loaded(config: MlpConfig) -> tuple[ImageSource | TableSource, Rows, Rows]:
    of_tables = (config.target, config.task, config.drop, config.missing)
    if config.data.startswith("csv:"):
        return tables.load(config.data, *of_tables)
    if of_tables != (None, None, (), "error"):
        raise ValueError("--target, --task, --drop and --missing are for tables, --data csv:FILE; images come with their classes")
    return images.load(config.data, config.size)


def finish(folder: Path, model: Model, name: str, config: Config, source: Source, test: Rows, seconds: float) -> int:
    """Judge a trained model, write it with its record and its curve, say so; return the exit status."""
    history = model.history
    assert history is not None
    found = judged(model, source, test)
    model.notes = {"cli": {"verb": f"train {name}", "source": source.to_notes(), "config": asdict(config)}}
    model.save(folder)
    _write_record(folder, name, config, source, history, found, len(test.y))
    drawn = _draw(folder, history)
    epochs = len(history.epoch)
    click.echo(f"held-out {told(found)} ({len(test.y)} {source.noun}) after {epochs} epoch{'s' * (epochs != 1)}, {seconds:.1f} s")
    click.echo(f"saved {folder}: model.json with its weights, run.json{', curve.png' if drawn else ''}")
    return INTERRUPTED if history.stopped_by == "user" else 0


def optimizer(config: Config, module: Module) -> Optimizer:
    """Return the optimizer of a configuration."""
    lr = _LR[config.optimizer] if config.lr is None else config.lr
    if config.optimizer == "adam":
        return Adam(module.parameters(), lr=lr)
    return SGD(module.parameters(), lr=lr, momentum=config.momentum)


def prepare(out: str | os.PathLike[str], threads: int | None, seed: int, device: str) -> Path:
    """Set threads and seed, and return the folder to write to, which can be written to; a device that is not there is refused."""
    try:
        checked("train", device)
    except RuntimeError as error:
        raise ValueError(str(error)) from None
    folder = _writable_folder(out)
    if threads is not None:
        _core.set_num_threads(threads)
    _core.manual_seed(seed)
    return folder


def _writable_folder(out: str | os.PathLike[str]) -> Path:
    """Make the folder and try it, so that an unwritable one is refused before the training and not after."""
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / ".writable", [b""])
        (folder / ".writable").unlink()
    except OSError as error:
        raise OSError(f"cannot write to the folder {folder}: {error.strerror or error}") from error
    return folder


def _write_record(
    folder: Path, name: str, config: Config, source: Source, history: History, found: dict[str, float], count: int
) -> None:
    record: dict[str, Any] = {
        "dnncore": __version__,
        "model": name,
        "config": asdict(config),
        "classes": source.classes,
        "held_out": {**as_json(found), "count": count},
        **history.to_dict(),
    }
    write_atomically(folder / "run.json", [json.dumps(record, indent=2, allow_nan=False).encode() + b"\n"])


def _draw(folder: Path, history: History) -> bool:
    """Write the curve, where matplotlib is there."""
    if not history.epoch:
        return False
    try:
        require("matplotlib", "plot", "train").use("Agg")
    except ImportError as error:
        click.echo(f"no curve: {error}", err=True)
        return False
    image = io.BytesIO()
    figure = history.plot()[0].figure
    figure.savefig(image, format="png", dpi=120)
    require("matplotlib.pyplot", "plot", "train").close(figure)
    write_atomically(folder / "curve.png", [image.getvalue()])
    return True
