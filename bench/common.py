"""What the benchmark scripts share: fair timing, thread settings, ceilings of the same run, table and JSON.

Import this module before NumPy: it clears OPENBLAS_CORETYPE, which would halve the peer.
"""

import os
import sys

if "numpy" in sys.modules and "OPENBLAS_CORETYPE" in os.environ:
    raise ImportError("bench: import common before numpy, or unset OPENBLAS_CORETYPE")
os.environ.pop("OPENBLAS_CORETYPE", None)

import argparse
import ctypes
import functools
import hashlib
import json
import math
import platform
import shutil
import statistics
import subprocess
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import dnncore as dnn
import numpy as np
from dnncore import _core
from dnncore.cli import _bench_timing
from dnncore.cli._bench_timing import Budget
from threadpoolctl import threadpool_info, threadpool_limits

HERE = Path(__file__).resolve().parent

# A peer's threads spin for some milliseconds after their last call; nobody is timed against them.
SETTLE_SECONDS = 0.1


def arguments(description, **extra):
    """Parse the options every script has; `extra` adds some, as keyword arguments of add_argument by name."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 0.05 s instead of 7 of 0.2 s")
    parser.add_argument("--threads", type=int, nargs="+", default=default_threads(), metavar="N")
    parser.add_argument("--filter", default="", metavar="TEXT", help="only rows whose name contains it")
    parser.add_argument("--no-torch", action="store_true", help="leave PyTorch out even where it is installed")
    for name, options in extra.items():
        parser.add_argument("--" + name.replace("_", "-"), **options)
    return parser.parse_args()


def default_threads():
    cores = len(os.sched_getaffinity(0))
    return [1] if cores == 1 else [1, cores]


def find_torch(options):
    """The torch module, or None where it is absent or unwanted."""
    if options.no_torch:
        return None
    try:
        import torch
    except ImportError:
        return None
    return torch


class Threads:
    """Give dnncore, NumPy's BLAS and PyTorch the same number of threads for the length of a with block."""

    def __init__(self, count, torch=None):
        self.count, self.torch = count, torch

    def __enter__(self):
        self.before = _core.get_num_threads()
        _core.set_num_threads(self.count)
        if self.torch is not None:
            self.torch_before = self.torch.get_num_threads()
            self.torch.set_num_threads(self.count)
        self.limits = threadpool_limits(self.count, user_api="blas")
        return self

    def __exit__(self, *_):
        self.limits.restore_original_limits()
        if self.torch is not None:
            self.torch.set_num_threads(self.torch_before)
        _core.set_num_threads(self.before)


class Timing:
    """Seconds per call: one entry per round."""

    def __init__(self, rounds):
        self.rounds = sorted(rounds)
        self.median = statistics.median(rounds)
        self.min = self.rounds[0]
        self.spread = (self.rounds[-1] - self.rounds[0]) / self.median

    def as_json(self):
        return {"median_s": self.median, "min_s": self.min, "spread": self.spread, "rounds_s": self.rounds}


def compare(contenders, quick=False):
    """Time {name: callable} in interleaved rounds (A B C A B C ...); returns {name: Timing}.

    Each block follows a short pause and one untimed call, so that neither spinning threads nor cold caches of another
    contender are charged to it.
    """
    budget = Budget(3, 0.05, SETTLE_SECONDS) if quick else Budget(7, 0.2, SETTLE_SECONDS)
    return {name: Timing(timing.rounds_s) for name, timing in _bench_timing.compare(contenders, budget).items()}


def check(name, contenders, expected, tolerance, known=None):
    """Refuse to time a contender whose result is further than `tolerance` x max |expected| from float64.

    `known` has the bounds of peers, by name, that are known to be less exact.
    """
    scale = np.max(np.abs(expected)) if expected.size else 1.0
    for who, run in contenders.items():
        result = np.asarray(to_numpy(run()), dtype=np.float64)
        error = np.max(np.abs(result - expected)) / (scale or 1.0)
        allowed = (known or {}).get(who, tolerance)
        if not error <= allowed:
            raise AssertionError(f"{name}: {who} is off by {error:.2e} of the largest value (allowed {allowed:.0e})")


