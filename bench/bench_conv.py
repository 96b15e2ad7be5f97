"""Convolutions of well-known networks, forward and both gradients: dnncore, NumPy (columns, a product), PyTorch in two layouts.

Every library gets its operands prepared in its own order of memory, the gradient of the weights comes with the bias's, and
`x torch` is against the better layout. Rows "from NCHW" are forward passes on images that are not channels-last yet: dnncore
converts them, PyTorch is asked in that layout. `limit` is our share of the larger of two times: the products at the FMA ceiling
of the run, and the operands, each read or written once, at the rate of its best copy.
"""

from functools import partial

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
from dnncore.cli import _bench_images
from dnncore.cli._bench_images import convolution
from dnncore.cli._bench_shapes import CONVOLUTIONS, FORWARD

BORDER = "from NCHW"
TOLERANCE = 1e-4  # of the largest value: gradients of weights are sums of up to 400,000 products, and NumPy adds them one by one

COLUMNS = [
    ("row", 34, ""),
    ("threads", 7, "d"),
    ("ours us", 9, ".0f"),
    ("GF/s", 6, ".0f"),
    ("spread", 6, ".2f"),
    ("limit", 5, ".2f"),
    ("NumPy us", 9, ".0f"),
    ("NCHW us", 9, ".0f"),
    ("last us", 9, ".0f"),
    ("x NumPy", 7, ".2f"),
    ("x torch", 7, ".2f"),
]


def rows(options):
    for shape in CONVOLUTIONS:
        for direction in (*shape.directions, BORDER):
            label = f"{shape.id} {shape.name} {direction}"
            if options.filter in label and direction in options.directions:
                yield label, shape, direction


def contenders(shape, direction, options, torch):
    border = direction == BORDER
    make = partial(convolution, shape, FORWARD if border else direction)
    found = {"ours": make("NCHW" if border else "channels-last", dnn)}
    if not options.no_numpy:
        found["NumPy"] = make("NCHW", np)
    if torch is not None:
        found["NCHW"] = make("NCHW", torch)
        if not border:
            found["last"] = make("channels-last", torch)
    return found


def first(call):
    """The result, or the first of several, with its values in the order of its shape."""
    result = call()
    return result[0] if isinstance(result, list) else result


def exact(shape, direction):
    wide = [operand.astype(np.float64) for operand in _bench_images.convolution_operands(shape)]
    return first(_bench_images._numpy_convolution(shape, FORWARD if direction == BORDER else direction, wide))


def limit_seconds(ceilings, shape, count):
    """The least time of a row on this machine; None without ceilings."""
    fma, copy = ceilings.fma(count), ceilings.copy(count, int(shape.bytes / 2))
    return max(shape.flops / fma, shape.bytes / copy) * 1e-9 if fma and copy else None


def measure(report, ceilings, label, shape, direction, count, options, torch):
    found = contenders(shape, direction, options, torch)
    if count == options.threads[0]:
        calls = {who: partial(first, call) for who, call in found.items()}
        common.check(label, calls, exact(shape, direction), TOLERANCE)
    timings = common.compare(found, options.quick)
    ours, limit = timings["ours"], limit_seconds(ceilings, shape, count)
    peers = [timings[name] for name in ("NCHW", "last") if name in timings]
    micros = {name: timing.median * 1e6 for name, timing in timings.items()}
    values = {
        "row": label,
        "threads": count,
        "ours us": micros["ours"],
        "GF/s": 1e-9 * shape.flops / ours.median,
        "spread": ours.spread,
        "limit": limit and limit / ours.median,
        "NumPy us": micros.get("NumPy"),
        "NCHW us": micros.get("NCHW"),
        "last us": micros.get("last"),
        "x NumPy": common.ratio(timings.get("NumPy"), ours),
        "x torch": common.ratio(min(peers, key=lambda timing: timing.median, default=None), ours),
    }
    report.row(values, timings=timings, direction=direction)


def main():
    directions = ["forward", "backward-data", "backward-weights", BORDER]
    options = common.arguments(
        __doc__,
        directions={"nargs": "+", "default": directions, "choices": directions},
        no_numpy={"action": "store_true", "help": "leave NumPy out: it takes most of the time"},
    )
    torch = common.find_torch(options)
    ceilings = common.Ceilings(options.quick)
    report = common.Report("convolutions", options, COLUMNS, torch)
    for count in options.threads:
        with common.Threads(count, torch):
            for label, shape, direction in rows(options):
                measure(report, ceilings, label, shape, direction, count, options, torch)
    for count in options.threads:
        for column in ("x NumPy", "x torch", "limit"):
            for direction in options.directions:
                report.geometric_mean(column, f"{direction}, {column}, {count} thread(s)", threads=count, direction=direction)
    report.finish(ceilings)


if __name__ == "__main__":
    main()
