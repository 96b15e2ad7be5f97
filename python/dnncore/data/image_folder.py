"""Images in folders, one folder per class, read by Pillow."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dnncore import _core
from dnncore._core import Tensor
from dnncore._extras import require
from dnncore._files import open_regular
from dnncore.data._data_file import check_choice, unit_range
from dnncore.data.dataset import Dataset

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # none of them runs another program
_ENDINGS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"})
_PIXEL_CAP = 1 << 26  # 64 million pixels; what is more is taken for a decompression bomb
_CHANNELS = {"L": 1, "RGB": 3}


class ImageFolder(Dataset):
    """Images in folders, one folder per class, each read when it is asked for.

    Classes are the subfolders of `root`, numbered in the order of their names; images are the files below them with one of the
    endings bmp, gif, jpeg, jpg, pgm, png, pnm, ppm, tif, tiff, webp, in the order of their paths, whatever order the file system
    has. Names that begin with a dot are left out, links to folders within a class are not followed.

    An image is turned as its camera noted, converted to `mode`, scaled so that it covers `size`, and what stands over is cut off
    on both sides alike. Transparency is dropped; of an animation the first picture counts.

    Parameters
    ----------
    root : path-like
        Folder with a folder per class.
    size : int or (int, int)
        Height and width of an image in pixels.
    mode : {"RGB", "L"}, default "RGB"
        Colour, or grey.
    transform : callable, optional
        Called with the image, a Tensor of shape (C, H, W) in [0, 1]; what it returns takes its place.

    Attributes
    ----------
    classes : list of str
        Names of the classes.
    paths : list of Path
        The images.
    targets : list of int
        The class of each image.

    Raises
    ------
    FileNotFoundError
        If there is no class folder, or a class has no image.
    ValueError
        If an argument is none of the above. When an image is read: if it cannot be decoded, has more than 64 million pixels or
        more than 8 bits per channel; the message names its path.
    ImportError
        If Pillow is missing (extra ``data``).

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from dnncore.data import DataLoader, ImageFolder
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog"):
    ...     (root / name).mkdir()
    ...     size = (root / name / "1.pgm").write_bytes(b"P5 4 2 255 " + bytes(8))
    >>> data = ImageFolder(root, size=8, mode="L")
    >>> data.classes, len(data), data[1][1]
    (['cat', 'dog'], 2, 1)
    >>> x, y = next(iter(DataLoader(data, batch_size=2)))
    >>> x.shape, y.tolist()
    ((2, 1, 8, 8), [0, 1])
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        size: int | tuple[int, int],
        mode: Literal["RGB", "L"] = "RGB",
        transform: Callable[[Tensor], Any] | None = None,
    ) -> None:
        self._op = type(self).__name__
        self.size, self.mode, self.transform = _checked_size(self._op, size), mode, transform
        check_choice(self._op, "mode", mode, tuple(_CHANNELS))
        require("PIL", "data", self._op)
        self.root = Path(root)
        self.classes, self.paths, self.targets = _scan(self._op, self.root)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        x = unit_range(_read_image(self._op, self.paths[index], self.size, self.mode))
        return (x if self.transform is None else self.transform(x)), self.targets[index]