def to_numpy(result):
    if isinstance(result, dnn.Tensor):
        return result.detach().to(dnn.float64).numpy()
    if type(result).__module__.startswith("torch"):
        return result.detach().double().numpy()
    return result


class _FmaCeiling(ctypes.Structure):
    _fields_ = [("gflops", ctypes.c_double), ("flop_per_cycle", ctypes.c_double), ("ghz", ctypes.c_double)]
    _fields_ += [("nominal", ctypes.c_double), ("is_void", ctypes.c_int)]


class Ceilings:
    """FMA and copy ceilings, measured when asked; None where there is no C++ compiler."""

    def __init__(self, quick=False):
        self.seconds = 0.1 if quick else 0.25
        self.void = []

    @functools.cached_property
    def library(self):
        compiler = next(filter(None, map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))), None)
        if compiler is None:
            print("no C++ compiler: rows go without their ceiling", file=sys.stderr)
            return None
        source = HERE / "ceilings.cpp"
        digest = hashlib.sha256(source.read_bytes() + platform.machine().encode()).hexdigest()[:16]
        built = HERE.parent / "build" / f"ceilings-{digest}.so"
        if not built.exists():
            built.parent.mkdir(exist_ok=True)
            partial = built.with_suffix(f".{os.getpid()}")
            flags = ["-O3", "-std=c++20", "-shared", "-fPIC", "-pthread"]
            subprocess.run([compiler, *flags, source, "-o", partial], check=True)
            os.replace(partial, built)
        library = ctypes.CDLL(str(built))
        out = ctypes.POINTER(_FmaCeiling)
        library.dnncore_fma_ceiling.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_double, out]
        library.dnncore_copy_ceiling.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_double]
        library.dnncore_copy_ceiling.restype = ctypes.c_double
        return library

    def fma(self, threads, dtype="float32"):
        """GF/s of `dtype` on the instruction set in use: the best of two short runs."""
        if self.library is None:
            return None
        isa = _core.cpu_info()["isa"]
        kind = {"neon": "neon", "avx2": "avx2", "avx512": "avx512", "avx512bf16": "avx512"}.get(isa, "sse2")
        if dtype == "bfloat16" and isa == "avx512bf16":
            kind = "avx512bf16"
        runs = []
        for _ in range(2):
            out = _FmaCeiling()
            if self.library.dnncore_fma_ceiling(kind.encode(), threads, self.seconds / 2, ctypes.byref(out)) != 0:
                return None
            runs.append(out)
        best = max(runs, key=lambda run: run.gflops)
        if best.is_void:
            measured = f"{best.flop_per_cycle:.1f} of {best.nominal:.0f} flop per cycle"
            self.void.append(f"{kind}, {threads} thread(s): {measured}")
        return best.gflops / (2 if dtype == "float64" else 1)

    def copy(self, threads, nbytes):
        """GB/s, read plus written, of the best copy of `nbytes`."""
        if self.library is None:
            return None
        rate = max(self.library.dnncore_copy_ceiling(threads, nbytes, self.seconds) for _ in range(2))
        return rate or None

    def verdict(self):
        for line in self.void:
            print(f"VOID: ceiling below 0.95 of nominal ({line}); run again on a quiet machine")


