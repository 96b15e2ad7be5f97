"""Selection along dimensions: gather, the scatter family, index_*, masked_*; against NumPy loops."""

import dnncore as dnn
import numpy as np
import pytest
from cases import DTYPES, HALVES, draw, numbers, tensor, use_threads
from reference import assert_exact
from test_gradients import assert_gradients, values

REDUCE = {"sum": np.add, "prod": np.multiply, "amax": np.maximum, "amin": np.minimum}
SIZES = [
    ((5,), (3,), 0),
    ((4, 3), (6, 3), 0),
    ((4, 3), (2, 5), 1),
    ((2, 3, 4), (2, 7, 1), -2),
    ((2, 3, 4), (1, 3, 9), 2),
    ((40, 70), (900, 70), 0),
    ((3, 2), (0, 2), 0),
]


def positions(shape, size, seed=0):
    return np.random.default_rng([seed, *shape]).integers(0, size, shape)


def entries(index, dim):
    """(place in the tensor, place in the index) for every entry, in row-major order."""
    for place in np.ndindex(index.shape):
        to = list(place)
        to[dim] = index[place]
        yield tuple(to), place


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "picks", "dim"), SIZES, ids=str)
def test_gather(dtype, shape, picks, dim):
    x, index = tensor(draw(shape, dtype, low=0), dtype), positions(picks, shape[dim])
    expected = np.zeros(picks, numbers(x).dtype)
    for at, place in entries(index, dim):
        expected[place] = numbers(x)[at]
    for layout in ("contiguous", "transposed", "strided"):
        result = tensor(draw(shape, dtype, low=0), dtype, layout).gather(dim, tensor(index, layout=layout))
        assert result.dtype == x.dtype
        assert_exact(numbers(result), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "picks", "dim"), SIZES, ids=str)
