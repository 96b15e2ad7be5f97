"""Which samples are held out for validation."""

from __future__ import annotations

import hashlib

from dnncore import _core
from dnncore._core import Generator, Tensor
from dnncore.data import stratified_split


def generator_for(purpose: str, number: int = 0) -> Generator:
    """Return a generator that follows from the global seed, a purpose and a number alone, not from what was drawn before."""
    text = f"{_core.default_generator.initial_seed()} {purpose} {number}"
    return Generator(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "little"))


def held_out(rows: int, share: float, split: str, classes: Tensor | None) -> tuple[Tensor, Tensor, str]:
    """Return the rows for training and for validation, in order, and how they were chosen; `classes` has that of each sample."""
    count = min(max(round(rows * share), 1), rows - 1)
    if split == "last":
        every = _core.arange(rows, device="cpu")
        return every[: rows - count], every[rows - count :], "the last ones, in order"
    generator = generator_for("split")
    if classes is not None:
        return *stratified_split(classes, share, generator), "shuffled, the same share of each class"
    order = _core.randperm(rows, generator=generator, device="cpu")
    return order[count:].sort()[0], order[:count].sort()[0], "shuffled"
