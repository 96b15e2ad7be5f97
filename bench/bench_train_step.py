"""Training steps of perceptrons and autoencoders: dnncore in Python and captured, hand-written NumPy, and PyTorch at its best.

PyTorch runs eagerly with its fused optimizer and, with --compile, compiled as well; `x torch` and `captured x` are against the
better one. `kernels` are the launches of the captured step alone, in a native loop: what capturing can reach. `floor` is the time
of the step's matrix products at the FMA ceiling of the same run, and nothing else.
"""

from copy import deepcopy
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
from common import bound, micros
from dnncore.cli import _bench_numpy


class Job(NamedTuple):
    """One row: `loss` is cross_entropy (a classifier) or mse_loss (an autoencoder)."""

    sizes: tuple[int, ...]
    batch: int
    loss: str = "cross_entropy"
    optimizer: str = "Adam"

    @property
    def label(self):
        return f"{'-'.join(map(str, self.sizes))}, {self.batch}, {self.optimizer}"


JOBS = [
    Job((64, 32, 10), 32),
    Job((784, 512, 512, 10), 64),
    Job((784, 256, 32, 256, 784), 128, "mse_loss"),
    Job((64, 32, 10), 32, optimizer="SGD"),
    Job((784, 128, 10), 32, optimizer="SGD"),
    Job((784, 128, 10), 128, optimizer="SGD"),
    Job((784, 512, 512, 10), 64, optimizer="SGD"),
    Job((784, 512, 512, 10), 128, optimizer="SGD"),
]
LR = 1e-3
GAN, GAN_BATCH = ((100, 256, 512, 784), (784, 512, 256, 1)), 64
GAN_LABEL = "GAN 100-256-512-784-512-256-1, 64"

COLUMNS = [
    ("layers, batch, optimizer", 36, ""),
    ("threads", 7, "d"),
    ("ours us", 9, ".1f"),
    ("best us", 9, ".1f"),
    ("spread", 6, ".2f"),
    ("GF/s", 7, ".1f"),
    ("fraction", 8, ".3f"),
    ("floor us", 9, ".1f"),
    ("captured", 9, ".1f"),
    ("kernels", 9, ".1f"),
    ("NumPy us", 9, ".1f"),
    ("torch us", 9, ".1f"),
    ("compiled", 9, ".1f"),
    ("x NumPy", 7, ".2f"),
    ("x torch", 7, ".2f"),
    ("captured x", 10, ".2f"),
]


def initial(sizes, random):
    weights = [random.standard_normal((o, i), dtype=np.float32) / np.float32(np.sqrt(i)) for i, o in pairwise(sizes)]
    return weights, [np.zeros(o, np.float32) for o in sizes[1:]]


def perceptron(lib, as_tensor, weights, biases):
    layers = []
    for weight, bias in zip(weights, biases, strict=True):
        outputs, inputs = weight.shape
        layer = lib.nn.Linear(inputs, outputs)
        with lib.no_grad():
            layer.weight.copy_(as_tensor(weight))
            layer.bias.copy_(as_tensor(bias))
        layers += [layer, lib.nn.ReLU()]
    return lib.nn.Sequential(*layers[:-1])


def framework_step(lib, as_tensor, job, weights, biases, x, target, compiled=False, captured=False, **options):
    """A step with the vocabulary dnncore and PyTorch share, and its arguments."""
    model = perceptron(lib, as_tensor, weights, biases)
    optimizer = getattr(lib.optim, job.optimizer)(model.parameters(), lr=LR, **options)
    loss_of = lib.nn.CrossEntropyLoss() if job.loss == "cross_entropy" else lib.nn.MSELoss()
    return common.training_step(lib, model, optimizer, loss_of, compiled, captured), (as_tensor(x), as_tensor(target))


def gan_step(lib, as_tensor, captured=False, wide=False, **options):
    """A step that trains a critic on real and made images, then the generator through it; and its arguments."""
    random = np.random.default_rng(7)
    generator, critic = (perceptron(lib, as_tensor, *initial(sizes, random)) for sizes in GAN)
    if wide:
        generator, critic = generator.double(), critic.double()
    first, second = (lib.optim.Adam(model.parameters(), lr=2e-4, betas=(0.5, 0.999), **options) for model in (generator, critic))
    real = as_tensor(random.standard_normal((GAN_BATCH, GAN[1][0]), dtype=np.float32))
    noise = as_tensor(random.standard_normal((GAN_BATCH, GAN[0][0]), dtype=np.float32))
    yes, no = (as_tensor(np.full((GAN_BATCH, 1), value, np.float32)) for value in (1, 0))
    loss_of = lib.nn.BCEWithLogitsLoss()

    def step(noise, real):
        made = generator(noise)
        second.zero_grad()
        loss = loss_of(critic(real), yes) + loss_of(critic(made.detach()), no)
        loss.backward()
        second.step()
        first.zero_grad()
        loss_of(critic(made), yes).backward()
        first.step()
        return loss

    if captured:
        step = dnn.capture(step)
    return step, (noise, real)


