"""Checks of arguments that several modules share."""

from __future__ import annotations

import operator
from typing import SupportsIndex

from dnncore._core import Tensor


def check_tensors(op: str, **tensors: object) -> None:
    """Raise TypeError that names the first argument that is not a tensor."""
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{op}: expected a Tensor as {name}, got {type(value).__name__}")


def check_at_least(op: str, least: int, **sizes: object) -> None:
    """Raise TypeError that names the first number that is not whole, ValueError the first below the least."""
    for name, value in sizes.items():
        if not isinstance(value, SupportsIndex):
            raise TypeError(f"{op}: expected {name} of type int, got {type(value).__name__}")
        if operator.index(value) < least:
            raise ValueError(f"{op}: expected {name} of at least {least}, got {value}")
