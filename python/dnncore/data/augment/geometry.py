"""Images moved: flips, shifts, crops, rotations, affine and elastic maps."""

from __future__ import annotations

import math

from dnncore import _core
from dnncore._core import Generator, Tensor
from dnncore.data.augment._sample import bilinear, windows
from dnncore.data.augment.transform import Transform, interval, number, pair, uniform, whole

Interval = float | tuple[float, float]


class _RandomFlip(Transform):
    _floating = False
    _dim: int

    def __init__(self, p: float = 0.5) -> None:
        self.p = number(type(self).__name__, "p", p, 0.0, 1.0)

    def apply(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Return the images, some of them flipped."""
        chosen = (_core.rand(len(x), generator=generator, device=x.device) < self.p).nonzero().flatten()
        return x.index_copy(0, chosen, x[chosen].flip(self._dim))


class RandomHorizontalFlip(_RandomFlip):
    """Exchange left and right of some images.

    Parameters
    ----------
    p : float, default 0.5
        Probability of a flip.

    Raises
    ------
    ValueError
        If `p` is not between 0 and 1.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data.augment import RandomHorizontalFlip
    >>> RandomHorizontalFlip(p=1.0)(dnn.tensor([[[[1.0, 2.0]]]])).tolist()
    [[[[2.0, 1.0]]]]
    """

    _dim = 3


class RandomVerticalFlip(_RandomFlip):
    """Exchange top and bottom of some images.

    Parameters
    ----------
    p : float, default 0.5
        Probability of a flip.

    Raises
    ------
    ValueError
        If `p` is not between 0 and 1.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data.augment import RandomVerticalFlip
    >>> RandomVerticalFlip(p=1.0)(dnn.tensor([[[[1.0], [2.0]]]])).tolist()
    [[[[2.0], [1.0]]]]
    """

    _dim = 2


class RandomShift(Transform):
    """Move each image by whole pixels, up to `pixels` in each direction.

    Parameters
    ----------
    pixels : int
        The largest move, vertically and horizontally. For fractions of the size: ``RandomAffine(0, translate=...)``.
    fill : float, default 0
        The value of pixels that come from outside.

    Raises
    ------
    TypeError, ValueError
        If `pixels` is no whole number of at least 0.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data.augment import RandomShift
    >>> RandomShift(2)(dnn.rand(64, 1, 8, 8)).shape
    (64, 1, 8, 8)
    """

    _floating = False

    def __init__(self, pixels: int, fill: float = 0.0) -> None:
        self.pixels = whole("RandomShift", "pixels", pixels, 0)
        self.fill = number("RandomShift", "fill", fill)

    def apply(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Return the moved images."""
        top, left = _core.randint(2 * self.pixels + 1, (2, len(x)), generator=generator, device=x.device)
        padded = _core.pad(x, (self.pixels,) * 4, value=self.fill)
        return windows(padded, top, left, x.shape[2], x.shape[3])


class RandomCrop(Transform):
    """Cut a window out of each image.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the window; one number for both.
    padding : int, default 0
        Pixels added on each side before.
    fill : float, default 0
        Their value.

    Raises
    ------
    TypeError, ValueError
        If `size` or `padding` are no whole numbers of at least 1 and 0; when called, if the window is larger than the image.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data.augment import RandomCrop
    >>> RandomCrop(32, padding=4)(dnn.rand(64, 3, 32, 32)).shape
    (64, 3, 32, 32)
    """

    _floating = False

    def __init__(self, size: int | tuple[int, int], padding: int = 0, fill: float = 0.0) -> None:
        height, width = size if isinstance(size, (tuple, list)) and len(size) == 2 else (size, size)
        self.size = (whole("RandomCrop", "size", height, 1), whole("RandomCrop", "size", width, 1))
        self.padding = whole("RandomCrop", "padding", padding, 0)
        self.fill = number("RandomCrop", "fill", fill)

    def apply(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Return the windows."""
        padded = _core.pad(x, (self.padding,) * 4, value=self.fill)
        room = [have - want for have, want in zip(padded.shape[2:], self.size, strict=True)]
        if min(room) < 0:
            raise ValueError(f"RandomCrop: expected images of at least {self.size} with padding, got {tuple(padded.shape[2:])}")
        top, left = (_core.randint(each + 1, (len(x),), generator=generator, device=x.device) for each in room)
        return windows(padded, top, left, *self.size)


class RandomAffine(Transform):
    """Rotate, move, scale and shear each image about its centre, with bilinear interpolation.

    An output pixel at p, seen from the centre, is the input at ``A^-1 (p - t)`` with
    ``A = scale * [[cos a, -sin a], [sin a, cos a]] @ [[1, -tan s], [0, 1]]`` for coordinates (x, y), y downwards: torchvision's
    map. It interpolates bilinearly, where torchvision takes the nearest pixel by default.

    Parameters
    ----------
    degrees : float or (float, float)
        Range of the angle a, clockwise; a number d is (-d, d).
    translate : (float, float), optional
        The largest moves t, horizontally and vertically, as fractions of width and height.
    scale : (float, float), optional
        Range of the scale; above 1 enlarges.
    shear : float or (float, float), optional
        Range of the horizontal shear s in degrees, below 90; a number d is (-d, d).
    fill : float, default 0
        The value outside the image.

    Raises
    ------
    TypeError, ValueError
        If a range is none, or not within the bounds named above.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data.augment import RandomAffine
    >>> augment = RandomAffine(degrees=10, translate=(0.1, 0.1), scale=(0.9, 1.1))
    >>> augment(dnn.rand(64, 1, 8, 8)).shape
    (64, 1, 8, 8)
    """

    def __init__(
        self,
        degrees: Interval,
        translate: tuple[float, float] | None = None,
        scale: tuple[float, float] | None = None,
        shear: Interval | None = None,
        fill: float = 0.0,
    ) -> None:
        self.degrees = interval("RandomAffine", "degrees", degrees)
        self.translate = None if translate is None else _fractions(translate)
        self.scale = None if scale is None else interval("RandomAffine", "scale", pair("RandomAffine", "scale", scale), 1e-3)
        self.shear = None if shear is None else interval("RandomAffine", "shear", shear)
        self.fill = number("RandomAffine", "fill", fill)
        if self.shear is not None and max(map(abs, self.shear)) >= 90:
            raise ValueError(f"RandomAffine: expected shear between -90 and 90 degrees, got {shear!r}")

    def apply(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Return the mapped images."""
        n, _, height, width = x.shape

        def drawn(low: float, high: float) -> Tensor:
            return uniform(low, high, (n,), x, generator)

        angle = drawn(*self.degrees) * (math.pi / 180)
        scale = 1.0 if self.scale is None else drawn(*self.scale)
        shear = 0.0 if self.shear is None else _tangent(drawn(*self.shear) * (math.pi / 180))
        across, down = (0.0, 0.0) if self.translate is None else self.translate
        move = [drawn(-most, most) * size if most else 0.0 for most, size in ((across, width), (down, height))]
        # A^-1 = shear^-1 @ rotation^-1 / scale
        cosine, sine = angle.cos(), angle.sin()
        inverse = [(cosine - shear * sine) / scale, (sine + shear * cosine) / scale, -sine / scale, cosine / scale]
        return _mapped(x, inverse, move, self.fill)


class RandomRotation(Transform):
    """Rotate each image about its centre, with bilinear interpolation.

    Parameters
    ----------
    degrees : float or (float, float)
        Range of the angle, counter-clockwise; a number d is (-d, d).
    fill : float, default 0
        The value outside the image.

    Raises
    ------
    TypeError, ValueError
        If `degrees` is no range.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data.augment import RandomRotation
    >>> RandomRotation((90, 90))(dnn.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).tolist()
    [[[[2.0, 4.0], [1.0, 3.0]]]]
    """

    def __init__(self, degrees: Interval, fill: float = 0.0) -> None:
        self.degrees = interval("RandomRotation", "degrees", degrees)
        self.fill = number("RandomRotation", "fill", fill)

    def apply(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Return the rotated images."""
        angle = uniform(*self.degrees, (len(x),), x, generator) * (math.pi / 180)
        cosine, sine = angle.cos(), angle.sin()
        return _mapped(x, [cosine, -sine, sine, cosine], [0.0, 0.0], self.fill)


class ElasticTransform(Transform):
    """Distort each image like handwriting: a smooth random displacement of its pixels.

    The displacements of the pixels in x and y are uniform in (-1, 1), smoothed by a Gaussian (outside is 0) and multiplied by
    `alpha`; the image is read there with bilinear interpolation. Far from the border a displacement has the standard deviation
    ``alpha / (sigma * sqrt(12 * pi))`` pixels. In torchvision `alpha` is twice that for the same effect.

    Parameters
    ----------
    alpha : float, default 34
        Strength in pixels, before the smoothing.
    sigma : float, default 4
        Standard deviation of the Gaussian, pixels. The defaults are for images of about 29 x 29.
    fill : float, default 0
        The value outside the image.

    Raises
    ------
    TypeError, ValueError
        If `alpha` is no number of at least 0 or `sigma` is not above 0.

    References
    ----------
    P. Simard, D. Steinkraus, J. Platt: Best Practices for Convolutional Neural Networks, ICDAR 2003.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data.augment import ElasticTransform
    >>> ElasticTransform()(dnn.rand(64, 1, 28, 28)).shape
    (64, 1, 28, 28)
    """

    def __init__(self, alpha: float = 34.0, sigma: float = 4.0, fill: float = 0.0) -> None:
        self.alpha = number("ElasticTransform", "alpha", alpha, 0.0)
        self.sigma = number("ElasticTransform", "sigma", sigma, 1e-3)
        self.fill = number("ElasticTransform", "fill", fill)

    def apply(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Return the distorted images."""
        n, _, height, width = x.shape
        noise = uniform(-1.0, 1.0, (n, 2, height, width), x, generator)
        along, across = (_smoothing(size, self.sigma, x) for size in (height, width))
        rows, columns = (self.alpha * (along @ noise @ across)).unbind(1)
        down, right = (_core.arange(size, device=x.device) for size in (height, width))
        return bilinear(x, rows + down[:, None], columns + right, self.fill)


def _fractions(translate: object) -> tuple[float, float]:
    found = pair("RandomAffine", "translate", translate, "(horizontal, vertical) fractions")
    across, down = (number("RandomAffine", "translate", each, 0.0, 1.0) for each in found)
    return across, down


def _tangent(angle: Tensor) -> Tensor:
    return angle.sin() / angle.cos()


def _mapped(x: Tensor, inverse: list[Tensor], move: list[Tensor | float], fill: float) -> Tensor:
    """Return images read where a 2 x 2 map of (x, y) about the centre, (N,) per entry, says after a move of the output."""
    height, width = x.shape[2:]
    xs, ys = (_core.arange(size, dtype=_core.float64, device=x.device)[None] - (size - 1) / 2 for size in (width, height))
    xs, ys = (line - (each[:, None] if isinstance(each, Tensor) else each) for line, each in zip((xs, ys), move, strict=True))
    # To 2^-40, so that the cosine of 90 degrees is 0 and a quarter turn copies pixels.
    xx, xy, yx, yy = ((each * 2.0**40).round()[:, None] / 2.0**40 for each in inverse)
    columns = (xx * xs)[:, None, :] + (xy * ys)[:, :, None] + (width - 1) / 2
    rows = (yx * xs)[:, None, :] + (yy * ys)[:, :, None] + (height - 1) / 2
    return bilinear(x, rows, columns, fill)


def _smoothing(size: int, sigma: float, like: Tensor) -> Tensor:
    """Return the (size, size) matrix, where `like` is, that smooths a line by a Gaussian cut off at 4 sigma; outside is 0."""
    radius = int(4 * sigma + 0.5)

    def gaussian(distance: Tensor) -> Tensor:
        return ((distance / sigma).square() * -0.5).exp() * (distance.abs() <= radius)

    place, window = (_core.arange(*ends, dtype=_core.float64, device=like.device) for ends in ((size,), (-radius, radius + 1)))
    return gaussian(place[:, None] - place) / gaussian(window).sum()
