"""Judging results: exactness, units in the last place, and tolerances derived from the accuracy contract."""

from __future__ import annotations

import dnncore as dnn
import ml_dtypes
import numpy as np
from dnncore import _core

NUMPY_DTYPE = {"bfloat16": ml_dtypes.bfloat16}

# (bits of the significand, smallest normal exponent, first value past the largest)
_FORMAT = {
    "float32": (24, -126, 2.0**128),
    "float64": (53, -1022, np.inf),
    "bfloat16": (8, -126, 2.0**128),
    "float16": (11, -14, 65536.0),
}


def numpy_dtype(dtype: str) -> np.dtype:
    return np.dtype(NUMPY_DTYPE.get(dtype, dtype))


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """`values` rounded to `dtype` once; halves come back as float32."""
    with np.errstate(over="ignore", invalid="ignore"):
        result = np.asarray(values).astype(numpy_dtype(dtype))
    return result.astype(np.float32) if dtype in ("bfloat16", "float16") else result


def widest(values: np.ndarray) -> np.ndarray:
    """In long double (64 bits of significand on x86): the precision the oracles of float64 need."""
    return np.asarray(values).astype(np.longdouble)


def spacing(exact: np.ndarray, dtype: str) -> np.ndarray:
    """One unit in the last place of `dtype` at `exact`."""
    bits, smallest, _ = _FORMAT[dtype]
    _, exponent = np.frexp(np.abs(exact))
    return np.ldexp(np.ones_like(exact), np.maximum(exponent - 1, smallest) - (bits - 1))


def ulp_error(actual: np.ndarray, exact: np.ndarray, dtype: str, absolute: float = 0) -> np.ndarray:
    """|actual - exact| in units of the last place, less `absolute`; infinity where one is NaN and the other is not.

    An overflow counts as the first value past the largest.
    """
    past = _FORMAT[dtype][2]
    exact, actual = widest(exact), widest(actual)
    both_nan = np.isnan(exact) & np.isnan(actual)
    same = (exact == actual) | both_nan
    with np.errstate(invalid="ignore"):
        clipped_exact, clipped = np.clip(exact, -past, past), np.clip(actual, -past, past)
        finite = np.where(np.isfinite(clipped_exact), clipped_exact, 0)
        error = np.maximum(np.abs(clipped - clipped_exact) - absolute, 0) / spacing(finite, dtype)
    return np.where(same, 0, np.where(np.isnan(error), np.inf, error))


def promised(limit: float) -> float:
    """`limit` ULP, or for a function that is not exact on a device what CUDA's documentation promises of its own: at most 4."""
    return max(limit, 4) if limit >= 1 and (_core.cpu_info()["isa"] == "emulated" or dnn.get_default_device() != "cpu") else limit


def assert_ulp(actual, exact, dtype, limit, absolute=0.0, inputs=None, label=""):
    limit = promised(limit)
    error = ulp_error(actual, exact, dtype, absolute)
    assert actual.shape == exact.shape, f"{label}: shape {actual.shape}, expected {exact.shape}"
    if error.size == 0 or error.max() <= limit:
        return
    worst = np.unravel_index(np.argmax(error), error.shape)
    where = "" if inputs is None else f" at x = {inputs[worst]!r}"
    raise AssertionError(
        f"{label}: {float(error[worst]):.3g} ULP (allowed {limit}){where}: got {actual[worst]!r}, exact {exact[worst]!r}"
    )


def assert_exact(actual, expected, label=""):
    """Bit for bit, save that any NaN equals any NaN; zeros keep their sign."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{label}: shape {actual.shape}, expected {expected.shape}"
    assert actual.dtype == expected.dtype, f"{label}: dtype {actual.dtype}, expected {expected.dtype}"
    same = actual == expected
    if actual.dtype.kind == "f":
        same = (same & (np.signbit(actual) == np.signbit(expected))) | (np.isnan(actual) & np.isnan(expected))
    if not same.all():
        bad = np.argwhere(~same)
        first = tuple(bad[0])
        raise AssertionError(
            f"{label}: {len(bad)} of {actual.size} entries differ, first at {first}: "
            f"got {actual[first]!r}, expected {expected[first]!r}"
        )


def assert_within(actual, exact, bound, label=""):
    """|actual - exact| <= bound, entry by entry."""
    actual, exact = np.asarray(actual, np.float64), np.asarray(exact, np.float64)
    assert actual.shape == exact.shape, f"{label}: shape {actual.shape}, expected {exact.shape}"
    excess = np.abs(actual - exact) / np.maximum(bound, np.finfo(np.float64).tiny)
    excess = np.where(actual == exact, 0, excess)
    if not excess.size or excess.max() <= 1:
        return
    worst = np.unravel_index(np.argmax(np.where(np.isnan(excess), np.inf, excess)), excess.shape)
    raise AssertionError(
        f"{label}: {excess[worst]:.3g} times the bound at {worst}: got {actual[worst]!r}, exact {exact[worst]!r}"
    )


def unit(dtype: str) -> float:
    """Half an ULP of 1: the largest relative error of one rounding."""
    return 2.0 ** -_FORMAT[dtype][0]


def product_bound(a: np.ndarray, b: np.ndarray, dtype: str) -> np.ndarray:
    """The contract of a product of random data: 2 sqrt(k) u (|A||B|), u of the accumulator; halves add one rounding.

    The contract's hard bound, k u (|A||B|), is smaller only for k < 4, where a few roundings fit either.
    """
    absolute = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    k = a.shape[-1]
    accumulator = "float64" if dtype == "float64" else "float32"
    bound = 2 * np.sqrt(max(k, 1)) * unit(accumulator) * absolute
    if dtype in ("bfloat16", "float16"):
        exact = np.abs(a.astype(np.float64) @ b.astype(np.float64))
        bound = bound + unit(dtype) * (exact + bound) * (1 + 2**-7) + 2.0**-25  # float16 underflows below 2^-24
    return bound


def sum_bound(x: np.ndarray, axis, dtype: str) -> np.ndarray:
    """As the product of x with ones, plus the rounding of a half result."""
    absolute = np.sum(np.abs(x).astype(np.float64), axis=axis)
    count = x.size if axis is None else np.prod([x.shape[i] for i in np.atleast_1d(axis)])
    accumulator = "float64" if dtype == "float64" else "float32"
    bound = 2 * np.sqrt(max(count, 1)) * unit(accumulator) * absolute
    if dtype in ("bfloat16", "float16"):
        bound = bound + unit(dtype) * (np.abs(np.sum(x.astype(np.float64), axis=axis)) + bound) + 2.0**-25
    return bound
