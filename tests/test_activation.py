"""Activations with parameters: values, special values, gradients, in-place forms, layers; PyTorch's answers from a file."""

import copy

import dnncore as dnn
import numpy as np
import pytest
from activation_cases import CASES, INPLACE, kernel_of
from cases import FLOATS, GOLDEN, HALVES, ISAS, LAYOUTS, LENGTHS, SHAPES, draw, numbers, tensor, use_isa
from dnncore import _core, nn
from dnncore.nn import functional as F
from reference import assert_exact, assert_ulp, assert_within, rounded, unit, widest
from test_gradients import assert_gradients, values

EXPECTED = dict(np.load(GOLDEN / "activation_layers.npz"))
LAYERS = [str(call) for call in EXPECTED["layers"]]


def make(call):
    return eval(call, {name: getattr(nn, name) for name in nn.__all__})


def exact_values(case, x):
    with np.errstate(all="ignore"):
        return np.asarray(case.oracle(widest(x)))


def test_every_kernel_activation_has_a_case():
    assert {kernel_of(name) for name in CASES} == set(_core.activation_names())


# --- Values


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", CASES)
def test_values(isa, dtype, name):
    case = CASES[name]
    x = rounded(
        np.concatenate([draw((5000,), dtype, 1, -8, 8), draw((2000,), dtype, 2, -90, 90), np.linspace(-1, 1, 999)]), dtype
    )
    exact = exact_values(case, x)
    ulp = 0.51 if dtype in HALVES else case.ulp + (2 if dtype == "float64" and case.ulp else 0)
    absolute = case.absolute * (2**-29 if dtype == "float64" else 1)
    with use_isa(isa):
        actual = numbers(case.call(tensor(x, dtype)))
    if dtype in HALVES:  # computed in float32, rounded once
        absolute = case.absolute + 2.0**-24
    assert_ulp(actual, exact, dtype, ulp, absolute, x, name)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", CASES)
