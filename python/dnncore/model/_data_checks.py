"""Checks of inputs and of the samples of each class; every one is one pass over the data, with a cap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnncore._core import Tensor
from dnncore.model._diagnosis import Diagnosis, few, warn
from dnncore.model._probe import Call

_ELEMENT_CAP = 1 << 27  # elements looked at for NaN
_CHUNK = 1 << 22  # elements at once
_BYTE_CAP = 1 << 28  # of rows compared
_LARGE, _SMALL, _WIDE = 50.0, 0.01, 5.0  # largest value, and standard deviation, that train well without scaling
_REPEATED = 0.1  # share of repeated training rows from which on repeats say nothing


def named(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in a tensor, tuple or dict with how code reaches them: ``inputs[0]``."""
    if isinstance(value, Tensor):
        yield name, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (tuple, list)) else ()
    for key, item in items:
        yield from named(item, f"{name}[{key!r}]")


def array_of(tensor: Tensor) -> NDArray[Any]:
    """Return the values as an array, without a copy where there can be none."""
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype.name == "bfloat16" else tensor).cpu().numpy()


def check_finite(value: Any, code: str, name: str) -> None:
    """Refuse NaN and infinities, and name the first."""
    for where, tensor in named(value, name):
        if not tensor.is_floating_point() or not tensor.ndim or not tensor.numel():
            continue
        rows = max(1, _CHUNK // max(1, tensor[0].numel()))
        last = min(len(tensor), max(1, _ELEMENT_CAP // max(1, tensor[0].numel())))
        for start in range(0, last, rows):
            part = array_of(tensor[start : min(start + rows, last)])
            if not np.isfinite(part).all():
                raise _not_finite(code, where, start, part)


def _not_finite(code: str, where: str, start: int, part: NDArray[Any]) -> Diagnosis:
    bad = np.argwhere(~np.isfinite(part))
    place = bad[0]
    value = part[tuple(place)]
    row = start + int(place[0])
    column = "" if part.ndim == 1 else f", column {place[1]}" if part.ndim == 2 else f", place {tuple(map(int, place[1:]))}"
    more = f" and {len(bad) - 1} more among the {len(part)} rows around it" if len(bad) > 1 else ""
    dims = ".reshape(len(x), -1).all(1)" if part.ndim > 2 else ".all(1)" if part.ndim == 2 else ""
    effect = "makes every score nan" if " of validation" in where else "makes every weight nan"
    return Diagnosis(
        code,
        f"{where}: the value in row {row}{column} is {value}{more}; one such value {effect}",
        f"keep = np.isfinite(np.asarray({'y' if code == 'D206' else 'x'})){dims}; x, y = x[keep], y[keep]",
    )


def warn_of_constants(batch: Any, data: Any) -> None:
    """Warn if all samples are the same."""
    whole = dict(named(data, "inputs"))
    for where, tensor in named(batch, "inputs"):
        looked = whole.get(where, tensor)
        if len(tensor) > 1 and _is_constant(tensor) and (looked is tensor or _is_constant(looked)):
            warn(
                "D303",
                f"{where}: all {len(looked)} samples are the same, so that nothing tells one from the other",
                "print(x[:3])  # where do they become equal?",
            )


def _is_constant(tensor: Tensor) -> bool:
    if tensor.ndim == 0 or not tensor.numel():
        return False
    rows = max(1, _CHUNK // max(1, tensor[0].numel()))
    first = array_of(tensor[:1])
    return all(bool((array_of(tensor[i : i + rows]) == first).all()) for i in range(0, len(tensor), rows))


def warn_of_scale(batch: Any, calls: list[Call]) -> None:
    """Warn if what reaches the first layer with parameters is far from the range in which networks train well."""
    first = next((call for call in calls if any(p is not None for p in call.module._parameters.values())), None)
    if first is not None and "Norm" in type(first.module).__name__:
        return
    seen = first.args if first is not None else batch
    for where, tensor in named(seen, "inputs"):
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        values = array_of(tensor)
        low, high, spread = float(values.min()), float(values.max()), float(values.std(dtype=np.float64))
        largest = max(-low, high)
        if largest > _LARGE or spread > _WIDE or 0 < largest < _SMALL:
            place = f"what reaches {first.name}" if first is not None else where
            warn(
                "D301",
                f"{place} ranges from {low:.4g} to {high:.4g} with a standard deviation of {spread:.3g}; "
                "networks train well on values around -1 to 1",
                _scaling(values, low, high),
            )
            return


def _scaling(values: NDArray[Any], low: float, high: float) -> str:
    if low >= 0 and 1 < high <= 255 and bool((values == np.floor(values)).all()):
        return f"x = x / {255 if high > _LARGE else int(high)}"
    return "x = sklearn.preprocessing.StandardScaler().fit_transform(x)"


# --- Classes


def warn_of_classes(train: Tensor, validation: Tensor | None) -> None:
    """Warn of classes with one training sample, and of those that only validation has."""
    classes, counts = np.unique(array_of(train), return_counts=True)
    single = [str(int(c)) for c, n in zip(classes, counts, strict=True) if n == 1]
    if single:
        warn(
            "D501",
            f"targets: there is one training sample of {_said_classes(single)}; it can be learned by heart only",
            "np.unique(y, return_counts=True)  # then collect more samples, or leave these classes out",
        )
    if validation is None:
        return
    there, numbers = np.unique(array_of(validation), return_counts=True)
    absent = np.isin(there, classes, invert=True)
    if absent.any():
        missing = [str(int(c)) for c in there[absent]]
        count = int(numbers[absent].sum())
        warn(
            "D502",
            f"targets: {count} samples of validation are of {_said_classes(missing)}, which training has not",
            "model.fit(x, y, validation_split=0.2)  # shuffled, each class in both parts",
        )


def _said_classes(names: list[str]) -> str:
    return f"class {names[0]}" if len(names) == 1 else f"each of the classes {few(names)}"


def warn_of_duplicates(train: Any, validation: Any) -> None:
    """Warn of samples of validation that stand in training too, value by value."""
    pairs = list(zip(named(train, "inputs"), named(validation, "inputs"), strict=False))
    ours, theirs = [a for (_, a), _ in pairs], [b for _, (_, b) in pairs]
    if not pairs or any(a.shape[1:] != b.shape[1:] or a.dtype != b.dtype for a, b in zip(ours, theirs, strict=True)):
        return
    seen, looked = _looked_at(ours), _looked_at(theirs)
    if not seen or not looked:
        return
    known, judged = _row_keys(ours, seen), _row_keys(theirs, looked)
    distinct, first = np.unique(known, return_index=True)
    if len(distinct) < (1 - _REPEATED) * len(known):
        return
    double = []
    for place in np.flatnonzero(np.isin(judged, distinct)):
        twin = seen[int(first[np.searchsorted(distinct, judged[place])])]
        row = looked[int(place)]
        if all(
            np.array_equal(array_of(a[twin : twin + 1]), array_of(b[row : row + 1])) for a, b in zip(ours, theirs, strict=True)
        ):
            double.append(row)
    if not double:
        return
    number = f"all {len(double)}" if len(double) == len(looked) else str(len(double))
    whole = (len(looked), len(seen)) == (len(theirs[0]), len(ours[0]))
    sample = "" if whole else f" (looked at {len(looked)} of {len(theirs[0])}, and {len(seen)} of {len(ours[0])})"
    warn(
        "D503",
        f"inputs: {number} samples of validation are also in training{sample}, the first in row {double[0]}; "
        "scores of validation will look better than they are",
        "x, kept = np.unique(x, axis=0, return_index=True); y = y[kept]  # before the split",
    )


def _looked_at(tensors: list[Tensor]) -> range:
    """Return the rows that are compared: all, or evenly spaced ones where there are too many."""
    rows = min(map(len, tensors))
    size = sum(t.nbytes // max(1, len(t)) for t in tensors)
    return range(0, rows, max(1, -(-rows * size // _BYTE_CAP)))


def _row_keys(tensors: list[Tensor], rows: range) -> NDArray[np.uint64]:
    """Return a number of 64 bits per row that is the same for equal rows: a sum over its bits with fixed factors."""
    keys = np.zeros(len(rows), np.uint64)
    factors = np.random.default_rng(1)
    for tensor in tensors:
        values = array_of(tensor)[: rows.stop : rows.step].reshape(len(rows), -1)
        lanes = np.dtype(np.uint64) if values.shape[1] * values.itemsize % 8 == 0 else np.dtype(f"u{values.itemsize}")
        odd = factors.integers(1 << 63, size=max(1, values.shape[1] * values.itemsize // lanes.itemsize), dtype=np.uint64) * 2 + 1
        step = max(1, _CHUNK // max(1, values.shape[1]))
        for start in range(0, len(rows), step):
            part = np.ascontiguousarray(values[start : start + step])
            part = part + np.zeros((), part.dtype) if part.dtype.kind == "f" else part  # -0 becomes 0
            if part.size:
                keys[start : start + step] += np.einsum("ij,j->i", part.view(lanes), odd)
    return keys
