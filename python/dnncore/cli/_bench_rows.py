"""The rows of ``dnncore bench``: a function per family, named as the family.

A row makes its call for one library at a time: dnncore and PyTorch by their common words, NumPy in its best form. All get the
same numbers, N(0, 1) or their absolute values. Peers write into a prepared result where they can; dnncore makes a fresh tensor
every time. Images are channels-last for dnncore, and for PyTorch as it likes them better in the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import dnncore as dnn
from dnncore.cli import _bench_images, _bench_numpy, _bench_recurrent
from dnncore.cli._bench_images import normal as _normal
from dnncore.cli._bench_shapes import BATCH_NORMS, CONVOLUTIONS, FORWARD, LAYER_NORMS, POOLS, RECURRENCES, elements
from dnncore.cli._bench_timing import Call

# Largest difference over the largest value; a rounding of float32 is 6e-8 of it.
_MAP = 1e-6
_SUM = 1e-5  # of up to 16 M terms: errors grow with the root of their number, and partial sums keep them small


class Row(NamedTuple):
    """One comparison: `work` is the floating-point operations or the bytes of a call, counted in `unit` (or in nothing).

    `make(library)` prepares the call for ``dnncore``, ``numpy`` or ``torch``; None where the library has no sensible way.
    """

    name: str
    work: float
    unit: str
    tolerance: float
    make: Callable[[Any], Call | None]


def _given(library: Any, array: NDArray[Any]) -> Any:
    return array if library is np else library.from_numpy(array)


def _functions(library: Any) -> Any:
    return _bench_numpy if library is np else library.nn.functional


def _out(library: Any, *shape: int) -> dict[str, Any]:
    return {} if library is dnn else {"out": library.empty(shape, dtype=library.float32)}


_PRODUCTS = [  # m, n, k, storage of both operands: "t" is stored transposed
    *((size, size, size, "nn") for size in (64, 256, 512, 1024, 2048)),
    (128, 512, 784, "nt"),  # forward of a layer
    (512, 784, 128, "tn"),  # gradient of its weight
    (64, 10, 512, "nt"),  # a classifier
    (1760, 32, 1760, "nn"),  # DeepBench
    (35, 700, 2048, "nn"),  # DeepBench
    (128, 4096, 9216, "nt"),  # AlexNet, fc6
]


def _product(m: int, n: int, k: int, layout: str, library: Any) -> Call:
    a = _normal(m, k) if layout[0] == "n" else _normal(k, m)
    b = _normal(k, n, seed=1) if layout[1] == "n" else _normal(n, k, seed=1)
    first, second = _given(library, a), _given(library, b)
    first, second = first if layout[0] == "n" else first.T, second if layout[1] == "n" else second.T
    return partial(library.matmul, first, second, **_out(library, m, n))


def gemm() -> Iterator[Row]:
    for m, n, k, layout in _PRODUCTS:
        yield Row(f"{m}x{n}x{k} {layout}", 2.0 * m * n * k, "GF/s", _SUM, partial(_product, m, n, k, layout))


_SIZES = {"64 K": 1 << 16, "16 M": 1 << 24}  # elements: in cache, and out of it


def _map(name: str, operands: int, n: int, library: Any) -> Call:
    tensors = [_given(library, np.abs(_normal(n, seed=seed))) for seed in range(operands)]
    return partial(getattr(library, name), *tensors, **_out(library, n))


def elementwise() -> Iterator[Row]:
    for size, n in _SIZES.items():
        for name, operands in (("add", 2), ("maximum", 2), ("exp", 1), ("log1p", 1)):
            yield Row(f"{name} {size}", 4.0 * n * (operands + 1), "GB/s", _MAP, partial(_map, name, operands, n))


def _activation(name: str, n: int, library: Any) -> Call | None:
    x = _given(library, _normal(n))
    if library is np:
        function = getattr(_bench_numpy, name, None)
        return function and partial(function, x, np.empty(n, np.float32))
    if library is dnn or name in ("gelu", "silu"):  # PyTorch's take no `out`
        return partial(getattr(library.nn.functional, name), x)
    if name == "relu":  # nor does this, but another name of it
        return partial(library.clamp_min, x, 0, **_out(library, n))
    return partial(getattr(library, name), x, **_out(library, n))


def _activation_gradient(name: str, n: int, library: Any) -> Call | None:
    x, dy = _given(library, _normal(n)), _given(library, _normal(n, seed=1))
    if library is np:
        if name not in _bench_numpy.GRADIENTS:
            return None
        forward, backward = getattr(_bench_numpy, name), _bench_numpy.GRADIENTS[name]
        return lambda: backward(dy, forward(x))
    x.requires_grad_()
    function = getattr(library.nn.functional, name)

    def call() -> Any:
        x.grad = None
        function(x).backward(dy)
        return x.grad

    return call


def activation() -> Iterator[Row]:
    for size, n in _SIZES.items():
        for name in ("relu", "tanh", "sigmoid", "gelu", "silu"):
            yield Row(f"{name} {size}", 8.0 * n, "GB/s", _MAP, partial(_activation, name, n))
    for name in ("relu", "tanh", "sigmoid", "gelu"):
        n = _SIZES["64 K"]
        yield Row(f"{name} 64 K fwd+bwd", 16.0 * n, "GB/s", _MAP, partial(_activation_gradient, name, n))


def _reduction(name: str, dims: tuple[int, ...], side: int, library: Any) -> Call:
    x = _given(library, np.abs(_normal(side, side)))  # sums of N(0, 1) would cancel, and their errors tell nothing
    return partial(getattr(x, name), *dims)


def reduce() -> Iterator[Row]:
    for side in (256, 4096):
        for name, dims in (("sum", ()), ("max", ()), ("sum", (0,)), ("sum", (1,)), ("argmax", (1,))):
            label = f"{name}({', '.join(map(str, dims))}) {side}x{side}"
            yield Row(label, 4.0 * side * side, "GB/s", _SUM, partial(_reduction, name, dims, side))


def _softmax(name: str, shape: tuple[int, int], library: Any) -> Call:
    return partial(getattr(_functions(library), name), _given(library, _normal(*shape)), 1)


_LOGITS = ((128, 10), (128, 1000), (640, 10000))


def softmax() -> Iterator[Row]:
    for name in ("softmax", "log_softmax"):
        for rows, columns in _LOGITS:
            yield Row(f"{name} {rows}x{columns}", 8.0 * rows * columns, "GB/s", _MAP, partial(_softmax, name, (rows, columns)))


def _loss(name: str, shape: tuple[int, int], library: Any) -> Call:
    random = np.random.default_rng(shape)
    classes = name == "cross_entropy"
    target = _given(library, random.integers(0, shape[1], shape[0]) if classes else random.random(shape, dtype=np.float32))
    x, function = _given(library, _normal(*shape)), getattr(_functions(library), name)
    if library is np:
        return lambda: function(x, target)[1]
    x.requires_grad_()

    def call() -> Any:
        x.grad = None
        function(x, target).backward()
        return x.grad

    return call


def loss() -> Iterator[Row]:
    pairs = ((128, 784), (512, 4096))
    for short, name, shapes, moved in (
        ("cross_entropy", "cross_entropy", _LOGITS, 8.0),
        ("mse", "mse_loss", pairs, 12.0),
        ("bce_with_logits", "binary_cross_entropy_with_logits", pairs, 12.0),
    ):
        for rows, columns in shapes:
            label = f"{short} {rows}x{columns} fwd+bwd"
            yield Row(label, moved * rows * columns, "GB/s", _SUM, partial(_loss, name, (rows, columns)))


_LR = 1e-3


def _optimizer_of(library: Any, name: str, parameters: Any, **settings: float) -> Any:
    """Return an optimizer; PyTorch's in its fastest form, which old versions have on GPUs only."""
    kind = getattr(library.optim, name)
    if library is dnn:
        return kind(parameters, lr=_LR, **settings)
    try:
        return kind(parameters, lr=_LR, **settings, fused=True)
    except RuntimeError:
        return kind(parameters, lr=_LR, **settings)


