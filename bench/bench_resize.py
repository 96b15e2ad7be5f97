"""Interpolation and local response normalisation with their gradients, float32: dnncore, NumPy and PyTorch in its better layout.

Bytes count once per element read and once per element written: x and y in the forward pass, dy and dx (and x again, of the
normalisation) in the backward pass. NumPy interpolates by a matrix per dimension, made beforehand.
"""

from functools import partial

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
from dnncore.cli._bench_images import LAYOUTS, better_layout, normal, tensor

COLUMNS = [
    ("row", 36, ""),
    ("threads", 7, "d"),
    ("ours us", 10, ".1f"),
    ("GB/s", 7, ".1f"),
    ("spread", 6, ".2f"),
    ("copy GB/s", 9, ".1f"),
    ("fraction", 8, ".3f"),
    ("NumPy us", 10, ".1f"),
    ("torch us", 10, ".1f"),
    ("x NumPy", 7, ".2f"),
    ("x torch", 7, ".2f"),
]

RESIZES = [
    ((8, 64, 56, 56), 112, "nearest", False),
    ((8, 64, 56, 56), 112, "bilinear", False),
    ((8, 64, 56, 56), 112, "bicubic", False),
    ((8, 64, 112, 112), 56, "bilinear", False),
    ((8, 64, 112, 112), 56, "bilinear", True),
    ((16, 3, 256, 256), 224, "bilinear", False),
    ((16, 3, 256, 256), 224, "bicubic", True),
    ((64, 1, 28, 28), 32, "bilinear", False),
    ((8, 512, 7, 7), 14, "bilinear", False),
]
RESPONSES = [(16, 64, 55, 55), (16, 192, 27, 27)]
SIZE, ALPHA, BETA, K = 5, 1e-4, 0.75, 2.0
TOLERANCE = 5e-5  # PyTorch's positions are float32


def both_ways(function, leaf, dy):
    def call():
        leaf.grad = None
        y = function(leaf)
        y.backward(dy)
        return leaf.grad

    return call


def resize_with_numpy(x, dy, size, mode, antialias):
    line = dnn.eye(x.shape[-1]).reshape(1, x.shape[-1], 1, x.shape[-1])
    settings = {"mode": mode, "antialias": antialias}
    matrix = dnn.nn.functional.interpolate(line, (1, size), **settings).numpy()[0, :, 0]

    def call():
        _ = matrix.T @ x @ matrix
        return matrix @ dy @ matrix.T

    return call


def neighbours(x):
    padded = np.pad(x, ((0, 0), (SIZE // 2, SIZE // 2), (0, 0), (0, 0)))
    return sum(padded[:, i : i + x.shape[1]] for i in range(SIZE))


def response_with_numpy(x, dy):
    def call():
        scale = K + np.float32(ALPHA / SIZE) * neighbours(x * x)
        power = scale ** np.float32(-BETA)
        _ = x * power
        return dy * power - np.float32(2 * ALPHA * BETA / SIZE) * x * neighbours(dy * x * power / scale)

    return call


def in_layouts(function, x, dy, library):
    def make(layout):
        return both_ways(
            partial(function, library.nn.functional), tensor(library, x, layout).requires_grad_(), tensor(library, dy, layout)
        )

    return make(LAYOUTS[True]) if library is dnn else better_layout(make)


def rows():
    for shape, size, mode, antialias in RESIZES:
        x, dy = normal(*shape), normal(*shape[:2], size, size, seed=1)
        settings = {"size": (size, size), "mode": mode, "antialias": antialias}
        name = f"{mode}{' antialias' if antialias else ''} {'x'.join(map(str, shape))} to {size}"
        moved = 8 * (x.size + dy.size)
        yield name, moved, x, dy, lambda f, t, s=settings: f.interpolate(t, **s), resize_with_numpy(x, dy, size, mode, antialias)
    for shape in RESPONSES:
        x, dy = normal(*shape), normal(*shape, seed=1)
        call = response_with_numpy(x, dy)
        name = f"local response {'x'.join(map(str, shape))}"
        yield name, 20 * x.size, x, dy, lambda f, t: f.local_response_norm(t, SIZE, ALPHA, BETA, K), call


def measure(report, ceilings, row, count, options, torch):
    name, moved, x, dy, function, with_numpy = row
    found = {"ours": in_layouts(function, x, dy, dnn), "NumPy": with_numpy}
    if torch is not None:
        found["torch"] = in_layouts(function, x, dy, torch)
    common.check(name, found, common.to_numpy(with_numpy()), TOLERANCE)
    timings = common.compare(found, options.quick)
    ours, ceiling = timings["ours"], ceilings.copy(count, moved // 4)
    rate = moved / ours.median * 1e-9
    values = {
        "row": name,
        "threads": count,
        "ours us": ours.median * 1e6,
        "GB/s": rate,
        "spread": ours.spread,
        "copy GB/s": ceiling,
        "fraction": ceiling and rate / ceiling,
        "NumPy us": timings["NumPy"].median * 1e6,
        "torch us": timings["torch"].median * 1e6 if "torch" in timings else None,
        "x NumPy": common.ratio(timings["NumPy"], ours),
        "x torch": common.ratio(timings.get("torch"), ours),
    }
    report.row(values, timings=timings)


def main():
    options = common.arguments(__doc__)
    torch = common.find_torch(options)
    ceilings = common.Ceilings(options.quick)
    report = common.Report("resizing and local response", options, COLUMNS, torch)
    for count in options.threads:
        with common.Threads(count, torch):
            for row in rows():
                if options.filter in row[0]:
                    measure(report, ceilings, row, count, options, torch)
    for count in options.threads:
        for column in ("x NumPy", "x torch"):
            report.geometric_mean(column, f"{column}, {count} thread(s)", threads=count)
    report.finish()


if __name__ == "__main__":
    main()
