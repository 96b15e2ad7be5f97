"""Data sets and minibatches."""

from dnncore.data.digits import load_digits
from dnncore.data.minibatches import batches

__all__ = ["batches", "load_digits"]
