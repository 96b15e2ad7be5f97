"""Modules, layers, initial values: PyTorch's vocabulary and numbers."""

from __future__ import annotations

import copy
import math
import pickle

import dnncore as dnn
import dnncore.nn.functional as F
import numpy as np
import pytest
from dnncore import nn
from dnncore.nn.module import module_paths

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}

NUMPY = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "gelu": lambda x: 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
}


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.scale = nn.Parameter(dnn.ones(4))
        self.register_buffer("count", dnn.zeros(1))
        self.register_buffer("scratch", dnn.zeros(1), persistent=False)

    def forward(self, x):
        return self.inner(x) * self.scale


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), Block7(), nn.Linear(7, 3))


class Block7(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(7, 7), nn.Tanh()])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


# --- Registration and walking


def test_names_follow_the_attributes():
    block = Block()
    assert [name for name, _ in block.named_parameters()] == ["scale", "inner.weight", "inner.bias"]
    assert [name for name, _ in block.named_buffers()] == ["count", "scratch"]
    assert [name for name, _ in block.named_modules()] == ["", "inner"]
    assert list(block.state_dict()) == ["scale", "count", "inner.weight", "inner.bias"]
    assert [name for name, _ in mlp().named_modules()] == [
        "",
        "0",
        "1",
        "2",
        "2.layers",
        "2.layers.0",
        "2.layers.1",
        "3",
    ]


def test_tied_parameters_appear_once():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert len(list(model.named_parameters(remove_duplicate=False))) == 4
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_attributes_can_be_replaced_and_deleted():
    block = Block()
    block.inner = nn.Identity()
    assert isinstance(block.inner, nn.Identity)
    block.scale = None
    assert block.scale is None
    assert list(block.parameters()) == []
    del block.inner
    with pytest.raises(AttributeError, match="'Block' object has no attribute 'inner'"):
        block.inner  # noqa: B018
    block.count = dnn.ones(1)
    assert block.count.tolist() == [1.0]
    assert "count" in dir(block)


@pytest.mark.parametrize(
    ("act", "error", "match"),
    [
        (lambda m: setattr(m, "scale", dnn.ones(4)), TypeError, "nn.Parameter or None for parameter 'scale'"),
        (lambda m: setattr(m, "inner", 3), TypeError, "nn.Module or None for sub-module 'inner'"),
        (lambda m: setattr(m, "count", 3), TypeError, "Tensor or None for buffer 'count'"),
        (lambda m: m.register_parameter("a.b", nn.Parameter(dnn.ones(1))), KeyError, "without a dot"),
        (lambda m: m.register_parameter("a", dnn.ones(1)), TypeError, "nn.Parameter or None for 'a'"),
        (lambda m: m.register_buffer("forward", dnn.ones(1)), KeyError, "exists already"),
        (lambda m: m.register_buffer("b", 1), TypeError, "Tensor or None for 'b'"),
        (lambda m: m.add_module("b", 1), TypeError, "nn.Module or None for 'b'"),
        (lambda m: m.train(1), TypeError, "bool"),
        (lambda m: m.get_submodule("inner.x"), AttributeError, "no sub-module 'inner.x'"),
    ],
)
def test_wrong_registration_is_refused(act, error, match):
    with pytest.raises(error, match=match):
        act(Block())


def test_forgotten_super_init_is_named():
    class Forgetful(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"call super\(\).__init__\(\)"):
        Forgetful()
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()(1)


def test_modes_freezing_apply_and_gradients():
    model = mlp()
    assert all(not module.training for module in model.eval().modules())
    assert all(module.training for module in model.train().modules())
    model[0].requires_grad_(False)
    model(dnn.ones(2, 5)).sum().backward()
    assert [parameter.grad is None for parameter in model.parameters()] == [True, True, False, False, False, False]
    model.zero_grad(set_to_none=False)
    assert all(parameter.grad.abs().sum().item() == 0 for parameter in model[3].parameters())
    model.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())
    seen = []
    assert model.apply(lambda module: seen.append(type(module).__name__)) is model
    assert seen == ["Linear", "ReLU", "Linear", "Tanh", "ModuleList", "Block7", "Linear", "Sequential"]


