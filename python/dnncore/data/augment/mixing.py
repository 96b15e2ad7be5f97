"""Pairs of images made one, and their targets with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from dnncore import _core
from dnncore._core import Generator, Tensor
from dnncore.data.augment.pixels import rectangles
from dnncore.data.augment.transform import Transform, number, whole


class _Mixing(Transform):
    def __init__(self, alpha: float = 1.0, num_classes: int | None = None) -> None:
        name = type(self).__name__
        self.alpha = number(name, "alpha", alpha, 1e-3)
        self.num_classes = None if num_classes is None else whole(name, "num_classes", num_classes, 1)

    def __call__(self, x: Tensor, *others: Any, generator: Generator | None = None) -> Any:
        """Mix a batch.

        Parameters
        ----------
        x : Tensor of shape (N, C, H, W)
        y : Tensor of shape (N,) or (N, ...)
            Class numbers, or probabilities or values, which are mixed as they are.
        generator : Generator, optional
            Where random numbers are drawn from; the default generator when not given.

        Returns
        -------
        x, y : tuple of Tensor
            The mixed images, and the mixed targets: for classes probabilities of shape (N, num_classes), which
            `cross_entropy` takes.

        Raises
        ------
        TypeError, ValueError
            If x is no batch, y is missing or does not fit, or y holds class numbers and `num_classes` is not given.
        """
        self._check(x)
        y = self._targets(x, others)
        partner = _core.randperm(len(x), generator=generator, device=x.device)
        share = _beta(self.alpha, len(x), generator).to(x.device)
        mixed, share = self._mixed(x, partner, share, generator)
        share = share.to(y.dtype).reshape(-1, *[1] * (y.ndim - 1))
        return mixed, y * share + y[partner] * (1 - share)

    def _targets(self, x: Tensor, others: tuple[Any, ...]) -> Tensor:
        name = type(self).__name__
        if x.ndim != 4:
            raise ValueError(f"{name}: expected a batch (N, C, H, W), got one image of shape {tuple(x.shape)}")
        if len(others) != 1 or not isinstance(others[0], Tensor):
            raise TypeError(f"{name}: expected images and their targets (x, y), got {1 + len(others)} arguments")
        y: Tensor = others[0]
        if y.ndim < 1 or len(y) != len(x):
            raise ValueError(f"{name}: expected a target for each of {len(x)} images, got y of shape {tuple(y.shape)}")
        if y.is_floating_point():
            return y
        if self.num_classes is None:
            raise ValueError(f"{name}: expected num_classes, since y holds whole numbers; pass {name}(num_classes=...)")
        if y.ndim != 1:
            raise ValueError(f"{name}: expected class numbers of shape (N,), got y of shape {tuple(y.shape)}")
        return _core.one_hot(y.long(), self.num_classes).to(x.dtype)

    def _mixed(self, x: Tensor, partner: Tensor, share: Tensor, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """Return mixed images, and how much of each is its own."""
        raise NotImplementedError


class MixUp(_Mixing):
    """Blend each image with another one of the batch, and the targets in the same proportion.

    ``x' = l x_i + (1 - l) x_j`` and ``y' = l y_i + (1 - l) y_j`` with j a random permutation and l from Beta(alpha, alpha), drawn
    for each image.

    Parameters
    ----------
    alpha : float, default 1
        Small values mix little: most l are near 0 or 1.
    num_classes : int, optional
        How many classes there are, where targets are class numbers.

    Raises
    ------
    TypeError, ValueError
        If `alpha` is not above 0 or `num_classes` is below 1.

    References
    ----------
    H. Zhang et al.: mixup: Beyond Empirical Risk Minimization, ICLR 2018.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data.augment import MixUp
    >>> x, y = MixUp(alpha=0.2, num_classes=10)(dnn.rand(64, 1, 8, 8), dnn.randint(10, (64,)))
    >>> x.shape, y.shape
    ((64, 1, 8, 8), (64, 10))
    """

    def _mixed(self, x: Tensor, partner: Tensor, share: Tensor, generator: Generator | None) -> tuple[Tensor, Tensor]:
        own = share.to(x.dtype)[:, None, None, None]
        return x * own + x[partner] * (1 - own), share


class CutMix(_Mixing):
    """Replace a rectangle of each image by that of another one of the batch, and mix the targets by the areas.

    The rectangle has the proportions of the image and the area 1 - l, l from Beta(alpha, alpha); its centre is a random pixel.
    What lies outside is cut off, and the targets follow the pixels that are replaced.

    Parameters
    ----------
    alpha : float, default 1
        With 1 all areas are equally likely.
    num_classes : int, optional
        How many classes there are, where targets are class numbers.

    Raises
    ------
    TypeError, ValueError
        If `alpha` is not above 0 or `num_classes` is below 1.

    References
    ----------
    S. Yun et al.: CutMix: Regularization Strategy to Train Strong Classifiers, ICCV 2019.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data.augment import CutMix
    >>> x, y = CutMix(num_classes=10)(dnn.rand(64, 1, 8, 8), dnn.randint(10, (64,)))
    >>> x.shape, y.shape
    ((64, 1, 8, 8), (64, 10))
    """

    def _mixed(self, x: Tensor, partner: Tensor, share: Tensor, generator: Generator | None) -> tuple[Tensor, Tensor]:
        side = (1 - share).sqrt() / 2
        edges = []
        for size in x.shape[2:]:
            centre = _core.randint(size, (len(x),), generator=generator, device=x.device)
            half = (side * size).floor().long()
            edges.append(((centre - half).clamp(min=0), (centre + half).clamp(max=size)))
        (top, bottom), (left, right) = edges
        replaced = (bottom - top) * (right - left)
        mixed = _core.where(rectangles(x, top, left, bottom, right), x[partner], x)
        return mixed, 1 - replaced.double() / max(x.shape[2] * x.shape[3], 1)


def _beta(alpha: float, count: int, generator: Generator | None) -> Tensor:
    """Draw from Beta(alpha, alpha), float64; NumPy's stream, which its `RandomState` promises not to change."""
    seeds = _core.randint(1 << 32, (4,), generator=generator, device="cpu").tolist()
    return _core.tensor(np.random.RandomState(seeds).beta(alpha, alpha, count), device="cpu")
