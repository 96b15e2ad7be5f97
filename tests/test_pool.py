"""Pooling: PyTorch's answers, exact tables, ties and NaN, borders, layouts, threads, captured steps, misuse, layers."""

from __future__ import annotations

import itertools

import dnncore as dnn
import numpy as np
import pytest
from capture_cases import quiet, runs  # noqa: F401 - a fixture
from cases import GOLDEN, HALVES, ISAS, numbers, tensor, use_isa, use_threads
from dnncore import nn
from dnncore.nn import functional as F
from pool_cases import CASES, NAMES, whole_numbers
from reference import assert_exact, assert_within, unit

EXPECTED = dict(np.load(GOLDEN / "pool.npz"))
INF, NAN = float("inf"), float("nan")


def channels_last(x: dnn.Tensor) -> dnn.Tensor:
    order = (0, *range(2, x.ndim), 1)
    return x.permute(order).contiguous().permute(0, x.ndim - 1, *range(1, x.ndim - 1))


def run(name, shape, settings, dtype, convert=lambda x: x):
    """Result, indices or None, gradient."""
    leaf = tensor(whole_numbers(shape), dtype).requires_grad_()
    result = getattr(F, name)(convert(leaf), **settings)
    y, indices = result if isinstance(result, tuple) else (result, None)
    y.backward(tensor(whole_numbers(tuple(y.shape), 1), dtype))
    return numbers(y), None if indices is None else numbers(indices), numbers(leaf.grad)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", range(len(CASES)), ids=NAMES)
def test_as_pytorch(isa, dtype, case):
    """Whole numbers: what is largest is exact, and so are sums; quotients and the sums of a few of them are rounded."""
    with use_isa(isa):
        y, indices, dx = run(*CASES[case], dtype)
    bound = 0 if indices is not None else 16 * unit("float32")  # of the file, in float32
    assert_within(y, EXPECTED[f"{case}/y"], bound * 4)
    assert_within(dx, EXPECTED[f"{case}/dx"], bound * 64)
    if indices is not None:
        assert indices.dtype == np.int64
        np.testing.assert_array_equal(indices, EXPECTED[f"{case}/indices"])


def test_golden_file_is_whole():
    assert {int(key.split("/")[0]) for key in EXPECTED} == set(range(len(CASES)))


@pytest.mark.parametrize("case", range(len(CASES)), ids=NAMES)
def test_layouts_have_the_same_bits(case):
    name, shape, settings = CASES[case]
    expected = run(name, shape, settings, "float32")
    converted = [lambda x: x.transpose(0, -1).contiguous().transpose(0, -1), lambda x: dnn.stack([x, x], -1)[..., 1]]
    if len(shape) == int(name[-2]) + 2:
        converted.append(channels_last)
    for convert in converted:
        for got, wanted in zip(run(name, shape, settings, "float32", convert), expected, strict=True):
            if wanted is not None:
                assert_exact(got, wanted)


@pytest.mark.parametrize("dtype", HALVES)
def test_halves_go_through_float32(dtype):
    x = tensor(whole_numbers((2, 3, 8, 8)), dtype)
    for function in (lambda t: F.max_pool2d(t, 2), lambda t: F.avg_pool2d(t, 2), lambda t: F.adaptive_avg_pool2d(t, 2)):
        y = function(x)
        assert y.dtype == x.dtype
        assert_exact(numbers(y), numbers(function(x.float())))


# --- Exact tables -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("channels", [1, 3, 6, 16, 17, 64, 70, 150])
def test_two_by_two(isa, channels):
    x = np.arange(2 * channels * 6 * 4, dtype=np.float32).reshape(2, channels, 6, 4) % 97
    blocks = x.reshape(2, channels, 3, 2, 2, 2)
    with use_isa(isa):
        assert_exact(numbers(F.max_pool2d(tensor(x), 2)), blocks.max(axis=(3, 5)))
        assert_exact(numbers(F.avg_pool2d(tensor(x), 2)), blocks.mean(axis=(3, 5), dtype=np.float32))
        assert_exact(numbers(F.adaptive_avg_pool2d(tensor(x), (3, 2))), blocks.mean(axis=(3, 5), dtype=np.float32))


@pytest.mark.parametrize("isa", ISAS)
def test_the_mean_of_a_constant_is_the_constant(isa):
    x = dnn.full((2, 20, 9, 9), 0.1)
    with use_isa(isa):
        for y in (F.avg_pool2d(x, 3), F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), F.adaptive_avg_pool2d(x, 4)):
            assert_within(numbers(y), np.full(tuple(y.shape), np.float32(0.1)), 0.1 * 9 * unit("float32"))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels", [1, 3, 16, 70])
