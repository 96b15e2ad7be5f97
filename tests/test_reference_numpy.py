"""The NumPy forms the benchmarks compare with: right, and one for every kernel."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from cases import UNARY
from dnncore import _core
from dnncore.cli import _bench_numpy
from dnncore.cli import _bench_numpy_images as images
from dnncore.cli._bench_numpy_recurrent import lstm, lstm_with_gradients
from reference_optim import Rule

sys.path.insert(0, str(Path(__file__).parent.parent / "bench"))
import reference_numpy

X = np.random.default_rng(0).uniform(-5, 5, (60, 70)).astype(np.float32)
Z = np.random.default_rng(1).uniform(-5, 5, (60, 70)).astype(np.float32)


def test_every_kernel_has_a_form():
    assert set(reference_numpy.FORMS) == set(_core.kernel_names())


@pytest.mark.parametrize(("name", "form"), reference_numpy.MAPS.items())
def test_maps(name, form):
    exact = np.asarray(UNARY[name].oracle(X.astype(np.float64)))
    out = np.empty_like(X)
    assert form(X, out=out) is out
    for result in (out, form(X)):
        assert result.dtype == np.float32
        assert np.max(np.abs(result - exact) / np.maximum(1, np.abs(exact))) < 1e-6
    np.testing.assert_allclose(form(X.astype(np.float64)), exact, rtol=1e-12, atol=1e-12)


def test_cross_entropy_and_its_gradient():
    logits, target = X[:, :9].astype(np.float64), np.arange(60) % 9
    loss, gradient = reference_numpy.cross_entropy(logits, target)
    exact = np.log(np.exp(logits).sum(1)) - logits[np.arange(60), target]
    assert abs(loss - exact.mean()) < 1e-12
    moved = logits.copy()
    moved[3, 4] += 1e-6
    assert abs((reference_numpy.cross_entropy(moved, target)[0] - loss) / 1e-6 - gradient[3, 4]) < 1e-6


@pytest.mark.parametrize(
    "loss", [_bench_numpy.mse_loss, _bench_numpy.binary_cross_entropy_with_logits, reference_numpy.cross_entropy_smoothed]
)
def test_losses_and_their_gradients(loss):
    x = X[:, :9].astype(np.float64)
    target = np.arange(60) % 9 if loss is reference_numpy.cross_entropy_smoothed else np.abs(Z[:, :9].astype(np.float64)) / 5
    value, gradient = loss(x, target)
    moved = x.copy()
    moved[3, 4] += 1e-6
    assert abs((loss(moved, target)[0] - value) / 1e-6 - gradient[3, 4]) < 1e-6


def test_softmax_forms():
    x, g = X[:, :9].astype(np.float64), Z[:, :9].astype(np.float64)
    y = _bench_numpy.softmax(x)
    np.testing.assert_allclose(y, np.exp(x) / np.exp(x).sum(1, keepdims=True), rtol=1e-13)
    np.testing.assert_allclose(_bench_numpy.log_softmax(x), np.log(y), rtol=1e-12)
    slope = (np.sum(g * _bench_numpy.softmax(x + 1e-6 * X[:, 9:18])) - np.sum(g * y)) / 1e-6
    assert abs(slope - np.sum(reference_numpy.softmax_backward(g, y) * X[:, 9:18])) < 1e-4


def test_scatter_add():
    index = np.array([3, 1, 3, 0, 3, 1])
    expected = np.zeros((5, 70), np.float32)
    np.add.at(expected, index, X[:6])
    np.testing.assert_allclose(reference_numpy.scatter_add(np.zeros((5, 70), np.float32), index, X[:6]), expected, rtol=1e-6)


def test_scatter_along_a_dimension():
    index = np.array([3, 1, 3, 0, 3, 1])[:, None] + np.arange(70) % 2
    expected = Z[:5].copy()
    np.add.at(expected, (index, np.arange(70)), X[:6])
    np.testing.assert_allclose(reference_numpy.scatter_dim(Z[:5], 0, index, X[:6]), expected, rtol=1e-5, atol=1e-5)


def test_order():
    values, indices = reference_numpy.sort(X)
    np.testing.assert_array_equal(values, np.sort(X))
    np.testing.assert_array_equal(np.take_along_axis(X, indices, -1), values)
    values, indices = reference_numpy.topk(X, 5)
    np.testing.assert_array_equal(values, np.sort(X)[:, :-6:-1])
    np.testing.assert_array_equal(np.take_along_axis(X, indices, -1), values)


def test_network_learns_along_its_gradient():
    """The loss falls by lr |gradient|^2 to first order."""
    random = np.random.default_rng(2)
    weights = [random.standard_normal((20, 70)) / 8, random.standard_normal((5, 20)) / 4]
    x, target, lr = X.astype(np.float64), np.arange(60) % 5, 1e-6
    biases, descent = [np.zeros(20), np.zeros(5)], partial(_bench_numpy.SGD, lr=lr)
    network = _bench_numpy.Perceptron(weights, biases, _bench_numpy.cross_entropy, descent)
    before = [p.copy() for p in (*network.weights, *network.biases)]
    first, second = network.step(x, target), network.step(x, target)
    after = [*network.weights, *network.biases]
    square = sum(np.sum(((a - b) / (2 * lr)) ** 2) for a, b in zip(after, before, strict=True))
    assert abs((first - second) / (lr * square) - 1) < 1e-3


def test_sgd():
    parameter, buffer = X[0].copy(), Z[0].copy()
    expected = X[0] - 0.1 * (0.9 * Z[0] + X[1])
    np.testing.assert_allclose(reference_numpy.sgd(parameter, X[1], buffer, 0.1, 0.9), expected, rtol=1e-5, atol=1e-6)


def test_adam():
    parameter, average, square = np.ones(70), np.zeros(70), np.zeros(70)
    expected, rule = np.ones(70), Rule("Adam", {"lr": 0.1})
    for step in range(1, 4):
        expected = rule.step(expected, X[step])
        reference_numpy.adam(parameter, X[step].astype(np.float64), average, square, step, 0.1)
    np.testing.assert_allclose(parameter, expected, rtol=1e-6)


def test_linear():
    np.testing.assert_allclose(reference_numpy.linear(X, Z[:5], Z[0, :5]), X @ Z[:5].T + Z[0, :5], rtol=1e-6)


def test_activations_and_dropout():
    forms = {
        "leaky_relu": np.where(X > 0, X, 0.01 * X),
        "elu": np.where(X > 0, X, np.expm1(X)),
        "silu": X / (1 + np.exp(-X)),
        "gelu_tanh": 0.5 * X * (1 + np.tanh(np.sqrt(2 / np.pi) * (X + 0.044715 * X**3))),
    }
    for name, expected in forms.items():
        out = np.empty_like(X)
        assert getattr(reference_numpy, name)(X, out=out) is out
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
    y = reference_numpy.dropout(np.ones((300, 300), np.float32), 0.25, np.random.default_rng(0))
    assert set(np.unique(y)) == {np.float32(0), np.float32(4 / 3)}
    assert abs(y.mean() - 1) < 5 * np.sqrt(1 / 3 / y.size)
    np.testing.assert_array_equal(reference_numpy.masked(X, Z > 0, 2.0), np.where(Z > 0, 2 * X, 0))


def counted(*shape):
    """Small whole numbers, no two neighbours equal."""
    return (np.arange(np.prod(shape)) * 37 % 23 - 11.0).reshape(shape)


@pytest.mark.parametrize(("filter_size", "stride", "pad"), [((3, 3), 1, 1), ((5, 2), 2, 0), ((1, 1), 2, 0), ((4, 3), 3, 2)])
def test_convolution_and_its_gradients(filter_size, stride, pad):
    """Whole numbers: every sum is exact."""
    x, weight, bias = counted(3, 2, 9, 8), counted(4, 2, *filter_size), counted(4)
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    h, w = ((length - taps) // stride + 1 for length, taps in zip(padded.shape[2:], filter_size, strict=True))
    dy = counted(3, 4, h, w)
    y, dx, dw = np.zeros(dy.shape), np.zeros(padded.shape), np.zeros(weight.shape)
    for n, k, i, j in np.ndindex(*dy.shape):
        window = n, slice(None), slice(i * stride, i * stride + filter_size[0]), slice(j * stride, j * stride + filter_size[1])
        y[n, k, i, j] = np.sum(padded[window] * weight[k]) + bias[k]
        dx[window] += dy[n, k, i, j] * weight[k]
        dw[k] += dy[n, k, i, j] * padded[window]
    np.testing.assert_array_equal(images.conv2d(x, weight, bias, stride, pad), y)
    inner = dx[:, :, pad : pad + 9, pad : pad + 8]
    np.testing.assert_array_equal(images.conv2d_backward_data(dy, weight, (9, 8), stride, pad), inner)
    found = images.conv2d_backward_weights(x, dy, filter_size, stride, pad)
    np.testing.assert_array_equal(found[0], dw)
    np.testing.assert_array_equal(found[1], dy.sum((0, 2, 3)))


@pytest.mark.parametrize(("size", "stride", "pad"), [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0)])
def test_pooling_and_its_gradients(size, stride, pad):
    x = counted(2, 3, 9, 8) // 4  # with equal values
    h, w = ((length + 2 * pad - size) // stride + 1 for length in (9, 8))
    dy = counted(2, 3, h, w)
    largest, mean = np.zeros(dy.shape), np.zeros(dy.shape)
    first, equal = np.zeros((2, 3, 9 + 2 * pad, 8 + 2 * pad)), np.zeros((2, 3, 9 + 2 * pad, 8 + 2 * pad))
    low, zero = (np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=value) for value in (-np.inf, 0))
    for n, c, i, j in np.ndindex(*dy.shape):
        window = n, c, slice(i * stride, i * stride + size), slice(j * stride, j * stride + size)
        largest[n, c, i, j], mean[n, c, i, j] = low[window].max(), zero[window].sum() / size**2
        place = np.unravel_index(np.argmax(low[window]), (size, size))
        first[window][place] += dy[n, c, i, j]
        equal[window] += dy[n, c, i, j] / size**2
    inner = slice(None), slice(None), slice(pad, pad + 9), slice(pad, pad + 8)
    np.testing.assert_array_equal(images.max_pool2d(x, size, stride, pad), largest)
    np.testing.assert_array_equal(images.max_pool2d(x, size, stride, pad, dy), first[inner])
    np.testing.assert_allclose(images.avg_pool2d(x, size, stride, pad), mean, atol=1e-13)
    np.testing.assert_allclose(images.avg_pool2d(x, size, stride, pad, dy), equal[inner], atol=1e-13)


@pytest.mark.parametrize("name", ["batch_norm", "layer_norm"])
def test_normalisation_and_its_gradients(name):
    random = np.random.default_rng(3)
    norm, shape = getattr(images, name), (4, 3, 5, 2) if name == "batch_norm" else (4, 3)
    x, dy, step = (random.standard_normal(shape) for _ in range(3))
    weight, bias, move = (random.standard_normal(3) for _ in range(3))
    (y,) = norm(x, weight, np.zeros(3))
    axes, spread = ((0, 2, 3), weight) if name == "batch_norm" else ((1,), None)
    if spread is None:
        (y,) = norm(x, np.ones(3), np.zeros(3))
        spread = np.ones(4)
    np.testing.assert_allclose(y.mean(axes), 0, atol=1e-12)
    np.testing.assert_allclose(y.std(axes), np.abs(spread) * np.sqrt(x.var(axes) / (x.var(axes) + 1e-5)), rtol=1e-12)

    def loss(t):
        return np.sum(dy * norm(x + t * step, weight + t * move, bias + t * move)[0])

    dx, dweight, dbias = norm(x, weight, bias, dy)
    slope = (loss(1e-6) - loss(-1e-6)) / 2e-6
    assert abs(slope - np.sum(dx * step) - np.sum((dweight + dbias) * move)) < 1e-6


def test_resampling_keeps_planes_and_is_its_gradients_adjoint():
    down, across = reference_numpy.linear_weights(9, 6), reference_numpy.linear_weights(5, 8)
    plane = np.arange(9.0)[:, None] + 3 * np.arange(5.0)
    places = np.clip((np.arange(6) + 0.5) * 1.5 - 0.5, 0, 8)[:, None] + 3 * np.clip((np.arange(8) + 0.5) * 0.625 - 0.5, 0, 4)
    np.testing.assert_allclose(reference_numpy.resample(plane[None, None], down, across)[0, 0], places, atol=1e-6)
    x, dy = counted(2, 3, 9, 5), counted(2, 3, 6, 8)
    np.testing.assert_allclose(
        np.vdot(reference_numpy.resample(x, down, across), dy), np.vdot(x, reference_numpy.resample(dy, down.T, across.T))
    )


def test_local_response_and_its_gradient():
    random, settings = np.random.default_rng(4), (3, 0.5, 0.75, 2.0)
    x, dy, step = (random.standard_normal((2, 5, 3, 4)) for _ in range(3))
    y = reference_numpy.local_response_norm(x, *settings)
    near = (x[0, 1:4, 2, 3] ** 2).sum()
    np.testing.assert_allclose(y[0, 2, 2, 3], x[0, 2, 2, 3] / (2 + 0.5 / 3 * near) ** 0.75)
    dx = reference_numpy.local_response_backward(dy, x, *settings)
    up, low = (np.vdot(dy, reference_numpy.local_response_norm(x + t * step, *settings)) for t in (1e-6, -1e-6))
    assert abs((up - low) / 2e-6 - np.vdot(dx, step)) < 1e-6


def test_samples_and_their_gradients():
    random = np.random.default_rng(5)
    x, dy, step = random.standard_normal((2, 3, 5, 4)), random.standard_normal((2, 3, 6, 7)), random.standard_normal((2, 3, 5, 4))
    grid, move = random.uniform(-0.7, 0.7, (2, 6, 7, 2)), random.standard_normal((2, 6, 7, 2))
    taps = reference_numpy.sample_taps(x.shape, grid)
    row, column = ((grid[1, 2, 3, 1 - i] + 1) * size / 2 - 0.5 for i, size in enumerate((5, 4)))
    plane = np.broadcast_to(2.0 * np.arange(5)[:, None] + 5.0 * np.arange(4), x.shape)
    np.testing.assert_allclose(reference_numpy.grid_sample(plane, grid, taps)[1, :, 2, 3], 2 * row + 5 * column)
    dx = reference_numpy.grid_sample_backward_input(dy, x.shape, taps)
    np.testing.assert_allclose(np.vdot(dx, step), np.vdot(reference_numpy.grid_sample(step, grid, taps), dy))
    dgrid = reference_numpy.grid_sample_backward_grid(dy, x, grid, taps)
    up, low = (
        np.vdot(reference_numpy.grid_sample(x, grid + t * move, reference_numpy.sample_taps(x.shape, grid + t * move)), dy)
        for t in (1e-7, -1e-7)
    )
    assert abs((up - low) / 2e-7 - np.vdot(dgrid, move)) < 1e-4


def test_lstm_and_its_gradients():
    random = np.random.default_rng(6)
    x, dy = random.standard_normal((4, 3, 5)), random.standard_normal((4, 3, 2))
    layers = [[random.standard_normal(shape) for shape in ((8, width), (8, 2), (8,), (8,))] for width in (5, 2)]
    leaves = [x, *layers[0], *layers[1]]
    moves = [random.standard_normal(leaf.shape) for leaf in leaves]

    def run(t):
        now = [leaf + t * move for leaf, move in zip(leaves, moves, strict=True)]
        return lstm(now[0], [now[1:5], now[5:]])

    y, h, c = lstm(x, layers[:1]), np.zeros((3, 2)), np.zeros((3, 2))
    w_ih, w_hh, b_ih, b_hh = layers[0]
    for t in range(2):
        i, f, g, o = np.split(x[t] @ w_ih.T + h @ w_hh.T + b_ih + b_hh, 4, axis=1)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        np.testing.assert_allclose(y[t], h, rtol=1e-12)
    found = lstm_with_gradients(x, layers, dy)
    slope = (np.vdot(dy, run(1e-6)) - np.vdot(dy, run(-1e-6))) / 2e-6
    assert abs(slope - sum(np.vdot(gradient, move) for gradient, move in zip(found, moves, strict=True))) < 1e-6


def test_bags_and_their_gradients():
    random = np.random.default_rng(6)
    weight, dy, ids = random.standard_normal((5, 3)), random.standard_normal((4, 3)), np.array([[0, 1], [1, 1], [4, 0], [2, 2]])
    chosen = np.eye(5)[ids].sum(1)
    np.testing.assert_allclose(reference_numpy.embedding_bag(weight, ids), chosen @ weight)
    np.testing.assert_allclose(reference_numpy.embedding_backward(dy, ids.reshape(-1), 2, 5), chosen.T @ dy)
    factors = reference_numpy.embedding_backward_factors(weight, ids, dy)
    np.testing.assert_allclose(factors, (weight[ids] * dy[:, None]).sum(-1))
