"""The managed loop: `Model` trains, evaluates and predicts with a module; `History` is the record."""

from dnncore.model.history import History
from dnncore.model.model import Model

__all__ = ["History", "Model"]
