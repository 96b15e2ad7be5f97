"""What ``dnncore train lenet5`` and its kin do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dnncore import models
from dnncore.cli import images
from dnncore.cli.augmentation import augmentation
from dnncore.cli.images import ImageSource
from dnncore.cli.rows import Rows
from dnncore.cli.train import Config, finish, optimizer, prepare
from dnncore.data import DataLoader, TensorDataset, stratified_split
from dnncore.data.augment import Compose, Normalize, Transform
from dnncore.model import Model
from dnncore.nn import Module

_SMALL = 128  # pixels; below, the wide linear layers of AlexNet and VGG would be most of the work
_SIZES = {"alexnet": 64, "googlenet": 64}  # of images that come in another size; of the others 32


@dataclass(frozen=True)
class NetworkConfig(Config):
    """Settings of the training of a network of `dnncore.models`."""

    model: str = "lenet5"
    size: int | None = None
    augment: tuple[str, ...] = ()


def build(name: str, classes: int, channels: int, size: int) -> Module:
    """Return an untrained network for images of a size."""
    make: Callable[..., Module] = getattr(models, name)
    options: dict[str, Any] = {}
    if name.startswith(("alexnet", "vgg")) and size < _SMALL:
        options["hidden"] = 512
    elif name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"):
        options["cifar_stem"] = size <= 64
    elif name == "googlenet":
        options["aux_logits"] = False  # batch normalisation does their work
    return make(classes, in_channels=channels, **options)


def train_network(config: NetworkConfig, out: str | os.PathLike[str], threads: int | None = None, device: str = "cpu") -> int:
    """Train, judge on held-out data, and write the model, its record and its curve to `out`; return the exit status."""
    folder = prepare(out, threads, config.seed, device)
    transforms = [augmentation(text) for text in config.augment]
    size = _SIZES.get(config.model, 32) if config.size is None else config.size
    source, train, test = images.load(config.data, size, normalize=True)
    started = time.perf_counter()
    model = Model(build(config.model, len(source.classes), source.channels, size), device)
    model.compile(optimizer(config, model.module), "cross_entropy", ["accuracy"])
    _fit(model, config, source, train, transforms)
    seconds = time.perf_counter() - started
    test = Rows(source.normalized(test.x), test.y)
    return finish(folder, model, config.model, config, source, test, seconds)


def _fit(model: Model, config: NetworkConfig, source: ImageSource, train: Rows, transforms: list[Transform]) -> None:
    if not transforms:
        x = source.normalized(train.x)
        model.fit(x, train.y, epochs=config.epochs, batch_size=config.batch_size, validation_split=config.validation)
        return
    validation = None
    if config.validation:  # without augmentation
        rows, held_out = stratified_split(train.y, config.validation)
        validation = source.normalized(train.x[held_out]), train.y[held_out]
        train = Rows(train.x[rows], train.y[rows])
    assert source.mean is not None
    assert source.std is not None
    transform = Compose([*transforms, Normalize(source.mean, source.std)])
    loader = DataLoader(TensorDataset(*train), batch_size=config.batch_size, shuffle=True, transform=transform)
    model.fit(loader, epochs=config.epochs, validation_data=validation)
