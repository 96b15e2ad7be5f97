"""What ``dnncore bench`` does: every row is checked, then timed for dnncore, NumPy and PyTorch in turns."""

from __future__ import annotations

import importlib
import json
import math
import platform
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

import dnncore as dnn
from dnncore import _core
from dnncore._files import write_atomically
from dnncore.cli import _bench_rows
from dnncore.cli._bench_rows import Row
from dnncore.cli._bench_timing import Budget, Call, compare

FULL = Budget(7, 0.2, 0.1)
QUICK = Budget(3, 0.05, 0.1)
_QUICK_WORK = {"GF/s": 1e9, "GB/s": 3e7, "": math.inf}  # of a call, at most
_UNREST = 0.2  # spread of a row
_CHECKED_CALLS = 3  # a captured step is replayed from the third on; optimizers move their parameters at each


def bench(
    families: Mapping[str, str], threads: tuple[int, ...], *, quick: bool, text: str, file: str | None, with_torch: bool
) -> None:
    """Print a table for each of `families` (name and title), and write the figures to `file`, also when cut short."""
    if file is not None:
        _refuse_unwritable(Path(file))
    budget = QUICK if quick else FULL
    rows = {family: [*_chosen(family, text, quick)] for family in families}
    if not any(rows.values()):
        raise click.UsageError(f"--filter: no row of {', '.join(families)} contains {text!r}")
    peers = _Peers(_optional("torch") if with_torch else None, _optional("threadpoolctl"))
    counts = dict.fromkeys(threads or (1, _core.cpu_info()["allowed_cores"]))
    result: dict[str, Any] = {"environment": peers.environment(), "budget": budget._asdict(), "complete": False, "rows": []}
    _print_environment(result["environment"])
    copies: dict[tuple[int, int], float] = {}
    try:
        for family, chosen in rows.items():
            if not chosen:
                continue
            table = Table(f"{family}: {families[family]}", chosen[0].unit)
            for count in counts:
                with peers.limited_to(count):
                    for row in chosen:
                        measured = measure(row, count, peers.torch, budget, copies)
                        table.add(measured)
                        result["rows"].append({"family": family, **measured})
        result["complete"] = True
        _warn_of_unrest(result["rows"])
    finally:
        if file is not None:
            write_atomically(file, [json.dumps(result, indent=1).encode() + b"\n"])


def _chosen(family: str, text: str, quick: bool) -> Iterator[Row]:
    for row in getattr(_bench_rows, family)():
        if text in row.name and not (quick and row.work > _QUICK_WORK[row.unit]):
            yield row


def _warn_of_unrest(rows: list[dict[str, Any]]) -> None:
    restless = [row for row in rows if row["contenders"]["dnncore"]["spread"] > _UNREST]
    if restless:
        click.echo(f"\n{len(restless)} of {len(rows)} rows spread over more than {_UNREST}: something else was using the machine")


def _refuse_unwritable(path: Path) -> None:
    """Find out before the timing, not after; a file that is there stays."""
    probe = path.with_name(f".{path.name}.writable")
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        write_atomically(probe, [])
        probe.unlink()
    except OSError as error:
        raise OSError(f"cannot write the file {path}: {error.strerror or error}") from error


