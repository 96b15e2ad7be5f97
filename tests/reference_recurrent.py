"""Recurrent layers in plain NumPy, one sequence and one step at a time: the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def step(cell: str, w: dict[str, Array], x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """One sequence, one step; `w` holds the parameters without the suffix of their layer."""
    zero = np.zeros(len(w["weight_ih"]))
    from_x, from_h = w["weight_ih"] @ x + w.get("bias_ih", zero), w["weight_hh"] @ h + w.get("bias_hh", zero)
    if cell == "GRU":
        (xr, xz, xn), (hr, hz, hn) = np.split(from_x, 3), np.split(from_h, 3)
        z, n = sigmoid(xz + hz), np.tanh(xn + sigmoid(xr + hr) * hn)
        return (1 - z) * n + z * h, c
    if cell == "LSTM":
        i, f, g, o = np.split(from_x + from_h, 4)
        p = w.get("weight_ch", np.zeros((3, len(c))))
        c = sigmoid(f + p[1] * c) * c + sigmoid(i + p[0] * c) * np.tanh(g)
        h = sigmoid(o + p[2] * c) * np.tanh(c)
        return w["weight_hr"] @ h if "weight_hr" in w else h, c
    return (np.tanh if cell == "tanh" else lambda v: np.maximum(v, 0))(from_x + from_h), c


def sequence(cell: str, w: dict[str, Array], x: Array, h: Array, c: Array, reverse: bool) -> tuple[Array, Array, Array]:
    """One sequence (T, features) through one layer in one direction: outputs and final states."""
    y = np.zeros((len(x), len(h)))
    for t in reversed(range(len(x))) if reverse else range(len(x)):
        h, c = step(cell, w, x[t], h, c)
        y[t] = h
    return y, h, c


def weights_of(layer: Any, suffix: str) -> dict[str, Array]:
    """The parameters of one layer and direction in float64, by their names without suffix."""
    named = {name: p.detach().numpy().astype(np.float64) for name, p in layer.named_parameters()}
    return {name.removesuffix(suffix): p for name, p in named.items() if name.endswith(suffix) and name[-1] == suffix[-1]}


def network(layer: Any, x: Array, h0: Array, c0: Array, lengths: list[int]) -> tuple[Array, Array, Array]:
    """All layers and directions over a batch (B, T, features), without dropout: (B, T, ...) and the final states."""
    cell = layer.mode.removeprefix("RNN_").lower() if layer.mode.startswith("RNN") else layer.mode
    directions = 1 + layer.bidirectional
    h_n, c_n = h0.copy(), c0.copy()
    y = np.zeros((*x.shape[:2], directions * h0.shape[2]))
    for b, length in enumerate(lengths):
        found = x[b, :length]
        for number in range(layer.num_layers):
            parts = []
            for d in range(directions):
                w = weights_of(layer, f"_l{number}" + ("_reverse" if d else ""))
                at = number * directions + d
                part, h_n[at, b], c_n[at, b] = sequence(cell, w, found, h0[at, b], c0[at, b], d == 1)
                parts.append(part)
            found = np.concatenate(parts, 1)
        y[b, :length] = found
    return y, h_n, c_n
