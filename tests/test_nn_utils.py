"""nn.utils: clipped gradients, parameters as vectors, parametrizations in both forms; values by PyTorch."""

from __future__ import annotations

import copy
import math
import pickle

import dnncore as dnn
import numpy as np
import pytest
from cases import GOLDEN
from dnncore import nn
from dnncore.nn.utils import parametrizations, parametrize

EXPECTED = dict(np.load(GOLDEN / "nn.npz"))


def golden(path: str) -> dnn.Tensor:
    return dnn.tensor(EXPECTED[path])


def same(value: dnn.Tensor, path: str) -> None:
    np.testing.assert_allclose(value.detach().numpy(), EXPECTED[path], rtol=1e-11, atol=1e-13, err_msg=path)


def with_gradients(values) -> list[dnn.Tensor]:
    parameters = []
    for value in values:
        gradient = value if isinstance(value, dnn.Tensor) else dnn.tensor(value)
        parameter = nn.Parameter(dnn.zeros_like(gradient))
        parameter.grad = gradient
        parameters.append(parameter)
    return parameters


# --- Clipping


@pytest.mark.parametrize("order", [2.0, 1.0, 3.0, math.inf, -math.inf, 0.0], ids=str)
@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_clip_grad_norm_is_pytorchs(order, limit):
    parameters = with_gradients(EXPECTED[f"clip/gradient{i}"] for i in range(3))
    total = nn.utils.clip_grad_norm_(parameters, limit, order)
    same(total, f"clip/{order}/{limit}/total")
    for i, parameter in enumerate(parameters):
        same(parameter.grad, f"clip/{order}/{limit}/gradient{i}")


def test_clip_grad_norm_takes_what_comes():
    parameters = with_gradients([np.float32([3, 0]), np.float64([[4]])])
    parameters.append(nn.Parameter(dnn.ones(3)))  # without a gradient
    kept = [parameter.grad for parameter in parameters]
    total = nn.utils.clip_grad_norm_(iter(parameters), 1.0, foreach=True)
    assert (total.item(), total.dtype) == (5.0, dnn.float64)
    assert [parameter.grad for parameter in parameters] == kept
    assert [parameters[0].grad.dtype, parameters[1].grad.dtype] == [dnn.float32, dnn.float64]
    np.testing.assert_allclose(parameters[0].grad.numpy(), [0.6, 0], rtol=1e-6)
    single = with_gradients([np.float32([0.5])])[0]
    assert nn.utils.clip_grad_norm_(single, 1.0, "inf").item() == 0.5
    assert single.grad.tolist() == [0.5]
    assert nn.utils.clip_grad_norm_([nn.Parameter(dnn.ones(1))], 1.0).item() == 0
    assert nn.utils.clip_grad_norm_(with_gradients([np.zeros((0, 3))]), 1.0, math.inf).item() == 0
    with pytest.warns(UserWarning, match="empty generator"):
        nn.utils.clip_grad_norm_(iter([]), 1.0)
    with pytest.raises(TypeError, match="expected tensors, got int"):
        nn.utils.clip_grad_norm_([3], 1.0)


@pytest.mark.parametrize("dtype", [dnn.bfloat16, dnn.float16], ids=str)
def test_halves_are_summed_in_float32(dtype):
    parameters = with_gradients([dnn.full((5000,), 2.0, dtype=dtype)])
    total = nn.utils.clip_grad_norm_(parameters, 1.0)
    assert total.dtype == dnn.float32
    assert abs(total.item() / math.sqrt(20000) - 1) < 1e-5
    assert parameters[0].grad.dtype == dtype
    assert abs(parameters[0].grad[0].item() * math.sqrt(5000) - 1) < 0.01


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_norms_that_are_not_finite(bad):
    parameters = with_gradients([np.float32([1, bad]), np.float32([2])])
    with pytest.raises(ValueError, match="error_if_nonfinite=False"):
        nn.utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
    assert parameters[1].grad.tolist() == [2.0]
    total = nn.utils.clip_grad_norm_(parameters, 1.0).item()
    assert math.isnan(total) if math.isnan(bad) else total == math.inf
    assert parameters[1].grad.item() == 0 or math.isnan(bad)


