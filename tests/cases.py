"""The one table of awkward shapes, layouts, dtypes and ops, shared by the tests and the benchmarks' checks.

Everything is made with NumPy, so that a test's input does not depend on the code under test.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dnncore as dnn
import numpy as np
from dnncore import _core

GOLDEN = Path(__file__).parent / "golden"

FLOATS = ("float32", "float64", "bfloat16", "float16")
HALVES = ("bfloat16", "float16")
INTEGERS = ("int64", "int32", "uint8")
DTYPES = (*FLOATS, *INTEGERS, "bool")

# Best table first; "reference" holds the naive loops.
ISAS = tuple(_core.available_isas())
FAST_ISAS = tuple(isa for isa in ISAS if isa != "reference")

# Around vector lengths (4 to 64 lanes), unrolled blocks and task borders; 0 and 1; ranks 0 to 16.
LENGTHS = (0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 255, 1000, 4097, 70001)
SHAPES = (
    (),
    (0,),
    (1,),
    (3,),
    (17,),
    (64,),
    (1000,),
    (0, 3),
    (3, 0, 2),
    (7, 1),
    (1, 7),
    (5, 33),
    (16, 16),
    (17, 16, 3),
    (2, 3, 4, 5),
    (2, 1, 3, 1, 2, 2),
    (1,) * 16,
    (33, 1025),
)
BROADCAST_PAIRS = (
    ((), (3,)),
    ((5, 1), (1, 7)),
    ((4, 33), (33,)),
    ((33, 4), (33, 1)),
    ((2, 3, 4), (3, 1)),
    ((2, 1, 5), (4, 1)),
    ((1,), (0,)),
    ((0, 3), (1, 3)),
    ((6, 1, 1, 9), (7, 1, 9)),
    ((3, 257), ()),
)
LAYOUTS = ("contiguous", "transposed", "strided", "offset", "reversed", "expanded")


def array(values: np.ndarray, layout: str) -> np.ndarray:
    """`values` in another memory layout; "expanded" repeats the first entry of the last dimension."""
    if layout == "transposed":
        return np.ascontiguousarray(values.T).T
    if layout == "strided" and values.ndim:
        room = np.zeros((*values.shape[:-1], 2 * values.shape[-1]), values.dtype)
        room[..., ::2] = values
        return room[..., ::2]
    if layout == "offset":  # one element past an aligned start
        room = np.zeros(values.size + 1, values.dtype)
        room[1:] = values.ravel()
        return room[1:].reshape(values.shape)
    if layout == "reversed" and values.ndim:
        return np.ascontiguousarray(values[::-1])[::-1]
    if layout == "expanded" and values.ndim and values.size:
        return np.broadcast_to(values[..., :1], values.shape)
    return values


def tensor(values: np.ndarray, dtype: str | None = None, layout: str = "contiguous") -> dnn.Tensor:
    """A tensor of `values` in the wanted dtype and layout (kept by sharing memory where that is possible)."""
    if dtype in HALVES:
        as_floats = dnn.from_numpy(np.ascontiguousarray(values, np.float32)).to(getattr(dnn, dtype))
        return relayout(as_floats, layout)
    values = np.asarray(values, dtype)
    if layout == "expanded" and values.ndim and values.size:
        return dnn.from_numpy(values[..., :1].copy()).expand(values.shape)
    return dnn.from_numpy(array(values, layout))


def relayout(x: dnn.Tensor, layout: str) -> dnn.Tensor:
    """As `array`, for tensors of a dtype NumPy does not have."""
    if layout == "transposed" and x.ndim >= 2:
        return x.transpose(0, -1).contiguous().transpose(0, -1)
    if layout == "strided" and x.ndim:
        return dnn.stack([x, x], -1)[..., 0]
    if layout == "expanded" and x.ndim and x.numel():
        return x[..., :1].expand(x.shape)
    return x


def numbers(x: dnn.Tensor) -> np.ndarray:
    """The values of a tensor as NumPy sees them; halves become float32."""
    return x.detach().to(dnn.float32).numpy() if dtype_name(x) in HALVES else x.detach().numpy()


def dtype_name(x: dnn.Tensor) -> str:
    return x.dtype.name


def draw(shape: tuple[int, ...], dtype: str, seed: int = 0, low: float = -3.0, high: float = 3.0) -> np.ndarray:
    """Values of `dtype`'s kind, uniform in [low, high): float64 for floats, so that every dtype rounds them itself."""
    random = np.random.default_rng([seed, *shape])
    if dtype == "bool":
        return np.asarray(random.random(shape) < 0.5)
    if dtype in INTEGERS:
        low = max(low, 0) if dtype == "uint8" else low
        return np.asarray(random.integers(math.floor(low), max(math.ceil(high), math.floor(low) + 1), shape), dtype)
    return np.asarray(random.uniform(low, high, shape))


