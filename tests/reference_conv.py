"""Convolution and its gradients in NumPy, twice: by windows of the padded input, and by the definition, one product at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def whole(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).integers(-4, 5, shape).astype(np.float64)


def real(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


@dataclass(frozen=True)
class Geometry:
    """One number per spatial dimension; `out` says how much of what the padding allows is computed."""

    stride: tuple[int, ...]
    pad: tuple[int, ...]  # before the first element
    dilation: tuple[int, ...]
    groups: int
    out: tuple[int, ...]


@dataclass(frozen=True)
class ConvCase:
    """Input, weight, and the settings of `conv1d`, `conv2d` or `conv3d`."""

    x: tuple[int, ...]
    w: tuple[int, ...]
    settings: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        settings = "".join(f"-{key[0]}{value}" for key, value in self.settings.items())
        return f"{'x'.join(map(str, self.x))}-{'x'.join(map(str, self.w))}{settings}".replace(" ", "")

    @property
    def name(self) -> str:
        return f"conv{len(self.x) - 2}d"

    def each(self, key: str, default: int) -> tuple[int, ...]:
        value = self.settings.get(key, default)
        return value if isinstance(value, tuple) else (value,) * (len(self.x) - 2)

    @property
    def geometry(self) -> Geometry:
        stride, dilation = self.each("stride", 1), self.each("dilation", 1)
        reach = [d * (f - 1) for d, f in zip(dilation, self.w[2:], strict=True)]
        if self.settings.get("padding") == "same":
            pad, total = tuple(r // 2 for r in reach), reach
        else:
            pad = self.each("padding", 0)
            total = [2 * p for p in pad]
        rows = zip(self.x[2:], total, reach, stride, strict=True)
        out = tuple((size + t - r - 1) // s + 1 for size, t, r, s in rows)
        return Geometry(stride, pad, dilation, int(self.settings.get("groups", 1)), out)


def padded(x: np.ndarray, g: Geometry, filter_shape: tuple[int, ...]) -> np.ndarray:
    """`x` in zeros: as many before as `pad` says, as many after as the last output position reaches."""
    widths = [(0, 0), (0, 0)]
    for size, p, s, d, f, o in zip(x.shape[2:], g.pad, g.stride, g.dilation, filter_shape, g.out, strict=True):
        widths.append((p, max(0, (o - 1) * s + d * (f - 1) + 1 - p - size)))
    return np.pad(x, widths)


def windows(x: np.ndarray, g: Geometry, filter_shape: tuple[int, ...]) -> np.ndarray:
    """(N, groups, C / groups, out..., filter...)."""
    room = padded(x, g, filter_shape)
    axes = tuple(range(2, x.ndim))
    reach = [d * (f - 1) + 1 for d, f in zip(g.dilation, filter_shape, strict=True)]
    view = sliding_window_view(room, reach, axes)
    steps = [slice(0, (o - 1) * s + 1, s) for o, s in zip(g.out, g.stride, strict=True)]
    holes = [slice(None, None, d) for d in g.dilation]
    view = view[(slice(None), slice(None), *steps, *holes)]
    return view.reshape(x.shape[0], g.groups, x.shape[1] // g.groups, *view.shape[2:])


def forward(x: np.ndarray, w: np.ndarray, g: Geometry) -> np.ndarray:
    view = windows(x, g, w.shape[2:])
    parts = w.reshape(g.groups, w.shape[0] // g.groups, *w.shape[1:])
    d = x.ndim - 2
    places, taps = "pqr"[:d], "tuv"[:d]
    y = np.einsum(f"ngc{places}{taps},gkc{taps}->ngk{places}", view, parts, optimize=True)
    return y.reshape(x.shape[0], w.shape[0], *g.out)


def weight_gradient(x: np.ndarray, dy: np.ndarray, w_shape: tuple[int, ...], g: Geometry) -> np.ndarray:
    view = windows(x, g, w_shape[2:])
    parts = dy.reshape(dy.shape[0], g.groups, dy.shape[1] // g.groups, *dy.shape[2:])
    d = x.ndim - 2
    places, taps = "pqr"[:d], "tuv"[:d]
    return np.einsum(f"ngc{places}{taps},ngk{places}->gkc{taps}", view, parts, optimize=True).reshape(w_shape)


def input_gradient(dy: np.ndarray, w: np.ndarray, x_shape: tuple[int, ...], g: Geometry) -> np.ndarray:
    """Every tap of the filter adds its products to the places it was read from."""
    room = np.zeros_like(padded(np.zeros(x_shape, dy.dtype), g, w.shape[2:]))
    parts = w.reshape(g.groups, w.shape[0] // g.groups, *w.shape[1:])
    given = dy.reshape(dy.shape[0], g.groups, dy.shape[1] // g.groups, -1)
    for tap in np.ndindex(*w.shape[2:]):
        values = np.einsum("ngkp,gkc->ngcp", given, parts[(..., *tap)])
        rows = zip(tap, g.dilation, g.stride, g.out, strict=True)
        places = tuple(slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, s, o in rows)
        room[(slice(None), slice(None), *places)] += values.reshape(dy.shape[0], x_shape[1], *g.out)
    inner = tuple(slice(p, p + size) for p, size in zip(g.pad, x_shape[2:], strict=True))
    return room[(slice(None), slice(None), *inner)]


# --- By the definition ------------------------------------------------------------------------------------------------


def products(x_shape: tuple[int, ...], w_shape: tuple[int, ...], g: Geometry) -> Iterator[tuple[tuple[int, ...], ...]]:
    """The indices of x, w and y of every product."""
    per_group = w_shape[0] // g.groups
    for n, k, c in itertools.product(range(x_shape[0]), range(w_shape[0]), range(w_shape[1])):
        for place in np.ndindex(*g.out):
            for tap in np.ndindex(*w_shape[2:]):
                rows = zip(place, g.stride, g.pad, tap, g.dilation, strict=True)
                at = tuple(p * s - z + t * d for p, s, z, t, d in rows)
                if all(0 <= a < size for a, size in zip(at, x_shape[2:], strict=True)):
                    yield (n, k // per_group * w_shape[1] + c, *at), (k, c, *tap), (n, k, *place)


def by_definition(x: np.ndarray, w: np.ndarray, dy: np.ndarray, g: Geometry) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y, dx and dw."""
    y, dx, dw = np.zeros(dy.shape), np.zeros(x.shape), np.zeros(w.shape)
    for at_x, at_w, at_y in products(x.shape, w.shape, g):
        y[at_y] += x[at_x] * w[at_w]
        dx[at_x] += dy[at_y] * w[at_w]
        dw[at_w] += dy[at_y] * x[at_x]
    return y, dx, dw


