"""Figures of filters, maps and matrices, without pyplot and its state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dnncore._extras import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_Array = NDArray[Any]
_CELL = 0.62  # inches of a picture in a mosaic


def _figure(op: str, width: float, height: float) -> Any:
    return require("matplotlib.figure", "plot", op).Figure(figsize=(width, height), layout="constrained")


def _mosaic(tiles: _Array, columns: int) -> _Array:
    """Return tiles (n, h, w) or (n, h, w, 3) in rows, a pixel of nothing (NaN, or white) between them."""
    n, height, width = tiles.shape[:3]
    rows = -(-n // columns)
    gap = 1 + max(height, width) // 24
    blank = 1.0 if tiles.ndim == 4 else np.nan
    whole = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, *tiles.shape[3:]), blank)
    for place, tile in enumerate(tiles):
        top, left = place // columns * (height + gap), place % columns * (width + gap)
        whole[top : top + height, left : left + width] = tile
    return whole


def _columns(n: int) -> int:
    """Return the columns of a mosaic that is wider than high."""
    return n if n <= 6 else min(n, max(6, int(np.ceil(np.sqrt(1.6 * n)))))


def _bare(axes: Any) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)


def _size(rows: int, columns: int) -> tuple[float, float]:
    return max(4.5, _CELL * columns + 1.6), max(1.6, _CELL * rows + 0.7)


def filters(values: _Array, title: str) -> Figure:
    """Draw weights (filters, channels, h, w): of one channel in rows of filters, else a row per filter."""
    n, channels = values.shape[:2]
    columns = _columns(n) if channels == 1 else channels
    tiles = values.reshape(n * channels, *values.shape[2:])
    figure = _figure("plot_filters", *_size(-(-len(tiles) // columns), columns))
    axes = figure.add_subplot()
    limit = float(np.abs(values).max()) or 1.0
    image = axes.imshow(_mosaic(tiles, columns), cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    _bare(axes)
    axes.set_title(title, fontsize=10)
    if channels > 1:
        axes.set_xlabel("input channel", fontsize=9)
        axes.set_ylabel("filter", fontsize=9)
    figure.colorbar(image, ax=axes, aspect=12 if n * channels <= columns else 30, label="weight")
    return figure  # type: ignore[no-any-return]


def colour_filters(values: _Array, title: str) -> Figure:
    """Draw weights (filters, 3, h, w) as colours, grey where they are 0, each filter by its own largest weight."""
    limit = np.abs(values).max((1, 2, 3), keepdims=True)
    tiles = np.moveaxis(0.5 + 0.5 * values / np.where(limit > 0, limit, 1), 1, 3)
    columns = _columns(len(tiles))
    figure = _figure("plot_filters", *_size(-(-len(tiles) // columns), columns))
    axes = figure.add_subplot()
    axes.imshow(_mosaic(tiles, columns), interpolation="nearest")
    _bare(axes)
    axes.set_title(f"{title}, as colours; grey is 0", fontsize=10)
    return figure  # type: ignore[no-any-return]


def activations(image: _Array, maps: _Array, title: str) -> Figure:
    """Draw an image (channels, h, w) and maps (n, h, w), from 0 on where none is negative, else with 0 in the middle."""
    columns = _columns(len(maps))
    rows = -(-len(maps) // columns)
    width, height = _size(rows, columns)
    figure = _figure("plot_activations", width + 1.8, max(2.2, height))
    left, right = figure.subplots(1, 2, width_ratios=[1.8, width])
    _show(left, image)
    left.set_title("input", fontsize=10)
    low, high = float(maps.min()), float(maps.max())
    limit = max(-low, high) or 1.0
    scale = {"cmap": "viridis", "vmin": 0, "vmax": limit} if low >= 0 else {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    shown = right.imshow(_mosaic(maps, columns), interpolation="nearest", **scale)
    _bare(right)
    right.set_title(title, fontsize=10)
    figure.colorbar(shown, ax=right, shrink=0.9, label="activation")
    return figure  # type: ignore[no-any-return]


def saliency(images: _Array, maps: _Array, titles: Sequence[str]) -> Figure:
    """Draw images (n, channels, h, w) over their maps (n, h, w), each of which has its own scale from 0."""
    n = len(images)
    figure = _figure("plot_saliency", max(2.4, 1.5 * n + 0.6), 3.6)
    axes = figure.subplots(2, n, squeeze=False)
    for place in range(n):
        _show(axes[0, place], images[place])
        axes[0, place].set_title(titles[place], fontsize=9)
        axes[1, place].imshow(maps[place], cmap="inferno", vmin=0, vmax=float(maps[place].max()) or 1.0)
        _bare(axes[1, place])
    axes[0, 0].set_ylabel("image", fontsize=9)
    axes[1, 0].set_ylabel("saliency", fontsize=9)
    return figure  # type: ignore[no-any-return]


def _show(axes: Any, image: _Array) -> None:
    """Draw an image of one channel in grey, of three in colours, of others their mean, from its least to its largest value."""
    low, high = float(image.min()), float(image.max())
    scaled = (image - low) / ((high - low) or 1.0)
    if len(image) == 3:
        axes.imshow(np.moveaxis(scaled, 0, 2), interpolation="nearest")
    else:
        axes.imshow(scaled.mean(0), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    _bare(axes)


def confusion(cells: _Array, names: Sequence[str]) -> Figure:
    """Draw a matrix of counts or shares; the colour is the share of its row."""
    n = len(cells)
    side = min(12.0, max(3.6, 0.48 * n + 1.6))
    figure = _figure("plot_confusion", side + 0.8, side)
    axes = figure.add_subplot()
    sums = cells.sum(1, keepdims=True)
    shares = cells / np.where(sums == 0, 1, sums)
    counted = cells.dtype.kind in "iu"
    image = axes.imshow(shares if counted else cells, cmap="Blues", vmin=0, vmax=1 if counted else float(cells.max()) or 1.0)
    turned = max(map(len, names)) > 4
    axes.set_xticks(range(n), names, rotation=45 if turned else 0, ha="right" if turned else "center", fontsize=8)
    axes.set_yticks(range(n), names, fontsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(length=0)
    if n <= 20:
        _write(axes, cells, image)
    axes.set_title(_title(cells), fontsize=10)
    figure.colorbar(image, ax=axes, shrink=0.85, label="share of the true class" if counted else "share")
    return figure  # type: ignore[no-any-return]


def _write(axes: Any, cells: _Array, image: Any) -> None:
    counts = cells.dtype.kind in "iu"
    shown, middle = image.get_array(), image.get_clim()[1] / 2
    for (row, column), value in np.ndenumerate(cells):
        if value:
            text = str(value) if counts else f"{value:.2f}"
            color = "white" if shown[row, column] > middle else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=8 if counts else 7, color=color)


def _title(cells: _Array) -> str:
    if cells.dtype.kind not in "iu":
        return "confusion matrix"
    total = int(cells.sum())
    right = int(np.trace(cells))
    return f"{right} of {total} right" + (f" ({100 * right / total:.2f} %)" if total else "")
