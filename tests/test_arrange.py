"""Elements in another order: against the NumPy function of the same name, or written out."""

import dnncore as dnn
import numpy as np
import pytest
from cases import DTYPES, draw, numbers, tensor
from dnncore.nn import functional
from reference import assert_exact
from test_gradients import assert_gradients, values

X = draw((3, 4, 5), "float64")


def same(result, expected):
    """Tensors and arrays, or tuples of them."""
    if isinstance(result, (tuple, list)):
        assert len(result) == len(expected)
        for a, b in zip(result, expected, strict=True):
            same(a, b)
    else:
        assert_exact(numbers(result), np.asarray(expected, order="C"))


VIEWS = {
    "roll": [((2, 0), np.roll), ((-1, 2), np.roll), ((7, 1), np.roll), (((1, -2), (0, 2)), np.roll)],
    "movedim": [((0, 2), np.moveaxis), (((0, 1), (2, 0)), np.moveaxis), ((-1, 0), np.moveaxis)],
    "diagonal": [((k, a, b), np.diagonal) for k in (-2, 0, 1, 9) for a, b in ((0, 1), (2, 0), (-1, 1))],
    "tril": [((k,), np.tril) for k in (-2, 0, 3)],
    "triu": [((k,), np.triu) for k in (-2, 0, 3)],
    "fliplr": [((), np.fliplr)],
    "flipud": [((), np.flipud)],
    "argwhere": [((), np.argwhere)],
    "ravel": [((), np.ravel)],
    "broadcast_to": [(((2, 3, 4, 5),), np.broadcast_to)],
}
CALLS = [(name, args, oracle) for name, rows in VIEWS.items() for args, oracle in rows]


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
@pytest.mark.parametrize(("name", "args", "oracle"), CALLS, ids=[f"{n}{a}" for n, a, _ in CALLS])
def test_as_numpy(name, args, oracle, layout):
    x = tensor(X, layout=layout)
    same(getattr(x, name)(*args), oracle(X, *args))
    same(getattr(dnn, name)(x, *args), oracle(X, *args))


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype):
    x = tensor(draw((4, 6), dtype), dtype)
    a = numbers(x)
    same(x.roll(1, 0), np.roll(a, 1, 0))
    same(x.tril(), np.tril(a))
    same(x.repeat(2, 3), np.tile(a, (2, 3)))
    same(functional.pad(x, (1, 2), "replicate"), np.pad(a, ((0, 0), (1, 2)), "edge"))
    same(x.diagonal().diag(), np.diag(np.diagonal(a)))
    assert x.repeat(2, 3).dtype == x.dtype


@pytest.mark.parametrize("repeats", [(1, 1, 1), (2, 1, 3), (2, 2, 1, 1), (0, 1, 2)], ids=str)
def test_repeat_and_tile(repeats):
    same(tensor(X).repeat(*repeats), np.tile(X, repeats))
    same(tensor(X).repeat(repeats), np.tile(X, repeats))
    same(dnn.tile(tensor(X), repeats), np.tile(X, repeats))
    same(tensor(X).tile(2), np.tile(X, 2))
    assert tensor(X).repeat(1, 1, 1).data_ptr() != tensor(X).data_ptr()


def test_repeat_interleave():
    same(tensor(X).repeat_interleave(2), np.repeat(X, 2))
    same(tensor(X).repeat_interleave(tensor(np.array([2, 0, 1])), 0), np.repeat(X, [2, 0, 1], 0))
    same(dnn.repeat_interleave(tensor(X), 3, dim=-1), np.repeat(X, 3, -1))


def test_rolled_without_dims():
    same(tensor(X).roll(7), np.roll(X, 7))
    same(dnn.zeros(0).roll(3), np.zeros(0, np.float32))


def test_diagonals():
    for k in (-2, 0, 1):
        same(tensor(X[0, 0]).diag(k), np.diag(X[0, 0], k))
        same(tensor(X[0]).diag(k), np.diag(X[0], k))
        same(dnn.diag_embed(tensor(X[0]), k), np.stack([np.diag(row, k) for row in X[0]]))
        same(dnn.tril_indices(4, 5, k), np.stack(np.tril_indices(4, k, 5)))
        same(dnn.triu_indices(4, 5, k), np.stack(np.triu_indices(4, k, 5)))
    same(dnn.diag_embed(tensor(X[0]), 0, 0, 1), np.moveaxis(np.stack([np.diag(row) for row in X[0]]), 0, 2))
    np.testing.assert_allclose(tensor(X[0]).trace().item(), np.trace(X[0]))
    x = tensor(X).clone()
    x.diagonal(0, 0, 1).fill_(7)  # a view
    assert (numbers(x)[[0, 1, 2], [0, 1, 2]] == 7).all()
    y = tensor(X[0]).clone()
    y.tril_()
    same(y, np.tril(X[0]))


