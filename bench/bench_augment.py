"""Augmentation of batches of 64 images, time per image; loops over the images with NumPy and SciPy."""

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
from dnncore.data import augment

SIZES = [(1, 8, 8), (1, 28, 28), (3, 32, 32)]
COUNT = 64

COLUMNS = [
    ("microseconds per image", 44, ""),
    ("threads", 7, "d"),
    ("ours", 8, ".2f"),
    ("spread", 6, ".2f"),
    ("loop", 8, ".2f"),
    ("x loop", 8, ".2f"),
]


def loops(ndimage):
    """{transform: function of an array of images and a NumPy generator}, the way such code is written by hand."""

    def shift(x, random):
        padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))
        places = random.integers(0, 5, (len(x), 2))
        return np.stack([p[:, t : t + x.shape[2], s : s + x.shape[3]] for p, (t, s) in zip(padded, places, strict=True)])

    def rotation(x, random):
        angles = random.uniform(-10, 10, len(x))
        return np.stack([ndimage.rotate(p, a, (1, 2), reshape=False, order=1) for p, a in zip(x, angles, strict=True)])

    def elastic(image, random):
        size = image.shape[1:]
        moves = [34 * ndimage.gaussian_filter(random.uniform(-1, 1, size), 4, mode="constant") for _ in size]
        places = np.mgrid[: size[0], : size[1]] + np.array(moves)
        return np.stack([ndimage.map_coordinates(plane, places, order=1) for plane in image])

    return {
        augment.RandomHorizontalFlip: lambda x, random: np.where(
            (random.random(len(x)) < 0.5)[:, None, None, None], x[..., ::-1], x
        ),
        augment.RandomShift: shift,
        augment.RandomRotation: rotation if ndimage else None,
        augment.ElasticTransform: (lambda x, random: np.stack([elastic(image, random) for image in x])) if ndimage else None,
        augment.GaussianNoise: lambda x, random: np.clip(x + 0.1 * random.standard_normal(x.shape, np.float32), 0, 1),
    }


TRANSFORMS = [
    augment.RandomHorizontalFlip(),
    augment.RandomShift(2),
    augment.RandomCrop(8, padding=2),
    augment.RandomRotation(10),
    augment.RandomAffine(10, (0.1, 0.1), (0.9, 1.1), 10),
    augment.ElasticTransform(),
    augment.GaussianNoise(),
    augment.Cutout(4),
    augment.RandomErasing(),
    augment.MixUp(num_classes=10),
    augment.CutMix(num_classes=10),
]


def measure(report, transform, loop, size, count, options):
    label = f"{type(transform).__name__}, {' x '.join(map(str, size))}"
    if options.filter not in label:
        return
    x, y = dnn.rand(COUNT, *size), dnn.randint(10, (COUNT,))
    contenders = {"ours": lambda: transform(x, y)}
    if loop is not None:
        images, random = x.numpy(), np.random.default_rng(0)
        contenders["loop"] = lambda: loop(images, random)
    timings = common.compare(contenders, options.quick)
    values = {name: 1e6 * timing.median / COUNT for name, timing in timings.items()}
    values["x loop"] = common.ratio(timings.get("loop"), timings["ours"])
    values |= {"microseconds per image": label, "threads": count, "spread": timings["ours"].spread}
    report.row(values, timings=timings)


def main():
    options = common.arguments(__doc__)
    try:
        from scipy import ndimage
    except ImportError:
        ndimage = None
    by_hand = loops(ndimage)
    report = common.Report("Augmentation", options, COLUMNS)
    for count in options.threads:
        with common.Threads(count):
            for size in SIZES:
                for transform in TRANSFORMS:
                    measure(report, transform, by_hand.get(type(transform)), size, count, options)
    report.geometric_mean("x loop", "loops of NumPy and SciPy")
    report.finish()


if __name__ == "__main__":
    main()
