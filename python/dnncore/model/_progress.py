"""What training shows: a bar in a terminal or notebook, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

_INTERVAL = 0.1  # seconds between two refreshes of a bar


def resolved(op: str, verbose: Any) -> int:
    """Return 0 (silent), 1 (a bar where there is a terminal or notebook) or 2 (lines)."""
    if verbose == "auto":
        return 1
    if verbose not in (0, 1, 2):
        raise ValueError(f"{op}: expected verbose to be 'auto', 0, 1 or 2, got {verbose!r}")
    return int(verbose)


def text_of(logs: dict[str, float]) -> str:
    """Return values by name as one line."""
    return "  ".join(f"{name} {value:.4g}" for name, value in logs.items())


class Progress:
    """Tells what goes on, on standard error."""

    def __init__(self, verbose: int, epochs: int, initial_epoch: int, steps: int | None) -> None:
        self._verbose, self._epochs = verbose, epochs
        self._bar = self._new_bar(None if steps is None else steps * (epochs - initial_epoch)) if verbose == 1 else None
        self._pending = 0  # batches not shown yet
        self._shown = self._began = time.monotonic()

    @staticmethod
    def _new_bar(total: int | None) -> Any:
        from tqdm.auto import tqdm

        notebook = any(kind.__name__ == "tqdm_notebook" for kind in tqdm.__mro__)
        if not (notebook or sys.stderr.isatty()):
            return None
        quiet = type("Bar", (tqdm,), {"monitor_interval": 0})  # no thread beside the training
        return quiet(total=total, unit="batch", dynamic_ncols=True, file=None if notebook else sys.stderr, leave=False)

    def say(self, text: str) -> None:
        """Show a line."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        elif self._verbose:
            print(text, file=sys.stderr, flush=True)

    def epoch_begins(self, epoch: int) -> None:
        """Start the clock of an epoch."""
        self._began = time.monotonic()
        if self._bar is not None:
            self._bar.set_description_str(f"epoch {epoch + 1}/{self._epochs}", refresh=False)

    def batch_ends(self, read: Callable[[], dict[str, float]]) -> None:
        """Count a batch; `read` is asked for the values only when they are shown."""
        if self._bar is None:
            return
        self._pending += 1
        now = time.monotonic()
        if now - self._shown >= _INTERVAL:
            self._shown = now
            self._bar.set_postfix_str(text_of(read()), refresh=False)
            self._advance()

    def _advance(self) -> None:
        assert self._bar is not None
        self._bar.update(self._pending)
        self._pending = 0

    def epoch_ends(self, epoch: int, logs: dict[str, float]) -> None:
        """Show the line of an epoch."""
        if self._bar is not None:
            self._advance()
        if self._verbose:
            width = len(str(self._epochs))
            took = time.monotonic() - self._began
            self.say(f"epoch {epoch + 1:{width}}/{self._epochs}  {text_of(logs)}  ({took:.1f} s)")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
