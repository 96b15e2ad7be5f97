"""Digits and minibatches."""

from __future__ import annotations

import builtins
import hashlib
import sys

import dnncore as dnn
import numpy as np
import pytest
from dnncore.data import batches, load_digits


@pytest.fixture(autouse=True)
def _needs_sklearn(request):
    if "digits" in request.node.name and "missing" not in request.node.name:
        pytest.importorskip("sklearn", reason="scikit-learn (extra course) holds the digits")


@pytest.mark.parametrize("size", [8, 32])
def test_digits_shapes_range_and_split(size):
    x, y = load_digits(size, "train")
    x_test, y_test = load_digits(size, "test")
    assert x.shape == (1437, 1, size, size)
    assert x_test.shape == (360, 1, size, size)
    assert (x.dtype, y.dtype) == (dnn.float32, dnn.int64)
    assert (x.min().item(), x.max().item()) == (0.0, 1.0)
    assert x[:, :, 0, 0].max().item() == 0.0  # white ink on black
    shares = np.bincount(y_test.numpy(), minlength=10) / np.bincount(np.r_[y.numpy(), y_test.numpy()])
    assert np.abs(shares - 0.2).max() < 0.01
    x_all, y_all = load_digits(size, "all")
    assert sorted(y_all.tolist()) == sorted(y.tolist() + y_test.tolist())
    rows = {row.tobytes() for row in x_all.numpy()}
    assert rows == {row.tobytes() for part in (x, x_test) for row in part.numpy()}


def test_digits_split_never_changes():
    _, y = load_digits(split="test")
    x, _ = load_digits(split="test")
    digest = hashlib.sha256(y.numpy().tobytes() + (x.numpy() * 16).astype(np.uint8).tobytes()).hexdigest()
    assert digest == "41517596539c992dd8c7e14a201b6a4ec2691b6a09223dd21afba3a4bc7eea33"


def test_digits_grow_bilinearly():
    small, large = load_digits(8)[0].numpy(), load_digits(32)[0].numpy()
    # the centre of four equal sub-pixels around a corner of the small image is the mean of its four pixels
    mean = (small[..., :-1, :-1] + small[..., 1:, :-1] + small[..., :-1, 1:] + small[..., 1:, 1:]) / 4
    block = sum(large[..., 3 + i : 30 + i : 4, 3 + j : 30 + j : 4] for i in range(2) for j in range(2)) / 4
    np.testing.assert_allclose(block[..., :7, :7], mean, atol=1e-6)
    np.testing.assert_array_equal(large[..., :2, :2], np.broadcast_to(small[..., :1, :1], (*small.shape[:2], 2, 2)))


@pytest.mark.parametrize(("kwargs", "match"), [({"size": 28}, "size 8 or 32, got 28"), ({"split": "val"}, "got 'val'")])
def test_digits_refuse(kwargs, match):
    with pytest.raises(ValueError, match=match):
        load_digits(**kwargs)


def test_missing_extra_names_the_command(monkeypatch):
    real = builtins.__import__
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setattr(builtins, "__import__", real)
    with pytest.raises(ImportError, match=r"load_digits: needs sklearn.*pip install 'dnncore\[course\]'"):
        load_digits()


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize(("count", "size"), [(10, 3), (9, 3), (2, 5), (0, 4), (1, 1)])
def test_batches_cover_every_row_once(count, size, drop_last):
    x = dnn.arange(count)
    got = [(a.tolist(), b.tolist()) for a, b in batches(x, x.reshape(count, 1) * 2, batch_size=size, drop_last=drop_last)]
    rows = [row for a, _ in got for row in a]
    assert all(len(a) == size for a, _ in got[:-1])
    assert [[2 * v] for a, _ in got for v in a] == [row for _, b in got for row in b]
    expected = count - count % size if drop_last else count
    assert len(rows) == len(set(rows)) == expected


def test_batches_order():
    x = dnn.arange(100)

    def order(**kwargs):
        return [row for (a,) in batches(x, batch_size=7, **kwargs) for row in a.tolist()]

    assert order(shuffle=False) == list(range(100))
    generator = dnn.Generator().manual_seed(4)
    first, second = order(generator=generator), order(generator=generator)
    assert first != second
    assert first != list(range(100))
    assert order(generator=dnn.Generator().manual_seed(4)) == first
    dnn.manual_seed(1)
    one = order()
    dnn.manual_seed(1)
    assert order() == one


@pytest.mark.parametrize(
    ("tensors", "size", "match"),
    [
        ([], 1, "got shapes none"),
        ([(3,), (4,)], 1, r"\(3,\), \(4,\)"),
        ([()], 1, r"got shapes \(\)"),
        ([(3,)], 0, "batch_size of at least 1, got 0"),
    ],
)
def test_batches_refuse(tensors, size, match):
    with pytest.raises(ValueError, match=match):
        batches(*(dnn.zeros(shape) for shape in tensors), batch_size=size)
