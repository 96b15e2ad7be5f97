"""x[key] and x[key] = value against NumPy, over index expressions that hypothesis writes."""

import re

import dnncore as dnn
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def is_advanced(item):
    return isinstance(item, list | np.ndarray | bool)


def numpy_agrees(items):
    """Whether NumPy and PyTorch place the indexed dimensions alike.

    NumPy counts integers as advanced where an array is near, and an Ellipsis of no dimensions as something between two arrays.
    """
    advanced = [at for at, item in enumerate(items) if is_advanced(item)]
    if not advanced:
        return True
    between = items[advanced[0] : advanced[-1]]
    return Ellipsis not in [i for i in between if not isinstance(i, np.ndarray)] and not any(
        isinstance(i, int | np.integer) and not isinstance(i, bool) for i in items
    )


@st.composite
def shapes_and_keys(draw, negative_steps=True):
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
    items, ellipsis, dim = [], False, 0
    broadcast = draw(st.integers(1, 3))  # length of every list, so that they broadcast
    while dim < len(shape) and len(items) < 7:
        size = shape[dim]
        position = st.integers(-size, size - 1) if size else st.nothing()
        kinds = (
            ["slice", "slice", "none", "ellipsis", "stop", "bool"]
            # NumPy takes an empty mask for a dimension of any size, PyTorch does not.
            + (["int", "numpy int", "list", "array", "mask"] if size else [])
            + (["mask2"] if 0 not in shape[dim : dim + 2] else [])
        )
        kind = draw(st.sampled_from(kinds))
        if kind == "stop":
            break
        if kind == "slice":
            bound = st.none() | st.integers(-size - 2, size + 2)
            steps = [None, 1, 2, 3, -1, -2] if negative_steps else [None, 1, 2, 3]
            items.append(slice(draw(bound), draw(bound), draw(st.sampled_from(steps))))
        elif kind == "none":
            items.append(None)
        elif kind == "bool":
            if draw(st.integers(0, 3)) == 0:
                items.append(draw(st.booleans()))
        elif kind == "ellipsis":
            if not ellipsis:
                items.append(Ellipsis)
                dim = max(dim, len(shape) - draw(st.integers(0, len(shape) - dim)))
            ellipsis = True
            continue
        elif kind == "int":
            items.append(draw(position))
        elif kind == "numpy int":
            items.append(np.int64(draw(position)))
        elif kind == "list":
            items.append(draw(st.lists(position, min_size=broadcast, max_size=broadcast)))
        elif kind == "array":
            items.append(np.array(draw(st.lists(position, min_size=1, max_size=2))).reshape(-1, 1))
        elif kind == "mask":
            items.append(np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)), bool))
        elif kind == "mask2" and dim + 1 < len(shape):
            cells = size * shape[dim + 1]
            items.append(
                np.array(draw(st.lists(st.booleans(), min_size=cells, max_size=cells)), bool).reshape(size, shape[dim + 1])
            )
            dim += 1
        if kind not in ("none", "bool") and not (kind == "mask2" and dim + 1 > len(shape)):
            dim += 1
    return shape, items


def as_key(items):
    return items[0] if len(items) == 1 and not isinstance(items[0], list) else tuple(items)


def on_tensors(items):
    return [dnn.tensor(i) if isinstance(i, np.ndarray) else i for i in items]


def numpy_result(array, items):
    try:
        return array[as_key(items)]
    except IndexError as error:
        return error


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(shapes_and_keys())
def test_reading_agrees_with_numpy(case):
    shape, items = case
    if not numpy_agrees(items):
        return
    array = np.arange(np.prod(shape, dtype=int), dtype=np.int64).reshape(shape)
    x, expected = dnn.tensor(array), numpy_result(array, items)
    for key in (as_key(items), as_key(on_tensors(items))):
        if isinstance(expected, Exception):
            with pytest.raises((IndexError, ValueError)):
                x[key]
        else:
            np.testing.assert_array_equal(x[key].numpy(), expected)
            assert x[key].shape == np.shape(expected)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(shapes_and_keys(), st.sampled_from(["scalar", "full", "row", "array"]))
def test_writing_agrees_with_numpy(case, kind):
    shape, items = case
    array = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    target = numpy_result(array, items)
    if isinstance(target, Exception) or not numpy_agrees(items):
        return
    target = np.asarray(target)
    distinct = len(np.unique(target)) == target.size  # NumPy leaves the winner among duplicates open
    values = -1 - np.arange(target.size, dtype=np.float32).reshape(target.shape)
    if kind == "scalar" or target.ndim == 0 or not distinct:
        values = np.float32(-5)
    elif kind == "row":
        values = values[..., :1]
    x, key = dnn.tensor(array), as_key(items)
    array[key] = values
    if np.ndim(values) == 0:
        x[key] = float(values)
    else:
        x[as_key(on_tensors(items))] = values if kind == "array" else dnn.tensor(values)
    np.testing.assert_array_equal(x.numpy(), array)


X = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)

VIEWS = [
    0,
    -1,
    slice(None),
    slice(0, 1),
    (0, 1),
    (Ellipsis, 1),
    (slice(None), None, 1),
    None,
    Ellipsis,
    (0, 1, 2),
    (slice(None), slice(None, None, 2)),
]
COPIES = [slice(None, None, -1), [0], np.array([True, False]), (slice(None), [0, 2])]


@pytest.mark.parametrize("key", VIEWS, ids=repr)
def test_basic_index_is_a_view(key):
    x = dnn.tensor(X)
    view = x[key]
    assert view is not x
    view.fill_(-1)
    assert (x.numpy() == -1).sum() == np.size(X[key])


@pytest.mark.parametrize("key", COPIES, ids=repr)
def test_advanced_index_is_a_copy(key):
    x = dnn.tensor(X)
    x[key].fill_(-1)
    np.testing.assert_array_equal(x.numpy(), X)


