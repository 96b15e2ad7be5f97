"""CUDA devices: whether there are any, what they are, their memory, and the order of what is queued on them.

Asking is allowed everywhere: without a device `is_available` is False and `unavailable_reason` says why; what needs one raises
RuntimeError. Work is queued, and reading a result on the host waits for it.

Each device has one stream, on which kernels and copies are done in the order in which they were queued, from whatever thread. So
no tensor is ever read before it is written, and memory is reused in stream order without waiting. What several streams would add,
the overlap of kernels of one process, is worth little where each kernel fills the device, and costs an event for each block that
changes streams. `Stream` and `stream` are there so that code written for several streams runs, in order. Events time the work and
order it with the streams of other libraries.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from dnncore import _core

__all__ = [
    "Event",
    "Stream",
    "current_device",
    "current_stream",
    "default_stream",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "is_available",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "memory_summary",
    "reset_peak_memory_stats",
    "set_device",
    "stream",
    "synchronize",
    "unavailable_reason",
]


def _named(op: str, device: Any) -> _core.device:
    """Return the device that None, a number, a name or a device stands for."""
    return _core._cuda_device(op, device)


# --- Devices


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
    """How many CUDA devices can be used; 0 without the CUDA kernels, a driver or a device, and in a process forked after use."""
    return _core._cuda_count()


def unavailable_reason() -> str:
    """Why no CUDA device can be used; empty if one can."""
    return "" if is_available() else _core._cuda_reason()


def current_device() -> int:
    """Return the number of the device that ``'cuda'`` names in this thread: the first one, until another is set."""
    return int(_named("current_device", None).index or 0)


def set_device(device: Any) -> None:
    """Let ``'cuda'`` name this device in the calling thread.

    Parameters
    ----------
    device : int, str or device

    Raises
    ------
    RuntimeError
        If it cannot be used.
    """
    _core._cuda_set_current(_named("set_device", device))


class device(contextlib.ContextDecorator):  # noqa: N801 - PyTorch's name
    """Let ``'cuda'`` name a device in a ``with`` block.

    Parameters
    ----------
    device : int, str or device
    """

    def __init__(self, device: Any) -> None:
        self._device = _named("device", device)
        self._before: list[int] = []

    def __enter__(self) -> None:
        before = current_device()
        set_device(self._device)
        self._before.append(before)

    def __exit__(self, *error: object) -> None:
        set_device(self._before.pop())


def get_device_name(device: Any = None) -> str:
    """Return the name of a device, as its driver gives it."""
    return str(get_device_properties(device)["name"])


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """Return the compute capability of a device: (9, 0) of a Hopper."""
    properties = get_device_properties(device)
    return properties["major"], properties["minor"]


def get_device_properties(device: Any = None) -> dict[str, Any]:
    """Return ``name``, compute capability ``major`` and ``minor``, ``multi_processor_count``, ``total_memory`` in bytes."""
    properties = _core._cuda_properties(_named("get_device_properties", device))
    del properties["free_memory"]  # no property: see mem_get_info
    return properties


def synchronize(device: Any = None) -> None:
    """Wait until all work queued on a device is done.

    Raises
    ------
    RuntimeError
        If the device cannot be used, or queued work failed.
    """
    _core._cuda_synchronize(_named("synchronize", device))


def manual_seed(seed: int) -> None:
    """Seed the default generator, which draws for every device; as `dnncore.manual_seed`."""
    _core.manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """Seed the default generator, which draws for every device; as `dnncore.manual_seed`."""
    _core.manual_seed(seed)


# --- Memory


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Return the free and the total bytes of a device, as its driver counts them."""
    properties = _core._cuda_properties(_named("mem_get_info", device))
    return properties["free_memory"], properties["total_memory"]


def memory_stats(device: Any = None) -> dict[str, int]:
    """Bytes held by tensors, their peak, bytes taken from the device, and how often memory was asked for and taken."""
    return _core._cuda_memory_stats(_named("memory_stats", device))


def memory_allocated(device: Any = None) -> int:
    """Bytes of the device held by tensors."""
    return memory_stats(device)["allocated_bytes"]


def max_memory_allocated(device: Any = None) -> int:
    """Return the most bytes of the device that tensors held since the start or the last `reset_peak_memory_stats`."""
    return memory_stats(device)["peak_allocated_bytes"]


def memory_reserved(device: Any = None) -> int:
    """Bytes taken from the device: held by tensors or kept for the next ones."""
    return memory_stats(device)["reserved_bytes"]


