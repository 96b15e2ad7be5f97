"""Training steps of recurrent networks: dnncore in Python and captured, PyTorch eager with its fused optimizer.

Sequences lie time-major, PyTorch's default; `--compile` adds PyTorch compiled, and `x torch` and `captured x` are against the
best of both. `kernels` and `floor` are as in bench_train_step.py. Names: inputs-hidden, layers where there are several,
sequences x steps.
"""

from typing import NamedTuple

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
from common import bound


class Job(NamedTuple):
    """One row: a class of every sequence from its last state, or with `words` the next word after every step."""

    name: str
    sequences: int
    steps: int
    features: int
    hidden: int
    layers: int = 1
    words: int = 0
    clip: float | None = None

    @property
    def label(self):
        return f"{self.name}, {self.sequences}x{self.steps}"

    @property
    def classes(self):
        return self.words or 10


JOBS = [
    Job("LSTM 64-128", 32, 50, 64, 128),
    Job("LSTM 256-512", 64, 50, 256, 512),
    Job("characters 65-128", 32, 50, 65, 128, words=65),
    Job("words 650-650 x2", 20, 35, 650, 650, layers=2, words=10_000, clip=5.0),
]
TOLERANCE = 1e-4  # of the losses of the first three steps

COLUMNS = common.step_columns(("network", 24, ""), "torch ms")


def network(lib, job):
    """An LSTM and a linear layer in the words that dnncore and PyTorch share."""
    nn = lib.nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(job.words, job.features) if job.words else nn.Identity()
            self.lstm = nn.LSTM(job.features, job.hidden, job.layers)
            self.head = nn.Linear(job.hidden, job.classes)

        def forward(self, x):
            y, _ = self.lstm(self.embedding(x))
            return self.head(y.flatten(0, 1) if job.words else y[-1])

    return Network()


def data(job):
    random = np.random.default_rng(job.hidden)
    shape = (job.steps, job.sequences)
    if job.words:
        return random.integers(0, job.words, shape), random.integers(0, job.words, job.steps * job.sequences)
    return random.standard_normal((*shape, job.features), dtype=np.float32), random.integers(0, job.classes, job.sequences)


def step_of(lib, job, state, wide=False, captured=False, compiled=False):
    """A step, and its arguments."""
    x, target = (lib.from_numpy(values) for values in data(job))
    model = network(lib, job)
    model.load_state_dict({name: lib.from_numpy(value) for name, value in state.items()})
    if wide:
        model, x = model.double(), x if job.words else x.double()
    fused = {} if lib is dnn else {"fused": True}
    if job.clip is None:
        optimizer = lib.optim.Adam(model.parameters(), lr=1e-3, **fused)
    else:
        optimizer = lib.optim.SGD(model.parameters(), lr=0.1, **fused)
    return common.training_step(lib, model, optimizer, lib.nn.CrossEntropyLoss(), compiled, captured, job.clip), (x, target)


def measure(run, job):
    dnn.manual_seed(0)
    state = common.values_of(network(dnn, job))
    captured = step_of(dnn, job, state, captured=True)
    found = {"ours": bound(*step_of(dnn, job, state)), "captured": bound(*captured)}
    if run.torch is not None:
        found["torch"] = bound(*step_of(run.torch, job, state))
        if run.options.compile:
            found["compiled"] = bound(*step_of(run.torch, job, state, compiled=True))
    exact = bound(*step_of(dnn, job, state, wide=True))
    timings, plan = common.compare_steps(job.label, found, captured, exact, TOLERANCE, run.options.quick)
    label, peers = {"network": job.label}, ("torch", "compiled")
    values = common.step_values(label, run.threads, timings, plan, run.ceilings.fma(run.threads), peers)
    torch = timings.get("torch")
    run.report.row({**values, "torch ms": torch and torch.median * 1e3}, timings=timings)


if __name__ == "__main__":
    options = common.arguments(__doc__, compile={"action": "store_true", "help": "compile PyTorch's forward and backward too"})
    common.compare_jobs("training step of recurrent networks", options, COLUMNS, JOBS, measure)
