"""What golden/make_recurrent_golden.py and the test of its file run: layers 3 -> 4 over three sequences of five steps."""

from __future__ import annotations

from typing import Any

import numpy as np

STEPS, BATCH = 5, 3
GOLDEN: list[tuple[str, dict[str, Any], list[int] | None]] = [
    *((name, {}, lengths) for name in ("LSTM", "GRU", "RNN") for lengths in (None, [2, 5, 1])),
    *((name, {"num_layers": 2, "bidirectional": True, "batch_first": True}, [3, 1, 5]) for name in ("LSTM", "GRU", "RNN")),
    ("RNN", {"nonlinearity": "relu", "bias": False}, None),
    ("GRU", {"bias": False}, None),
    ("LSTM", {"proj_size": 2, "num_layers": 2, "bidirectional": True}, [5, 2, 4]),
]


def key_of(name: str, settings: dict[str, Any], lengths: list[int] | None) -> str:
    return f"{name}/{settings}/{lengths}"


def waves(*shape: int, phase: float) -> np.ndarray:
    """Numbers that no generator needs to reproduce."""
    return np.sin(1.7 * np.arange(np.prod(shape)) + phase).reshape(shape)


def parameters(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    return {name: 0.8 * waves(*shape, phase=i) for i, (name, shape) in enumerate(shapes.items())}


def inputs(name: str, settings: dict[str, Any]) -> list[np.ndarray]:
    """Input, h0 and c0."""
    states = settings.get("num_layers", 1) * (1 + settings.get("bidirectional", False))
    x = (BATCH, STEPS, 3) if settings.get("batch_first") else (STEPS, BATCH, 3)
    shapes = x, (states, BATCH, settings.get("proj_size", 4)), (states, BATCH, 4)
    return [waves(*shape, phase=0.3 * i) for i, shape in enumerate(shapes)]
