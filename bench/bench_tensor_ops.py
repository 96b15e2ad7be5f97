"""Order, running sums, scatter and Einstein sums: dnncore against NumPy and PyTorch, same dtype and threads.

sort and topk return values and indices; NumPy's column sorts indices and takes the values, as a user would who needs both.
"""

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
import reference_numpy

COLUMNS = common.peer_columns(30, ("best us", 10, ".1f"), common.SPREAD)
EINSUM = {
    "attention bhid,bhjd->bhij": ("bhid,bhjd->bhij", [(8, 8, 128, 64), (8, 8, 128, 64)]),
    "chain ab,bc,cd->ad": ("ab,bc,cd->ad", [(400, 30), (30, 500), (500, 300)]),
    "bilinear bn,anm,bm->ba": ("bn,anm,bm->ba", [(128, 64), (32, 64, 64), (128, 64)]),
    "trace ij,ji->": ("ij,ji->", [(500, 500), (500, 500)]),
}


def normal(*shape):
    return np.random.default_rng(shape).standard_normal(shape, dtype=np.float32)


def order_rows():
    for shape in ((1 << 20,), (1024, 1024), (1 << 14, 64)):
        x, label = normal(*shape), "x".join(map(str, shape))
        yield f"sort {label}", reference_numpy.sort, "sort", (x,), 0
        yield f"topk 10 of {label}", reference_numpy.topk, "topk", (x, 10), 0
    yield "sort int64 1048576", reference_numpy.sort, "sort", ((normal(1 << 20) * 1e6).astype(np.int64),), 0


def running_rows():
    for shape, dim in (((1 << 20,), 0), ((1024, 1024), 0), ((1024, 1024), 1)):
        label = f"{'x'.join(map(str, shape))} dim {dim}"
        yield f"cumsum {label}", np.cumsum, "cumsum", (normal(*shape), dim), 1e-4


def scatter_rows():
    for rows, picks, width in ((1000, 100_000, 1), (1000, 4000, 256), (50_000, 20_000, 64)):
        index = np.random.default_rng(rows).integers(0, rows, picks)
        wide = np.broadcast_to(index[:, None], (picks, width)).copy()
        values = normal(picks, width)
        label = f"scatter_add {picks}x{width} to {rows}"
        yield label, reference_numpy.scatter_dim, "scatter_add", (np.zeros((rows, width), np.float32), 0, wide, values), 1e-5


def rows():
    yield from order_rows()
    yield from running_rows()
    yield from scatter_rows()
    for label, (equation, shapes) in EINSUM.items():
        form = lambda equation, *operands: np.einsum(equation, *operands, optimize=True)  # noqa: E731
        yield f"einsum {label}", form, "einsum", (equation, *(normal(*shape) for shape in shapes)), 1e-4


def first(result):
    return result[0] if isinstance(result, tuple) else result


def contenders(form, name, args, torch):
    convert = lambda to: [to(x) if isinstance(x, np.ndarray) else x for x in args]  # noqa: E731
    ours = convert(dnn.from_numpy)
    found = {"ours": lambda: first(getattr(dnn, name)(*ours)), "NumPy": lambda: first(form(*args))}
    if torch is not None:
        theirs = convert(torch.from_numpy)
        found["torch"] = lambda: first(getattr(torch, name)(*theirs))
    return found


def measure(run, label, form, name, args, tolerance):
    found = contenders(form, name, args, run.torch)
    if run.checks:
        wide = [x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype == np.float32 else x for x in args]
        common.check(label, found, np.asarray(first(form(*wide)), np.float64), tolerance)
    timings = common.compare(found, run.options.quick)
    values = {**common.peer_values(label, run.threads, timings), "best us": timings["ours"].min * 1e6}
    run.report.row(values, timings=timings)


def main():
    common.compare_rows("tensor operations", __doc__, COLUMNS, rows, measure)


if __name__ == "__main__":
    main()
