"""Elementwise ops on every table against NumPy: exact where arithmetic is, within the promised ULP elsewhere."""

import dnncore as dnn
import numpy as np
import pytest
from cases import BINARY, BROADCAST_PAIRS, HALVES, ISAS, LAYOUTS, LENGTHS, SHAPES, UNARY, draw, numbers, tensor, use_isa
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reference import assert_exact, assert_ulp, rounded, widest

UNARY_PAIRS = [(name, dtype) for name, op in UNARY.items() for dtype in op.dtypes]
BINARY_PAIRS = [(name, dtype) for name, op in BINARY.items() if not op.through for dtype in op.dtypes]


def inputs_of(name, op, shape, dtype, seed=0):
    """Values of `dtype` as it holds them (halves as float32)."""
    values = draw(shape, dtype, seed, op.low, op.high)
    return rounded(values, dtype) if dtype in (*HALVES, "float32", "float64") else values


def limit_of(op, dtype):
    """ULP allowed: the promise in float32; 2 more in float64; halves: one rounding of a float32 result."""
    if dtype == "float32":
        return op.ulp, op.absolute
    if dtype == "float64":
        return op.ulp + (2 if op.ulp > 0.5 else 0), 1e-16 if op.absolute else 0
    return 0.51, op.absolute


def check_unary(name, dtype, x, layout="contiguous"):
    op = UNARY[name]
    y = getattr(dnn, name)(tensor(x, dtype, layout))
    values = numbers(tensor(x, dtype, layout))
    label = f"{name} {dtype} {x.shape} {layout}"
    if op.ulp == 0:
        expected = op.oracle(values)
        expected = expected if expected.dtype == bool else rounded(expected, dtype)
        return assert_exact(numbers(y), expected, label)
    if dtype in ("int64", "int32"):
        return assert_exact(numbers(y), op.oracle(values), label)
    exact = op.oracle(widest(values))
    ulp, absolute = limit_of(op, dtype)
    return assert_ulp(numbers(y), np.asarray(exact), dtype, ulp, absolute, values, label)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("name", "dtype"), UNARY_PAIRS)
def test_unary(isa, name, dtype):
    with use_isa(isa):
        for shape in (*SHAPES, *((n,) for n in LENGTHS)):
            check_unary(name, dtype, inputs_of(name, UNARY[name], shape, dtype))
        for layout in LAYOUTS[1:]:
            for shape in ((33, 17), (3, 65, 5), (129,)):
                check_unary(name, dtype, inputs_of(name, UNARY[name], shape, dtype), layout)


def expected_binary(name, x, z, dtype):
    """In the dtype's own arithmetic, rounded once."""
    with np.errstate(all="ignore"):
        result = np.asarray(BINARY[name].oracle(x, z))
    return result if result.dtype == bool else rounded(result, dtype)


def check_binary(name, dtype, x, z, layouts=("contiguous", "contiguous")):
    op = BINARY[name]
    x, z = (tensor(v, dtype, layout) for v, layout in zip((x, z), layouts, strict=True))
    y = numbers(getattr(dnn, name)(x, z))
    a, b = numbers(x), numbers(z)
    label = f"{name} {dtype} {a.shape} {b.shape} {layouts}"
    if dtype in ("int64", "int32", "uint8", "bool") or op.ulp == 0:
        return assert_exact(y, expected_binary(name, a, b, dtype), label)
    exact = np.asarray(op.oracle(widest(a), widest(b)))
    return assert_ulp(y, exact, dtype, 0.51 if dtype in HALVES else op.ulp, 0, None, label)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("name", "dtype"), BINARY_PAIRS)
