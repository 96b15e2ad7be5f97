"""Recurrent layers that several test files run."""

from __future__ import annotations

import itertools
from typing import Any

import dnncore as dnn
import numpy as np
from cases import tensor
from dnncore import Tensor, nn

# Name and settings; those of PyTorch first.
TORCH_LAYERS: list[tuple[str, dict[str, Any]]] = [
    *itertools.product(
        ("LSTM", "GRU", "RNN"),
        (
            {},
            {"bias": False},
            {"num_layers": 3},
            {"bidirectional": True},
            {"num_layers": 2, "bidirectional": True, "batch_first": True},
            {"batch_first": True},
        ),
    ),
    ("RNN", {"nonlinearity": "relu"}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2, "bidirectional": True}),
    ("LSTM", {"proj_size": 3}),
    ("LSTM", {"proj_size": 2, "num_layers": 2, "bidirectional": True, "bias": False}),
]
LAYERS = [
    *TORCH_LAYERS,
    ("LSTM", {"peephole": True}),
    ("LSTM", {"peephole": True, "batch_first": True, "bidirectional": True}),
    ("LSTM", {"peephole": True, "proj_size": 3, "num_layers": 2}),
]
CELLS = [
    *((name, settings) for name in ("LSTMCell", "GRUCell", "RNNCell") for settings in ({}, {"bias": False})),
    ("RNNCell", {"nonlinearity": "relu"}),
]


def name_of(name: str, settings: dict[str, Any]) -> str:
    return "-".join([name, *(f"{key}={value}" for key, value in settings.items())])


IDS = [name_of(*layer) for layer in LAYERS]
TORCH_IDS = [name_of(*layer) for layer in TORCH_LAYERS]


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def made(name: str, settings: dict[str, Any], sizes: tuple[int, int] = (5, 6), dtype: Any = dnn.float64) -> Any:
    dnn.manual_seed(1)
    return getattr(nn, name)(*sizes, dtype=dtype, **settings)


def states(layer: Any, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Initial states h0 and c0."""
    count = layer.num_layers * (1 + layer.bidirectional)
    return random(count, batch, layer.proj_size or layer.hidden_size, seed=2), random(count, batch, layer.hidden_size, seed=3)


def as_hx(layer: Any, h0: Any, c0: Any) -> Any:
    """The states as the layer takes them."""
    return (h0, c0) if layer.mode == "LSTM" else h0


def parts(result: Any) -> tuple[Any, ...]:
    """Output and states, flat."""
    y, state = result
    return (y, *state) if isinstance(state, tuple) else (y, state)


def laid(layer: Any, x: Any) -> Any:
    """A batch (B, T, ...) as the layer takes it, or its output as (B, T, ...)."""
    return x if layer.batch_first else x.swapaxes(0, 1) if isinstance(x, np.ndarray) else x.transpose(0, 1)


def run(layer: Any, x: np.ndarray, h0: np.ndarray, c0: np.ndarray, **options: Any) -> tuple[Tensor, ...]:
    """Of arrays (B, T, features), in the layer's dtype; y as (B, T, ...)."""
    dtype = layer.weight_ih_l0.dtype
    hx = as_hx(layer, tensor(h0).to(dtype), tensor(c0).to(dtype))
    y, *rest = parts(layer(tensor(np.ascontiguousarray(laid(layer, x))).to(dtype), hx, **options))
    return (laid(layer, y), *rest)


def leaves(layer: Any, batch: int, steps: int) -> list[Tensor]:
    """Input, states and parameters, all of which require grad."""
    x, (h0, c0) = laid(layer, random(batch, steps, layer.input_size)), states(layer, batch)
    given = [tensor(np.ascontiguousarray(x)), tensor(h0), *([tensor(c0)] if layer.mode == "LSTM" else [])]
    return [each.detach().requires_grad_() for each in (*given, *layer.parameters())]


def functional(layer: Any, *given: Tensor, lengths: Any = None) -> tuple[Tensor, ...]:
    """The layer as a function of its `leaves`."""
    x, h0, *rest = given
    c0 = rest.pop(0) if layer.mode == "LSTM" else None
    names = (name for name, _ in layer.named_parameters())
    own = dict(zip(names, rest, strict=True))
    weights = [None if name is None else own[name] for name in layer._names]
    settings = (layer.num_layers, layer.bidirectional, 0.0, layer.batch_first)
    found = dnn._core._recurrent(layer._layer, x, h0, c0, layer._cell, weights, *settings, lengths)
    return tuple(each for each in found if each is not None)
