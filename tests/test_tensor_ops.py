"""Composed mathematics, products, Einstein sums and draws, against NumPy."""

import math

import dnncore as dnn
import numpy as np
import pytest
from cases import draw, numbers, tensor
from reference import assert_exact
from test_gradients import assert_gradients, values

INF, NAN = math.inf, math.nan


def close(result, expected, tolerance=1e-12):
    assert tuple(result.shape) == np.shape(expected)
    np.testing.assert_allclose(numbers(result), expected, rtol=tolerance, atol=tolerance)


# --- Elementwise ------------------------------------------------------------------------------------------------------

ODD = np.array([0.0, -0.0, 1.0, -2.5, 800.0, -800.0, INF, -INF, NAN])


@pytest.mark.parametrize("name", ["logaddexp", "hypot", "fmod"])
def test_pairs_of_special_values(name):
    x, z = (grid.ravel() for grid in np.meshgrid(ODD, ODD))
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x, z)
    np.testing.assert_allclose(numbers(getattr(dnn, name)(tensor(x), tensor(z))), expected, rtol=1e-14)


def test_pointwise():
    x, y, z = (draw((3, 4), "float64", seed) for seed in range(3))
    a, b, c = tensor(x), tensor(y), tensor(z)
    close(a.frac(), x - np.trunc(x))
    close(a.fmod(1.5), np.fmod(x, 1.5))
    close(a.lerp(b, 0.3), x + 0.3 * (y - x))
    close(dnn.lerp(a, b, c), x + z * (y - x))
    assert_exact(numbers(a.lerp(b, 1.0)), y)
    close(a.addcmul(b, c, value=0.5), x + 0.5 * y * z)
    close(a.addcdiv(b, c), x + y / z)
    close(a.clamp_min(0.5), np.maximum(x, 0.5))
    close(a.clamp_max(b), np.minimum(x, y))
    close(a.float().float_power(2), x.astype(np.float32).astype(np.float64) ** 2)
    for name in ("logical_and", "logical_or", "logical_xor"):
        assert_exact(numbers(getattr(dnn, name)(tensor(ODD), tensor(ODD[::-1].copy()))), getattr(np, name)(ODD, ODD[::-1]))
    with np.errstate(all="ignore"):
        assert_exact(numbers(tensor(ODD).nan_to_num()), np.nan_to_num(ODD))
    assert_exact(numbers(tensor(ODD).nan_to_num(1.0, 2.0, 3.0)), np.nan_to_num(ODD, nan=1, posinf=2, neginf=3))
    assert dnn.hypot(dnn.full((1,), 1e30), dnn.full((1,), 1e30)).item() < INF


# --- Norms and statistics ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0, 1, 2, 3, 0.5, -1, INF, -INF, "fro"])
def test_norm(p):
    x = draw((3, 4, 5), "float64")
    order = 2 if p == "fro" else p
    close(dnn.norm(tensor(x), p), np.linalg.norm(x.ravel(), order))
    close(tensor(x).norm(p, 1), np.linalg.norm(x, order, 1))
    flat = np.moveaxis(x, 1, 0).reshape(4, 15)
    close(tensor(x).norm(p, (0, 2), keepdim=True), np.linalg.norm(flat, order, 1).reshape(1, 4, 1))


@pytest.mark.parametrize("p", [0.5, 1, 1.5, 2, 3, INF])
def test_slope_of_a_norm_at_zero(p):
    x = dnn.zeros(3, dtype=dnn.float64).requires_grad_()
    x.norm(p).backward()
    assert x.grad.tolist() == [0, 0, 0]


def test_statistics():
    x = draw((3, 6), "float64")
    var, mean = dnn.var_mean(tensor(x), 1)
    close(var, x.var(1, ddof=1))
    close(mean, x.mean(1))
    std, mean = tensor(x).std_mean(correction=0)
    close(std, x.std())
    close(mean, x.mean())
    close(tensor(x).cov(), np.cov(x))
    close(tensor(x).cov(correction=0), np.cov(x, ddof=0))
    close(tensor(x).corrcoef(), np.corrcoef(x))
    a, b = draw((2, 3, 4), "float64"), draw((1, 5, 4), "float64", 1)
    for p in (1, 2, INF):
        close(dnn.cdist(tensor(a), tensor(b), p), np.linalg.norm(a[:, :, None] - b[:, None], p, -1))