def normals(*shape: int, seed: int = 0) -> np.ndarray:
    """Return float32 numbers of the standard normal distribution, others for each shape and seed."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape, dtype=np.float32)


class use_isa:  # noqa: N801
    """Run a with block on one kernel table."""

    def __init__(self, isa: str) -> None:
        self.isa = isa

    def __enter__(self) -> None:
        self.before = _core.cpu_info()["isa"]
        _core._use_isa(self.isa)

    def __exit__(self, *_: object) -> None:
        _core._use_isa(self.before)


class default_device:  # noqa: N801
    """Run a with block with another default device."""

    def __init__(self, device: str) -> None:
        self.device = device

    def __enter__(self) -> None:
        self.before = dnn.get_default_device()
        dnn.set_default_device(self.device)

    def __exit__(self, *_: object) -> None:
        dnn.set_default_device(self.before)


class use_device(default_device):  # noqa: N801
    """Run a with block with new tensors on a device, NumPy's too, and results that come back to NumPy by themselves."""

    def __enter__(self) -> None:
        super().__enter__()
        from_numpy = dnn.from_numpy
        readers = {name: vars(dnn.Tensor)[name] for name in ("numpy", "__array__", "tolist")}
        self.originals = {(dnn, "from_numpy"): from_numpy} | {(dnn.Tensor, name): reader for name, reader in readers.items()}
        dnn.from_numpy = lambda array: from_numpy(array).to(self.device)
        for name, reader in readers.items():
            setattr(dnn.Tensor, name, lambda x, *args, _reader=reader, **options: _reader(x.cpu(), *args, **options))

    def __exit__(self, *_: object) -> None:
        for (owner, name), original in self.originals.items():
            setattr(owner, name, original)
        super().__exit__(*_)


class use_threads:  # noqa: N801
    def __init__(self, count: int) -> None:
        self.count = count

    def __enter__(self) -> None:
        self.before = dnn.get_num_threads()
        dnn.set_num_threads(self.count)

    def __exit__(self, *_: object) -> None:
        dnn.set_num_threads(self.before)


# --- Unary ops --------------------------------------------------------------------------------------------------------


def _each(function: Callable[[float], float]) -> Callable[[np.ndarray], np.ndarray]:
    """A scalar function of the C library, value by value."""
    apply = np.frompyfunc(function, 1, 1)
    return lambda x: np.asarray(apply(np.asarray(x, np.float64)), np.float64)


def _gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * _each(math.erfc)(-x * math.sqrt(0.5))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@dataclass(frozen=True)
class Unary:
    """`ulp`: promised error in float32 against exact values; 0: exact; float64 may add 2 (1 for the oracle)."""

    oracle: Callable[[np.ndarray], np.ndarray]
    ulp: float = 0
    absolute: float = 0  # added to the promise
    low: float = -6.0
    high: float = 6.0
    dtypes: tuple[str, ...] = FLOATS
    smooth: bool = False  # has a gradient worth a central difference


