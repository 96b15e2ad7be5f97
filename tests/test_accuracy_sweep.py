"""The accuracy contract of the elementary functions in float32: sampled by default, all 2^32 inputs with -m slow."""

import dnncore as dnn
import numpy as np
import pytest
from cases import FAST_ISAS, UNARY, use_isa

CONTRACT = {name: (op.ulp, op.absolute) for name, op in UNARY.items() if op.ulp > 0}
PAST = 2.0**128
BLOCK = 1 << 15  # values judged at a time: NumPy's temporaries stay in the cache


def erfc(x):
    special = pytest.importorskip("scipy.special")
    return special.erfc(x)


# float64 forms fast enough for 2^32 values; their own error is far below a float32 ULP.
ORACLES = {
    **{name: UNARY[name].oracle for name in CONTRACT},
    "erf": lambda x: pytest.importorskip("scipy.special").erf(x),
    "gelu": lambda x: 0.5 * x * erfc(-x * np.sqrt(0.5)),
}


def unit(exact):
    """One unit in the last place of float32 at the exact value rounded to float32."""
    power = (exact.astype(np.float32).view(np.uint32) & np.uint32(0x7F800000)).view(np.float32)
    return np.clip(power, np.float32(2.0**-126), np.float32(2.0**127)) * 2.0**-23


def worst_error(actual, exact, absolute):
    """(largest error in ULP, its index); NaN where a number belongs, or the other way round, is infinitely wrong."""
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(actual - exact)
        odd = not np.isfinite(error.max(initial=0))
        if odd:  # somewhere one of the two is infinite or NaN
            error = np.abs(np.clip(actual, -PAST, PAST, dtype=np.float64) - np.clip(exact, -PAST, PAST))
        if absolute:
            error = np.maximum(error - absolute, 0)
        error /= unit(exact)
    if odd:
        nan, wrong = np.isnan(exact), np.isnan(actual)
        error[nan | wrong] = np.inf
        error[nan & wrong] = 0
    worst = int(np.argmax(error))
    return float(error[worst]), worst


def exact_values(name, x):
    with np.errstate(all="ignore"):
        return np.asarray(ORACLES[name](x.astype(np.float64)), np.float64)


def sweep(name, bits, found):
    """Updates found[isa] = (worst ULP, x, result, exact) with the floats of these bit patterns."""
    x = bits.view(np.float32)
    shared, actual = dnn.from_numpy(x), {}
    for isa in FAST_ISAS:
        with use_isa(isa):
            actual[isa] = getattr(dnn, name)(shared).numpy()
    for start in range(0, len(x), BLOCK):
        block = slice(start, start + BLOCK)
        exact, judged = exact_values(name, x[block]), []
        for isa in FAST_ISAS:
            result = actual[isa][block]
            pattern = result.view(np.uint32)
            entry = next((entry for same, entry in judged if np.array_equal(same, pattern)), None)
            if entry is None:
                error, worst = worst_error(result, exact, CONTRACT[name][1])
                entry = error, x[block][worst], result[worst], exact[worst]
                judged.append((pattern, entry))
            found[isa] = max(found.get(isa, (-1,)), entry, key=lambda one: one[0])


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
    sweep(name, np.concatenate([samples, near.ravel(), ends.ravel()]), found)
    judge(name, found, record_property)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTRACT)
def test_exhaustive(name, record_property):
    """All 2^32 inputs."""
    chunk, found = 1 << 22, {}
    for start in range(0, 2**32, chunk):
        sweep(name, np.arange(start, start + chunk, dtype=np.uint32), found)
    judge(name, found, record_property)
