"""Ctrl-C during training: the first press ends after the batch, the second raises."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """In a ``with`` block of the main thread the first SIGINT sets `pressed`; the one after goes where it went before."""

    def __init__(self) -> None:
        self.pressed = False
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and before not in (None, signal.SIG_IGN):
            self._before = before
            signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._before is not None and signal.getsignal(signal.SIGINT) == self._on_signal:  # nobody has set another one
            signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self.pressed:
            self.pressed = True
        elif callable(self._before):
            self._before(number, frame)
        else:
            raise KeyboardInterrupt
