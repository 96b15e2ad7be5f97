"""Whole numbers whose sums stay below 2^24 have one right float32 answer: threshold 0 over the committed table."""

import dnncore as dnn
import numpy as np
import pytest
from cases import ISAS, REDUCE_SHAPES, gemm_operands, gemm_table, numbers, tensor, use_isa, use_threads
from dnncore import _core
from reference import assert_exact, rounded

TABLE = gemm_table()
LAYOUTS = ("nn", "nt", "tn", "tt")


def whole(largest):
    def values(shape, seed):
        return np.random.default_rng([seed, *shape]).integers(-largest, largest + 1, shape).astype(np.float64)

    return values


def as_tensor(x, dtype):
    if x.ndim >= 2 and x.size and not x.flags.c_contiguous:
        return tensor(np.ascontiguousarray(x.swapaxes(-1, -2)), dtype).transpose(-1, -2)
    return tensor(x, dtype)


def test_table_is_large_enough():
    assert len(TABLE) >= 300
    assert len(set(TABLE)) >= 300


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("threads", [1, 3])
def test_products(isa, layout, threads):
    """Entries up to 9 in size: 81 k stays below 2^24 for k up to 200,000."""
    checked = 0
    with use_isa(isa), use_threads(threads):
        for case in TABLE:
            if case.layout == layout:
                a, b = gemm_operands(case, whole(9))
                y = numbers(as_tensor(a, "float32") @ as_tensor(b, "float32"))
                assert_exact(y, (a @ b).astype(np.float32) + np.float32(0), f"matmul {case}")
                checked += 1
    assert checked >= 75


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_products_of_other_dtypes(isa, dtype):
    """The halves hold the entries exactly and accumulate in float32: one rounding, at the end."""
    with use_isa(isa):
        for case in TABLE[::3]:
            a, b = gemm_operands(case, whole(5))
            y = numbers(as_tensor(a, dtype) @ as_tensor(b, dtype))
            assert_exact(y, rounded(a @ b, dtype) + np.float32(0).astype(y.dtype), f"matmul {case} {dtype}")


@pytest.mark.parametrize("isa", ISAS)
def test_layer_with_its_gradients(isa):
    """Forward with bias and ReLU, and the gradients, which go through every transposition and the accumulating path."""
    with use_isa(isa):
        for case in TABLE[27::4]:
            if case.batch > 1 or 0 in (case.m, case.n, case.k) or case.k > 3000:
                continue
            values = whole(3)
            x, w, b, g = (
                values((case.m, case.k), 1),
                values((case.n, case.k), 2),
                values((case.n,), 3),
                values((case.m, case.n), 4),
            )
            tx, tw, tb = (tensor(v, "float32").requires_grad_() for v in (x, w, b))
            for _ in range(2):  # the second backward adds
                y = _core.linear(tx, tw, tb, "relu")
                y.backward(tensor(g, "float32"))
            before = x @ w.T + b
            dy = 2 * g * (before > 0)
            for actual, expected, what in (
                (y, np.maximum(before, 0), "y"),
                (tx.grad, dy @ w, "dx"),
                (tw.grad, dy.T @ x, "dw"),
                (tb.grad, dy.sum(0), "db"),
            ):
                np.testing.assert_array_equal(numbers(actual), expected.astype(np.float32), err_msg=f"{what} of {case}")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", ["sum", "max", "min", "argmax", "argmin"])
def test_reductions(isa, name):
    with use_isa(isa):
        for shape, dim in REDUCE_SHAPES:
            x = whole(100)(shape, 5)
            if x.size == 0 and name != "sum":
                continue
            result = getattr(tensor(x, "float32"), name)(*(() if dim is None else (dim,)))
            result = result[0] if isinstance(result, tuple) else result
            np.testing.assert_array_equal(numbers(result), getattr(np, name)(x, axis=dim), err_msg=f"{name} {shape} {dim}")


@pytest.mark.parametrize("isa", ISAS)
def test_elementwise(isa):
    x, z = whole(1000)((777,), 1), whole(1000)((13, 777), 2)
    with use_isa(isa):
        a, b = tensor(x, "float32"), tensor(z, "float32")
        for name in ("add", "sub", "mul", "maximum", "minimum"):
            numpy_name = {"sub": "subtract", "add": "add", "mul": "multiply"}.get(name, name)
            np.testing.assert_array_equal(numbers(getattr(dnn, name)(a, b)), getattr(np, numpy_name)(x, z))