def test_scatter(dtype, shape, picks, dim):
    x, src, index = draw(shape, dtype, low=0), draw(picks, dtype, 1, low=0), positions(picks, shape[dim])
    expected, filled = numbers(tensor(x, dtype)).copy(), numbers(tensor(x, dtype)).copy()
    rounded = numbers(tensor(src, dtype))
    for at, place in entries(index, dim):
        expected[at] = rounded[place]
        filled[at] = 1
    assert_exact(numbers(dnn.scatter(tensor(x, dtype), dim, tensor(index), tensor(src, dtype))), expected)
    assert_exact(numbers(tensor(x, dtype, "transposed").scatter(dim, tensor(index), 1)), filled)
    inplace = tensor(x, dtype).clone()
    assert inplace.scatter_(dim, tensor(index), tensor(src, dtype)) is inplace
    assert_exact(numbers(inplace), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8"])
@pytest.mark.parametrize("reduce", REDUCE)
@pytest.mark.parametrize(("shape", "picks", "dim"), SIZES, ids=str)
def test_scatter_reduce(dtype, reduce, shape, picks, dim):
    """Whole numbers: the result is exact, in whatever order."""
    low = 1 if reduce == "prod" else 0
    kind = np.dtype(dtype)
    x, src = (
        np.floor(draw(shape, "float64", low=low, high=3)).astype(kind),
        np.floor(draw(picks, "float64", 1, low=low, high=3)).astype(kind),
    )
    if reduce == "prod":
        src = np.minimum(src, 1)
    index = positions(picks, shape[dim])
    with_self, touched = x.copy(), np.zeros(shape, bool)
    without = x.copy()
    for at, place in entries(index, dim):
        with_self[at] = REDUCE[reduce](with_self[at], src[place])
        without[at] = REDUCE[reduce](without[at], src[place]) if touched[at] else src[place]
        touched[at] = True
    result = dnn.scatter_reduce(tensor(x), dim, tensor(index), tensor(src), reduce)
    assert_exact(numbers(result), with_self)
    assert_exact(numbers(tensor(x).scatter_reduce(dim, tensor(index), tensor(src), reduce, include_self=False)), without)
    if reduce == "sum":
        assert_exact(numbers(tensor(x).scatter_add(dim, tensor(index), tensor(src))), with_self)


@pytest.mark.parametrize("dtype", HALVES)
def test_halves_are_summed_in_float32(dtype):
    x = dnn.zeros(1, dtype=getattr(dnn, dtype))
    ones = dnn.ones(1000, dtype=x.dtype)
    where = dnn.zeros(1000, dtype=dnn.int64)
    assert x.scatter_add(0, where, ones).item() == 1000
    assert x.index_add(0, where, ones).item() == 1000


def test_scatter_mean():
    x, index = tensor(np.array([1.0, 2.0, 3.0])), tensor(np.array([0, 0, 2]))
    src = tensor(np.array([4.0, 7.0, 5.0]))
    assert x.scatter_reduce(0, index, src, "mean").tolist() == [4, 2, 4]
    assert x.scatter_reduce(0, index, src, "mean", include_self=False).tolist() == [5.5, 2, 5]
    whole = x.long().scatter_reduce(0, index, src.long(), "mean", include_self=False)
    assert whole.tolist() == [5, 2, 5]


def test_nan_wins_extremes():
    src = tensor(np.array([np.nan, 5.0, 1.0, np.nan]))
    index = tensor(np.array([0, 0, 1, 1]))
    for reduce in ("amax", "amin"):
        assert np.isnan(numbers(dnn.zeros(2, dtype=dnn.float64).scatter_reduce(0, index, src, reduce))).all()


@pytest.mark.parametrize("dtype", ["float32", "int64", "bfloat16", "bool"])
def test_index_functions(dtype):
    x, source, index = draw((5, 4, 3), dtype, low=0), draw((5, 2, 3), dtype, 1, low=0), np.array([3, 1])
    a, s = numbers(tensor(x, dtype)), numbers(tensor(source, dtype))
    copied, filled = a.copy(), a.copy()
    copied[:, index] = s
    filled[:, index] = 1
    assert_exact(numbers(tensor(x, dtype).index_copy(1, tensor(index), tensor(source, dtype))), copied)
    assert_exact(numbers(tensor(x, dtype, "transposed").index_fill(-2, tensor(index), 1)), filled)
    if dtype in ("float32", "int64"):
        added = a.copy()
        np.add.at(added, (slice(None), np.array([3, 3])), 2 * s)
        again = tensor(x, dtype).index_add(1, tensor(np.array([3, 3])), tensor(source, dtype), alpha=2)
        np.testing.assert_allclose(numbers(again), added, rtol=1e-6)


def test_masked_functions():
    x, mask = draw((3, 4), "float64"), draw((3, 4), "bool", 2)
    source = draw((20,), "float64", 3)
    expected = x.copy()
    expected[mask] = source[: mask.sum()]
    assert_exact(numbers(tensor(x).masked_select(tensor(mask))), x[mask])
    assert_exact(numbers(tensor(x).masked_select(tensor(mask[:1]))), x[np.broadcast_to(mask[:1], x.shape)])
    assert_exact(numbers(tensor(x).masked_scatter(tensor(mask), tensor(source))), expected)
    assert tensor(x).masked_select(tensor(np.zeros((3, 4), bool))).shape == (0,)
    with pytest.raises(ValueError, match="masked_scatter: expected a source of at least"):
        tensor(x).masked_scatter(tensor(np.ones((3, 4), bool)), dnn.zeros(2, dtype=dnn.float64))


def test_take_along_dim():
    x = draw((3, 5, 2), "float64")
    for dim in range(3):
        order = np.argsort(x, dim)
        assert_exact(numbers(dnn.take_along_dim(tensor(x), tensor(order), dim)), np.sort(x, dim))
    assert_exact(numbers(dnn.take_along_dim(tensor(x), tensor(np.array([4, 29, 0])))), x.ravel()[[4, 29, 0]])
    first = np.zeros((1, 1, 2), int)
    assert_exact(numbers(tensor(x).take_along_dim(tensor(first), 1)), x[:, [0]])


DIFFERENTIABLE = {
    "gather": lambda x, s, i, d: x.gather(d, i) * s,
    "scatter": lambda x, s, i, d: x.scatter(d, i, s),
    "scatter_add": lambda x, s, i, d: x.scatter_add(d, i, s),
    **{
        f"scatter_reduce {how} {own}": lambda x, s, i, d, how=how, own=own: x.scatter_reduce(d, i, s, how, include_self=own)
        for how in ("sum", "prod", "mean", "amax", "amin")
        for own in (True, False)
    },
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@pytest.mark.parametrize(("shape", "picks", "dim"), [*SIZES[:5], ((), (), 0)], ids=str)
def test_gradients(name, shape, picks, dim):
    index = tensor(positions(picks, shape[dim] if shape else 1))
    assert_gradients(lambda x, s: DIFFERENTIABLE[name](x, s, index, dim), values(shape), values(picks, seed=1))


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 3), (4, 2, 2), (4, 1, 3)], ids=str)
def test_gradients_of_slices(shape):
    index = tensor(np.array([2, 0]))
    part = (2, *shape[1:])
    assert_gradients(lambda x, s: x.index_add(0, index, s, alpha=3), values(shape), values(part, seed=1))
    assert_gradients(lambda x, s: x.index_copy(0, index, s), values(shape), values(part, seed=1))
    assert_gradients(lambda x, v: x.index_fill(0, index, v), values(shape), values((), seed=1))
    mask = tensor(np.arange(np.prod(shape)).reshape(shape) % 3 == 0)
    assert_gradients(lambda x: x.masked_select(mask), values(shape))
    assert_gradients(lambda x, s: x.masked_scatter(mask, s), values(shape), values((20,), seed=1))
    assert_gradients(lambda x: dnn.take_along_dim(x, tensor(np.array([0])).reshape([1] * len(shape)), 0), values(shape))


