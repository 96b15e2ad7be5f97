"""Calls of recurrent layers for one library at a time; sequences are time-major, as all of them like it best."""

from __future__ import annotations

from typing import Any

import numpy as np

import dnncore as dnn
from dnncore.cli import _bench_numpy_recurrent
from dnncore.cli._bench_images import Array, normal
from dnncore.cli._bench_shapes import FORWARD, Recurrence
from dnncore.cli._bench_timing import Call

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def _weights(shape: Recurrence) -> list[tuple[Array, Array, Array, Array]]:
    rows, scale = GATES[shape.cell] * shape.hidden, np.float32(shape.hidden**-0.5)
    found = []
    for number in range(shape.layers):
        width = shape.hidden if number else shape.inputs
        each = (normal(rows, width), normal(rows, shape.hidden, seed=1 + number), normal(rows, seed=2), normal(rows, seed=3))
        found.append(tuple(part * scale for part in each))
    return found


def recurrence(shape: Recurrence, direction: str, library: Any) -> Call | None:
    """Return a call that gives the outputs, or the gradients of all weights for a gradient of the outputs."""
    x, weights = normal(shape.steps, shape.batch, shape.inputs), _weights(shape)
    dy = normal(shape.steps, shape.batch, shape.hidden, seed=1) / np.float32(shape.steps)
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
    parameters = [*layer.parameters()]

    def forward() -> Any:
        with library.no_grad():
            return run(inputs)

    def both() -> Any:
        for parameter in parameters:
            parameter.grad = None
        run(inputs).backward(gradient)
        return [parameter.grad for parameter in parameters]

    return forward if direction == FORWARD else both


def _runner(shape: Recurrence, layer: Any, library: Any) -> Any:
    """Return what makes outputs of inputs; where lengths vary, in the best way the library has."""
    if not shape.varied:
        return lambda x: layer(x)[0]
    lengths = np.random.default_rng(0).integers(1, shape.steps + 1, shape.batch)
    if library is dnn:
        return lambda x: layer(x, lengths=lengths.tolist())[0]
    rnn = library.nn.utils.rnn

    def packed(x: Any) -> Any:
        y, _ = layer(rnn.pack_padded_sequence(x, library.from_numpy(lengths), enforce_sorted=False))
        return rnn.pad_packed_sequence(y, total_length=shape.steps)[0]

    return packed
