"""In-place changes and assignments on the tape: recorded where they can be followed, refused where they cannot."""

import dnncore as dnn
import numpy as np
import pytest
from dnncore import nn
from dnncore.autograd import gradcheck, gradgradcheck

F64 = dnn.float64
A = np.random.default_rng(0).uniform(0.3, 1.4, (3, 4))


def leaf(*values):
    return dnn.tensor(list(values), dtype=F64, requires_grad=True)


W = np.random.default_rng(1).uniform(0.5, 1.5, (3, 4))


def changed(write):
    """x -> write(a copy of x) as a function of tensors."""

    def fn(x, w):
        y = x * 1
        result = write(y, w)
        return y if result is None else result

    return fn


IN_PLACE = {
    "add_": lambda y, w: y.add_(w),
    "sub_ mul_": lambda y, w: y.sub_(w).mul_(w),
    "mul_ by itself": lambda y, w: y.mul_(y),
    "div_ pow_": lambda y, w: y.div_(w).pow_(2),
    "number": lambda y, w: y.mul_(2).add_(w),
    "row": lambda y, w: y.add_(w[0]),
    "unary": lambda y, w: y.exp_().mul_(w).tanh_().sqrt_(),
    "square_": lambda y, w: y.square_().mul_(w),
    "copy_": lambda y, w: y.copy_(w[1]),
    "fill_": lambda y, w: y.fill_(2.0).mul_(w),
    "a row set": lambda y, w: y.__setitem__(1, w[2] ** 2),
    "a block set": lambda y, w: y.__setitem__((slice(0, 2), slice(1, None, 2)), w[:2, :2]),
    "broadcast": lambda y, w: y.__setitem__((slice(None), 0), w[0, 0]),
    "more dimensions": lambda y, w: y.__setitem__(0, w[:1]),
    "a number set": lambda y, w: y.__setitem__((0, 1), 3.0),
    "an index set": lambda y, w: y.__setitem__([2, 0], w[:2]),
    "a mask set": lambda y, w: y.__setitem__(dnn.tensor(A > 0.8), w[0, 0] * 2),
    "twice": lambda y, w: (y.__setitem__(0, w[0]), y.__setitem__((slice(None), 1), y[:, 2] + w[:, 1]))[:0] or None,
    "into zeros": lambda y, w: filled(y, w),
}


def filled(y, w):
    out = dnn.zeros(3, 4, 2, dtype=F64)
    for i in range(4):
        out[:, i, 0] = y[:, i] * w[:, 0]
    out[:, :, 1] = w
    return out * out


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_changes_are_recorded(name):
    fn = changed(IN_PLACE[name])
    assert gradcheck(fn, (A, W))
    assert gradgradcheck(fn, (A, W))


def test_augmented_assignment_in_a_network():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = x * w
    same = y
    y += x
    assert y is same
    y *= 2
    y.sum().backward()
    assert x.grad.tolist() == [8.0, 10.0]
    assert w.grad.tolist() == [2.0, 4.0]


def test_the_output_of_a_linear_layer_may_be_changed():
    layer = nn.Linear(4, 4, dtype=F64)
    for x in (dnn.tensor(A), dnn.tensor(A).unsqueeze(0), dnn.tensor(A[0])):
        y = layer(x)
        y += x
        y.sum().backward()
    assert layer.bias.grad.tolist() == [7.0] * 4


def test_an_in_place_change_spoils_what_was_saved():
    x = leaf(1.0, 2.0)
    y = x * 1
    z = (y * y).sum()
    y += 1
    with pytest.raises(RuntimeError, match="changed in place"):
        z.backward()


def test_hooks_and_retained_gradients_of_a_changed_tensor():
    x = leaf(1.0)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.item()))
    y.retain_grad()
    y *= 3
    (y * y).sum().backward()
    assert seen == [36.0]  # of the value it was registered on
    assert y.grad.tolist() == [12.0]  # of the value it holds now
    assert x.grad.tolist() == [72.0]


def test_in_place_changes_that_cannot_be_followed_are_refused():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="leaf"):
        x += 1
    with pytest.raises(RuntimeError, match="leaf"):
        x[0] = 1
    y = x * 2
    view = y[0]
    with pytest.raises(RuntimeError, match="tensor that has views"):
        y += 1
    with pytest.raises(RuntimeError, match="view"):
        view += 1
    del view
    y += 1
    assert y.tolist() == [3.0, 5.0]
    plain = dnn.zeros(2, dtype=F64)
    part = plain[:1]
    with pytest.raises(RuntimeError, match="tensor that has views"):
        plain += x
    part += 1
    assert plain.tolist() == [1.0, 0.0]
    with dnn.no_grad():
        x += 1
    assert x.tolist() == [2.0, 3.0]


@pytest.mark.parametrize("module", [nn.ReLU6, nn.SiLU, nn.ELU, nn.Hardtanh, nn.LeakyReLU, nn.ReLU])
def test_activations_in_place_keep_the_gradient(module):
    assert gradcheck(lambda x: module(inplace=True)(x * 1.7) * x, A)


def test_dropout_in_place_keeps_the_gradient():
    x = dnn.ones(1000, requires_grad=True)
    y = nn.functional.dropout(x * 1, 0.5, inplace=True)
    y.sum().backward()
    assert np.array_equal(x.grad.numpy(), y.detach().numpy())