def test_the_first_maximum_wins_and_nan_propagates(isa, dtype, channels):
    rows = np.array(
        [
            [1.0, 1.0, 0.0],
            [2.0, 2.0, 2.0],
            [-INF, -INF, -INF],
            [0.0, NAN, 5.0],
            [NAN, NAN, 1.0],
            [INF, 1.0, INF],
            [-0.0, 0.0, -1.0],
        ],
        dtype,
    )
    x = np.repeat(rows[:, None], channels, 1)
    with use_isa(isa):
        leaf = tensor(x).requires_grad_()
        y, indices = F.max_pool1d(leaf, 3, return_indices=True)
        y.backward(dnn.ones_like(y))
    first = [0, 0, 0, 1, 1, 0, 0]
    np.testing.assert_array_equal(numbers(indices)[:, :, 0], np.repeat(np.array(first)[:, None], channels, 1))
    np.testing.assert_array_equal(numbers(y)[:, 0, 0], [1, 2, -INF, NAN, NAN, INF, 0])
    expected = np.zeros(rows.shape, dtype)
    expected[np.arange(len(rows)), first] = 1
    assert_exact(numbers(leaf.grad), np.repeat(expected[:, None], channels, 1))


def test_padding_is_minus_infinity_or_zero():
    x = dnn.full((1, 1, 2, 2), -3.0)
    assert numbers(F.max_pool2d(x, 2, padding=1)).tolist() == [[[[-3.0, -3.0], [-3.0, -3.0]]]]
    assert numbers(F.avg_pool2d(x, 2, padding=1)).tolist() == [[[[-0.75, -0.75], [-0.75, -0.75]]]]
    assert numbers(F.avg_pool2d(x, 2, padding=1, count_include_pad=False)).tolist() == [[[[-3.0, -3.0], [-3.0, -3.0]]]]


# --- Borders of windows -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "expected"),
    [
        (5, 2, 2, 0, 3),  # the last window has one element
        (6, 2, 2, 0, 3),
        (3, 2, 3, 1, 2),  # a third window would begin in the right padding
        (4, 1, 5, 0, 1),
        (4, 3, 3, 1, 2),
        (7, 3, 2, 1, 4),
    ],
)
def test_ceil_mode_counts_windows_that_begin_inside(size, kernel, stride, padding, expected):
    x = dnn.arange(float(size)).reshape(1, 1, size)
    for pool in (F.max_pool1d, F.avg_pool1d):
        y = pool(x, kernel, stride, padding, ceil_mode=True)
        assert y.shape[2] == expected
        assert bool(y.isfinite().all())
    last = numbers(F.max_pool1d(x, kernel, stride, padding, ceil_mode=True))[0, 0, -1]
    assert last == min(size - 1, (expected - 1) * stride - padding + kernel - 1)


def test_windows_larger_than_the_input():
    x = dnn.arange(4.0).reshape(1, 1, 2, 2)
    assert numbers(F.max_pool2d(x, 4, padding=1)).tolist() == [[[[3.0]]]]
    assert numbers(F.avg_pool2d(x, 4, padding=2, stride=2)).sum() == pytest.approx(6 * 4 / 16)
    with pytest.raises(ValueError, match="max_pool2d: a window of 5 elements does not fit into 2 with padding 1"):
        F.max_pool2d(x, 5, padding=1)
    with pytest.raises(ValueError, match="avg_pool2d: a window of 3 elements does not fit into 2"):
        F.avg_pool2d(x, 3)


def test_zero_batches():
    x = dnn.zeros(0, 3, 8, 8).requires_grad_()
    for function in (lambda t: F.max_pool2d(t, 2), lambda t: F.avg_pool2d(t, 2), lambda t: F.adaptive_avg_pool2d(t, 3)):
        y = function(x)
        y.sum().backward()
        assert y.shape[0] == 0
        assert x.grad.shape == x.shape


def test_empty_output_of_adaptive_pooling():
    x = dnn.ones(2, 3, 8, 8).requires_grad_()
    for function in (F.adaptive_avg_pool2d, F.adaptive_max_pool2d):
        x.grad = None
        y = function(x, (0, 2))
        assert tuple(y.shape) == (2, 3, 0, 2)
        y.sum().backward()
        assert not x.grad.any()


