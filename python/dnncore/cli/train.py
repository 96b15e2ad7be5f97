"""What ``dnncore train`` does."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import click

from dnncore import _core
from dnncore._core import Tensor
from dnncore._files import write_atomically
from dnncore._grad_mode import no_grad
from dnncore._version import __version__
from dnncore.data import batches, load_digits
from dnncore.nn import CrossEntropyLoss, Flatten, Linear, Module, ReLU, Sequential
from dnncore.optim import SGD
from dnncore.serialization import save

_CLASSES = 10


@dataclass(frozen=True)
class MlpConfig:
    """Settings of a training run; with the version they fix its result."""

    data: str = "digits"
    size: Literal[8, 32] = 8
    hidden: tuple[int, ...] = (256, 128)
    epochs: int = 30
    batch_size: int = 32
    lr: float = 0.05
    momentum: float = 0.9
    seed: int = 0


def mlp(config: MlpConfig) -> Sequential:
    """Return the untrained network of a configuration."""
    widths = [config.size**2, *config.hidden]
    layers: list[Module] = [Flatten()]
    for narrow, wide in pairwise(widths):
        layers += [Linear(narrow, wide), ReLU()]
    return Sequential(*layers, Linear(widths[-1], _CLASSES))


def accuracy(model: Module, x: Tensor, y: Tensor) -> float:
    """Return the part of samples that the model classifies rightly, in evaluation mode."""
    training = model.training
    model.eval()
    with no_grad():
        right = (model(x).argmax(1) == y).sum().item()
    model.train(training)
    return float(right) / len(y)


def train_mlp(config: MlpConfig, out: str | os.PathLike[str], threads: int | None = None) -> float:
    """Train, report, and write ``model.safetensors`` and ``run.json`` to the folder `out`; return the held-out accuracy."""
    folder = _writable_folder(out)
    if threads is not None:
        _core.set_num_threads(threads)
    _core.manual_seed(config.seed)
    x, y = load_digits(config.size, "train")
    x_test, y_test = load_digits(config.size, "test")
    model = mlp(config)
    optimizer = SGD(model.parameters(), lr=config.lr, momentum=config.momentum)
    criterion = CrossEntropyLoss()
    history: list[dict[str, Any]] = []
    started = time.perf_counter()

    def epoch() -> dict[str, Any]:
        losses = []
        for xb, yb in batches(x, y, batch_size=config.batch_size):
            loss = criterion(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach() * len(yb))
        return {"loss": _core.stack(losses).sum().item() / len(y), "accuracy": accuracy(model, x_test, y_test)}

    _walk_epochs(config.epochs, epoch, history)
    seconds = time.perf_counter() - started
    save(model.state_dict(), folder / "model.safetensors")
    record = {"dnncore": __version__, "model": "mlp", "config": asdict(config), "history": history}
    write_atomically(folder / "run.json", [json.dumps(record, indent=2).encode() + b"\n"])
    result = float(history[-1]["accuracy"])
    click.echo(f"held-out accuracy {100 * result:.2f} % ({len(y_test)} images) after {config.epochs} epochs, {seconds:.1f} s")
    click.echo(f"saved {folder / 'model.safetensors'}")
    return result


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


def _walk_epochs(count: int, epoch: Callable[[], dict[str, Any]], history: list[dict[str, Any]]) -> None:
    """Run the epochs under a progress bar, or with plain lines when the output is not a terminal."""
    from tqdm.auto import tqdm

    terminal = sys.stderr.isatty()
    numbers: Iterable[int] = tqdm(range(1, count + 1), unit="epoch", disable=not terminal)
    for number in numbers:
        history.append(epoch())
        values = {key: f"{value:.4f}" for key, value in history[-1].items()}
        if terminal:
            numbers.set_postfix(values)  # type: ignore[attr-defined]
        else:
            click.echo(f"epoch {number}/{count}: " + ", ".join(f"{key} {value}" for key, value in values.items()))