def _optional(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


class _Peers:
    """The libraries beside dnncore, and the means to limit their threads."""

    def __init__(self, torch: Any, threadpoolctl: Any) -> None:
        self.torch, self.threadpoolctl = torch, threadpoolctl

    @contextmanager
    def limited_to(self, count: int) -> Iterator[None]:
        """Give dnncore, NumPy's BLAS and PyTorch the same number of threads, and theirs back at the end."""
        with ExitStack() as stack:
            for library in filter(None, (dnn, self.torch)):
                stack.callback(library.set_num_threads, library.get_num_threads())
                library.set_num_threads(count)
            if self.threadpoolctl is not None:
                stack.enter_context(self.threadpoolctl.threadpool_limits(count, user_api="blas"))
            yield

    def environment(self) -> dict[str, Any]:
        cpu = _core.cpu_info()
        found = {"dnncore": f"{dnn.__version__} ({cpu['isa']})", "NumPy": np.__version__}
        if self.threadpoolctl is not None:
            pools = [pool for pool in self.threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
            names = [f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}".strip() for pool in pools]
            found["NumPy"] += f" ({'; '.join(names) or 'no known BLAS'})"
        if self.torch is not None:
            found["torch"] = f"{self.torch.__version__} ({self.torch.backends.cpu.get_cpu_capability()})"
        return {
            "cpu": cpu["model"],
            "cores": cpu["allowed_cores"],
            "python": platform.python_version(),
            "libraries": found,
            "NumPy limited": self.threadpoolctl is not None,
        }


def _print_environment(environment: Mapping[str, Any]) -> None:
    click.echo(f"{environment['cpu']}, {environment['cores']} cores; Python {environment['python']}")
    click.echo(", ".join(f"{name} {version}" for name, version in environment["libraries"].items()))
    if not environment["NumPy limited"]:
        click.echo("NumPy takes the threads its BLAS likes: pip install threadpoolctl, and it gets as many as the others")


def measure(row: Row, count: int, torch: Any, budget: Budget, copies: dict[tuple[int, int], float]) -> dict[str, Any]:
    """Check and time the contenders of a row; `copies` keeps the rates of copies by bytes and threads."""
    libraries = {"dnncore": dnn, "NumPy": np, **({} if torch is None else {"torch": torch})}
    calls = {who: call for who, library in libraries.items() if (call := row.make(library)) is not None}
    check(row, calls)
    timings = compare(calls, budget)
    ours = timings["dnncore"].median_s
    copy = None
    if row.unit == "GB/s":
        place = (int(row.work), count)
        if place not in copies:
            copies[place] = _copy_rate(place[0], budget)
        copy = copies[place]
    return {
        "row": row.name,
        "threads": count,
        "unit": row.unit,
        "rate": 1e-9 * row.work / ours,
        "copy_rate": copy,
        "contenders": {who: timing._asdict() for who, timing in timings.items()},
    }


def check(row: Row, calls: Mapping[str, Call]) -> None:
    """Refuse to time contenders that do not compute the same, in their first calls."""
    for _ in range(_CHECKED_CALLS):
        results = {who: _parts(call()) for who, call in calls.items()}
        expected = results.pop("dnncore")
        for who, parts in results.items():
            for ours, theirs in zip(expected, parts, strict=True):
                a, b = _wide(ours), _wide(theirs)
                error = float(np.max(np.abs(a - b)) / (np.max(np.abs(b)) or 1)) if a.shape == b.shape else math.inf
                if not error <= row.tolerance:
                    difference = f"by {error:.1e} of the largest value (allowed {row.tolerance:.0e})"
                    raise click.ClickException(f"bench: {row.name}: dnncore and {who} differ {difference}; not timed")


def _parts(result: Any) -> list[Any]:
    return result if isinstance(result, list) else [result]


def _wide(result: Any) -> Any:
    """Return a result of any of the libraries as float64 of NumPy."""
    if isinstance(result, dnn.Tensor) or type(result).__module__.startswith("torch"):
        result = result.detach().double().numpy()
    return np.asarray(result, np.float64)


def _copy_rate(moved: int, budget: Budget) -> float:
    """Return GB/s, read plus written, of the better of NumPy's copy and our threaded one when they move as many bytes."""
    count = max(1, moved // 8)
    source, target = dnn.ones(count), dnn.empty(count)
    calls: dict[str, Call] = {
        "NumPy": partial(np.copyto, target.numpy(), source.numpy()),
        "dnncore": partial(target.copy_, source),
    }
    return 1e-9 * 8 * count / min(timing.median_s for timing in compare(calls, budget).values())


class Table:
    """Prints its title and columns, then rows as they come; columns that no row of the unit has are left out."""

    def __init__(self, title: str, unit: str) -> None:
        self.widths = {"row": 35, "threads": 7, "dnncore us": 11, "spread": 6, unit: 8, "NumPy us": 11, "torch us": 11}
        self.widths |= {"x NumPy": 7, "x torch": 7, "x copy": 6}
        for absent in {"": ("", "x copy"), "GF/s": ("x copy",)}.get(unit, ()):
            del self.widths[absent]
        click.echo(f"\n{title}")
        self._print({name: name for name in self.widths})

    def _print(self, cells: Mapping[str, str]) -> None:
        texts = [f"{cells.get(name, '-'):>{width}}" for name, width in self.widths.items() if name != "row"]
        click.echo("  ".join([f"{cells['row']:<{self.widths['row']}}", *texts]))

    def add(self, measured: Mapping[str, Any]) -> None:
        """Print what `measure` found."""
        medians = {who: found["median_s"] for who, found in measured["contenders"].items()}
        ours = medians["dnncore"]
        cells = {"row": measured["row"], "threads": str(measured["threads"])}
        cells["spread"] = f"{measured['contenders']['dnncore']['spread']:.2f}"
        cells[measured["unit"]] = f"{measured['rate']:.1f}"
        for who, seconds in medians.items():
            cells[f"{who} us"] = f"{1e6 * seconds:.{3 if seconds < 1e-5 else 1}f}"
            cells[f"x {who}"] = f"{seconds / ours:.2f}"
        if measured["copy_rate"] is not None:
            cells["x copy"] = f"{measured['rate'] / measured['copy_rate']:.2f}"
        self._print(cells)
