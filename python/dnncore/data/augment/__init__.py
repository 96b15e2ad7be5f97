"""Augmentation: random changes of whole batches of images, reproducible from the seed."""

from dnncore.data.augment.geometry import (
    ElasticTransform,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    RandomShift,
    RandomVerticalFlip,
)
from dnncore.data.augment.mixing import CutMix, MixUp
from dnncore.data.augment.pixels import Cutout, GaussianNoise, Normalize, RandomErasing
from dnncore.data.augment.transform import Compose, Transform

__all__ = [
    "Compose",
    "CutMix",
    "Cutout",
    "ElasticTransform",
    "GaussianNoise",
    "MixUp",
    "Normalize",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomRotation",
    "RandomShift",
    "RandomVerticalFlip",
    "Transform",
]
