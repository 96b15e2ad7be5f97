"""Recurrent layers over whole sequences, forward and with the gradients: dnncore against NumPy by hand and PyTorch.

Rows are L1 to L8 of common practice and DeepBench: H hidden units, B sequences, T steps, inputs of H entries where I is not
named. L8 has lengths from 1 to T, which PyTorch runs as a PackedSequence. The limit is the FMA ceiling for the products alone.
"""

from typing import NamedTuple

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
import reference_numpy

COLUMNS = common.peer_columns(36, ("GF/s", 7, ".1f"), ("limit", 6, ".2f"), common.SPREAD)
TOLERANCE = 1e-5
NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


class Row(NamedTuple):
    label: str
    kind: str
    inputs: int
    hidden: int
    layers: int
    batch: int
    steps: int
    lengths: bool = False

    @property
    def name(self):
        layers = f" {self.layers} layers" if self.layers > 1 else ""
        inputs = f" I={self.inputs}" if self.inputs != self.hidden else ""
        return f"{self.label} {self.kind}{layers}{inputs} H={self.hidden} B={self.batch} T={self.steps}"

    def sequence_lengths(self):
        return np.random.default_rng(8).integers(1, self.steps + 1, self.batch) if self.lengths else None

    def flops(self):
        rows = self.sequence_lengths().sum() if self.lengths else self.batch * self.steps
        entries = self.inputs + (2 * self.layers - 1) * self.hidden
        return 2.0 * rows * GATES[self.kind] * self.hidden * entries


def deep(label, kind, hidden, batches, steps):
    return [Row(label, kind, hidden, hidden, 1, batch, steps) for batch in batches]


ROWS = [
    Row("L1", "LSTM", 65, 128, 1, 32, 50),
    Row("L2", "LSTM", 200, 200, 2, 20, 20),
    Row("L3", "LSTM", 650, 650, 2, 20, 35),
    *deep("L4", "LSTM", 256, (16, 32, 64), 150),
    *deep("L5", "LSTM", 512, (16, 32, 64, 128), 25),
    *deep("L6", "LSTM", 1024, (16, 32, 64, 128), 25),
    *deep("L7", "LSTM", 512, (1, 2, 4), 25),
    *deep("L7", "LSTM", 256, (1, 2, 4), 150),
    Row("L8", "LSTM", 256, 256, 1, 32, 100, lengths=True),
    *(Row(kind, kind, inputs, hidden, 1, batch, steps) for kind in ("GRU", "RNN") for inputs, hidden, batch, steps in (
        (65, 128, 32, 50), (256, 256, 32, 150), (512, 512, 64, 25), (1024, 1024, 16, 25), (512, 512, 1, 25), (256, 256, 4, 150),
    )),
]  # fmt: skip


def weights_of(row):
    """Of PyTorch's names, from its distribution."""
    random, names = np.random.default_rng(row.hidden), {}
    for layer in range(row.layers):
        inputs = row.hidden if layer else row.inputs
        sizes = {"weight_ih": (inputs,), "weight_hh": (row.hidden,), "bias_ih": (), "bias_hh": ()}
        for name, size in sizes.items():
            shape = (GATES[row.kind] * row.hidden, *size)
            names[f"{name}_l{layer}"] = random.uniform(-1, 1, shape).astype(np.float32) / np.float32(np.sqrt(row.hidden))
    return names


def layer_of(lib, tensor, row, weights):
    layer = getattr(lib.nn, row.kind)(row.inputs, row.hidden, row.layers)
    layer.load_state_dict({name: tensor(array) for name, array in weights.items()})
    return layer


def exact(row, x, weights):
    """y in float64, by hand."""
    x = x.astype(np.float64)
    for layer in range(row.layers):
        w_ih, w_hh, b_ih, b_hh = (weights[f"{name}_l{layer}"].astype(np.float64) for name in NAMES)
        h = np.zeros((row.batch, row.hidden))
        if row.kind == "LSTM":
            x = reference_numpy.lstm(x, w_ih, w_hh, b_ih + b_hh, h, h)[0][1:]
            continue
        outputs = []
        for step in x:
            own, other = step @ w_ih.T + b_ih, h @ w_hh.T + b_hh
            if row.kind == "GRU":
                (r, z, n), (other_r, other_z, other_n) = np.split(own, 3, 1), np.split(other, 3, 1)
                z = reference_numpy.sigmoid(z + other_z)
                h = (1 - z) * np.tanh(n + reference_numpy.sigmoid(r + other_r) * other_n) + z * h
            else:
                h = np.tanh(own + other)
            outputs.append(h)
        x = np.stack(outputs)
    if row.lengths:
        x[np.arange(row.steps)[:, None] >= row.sequence_lengths()] = 0
    return x


