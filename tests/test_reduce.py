"""Reductions on every table against NumPy float64, over every dimension and layout."""

import dnncore as dnn
import numpy as np
import pytest
from cases import ISAS, LAYOUTS, REDUCE_SHAPES, REDUCTIONS, draw, numbers, tensor, use_isa
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reference import assert_exact, assert_within, rounded, sum_bound, unit

PAIRS = [(name, dtype) for name, op in REDUCTIONS.items() for dtype in op.dtypes]


def reduce(name, x, dim=None, keepdim=False):
    """The values alone, whatever form the op has."""
    if dim is None:
        return getattr(x, name)()
    result = getattr(x, name)(dim, keepdim=keepdim)
    return result[0] if isinstance(result, tuple) else result


def values_of(name, shape, dtype, seed=0):
    if name == "prod":
        return draw(shape, dtype, seed, 1, 2) if dtype == "uint8" else draw(shape, dtype, seed, 0.99, 1.01)
    if name in ("any", "all"):
        return (draw(shape, "float64", seed, 0, 1) < (0.02 if name == "any" else 0.98)).astype(
            "float64" if "float" in dtype else dtype
        )
    return draw(shape, dtype, seed, 0 if dtype == "uint8" else -50, 50)


def check(name, dtype, values, dim, layout="contiguous"):
    op = REDUCTIONS[name]
    x = tensor(values, dtype, layout)
    held = numbers(x)
    if held.size == 0 and not op.empty:
        return
    y = numbers(reduce(name, x, dim))
    label = f"{name} {dtype} {values.shape} over {dim}, {layout}"
    if op.exact or "float" not in dtype:
        expected = np.asarray(op.oracle(held, axis=dim))
        expected = expected.astype(np.int64) if name in ("sum", "prod", "argmax", "argmin") else expected
        assert_exact(y, expected, label)
        return
    exact = np.asarray(op.oracle(held.astype(np.float64), axis=dim))
    count = held.size if dim is None else held.shape[dim]
    if name == "prod":
        accumulator = "float64" if dtype == "float64" else "float32"
        bound = np.abs(exact) * (unit(accumulator) * (count + 1) + (unit(dtype) if dtype != accumulator else 0) * 1.01)
    else:
        bound = sum_bound(held, dim, dtype)
        bound = bound / count + unit(dtype) * np.abs(exact) if name == "mean" else bound
    assert_within(y, exact, bound, label)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("name", "dtype"), PAIRS)
def test_reduction(isa, name, dtype):
    with use_isa(isa):
        for shape, dim in REDUCE_SHAPES:
            check(name, dtype, values_of(name, shape, dtype), dim)
        for layout in LAYOUTS[1:]:
            for dim in (0, 1, -1, None):
                check(name, dtype, values_of(name, (17, 33, 5), dtype), dim, layout)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", ["sum", "mean"])
def test_several_dimensions(isa, name):
    values = draw((5, 7, 3, 9), "float32").astype(np.float32)
    with use_isa(isa):
        for dims in ((0, 1), (1, 3), (0, -1), (0, 1, 2, 3), (2,)):
            for keepdim in (False, True):
                y = getattr(tensor(values), name)(dims, keepdim=keepdim).numpy()
                exact = getattr(np, name)(values.astype(np.float64), axis=dims, keepdims=keepdim)
                assert_within(y, exact, 1e-5 * np.ones_like(exact), f"{name} over {dims}")


@pytest.mark.parametrize("isa", ISAS)
def test_long_sums_keep_their_digits(isa):
    """A naive float32 sum of ten million 0.1 is off by 8 %; partial sums keep it within 1e-6."""
    x = dnn.full((10_000_000,), 0.1)
    with use_isa(isa):
        exact = 10_000_000 * float(np.float32(0.1))
        if isa != "reference":
            assert abs(x.sum().item() / exact - 1) < 1e-6
            assert abs(x.mean().item() / float(np.float32(0.1)) - 1) < 1e-6


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", ["argmax", "argmin", "max", "min"])
def test_first_of_equals(isa, name):
    values = np.zeros((4, 1000), np.float32)
    values[:, [137, 138, 600, 999]] = 1 if "max" in name else -1
    with use_isa(isa):
        result = getattr(tensor(values), name)(1)
        positions = result if name.startswith("arg") else result[1]
        assert positions.tolist() == [137] * 4


def test_empty_sets():
    assert dnn.zeros(0).sum().item() == 0
    assert dnn.zeros(0).prod().item() == 1
    assert np.isnan(dnn.zeros(0).mean().item())
    assert dnn.zeros(0, 3).sum(0).tolist() == [0, 0, 0]
    for name in ("max", "min", "argmax", "argmin"):
        with pytest.raises((ValueError, IndexError), match=name):
            getattr(dnn.zeros(0), name)()
    for name in ("max", "argmin"):
        with pytest.raises((ValueError, IndexError), match=name):
            getattr(dnn.zeros(3, 0), name)(1)


def test_wrong_dimension():
    for dim in (2, -3):
        with pytest.raises(IndexError, match="sum"):
            dnn.zeros(2, 3).sum(dim)


@settings(max_examples=200, deadline=None)
@given(
    x=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=12),
        elements=st.integers(-1000, 1000).map(float),
    ),
    name=st.sampled_from(["sum", "max", "min", "argmax"]),
    keepdim=st.booleans(),
    data=st.data(),
)
def test_any_shape(x, name, keepdim, data):
    """Whole numbers: the sums are exact."""
    dim = data.draw(st.integers(-x.ndim, x.ndim - 1))
    order = data.draw(st.permutations(range(x.ndim)))
    view = x.transpose(order)
    y = numbers(reduce(name, dnn.from_numpy(view), dim, keepdim))
    np.testing.assert_array_equal(y, REDUCTIONS[name].oracle(view, axis=dim, keepdims=keepdim))
    assert rounded(y, "float64").shape == y.shape