ANY_NUMBER = (*FLOATS, "int64", "int32")
UNARY = {
    "neg": Unary(np.negative, dtypes=ANY_NUMBER, smooth=True),
    "abs": Unary(np.abs, dtypes=ANY_NUMBER, smooth=True),
    "sign": Unary(np.sign, dtypes=ANY_NUMBER),
    "square": Unary(np.square, 0.5, dtypes=ANY_NUMBER, smooth=True),
    "sqrt": Unary(np.sqrt, 0.5, low=0.01, high=100, smooth=True),
    "rsqrt": Unary(lambda x: 1 / np.sqrt(x), 2, low=0.01, high=100, smooth=True),
    "reciprocal": Unary(lambda x: 1 / x, 0.5, low=0.01, high=100, smooth=True),
    "exp": Unary(np.exp, 1, low=-90, high=88, smooth=True),
    "expm1": Unary(np.expm1, 1, low=-20, high=88, smooth=True),
    "log": Unary(np.log, 1, low=1e-6, high=100, smooth=True),
    "log1p": Unary(np.log1p, 2, low=-0.999, high=100, smooth=True),
    "log2": Unary(np.log2, 1, low=1e-6, high=100, smooth=True),
    "log10": Unary(np.log10, 1, low=1e-6, high=100, smooth=True),
    "sin": Unary(np.sin, 1, low=-100, high=100, smooth=True),
    "cos": Unary(np.cos, 1, low=-100, high=100, smooth=True),
    "tanh": Unary(np.tanh, 2, smooth=True),
    "sigmoid": Unary(_sigmoid, 2, low=-90, high=90, smooth=True),
    "relu": Unary(lambda x: np.where(x < 0, x.dtype.type(0), x), dtypes=ANY_NUMBER, smooth=True),
    "gelu": Unary(_gelu, 4, 1e-7, smooth=True),
    "erf": Unary(_each(math.erf), 1.5, smooth=True),
    "softplus": Unary(_softplus, 3, low=-90, high=90, smooth=True),
    "floor": Unary(np.floor),
    "ceil": Unary(np.ceil),
    "trunc": Unary(np.trunc),
    "round": Unary(np.rint),
    "isnan": Unary(np.isnan),
    "isinf": Unary(np.isinf),
    "isfinite": Unary(np.isfinite),
    "logical_not": Unary(np.logical_not, dtypes=DTYPES),
    "bitwise_not": Unary(np.bitwise_not, dtypes=(*INTEGERS, "bool")),
}

# --- Binary ops -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Binary:
    """`oracle` in the arithmetic of the dtype itself (halves: float32, rounded once); `ulp` where that is not exact."""

    oracle: Callable[[np.ndarray, np.ndarray], np.ndarray]
    dtypes: tuple[str, ...] = FLOATS
    ulp: float = 0
    low: float = -6.0
    high: float = 6.0
    smooth: bool = False
    through: str = ""  # only reached as the gradient of this op


