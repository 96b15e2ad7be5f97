"""System calls that fail in turn, for whatever writes files."""

import errno
import os


class Faults:
    """Counts the system calls of these names; the one with number `at` fails."""

    def __init__(self, monkeypatch, names, at=None, error=errno.ENOSPC):
        self.seen = []
        for name in names:
            monkeypatch.setattr(os, name, self.wrapped(name, getattr(os, name), at, error))

    def wrapped(self, name, real, at, error):
        def call(*args, **kwargs):
            self.seen.append(name)
            if len(self.seen) - 1 == at:
                if name == "close":
                    real(*args)  # the descriptor is gone even when close reports an error
                raise error if isinstance(error, BaseException) else OSError(error, os.strerror(error))
            return real(*args, **kwargs)

        return call
