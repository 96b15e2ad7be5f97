"""Samples put together into a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dnncore import _core
from dnncore._core import Tensor


def default_collate(samples: Sequence[Any]) -> Any:
    """Put samples together into a batch.

    Tensors, arrays and numbers become a tensor with a batch dimension in front. Tuples, named tuples, lists and mappings are put
    together entry by entry, strings and bytes become a list. Python floats become float32, the dtype of ``dnncore.tensor``
    (PyTorch: float64); NumPy numbers keep their dtype.

    Parameters
    ----------
    samples : sequence
        At least one sample, all of one form.

    Returns
    -------
    Tensor, tuple, list or dict
        The batch.

    Raises
    ------
    ValueError
        If shapes, lengths or keys differ.
    TypeError
        If a sample holds something else, or kinds differ.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data import default_collate
    >>> batch = default_collate([{"x": dnn.zeros(3), "y": 0}, {"x": dnn.ones(3), "y": 1}])
    >>> batch["x"].shape, batch["y"].tolist()
    ((2, 3), [0, 1])
    """
    if not samples:
        raise ValueError("default_collate: expected at least one sample, got none")
    return _collate(list(samples), "")


def _collate(values: list[Any], where: str) -> Any:
    first = values[0]
    if isinstance(first, (str, bytes)):
        return values
    if isinstance(first, Mapping):
        _check_same([sorted(map(str, value)) for value in _all_of(values, Mapping, where)], "keys", where)
        return {key: _collate([value[key] for value in values], f"{where}[{key!r}]") for key in first}
    if isinstance(first, (tuple, list)):
        _check_same([len(value) for value in _all_of(values, (tuple, list), where)], "lengths", where)
        entries = [_collate([value[i] for value in values], f"{where}[{i}]") for i in range(len(first))]
        return type(first)(*entries) if hasattr(first, "_fields") else type(first)(entries)
    if isinstance(first, Tensor):
        _check_same([tuple(value.shape) for value in _all_of(values, Tensor, where)], "shapes", where)
        return _core.stack(values)
    if isinstance(first, (np.ndarray, np.generic)):
        _check_same([value.shape for value in _all_of(values, (np.ndarray, np.generic), where)], "shapes", where)
        return _core.tensor(np.stack(values))
    if isinstance(first, (bool, int, float)):
        return _core.tensor(_all_of(values, (bool, int, float), where))
    if hasattr(first, "__dlpack__"):
        return _collate([_core.from_dlpack(value) for value in values], where)
    raise TypeError(
        f"default_collate: expected tensors, arrays, numbers, strings or containers of them{_place(where)}, "
        f"got {type(first).__name__}; give the loader a collate_fn"
    )


def _all_of(values: list[Any], kinds: Any, where: str) -> list[Any]:
    for i, value in enumerate(values):
        if not isinstance(value, kinds):
            found = f"{type(values[0]).__name__} in sample 0 and {type(value).__name__} in sample {i}"
            raise TypeError(f"default_collate: expected one kind{_place(where)}, got {found}")
    return values


def _check_same(found: list[Any], what: str, where: str) -> None:
    for i, value in enumerate(found):
        if value != found[0]:
            got = f"{found[0]} in sample 0 and {value} in sample {i} of the batch"
            raise ValueError(f"default_collate: expected equal {what}{_place(where)}, got {got}")


def _place(where: str) -> str:
    return f" at sample{where}" if where else ""
