"""Bilinear, lazy and shape layers; sizes of layers; initial values."""

from __future__ import annotations

import copy
import math
import pickle

import dnncore as dnn
import dnncore.nn.functional as F
import numpy as np
import pytest
from cases import FAST_ISAS, GOLDEN, use_isa, use_threads
from dnncore import nn

EXPECTED = dict(np.load(GOLDEN / "nn.npz"))


def golden(path: str, requires_grad: bool = False) -> dnn.Tensor:
    return dnn.tensor(EXPECTED[path]).requires_grad_(requires_grad)


# --- Bilinear


def test_bilinear_is_pytorchs():
    layer = nn.Bilinear(3, 4, 5, dtype=dnn.float64)
    layer.load_state_dict({"weight": golden("bilinear/weight"), "bias": golden("bilinear/bias")})
    x1, x2 = golden("bilinear/x1", True), golden("bilinear/x2", True)
    y = layer(x1, x2)
    y.square().sum().backward()
    found = {"y": y, "dx1": x1.grad, "dx2": x2.grad, "dweight": layer.weight.grad, "dbias": layer.bias.grad}
    for name, value in found.items():
        np.testing.assert_allclose(value.detach().numpy(), EXPECTED[f"bilinear/{name}"], rtol=1e-12, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("lead", [(), (0,), (1,), (2, 3)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_bilinear_follows_its_formula(lead, bias):
    layer = nn.Bilinear(3, 2, 4, bias=bias, dtype=dnn.float64)
    assert ("bias" in layer.state_dict()) is bias
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(*lead, 3)), rng.normal(size=(*lead, 2))
    expected = np.einsum("...i,oij,...j->...o", a, layer.weight.detach().numpy(), b)
    if bias:
        expected = expected + layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(dnn.tensor(a), dnn.tensor(b)).detach().numpy(), expected, rtol=1e-12, atol=1e-14)


def test_bilinear_refuses():
    weight = dnn.ones(4, 3, 2)
    for first, second in (((2, 3), (3, 2)), ((2, 2), (2, 2)), ((3,), (1, 2)), ((), (2,))):
        with pytest.raises(ValueError, match="bilinear: expected"):
            F.bilinear(dnn.ones(*first) if first else dnn.tensor(1.0), dnn.ones(*second), weight)
    assert abs(nn.Bilinear(100, 3, 50).weight.detach().numpy()).max() <= 0.1


# --- Sizes


@pytest.mark.parametrize("size", [1.5, "3", None, True, [3]], ids=repr)
@pytest.mark.parametrize(
    "make",
    [
        lambda n: nn.Linear(n, 2),
        lambda n: nn.Linear(2, n),
        lambda n: nn.LazyLinear(n),
        lambda n: nn.Bilinear(n, 1, 1),
        lambda n: nn.Bilinear(1, 1, n),
    ],
)
def test_sizes_are_whole_numbers(make, size):
    with pytest.raises(TypeError, match="of type int, got"):
        make(size)


def test_sizes_out_of_range():
    for make in (
        lambda: nn.Linear(-1, 2),
        lambda: nn.LazyLinear(-1),
        lambda: nn.Bilinear(1, -1, 1),
        lambda: nn.Bilinear(0, 1, 1),
    ):
        with pytest.raises(ValueError, match="at least"):
            make()
    for size in (2**31, 2**40, 2**62):
        with pytest.raises((ValueError, MemoryError)):
            nn.Linear(size, size)
    assert nn.Linear(np.int64(2), 3).weight.shape == (3, 2)
    assert nn.Linear(2, 3, True, "cpu", dnn.float64).bias.dtype == dnn.float64


# --- Unflatten


@pytest.mark.parametrize(
    ("dim", "sizes", "shape"),
    [(1, (2, 3), (4, 2, 3)), (-1, (-1, 2), (4, 3, 2)), (0, (2, -1), (2, 2, 6)), (0, [4], (4, 6)), (1, (6, 1), (4, 6, 1))],
)
def test_unflatten(dim, sizes, shape):
    x = dnn.arange(24.0).reshape(4, 6)
    y = nn.Unflatten(dim, sizes)(x)
    assert y.shape == shape
    assert y.reshape(-1).tolist() == x.reshape(-1).tolist()
    assert nn.Unflatten(1, (0, 3))(dnn.zeros(2, 0)).shape == (2, 0, 3)


def test_unflatten_refuses():
    x = dnn.zeros(4, 6)
    for sizes in ((4,), (-1, 4), (-1, -1), (-1, 0), (-2, -3)):
        with pytest.raises(ValueError, match="do not multiply"):
            nn.Unflatten(1, sizes)(x)
    with pytest.raises(IndexError, match="from -2 to 1"):
        nn.Unflatten(2, (1,))(x)
    for dim, sizes in (("features", (1,)), (1, 3), (1, (1.5,)), (True, (1,))):
        with pytest.raises(TypeError, match="Unflatten"):
            nn.Unflatten(dim, sizes)
    assert repr(nn.Unflatten(1, (2, 3))) == "Unflatten(dim=1, unflattened_size=(2, 3))"


# --- Lazy layers


def test_lazy_linear_becomes_linear_at_its_first_call():
    layer = nn.LazyLinear(3)
    weight = layer.weight
    assert repr(layer) == "LazyLinear(in_features=0, out_features=3, bias=True)"
    assert layer.has_uninitialized_params()
    dnn.manual_seed(5)
    y = layer(dnn.ones(2, 4))
    assert type(layer) is nn.Linear
    assert type(layer.weight) is nn.Parameter
    assert layer.weight is weight
    assert (y.shape, layer.weight.shape, layer.in_features) == ((2, 3), (3, 4), 4)
    assert not layer._forward_pre_hooks
    dnn.manual_seed(5)
    np.testing.assert_array_equal(nn.Linear(4, 3).weight.detach().numpy(), weight.detach().numpy())
    assert repr(layer) == "Linear(in_features=4, out_features=3, bias=True)"
    y.sum().backward()
    assert weight.grad.shape == (3, 4)
    assert nn.LazyLinear(3, bias=False, dtype=dnn.float64).double()(dnn.ones(1, 2, dtype=dnn.float64)).dtype == dnn.float64
    assert nn.LazyLinear(2)(dnn.zeros(3, 0)).abs().max().item() <= math.inf


def test_lazy_parameters_answer_nothing_about_memory():
    layer = nn.LazyLinear(3)
    for act in (
        lambda: layer.weight.shape,
        lambda: layer.weight.numpy(),
        lambda: layer.weight.sum(),
        lambda: layer.weight.numel(),
    ):
        with pytest.raises(RuntimeError, match="has no shape yet; run its module once"):
            act()
    assert layer.weight.requires_grad
    assert repr(layer.weight) == "<UninitializedParameter>"
    with pytest.raises(RuntimeError, match="has no shape yet"):
        dnn.optim.SGD(layer.parameters(), lr=0.1)
    layer.zero_grad()
    layer.requires_grad_(False)
    assert not layer.double().weight.requires_grad
    layer(dnn.ones(1, 2, dtype=dnn.float64))
    assert layer.weight.dtype == dnn.float64
    assert not layer.weight.requires_grad
    with pytest.raises(AttributeError, match="materialize"):
        layer.weight.materialize((2, 2))
    with pytest.raises(RuntimeError, match="materialize"):
        dnn._core._materialize(layer.weight, dnn.ones(3))


def test_lazy_state(tmp_path):
    full, lazy = nn.Linear(4, 3), nn.LazyLinear(3)
    with pytest.raises(RuntimeError, match="has no shape yet"):
        dnn.save(lazy.state_dict(), tmp_path / "lazy.safetensors")
    assert list(tmp_path.iterdir()) == []
    assert list(lazy.state_dict()) == ["weight", "bias"]
    nn.LazyLinear(3).load_state_dict(lazy.state_dict())
    with pytest.raises(ValueError, match=r"weight: expected shape \(3, 4\), got a tensor that has no shape yet"):
        full.load_state_dict(lazy.state_dict())
    with pytest.raises(ValueError, match="weight: missing, expected any shape"):
        lazy.load_state_dict({})
    lazy.load_state_dict(full.state_dict())
    x = dnn.randn(2, 4)
    np.testing.assert_array_equal(lazy(x).detach().numpy(), full(x).detach().numpy())
    assert type(lazy) is nn.Linear
    assert lazy.in_features == 4
    assigned = nn.LazyLinear(3)
    assigned.load_state_dict(full.state_dict(), assign=True)
    np.testing.assert_array_equal(assigned(x).detach().numpy(), full(x).detach().numpy())


def test_lazy_copies_before_and_after():
    lazy = nn.LazyLinear(3)
    for twin in (copy.deepcopy(lazy), pickle.loads(pickle.dumps(lazy))):
        assert twin.has_uninitialized_params()
        assert twin(dnn.ones(1, 5)).shape == (1, 3)
        assert type(twin) is nn.Linear
    assert type(lazy) is nn.LazyLinear
    assert type(copy.deepcopy(nn.Sequential(lazy))[0]) is nn.LazyLinear


class LazyScale(nn.Module):
    """Keeps the mean of its first batch."""

    def __init__(self):
        super().__init__()
        self.mean = nn.UninitializedBuffer(dtype=dnn.float64)

    def forward(self, x):
        if isinstance(self.mean, nn.UninitializedBuffer):
            self.mean.materialize((x.shape[1],))
            self.mean.copy_(x.mean(0))
        return x - self.mean


def test_buffers_without_a_shape():
    module = LazyScale()
    with pytest.raises(RuntimeError, match="shape: this tensor has no shape yet"):
        module.mean.shape  # noqa: B018
    assert repr(module.mean) == "<UninitializedBuffer>"
    assert module.double().mean.dtype == dnn.float64
    assert module.float().mean.dtype == dnn.float32
    twin = copy.deepcopy(module)
    module(dnn.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert type(module.mean) is nn.Buffer
    assert module.state_dict()["mean"].tolist() == [2.0, 3.0]
    twin.load_state_dict(module.state_dict())
    assert twin.mean.tolist() == [2.0, 3.0]
    with pytest.raises(ValueError, match="not trained"):
        nn.UninitializedBuffer(requires_grad=True)


def test_lazy_layers_refuse():
    with pytest.raises(ValueError, match="at least 1 dimension"):
        nn.LazyLinear(2)(dnn.tensor(1.0))

    class Half(nn.LazyLinear):
        def initialize_parameters(self, input):
            self.weight.materialize((1, 1))

    with pytest.raises(RuntimeError, match="left a parameter without a shape"):
        Half(1)(dnn.ones(1, 1))


# --- Initial values

WIDE = math.inf


@pytest.mark.parametrize(
    ("low", "high"), [(-2, 2), (-1, 3), (-WIDE, WIDE), (0, WIDE), (3, 4), (10, WIDE), (-WIDE, -5), (-0.1, 0.1), (8, 8.001)]
)
def test_truncated_normal_numbers(low, high):
    count = 200_000
    grid = np.linspace(max(low, -20), min(high, 20), 200_001)
    density = np.exp((min(abs(grid)) ** 2 - grid**2) / 2)
    mean = (grid * density).sum() / density.sum()
    std = math.sqrt(((grid - mean) ** 2 * density).sum() / density.sum())
    values = nn.init.trunc_normal_(dnn.empty(count, dtype=dnn.float64), 1.0, 0.5, 1 + low / 2, 1 + high / 2).numpy()
    scaled = (values - 1) * 2
    assert values.min() >= 1 + low / 2
    assert values.max() <= 1 + high / 2
    assert abs(scaled.mean() - mean) < 5 * std / math.sqrt(count)
    assert abs(scaled.std() / std - 1) < 0.01


def test_lecun_spread():
    weight = dnn.empty(300, 200)
    uniform = nn.init.lecun_uniform_(weight).numpy().copy()
    assert abs(uniform).max() <= math.sqrt(3 / 200)
    assert abs(uniform.std() * math.sqrt(200) - 1) < 0.02
    normal = nn.init.lecun_normal_(weight).numpy()
    assert abs(normal.std() * math.sqrt(200) - 1) < 0.02


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (4, 2, 3), (1, 1), (0, 3)], ids=str)
@pytest.mark.parametrize("gain", [1.0, 2.5])
@pytest.mark.parametrize("dtype", [dnn.float32, dnn.float64], ids=str)
def test_orthogonal_rows_or_columns(shape, gain, dtype):
    weight = nn.Parameter(dnn.empty(shape, dtype=dtype))
    assert nn.init.orthogonal_(weight, gain) is weight
    matrix = weight.detach().double().numpy().reshape(shape[0], math.prod(shape[1:]))
    if not weight.numel():
        return
    square = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(square, gain**2 * np.eye(len(square)), atol=1e-12 if dtype == dnn.float64 else 2e-6)


