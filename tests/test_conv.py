"""Convolution and its gradients: exact on whole numbers, within the accuracy contract on others, one result in any layout."""

from __future__ import annotations

import dnncore as dnn
import numpy as np
import pytest
import reference_conv as reference
from capture_cases import runs, state, training
from cases import GOLDEN as FOLDER
from cases import ISAS, numbers, tensor, use_isa, use_threads
from dnncore import nn
from dnncore.nn import functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import assert_exact, assert_within, unit
from reference_conv import CASES, GOLDEN, SMALL, ConvCase, real, whole

CHECKED = pytest.mark.parametrize("case", CASES, ids=str)


def drawn(case: ConvCase, draw=real) -> tuple[np.ndarray, ...]:
    """x, w, b and dy."""
    y_shape = (case.x[0], case.w[0], *case.geometry.out)
    return draw(*case.x), draw(*case.w, seed=1), draw(case.w[0], seed=2), draw(*y_shape, seed=3)


def along_channels(b: np.ndarray, ndim: int) -> np.ndarray:
    return b.reshape(-1, *(1,) * (ndim - 2))


def expected(case: ConvCase, x, w, b, dy) -> list[np.ndarray]:
    """y, dx, dw and db in the arithmetic of the arguments."""
    g = case.geometry
    y = reference.forward(x, w, g) + along_channels(b, x.ndim)
    dx = reference.input_gradient(dy, w, x.shape, g)
    return [y, dx, reference.weight_gradient(x, dy, w.shape, g), dy.sum(axis=(0, *range(2, dy.ndim)))]


def found(case: ConvCase, x, w, b, dy) -> list[np.ndarray]:
    """The same of tensors."""
    leaves = [t.detach().requires_grad_() for t in (x, w, b)]
    y = getattr(F, case.name)(*leaves, **case.settings)
    y.backward(dy)
    return [numbers(y), *(numbers(leaf.grad) for leaf in leaves)]


