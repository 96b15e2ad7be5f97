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

COLUMNS = [
    ("row", 18, ""),
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


def rows(options):
    for label, n in SIZES.items():
        for name in (*MAPS, *REDUCTIONS):
            if options.filter in f"{name} {label}":
                yield f"{name} {label}", name, n


def measure(report, ceilings, label, name, n, count, options, torch):
    random = np.random.default_rng(n)
    if name in MAPS:
        inputs, tolerance, _ = MAPS[name]
        arrays = [random.standard_normal(n, dtype=np.float32) for _ in range(inputs)]
        arrays = [np.abs(x) for x in arrays] if name == "log1p" else arrays
        found, moved = map_contenders(name, arrays, torch), 4 * n * (inputs + 1)
    else:
        tolerance, arrays = REDUCTIONS[name], [random.standard_normal(n, dtype=np.float32)]
        found, moved = reduction_contenders(name, arrays[0], torch), 4 * n
    if count == options.threads[0]:
        exact = getattr(reference_numpy, name)(*(x.astype(np.float64) for x in arrays))
        common.check(label, found, np.asarray(exact), tolerance)
    timings = common.compare(found, options.quick)
    ours, ceiling = timings["ours"], ceilings.copy(count, 4 * n)
    rate = moved / ours.median * 1e-9
    values = {
        "row": label,
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
    report = common.Report("elementwise and sums", options, COLUMNS, torch)
    for count in options.threads:
        with common.Threads(count, torch):
            for label, name, n in rows(options):
                measure(report, ceilings, label, name, n, count, options, torch)
    for count in options.threads:
        for column in ("x NumPy", "x torch"):
            report.geometric_mean(column, f"{column}, {count} thread(s)", threads=count)
    report.finish()


if __name__ == "__main__":
    main()