def test_shapes_and_layouts(isa, name):
    """One vector of values in every shape and layout: each element has the bits it has alone."""
    case = CASES[name]
    with use_isa(isa):
        for n in LENGTHS:
            x = draw((n,), "float32", n).astype(np.float32)
            whole = numbers(case.call(tensor(x)))
            assert_exact(whole[n // 3 :], numbers(case.call(tensor(x[n // 3 :].copy()))), f"{name} {n}")
        for shape in SHAPES:
            x = draw(shape, "float32", 3).astype(np.float32)
            flat = numbers(case.call(tensor(x.ravel()))).reshape(shape)
            for layout in LAYOUTS:
                expected = np.broadcast_to(flat[..., :1], shape) if layout == "expanded" and x.ndim and x.size else flat
                actual = numbers(case.call(tensor(x, "float32", layout))).reshape(shape)
                assert_exact(actual, np.ascontiguousarray(expected).reshape(shape), f"{name} {shape} {layout}")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_slopes(isa, dtype, name):
    """The gradient kernel against the formula, at kinks too: 16 units of the largest value involved."""
    case = CASES[name]
    kinks = np.array(case.kinks, dtype)
    x = np.concatenate([draw((3000,), dtype, 4, -8, 8).astype(dtype), kinks, draw((500,), dtype, 5, -90, 90).astype(dtype)])
    g = draw(x.shape, dtype, 6).astype(dtype)
    with use_isa(isa):
        leaf = tensor(x, dtype).requires_grad_()
        case.call(leaf).backward(tensor(g, dtype))
    with np.errstate(all="ignore"):
        exact = np.asarray(case.slope(widest(x)) * widest(g), np.float64)
    assert_within(numbers(leaf.grad), exact, 16 * unit(dtype) * (np.abs(g) + np.abs(exact)), name)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", CASES)
def test_gradients_of_halves(dtype, name):
    """At the elements nearest to a kink a rounded output must not send the gradient to the other side."""
    case = CASES[name]
    near = [k + d for k in case.kinks for d in (-0.01, -0.001, 0, 0.001, 0.01)]
    x = rounded(np.concatenate([draw((300,), dtype, 7), np.array(near)]), dtype)
    leaf = tensor(x, dtype).requires_grad_()
    y = case.call(leaf)
    y.backward(dnn.ones_like(y))
    exact = np.asarray(case.slope(x.astype(np.float64)), np.float64)
    assert_within(numbers(leaf.grad), exact, unit(dtype) * (1.01 * np.abs(exact) + 2**-8), name)


# --- PyTorch's answers


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("call", LAYERS)
def test_layer_gives_pytorchs_values(isa, dtype, call):
    x = EXPECTED[f"x/{dtype}"]
    layer = make(call)
    with use_isa(isa), dnn.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(parameter.detach())
        if dtype == "float64" and "PReLU" in call:
            layer.weight = nn.Parameter(layer.weight.to(dnn.float64))
            layer.weight.fill_(layer.init)
    with use_isa(isa):
        leaf = tensor(x, dtype).requires_grad_()
        y = layer(leaf)
        y.sum().backward()
    value, slope = EXPECTED[f"{call}/{dtype}"], EXPECTED[f"{call}/{dtype}/gradient"]
    tolerance = 2e-6 if dtype == "float32" else 1e-14
    bound = lambda peer: tolerance * (1 + np.abs(np.where(np.isfinite(peer), peer, 0).astype(np.float64)))  # noqa: E731
    assert_within(np.where(np.isfinite(value), numbers(y), 0), np.where(np.isfinite(value), value, 0), bound(value), call)
    assert_exact(np.where(np.isfinite(value), 0, numbers(y)).astype(dtype), np.where(np.isfinite(value), 0, value), call)
    # PyTorch has no number where a factor overflows or an infinity meets 0; whatever we say there may be one.
    known = ~np.isnan(slope)
    room = 2**-25 if call == "Hardsigmoid()" and dtype == "float64" else 0  # PyTorch's sixth is a float32
    assert_within(numbers(leaf.grad)[known], slope[known], bound(slope)[known] + room, f"gradient of {call}")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", CASES)
def test_nan_stays_nan(isa, name):
    x = np.linspace(-3, 3, 41).astype(np.float32)
    x[[0, 7, 20, 40]] = np.nan
    with use_isa(isa):
        y = numbers(CASES[name].call(tensor(x)))
    assert np.array_equal(np.isnan(y), np.isnan(x))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_out(isa, dtype):
    """Neither overflow nor a lost limit at the ends of the range."""
    big = float(np.finfo(dtype).max)
    x = tensor(np.array([-big, -1e30, -200.0, 200.0, 1e30, big]), dtype)
    ends = {
        "elu": [-0.75] * 3,
        "silu": [0.0] * 3,
        "mish": [0.0] * 3,
        "gelu_tanh": [0.0] * 3,
        "softplus": [0.0] * 3,
        "hardswish": [0.0] * 3,
    }
    with use_isa(isa):
        for name, low in ends.items():
            leaf = x.clone().requires_grad_()
            y = CASES[name].call(leaf)
            y.sum().backward()
            assert_within(numbers(y)[:3], np.array(low), np.full(3, 1e-30), name)
            assert_within(numbers(y)[3:], numbers(x)[3:], 2 * unit(dtype) * numbers(x)[3:].astype(np.float64), name)
            assert_within(numbers(leaf.grad), np.array([0, 0, 0, 1, 1, 1]), np.full(6, 4 * unit(dtype)), f"slope of {name}")


def test_negative_zero_keeps_its_sign():
    x = tensor(np.full(19, -0.0, np.float32))
    for isa in ISAS:
        with use_isa(isa):
            for name in ("leaky_relu", "elu", "celu", "selu", "silu", "mish", "gelu_tanh", "softsign", "softshrink", "hardswish"):
                assert np.signbit(numbers(CASES[name].call(x))).all(), f"{name} on {isa}"


# --- Gradients


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
def test_central_differences(name, layout):
    for shape in ((), (7,), (3, 4), (2, 0)):
        x = values(shape, 0.1, 2.4, seed=3)
        for kink in CASES[name].kinks:
            x = np.where(np.abs(x - kink) < 1e-3, x + 0.01, x)
        x = np.ascontiguousarray(x.T).T if layout == "transposed" else np.ascontiguousarray(x).reshape(shape)
        assert_gradients(CASES[name].call, x)


@pytest.mark.parametrize("name", CASES)
def test_second_derivative(name):
    """The composed gradient has the fused one's value, and its own gradient agrees with central differences of it."""
    if not hasattr(dnn, "autograd"):
        pytest.skip("this version has no create_graph")
    x = values((9,), 0.1, 2.4, seed=5)
    leaf = tensor(x).requires_grad_()
    (first,) = dnn.autograd.grad(CASES[name].call(leaf).sum(), [leaf], create_graph=True)
    np.testing.assert_allclose(numbers(first), CASES[name].slope(x), rtol=1e-9, atol=1e-12)
    step = 1e-6
    numeric = (CASES[name].slope(x + step) - CASES[name].slope(x - step)) / (2 * step)
    if not first.requires_grad:
        np.testing.assert_allclose(numeric, 0, atol=1e-9)
        return
    (second,) = dnn.autograd.grad(first.sum(), [leaf], allow_unused=True)
    np.testing.assert_allclose(0 if second is None else numbers(second), numeric, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("shape", "count"), [((), 1), ((5,), 1), ((3, 4), 4), ((2, 3, 4), 3), ((2, 3, 2, 2), 3), ((2, 3, 4), 1)])
def test_prelu(shape, count):
    x, weight = values(shape), values((count,), seed=1)
    assert_gradients(F.prelu, x, weight)
    channels = weight.reshape(-1, *(1,) * (len(shape) - 2)) if len(shape) > 1 else weight.reshape(())
    y = F.prelu(tensor(x), tensor(weight))
    assert_exact(numbers(y), np.where(x > 0, x, channels * x))
    with pytest.raises(ValueError, match="prelu: expected a weight of 1 or"):
        F.prelu(tensor(x), dnn.zeros(7, dtype=dnn.float64))


def test_prelu_with_an_infinity():
    x, weight = dnn.tensor([np.inf, -2.0]), dnn.tensor([0.5]).requires_grad_()
    F.prelu(x, weight).sum().backward()
    assert weight.grad.tolist() == [-2.0]


def test_glu_maxout_and_tanhshrink():
    assert_gradients(lambda t: F.glu(t, 1), values((3, 4, 2)))
    assert_gradients(F.glu, values((6,)))
    assert_gradients(F.tanhshrink, values((6,)))
    assert_gradients(lambda t: F.maxout(t, 3), values((2, 6)))
    assert_gradients(lambda t: F.maxout(t, 2, 0), values((4, 3)))
    x = values((2, 6))
    assert_exact(numbers(F.maxout(tensor(x), 3)), x.reshape(2, 2, 3).max(2))
    layer = nn.Maxout(4, 3, pieces=5)
    y = layer(tensor(values((2, 4)), "float32"))
    plain = F.linear(tensor(values((2, 4)), "float32"), layer.weight, layer.bias)
    assert_exact(numbers(y), numbers(plain).reshape(2, 3, 5).max(2))
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert layer.weight.shape == (15, 4)


def test_rrelu():
    x = tensor(values((1000,)), "float32").requires_grad_()
    y = F.rrelu(x, 0.2, 0.4, training=True)
    y.sum().backward()
    slopes = numbers(x.grad)
    assert_exact(slopes[numbers(x) > 0], np.ones((numbers(x) > 0).sum(), np.float32))
    drawn = slopes[numbers(x) <= 0]
    assert len(np.unique(drawn)) > 400
    assert drawn.min() >= 0.2
    assert drawn.max() <= 0.4
    assert abs(drawn.mean() - 0.3) < 5 * 0.2 / np.sqrt(12 * len(drawn))
    assert_exact(numbers(y), numbers(x) * slopes)
    assert_exact(numbers(F.rrelu(x, 0.25, 0.75)), numbers(F.leaky_relu(x, 0.5)))
    z = x.detach().clone()
    assert nn.RReLU(inplace=True)(z) is z


def test_heaviside():
    x, at_zero = np.array([-1.5, -0.0, 0.0, 2.0, np.nan, -np.inf, np.inf]), np.array([0.25])
    expected = np.array([0, 0.25, 0.25, 1, 0, 0, 1])
    assert_exact(numbers(dnn.heaviside(tensor(x), tensor(at_zero))), expected)
    assert dnn.tensor([-1, 0, 3]).heaviside(dnn.tensor(7)).tolist() == [0, 7, 1]
    with pytest.raises(TypeError, match="heaviside: expected values of dtype"):
        dnn.heaviside(dnn.ones(2), dnn.tensor(1))


# --- In place


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", INPLACE)
def test_inplace(name, dtype):
    call, x = CASES[name].call, draw((41,), dtype)
    expected = numbers(call(tensor(x, dtype)))
    z = tensor(x, dtype).clone()
    pointer = z.data_ptr()
    y = call(z, inplace=True)
    assert y is z
    assert z.data_ptr() == pointer
    assert_exact(numbers(z), expected)
    leaf = tensor(x, dtype).requires_grad_()
    y = call(leaf, inplace=True)
    assert y is not leaf
    assert_exact(numbers(y), expected)
    assert_exact(numbers(leaf), numbers(tensor(x, dtype)))
    with dnn.no_grad():
        assert call(leaf, inplace=True) is leaf
    assert_exact(numbers(leaf), expected)


def test_inplace_relu_and_a_strided_view():
    x = dnn.tensor([[-1.0, -2.0], [3.0, -4.0]])
    assert nn.ReLU(inplace=True)(x) is x
    assert x.tolist() == [[0, 0], [3, 0]]
    x = dnn.tensor([[-1.0, -2.0], [3.0, -4.0]])
    F.leaky_relu(x[:, 0], 0.5, inplace=True)
    assert x.tolist() == [[-0.5, -2.0], [3.0, -4.0]]


# --- Errors and layers


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: F.silu(dnn.ones(2, dtype=dnn.int64)), TypeError, "silu: expected a floating tensor, got int64"),
        (lambda: F.celu(dnn.ones(2), 0.0), ValueError, "celu: expected alpha"),
        (lambda: F.softplus(dnn.ones(2), 0.0), ValueError, "softplus: expected beta"),
        (lambda: F.hardtanh(dnn.ones(2), 2.0, 1.0), ValueError, "hardtanh: expected min_val <= max_val"),
        (lambda: nn.Hardtanh(1.0, 1.0), ValueError, "Hardtanh: expected min_val < max_val"),
        (lambda: F.softshrink(dnn.ones(2), -1.0), ValueError, "softshrink: expected lambd"),
        (lambda: F.gelu(dnn.ones(2), approximate="sigmoid"), ValueError, "gelu: expected approximate"),
        (lambda: F.rrelu(dnn.ones(2), 2.0, 1.0), ValueError, "rrelu: expected lower <= upper"),
        (lambda: F.glu(dnn.ones(2, 3)), ValueError, "glu: expected an even size"),
        (lambda: F.glu(dnn.tensor(1.0)), ValueError, "glu: expected a tensor with dimensions"),
        (lambda: F.glu(dnn.ones(2, 4), 2), IndexError, "glu: dim 2 is out of range"),
        (lambda: F.maxout(dnn.ones(2, 3), 2), ValueError, "maxout: expected a size along dim 1"),
        (lambda: F.maxout(dnn.ones(2, 4), 2, 5), IndexError, "maxout: dim 5 is out of range"),
        (lambda: nn.Maxout(2, 3, 0), ValueError, "Maxout: expected at least 1 piece"),
        (lambda: nn.PReLU(0), ValueError, "PReLU: expected at least 1 parameter"),
        (lambda: _core._activation("nonsense", dnn.ones(2)), ValueError, "unknown name 'nonsense'"),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()


REPRS = {
    "ReLU(inplace=True)": "ReLU(inplace=True)",
    "ReLU6()": "ReLU6()",
    "LeakyReLU()": "LeakyReLU(negative_slope=0.01)",
    "LeakyReLU(0.2, inplace=True)": "LeakyReLU(negative_slope=0.2, inplace=True)",
    "ELU()": "ELU(alpha=1.0)",
    "CELU()": "CELU(alpha=1.0)",
    "SELU()": "SELU()",
    "Softplus()": "Softplus(beta=1.0, threshold=20.0)",
    "Softsign()": "Softsign()",
    "GELU()": "GELU(approximate='none')",
    "GELU('tanh')": "GELU(approximate='tanh')",
    "SiLU()": "SiLU()",
    "Mish()": "Mish()",
    "Hardtanh()": "Hardtanh(min_val=-1.0, max_val=1.0)",
    "Hardtanh(-2, 2, True)": "Hardtanh(min_val=-2, max_val=2, inplace=True)",
    "Hardsigmoid()": "Hardsigmoid()",
    "Hardswish(True)": "Hardswish()",
    "LogSigmoid()": "LogSigmoid()",
    "Threshold(0.1, 20)": "Threshold(threshold=0.1, value=20)",
    "PReLU(3)": "PReLU(num_parameters=3)",
    "Softmax(1)": "Softmax(dim=1)",
    "LogSoftmax(-1)": "LogSoftmax(dim=-1)",
    "Softmin()": "Softmin(dim=None)",
    "RReLU()": "RReLU(lower=0.125, upper=0.3333333333333333)",
    "GLU()": "GLU(dim=-1)",
    "Tanhshrink()": "Tanhshrink()",
    "Hardshrink()": "Hardshrink(0.5)",
    "Softshrink(0.25)": "Softshrink(0.25)",
    "Maxout(4, 3)": "Maxout(in_features=4, out_features=3, pieces=2, bias=True)",
}


@pytest.mark.parametrize("call", REPRS)
def test_repr_is_pytorchs(call):
    layer = make(call)
    assert repr(layer) == REPRS[call]
    assert repr(copy.deepcopy(layer)) == REPRS[call]


def test_only_the_exact_gelu_joins_the_product():
    linear, x = nn.Linear(4, 300), dnn.randn(50, 4)
    for gelu in (nn.GELU(), nn.GELU("tanh")):
        assert_exact(numbers(nn.Sequential(linear, gelu)(x)), numbers(gelu(linear(x))))


def test_a_changed_input_is_noticed():
    x = dnn.ones(3).requires_grad_()
    z = x * 1
    y = F.silu(z)
    with dnn.no_grad():
        z.add_(1)
    with pytest.raises(RuntimeError, match="silu: a tensor of shape"):
        y.sum().backward()


def test_prelu_starts_anew():
    layer = nn.PReLU(3, 0.5, "cpu", dnn.float64)
    weight = layer.weight
    assert weight.dtype == dnn.float64
    assert weight.tolist() == [0.5] * 3
    with dnn.no_grad():
        weight.fill_(2.0)
    layer.reset_parameters()
    assert layer.weight is weight
    assert weight.tolist() == [0.5] * 3
