"""What `Model.fit` costs beyond a loop around a captured step: epochs over shuffled minibatches, in milliseconds per epoch.

The loop draws an order, cuts batches and steps, nothing else; `fit` also keeps the running loss, or a metric too. `x loop` is the
time against that of the loop: 1.05 is the budget for the widest network.
"""

from typing import NamedTuple

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
from bench_train_step import initial, perceptron


class Job(NamedTuple):
    """One row."""

    sizes: tuple[int, ...]
    batch: int
    batches: int

    @property
    def label(self):
        return f"{'-'.join(map(str, self.sizes))}, {self.batch}, {self.batches}"


JOBS = [Job((784, 512, 512, 10), 64, 100), Job((784, 128, 10), 32, 400), Job((64, 32, 10), 32, 2000)]
METRICS = {"fit": None, "accuracy": ["accuracy"]}

COLUMNS = [
    ("layers, batch, batches", 28, ""),
    ("threads", 7, "d"),
    ("loop ms", 9, ".2f"),
    ("spread", 6, ".2f"),
    ("fit ms", 9, ".2f"),
    ("x loop", 7, ".3f"),
    ("accuracy ms", 11, ".2f"),
    ("x loop ", 7, ".3f"),
]


def data(job):
    random = np.random.default_rng(job.batch)
    rows = job.batch * job.batches
    x = random.standard_normal((rows, job.sizes[0]), dtype=np.float32)
    return initial(job.sizes, random), dnn.from_numpy(x), dnn.from_numpy(random.integers(0, job.sizes[-1], rows))


def bare(job, start, x, y):
    """An epoch of the loop that one would write by hand around a captured step."""
    model = perceptron(dnn, dnn.from_numpy, *start)
    optimizer = dnn.optim.Adam(model.parameters())
    loss_of = dnn.nn.CrossEntropyLoss()

    @dnn.capture
    def step(x, target):
        optimizer.zero_grad()
        loss_of(model(x), target).backward()
        optimizer.step()

    def epoch():
        order = dnn.randperm(len(x))
        for start in range(0, len(x), job.batch):
            rows = order[start : start + job.batch]
            step(x[rows], y[rows])

    return epoch


def managed(job, start, x, y, metrics):
    """An epoch of `fit`."""
    model = dnn.Model(perceptron(dnn, dnn.from_numpy, *start))
    model.compile("adam", "cross_entropy", metrics)
    return lambda: model.fit(x, y, batch_size=job.batch, verbose=0)


def measure(report, job, count, options):
    start, x, y = data(job)
    found = {"loop": bare(job, start, x, y)}
    found |= {name: managed(job, start, x, y, metrics) for name, metrics in METRICS.items()}
    timings = common.compare(found, options.quick)
    loop = timings["loop"]
    values = {
        "layers, batch, batches": job.label,
        "threads": count,
        "loop ms": loop.median * 1e3,
        "spread": loop.spread,
        "fit ms": timings["fit"].median * 1e3,
        "x loop": timings["fit"].median / loop.median,
        "accuracy ms": timings["accuracy"].median * 1e3,
        "x loop ": timings["accuracy"].median / loop.median,
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
