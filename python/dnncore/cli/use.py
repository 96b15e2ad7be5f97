"""What ``dnncore evaluate`` and ``dnncore predict`` do."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import click
import numpy as np

from dnncore import metrics
from dnncore.cli.rows import Rows
from dnncore.cli.source import Source, from_notes
from dnncore.cli.tables import TableSource
from dnncore.cli.text import TextSource
from dnncore.model import Model

_RATES = ("accuracy", "precision", "recall", "f1")


def judged(model: Model, source: Source, rows: Rows) -> dict[str, float]:
    """Return loss and metrics; of regression in the units of the target."""
    if isinstance(source, TextSource):
        return source.judged(model, rows)
    if not isinstance(source, TableSource) or source.classes is not None:
        assert source.classes is not None
        found = model.evaluate(rows.x, rows.y, metrics=["accuracy", "f1_macro"] if len(source.classes) > 2 else ["accuracy"])
        return {name: float(value) for name, value in found.items()}
    predicted, truth = source.values(model.predict(rows.x)), source.values(rows.y)
    result = {}
    for name in ("mae", "rmse", "r2"):
        metric = metrics.resolve(name, "regression")
        metric.update(predicted, truth)
        result[name] = float(metric.compute())
    return result


def as_json(found: dict[str, float]) -> dict[str, float | str]:
    """Return metrics as JSON has them; a value that is not finite becomes a string, as in a history."""
    return {name: value if math.isfinite(value) else repr(value) for name, value in found.items()}


def told(found: dict[str, float]) -> str:
    """Return metrics as one line, the loss last."""
    names = sorted(found, key=lambda name: name == "loss")
    return ", ".join(f"{name} {100 * found[name]:.2f} %" if name in _RATES else f"{name} {found[name]:.4g}" for name in names)


def opened(folder: str) -> tuple[Model, Source]:
    """Return a model of the command line and what it was trained on."""
    model = Model.load(folder)
    try:
        return model, from_notes(model.notes["cli"]["source"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder}: a model, but not one of `dnncore train`: it does not say how its data is read") from error


def evaluate(folder: str, data: str | None, json_asked: bool) -> None:
    """Print how good a model is on the held-out part of its data, or on all of another file."""
    model, source = opened(folder)
    if data is None or (data == source.spec and ":" not in data):
        rows, what = source.held_out(), f"the held-out part of {source.spec}"
    else:
        rows, what = source.other(data), data
    found = judged(model, source, rows)
    if json_asked:
        click.echo(json.dumps({"data": what, "count": len(rows.y), **as_json(found)}))
    else:
        click.echo(f"{what}: {told(found)} ({len(rows.y)} {source.noun})")


def predict(folder: str, file: str, top: int, invert: bool) -> None:
    """Print the predictions for a file as CSV."""
    model, source = opened(folder)
    x = source.inputs(Path(file), invert)
    outputs = model.predict(x)
    lines = io.StringIO()
    write = csv.writer(lines, lineterminator="\n").writerow
    if isinstance(source, TableSource) and source.classes is None:
        write(["row", "prediction"])
        for row, value in enumerate(source.values(outputs).tolist()):
            write([row, f"{value:.7g}"])
    else:
        _write_classes(write, source.classes or [], outputs.double().softmax(1).numpy(), top)
    click.echo(lines.getvalue(), nl=False)


def _write_classes(write: Any, classes: list[Any], probabilities: np.ndarray[Any, Any], top: int) -> None:
    top = min(top, len(classes))
    names = (
        ["prediction", "probability"]
        if top == 1
        else [f"{n}_{i}" for i in range(1, top + 1) for n in ("prediction", "probability")]
    )
    write(["row", *names])
    for row, values in enumerate(probabilities):
        best = np.argsort(-values, kind="stable")[:top]
        write([row, *(cell for place in best for cell in (classes[place], f"{values[place]:.4f}"))])
