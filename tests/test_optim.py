"""SGD against PyTorch's rule written in NumPy, and everything around the rule."""

from __future__ import annotations

import dnncore as dnn
import numpy as np
import pytest
from dnncore import nn, optim

SETTINGS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.5},
    {"momentum": 0.9, "nesterov": True},
    {"weight_decay": 0.1},
    {"momentum": 0.5, "weight_decay": 0.01, "nesterov": True},
    {"maximize": True, "momentum": 0.9, "weight_decay": 0.1},
]


def reference_sgd(p, g, buf, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False):
    d = (-g if maximize else g) + weight_decay * p
    if momentum:
        buf = d if buf is None else momentum * buf + (1 - dampening) * d
        d = d + momentum * buf if nesterov else buf
    return p - lr * d, buf


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("dtype", [dnn.float32, dnn.float64], ids=str)
def test_sgd_follows_the_rule(settings, dtype):
    rng = np.random.default_rng(0)
    shapes = [(3, 5), (7,), (), (1, 33)]
    values = [rng.normal(size=shape) for shape in shapes]
    params = [dnn.tensor(value, dtype=dtype, requires_grad=True) for value in values]
    buffers = [None] * len(shapes)
    optimizer = optim.SGD(params, lr=0.1, **settings)
    for _ in range(4):
        for i, param in enumerate(params):
            gradient = rng.normal(size=shapes[i])
            param.grad = dnn.tensor(gradient, dtype=dtype)
            values[i], buffers[i] = reference_sgd(values[i], gradient, buffers[i], 0.1, **settings)
        optimizer.step()
    tolerance = 1e-5 if dtype == dnn.float32 else 1e-13
    for param, value in zip(params, values, strict=True):
        np.testing.assert_allclose(param.detach().numpy(), value, rtol=tolerance, atol=tolerance)


def test_no_gradient_no_update():
    moved, still = (dnn.ones(3, requires_grad=True) for _ in range(2))
    optimizer = optim.SGD([moved, still], lr=0.5, momentum=0.9, weight_decay=0.5)
    moved.grad = dnn.ones(3)
    optimizer.step()
    assert still.tolist() == [1.0] * 3
    assert moved.tolist() != [1.0] * 3
    assert list(optimizer.state) == [moved]
    optimizer.zero_grad(set_to_none=False)
    assert moved.grad.tolist() == [0.0] * 3
    assert still.grad is None
    optimizer.zero_grad()
    assert moved.grad is None


def test_writing_a_group_takes_effect():
    w = dnn.ones(1, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    w.grad = dnn.ones(1)
    optimizer.param_groups[0]["lr"] = 0.5
    optimizer.step()
    assert w.item() == 0.5
    optimizer.param_groups[0].update(lr=0.25, maximize=True)
    optimizer.step()
    assert w.item() == 0.75
    optimizer.param_groups[0] |= {"lr": 0.0}
    optimizer.step()
    assert w.item() == 0.75
    with pytest.raises(ValueError, match="lr of at least 0, got -1"):
        optimizer.param_groups[0]["lr"] = -1
    assert optimizer.param_groups[0]["lr"] == 0.0


def test_groups_have_their_own_settings():
    a, b, c = (dnn.ones(2, requires_grad=True) for _ in range(3))
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.25, momentum=0.5)
    for p in (a, b):
        p.grad = dnn.ones(2)
    optimizer.step()
    assert (a[0].item(), b[0].item()) == (0.75, 0.5)
    optimizer.add_param_group({"params": [c], "momentum": 0.0})
    c.grad = dnn.ones(2)
    optimizer.step()  # the momentum of a and b outlived the new group
    assert (a[0].item(), b[0].item(), c[0].item()) == (0.375, -0.25, 0.75)
    assert repr(optimizer).startswith("SGD (\nParameter Group 0\n    dampening: 0\n    differentiable: False\n")


def test_state_travels():
    def fresh():
        dnn.manual_seed(5)
        model = nn.Linear(3, 2)
        return model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def advance(model, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            model(dnn.ones(4, 3)).square().sum().backward()
            optimizer.step()

    straight, whole = fresh()
    advance(straight, whole, 5)
    first, optimizer = fresh()
    advance(first, optimizer, 2)
    state = optimizer.state_dict()
    assert sorted(state["state"]) == [0, 1]
    assert state["param_groups"][0]["params"] == [0, 1]
    second, resumed = fresh()
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(state)
    advance(first, optimizer, 1)  # must not reach the one that was loaded
    advance(second, resumed, 3)
    np.testing.assert_array_equal(second.weight.detach().numpy(), straight.weight.detach().numpy())
    with pytest.raises(ValueError, match=r"groups of \[2\] parameters, got \[1\]"):
        resumed.load_state_dict({"state": {}, "param_groups": [{"params": [0]}]})
    with pytest.raises(ValueError, match=r"momentum_buffer 1 of shape \(2,\), got \(3,\)"):
        resumed.load_state_dict({**state, "state": {1: {"momentum_buffer": dnn.ones(3)}}})


def test_closure_and_returned_loss():
    w = dnn.ones(1, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with dnn.no_grad():
        assert optimizer.step(closure).item() == 1.0
    assert w.item() == 0.5


W = dnn.ones(1, requires_grad=True)


@pytest.mark.parametrize(
    ("act", "error", "match"),
    [
        (lambda: optim.SGD([], lr=0.1), ValueError, "empty"),
        (lambda: optim.SGD(W), TypeError, "got a Tensor"),
        (lambda: optim.SGD([1]), TypeError, "expected tensors, got int"),
        (lambda: optim.SGD([W * 2]), ValueError, "leaf"),
        (lambda: optim.SGD([W, W]), ValueError, "more than once"),
        (lambda: optim.SGD([{"params": [W]}, {"params": [W]}]), ValueError, "more than once"),
        (lambda: optim.SGD([{"lr": 1}]), ValueError, "expected 'params'"),
        (lambda: optim.SGD([{"params": {W}}]), TypeError, "fixed order"),
        (lambda: optim.SGD([W], lr=-0.1), ValueError, "lr of at least 0, got -0.1"),
        (lambda: optim.SGD([W], lr=float("nan")), ValueError, "lr of at least 0, got nan"),
        (lambda: optim.SGD([W], lr="1"), TypeError, "number for lr, got str"),
        (lambda: optim.SGD([W], momentum=-1), ValueError, "momentum of at least 0"),
        (lambda: optim.SGD([W], weight_decay=-1), ValueError, "weight_decay of at least 0"),
        (lambda: optim.SGD([W], nesterov=True), ValueError, "nesterov needs momentum"),
        (lambda: optim.SGD([W], momentum=0.9, dampening=0.1, nesterov=True), ValueError, "nesterov needs momentum"),
        (lambda: optim.SGD([W], differentiable=True), ValueError, "differentiable=False"),
    ],
)
def test_wrong_arguments_are_refused(act, error, match):
    with pytest.raises(error, match=match):
        act()