def test_repr_is_pytorchs():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False), nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh()]))
    assert repr(model) == (
        "Sequential(\n"
        "  (0): Flatten(start_dim=1, end_dim=-1)\n"
        "  (1): Linear(in_features=4, out_features=2, bias=False)\n"
        "  (2): ModuleList(\n"
        "    (0-1): 2 x ReLU()\n"
        "    (2): Tanh()\n"
        "  )\n"
        ")"
    )
    assert repr(nn.Parameter(dnn.zeros(1))).startswith("Parameter containing:\n")


# --- Containers


def test_sequential_is_a_sequence():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU()).append(nn.Tanh()).extend([nn.Identity()])
    assert len(model) == 4
    assert isinstance(model[-1], nn.Identity)
    assert [type(m).__name__ for m in model[1:3]] == ["ReLU", "Tanh"]
    del model[1]
    assert list(dict(model.named_children())) == ["0", "1", "2"]
    model[1] = nn.Sigmoid()
    assert isinstance(model[1], nn.Sigmoid)
    with pytest.raises(IndexError, match="index 3 is out of range for 3 modules"):
        model[3]
    named = nn.Sequential({"first": nn.Linear(2, 2), "second": nn.ReLU()})
    assert list(named.state_dict()) == ["first.weight", "first.bias"]


def test_module_list_is_a_list():
    layers = nn.ModuleList([nn.ReLU()])
    layers.append(nn.Tanh()).insert(0, nn.Sigmoid())
    assert [type(m).__name__ for m in layers] == ["Sigmoid", "ReLU", "Tanh"]
    del layers[1:]
    assert len(layers) == 1


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 17, 5), (64, 33, 130), (0, 4, 3)])
def test_fused_linear_has_the_same_bits(name, bias, shape):
    rows, inputs, outputs = shape
    linear, activation = nn.Linear(inputs, outputs, bias=bias), ACTIVATIONS[name]()
    x = dnn.randn(rows, inputs, requires_grad=True)
    fused = nn.Sequential(linear, activation)(x)
    fused.sum().backward()
    gradients = [x.grad.numpy().copy(), *(p.grad.numpy().copy() for p in linear.parameters())]
    x.grad = None
    linear.zero_grad()
    plain = activation(linear(x))
    plain.sum().backward()
    np.testing.assert_array_equal(fused.detach().numpy(), plain.detach().numpy())
    for fused_gradient, parameter in zip(gradients, [x, *linear.parameters()], strict=True):
        np.testing.assert_array_equal(fused_gradient, parameter.grad.numpy())


def test_sequential_fuses_only_when_nobody_listens(monkeypatch):
    calls = []
    real = dnn._core.linear
    monkeypatch.setattr(dnn._core, "linear", lambda *args: calls.append(args[3]) or real(*args))
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    x = dnn.ones(1, 2)
    model(x)
    assert calls == ["relu", None]
    middle = []
    with model[0].register_forward_hook(lambda module, args, output: middle.append(output)):
        calls.clear()
        model(x)
        assert calls == [None, None]
        assert len(middle) == 1
    with model[1].register_forward_pre_hook(lambda module, args: middle.append(args[0])):
        calls.clear()
        model(x)
        assert calls == [None, None]

    class Shifted(nn.ReLU):
        def forward(self, x):
            return super().forward(x) + 1

    calls.clear()
    nn.Sequential(nn.Linear(2, 2), Shifted())(x)
    assert calls == [None]


def test_hooks_see_and_change_values():
    layer = nn.Identity()
    first = layer.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    second = layer.register_forward_hook(lambda module, args, output: output + args[0])
    assert layer(dnn.ones(1)).item() == 4.0
    first.remove()
    first.remove()
    assert layer(dnn.ones(1)).item() == 2.0
    second.remove()
    assert layer(dnn.ones(1)).item() == 1.0


