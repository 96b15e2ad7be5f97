"""What `Model.fit` costs beyond a loop around a captured step: four epochs of shuffled minibatches, in milliseconds per epoch.

The loop draws an order, cuts batches and steps, nothing else; `fit` also looks at the data first and keeps the running loss, or a
metric too. `x loop` is the time against that of the loop, `best x` that of the best rounds: 1.05 is the budget for the widest
network. All reach the same bits.
"""

import itertools
from typing import NamedTuple

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
from bench_train_step import initial, perceptron
from dnncore.model._split import generator_for


class Job(NamedTuple):
    """One row."""

    sizes: tuple[int, ...]
    batch: int
    batches: int

    @property
    def label(self):
        return f"{'-'.join(map(str, self.sizes))}, {self.batch}, {self.batches}"


JOBS = [Job((784, 512, 512, 10), 64, 50), Job((784, 128, 10), 32, 200), Job((64, 32, 10), 32, 1000)]
EPOCHS = 4  # per call
METRICS = {"fit": None, "accuracy": ["accuracy"]}

COLUMNS = [
    ("layers, batch, batches", 28, ""),
    ("threads", 7, "d"),
    ("loop ms", 9, ".2f"),
    ("spread", 6, ".2f"),
    ("fit ms", 9, ".2f"),
    ("x loop", 7, ".3f"),
    ("best x", 7, ".3f"),
    ("accuracy ms", 11, ".2f"),
    ("x loop ", 7, ".3f"),
    ("best x ", 7, ".3f"),
]


def data(job):
    random = np.random.default_rng(job.batch)
    rows = job.batch * job.batches
    x = random.standard_normal((rows, job.sizes[0]), dtype=np.float32)
    return initial(job.sizes, random), dnn.from_numpy(x), dnn.from_numpy(random.integers(0, job.sizes[-1], rows))


def bare(job, start, x, y):
    """Epochs of the loop that one would write by hand around a captured step."""
    model = perceptron(dnn, dnn.from_numpy, *start)
    optimizer = dnn.optim.Adam(model.parameters())
    numbers = itertools.count()
    loss_of = dnn.nn.CrossEntropyLoss()

    @dnn.capture
    def step(x, target):
        optimizer.zero_grad()
        loss_of(model(x), target).backward()
        optimizer.step()

    def epoch():
        order = dnn.randperm(len(x), generator=generator_for("order", next(numbers)))
        for start in range(0, len(x), job.batch):
            rows = order[start : start + job.batch]
            step(x[rows], y[rows])

    return model, lambda: [epoch() for _ in range(EPOCHS)]


def managed(job, start, x, y, metrics):
    """Epochs of `fit`."""
    model = dnn.Model(perceptron(dnn, dnn.from_numpy, *start))
    model.compile("adam", "cross_entropy", metrics)
    return model.module, lambda: model.fit(x, y, EPOCHS, job.batch, verbose=0)


def check_bits(job, jobs):
    """Refuse to time contenders whose weights are not the same."""
    for _, run in jobs.values():
        run()
    found = {tuple(p.detach().numpy().tobytes() for p in model.parameters()) for model, _ in jobs.values()}
    if len(found) != 1:
        raise AssertionError(f"{job.label}: the weights differ")


def measure(report, job, count, options):
    start, x, y = data(job)
    jobs = {"loop": bare(job, start, x, y)}
    jobs |= {name: managed(job, start, x, y, metrics) for name, metrics in METRICS.items()}
    check_bits(job, jobs)
    timings = common.compare({name: run for name, (_, run) in jobs.items()}, options.quick)
    loop = timings["loop"]
    values = {
        "layers, batch, batches": job.label,
        "threads": count,
        "loop ms": loop.median * 1e3 / EPOCHS,
        "spread": loop.spread,
        "fit ms": timings["fit"].median * 1e3 / EPOCHS,
        "x loop": timings["fit"].median / loop.median,
        "best x": timings["fit"].min / loop.min,
        "accuracy ms": timings["accuracy"].median * 1e3 / EPOCHS,
        "x loop ": timings["accuracy"].median / loop.median,
        "best x ": timings["accuracy"].min / loop.min,
    }
    report.row(values, timings=timings)


def main():
    options = common.arguments(__doc__)
    report = common.Report("fit", options, COLUMNS, None)
    for count in options.threads:
        with common.Threads(count):
            for job in JOBS:
                if options.filter in job.label:
                    measure(report, job, count, options)
    report.finish()


if __name__ == "__main__":
    main()
