"""NaN, infinities, -0, subnormal and largest numbers behave as in PyTorch, op by op, wherever in a vector they stand."""

import dnncore as dnn
import numpy as np
import pytest
from cases import BINARY, FLOATS, GOLDEN, HALVES, ISAS, REDUCTIONS, UNARY, numbers, tensor, use_isa
from reference import assert_exact, assert_ulp, assert_within, rounded, widest

EXPECTED = dict(np.load(GOLDEN / "special_values.npz"))

# Where we differ on purpose, {op: {x: result}}: PyTorch's gelu(inf) is NaN in float32, and its sign() hides a NaN.
DIFFERENT = {"gelu": {np.inf: np.inf}, "sign": {np.nan: np.nan}}
# Ops whose sign of zero PyTorch itself leaves to the path it takes: max(0, -0) is either.
ANY_ZERO = ("maximum", "minimum", "max", "min")


def keys(kind):
    return [tuple(key.split("/")[1:]) for key in EXPECTED if key.startswith(kind + "/") and key.count("/") == 2]


def agree(actual, peer, exact, dtype, ulp, absolute, label):
    """PyTorch decides which results are NaN, infinite or zero, and their signs; the contract decides the finite ones.

    PyTorch flushes some results to zero or overflows on the way to a finite one; where the exact result is an ordinary
    number of the dtype, it counts and not PyTorch's.
    """
    actual, peer, exact = np.broadcast_arrays(actual, peer, exact)
    if peer.dtype.kind != "f":
        return assert_exact(actual, peer, label)
    near = rounded(exact, dtype)
    ordinary = np.isfinite(exact) & np.isfinite(near) & ((near != 0) | ((exact != 0) & (actual != 0)))
    assert_ulp(actual[ordinary], exact[ordinary], dtype, ulp, absolute, None, label)
    return assert_exact(np.where(ordinary, 0, actual).astype(peer.dtype), np.where(ordinary, 0, peer), label)


def everywhere(x):
    """Each value of x at several places of a long vector: (array, index of the value at each place)."""
    index = np.concatenate([np.roll(np.arange(len(x)), shift) for shift in (0, 1, 5, 11)] + [np.arange(len(x))[:7]])
    return x[index], index


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("name", "dtype"), keys("unary"))
def test_unary(isa, name, dtype):
    values, index = everywhere(EXPECTED[f"x/{dtype}"])
    op = UNARY[name]
    with use_isa(isa):
        actual = numbers(getattr(dnn, name)(tensor(values, dtype)))
    with np.errstate(all="ignore"):
        exact = np.asarray(op.oracle(widest(values)))
    ulp = 0.51 if dtype in HALVES else op.ulp + (2 if dtype == "float64" and op.ulp else 0)
    absolute = 1e-16 if dtype == "float64" and op.absolute else op.absolute
    peer = EXPECTED[f"unary/{name}/{dtype}"][index]
    for x, y in DIFFERENT.get(name, {}).items():
        peer = np.where(np.isnan(values) if np.isnan(x) else values == x, y, peer).astype(peer.dtype)
    agree(actual, peer, exact, dtype, ulp, absolute, f"{name} {dtype}")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("name", "dtype"), keys("gradient"))
def test_gradient(isa, name, dtype):
    values, index = everywhere(EXPECTED[f"x/{dtype}"])
    with use_isa(isa):
        x = tensor(values, dtype).requires_grad_()
        y = getattr(dnn, name)(x)
        y.backward(dnn.ones_like(y))
    actual, expected = numbers(x.grad), EXPECTED[f"gradient/{name}/{dtype}"][index]
    label = f"gradient of {name} {dtype}"
    expected = np.where(np.isnan(values), np.nan, expected).astype(dtype) if name == "abs" else expected  # sign(NaN)
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    finite = np.isfinite(expected)
    bound = tolerance * (1 + np.abs(np.where(finite, expected, 0).astype(np.float64)))
    assert_within(np.where(finite, actual, 0), np.where(finite, expected, 0), bound, label)
    assert_exact(np.where(finite, 0, actual).astype(expected.dtype), np.where(finite, 0, expected), label)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("name", "dtype"), keys("binary"))