def test_running_module_is_reported_while_recording():
    model = mlp()
    seen = []
    with module_paths(model, seen.append):
        model(dnn.ones(1, 5))
    assert seen == [
        "Sequential", "0", "Sequential", "2", "2.layers.0", "2", "2.layers.1", "2", "Sequential", "3", "Sequential", "",
    ]  # fmt: skip
    model(dnn.ones(1, 5))
    assert len(seen) == 12
    with dnn._core._record_launches() as log, module_paths(model):
        model(dnn.ones(1, 5))
    assert {launch["module"] for launch in log if launch["op"] == "linear"} == {"0", "2.layers.0", "3"}


# --- Layers and losses


def test_linear_draws_pytorchs_distribution():
    layer = nn.Linear(256, 512)
    bound = 1 / 16
    for values in (layer.weight.detach().numpy(), layer.bias.detach().numpy()):
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.98 * bound
        assert abs(values.mean()) < 4 * bound / math.sqrt(3 * values.size)
    assert nn.Linear(2, 3, dtype=dnn.float64).weight.dtype == dnn.float64
    assert nn.Linear(0, 3)(dnn.zeros(2, 0)).shape == (2, 3)
    with pytest.raises(ValueError, match="expected out_features of at least 0, got -1"):
        nn.Linear(2, -1)