class Report:
    """An aligned table printed as it grows, and the same as JSON. A column is (title, width, format)."""

    def __init__(self, title, options, columns, torch=None):
        self.options, self.columns, self.rows, self.summary = options, columns, [], {}
        self.environment = environment(torch)
        print(f"{title}: dnncore {dnn.__version__} ({self.environment['isa']}) on {self.environment['cpu']}")
        print("peers: " + ", ".join(f"{name} {text}" for name, text in self.environment["peers"].items()))
        print("  ".join(f"{name:>{width}}" if i else f"{name:<{width}}" for i, (name, width, _) in enumerate(columns)))

    def row(self, values, **details):
        cells = []
        for i, (name, width, form) in enumerate(self.columns):
            value = values.get(name)
            text = "-" if value is None else format(value, form)
            cells.append(f"{text:>{width}}" if i else f"{text:<{width}}")
        print("  ".join(cells), flush=True)
        timings = {name: timing.as_json() for name, timing in details.pop("timings", {}).items()}
        self.rows.append({**values, **details, "timings": timings})

    def geometric_mean(self, column, label, **where):
        chosen = [row for row in self.rows if all(row.get(key) == value for key, value in where.items())]
        values = [row[column] for row in chosen if row.get(column)]
        if values:
            self.summary[label] = math.exp(sum(map(math.log, values)) / len(values))
            print(f"{label}: geometric mean {self.summary[label]:.3f} (least {min(values):.3f}) of {len(values)} rows")

    def finish(self, ceilings=None):
        void = ceilings.void if ceilings else []
        if ceilings:
            ceilings.verdict()
        if self.options.json:
            content = {"environment": self.environment, "rows": self.rows, "summary": self.summary, "void": void}
            self.options.json.write_text(json.dumps(content, indent=1))


def environment(torch=None):
    blas = [
        f"{lib.get('internal_api')} {lib.get('version')} {lib.get('architecture')}"
        for lib in threadpool_info()
        if lib["user_api"] == "blas"
    ]
    peers = {"numpy": f"{np.__version__} ({'; '.join(blas) or 'no known BLAS'})"}
    if torch is not None:
        peers["torch"] = f"{torch.__version__} ({torch.backends.cpu.get_cpu_capability()})"
    info = _core.cpu_info()
    return {
        "cpu": info["model"],
        "isa": info["isa"],
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "peers": peers,
    }


def ratio(peer, ours):
    """How many times faster than `peer` we are; None without the peer."""
    return None if peer is None else peer.median / ours.median


def micros(timing):
    return None if timing is None else timing.median * 1e6


# --- Scripts of rows that dnncore, NumPy and PyTorch run --------------------------------------------------------------

SPREAD = ("spread", 6, ".2f")
COPY = (("GB/s", 7, ".1f"), SPREAD, ("copy GB/s", 9, ".1f"), ("fraction", 8, ".3f"))  # what copy_values and peer_values fill


def peer_columns(width, *own):
    """The columns of such a script; its own ones follow our time."""
    return [
        ("row", width, ""),
        ("threads", 7, "d"),
        ("ours us", 10, ".1f"),
        *own,
        ("NumPy us", 10, ".1f"),
        ("torch us", 10, ".1f"),
        ("x NumPy", 7, ".2f"),
        ("x torch", 7, ".2f"),
    ]


def peer_values(label, count, timings):
    """What every such row has. We come first in `timings`; of several layouts of PyTorch the fastest counts."""
    ours, numpy = next(iter(timings.values())), timings.get("NumPy")
    layouts = [timing for name, timing in timings.items() if name.startswith("torch")]
    torch = min(layouts, key=lambda timing: timing.median, default=None)
    return {
        "row": label,
        "threads": count,
        "ours us": micros(ours),
        "spread": ours.spread,
        "NumPy us": micros(numpy),
        "torch us": micros(torch),
        "x NumPy": ratio(numpy, ours),
        "x torch": ratio(torch, ours),
    }


def copy_values(moved, timings, ceiling):
    """Our rate for so many bytes, read or written, and its share of the best copy's."""
    rate = moved / next(iter(timings.values())).median * 1e-9
    return {"GB/s": rate, "copy GB/s": ceiling, "fraction": ceiling and rate / ceiling}


class Run(NamedTuple):
    """What a row is measured under."""

    options: argparse.Namespace
    torch: ModuleType | None
    ceilings: Ceilings
    report: Report
    threads: int

    @property
    def checks(self):
        """Whether results are compared before they are timed: once is enough."""
        return self.threads == self.options.threads[0]


