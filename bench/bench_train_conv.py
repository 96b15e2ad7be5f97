"""Training steps of convolutional networks: dnncore in Python and captured, PyTorch at its best, and the peaks of memory.

dnncore gets its images as they come, (N, C, H, W) in that order. PyTorch runs eagerly with its fused optimizer, with everything
in that order (`NCHW`) and channels-last (`last`), and with --compile compiled, channels-last; `x torch` and `captured x` are
against the best of them. `winograd` is the captured step under `dnncore.allow_winograd()`. `kernels` and `floor` are as in
bench_train_step.py. With --memory every contender also trains alone in a process of its own: `MB` is by how much its resident
memory grew at most, over what the loaded libraries take.
"""

import importlib
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import networks
import numpy as np
from common import bound


class Job(NamedTuple):
    """One row."""

    name: str
    batch: int
    images: tuple[int, int, int]
    classes: int
    build: Callable
    settings: dict[str, float]

    @property
    def label(self):
        return f"{self.name}, {self.batch}"


SGD, MOMENTUM = {"lr": 0.01}, {"lr": 0.01, "momentum": 0.9}
JOBS = [
    Job("LeNet-5", 64, (1, 32, 32), 10, networks.lenet5, SGD),
    Job("ResNet-20", 128, (3, 32, 32), 10, networks.resnet20, MOMENTUM),
    Job("ResNet-18", 32, (3, 32, 32), 10, networks.resnet18, MOMENTUM),
    Job("AlexNet", 16, (3, 224, 224), 1000, networks.alexnet, MOMENTUM),
    Job("GoogLeNet", 16, (3, 224, 224), 1000, networks.googlenet, MOMENTUM),
]
TOLERANCE = 1e-4  # of the losses of the first three steps
TORCH = {"last": 1e-3, "compiled": 1e-3}  # channels-last, off by 2.3e-4 on ResNet-18
CONTENDERS = {"ours": {}, "captured": {"captured": True}, "NCHW": {}, "last": {"last": True}}
PEERS = ("NCHW", "last", "compiled")

COLUMNS = [
    *common.step_columns(("network, batch", 16, ""), "NCHW ms", "last ms"),
    ("winograd", 8, ".2f"),
    ("winograd x", 10, ".2f"),
    ("MB ours", 7, ".0f"),
    ("captured MB", 11, ".0f"),
    ("NCHW MB", 7, ".0f"),
    ("last MB", 7, ".0f"),
]


def data(job):
    random = np.random.default_rng(job.batch)
    return random.standard_normal((job.batch, *job.images), dtype=np.float32), random.integers(0, job.classes, job.batch)


def step_of(lib, job, state=None, wide=False, last=False, captured=False, compiled=False):
    """A step, and its arguments."""
    x, target = data(job)
    x, target = lib.from_numpy(x), lib.from_numpy(target)
    model = job.build(lib)
    if state is not None:
        model.load_state_dict({name: lib.from_numpy(value) for name, value in state.items()})
    if wide:
        model, x = model.double(), x.double()
    if last:
        model, x = model.to(memory_format=lib.channels_last), x.to(memory_format=lib.channels_last)
    optimizer = lib.optim.SGD(model.parameters(), **job.settings, **({} if lib is dnn else {"fused": True}))
    return common.training_step(lib, model, optimizer, lib.nn.CrossEntropyLoss(), compiled, captured), (x, target)


def with_winograd(call):
    def run():
        with dnn.allow_winograd():
            return call()

    return run


def measure(run, job):
    torch, quick = run.torch, run.options.quick
    dnn.manual_seed(0)
    state = common.values_of(job.build(dnn))
    captured = step_of(dnn, job, state, captured=True)
    found = {"ours": bound(*step_of(dnn, job, state)), "captured": bound(*captured)}
    found["winograd"] = with_winograd(bound(*step_of(dnn, job, state, captured=True)))
    if torch is not None:
        found |= {who: bound(*step_of(torch, job, state, **CONTENDERS[who])) for who in ("NCHW", "last")}
        if run.options.compile:
            found["compiled"] = bound(*step_of(torch, job, state, last=True, compiled=True))
    exact = bound(*step_of(dnn, job, state, wide=True))
    timings, plan = common.compare_steps(job.label, found, captured, exact, TOLERANCE, quick, TORCH)
    label = {"network, batch": job.label}
    values = common.step_values(label, run.threads, timings, plan, run.ceilings.fma(run.threads), PEERS)
    values |= {f"{who} ms": timings[who].median * 1e3 for who in ("NCHW", "last") if who in timings}
    values["winograd"] = timings["winograd"].median * 1e3
    values["winograd x"] = common.ratio(common.best_of(timings, PEERS), timings["winograd"])
    if run.options.memory:
        values |= peaks(job, run.threads, torch)
    run.report.row(values, timings=timings)


def peaks(job, count, torch):
    """MB by column, each contender in a process of its own."""
    names = {"ours": "MB ours", "captured": "captured MB", "NCHW": "NCHW MB", "last": "last MB"}
    found = {}
    for who, column in names.items():
        if torch is None and who in PEERS:
            continue
        command = [sys.executable, __file__, "--alone", who, "--filter", job.label, "--threads", str(count)]
        found[column] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def resident(field):
    """MB: VmRSS is what the process holds, VmHWM the most it held."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(field))


def peak_alone(job, who, count):
    """Train for five steps and return by how many MB the process grew at most."""
    torch = importlib.import_module("torch") if who in PEERS else None
    with common.Threads(count, torch):
        before = resident("VmRSS")
        step, arguments = step_of(torch or dnn, job, **CONTENDERS[who])
        for _ in range(5):
            step(*arguments)
        return resident("VmHWM") - before


def main():
    options = common.arguments(
        __doc__,
        compile={"action": "store_true", "help": "compile PyTorch's forward and backward too"},
        memory={"action": "store_true", "help": "measure the peaks of memory"},
        alone={"choices": CONTENDERS, "help": "print the peak of one contender, and nothing else"},
    )
    jobs = [job for job in JOBS if options.filter in job.label]
    if options.alone:
        print(peak_alone(jobs[0], options.alone, options.threads[0]))
        return
    common.compare_jobs("training step of convolutional networks", options, COLUMNS, jobs, measure)


if __name__ == "__main__":
    main()