# --- Products ---------------------------------------------------------------------------------------------------------


def test_products():
    m, a, b, v = draw((3, 4), "float64"), draw((3, 2), "float64", 1), draw((2, 4), "float64", 2), draw((4,), "float64", 3)
    close(dnn.addmm(tensor(m), tensor(a), tensor(b), beta=0.5, alpha=2), 0.5 * m + 2 * a @ b)
    close(tensor(v).addmm(tensor(a), tensor(b)), v + a @ b)
    assert np.isfinite(numbers(tensor(m * NAN).addmm(tensor(a), tensor(b), beta=0))).all()
    close(dnn.addmv(tensor(a[:, 0]), tensor(m), tensor(v)), a[:, 0] + m @ v)
    close(dnn.mv(tensor(m), tensor(v)), m @ v)
    close(dnn.vdot(tensor(v), tensor(v)), v @ v)
    close(dnn.outer(tensor(v), tensor(v[:2])), np.outer(v, v[:2]))
    close(dnn.kron(tensor(a), tensor(b)), np.kron(a, b))
    close(dnn.kron(tensor(v), tensor(b)), np.kron(v, b))
    x, y = draw((2, 3, 4), "float64", 4), draw((2, 4, 5), "float64", 5)
    close(dnn.baddbmm(tensor(np.ones(5)), tensor(x), tensor(y), alpha=2), 1 + 2 * x @ y)
    close(dnn.tensordot(tensor(x), tensor(y), 0), np.tensordot(x, y, 0))
    close(dnn.tensordot(tensor(x), tensor(x.transpose(1, 2, 0))), np.tensordot(x, x.transpose(1, 2, 0), 2))
    close(dnn.tensordot(tensor(x), tensor(y), ([0, 2], [0, 1])), np.tensordot(x, y, ([0, 2], [0, 1])))


EINSUM = [
    ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("bA,Ab", [(2, 3), (3, 2)]),
    ("ii", [(3, 3)]),
    ("ii->i", [(3, 3)]),
    ("iij->ij", [(3, 3, 2)]),
    ("ijk->ki", [(2, 3, 4)]),
    ("ij->", [(2, 3)]),
    ("i,j->ij", [(2,), (3,)]),
    (",i->i", [(), (3,)]),
    ("ij,ij->ij", [(2, 3), (2, 3)]),
    ("ij,ij->", [(2, 3), (2, 3)]),
    ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
    ("bhid,bhjd->bhij", [(2, 2, 3, 4), (2, 2, 5, 4)]),
    ("...ij,...jk->...ik", [(2, 1, 3, 4), (5, 4, 2)]),
    ("i...,i...->...", [(3, 2, 4), (3, 4)]),
    ("...i->i...", [(2, 3, 4)]),
    (" a b, b c , cd -> a d ", [(2, 3), (3, 4), (4, 2)]),
    ("abc,cd,de,ea->b", [(2, 3, 4), (4, 5), (5, 6), (6, 2)]),
    ("bn,anm,bm->ba", [(2, 3), (5, 3, 4), (2, 4)]),
    ("a,b,c->cab", [(2,), (3,), (4,)]),
    ("ij,j->i", [(0, 3), (3,)]),
    ("ij,jk->ik", [(2, 0), (0, 3)]),
    ("iij,jk->ik", [(3, 3, 2), (2, 4)]),
]


@pytest.mark.parametrize(("equation", "shapes"), EINSUM, ids=[f"{e} {s}" for e, s in EINSUM])
def test_einsum(equation, shapes):
    arrays = [np.asarray(draw(shape, "float64", seed)) for seed, shape in enumerate(shapes)]
    expected = np.einsum(equation.replace(" ", ""), *arrays)
    close(dnn.einsum(equation, *map(tensor, arrays)), expected)
    close(dnn.einsum(equation, [tensor(x, layout="transposed" if x.ndim else "contiguous") for x in arrays]), expected)
    if sum(x.size for x in arrays) < 60:
        assert_gradients(
            lambda *operands: dnn.einsum(equation, *operands), *(values(shape, seed=s) for s, shape in enumerate(shapes))
        )