def test_a_large_window_keeps_its_position():
    """More than 256 elements: positions no longer fit a byte."""
    x = np.zeros((1, 2, 40, 40), np.float32)
    x[0, 0, 39, 38] = x[0, 1, 20, 7] = 1
    leaf = tensor(x).requires_grad_()
    y, indices = F.max_pool2d(leaf, 40, return_indices=True)
    y.sum().backward()
    assert numbers(indices).ravel().tolist() == [39 * 40 + 38, 20 * 40 + 7]
    assert_exact(numbers(leaf.grad), x)


# --- Bits -------------------------------------------------------------------------------------------------------------

SETTINGS = [(2,), (3, 2, 1), (3, 1, 1), (7, 7), (2, 3)]


def several(shape, settings):
    found = []
    for function in (F.max_pool2d, F.avg_pool2d):
        leaf = tensor(np.random.default_rng(3).standard_normal(shape, dtype=np.float32)).requires_grad_()
        y = function(leaf, *settings)
        y.backward(tensor(np.random.default_rng(4).standard_normal(tuple(y.shape), dtype=np.float32)))
        found += [numbers(y).copy(), numbers(leaf.grad).copy()]
    return found


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("shape", [(16, 6, 28, 28), (2, 64, 57, 55), (1, 3, 200, 210), (4, 300, 14, 14)], ids=str)
def test_same_bits_for_any_number_of_threads(shape, settings):
    found = []
    for threads in (1, 2, 4):
        with use_threads(threads):
            found.append(several(shape, settings))
    for other in found[1:]:
        for got, expected in zip(other, found[0], strict=True):
            assert_exact(got, expected)


@pytest.mark.parametrize(
    "pool",
    [nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(3), nn.AdaptiveMaxPool2d((3, 2))],
    ids=str,
)
def test_captured_steps_have_the_bits_of_python(pool):
    def build():
        weight = nn.Parameter(dnn.ones(3, 1, 1))

        def step(x):
            weight.grad = None
            loss = (pool(x * weight) ** 2).sum()
            loss.backward()
            return loss, weight.grad

        return step, lambda i: (dnn.randn(2, 3, 8, 8),), lambda: None

    runs(build)


def test_results_are_channels_last():
    for function in (lambda t: F.max_pool2d(t, 2), lambda t: F.avg_pool2d(t, 2), lambda t: F.adaptive_avg_pool2d(t, 2)):
        y = function(dnn.zeros(2, 5, 8, 8))
        assert y.stride() == (5 * y.shape[2] * y.shape[3], 1, 5 * y.shape[3], 5)


# --- Beside PyTorch, where it is installed ----------------------------------------------------------------------------

GRID = list(itertools.product((1, 2, 3), (1, 3, 6, 16, 33), (2, 3), (1, 2, 3), (0, 1), (1, 2), (False, True)))


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_a_grid_of_settings_beside_pytorch(spatial):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(spatial)
    for _, channels, kernel, stride, padding, dilation, ceil_mode in (row for row in GRID if row[0] == spatial):
        x = random.standard_normal((2, channels, *(9, 11, 7)[:spatial])).round(1)
        theirs = torch.tensor(x, requires_grad=True)
        mine = tensor(x).requires_grad_()
        settings = (kernel, stride, padding, dilation, ceil_mode, True)
        expected = getattr(torch.nn.functional, f"max_pool{spatial}d")(theirs, *settings)
        got = getattr(F, f"max_pool{spatial}d")(mine, *settings)
        g = random.standard_normal(tuple(expected[0].shape))
        expected[0].backward(torch.tensor(g))
        got[0].backward(tensor(g))
        assert_exact(numbers(got[0]), expected[0].detach().numpy())
        assert_exact(numbers(got[1]), expected[1].numpy())
        np.testing.assert_allclose(numbers(mine.grad), theirs.grad.numpy(), rtol=1e-12, atol=1e-14)


