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


def rows(options):
    for label, n in SIZES.items():
        for name in (*TOLERANCE, "dropout"):
            if options.filter in f"{name} {label}":
                yield f"{name} {label}", name, n


def measure(report, ceilings, label, name, n, count, options, torch):
    x = np.random.default_rng(n).standard_normal(n, dtype=np.float32)
    found, moved = contenders(name, x, torch), (9 if name == "dropout" else 8) * n
    if count == options.threads[0] and name in TOLERANCE:  # each dropout has a mask of its own
        exact = getattr(reference_numpy, name)(x.astype(np.float64))
        common.check(label, found, exact, TOLERANCE[name])
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
    report = common.Report("activations and dropout", options, COLUMNS, torch)
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
