"""``--augment NAME[:VALUE]``: random changes of the training images."""

from __future__ import annotations

from collections.abc import Callable

from dnncore.data import augment
from dnncore.data.augment import Transform

# By name: what makes it of its value, and the value when none is given.
_TRANSFORMS: dict[str, tuple[Callable[[float], Transform], float]] = {
    "shift": (lambda value: augment.RandomShift(int(value)), 2),
    "rotate": (lambda value: augment.RandomRotation(value), 10),
    "scale": (lambda value: augment.RandomAffine(0, scale=(1 - value, 1 + value)), 0.1),
    "elastic": (lambda value: augment.ElasticTransform(alpha=value), 34),
    "noise": (lambda value: augment.GaussianNoise(sigma=value), 0.1),
    "cutout": (lambda value: augment.Cutout(int(value)), 8),
    "flip": (lambda value: augment.RandomHorizontalFlip(value), 0.5),
}
NAMES = tuple(_TRANSFORMS)


def augmentation(text: str) -> Transform:
    """Return the transform of ``NAME`` or ``NAME:VALUE``; ValueError if it is none."""
    name, _, value = text.partition(":")
    if name not in _TRANSFORMS:
        raise ValueError(f"--augment: expected one of {', '.join(NAMES)}, such as shift:2, got {text!r}")
    make, default = _TRANSFORMS[name]
    try:
        return make(float(value) if value else default)
    except ValueError as error:
        raise ValueError(f"--augment {text}: {error}") from None
