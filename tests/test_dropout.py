"""Dropout: masks and their statistics, the same bits everywhere, gradients, channels, the self-normalising forms, layers."""

import math

import dnncore as dnn
import numpy as np
import pytest
from cases import FLOATS, ISAS, draw, numbers, tensor, use_isa, use_threads
from dnncore import _core, nn
from dnncore.nn import functional as F
from reference import assert_exact, rounded

LAYERS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
INPUT = {nn.Dropout1d: (4, 8, 5), nn.Dropout2d: (4, 8, 3, 5), nn.Dropout3d: (4, 8, 2, 3, 5)}


def offset():
    return int(np.frombuffer(numbers(dnn.default_generator.get_state()).tobytes(), np.uint64)[1])


def kept(y):
    return numbers(y) != 0


@pytest.mark.parametrize("p", [0.001, 0.1, 0.3, 0.5, 0.9, 0.999])
def test_the_kept_share_is_binomial(p):
    """Within five standard deviations, overall, in each of 64 places of a vector and in pairs of neighbours."""
    n = 1 << 20
    y = F.dropout(dnn.ones(n), p)
    keep = kept(y)

    def check(hits, count, share):
        assert abs(hits - count * share) <= 5 * math.sqrt(count * share * (1 - share)) + 1

    check(keep.sum(), n, 1 - p)
    for place in keep.reshape(-1, 64).T:
        check(place.sum(), n // 64, 1 - p)
    check((keep[::2] & keep[1::2]).sum(), n // 2, (1 - p) ** 2)
    check((keep[: n // 2] & keep[n // 2 :]).sum(), n // 2, (1 - p) ** 2)
    assert_exact(np.unique(numbers(y)), np.array([0, np.float32(1 / (1 - p))], np.float32))
    assert abs(numbers(y).mean() - 1) <= 5 * math.sqrt(p / (1 - p) / n) + 1e-6


def run(dtype):
    dnn.manual_seed(11)
    x = tensor(draw((70_001,), dtype), dtype).requires_grad_()
    first = F.dropout(x, 0.3)
    second = F.dropout(x, 0.3)
    second.backward(tensor(draw((70_001,), dtype, 5), dtype))
    return [numbers(y).copy() for y in (first, second, x.grad)]


@pytest.mark.parametrize("dtype", FLOATS)
def test_masks_are_the_same_everywhere(dtype):
    with use_isa("reference"):
        expected = run(dtype)
    assert not np.array_equal(expected[0] != 0, expected[1] != 0)
    for isa in ISAS:
        for threads in (1, 2, 4):
            with use_isa(isa), use_threads(threads):
                for actual, wanted in zip(run(dtype), expected, strict=True):
                    assert_exact(actual, wanted, f"{isa}, {threads} threads")


def test_the_dtype_does_not_change_the_mask():
    masks = []
    for dtype in FLOATS:
        dnn.manual_seed(3)
        masks.append(kept(F.dropout(tensor(np.ones(1000), dtype), 0.4)))
    assert all(np.array_equal(mask, masks[0]) for mask in masks)


@pytest.mark.parametrize("dtype", FLOATS)
def test_values_and_gradient(dtype):
    x = tensor(draw((3, 400), dtype), dtype)
    g = tensor(draw((3, 400), dtype, 1), dtype)
    leaf = x.clone().requires_grad_()
    y = F.dropout(leaf, 0.3)
    y.backward(g)
    kind = "float64" if dtype == "float64" else "float32"
    factor = kept(y) * np.dtype(kind).type(1 / 0.7)
    assert_exact(numbers(y), rounded(numbers(x) * factor, dtype))
    assert_exact(numbers(leaf.grad), rounded(numbers(g) * factor, dtype))


def test_masks_are_drawn_as_the_elements_lie_in_memory():
    x = np.ones((33, 65), np.float32)
    masks = []
    for values in (dnn.from_numpy(x.reshape(65, 33)), dnn.from_numpy(x).t(), dnn.ones(33, 1).expand(33, 65).t()):
        dnn.manual_seed(7)
        masks.append(F.dropout(values, 0.5))
    assert masks[1].stride() == (1, 65)
    assert np.array_equal(kept(masks[0]).ravel(), kept(masks[1]).T.ravel())
    assert np.array_equal(kept(masks[0]), kept(masks[2])), "without an order of its own: row-major"
    leaf = dnn.from_numpy(np.ascontiguousarray(x.T)).requires_grad_()
    y = F.dropout(leaf.t(), 0.5)
    y.backward(dnn.ones_like(y).t().contiguous().t())
    assert_exact(numbers(leaf.grad), np.ascontiguousarray(numbers(y).T))


def test_each_call_reserves_its_own_numbers():
    dnn.manual_seed(1)
    before = offset()
    F.dropout(dnn.ones(1000), 0.5)
    assert offset() == before + 8 * 32
    F.dropout(dnn.ones(0), 0.5)
    assert offset() == before + 8 * 32
    F.dropout(dnn.ones(1), 0.5)
    assert offset() == before + 9 * 32
    for call in (lambda x: F.dropout(x, 0.0), lambda x: F.dropout(x, training=False), lambda x: F.dropout(x, 1.0)):
        call(dnn.ones(1000))
        assert offset() == before + 9 * 32
    state = dnn.default_generator.get_state()
    first = kept(F.dropout(dnn.ones(300)))
    second = kept(F.dropout(dnn.ones(300)))
    dnn.default_generator.set_state(state)
    assert np.array_equal(kept(F.dropout(dnn.ones(300))), first)
    assert not np.array_equal(first, second)


def test_special_values():
    x = dnn.tensor([np.inf, -np.inf, np.nan] * 100)
    y = numbers(F.dropout(x, 0.5))
    assert np.isnan(y[2::3]).all()
    assert 0 < np.isnan(y[::3]).sum() < 100  # a dropped infinity is infinity times 0, as in PyTorch
    assert np.isnan(numbers(F.dropout(x, 1.0))).all()


@pytest.mark.parametrize("layer", LAYERS)
def test_identity_and_everything(layer):
    x = tensor(draw(INPUT.get(layer, (4, 8)), "float32", 2), "float32")
    assert layer().eval()(x) is x
    assert layer(0.0)(x) is x
    dropped = layer(1.0)(x)
    assert_exact(np.abs(numbers(dropped)), np.zeros(x.shape, np.float32))
    dropped = layer(0.5)(x)
    assert not np.array_equal(numbers(dropped), numbers(x))
    for p in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=rf"{layer.__name__}: expected a probability 0 <= p <= 1"):
            layer(p)
    assert repr(layer(0.25)) == f"{layer.__name__}(p=0.25, inplace=False)"


@pytest.mark.parametrize("name", ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"])
def test_errors(name):
    function = getattr(F, name)
    with pytest.raises(ValueError, match=f"{name}: expected a probability 0 <= p <= 1, got 2"):
        function(dnn.ones(2, 3, 4, 5), 2, training=True)
    if name not in ("dropout", "alpha_dropout"):
        with pytest.raises(ValueError, match=f"{name}: expected an input"):
            function(dnn.ones(2), 0.5, training=True)
    with pytest.raises(TypeError, match="dropout: expected a floating tensor, got int64"):
        F.dropout(dnn.ones(3, dtype=dnn.int64))
    with pytest.raises(ValueError, match="dropout: expected a probability 0 <= p < 1"):
        _core._dropout(dnn.ones(3), 1.0)


@pytest.mark.parametrize(
    ("name", "shape", "masked"),
    [
        ("dropout1d", (40, 50, 6), 2),
        ("dropout1d", (500, 6), 1),
        ("dropout2d", (40, 50, 3, 2), 2),
        ("dropout2d", (40, 50, 6), 2),
        ("dropout3d", (40, 50, 2, 1, 3), 2),
        ("dropout3d", (500, 2, 1, 3), 1),
    ],
)
def test_whole_channels(name, shape, masked):
    x = dnn.ones(*shape).requires_grad_()
    y = getattr(F, name)(x, 0.3)
    y.sum().backward()
    flat = numbers(y).reshape(math.prod(shape[:masked]), -1)
    assert (flat == flat[:, :1]).all()
    channels = flat[:, 0] != 0
    assert abs(channels.mean() - 0.7) < 5 * math.sqrt(0.21 / len(channels))
    assert_exact(np.unique(flat), np.array([0, 1 / 0.7], np.float32))
    assert_exact(numbers(x.grad), numbers(y))


def test_alpha_dropout_keeps_mean_and_variance():
    n = 400_000
    x = tensor(np.random.default_rng(0).standard_normal(n, dtype=np.float32))
    for p in (0.1, 0.5):
        y = numbers(F.alpha_dropout(x, p, training=True)).astype(np.float64)
        assert abs(y.mean()) < 0.01
        assert abs(y.var() - 1) < 0.01
        a = 1 / math.sqrt((1.7580993408473766**2 * p + 1) * (1 - p))
        low = -1.7580993408473766 * a + 1.7580993408473766 * a * p  # what a dropped element becomes
        share = np.isclose(y, low, atol=1e-5).mean()
        assert abs(share - p) < 5 * math.sqrt(p * (1 - p) / n) + 1e-4
    channels = numbers(F.feature_alpha_dropout(dnn.ones(50, 60, 7), 0.5, training=True)).reshape(3000, 7)
    assert (channels == channels[:, :1]).all()
    assert len(np.unique(channels)) == 2


@pytest.mark.parametrize("layer", LAYERS)
def test_inplace(layer):
    shape = INPUT.get(layer, (4, 8))
    x = tensor(draw(shape, "float32", 2), "float32")
    dnn.manual_seed(4)
    expected = numbers(layer(0.5)(x))
    dnn.manual_seed(4)
    z = x.clone()
    assert layer(0.5, inplace=True)(z) is z
    assert_exact(numbers(z), expected)
    dnn.manual_seed(4)
    leaf = x.clone().requires_grad_()
    y = layer(0.5, inplace=True)(leaf)
    assert y is not leaf
    assert_exact(numbers(y), expected)
    z = x.clone().transpose(0, 1)
    before = numbers(z).copy()
    assert layer(1.0, inplace=True)(z) is z
    assert not np.array_equal(before, numbers(z))


def test_inplace_on_a_strided_view():
    x = dnn.ones(100, 4)
    dnn.manual_seed(2)
    expected = numbers(F.dropout(dnn.ones(100), 0.5))
    dnn.manual_seed(2)
    F.dropout(x[:, 1], 0.5, inplace=True)
    assert_exact(numbers(x)[:, 1], expected)
    assert_exact(numbers(x)[:, [0, 2, 3]], np.ones((100, 3), np.float32))


def test_second_derivative():
    if not hasattr(dnn, "autograd"):
        pytest.skip("this version has no create_graph")
    x = dnn.ones(50).requires_grad_()
    y = F.dropout(x * x, 0.5)
    (first,) = dnn.autograd.grad(y.sum(), [x], create_graph=True)
    (second,) = dnn.autograd.grad(first.sum(), [x])
    assert_exact(numbers(second), 2 * numbers(y))
