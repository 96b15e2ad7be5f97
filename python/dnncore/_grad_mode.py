"""Switches for gradient recording: context managers that also decorate functions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

from dnncore import _core

P = ParamSpec("P")
R = TypeVar("R")


class _GradSwitch:
    """Sets whether ops of this thread record gradients, and restores what was before."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(_core._set_grad_enabled(self._enabled))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _core._set_grad_enabled(self._before.pop())

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise TypeError(
                f"{type(self).__name__}: expected a plain function, got {function.__qualname__}, which can pause half-way; "
                f"write `with {type(self).__name__}(): ...` inside it around the computation"
            )
        enabled = self._enabled

        @functools.wraps(function)
        def switched(*args: P.args, **kwargs: P.kwargs) -> R:
            with _GradSwitch(enabled):
                return function(*args, **kwargs)

        return switched


class no_grad(_GradSwitch):  # noqa: N801 - PyTorch's name
    """Compute without recording gradients, in a ``with`` block or a decorated function.

    Results computed inside have ``requires_grad=False``. The switch belongs to the calling thread.

    Examples
    --------
    >>> import dnncore as dnn
    >>> x = dnn.ones(2, requires_grad=True)
    >>> with dnn.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(_GradSwitch):  # noqa: N801
    """Record gradients again inside a ``no_grad`` block.

    Examples
    --------
    >>> import dnncore as dnn
    >>> x = dnn.ones(2, requires_grad=True)
    >>> with dnn.no_grad(), dnn.enable_grad():
    ...     y = x * 2
    >>> y.requires_grad
    True
    """

    def __init__(self) -> None:
        super().__init__(True)


class inference_mode(_GradSwitch):  # noqa: N801
    """Compute without recording gradients, as `no_grad`; ``inference_mode(False)`` records.

    Parameters
    ----------
    mode : bool, default True
        Whether to stop recording.

    Examples
    --------
    >>> import dnncore as dnn
    >>> @dnn.inference_mode()
    ... def double(x):
    ...     return x * 2
    >>> double(dnn.ones(2, requires_grad=True)).requires_grad
    False
    """

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not mode)


class set_grad_enabled(_GradSwitch):  # noqa: N801
    """Switch recording on or off at once; as a context manager, until the block ends.

    Parameters
    ----------
    mode : bool
        Whether to record gradients.

    Examples
    --------
    >>> import dnncore as dnn
    >>> with dnn.set_grad_enabled(False):
    ...     dnn.is_grad_enabled()
    False
    >>> dnn.is_grad_enabled()
    True
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        self._before.append(_core._set_grad_enabled(self._enabled))
        self._entered = False

    def __enter__(self) -> None:
        if self._entered:
            super().__enter__()
        self._entered = True

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        _core._set_grad_enabled(self._before[0])  # as a decorator it acts inside the function only
        return super().__call__(function)
