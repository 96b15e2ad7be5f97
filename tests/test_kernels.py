"""Every kernel on every table against the naive reference table: the same bits, or within rounding."""

import numpy as np
import pytest
from cases import FAST_ISAS, ISAS, use_device, use_isa
from dnncore import _core
from kernel_cases import KERNELS
from marks import needs_device
from reference import assert_exact, assert_within


@pytest.fixture(scope="module")
def reference_results():
    with use_isa("reference"):
        return {name: case.run() for name, case in KERNELS.items()}


def assert_close(actual, expected, label):
    """Within rounding: 2e-6 of the largest value; results that are no floats must be the same."""
    if actual.dtype.kind != "f":
        return assert_exact(actual, expected, label)
    bound = 2e-6 * np.max(np.abs(expected), initial=1.0)
    return assert_within(actual, expected, np.full(expected.shape, bound), label)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("isa", FAST_ISAS)
def test_kernel_agrees_with_the_reference(isa, kernel, reference_results):
    case = KERNELS[kernel]
    with use_isa(isa):
        results = case.run()
    assert len(results) == len(reference_results[kernel])
    for i, (actual, expected) in enumerate(zip(results, reference_results[kernel], strict=True)):
        (assert_exact if case.exact else assert_close)(actual, expected, f"{kernel} on {isa}, result {i}")


@needs_device
@pytest.mark.parametrize("kernel", KERNELS)
def test_kernel_on_a_device_agrees_with_the_reference(kernel, reference_results):
    case = KERNELS[kernel]
    with use_device("cuda"):
        results, again = case.run(), case.run()
    assert len(results) == len(again) == len(reference_results[kernel])
    for i, (actual, same, expected) in enumerate(zip(results, again, reference_results[kernel], strict=True)):
        assert_exact(actual, same, f"{kernel} on a device, result {i}, twice")
        (assert_exact if case.exact else assert_close)(actual, expected, f"{kernel} on a device, result {i}")


def test_the_tables_in_use():
    assert ISAS[-1] == "reference"
    assert _core.cpu_info()["isa"] in ISAS
    for isa in ISAS:
        with use_isa(isa):
            assert _core.cpu_info()["isa"] == isa