def test_orthogonal_signs_are_free():
    signs = [np.sign(nn.init.orthogonal_(dnn.empty(1, 1)).item()) for _ in range(60)]
    assert 15 < signs.count(1.0) < 45


def test_sparse_counts():
    for rows, sparsity, zeros in ((10, 0.3, 3), (7, 0.5, 4), (5, 0.0, 0), (5, 1.0, 5)):
        values = nn.init.sparse_(dnn.empty(rows, 40), sparsity, std=2.0).numpy()
        assert ((values == 0).sum(0) == zeros).all()
        assert rows == zeros or 0.8 < values[values != 0].std() / 2 < 1.2
    assert len(set(np.argmax(nn.init.sparse_(dnn.empty(10, 40), 0.05).numpy() == 0, 0))) > 5


def test_eye_and_dirac():
    np.testing.assert_array_equal(nn.init.eye_(dnn.empty(2, 4)).numpy(), np.eye(2, 4))
    weight = nn.init.dirac_(dnn.empty(4, 2, 3, 5), 2).numpy()
    expected = np.zeros((4, 2, 3, 5))
    expected[[0, 1, 2, 3], [0, 1, 0, 1], 1, 2] = 1
    np.testing.assert_array_equal(weight, expected)
    assert nn.init.dirac_(dnn.empty(3, 1, 4)).numpy().sum() == 1


