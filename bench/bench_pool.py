"""Pooling with its gradient, float32: dnncore, NumPy and PyTorch in the better of its two layouts.

The rows are those of `dnncore bench pool`. Bytes count once per element read and once per element written: x and y in the forward
pass, dy and dx in the backward pass.
"""

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
from dnncore.cli import _bench_rows
from dnncore.cli.bench import check

COLUMNS = [
    ("row", 36, ""),
    ("threads", 7, "d"),
    ("ours us", 10, ".1f"),
    ("GB/s", 7, ".1f"),
    ("spread", 6, ".2f"),
    ("copy GB/s", 9, ".1f"),
    ("fraction", 8, ".3f"),
    ("NumPy us", 10, ".1f"),
    ("torch us", 10, ".1f"),
    ("x NumPy", 7, ".2f"),
    ("x torch", 7, ".2f"),
]


def measure(report, ceilings, row, count, options, torch):
    libraries = {"dnncore": dnn, "NumPy": np, **({} if torch is None else {"torch": torch})}
    found = {who: row.make(library) for who, library in libraries.items()}
    check(row, found)
    timings = common.compare(found, options.quick)
    ours, ceiling = timings["dnncore"], ceilings.copy(count, int(row.work / 4))
    rate = row.work / ours.median * 1e-9
    values = {
        "row": row.name,
        "threads": count,
        "ours us": ours.median * 1e6,
        "GB/s": rate,
        "spread": ours.spread,
        "copy GB/s": ceiling,
        "fraction": ceiling and rate / ceiling,
        "NumPy us": timings["NumPy"].median * 1e6,
        "torch us": timings["torch"].median * 1e6 if "torch" in timings else None,
        "x NumPy": common.ratio(timings["NumPy"], ours),
        "x torch": common.ratio(timings.get("torch"), ours),
    }
    report.row(values, timings=timings)


def main():
    options = common.arguments(__doc__)
    torch = common.find_torch(options)
    ceilings = common.Ceilings(options.quick)
    report = common.Report("pooling", options, COLUMNS, torch)
    rows = [row for row in _bench_rows.pool() if options.filter in row.name]
    for count in options.threads:
        with common.Threads(count, torch):
            for row in rows:
                measure(report, ceilings, row, count, options, torch)
    for count in options.threads:
        for column in ("x NumPy", "x torch"):
            report.geometric_mean(column, f"{column}, {count} thread(s)", threads=count)
    report.finish()


if __name__ == "__main__":
    main()
