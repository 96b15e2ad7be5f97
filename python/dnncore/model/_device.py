"""Where a model works: the device of its module, and the choice of one by measurement."""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING, Any

from dnncore import _core, cuda
from dnncore._core import Tensor
from dnncore.nn.module import Module

if TYPE_CHECKING:
    from dnncore.model._compiled import Compiled
    from dnncore.model._feed import Samples
    from dnncore.model._objective import Objective

_CPU = _core.device("cpu")
_WARM = 3  # calls: in Python, recorded, repeated
_ROUNDS, _SECONDS = 5, 1.0  # at most so many, and no further one after so long


def device_of(module: Module) -> _core.device:
    """Return the device of the first parameter or buffer; the CPU where there is none."""
    waiting = [module]
    while waiting:
        each = waiting.pop()
        for table in (each._parameters, each._buffers):
            for value in table.values():
                if value is not None:
                    return value.device
        waiting += [child for child in reversed(each._modules.values()) if child is not None]
    return _CPU


def checked(op: str, device: Any) -> _core.device | None:
    """Return the device that is asked for; None for "auto"."""
    if isinstance(device, str) and device == "auto":
        return None
    if not isinstance(device, (str, _core.device)):
        raise TypeError(f"{op}: expected device to be 'cpu', 'cuda', 'cuda:1', 'auto' or a device, got {device!r}")
    try:
        found = _core.device(device)
    except ValueError:
        raise ValueError(f"{op}: expected device to be 'cpu', 'cuda', 'cuda:1' or 'auto', got {device!r}") from None
    if found.type == "cuda" and (found.index or 0) >= cuda.device_count():
        count = cuda.device_count()
        why = cuda.unavailable_reason() or f"there {'is one device' if count == 1 else f'are {count} devices'}"
        raise RuntimeError(f"{op}: {found} cannot be used: {why}")
    return found


def fastest(compiled: Compiled, first: Samples) -> tuple[_core.device, str]:
    """Return where a training step with these samples is faster, and how that is known."""
    if not cuda.is_available():
        return _CPU, f"no CUDA device: {cuda.unavailable_reason()}"
    try:
        module, objective = copy.deepcopy((compiled.module, compiled.objective))
    except Exception as error:  # a lock, an open file, a computed tensor
        return _CPU, f"there was no trial: the network cannot be copied: {error}"
    there = _core.device("cuda")
    state = _core.default_generator.get_state()
    try:
        here_takes = _step_seconds(module, objective, first, _CPU)  # what fails here would fail in training
        try:
            there_takes = _step_seconds(module, objective, first, there)
        except (MemoryError, RuntimeError) as error:
            return _CPU, f"a trial step on {there} failed: {error}"
    finally:
        _core.default_generator.set_state(state)
    took = f"{1e3 * here_takes:.3g} ms on {_CPU} and {1e3 * there_takes:.3g} ms on {there}"
    reason = f"a step of {first.rows} samples takes {took} ({cuda.get_device_name(there)})"
    return (there if there_takes < here_takes else _CPU), reason


def _step_seconds(module: Module, objective: Objective, first: Samples, device: _core.device) -> float:
    """Return the least time of a step: forward and backward, as often repeated steps run. The module changes."""
    from dnncore.model._step import QuietStep

    module.to(device).train()
    objective.to(device)
    form, tensors = first.to(device).as_batch()

    def graded(*tensors: Tensor) -> Tensor:
        module.zero_grad()
        outputs = objective.split("the output", form.outputs(module, tensors))
        loss = objective(outputs, form.targets_of(tensors), form.weight_of(tensors))[0]
        loss.backward()
        return loss

    step = QuietStep(graded)
    for _ in range(_WARM):
        step(*tensors).item()  # waits
    times: list[float] = []
    while len(times) < _ROUNDS and sum(times) < _SECONDS:
        started = time.perf_counter()
        step(*tensors).item()
        times.append(time.perf_counter() - started)
    return min(times)
