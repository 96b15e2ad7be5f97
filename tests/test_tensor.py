"""The Tensor object: what it is made of, how it converts and shows itself, views, in-place changes, identity."""

import gc
import math
import sys
import weakref

import dnncore as dnn
import numpy as np
import pytest

DTYPES = ["float32", "float64", "bfloat16", "float16", "int64", "int32", "uint8", "bool"]


def test_attributes():
    x = dnn.zeros(2, 3)
    assert x.shape == (2, 3)
    assert isinstance(x.shape, tuple)
    assert x.size() == (2, 3)
    assert x.size(-1) == 3
    assert x.stride() == (3, 1)
    assert x.stride(0) == 3
    assert x.T.stride() == (1, 3)
    assert x.ndim == x.dim() == 2
    assert x.numel() == 6
    assert x.nbytes == 24
    assert x.itemsize == x.element_size() == 4
    assert x.is_contiguous()
    assert not x.T.is_contiguous()
    assert x.T.shape == (3, 2)
    assert dnn.zeros(2, 3, 4).mT.shape == (2, 4, 3)
    assert x.device == "cpu"
    assert str(x.device) == "cpu"
    assert x.device == dnn.device("cpu")
    assert x.data_ptr() % 64 == 0
    assert x.is_leaf
    assert not x.requires_grad
    assert x.grad is None
    assert x.grad_fn is None
    assert hash(x) == hash(x)
    assert len({x, dnn.zeros(2, 3)}) == 2


INFERENCE = [
    (1, "int64"),
    (1.0, "float32"),
    (True, "bool"),
    ([1, 2.0], "float32"),
    ([True, 2], "int64"),
    ([], "float32"),
    ([[], []], "float32"),
    ([np.float64(1)], "float64"),
    (np.float32(1), "float32"),
    (np.int32(1), "int32"),
    ((1, (2)), "int64"),
    (range(3), "int64"),
]


@pytest.mark.parametrize(("data", "dtype"), INFERENCE, ids=repr)
def test_inference(data, dtype):
    x = dnn.tensor(data)
    assert x.dtype.name == dtype
    assert x.shape == np.shape(data)
    assert x.tolist() == np.asarray(data).tolist()


def test_nested_data():
    a = dnn.tensor([[1, 2], [3, 4]])
    assert dnn.tensor([a[0], a[1]]).tolist() == [[1, 2], [3, 4]]
    assert dnn.tensor([np.ones(2), np.zeros(2)]).dtype is dnn.float64
    assert dnn.tensor([dnn.tensor(1.0), 2]).tolist() == [1, 2]
    assert dnn.tensor([1.7, -1.7], dtype=dnn.int32).tolist() == [1, -1]
    assert dnn.tensor([0.0, 0.5, math.nan], dtype=bool).tolist() == [False, True, True]
    y = dnn.tensor(a)
    assert y.data_ptr() != a.data_ptr()
    assert dnn.as_tensor(a) is a


@pytest.mark.parametrize("dtype", DTYPES)
def test_factories(dtype):
    for made, expected in [
        (dnn.zeros(2, 3, dtype=dtype), np.zeros((2, 3))),
        (dnn.ones((2, 3), dtype=dtype), np.ones((2, 3))),
        (dnn.full((2,), 1, dtype=dtype), np.ones(2)),
        (dnn.zeros(size=(2,), dtype=dtype), np.zeros(2)),
        (dnn.eye(2, 3, dtype=dtype), np.eye(2, 3)),
        (dnn.ones_like(dnn.zeros(2), dtype=dtype), np.ones(2)),
        (dnn.zeros([], dtype=dtype), np.zeros(())),
        (dnn.zeros(3, dtype=dtype).new_ones(2), np.ones(2)),
        (dnn.zeros(1, dtype=dtype).new_full((2,), 1), np.ones(2)),
    ]:
        assert made.dtype.name == dtype
        assert made.tolist() == expected.tolist()
    assert dnn.empty(3, dtype=dtype).shape == (3,)
    assert dnn.empty_like(dnn.empty(2, 3).T, dtype=dtype).shape == (3, 2)


def test_ranges():
    for args in [(5,), (2, 5), (5, 0, -2), (0.0, 1.0, 0.25), (0, 10, 3), (0,), (2.5,)]:
        np.testing.assert_allclose(dnn.arange(*args).numpy(), np.arange(*args))
    assert dnn.arange(3).dtype is dnn.int64
    assert dnn.arange(3.0).dtype is dnn.float32
    assert dnn.arange(end=3).tolist() == [0, 1, 2]
    np.testing.assert_allclose(dnn.linspace(0, 1, 5).numpy(), np.linspace(0, 1, 5))