def test_einsum_broadcasts_ones():
    close(dnn.einsum("ij,jk->ik", tensor(np.ones((2, 1))), tensor(np.ones((3, 4)))), np.full((2, 4), 3.0))


def test_einsum_takes_the_cheap_order():
    """A chain of matrices ending in a vector: no product of two matrices."""
    size = 300
    chain = [tensor(draw((size, size), "float32", seed, -1, 1).astype(np.float32)) for seed in range(3)]
    vector = tensor(draw((size,), "float32", 9).astype(np.float32))
    with dnn._core._record_launches() as launches:
        dnn.einsum("ab,bc,cd,d->a", *chain, vector)
    assert sum(launch["kernel"] == "gemm" for launch in launches) == 3
    close(dnn.einsum("ab,bc,cd,d->a", *chain, vector), numbers(chain[0] @ (chain[1] @ (chain[2] @ vector))), 1e-4 * size**2)


# --- Draws ------------------------------------------------------------------------------------------------------------


def test_multinomial():
    weights = tensor(np.array([[0.0, 1.0, 3.0, 0.0], [5.0, 0.0, 0.0, 5.0]]))
    generator = dnn.Generator(3)
    drawn = numbers(weights.multinomial(40_000, True, generator=generator))
    share = np.stack([np.bincount(row, minlength=4) for row in drawn]) / 40_000
    np.testing.assert_allclose(share, [[0, 0.25, 0.75, 0], [0.5, 0, 0, 0.5]], atol=5 * np.sqrt(0.25 / 40_000))
    apart = numbers(weights.multinomial(2, generator=generator))
    assert sorted(apart[0]) == [1, 2]
    assert sorted(apart[1]) == [0, 3]
    first = numbers(weights[0].expand(20_000, 4).multinomial(2, generator=generator))[:, 0]
    assert abs(np.mean(first == 2) - 0.75) < 5 * np.sqrt(0.1875 / 20_000)


@pytest.mark.parametrize("replacement", [False, True])
def test_multinomial_of_no_row(replacement):
    assert dnn.zeros(0, 5).multinomial(2, replacement).shape == (0, 2)
    assert dnn.zeros(0, 5).multinomial(2, replacement).dtype == dnn.int64


def test_normal():
    dnn.manual_seed(4)
    mean = tensor(np.array([[0.0], [100.0]]))
    drawn = numbers(dnn.normal(mean, tensor(np.full((1, 20_000), 2.0))))
    np.testing.assert_allclose(drawn.mean(1), [0, 100], atol=5 * 2 / np.sqrt(20_000))
    np.testing.assert_allclose(drawn.std(1), 2, rtol=0.03)
    assert dnn.normal(1.0, 0.0, (3,)).tolist() == [1, 1, 1]
    assert dnn.normal(mean, 1.0).shape == (2, 1)
    assert dnn.normal(1, dnn.ones(2)).shape == (2,)


# --- Gradients --------------------------------------------------------------------------------------------------------

UNARY = {
    **{f"norm {p}": lambda x, p=p: x.norm(p) for p in (1, 2, 3, 0.5, -1, INF, -INF)},
    "norm of rows": lambda x: x.norm(2, -1),
    "frac": lambda x: x.frac(),
    "fmod": lambda x: x.fmod(0.7),
    "clamp_min": lambda x: x.clamp_min(0.1),
    "clamp_max": lambda x: x.clamp_max(0.1),
    "nan_to_num": lambda x: x.nan_to_num(),
    "var_mean": lambda x: dnn.var_mean(x)[0] if x.numel() > 1 else x,
    "float_power": lambda x: (x * x).float_power(1.5),
}
BINARY = {
    "logaddexp": lambda x, z: dnn.logaddexp(x, z),
    "hypot": lambda x, z: dnn.hypot(x, z),
    "lerp": lambda x, z: x.lerp(z, 0.3),
    "lerp by tensors": lambda x, z: x.lerp(z, x * 0.1),
    "addcmul": lambda x, z: x.addcmul(x, z, value=2),
    "addcdiv": lambda x, z: x.addcdiv(x, z, value=2),
}


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 2), (1, 6), (1,)], ids=str)
@pytest.mark.parametrize("name", UNARY)
def test_gradients_of_one(name, shape):
    assert_gradients(UNARY[name], values(shape))