def test_total_norm_and_its_use_apart():
    parameters = with_gradients([np.float32([3]), np.float32([4])])
    total = nn.utils.get_total_norm(parameter.grad for parameter in parameters)
    nn.utils.clip_grads_with_norm_(parameters, 2.5, total)
    np.testing.assert_allclose([parameter.grad.item() for parameter in parameters], [1.5, 2.0], rtol=1e-6)
    assert nn.utils.get_total_norm([]).item() == 0


def test_clip_grad_value():
    parameters = with_gradients([np.float32([3, -0.25, -7, math.nan, math.inf])])
    gradient = parameters[0].grad
    nn.utils.clip_grad_value_(parameters, 0.5, foreach=False)
    assert parameters[0].grad is gradient
    np.testing.assert_array_equal(gradient.numpy(), np.float32([0.5, -0.25, -0.5, math.nan, 0.5]))


# --- Vectors


def test_parameters_as_a_vector_and_back():
    source, target = nn.Linear(3, 2), nn.Linear(3, 2)
    vector = nn.utils.parameters_to_vector(source.parameters())
    assert vector.requires_grad
    nn.utils.vector_to_parameters(vector, target.parameters())
    for a, b in zip(source.parameters(), target.parameters(), strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
    assert target.weight.is_leaf
    for wrong in (dnn.ones(7), dnn.ones(9), dnn.ones(2, 4)):
        with pytest.raises(ValueError, match=r"expected shape \(8,\)"):
            nn.utils.vector_to_parameters(wrong, target.parameters())
    with pytest.raises(TypeError, match="expected a Tensor"):
        nn.utils.vector_to_parameters([1.0] * 8, target.parameters())


# --- Parametrizations


class Symmetric(nn.Module):
    def forward(self, x):
        return (x + x.T) / 2


class Doubled(nn.Module):
    def forward(self, x):
        return x * 2

    def right_inverse(self, x):
        return x / 2


class Product(nn.Module):
    """A matrix as the product of two vectors."""

    def forward(self, a, b):
        return a.unsqueeze(1) * b.unsqueeze(0)

    def right_inverse(self, x):
        return x[:, 0], dnn.ones(x.shape[1], dtype=x.dtype)


def test_a_parametrized_weight_is_computed_and_trained():
    layer = nn.Linear(3, 3)
    weight = layer.weight
    assert parametrize.register_parametrization(layer, "weight", Symmetric()) is layer
    assert type(layer).__name__ == "ParametrizedLinear"
    assert isinstance(layer, nn.Linear)
    assert layer.parametrizations.weight.original is weight
    assert [name for name, _ in layer.named_parameters()] == ["bias", "parametrizations.weight.original"]
    x = dnn.randn(2, 3)
    expected = x.numpy() @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(nn.Sequential(layer, nn.ReLU())(x).detach().numpy(), np.maximum(expected, 0), rtol=1e-5, atol=1e-6)
    layer(x).sum().backward()
    assert weight.grad is not None
    np.testing.assert_allclose(weight.grad.numpy(), weight.grad.numpy().T, rtol=1e-6)
    with pytest.raises(RuntimeError, match="Symmetric has no right_inverse"):
        layer.weight = dnn.ones(3, 3)
    assert "weight" in dir(layer)


def test_parametrizations_run_one_after_the_other_and_backwards_when_set():
    layer = nn.Linear(3, 3)
    before = layer.weight.detach().numpy().copy()
    parametrize.register_parametrization(layer, "weight", Doubled())
    np.testing.assert_allclose(layer.weight.detach().numpy(), before)
    np.testing.assert_allclose(layer.parametrizations.weight.original.detach().numpy(), before / 2)
    parametrize.register_parametrization(layer, "weight", Doubled())
    np.testing.assert_allclose(layer.weight.detach().numpy(), before * 2)
    layer.weight = dnn.ones(3, 3)
    assert layer.parametrizations.weight.original.tolist() == [[0.25] * 3] * 3
    assert layer.weight.tolist() == [[1.0] * 3] * 3
    assert not layer.eval().parametrizations.weight[1].training
    assert "(0-1): 2 x Doubled()" in repr(layer)


def test_several_originals():
    layer = nn.Linear(3, 2)
    parametrize.register_parametrization(layer, "weight", Product())
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original0", "parametrizations.weight.original1"]
    layer.weight = dnn.tensor([[2.0] * 3, [5.0] * 3])
    assert layer.parametrizations.weight.original0.tolist() == [2.0, 5.0]
    with pytest.raises(ValueError, match="leave_parametrized=True"):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear
    assert isinstance(layer.weight, nn.Parameter)
    assert layer.weight.tolist() == [[2.0] * 3, [5.0] * 3]


def test_removal_keeps_the_object():
    layer = nn.Linear(3, 3)
    weight = layer.weight
    parametrize.register_parametrization(layer, "weight", Symmetric())
    parametrize.register_parametrization(layer, "bias", Doubled())
    parametrize.remove_parametrizations(layer, "weight")
    assert layer.weight is weight
    assert weight.equal(weight.T)
    assert parametrize.is_parametrized(layer)
    assert not parametrize.is_parametrized(layer, "weight")
    parametrize.remove_parametrizations(layer, "bias", leave_parametrized=False)
    assert type(layer) is nn.Linear
    assert not hasattr(layer, "parametrizations")
    assert sorted(layer.state_dict()) == ["bias", "weight"]
    with pytest.raises(ValueError, match="no parametrized tensor 'bias'"):
        parametrize.remove_parametrizations(layer, "bias")


def test_buffers_can_be_parametrized():
    module = nn.Module()
    module.register_buffer("scale", dnn.ones(2))
    parametrize.register_parametrization(module, "scale", Doubled())
    assert list(module.state_dict()) == ["parametrizations.scale.original"]
    assert module.scale.tolist() == [1.0, 1.0]
    parametrize.remove_parametrizations(module, "scale")
    assert [name for name, _ in module.named_buffers()] == ["scale"]


def test_cached_computes_once():
    calls = []

    class Counted(nn.Module):
        def forward(self, x):
            calls.append(1)
            return x * 1

    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Counted(), unsafe=True)
    with parametrize.cached():
        first = layer.weight
        with parametrize.cached():
            assert layer.weight is first
        assert layer.weight is first
        layer(dnn.ones(1, 2))
    assert len(calls) == 1
    assert layer.weight is not first
    assert not parametrize._cache


