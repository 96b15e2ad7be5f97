"""Parts of a dataset, drawn at random; with the proportions of the classes where asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnncore import _core
from dnncore._core import Generator, Tensor
from dnncore.data.dataset import Dataset, Subset

_Ints = NDArray[np.int64]


def random_split(
    dataset: Dataset, lengths: Sequence[float], generator: Generator | None = None, stratify: object = None
) -> list[Subset]:
    """Split a dataset at random into parts that share no sample.

    Parameters
    ----------
    dataset : Dataset
        What to split.
    lengths : sequence of int or of float
        Samples of each part, ``len(dataset)`` together; or fractions that sum to 1, each rounded down, after which the first
        parts take one more until none is left.
    generator : Generator, optional
        Where the order is drawn from; the default generator when not given.
    stratify : sequence, Tensor or array of shape (N,), optional
        Class of each sample; every part then has every class in the proportion of the whole, rounded, at least once.

    Returns
    -------
    list of Subset
        One for each of `lengths`.

    Raises
    ------
    ValueError
        If the lengths do not fit, or a class has fewer samples than there are parts.

    Examples
    --------
    >>> from dnncore.data import random_split
    >>> [len(part) for part in random_split(range(10), [0.75, 0.25])]
    [8, 2]
    >>> labels = [0, 0, 0, 1, 1, 1]
    >>> [sorted(labels[i] for i in part) for part in random_split(range(6), [4, 2], stratify=labels)]
    [[0, 0, 1, 1], [0, 1]]
    """
    count = len(dataset)
    sizes = _sizes(count, lengths)
    order = _core.randperm(count, generator=generator, device="cpu")
    if stratify is None:
        ends = np.cumsum([0, *sizes]).tolist()
        return [Subset(dataset, order[begin:end]) for begin, end in pairwise(ends)]
    classes, codes = _classes("random_split", stratify, count)
    counts = np.bincount(codes, minlength=len(classes)).astype(np.int64)
    _check_parts(classes, counts, sizes)
    parts = _deal(order.numpy(), codes, _shares(counts, sizes))
    return [Subset(dataset, part) for part in parts]


def stratified_split(labels: object, fraction: float, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
    """Split row numbers into a training and a validation part with the proportions of the classes.

    A class of one sample stays in the training part. Every other class is in both parts, as far as the validation part has
    that many samples.

    Parameters
    ----------
    labels : sequence, Tensor or array of shape (N,)
        Class of each sample: whole numbers or strings.
    fraction : float
        Share of the samples for validation, between 0 and 1; ``round(fraction * N)`` samples, at least one.
    generator : Generator, optional
        Where the order is drawn from; the default generator when not given.

    Returns
    -------
    train, validation : Tensor of int64
        Row numbers, ascending.

    Raises
    ------
    ValueError
        If the fraction is not between 0 and 1, there are no labels, or every class has one sample.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data import stratified_split
    >>> train, validation = stratified_split([0, 0, 0, 0, 1, 1], 0.3, dnn.Generator().manual_seed(0))
    >>> train.shape, validation.shape
    ((4,), (2,))
    """
    if not 0 < fraction < 1:
        raise ValueError(f"stratified_split: expected a fraction between 0 and 1, got {fraction}")
    classes, codes = _classes("stratified_split", labels, None)
    counts = np.bincount(codes, minlength=len(classes)).astype(np.int64)
    most = counts - 1
    if most.sum() == 0:
        raise ValueError(f"stratified_split: expected a class of at least 2 samples, got {len(codes)} samples of as many classes")
    size = min(max(1, round(fraction * len(codes))), int(most.sum()))
    least = np.minimum(most, 1) if size >= np.count_nonzero(most) else np.zeros_like(most)
    share = _share(counts, size, least, most)
    order = _core.randperm(len(codes), generator=generator, device="cpu").numpy()
    validation, train = _deal(order, codes, [share, counts - share])
    return _core.tensor(np.sort(train), device="cpu"), _core.tensor(np.sort(validation), device="cpu")


def _sizes(count: int, lengths: Sequence[float]) -> list[int]:
    lengths = list(lengths)
    if any(isinstance(length, float) for length in lengths):
        if not all(0 <= length <= 1 for length in lengths) or not math.isclose(sum(lengths), 1):
            raise ValueError(f"random_split: expected fractions from 0 to 1 that sum to 1, got {lengths}")
        sizes = [math.floor(count * length) for length in lengths]
        for i in range(count - sum(sizes)):
            sizes[i % len(sizes)] += 1
        return sizes
    sizes = [int(length) for length in lengths]
    if any(size < 0 for size in sizes) or sum(sizes) != count:
        raise ValueError(f"random_split: expected lengths that sum to {count}, the samples there are, got {lengths}")
    return sizes


def _classes(op: str, labels: object, count: int | None) -> tuple[list[Any], _Ints]:
    """Return the different labels and, for each sample, the number of its label among them."""
    values = np.asarray(labels.cpu().numpy() if isinstance(labels, Tensor) else labels)
    if values.ndim != 1 or values.size == 0 or (count is not None and len(values) != count):
        wanted = "(N,)" if count is None else f"({count},)"
        raise ValueError(f"{op}: expected one label for each sample, shape {wanted}, got shape {values.shape}")
    if values.dtype.kind == "f" and not np.all(values == np.floor(values)):
        raise ValueError(
            f"{op}: expected class labels, got numbers with fractions such as {values[values != np.floor(values)][0]}"
        )
    classes, codes = np.unique(values, return_inverse=True)
    return classes.tolist(), codes.astype(np.int64)


def _check_parts(classes: list[Any], counts: _Ints, sizes: list[int]) -> None:
    parts = [size for size in sizes if size]
    rare = int(np.argmin(counts))
    if counts[rare] < len(parts):
        raise ValueError(
            f"random_split: class {classes[rare]!r} has {counts[rare]} sample(s), fewer than the {len(parts)} parts; "
            "join it with another class, leave it out, or split without stratify"
        )
    if min(parts) < len(classes):
        raise ValueError(f"random_split: a part of {min(parts)} sample(s) cannot hold each of {len(classes)} classes")


def _shares(counts: _Ints, sizes: list[int]) -> list[_Ints]:
    """Return for each part how many samples of each class it takes."""
    shares = []
    later = sum(size > 0 for size in sizes)
    for size in sizes:
        later -= size > 0
        share = _share(counts, size, np.full_like(counts, size > 0), counts - later)
        counts = counts - share
        shares.append(share)
    return shares


def _share(counts: _Ints, size: int, least: _Ints, most: _Ints) -> _Ints:
    """Divide `size` in the proportion of `counts`, each between `least` and `most`: by largest remainders."""
    wanted = counts * (size / max(int(counts.sum()), 1))
    share: _Ints = np.clip(np.floor(wanted).astype(np.int64), least, most)
    while (rest := size - int(share.sum())) != 0:
        step = 1 if rest > 0 else -1
        free = share < most if rest > 0 else share > least
        share[np.argmax(np.where(free, step * (wanted - share), -np.inf))] += step
    return share


def _deal(order: _Ints, codes: _Ints, shares: list[_Ints]) -> list[_Ints]:
    """Give each part its share of every class, in the order drawn."""
    members = np.argsort(codes[order], kind="stable")  # places in `order`, class by class
    starts = np.concatenate([[0], np.cumsum(sum(shares))[:-1]])
    parts = []
    for share in shares:
        chosen = [members[begin : begin + taken] for begin, taken in zip(starts, share, strict=True)]
        parts.append(order[np.sort(np.concatenate(chosen))])
        starts = starts + share
    return parts
