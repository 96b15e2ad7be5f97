"""What ``dnncore info`` shows."""

from __future__ import annotations

import importlib.util
import platform

from dnncore import _core, cuda
from dnncore._version import __version__

_EXTRAS = {
    "plot": ["matplotlib"],
    "sklearn": ["sklearn"],
    "data": ["pooch", "PIL"],
    "frame": ["pandas"],
}


def report() -> str:
    """Return the lines of ``dnncore info``."""
    cpu, memory = _core.cpu_info(), _core.memory_stats()
    features = [name for name in ("avx2", "avx512", "avx512bf16", "neon") if cpu[name]]
    caches = ", ".join(f"{level} {_size(cpu[f'{level.lower()}_bytes'])}" for level in ("L1d", "L2", "L3"))
    extras = {name: all(importlib.util.find_spec(module) for module in modules) for name, modules in _EXTRAS.items()}
    rows = [
        ("version", __version__),
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("CPU", f"{cpu['model']}, {cpu['allowed_cores']} cores allowed"),
        ("caches", caches),
        ("CPU has", ", ".join(features) or "nothing beyond the baseline"),
        ("instruction set", f"{cpu['isa']} (of {', '.join(_core.available_isas())}; DNNCORE_ISA chooses)"),
        ("threads", f"{_core.get_num_threads()} (DNNCORE_NUM_THREADS or set_num_threads chooses)"),
        ("memory", f"{_size(memory['allocated_bytes'])} in use, {_size(memory['reserved_bytes'])} held"),
        ("CUDA", _devices()),
        ("extras", ", ".join(f"{name} {'yes' if there else 'no'}" for name, there in extras.items())),
    ]
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:<{width}}  {value}" for label, value in rows)


def _devices() -> str:
    if not cuda.is_available():
        return f"no GPU is used: {cuda.unavailable_reason()}"
    found = []
    for number in range(cuda.device_count()):
        free, total = cuda.mem_get_info(number)
        found.append(f"cuda:{number} {cuda.get_device_name(number)}, {_size(free)} of {_size(total)} free")
    return "; ".join(found) + " (used where asked for: device='cuda' or --device cuda)"


def _size(count: int) -> str:
    for unit in ("bytes", "KiB"):
        if count < 1024:
            return f"{count} {unit}"
        count //= 1024
    return f"{count} MiB"