@pytest.mark.parametrize("dtype", DTYPES)
def test_casts(dtype):
    x = dnn.tensor([0.0, 1.0, 3.0]).to(dtype)
    assert x.to(dtype) is x
    assert x.to(dnn.zeros(1, dtype=dtype)) is x
    assert x.to("cpu") is x
    assert x.to(dtype, copy=True) is not x
    assert x.tolist() == ([False, True, True] if dtype == "bool" else [0, 1, 3])
    for cast, name in [
        ("float", "float32"),
        ("double", "float64"),
        ("half", "float16"),
        ("long", "int64"),
        ("int", "int32"),
        ("bool", "bool"),
    ]:
        assert getattr(x, cast)().dtype.name == name
    assert x.type(dnn.float64).dtype is dnn.float64
    assert x.to(np.float32).dtype is dnn.float32
    assert x.to(dtype=np.dtype("int32")).dtype is dnn.int32


def test_scalars():
    for value in (3, 2.5, True, -1):
        x = dnn.tensor(value)
        assert x.item() == value
        assert type(x.item()) is type(value)
        assert x.tolist() == value
        assert float(x) == float(value)
        assert int(x) == int(value)
        assert bool(x) == bool(value)
    assert [10, 20, 30][dnn.tensor(1)] == 20
    assert f"{dnn.tensor(2.5):.2f}" == "2.50"
    assert f"{dnn.tensor([1])}" == "tensor([1])"
    assert complex(dnn.tensor(2.0)) == 2
    assert math.sqrt(dnn.tensor(4.0)) == 2


def test_views_share_memory():
    x = dnn.arange(24.0).reshape(2, 3, 4)
    a = x.numpy()
    for view, expected in [
        (x.view(6, 4), a.reshape(6, 4)),
        (x.view(-1), a.ravel()),
        (x.reshape((3, 8)), a.reshape(3, 8)),
        (x.flatten(1), a.reshape(2, 12)),
        (x.transpose(0, 2), a.swapaxes(0, 2)),
        (x.permute(2, 0, 1), a.transpose(2, 0, 1)),
        (x.T, a.T),
        (x[0].t(), a[0].T),
        (x.unsqueeze(-1), a[..., None]),
        (x[:1].squeeze(0), a[0]),
        (x.narrow(1, 1, 2), a[:, 1:3]),
        (x.select(2, -1), a[..., -1]),
        (x[:, :1].expand(2, 5, 4), np.broadcast_to(a[:, :1], (2, 5, 4))),
        (x[:, :1].expand(-1, 5, -1), np.broadcast_to(a[:, :1], (2, 5, 4))),
        (x.unbind(1)[2], a[:, 2]),
        (x.split(2, 1)[1], a[:, 2:]),
        (x.split([1, 2], dim=1)[1], a[:, 1:]),
        (x.chunk(2, -1)[1], a[..., 2:]),
        (x.swapaxes(0, 1), a.swapaxes(0, 1)),
        (x.detach(), a),
        (x.view_as(dnn.zeros(4, 6)), a.reshape(4, 6)),
    ]:
        np.testing.assert_array_equal(view.numpy(), expected)
        assert np.shares_memory(view.numpy(), a)
    for copied, expected in [
        (x.flip(0, 2), a[::-1, :, ::-1]),
        (x.T.reshape(-1), a.T.ravel()),
        (x.clone(), a),
        (x.T.contiguous(), a.T),
    ]:
        np.testing.assert_array_equal(copied.numpy(), expected)
        assert not np.shares_memory(copied.numpy(), a)


def test_inplace():
    x = dnn.arange(4.0)
    p = x.data_ptr()
    x += 1
    x -= dnn.tensor(0.5)
    x *= np.float32(2)
    x /= 2
    x //= 1
    x %= 3
    x **= 2
    assert x.tolist() == [0, 1, 4, 0]
    assert x.data_ptr() == p
    assert x.add_(1, alpha=2) is x
    assert x.tolist() == [2, 3, 6, 2]
    assert x.mul_(0).fill_(3).sub_(dnn.ones(4), alpha=2).tolist() == [1] * 4
    assert x.zero_().copy_(dnn.arange(4)).neg_().abs_().tolist() == [0, 1, 2, 3]
    assert x.masked_fill_(x > 1, 9).tolist() == [0, 1, 9, 9]
    assert x.masked_fill(x > 1, 0.5).tolist() == [0, 1, 0.5, 0.5]
    b = dnn.tensor([True, False])
    b &= dnn.tensor([True, True])
    b |= True
    b ^= dnn.tensor([True, False])
    assert b.tolist() == [False, True]
    assert (~b).tolist() == [True, False]


