"""The gradient of every differentiable function, in float64 against central differences: one table, and proof that it is whole.

Every case runs in three memory layouts and is checked for first and second derivatives; a function in no list fails a test.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dnncore as dnn
import loss_cases
import numpy as np
import pytest
from activation_cases import CASES as ACTIVATIONS
from cases import relayout, tensor
from dnncore import Tensor
from dnncore.autograd import grad, gradcheck, gradgradcheck
from dnncore.nn import functional as F
from gradient_cases import ARRANGEMENTS, CHOICES, ELEMENTWISE, PRODUCTS, REDUCTIONS, SHAPES, Case, Shape, given, over, reseeded
from test_loss import learnable

# --- Convolutions -----------------------------------------------------------------------------------------------------

# Shapes of input, weight and bias, and the settings after them.
CONVOLVED = [
    (((2, 3, 4), (2, 3, 2), (2,)), {}),
    (((1, 4, 5), (4, 2, 3), (4,)), {"stride": 2, "padding": 2, "groups": 2}),
    (((2, 5), (3, 2, 2), (3,)), {"padding": "same", "dilation": 2}),
    (((0, 3, 4), (2, 3, 2), (2,)), {}),
    (((2, 2, 4, 3), (3, 2, 1, 1), (3,)), {}),
    (((0, 2, 4, 3), (3, 2, 2, 2), (3,)), {"padding": 1}),
    (((2, 2, 4, 5), (4, 1, 2, 3), (4,)), {"groups": 2, "stride": (2, 1), "padding": (0, 1)}),
    (((1, 2, 2, 3, 3), (2, 2, 2, 2, 2), (2,)), {"padding": (1, 0, 1), "dilation": (1, 2, 1)}),
    (((2, 1, 3, 2, 2), (1, 1, 3, 1, 1), (1,)), {}),
    (((0, 1, 3, 2, 2), (2, 1, 1, 1, 1), (2,)), {"padding": 1}),
]
TRANSPOSED = [
    (((2, 3, 4), (3, 2, 2), (2,)), {}),
    (((3, 2), (3, 1, 3), (1,)), {"padding": 1}),
    (((0, 3, 4), (3, 2, 2), (2,)), {}),
    (((1, 4, 3), (4, 2, 3), (4,)), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}),
    (((2, 2, 4, 3), (2, 3, 1, 1), (3,)), {}),
    (((2, 3, 3), (2, 1, 2, 3), (1,)), {"stride": (1, 2), "dilation": (2, 1)}),
    (((0, 2, 3, 3), (2, 1, 2, 2), (1,)), {}),
    (((1, 2, 2, 2, 2), (2, 1, 2, 2, 2), (1,)), {"stride": 2, "padding": 1}),
    (((2, 1, 3, 2, 1), (1, 1, 1, 1, 1), (1,)), {}),
    (((0, 1, 3, 2, 1), (1, 2, 1, 2, 1), (2,)), {}),
]


def convolutions(rows: list[Any], weight_dims: int, **more: Any) -> list[Case]:
    """With and without a bias."""
    fitting = [(shapes, settings) for shapes, settings in rows if len(shapes[1]) == weight_dims]
    return [
        Case(lambda f, *x, keywords={**settings, **more}: f(*x, **keywords), shapes[:count])
        for shapes, settings in fitting
        for count in (2, 3)
    ]


CONVOLUTIONS = {
    **{f"{where}conv{d}d": convolutions(CONVOLVED, d + 2) for d in (1, 2, 3) for where in ("", "F.")},
    **{f"{where}conv_transpose{d}d": convolutions(TRANSPOSED, d + 2) for d in (1, 2, 3) for where in ("", "F.")},
}
for _activation in ("relu", "tanh", "sigmoid"):
    CONVOLUTIONS["conv2d"] += convolutions(CONVOLVED, 4, activation=_activation)

# --- Layers -----------------------------------------------------------------------------------------------------------

TABLES = [(5, 3), (1, 1), (3, 17), (2, 0), (4, 2)]
IDS = np.array([[0, 1, 0], [2, 3, 2]])
STARTS = tensor(np.array([0, 0, 2, 5, 6]))


def ids_of(table: Tensor) -> Tensor:
    return tensor(IDS % table.shape[0])


ROWS = [(5,), (1, 5), (0, 5), (3, 5), (7, 5)]

LIKE_PAIRS = [((1, 1), (1, 1)), ((0, 3), (0, 3)), ((5, 2), (5, 2)), ((3, 4), (1, 4)), ((2, 3, 2), (2, 3, 2))]
LAYERS = {
    **{f"F.{name}": over(SHAPES) for name in ("relu", "sigmoid", "tanh", "gelu", "tanhshrink")},
    "F.embedding": over(TABLES, lambda f, w: f(ids_of(w), w)),
    "F.embedding_bag": [
        *(
            case
            for mode in ("sum", "mean", "max")
            for case in (
                *over(TABLES, lambda f, w, mode=mode: f(ids_of(w), w, mode=mode)),
                *over(TABLES, lambda f, w, mode=mode: f(ids_of(w).flatten(), w, STARTS, mode=mode, padding_idx=-1)),
            )
        ),
        *over(
            [(shape, (6,)) for shape in TABLES],
            lambda f, w, a: f(ids_of(w).flatten(), w, STARTS, mode="sum", per_sample_weights=a),
        ),
        *over(
            [(shape, (2, 3)) for shape in TABLES],
            lambda f, w, a: f(ids_of(w), w, mode="sum", per_sample_weights=a, padding_idx=0),
        ),
    ],
    "F.glu": given(((2,), 0), ((0, 4), 1), ((6,), -1), ((3, 4), 1), ((2, 6, 1), -2)),
    "F.maxout": given(((1,), 1), ((0, 4), 2), ((6,), 3), ((3, 4), 2, 1), ((2, 6, 1), 3, -2)),
    "F.prelu": over([((), (1,)), ((0, 3), (3,)), ((1,), (1,)), ((5,), (1,)), ((3, 4), (4,)), ((2, 3, 2), (3,))]),
    "F.cosine_similarity": [*over(LIKE_PAIRS), *over(LIKE_PAIRS, lambda f, a, b: f(a, b, 0))],
    "F.normalize": [*over(ROWS, lambda f, x: f(x, dim=-1)), *over([(2, 3, 2)], lambda f, x: f(x, 3.0))],
    "F.pairwise_distance": [c for p in (1, 2, 3, math.inf) for c in over(LIKE_PAIRS, lambda f, a, b, p=p: f(a, b, p))],
}
for _name, _case in ACTIVATIONS.items():  # their calls know the function
    _row = LAYERS.setdefault(f"F.{_name.split(',')[0].removesuffix('_tanh')}", [])
    _row += over(SHAPES, lambda f, x, call=_case.call: call(x))

# input, weight, bias
BY_CHANNEL = [
    ((2, 4, 3), (4,), (4,)),
    ((5, 2), (2,), (2,)),
    ((0, 2, 3), (2,), (2,)),
    ((1, 2, 7), (2,), (2,)),
    ((3, 2, 2, 2), (2,), (2,)),
]
BY_ROW = [((3, 5), (5,), (5,)), ((2, 1, 7), (7,), (7,)), ((0, 3), (3,), (3,)), ((4,), (4,), (4,)), ((2, 3, 3), (3, 3), (3, 3))]
INSTANCES = [shapes for shapes in BY_CHANNEL if len(shapes[0]) > 2] + [((2, 3, 5), (3,), (3,)), ((1, 1, 5), (1,), (1,))]


def running_statistics(shape: Shape) -> list[Tensor]:
    return [tensor(np.linspace(low, 2, shape[0])) for low in (-1, 0.5)]


NORMED = {
    "F.batch_norm": [
        *over(BY_CHANNEL, lambda f, x, w, b: f(x, None, None, w, b, True)),
        *over([shapes[:1] for shapes in BY_CHANNEL], lambda f, x: f(x, None, None, training=True)),
        *over(BY_CHANNEL, lambda f, x, w, b: f(x, *running_statistics(w.shape), w, b)),
    ],
    "F.instance_norm": [*over(INSTANCES, lambda f, x, w, b: f(x, None, None, w, b)), *over([s[:1] for s in INSTANCES])],
    "F.group_norm": [
        *over(BY_CHANNEL, lambda f, x, w, b: f(x, 1, w, b)),
        *over([s for s in BY_CHANNEL if s[0] != (5, 2)], lambda f, x, w, b: f(x, 2, w, b)),
    ],
    "F.layer_norm": over(BY_ROW, lambda f, x, w, b: f(x, w.shape, w, b)),
    "F.rms_norm": over([shapes[:2] for shapes in BY_ROW], lambda f, x, w: f(x, w.shape, w)),
    "F.local_response_norm": over(
        [(2, 3, 4), (1, 1, 1), (0, 3, 2), (1, 5, 2, 2), (2, 2, 3)], lambda f, x: f(x, 3, alpha=0.5, k=2.0)
    ),
    "F.local_contrast_norm": over([(1, 1, 5, 5), (2, 3, 4, 3), (0, 2, 3, 3), (1, 2, 3, 7), (2, 1, 1, 5)], lambda f, x: f(x, 3)),
}

CHANNELS = [(2, 3, 4), (1, 1, 1), (0, 3, 2), (3, 5, 1), (2, 7, 3)]
RANDOM = {
    "F.dropout": reseeded(over(SHAPES, lambda f, x: f(x, 0.4))),
    "F.dropout1d": reseeded(over([*CHANNELS, (3, 4)], lambda f, x: f(x, 0.4))),
    "F.dropout2d": reseeded(over([(*s, 2) for s in CHANNELS], lambda f, x: f(x, 0.4))),
    "F.dropout3d": reseeded(over([(*s, 2, 1) for s in CHANNELS], lambda f, x: f(x, 0.4))),
    "F.alpha_dropout": reseeded(over(SHAPES, lambda f, x: f(x, 0.4, True))),
    "F.feature_alpha_dropout": reseeded(over(CHANNELS, lambda f, x: f(x, 0.4, True))),
    "F.rrelu": reseeded(over(SHAPES, lambda f, x: f(x, training=True))),
}

POOLED = {
    1: ((2, 3, 7), (1, 1, 5), (0, 3, 4), (3, 4), (1, 17, 6), (1, 2, 4)),
    2: ((2, 3, 5, 4), (1, 1, 3, 3), (0, 3, 4, 5), (3, 4, 5), (1, 17, 3, 4), (2, 2, 4, 3)),
    3: ((2, 3, 3, 2, 3), (1, 1, 3, 3, 3), (0, 3, 4, 2, 2), (3, 2, 3, 2), (1, 17, 2, 2, 3), (1, 2, 3, 3, 2)),
}
POOLS = {
    f"F.{name}_pool{n}d": [
        case
        for settings in ((2,), (2, 1), (3, 2, 1))
        for case in given(*((shape, *settings) for shape in shapes if min(shape[-n:]) >= 3 or len(settings) < 3))
    ]
    for n, shapes in POOLED.items()
    for name in ("max", "avg")
} | {
    f"F.adaptive_{name}_pool{n}d": [case for size in (1, 2, 3) for case in given(*((shape, size) for shape in shapes))]
    for n, shapes in POOLED.items()
    for name in ("max", "avg")
}

IMAGES = ((2, 3, 4, 5), (1, 1, 3, 3), (0, 3, 4, 5), (2, 5, 3, 2), (1, 17, 3, 4))
SQUARES = ((2, 4, 4, 2), (1, 4, 2, 2), (0, 4, 2, 2), (3, 4, 2, 6), (1, 8, 4, 4))
PLANES = {n: tuple(shape for shape in shapes if len(shape) == n + 2) for n, shapes in POOLED.items()}
UNPOOLED = {n: (*shapes, (*shapes[0][:2], *(4 for _ in range(n)))) for n, shapes in PLANES.items()}


def unpool(spatial: int) -> Callable[..., Any]:
    """Of the largest of windows that share no element, at places that do not depend on the values."""

    def call(f: Callable[..., Any], x: Tensor) -> Any:
        size = 2 * np.array(x.shape[2:])
        places = np.arange(math.prod(x.shape[2:])).reshape(x.shape[2:])
        return f(x, tensor(np.broadcast_to(places, x.shape).copy()), 2, output_size=tuple(size.tolist()))

    return call


SAMPLED = [
    ((2, 3, 4, 5), (2, 3, 2, 2)),
    ((1, 1, 3, 3), (1, 1, 1, 2)),
    ((0, 2, 3, 3), (0, 2, 2, 2)),
    ((1, 17, 2, 3), (1, 2, 2, 2)),
    ((1, 2, 3, 2, 4), (1, 2, 1, 2, 3)),
]
RESIZED = {
    "F.interpolate": [
        *(
            case
            for mode in ("nearest", "bilinear", "bicubic", "area")
            for case in over(IMAGES, lambda f, x, m=mode: f(x, (3, 7), mode=m))
        ),
        *over(IMAGES, lambda f, x: f(x, scale_factor=1.6, mode="bilinear", align_corners=True)),
        *over(IMAGES, lambda f, x: f(x, (2, 3), mode="bicubic", antialias=True)),
    ],
    "F.affine_grid": [
        *over([(2, 2, 3), (1, 2, 3)], lambda f, theta: f(theta, (theta.shape[0], 1, 3, 4))),
        *over([(1, 3, 4), (2, 3, 4)], lambda f, theta: f(theta, (theta.shape[0], 1, 2, 3, 2), True)),
        *over([(3, 2, 3), (0, 2, 3)], lambda f, theta: f(theta, (theta.shape[0], 2, 1, 1))),
    ],
    "F.grid_sample": [
        *over(SAMPLED, lambda f, x, places: f(x, places)),
        *over(SAMPLED, lambda f, x, places: f(x, places, padding_mode="border", align_corners=True)),
        *over(SAMPLED, lambda f, x, places: f(x, places, padding_mode="reflection")),
        *over(SAMPLED[:-1], lambda f, x, places: f(x, places, "bicubic")),
        *over(SAMPLED[:-1], lambda f, x, places: f(x, places, "bicubic", "border")),
        *over(SAMPLED, lambda f, x, places: f(x, places, "nearest")),
    ],
    "F.pixel_shuffle": given(*((shape, 2) for shape in SQUARES)),
    "F.pixel_unshuffle": given(*((shape, 2) for shape in SQUARES), ((1, 3, 3, 3), 3)),
    "F.channel_shuffle": given(*((shape, 2) for shape in SQUARES), ((1, 3, 3), 3)),
    "F.unfold": [*given(*((shape, 2) for shape in IMAGES)), *given(*((shape, 3, 1, 1, 2) for shape in IMAGES))],
    "F.fold": given(*(((n, 4 * c, 6), (3, 4), 2) for n, c in ((2, 3), (1, 1), (0, 2), (3, 1), (1, 5)))),
    **{f"F.lp_pool{n}d": over(PLANES[n], lambda f, x: f(x, 2.5, 2), signed=False) for n in PLANES},
    **{f"F.max_unpool{n}d": over(UNPOOLED[n], unpool(n)) for n in UNPOOLED},
}

# --- Losses: every case of loss_cases.py, and the first of each function in more shapes -------------------------------

BY_ROWS = (
    "cross_entropy",
    "nll_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "cosine_embedding_loss",
    "triplet_margin_loss",
)


def loss(case: loss_cases.LossCase, reduction: str) -> Case:
    arrays, names = loss_cases.inputs(case), learnable(case)
    fixed = {name: tensor(x) for name, x in arrays.items() if name not in names}
    draws = tuple(arrays[name] for name in names)

    def call(f: Callable[..., Any], *leaves: Tensor) -> Any:
        return f(**fixed, **dict(zip(names, leaves, strict=True)), **case.options, reduction=reduction)

    return Case(call, tuple(x.shape for x in draws), draws=draws)


def resized(case: loss_cases.LossCase, shape: Shape) -> loss_cases.LossCase:
    """Weights of the classes keep their shape; a number per row keeps that meaning."""
    return replace(
        case,
        arrays={
            name: (kind, old if name == "weight" else shape if len(old) == 2 else shape[:-1])
            for name, (kind, old) in case.arrays.items()
        },
    )


def losses() -> dict[str, list[Case]]:
    rows: dict[str, list[Case]] = {}
    for case in loss_cases.CASES.values():
        row = rows.setdefault(f"F.{case.function}", [])
        if not row:
            shapes = ROWS if case.function in BY_ROWS else SHAPES
            row += [loss(resized(case, shape), loss_cases.REDUCTIONS[len(shape) % 3]) for shape in shapes]
        row.append(loss(case, loss_cases.REDUCTIONS[len(row) % 3]))
    return rows


LOSSES = losses()
LOSSES["cross_entropy"] = LOSSES["F.cross_entropy"]
LOSSES["F.triplet_margin_with_distance_loss"] = over([(shape,) * 3 for shape in ROWS])

# --- The lists --------------------------------------------------------------------------------------------------------

DIFFERENTIABLE = (
    ELEMENTWISE | REDUCTIONS | ARRANGEMENTS | CHOICES | PRODUCTS | CONVOLUTIONS | LAYERS | NORMED | POOLS | RESIZED | LOSSES
)

NOT_DIFFERENTIABLE = {
    "made from sizes, numbers or files": """
        arange empty empty_like eye from_dlpack from_numpy full full_like linspace load ones ones_like tensor zeros zeros_like
        Tensor.new_empty Tensor.new_full Tensor.new_ones Tensor.new_tensor Tensor.new_zeros""",
    "drawn": """
        bernoulli multinomial normal rand rand_like randint randn randn_like randperm
        Tensor.bernoulli_ Tensor.normal_ Tensor.uniform_""",
    "true or false": """
        all allclose any eq equal ge gt is_floating_point is_tensor isclose isfinite isin isinf isnan le logical_and logical_not
        logical_or logical_xor lt ne F.sequence_mask Tensor.__bool__ Tensor.__contains__ Tensor.bool""",
    "whole numbers": """
        argmax argmin argsort argwhere bitwise_and bitwise_not bitwise_or bitwise_xor bucketize count_nonzero nonzero numel
        one_hot searchsorted tril_indices triu_indices F.one_hot Tensor.__and__ Tensor.__iand__ Tensor.__index__ Tensor.__int__
        Tensor.__invert__ Tensor.__ior__ Tensor.__ixor__ Tensor.__or__ Tensor.__rand__ Tensor.__ror__ Tensor.__rxor__
        Tensor.__xor__ Tensor.bitwise_and_ Tensor.bitwise_not_ Tensor.bitwise_or_ Tensor.bitwise_xor_ Tensor.byte Tensor.int
        Tensor.long""",
    "needs a device; test_devices.py has its gradient": "Tensor.cuda",
    "counts and sets": "bincount histc unique",
    "a difference of 1e-6 does not survive the rounding": "Tensor.bfloat16 Tensor.float Tensor.half",
    "leaves the tape": """
        save Tensor.__array__ Tensor.__deepcopy__ Tensor.__dlpack__ Tensor.__dlpack_device__ Tensor.__float__
        Tensor.data Tensor.data_ptr Tensor.detach Tensor.detach_ Tensor.item Tensor.numpy Tensor.pin_memory Tensor.tolist""",
    "the tape itself": """
        capture check_gradients is_grad_enabled Tensor.backward Tensor.grad Tensor.grad_fn Tensor.is_leaf Tensor.register_hook
        Tensor.requires_grad Tensor.requires_grad_ Tensor.retain_grad Tensor.retains_grad""",
    "describes a tensor": """
        promote_types result_type Tensor.__delitem__ Tensor.__len__ Tensor.device Tensor.dim Tensor.dtype Tensor.element_size
        Tensor.is_contiguous Tensor.is_cuda Tensor.is_pinned Tensor.itemsize Tensor.nbytes Tensor.ndim Tensor.nelement
        Tensor.shape Tensor.size Tensor.storage_offset Tensor.stride""",
    "settings and reports": """
        available_isas build_info cpu_info empty_cache get_default_device get_num_threads initial_seed manual_seed memory_stats
        reset_peak_memory_stats seed set_default_device set_num_threads Tensor.record_stream""",
}


def public_names() -> list[str]:
    """The functions of dnn, those of nn.functional as F.name, and what only tensors have as Tensor.name, operators included."""
    functions = [name for name in dnn.__all__ if callable(getattr(dnn, name)) and not inspect.isclass(getattr(dnn, name))]
    layers = [name for name, f in vars(F).items() if inspect.isfunction(f) and f.__module__.startswith("dnncore.nn")]
    methods = [name for name in dir(Tensor) if name[0] != "_" or (name[:2] == "__" and callable(getattr(Tensor, name)))]
    known = {*functions, *layers, *dir(object)} - {"unfold"}  # F.unfold is another function
    return [*functions, *(f"F.{name}" for name in layers), *(f"Tensor.{name}" for name in methods if name not in known)]


def find(name: str) -> Callable[..., Any]:
    place, _, last = name.rpartition(".")
    found = getattr({"": dnn, "F": F, "Tensor": Tensor}[place], last)
    return found if callable(found) else found.__get__  # a property


TABLE = DIFFERENTIABLE | RANDOM


def test_every_function_is_in_one_list():
    listed = [*DIFFERENTIABLE, *RANDOM, *(name for names in NOT_DIFFERENTIABLE.values() for name in names.split())]
    assert sorted(listed) == sorted(public_names())


def test_every_row_has_five_shapes():
    """Of size 1, of odd sizes, and of no element at all."""
    for name, cases in TABLE.items():
        shapes = {case.shapes for case in cases}
        sizes = {size for several in shapes for shape in several for size in shape}
        assert len(shapes) >= 5, name
        assert 1 in sizes, name
        assert any(size % 2 and size > 1 for size in sizes), name
        assert 0 in sizes, name


def parameter(name: str, case: Case) -> Any:
    return pytest.param(name, case, id=f"{name} {' '.join(map(str, case.shapes))}")


@pytest.mark.parametrize(("name", "case"), [parameter(name, case) for name, cases in TABLE.items() for case in cases])
def test_gradients(name, case):
    function, inputs = find(name), case.inputs()
    for layout in ("contiguous", "transposed", "strided"):

        def call(*x: Tensor, layout: str = layout) -> Any:
            return case.call(function, *(relayout(each, layout) for each in x))

        if any(x.numel() for x in inputs):
            assert gradcheck(call, inputs)
            assert gradgradcheck(call, inputs)
        else:  # nothing to take differences of
            leaves = [x.detach().requires_grad_() for x in inputs]
            result = call(*leaves)
            outputs = [y for y in (result if isinstance(result, (tuple, list)) else [result]) if y.is_floating_point()]
            gradients = grad(outputs, leaves, [y * 0 for y in outputs], materialize_grads=True)
            assert [g.shape for g in gradients] == [x.shape for x in inputs]