def test_windows():
    x = draw((7, 3), "float64")
    expected = np.lib.stride_tricks.sliding_window_view(x, 3, 0)
    same(tensor(x).unfold(0, 3, 1), expected)
    same(tensor(x).unfold(0, 3, 2), expected[::2])
    same(tensor(x).unfold(-1, 3, 5), np.lib.stride_tricks.sliding_window_view(x, 3, 1))


def test_cuts_and_joints():
    x, y = tensor(X), X
    same(x.tensor_split(3, 1), np.array_split(y, 3, 1))
    same(dnn.tensor_split(x, (1, 4), 2), np.split(y, (1, 4), 2))
    same(x.hsplit(2), np.hsplit(y, 2))
    same(x.vsplit(3), np.vsplit(y, 3))
    same(x.dsplit((1, 2)), np.dsplit(y, (1, 2)))
    same(x[0, 0].hsplit(5), np.hsplit(y[0, 0], 5))
    for name in ("hstack", "vstack", "dstack"):
        for part in (y[0, 0], y[0], y):
            same(getattr(dnn, name)([tensor(part), tensor(part)]), getattr(np, name)([part, part]))
    for name in ("atleast_1d", "atleast_2d", "atleast_3d"):
        for part in (y[0, 0, 0], y[0, 0], y[0], y):
            same(getattr(dnn, name)(tensor(part)), getattr(np, name)(part))
    same(x.unflatten(2, (5, -1)), y.reshape(3, 4, 5, 1))


def test_grids():
    a, b, c = np.arange(2.0), np.arange(3.0), np.arange(4.0)
    for indexing in ("ij", "xy"):
        same(dnn.meshgrid(tensor(a), tensor(b), tensor(c), indexing=indexing), np.meshgrid(a, b, c, indexing=indexing))
    same(dnn.cartesian_prod(tensor(a), tensor(b)), [[i, j] for i in a for j in b])
    same(dnn.broadcast_tensors(tensor(X[0, :, :1]), tensor(X[0, 0])), np.broadcast_arrays(X[0, :, :1], X[0, 0]))


MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sizes", [(1, 2), (0, 3), (1, 0, 2, 3), (0, 0, 1, 1), (2, 1, 1, 2, 1, 2)], ids=str)
def test_pad(mode, sizes):
    widths = [(0, 0)] * 3
    for i in range(len(sizes) // 2):
        widths[2 - i] = (sizes[2 * i], sizes[2 * i + 1])
    for layout in ("contiguous", "transposed"):
        same(functional.pad(tensor(X, layout=layout), sizes, mode), np.pad(X, widths, MODES[mode]))


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 5, 6), (2, 3, 4, 5, 6)])
def test_pad_keeps_the_order_of_images(mode, shape):
    """What comes channels-last goes on channels-last, and so does its gradient."""
    values = np.random.default_rng(4).standard_normal(shape)
    sizes = (2, 1, 0, 3, 1, 2)[: 2 * (len(shape) - 2)]
    found = []
    for x in (tensor(values), tensor(np.ascontiguousarray(np.moveaxis(values, 1, -1))).movedim(-1, 1)):
        leaf = x.requires_grad_()
        y = functional.pad(leaf, sizes, mode)
        last = x.stride(1) == 1
        assert (y.stride(1) == 1) == last
        weights = tensor(np.arange(y.numel(), dtype=np.float64).reshape(y.shape))
        weights = weights.movedim(1, -1).contiguous().movedim(-1, 1) if last else weights
        (slope,) = dnn.autograd.grad([y], [leaf], [weights])
        assert mode == "constant" or (slope.stride(1) == 1) == last
        found.append((y.detach().numpy(), slope.numpy()))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_pad_values_and_crops():
    same(functional.pad(tensor(X), (1, -2), value=3.5), np.pad(X[..., :-2], ((0, 0), (0, 0), (1, 0)), constant_values=3.5))
    same(functional.pad(tensor(X), (-1, -1, -3, 1)), np.pad(X[:, 3:, 1:-1], ((0, 0), (0, 1), (0, 0))))
    same(functional.pad(dnn.zeros(2, 0), (1, 1), value=2), np.full((2, 2), 2, np.float32))


def test_one_hot():
    index = np.array([[2, 0], [1, 1]])
    same(functional.one_hot(tensor(index)), np.eye(3, dtype=np.int64)[index])
    same(functional.one_hot(tensor(index), 5), np.eye(5, dtype=np.int64)[index])
    assert functional.one_hot(dnn.zeros(0, dtype=dnn.int64), 4).shape == (0, 4)