def memory_summary(device: Any = None) -> str:
    """Return the numbers of `memory_stats` and `mem_get_info` as text, a line each."""
    free, total = mem_get_info(device)
    rows = {**memory_stats(device), "free_bytes": free, "total_bytes": total}
    return "\n".join(f"{name:<20} {value:>16,}" for name, value in rows.items())


def reset_peak_memory_stats(device: Any = None) -> None:
    """Start `max_memory_allocated` anew."""
    _core._cuda_reset_peak(_named("reset_peak_memory_stats", device))


def empty_cache(device: Any = None) -> None:
    """Give kept memory back to the device."""
    _core._cuda_empty_cache(_named("empty_cache", device))


# --- Streams and events


class Stream:
    """The stream of a device: there is one, on which all of its work is done in order.

    Parameters
    ----------
    device : int, str or device, optional
        The current one when not given.

    Attributes
    ----------
    device : device
    cuda_stream : int
        The handle, as other libraries take it.
    """

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        self.device = _named("Stream", device)
        self.cuda_stream: int = _core._cuda_stream(self.device)

    def query(self) -> bool:
        """Whether everything queued so far is done."""
        return _core._cuda_idle(self.device)

    def synchronize(self) -> None:
        """Wait until everything queued so far is done."""
        synchronize(self.device)

    def record_event(self, event: Event | None = None) -> Event:
        """Record an event behind what is queued so far; return it."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let what is queued from now on wait for an event."""
        event.wait(self)

    def wait_stream(self, stream: Any) -> None:
        """Let what is queued from now on wait for what another stream has queued, which may be that of another library.

        Parameters
        ----------
        stream : object with a number ``cuda_stream``
            Of this device; for a stream of another device record an event on it.
        """
        handle = int(stream.cuda_stream)
        if handle != self.cuda_stream:
            _core._cuda_order(self.device, handle or _LEGACY, 0)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self.cuda_stream == other.cuda_stream and self.device == other.device

    def __hash__(self) -> int:
        return hash((self.device, self.cuda_stream))

    def __repr__(self) -> str:
        return f"<dnncore.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


_LEGACY = 1  # the handle of the default stream, which others write as 0


def current_stream(device: Any = None) -> Stream:
    """Return the stream of a device."""
    return Stream(device)


def default_stream(device: Any = None) -> Stream:
    """Return the stream of a device."""
    return Stream(device)


@contextlib.contextmanager
def stream(stream: Stream | None) -> Iterator[None]:
    """Make the device of a stream the current one in a ``with`` block; None changes nothing."""
    if stream is None:
        yield
        return
    if not isinstance(stream, Stream):
        raise TypeError(f"stream: expected a Stream of dnncore.cuda, got {type(stream).__name__}; order others by wait_stream")
    with device(stream.device):
        yield


class Event:
    """A moment in the work of a stream.

    Parameters
    ----------
    enable_timing : bool, default False
        Whether `elapsed_time` can tell how long the work between two events took.

    Examples
    --------
    >>> import dnncore as dnn
    >>> def seconds(step):
    ...     begin, end = (dnn.cuda.Event(enable_timing=True) for _ in range(2))
    ...     begin.record()
    ...     step()
    ...     end.record()
    ...     end.synchronize()
    ...     return begin.elapsed_time(end) / 1000
    """

    def __init__(self, enable_timing: bool = False) -> None:
        self._event = _core._CudaEvent(enable_timing)

    def record(self, stream: Any = None) -> None:
        """Happen when what a stream has queued so far is done: the stream of the current device, or one that is given.

        Parameters
        ----------
        stream : Stream, or object with a number ``cuda_stream``, optional
            One of another library is of the current device.
        """
        self._event.record(*_place(stream))

    def wait(self, stream: Any = None) -> None:
        """Let what a stream queues from now on wait for the event; the host goes on.

        Parameters
        ----------
        stream : Stream, or object with a number ``cuda_stream``, optional
            As for `record`.
        """
        self._event.wait(*_place(stream))

    def query(self) -> bool:
        """Whether it has happened; True too if it was never recorded."""
        return self._event.query()

    def synchronize(self) -> None:
        """Wait until it has happened."""
        self._event.synchronize()

    def elapsed_time(self, end_event: Event) -> float:
        """Return the milliseconds from this event to another.

        Raises
        ------
        ValueError
            If one was made without ``enable_timing=True``, or they are of two devices.
        RuntimeError
            If one was not recorded or has not happened yet.
        """
        return self._event.elapsed_time(end_event._event)


def _place(stream: Any) -> tuple[_core.device, int]:
    """Return the device and the handle of a stream; 0 is our own."""
    if stream is None or isinstance(stream, Stream):
        return _named("Event", None) if stream is None else stream.device, 0
    return _named("Event", None), int(stream.cuda_stream) or _LEGACY
