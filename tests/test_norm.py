"""Batch, instance, group, layer and RMS normalisation: float64 oracles on every table, PyTorch, statistics, state, capture."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import dnncore as dnn
import numpy as np
import pytest
from capture_cases import bits, runs, training
from cases import GOLDEN, ISAS, numbers, tensor, use_isa, use_threads
from dnncore import nn
from dnncore.nn import functional as F
from norm_cases import LAYERS, trace

SHAPES = [
    (4, 6, 5, 5),
    (3, 17, 1, 9),
    (2, 1, 7, 9),
    (2, 35, 3, 7),
    (5, 130, 2, 8),
    (16, 3, 33, 31),
    (1, 5, 40, 50),
    (8, 64, 14, 14),
]
ORDERS = ["contiguous", "channels last", "channels first", "strided"]


def laid_out(x: np.ndarray, order: str) -> dnn.Tensor:
    """A leaf of the values of x in an order of memory."""
    if order == "contiguous":
        y = tensor(x.copy())
    elif order == "channels last":
        y = tensor(np.ascontiguousarray(np.moveaxis(x, 1, -1))).movedim(-1, 1)
    elif order == "channels first":
        y = tensor(np.ascontiguousarray(x.swapaxes(0, 1))).transpose(0, 1)
    else:
        y = tensor(np.repeat(x, 2, axis=-1))[..., ::2]
    return y.detach().requires_grad_()


def draw(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    rng = np.random.default_rng(shape)
    channels = (1, shape[1]) + (1,) * (len(shape) - 2)
    return (rng.standard_normal(shape) * 3 + 5 * rng.standard_normal(channels)).astype(dtype)


def layers_for(shape: tuple[int, ...]) -> dict[str, object]:
    """Name: what makes the layer from a namespace, dnncore's or PyTorch's."""
    c = shape[1]
    return {
        "batch": lambda m: m.BatchNorm2d(c),
        "batch, not affine": lambda m: m.BatchNorm2d(c, affine=False),
        "batch, mean of all": lambda m: m.BatchNorm2d(c, momentum=None),
        "batch, untracked": lambda m: m.BatchNorm2d(c, track_running_stats=False),
        "batch, eval": lambda m: m.BatchNorm2d(c).eval(),
        "batch, relu": lambda m: m.Sequential(m.BatchNorm2d(c), m.ReLU()),
        "batch, relu, eval": lambda m: m.Sequential(m.BatchNorm2d(c), m.ReLU()).eval(),
        "instance": lambda m: m.InstanceNorm2d(c, affine=True),
        "instance, tracked": lambda m: m.InstanceNorm2d(c, track_running_stats=True),
        "instance, eval": lambda m: m.InstanceNorm2d(c, affine=True, track_running_stats=True).eval(),
        **{f"{g} groups": lambda m, g=g: m.GroupNorm(g, c) for g in (1, 2, 3, 5) if c % g == 0 and c // g * shape[-1] > 1},
        "groups of 1": lambda m: m.GroupNorm(c, c, affine=False),
        "layer": lambda m: m.LayerNorm(shape[1:]),
        "rows": lambda m: m.LayerNorm(shape[-1], bias=False),
        "planes": lambda m: m.LayerNorm(shape[2:], elementwise_affine=False),
        "rms": lambda m: m.RMSNorm(shape[-1], eps=1e-6),
    }


def assert_near(found: dnn.Tensor, expected: object, unit: float, what: str) -> None:
    """Within 64 roundings of the largest value."""
    got, want = numbers(found).astype(np.float64), expected.detach().numpy()
    assert got.shape == want.shape, what
    if want.size:
        assert np.abs(got - want).max() <= 64 * unit * max(1.0, np.abs(want).max()), what


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_layers_equal_those_of_pytorch_in_float64(shape, dtype):
    torch = pytest.importorskip("torch")
    x, g = draw(shape, dtype), np.random.default_rng(1).standard_normal(shape).astype(dtype)
    unit = np.finfo(dtype).eps
    for name, make in layers_for(shape).items():
        own, peer = make(nn).to(tensor(x).dtype), make(torch.nn).double()
        for (key, mine), (other, theirs) in zip(own.named_parameters(), peer.named_parameters(), strict=True):
            assert key == other
            values = np.random.default_rng(2).standard_normal(theirs.shape).astype(dtype)
            with dnn.no_grad(), torch.no_grad():
                mine.copy_(tensor(values))
                theirs.copy_(torch.tensor(values))
        start = copy.deepcopy(peer)
        for order in ORDERS:
            layer, peer = copy.deepcopy(own), copy.deepcopy(start)
            mine, theirs = laid_out(x, order), torch.tensor(x.astype(np.float64)).requires_grad_()
            for _ in range(2):
                y, expected = layer(mine), peer(theirs)
            y.backward(tensor(g))
            expected.backward(torch.tensor(g.astype(np.float64)))
            what = f"{name} {order}"
            assert_near(y, expected, unit, what)
            assert_near(mine.grad, theirs.grad, unit, what)
            for p, q in zip(layer.parameters(), peer.parameters(), strict=True):
                assert_near(p.grad, q.grad, unit * shape[0] * shape[2] * shape[3] ** 0.5, what)
            for p, q in zip(layer.buffers(), peer.buffers(), strict=True):
                assert_near(p, q, unit, what)


# --- Float64 oracles on every table -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """One normalisation: `axes` of x reshaped to `view` share a mean, and `parameters` is the shape of the weights beside it."""

    view: tuple[int, ...]
    axes: tuple[int, ...]
    parameters: tuple[int, ...]
    run: Callable[..., dnn.Tensor]
    centred: bool = True
    relu: bool = False


def kinds_for(shape: tuple[int, ...]) -> dict[str, Kind]:
    n, c = shape[:2]
    rest = int(np.prod(shape[2:], dtype=int))
    by_channel = ((n, c, rest), (0, 2), (1, c, 1))
    relu = lambda x, w, b: dnn._core._batch_norm(x, None, None, w, b, True, 0.1, 1e-5, None, "relu")  # noqa: E731
    kinds = {
        "batch": Kind(*by_channel, lambda x, w, b: F.batch_norm(x, None, None, w, b, True)),
        "batch, relu": Kind(*by_channel, relu, relu=True),
        "layer": Kind((n, c * rest), (1,), (1, c * rest), lambda x, w, b: F.layer_norm(x, shape[1:], *rows(shape, w, b))),
        "rms": Kind((n, c * rest), (1,), (1, c * rest), lambda x, w, b: rms(x, shape, w) + 0 * b.sum(), centred=False),
    }
    if rest > 1:
        kinds["instance"] = Kind((n, c, rest), (2,), (1, c, 1), lambda x, w, b: F.instance_norm(x, None, None, w, b))
    for groups in (1, 2, 5):
        if c % groups == 0 and c // groups * rest > 1:
            view, parameters = (n, groups, c // groups, rest), (1, groups, c // groups, 1)
            kinds[f"{groups} groups"] = Kind(view, (2, 3), parameters, lambda x, w, b, g=groups: F.group_norm(x, g, w, b))
    return kinds


def rows(shape: tuple[int, ...], *parameters: dnn.Tensor) -> list[dnn.Tensor]:
    return [p.reshape(shape[1:]) for p in parameters]


def rms(x: dnn.Tensor, shape: tuple[int, ...], w: dnn.Tensor) -> dnn.Tensor:
    return F.rms_norm(x, shape[1:], w.reshape(shape[1:]), 1e-5)


def exact(kind: Kind, x: np.ndarray, dy: np.ndarray, w: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    """y, dx, dweight and dbias."""
    shape, x, dy = x.shape, x.reshape(kind.view).astype(np.float64), dy.reshape(kind.view).astype(np.float64)
    w, b = w.reshape(kind.parameters).astype(np.float64), b.reshape(kind.parameters).astype(np.float64)
    mean = lambda t: t.mean(kind.axes, keepdims=True)  # noqa: E731
    centre = x - mean(x) if kind.centred else x
    factor = 1 / np.sqrt(mean(centre**2) + 1e-5)
    z = centre * factor
    y = z * w + (b if kind.centred else 0)
    if kind.relu:
        y, dy = np.maximum(y, 0), dy * (y > 0)
    slope = dy * w
    dx = factor * (slope - (mean(slope) if kind.centred else 0) - z * mean(slope * z))
    over = tuple(axis for axis, size in enumerate(kind.parameters) if size == 1)
    parts = [dy * z, dy if kind.centred else 0 * dy]
    return [y.reshape(shape), dx.reshape(shape), *(part.sum(over).ravel() for part in parts)]


# Vectors and spans: below, at and above 4, 8, 16 and 64 lanes, 2048 elements, one part, several.
AWKWARD = [
    (2, 1), (3, 15), (5, 16), (4, 17), (300, 65), (3, 130), (2100, 10), (2, 2, 2), (4, 3, 1), (2, 4, 15), (2, 5, 16), (3, 2, 17),
    (2, 10, 63), (1, 2, 2047), (2, 1, 2048), (1, 3, 2049), (2, 64, 33), (7, 20, 5, 5), (2, 70, 3, 4), (5, 16, 2, 3, 7),
    (1, 2, 410, 401),
    (40, 10, 29, 31), (3, 1, 200, 233),
]  # fmt: skip


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", AWKWARD, ids=str)
def test_against_float64(isa, dtype, shape):
    rng = np.random.default_rng(shape)
    unit = np.finfo(dtype).eps
    x, dy = ((rng.standard_normal(shape) + shift).astype(dtype) for shift in (2, 0))
    for name, kind in kinds_for(shape).items():
        if shape[1] == 1 and name == "layer" and len(shape) == 2:
            continue
        w, b = (rng.uniform(0.5, 2, int(np.prod(kind.parameters))).astype(dtype) for _ in range(2))
        if "relu" in name:
            b -= b.dtype.type(1.25)
        expected = exact(kind, x, dy, w, b)
        summed = x.size / np.prod(kind.parameters)
        for order in ORDERS[:3]:
            leaf, weight, bias = laid_out(x, order), tensor(w).requires_grad_(), tensor(b).requires_grad_()
            with use_isa(isa):
                y = kind.run(leaf, weight, bias)
                y.backward(tensor(dy))
            stretch = 30 if shape in ((2, 1), (2, 2, 2)) else 4 if isa == "reference" else 1  # near each other; naive sums
            for got, want, terms in zip((y, leaf.grad, weight.grad, bias.grad), expected, (1, 1, summed, summed), strict=True):
                error = np.abs(numbers(got) - want).max() / max(1.0, np.abs(want).max())
                assert error <= stretch * unit * (16 + 2 * terms**0.5), f"{name} {order} {error / unit}"


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("order", ORDERS[:3])
@pytest.mark.parametrize(("mean", "deviation"), [(0, 1), (1000, 0.1), (-3e4, 1), (1e-3, 1e-6), (5e5, 2)])
def test_statistics_are_those_of_float64(isa, order, mean, deviation):
    """Relative to the larger of mean and deviation, and to the variance, 2e-7 each, one rounding to float32 included."""
    x = (mean + deviation * np.random.default_rng(7).standard_normal((6, 20, 50, 31))).astype(np.float32)
    x[0, 3, 0, 0] += 30 * deviation  # the first element says nothing about the others
    layer = nn.BatchNorm2d(20, momentum=1.0)
    with use_isa(isa):
        layer(laid_out(x, order))
    wide = x.astype(np.float64)
    means, variances = wide.mean((0, 2, 3)), wide.var((0, 2, 3), ddof=1)
    assert np.abs(numbers(layer.running_mean) - means).max() <= 2e-7 * max(abs(mean), deviation)
    assert np.abs(numbers(layer.running_var) / variances - 1).max() <= 2e-7


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("order", ORDERS[:3])
def test_constant_channels_give_the_bias(isa, order):
    x = np.broadcast_to(np.float32([3.3, -1e6, 0])[:, None, None], (4, 3, 17, 9)).copy()
    layer = nn.BatchNorm2d(3)
    with dnn.no_grad():
        layer.bias.copy_(tensor(np.float32([1, 2, 3])))
    leaf = laid_out(x, order)
    with use_isa(isa):
        y = layer(leaf)
        y.sum().backward()
    assert np.array_equal(numbers(y), np.broadcast_to(np.float32([1, 2, 3])[:, None, None], x.shape))
    assert np.isfinite(numbers(leaf.grad)).all()
    assert np.allclose(numbers(layer.running_var), 0.9)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", LAYERS)
def test_layers_follow_pytorch_step_by_step(isa, name):
    expected = dict(np.load(GOLDEN / "norm.npz"))
    with use_isa(isa):
        found = trace(LAYERS[name](nn).double(), tensor, numbers)
    assert {f"{name}/{key}" for key in found} == {key for key in expected if key.startswith(f"{name}/")}
    for key, array in found.items():
        np.testing.assert_allclose(array, expected[f"{name}/{key}"], rtol=1e-11, atol=1e-12, err_msg=key)


# --- Running statistics -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.1, 0.0, 1.0, None])
def test_running_statistics_over_several_steps(momentum):
    layer = nn.BatchNorm1d(3, momentum=momentum, dtype=dnn.float64)
    mean, var = np.zeros(3), np.ones(3)
    for step in range(1, 6):
        x = np.random.default_rng(step).standard_normal((4, 3, 5)) * step
        share = 1 / step if momentum is None else momentum
        layer(tensor(x))
        mean = (1 - share) * mean + share * x.mean((0, 2))
        var = (1 - share) * var + share * x.var((0, 2), ddof=1)
        assert np.allclose(numbers(layer.running_mean), mean, rtol=1e-13)
        assert np.allclose(numbers(layer.running_var), var, rtol=1e-13)
        assert layer.num_batches_tracked.item() == step
    before = bits(*layer.buffers())
    x = np.random.default_rng(9).standard_normal((4, 3, 5))
    y = layer.eval()(tensor(x))
    assert np.allclose(numbers(y), (x - mean[:, None]) / np.sqrt(var[:, None] + 1e-5), rtol=1e-12)
    assert bits(*layer.buffers()) == before
    layer.reset_running_stats()
    assert [numbers(value).tolist() for value in layer.buffers()] == [[0, 0, 0], [1, 1, 1], 0]


def test_untracked_layers_use_the_batch_in_evaluation_too():
    layer, x = nn.BatchNorm1d(2, track_running_stats=False), tensor(np.float32([[1, 5], [3, 9]]))
    assert bits(layer(x)) == bits(layer.eval()(x))
    assert list(layer.state_dict()) == ["weight", "bias"]


def test_frozen_statistics_stay():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3))
    model[0].freeze_statistics()
    model.train()
    assert [layer.training for layer in model] == [False, True]
    before = bits(*model[0].buffers())
    model(dnn.randn(2, 3, 4, 4))
    assert bits(*model[0].buffers()) == before
    assert model[1].num_batches_tracked.item() == 1
    assert copy.deepcopy(model).train()[0].training is False
    assert model[0].freeze_statistics(False).train().training is True
    with pytest.raises(RuntimeError, match=r"^BatchNorm1d.freeze_statistics: the layer has no running statistics"):
        nn.BatchNorm1d(3, track_running_stats=False).freeze_statistics()


def test_state_round_trip():
    first, second = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    first(dnn.randn(2, 3, 4, 4))
    assert list(first.state_dict()) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    second.load_state_dict(first.state_dict())
    assert bits(*second.state_dict().values()) == bits(*first.state_dict().values())
    x = dnn.randn(2, 3, 4, 4)
    assert bits(first(x), *first.buffers()) == bits(second(x), *second.buffers())


# --- Threads, capture, fusion -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS[:3])
@pytest.mark.parametrize("shape", [(64, 33, 40, 41), (4, 3, 200, 201), (1100, 257, 1, 3)], ids=str)
def test_any_number_of_threads_gives_the_same_bits(shape, order):
    c = shape[1]
    makes = [
        lambda: nn.Sequential(nn.BatchNorm2d(c), nn.ReLU()),
        lambda: nn.GroupNorm(1, c),
        lambda: nn.InstanceNorm2d(c, affine=True, track_running_stats=True),
        lambda: nn.LayerNorm(shape[1:]),
    ]
    for make in makes:
        found = []
        for threads in (1, 2, 4):
            with use_threads(threads):
                layer, x = make(), laid_out(draw(shape), order)
                y = layer(x)
                y.backward(tensor(draw(shape)))
            found.append(bits(y, x.grad, *(p.grad for p in layer.parameters()), *layer.buffers()))
        assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("momentum", [0.1, None])
def test_captured_steps_are_those_of_python(momentum):
    """Running statistics and the count of batches included."""

    def build():
        net = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6, momentum=momentum), nn.ReLU(), nn.LayerNorm(6), nn.Linear(6, 4))
        optimizer = dnn.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        return (
            training(net, optimizer),
            lambda i: (dnn.randn(6, 5), dnn.randint(0, 4, (6,))),
            lambda: bits(*net.state_dict().values()),
        )

    runs(build)


def test_captured_images_are_those_of_python():
    def build():
        net = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.GroupNorm(3, 3), nn.InstanceNorm2d(3, track_running_stats=True))

        def step(x):
            net.zero_grad()
            y = net(x)
            (y * y * y).sum().backward()
            return y

        look = lambda: bits(*net.state_dict().values(), *(p.grad for p in net.parameters()))  # noqa: E731
        return step, lambda i: (dnn.randn(4, 3, 5, 6) + i,), look

    runs(build)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("order", ORDERS[:3])
def test_a_relu_behind_is_fused_with_the_same_bits(isa, training, order):
    x = draw((6, 35, 8, 9))
    with use_isa(isa):
        apart, fused = nn.BatchNorm2d(35).train(training), nn.Sequential(nn.BatchNorm2d(35), nn.ReLU()).train(training)
        first, second = laid_out(x, order), laid_out(x, order)
        y, z = dnn.relu(apart(first)), fused(second)
        y.backward(tensor(x))
        z.backward(tensor(x))
    assert bits(y, *apart.buffers()) == bits(z, *fused.buffers())
    assert bits(first.grad, *(p.grad for p in apart.parameters())) == bits(second.grad, *(p.grad for p in fused.parameters()))


@pytest.mark.parametrize("half", [dnn.float16, dnn.bfloat16])
def test_halves_are_computed_in_float32(half):
    x = tensor(draw((4, 6, 5, 5))).to(half)
    for make in (lambda: nn.BatchNorm2d(6), lambda: nn.GroupNorm(2, 6), lambda: nn.LayerNorm(5), lambda: nn.RMSNorm(5)):
        layer, wide = make(), make()
        found = layer(x)
        assert found.dtype == half
        assert bits(found.float()) == bits(wide(x.float()).to(half).float())
        assert bits(*layer.buffers()) == bits(*wide.buffers())
        assert make().to(half)(x).dtype == half
    layer = nn.BatchNorm2d(6).to(half)
    layer(x)
    assert layer.running_mean.dtype == half
    assert layer.num_batches_tracked.item() == 1


# --- Layers and errors ------------------------------------------------------------------------------------------------


def test_lazy_layers_take_the_channels_of_their_input():
    for name, shape in {"BatchNorm1d": (4, 3), "BatchNorm2d": (4, 3, 2, 5), "BatchNorm3d": (4, 3, 2, 2, 2)}.items():
        layer = getattr(nn, f"Lazy{name}")()
        layer(dnn.randn(*shape))
        assert type(layer) is getattr(nn, name)
        assert layer.num_features == 3
        assert layer.num_batches_tracked.item() == 1
        empty = getattr(nn, f"Lazy{name}")()
        empty.load_state_dict(layer.state_dict())
        assert bits(*empty.state_dict().values()) == bits(*layer.state_dict().values())
    layer = nn.LazyInstanceNorm2d(affine=True)
    layer(dnn.randn(3, 4, 4))
    assert (type(layer), layer.num_features) == (nn.InstanceNorm2d, 3)


def test_empty_batches_count_and_change_nothing():
    layer = nn.BatchNorm2d(3)
    x = dnn.zeros(0, 3, 4, 4).requires_grad_()
    y = layer(x)
    y.sum().backward()
    assert y.shape == (0, 3, 4, 4)
    assert x.grad.shape == x.shape
    assert [numbers(value).tolist() for value in layer.buffers()] == [[0, 0, 0], [1, 1, 1], 1]
    assert numbers(layer.weight.grad).tolist() == [0, 0, 0]
    assert nn.LayerNorm(4)(dnn.zeros(0, 4)).shape == (0, 4)
    assert nn.GroupNorm(3, 3)(dnn.zeros(0, 3, 2)).shape == (0, 3, 2)


X = dnn.zeros(2, 3, 4, 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: nn.BatchNorm1d(3)(dnn.zeros(1, 3)),
            ValueError,
            r"^batch_norm: Expected more than 1 value per channel when training",
        ),
        (lambda: nn.BatchNorm2d(3)(dnn.zeros(1, 3, 1, 1)), ValueError, r"^batch_norm: .* got input size \(1, 3, 1, 1\)"),
        (
            lambda: nn.BatchNorm2d(3)(dnn.zeros(2, 3)),
            ValueError,
            r"^BatchNorm2d: expected input of shape \(N, C, H, W\), got \(2, 3\)",
        ),
        (lambda: nn.BatchNorm2d(4)(X), ValueError, r"^batch_norm: expected weight of shape \(3,\) .* got \(4,\)"),
        (lambda: nn.BatchNorm2d(3)(X.double()), TypeError, r"^batch_norm: expected weight of float64 as the input, got float32"),
        (lambda: nn.BatchNorm2d(3)(X.long()), TypeError, r"^batch_norm: expected a floating tensor, got int64"),
        (lambda: nn.BatchNorm2d(3, momentum=2), ValueError, r"^BatchNorm2d: expected momentum between 0 and 1, or None, got 2"),
        (lambda: nn.BatchNorm2d(3, eps=-1), ValueError, r"^BatchNorm2d: expected eps of at least 0, got -1"),
        (lambda: nn.BatchNorm2d(-3), ValueError, r"^BatchNorm2d: expected num_features of at least 0"),
        (
            lambda: F.batch_norm(X, None, None),
            ValueError,
            r"^batch_norm: expected running_mean and running_var when not training",
        ),
        (lambda: F.batch_norm(X, dnn.zeros(3), None), ValueError, r"^batch_norm: expected running_mean and running_var both or"),
        (
            lambda: F.batch_norm(X, dnn.zeros(3), dnn.ones(3), training=True, momentum=-1),
            ValueError,
            r"^batch_norm: expected momentum",
        ),
        (
            lambda: F.batch_norm(X, None, None, training=True, eps=-1),
            ValueError,
            r"^batch_norm: expected eps of at least 0, got -1",
        ),
        (
            lambda: F.batch_norm(dnn.zeros(3), None, None),
            ValueError,
            r"^batch_norm: expected input of shape \(N, C, ...\), got \(3,\)",
        ),
        (
            lambda: F.instance_norm(dnn.zeros(2, 3, 1)),
            ValueError,
            r"^instance_norm: Expected more than 1 spatial element when training",
        ),
        (lambda: nn.InstanceNorm2d(4, affine=True)(X), ValueError, r"^InstanceNorm2d: expected 4 channels, got input of shape"),
        (lambda: F.group_norm(X, 2), ValueError, r"^group_norm: expected a number of channels that num_groups=2 divides"),
        (
            lambda: nn.GroupNorm(2, 3),
            ValueError,
            r"^GroupNorm: expected num_groups that divides num_channels=3, got num_groups=2",
        ),
        (
            lambda: F.layer_norm(X, (3,)),
            ValueError,
            r"^layer_norm: expected input whose last dimensions are normalized_shape \(3,\)",
        ),
        (lambda: F.layer_norm(X, ()), ValueError, r"^layer_norm: expected a normalized_shape of at least one dimension"),
        (lambda: nn.LayerNorm(()), ValueError, r"^LayerNorm: expected a normalized_shape of at least one dimension"),
        (lambda: F.rms_norm(X, (4,), dnn.ones(3)), ValueError, r"^rms_norm: expected weight of shape \(4,\)"),
        (
            lambda: F.local_response_norm(dnn.zeros(2, 3), 2),
            ValueError,
            r"^local_response_norm: expected input of shape \(N, C, ...\)",
        ),
        (lambda: F.local_response_norm(X, 0), ValueError, r"^local_response_norm: expected a size of at least 1, got 0"),
        (lambda: F.local_contrast_norm(X, 4), ValueError, r"^local_contrast_norm: expected an odd size of at least 1, got 4"),
        (lambda: F.local_contrast_norm(X[0], 3), ValueError, r"^local_contrast_norm: expected input of shape \(N, C, H, W\)"),
        (
            lambda: dnn._core._batch_norm(X, None, None, None, None, True, 0.1, 1e-5, None, "tanh"),
            ValueError,
            r"^batch_norm: .*'tanh'",
        ),
    ],
)
def test_errors_say_what_was_expected(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_wrong_number_of_unused_channels_warns():
    with pytest.warns(UserWarning, match=r"^InstanceNorm2d: 3 channels where num_features=4"):
        nn.InstanceNorm2d(4)(X)


# --- Across channels and space ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 5, 12])
@pytest.mark.parametrize("shape", [(2, 7, 3), (3, 9, 4, 5), (1, 2, 2, 2, 3), (2, 96, 7, 7)], ids=str)
def test_local_response_against_its_definition(shape, size):
    x = draw(shape, np.float64)
    channels = shape[1]
    squares = np.zeros_like(x)
    for c in range(channels):
        low, high = max(0, c - size // 2), min(channels, c + (size - 1) // 2 + 1)
        squares[:, c] = (x[:, low:high] ** 2).sum(1) / size
    expected = x / (2 + 0.3 * squares) ** 0.75
    for order in ORDERS:
        y = nn.LocalResponseNorm(size, 0.3, 0.75, 2.0)(laid_out(x, order))
        assert np.allclose(numbers(y), expected, rtol=1e-13)


def test_local_contrast_against_its_definition():
    x, size = draw((2, 3, 9, 7), np.float64), 5
    line = np.exp(-(((np.arange(size) - 2) / (size / 4)) ** 2) / 2)
    window = np.outer(line, line) / line.sum() ** 2

    def local(image):
        found = np.zeros_like(image)
        for i in range(9):
            for j in range(7):
                top, left = max(0, i - 2), max(0, j - 2)
                rows, columns = slice(top, min(9, i + 3)), slice(left, min(7, j + 3))
                weights = window[rows.start - i + 2 : rows.stop - i + 2, columns.start - j + 2 : columns.stop - j + 2]
                found[:, i, j] = (image[:, rows, columns] * weights).sum((1, 2)) / weights.sum()
        return found

    v = x - local(x.mean(1))[:, None]
    s = np.sqrt(local((v**2).mean(1)))
    expected = v / np.maximum(s, s.mean((1, 2), keepdims=True))[:, None]
    assert np.allclose(numbers(nn.LocalContrastNorm(size)(tensor(x))), expected, rtol=1e-10)
