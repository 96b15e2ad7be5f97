"""MNIST and Fashion-MNIST from their IDX files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np

from dnncore import _core
from dnncore._core import Tensor
from dnncore.data._data_file import check_choice, unit_range
from dnncore.data._published import Published, fetch, folder_of, missing
from dnncore.data.idx import read_idx

_OP = "load_mnist"
_CLASSES = 10

# SHA-256 of the packed files, as TensorFlow Datasets has them (url_checksums).
_SOURCES = {
    "mnist": Published(
        "mnist",
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        {
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    "fashion_mnist": Published(
        "fashion_mnist",
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        {
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
}


def load_mnist(
    root: str | os.PathLike[str] | None = None,
    split: Literal["train", "test"] = "train",
    kind: Literal["mnist", "fashion_mnist"] = "mnist",
    download: bool = False,
) -> tuple[Tensor, Tensor]:
    """Load MNIST or Fashion-MNIST (60,000 training and 10,000 test images of 10 classes) from their IDX files.

    The images are white ink on black, scaled to [0, 1]. Classes of Fashion-MNIST, from 0 on: T-shirt or top, trouser, pullover,
    dress, coat, sandal, shirt, sneaker, bag, ankle boot.

    Parameters
    ----------
    root : path-like, optional
        Folder with ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` or ``t10k-...``, each as it is or with ``.gz``;
        ``~/.cache/dnncore/<kind>`` when not given (``XDG_CACHE_HOME`` instead of ``~/.cache`` where it is set).
    split : {"train", "test"}, default "train"
        Which part to return.
    kind : {"mnist", "fashion_mnist"}, default "mnist"
        Which data set.
    download : bool, default False
        Whether files that are missing are downloaded into the folder, from mirrors and verified by their SHA-256. Nothing is
        ever downloaded otherwise.

    Returns
    -------
    x : Tensor of shape (N, 1, 28, 28), float32
        The images.
    y : Tensor of shape (N,), int64
        The classes 0 to 9.

    Raises
    ------
    FileNotFoundError
        If files are missing and `download` is False.
    ValueError
        If a file is damaged (see `read_idx`), images and labels do not belong together, or an argument is none of the above.
    OSError
        If a file cannot be read, or no mirror delivers it.
    ImportError
        If a download is needed and pooch is missing (extra ``data``).

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition, Proc. IEEE 86, 1998.
    H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST, arXiv:1708.07747, 2017.

    Examples
    --------
    >>> import os, tempfile
    >>> from dnncore.data import load_mnist
    >>> folder = tempfile.mkdtemp()
    >>> with open(os.path.join(folder, "t10k-images-idx3-ubyte"), "wb") as file:
    ...     size = file.write(bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28]) + bytes(2 * 28 * 28))
    >>> with open(os.path.join(folder, "t10k-labels-idx1-ubyte"), "wb") as file:
    ...     size = file.write(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 2]))
    >>> x, y = load_mnist(folder, split="test")
    >>> x.shape, y.tolist()
    ((2, 1, 28, 28), [7, 2])
    """
    check_choice(_OP, "split", split, ("train", "test"))
    check_choice(_OP, "kind", kind, tuple(_SOURCES))
    images_path, labels_path = _files(folder_of(root, kind), "train" if split == "train" else "t10k", _SOURCES[kind], download)
    images, labels = read_idx(images_path).numpy(), read_idx(labels_path).numpy()
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
        raise ValueError(
            f"{_OP}: {images_path}: expected uint8 images of shape (N, 28, 28), got {images.dtype} of shape {images.shape}"
        )
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1]:
        found = f"{labels.dtype} of shape {labels.shape}"
        raise ValueError(f"{_OP}: {labels_path}: expected {len(images)} uint8 labels, as many as images, got {found}")
    if labels.size and labels.max() >= _CLASSES:
        at = int((labels >= _CLASSES).argmax())
        raise ValueError(f"{_OP}: {labels_path}: expected labels 0 to 9, got {labels[at]} at position {at}")
    return unit_range(images[:, None]), _core.from_numpy(labels.astype(np.int64))


def _files(folder: Path, prefix: str, source: Published, download: bool) -> list[Path]:
    """Return where images and labels are, fetched if they may be."""
    packed = [f"{prefix}-images-idx3-ubyte.gz", f"{prefix}-labels-idx1-ubyte.gz"]
    absent = [name for name in packed if _present(folder, name) is None]
    if absent and not download:
        raise missing(_OP, source, [name.removesuffix(".gz") for name in absent], folder, " (with or without .gz)")
    for name in absent:
        fetch(source, name, folder, _OP)
    return [_present(folder, name) or folder / name for name in packed]


def _present(folder: Path, packed: str) -> Path | None:
    return next((path for path in (folder / packed.removesuffix(".gz"), folder / packed) if path.exists()), None)
