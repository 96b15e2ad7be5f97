"""Every kernel and every op of a family has a case that really launches it; a kernel nobody tests fails here."""

import re
from pathlib import Path

import dnncore as dnn
import numpy as np
import pytest
from cases import BINARY, REDUCTIONS, UNARY, tensor
from dnncore import _core
from kernel_cases import KERNELS
from marks import needs_device
from reference import assert_exact, assert_ulp, assert_within, product_bound


@pytest.mark.parametrize(
    ("known", "listed"),
    [
        (KERNELS, _core.kernel_names()),
        (UNARY, _core.unary_names()),
        (BINARY, _core.binary_names()),
        (REDUCTIONS, _core.reduce_names()),
    ],
    ids=["kernels", "unary", "binary", "reduce"],
)
def test_every_name_has_a_case(known, listed):
    assert set(known) == set(listed)


CUDA = Path(__file__).parents[1] / "cuda"


@pytest.mark.skipif(not CUDA.is_dir(), reason="the sources are not here")
def test_every_kernel_has_a_cuda_body():
    text = "\n".join(source.read_text() for source in CUDA.glob("*.cu"))
    bodies = re.findall(r"^void (\w+)\(const \w+Args& args, cudaStream_t stream\) \{", text, re.M)
    assert set(KERNELS) - set(bodies) == set()


@needs_device
def test_every_kernel_is_in_the_table_of_the_device():
    """The emulated table takes the reference's in place of one that is missing, so that no other test would see it."""
    assert _core._cuda_missing_kernels(dnn.device("cuda")) == []


# Launched by the native tests alone: the public operations do not keep packed weights yet.
NATIVE_ONLY = {"gemm_pack"}


@pytest.mark.parametrize("kernel", KERNELS)
def test_case_launches_its_kernel(kernel):
    if kernel in NATIVE_ONLY:
        native = (Path(__file__).parent / "native").glob("*.cpp")
        assert any(f"kernel::{kernel}" in source.read_text() for source in native)
        return
    with _core._record_launches() as launches:
        KERNELS[kernel].run()
    assert kernel in {launch["kernel"] for launch in launches}


@pytest.mark.parametrize("kernel", KERNELS)
def test_results_are_worth_checking(kernel):
    """A result that is mostly zero would agree with a kernel that does nothing."""
    results = KERNELS[kernel].run()
    share = [np.count_nonzero(result) / result.size for result in results if result.size]
    assert np.mean(share) > 0.5


class TestPlantedBugs:
    """The harness itself: each check must refuse a result that is wrong in one entry."""

    def test_one_wrong_bit(self):
        right = np.arange(100, dtype=np.float32)
        wrong = right.copy()
        wrong[70] = np.nextafter(wrong[70], np.float32(np.inf))
        assert_exact(right, right)
        with pytest.raises(AssertionError, match="1 of 100 entries differ"):
            assert_exact(wrong, right)

    def test_sign_of_zero(self):
        with pytest.raises(AssertionError):
            assert_exact(np.array([-0.0]), np.array([0.0]))

    def test_dtype(self):
        with pytest.raises(AssertionError, match="dtype"):
            assert_exact(np.zeros(2, np.float32), np.zeros(2))

    def test_a_few_ulp(self):
        exact = np.exp(np.linspace(-5, 5, 100))
        right = exact.astype(np.float32)
        assert_ulp(right, exact, "float32", 0.5)
        wrong = right.copy()
        wrong[3] += 5 * np.spacing(wrong[3])  # more than any table may be wrong by
        with pytest.raises(AssertionError, match="ULP"):
            assert_ulp(wrong, exact, "float32", 1)

    def test_nan_where_a_number_belongs(self):
        with pytest.raises(AssertionError):
            assert_ulp(np.array([np.nan], np.float32), np.array([1.0]), "float32", 4)
        with pytest.raises(AssertionError):
            assert_within(np.array([np.nan]), np.array([1.0]), 1e9)

    def test_a_forgotten_product(self):
        """A product that leaves out one k of 500 is outside the bound of the contract."""
        random = np.random.default_rng(0)
        a, b = random.standard_normal((40, 500)), random.standard_normal((500, 30))
        bound = product_bound(a, b, "float32")
        assert_within((a @ b).astype(np.float32), a @ b, bound)
        with pytest.raises(AssertionError):
            assert_within((a[:, 1:] @ b[1:]).astype(np.float32), a @ b, bound)


def test_unknown_isa_is_refused():
    with pytest.raises(ValueError, match="reference"):
        _core._use_isa("avx1024")
    assert_exact(dnn.exp(tensor(np.zeros(3, np.float32))).numpy(), np.ones(3, np.float32))
