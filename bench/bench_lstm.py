"""Recurrent layers over whole sequences, forward and with the gradients: dnncore against NumPy by hand and PyTorch.

Rows are L1 to L8 of common practice and DeepBench, then GRU and RNN: hidden units, layers where there are several, sequences x
steps. L8 has lengths from 1 to all steps, which PyTorch runs as a PackedSequence. The limit is the FMA ceiling for the products
alone.
"""

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
from dnncore.cli import _bench_numpy_recurrent
from dnncore.cli._bench_numpy import sigmoid
from dnncore.cli._bench_recurrent import operands, recurrence
from dnncore.cli._bench_shapes import FORWARD, RECURRENCES

COLUMNS = common.peer_columns(30, ("GF/s", 7, ".1f"), ("limit", 6, ".2f"), common.SPREAD)
BOTH = "fwd+bwd"
TOLERANCE = {FORWARD: 1e-5, BOTH: 1e-4}  # gradients of weights are sums over all sequences and steps


def step(cell, own, other, h):
    """One step of the cells that NumPy has no form of; `own` and `other` are the products of input and state."""
    if cell == "RNN":
        return np.tanh(own + other)
    (r, z, n), (other_r, other_z, other_n) = np.split(own, 3, 1), np.split(other, 3, 1)
    z = sigmoid(z + other_z)
    return (1 - z) * np.tanh(n + sigmoid(r + other_r) * other_n) + z * h


def exact(shape, direction):
    """The outputs, or the gradient of the input, in float64; None for gradients of what NumPy has no form of."""
    x, weights, dy = operands(shape)
    x, dy, weights = x.astype(np.float64), dy.astype(np.float64), [[w.astype(np.float64) for w in each] for each in weights]
    if direction == BOTH:
        uniform = shape.cell == "LSTM" and not shape.varied
        return _bench_numpy_recurrent.lstm_with_gradients(x, weights, dy)[0] if uniform else None
    if shape.cell == "LSTM":
        y = _bench_numpy_recurrent.lstm(x, weights)
    else:
        ((w_ih, w_hh, b_ih, b_hh),) = weights
        y, h = [], np.zeros((shape.batch, shape.hidden))
        for now in x:
            h = step(shape.cell, now @ w_ih.T + b_ih, h @ w_hh.T + b_hh, h)
            y.append(h)
        y = np.stack(y)
    if shape.varied:
        y[np.arange(shape.steps)[:, None] >= shape.lengths] = 0
    return y


def first(call):
    """The result, or the first of several."""
    result = call()
    return result[0] if isinstance(result, list) else result


def measure(run, shape, direction):
    libraries = {"ours": dnn, "NumPy": None if run.options.no_numpy else np, "torch": run.torch}
    calls = {who: recurrence(shape, direction, library) for who, library in libraries.items() if library is not None}
    found = {who: call for who, call in calls.items() if call is not None}
    label = f"{shape.name} {direction}"
    expected = exact(shape, direction) if run.checks else None
    if expected is not None:
        common.check(label, {who: lambda call=call: first(call) for who, call in found.items()}, expected, TOLERANCE[direction])
    timings, ceiling = common.compare(found, run.options.quick), run.ceilings.fma(run.threads)
    rate = 1e-9 * shape.flops(direction) / timings["ours"].median
    values = {**common.peer_values(label, run.threads, timings), "GF/s": rate, "limit": ceiling and rate / ceiling}
    run.report.row(values, timings=timings, family=f"{shape.id or shape.cell} {direction}")


def main():
    options = common.arguments(
        __doc__,
        no_numpy={"action": "store_true", "help": "leave NumPy out"},
        forward={"action": "store_true", "help": "leave the gradients out"},
    )
    torch = common.find_torch(options)
    ceilings = common.Ceilings(options.quick)
    report = common.Report("recurrent layers", options, COLUMNS, torch)
    for count in options.threads:
        with common.Threads(count, torch):
            run = common.Run(options, torch, ceilings, report, count)
            for shape in RECURRENCES:
                for direction in (FORWARD,) if options.forward or shape.id == "L7" else (FORWARD, BOTH):
                    if options.filter in f"{shape.name} {direction}":
                        measure(run, shape, direction)
    for count in options.threads:
        for column in ("x torch", "limit"):
            for family in dict.fromkeys(row["family"] for row in report.rows):
                report.geometric_mean(column, f"{family}, {column}, {count} thread(s)", threads=count, family=family)
    report.finish(ceilings)


if __name__ == "__main__":
    main()