@pytest.mark.parametrize(
    ("act", "error", "match"),
    [
        (lambda: nn.init.eye_(dnn.empty(3)), ValueError, "2 dimensions"),
        (lambda: nn.init.dirac_(dnn.empty(3, 3)), ValueError, "3, 4 or 5"),
        (lambda: nn.init.dirac_(dnn.empty(3, 3, 3), 2), ValueError, "divide 3"),
        (lambda: nn.init.orthogonal_(dnn.empty(3)), ValueError, "at least 2"),
        (lambda: nn.init.sparse_(dnn.empty(3), 0.5), ValueError, "2 dimensions"),
        (lambda: nn.init.sparse_(dnn.empty(3, 3), 1.5), ValueError, "0 to 1"),
        (lambda: nn.init.trunc_normal_(dnn.empty(3), a=1, b=0), ValueError, "a <= b"),
        (lambda: nn.init.trunc_normal_(dnn.empty(3), std=-1), ValueError, "std"),
        (lambda: nn.init.lecun_normal_(dnn.empty(3)), ValueError, "at least 2"),
        (lambda: nn.init.calculate_gain("leaky_relu", "a"), TypeError, "slope"),
    ],
)
def test_initialisers_refuse(act, error, match):
    with pytest.raises(error, match=match):
        act()