def test_repeated_memory_is_not_written():
    x = dnn.zeros(1).expand(3)
    for change in (
        lambda: x.add_(1),
        lambda: x.fill_(1),
        lambda: x.exp_(),
        lambda: x.copy_(dnn.ones(3)),
        lambda: x.__setitem__(slice(None), 1),
    ):
        with pytest.raises(ValueError, match="clone"):
            change()


def test_identity():
    x = dnn.ones(2, requires_grad=True)
    (x * 2).sum().backward()
    assert x.grad is x.grad
    g = x.grad
    x.grad = g
    assert x.grad is g
    x.grad = None
    assert x.grad is None
    del x.grad
    alive = weakref.ref(x)
    del x
    gc.collect()
    assert alive() is None
    y = dnn.ones(1)
    assert y.requires_grad_() is y
    assert y.detach() is not y


def test_no_leak():
    def work():
        x = dnn.ones(10, requires_grad=True)
        for _ in range(5):
            ((x[1:] * 2).sum() + x.max(0).values).backward()
        return repr(x), x.numel(), x.tolist()

    work()
    gc.collect()
    before, allocated = sys.gettotalrefcount() if hasattr(sys, "gettotalrefcount") else 0, dnn.memory_stats()["allocated_bytes"]
    for _ in range(50):
        work()
    gc.collect()
    assert dnn.memory_stats()["allocated_bytes"] == allocated
    if before:
        assert sys.gettotalrefcount() - before < 100


class Named(dnn.Tensor):
    """As nn.Parameter is made."""

    def __new__(cls, data, requires_grad=True):
        self = super().__new__(cls, data)
        self.requires_grad_(requires_grad)
        return self


def test_subclass():
    base = dnn.ones(3)
    p = Named(base)
    p.label = "weight"
    assert isinstance(p, dnn.Tensor)
    assert p.requires_grad
    assert not base.requires_grad
    assert p.data_ptr() == base.data_ptr()
    y = p * 2
    assert type(y) is dnn.Tensor
    assert type(base + p) is dnn.Tensor
    assert type(p[0]) is dnn.Tensor
    y.sum().backward()
    assert p.grad.tolist() == [2, 2, 2]
    assert "requires_grad" in repr(p)
    with dnn.no_grad():
        q = p
        p -= 1
    assert p is q
    assert type(p) is Named
    assert p.label == "weight"
    assert p.tolist() == [0, 0, 0]
    holder = [p]
    p.cycle = holder
    alive = weakref.ref(p)
    del p, q, holder
    gc.collect()
    assert alive() is None
    assert Named([1.0, 2.0]).tolist() == [1, 2]


def test_grad_fn():
    x = dnn.ones(2, requires_grad=True)
    y = x * 3
    assert repr(y.grad_fn) == "<mulBackward>"
    assert not y.is_leaf
    assert y.requires_grad
    assert y.grad_fn == y.grad_fn
    z = y.detach()
    assert z.is_leaf
    assert not z.requires_grad
    assert z.data_ptr() == y.data_ptr()
    y.detach_()
    assert y.is_leaf
    assert y.grad_fn is None
    assert not (x > 0).requires_grad