def numpy_call(row, x, weights, dy):
    """One LSTM layer; the others have no row of NumPy."""
    w_ih, w_hh, b_ih, b_hh = (weights[f"{name}_l0"] for name in NAMES)
    h = np.zeros((row.batch, row.hidden), np.float32)

    def forward():
        return reference_numpy.lstm(x, w_ih, w_hh, b_ih + b_hh, h, h)[0][1:]

    def both():
        hs, cs, gates = reference_numpy.lstm(x, w_ih, w_hh, b_ih + b_hh, h, h)
        reference_numpy.lstm_backward(dy, x, w_ih, w_hh, hs, cs, gates)
        return hs[1:]

    return forward if dy is None else both


def stepped(lib, layer, run, x, dy):
    """Forward alone, or with the gradients of the input and of every weight."""
    if dy is None:

        def forward():
            with lib.no_grad():
                return run(x)

        return forward
    leaf = x.requires_grad_()

    def both():
        leaf.grad = None
        layer.zero_grad()
        y = run(leaf)
        y.backward(dy)
        return y

    return both


def contenders(row, x, weights, dy, torch, with_numpy):
    lengths = row.sequence_lengths()
    layer = layer_of(dnn, dnn.tensor, row, weights)
    ours = (lambda t: layer(t, lengths=lengths.tolist())[0]) if row.lengths else (lambda t: layer(t)[0])
    found = {"ours": stepped(dnn, layer, ours, dnn.tensor(x), None if dy is None else dnn.tensor(dy))}
    if with_numpy and row.kind == "LSTM" and row.layers == 1 and not row.lengths:
        found["NumPy"] = numpy_call(row, x, weights, dy)
    if torch is not None:
        peer = layer_of(torch, torch.from_numpy, row, weights)
        rnn = torch.nn.utils.rnn

        def packed(t):
            data = rnn.pack_padded_sequence(t, torch.from_numpy(lengths), enforce_sorted=False)
            return rnn.pad_packed_sequence(peer(data)[0], total_length=row.steps)[0]

        run = packed if row.lengths else (lambda t: peer(t)[0])
        found["torch"] = stepped(torch, peer, run, torch.from_numpy(x), None if dy is None else torch.from_numpy(dy))
    return found


def measure(run, row, with_gradient):
    random = np.random.default_rng(row.steps)
    x, dy = (random.standard_normal((row.steps, row.batch, n), dtype=np.float32) for n in (row.inputs, row.hidden))
    weights = weights_of(row)
    found = contenders(row, x, weights, dy if with_gradient else None, run.torch, not run.options.no_numpy)
    label = row.name + (" fwd+bwd" if with_gradient else "")
    if run.checks:
        common.check(label, found, exact(row, x, weights), TOLERANCE)
    timings, ceiling = common.compare(found, run.options.quick), run.ceilings.fma(run.threads)
    rate = 1e-9 * row.flops() * (3 if with_gradient else 1) / timings["ours"].median
    values = {**common.peer_values(label, run.threads, timings), "GF/s": rate, "limit": ceiling and rate / ceiling}
    run.report.row(values, timings=timings, family=f"{row.label}{' fwd+bwd' if with_gradient else ''}")


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
            for row in ROWS:
                for with_gradient in (False,) if options.forward or row.label == "L7" else (False, True):
                    if options.filter in row.name:
                        measure(run, row, with_gradient)
    for count in options.threads:
        for column in ("x torch", "limit"):
            for family in dict.fromkeys(row["family"] for row in report.rows):
                report.geometric_mean(column, f"{family}, {column}, {count} thread(s)", threads=count, family=family)
    report.finish(ceilings)


if __name__ == "__main__":
    main()
