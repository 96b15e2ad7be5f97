"""Calls whose gradients test_gradients_of_everything.py checks: how cases are written, and those of the functions of tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import dnncore as dnn
import numpy as np
from cases import BINARY, UNARY, tensor
from dnncore import Tensor
from test_gradients import POSITIVE, values

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """`call(function, *inputs)` uses the function of the row; `shapes` are those of the inputs that have a gradient."""

    call: Callable[..., Any]
    shapes: tuple[Shape, ...]
    signed: bool = True
    draws: tuple[np.ndarray, ...] = ()  # the inputs, where they are special

    def inputs(self) -> list[Tensor]:
        given = self.draws or [values(shape, seed=seed, signed=self.signed) for seed, shape in enumerate(self.shapes)]
        return [tensor(x.copy()) for x in given]


def over(shapes: Iterable[Any], call: Callable[..., Any] = lambda f, *x: f(*x), **options: Any) -> list[Case]:
    """One case for each shape of an input, or each tuple of shapes of several."""
    several = [s if s and isinstance(s[0], tuple) else (s,) for s in shapes]
    return [Case(call, s, **options) for s in several]


def given(*rows: tuple[Any, ...], **keywords: Any) -> list[Case]:
    """One case for each row: the shape of the input, and the arguments that follow it."""
    return [Case(lambda f, x, args=args: f(x, *args, **keywords), (shape,)) for shape, *args in rows]


def in_place(cases: list[Case]) -> list[Case]:
    return [replace(case, call=lambda f, x, *rest, call=case.call: call(f, x * 1, *rest)) for case in cases]


def flat(cases: list[Case]) -> list[Case]:
    """For results that are off the tape since they are constant in pieces: differences must be zero."""
    return [replace(case, call=lambda f, *x, call=case.call: call(f, *x) + sum((0 * each).sum() for each in x)) for case in cases]


def reseeded(cases: list[Case]) -> list[Case]:
    def call(case: Case, *x: Any) -> Any:
        dnn.manual_seed(3)
        return case.call(*x)

    return [replace(case, call=partial(call, case)) for case in cases]


def positions(shape: Shape, size: int) -> Tensor:
    """Some of them twice."""
    return tensor(7 * np.arange(math.prod(shape)).reshape(shape) % max(size, 1))


def mask(shape: Shape) -> Tensor:
    return tensor(np.arange(math.prod(shape)).reshape(shape) % 3 != 1)


def together(f: Callable[..., Any], *x: Tensor) -> Any:
    """For functions of a list of tensors."""
    return f(x)


def with_methods(names: Iterable[str], cases: list[Case]) -> dict[str, list[Case]]:
    """Rows of the functions, and of the methods of these names that work in place."""
    changed = in_place([c for c in cases if np.broadcast_shapes(*c.shapes) == c.shapes[0]])
    return dict.fromkeys(names, cases) | {f"Tensor.{name}_": changed for name in names if hasattr(Tensor, f"{name}_")}


# --- Shapes -----------------------------------------------------------------------------------------------------------

SHAPES = [(), (0, 3), (1,), (5,), (3, 4), (2, 1, 3)]
PAIRS = [((), ()), ((0, 3), (3,)), ((1,), (1,)), ((5,), ()), ((3, 4), (3, 1)), ((2, 3, 2), (2,)), ((3, 1), (1, 4)), ((), (3,))]
TRIPLES = [
    ((), (), ()),
    ((0, 3), (3,), ()),
    ((1,), (1,), (1,)),
    ((5,), (), (5,)),
    ((2, 3, 2), (3, 1), (2,)),
    ((3, 1), (1, 4), (3, 4)),
]
ALONG = [((), 0), ((0, 3), 1), ((1,), 0), ((5,), -1), ((3, 4), 0), ((2, 3, 2), -2), ((1, 7), 1)]
REDUCED = [*ALONG, ((2, 3, 2), (0, -1))]
FULL = [shape for shape in SHAPES if 0 not in shape]
MATRICES = [(1, 1), (0, 3), (3, 3), (2, 5), (3, 1), (2, 3, 2)]

# --- Value by value ---------------------------------------------------------------------------------------------------

SMOOTH = [name for name, op in UNARY.items() if op.smooth and name not in POSITIVE]
STEPS = ["sign", "floor", "ceil", "trunc", "round"]
TWO = [name for name, op in BINARY.items() if op.smooth and name != "pow"]
OPERATORS = ["add", "sub", "mul", "truediv", "mod"]

ELEMENTWISE = {
    **with_methods([*SMOOTH, *STEPS, "frac", "nan_to_num"], over(SHAPES)),
    **with_methods(sorted(POSITIVE), over(SHAPES, signed=False)),
    **{name: over(SHAPES) for name in ("Tensor.__abs__", "Tensor.__neg__", "Tensor.__pos__")},
    **with_methods([*TWO, "remainder"], over(PAIRS)),
    **{name: over(PAIRS) for name in ("fmod", "logaddexp", "hypot", "clamp_min", "clamp_max")},
    **with_methods(["pow"], over(PAIRS, signed=False)),
    "float_power": over(PAIRS, signed=False),
    "clamp": [*over(PAIRS, lambda f, x, z: f(x, z - 1, z + 1)), *over(SHAPES, lambda f, x: f(x, -0.4, 1.2))],
    "where": over(PAIRS, lambda f, x, z: f(mask(np.broadcast_shapes(x.shape, z.shape)), x, z)),
    "lerp": [*over(TRIPLES), *over(PAIRS, lambda f, x, z: f(x, z, 0.3))],
    "addcmul": over(TRIPLES, lambda f, *x: f(*x, value=2)),
    "addcdiv": over(TRIPLES, lambda f, *x: f(*x, value=2)),
    **{f"Tensor.__{name}__": over(PAIRS) for name in OPERATORS},
    **{f"Tensor.__r{name}__": over(PAIRS) for name in OPERATORS},
    **{f"Tensor.__i{name}__": in_place(over(PAIRS[:6])) for name in OPERATORS},
    **{f"Tensor.__{name}__": over(PAIRS, signed=False) for name in ("pow", "rpow")},
    "Tensor.__ipow__": in_place(over(PAIRS[:6], signed=False)),
    **{name: flat(over(PAIRS)) for name in ("heaviside", "floor_divide", "Tensor.__floordiv__", "Tensor.__rfloordiv__")},
    **{name: flat(in_place(over(PAIRS[:6]))) for name in ("Tensor.floor_divide_", "Tensor.__ifloordiv__")},
    **with_methods(["masked_fill"], over([(s, ()) for s in SHAPES], lambda f, x, z: f(x, mask(x.shape), z))),
    "Tensor.copy_": [
        *in_place(over([((), ()), ((0, 3), (3,)), ((1, 1), (1,)), ((5,), ()), ((3, 4), (3, 1)), ((2, 3, 2), (2,))])),
        *in_place(over([((1,), (1,)), ((3, 4), (3, 4))])),
    ],
    "Tensor.fill_": in_place(over([(s, ()) for s in SHAPES])),
    "Tensor.zero_": flat(in_place(over(SHAPES))),
}
ELEMENTWISE["add"] = [*ELEMENTWISE["add"], *over(PAIRS, lambda f, x, z: f(x, z, alpha=3))]
ELEMENTWISE["sub"] = [*ELEMENTWISE["sub"], *over(PAIRS, lambda f, x, z: f(x, z, alpha=3))]
ELEMENTWISE["div"] = [
    *ELEMENTWISE["div"],
    *(c for how in ("floor", "trunc") for c in flat(over(PAIRS, lambda f, x, z, how=how: f(x, z, rounding_mode=how)))),
]

# --- Along dimensions -------------------------------------------------------------------------------------------------

NORMS = [1, 2, 3, 0.5, -1, math.inf, -math.inf]
REDUCTIONS = {
    **{name: [*over(SHAPES), *given(*REDUCED), *given(*REDUCED, keepdim=True)] for name in ("sum", "mean", "prod")},
    **{name: [*over(FULL), *given(*REDUCED), *given(*REDUCED, keepdim=True)] for name in ("amax", "amin")},
    "median": [*over(FULL), *given(*ALONG), *given(*ALONG, keepdim=True)],
    **{name: [*over(FULL), *given(*ALONG), *over(PAIRS)] for name in ("max", "min")},
    "logsumexp": [*given(*REDUCED), *given(*REDUCED, keepdim=True)],
    **{
        name: [*over(FULL, lambda f, x: f(x, correction=0)), *given(*REDUCED, correction=0)]
        for name in ("var", "std", "var_mean", "std_mean")
    },
    "norm": [*(c for p in NORMS for c in given(*((shape, p, dim) for shape, dim in REDUCED))), *over(FULL)],
    **{
        name: given(*ALONG)
        for name in ("sort", "cumsum", "cumprod", "logcumsumexp", "cummax", "cummin", "softmax", "log_softmax", "F.softmin")
    },
    "F.softmax": given(*ALONG),
    "F.log_softmax": given(*ALONG),
    "topk": given(((), 1, 0), ((0, 3), 2, 1), ((1,), 1), ((5,), 3), ((3, 4), 2, 0), ((2, 3, 2), 2, -2, False)),
    "kthvalue": given(((), 1, 0), ((0, 3), 2, 1), ((1,), 1), ((5,), 3), ((3, 4), 2, 0), ((2, 3, 2), 2, -2, True)),
    "cov": over([(), (0, 3), (2,), (5,), (1, 3), (3, 4), (2, 7)], lambda f, x: f(x, correction=int(x.ndim > 0))),
    "corrcoef": over([(0, 3), (2,), (5,), (1, 3), (3, 4), (2, 7)]),
    "trace": over([(1, 1), (0, 3), (3, 3), (2, 5), (3, 1)]),
}

# --- Other orders, other shapes ---------------------------------------------------------------------------------------

SPLITS = [((0, 3), 1), ((1,), 0), ((5,), 0), ((3, 4), 1), ((2, 3, 2), -2), ((7, 1), 0)]
VIEWS = given(((), (1,)), ((0, 3), (0, 1, 3)), ((1,), (1, 1)), ((5,), (1, 5)), ((3, 4), (3, 2, 2)), ((2, 1, 3), (2, 3)))
SWAPS = given(((), 0, -1), ((0, 3), 0, 1), ((1,), 0, 0), ((3, 4), 0, 1), ((2, 3, 2), 0, -1), ((1, 5), -1, -2))
MOVES = given(((1,), 0, 0), ((0, 3), 0, 1), ((5, 1), 0, 1), ((3, 4), 1, 0), ((2, 3, 2), (0, 1), (2, 0)))
EXPANDED = [((), (3,)), ((0, 3), (2, 0, 3)), ((1,), (5,)), ((5,), (2, 5)), ((3, 1), (3, 4)), ((2, 1, 3), (2, 2, 3))]
TILES = given(((), (3,)), ((0, 3), (2, 1)), ((1,), (3,)), ((5,), (2, 2)), ((3, 4), (1, 2)), ((2, 1, 3), (2, 1, 2)))
JOINED = [((1,), (3,)), ((0, 3), (2, 3)), ((3, 4), (1, 4)), ((2, 1, 3), (1, 1, 3)), ((5,), (0,)), ((3, 1), (2, 1), (1, 1))]
ALIKE = [((), ()), ((0, 3), (0, 3)), ((1,), (1,), (1,)), ((5,), (5,)), ((3, 4), (3, 4)), ((2, 1, 3), (2, 1, 3))]
FLAT = [((), (3,)), ((1,),), ((0,), (3,)), ((5,), (2,)), ((3,), (1,)), ((2,), (3,), (2,))]

ARRANGEMENTS = {
    **{name: over(SHAPES) for name in ("clone", "flatten", "ravel", "squeeze", "as_tensor", "asarray")},
    **{f"Tensor.{name}": over(SHAPES) for name in ("contiguous", "double", "cpu")},
    "Tensor.__copy__": over(SHAPES, lambda f, x: f(x * 1)),  # that of a leaf is a leaf
    "Tensor.to": over(SHAPES, lambda f, x: f(x * 1, dnn.float64)),
    "Tensor.type": over(SHAPES, lambda f, x: f(x * 1, dnn.float64)),
    "Tensor.type_as": over(SHAPES, lambda f, x: f(x * 1, x)),
    **{f"atleast_{n}d": [*over(SHAPES), *over(PAIRS)] for n in (1, 2, 3)},
    "reshape": [*VIEWS, *given(((3, 4), (2, 6)), ((2, 3, 2), (-1,)))],
    "Tensor.view": VIEWS,
    "Tensor.view_as": over(SHAPES, lambda f, x: f(x, dnn.zeros(1, *x.shape))),
    "unflatten": given(((0, 3), 1, (3, 1)), ((1,), 0, (1, 1)), ((6,), 0, (2, -1)), ((3, 4), 1, (2, 2)), ((2, 1, 9), -1, (3, 3))),
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), SWAPS),
    **dict.fromkeys(("movedim", "moveaxis"), MOVES),
    **{name: over([(), (0, 3), (1,), (5,), (3, 4), (1, 5)]) for name in ("t", "Tensor.T")},
    "Tensor.mT": over(MATRICES),
    "permute": over(SHAPES, lambda f, x: f(x, [*range(1, x.ndim), 0][: x.ndim])),
    "flip": over(SHAPES, lambda f, x: f(x, range(x.ndim))),
    "fliplr": over(MATRICES),
    "flipud": over([(1,), *MATRICES]),
    "roll": [*over(SHAPES, lambda f, x: f(x, 2)), *given(((3, 4), (1, -2), (0, -1)), ((2, 3, 2), -1, 1))],
    "unsqueeze": given(*ALONG),
    "broadcast_to": given(*EXPANDED),
    "Tensor.expand": given(*EXPANDED),
    "Tensor.expand_as": given(*((shape, dnn.zeros(size)) for shape, size in EXPANDED)),
    "broadcast_tensors": [*over(PAIRS), *over(TRIPLES)],
    "tile": TILES,
    "Tensor.repeat": TILES,
    "repeat_interleave": [
        *over(SHAPES, lambda f, x: f(x, 2)),
        *given(((3, 4), 3, 1), ((2, 3, 2), tensor(np.array([1, 0, 2])), 1)),
    ],
    "Tensor.unfold": given(((1,), 0, 1, 1), ((0, 3), 1, 2, 1), ((5,), 0, 3, 1), ((3, 4), 1, 2, 2), ((2, 7, 1), -2, 3, 2)),
    "narrow": given(((1,), 0, 0, 1), ((0, 3), 1, 1, 2), ((5,), 0, 2, 3), ((3, 4), 1, 0, 2), ((2, 3, 2), -2, 1, 0)),
    "select": given(((1,), 0, 0), ((0, 3), 1, 2), ((5,), 0, -1), ((3, 4), 1, 2), ((2, 3, 2), -2, 1)),
    "unbind": given(*SPLITS),
    "Tensor.__iter__": over([(1,), (3, 0), (5,), (3, 4), (2, 1, 3)], lambda f, x: [y * y for y in f(x)]),
    "split": [*given(*((shape, 2, dim) for shape, dim in SPLITS)), *given(((5, 2), [1, 0, 4]))],
    "chunk": given(*((shape, 2, dim) for shape, dim in SPLITS)),
    "tensor_split": [*given(*((shape, 2, dim) for shape, dim in SPLITS)), *given(((5, 2), [1, 1, 4]))],
    "hsplit": given(((2,), 2), ((0, 3), 3), ((1,), 1), ((5,), [2]), ((3, 4), 2), ((2, 4, 1), [1, 2])),
    "vsplit": given(((2, 1), 2), ((0, 3), 3), ((1, 5), 1), ((3, 4), [2]), ((2, 4, 1), [1, 2])),
    "dsplit": given(((1, 1, 1), 1), ((0, 1, 3), 3), ((2, 1, 4), 2), ((1, 3, 5), [2]), ((2, 2, 3), [1, 2])),
    "diagonal": given(((1, 1),), ((0, 3),), ((3, 3), 1), ((3, 5), -1), ((2, 3, 2), 0, -1, 0), ((3, 1), 9)),
    "diag": given(((1,),), ((0,), 1), ((5,), -1), ((3, 3), 1), ((3, 4),), ((0, 3),)),
    "diag_embed": given(((1,),), ((0, 3),), ((5,), 1), ((3, 4), -2), ((2, 1, 3), 0, 0, 2)),
    **with_methods(["tril", "triu"], [*over(MATRICES), *given(((3, 4), 1), ((4, 3), -1))]),
    **{
        name: [
            *given(((1,), (1, 2)), ((0, 3), (1, 0)), ((5,), (-1, 2)), ((3, 4), (1, -1, 2, 0)), ((2, 1, 3), (0, 1))),
            *(Case(lambda f, x, how=how: f(x, (2, 1), how), ((2, 5),)) for how in ("reflect", "replicate", "circular")),
        ]
        for name in ("pad", "F.pad")
    },
    **{name: over(JOINED, together) for name in ("cat", "concat")},
    **{name: over(ALIKE, together) for name in ("vstack", "hstack", "dstack")},
    "stack": [*over(ALIKE, together), *over(ALIKE, lambda f, *x: f(x, -1))],
    "meshgrid": over(FLAT),
    "cartesian_prod": over(FLAT),
}

# --- Chosen elements --------------------------------------------------------------------------------------------------

PICKED = [((), (), 0), ((5,), (3,), 0), ((1,), (4,), 0), ((0, 3), (0, 2), 1), ((3, 4), (3, 4), 0), ((2, 3, 2), (1, 5, 2), 1)]
SLICES = [
    ((1,), (2,), 0),
    ((5,), (2,), 0),
    ((3, 4), (3, 2), 1),
    ((2, 3, 2), (2, 2, 2), -2),
    ((0, 3), (0, 2), 1),
    ((9, 1), (2, 1), 0),
]
FOLDS = [(how, own) for how in ("sum", "prod", "mean", "amax", "amin") for own in (True, False)]
SELFISH = [("prod", True), ("amax", True), ("amin", True)]  # the gradient reads the input


def picked(call: Callable[..., Any] = lambda f, x, s, i, d: f(x, d, i, s)) -> list[Case]:
    """call(function, input, source, positions, dim)."""
    return [
        Case(lambda f, x, s, p=p, d=d: call(f, x, s, positions(p, x.shape[d] if x.ndim else 1), d), (shape, p))
        for shape, p, d in PICKED
    ]


def sliced(call: Callable[..., Any] = lambda f, x, s, i, d: f(x, d, i, s), apart: bool = False) -> list[Case]:
    """As `picked`, with one list of positions for the whole dimension; `apart`: none twice."""
    rows = [row for row in SLICES if not apart or row[0] != (1,)] + [((3, 1, 2), (2, 1, 2), 0)]
    return [Case(lambda f, x, s, d=d: call(f, x, s, positions((s.shape[d],), x.shape[d]), d), (shape, p)) for shape, p, d in rows]


def folded(folds: Iterable[tuple[str, bool]]) -> list[Case]:
    """As `picked`, for scatter_reduce: how, and whether the input takes part."""
    return [
        case
        for how, own in folds
        for case in picked(lambda f, x, s, i, d, how=how, own=own: f(x, d, i, s, how, include_self=own))
    ]


def also_in_place(rows: dict[str, list[Case]]) -> dict[str, list[Case]]:
    return rows | {f"Tensor.{name}_": in_place(cases) for name, cases in rows.items()}


CHOICES = {
    "gather": picked(lambda f, x, s, i, d: f(x, d, i) * s),
    "take_along_dim": picked(lambda f, x, s, i, d: f(x, i, d) * s)[1:],
    "index_select": sliced(lambda f, x, s, i, d: f(x, d, i) * s),
    "masked_select": over(SHAPES, lambda f, x: f(x, mask(x.shape))),
    **also_in_place(
        {
            "scatter": picked(),
            "scatter_add": picked(),
            "index_add": sliced(lambda f, x, s, i, d: f(x, d, i, s, alpha=3)),
            "index_copy": sliced(apart=True),
            "index_fill": sliced(lambda f, x, s, i, d: f(x, d, i, s.sum())),
            "masked_scatter": over([(s, (13,)) for s in SHAPES], lambda f, x, s: f(x, mask(x.shape), s)),
        }
    ),
    "scatter_reduce": folded(FOLDS),
    "Tensor.scatter_reduce_": [
        *in_place(folded(fold for fold in FOLDS if fold not in SELFISH)),
        *in_place(folded(SELFISH)),
    ],
    "Tensor.__getitem__": [
        *given(((), ...), ((0, 3), (slice(None), 1)), ((1,), 0), ((5,), slice(None, None, -2)), ((3, 4), (..., None, 2))),
        *given(
            ((2, 3, 2), [1, 0, 1]), ((5,), tensor(np.array([4, 0, -1, 4]))), ((3, 4), mask((3, 4))), ((3, 4), ([0, 2], [1, 1]))
        ),
    ],
    "Tensor.__setitem__": [
        Case(lambda f, x, z, key=key: (y := x * 1, f(y, key, z))[0], (shape, part))
        for key, shape, part in [
            (..., (), ()),
            ((slice(None), 1), (0, 3), ()),
            (0, (1,), ()),
            (slice(None, None, 2), (5,), (3,)),
            ((..., 2), (3, 4), (1,)),
            ([1, 0], (2, 3, 2), (3, 2)),
            (mask((3, 4)), (3, 4), ()),
        ]
    ],
}

# --- Products ---------------------------------------------------------------------------------------------------------

MATMUL = [
    ((1,), (1,)),
    ((4,), (4,)),
    ((2, 3), (3, 5)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 1, 2, 3), (2, 3, 2)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 2)),
]
VECTORS = [((1,), (1,)), ((3,), (3,)), ((5,), (5,)), ((0,), (0,)), ((7,), (7,))]
SIZES = [(1, 1, 1), (2, 3, 4), (3, 1, 2), (0, 2, 3), (2, 2, 5), (2, 3, 0)]
LINEAR = [((4,), (3, 4), (3,)), ((1, 1), (1, 1), (1,)), ((0, 4), (3, 4), (3,)), ((3, 5), (2, 5), (2,)), ((2, 2, 3), (1, 3), (1,))]
BILINEAR = [
    ((*lead, i), (*lead, j), (o, i, j), (o,))
    for lead, i, j, o in [((), 2, 3, 2), ((1,), 1, 1, 1), ((3,), 2, 3, 2), ((2, 2), 3, 1, 1), ((0,), 2, 3, 2)]
]
EINSUM = [
    ("ij,jk->ik", ((2, 3), (3, 4))),
    ("ii->i", ((3, 3),)),
    (",i->i", ((), (3,))),
    ("...ij,...jk->...ik", ((2, 1, 3, 4), (2, 4, 2))),
    ("ij,jk->ik", ((2, 0), (0, 3))),
    ("i,i->", ((1,), (1,))),
    ("ab,bc,cd->da", ((2, 3), (3, 1), (1, 2))),
]
DISTANT = [((1, 2), (1, 2)), ((3, 4), (2, 4)), ((0, 3), (2, 3)), ((2, 1, 3), (2, 4, 3)), ((5, 1), (3, 1))]

PRODUCTS = {
    **{name: over(MATMUL) for name in ("matmul", "Tensor.__matmul__")},
    "Tensor.__rmatmul__": over([(b, a) for a, b in MATMUL]),
    **{name: over(VECTORS) for name in ("dot", "vdot")},
    "outer": over([((1,), (1,)), ((0,), (3,)), ((5,), (2,)), ((3,), (3,)), ((1,), (7,))]),
    "mm": over([((m, k), (k, n)) for m, n, k in SIZES]),
    "mv": over([((m, k), (k,)) for m, _, k in SIZES]),
    "bmm": over([((2, m, k), (2, k, n)) for m, n, k in SIZES]),
    "addmm": over([((n,), (m, k), (k, n)) for m, n, k in SIZES], lambda f, *x: f(*x, beta=2, alpha=3)),
    "addmv": over([((m,), (m, k), (k,)) for m, _, k in SIZES], lambda f, *x: f(*x, beta=2, alpha=3)),
    "baddbmm": over([((2, m, n), (2, m, k), (2, k, n)) for m, n, k in SIZES], lambda f, *x: f(*x, beta=2, alpha=3)),
    "kron": over([((), ()), ((1,), (1,)), ((3,), (2,)), ((2, 3), (3, 1)), ((0, 3), (2, 2)), ((2, 1, 2), (3,))]),
    "tensordot": over([((k, m), (n, k)) for m, n, k in SIZES], lambda f, a, b: f(a, b, ([0], [1]))),
    "einsum": [Case(lambda f, *x, e=equation: f(e, *x), shapes) for equation, shapes in EINSUM],
    "cdist": [c for p in (1, 2, 3, math.inf) for c in over(DISTANT, lambda f, a, b, p=p: f(a, b, p))],
    "linear": [
        c
        for name in (None, "relu", "tanh", "sigmoid", "gelu")
        for c in over(LINEAR, lambda f, *x, name=name: f(*x, activation=name))
    ],
    "F.linear": [*over(LINEAR), *over(LINEAR, lambda f, x, w, b: f(x, w) * b)],
    "F.bilinear": over(BILINEAR),
}