def _update(name: str, settings: dict[str, float], lengths: list[int], library: Any) -> Call:
    values = [_normal(length, seed=seed) for seed, length in enumerate(lengths)]
    gradients = [_normal(length, seed=1000 + seed) for seed, length in enumerate(lengths)]
    if library is np:
        by_hand = getattr(_bench_numpy, name)(values, _LR, **settings)

        def numpy_call() -> Any:
            by_hand.step(gradients)
            return values

        return numpy_call
    parameters = [library.tensor(value).requires_grad_() for value in values]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = library.tensor(gradient)
    optimizer = _optimizer_of(library, name, parameters, **settings)

    def call() -> Any:
        optimizer.step()
        return parameters

    return call


def optim() -> Iterator[Row]:
    sizes = {"0.1 M in 8": [12_500] * 8, "0.67 M in 6": [401_408, 512, 262_144, 512, 5120, 10], "10 M in 64": [156_250] * 64}
    for size, lengths in sizes.items():
        for name, settings, moved in (("SGD", {"momentum": 0.9}, 20.0), ("Adam", dict[str, float](), 28.0)):
            yield Row(f"{name} {size}", moved * sum(lengths), "GB/s", _MAP, partial(_update, name, settings, lengths))


def _training_step(sizes: tuple[int, ...], batch: int, loss: str, captured: bool, library: Any) -> Call:
    weights = [_normal(outputs, inputs) / np.float32(inputs**0.5) for inputs, outputs in pairwise(sizes)]
    x = _normal(batch, sizes[0])
    target = x if loss == "mse_loss" else np.random.default_rng(batch).integers(0, sizes[-1], batch)
    if library is np:
        biases = [np.zeros(outputs, np.float32) for outputs in sizes[1:]]
        adam = partial(_bench_numpy.Adam, lr=_LR)
        return partial(_bench_numpy.Perceptron(list(weights), biases, getattr(_bench_numpy, loss), adam).step, x, target)
    layers: list[Any] = []
    for weight in weights:
        layer = library.nn.Linear(weight.shape[1], weight.shape[0])
        with library.no_grad():
            layer.weight.copy_(library.from_numpy(weight))
            layer.bias.zero_()
        layers += [layer, library.nn.ReLU()]
    model = library.nn.Sequential(*layers[:-1])
    optimizer, loss_of = _optimizer_of(library, "Adam", model.parameters()), getattr(library.nn.functional, loss)

    def step(x: Any, target: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(model(x), target)
        loss.backward()
        optimizer.step()
        return loss

    run = dnn.capture(step) if captured and library is dnn else step
    return partial(run, library.from_numpy(x), library.from_numpy(target))


def train() -> Iterator[Row]:
    for sizes, batch, loss in (
        ((64, 32, 10), 32, "cross_entropy"),
        ((784, 128, 10), 128, "cross_entropy"),
        ((784, 512, 512, 10), 128, "cross_entropy"),
        ((784, 256, 32, 256, 784), 128, "mse_loss"),
    ):
        products = [inputs * outputs for inputs, outputs in pairwise(sizes)]
        work = 2.0 * batch * (3 * sum(products) - products[0])  # the first layer makes no gradient of its input
        for form in ("eager", "captured"):
            label = f"{'-'.join(map(str, sizes))}, {batch}, {form}"
            yield Row(label, work, "GF/s", _SUM, partial(_training_step, sizes, batch, loss, form == "captured"))


def _in_layouts(make: Callable[[str, Any], Call], library: Any) -> Call:
    if library is dnn or library is np:
        return make(_bench_images.LAYOUTS[library is dnn], library)
    return _bench_images.better_layout(lambda layout: make(layout, library))


def conv() -> Iterator[Row]:
    for shape in CONVOLUTIONS:
        for direction in shape.directions:
            make = partial(_bench_images.convolution, shape, direction)
            yield Row(f"{shape.id} {shape.name} {direction}", shape.flops, "GF/s", 1e-4, partial(_in_layouts, make))


def pool() -> Iterator[Row]:
    for shape in POOLS:
        sides = f"{shape.size}x{shape.size} s{shape.stride} p{shape.pad} {shape.n}x{shape.c}x{shape.h}"
        moved = 8.0 * (elements(shape.x) + elements(shape.y))
        yield Row(f"{shape.kind} {sides} fwd+bwd", moved, "GB/s", _MAP, partial(_in_layouts, partial(_bench_images.pool, shape)))


def norm() -> Iterator[Row]:
    for shape in (*BATCH_NORMS, *LAYER_NORMS):
        label = f"{'batch' if len(shape) == 4 else 'layer'} {'x'.join(map(str, shape))} fwd+bwd"
        yield Row(label, 20.0 * elements(shape), "GB/s", _SUM, partial(_in_layouts, partial(_bench_images.norm, shape)))


def lstm() -> Iterator[Row]:
    for shape in RECURRENCES:
        for direction in (FORWARD, "fwd+bwd"):
            call = partial(_bench_recurrent.recurrence, shape, direction)
            yield Row(f"{shape.name} {direction}", shape.flops(direction), "GF/s", 1e-4, call)


def _tiny_calls(library: Any) -> dict[str, Call]:
    """Return calls on four elements and on a layer of 64 by 32, by name."""
    x, z = _given(library, np.ones(4, np.float32)), _given(library, np.full(4, 2, np.float32))
    shared: dict[str, Call] = {
        "add": lambda: x + z,
        "mul by a number": lambda: x * 2.0,
        "sum": lambda: x.sum(),
        "x[1:3]": lambda: x[1:3],
        "reshape": lambda: x.reshape(2, 2),
        "item": lambda: x[0].item(),
    }
    batch, weight = _given(library, np.ones((1, 64), np.float32)), _given(library, np.ones((32, 64), np.float32))
    bias, zero = _given(library, np.ones(32, np.float32)), np.float32(0)
    if library is np:
        return {**shared, "relu": lambda: np.maximum(x, zero), "linear 1 x 64 -> 32": lambda: batch @ weight.T + bias}
    g, linear = library.ones(4).requires_grad_(), library.nn.functional.linear

    def backward() -> Any:
        g.grad = None
        (g * z).sum().backward()
        return g.grad

    return {
        **shared,
        "relu": lambda: library.relu(x),
        "linear 1 x 64 -> 32": lambda: linear(batch, weight, bias),
        "add, gradient recorded": lambda: g + z,
        "(g * z).sum().backward()": backward,
    }


def _tiny(name: str, library: Any) -> Call | None:
    return _tiny_calls(library).get(name)


def overhead() -> Iterator[Row]:
    for name in _tiny_calls(dnn):
        yield Row(name, 0, "", _MAP, partial(_tiny, name))