def load_image_folder(
    root: str | os.PathLike[str], size: int | tuple[int, int], mode: Literal["RGB", "L"] = "RGB"
) -> tuple[Tensor, Tensor, list[str]]:
    """Load all images in folders, one folder per class, into memory.

    Which files count, their order and what is done to an image are told at `ImageFolder`, which reads them one by one.

    Parameters
    ----------
    root : path-like
        Folder with a folder per class.
    size : int or (int, int)
        Height and width of an image in pixels.
    mode : {"RGB", "L"}, default "RGB"
        Colour, or grey.

    Returns
    -------
    x : Tensor of shape (N, C, H, W), float32
        The images, in [0, 1]; C is 3 or 1.
    y : Tensor of shape (N,), int64
        The class of each.
    classes : list of str
        Names of the classes.

    Raises
    ------
    FileNotFoundError
        If there is no class folder, or a class has no image.
    ValueError
        If an image cannot be decoded, is too large or has more than 8 bits per channel, or an argument is none of the above.
    ImportError
        If Pillow is missing (extra ``data``).

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from dnncore.data import load_image_folder
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog"):
    ...     (root / name).mkdir()
    ...     size = (root / name / "1.ppm").write_bytes(b"P6 1 1 255 " + bytes([255, 0, 51]))
    >>> x, y, classes = load_image_folder(root, size=2)
    >>> x.shape, y.tolist(), classes
    ((2, 3, 2, 2), [0, 1], ['cat', 'dog'])
    """
    op = "load_image_folder"
    height, width = _checked_size(op, size)
    check_choice(op, "mode", mode, tuple(_CHANNELS))
    require("PIL", "data", op)
    classes, paths, targets = _scan(op, Path(root))
    x = np.empty((len(paths), _CHANNELS[mode], height, width), np.float32)
    for row, path in zip(x, paths, strict=True):
        np.divide(_read_image(op, path, (height, width), mode), 255, out=row, dtype=np.float32)
    return _core.from_numpy(x), _core.tensor(targets, device="cpu"), classes


def _checked_size(op: str, size: object) -> tuple[int, int]:
    sizes = (size, size) if isinstance(size, int) else size
    if not (isinstance(sizes, (tuple, list)) and len(sizes) == 2 and all(type(n) is int and n > 0 for n in sizes)):
        raise ValueError(f"{op}: expected size as a positive int or (height, width), got {size!r}")
    if sizes[0] * sizes[1] > _PIXEL_CAP:
        raise ValueError(f"{op}: expected a size of at most {_PIXEL_CAP} pixels, got {size!r}")
    return sizes[0], sizes[1]


def _scan(op: str, root: Path) -> tuple[list[str], list[Path], list[int]]:
    """Return names of classes, paths and class numbers, in an order that depends on names only."""
    if not root.is_dir():
        raise FileNotFoundError(f"{op}: {root} is no folder")
    classes = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and entry.name[0] != ".")
    if not classes:
        raise FileNotFoundError(f"{op}: {root} has no folders; expected one per class with its images, such as cat and dog")
    paths: list[Path] = []
    targets: list[int] = []
    for number, name in enumerate(classes):
        found = sorted(_images_below(root / name))
        if not found:
            raise FileNotFoundError(f"{op}: no image in {root / name}; expected files ending in {', '.join(sorted(_ENDINGS))}")
        paths += found
        targets += [number] * len(found)
    return classes, paths, targets


def _images_below(folder: Path) -> list[Path]:
    found = []
    for place, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if name[0] != "."]
        found += [Path(place, name) for name in names if name[0] != "." and Path(name).suffix.lower() in _ENDINGS]
    return found


def _raise(error: OSError) -> None:
    raise error


def _read_image(op: str, path: Path, size: tuple[int, int], mode: str) -> NDArray[np.uint8]:
    """Return an image of shape (C, H, W)."""
    with open_regular(os.fspath(path), op) as file:
        try:
            pixels = _decoded(file, size, mode)
        except MemoryError:
            raise
        except Exception as error:  # whatever a decoder raises for broken files: SyntaxError, struct.error, ...
            raise ValueError(f"{op}: {path} cannot be read: {error}") from error
    return np.moveaxis(np.atleast_3d(pixels), 2, 0)


def _decoded(file: Any, size: tuple[int, int], mode: str) -> NDArray[np.uint8]:
    image_module, operations = require("PIL.Image", "data", "ImageFolder"), require("PIL.ImageOps", "data", "ImageFolder")
    with image_module.open(file, formats=_FORMATS) as image:
        if image.width * image.height > _PIXEL_CAP:
            raise ValueError(f"{image.width} x {image.height} pixels are more than {_PIXEL_CAP}, as a decompression bomb has")
        if image.mode[0] in "IF":
            raise ValueError(
                f"its pixels have more than 8 bits (mode {image.mode}), without an agreed range; save it with 8 bits"
            )
        upright = operations.exif_transpose(image).convert(mode)
        fitted = operations.fit(upright, size[::-1], image_module.Resampling.BILINEAR)
        pixels: NDArray[np.uint8] = np.asarray(fitted, np.uint8)
        return pixels
