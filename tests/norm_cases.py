"""Layers whose results are in golden/norm.npz: a name, and what makes the layer from a namespace, dnncore's or PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

SHAPE = (2, 6, 3, 5)
LAYERS: dict[str, Callable[[Any], Any]] = {
    "batch": lambda m: m.BatchNorm2d(6),
    "batch, mean of all": lambda m: m.BatchNorm2d(6, momentum=None, eps=0.01),
    "batch, not affine": lambda m: m.BatchNorm2d(6, affine=False),
    "batch, relu": lambda m: m.Sequential(m.BatchNorm2d(6), m.ReLU()),
    "instance": lambda m: m.InstanceNorm2d(6, affine=True, track_running_stats=True, momentum=0.3),
    "group": lambda m: m.GroupNorm(3, 6),
    "layer": lambda m: m.LayerNorm((3, 5)),
    "layer, no bias": lambda m: m.LayerNorm(5, bias=False),
    "rms": lambda m: m.RMSNorm(5),
    "response": lambda m: m.LocalResponseNorm(4, 0.2, 0.6, 1.5),
}


def values(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape) + 0.5


def trace(layer: Any, as_tensor: Callable[[np.ndarray], Any], as_array: Callable[[Any], np.ndarray]) -> dict[str, np.ndarray]:
    """Two steps of training and one of evaluation: results, gradients, buffers."""
    for i, parameter in enumerate(layer.parameters()):
        parameter.detach().copy_(as_tensor(values(tuple(parameter.shape), i + 7)))
    found = {}
    for step in range(3):
        layer.train(step < 2)
        x = as_tensor(values(SHAPE, step)).requires_grad_()
        y = layer(x)
        y.backward(as_tensor(values(SHAPE, step + 20)))
        found |= {f"{step}/y": as_array(y), f"{step}/dx": as_array(x.grad)}
    found |= {f"grad/{i}": as_array(parameter.grad) for i, parameter in enumerate(layer.parameters())}
    return found | {f"buffer/{i}": as_array(buffer) for i, buffer in enumerate(layer.buffers())}
