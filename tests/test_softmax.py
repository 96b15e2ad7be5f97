"""softmax, log_softmax and logsumexp against float64 (and float64 against long double), along every dimension, on every table."""

import dnncore as dnn
import numpy as np
import pytest
from cases import ISAS, array, draw, numbers, tensor, use_isa, use_threads
from dnncore import nn
from test_gradients import assert_gradients, values

INF, NAN = float("inf"), float("nan")
FUNCTIONS = ("softmax", "log_softmax", "logsumexp")
SHAPES = [(1,), (17,), (5, 10), (3, 16), (4, 33), (2, 5000), (0, 3), (3, 5, 7), (2, 21, 9, 5), (2, 130, 70), (3, 1, 65)]
UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}


def exact(name, x, dim):
    x = x.astype(np.longdouble)
    largest = x.max(axis=dim, keepdims=True)
    e = np.exp(x - largest)
    total = e.sum(axis=dim, keepdims=True)
    if name == "softmax":
        return e / total
    # The largest counts as 1, so that log1p keeps what the others have.
    first = np.arange(x.shape[dim]).reshape([-1 if i == dim % x.ndim else 1 for i in range(x.ndim)]) == np.expand_dims(
        x.argmax(axis=dim), dim
    )
    log = np.log1p(np.where(first, 0, e).sum(axis=dim, keepdims=True))
    return (x - largest) - log if name == "log_softmax" else (largest + log).squeeze(dim)


def bound(name, x, dim, dtype):
    """x - largest is rounded (half an ULP of up to 2 max |x|) before its exponential is taken; n terms are added up."""
    spread = 2 * np.abs(x).max(initial=1.0) + np.sqrt(x.shape[dim])
    result = np.abs(exact(name, x, dim)).astype(np.float64)
    return UNIT[dtype] * (spread + 16) * (result if name == "softmax" else 1 + result)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_against_long_double(isa, dtype, name, shape):
    for dim in range(-1, len(shape)):
        if shape[dim] == 0:
            continue
        for layout in ("contiguous", "transposed", "strided", "expanded"):
            values = tensor(draw(shape, dtype, low=-9, high=9).astype(dtype), dtype, layout)
            x = numbers(values)
            with use_isa(isa):
                y = numbers(getattr(dnn, name)(values, dim))
            error = np.abs(y.astype(np.longdouble) - exact(name, x, dim))
            assert (error <= bound(name, x, dim, dtype)).all(), (dim, layout, float(error.max()))
            if name == "softmax":
                np.testing.assert_allclose(y.sum(axis=dim, dtype=np.float64), 1, atol=1e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("isa", ISAS)
def test_confident_rows_keep_their_digits(isa):
    """log softmax of the likely class is minus what the others have, far below the spacing of numbers around 1."""
    for length in (2, 40):
        x = np.full((1, length), -40.0, np.float32)
        x[0, 1] = 0
        with use_isa(isa):
            y = numbers(dnn.log_softmax(tensor(x), 1))
        np.testing.assert_allclose(y[0, 1], -(length - 1) * np.exp(-40.0), rtol=1e-6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("repeat", [1, 20])
def test_special_values(isa, repeat):
    rows = [[-INF, -INF], [INF, 1.0], [INF, INF], [NAN, 1.0], [NAN, INF], [1.0, -INF], [3e38, -3e38]]
    ordinary = [False] * 5 + [True] * 2
    x = np.tile(np.array(rows, np.float32), (1, repeat))
    for lines in (x, np.repeat(x[:, :, None], 19, 2)):
        with use_isa(isa):
            found = {name: numbers(getattr(dnn, name)(tensor(lines), 1)) for name in FUNCTIONS}
        for name in ("softmax", "log_softmax"):
            lost = np.isnan(found[name]).reshape(len(rows), -1)
            assert lost.all(axis=1).tolist() == [not fine for fine in ordinary], name
            assert lost.any(axis=1).tolist() == [not fine for fine in ordinary], name
        sums = found["logsumexp"].reshape(len(rows), -1)[:, 0]
        np.testing.assert_array_equal(sums[:5], np.array([-INF, INF, INF, NAN, NAN], np.float32))
        np.testing.assert_allclose(found["softmax"].reshape(len(rows), -1)[5:].max(axis=1), 1 / repeat, rtol=1e-6)
        np.testing.assert_allclose(sums[5], 1 + np.log(repeat), rtol=1e-6)


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2), (1, 20), (17, 2)], ids=str)
def test_gradients(name, dim, shape):
    function = getattr(dnn, name)
    assert_gradients(lambda t: function(t, dim), values(shape))
    assert_gradients(lambda t: function(t.transpose(0, -1), dim), values(shape, seed=1))