def bounds(case: ConvCase, dtype: str, x, w, b, dy) -> list[np.ndarray]:
    """2 sqrt(terms) u |products| of each of the four, as of a matrix product."""
    sizes = [abs(part) for part in expected(case, *map(abs, (x, w, b, dy)))]
    pixels = case.x[0] * int(np.prod(case.geometry.out))
    taps = int(np.prod(case.w[2:]))
    terms = [case.w[1] * taps + 1, case.w[0] // case.geometry.groups * taps, pixels, pixels]
    return [2 * np.sqrt(count) * unit(dtype) * size for count, size in zip(terms, sizes, strict=True)]


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_the_two_oracles_agree(case):
    x, w, b, dy = drawn(case, whole)
    y, dx, dw = reference.by_definition(x, w, dy, case.geometry)
    oracle = expected(case, x, w, 0 * b, dy)
    for one, other in zip((y, dx, dw), oracle[:3], strict=True):
        np.testing.assert_array_equal(one, other)


@CHECKED
def test_whole_numbers_are_exact(case):
    arrays = drawn(case, whole)
    oracle = expected(case, *arrays)
    assert max(np.abs(part).max() for part in oracle) < 2**24
    for isa in ISAS:
        for dtype in ("float32", "float64"):
            with use_isa(isa):
                results = found(case, *(tensor(part, dtype) for part in arrays))
            for name, actual, wanted in zip(("y", "dx", "dw", "db"), results, oracle, strict=True):
                assert actual.dtype == dtype
                np.testing.assert_array_equal(actual, wanted, err_msg=f"{name} {isa} {dtype}")


@CHECKED
def test_accuracy_contract(case):
    for dtype in ("float32", "float64"):
        arrays = [part.astype(dtype) for part in drawn(case)]
        wide = [part.astype(np.longdouble if dtype == "float64" else np.float64) for part in arrays]
        limits = bounds(case, dtype, *(part.astype(np.float64) for part in arrays))
        oracle = expected(case, *wide)
        for isa in ISAS:
            with use_isa(isa):
                results = found(case, *map(tensor, arrays))
            for name, actual, wanted, limit in zip(("y", "dx", "dw", "db"), results, oracle, limits, strict=True):
                error = np.abs(actual - wanted).astype(np.float64)
                assert_within(error, np.zeros_like(error), limit, f"{name} {isa} {dtype}")


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@CHECKED
def test_as_torch(case):
    torch = pytest.importorskip("torch")
    arrays = drawn(case)
    leaves = [torch.tensor(part, requires_grad=True) for part in arrays[:3]]
    y = getattr(torch.nn.functional, case.name)(*leaves, **case.settings)
    y.backward(torch.tensor(arrays[3]))
    theirs = [y.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]
    for actual, wanted, limit in zip(found(case, *map(tensor, arrays)), theirs, bounds(case, "float64", *arrays), strict=True):
        assert_within(actual, wanted, 2 * limit)


def last(x: np.ndarray) -> dnn.Tensor:
    """In channels-last order."""
    return tensor(np.ascontiguousarray(np.moveaxis(x, 1, -1))).movedim(-1, 1)


def sliced(x: np.ndarray) -> dnn.Tensor:
    """Channels in the middle of a wider channels-last tensor whose others are NaN."""
    room = np.full((x.shape[0], *x.shape[2:], x.shape[1] + 9), np.nan, x.dtype)
    room[..., 4 : 4 + x.shape[1]] = np.moveaxis(x, 1, -1)
    return tensor(room).movedim(-1, 1)[:, 4 : 4 + x.shape[1]]


def stepped(x: np.ndarray) -> dnn.Tensor:
    """In an order no kernel reads."""
    room = np.full((*x.shape, 2), np.nan, x.dtype)
    room[..., 0] = x
    return tensor(room)[..., 0]


@CHECKED
def test_layouts_threads_and_repetition_do_not_change_a_bit(case):
    x, w, b, dy = (part.astype(np.float32) for part in drawn(case))
    right = found(case, *map(tensor, (x, w, b, dy)))
    for arrange in (last, sliced, stepped):
        for actual, wanted in zip(found(case, arrange(x), tensor(w), tensor(b), arrange(dy)), right, strict=True):
            assert_exact(actual, wanted, arrange.__name__)
    strided = found(case, tensor(x), stepped(w), tensor(np.repeat(b, 2))[::2], tensor(dy))
    for threads in (1, 2, 4):
        with use_threads(threads):
            again = found(case, *map(tensor, (x, w, b, dy)))
        for actual, other, wanted in zip(again, strided, right, strict=True):
            assert_exact(actual, wanted, f"{threads} threads")
            assert_exact(other, wanted, "weight and bias in another order")


def kernels_of(run) -> list[str]:
    with dnn._core._record_launches() as launches:
        run()
    return [launch["kernel"] for launch in launches]


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_channel_slices_are_read_in_place(kernel_size):
    x, w = last(real(2, 24, 6, 7)).requires_grad_(), tensor(real(5, 8, kernel_size, kernel_size)).requires_grad_()
    assert "copy" not in kernels_of(lambda: F.conv2d(x[:, 8:16], w))
    others = dnn.zeros(2, 3, 6, 7, dtype=dnn.float64).movedim(1, -1).contiguous().movedim(-1, 1)
    joined = dnn.cat([others, F.conv2d(x[:, 8:16], w, padding=kernel_size // 2)], 1)
    dy = last(real(*joined.shape))
    backward = kernels_of(lambda: joined.backward(dy, inputs=[w]))
    assert "copy" not in backward


@pytest.mark.parametrize("shape", [(4, 8, 3, 3), (4, 8, 1, 1)])
def test_only_wanted_gradients_are_computed(shape):
    def launched(*wanted: int) -> list[str]:
        leaves = [last(real(2, 8, 5, 5)), tensor(real(*shape)), tensor(real(4))]
        for i in wanted:
            leaves[i].requires_grad_()
        y = F.conv2d(*leaves)
        dy = last(real(*y.shape))
        return kernels_of(lambda: dnn.autograd.grad([y], [leaves[i] for i in wanted], [dy]))

    direct = shape[-1] > 1
    assert launched(1, 2) == ["conv_backward_weight"]
    assert launched(0) == (["conv_backward_data"] if direct else ["gemm"])
    assert launched(2) == ["reduce"]


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_an_image_without_a_batch(case):
    x, w, b, dy = drawn(case)
    one = found(ConvCase((1, *case.x[1:]), case.w, case.settings), *map(tensor, (x[:1], w, b, dy[:1])))
    leaves = [tensor(part).requires_grad_() for part in (x[0], w, b)]
    y = getattr(F, case.name)(*leaves, **case.settings)
    y.backward(tensor(dy[0]))
    for actual, wanted in zip([y, *(leaf.grad for leaf in leaves)], one, strict=True):
        assert_exact(numbers(actual), wanted.reshape(actual.shape))


@pytest.mark.parametrize("case", [*SMALL, ConvCase((1, 3, 4, 4), (5, 3, 1, 1))], ids=str)
def test_no_images(case):
    x, w, b, dy = (tensor(part) for part in drawn(case))
    y, dx, dw, db = found(case, x[:0], w, b, dy[:0])
    assert y.shape == (0, *dy.shape[1:])
    assert dx.shape == (0, *x.shape[1:])
    assert_exact(dw, np.zeros(w.shape))
    assert_exact(db, np.zeros(b.shape))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("case", SMALL, ids=str)
def test_halves_are_float32_rounded_once(case, dtype):
    halves = [tensor(part, dtype) for part in drawn(case)]
    results = found(case, *halves)
    wide = found(case, *(part.to(dnn.float32) for part in halves))
    for actual, wanted in zip(results, wide, strict=True):
        assert_exact(actual, numbers(tensor(wanted).to(getattr(dnn, dtype))))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("case", [c for c in CASES if c.geometry.groups == 1][::4], ids=str)
def test_values_that_are_not_finite_stay_where_they_belong(isa, value, case):
    x, w, b, _ = (part.astype(np.float32) for part in drawn(case))
    w, b = np.abs(w) + 1, 0 * b
    x = np.abs(x)
    place = tuple(size // 2 for size in x.shape)
    x[place] = value
    touched = np.zeros_like(x)
    touched[place] = 1
    reached = reference.forward(touched, w, case.geometry) != 0
    with use_isa(isa):
        y = numbers(getattr(F, case.name)(*map(tensor, (x, w, b)), **case.settings))
    np.testing.assert_array_equal(~np.isfinite(y), reached)


@pytest.mark.parametrize("isa", ISAS)
def test_the_weights_gradient_takes_no_value_from_outside_its_pixels(isa):
    """Nine rows of nine pixels fill no vector, and the filter's first row never meets the image's last one."""
    x, w = tensor(np.ones((2, 1, 11, 11), np.float32)), tensor(np.ones((6, 1, 3, 3), np.float32)).requires_grad_()
    x[:, :, -1] = np.nan
    with use_isa(isa):
        F.conv2d(x, w).sum().backward()
    np.testing.assert_array_equal(np.isfinite(numbers(w.grad)), np.broadcast_to([[True], [True], [False]], w.shape))


def test_same_padding_puts_the_odd_zero_last():
    x = tensor(np.array([[[1.0, 2.0, 3.0]]]))
    assert F.conv1d(x, tensor(np.array([[[1.0, 10.0]]])), padding="same").tolist() == [[[21.0, 32.0, 3.0]]]
    assert F.conv1d(x, tensor(np.array([[[1.0, 10.0, 100.0, 1000.0]]])), padding="same").tolist() == [[[3210.0, 321.0, 32.0]]]


def test_the_filter_is_not_flipped():
    x, w = tensor(np.array([[[0.0, 1.0, 0.0, 0.0]]])), tensor(np.array([[[1.0, 2.0, 3.0]]]))
    assert F.conv1d(x, w, padding=1).tolist() == [[[3.0, 2.0, 1.0, 0.0]]]


ANSWERS = dict(np.load(FOLDER / "conv.npz"))


@pytest.mark.parametrize(("function", "shapes", "settings"), GOLDEN, ids=[f"{row[0]}-{i}" for i, row in enumerate(GOLDEN)])
def test_what_pytorch_answered(function, shapes, settings):
    key = f"{function}/{shapes}/{settings}"
    inputs = [tensor(real(*shape, seed=i)).requires_grad_() for i, shape in enumerate(shapes)]
    y = getattr(F, function)(*inputs, **settings)
    y.backward(tensor(real(*y.shape, seed=9)))
    np.testing.assert_allclose(numbers(y), ANSWERS[key], rtol=1e-13, atol=1e-13)
    for i, x in enumerate(inputs):
        np.testing.assert_allclose(numbers(x.grad), ANSWERS[f"{key}/{i}"], rtol=1e-13, atol=1e-13)


# --- Any shape --------------------------------------------------------------------------------------------------------


@st.composite
def any_case(draw) -> ConvCase:
    dims = draw(st.integers(1, 3))
    several = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(dims))  # noqa: E731
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    channels, filters = groups * draw(st.integers(1, 20)), groups * draw(st.integers(1, 20))
    filter_shape, dilation, padding = several(1, 4), several(1, 3), several(0, 4)
    least = [max(1, d * (f - 1) + 1 - 2 * p) for d, f, p in zip(dilation, filter_shape, padding, strict=True)]
    sizes = tuple(low + draw(st.integers(0, 40 // dims**2)) for low in least)
    settings = {"stride": several(1, 4), "padding": padding, "dilation": dilation, "groups": groups}
    return ConvCase((draw(st.integers(1, 3)), channels, *sizes), (filters, channels // groups, *filter_shape), settings)


@given(case=any_case(), threads=st.sampled_from([1, 2, 3]), arrange=st.sampled_from([tensor, last, sliced, stepped]))
@settings(max_examples=150, deadline=None)
def test_whole_numbers_of_any_shape(case, threads, arrange):
    x, w, b, dy = drawn(case, whole)
    oracle = expected(case, x, w, b, dy)
    x, w, b, dy = (part.astype(np.float32) for part in (x, w, b, dy))
    with use_threads(threads):
        results = found(case, arrange(x), tensor(w), tensor(b), arrange(dy))
    for name, actual, wanted in zip(("y", "dx", "dw", "db"), results, oracle, strict=True):
        np.testing.assert_array_equal(actual, wanted, err_msg=name)


# --- Captured steps ---------------------------------------------------------------------------------------------------


def test_a_captured_step_has_the_bits_of_python():
    def build():
        net = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2),
            nn.Tanh(),
            nn.Conv2d(6, 8, 1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=2, groups=2, padding=1, padding_mode="reflect"),
            nn.ConvTranspose2d(8, 4, 2, stride=2),
            nn.Flatten(),
            nn.Linear(256, 4),
        )
        step = training(net, dnn.optim.Adam(net.parameters()))
        return step, lambda i: (dnn.randn(6, 1, 8, 8), dnn.randint(0, 4, (6,))), lambda: state(net)

    runs(build)
