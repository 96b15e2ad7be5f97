"""Pooling with its gradient, float32: dnncore, NumPy and PyTorch in the better of its two layouts.

The rows are those of `dnncore bench pool`. Bytes count once per element read and once per element written: x and y in the forward
pass, dy and dx in the backward pass.
"""

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
from dnncore.cli import _bench_rows
from dnncore.cli.bench import check

COLUMNS = common.peer_columns(36, *common.COPY)


def rows():
    return ((row.name, row) for row in _bench_rows.pool())


def measure(run, label, row):
    libraries = {"dnncore": dnn, "NumPy": np, **({} if run.torch is None else {"torch": run.torch})}
    found = {who: row.make(library) for who, library in libraries.items()}
    check(row, found)
    timings = common.compare(found, run.options.quick)
    values = common.copy_values(row.work, timings, run.ceilings.copy(run.threads, int(row.work / 4)))
    run.report.row({**common.peer_values(label, run.threads, timings), **values}, timings=timings)


def main():
    common.compare_rows("pooling", __doc__, COLUMNS, rows, measure)


if __name__ == "__main__":
    main()
