"""Values changed in place: noise, erased rectangles, normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dnncore import _core
from dnncore._core import Generator, Tensor
from dnncore.data.augment.transform import Transform, interval, number, pair, uniform, whole


class GaussianNoise(Transform):
    """Add normal numbers to each pixel.

    Parameters
    ----------
    mean : float, default 0
        Mean of the noise.
    sigma : float, default 0.1
        Its standard deviation.
    clip : bool, default True
        Whether values are kept in [0, 1]; False for images that are normalised.

    Raises
    ------
    TypeError, ValueError
        If `mean` or `sigma` is no number, or `sigma` is negative.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data.augment import GaussianNoise
    >>> noisy = GaussianNoise(sigma=0.2)(dnn.rand(64, 1, 8, 8))
    >>> 0 <= noisy.min().item() <= noisy.max().item() <= 1
    True
    """

    def __init__(self, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> None:
        self.mean = number("GaussianNoise", "mean", mean)
        self.sigma = number("GaussianNoise", "sigma", sigma, 0.0)
        self.clip = bool(clip)

    def apply(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Return the images with noise."""
        noisy = x + (_core.randn(*x.shape, dtype=x.dtype, generator=generator, device=x.device) * self.sigma + self.mean)
        return noisy.clamp(0, 1) if self.clip else noisy


class Cutout(Transform):
    """Cover a square of each image.

    The centre is a random pixel, so a part of the square may lie outside.

    Parameters
    ----------
    size : int
        Side of the square, pixels.
    fill : float, default 0
        The value it is covered with.

    Raises
    ------
    TypeError, ValueError
        If `size` is no whole number of at least 1.

    References
    ----------
    T. DeVries, G. Taylor: Improved Regularization of Convolutional Neural Networks with Cutout, 2017.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data.augment import Cutout
    >>> Cutout(16)(dnn.rand(64, 3, 32, 32)).shape
    (64, 3, 32, 32)
    """

    _floating = False

    def __init__(self, size: int, fill: float = 0.0) -> None:
        self.size = whole("Cutout", "size", size, 1)
        self.fill = number("Cutout", "fill", fill)

    def apply(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Return the images, a square of each covered."""
        n, _, height, width = x.shape
        top, left = (_core.randint(size, (n,), generator=generator, device=x.device) - self.size // 2 for size in (height, width))
        return x.masked_fill(rectangles(x, top, left, top + self.size, left + self.size), self.fill)


class RandomErasing(Transform):
    """Cover a rectangle of some images.

    Its area is uniform in `scale`, the logarithm of height over width in that of `ratio`, its place uniform among those inside.
    Of ten rectangles drawn the first that fits is taken; if none does, the image stays.

    Parameters
    ----------
    p : float, default 0.5
        Probability that an image is changed.
    scale : (float, float), default (0.02, 0.33)
        Range of the area, a fraction of the image.
    ratio : (float, float), default (0.3, 3.3)
        Range of height over width.
    value : float, default 0
        The value it is covered with.

    Raises
    ------
    TypeError, ValueError
        If `p` is not between 0 and 1, or a range is none.

    References
    ----------
    Z. Zhong et al.: Random Erasing Data Augmentation, AAAI 2020.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data.augment import RandomErasing
    >>> RandomErasing(p=1.0)(dnn.rand(64, 3, 32, 32)).shape
    (64, 3, 32, 32)
    """

    _floating = False
    _fill = "value"
    _tries = 10

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: float = 0.0,
    ) -> None:
        self.p = number("RandomErasing", "p", p, 0.0, 1.0)
        self.scale = interval("RandomErasing", "scale", pair("RandomErasing", "scale", scale), 0.0)
        self.ratio = interval("RandomErasing", "ratio", pair("RandomErasing", "ratio", ratio), 1e-3)
        self.value = number("RandomErasing", "value", value)
        if self.scale[1] > 1:
            raise ValueError(f"RandomErasing: expected scale within 0 and 1, got {scale!r}")

    def apply(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Return the images, a rectangle of some covered."""
        n, _, height, width = x.shape
        area = uniform(*self.scale, (n, self._tries), x, generator) * (height * width)
        low, high = map(math.log, self.ratio)
        ratio = uniform(low, high, (n, self._tries), x, generator).exp()
        tall, wide = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
        fits = (tall < height) & (wide < width)
        first = fits.int().argmax(1, keepdim=True)
        erased = fits.any(1) & (uniform(0.0, 1.0, (n,), x, generator) < self.p)
        tall, wide = (size.gather(1, first).squeeze(1) * erased for size in (tall, wide))
        top, left = (
            (uniform(0.0, 1.0, (n,), x, generator) * (room - size + 1)).floor() for room, size in ((height, tall), (width, wide))
        )
        return x.masked_fill(rectangles(x, top, left, top + tall, left + wide), self.value)


class Normalize(Transform):
    """Standardise channels: ``(x - mean) / std``. Nothing is random.

    Parameters
    ----------
    mean, std : float or sequence of float
        One number per channel, or one for all.

    Raises
    ------
    TypeError, ValueError
        If they are no numbers or `std` is not above 0; when called, if the number of channels is another.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data.augment import Normalize
    >>> Normalize(mean=0.5, std=0.25)(dnn.tensor([[[[0.0, 1.0]]]])).tolist()
    [[[[-2.0, 2.0]]]]
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean, self.std = _channels("mean", mean), _channels("std", std)
        if min(self.std) <= 0:
            raise ValueError(f"Normalize: expected std above 0, got {std!r}")

    def apply(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Return the standardised images."""
        channels = x.shape[1]
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise ValueError(f"Normalize: expected {channels} numbers as {name}, one per channel, got {len(values)}")
        mean, std = (_core.tensor(values, dtype=x.dtype, device=x.device)[:, None, None] for values in (self.mean, self.std))
        return (x - mean) / std


def rectangles(x: Tensor, top: Tensor, left: Tensor, bottom: Tensor, right: Tensor) -> Tensor:
    """Return a mask (N, 1, H, W) of the pixels from (`top`, `left`) to before (`bottom`, `right`), (N,) each."""
    rows, columns = (_core.arange(size, device=x.device) for size in x.shape[2:])
    inside = (rows >= top[:, None]) & (rows < bottom[:, None])
    return (inside[:, :, None] & ((columns >= left[:, None]) & (columns < right[:, None]))[:, None, :])[:, None]


def _channels(name: str, values: float | Sequence[float]) -> tuple[float, ...]:
    found = values if isinstance(values, (tuple, list)) else (values,)
    if not found:
        raise ValueError(f"Normalize: expected {name} as a number or one per channel, got none")
    return tuple(number("Normalize", name, each) for each in found)
