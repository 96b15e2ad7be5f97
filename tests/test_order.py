"""Order and running results: sort, topk and their relatives, cumsum and its; against NumPy."""

import dnncore as dnn
import numpy as np
import pytest
from cases import DTYPES, FLOATS, LENGTHS, draw, numbers, tensor, use_threads
from reference import assert_exact
from test_gradients import assert_gradients, values

SHAPES = [((7,), 0), ((5, 9), 1), ((5, 9), 0), ((2, 600, 3), 1), ((3, 0), 1), ((3, 0), 0), ((1, 33000), -1), ((70001,), 0)]


def stable_order(x, dim, descending=False):
    """NumPy sorts NaN last too; reversed twice, a descending sort keeps the order of equals."""
    if not descending:
        return np.argsort(x, dim, kind="stable")
    turned = np.flip(x, dim)
    return x.shape[dim] - 1 - np.flip(np.argsort(turned, dim, kind="stable"), dim)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(("shape", "dim"), SHAPES, ids=str)
def test_sort(dtype, descending, shape, dim):
    x = tensor(np.round(draw(shape, dtype)) if dtype in FLOATS else draw(shape, dtype), dtype)  # many equal entries
    order = stable_order(numbers(x), dim, descending)
    found = x.sort(dim, descending)
    assert_exact(numbers(found.indices), order)
    assert_exact(numbers(found.values), np.take_along_axis(numbers(x), order, dim))
    assert found.values.dtype == x.dtype
    assert_exact(numbers(dnn.argsort(x, dim, descending)), order)


@pytest.mark.parametrize("length", LENGTHS)
def test_lengths(length):
    x = draw((3, length), "float32").astype(np.float32)
    assert_exact(numbers(tensor(x).sort().values), np.sort(x))
    if length < 20:
        assert_exact(numbers(tensor(x).cumsum(1)), np.cumsum(x.astype(np.float64), 1).astype(np.float32))


def test_special_values():
    x = np.array([0.0, np.nan, -np.inf, -0.0, np.inf, np.nan, 1.0, -1.0])
    for dtype in FLOATS:
        found = tensor(x, dtype).sort()
        assert found.indices.tolist() == [2, 7, 0, 3, 6, 4, 1, 5]
        assert not np.signbit(numbers(found.values)[2])
        assert np.signbit(numbers(found.values)[3])
        assert tensor(x, dtype).sort(descending=True).indices.tolist() == [1, 5, 4, 6, 0, 3, 7, 2]
        assert tensor(x, dtype).topk(3).indices.tolist() == [1, 5, 4]
        assert np.isnan(tensor(x, dtype).median().item())
        assert tensor(x, dtype).median(0).indices.item() == 1


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bfloat16", "uint8"])
@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize(
    ("shape", "dim", "k"),
    [
        ((7,), 0, 3),
        ((4, 900), 1, 10),
        ((900, 4), 0, 100),
        ((2, 140_000), 1, 5),
        ((140_000,), 0, 4096),
        ((9,), 0, 0),
        ((3, 5), 1, 5),
    ],
    ids=str,
)
def test_topk(dtype, largest, shape, dim, k):
    x = tensor(draw(shape, dtype, low=-90, high=90), dtype)
    order = np.take(stable_order(numbers(x), dim, largest), np.arange(k), dim)
    found = x.topk(k, dim, largest)
    assert_exact(numbers(found.indices), order)
    assert_exact(numbers(found.values), np.take_along_axis(numbers(x), order, dim))
    if k > 0 and not largest:
        kth = x.kthvalue(k, dim)
        assert_exact(numbers(kth.values), np.take(np.sort(numbers(x), dim), k - 1, dim))
        assert_exact(numbers(kth.indices), np.take(order, k - 1, dim))


