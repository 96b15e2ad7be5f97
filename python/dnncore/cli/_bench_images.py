"""Calls of convolutions, pooling and normalisation for one library at a time, in either layout of memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import dnncore as dnn
from dnncore.cli import _bench_numpy_images
from dnncore.cli._bench_shapes import BACKWARD_DATA, FORWARD, Convolution, Pool
from dnncore.cli._bench_timing import Call, seconds_of

LAYOUTS = ("NCHW", "channels-last")
Array = NDArray[np.float32]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([*shape, seed]).standard_normal(shape, dtype=np.float32)


def tensor(library: Any, array: Array, layout: str = "channels-last") -> Any:
    """Return a tensor of the shape of `array`; in channels-last order each pixel's channels are neighbours."""
    if array.ndim < 4 or layout == "NCHW":
        return library.from_numpy(array)
    return library.from_numpy(np.ascontiguousarray(array.transpose(0, 2, 3, 1))).permute(0, 3, 1, 2)


def better_layout(make: Callable[[str], Call]) -> Call:
    """Return the call of the layout that is faster when tried."""
    calls = [make(layout) for layout in LAYOUTS]
    return min(calls, key=lambda call: seconds_of(call, 3))


def convolution_operands(shape: Convolution) -> list[Array]:
    """Return the input, weight, bias and gradient of the output."""
    scale = np.float32((shape.c * shape.r * shape.s) ** -0.5)
    return [normal(*shape.x), normal(*shape.weight) * scale, normal(shape.k), normal(*shape.y, seed=1)]


def convolution(shape: Convolution, direction: str, layout: str, library: Any) -> Call:
    """Return a call of one direction; that of the weights gives their gradient and the bias's."""
    operands = convolution_operands(shape)
    if library is np:
        return _numpy_convolution(shape, direction, operands)
    x, weight, bias, dy = (tensor(library, operand, layout) for operand in operands)
    if library is dnn:  # its own order in either layout: converted in every call, they were 7 % of ResNet-18's last stage
        weight = tensor(dnn, operands[1], "NCHW")
    forward = partial(library.nn.functional.conv2d, x, weight, bias, shape.stride, shape.pad)
    if direction == FORWARD:
        return forward
    wanted = [x] if direction == BACKWARD_DATA else [weight, bias]
    if library is dnn:
        for leaf in wanted:
            leaf.requires_grad_()
        y = forward()
        return lambda: [*dnn.autograd.grad(y, wanted, dy, retain_graph=True)]
    strides, pads, mask = [shape.stride] * 2, [shape.pad] * 2, [direction == BACKWARD_DATA, *[direction != BACKWARD_DATA] * 2]
    backward = library.ops.aten.convolution_backward
    call = partial(backward, dy, x, weight, [shape.k], strides, pads, [1, 1], False, [0, 0], 1, mask)
    return lambda: [gradient for gradient in call() if gradient is not None]


def _numpy_convolution(shape: Convolution, direction: str, operands: list[Array]) -> Call:
    x, weight, bias, dy = operands
    if direction == FORWARD:
        return partial(_bench_numpy_images.conv2d, x, weight, bias, shape.stride, shape.pad)
    if direction == BACKWARD_DATA:
        backward = _bench_numpy_images.conv2d_backward_data
        return lambda: [backward(dy, weight, (shape.h, shape.w), shape.stride, shape.pad)]
    return lambda: [*_bench_numpy_images.conv2d_backward_weights(x, dy, (shape.r, shape.s), shape.stride, shape.pad)]


def _both_ways(apply: Callable[[], Any], leaves: list[Any], dy: Any) -> Call:
    """Return a call of a function and its gradient, which it returns."""

    def call() -> list[Any]:
        for leaf in leaves:
            leaf.grad = None
        apply().backward(dy)
        return [leaf.grad for leaf in leaves]

    return call


def pool(shape: Pool, layout: str, library: Any) -> Call:
    """Return a call of a pooling and its gradient."""
    name, settings = f"{shape.kind}_pool2d", (shape.size, shape.stride, shape.pad)
    x, dy = normal(*shape.x), normal(*shape.y, seed=1)
    if library is np:
        backward = getattr(_bench_numpy_images, name)
        return lambda: [backward(x, *settings, dy)]
    leaf = tensor(library, x, layout).requires_grad_()
    apply = partial(getattr(library.nn.functional, name), leaf, *settings)
    return _both_ways(apply, [leaf], tensor(library, dy, layout))


def norm(shape: tuple[int, ...], layout: str, library: Any) -> Call:
    """Return a call of batch normalisation of images or layer normalisation of rows, and its gradients."""
    channels = shape[1]
    x, weight, bias, dy = normal(*shape), normal(channels), normal(channels, seed=1), normal(*shape, seed=1)
    if library is np:
        form = _bench_numpy_images.batch_norm if len(shape) == 4 else _bench_numpy_images.layer_norm
        return partial(form, x, weight, bias, dy)
    leaves = [tensor(library, operand, layout).requires_grad_() for operand in (x, weight, bias)]
    functional = library.nn.functional
    if len(shape) == 4:
        running = [library.zeros(channels), library.ones(channels)]
        apply = partial(functional.batch_norm, leaves[0], *running, *leaves[1:], True)
    else:
        apply = partial(functional.layer_norm, leaves[0], (channels,), *leaves[1:])
    return _both_ways(apply, leaves, tensor(library, dy, layout))
