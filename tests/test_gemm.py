"""Matrix products on every table against NumPy float64, within the accuracy contract."""

import dnncore as dnn
import numpy as np
import pytest
from cases import FLOATS, ISAS, Gemm, draw, gemm_operands, gemm_table, numbers, tensor, use_isa
from dnncore import _core
from dnncore.nn import functional
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import assert_exact, assert_within, product_bound, rounded

TABLE = gemm_table()


def operands(case, dtype):
    """Uniform numbers as `dtype` holds them."""
    return gemm_operands(case, lambda shape, seed: rounded(draw(shape, "float64", seed), dtype))


def as_tensor(x, dtype):
    """Keeps the storage order of a transposed operand."""
    if x.ndim >= 2 and x.size and not x.flags.c_contiguous:
        return tensor(np.ascontiguousarray(x.swapaxes(-1, -2)), dtype).transpose(-1, -2)
    return tensor(x, dtype)


def check(case, dtype):
    a, b = operands(case, dtype)
    y = numbers(as_tensor(a, dtype) @ as_tensor(b, dtype))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    assert_within(y, exact, product_bound(a, b, dtype), f"matmul {case} {dtype}")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt"])
def test_contract(isa, dtype, layout):
    with use_isa(isa):
        for case in TABLE:
            if case.layout == layout and case.m * case.n * case.k * case.batch < (1 << 24 if isa != "reference" else 1 << 20):
                check(case, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_layout_of_one_shape(dtype):
    for layout in ("nn", "nt", "tn", "tt"):
        for m, n, k in ((1, 65, 33), (65, 1, 33), (3, 49, 193), (130, 100, 257)):
            check(Gemm(m, n, k, 1, layout), dtype)


# One less than a device's tiles, theirs, one more; batches large enough for the largest tiles; sums in several parts.
TILE_BORDERS = (
    (129, 130, 17, 40),
    (128, 256, 32, 67),
    (127, 255, 9, 67),
    (65, 63, 33, 35),
    (64, 17, 31, 3),
    (17, 64, 1, 2),
    (16, 65, 64, 2),
    (65, 16, 63, 2),
    (8, 33, 513, 1),
    (33, 8, 1025, 1),
    (9, 9, 4097, 1),
    (20, 24, 6001, 2),
    (31, 33, 0, 2),
)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt"])
def test_tile_borders(isa, dtype, layout):
    """Whole numbers whose sums a float32 holds: one rounding in the halves, none elsewhere."""
    with use_isa(isa):
        for m, n, k, batch in TILE_BORDERS:
            case = Gemm(m, n, k, batch, layout)
            a, b = gemm_operands(case, lambda shape, seed: np.rint(3 * draw(shape, "float64", seed)))
            y = numbers(as_tensor(a, dtype) @ as_tensor(b, dtype))
            assert_exact(y, rounded(a @ b, dtype) + np.float32(0).astype(y.dtype), f"matmul {case} {dtype}")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_rows_do_not_depend_on_how_many_there_are(isa, dtype):
    """The order of a sum may follow n and k, not m: the same bits from every size of tile."""
    with use_isa(isa):
        for n, k in ((70, 700), (300, 130), (9, 2100)):
            a, b = (rounded(draw(shape, "float64", seed), dtype) for seed, shape in enumerate(((1200, k), (k, n))))
            whole = numbers(tensor(a, dtype) @ tensor(b, dtype))
            for rows in (1, 7, 40, 130):
                assert_exact(numbers(tensor(a[:rows], dtype) @ tensor(b, dtype)), whole[:rows], f"{rows} rows, {n}, {k}, {dtype}")


# (shape of a, shape of b), the rules of NumPy and PyTorch for vectors and batches.
RANKS = (
    ((5,), (5,)),
    ((5,), (5, 3)),
    ((4, 5), (5,)),
    ((2, 4, 5), (5,)),
    ((5,), (2, 5, 3)),
    ((2, 4, 5), (5, 3)),
    ((4, 5), (2, 5, 3)),
    ((2, 4, 5), (2, 5, 3)),
    ((2, 1, 4, 5), (3, 5, 6)),
    ((1, 4, 5), (7, 5, 2)),
    ((0, 4, 5), (0, 5, 3)),
    ((2, 0, 5), (5, 3)),
    ((3, 4, 0), (0, 2)),
    ((0,), (0,)),
)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("left", "right"), RANKS)
def test_ranks(isa, left, right):
    a, b = (draw(shape, "float64", seed).round() for seed, shape in enumerate((left, right)))
    with use_isa(isa):
        y = tensor(a, "float32") @ tensor(b, "float32")
    assert_exact(numbers(y), np.asarray(a @ b, np.float32) + np.float32(0))


