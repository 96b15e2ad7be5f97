"""What ``dnncore train char-lstm`` and ``dnncore sample`` do."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import Literal

import click

from dnncore.cli import text
from dnncore.cli.text import TextSource
from dnncore.cli.train import Config, finish, optimizer, prepare
from dnncore.cli.use import opened
from dnncore.model import Model
from dnncore.models import LanguageModel

_LR = {"sgd": 0.5, "adam": 0.003}
_CLIP = 1.0  # of the norm of the gradients: those of recurrent networks explode at times


@dataclass(frozen=True)
class CharLstmConfig(Config):
    """Settings of the training of a language model of characters."""

    encoding: str = "utf-8"
    optimizer: Literal["sgd", "adam"] = "adam"
    length: int = 64
    hidden: int = 128
    embedding: int = 64
    layers: int = 1
    dropout: float = 0.0
    sample: int = 300
    temperature: float = 0.8


def train_char_lstm(config: CharLstmConfig, out: str | os.PathLike[str], threads: int | None = None, device: str = "cpu") -> int:
    """Train, judge on the end of the text, write what `train mlp` does to `out`, print a sample; return the exit status."""
    folder = prepare(out, threads, config.seed, device)
    source, train, chosen, test = text.load(config.data, config.encoding, config.length, config.validation)
    started = time.perf_counter()
    network = LanguageModel(
        len(source.characters), config.hidden, config.embedding, num_layers=config.layers, dropout=config.dropout
    )
    model = Model(network, device)
    rate = _LR[config.optimizer] if config.lr is None else config.lr
    model.compile(optimizer(replace(config, lr=rate), network), "cross_entropy", ["accuracy"], clip_norm=_CLIP)
    model.fit(train.x, train.y, epochs=config.epochs, batch_size=config.batch_size, validation_data=chosen and tuple(chosen))
    status = finish(folder, model, "char-lstm", config, source, test, time.perf_counter() - started)
    if config.sample:
        click.echo(text.sampled(model, source, None, config.sample, config.temperature, None, config.seed))
    return status


def sample(folder: str, prime: str | None, length: int, temperature: float, top_k: int | None, seed: int) -> None:
    """Print a text that a saved model writes."""
    model, source = opened(folder)
    if not isinstance(source, TextSource):
        raise ValueError(f"{folder}: expected a model of `dnncore train char-lstm`; this one was trained on {source.spec}")
    click.echo(text.sampled(model, source, prime, length, temperature, top_k, seed))
