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

TOLERANCE = 1e-5  # of the largest value
TORCH = dict.fromkeys(("torch first", "torch last"), 1e-4)  # its sums of 400,000 values are off by 7e-5

COLUMNS = common.peer_columns(42, *common.COPY)


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


def rows():
    for kind, (shapes, make) in LAYERS.items():
        for shape in shapes:
            for order in ("last", "first") if len(shape) == 4 else ("first",):
                for backward in (False, True):
                    size = "x".join(map(str, shape))
                    where = f" channels {order}" if len(shape) == 4 else ""
                    label = f"{kind} {size}{where}{' fwd+bwd' if backward else ''}"
                    yield label, kind, make, shape, order, backward


def exact_result(kind, x, dy):
    """In float64: PyTorch's forms agree with it, and dnncore's tests."""
    function, wide = NUMPY[kind], None if dy is None else dy.astype(np.float64)
    return function(x.astype(np.float64), np.ones(x.shape[1]), np.zeros(x.shape[1]), wide)[0]


def measure(run, label, kind, make, shape, order, backward):
    random = np.random.default_rng(shape)
    x = random.standard_normal(shape, dtype=np.float32)
    dy = random.standard_normal(shape, dtype=np.float32) if backward else None
    found = contenders(kind, make, shape, order, x, dy, run.torch)
    if run.checks and kind in NUMPY:
        common.check(label, found, exact_result(kind, x, dy), TOLERANCE, TORCH)
    timings = common.compare(found, run.options.quick)
    moved, ceiling = 4 * x.size * (5 if backward else 2), run.ceilings.copy(run.threads, 4 * x.size)
    values = common.copy_values(moved, timings, ceiling)
    run.report.row({**common.peer_values(label, run.threads, timings), **values}, timings=timings)


def main():
    common.compare_rows("normalisation", __doc__, COLUMNS, rows, measure)


if __name__ == "__main__":
    main()