# --- The table --------------------------------------------------------------------------------------------------------

# Small enough for the definition itself.
SMALL = [
    ConvCase((2, 3, 7), (4, 3, 3)),
    ConvCase((1, 4, 6), (6, 2, 2), {"groups": 2, "padding": 3, "stride": 2}),
    ConvCase((2, 2, 5, 6), (3, 2, 3, 2), {"stride": (2, 1), "padding": (1, 2)}),
    ConvCase((1, 3, 7, 7), (3, 1, 3, 3), {"groups": 3, "dilation": (2, 3), "padding": 2}),
    ConvCase((2, 2, 5, 4), (2, 2, 2, 4), {"padding": "same"}),
    ConvCase((1, 2, 3, 4, 3), (2, 2, 2, 3, 1), {"stride": (1, 2, 1), "padding": (1, 1, 0)}),
]

# Around the widths of vectors and tiles: channels, filters, row lengths; strides, padding beyond the filter, holes, groups.
CASES = [
    *SMALL,
    *(ConvCase((2, c, 6, 9), (k, c, 3, 3), {"padding": 1}) for c in (1, 3, 15, 16, 17) for k in (1, 6, 16, 17, 33)),
    *(ConvCase((1, 5, 4, width), (20, 5, 3, 3), {"padding": 1}) for width in (1, 2, 7, 8, 13, 14, 15, 29, 33)),
    *(ConvCase((2, 8, 9, 9), (12, 8, f, f), {"padding": f // 2}) for f in (1, 2, 4, 5, 7)),
    *(ConvCase((2, 8, 13, 12), (12, 8, 3, 3), {"stride": s, "padding": p}) for s in (1, 2, 3, 5) for p in (0, 1, 4)),
    *(ConvCase((2, 3, 21, 19), (20, 3, 7, 7), {"stride": s, "padding": 3}) for s in (1, 2, 4)),
    *(ConvCase((2, 3, 30, 30), (k, 3, 11, 11), {"stride": 4, "padding": 2}) for k in (16, 24)),
    *(ConvCase((2, 16, 11, 11), (16, 16 // g, 3, 3), {"groups": g, "padding": 1}) for g in (1, 2, 4, 8, 16)),
    ConvCase((1, 33, 10, 11), (33, 1, 3, 3), {"groups": 33, "padding": 1}),
    ConvCase((1, 7, 10, 11), (21, 1, 3, 3), {"groups": 7, "padding": 1, "stride": 2}),
    *(ConvCase((2, 6, 12, 13), (10, 6, 3, 3), {"dilation": d, "padding": d}) for d in (2, 3, (1, 4))),
    *(ConvCase((n, 6, 5, 5), (17, 6, 5, 5)) for n in (1, 3, 16)),
    *(ConvCase((2, c, 7, 7), (k, c, 1, 1), {"stride": s}) for c, k in ((1, 1), (16, 40), (33, 5)) for s in (1, 2)),
    ConvCase((2, 40, 8, 8), (48, 40, 3, 3), {"padding": 1}),
    ConvCase((1, 64, 14, 14), (64, 64, 3, 3), {"padding": 1}),
    ConvCase((4, 1, 32, 32), (6, 1, 5, 5)),
    ConvCase((4, 6, 14, 14), (16, 6, 5, 5)),
    ConvCase((1, 1, 1, 1), (1, 1, 1, 1)),
    ConvCase((1, 1, 1, 1), (3, 1, 3, 3), {"padding": 4, "stride": 3}),
    ConvCase((1, 9, 40), (20, 9, 9), {"padding": "same"}),
    ConvCase((3, 4, 300), (8, 4, 25), {"stride": 4, "dilation": 2}),
    ConvCase((2, 4, 5, 9, 8), (18, 4, 3, 3, 3), {"padding": 1}),
    ConvCase((1, 3, 8, 11, 10), (16, 3, 3, 7, 7), {"stride": (1, 2, 2), "padding": (1, 3, 3)}),
    ConvCase((1, 6, 4, 6, 6), (6, 2, 2, 3, 2), {"groups": 3, "dilation": (2, 1, 1)}),
]

# Input and weight of a transposed convolution, and its settings.
TRANSPOSED = [
    ((2, 3, 5), (3, 4, 3), {}),
    ((1, 4, 6), (4, 3, 4), {"stride": 3, "padding": 2, "output_padding": 1, "groups": 2}),
    ((2, 5, 4, 6), (5, 7, 3, 3), {"stride": 2, "padding": 1, "output_padding": (1, 0)}),
    ((2, 16, 7, 7), (16, 33, 4, 4), {"stride": 2, "padding": 1}),
    ((1, 17, 5, 9), (17, 16, 3, 2), {"dilation": (2, 3), "padding": (1, 0)}),
    ((1, 6, 5, 5), (6, 1, 3, 3), {"groups": 6, "stride": 2}),
    ((1, 3, 2, 2), (3, 5, 2, 2), {"stride": 1, "dilation": 3, "output_padding": 2}),
    ((2, 8, 6, 6), (8, 12, 1, 1), {}),
    ((1, 4, 3, 4, 3), (4, 5, 2, 3, 2), {"stride": (1, 2, 2), "padding": (0, 1, 0)}),
]

MODES = ("reflect", "replicate", "circular")
GOLDEN = [
    *((case.name, (case.x, case.w, case.w[:1]), case.settings) for case in SMALL),
    *((f"conv_transpose{len(x) - 2}d", (x, w), settings) for x, w, settings in TRANSPOSED if max(x) < 8),
    *(("pad", ((2, 3, 5, 6),), {"pad": sizes, "mode": mode}) for mode in MODES for sizes in ((1, 2, 3, 0), (4, 1, 0, 2))),
    ("pad", ((2, 3, 3, 4, 3),), {"pad": (2, 1, 0, 3, 1, 2), "mode": "replicate"}),
]
