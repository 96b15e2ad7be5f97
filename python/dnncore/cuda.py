"""CUDA devices: whether there are any, what they are, and their memory.

Asking is allowed everywhere: without a device `is_available` is False and `unavailable_reason` says why; what needs one raises
RuntimeError. Work is queued on one stream per device and done in its order; reading a result on the host waits for it.
"""

from __future__ import annotations

from typing import Any

from dnncore import _core

__all__ = [
    "current_device",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "is_available",
    "max_memory_allocated",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "reset_peak_memory_stats",
    "synchronize",
    "unavailable_reason",
]


def _index(device: Any) -> int:
    """Return the number of a device given as None, an int, a string or a device."""
    if device is None:
        return 0
    if isinstance(device, int):
        return device
    chosen = _core.device(device)
    if chosen.type != "cuda":
        raise ValueError(f"cuda: expected a CUDA device, got {device!r}")
    return int(chosen.index)


def is_available() -> bool:
    """Whether a CUDA device can be used.

    Examples
    --------
    >>> import dnncore as dnn
    >>> dnn.cuda.is_available() == (dnn.cuda.device_count() > 0)
    True
    """
    return device_count() > 0


def device_count() -> int:
    """How many CUDA devices can be used; 0 without the CUDA kernels, a driver or a device."""
    return _core._cuda_count()


def unavailable_reason() -> str:
    """Why no CUDA device can be used; empty if one can."""
    return _core._cuda_reason()


def current_device() -> int:
    """Return the number of the device that ``'cuda'`` names: the first one."""
    return 0


def synchronize(device: Any = None) -> None:
    """Wait until all work queued on a device is done.

    Raises
    ------
    RuntimeError
        If the device cannot be used, or queued work failed.
    """
    _core._cuda_synchronize(_index(device))


def get_device_name(device: Any = None) -> str:
    """Return the name of a device, as its driver gives it."""
    return str(get_device_properties(device)["name"])


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """Return the compute capability of a device: (9, 0) of a Hopper."""
    properties = get_device_properties(device)
    return properties["major"], properties["minor"]


def get_device_properties(device: Any = None) -> dict[str, Any]:
    """Name, compute capability, number of multiprocessors, and memory in bytes."""
    return _core._cuda_properties(_index(device))


def memory_stats(device: Any = None) -> dict[str, int]:
    """Bytes held by tensors, their peak, bytes taken from the device, and how often memory was asked for and taken."""
    return _core._cuda_memory_stats(_index(device))


def memory_allocated(device: Any = None) -> int:
    """Bytes of the device held by tensors."""
    return memory_stats(device)["allocated_bytes"]


def max_memory_allocated(device: Any = None) -> int:
    """Return the most bytes of the device that tensors held since the start or the last `reset_peak_memory_stats`."""
    return memory_stats(device)["peak_allocated_bytes"]


def memory_reserved(device: Any = None) -> int:
    """Bytes taken from the device: held by tensors or kept for the next ones."""
    return memory_stats(device)["reserved_bytes"]


def reset_peak_memory_stats(device: Any = None) -> None:
    """Start `max_memory_allocated` anew."""
    _core._cuda_reset_peak(_index(device))


def empty_cache(device: Any = None) -> None:
    """Give kept memory back to the device."""
    _core._cuda_empty_cache(_index(device))