def test_parametrized_copies_are_apart():
    layer = parametrizations.weight_norm(nn.Linear(3, 2))
    twin = copy.deepcopy(layer)
    parametrize.remove_parametrizations(layer, "weight")
    assert parametrize.is_parametrized(twin, "weight")
    assert twin.weight.equal(layer.weight)
    with dnn.no_grad():
        twin.parametrizations.weight.original0.mul_(2)
    assert not twin.weight.equal(layer.weight)
    with pytest.raises(RuntimeError, match="save its state_dict"):
        pickle.dumps(twin)
    other = parametrizations.weight_norm(nn.Linear(3, 2))
    other.load_state_dict(twin.state_dict())
    assert other.weight.equal(twin.weight)
    assert other.double().weight.dtype == dnn.float64


class Wrong(nn.Module):
    def __init__(self, answer, inverse=lambda x: x):
        super().__init__()
        self.answer, self.right_inverse = answer, inverse

    def forward(self, *x):
        return self.answer(*x)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (Wrong(lambda x: x[0]), "of shape"),
        (Wrong(lambda x: x[0], lambda x: x / 2), "of shape"),
        (Wrong(lambda x: x.double()), "dtype"),
        (Wrong(lambda x: 3), "to be a tensor, got int"),
        (Wrong(lambda x: x, lambda x: 3), "tensor"),
        (Wrong(lambda x: x, lambda x: x.double()), "float64"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_wrong_parametrizations_change_nothing(wrong, match, first):
    layer = nn.Linear(3, 3)
    if not first:
        parametrize.register_parametrization(layer, "weight", Doubled())
    before, weight = list(layer.state_dict()), layer.weight.detach().clone()
    with pytest.raises(ValueError, match=match):
        parametrize.register_parametrization(layer, "weight", wrong)
    assert list(layer.state_dict()) == before
    assert layer.weight.equal(weight)


def test_unsafe_parametrizations_may_change_the_shape():
    layer = parametrize.register_parametrization(nn.Linear(3, 4), "weight", Wrong(lambda x: x[:2]), unsafe=True)
    assert layer.weight.shape == (2, 3)
    parametrize.remove_parametrizations(layer, "weight")
    assert layer.weight.shape == (2, 3)
    with pytest.raises(ValueError, match="no parameter or buffer 'nothing'"):
        parametrize.register_parametrization(layer, "nothing", Doubled())
    with pytest.raises(ValueError, match="at least one module"):
        parametrize.ParametrizationList([], dnn.ones(1))
    with pytest.raises(ValueError, match="no parameter or buffer 'bias'"):
        parametrizations.weight_norm(nn.Linear(2, 2, bias=False), "bias")


# --- weight_norm and spectral_norm


@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("form", ["new", "old"])
def test_weight_norm_is_pytorchs(dim, form):
    path = f"weight_norm/{dim}"
    layer = nn.Linear(4, 3, dtype=dnn.float64)
    (parametrizations if form == "new" else nn.utils).weight_norm(layer, dim=dim)
    state = {"bias": golden(f"{path}/bias"), "weight_g": golden(f"{path}/g"), "weight_v": golden(f"{path}/v")}
    layer.load_state_dict(state)  # the new form takes the old names too
    g, v = (layer.weight_g, layer.weight_v) if form == "old" else layer.parametrizations.weight.originals()
    y = layer(golden(f"{path}/x"))
    y.square().sum().backward()
    for value, name in ((y, "y"), (g.grad, "dg"), (v.grad, "dv")):
        same(value, f"{path}/{name}")


@pytest.mark.parametrize("form", ["new", "old"])
def test_spectral_norm_is_pytorchs(form):
    path = f"spectral_norm/{form}"
    layer = nn.Linear(4, 3, dtype=dnn.float64)
    layer.load_state_dict({"weight": golden("spectral_norm/weight"), "bias": golden("spectral_norm/bias")})
    (parametrizations if form == "new" else nn.utils).spectral_norm(layer, n_power_iterations=2)
    if form == "new":
        original, u, v = layer.parametrizations.weight.original, *(layer.parametrizations.weight[0].buffers())
    else:
        original, u, v = layer.weight_orig, layer.weight_u, layer.weight_v
    u.copy_(golden(f"{path}/u"))
    v.copy_(golden(f"{path}/v"))
    x = golden("spectral_norm/x")
    for step in range(3):
        y = layer(x)
        same(y, f"{path}/y{step}")
    y.square().sum().backward()
    layer.eval()
    for value, name in ((original.grad, "dweight"), (u, "u_after"), (v, "v_after"), (layer(x), "y_eval")):
        same(value, f"{path}/{name}")


def test_two_passes_before_one_backward():
    layer = parametrizations.spectral_norm(nn.Linear(4, 3))
    x = dnn.ones(2, 4)
    (layer(x) - layer(x * 2)).sum().backward()
    assert layer.parametrizations.weight.original.grad is not None


def test_spectral_norm_of_other_shapes():
    module = nn.Module()
    module.weight = nn.Parameter(dnn.tensor([3.0, 4.0]))
    np.testing.assert_allclose(parametrizations.spectral_norm(module).weight.detach().numpy(), [0.6, 0.8], rtol=1e-6)
    filters = nn.Module()
    filters.weight = nn.Parameter(dnn.randn(2, 3, 4))
    parametrizations.spectral_norm(filters, n_power_iterations=300, dim=1)
    matrix = filters.weight.detach().numpy().transpose(1, 0, 2).reshape(3, 8)
    assert abs(np.linalg.norm(matrix, 2) - 1) < 1e-4


@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm"])
def test_older_forms_come_off_again(name):
    layer = nn.Linear(4, 3)
    wrap, unwrap = getattr(nn.utils, name), getattr(nn.utils, f"remove_{name}")
    assert wrap(layer) is layer
    with pytest.raises(RuntimeError, match="has it already"):
        wrap(layer)
    x = dnn.ones(1, 4)
    layer.eval()
    before = layer(x).detach().numpy()
    twin = pickle.loads(pickle.dumps(layer))
    np.testing.assert_array_equal(twin(x).detach().numpy(), before)
    assert unwrap(layer) is layer
    np.testing.assert_allclose(layer(x).detach().numpy(), before, rtol=1e-6, atol=1e-7)
    assert isinstance(layer.weight, nn.Parameter)
    assert sorted(layer.state_dict()) == ["bias", "weight"]
    assert not layer._forward_pre_hooks
    with pytest.raises(ValueError, match="does not have it"):
        unwrap(layer)
    for owner, parameter in ((layer, "nothing"), (nn.LazyLinear(3), "weight")):
        with pytest.raises(ValueError, match="with a shape"):
            wrap(owner, parameter)


def test_spectral_norm_refuses():
    layer = nn.Linear(2, 2)
    for wrap in (parametrizations.spectral_norm, nn.utils.spectral_norm):
        with pytest.raises(ValueError, match="at least 1, got 0"):
            wrap(layer, n_power_iterations=0)
        with pytest.raises(IndexError, match="from -2 to 1, got 2"):
            wrap(layer, dim=2)
    with pytest.raises(ValueError, match="parameter or buffer 'nothing'"):
        parametrizations.spectral_norm(layer, "nothing")
    assert sorted(layer.state_dict()) == ["bias", "weight"]


# --- orthogonal


def reflections(x):
    """The product of the Householder reflections of x, one after the other."""
    n, k = x.shape
    q = np.eye(n)
    for i in range(k):
        v = np.concatenate([np.zeros(i), [1.0], x[i + 1 :, i]])
        q = q @ (np.eye(n) - 2 * np.outer(v, v) / (v @ v))
    return q[:, :k] * np.sign(np.diagonal(x))


def rotation(x, kind):
    """exp(A) by the eigenvectors of A, or Cayley's map by a linear system; A is skew-symmetric."""
    n, k = x.shape
    lower = np.zeros((n, n))
    lower[:, :k] = np.tril(x, -1)
    a = lower - lower.T
    if kind == "cayley":
        return np.linalg.solve((np.eye(n) - a / 2).T, (np.eye(n) + a / 2).T).T[:, :k]
    values, vectors = np.linalg.eigh(1j * a)
    return ((vectors * np.exp(-1j * values)) @ vectors.conj().T).real[:, :k]


MAPS = ("matrix_exp", "cayley", "householder")
MATRICES = [(1, 1), (4, 4), (7, 3), (3, 7), (5, 1), (1, 5), (33, 20), (2, 5, 3), (2, 3, 3, 3)]


def orthogonal_module(shape, *args, scale=1.0, **settings):
    module = nn.Module()
    module.weight = nn.Parameter(dnn.tensor(scale * np.random.default_rng(sum(shape)).normal(size=shape)))
    return parametrizations.orthogonal(module, "weight", *args, **settings)


@pytest.mark.parametrize("shape", MATRICES, ids=str)
@pytest.mark.parametrize("kind", MAPS)
def test_orthogonal_follows_the_formulas(kind, shape):
    module = orthogonal_module(shape, kind, use_trivialization=False)
    original = module.parametrizations.weight.original
    random = np.random.default_rng(len(shape))
    for size in (0.1, 1.0, 30.0):  # the larger, the more squarings of the exponential
        x = size * random.normal(size=shape)
        with dnn.no_grad():
            original.copy_(dnn.tensor(x))
        tall = x.reshape(-1, *shape[-2:]) if shape[-2] >= shape[-1] else x.reshape(-1, *shape[-2:]).swapaxes(-1, -2)
        expected = np.stack([reflections(one) if kind == "householder" else rotation(one, kind) for one in tall])
        expected = (expected if shape[-2] >= shape[-1] else expected.swapaxes(-1, -2)).reshape(shape)
        tolerance = 1e-12 * max(1.0, size)
        np.testing.assert_allclose(module.weight.detach().numpy(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5), (2, 4, 3)], ids=str)