@pytest.mark.parametrize(("left", "right"), [((2, 3), (4, 5)), ((3,), (4,)), ((2, 3, 4), (3, 4, 5)), ((), (3,)), ((3,), ())])
def test_wrong_shapes(left, right):
    with pytest.raises((ValueError, TypeError), match="matmul"):
        dnn.zeros(left) @ dnn.zeros(right)


def test_different_dtypes_are_refused():
    with pytest.raises(TypeError, match="matmul"):
        dnn.zeros(2, 3) @ dnn.zeros(3, 2, dtype=dnn.float64)


ACTIVATIONS = {
    None: lambda y: y,
    "relu": lambda y: np.maximum(y, 0),
    "tanh": np.tanh,
    "sigmoid": lambda y: 1 / (1 + np.exp(-y)),
}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_linear(isa, dtype, activation):
    """x W^T + b with the activation in the epilogue: slopes of at most 1 keep the product's bound, plus a few roundings."""
    with use_isa(isa):
        for m, n, k in (
            (1, 10, 64),
            (7, 1, 5),
            (33, 49, 65),
            (64, 100, 257),
            (0, 3, 4),
            (3, 4, 0),
            (15, 261, 300),
            (64, 517, 256),
        ):
            x, w, b = (rounded(draw(shape, "float64", i), dtype) for i, shape in enumerate(((m, k), (n, k), (n,))))
            for bias in (b, None):
                y = _core.linear(tensor(x, dtype), tensor(w, dtype), None if bias is None else tensor(bias, dtype), activation)
                before = x.astype(np.float64) @ w.T.astype(np.float64) + (0 if bias is None else bias)
                bound = product_bound(x, w.T, dtype) + 4 * np.finfo(dtype).eps * (1 + np.abs(before))
                assert_within(numbers(y), ACTIVATIONS[activation](before), bound, f"linear {m}x{n}x{k}")


def test_linear_takes_any_leading_dimensions():
    w, b = dnn.ones(3, 4), dnn.ones(3)
    for lead in ((), (2,), (2, 5), (0, 5), (2, 1, 3)):
        assert functional.linear(dnn.ones(*lead, 4), w, b).tolist() == np.full((*lead, 3), 5.0).tolist()


sizes = st.integers(0, 40)


@settings(max_examples=150, deadline=None)
@given(m=sizes, n=sizes, k=sizes, steps=st.tuples(*[st.integers(1, 3)] * 4), flip=st.tuples(st.booleans(), st.booleans()))
def test_any_strides(m, n, k, steps, flip):
    """Operands cut from larger arrays, with steps in both dimensions and either order; whole numbers, so exact."""
    random = np.random.default_rng([m, n, k, *steps])

    def cut(rows, columns, row_step, column_step, turned):
        room = random.integers(-4, 5, (rows * row_step + 2, columns * column_step + 3)).astype(np.float32)
        view = room[: rows * row_step : row_step, 1 : 1 + columns * column_step : column_step]
        return np.asfortranarray(view) if turned else view

    a, b = cut(m, k, *steps[:2], flip[0]), cut(k, n, *steps[2:], flip[1])
    y = (dnn.from_numpy(a) @ dnn.from_numpy(b)).numpy()
    np.testing.assert_array_equal(y, a @ b)
