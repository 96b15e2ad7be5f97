"""Calls of recurrent layers for one library at a time; sequences are time-major, as all of them like it best."""

from __future__ import annotations

from typing import Any

import numpy as np

import dnncore as dnn
from dnncore.cli import _bench_numpy_recurrent
from dnncore.cli._bench_images import Array, normal
from dnncore.cli._bench_shapes import FORWARD, GATES, Recurrence
from dnncore.cli._bench_timing import Call

Weights = list[tuple[Array, Array, Array, Array]]


def operands(shape: Recurrence) -> tuple[Array, Weights, Array]:
    """Return the input, the weights of all layers and the gradient of the output."""
    rows, scale = GATES[shape.cell] * shape.hidden, np.float32(shape.hidden**-0.5)
    weights = []
    for number in range(shape.layers):
        width = shape.hidden if number else shape.inputs
        each = (normal(rows, width), normal(rows, shape.hidden, seed=1 + number), normal(rows, seed=2), normal(rows, seed=3))
        weights.append(tuple(part * scale for part in each))
    dy = normal(shape.steps, shape.batch, shape.hidden, seed=1) / np.float32(shape.steps)
    return normal(shape.steps, shape.batch, shape.inputs), weights, dy


def recurrence(shape: Recurrence, direction: str, library: Any) -> Call | None:
    """Return a call that gives the outputs, or the gradients of the input and all weights for a gradient of the outputs."""
    x, weights, dy = operands(shape)
    if library is np:
        if shape.cell != "LSTM" or shape.varied:
            return None
        if direction == FORWARD:
            return lambda: _bench_numpy_recurrent.lstm(x, weights)
        return lambda: _bench_numpy_recurrent.lstm_with_gradients(x, weights, dy)
    layer = getattr(library.nn, shape.cell)(shape.inputs, shape.hidden, shape.layers)
    with library.no_grad():
        for parameter, value in zip(layer.parameters(), [part for each in weights for part in each], strict=True):
            parameter.copy_(library.from_numpy(value))
    run = _runner(shape, layer, library)
    inputs, gradient = library.from_numpy(x), library.from_numpy(dy)
    leaves = [inputs, *layer.parameters()]

    def forward() -> Any:
        with library.no_grad():
            return run(inputs)

    def both() -> Any:
        inputs.requires_grad_()
        for leaf in leaves:
            leaf.grad = None
        run(inputs).backward(gradient)
        return [leaf.grad for leaf in leaves]

    return forward if direction == FORWARD else both


def _runner(shape: Recurrence, layer: Any, library: Any) -> Any:
    """Return what makes outputs of inputs; where lengths vary, in the best way the library has."""
    lengths = shape.lengths
    if lengths is None:
        return lambda x: layer(x)[0]
    if library is dnn:
        return lambda x: layer(x, lengths=lengths.tolist())[0]
    rnn = library.nn.utils.rnn

    def packed(x: Any) -> Any:
        y, _ = layer(rnn.pack_padded_sequence(x, library.from_numpy(lengths), enforce_sorted=False))
        return rnn.pad_packed_sequence(y, total_length=shape.steps)[0]

    return packed