@pytest.mark.parametrize("dim", [0, -1])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_second_derivatives(name, dim):
    x = tensor(values((3, 4))).requires_grad_()
    assert dnn.autograd.gradgradcheck(lambda t: getattr(dnn, name)(t, dim), x)
    assert dnn.autograd.gradgradcheck(lambda t: getattr(dnn, name)(t.t(), dim), x)


def test_logsumexp_of_several_dimensions():
    x = values((2, 3, 4))
    expected = np.log(np.exp(x).sum(axis=(0, 2)))
    np.testing.assert_allclose(numbers(dnn.logsumexp(tensor(x), (0, -1))), expected, rtol=1e-14)
    assert tuple(dnn.logsumexp(tensor(x), (0, 2), keepdim=True).shape) == (1, 3, 1)
    np.testing.assert_allclose(tensor(x).logsumexp(()).item(), np.log(np.exp(x).sum()), rtol=1e-14)
    assert numbers(dnn.logsumexp(dnn.zeros(2, 0), 1)).tolist() == [-INF, -INF]
    assert_gradients(lambda t: dnn.logsumexp(t, (0, 2)), x)


def test_gradient_of_a_line_of_minus_infinity_is_zero():
    x = dnn.full((1, 3), -INF).requires_grad_()
    dnn.logsumexp(x, 1).sum().backward()
    assert x.grad.tolist() == [[0.0] * 3]


def test_dtypes():
    half = tensor(draw((4, 9), "float32"), "bfloat16")
    assert dnn.softmax(half, 1).dtype == dnn.bfloat16
    np.testing.assert_allclose(numbers(dnn.softmax(half, 1)).sum(axis=1), 1, atol=9 * 2**-9)
    assert half.softmax(1, dtype=dnn.float64).dtype == dnn.float64
    assert dnn.log_softmax(dnn.arange(3), 0, dtype=dnn.float32).dtype == dnn.float32
    assert dnn.softmax(dnn.tensor(3.0), 0).item() == 1
    assert dnn.logsumexp(dnn.tensor(3.0), -1).item() == 3


@pytest.mark.parametrize("name", FUNCTIONS)
def test_misuse(name):
    function = getattr(dnn, name)
    with pytest.raises(TypeError, match=rf"{name}: .*floating.*\.float\(\)"):
        function(dnn.arange(3), 0)
    with pytest.raises(IndexError, match=name):
        function(dnn.zeros(2, 3), 2)


def test_more_columns_than_a_tile_holds():
    x = array(values((20_000, 2), low=0.1), "contiguous")
    np.testing.assert_allclose(numbers(dnn.softmax(tensor(x), 0)).sum(axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose(numbers(dnn.logsumexp(tensor(x), 0)), np.log(np.exp(x).sum(axis=0)), rtol=1e-12)


@pytest.mark.parametrize("shape", [(700, 130), (3, 21, 2000), (2, 300_000)], ids=str)
def test_same_bits_for_any_number_of_threads(shape):
    x = tensor(draw(shape, "float32").astype(np.float32))
    found = []
    for threads in (1, 2, 4):
        with use_threads(threads):
            found.append([numbers(getattr(dnn, name)(x, 1)).tobytes() for name in FUNCTIONS])
    assert found[0] == found[1] == found[2]


def test_layers():
    x = tensor(draw((2, 3, 4, 5), "float32").astype(np.float32))
    assert nn.Softmax(dim=1)(x).tolist() == dnn.softmax(x, 1).tolist() == nn.Softmax2d()(x).tolist()
    assert nn.Softmax2d()(x[0]).tolist() == dnn.softmax(x[0], 0).tolist()
    assert nn.LogSoftmax(-1)(x).tolist() == dnn.log_softmax(x, 3).tolist()
    assert nn.Softmin(0)(x).tolist() == dnn.softmax(-x, 0).tolist() == nn.functional.softmin(x, 0).tolist()
    with pytest.raises(ValueError, match=r"use Softmax\(dim=1\)"):
        nn.Softmax()(dnn.zeros(2, 3))
    with pytest.raises(ValueError, match="Softmax2d"):
        nn.Softmax2d()(dnn.zeros(2, 3))
