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


def checked_size(op: str, name: str, size: object, least: int = 0) -> int:
    """Return `size` if it is a whole number of at least `least`."""
    if isinstance(size, bool) or not isinstance(size, SupportsIndex):
        raise TypeError(f"{op}: expected {name} of type int, got {type(size).__name__}")
    number = operator.index(size)
    if number < least:
        raise ValueError(f"{op}: expected {name} of at least {least}, got {number}")
    return number


def check_at_least(op: str, least: int, **sizes: object) -> None:
    """Raise TypeError that names the first number that is not whole, ValueError the first below the least."""
    for name, size in sizes.items():
        checked_size(op, name, size, least)