NUMBERS = (*FLOATS, *INTEGERS)
BITS = (*INTEGERS, "bool")
BINARY = {
    "add": Binary(np.add, NUMBERS, smooth=True),
    "sub": Binary(np.subtract, NUMBERS, smooth=True),
    "mul": Binary(np.multiply, NUMBERS, smooth=True),
    "div": Binary(np.divide, FLOATS, low=0.1, smooth=True),
    "floor_divide": Binary(np.floor_divide, NUMBERS, low=1, high=50),
    "remainder": Binary(np.remainder, NUMBERS, low=1, high=50),
    "pow": Binary(np.power, NUMBERS, ulp=1, low=0, high=5, smooth=True),
    "maximum": Binary(np.maximum, NUMBERS, smooth=True),
    "minimum": Binary(np.minimum, NUMBERS, smooth=True),
    "eq": Binary(np.equal, DTYPES, low=0, high=3),
    "ne": Binary(np.not_equal, DTYPES, low=0, high=3),
    "lt": Binary(np.less, DTYPES, low=0, high=3),
    "le": Binary(np.less_equal, DTYPES, low=0, high=3),
    "gt": Binary(np.greater, DTYPES, low=0, high=3),
    "ge": Binary(np.greater_equal, DTYPES, low=0, high=3),
    "bitwise_and": Binary(np.bitwise_and, BITS, low=-100, high=100),
    "bitwise_or": Binary(np.bitwise_or, BITS, low=-100, high=100),
    "bitwise_xor": Binary(np.bitwise_xor, BITS, low=-100, high=100),
    "relu_backward": Binary(lambda x: np.where(x > 0, 1.0, 0.0), through="relu"),
    "tanh_backward": Binary(lambda x: 1 - np.tanh(x) ** 2, through="tanh"),
    "sigmoid_backward": Binary(lambda x: _sigmoid(x) * _sigmoid(-x), through="sigmoid"),
    "gelu_backward": Binary(
        lambda x: 0.5 * _each(math.erfc)(-x * math.sqrt(0.5)) + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi),
        through="gelu",
    ),
}

# --- Reductions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reduction:
    oracle: Callable[..., np.ndarray]  # NumPy's, with axis and keepdims
    dtypes: tuple[str, ...] = NUMBERS
    exact: bool = True
    empty: bool = True  # has a value for an empty set
    several: bool = True  # takes several dimensions at once


REDUCTIONS = {
    "sum": Reduction(np.sum, (*NUMBERS, "bool"), exact=False),
    "mean": Reduction(np.mean, FLOATS, exact=False, empty=False),
    "prod": Reduction(np.prod, NUMBERS, exact=False, several=False),
    "max": Reduction(np.max, empty=False, several=False),
    "min": Reduction(np.min, empty=False, several=False),
    "argmax": Reduction(np.argmax, empty=False, several=False),
    "argmin": Reduction(np.argmin, empty=False, several=False),
    "any": Reduction(np.any, DTYPES, several=False),
    "all": Reduction(np.all, DTYPES, several=False),
}
# (shape, dim): None reduces everything.
REDUCE_SHAPES = (
    ((), None),
    ((1,), 0),
    ((17,), 0),
    ((1000,), None),
    ((70001,), None),
    ((3, 5), 0),
    ((3, 5), 1),
    ((3, 5), None),
    ((33, 65), 0),
    ((33, 65), -1),
    ((2, 3, 4), 1),
    ((7, 1, 9), 1),
    ((5, 16, 17), -2),
    ((2, 3, 4, 5), 2),
    ((1000, 3), 0),
    ((3, 1000), 1),
    ((257, 513), 0),
    ((257, 513), 1),
    ((0, 3), 1),
    ((3, 0), 0),
)

# --- Matrix products --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gemm:
    m: int
    n: int
    k: int
    batch: int
    layout: str  # storage of A and B: n as is, t transposed


def gemm_table() -> list[Gemm]:
    """The committed table: whole-number products, checked with threshold 0."""
    with open(GOLDEN / "gemm_shapes.csv", newline="") as file:
        rows = csv.DictReader(file)
        return [Gemm(int(r["m"]), int(r["n"]), int(r["k"]), int(r["batch"]), r["layout"]) for r in rows]


def gemm_operands(case: Gemm, values: Callable[[tuple[int, ...], int], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A (batch, m, k) and B (batch, k, n), or without batch when it is 1, as views of the wanted storage."""
    lead = (case.batch,) if case.batch > 1 else ()
    a = values((*lead, case.m, case.k), 1)
    b = values((*lead, case.k, case.n), 2)
    if case.layout[0] == "t":
        a = np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2)
    if case.layout[1] == "t":
        b = np.ascontiguousarray(b.swapaxes(-1, -2)).swapaxes(-1, -2)
    return a, b