DIFFERENTIABLE = {
    "roll": lambda t: t.roll((1, -2), (0, -1)),
    "tril": lambda t: t.tril(),
    "triu": lambda t: t.triu(1),
    "diagonal": lambda t: t.diagonal(1, -1, 0),
    "diag_embed": lambda t: dnn.diag_embed(t, -1),
    "repeat": lambda t: t.repeat(2, *[1] * (t.ndim - 1), 3),
    "repeat_interleave": lambda t: t.repeat_interleave(2, 0),
    "movedim": lambda t: t.movedim(0, -1),
    "unfold": lambda t: t.unfold(-1, 1, 2),
    "unfold with overlaps": lambda t: t.unfold(0, 2, 1),
    "tensor_split": lambda t: t.tensor_split(2, 0)[0] * 2,
    "vstack": lambda t: dnn.vstack([t, t * 2]),
    "meshgrid": lambda t: dnn.meshgrid(t.ravel(), t.ravel())[0],
    "pad": lambda t: functional.pad(t, (2, 1), value=1.0),
    "pad and crop": lambda t: functional.pad(t, (-1, 1)),
    "replicate": lambda t: functional.pad(t, (2, 1), "replicate"),
    "circular": lambda t: functional.pad(t, (1, 1), "circular"),
    "reflect": lambda t: functional.pad(t.repeat(*[2] * t.ndim), (1, 1), "reflect"),
}


@pytest.mark.parametrize("shape", [(2, 3), (3, 1), (2, 2, 2), (4, 5), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients(name, shape):
    assert_gradients(DIFFERENTIABLE[name], values(shape))


MISUSE = [
    (lambda x: x.roll((1, 2), 0), "roll: expected as many shifts as dims"),
    (lambda x: x[0, 0].tril(), "tril: expected at least 2 dimensions"),
    (lambda x: x.diagonal(0, 1, -2), "diagonal: expected two different dimensions"),
    (lambda x: x.trace(), "trace: expected 2 dimensions"),
    (lambda x: x.diag(), "diag: expected 1 or 2 dimensions"),
    (lambda x: x.repeat(2), "repeat: expected at least 3 repeats"),
    (lambda x: x.repeat(-1, 1, 1), "repeat: expected repeats of at least 0"),
    (lambda x: x.repeat_interleave(tensor(np.array([1, 2])), 0), "repeat_interleave: expected 1 or 3 repeats"),
    (lambda x: x.movedim((0, 0), (1, 2)), "movedim: a dimension appears twice"),
    (lambda x: x.unflatten(0, (2, 2)), "unflatten: sizes"),
    (lambda x: x.unfold(0, 4, 1), "unfold: expected a size between 0 and 3"),
    (lambda x: x.unfold(0, 1, 0), "unfold: expected a step above 0"),
    (lambda x: x.hsplit(3), "hsplit: 3 sections do not divide size 4"),
    (lambda x: functional.pad(x, (1,)), "pad: expected two sizes"),
    (lambda x: functional.pad(x, (1, 1), "edge"), "pad: expected mode"),
    (lambda x: functional.pad(x, (5, 0), "reflect"), "pad: mode 'reflect' expects padding below"),
    (lambda x: functional.pad(x, (6, 0), "circular"), "pad: mode 'circular' expects"),
    (lambda x: functional.one_hot(x.long(), 0), "one_hot: expected num_classes"),
    (lambda x: functional.one_hot(x.long() - 9, 3), "one_hot: expected class indices"),
    (lambda x: dnn.meshgrid(x), "meshgrid: expected tensors of 0 or 1 dimensions"),
]


@pytest.mark.parametrize(("call", "message"), MISUSE, ids=[m for _, m in MISUSE])
def test_misuse(call, message):
    with pytest.raises(ValueError, match=message):
        call(tensor(X))


def test_sizes_and_diagonals_beyond_reason():
    x = dnn.ones(3, 3)
    assert dnn.tril(x, 2**63 - 1).tolist() == x.tolist()
    assert dnn.triu(x, 2**63 - 1).tolist() == dnn.zeros(3, 3).tolist()
    assert dnn.triu(x, -(2**63)).tolist() == x.tolist()
    assert dnn.tril_indices(3, 3, 2**63 - 1).shape == (2, 9)
    with pytest.raises(ValueError, match="repeat_interleave"):
        dnn.repeat_interleave(dnn.ones(4), 2**62)
    with pytest.raises(ValueError, match="repeat_interleave"):
        dnn.repeat_interleave(dnn.ones(2), dnn.tensor([2**62, 2**62]))