@pytest.mark.parametrize("kind", MAPS)
def test_gradients_of_orthogonal(kind, shape):
    parametrization = orthogonal_module(shape, kind).parametrizations.weight[0]
    x = np.random.default_rng(1).normal(size=shape)
    places = np.arange(min(shape[-2:]))
    x[..., places, places] = -1  # away from the jump of the signs at 0
    leaf = dnn.tensor(x, requires_grad=True)
    assert dnn.autograd.gradcheck(parametrization, (leaf,))
    assert dnn.autograd.gradgradcheck(parametrization, (leaf,))


@pytest.mark.parametrize("dtype", [dnn.float32, dnn.float64], ids=str)
@pytest.mark.parametrize("shape", MATRICES, ids=str)
@pytest.mark.parametrize("kind", [*MAPS, None])
def test_orthogonal_starts_at_the_orthogonalised_weight_and_stays_orthogonal(kind, shape, dtype):
    dnn.manual_seed(3)
    module = nn.Module()
    module.weight = nn.Parameter(dnn.randn(shape, dtype=dtype))
    values = module.weight.detach().double().numpy().copy()
    parametrizations.orthogonal(module, "weight", kind)
    wide = shape[-2] < shape[-1]
    q, r = np.linalg.qr(values.swapaxes(-1, -2) if wide else values)
    q = q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]
    rounding = 100 * np.finfo(np.float32 if dtype == dnn.float32 else np.float64).eps
    np.testing.assert_allclose(module.weight.detach().double().numpy(), q.swapaxes(-1, -2) if wide else q, rtol=0, atol=rounding)
    optimizer = dnn.optim.SGD(module.parameters(), lr=0.1, weight_decay=0.1)
    before = module.weight.detach().clone()
    for _ in range(3):
        optimizer.zero_grad()
        (module.weight * dnn.linspace(-1, 1, module.weight.numel(), dtype=dtype).reshape(shape)).sum().backward()
        optimizer.step()
    found = module.weight.detach().double().numpy()
    tall = found.swapaxes(-1, -2) if wide else found
    assert max(shape[-2:]) == 1 or not module.weight.allclose(before)
    identity = np.broadcast_to(np.eye(tall.shape[-1]), (*shape[:-2], tall.shape[-1], tall.shape[-1]))
    np.testing.assert_allclose(tall.swapaxes(-1, -2) @ tall, identity, rtol=0, atol=rounding)


