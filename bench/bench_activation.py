"""Activations and dropout, float32: dnncore against the best NumPy form and PyTorch, as a fraction of the best copy.

Bytes count once per element read and once per element written (dropout writes its mask, a byte, too). NumPy writes into a
prepared result, dnncore and PyTorch into a fresh tensor each time; PyTorch's dropout draws a mask as well.
"""

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
import reference_numpy
from dnncore.nn import functional

TOLERANCE = {"leaky_relu": 1e-7, "elu": 1e-6, "silu": 1e-6, "gelu_tanh": 1e-6}
SIZES = {"64 K": 1 << 16, "16 M": 1 << 24}
P = 0.3

COLUMNS = common.peer_columns(18, *common.COPY)


def applied(library, name):
    """The function of a tensor in `dnncore.nn.functional` or `torch.nn.functional`."""
    if name == "gelu_tanh":
        return lambda x: library.gelu(x, approximate="tanh")
    if name == "dropout":
        return lambda x: library.dropout(x, P, training=True)
    return getattr(library, name)


def contenders(name, x, torch):
    ours, tensor, out = applied(functional, name), dnn.from_numpy(x), np.empty_like(x)
    random = np.random.Generator(np.random.SFC64(0))
    numpy_form = getattr(reference_numpy, name)
    if name == "dropout":
        found = {"ours": lambda: ours(tensor), "NumPy": lambda: numpy_form(x, P, random, out=out)}
    else:
        found = {"ours": lambda: ours(tensor), "NumPy": lambda: numpy_form(x, out=out)}
    if torch is not None:
        theirs, peer = applied(torch.nn.functional, name), torch.from_numpy(x)
        found["torch"] = lambda: theirs(peer)
    return found


def rows():
    for label, n in SIZES.items():
        for name in (*TOLERANCE, "dropout"):
            yield f"{name} {label}", name, n


def measure(run, label, name, n):
    x = np.random.default_rng(n).standard_normal(n, dtype=np.float32)
    found, moved = contenders(name, x, run.torch), (9 if name == "dropout" else 8) * n
    if run.checks and name in TOLERANCE:  # each dropout has a mask of its own
        exact = getattr(reference_numpy, name)(x.astype(np.float64))
        common.check(label, found, exact, TOLERANCE[name])
    timings = common.compare(found, run.options.quick)
    values = common.copy_values(moved, timings, run.ceilings.copy(run.threads, 4 * n))
    run.report.row({**common.peer_values(label, run.threads, timings), **values}, timings=timings)


def main():
    common.compare_rows("activations and dropout", __doc__, COLUMNS, rows, measure)


if __name__ == "__main__":
    main()