def test_product_of_zeros_has_a_gradient():
    x = np.array([0.0, 2.0, 3.0])
    src = np.array([4.0, 0.0, 5.0, 0.0])
    index = tensor(np.array([0, 1, 1, 2]))
    assert_gradients(lambda a, b: a.scatter_reduce(0, index, b, "prod"), x, src)


def test_a_big_scatter_is_the_same_on_any_number_of_threads():
    x, src = tensor(draw((300, 2000), "float32")), tensor(draw((900, 2000), "float32", 1))
    index = tensor(positions((900, 2000), 300))
    results = []
    for count in (1, 2, 4):
        with use_threads(count):
            results.append([numbers(y) for y in (x.scatter_add(0, index, src), x.gather(0, index))])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert_exact(a, b)


MISUSE = [
    (lambda x, i: x.gather(0, i - 5), IndexError, "gather: index -5 is out of bounds"),
    (lambda x, i: x.gather(1, i + 3), IndexError, "gather: index 3 is out of bounds for dimension 1 with size 3"),
    (lambda x, i: x.gather(2, i), IndexError, "gather"),
    (lambda x, i: x.gather(0, i.float()), TypeError, "gather: expected an int64 index"),
    (lambda x, i: x.gather(0, i[0]), ValueError, "gather: expected an index of 2 dimensions"),
    (lambda x, i: x.gather(0, dnn.zeros(2, 4, dtype=dnn.int64)), ValueError, "exceeds the tensor"),
    (lambda x, i: x.scatter(0, i, x.long()), TypeError, "scatter: expected src of float32"),
    (lambda x, i: x.scatter(0, i, x[:1]), ValueError, "exceeds src"),
    (lambda x, i: x.scatter(0, i), TypeError, "scatter: expected either src or value"),
    (lambda x, i: x.scatter_add(0, i - 1, x), IndexError, "scatter_add: index -1"),
    (lambda x, i: x.scatter_reduce(0, i, x, "max"), ValueError, "scatter_reduce: expected reduce 'sum'"),
    (lambda x, i: x.index_add(0, i, x), ValueError, "index_add: expected a 1-d index"),
    (lambda x, i: x.index_add(0, i[0], x[0]), ValueError, "index_add: expected a source of shape"),
    (lambda x, i: x.index_copy(0, i[0] - 1, dnn.zeros(3, 3)), IndexError, "index_copy: index -1"),
    (lambda x, i: x.index_fill(0, i[0], x), ValueError, "index_fill: expected a number or a 0-d tensor"),
    (lambda x, i: x.masked_select(x), TypeError, "masked_select: expected a bool mask"),
    (lambda x, i: x.requires_grad_().scatter_(0, i, 1), RuntimeError, "copy_"),
]


@pytest.mark.parametrize(("call", "error", "message"), MISUSE, ids=[m for _, _, m in MISUSE])
def test_misuse(call, error, message):
    with pytest.raises(error, match=message):
        call(dnn.zeros(2, 3), dnn.zeros(2, 3, dtype=dnn.int64))
