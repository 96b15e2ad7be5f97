"""Optional dependencies: imported late, and named with their pip command when missing."""

from __future__ import annotations

import importlib
from types import ModuleType


def require(module: str, extra: str, caller: str) -> ModuleType:
    """Import `module`, or raise ImportError that names the extra which brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{caller}: needs {package}, which is not installed; run: pip install 'dnncore[{extra}]'", name=package
        ) from error