def compare_rows(title, description, columns, rows, measure):
    """A whole script: `measure(run, label, ...)` of every ``(label, ...)`` of `rows()`, for each number of threads."""
    options = arguments(description)
    torch = find_torch(options)
    ceilings = Ceilings(options.quick)
    report = Report(title, options, columns, torch)
    for count in options.threads:
        with Threads(count, torch):
            for row in rows():
                if options.filter in row[0]:
                    measure(Run(options, torch, ceilings, report, count), *row)
    for count in options.threads:
        for column in ("x NumPy", "x torch"):
            report.geometric_mean(column, f"{column}, {count} thread(s)", threads=count)
    report.finish()


# --- Training steps ---------------------------------------------------------------------------------------------------


def training_step(lib, model, optimizer, loss_of, compiled=False, captured=False, clip=None):
    """``step(x, target)``, which returns the loss before it, with the vocabulary that dnncore and PyTorch share."""

    def forward(x, target):
        return loss_of(model(x), target)

    if compiled:
        forward = lib.compile(forward)

    def step(x, target):
        optimizer.zero_grad()
        loss = forward(x, target)
        loss.backward()
        if clip is not None:
            lib.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        return loss

    return lib.capture(step) if captured else step


def bound(step, arguments):
    return lambda: step(*arguments)


def values_of(model):
    """What every contender starts from, by name."""
    return {name: value.numpy().copy() for name, value in model.state_dict().items()}


def compare_steps(name, contenders, captured, exact, tolerance, quick, known=None):
    """Check the losses of the first three steps, then time the steps, and as `kernels` the launches of the captured one.

    `captured` is that step and its arguments, `exact` the step in float64. Returns {name: Timing} and the plan.
    """
    for _ in range(3):
        check(name, contenders, np.asarray(to_numpy(exact())), tolerance, known)
    step, arguments = captured
    (plan,) = step.plans
    return compare({**contenders, "kernels": lambda: plan.run_kernels(arguments)}, quick), plan


def best_of(timings, names):
    """The fastest of those that ran; None if none did."""
    return min((timings[name] for name in names if name in timings), key=lambda timing: timing.median, default=None)


def step_columns(label, *peers):
    """The columns of `step_values`, with those of peers that a script adds."""
    return [
        label,
        ("threads", 7, "d"),
        ("ours ms", 8, ".2f"),
        ("captured", 8, ".2f"),
        ("spread", 6, ".2f"),
        ("kernels", 8, ".2f"),
        ("floor ms", 8, ".2f"),
        ("fraction", 8, ".3f"),
        *((peer, 8, ".2f") for peer in peers),
        ("compiled", 8, ".2f"),
        ("x torch", 7, ".2f"),
        ("captured x", 10, ".2f"),
    ]


def step_values(label, count, timings, plan, ceiling, peers):
    """What every row of large steps has, in ms; the first column is `label`'s."""
    millis = {name: timing.median * 1e3 for name, timing in timings.items()}
    floor = ceiling and 1e-6 * plan.flops / ceiling
    best = best_of(timings, peers)
    return {
        **label,
        "threads": count,
        "ours ms": millis["ours"],
        "captured": millis["captured"],
        "spread": timings["captured"].spread,
        "kernels": millis["kernels"],
        "floor ms": floor,
        "fraction": floor and floor / millis["captured"],
        "compiled": millis.get("compiled"),
        "x torch": ratio(best, timings["ours"]),
        "captured x": ratio(best, timings["captured"]),
    }


def compare_jobs(title, options, columns, jobs, measure):
    """A script of training steps: `measure(run, job)` of every job whose label is asked for, for each number of threads."""
    torch = find_torch(options)
    ceilings = Ceilings(options.quick)
    report = Report(title, options, columns, torch)
    for count in options.threads:
        with Threads(count, torch):
            for job in jobs:
                if options.filter in job.label:
                    measure(Run(options, torch, ceilings, report, count), job)
    report.finish(ceilings)