def measure_gan(report, ceilings, count, options, torch):
    captured, arguments = gan_step(dnn, dnn.from_numpy, captured=True)
    found = {"ours": bound(*gan_step(dnn, dnn.from_numpy)), "captured": bound(captured, arguments)}
    if torch is not None:
        found["torch"] = bound(*gan_step(torch, torch.from_numpy, fused=True))
    exact = bound(*gan_step(dnn, lambda array: dnn.from_numpy(array.astype(np.float64)), wide=True))
    measure(report, ceilings, GAN_LABEL, count, options, found, captured, arguments, exact)


def contenders(job, torch, compiled):
    random = np.random.default_rng(job.batch)
    weights, biases = initial(job.sizes, random)
    x = random.standard_normal((job.batch, job.sizes[0]), dtype=np.float32)
    target = random.integers(0, job.sizes[-1], job.batch) if job.loss == "cross_entropy" else x
    loss = getattr(_bench_numpy, job.loss)
    optimizer = partial(getattr(_bench_numpy, job.optimizer), lr=LR)
    by_hand = _bench_numpy.Perceptron(*deepcopy((weights, biases)), loss, optimizer)
    captured, arguments = framework_step(dnn, dnn.from_numpy, job, weights, biases, x, target, captured=True)
    found = {
        "ours": bound(*framework_step(dnn, dnn.from_numpy, job, weights, biases, x, target)),
        "captured": bound(captured, arguments),
        "NumPy": lambda: by_hand.step(x, target),
    }
    if torch is not None:
        found["torch"] = bound(*framework_step(torch, torch.from_numpy, job, weights, biases, x, target, fused=True))
    if torch is not None and compiled:
        found["compiled"] = bound(*framework_step(torch, torch.from_numpy, job, weights, biases, x, target, True, fused=True))
    wide = [[array.astype(np.float64) for array in arrays] for arrays in (weights, biases)]
    exact = _bench_numpy.Perceptron(*wide, loss, optimizer)
    wide_target = target if job.loss == "cross_entropy" else x.astype(np.float64)
    return found, captured, arguments, lambda: exact.step(x.astype(np.float64), wide_target)


def measure(report, ceilings, label, count, options, found, captured, arguments, exact):
    timings, plan = common.compare_steps(label, found, (captured, arguments), exact, 1e-5, options.quick)
    ours, rate = timings["ours"], 1e-9 * plan.flops / timings["ours"].median
    ceiling = ceilings.fma(count)
    best = common.best_of(timings, ("torch", "compiled"))
    values = {
        "layers, batch, optimizer": label,
        "threads": count,
        "ours us": ours.median * 1e6,
        "best us": ours.min * 1e6,
        "spread": ours.spread,
        "GF/s": rate,
        "fraction": ceiling and rate / ceiling,
        "floor us": ceiling and 1e-3 * plan.flops / ceiling,
        "captured": micros(timings["captured"]),
        "kernels": micros(timings["kernels"]),
        "NumPy us": micros(timings.get("NumPy")),
        "torch us": micros(timings.get("torch")),
        "compiled": micros(timings.get("compiled")),
        "x NumPy": common.ratio(timings.get("NumPy"), ours),
        "x torch": common.ratio(best, ours),
        "captured x": common.ratio(best, timings["captured"]),
    }
    report.row(values, timings=timings)


def main():
    options = common.arguments(__doc__, compile={"action": "store_true", "help": "compile PyTorch's forward and backward too"})
    torch = common.find_torch(options)
    ceilings = common.Ceilings(options.quick)
    report = common.Report("training step", options, COLUMNS, torch)
    for count in options.threads:
        with common.Threads(count, torch):
            for job in JOBS:
                if options.filter in job.label:
                    measure(report, ceilings, job.label, count, options, *contenders(job, torch, options.compile))
            if options.filter in GAN_LABEL:
                measure_gan(report, ceilings, count, options, torch)
    report.finish(ceilings)


if __name__ == "__main__":
    main()
