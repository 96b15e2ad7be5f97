"""Every differentiable op against central differences in float64: eps 1e-6, atol 1e-5, rtol 1e-3, five shapes, odd layouts."""

import dnncore as dnn
import numpy as np
import pytest
from cases import BINARY, UNARY, array, numbers, tensor
from dnncore import _core
from dnncore.nn import functional

EPS, ATOL, RTOL = 1e-6, 1e-5, 1e-3


def values(shape, low=0.3, high=2.0, seed=0, signed=True):
    """Away from zero, where several ops have a kink; all different, so that no maximum is shared."""
    random = np.random.default_rng([seed, *shape])
    x = random.uniform(low, high, shape)
    return np.asarray(x * random.choice([-1.0, 1.0], shape) if signed else x)


def assert_gradients(function, *inputs):
    """`inputs` are float64 arrays, of any strides, which become leaves as they are."""
    leaves = [dnn.from_numpy(x).requires_grad_() for x in inputs]
    y = function(*leaves)
    weight = values(tuple(y.shape), seed=9)
    y.backward(dnn.from_numpy(weight))

    def total():
        with dnn.no_grad():
            return float(np.sum(numbers(function(*(dnn.from_numpy(x) for x in inputs))) * weight))

    for x, leaf in zip(inputs, leaves, strict=True):
        numeric = np.zeros(x.shape)
        for i in np.ndindex(x.shape):
            kept = x[i]
            x[i] = kept + EPS
            above = total()
            x[i] = kept - EPS
            below = total()
            x[i] = kept
            numeric[i] = (above - below) / (2 * EPS)
        np.testing.assert_allclose(numbers(leaf.grad), numeric, rtol=RTOL, atol=ATOL)


SHAPES = [
    ((), "contiguous"),
    ((5,), "strided"),
    ((3, 4), "transposed"),
    ((2, 3, 2), "reversed"),
    ((1, 6), "offset"),
    ((0, 3), "contiguous"),
]
SHAPE_IDS = [f"{shape}-{layout}" for shape, layout in SHAPES]
POSITIVE = {"sqrt", "rsqrt", "reciprocal", "log", "log1p", "log2", "log10"}


@pytest.mark.parametrize(("shape", "layout"), SHAPES, ids=SHAPE_IDS)
@pytest.mark.parametrize("name", [name for name, op in UNARY.items() if op.smooth])
def test_unary(name, shape, layout):
    x = array(values(shape, signed=name not in POSITIVE), "contiguous" if layout == "reversed" else layout)
    function = getattr(dnn, name)
    if layout == "reversed":
        assert_gradients(lambda t: function(t.transpose(0, -1)), x)
    else:
        assert_gradients(function, x)


PAIRS = [((3,), (3,)), ((), (4,)), ((3, 1), (1, 4)), ((2, 3, 2), (3, 1)), ((5,), ()), ((1,), (2, 1))]


@pytest.mark.parametrize(("left", "right"), PAIRS, ids=str)
@pytest.mark.parametrize("name", [name for name, op in BINARY.items() if op.smooth])
def test_binary(name, left, right):
    x, z = values(left, signed=name != "pow"), values(right, seed=1)
    assert_gradients(getattr(dnn, name), x, z)
    turned = np.ascontiguousarray(values((4, 3), signed=name != "pow", seed=2).T).T
    assert_gradients(getattr(dnn, name), turned, values((3,), seed=3))


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow"])
def test_with_a_number(name):
    function = getattr(dnn, name)
    assert_gradients(lambda t: function(t, 1.7), values((3, 2), signed=name != "pow"))
    assert_gradients(lambda t: function(1.7, t), values((3, 2)))


REDUCE = [((), None), ((5,), 0), ((3, 4), None), ((3, 4), 1), ((2, 3, 2), -2), ((4, 1), 0)]


@pytest.mark.parametrize(("shape", "dim"), REDUCE, ids=str)
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min"])
def test_reduction(name, keepdim, shape, dim):
    def function(t):
        if dim is None:
            return getattr(t, name)()
        result = getattr(t, name)(dim, keepdim=keepdim)
        return result[0] if isinstance(result, tuple) else result

    assert_gradients(function, values(shape))
    if len(shape) > 1:
        assert_gradients(lambda t: function(t.transpose(0, -1).contiguous().transpose(0, -1)), array(values(shape), "transposed"))


