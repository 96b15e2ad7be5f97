"""One case per kernel of kernels.def: a call through the public API that launches it, large enough for several tasks.

A case returns arrays whose bits depend on the kernel alone; `exact` says whether every table must give the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import dnncore as dnn
import numpy as np
from activation_cases import CASES
from cases import BINARY, REDUCTIONS, UNARY, normals, numbers, tensor
from dnncore import nn


@dataclass(frozen=True)
class KernelCase:
    run: Callable[[], list[np.ndarray]]
    exact: bool  # the same bits from every table; else within rounding of the reference


def _unit(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, count]).random(count, dtype=np.float32)


def _gemm() -> list[np.ndarray]:
    a, b = tensor(normals(301, 517)), tensor(normals(517, 263))
    square = tensor(normals(3, 130, 70))
    deep = tensor(normals(20, 30000))
    products = [a @ b, b.t() @ a.t(), square.transpose(1, 2) @ square, deep @ deep.t(), a @ b[:, 0], a[:1] @ b]
    whole = (a.round(), b.round())  # one right answer in the halves too
    halves = [(whole[0].to(kind) @ whole[1].to(kind)).to(dnn.float32) for kind in (dnn.bfloat16, dnn.float16)]
    return [numbers(y) for y in (*products, a.to(dnn.float64) @ b.to(dnn.float64), *halves)]


def _gemm_pack() -> list[np.ndarray]:
    layer = nn.Linear(300, 200)
    with dnn.no_grad():
        layer.weight.copy_(tensor(normals(200, 300)))
        layer.bias.copy_(tensor(normals(200)))
    x = tensor(normals(150, 300)).requires_grad_()
    outputs = [layer(x) for _ in range(3)]  # the weight is packed when it is used again
    outputs[-1].sum().backward()
    return [numbers(y) for y in (*outputs, x.grad, layer.weight.grad)]


def _unary() -> list[np.ndarray]:
    x = tensor(np.abs(normals(300_001)) + 0.1)
    whole = tensor(np.arange(300_001))
    return [numbers(getattr(dnn, name)(whole if name == "bitwise_not" else x)) for name in UNARY]


def _binary() -> list[np.ndarray]:
    x, z = tensor(np.abs(normals(300_001)) + 0.1), tensor(np.abs(normals(300_001, seed=1)) + 0.1)
    i, j = tensor(np.arange(300_001)), tensor(np.arange(300_001) % 1000)
    found = []
    for name, op in BINARY.items():
        if op.through:
            leaf = tensor(normals(300_001)).requires_grad_()
            getattr(dnn, op.through)(leaf).sum().backward()
            found.append(leaf.grad)
        else:
            found.append(getattr(dnn, name)(i, j) if name.startswith("bitwise") else getattr(dnn, name)(x, z))
    found.append(tensor(normals(700, 500)) * tensor(normals(500)))
    return [numbers(y) for y in found]


def _reduce() -> list[np.ndarray]:
    x = tensor(normals(1000, 701))
    found = []
    for name in REDUCTIONS:
        values = x > 0 if name in ("any", "all") else x
        values = 1 + 0.001 * x if name == "prod" else values
        whole = getattr(dnn, name)(values)
        by_dim = [getattr(dnn, name)(values, dim) for dim in (0, 1)]
        found += [whole, *(getattr(y, "values", y) if name in ("max", "min") else y for y in by_dim)]
    return [numbers(y) for y in found]


def _where() -> list[np.ndarray]:
    x, z = tensor(normals(700, 500)), tensor(normals(500))
    return [numbers(dnn.where(x > z, x, z))]


def _copy() -> list[np.ndarray]:
    x = tensor(normals(701, 503) * 100)
    kinds = (dnn.float64, dnn.bfloat16, dnn.float16, dnn.int64, dnn.int32, dnn.bool)
    return [numbers(y) for y in (x.t().contiguous(), x[::2, ::3].clone(), *(x.to(kind) for kind in kinds))]


def _fill() -> list[np.ndarray]:
    x = dnn.zeros(701, 503)
    x[:, 1::2] = 3.5
    return [numbers(y) for y in (dnn.full((300_001,), 2.5), dnn.ones(300_001, dtype=dnn.int64), x)]


def _range() -> list[np.ndarray]:
    return [numbers(y) for y in (dnn.arange(300_001), dnn.arange(0.5, 1000.0, 0.01), dnn.linspace(-1, 1, 100_001))]


def _positions(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(count).integers(-size, size, count)


def _gather() -> list[np.ndarray]:
    x, i, j = tensor(normals(1000, 70)), tensor(_positions(5000, 1000)), tensor(_positions(5000, 70))
    return [numbers(y) for y in (x[i], x[i, j], x[:, j])]


def _scatter() -> list[np.ndarray]:
    x = tensor(normals(1000, 70)).requires_grad_()
    i = tensor(_positions(5000, 1000))
    (x[i] * tensor(normals(5000, 70, seed=1))).sum().backward()
    y = dnn.zeros(1000, 70)
    y[i[:700]] = tensor(normals(700, 70))
    return [numbers(x.grad), numbers(y)]


def _nonzero() -> list[np.ndarray]:
    x = tensor(normals(1000, 703))
    return [numbers(y) for y in (x[x > 0.5], (x > 1).nonzero())]


def _cross_entropy() -> list[np.ndarray]:
    x = tensor(normals(600, 301)).requires_grad_()
    loss = nn.functional.cross_entropy(x, tensor(_positions(600, 301) % 301))
    loss.backward()
    return [numbers(loss), numbers(x.grad)]


def _optimizer() -> list[np.ndarray]:
    found = []
    kinds = ("SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta", "Rprop", "ASGD")
    for kind in kinds:
        parameters = [nn.Parameter(tensor(normals(n, 11))) for n in (1, 1000, 20_000)]
        optimizer = getattr(dnn.optim, kind)(parameters, **({"momentum": 0.9, "weight_decay": 0.01} if kind == "SGD" else {}))
        for _ in range(3):
            for parameter in parameters:
                parameter.grad = parameter.detach() * 2
            optimizer.step()
        found += [numbers(parameter) for parameter in parameters]
    return found


def _softmax() -> list[np.ndarray]:
    rows, columns = tensor(normals(300, 301)), tensor(normals(3, 40, 701))
    found = [function(x, 1) for x in (rows, columns, rows[:, :7]) for function in (dnn.softmax, dnn.log_softmax, dnn.logsumexp)]
    return [numbers(y) for y in found]


def _softmax_backward() -> list[np.ndarray]:
    found = []
    for shape in ((300, 301), (3, 40, 701)):
        for function in (dnn.softmax, dnn.log_softmax):
            x = tensor(normals(*shape)).requires_grad_()
            function(x, 1).backward(tensor(normals(*shape, seed=1)))
            found.append(numbers(x.grad))
    return found


def _pointwise_loss() -> list[np.ndarray]:
    x, t = tensor(0.1 + 0.8 * _unit(100_001)), tensor(_unit(100_001, seed=1))
    kinds = [dnn._core._pointwise_loss(kind, x, t, 0.5, how) for kind in dnn._core._loss_names() for how in ("mean", "none")]
    return [numbers(y) for y in kinds]


def _pointwise_loss_backward() -> list[np.ndarray]:
    found = []
    for kind in dnn._core._loss_names():
        x = tensor(0.1 + 0.8 * _unit(100_001)).requires_grad_()
        dnn._core._pointwise_loss(kind, x, tensor(_unit(100_001, seed=1)), 0.5, "sum").backward()
        found.append(numbers(x.grad))
    return found


def _random_numbers() -> list[np.ndarray]:
    dnn.manual_seed(5)
    kinds = (dnn.rand(100_001), dnn.randn(100_001), dnn.randint(0, 1000, (100_001,)), dnn.randperm(10_001))
    return [numbers(y) for y in kinds]


def _activation() -> list[np.ndarray]:
    found = []
    for case in CASES.values():
        leaf = tensor(normals(300_001) * 2).requires_grad_()
        y = case.call(leaf)
        y.backward(tensor(normals(300_001, seed=1)))
        found += [y, leaf.grad]
    return [numbers(y) for y in found]


def _dropout() -> list[np.ndarray]:
    dnn.manual_seed(6)
    leaf = tensor(normals(300_001)).requires_grad_()
    y = nn.functional.dropout(leaf, 0.2)
    y.backward(tensor(normals(300_001, seed=1)))
    return [numbers(y), numbers(leaf.grad)]


def _along(count: int, width: int, size: int) -> dnn.Tensor:
    return tensor(np.random.default_rng([count, width]).integers(0, size, (count, width)))


def _gather_dim() -> list[np.ndarray]:
    x = tensor(normals(300, 700))
    return [numbers(y) for y in (x.gather(0, _along(900, 700, 300)), x.gather(1, _along(300, 500, 700)))]


def _scatter_dim() -> list[np.ndarray]:
    x, src, index = tensor(normals(300, 700)), tensor(normals(900, 700, seed=1).round()), _along(900, 700, 300)
    reduced = [x.round().scatter_reduce(0, index, src, how) for how in ("sum", "amax", "amin")]
    return [numbers(y) for y in (x.scatter(0, index, src), *reduced, x.t().scatter_add(1, index.t(), src.t()))]


def _sort() -> list[np.ndarray]:
    x, y = tensor(normals(200_003)), tensor(normals(300, 701))
    return [numbers(part) for part in (*x.sort(), *y.sort(0, True), *y.to(dnn.float64).sort())]


def _topk() -> list[np.ndarray]:
    x, y = tensor(normals(200_003)), tensor(normals(300, 701))
    return [numbers(part) for part in (*x.topk(50), *y.topk(7, 0, False), *y.to(dnn.float64).topk(9))]


def _cumulate() -> list[np.ndarray]:
    x, y = tensor(normals(100_003)), tensor(normals(300, 701))
    near_one = 1 + y / 100
    found = (y.cumsum(0), y.cumsum(1), near_one.cumprod(1), y.logcumsumexp(1), *y.cummax(0), *y.cummin(1), (x > 0).cumsum(0))
    return [numbers(part) for part in found]


# Input, weight, and the settings after it: many channels, few, groups, depthwise, one dimension and three, no padding and much,
# pixels by themselves.
CONVOLUTIONS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, object]]] = [
    ((3, 24, 17, 19), (40, 24, 3, 3), {"padding": 1}),
    ((2, 3, 33, 31), (16, 3, 7, 7), {"stride": 2, "padding": 3}),
    ((5, 1, 28, 28), (6, 1, 5, 5), {}),
    ((2, 12, 9, 11), (18, 4, 3, 2), {"groups": 3, "dilation": 2}),
    ((2, 20, 12, 12), (20, 1, 3, 3), {"groups": 20, "padding": 1}),
    ((3, 7, 200), (9, 7, 5), {"stride": 3, "padding": 4}),
    ((2, 4, 6, 7, 8), (5, 4, 3, 3, 3), {"padding": 1}),
    ((2, 16, 15, 15), (24, 16, 1, 1), {"stride": 2}),
    ((3, 96, 21, 20), (20, 96, 1, 1), {}),
    ((2, 32, 9, 9), (7, 32, 1, 1), {}),
]


def _convolutions() -> Iterator[tuple[dnn.Tensor, dnn.Tensor, dnn.Tensor, dnn.Tensor]]:
    for seed, (x_shape, w_shape, settings) in enumerate(CONVOLUTIONS):
        x, w, b = (tensor(normals(*shape, seed=seed)).requires_grad_() for shape in (x_shape, w_shape, w_shape[:1]))
        function = getattr(nn.functional, f"conv{len(x_shape) - 2}d")
        yield x, w, b, function(x, w, b, **settings)


def _conv_forward() -> list[np.ndarray]:
    return [numbers(y) for *_, y in _convolutions()]


def _conv_backward_data() -> list[np.ndarray]:
    found = []
    for x, _, _, y in _convolutions():
        y.backward(tensor(normals(*y.shape, seed=1)), inputs=[x])
        found.append(numbers(x.grad))
    return found


def _conv_backward_weight() -> list[np.ndarray]:
    found = []
    for _, w, b, y in _convolutions():
        y.backward(tensor(normals(*y.shape, seed=1)), inputs=[w, b])
        found += [numbers(w.grad), numbers(b.grad)]
    return found


def _pooled(function: Callable[..., dnn.Tensor]) -> list[np.ndarray]:
    found = []
    for shape in ((6, 70, 41, 37), (40, 3, 29, 31)):
        leaf = tensor(normals(*shape).round(1)).requires_grad_()
        y = function(leaf)
        y.backward(tensor(normals(*y.shape, seed=1)))
        found += [y, leaf.grad]
    return [numbers(y) for y in found]


def _max_pool() -> list[np.ndarray]:
    return [
        *_pooled(lambda x: nn.functional.max_pool2d(x, 3, 2, 1)),
        *_pooled(lambda x: nn.functional.max_pool2d(x, 2)),
        *_pooled(lambda x: nn.functional.adaptive_max_pool2d(x, 9)),
    ]


def _max_pool_indices() -> list[np.ndarray]:
    x = tensor(normals(6, 70, 41, 37))
    return [numbers(nn.functional.max_pool2d(x, *sizes, return_indices=True)[1]) for sizes in ((3, 2, 1), (17, 3), (2,))]


def _avg_pool() -> list[np.ndarray]:
    windows = [(3, 2, 1), (3, 2, 1, False, False), (2,)]
    found = [part for sizes in windows for part in _pooled(lambda x, sizes=sizes: nn.functional.avg_pool2d(x, *sizes))]
    return found + _pooled(lambda x: nn.functional.adaptive_avg_pool2d(x, 9))


def _resample_table() -> list[np.ndarray]:
    """Of modes that copy elements."""
    return [
        part
        for mode in ("nearest", "nearest-exact")
        for part in _pooled(lambda x, mode=mode: nn.functional.interpolate(x, (60, 53), mode=mode))[::2]
    ]


def _resample() -> list[np.ndarray]:
    found = []
    for mode, antialias in (("bilinear", False), ("bicubic", False), ("bicubic", True)):
        for size in ((60, 53), (17, 23)):
            resize = partial(nn.functional.interpolate, size=size, mode=mode, antialias=antialias)
            found += _pooled(resize)
    return found


def _local_response() -> list[np.ndarray]:
    return [part for beta in (0.75, 0.5) for part in _pooled(nn.LocalResponseNorm(5, 0.1, beta, 2.0))]


def _grid_sample() -> list[np.ndarray]:
    found = []
    for mode in ("bilinear", "bicubic"):
        for shape in ((6, 70, 41, 37), (40, 3, 29, 31)):
            x = tensor(normals(*shape)).requires_grad_()
            grid = tensor(0.5 * normals(shape[0], 40, 33, 2)).requires_grad_()
            y = nn.functional.grid_sample(x, grid, mode)
            y.backward(tensor(normals(*y.shape, seed=1)))
            found += [y, x.grad, grid.grad]
    return [numbers(y) for y in found]


def _embedding() -> list[np.ndarray]:
    found = []
    ids, offsets = tensor(_positions(9000, 1000) % 1000), tensor(np.arange(0, 9000, 7))
    for mode in ("sum", "mean", "max"):
        w, factors = tensor(normals(1000, 70)).requires_grad_(), tensor(normals(9000)).requires_grad_()
        weights = {"per_sample_weights": factors} if mode == "sum" else {}
        y = nn.functional.embedding_bag(ids, w, offsets, mode=mode, **weights)
        (y * y).sum().backward()
        found += [y, w.grad, *([factors.grad] if weights else [])]
    w = tensor(normals(1000, 70)).requires_grad_()
    y = nn.functional.embedding(ids, w)
    y.backward(tensor(normals(9000, 70, seed=1)))
    return [numbers(y) for y in (*found, y, w.grad)]


def _norms() -> list[np.ndarray]:
    """Channels last and first, rows, groups, with results and gradients."""
    found = []
    layers = (
        nn.Sequential(nn.BatchNorm2d(35), nn.ReLU()),
        nn.GroupNorm(5, 35),
        nn.InstanceNorm2d(35, affine=True),
        nn.LayerNorm(67),
    )
    for layer in layers:
        for last in (False, True):
            x = tensor(normals(4, 35, 31, 67) + 3)
            x = (x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2) if last else x).detach().requires_grad_()
            y = layer(x)
            y.backward(tensor(normals(4, 35, 31, 67, seed=1)))
            found += [y, x.grad, *(parameter.grad for parameter in layer.parameters()), *layer.buffers()]
            layer.zero_grad()
    return [numbers(y) for y in found]


def _recurrent() -> list[np.ndarray]:
    """Every cell, two layers in two directions and a projection, with lengths: results and gradients.

    Halves for ReLU: sums are exact, so that no rounding decides on which side of 0 they are.
    """
    found = []
    layers = (
        nn.LSTM(30, 40, 2, bidirectional=True),
        nn.LSTM(30, 40, proj_size=20),
        nn.GRU(30, 40),
        nn.RNN(30, 40),
        nn.RNN(30, 40, nonlinearity="relu"),
    )
    for layer in layers:
        with dnn.no_grad():
            for i, parameter in enumerate(layer.parameters()):
                values = normals(*parameter.shape, seed=i)
                parameter.copy_(tensor(np.round(values) / 2 if layer.mode == "RNN_RELU" else values / 6))
        x = tensor(np.round(2 * normals(6, 37, 30)) / 2).requires_grad_()
        y, _ = layer(x, lengths=[6 - i % 3 for i in range(37)])
        y.backward(tensor(normals(*y.shape, seed=1)))
        found += [y, x.grad, *(parameter.grad for parameter in layer.parameters())]
    return [numbers(y) for y in found]


KERNELS = {
    "conv_forward": KernelCase(_conv_forward, exact=False),
    "conv_backward_data": KernelCase(_conv_backward_data, exact=False),
    "conv_backward_weight": KernelCase(_conv_backward_weight, exact=False),
    "gemm": KernelCase(_gemm, exact=False),
    "gemm_pack": KernelCase(_gemm_pack, exact=False),
    "max_pool": KernelCase(_max_pool, exact=False),
    "max_pool_backward": KernelCase(_max_pool, exact=False),
    "max_pool_indices": KernelCase(_max_pool_indices, exact=True),
    "avg_pool": KernelCase(_avg_pool, exact=False),
    "avg_pool_backward": KernelCase(_avg_pool, exact=False),
    "resample_table": KernelCase(_resample_table, exact=True),
    "resample": KernelCase(_resample, exact=False),
    "grid_sample": KernelCase(_grid_sample, exact=False),
    "grid_sample_backward_input": KernelCase(_grid_sample, exact=False),
    "grid_sample_backward_grid": KernelCase(_grid_sample, exact=False),
    "local_response": KernelCase(_local_response, exact=False),
    "local_response_backward": KernelCase(_local_response, exact=False),
    "unary": KernelCase(_unary, exact=False),
    "binary": KernelCase(_binary, exact=False),
    "where": KernelCase(_where, exact=True),
    "activation": KernelCase(_activation, exact=False),
    "dropout": KernelCase(_dropout, exact=True),
    "dropout_backward": KernelCase(_dropout, exact=True),
    "copy": KernelCase(_copy, exact=True),
    "fill": KernelCase(_fill, exact=True),
    "range": KernelCase(_range, exact=True),
    "reduce": KernelCase(_reduce, exact=False),
    "index_offsets": KernelCase(_gather, exact=True),
    "gather": KernelCase(_gather, exact=True),
    "scatter": KernelCase(_scatter, exact=True),
    "nonzero": KernelCase(_nonzero, exact=True),
    "embedding": KernelCase(_embedding, exact=False),
    "embedding_backward": KernelCase(_embedding, exact=False),
    "embedding_backward_factors": KernelCase(_embedding, exact=False),
    "gather_dim": KernelCase(_gather_dim, exact=True),
    "scatter_dim": KernelCase(_scatter_dim, exact=False),
    "sort": KernelCase(_sort, exact=True),
    "topk": KernelCase(_topk, exact=True),
    "cumulate": KernelCase(_cumulate, exact=False),
    "cross_entropy": KernelCase(_cross_entropy, exact=False),
    "optimizer": KernelCase(_optimizer, exact=False),
    "norm": KernelCase(_norms, exact=False),
    "norm_backward": KernelCase(_norms, exact=False),
    "softmax": KernelCase(_softmax, exact=False),
    "softmax_backward": KernelCase(_softmax_backward, exact=False),
    "pointwise_loss": KernelCase(_pointwise_loss, exact=False),
    "pointwise_loss_backward": KernelCase(_pointwise_loss_backward, exact=False),
    "recurrent_forward": KernelCase(_recurrent, exact=False),
    "recurrent_backward": KernelCase(_recurrent, exact=False),
    "random": KernelCase(_random_numbers, exact=True),
}
