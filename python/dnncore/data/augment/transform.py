"""What all transforms share: how they are called, where random numbers come from, and several in a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import Any

from dnncore import _core
from dnncore._checks import check_tensors
from dnncore._core import Generator, Tensor


class Transform:
    """A change of images, random for each of them.

    Calling it with images gives new images; with images and more, such as targets, the new images and the rest as it was. Input
    is never changed. A transform of one's own derives from this class and defines `apply`.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data.augment import Transform
    >>> class RandomBrightness(Transform):
    ...     def __init__(self, delta):
    ...         self.delta = delta
    ...     def apply(self, x, generator):
    ...         shares = dnn.rand(len(x), 1, 1, 1, generator=generator, device=x.device)
    ...         return x + self.delta * (2 * shares - 1)
    >>> brighter = RandomBrightness(delta=0.2)
    >>> brighter
    RandomBrightness(delta=0.2)
    >>> brighter(dnn.zeros(64, 1, 8, 8)).shape
    (64, 1, 8, 8)
    """

    _floating = True  # whether it computes with values instead of moving them
    _fill = "fill"  # the attribute, where there is one, that holds the value of covered pixels

    def apply(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Return the changed images.

        Parameters
        ----------
        x : Tensor of shape (N, C, H, W)
            A batch, also where one image was passed.
        generator : Generator or None
            Where to draw from, each image its own numbers; None is the default generator.
        """
        raise NotImplementedError(f"{type(self).__name__}: a transform defines apply(x, generator)")

    def __call__(self, x: Tensor, *others: Any, generator: Generator | None = None) -> Any:
        """Change images.

        Parameters
        ----------
        x : Tensor of shape (N, C, H, W), or (C, H, W) for one image
        *others
            Whatever belongs to the images; it is returned as it is.
        generator : Generator, optional
            Where random numbers are drawn from; the default generator when not given.

        Returns
        -------
        Tensor, or tuple of the Tensor and `others` where there are others
        """
        self._check(x)
        changed = self.apply(x, generator) if x.ndim == 4 else self.apply(x.unsqueeze(0), generator).squeeze(0)
        return (changed, *others) if others else changed

    def _check(self, x: object) -> None:
        name = type(self).__name__
        check_tensors(name, x=x)
        assert isinstance(x, Tensor)
        if x.ndim not in (3, 4):
            raise ValueError(f"{name}: expected images of shape (N, C, H, W) or (C, H, W), got {tuple(x.shape)}")
        if 0 in x.shape[-3:]:
            raise ValueError(f"{name}: expected images with channels and pixels, got shape {tuple(x.shape)}")
        if self._floating and not x.is_floating_point():
            raise TypeError(f"{name}: expected floating images, got {x.dtype}; take x.float() / 255 of bytes")

        fill = getattr(self, self._fill, 0.0)
        if fill and not x.is_floating_point() and _core.tensor(fill, device="cpu").to(x.dtype).item() != fill:
            raise ValueError(f"{name}: expected a fill that {x.dtype} can hold, got {fill:g}")

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if name[0] != "_")
        return f"{type(self).__name__}({settings})"


def transformed(transform: Callable[..., Any], batch: tuple[Any, ...], generator: Generator | None) -> tuple[Any, ...]:
    """Call a transform, or a function that knows of no generator, with the parts of a batch; return the new parts."""
    draws = isinstance(transform, (Transform, Compose))
    result = transform(*batch, generator=generator) if draws else transform(*batch)
    parts = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    if len(parts) != len(batch):
        raise ValueError(f"{transform!r}: expected {len(batch)} results of {len(batch)} arguments, got {len(parts)}")
    return parts


class Compose:
    """Transforms one after the other.

    Parameters
    ----------
    transforms : iterable of Transform or callable
        A function takes the images, and the targets where there are some, and returns as much.

    Raises
    ------
    TypeError
        If a transform cannot be called.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data.augment import Compose, RandomCrop, RandomHorizontalFlip
    >>> augment = Compose([RandomCrop(32, padding=4), RandomHorizontalFlip()])
    >>> x, y = augment(dnn.rand(64, 3, 32, 32), dnn.zeros(64))
    >>> x.shape, y.shape
    ((64, 3, 32, 32), (64,))
    """

    def __init__(self, transforms: Iterable[Callable[..., Any]]) -> None:
        self.transforms = list(transforms)
        for transform in self.transforms:
            if not callable(transform):
                raise TypeError(f"Compose: expected transforms, got {type(transform).__name__}")

    def __call__(self, x: Tensor, *others: Any, generator: Generator | None = None) -> Any:
        """Change images, see `Transform`."""
        parts: tuple[Any, ...] = (x, *others)
        for transform in self.transforms:
            parts = transformed(transform, parts, generator)
        return parts if others else parts[0]

    def __repr__(self) -> str:
        lines = "".join("    {},\n".format(repr(each).replace("\n", "\n    ")) for each in self.transforms)
        return f"Compose([\n{lines}])"


def uniform(low: float, high: float, shape: tuple[int, ...], like: Tensor, generator: Generator | None) -> Tensor:
    """Return float64 numbers between `low` and `high`, where `like` is."""
    return _core.rand(*shape, dtype=_core.float64, generator=generator, device=like.device) * (high - low) + low


def interval(op: str, name: str, value: object, least: float | None = None) -> tuple[float, float]:
    """Return (low, high) of a pair, (-value, value) of a number."""
    low, high = value if isinstance(value, (tuple, list)) and len(value) == 2 else (None, value)
    high = number(op, name, high, 0.0 if low is None else least)
    low = 0.0 - high if low is None else number(op, name, low, least)
    if low > high:
        raise ValueError(f"{op}: expected {name} as (low, high), got {value!r}")
    return low, high


def pair(op: str, name: str, value: object, what: str = "(low, high)") -> tuple[Any, Any]:
    """Return the two values of a pair, or raise."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError(f"{op}: expected {name} as {what}, got {value!r}")
    first, second = value
    return first, second


def number(op: str, name: str, value: object, least: float | None = None, most: float | None = None) -> float:
    """Return a finite number in the range, or raise."""
    limits = [f"at {side} {limit:g}" for side, limit in (("least", least), ("most", most)) if limit is not None]
    expected = f"{op}: expected {name} as a finite number{' of ' * bool(limits)}{' and '.join(limits)}, got {value!r}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(expected)
    found = float(value)
    if not math.isfinite(found) or (least is not None and found < least) or (most is not None and found > most):
        raise ValueError(expected)
    return found


def whole(op: str, name: str, value: object, least: int) -> int:
    """Return a whole number of at least `least`, or raise."""
    expected = f"{op}: expected {name} as a whole number of at least {least}, got {value!r}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(expected)
    if value < least:
        raise ValueError(expected)
    return int(value)
