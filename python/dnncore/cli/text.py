"""Texts of the command line: what a language model was trained on, and how other files become what it takes."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnncore import _core
from dnncore._core import Tensor
from dnncore.cli.rows import Rows
from dnncore.cli.tables import digest_of
from dnncore.data import Characters, read_text, split_text, text_chunks
from dnncore.model import Model
from dnncore.models import LanguageModel

_HELD_OUT = 0.1  # of a text, its end


@dataclass(frozen=True)
class TextSource:
    """The text a model was trained on, with all it takes to read such texts again.

    `frequencies` are those of the characters in the training part; `digest` tells whether a file is still that of the training.
    """

    spec: str  # "text:FILE"
    encoding: str
    characters: str
    frequencies: list[float]
    length: int  # of the sequences it is cut into
    digest: str

    @property
    def noun(self) -> str:
        """What a sample is."""
        return f"sequences of {self.length} characters"

    @property
    def classes(self) -> list[str]:
        """The characters."""
        return [*self.characters]

    def to_notes(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        return {"kind": "text", **asdict(self)}

    @classmethod
    def from_notes(cls, notes: Mapping[str, Any]) -> TextSource:
        """Return the source that `to_notes` described."""
        return cls(**{name: value for name, value in notes.items() if name != "kind"})

    def held_out(self) -> Rows:
        """Return the end of the text, which training did not see."""
        path = Path(self.spec.partition(":")[2])
        if digest_of(path) != self.digest:
            raise ValueError(
                f"{path} has changed since the training, so that training may have seen all of it; give --data text:FILE"
            )
        return self.rows(split_text(read_text(path, self.encoding), _HELD_OUT)[1])

    def other(self, spec: str) -> Rows:
        """Return all of another text."""
        kind, _, file = spec.partition(":")
        if kind != "text":
            raise ValueError(f"evaluate: the model was trained on {self.spec}; expected --data text:FILE, got {spec}")
        return self.rows(read_text(file, self.encoding))

    def rows(self, text: str) -> Rows:
        """Return a text as the network takes it."""
        return Rows(*text_chunks(Characters(self.characters).encode(text), self.length))

    def inputs(self, path: Path, invert: bool = False) -> Tensor:
        """Refuse: a language model takes no samples."""
        raise ValueError(f"{path}: this model writes text; let it with `dnncore sample`")

    def judged(self, model: Model, rows: Rows) -> dict[str, float]:
        """Return the accuracy of the next character and bits per character: the model's, and of the frequencies alone."""
        found = model.evaluate(rows.x, rows.y, metrics=["accuracy"])
        logarithms = np.log2(np.maximum(self.frequencies, 1e-12))
        return {
            "accuracy": float(found["accuracy"]),
            "bits_per_character": found["loss"] / math.log(2),
            "bits_by_frequency": float(-logarithms[rows.y.numpy()].mean()),
            "loss": found["loss"],
        }


def load(spec: str, encoding: str, length: int, validation: float) -> tuple[TextSource, Rows, Rows | None, Rows]:
    """Return the source, and of ``text:FILE`` the training part, the part that chooses the epoch, and the held-out part."""
    path = os.path.abspath(spec.partition(":")[2])
    text = read_text(path, encoding)
    vocabulary = Characters(text)
    if len(vocabulary) < 2:
        raise ValueError(f"{path}: expected at least two different characters, got {text[0]!r} alone: nothing to learn")
    least = math.ceil((length + 1) / (_HELD_OUT * (validation or 1))) + 1
    if len(text) < least:
        raise ValueError(
            f"{path}: expected at least {least} characters for sequences of {length}, got {len(text)}; lower --length"
        )
    train, test = split_text(text, _HELD_OUT)
    train, chosen = split_text(train, validation) if validation else (train, "")
    counts = np.bincount(vocabulary.encode(train).numpy(), minlength=len(vocabulary))
    frequencies = ((counts + 1) / (len(train) + len(vocabulary))).tolist()  # one more of each: some are in the rest alone
    source = TextSource(f"text:{path}", encoding, vocabulary.characters, frequencies, length, digest_of(Path(path)))
    return source, source.rows(train), source.rows(chosen) if chosen else None, source.rows(test)


def sampled(
    model: Model, source: TextSource, prime: str | None, length: int, temperature: float, top_k: int | None, seed: int
) -> str:
    """Return a text that the model writes, with its beginning; that of a line when not given."""
    network = model.module
    assert isinstance(network, LanguageModel)
    vocabulary = Characters(source.characters)
    if prime is None:
        prime = "\n" if "\n" in source.characters else source.characters[int(np.argmax(source.frequencies))]
    start = vocabulary.encode(prime)
    if not prime:
        raise ValueError("sample: expected a prime of at least one character")
    top_k = None if top_k is None else min(top_k, len(vocabulary))
    generator = _core.Generator().manual_seed(seed)
    drawn = network.generate(start.to(model.device), length, temperature=temperature, top_k=top_k, generator=generator)
    return prime + vocabulary.decode(drawn)