PLACEMENT = [  # PyTorch: integers are applied first, advanced dimensions that then stand together stay in place
    ((0, slice(None), [0, 1]), (3, 2)),
    ((slice(None), [0, 1], 0), (2, 2)),
    ((slice(None), [0, 1], [0, 1]), (2, 2)),
    (([0, 1], slice(None), [0, 1]), (2, 3)),
    (([0, 1], None, [0, 1]), (2, 1, 4)),
    ((slice(None), [[0, 1], [1, 2]]), (2, 2, 2, 4)),
    ((True, [0, 1]), (2, 3, 4)),
    ((False,), (0, 2, 3, 4)),
]


@pytest.mark.parametrize(("key", "shape"), PLACEMENT, ids=repr)
def test_placement(key, shape):
    assert dnn.tensor(X)[key].shape == shape


ERRORS = [
    (5, IndexError, "index 5 is out of bounds for dimension 0 with size 2"),
    (-3, IndexError, "index -3 is out of bounds"),
    ((0, 0, 9), IndexError, "index 9 is out of bounds for dimension 2 with size 4"),
    (([0, 7],), IndexError, "index 7 is out of bounds"),
    ((0, 0, 0, 0), IndexError, "too many indices"),
    ((Ellipsis, Ellipsis), IndexError, "single ellipsis"),
    (1.0, IndexError, "integers"),
    ("a", IndexError, "integers"),
    ([1.0], IndexError, "int64"),
    (10**30, IndexError, "cannot fit"),
    (slice(None, None, 0), ValueError, "zero"),
    (slice("a"), TypeError, "slice indices"),
    (np.array([True, False, True]), IndexError, "mask"),
    (np.array([1, 0], np.uint8), TypeError, "uint8.*bool"),
    (([0, 1], [0, 1, 2]), ValueError, "broadcast"),
    ([[0, 1], [0]], ValueError, "equal lengths"),
    (object(), IndexError, "integers"),
]


@pytest.mark.parametrize(("key", "error", "message"), ERRORS, ids=lambda v: re.sub(" at 0x.*", "", repr(v))[:30])
def test_bad_index(key, error, message):
    x = dnn.tensor(X)
    with pytest.raises(error, match=message):
        x[key]
    with pytest.raises(error, match=message):
        x[key] = 0
    np.testing.assert_array_equal(x.numpy(), X)


def test_bad_assignment():
    x = dnn.tensor(X)
    for value, error in [
        (dnn.zeros(5), ValueError),
        (np.zeros((2, 2)), ValueError),
        ("a", TypeError),
        (None, TypeError),
        ([[1, 2]], ValueError),
    ]:
        with pytest.raises(error):
            x[0] = value
        with pytest.raises(error):
            x[[0, 1]] = value
    with pytest.raises(TypeError, match="delet"):
        del x[0]
    np.testing.assert_array_equal(x.numpy(), X)


def test_overlapping_assignment():
    for target, source in [
        (slice(1, None), slice(None, -1)),
        (slice(None, -1), slice(1, None)),
        (slice(None), slice(None, None, -1)),
    ]:
        array, x = np.arange(100.0), dnn.arange(100.0)
        array[target] = array[source].copy()
        x[target] = x[source]
        np.testing.assert_array_equal(x.numpy(), array)
    array, x = np.arange(9.0).reshape(3, 3), dnn.arange(9.0).reshape(3, 3)
    x[:] = x.T
    np.testing.assert_array_equal(x.numpy(), array.T)
    y = dnn.arange(5.0)
    y[[0, 1, 2]] = y[2:]
    assert y.tolist() == [2, 3, 4, 3, 4]


def test_augmented_assignment():
    x = dnn.zeros(3, 2)
    x[1] += 2
    x[:, 0] -= dnn.tensor([1.0, 2, 3])
    x[[0, 0, 2]] += 10  # duplicates count once, as in NumPy
    x[x > 9] *= 2
    assert x.tolist() == [[9, 20], [0, 2], [7, 20]]


def test_assignment_casts_and_broadcasts():
    x = dnn.zeros(2, 3, dtype="int64")
    x[0] = dnn.tensor([1.9, 2.1, -3.9])
    x[1, :2] = np.array([[[7, 8]]])
    x[1, 2] = True
    assert x.tolist() == [[1, 2, -3], [7, 8, 1]]


def test_gradient_through_index():
    x = dnn.arange(6.0).reshape(2, 3).detach().requires_grad_()
    (x[1, 1:] * dnn.tensor([2.0, 3.0])).sum().backward()
    x[[0, 0], [1, 1]].sum().backward()
    x[x > 4].sum().backward()
    x[:, ::-1][:, 0].sum().backward()
    assert x.grad.tolist() == [[0, 2, 1], [0, 2, 5]]
    with pytest.raises(RuntimeError, match="requires grad"):
        x[0] = 0
    x.grad = None
    y = dnn.zeros(2, 3)
    y[0] = x[0] * 2
    y.sum().backward()
    assert x.grad.tolist() == [[2, 2, 2], [0, 0, 0]]


def test_iteration():
    x = dnn.tensor(X)
    assert [row.shape for row in x] == [(3, 4)] * 2
    assert len(x) == 2
    first, second = dnn.tensor([1, 2])
    assert first.item() == 1
    assert second.item() == 2
    assert 5.0 in x
    assert 99 not in x
    assert dnn.tensor(3.0) in x
    for scalar_call in (lambda: iter(dnn.tensor(1.0)), lambda: len(dnn.tensor(1.0))):
        with pytest.raises(TypeError, match="0-d"):
            scalar_call()
    assert list(dnn.zeros(0)) == []