def test_same_seed_same_weights():
    def weights(seed):
        dnn.manual_seed(seed)
        return nn.Linear(4, 4).weight.detach().numpy().copy()

    np.testing.assert_array_equal(weights(3), weights(3))
    assert (weights(3) != weights(4)).any()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_layers_and_functions(name):
    x = np.linspace(-4, 4, 41)
    expected = NUMPY[name](x)
    tensor = dnn.tensor(x)
    assert tensor.dtype == dnn.float64
    np.testing.assert_allclose(ACTIVATIONS[name]()(tensor).numpy(), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(getattr(F, name)(tensor).numpy(), expected, rtol=1e-12, atol=1e-14)


def test_flatten_and_identity():
    x = dnn.arange(24).reshape(2, 3, 4)
    assert nn.Flatten()(x).shape == (2, 12)
    assert nn.Flatten(0, 1)(x).shape == (6, 4)
    assert nn.Identity(1, a=2)(x) is x


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_layer(reduction):
    rng = np.random.default_rng(0)
    logits, target = rng.normal(size=(6, 4)), np.array([0, 3, -100, 1, 2, -100])
    lines = np.log(np.exp(logits).sum(1)) - logits[np.arange(6), target % 4]
    lines[target == -100] = 0
    expected = {"mean": lines.sum() / 4, "sum": lines.sum(), "none": lines}[reduction]
    x, y = dnn.tensor(logits), dnn.tensor(target)
    np.testing.assert_allclose(nn.CrossEntropyLoss(reduction=reduction)(x, y).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(F.cross_entropy(x, y, reduction=reduction).numpy(), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="reduction 'mean', 'sum' or 'none'"):
        nn.CrossEntropyLoss(reduction="max")


# --- Initial values


@pytest.mark.parametrize(
    ("fill", "std", "bound"),
    [
        (lambda w: nn.init.uniform_(w, -2, 2), 2 / math.sqrt(3), 2),
        (lambda w: nn.init.normal_(w, 0, 0.3), 0.3, None),
        (lambda w: nn.init.xavier_uniform_(w, gain=2), 2 * math.sqrt(2 / 500), 2 * math.sqrt(6 / 500)),
        (lambda w: nn.init.xavier_normal_(w), math.sqrt(2 / 500), None),
        (lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"), math.sqrt(2 / 300), math.sqrt(6 / 300)),
        (lambda w: nn.init.kaiming_normal_(w, mode="fan_out", nonlinearity="linear"), math.sqrt(1 / 200), None),
    ],
)
def test_initial_values_have_their_spread(fill, std, bound):
    weight = nn.Parameter(dnn.empty(200, 300))
    assert fill(weight) is weight
    values = weight.detach().numpy()
    assert weight.is_leaf
    assert abs(values.mean()) < 5 * std / math.sqrt(values.size)
    assert abs(values.std() / std - 1) < 0.02
    assert bound is None or np.abs(values).max() <= bound


def test_initial_values_from_an_own_generator():
    def draw(seed):
        return nn.init.normal_(dnn.empty(5), generator=dnn.Generator().manual_seed(seed)).tolist()

    assert draw(1) == draw(1) != draw(2)


@pytest.mark.parametrize(
    ("act", "match"),
    [
        (lambda: nn.init.xavier_uniform_(dnn.empty(3)), r"xavier_uniform_: expected at least 2 dimensions.*\(3,\)"),
        (lambda: nn.init.kaiming_normal_(dnn.empty(3, 3), mode="fan"), "fan_in"),
        (lambda: nn.init.calculate_gain("swish"), "calculate_gain: expected one of"),
    ],
)
def test_initialisers_refuse(act, match):
    with pytest.raises(ValueError, match=match):
        act()


def test_gains():
    assert nn.init.calculate_gain("relu") == math.sqrt(2)
    assert nn.init.calculate_gain("leaky_relu", 1.0) == 1.0


# --- State


def test_state_round_trip_and_sharing():
    source, target = mlp(), mlp()
    state = source.state_dict()
    assert not any(value.requires_grad for value in state.values())
    keys = target.load_state_dict(state)
    assert keys == ([], [])
    x = dnn.randn(3, 5)
    np.testing.assert_array_equal(source(x).detach().numpy(), target(x).detach().numpy())
    state["0.bias"].fill_(7.0)
    assert source[0].bias.tolist() == [7.0] * 7


def test_load_lists_every_mismatch_and_writes_nothing():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    state = {"0.weight": dnn.ones(3, 2), "0.bias": dnn.ones(4), "1.weight": dnn.ones(1, 3), "2.weight": dnn.ones(1)}
    with pytest.raises(ValueError, match="load_state_dict: the values do not fit Sequential") as caught:
        model.load_state_dict(state)
    message = str(caught.value)
    assert "0.bias: expected shape (3,), got (4,)" in message
    assert "1.bias: missing, expected shape (1,)" in message
    assert "2.weight: unexpected" in message
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    state["0.bias"] = np.zeros(3)
    keys = model.load_state_dict(state, strict=False)
    assert keys.missing_keys == ["1.bias"]
    assert keys.unexpected_keys == ["2.weight"]
    assert model[0].bias.tolist() == [0.0] * 3
    with pytest.raises(TypeError, match="mapping"):
        model.load_state_dict([1])


def test_modules_are_copied_and_pickled():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    model[0].weight.requires_grad_(False)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin[0].weight is not model[0].weight
        assert not twin[0].weight.requires_grad
        assert twin[0].bias.requires_grad
        np.testing.assert_array_equal(twin[0].weight.numpy(), model[0].weight.numpy())
        with dnn.no_grad():
            twin[0].weight.fill_(0.0)
        assert model[0].weight.abs().sum().item() > 0


# --- Gradient switches


SWITCHES = [
    (dnn.no_grad, (), False),
    (dnn.enable_grad, (), True),
    (dnn.inference_mode, (), False),
    (dnn.inference_mode, (False,), True),
    (dnn.set_grad_enabled, (False,), False),
    (dnn.set_grad_enabled, (True,), True),
]


@pytest.mark.parametrize(("switch", "args", "inside"), SWITCHES)
@pytest.mark.parametrize("outside", [True, False])
def test_switch_as_context_and_decorator(switch, args, inside, outside):
    with dnn.set_grad_enabled(outside):
        with switch(*args):
            assert dnn.is_grad_enabled() is inside
        assert dnn.is_grad_enabled() is outside

        @switch(*args)
        def work(depth):
            assert dnn.is_grad_enabled() is inside
            return work(depth - 1) if depth else depth

        assert dnn.is_grad_enabled() is outside
        assert work(2) == 0
        assert work.__name__ == "work"
        assert dnn.is_grad_enabled() is outside
        with pytest.raises(ZeroDivisionError), switch(*args):
            raise ZeroDivisionError
        assert dnn.is_grad_enabled() is outside


def test_set_grad_enabled_acts_at_once():
    dnn.set_grad_enabled(False)
    assert not dnn.is_grad_enabled()
    dnn.set_grad_enabled(True)
    assert dnn.is_grad_enabled()


def test_switch_refuses_generators():
    with pytest.raises(TypeError, match="no_grad: expected a plain function"):

        @dnn.no_grad()
        def numbers():
            yield 1
