"""Batch, group and layer normalisation in training, forward and with the gradients, as a share of the best copy.

Bytes count once per element read and once per element written: x and y forward; x, dy and dx backward. PyTorch runs with
its channels first and last, of which the faster counts; dnncore with both too, in rows of their own.
"""

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
from dnncore import nn
from dnncore.cli import _bench_numpy_images as images
from dnncore.cli._bench_shapes import BATCH_NORMS

BATCHES = tuple(shape for shape in BATCH_NORMS if np.prod(shape) >= 1 << 20)
ROWS = ((4096, 768), (32768, 768))  # N2; 100 MB
GROUPED = ((8, 256, 56, 56),)
LAYERS = {
    "batch": (BATCHES, lambda m, shape: m.BatchNorm2d(shape[1])),
    "batch+relu": (BATCHES, lambda m, shape: m.Sequential(m.BatchNorm2d(shape[1]), m.ReLU())),
    "group 32": (GROUPED, lambda m, shape: m.GroupNorm(32, shape[1])),
    "layer": (ROWS, lambda m, shape: m.LayerNorm(shape[1])),
}
NUMPY = {"batch": images.batch_norm, "layer": images.layer_norm}

TOLERANCE = 1e-4  # of the largest value: PyTorch's sums of 400,000 values are off by 7e-5

COLUMNS = [
    ("row", 42, ""),
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


def step(layer, x, dy):
    """A call that returns the result, or with `dy` the gradient of the leaf `x`."""

    def run():
        if dy is None:
            return layer(x)
        x.grad = None
        for parameter in layer.parameters():
            parameter.grad = None
        layer(x).backward(dy)
        return x.grad

    return run


def ours_in(order, array):
    tensor = dnn.from_numpy(array)
    if order == "last":
        tensor = dnn.from_numpy(np.ascontiguousarray(np.moveaxis(array, 1, -1))).movedim(-1, 1)
    return tensor.detach()


def contenders(kind, make, shape, order, x, dy, torch):
    leaf = ours_in(order, x).requires_grad_(dy is not None)
    found = {"ours": step(make(nn, shape), leaf, None if dy is None else ours_in(order, dy))}
    if kind in NUMPY:
        ones, zeros = np.ones(shape[1], np.float32), np.zeros(shape[1], np.float32)
        found["NumPy"] = lambda: NUMPY[kind](x, ones, zeros, dy)[0]
    for theirs in () if torch is None else ("first", "last") if len(shape) == 4 else ("first",):
        form = torch.channels_last if theirs == "last" else torch.contiguous_format
        peer, slope = (None if a is None else torch.from_numpy(a).contiguous(memory_format=form) for a in (x, dy))
        found[f"torch {theirs}"] = step(make(torch.nn, shape), peer.requires_grad_(dy is not None), slope)
    return found


def rows(options):
    for kind, (shapes, make) in LAYERS.items():
        for shape in shapes:
            for order in ("last", "first") if len(shape) == 4 else ("first",):
                for backward in (False, True):
                    size = "x".join(map(str, shape))
                    where = f" channels {order}" if len(shape) == 4 else ""
                    label = f"{kind} {size}{where}{' fwd+bwd' if backward else ''}"
                    if options.filter in label:
                        yield label, kind, make, shape, order, backward


def exact_result(kind, x, dy):
    """In float64: PyTorch's forms agree with it, and dnncore's tests."""
    function, wide = NUMPY[kind], None if dy is None else dy.astype(np.float64)
    return function(x.astype(np.float64), np.ones(x.shape[1]), np.zeros(x.shape[1]), wide)[0]


def measure(report, ceilings, row, count, options, torch):
    label, kind, make, shape, order, backward = row
    random = np.random.default_rng(shape)
    x = random.standard_normal(shape, dtype=np.float32)
    dy = random.standard_normal(shape, dtype=np.float32) if backward else None
    found = contenders(kind, make, shape, order, x, dy, torch)
    if count == options.threads[0] and kind in NUMPY:
        common.check(label, found, exact_result(kind, x, dy), TOLERANCE)
    timings = common.compare(found, options.quick)
    ours, peers = timings["ours"], [timing for name, timing in timings.items() if name.startswith("torch")]
    best = min(peers, key=lambda timing: timing.median, default=None)
    rate = 4 * x.size * (5 if backward else 2) / ours.median * 1e-9
    ceiling = ceilings.copy(count, 4 * x.size)
    values = {
        "row": label,
        "threads": count,
        "ours us": ours.median * 1e6,
        "GB/s": rate,
        "spread": ours.spread,
        "copy GB/s": ceiling,
        "fraction": ceiling and rate / ceiling,
        "NumPy us": timings["NumPy"].median * 1e6 if "NumPy" in timings else None,
        "torch us": best and best.median * 1e6,
        "x NumPy": common.ratio(timings.get("NumPy"), ours),
        "x torch": common.ratio(best, ours),
    }
    report.row(values, timings=timings)


def main():
    options = common.arguments(__doc__)
    torch = common.find_torch(options)
    ceilings = common.Ceilings(options.quick)
    report = common.Report("normalisation", options, COLUMNS, torch)
    for count in options.threads:
        with common.Threads(count, torch):
            for row in rows(options):
                measure(report, ceilings, row, count, options, torch)
    for count in options.threads:
        for column in ("x NumPy", "x torch"):
            report.geometric_mean(column, f"{column}, {count} thread(s)", threads=count)
    report.finish()


if __name__ == "__main__":
    main()