def test_binary(isa, name, dtype):
    op = BINARY[name]
    with use_isa(isa):
        for shape in (*SHAPES, *((n,) for n in LENGTHS)):
            check_binary(name, dtype, inputs_of(name, op, shape, dtype), inputs_of(name, op, shape, dtype, 1))
        for left, right in BROADCAST_PAIRS:
            check_binary(name, dtype, inputs_of(name, op, left, dtype), inputs_of(name, op, right, dtype, 1))
            check_binary(name, dtype, inputs_of(name, op, right, dtype), inputs_of(name, op, left, dtype, 1))
        for i, layout in enumerate(LAYOUTS):
            other = LAYOUTS[(2 * i + 1) % len(LAYOUTS)]
            for shape in ((33, 17), (3, 65, 5), (129,)):
                x, z = inputs_of(name, op, shape, dtype), inputs_of(name, op, shape, dtype, 1)
                check_binary(name, dtype, x, z, (layout, other))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", [name for name, op in BINARY.items() if op.through])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradient_kernels(isa, name, dtype):
    """relu_backward and its like are reached through backward()."""
    op = BINARY[name]
    with use_isa(isa):
        for shape in ((1,), (17,), (1000,), (33, 65)):
            values = inputs_of(name, op, shape, dtype)
            x = tensor(values, dtype).requires_grad_()
            getattr(dnn, op.through)(x).backward(tensor(np.full(shape, 2.0), dtype))
            exact = 2 * op.oracle(values.astype(np.float64))
            bound = 16 * np.finfo(dtype).eps * (1 + np.abs(exact)) / 2
            assert (np.abs(numbers(x.grad) - exact) <= bound).all(), f"{name} {shape}"


@pytest.mark.parametrize("name", ["add", "mul", "sub", "div"])
def test_in_place(name):
    x, z = draw((33, 17), "float32", 0, 1, 2).astype(np.float32), draw((17,), "float32", 1, 1, 2).astype(np.float32)
    y = tensor(x.copy())
    getattr(y, name + "_")(tensor(z))
    assert_exact(y.numpy(), BINARY[name].oracle(x, z))
    view = tensor(np.zeros((5, 8), np.float32))
    view[:, ::2] += 1
    assert_exact(view.numpy(), np.tile(np.array([1, 0], np.float32), (5, 4)))


@pytest.mark.parametrize("name", ["exp", "relu", "neg"])
def test_unary_in_place(name):
    x = draw((7, 9), "float32").astype(np.float32)
    y, transposed = tensor(x.copy()), tensor(x.copy())
    expected = getattr(dnn, name)(tensor(x)).numpy()
    getattr(y, name + "_")()
    getattr(transposed.t(), name + "_")()
    assert_exact(y.numpy(), expected)
    assert_exact(transposed.numpy(), expected)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"add: .*\(2, 3\).*\(4,\)"):
        dnn.add(dnn.zeros(2, 3), dnn.zeros(4))
    with pytest.raises(ValueError, match="add"):
        dnn.zeros(3).add_(dnn.zeros(2, 3))


arrays = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)


@st.composite
def strided_arrays(draw_value, dtype=np.float32):
    """Any shape, steps (also negative) and order of dimensions."""
    base = draw_value(hnp.arrays(dtype, draw_value(arrays), elements=st.floats(-100, 100, width=32)))
    index = tuple(
        draw_value(st.sampled_from([slice(None), slice(None, None, 2), slice(None, None, -1), slice(1, None)]))
        for _ in range(base.ndim)
    )
    order = draw_value(st.permutations(range(base.ndim)))
    return np.asarray(base[index]).transpose(order)


@settings(max_examples=200, deadline=None)
@given(x=strided_arrays(), name=st.sampled_from(["neg", "abs", "relu", "square", "floor"]))
def test_any_layout(x, name):
    assert_exact(getattr(dnn, name)(dnn.from_numpy(x)).numpy(), UNARY[name].oracle(x))


@settings(max_examples=200, deadline=None)
@given(
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=6, min_side=0),
    name=st.sampled_from(["add", "mul", "maximum", "lt"]),
    dtype=st.sampled_from(["float32", "float64", "int64", "int32"]),
    data=st.data(),
)
def test_any_broadcast(shapes, name, dtype, data):
    elements = st.integers(-50, 50)
    x, z = (data.draw(hnp.arrays(dtype, shape, elements=elements)) for shape in shapes.input_shapes)
    y = getattr(dnn, name)(dnn.from_numpy(x), dnn.from_numpy(z)).numpy()
    assert y.shape == shapes.result_shape
    np.testing.assert_array_equal(y, BINARY[name].oracle(x, z))
