"""Elementwise maps and sums: dnncore against the best NumPy form and PyTorch, as a fraction of the best copy.

Bytes count once per element read and once per element written. Peers write into a prepared result, dnncore into a
fresh tensor each time.
"""

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
import reference_numpy

# name: (number of inputs, tolerance against float64, torch's name)
MAPS = {
    "relu": (1, 0, "relu"),
    "add": (2, 1e-7, "add"),
    "mul": (2, 1e-7, "mul"),
    "exp": (1, 1e-6, "exp"),
    "tanh": (1, 1e-6, "tanh"),
    "sigmoid": (1, 1e-6, "sigmoid"),
    "gelu": (1, 1e-6, "gelu"),
    "log1p": (1, 1e-6, "log1p"),
    "softplus": (1, 1e-6, "softplus"),
}
REDUCTIONS = {"sum": 1e-5, "max": 0}
SIZES = {"64 K": 1 << 16, "16 M": 1 << 24}  # in cache; 64 MB per operand, so a set of 128 or 192 MB

COLUMNS = common.peer_columns(18, *common.COPY)


def torch_function(torch, name):
    return getattr(torch.nn.functional, name) if name in ("gelu", "softplus") else getattr(torch, name)


def map_contenders(name, arrays, torch):
    tensors = [dnn.from_numpy(x) for x in arrays]
    ours, numpy_form, out = getattr(dnn, name), getattr(reference_numpy, name), np.empty_like(arrays[0])
    found = {"ours": lambda: ours(*tensors), "NumPy": lambda: numpy_form(*arrays, out=out)}
    if torch is None:
        return found
    theirs, peers = torch_function(torch, MAPS[name][2]), [torch.from_numpy(x) for x in arrays]
    if name in ("gelu", "softplus"):  # no `out`
        found["torch"] = lambda: theirs(*peers)
    elif name == "relu":
        result = torch.empty_like(peers[0])
        found["torch"] = lambda: torch.clamp_min(peers[0], 0, out=result)  # relu itself takes no `out`
    else:
        result = torch.empty_like(peers[0])
        found["torch"] = lambda: theirs(*peers, out=result)
    return found


def reduction_contenders(name, x, torch):
    tensor, numpy_form = dnn.from_numpy(x), getattr(reference_numpy, name)
    found = {"ours": lambda: getattr(tensor, name)(), "NumPy": lambda: numpy_form(x)}
    if torch is not None:
        peer = torch.from_numpy(x)
        found["torch"] = lambda: getattr(peer, name)()
    return found


def rows():
    for label, n in SIZES.items():
        for name in (*MAPS, *REDUCTIONS):
            yield f"{name} {label}", name, n


def measure(run, label, name, n):
    random = np.random.default_rng(n)
    if name in MAPS:
        inputs, tolerance, _ = MAPS[name]
        arrays = [random.standard_normal(n, dtype=np.float32) for _ in range(inputs)]
        arrays = [np.abs(x) for x in arrays] if name == "log1p" else arrays
        found, moved = map_contenders(name, arrays, run.torch), 4 * n * (inputs + 1)
    else:
        tolerance, arrays = REDUCTIONS[name], [random.standard_normal(n, dtype=np.float32)]
        found, moved = reduction_contenders(name, arrays[0], run.torch), 4 * n
    if run.checks:
        exact = getattr(reference_numpy, name)(*(x.astype(np.float64) for x in arrays))
        common.check(label, found, np.asarray(exact), tolerance)
    timings = common.compare(found, run.options.quick)
    values = common.copy_values(moved, timings, run.ceilings.copy(run.threads, 4 * n))
    run.report.row({**common.peer_values(label, run.threads, timings), **values}, timings=timings)


def main():
    common.compare_rows("elementwise and sums", __doc__, COLUMNS, rows, measure)


if __name__ == "__main__":
    main()