@pytest.mark.parametrize("n", [1, 2, 5, 1000])
def test_median(n):
    x = draw((3, n), "float64")
    expected = np.sort(x)[:, (n - 1) // 2]
    assert_exact(numbers(tensor(x).median(1).values), expected)
    assert tensor(x).median(1, keepdim=True).values.shape == (3, 1)
    assert tensor(x).median().item() == np.sort(x.ravel())[(3 * n - 1) // 2]


def test_unique():
    x = draw((40, 7), "int64", low=-5, high=9)
    found, inverse, counts = tensor(x).unique(return_inverse=True, return_counts=True)
    expected, places, often = np.unique(x, return_inverse=True, return_counts=True)
    assert_exact(numbers(found), expected)
    assert_exact(numbers(inverse), places.reshape(x.shape).astype(np.int64))
    assert_exact(numbers(counts), often.astype(np.int64))
    assert dnn.unique(dnn.zeros(0)).shape == (0,)


def test_searching_and_counting():
    edges, x = np.sort(draw((9,), "float64")), draw((3, 4), "float64", 1)
    for right, side in ((False, "left"), (True, "right")):
        assert_exact(
            numbers(dnn.searchsorted(tensor(edges), tensor(x), right=right)), np.searchsorted(edges, x, side).astype(np.int64)
        )
        assert_exact(
            numbers(dnn.searchsorted(tensor(edges), tensor(edges), right=right)),
            np.searchsorted(edges, edges, side).astype(np.int64),
        )
        assert_exact(
            numbers(dnn.bucketize(tensor(x), tensor(edges), right=right)), np.searchsorted(edges, x, side).astype(np.int64)
        )
    whole, weights = draw((50,), "int64", low=0, high=7), draw((50,), "float64", 2)
    assert_exact(numbers(tensor(whole).bincount(minlength=9)), np.bincount(whole, minlength=9).astype(np.int64))
    np.testing.assert_allclose(numbers(tensor(whole).bincount(tensor(weights))), np.bincount(whole, weights))
    assert_exact(numbers(tensor(x).histc(5, -1, 2)), np.histogram(x, 5, (-1, 2))[0].astype(np.float64))
    assert_exact(numbers(tensor(x).histc(5)), np.histogram(x, 5)[0].astype(np.float64))
    assert_exact(numbers(dnn.isin(tensor(whole), tensor(np.array([1, 4, 4])))), np.isin(whole, [1, 4]))
    assert_exact(numbers(tensor(whole).count_nonzero()), np.asarray(np.count_nonzero(whole)))


RUNNING = [((5,), 0), ((3, 4), 1), ((3, 4), 0), ((2, 3, 2), -2), ((), 0), ((0, 3), 1)]


@pytest.mark.parametrize(("shape", "dim"), [*RUNNING, ((2, 50_000), 1), ((300, 700), 0), ((100_000,), 0)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int64", "int32", "bool"])
def test_running_sums(dtype, shape, dim):
    x = draw(shape, dtype, low=-1, high=1)
    a = numbers(tensor(x, dtype))
    exact = np.cumsum(np.atleast_1d(a).astype(np.float64), dim).reshape(shape)
    result = tensor(x, dtype).cumsum(dim)
    assert result.dtype == (tensor(x, dtype).dtype if dtype in FLOATS else dnn.int64)
    tolerance = {"float32": 1e-6, "float64": 1e-13, "bfloat16": 2**-8}.get(dtype, 0)
    rounding = 2 * np.sqrt(x.size) * 2.0**-53 * np.abs(a.astype(np.float64)).sum()  # of NumPy's sums and of ours
    np.testing.assert_allclose(numbers(result), exact, rtol=tolerance, atol=tolerance + rounding)
    if shape:
        assert_exact(numbers(tensor(x, dtype, "transposed").cumsum(dim)), numbers(result))
    near = np.clip(1 + 0.001 * a.astype(np.float64), 0.9, 1.1)
    np.testing.assert_allclose(
        numbers(tensor(near).cumprod(dim)), np.cumprod(np.atleast_1d(near), dim).reshape(shape), rtol=1e-10
    )


@pytest.mark.parametrize(("shape", "dim"), [*RUNNING, ((40, 500), 1), ((500, 40), 0)], ids=str)
def test_running_extremes_and_logarithms(shape, dim):
    x = draw(shape, "float64")
    for name, extreme in (("cummax", np.maximum), ("cummin", np.minimum)):
        found = getattr(dnn, name)(tensor(x), dim)
        assert_exact(numbers(found.values), extreme.accumulate(np.atleast_1d(x), dim).reshape(shape))
        if x.ndim:
            assert_exact(np.take_along_axis(x, numbers(found.indices), dim), numbers(found.values))
    expected = np.logaddexp.accumulate(np.atleast_1d(x), dim).reshape(shape)
    np.testing.assert_allclose(numbers(tensor(x).logcumsumexp(dim)), expected, rtol=1e-12, atol=1e-14)


def test_running_extremes_of_special_values():
    x = tensor(np.array([1.0, 3.0, 3.0, np.nan, 5.0]))
    found = x.cummax(0)
    assert found.indices.tolist() == [0, 1, 2, 3, 3]
    assert np.isnan(numbers(found.values)[3:]).all()
    low = tensor(np.array([-np.inf, -np.inf, 2.0, 800.0])).logcumsumexp(0)
    assert low.tolist() == [-np.inf, -np.inf, 2, 800]


DIFFERENTIABLE = {
    "sort": lambda x, d: x.sort(d).values,
    "sort descending": lambda x, d: x.sort(d, True)[0],
    "topk": lambda x, d: x.topk(min(1, x.numel()), d).values,
    "kthvalue": lambda x, d: x.kthvalue(1, d)[0],
    "median": lambda x, d: x.median(d, keepdim=True)[0],
    "cumsum": lambda x, d: x.cumsum(d),
    "cumprod": lambda x, d: x.cumprod(d),
    "logcumsumexp": lambda x, d: x.logcumsumexp(d),
    "cummax": lambda x, d: x.cummax(d)[0],
    "cummin": lambda x, d: x.cummin(d).values,
}


@pytest.mark.parametrize(("shape", "dim"), [*RUNNING[:5], ((6, 1), 0)], ids=str)
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients(name, shape, dim):
    assert_gradients(lambda x: DIFFERENTIABLE[name](x, dim), values(shape))


@pytest.mark.parametrize("zeros", [[1], [0, 2], [3], [0, 1, 2, 3]], ids=str)
def test_products_with_zeros_have_gradients(zeros):
    x = values((4,))
    x[zeros] = 0
    assert_gradients(lambda t: t.cumprod(0), x)


def test_bits_do_not_depend_on_the_threads():
    x = tensor(draw((300_000,), "float32"))
    y = tensor(draw((700, 900), "float32", 1))
    results = []
    for count in (1, 2, 4):
        with use_threads(count):
            found = (*x.sort(), x.cumsum(0), *x.topk(50), *y.sort(0), y.cumsum(0), y.cumsum(1), *y.cummax(1))
            results.append([numbers(part) for part in found])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert_exact(a, b)


MISUSE = [
    (lambda x: x.sort(2), IndexError, "sort"),
    (lambda x: x.topk(4), ValueError, "topk: expected 0 <= k <= 3"),
    (lambda x: x.topk(-1), ValueError, "topk: expected 0 <= k"),
    (lambda x: x.kthvalue(0), ValueError, "kthvalue: expected 1 <= k <= 3"),
    (lambda x: x[:, :0].median(1), ValueError, "median: expected at least one entry"),
    (lambda x: x.cumsum(5), IndexError, "cumsum"),
    (lambda x: x.long().logcumsumexp(0), TypeError, "logcumsumexp: expected a floating tensor"),
    (lambda x: x.bincount(), ValueError, "bincount: expected a 1-d integer tensor"),
    (lambda x: (x[0].long() - 1).bincount(), ValueError, "bincount: expected numbers of at least 0"),
    (lambda x: x.histc(0), ValueError, "histc: expected bins above 0"),
    (lambda x: dnn.searchsorted(dnn.zeros(3, 3), x), ValueError, "searchsorted"),
]


@pytest.mark.parametrize(("call", "error", "message"), MISUSE, ids=[m for _, _, m in MISUSE])
def test_misuse(call, error, message):
    with pytest.raises(error, match=message):
        call(dnn.zeros(2, 3))