PRODUCTS = [
    ((4,), (4,)),
    ((2, 3), (3, 4)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 2, 3), (3, 2)),
    ((2, 3), (2, 3, 2)),
    ((2, 1, 2, 3), (2, 3, 2)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 2)),
]


@pytest.mark.parametrize(("left", "right"), PRODUCTS, ids=str)
def test_matmul(left, right):
    assert_gradients(dnn.matmul, values(left), values(right, seed=1))


def test_matmul_of_views():
    assert_gradients(lambda a, b: a.t() @ b[::2], values((3, 2)), values((6, 2), seed=1))
    assert_gradients(lambda a, b: a.transpose(0, 2) @ b, values((3, 2, 4)), values((3, 2), seed=1))
    assert_gradients(lambda a: a @ a.t(), values((3, 2)))


@pytest.mark.parametrize("activation", [None, "relu", "tanh", "sigmoid", "gelu"])
@pytest.mark.parametrize("lead", [(), (3,), (2, 2), (0,), (1, 1)], ids=str)
def test_linear(activation, lead):
    def function(x, w, b):
        return _core.linear(x, w, b, activation)

    assert_gradients(function, values((*lead, 4)), values((3, 4), seed=1), values((3,), seed=2))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("rows", "classes"), [(1, 2), (4, 3), (5, 1), (2, 9), (3, 4)])
def test_cross_entropy(reduction, rows, classes):
    target = tensor(np.arange(rows) % classes)
    assert_gradients(lambda t: functional.cross_entropy(t, target, reduction=reduction), values((rows, classes)))
    ignored = tensor(np.where(np.arange(rows) == 1, -100, np.arange(rows) % classes))
    turned = np.ascontiguousarray(values((rows, classes)).T).T
    assert_gradients(lambda t: functional.cross_entropy(t, ignored, reduction=reduction), turned)


MASK = np.array([[True, False, True], [False, True, True]])
PICK = np.array([1, 0, 1, -1])
VIEWS = {
    "reshape": lambda t: t.reshape(3, 2),
    "flatten": lambda t: t.flatten(),
    "transpose": lambda t: t.transpose(0, 1),
    "permute": lambda t: t[None].permute(2, 0, 1),
    "expand": lambda t: t[:, None].expand(2, 4, 3),
    "squeeze": lambda t: t[None].squeeze(0),
    "unsqueeze": lambda t: t.unsqueeze(1),
    "select": lambda t: t[1],
    "slice": lambda t: t[:, ::2],
    "negative step": lambda t: t[:, ::-1],
    "ellipsis": lambda t: t[..., 0],
    "cat": lambda t: dnn.cat([t, 2 * t], 1),
    "stack": lambda t: dnn.stack([t, 3 * t], 0),
    "clone": lambda t: t.clone(),
    "contiguous": lambda t: t.t().contiguous(),
    "cast": lambda t: t.to(dnn.float64) * 2,
    "mask": lambda t: t[tensor(MASK)],
    "positions": lambda t: t[tensor(PICK)],
    "pairs of positions": lambda t: t[tensor(PICK), tensor(PICK)],
    "where": lambda t: dnn.where(tensor(MASK), t, t * t),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_and_indexing(name):
    assert_gradients(VIEWS[name], values((2, 3)))
    assert_gradients(VIEWS[name], array(values((2, 3), seed=4), "transposed"))
    assert_gradients(VIEWS[name], array(values((2, 3), seed=5), "strided"))


def test_a_tensor_used_often():
    """Gradients of several uses add up, and a deep graph is walked without recursion."""
    assert_gradients(lambda t: t * t.exp() + t.sum() * t.relu(), values((2, 3)))
    x = dnn.ones(2, dtype=dnn.float64).requires_grad_()
    y = x
    for _ in range(20_000):
        y = y * 1.0
    y.sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_the_check_catches_a_wrong_gradient():
    """A planted bug: the derivative of the detached factor is missing."""
    with pytest.raises(AssertionError):
        assert_gradients(lambda t: t * t.detach(), values((3,)))
