"""Minibatches of tensors in memory, alone and under a training step: the loader, slicing by hand, NumPy's take, PyTorch."""

from itertools import pairwise
from typing import NamedTuple

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
from dnncore.data import DataLoader, TensorDataset, batches


class Job(NamedTuple):
    count: int
    features: int
    size: int
    shuffle: bool = True
    hidden: tuple[int, ...] | None = None  # of the network that is trained; None: no training

    def label(self):
        text = f"{self.count} x {self.features}, batch {self.size}{'' if self.shuffle else ', in order'}"
        return text if self.hidden is None else f"{text}, step {'-'.join(map(str, (self.features, *self.hidden, 10)))}"


JOBS = [
    Job(12800, 784, 64),
    Job(12800, 784, 64, shuffle=False),
    Job(1437, 64, 32),
    Job(100_000, 16, 256),
    Job(12800, 784, 64, hidden=()),
    Job(12800, 784, 64, hidden=(64,)),
    Job(12800, 784, 64, hidden=(512, 512)),
    Job(1437, 64, 32, hidden=(32,)),
]

COLUMNS = [
    ("microseconds per batch", 54, ""),
    ("threads", 7, "d"),
    ("loader", 8, ".2f"),
    ("spread", 6, ".2f"),
    ("inline", 8, ".2f"),
    ("ahead", 8, ".2f"),
    ("slicing", 8, ".2f"),
    ("NumPy", 8, ".2f"),
    ("torch", 8, ".2f"),
    ("x slicing", 9, ".2f"),
    ("x torch", 8, ".2f"),
]


def take(x, y, job):
    """The batches of NumPy, by its fastest way to gather rows."""
    order = np.random.permutation(job.count) if job.shuffle else None
    for at in range(0, job.count, job.size):
        rows = slice(at, at + job.size)
        yield (x[rows], y[rows]) if order is None else (x.take(order[rows], axis=0), y.take(order[rows]))


def contenders(x, y, job, torch):
    """{name: function that returns the batches of an epoch}."""
    xt, yt = dnn.from_numpy(x), dnn.from_numpy(y)
    data = TensorDataset(xt, yt)
    found = {
        name: DataLoader(data, job.size, job.shuffle, prefetch=prefetch).__iter__
        for name, prefetch in (("loader", None), ("inline", False), ("ahead", True))
    }
    found["slicing"] = lambda: batches(xt, yt, batch_size=job.size, shuffle=job.shuffle)
    if job.hidden is None:
        found["NumPy"] = lambda: take(x, y, job)
        if torch is not None:
            theirs = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
            found["torch"] = torch.utils.data.DataLoader(theirs, batch_size=job.size, shuffle=job.shuffle).__iter__
    return found


def training_step(job):
    """A captured step of stochastic gradient descent that leaves the weights as they are; None without training."""
    if job.hidden is None:
        return None
    sizes = (job.features, *job.hidden, 10)
    layers = [layer for pair in pairwise(sizes) for layer in (dnn.nn.Linear(*pair), dnn.nn.ReLU())][:-1]
    model = dnn.nn.Sequential(*layers)
    optimizer = dnn.optim.SGD(model.parameters(), lr=0.0)

    def step(x, y):
        optimizer.zero_grad()
        dnn.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return dnn.capture(step)


def agree(name, epochs, x, y):
    """Refuse to time batches that do not hold every row once."""
    for who, epoch in epochs.items():
        parts = [(common.to_numpy(a), common.to_numpy(b)) for a, b in epoch()]
        rows = np.argsort(np.concatenate([part[1] for part in parts]), kind="stable")
        if not np.array_equal(np.concatenate([part[0] for part in parts])[rows], x[np.argsort(y, kind="stable")]):
            raise AssertionError(f"{name}: {who} lost rows")


def walk(epoch, step):
    """A function that goes through an epoch."""

    def alone():
        for _ in epoch():
            pass

    def training():
        for x, y in epoch():
            step(x, y)

    return alone if step is None else training


def measure(report, job, count, options, torch):
    random = np.random.default_rng(0)
    x = random.standard_normal((job.count, job.features), dtype=np.float32)
    epochs = contenders(x, np.arange(job.count), job, torch)
    agree(job.label(), epochs, x, np.arange(job.count))
    epochs = contenders(x, random.integers(0, 10, job.count), job, torch)
    step = training_step(job)
    timings = common.compare({name: walk(epoch, step) for name, epoch in epochs.items()}, options.quick)
    number = -(-job.count // job.size)
    values = {name: 1e6 * timing.median / number for name, timing in timings.items()}
    report.row(
        {
            "microseconds per batch": job.label(),
            "threads": count,
            "spread": timings["loader"].spread,
            **values,
            "x slicing": common.ratio(timings["slicing"], timings["loader"]),
            "x torch": common.ratio(timings.get("torch"), timings["loader"]),
        },
        timings=timings,
    )


def main():
    options = common.arguments(__doc__)
    torch = common.find_torch(options)
    report = common.Report("Minibatches", options, COLUMNS, torch)
    for count in options.threads:
        with common.Threads(count, torch):
            for job in JOBS:
                if options.filter in job.label():
                    measure(report, job, count, options, torch)
    report.finish()


if __name__ == "__main__":
    main()