# --- Misuse -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x: F.max_pool2d(x.long(), 2),
            TypeError,
            r"max_pool2d: expected a floating tensor, got int64; cast with \.float\(\)",
        ),
        (lambda x: F.max_pool2d(x[0, 0], 2), ValueError, r"max_pool2d: expected an input of 4 dimensions .* got shape \(8, 8\)"),
        (lambda x: F.avg_pool1d(x, 2), ValueError, "avg_pool1d: expected an input of 3 dimensions"),
        (lambda x: F.avg_pool2d(x[:, :, :0], 2), ValueError, "avg_pool2d: expected every dimension but the batch"),
        (lambda x: F.max_pool2d(x, 0), ValueError, "max_pool2d: expected kernel_size from 1"),
        (lambda x: F.max_pool2d(x, (2, 2, 2)), ValueError, "max_pool2d: expected one kernel_size or 2"),
        (lambda x: F.max_pool2d(x, 2, 0), ValueError, "max_pool2d: expected stride from 1"),
        (lambda x: F.max_pool2d(x, 2, -1), ValueError, "max_pool2d: expected stride from 1"),
        (lambda x: F.max_pool2d(x, 2, 1, -1), ValueError, "max_pool2d: expected padding from 0"),
        (lambda x: F.max_pool2d(x, 2, 1, 2), ValueError, "max_pool2d: expected padding of at most half the window"),
        (lambda x: F.avg_pool2d(x, 3, 1, 2), ValueError, "avg_pool2d: expected padding of at most half the window"),
        (lambda x: F.max_pool2d(x, 2, dilation=0), ValueError, "max_pool2d: expected dilation from 1"),
        (lambda x: F.max_pool2d(x, 2**40), ValueError, "max_pool2d: expected kernel_size from 1 to 2147483647"),
        (lambda x: F.max_pool2d(x, 2**30, padding=2**29), ValueError, "max_pool2d: expected windows of at most 2147483647"),
        (
            lambda x: F.max_pool1d(x[0, :, :, :4], 2, 1, 1, 5),
            ValueError,
            "max_pool1d: with padding 1 and dilation 5 window 0 holds no",
        ),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=0), ValueError, "avg_pool2d: expected a divisor_override that is not 0"),
        (lambda x: F.adaptive_avg_pool2d(x, -1), ValueError, "adaptive_avg_pool: expected output sizes of at least 0, got -1"),
        (lambda x: F.adaptive_max_pool2d(x, (1, 2, 3)), ValueError, "adaptive_max_pool2d: expected one output size or 2"),
        (lambda x: F.adaptive_avg_pool2d(x, 2**40), ValueError, "adaptive_avg_pool2d: expected output sizes from 0 to"),
        (lambda x: F.max_pool2d([1.0], 2), TypeError, "max_pool"),
    ],
)
def test_misuse(call, error, message):
    with pytest.raises(error, match=message):
        call(dnn.zeros(2, 3, 8, 8))


# --- Layers -----------------------------------------------------------------------------------------------------------


def test_layers_are_their_functions():
    x = dnn.randn(2, 3, 9, 9)
    assert_exact(numbers(nn.MaxPool2d(3, 2, 1, 1, False, True)(x)), numbers(F.max_pool2d(x, 3, 2, 1, 1, True)))
    assert_exact(numbers(nn.MaxPool2d(2, return_indices=True)(x)[1]), numbers(F.max_pool2d(x, 2, return_indices=True)[1]))
    assert_exact(numbers(nn.AvgPool2d(3, 2, 1, True, False, 4)(x)), numbers(F.avg_pool2d(x, 3, 2, 1, True, False, 4)))
    assert_exact(numbers(nn.AdaptiveAvgPool2d((None, 2))(x)), numbers(F.adaptive_avg_pool2d(x, (9, 2))))
    assert_exact(numbers(nn.AdaptiveMaxPool2d(2)(x)), numbers(F.adaptive_max_pool2d(x, 2)))
    assert not nn.MaxPool2d(2).state_dict()


def test_representations():
    assert repr(nn.MaxPool2d(3, 2)) == "MaxPool2d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=False)"
    assert repr(nn.AvgPool1d(2)) == "AvgPool1d(kernel_size=2, stride=2, padding=0)"
    assert repr(nn.AdaptiveAvgPool2d((1, 2))) == "AdaptiveAvgPool2d(output_size=(1, 2))"


def test_a_window_larger_than_the_input_fits_in_ceil_mode():
    """As in PyTorch: the window that begins inside counts, whatever part of it lies beyond."""
    x = dnn.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    assert F.max_pool2d(x, 3, 2, ceil_mode=True).tolist() == [[[[6.0]]]]
    assert F.avg_pool2d(x, 3, 2, ceil_mode=True).tolist() == [[[[3.0]]]]
    with pytest.raises(ValueError, match="does not fit into 2"):
        F.max_pool2d(x, 4, 2, ceil_mode=True)
    with pytest.raises(ValueError, match="does not fit into 2"):
        F.max_pool2d(x, 3, 2)
