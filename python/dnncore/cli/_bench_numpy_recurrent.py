"""The best vectorised NumPy form of an LSTM, (T, B, I), with its gradients: one product for all inputs, then a loop over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Weights = tuple[Array, Array, Array, Array]  # (4H, I), (4H, H), (4H,), (4H,) with the gates i, f, g, o


def _layer(x: Array, weights: Weights) -> tuple[Array, Array, Array]:
    """Return h (T + 1, B, H) and c from the zeros before the first step on, and the gates (T, B, 4H)."""
    w_ih, w_hh, b_ih, b_hh = weights
    steps, batch, _ = x.shape
    width = w_hh.shape[1]
    gates = (x.reshape(steps * batch, -1) @ w_ih.T + (b_ih + b_hh)).reshape(steps, batch, -1)
    h = np.zeros((steps + 1, batch, width), x.dtype)
    c = np.zeros_like(h)
    for t in range(steps):
        now = gates[t]
        now += h[t] @ w_hh.T
        np.tanh(now[:, 2 * width : 3 * width], out=now[:, 2 * width : 3 * width])
        for part in (now[:, : 2 * width], now[:, 3 * width :]):
            np.negative(part, out=part)
            np.exp(part, out=part)
            part += 1
            np.reciprocal(part, out=part)
        i, f, g, o = np.split(now, 4, 1)
        c[t + 1] = f * c[t] + i * g
        h[t + 1] = o * np.tanh(c[t + 1])
    return h, c, gates


def lstm(x: Array, layers: Sequence[Weights]) -> Array:
    """Return y (T, B, H)."""
    for weights in layers:
        x = _layer(x, weights)[0][1:]
    return x


def lstm_with_gradients(x: Array, layers: Sequence[Weights], dy: Array) -> list[Array]:
    """Return the gradients of x and of all weights, layer by layer."""
    inputs, kept = [x], []
    for weights in layers:
        kept.append(_layer(inputs[-1], weights))
        inputs.append(kept[-1][0][1:])
    found: list[Array] = []
    for number in reversed(range(len(layers))):
        w_ih, w_hh, *_ = layers[number]
        dgates = _layer_backward(dy, w_hh, *kept[number])
        flat = dgates.reshape(-1, dgates.shape[2])
        bias = flat.sum(0)
        before = kept[number][0][:-1].reshape(len(flat), -1)
        found = [flat.T @ inputs[number].reshape(len(flat), -1), flat.T @ before, bias, bias, *found]
        dy = (flat @ w_ih).reshape(*dgates.shape[:2], -1)
    return [dy, *found]


def _layer_backward(dy: Array, w_hh: Array, h: Array, c: Array, gates: Array) -> Array:
    """Return the gradient of the gates before their activation."""
    width = w_hh.shape[1]
    dgates = np.empty_like(gates)
    dh, dc = np.zeros_like(h[0]), np.zeros_like(c[0])
    for t in reversed(range(len(gates))):
        i, f, g, o = np.split(gates[t], 4, 1)
        dh += dy[t]
        squashed = np.tanh(c[t + 1])
        dc += dh * o * (1 - squashed * squashed)
        out = dgates[t]
        out[:, :width] = dc * g * i * (1 - i)
        out[:, width : 2 * width] = dc * c[t] * f * (1 - f)
        out[:, 2 * width : 3 * width] = dc * i * (1 - g * g)
        out[:, 3 * width :] = dh * squashed * o * (1 - o)
        dc *= f
        dh = out @ w_hh
    return dgates
