"""Convolutions by Winograd's algorithm: within their promise, only where allowed, and captured apart."""

from __future__ import annotations

import threading

import dnncore as dnn
import numpy as np
import pytest
from cases import numbers, tensor
from dnncore.nn import functional as F


def _operands(n: int, c: int, k: int, size: int, dtype: type = np.float32) -> tuple[dnn.Tensor, dnn.Tensor]:
    random = np.random.default_rng([n, c, k, size])
    x, weight = random.standard_normal((n, c, size, size)), random.standard_normal((k, c, 3, 3))
    return tensor(x.astype(dtype)), tensor(weight.astype(dtype))


def _results(x: dnn.Tensor, weight: dnn.Tensor, **settings: int) -> tuple[np.ndarray, np.ndarray]:
    x = x.detach().requires_grad_()
    y = F.conv2d(x, weight, **settings)
    y.backward(dnn.ones(y.shape, dtype=y.dtype))
    return numbers(y.detach()), numbers(x.grad)


@pytest.mark.parametrize("shape", [(1, 16, 16, 6), (2, 17, 33, 9), (3, 64, 48, 14), (1, 200, 20, 7)])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_forward_and_the_gradient_keep_the_promise(shape: tuple[int, int, int, int], padding: int) -> None:
    x, weight = _operands(*shape)
    exact = _results(x.to(dnn.float64), weight.to(dnn.float64), padding=padding)
    direct = _results(x, weight, padding=padding)
    with dnn.allow_winograd():
        fast = _results(x, weight, padding=padding)
    for want, other, got in zip(exact, direct, fast, strict=True):
        assert np.abs(got - want).max() <= 2e-5 * np.abs(want).max()
        if dnn.cpu_info()["isa"] not in ("reference", "emulated"):
            assert (got != other).any()  # it was used


def test_what_it_does_not_serve_keeps_its_bits() -> None:
    x, weight = _operands(2, 32, 32, 12)
    double = _operands(2, 32, 32, 12, np.float64)
    for settings, (a, b) in (({"stride": 2}, (x, weight)), ({"dilation": 2}, (x, weight)), ({"padding": 1}, double)):
        direct = _results(a, b, **settings)
        with dnn.allow_winograd():
            for want, got in zip(direct, _results(a, b, **settings), strict=True):
                np.testing.assert_array_equal(got, want)


def test_threads_change_no_bit() -> None:
    x, weight = _operands(3, 64, 96, 20)
    before = dnn.get_num_threads()
    try:
        with dnn.allow_winograd():
            found = []
            for count in (1, 2, 4):
                dnn.set_num_threads(count)
                found.append(numbers(F.conv2d(x, weight, padding=1)))
    finally:
        dnn.set_num_threads(before)
    assert all((one == found[0]).all() for one in found)


def test_the_switch_is_a_call_and_a_block_of_one_thread() -> None:
    allowed = dnn._core._winograd_allowed
    assert not allowed()
    with dnn.allow_winograd():
        assert allowed()
        seen = []
        thread = threading.Thread(target=lambda: seen.append(allowed()))
        thread.start()
        thread.join()
        assert seen == [False]
        with dnn.allow_winograd(False):
            assert not allowed()
        assert allowed()
    assert not allowed()
    dnn.allow_winograd()
    assert allowed()
    dnn.allow_winograd(False)
    assert not allowed()
    with pytest.raises(TypeError, match="allow_winograd: expected mode to be a bool, got 1"):
        dnn.allow_winograd(1)  # type: ignore[arg-type]


def test_a_captured_step_is_recorded_anew() -> None:
    x, weight = _operands(2, 48, 48, 10)
    step = dnn.capture(lambda x: F.conv2d(x, weight, padding=1))
    direct = numbers(F.conv2d(x, weight, padding=1))
    with dnn.allow_winograd():
        fast = numbers(F.conv2d(x, weight, padding=1))
    for _ in range(3):
        np.testing.assert_array_equal(numbers(step(x)), direct)
    with dnn.allow_winograd():
        for _ in range(3):
            np.testing.assert_array_equal(numbers(step(x)), fast)
    np.testing.assert_array_equal(numbers(step(x)), direct)