@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 1, 2), (0, 3)], ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_gradients_of_two(name, shape):
    assert_gradients(BINARY[name], values(shape), values(shape, seed=1))


@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (2, 3, 4), (3, 1, 2), (4, 2, 1), (2, 2, 5)])
def test_gradients_of_products(m, n, k):
    assert_gradients(lambda x, a, b: x.addmm(a, b, beta=2, alpha=3), values((n,)), values((m, k), seed=1), values((k, n), seed=2))
    assert_gradients(lambda x, a, b: x.addmv(a, b), values((m,)), values((m, k), seed=1), values((k,), seed=2))
    assert_gradients(lambda x, a, b: x.baddbmm(a, b), values((2, m, n)), values((2, m, k), seed=1), values((2, k, n), seed=2))
    assert_gradients(dnn.outer, values((m,)), values((n,), seed=1))
    assert_gradients(dnn.kron, values((m, n)), values((k, m), seed=1))
    assert_gradients(lambda a, b: dnn.tensordot(a, b, ([0], [1])), values((k, m)), values((n, k), seed=1))
    assert_gradients(lambda a, b: dnn.cdist(a, b), values((m, k)), values((n, k), seed=1))
    assert_gradients(lambda a: a.cov(), values((m, k + 1)))


MISUSE = [
    (lambda x: dnn.einsum("ij,jk->ik", x), ValueError, "einsum: 'ij,jk->ik' has 2 terms for 1 tensors"),
    (lambda x: dnn.einsum("ijk->i", x), ValueError, "einsum: term 'ijk' of 'ijk->i' does not name"),
    (lambda x: dnn.einsum("ij->ik", x), ValueError, "which no term has"),
    (lambda x: dnn.einsum("ij->ii", x), ValueError, "twice"),
    (lambda x: dnn.einsum("ii->i", x), ValueError, "einsum: letter 'i'"),
    (lambda x: dnn.einsum("i1->i", x), ValueError, "einsum: expected letters"),
    (lambda x: dnn.einsum("ij,ij->ij", x, x.t()), ValueError, "names dimensions of sizes 2 and 3"),
    (lambda x: dnn.tensordot(x, x, ([0], [1])), ValueError, "tensordot: dimensions"),
    (lambda x: dnn.outer(x, x), ValueError, "outer: expected two 1-d tensors"),
    (lambda x: dnn.addmm(x, x, x[0]), ValueError, "addmm: expected tensors of 2 and 2"),
    (lambda x: dnn.addmm(dnn.zeros(5, 2, 2), x, x.t()), ValueError, "addmm: an input of shape"),
    (lambda x: x.norm("nuc"), ValueError, "norm: expected p 'fro' or a number"),
    (lambda x: x.long().norm(), TypeError, "norm: expected a floating tensor"),
    (lambda x: dnn.zeros(0).norm(INF), ValueError, "norm: expected at least one element"),
    (lambda x: x.lerp(x.double(), 0.5), TypeError, "lerp: expected floating tensors of one dtype"),
    (lambda x: (x - 1).multinomial(1), ValueError, "multinomial: expected finite weights"),
    (lambda x: (x + 1).multinomial(4), ValueError, "multinomial: cannot draw 4 times"),
    (lambda x: dnn.zeros(0, 3).multinomial(4), ValueError, "multinomial: cannot draw 4 times without replacement from 3 classes"),
    (lambda x: dnn.normal(x, -1.0), ValueError, "normal: expected std >= 0"),
    (lambda x: dnn.normal(1.0, 1.0), TypeError, "normal: expected size"),
    (lambda x: dnn.cdist(x, x.t()), ValueError, "cdist: expected rows of one length"),
    (lambda x: x[None].cov(), ValueError, "cov: expected at most 2 dimensions"),
]


@pytest.mark.parametrize(("call", "error", "message"), MISUSE, ids=[m for _, _, m in MISUSE])
def test_misuse(call, error, message):
    with pytest.raises(error, match=message):
        call(dnn.zeros(2, 3))