REPRS = [
    (lambda: dnn.tensor(1.0), "tensor(1.)"),
    (lambda: dnn.tensor(2), "tensor(2)"),
    (lambda: dnn.tensor(True), "tensor(True)"),
    (lambda: dnn.tensor([1.5, 2]), "tensor([1.5000, 2.0000])"),
    (lambda: dnn.tensor([[1, 2], [3, 40]]), "tensor([[ 1,  2],\n        [ 3, 40]])"),
    (lambda: dnn.tensor([]), "tensor([])"),
    (lambda: dnn.zeros(0, 3), "tensor([], size=(0, 3))"),
    (lambda: dnn.tensor([1.0], dtype="float64"), "tensor([1.], dtype=dnncore.float64)"),
    (lambda: dnn.tensor([1.0], dtype="bfloat16"), "tensor([1.], dtype=dnncore.bfloat16)"),
    (lambda: dnn.tensor([math.nan, math.inf, 1]), "tensor([nan, inf,  1.])"),
    (lambda: dnn.tensor([1e-8, 1]), "tensor([1.0000e-08, 1.0000e+00])"),
    (lambda: dnn.tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
    (lambda: dnn.tensor([1.0], requires_grad=True) * 2, "tensor([2.], grad_fn=<mulBackward>)"),
    (lambda: dnn.tensor([True, False]), "tensor([ True, False])"),
]


@pytest.mark.parametrize(("make", "expected"), REPRS, ids=[text for _, text in REPRS])
def test_repr(make, expected):
    assert repr(make()) == expected


@pytest.mark.parametrize("shape", [(2000,), (100, 100), (20, 20, 20), (1001, 1), (1, 1001), (3, 5000), (2, 0, 2000)])
def test_repr_is_summarised(shape):
    x = dnn.zeros(shape)
    text = repr(x)
    assert ("..." in text) == (x.numel() > 0)
    assert len(text) < 3000


def test_max_and_min():
    x = dnn.tensor([[1.0, 5, 5], [7, 2, 7]], requires_grad=True)
    values, indices = x.max(dim=1)
    assert values.tolist() == [5, 7]
    assert indices.tolist() == [1, 0]
    assert x.max(1).values.shape == (2,)
    assert x.max().item() == 7
    values.sum().backward()
    assert x.grad.tolist() == [[0, 1, 0], [1, 0, 0]]  # PyTorch: to the element that was picked
    assert x.min(0, keepdim=True).indices.shape == (1, 3)
    assert dnn.max(x, dnn.tensor(4.0)).tolist() == [[4, 5, 5], [7, 4, 7]]
    assert x.amax((0, 1)).item() == 7
    assert x.argmax().item() == 3
    assert x.argmin(1).tolist() == [0, 1]


def test_functions():
    x = dnn.tensor([[1.0, -2.0], [3.0, 0.5]])
    a = x.numpy()
    np.testing.assert_allclose(x.var(0).numpy(), a.var(0, ddof=1), rtol=1e-6)
    np.testing.assert_allclose(x.std(correction=0).numpy(), a.std(), rtol=1e-6)
    np.testing.assert_allclose(x.clamp(-1, 1).numpy(), a.clip(-1, 1))
    np.testing.assert_allclose(x.gather(1, dnn.tensor([[0], [1]])).numpy(), np.take_along_axis(a, np.array([[0], [1]]), 1))
    np.testing.assert_allclose(dnn.where(x > 0, x, 0.0).numpy(), np.where(a > 0, a, 0))
    np.testing.assert_array_equal(dnn.nonzero(x > 0).numpy(), np.argwhere(a > 0))
    np.testing.assert_allclose(dnn.cat([x, x], 1).numpy(), np.concatenate([a, a], 1))
    np.testing.assert_allclose(dnn.stack((x, x)).numpy(), np.stack([a, a]))
    np.testing.assert_allclose(x.index_select(1, dnn.tensor([1, 1])).numpy(), a[:, [1, 1]])
    np.testing.assert_allclose((x @ x).numpy(), a @ a)
    assert dnn.allclose(x, x + 1e-9)
    assert not dnn.allclose(x, x + 1)
    assert dnn.equal(x, x.clone())
    assert not dnn.equal(x, x[0])
    nan = dnn.tensor([math.nan, math.inf])
    assert not dnn.allclose(nan, nan)
    assert dnn.allclose(nan, nan, equal_nan=True)
    assert x.div(2, rounding_mode="floor").tolist() == [[0, -1], [1, 0]]
    assert x.div(2, rounding_mode="trunc").tolist() == [
        [0, -1],
        [1, 0],
    ]
    assert dnn.add(x, x, alpha=2).tolist() == (a * 3).tolist()
    assert (2 - x).tolist() == (2 - a).tolist()
    assert (2**x).tolist() == (2**a).tolist()


def test_generator():
    dnn.manual_seed(3)
    a = dnn.rand(4)
    g = dnn.Generator(3)
    assert dnn.equal(dnn.rand(4, generator=g), a)
    assert g.initial_seed() == 3
    assert dnn.initial_seed() == 3
    state = g.get_state()
    b = dnn.randn(5, generator=g)
    g.set_state(state)
    assert dnn.equal(dnn.randn(5, generator=g), b)
    assert sorted(dnn.randperm(10, generator=g).tolist()) == list(range(10))
    draws = dnn.randint(2, 5, (1000,), generator=g)
    assert draws.dtype is dnn.int64
    assert set(draws.tolist()) == {2, 3, 4}
    assert dnn.randint(3, (2,)).shape == (2,)
    assert set(dnn.bernoulli(dnn.full((100,), 0.5)).tolist()) == {0.0, 1.0}
    assert dnn.bernoulli(dnn.tensor([0.0, 1.0])).tolist() == [0, 1]
    assert 0 <= dnn.empty(100).uniform_(2, 3).min().item() - 2 < 1
    assert abs(dnn.empty(10000).normal_(5, 2).mean().item() - 5) < 0.2
    assert dnn.rand_like(a).shape == a.shape
    assert dnn.manual_seed(-1).initial_seed() == 2**64 - 1
