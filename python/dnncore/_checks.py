"""Checks of arguments that several modules share."""

from __future__ import annotations

from dnncore._core import Tensor


def check_tensors(op: str, **tensors: object) -> None:
    """Raise TypeError that names the first argument that is not a tensor."""
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{op}: expected a Tensor as {name}, got {type(value).__name__}")