def test_binary(isa, name, dtype):
    x = EXPECTED[f"x/{dtype}"]
    peer = EXPECTED[f"binary/{name}/{dtype}"]
    left, right = np.repeat(x, len(x)).reshape(peer.shape), np.tile(x, (len(x), 1))
    with np.errstate(all="ignore"):
        exact = np.asarray(BINARY[name].oracle(left, right))
        exact = np.asarray(np.power(widest(left), widest(right))) if name == "pow" else exact
        if name in ("remainder", "floor_divide"):  # PyTorch goes through x / z, which may overflow or lose its last bit
            defined = np.isfinite(left) & np.isfinite(right) & (right != 0)
            wanted = np.where(exact == 0, np.copysign(0, left), exact) if name == "remainder" else exact
            peer = np.where(defined & (peer != exact), wanted, peer).astype(peer.dtype)
    ulp = BINARY[name].ulp + (1 if dtype == "float64" and BINARY[name].ulp else 0)
    with use_isa(isa):
        broadcast = numbers(getattr(dnn, name)(tensor(x[:, None], dtype), tensor(x[None, :], dtype)))
        flat = numbers(getattr(dnn, name)(tensor(left.ravel(), dtype), tensor(right.ravel(), dtype)))
    for actual, how in ((broadcast, "broadcast"), (flat.reshape(peer.shape), "flat")):
        if name in ANY_ZERO:
            actual, peer = actual + x.dtype.type(0), peer + x.dtype.type(0)  # -0 becomes 0
        agree(actual, peer, exact, dtype, ulp, 0, f"{name} {dtype} {how}")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reduction(isa, name):
    x, peer = EXPECTED["reduce/x"], EXPECTED[f"reduce/{name}"]
    with np.errstate(all="ignore"):
        exact = np.asarray(REDUCTIONS[name].oracle(x.astype(np.float64), axis=1))
    for turned in (False, True):
        values = tensor(np.ascontiguousarray(x.T) if turned else x)
        with use_isa(isa):
            result = getattr(values, name)(0 if turned else 1)
        actual, label = numbers(result[0] if isinstance(result, tuple) else result), f"{name}, turned: {turned}"
        if peer.dtype.kind != "f":
            assert_exact(actual, peer, label)
            continue
        # A sum may overflow on the way to a finite mean, or not: both are right.
        ordinary = np.isfinite(exact) & (np.abs(exact) < 3.4e38) & (np.isfinite(peer) | np.isfinite(actual))
        assert_within(np.where(ordinary, actual, 0), np.where(ordinary, exact, 0), 1e-5 * (1 + np.abs(exact)), label)
        assert_exact(np.where(ordinary, 0, actual).astype(np.float32), np.where(ordinary, 0, peer), label)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_products_pass_nan_and_infinity(isa, dtype):
    """A NaN or infinity reaches its own row and column and nothing else, padding included."""
    for m, n, k in ((1, 5, 3), (9, 17, 33), (50, 70, 40)):
        a, b = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
        a[m // 2, k // 2], b[0, n - 1] = np.nan, np.inf
        with use_isa(isa):
            y = numbers(tensor(a, dtype) @ tensor(b, dtype))
        expected = np.full((m, n), float(k))
        expected[:, n - 1] = np.inf
        expected[m // 2] = np.nan
        assert_exact(y.astype(np.float64), expected, f"{m}x{n}x{k}")


@pytest.mark.parametrize("isa", ISAS)
def test_subnormals_survive(isa):
    tiny = np.float32(1e-40)
    x = tensor(np.full(37, tiny))
    with use_isa(isa):
        assert_exact((x + x).numpy(), np.full(37, tiny + tiny))
        assert_exact((x * 0.5).numpy(), np.full(37, tiny * np.float32(0.5)))
        assert_exact((x[None, :] @ dnn.ones(37, 3)).numpy(), np.full((1, 3), tiny * np.float32(37)))
