"""Sampling at places of a grid: a NumPy oracle, PyTorch where it is installed, bits, misuse."""

from __future__ import annotations

import itertools

import dnncore as dnn
import numpy as np
import pytest
from capture_cases import quiet, runs  # noqa: F401 - a fixture
from cases import numbers, tensor, use_threads
from dnncore import nn
from dnncore.nn import functional as F
from reference import assert_exact

SHAPES = [
    ((2, 3, 5, 4), (2, 6, 7, 2)),
    ((1, 1, 1, 3), (1, 2, 2, 2)),
    ((2, 17, 3, 3), (2, 3, 3, 2)),
    ((2, 3, 4, 3, 5), (2, 3, 2, 4, 3)),
]
MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")
CASES = [
    (shapes, mode, padding, corners)
    for shapes, mode, padding, corners in itertools.product(SHAPES, MODES, PADDINGS, (False, True))
    if mode != "bicubic" or len(shapes[0]) == 4
]


def draw(shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def inside(at, size, padding, corners):
    """Bring a place into the image."""
    if padding == "reflection":
        low, span = (0.0, size - 1.0) if corners else (-0.5, float(size))
        around = np.mod(at - low, 2 * span) if span else 0.0
        at = low + min(around, 2 * span - around)
    return at if padding == "zeros" else min(max(at, 0.0), size - 1.0)


def keys(x, a=-0.75):
    x = abs(x)
    return (a + 2) * x**3 - (a + 3) * x**2 + 1 if x <= 1 else a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def taps(coordinate, size, mode, padding, corners):
    at = (coordinate + 1) / 2 * (size - 1) if corners else ((coordinate + 1) * size - 1) / 2
    first = int(np.floor(at))
    if mode == "bicubic":
        found = [(inside(i, size, padding, corners), keys(at - i)) for i in range(first - 1, first + 3)]
    else:
        at = inside(at, size, padding, corners)
        first = int(np.floor(at))
        found = [(np.rint(at), 1.0)] if mode == "nearest" else [(first, first + 1 - at), (first + 1, at - first)]
    return [(int(np.rint(i)), weight) for i, weight in found if 0 <= np.rint(i) < size]


def oracle(x, grid, mode, padding, corners):
    y = np.zeros((*x.shape[:2], *grid.shape[1:-1]))
    sizes = x.shape[:1:-1]
    for place in np.ndindex(grid.shape[:-1]):
        lines = [taps(c, size, mode, padding, corners) for c, size in zip(grid[place], sizes, strict=True)]
        for chosen in itertools.product(*reversed(lines)):
            at = tuple(i for i, _ in chosen)
            y[(place[0], slice(None), *place[1:])] += x[(place[0], slice(None), *at)] * np.prod([w for _, w in chosen])
    return y


@pytest.mark.parametrize(("shapes", "mode", "padding", "corners"), CASES, ids=str)
def test_against_the_definition(shapes, mode, padding, corners):
    x, grid = map(draw, shapes)
    y = F.grid_sample(tensor(x), tensor(grid), mode, padding, corners)
    np.testing.assert_allclose(numbers(y), oracle(x, grid, mode, padding, corners), rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shapes", "mode", "padding", "corners"), CASES, ids=str)
def test_as_pytorch(shapes, mode, padding, corners, dtype):
    torch = pytest.importorskip("torch")
    x, grid = (draw(shape).astype(dtype) for shape in shapes)
    settings = {"mode": mode, "padding_mode": padding, "align_corners": corners}
    ours, theirs = ([make(a) for a in (x, grid)] for make in (tensor, torch.tensor))
    for leaf in (*ours, *theirs):
        leaf.requires_grad_()
    y, expected = F.grid_sample(*ours, **settings), torch.nn.functional.grid_sample(*theirs, **settings)
    g = draw(tuple(y.shape), 1).astype(dtype)
    y.backward(tensor(g))
    expected.backward(torch.tensor(g))
    tolerance = 2e-4 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(numbers(y), expected.detach().numpy(), rtol=0, atol=tolerance)
    for leaf, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(numbers(leaf.grad), other.grad.numpy(), rtol=0, atol=4 * tolerance)


@pytest.mark.parametrize(
    ("size", "corners"),
    [
        ((2, 3, 4, 5), False),
        ((2, 3, 4, 5), True),
        ((1, 2, 1, 3), False),
        ((2, 1, 3, 1, 4), False),
        ((2, 1, 3, 2, 4), True),
    ],
    ids=str,
)
def test_affine_grid_as_pytorch(size, corners):
    torch = pytest.importorskip("torch")
    spatial = len(size) - 2
    theta = draw((size[0], spatial, spatial + 1))
    expected = torch.nn.functional.affine_grid(torch.tensor(theta), size, align_corners=corners)
    np.testing.assert_allclose(numbers(F.affine_grid(tensor(theta), size, corners)), expected.numpy(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("mode", MODES)
def test_the_identity_gives_the_image(mode):
    x = tensor(draw((2, 3, 5, 9)).round(1))
    theta = dnn.eye(2, 3, dtype=dnn.float64).reshape(1, 2, 3).expand(2, 2, 3)
    assert_exact(
        numbers(F.grid_sample(x, F.affine_grid(theta, (2, 3, 5, 9), True), mode, "border", True) + 0.0), numbers(x + 0.0)
    )


def test_places_that_are_no_numbers_sample_zeros():
    grid = tensor(np.array([[[[np.nan, 0.0], [np.inf, 0.0], [0.0, -np.inf], [1e30, 0.0], [0.0, 0.0]]]]))
    for mode, padding in itertools.product(MODES, PADDINGS):
        assert_exact(
            numbers(F.grid_sample(dnn.ones(1, 1, 3, 3, dtype=dnn.float64), grid, mode, padding))[0, 0, 0], [0.0, 0, 0, 0, 1]
        )


@pytest.mark.parametrize("shapes", [((3, 70, 20, 21), (3, 30, 31, 2)), ((1, 3, 9, 8, 7), (1, 20, 21, 22, 3))], ids=str)
def test_same_bits_for_any_number_of_threads(shapes):
    found = []
    for threads in (1, 2, 4):
        with use_threads(threads):
            x, grid = (tensor(draw(shape).astype(np.float32)).requires_grad_() for shape in shapes)
            y = F.grid_sample(x, grid)
            y.backward(tensor(draw(tuple(y.shape), 1).astype(np.float32)))
            found.append([numbers(part).copy() for part in (y, x.grad, grid.grad)])
    for other in found[1:]:
        for got, expected in zip(other, found[0], strict=True):
            assert_exact(got, expected)


def test_any_order_of_memory_and_halves():
    x, grid = draw((2, 5, 6, 7)), draw((2, 3, 4, 2))
    expected = numbers(F.grid_sample(tensor(x), tensor(grid)))
    last = tensor(np.ascontiguousarray(x.transpose(0, 2, 3, 1))).permute(0, 3, 1, 2)
    turned = tensor(np.ascontiguousarray(grid.transpose(3, 0, 1, 2))).permute(1, 2, 3, 0)
    assert_exact(numbers(F.grid_sample(last, turned)), expected)
    half, places = tensor(x).to(dnn.float16), tensor(grid).to(dnn.float16)
    assert_exact(numbers(F.grid_sample(half, places)), numbers(F.grid_sample(half.float(), places.float()).to(dnn.float16)))
    assert tuple(F.grid_sample(dnn.zeros(0, 2, 3, 3), dnn.zeros(0, 4, 5, 2)).shape) == (0, 2, 4, 5)
    assert tuple(F.grid_sample(dnn.zeros(1, 2, 3, 3), dnn.zeros(1, 0, 5, 2)).shape) == (1, 2, 0, 5)


def test_captured_steps_have_the_bits_of_python():
    def build():
        theta = nn.Parameter(dnn.tensor([[[0.9, 0.1, 0.05], [-0.1, 1.1, 0.02]]]))

        def step(x):
            theta.grad = None
            loss = (F.grid_sample(x, F.affine_grid(theta.expand(2, 2, 3), (2, 3, 4, 6))) ** 2).sum()
            loss.backward()
            return loss, theta.grad

        return step, lambda i: (dnn.rand(2, 3, 5, 6),), lambda: None

    runs(build)


def test_third_derivatives_are_refused():
    x, grid = tensor(draw((1, 1, 3, 3))), tensor(draw((1, 2, 2, 2)) * 0.3).requires_grad_()
    g = F.grid_sample(x, grid, "bicubic").sum()
    for _ in range(2):
        (g,) = dnn.autograd.grad((g * g).sum(), grid, create_graph=True)
    with pytest.raises(RuntimeError, match="grid_sample: has first and second derivatives"):
        dnn.autograd.grad(g.sum(), grid)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, g: F.grid_sample(x, g, "linear"), ValueError, "grid_sample: expected a mode of bilinear, .* got 'linear'"),
        (lambda x, g: F.grid_sample(x, g, padding_mode="wrap"), ValueError, "grid_sample: expected a padding_mode of zeros"),
        (lambda x, g: F.grid_sample(x[0], g[0]), ValueError, r"grid_sample: expected an input \(N, C, H, W\) with a grid"),
        (lambda x, g: F.grid_sample(x, g[:1]), ValueError, r"grid_sample: expected an input .* and \(1, 3, 3, 2\)"),
        (lambda x, g: F.grid_sample(x, g[..., :1]), ValueError, "grid_sample: expected an input"),
        (lambda x, g: F.grid_sample(x[:, :, :0], g), ValueError, "grid_sample: expected an input of sizes from 1"),
        (lambda x, g: F.grid_sample(x, g.double()), TypeError, "grid_sample: expected a floating input and a grid of its dtype"),
        (lambda x, g: F.grid_sample(x.long(), g.long()), TypeError, "grid_sample: expected a floating input"),
        (lambda x, g: F.grid_sample(x, [0.0]), TypeError, "grid_sample: expected a Tensor as grid"),
        (
            lambda x, g: F.grid_sample(dnn.zeros(1, 1, 2, 2, 2), dnn.zeros(1, 1, 1, 1, 3), "bicubic"),
            ValueError,
            "grid_sample: mode 'bicubic' expects",
        ),
        (lambda x, g: F.affine_grid(x[0, 0], (2, 1, 3, 3)), ValueError, r"affine_grid: expected theta \(N, 2, 3\)"),
        (lambda x, g: F.affine_grid(dnn.zeros(2, 2, 3), (2, 1, 3)), ValueError, r"affine_grid: expected theta \(N, 2, 3\)"),
        (lambda x, g: F.affine_grid(dnn.zeros(2, 2, 3), (2, 1, 0, 3)), ValueError, "affine_grid: expected positive sizes"),
        (
            lambda x, g: F.affine_grid(dnn.zeros(2, 2, 3).long(), (2, 1, 2, 3)),
            TypeError,
            "affine_grid: expected a floating theta",
        ),
    ],
)
def test_misuse(call, error, message):
    with pytest.raises(error, match=message):
        call(dnn.zeros(2, 4, 6, 6), dnn.zeros(2, 3, 3, 2))