FILLS = {
    "trunc_normal_": lambda w, g: nn.init.trunc_normal_(w, generator=g),
    "trunc_normal_ tail": lambda w, g: nn.init.trunc_normal_(w, a=3, b=5, generator=g),
    "xavier_uniform_": lambda w, g: nn.init.xavier_uniform_(w, generator=g),
    "xavier_normal_": lambda w, g: nn.init.xavier_normal_(w, generator=g),
    "kaiming_uniform_": lambda w, g: nn.init.kaiming_uniform_(w, generator=g),
    "kaiming_normal_": lambda w, g: nn.init.kaiming_normal_(w, generator=g),
    "lecun_uniform_": nn.init.lecun_uniform_,
    "lecun_normal_": nn.init.lecun_normal_,
    "orthogonal_": lambda w, g: nn.init.orthogonal_(w, generator=g),
    "sparse_": lambda w, g: nn.init.sparse_(w, 0.3, generator=g),
}


@pytest.mark.parametrize("name", FILLS)
def test_same_initial_values_on_every_isa_and_thread_count(name):
    found = set()
    for isa in FAST_ISAS:
        for threads in (1, 2, 4):
            with use_isa(isa), use_threads(threads):
                weight = FILLS[name](dnn.empty(300, 211), dnn.Generator().manual_seed(7))
            found.add(weight.numpy().tobytes())
    assert len(found) == 1


def test_gains_are_pytorchs():
    for name in ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "sigmoid"):
        assert nn.init.calculate_gain(name) == 1
    assert nn.init.calculate_gain("selu") == 0.75
    assert nn.init.calculate_gain("leaky_relu", 0) == nn.init.calculate_gain("relu") == math.sqrt(2)
