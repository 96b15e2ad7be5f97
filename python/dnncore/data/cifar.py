"""CIFAR-10 and CIFAR-100 from their binary version; the pickled one is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnncore import _core
from dnncore._core import Tensor
from dnncore.data._data_file import DataFile, check_choice
from dnncore.data._published import Published, fetch, folder_of, missing
from dnncore.data._tar import read_members

_PIXELS = 3 * 32 * 32


class _Layout(NamedTuple):
    """Where the records of a data set are: ``len(labels)`` bytes of labels, then the pixels, channel by channel."""

    source: Published
    folder: str  # in the archive
    parts: dict[str, list[str]]
    labels: dict[str, int]  # number of classes, in the order of the bytes
    most: int  # records in a file
    pickled: tuple[str, ...]  # the other version: its archive, its folder, its first file

    @property
    def archive(self) -> str:
        return next(iter(self.source.files))

    @property
    def record(self) -> int:
        return len(self.labels) + _PIXELS


# SHA-256 of the archives, as TensorFlow Datasets has them (url_checksums).
_CIFAR10 = _Layout(
    Published(
        "cifar10",
        ("https://www.cs.toronto.edu/~kriz/", "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/"),
        {"cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
    ),
    "cifar-10-batches-bin",
    {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]},
    {"label": 10},
    10_000,
    ("cifar-10-python.tar.gz", "cifar-10-batches-py", "data_batch_1"),
)
_CIFAR100 = _Layout(
    Published(
        "cifar100",
        ("https://www.cs.toronto.edu/~kriz/",),
        {"cifar-100-binary.tar.gz": "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"},
    ),
    "cifar-100-binary",
    {"train": ["train.bin"], "test": ["test.bin"]},
    {"coarse": 20, "fine": 100},
    50_000,
    ("cifar-100-python.tar.gz", "cifar-100-python", "train"),
)


def load_cifar10(
    root: str | os.PathLike[str] | None = None, split: Literal["train", "test"] = "train", download: bool = False
) -> tuple[Tensor, Tensor]:
    """Load CIFAR-10 (50,000 training and 10,000 test images of 10 classes) from its binary version.

    The images are red, green and blue, scaled to [0, 1]. Classes from 0 on: airplane, automobile, bird, cat, deer, dog, frog,
    horse, ship, truck. The version of pickled files is never opened: a pickle can run code.

    Parameters
    ----------
    root : path-like, optional
        Folder with ``data_batch_1.bin`` to ``data_batch_5.bin`` or ``test_batch.bin``, with their folder
        ``cifar-10-batches-bin``, or with ``cifar-10-binary.tar.gz``, which is read without unpacking it to the disk;
        or that archive itself; ``~/.cache/dnncore/cifar10`` when not given (``XDG_CACHE_HOME`` instead of ``~/.cache`` where it
        is set).
    split : {"train", "test"}, default "train"
        Which part to return.
    download : bool, default False
        Whether the archive, where it is missing, is downloaded into the folder and verified by its SHA-256. Nothing is ever
        downloaded otherwise.

    Returns
    -------
    x : Tensor of shape (N, 3, 32, 32), float32
        The images.
    y : Tensor of shape (N,), int64
        The classes 0 to 9.

    Raises
    ------
    FileNotFoundError
        If files are missing and `download` is False.
    ValueError
        If a file or the archive is damaged, only the pickled version is there, or `split` is none of the above.
    OSError
        If a file cannot be read, or no mirror delivers the archive.
    ImportError
        If a download is needed and pooch is missing (extra ``data``).

    References
    ----------
    A. Krizhevsky: Learning multiple layers of features from tiny images, technical report, University of Toronto, 2009.

    Examples
    --------
    >>> import os, tempfile
    >>> from dnncore.data import load_cifar10
    >>> folder = tempfile.mkdtemp()
    >>> with open(os.path.join(folder, "test_batch.bin"), "wb") as file:
    ...     size = file.write((bytes([3]) + bytes(3 * 32 * 32)) * 2)
    >>> x, y = load_cifar10(folder, split="test")
    >>> x.shape, y.tolist()
    ((2, 3, 32, 32), [3, 3])
    """
    return _load("load_cifar10", _CIFAR10, root, split, "label", download)


def load_cifar100(
    root: str | os.PathLike[str] | None = None,
    split: Literal["train", "test"] = "train",
    labels: Literal["fine", "coarse"] = "fine",
    download: bool = False,
) -> tuple[Tensor, Tensor]:
    """Load CIFAR-100 (50,000 training and 10,000 test images of 100 classes in 20 groups) from its binary version.

    The images are red, green and blue, scaled to [0, 1]. The version of pickled files is never opened: a pickle can run code.

    Parameters
    ----------
    root : path-like, optional
        Folder with ``train.bin`` or ``test.bin``, with their folder ``cifar-100-binary``, or with ``cifar-100-binary.tar.gz``,
        which is read without unpacking it to the disk; or that archive itself; ``~/.cache/dnncore/cifar100`` when not given
        (``XDG_CACHE_HOME`` instead of ``~/.cache`` where it is set).
    split : {"train", "test"}, default "train"
        Which part to return.
    labels : {"fine", "coarse"}, default "fine"
        Whether y holds the classes, 0 to 99, or their groups, 0 to 19; names are in ``fine_label_names.txt`` and
        ``coarse_label_names.txt`` of the archive, a line each.
    download : bool, default False
        Whether the archive, where it is missing, is downloaded into the folder and verified by its SHA-256. Nothing is ever
        downloaded otherwise.

    Returns
    -------
    x : Tensor of shape (N, 3, 32, 32), float32
        The images.
    y : Tensor of shape (N,), int64
        The classes.

    Raises
    ------
    FileNotFoundError
        If files are missing and `download` is False.
    ValueError
        If a file or the archive is damaged, only the pickled version is there, or an argument is none of the above.
    OSError
        If a file cannot be read, or no mirror delivers the archive.
    ImportError
        If a download is needed and pooch is missing (extra ``data``).

    References
    ----------
    A. Krizhevsky: Learning multiple layers of features from tiny images, technical report, University of Toronto, 2009.

    Examples
    --------
    >>> import os, tempfile
    >>> from dnncore.data import load_cifar100
    >>> folder = tempfile.mkdtemp()
    >>> with open(os.path.join(folder, "test.bin"), "wb") as file:
    ...     size = file.write(bytes([10, 49]) + bytes(3 * 32 * 32))
    >>> load_cifar100(folder, split="test")[1].tolist()
    [49]
    >>> load_cifar100(folder, split="test", labels="coarse")[1].tolist()
    [10]
    """
    check_choice("load_cifar100", "labels", labels, ("fine", "coarse"))
    return _load("load_cifar100", _CIFAR100, root, split, labels, download)


def _load(
    op: str, layout: _Layout, root: str | os.PathLike[str] | None, split: str, label: str, download: bool
) -> tuple[Tensor, Tensor]:
    check_choice(op, "split", split, ("train", "test"))
    place = _find(op, layout, folder_of(root, layout.source.name), layout.parts[split], download)
    names = layout.parts[split]
    files = _from_folder(op, layout, place, names) if place.is_dir() else _from_archive(op, layout, place, names)
    records = [_records(layout, where, content) for where, content in files]
    x = np.empty((sum(map(len, records)), 3, 32, 32), np.float32)
    begin = 0
    for part in records:
        pixels = part[:, len(layout.labels) :].reshape(-1, 3, 32, 32)
        np.divide(pixels, 255, out=x[begin : begin + len(part)], dtype=np.float32)
        begin += len(part)
    y = np.concatenate([part[:, list(layout.labels).index(label)] for part in records]).astype(np.int64)
    return _core.from_numpy(x), _core.from_numpy(y)


def _find(op: str, layout: _Layout, root: Path, names: list[str], download: bool) -> Path:
    """Return the folder of the files, or the archive, fetched if it may be."""
    if root.is_file():
        return root
    folders = (root, root / layout.folder)
    for folder in folders:
        if all((folder / name).exists() for name in names):
            return folder
    archive = root / layout.archive
    if not archive.exists():
        if not download:
            raise _absent(op, layout, root, [n for n in names if not any((folder / n).exists() for folder in folders)] or names)
        fetch(layout.source, layout.archive, root, op)
    return archive


def _absent(op: str, layout: _Layout, root: Path, names: list[str]) -> Exception:
    archive, folder, first = layout.pickled
    pickled = next((path for path in (root / archive, root / folder / first, root / first) if path.is_file()), None)
    if pickled is not None:
        return ValueError(_refusal(f"{op}: {pickled}", layout, f"; or call {op} with download=True"))
    return missing(op, layout.source, names, root, f" (nor in {layout.folder} in it)")


def _refusal(where: str, layout: _Layout, more: str = "") -> str:
    return (
        f"{where} is the pickled version; a pickle can run code, so it is never opened: take the binary version, "
        f"{layout.source.mirrors[0]}{layout.archive}{more}"
    )


def _from_folder(op: str, layout: _Layout, folder: Path, names: list[str]) -> list[tuple[str, NDArray[np.uint8]]]:
    contents = []
    for name in names:
        with DataFile(folder / name, op) as file:
            _check_size(layout, file.where, file.size)
            if file.packed:
                raise ValueError(f"{file.where}: expected records of CIFAR, got a file packed with gzip")
            contents.append((file.where, file.read_array(file.size)))
            file.check_end()
    return contents


def _from_archive(op: str, layout: _Layout, archive: Path, names: list[str]) -> list[tuple[str, NDArray[np.uint8]]]:
    paths = [f"{layout.folder}/{name}" for name in names]
    with DataFile(archive, op) as file:
        found, there = read_members(file, dict.fromkeys(paths, layout.most * layout.record))
        where = file.where
    for path in paths:
        if path in found:
            _check_size(layout, f"{where}, {path}", found[path].size)
        elif any(name.startswith(f"{layout.pickled[1]}/") for name in there):
            raise ValueError(_refusal(where, layout))
        else:
            raise ValueError(f"{where} has no {path}; it holds {', '.join(there[:10]) or 'no files'}")
    return [(f"{where}, {path}", found[path]) for path in paths]


def _check_size(layout: _Layout, where: str, size: int) -> None:
    if not size or size % layout.record or size > layout.most * layout.record:
        raise ValueError(
            f"{where} is damaged or cut off: expected 1 to {layout.most} records of {layout.record} bytes, got {size} bytes"
        )


def _records(layout: _Layout, where: str, content: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the records of a file, a row each, their labels checked."""
    records = content.reshape(-1, layout.record)
    for column, (name, classes) in enumerate(layout.labels.items()):
        labels = records[:, column]
        if labels.max() >= classes:
            at = int((labels >= classes).argmax())
            raise ValueError(f"{where} is damaged: expected a {name} of 0 to {classes - 1} in record {at}, got {labels[at]}")
    return records
