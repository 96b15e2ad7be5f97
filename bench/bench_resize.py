"""Interpolation, sampling at places and local response normalisation with their gradients, float32: dnncore, NumPy and PyTorch.

PyTorch runs in its better layout. Bytes count once per element read and once per element written: x and y in the forward pass, dy
and dx (and x again, of the normalisation) in the backward pass. NumPy interpolates by a matrix per dimension; it has that and
the taps of the places ready.
"""

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
import reference_numpy
from dnncore.cli._bench_images import LAYOUTS, better_layout, normal, tensor

COLUMNS = common.peer_columns(40, *common.COPY)

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
SAMPLES = [(8, 64, 56, 56), (16, 3, 224, 224)]  # at as many places, bilinear; the gradient of the images alone
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
        reference_numpy.resample(x, matrix.T, matrix.T)
        return reference_numpy.resample(dy, matrix, matrix)

    return call


def sample_with_numpy(x, grid, dy):
    taps = reference_numpy.sample_taps(x.shape, grid)

    def call():
        reference_numpy.grid_sample(x, grid, taps)
        return reference_numpy.grid_sample_backward_input(dy, x.shape, taps)

    return call


def response_with_numpy(x, dy):
    def call():
        reference_numpy.local_response_norm(x, SIZE, ALPHA, BETA, K)
        return reference_numpy.local_response_backward(dy, x, SIZE, ALPHA, BETA, K)

    return call


def in_layouts(function, x, dy, others, library):
    fixed = [library.from_numpy(other) for other in others]

    def make(layout):
        leaf = tensor(library, x, layout).requires_grad_()
        return both_ways(lambda x: function(library.nn.functional, x, *fixed), leaf, tensor(library, dy, layout))

    return make(LAYOUTS[True]) if library is dnn else better_layout(make)


def sampled(functional, x, grid):
    return functional.grid_sample(x, grid, align_corners=False)


def rows():
    for shape, size, mode, antialias in RESIZES:
        x, dy = normal(*shape), normal(*shape[:2], size, size, seed=1)
        settings = {"size": (size, size), "mode": mode, "antialias": antialias}
        name = f"{mode}{' antialias' if antialias else ''} {'x'.join(map(str, shape))} to {size}"
        moved = 8 * (x.size + dy.size)
        call = resize_with_numpy(x, dy, size, mode, antialias)
        yield name, (moved, x, dy, lambda f, t, s=settings: f.interpolate(t, **s), [], call)
    for shape in SAMPLES:
        x, dy = normal(*shape), normal(*shape, seed=1)
        grid = np.random.default_rng(2).uniform(-0.9, 0.9, (shape[0], *shape[2:], 2)).astype(np.float32)
        name = f"grid_sample {'x'.join(map(str, shape))}"
        call = sample_with_numpy(x, grid, dy)
        yield name, (16 * (x.size + grid.size), x, dy, sampled, [grid], call)
    for shape in RESPONSES:
        x, dy = normal(*shape), normal(*shape, seed=1)
        call = response_with_numpy(x, dy)
        name = f"local response {'x'.join(map(str, shape))}"
        yield name, (20 * x.size, x, dy, lambda f, t: f.local_response_norm(t, SIZE, ALPHA, BETA, K), [], call)


def measure(run, label, row):
    moved, x, dy, function, others, with_numpy = row
    libraries = {"dnncore": dnn, **({} if run.torch is None else {"torch": run.torch})}
    found = {who: in_layouts(function, x, dy, others, library) for who, library in libraries.items()}
    found["NumPy"] = with_numpy
    common.check(label, found, common.to_numpy(with_numpy()), TOLERANCE)
    timings = common.compare(found, run.options.quick)
    values = common.copy_values(moved, timings, run.ceilings.copy(run.threads, moved // 4))
    run.report.row({**common.peer_values(label, run.threads, timings), **values}, timings=timings)


def main():
    common.compare_rows("resizing and local response", __doc__, COLUMNS, rows, measure)


if __name__ == "__main__":
    main()
