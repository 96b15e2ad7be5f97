"""Embedding and bags of embeddings with their gradients, float32: dnncore, NumPy and PyTorch.

Bytes count once per element read and once per element written: the rows and y in the forward pass, dy and the whole gradient of
the table in the backward pass.
"""

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
import reference_numpy

COLUMNS = common.peer_columns(34, *common.COPY)

# rows, columns, batch, ids of each; ids as frequent as words: the n-th one 1 / n
TABLES = [
    (100, 64, 32, 100),
    (100, 128, 128, 100),
    (10_000, 128, 32, 50),
    (10_000, 300, 64, 50),
    (30_000, 64, 256, 200),
    (50_000, 256, 64, 50),
]
BAGS = [(10_000, 64, 256, 50), (50_000, 128, 512, 20)]
TOLERANCE = 2e-5


def ids_of(rows, batch, count):
    frequency = 1 / np.arange(1.0, rows + 1)
    return np.random.default_rng(rows).choice(rows, (batch, count), p=frequency / frequency.sum())


def with_library(library, function, weight, ids, dy):
    leaf, ids, dy = library.from_numpy(weight).requires_grad_(), library.from_numpy(ids), library.from_numpy(dy)

    def forward():
        with library.no_grad():
            return function(library.nn.functional, ids, leaf)

    def both():
        leaf.grad = None
        function(library.nn.functional, ids, leaf).backward(dy)
        return leaf.grad

    return forward, both


def with_numpy(weight, ids, dy, is_bag):
    flat, per_bag = ids.reshape(-1), ids.shape[1] if is_bag else 1
    form = reference_numpy.embedding_bag if is_bag else reference_numpy.gather

    def forward():
        return form(weight, ids)

    def both():
        form(weight, ids)
        return reference_numpy.embedding_backward(dy.reshape(-1, dy.shape[-1]), flat, per_bag, len(weight))

    return forward, both


def rows():
    for is_bag, cases in ((False, TABLES), (True, BAGS)):
        for vocabulary, columns, batch, count in cases:
            rng = np.random.default_rng(1)
            weight = rng.standard_normal((vocabulary, columns), dtype=np.float32)
            ids = ids_of(vocabulary, batch, count)
            y = (batch, columns) if is_bag else (batch, count, columns)
            dy = rng.standard_normal(y, dtype=np.float32)
            function = (lambda f, i, w: f.embedding_bag(i, w, mode="sum")) if is_bag else (lambda f, i, w: f.embedding(i, w))
            calls = {
                "dnncore": with_library(dnn, function, weight, ids, dy),
                "NumPy": with_numpy(weight, ids, dy, is_bag),
                "torch": lambda torch, f=function, w=weight, i=ids, g=dy: with_library(torch, f, w, i, g),
            }
            name = f"{'bag ' if is_bag else ''}{vocabulary} x {columns}, {batch} x {count}"
            moved = 4 * (ids.size * columns + dy.size)
            yield f"{name} forward", (0, moved, calls)
            yield f"{name} with gradient", (1, moved + 4 * (dy.size + weight.size), calls)


def measure(run, label, row):
    which, moved, calls = row
    found = {"dnncore": calls["dnncore"][which]}
    if run.torch is not None:
        found["torch"] = calls["torch"](run.torch)[which]
    found["NumPy"] = calls["NumPy"][which]
    common.check(label, found, common.to_numpy(found["NumPy"]()), TOLERANCE)
    timings = common.compare(found, run.options.quick)
    values = common.copy_values(moved, timings, run.ceilings.copy(run.threads, moved // 4))
    run.report.row({**common.peer_values(label, run.threads, timings), **values}, timings=timings)


def main():
    common.compare_rows("embeddings", __doc__, COLUMNS, rows, measure)


if __name__ == "__main__":
    main()
