"""Training steps of multilayer perceptrons with SGD: dnncore, hand-written NumPy and eager PyTorch."""

from itertools import pairwise

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
import reference_numpy

# (layer sizes, batch)
MODELS = [
    ((64, 32, 10), 32),
    ((784, 128, 10), 32),
    ((784, 128, 10), 128),
    ((784, 512, 512, 10), 64),
    ((784, 512, 512, 10), 128),
]
LR = 1e-3

COLUMNS = [
    ("model", 28, ""),
    ("threads", 7, "d"),
    ("ours us", 9, ".1f"),
    ("best us", 9, ".1f"),
    ("spread", 6, ".2f"),
    ("GF/s", 7, ".1f"),
    ("fraction", 8, ".3f"),
    ("NumPy us", 9, ".1f"),
    ("torch us", 9, ".1f"),
    ("x NumPy", 7, ".2f"),
    ("x torch", 7, ".2f"),
]


def initial(sizes, random):
    weights = [random.standard_normal((o, i), dtype=np.float32) / np.float32(np.sqrt(i)) for i, o in pairwise(sizes)]
    return weights, [np.zeros(o, np.float32) for o in sizes[1:]]


def framework_step(lib, as_tensor, sizes, weights, biases, x, target, **sgd_options):
    """A closure that runs one step with the vocabulary dnncore and PyTorch share."""
    layers = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        layer = lib.nn.Linear(inputs, outputs)
        with lib.no_grad():
            layer.weight.copy_(as_tensor(weights[i]))
            layer.bias.copy_(as_tensor(biases[i]))
        layers += [layer, lib.nn.ReLU()]
    model = lib.nn.Sequential(*layers[:-1])
    optimizer = lib.optim.SGD(model.parameters(), lr=LR, **sgd_options)
    loss_of = lib.nn.CrossEntropyLoss()
    x, target = as_tensor(x), as_tensor(target)

    def step():
        optimizer.zero_grad()
        loss = loss_of(model(x), target)
        loss.backward()
        optimizer.step()
        return loss

    return step


def contenders(sizes, batch, torch):
    random = np.random.default_rng(batch)
    weights, biases = initial(sizes, random)
    x = random.standard_normal((batch, sizes[0]), dtype=np.float32)
    target = random.integers(0, sizes[-1], batch)
    by_hand = reference_numpy.MLP(weights, biases)
    found = {
        "ours": framework_step(dnn, dnn.from_numpy, sizes, weights, biases, x, target),
        "NumPy": lambda: by_hand.step(x, target, np.float32(LR)),
    }
    if torch is not None:
        found["torch"] = framework_step(torch, torch.from_numpy, sizes, weights, biases, x, target, fused=True)
    exact = reference_numpy.MLP([w.astype(np.float64) for w in weights], [b.astype(np.float64) for b in biases])
    return found, lambda: exact.step(x.astype(np.float64), target, LR)


def flop(sizes, batch):
    """Two products per layer and direction; none for the gradient of the data."""
    layers = [i * o for i, o in pairwise(sizes)]
    return 2 * batch * (3 * sum(layers) - layers[0])


def main():
    options = common.arguments(__doc__)
    torch = common.find_torch(options)
    ceilings = common.Ceilings(options.quick)
    report = common.Report("MLP training step", options, COLUMNS, torch)
    for count in options.threads:
        with common.Threads(count, torch):
            for sizes, batch in MODELS:
                label = f"{'-'.join(map(str, sizes))}, batch {batch}"
                if options.filter not in label:
                    continue
                found, exact = contenders(sizes, batch, torch)
                for _ in range(3):  # the losses of the first three steps
                    common.check(label, found, np.asarray(exact()), 1e-5)
                timings = common.compare(found, options.quick)
                ours, rate = timings["ours"], 1e-9 * flop(sizes, batch) / timings["ours"].median
                ceiling = ceilings.fma(count)
                values = {
                    "model": label,
                    "threads": count,
                    "ours us": ours.median * 1e6,
                    "best us": ours.min * 1e6,
                    "spread": ours.spread,
                    "GF/s": rate,
                    "fraction": ceiling and rate / ceiling,
                    "NumPy us": timings["NumPy"].median * 1e6,
                    "torch us": timings["torch"].median * 1e6 if "torch" in timings else None,
                    "x NumPy": common.ratio(timings["NumPy"], ours),
                    "x torch": common.ratio(timings.get("torch"), ours),
                }
                report.row(values, timings=timings)
    report.finish(ceilings)


if __name__ == "__main__":
    main()
