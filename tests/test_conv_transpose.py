"""Transposed convolution: the gradient of the convolution, exact on whole numbers; its own gradients are convolutions."""

import dnncore as dnn
import numpy as np
import pytest
import reference_conv as reference
from cases import ISAS, numbers, tensor, use_isa, use_threads
from dnncore.nn import functional as F
from reference import assert_exact
from reference_conv import TRANSPOSED, Geometry, whole

CHECKED = pytest.mark.parametrize(("x_shape", "w_shape", "settings"), TRANSPOSED, ids=str)


def each(settings, key, default, dims):
    value = settings.get(key, default)
    return value if isinstance(value, tuple) else (value,) * dims


def geometry(x_shape, w_shape, settings):
    """That of the convolution whose gradient it is, and the shape of the output."""
    dims, groups = len(x_shape) - 2, settings.get("groups", 1)
    names = (("stride", 1), ("padding", 0), ("dilation", 1), ("output_padding", 0))
    stride, pad, dilation, extra = (each(settings, key, default, dims) for key, default in names)
    rows = zip(x_shape[2:], w_shape[2:], stride, pad, dilation, extra, strict=True)
    sizes = tuple((n - 1) * s - 2 * p + d * (f - 1) + e + 1 for n, f, s, p, d, e in rows)
    return Geometry(stride, pad, dilation, groups, x_shape[2:]), (x_shape[0], w_shape[1] * groups, *sizes)


def drawn(x_shape, w_shape, settings):
    _, y_shape = geometry(x_shape, w_shape, settings)
    return whole(*x_shape), whole(*w_shape, seed=1), whole(y_shape[1], seed=2), whole(*y_shape, seed=3)


def expected(x, w, b, dy, settings):
    g, y_shape = geometry(x.shape, w.shape, settings)
    y = reference.input_gradient(x, w, y_shape, g) + b.reshape(-1, *(1,) * (x.ndim - 2))
    dw = reference.weight_gradient(dy, x, w.shape, g)
    return [y, reference.forward(dy, w, g), dw, dy.sum(axis=(0, *range(2, dy.ndim)))]


def found(x, w, b, dy, settings):
    leaves = [t.detach().requires_grad_() for t in (x, w, b)]
    y = getattr(F, f"conv_transpose{x.ndim - 2}d")(*leaves, **settings)
    y.backward(dy)
    return [numbers(y), *(numbers(leaf.grad) for leaf in leaves)]


@CHECKED
def test_whole_numbers_are_exact(x_shape, w_shape, settings):
    arrays = drawn(x_shape, w_shape, settings)
    oracle = expected(*arrays, settings)
    for isa in ISAS:
        for dtype in ("float32", "float64"):
            with use_isa(isa):
                results = found(*(tensor(part, dtype) for part in arrays), settings)
            for name, actual, wanted in zip(("y", "dx", "dw", "db"), results, oracle, strict=True):
                np.testing.assert_array_equal(actual, wanted, err_msg=f"{name} {isa} {dtype}")


@CHECKED
def test_layouts_and_threads_do_not_change_a_bit(x_shape, w_shape, settings):
    x, w, b, dy = (np.sin(part + 0.3).astype(np.float32) for part in drawn(x_shape, w_shape, settings))
    right = found(*map(tensor, (x, w, b, dy)), settings)

    def last(part):
        return tensor(np.ascontiguousarray(np.moveaxis(part, 1, -1))).movedim(-1, 1)

    for threads in (1, 2, 4):
        with use_threads(threads):
            again = found(last(x), tensor(w), tensor(b), last(dy), settings)
        for actual, wanted in zip(again, right, strict=True):
            assert_exact(actual, wanted, f"{threads} threads")


@CHECKED
def test_it_is_the_gradient_of_the_convolution(x_shape, w_shape, settings):
    x, w, _, _ = (tensor(part) for part in drawn(x_shape, w_shape, settings))
    dims = x.ndim - 2
    y = getattr(F, f"conv_transpose{dims}d")(x, w, **settings)
    plain = {key: value for key, value in settings.items() if key != "output_padding"}
    leaf = dnn.zeros(*y.shape, dtype=dnn.float64).requires_grad_()
    back = getattr(F, f"conv{dims}d")(leaf, w, **plain)
    back = back[(slice(None), slice(None), *map(slice, x.shape[2:]))]  # an output padding beyond the stride leaves room for more
    back.backward(x)
    assert_exact(numbers(leaf.grad), numbers(y))
    assert (back.detach() * x).sum().item() == (leaf.detach() * y).sum().item()


def test_an_image_without_a_batch_and_no_images():
    x, w = tensor(whole(1, 3, 4, 5)), tensor(whole(3, 2, 3, 3))
    y = F.conv_transpose2d(x, w, stride=2)
    assert_exact(numbers(F.conv_transpose2d(x[0], w, stride=2)), numbers(y)[0])
    leaf = w.requires_grad_()
    empty = F.conv_transpose2d(x[:0], leaf, stride=2)
    assert empty.shape == (0, *y.shape[1:])
    empty.sum().backward()
    assert_exact(numbers(leaf.grad), np.zeros(w.shape))