@pytest.mark.parametrize(("kind", "trivial"), [*((kind, True) for kind in MAPS), ("householder", False)])
@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6)], ids=str)
def test_an_orthogonal_weight_keeps_its_value_and_can_be_set(kind, trivial, shape):
    dnn.manual_seed(4)
    first, second = (nn.init.orthogonal_(dnn.empty(shape, dtype=dnn.float64)) for _ in range(2))
    layer = nn.Linear(shape[1], shape[0], dtype=dnn.float64)
    with dnn.no_grad():
        layer.weight.copy_(first)
    parametrizations.orthogonal(layer, "weight", kind, use_trivialization=trivial)
    np.testing.assert_allclose(layer.weight.detach().numpy(), first.numpy(), rtol=0, atol=1e-14)
    layer.weight = second
    np.testing.assert_allclose(layer.weight.detach().numpy(), second.numpy(), rtol=0, atol=1e-14)
    names = ["parametrizations.weight.0.base"] if trivial else []
    assert sorted(layer.state_dict()) == ["bias", *names, "parametrizations.weight.original"]
    twin = parametrizations.orthogonal(
        nn.Linear(shape[1], shape[0], dtype=dnn.float64), "weight", kind, use_trivialization=trivial
    )
    twin.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(twin.weight.detach().numpy(), layer.weight.detach().numpy())
    np.testing.assert_array_equal(copy.deepcopy(layer).weight.detach().numpy(), layer.weight.detach().numpy())
    with pytest.raises(ValueError, match=r"orthogonal: expected a tensor of shape"):
        layer.weight = dnn.zeros(2, 2, dtype=dnn.float64)
    parametrize.remove_parametrizations(layer, "weight")
    np.testing.assert_array_equal(layer.weight.detach().numpy(), twin.weight.detach().numpy())


def test_orthogonal_after_another_parametrization():
    layer = parametrizations.weight_norm(nn.Linear(4, 4))
    parametrizations.orthogonal(layer, "weight", "cayley")
    assert (layer.weight @ layer.weight.T).allclose(dnn.eye(4), atol=1e-6)


def test_orthogonal_refuses():
    layer = nn.Linear(3, 3)
    with pytest.raises(ValueError, match="orthogonal: expected a parameter or buffer 'nothing', got NoneType"):
        parametrizations.orthogonal(layer, "nothing")
    with pytest.raises(ValueError, match=r"a matrix or a batch of matrices, got shape \(3,\)"):
        parametrizations.orthogonal(layer, "bias")
    with pytest.raises(ValueError, match="orthogonal_map of matrix_exp, cayley, householder, got 'givens'"):
        parametrizations.orthogonal(layer, orthogonal_map="givens")
    assert not parametrize.is_parametrized(layer)
    parametrizations.orthogonal(layer, use_trivialization=False)
    assert (layer.weight @ layer.weight.T).allclose(dnn.eye(3), atol=1e-6)
    with pytest.raises(NotImplementedError, match=r"'matrix_exp' without use_trivialization cannot be set.*'householder'"):
        layer.weight = dnn.eye(3)
