"""Text of tensors in PyTorch's form: ``tensor([[1., 2.]], requires_grad=True)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from dnncore import Tensor

PRECISION = 4
THRESHOLD = 1000  # longer tensors are summarised
EDGE_ITEMS = 3
LINE_WIDTH = 80
_DEFAULT_DTYPES = ("float32", "int64", "bool")


def _shown(x: Tensor) -> np.ndarray:
    """Return the elements that will be printed, as an array; a summarised tensor keeps its corners only."""
    x = x.detach()
    if x.numel() > THRESHOLD:
        for dim, size in enumerate(x.shape):
            if size > 2 * EDGE_ITEMS + 1:  # one more, so that NumPy still writes the dots
                from dnncore._core import cat

                x = cat([x.narrow(dim, 0, EDGE_ITEMS + 1), x.narrow(dim, size - EDGE_ITEMS, EDGE_ITEMS)], dim)
    if x.dtype.is_floating_point:
        x = x.double()
    return x.cpu().numpy()


def _float_formatter(values: np.ndarray) -> Callable[[float], str]:
    """Choose one format for all: whole numbers as ``1.``, others with 4 digits, scientific when the range asks for it."""
    finite = np.abs(values[np.isfinite(values)])
    nonzero = finite[finite != 0]
    if np.all(finite == np.trunc(finite)):
        scientific = finite.size > 0 and finite.max() >= 1e8
        text = "{:.4e}" if scientific else "{:.0f}."
    elif nonzero.size and (nonzero.max() / nonzero.min() > 1000 or nonzero.max() > 1e8 or nonzero.min() < 1e-4):
        text = "{:.4e}"
    else:
        text = "{:.4f}"

    def form(value: float) -> str:
        return text.format(value) if np.isfinite(value) else str(float(value))

    return form


def _formatted(values: np.ndarray, summarise: bool) -> str:
    form = _float_formatter(values) if values.dtype.kind == "f" else str
    if values.ndim == 0:
        return form(values.item())
    width = max(len(form(value)) for value in values.ravel().tolist())
    threshold = 0 if summarise else values.size + 1

    def aligned(value: Any) -> str:
        return form(value).rjust(width)

    with np.printoptions(legacy=False):
        return np.array2string(
            values,
            separator=", ",
            prefix="tensor(",
            threshold=threshold,
            edgeitems=EDGE_ITEMS,
            max_line_width=LINE_WIDTH,
            formatter={"all": aligned},
        )


def format_tensor(x: Tensor) -> str:
    """Return the ``repr`` of a tensor: its elements, and what is not the default of dtype and gradient."""
    notes = []
    if x.numel() == 0:
        body = "[]"
        if x.ndim != 1:
            notes.append(f"size={tuple(x.shape)}")
    else:
        body = _formatted(_shown(x), x.numel() > THRESHOLD)
    name = x.dtype.name
    if name not in _DEFAULT_DTYPES or (x.numel() == 0 and name != "float32"):
        notes.append(f"dtype={x.dtype}")
    if x.is_cuda:
        notes.append(f"device='{x.device}'")
    if x.grad_fn is not None:
        notes.append(f"grad_fn={x.grad_fn!r}")
    elif x.requires_grad:
        notes.append("requires_grad=True")
    return "tensor(" + ", ".join([body, *notes]) + ")"
