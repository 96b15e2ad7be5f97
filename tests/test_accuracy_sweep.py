"""The accuracy contract of the elementary functions in float32: sampled by default, all 2^32 inputs with -m slow."""

from concurrent.futures import ThreadPoolExecutor

import dnncore as dnn
import numpy as np
import pytest
from cases import FAST_ISAS, UNARY, use_isa

CONTRACT = {name: (op.ulp, op.absolute) for name, op in UNARY.items() if op.ulp > 0}
# One unit in the last place of float32, by the exponent field of the exact value rounded to float32.
ULP = np.ldexp(1.0, np.maximum(np.arange(256), 1) - 150)
PAST = 2.0**128


def erfc(x):
    special = pytest.importorskip("scipy.special")
    return special.erfc(x)


# float64 forms fast enough for 2^32 values; their own error is far below a float32 ULP.
ORACLES = {
    **{name: UNARY[name].oracle for name in CONTRACT},
    "erf": lambda x: pytest.importorskip("scipy.special").erf(x),
    "gelu": lambda x: 0.5 * x * erfc(-x * np.sqrt(0.5)),
}


def worst_error(actual, exact, absolute):
    """(largest error in ULP, its index); NaN where a number belongs, or the other way round, is infinitely wrong."""
    with np.errstate(over="ignore", invalid="ignore"):
        exponent = (exact.astype(np.float32).view(np.uint32) >> 23) & 255
        wide = actual.astype(np.float64)
        error = np.abs(np.clip(wide, -PAST, PAST) - np.clip(exact, -PAST, PAST))
        if absolute:
            error = np.maximum(error - absolute, 0)
        error /= ULP[np.where(exponent == 255, 254, exponent)]
    nan = np.isnan(exact)
    error[nan] = np.where(np.isnan(wide[nan]), 0, np.inf)
    error[~nan & np.isnan(wide)] = np.inf
    worst = int(np.argmax(error))
    return float(error[worst]), worst


def exact_values(name, bits):
    """The floats of these bit patterns and the function of them in float64."""
    x = bits.astype(np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        return x, np.asarray(ORACLES[name](x.astype(np.float64)), np.float64)


def sweep(name, x, exact, found):
    """Updates found[isa] = (worst ULP, x, result, exact) with these inputs."""
    shared = dnn.from_numpy(x)
    for isa in FAST_ISAS:
        with use_isa(isa):
            actual = getattr(dnn, name)(shared).numpy()
        error, worst = worst_error(actual, exact, CONTRACT[name][1])
        if error > found.get(isa, (-1,))[0]:
            found[isa] = error, x[worst], actual[worst], exact[worst]


def judge(name, found, record_property):
    limit = CONTRACT[name][0] + 1e-3  # the oracle's own rounding
    for isa, (error, x, actual, exact) in found.items():
        record_property(f"{name} {isa}", error)
        assert error <= limit, f"{name} on {isa}: {error:.3f} ULP at {x!r}: got {actual!r}, exact {exact!r}"


def test_the_measure_catches_a_wrong_value():
    x = np.linspace(-3, 3, 1000)
    right = np.exp(x).astype(np.float32)
    assert worst_error(right, np.exp(x), 0)[0] <= 0.5
    wrong = right.copy()
    wrong[500] *= np.float32(1 + 3e-7)
    error, where = worst_error(wrong, np.exp(x), 0)
    assert error > 1
    assert where == 500
    wrong[3] = np.nan
    assert worst_error(wrong, np.exp(x), 0) == (np.inf, 3)


@pytest.mark.parametrize("name", CONTRACT)
def test_sampled(name, record_property):
    """Every 4099th bit pattern, and all values near 0, 1, -1 and the ends of each exponent."""
    found = {}
    samples = np.arange(0, 2**32, 4099, dtype=np.uint64).astype(np.uint32)
    centres = np.array([0x00000000, 0x80000000, 0x3F800000, 0xBF800000, 0x7F800000, 0xFF800000], np.uint32)
    ends = (np.arange(512, dtype=np.uint32) << np.uint32(23))[:, None] + np.arange(-8, 8).astype(np.uint32)
    near = centres[:, None] + np.arange(-2000, 2000).astype(np.uint32)
    sweep(name, *exact_values(name, np.concatenate([samples, near.ravel(), ends.ravel()])), found)
    judge(name, found, record_property)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTRACT)
def test_exhaustive(name, record_property):
    """All 2^32 inputs; NumPy computes the next chunk while this one is judged."""
    chunk, found = 1 << 22, {}

    def values_from(start):
        return exact_values(name, np.arange(start, start + chunk, dtype=np.uint64))

    with ThreadPoolExecutor(1) as ahead:
        pending = ahead.submit(values_from, 0)
        for start in range(chunk, 2**32 + chunk, chunk):
            x, exact = pending.result()
            if start < 2**32:
                pending = ahead.submit(values_from, start)
            sweep(name, x, exact, found)
    judge(name, found, record_property)
