"""Images of the command line: what a model was trained on, and how other files become what it takes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import click
import numpy as np

from dnncore import _core
from dnncore._core import Tensor
from dnncore._extras import require
from dnncore.cli.rows import Rows, array_of, parts
from dnncore.data import ImageFolder, load_cifar10, load_digits, load_image_folder, load_mnist, make_shapes
from dnncore.data._resize import resized

KINDS = ("digits", "shapes", "mnist", "fashion-mnist", "cifar10", "folder")
_NATIVE = {"digits": 8, "mnist": 28, "fashion-mnist": 28, "cifar10": 32}  # pixels; the others come in any size
_CLASSES = {
    "shapes": ["disc", "square", "triangle", "ring", "cross"],
    "fashion-mnist": ["T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"],
    "cifar10": ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
}
_SHAPES = {"train": (4000, 1), "test": (1000, 2)}  # number and seed
_BYTE_CAP = 4 << 30


@dataclass(frozen=True)
class ImageSource:
    """The images a model was trained on, with all it takes to read such images again.

    The network takes ``(x - mean) / std`` of images x in [0, 1] of `size` x `size` pixels; the two are None where it takes x.
    `digest` is that of the names of the files in a folder, from which follows which of them were held out.
    """

    spec: str  # "digits", "shapes", or "KIND:FOLDER"
    classes: list[Any]  # their names
    channels: int
    size: int
    mean: list[float] | None = None
    std: list[float] | None = None
    digest: str | None = None
    noun: ClassVar[str] = "images"

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return self.spec.partition(":")[0]

    @property
    def features(self) -> int:
        """Number of inputs."""
        return self.channels * self.size**2

    @property
    def light_on_dark(self) -> bool:
        """Whether the images are light on dark ground."""
        return self.kind in ("digits", "shapes", "mnist")

    def to_notes(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        return {"kind": "images", **asdict(self)}

    @classmethod
    def from_notes(cls, notes: Mapping[str, Any]) -> ImageSource:
        """Return the source that `to_notes` described."""
        return cls(**{name: value for name, value in notes.items() if name != "kind"})

    def normalized(self, x: Tensor) -> Tensor:
        """Return images in [0, 1] as the network takes them."""
        if self.mean is None or self.std is None:
            return x
        mean, std = (_core.tensor(values, dtype=_core.float32).view(-1, 1, 1) for values in (self.mean, self.std))
        return (x - mean) / std

    def held_out(self) -> Rows:
        """Return the part of the training data that training did not see."""
        if self.kind == "folder" and _digest(self._folder) != self.digest:
            raise ValueError(
                f"{self._folder} has changed since the training, so that training may have seen any image; give --data folder:DIR"
            )
        x, y, _ = _read(self.spec, self.size, "test")
        return Rows(self.normalized(x), y)

    def other(self, spec: str) -> Rows:
        """Return other images to judge by: the test part of a published set, all of a folder."""
        kind = spec.partition(":")[0]
        if kind not in KINDS:
            raise ValueError(f"evaluate: the model takes images; expected --data digits or KIND:DIR, got {spec}")
        x, y, classes = _read(spec, self.size, "all" if kind == "folder" else "test")
        if classes != self.classes or x.shape[1] != self.channels:
            raise ValueError(
                f"evaluate: expected images of {self.channels} channels of the classes {_listed(self.classes)}, "
                f"got {x.shape[1]} channels of the classes {_listed(classes)}"
            )
        return Rows(self.normalized(x), y)

    def inputs(self, path: Path, invert: bool = False) -> Tensor:
        """Return what a file without targets holds: an image, or an array of images in a ``.npy`` file."""
        suffix = path.suffix.lower()
        if suffix == ".csv":
            raise ValueError(f"{path}: this model takes images; give an image or a .npy file")
        if suffix == ".npy":
            values = array_of(path, (self.channels, self.size, self.size))
            low, high = values.min(), values.max()
            if not 0 <= low <= high <= 1:
                raise ValueError(f"{path}: expected pixels from 0 (dark) to 1 (light), got {low:g} to {high:g}; scale the array")
            return self.normalized(_core.tensor(values))
        native = _NATIVE.get(self.kind, self.size)
        image = _image(path, native, self.channels, invert)
        if self.light_on_dark and not invert and _is_dark_on_light(image.numpy()):
            click.echo(f"{path}: dark on light; the model was trained on light on dark, --invert turns it round", err=True)
        return self.normalized(fitted(image, self.size))

    @property
    def _folder(self) -> str:
        return self.spec.partition(":")[2]


def load(spec: str, size: int | None = None, normalize: bool = False) -> tuple[ImageSource, Rows, Rows]:
    """Return the source, the training part and the held-out part, both in [0, 1], of one of `KINDS`; own size when not given."""
    kind, _, folder = spec.partition(":")
    spec = f"{kind}:{os.path.abspath(folder)}" if folder else kind
    size = _NATIVE.get(kind, 32) if size is None else size
    x, y, classes = _read(spec, size, "train")
    mean, std = _moments(x) if normalize else (None, None)
    source = ImageSource(spec, classes, x.shape[1], size, mean, std, _digest(folder) if kind == "folder" else None)
    x_test, y_test, _ = _read(spec, size, "test")
    return source, Rows(x, y), Rows(x_test, y_test)


def _read(spec: str, size: int, part: Any) -> tuple[Tensor, Tensor, list[Any]]:
    kind, _, folder = spec.partition(":")
    if kind == "folder":
        return _read_folder(folder, size, part)
    classes: list[Any] = _CLASSES.get(kind, list(range(10)))
    if kind == "shapes":
        count, seed = _SHAPES[part]
        x, y = make_shapes(count, size, _core.Generator().manual_seed(seed), shift=size / 8)
        return x, y, classes
    if kind == "digits":
        x, y = load_digits(32 if size == 32 else 8, part)
    elif kind == "cifar10":
        x, y = load_cifar10(folder, part)
    else:
        x, y = load_mnist(folder, part, "mnist" if kind == "mnist" else "fashion_mnist")
    _check_memory(len(x), x.shape[1], size)
    return fitted(x, size), y, classes


def _read_folder(folder: str, size: int, part: str) -> tuple[Tensor, Tensor, list[Any]]:
    _check_memory(len(ImageFolder(folder, size)), 3, size)
    x, y, classes = load_image_folder(folder, size)
    if part == "all":
        return x, y, list(classes)
    train, test = parts(y, classes=True)
    rows = train if part == "train" else test
    return x[rows], y[rows], list(classes)


def fitted(x: Tensor, size: int) -> Tensor:
    """Return images of `size` x `size` pixels: padded from 28 to 32 as in LeCun 1998, else resized bilinearly."""
    if x.shape[2] == size:
        return x
    if (x.shape[2], size) == (28, 32):
        return _core.pad(x, (2, 2, 2, 2))
    return _core.from_numpy(resized(x.numpy(), size, size))


def _moments(x: Tensor) -> tuple[list[float], list[float]]:
    """Return mean and deviation of each channel."""
    pixels = x.numpy()
    mean = pixels.mean((0, 2, 3), dtype=np.float64)
    std = np.sqrt(np.square(pixels, dtype=np.float64).mean((0, 2, 3)) - mean**2)
    return mean.tolist(), np.where(std > 0, std, 1.0).tolist()


def _check_memory(count: int, channels: int, size: int) -> None:
    needed = 4 * count * channels * size**2
    if needed > _BYTE_CAP:
        raise ValueError(f"{count} images of {size} x {size} pixels take {needed / 2**30:.1f} GiB; give a smaller --size")


def _digest(folder: str) -> str:
    """Return a hash of the names of the images in a folder."""
    data = ImageFolder(folder, 1)
    names = "\n".join(path.relative_to(data.root).as_posix() for path in data.paths)
    return hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()


def _listed(classes: list[Any]) -> str:
    return ", ".join(map(str, classes[:12])) + (", ..." if len(classes) > 12 else "")


def _image(path: Path, size: int, channels: int, invert: bool) -> Tensor:
    """Return an image (1, channels, size, size), each pixel the mean of those that fall into it."""
    image_module = require("PIL.Image", "data", "predict")
    try:
        with image_module.open(path) as image:
            small = image.convert("L" if channels == 1 else "RGB").resize((size, size), image_module.Resampling.BOX)
    except image_module.UnidentifiedImageError:
        raise ValueError(f"{path}: neither an image nor a .npy or .csv file") from None
    except (OSError, SyntaxError, image_module.DecompressionBombError) as error:
        raise ValueError(f"{path}: the image cannot be read: {error}") from None
    pixels = np.atleast_3d(np.asarray(small, dtype=np.float32) / 255)
    return _core.tensor(np.ascontiguousarray(np.moveaxis(1 - pixels if invert else pixels, 2, 0)[None]))


def _is_dark_on_light(images: np.ndarray[Any, Any]) -> bool:
    """Whether the borders are brighter than what they enclose."""
    border = np.concatenate([images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1]], axis=-1)
    return bool(border.mean() > 0.5 > images.min())
