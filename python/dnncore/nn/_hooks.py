"""Calls of modules: hooks before and after `forward`, and the report which module is running."""

from __future__ import annotations

import itertools
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from dnncore import _core
from dnncore.nn._backward_hooks import BackwardHook, watched

if TYPE_CHECKING:
    from dnncore.nn.module import Module

# Threads whose module calls are reported, and how; empty in normal use, so that a call pays one truth test.
_reports: dict[int, _Report] = {}


class _Report(NamedTuple):
    paths: dict[int, str]  # by id of the module
    tell: Callable[[str], object]
    running: list[str]
    seen: Callable[[Any], object] | None = None  # called for each module that runs


@contextmanager
def _reporting(report: _Report) -> Iterator[None]:
    """Report the module calls of this thread as `report` says, and afterwards as before."""
    thread = threading.get_ident()
    before = _reports.get(thread)
    _reports[thread] = report
    try:
        yield
    finally:
        if before is None:
            del _reports[thread]
        else:
            _reports[thread] = before


@contextmanager
def modules_seen(seen: Callable[[Any], object]) -> Iterator[None]:
    """Call ``seen(module)`` for each module that runs on this thread, as often as it runs."""
    before = _reports.get(threading.get_ident()) or _Report({}, _ignore, [""])
    with _reporting(before._replace(seen=seen)):
        yield


def _ignore(path: str) -> None:
    pass


@contextmanager
def module_paths(root: Module, tell: Callable[[str], object] = _core._set_module_path) -> Iterator[None]:
    """Tell the recorder of launches, or ``tell``, which module of `root` is running on this thread; "" for none."""
    paths = {id(module): name or type(module).__name__ for name, module in root.named_modules()}
    with _reporting(_Report(paths, tell, [""])):
        yield


class RemovableHandle:
    """Stands for a registered hook; `remove` takes it away, and so does the end of a ``with`` block."""

    _numbers = itertools.count()

    def __init__(self, hooks: dict[int, Any]) -> None:
        self._hooks = hooks
        self._number = next(self._numbers)
        while self._number in hooks:  # an unpickled module brings the numbers of another process
            self._number = next(self._numbers)

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        self._hooks.pop(self._number, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class Hook(NamedTuple):
    """A function called around `forward`, and how."""

    function: Callable[..., Any]
    with_kwargs: bool = False
    always_call: bool = False


Hooks = OrderedDict[int, Any]


def register(hooks: Hooks, hook: object, prepend: bool = False) -> RemovableHandle:
    """Add `hook` at the end, or at the beginning, and return its handle."""
    handle = RemovableHandle(hooks)
    hooks[handle._number] = hook
    if prepend:
        hooks.move_to_end(handle._number, last=False)
    return handle


def checked(op: str, hook: object) -> Callable[..., Any]:
    """Return `hook` if it can be called."""
    if not callable(hook):
        raise TypeError(f"{op}: expected a callable hook, got {type(hook).__name__}")
    return hook


class HookedCalls:
    """The part of `Module` that runs `forward`."""

    # A call pays one truth test per table, 40 ns of 300; so the hooks of the backward pass are in that of the forward pass.
    _forward_hooks: Hooks
    _forward_pre_hooks: Hooks

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method forward(), which computes the output")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run `forward` and the hooks around it."""
        if _reports or self._forward_pre_hooks or self._forward_hooks:
            return self._call_observed(args, kwargs)
        return self.forward(*args, **kwargs)

    def _call_observed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        report = _reports.get(threading.get_ident())
        if report is not None and report.seen is not None:
            report.seen(self)
        path = report.paths.get(id(self)) if report is not None else None
        if report is None or path is None:
            return self._call_hooked(args, kwargs)
        report.running.append(path)
        report.tell(path)
        try:
            return self._call_hooked(args, kwargs)
        finally:
            report.running.pop()
            report.tell(report.running[-1])

    def _call_hooked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        called: set[int] = set()
        output = None
        if self._forward_pre_hooks or self._forward_hooks:
            _core._cannot_repeat("hook", f"of {type(self).__name__} runs Python")
        try:
            args, kwargs = self._run_pre_hooks(args, kwargs)
            watching = [hook for hook in self._forward_hooks.values() if isinstance(hook, BackwardHook)]
            output = watched(self, watching, args, kwargs) if watching else self.forward(*args, **kwargs)
            for number, hook in list(self._forward_hooks.items()):
                if isinstance(hook, Hook):
                    called.add(number)
                    output = self._run_hook(hook, args, kwargs, output)
        except Exception:
            self._run_remaining(called, args, kwargs, output)
            raise
        return output

    def _run_pre_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        for hook in list(self._forward_pre_hooks.values()):
            if not hook.with_kwargs:
                changed = hook.function(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
                continue
            changed = hook.function(self, args, kwargs)
            if changed is not None:
                if not isinstance(changed, tuple) or len(changed) != 2:
                    name = type(self).__name__
                    raise TypeError(f"{name}: expected None or (args, kwargs) from a pre-hook with kwargs, got {changed!r}")
                args, kwargs = changed
        return args, kwargs

    def _run_hook(self, hook: Hook, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        given = (self, args, kwargs, output) if hook.with_kwargs else (self, args, output)
        changed = hook.function(*given)
        return output if changed is None else changed

    def _run_remaining(self, called: set[int], args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """After an error: the hooks that are to be called always, and were not yet; their own errors become warnings."""
        for number, hook in list(self._forward_hooks.items()):
            if isinstance(hook, Hook) and hook.always_call and number not in called:
                try:
                    output = self._run_hook(hook, args, kwargs, output)
                except Exception as error:
                    warnings.warn(f"{type(self).__name__}: a forward hook failed after an error: {error}", stacklevel=5)

    @property
    def _is_plain(self) -> bool:
        """Whether nobody listens to or replaces this module's own call, so that a container may fuse it with a neighbour."""
        return not (self._forward_pre_hooks or self._forward_hooks or "forward" in self.__dict__)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after each forward; what it returns, unless None, replaces the output.

        Parameters
        ----------
        hook : callable
            ``hook(module, args, output)``, or ``hook(module, args, kwargs, output)`` when `with_kwargs`.
        prepend : bool, default False
            Call it before the hooks that are there already.
        with_kwargs : bool, default False
            Whether the hook also gets the keyword arguments.
        always_call : bool, default False
            Call it, with the output None, even if the forward pass raises an error.

        Returns
        -------
        RemovableHandle
            Its `remove` takes the hook away.

        Raises
        ------
        TypeError
            If the hook cannot be called.
        """
        function = checked("register_forward_hook", hook)
        return register(self._forward_hooks, Hook(function, with_kwargs, always_call), prepend)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before each forward; what it returns, unless None, replaces the arguments.

        Parameters
        ----------
        hook : callable
            ``hook(module, args)``, which returns new arguments or None; or, when `with_kwargs`,
            ``hook(module, args, kwargs)``, which returns ``(args, kwargs)`` or None.
        prepend : bool, default False
            Call it before the hooks that are there already.
        with_kwargs : bool, default False
            Whether the hook also gets the keyword arguments.

        Returns
        -------
        RemovableHandle
            Its `remove` takes the hook away.

        Raises
        ------
        TypeError
            If the hook cannot be called.
        """
        function = checked("register_forward_pre_hook", hook)
        return register(self._forward_pre_hooks, Hook(function, with_kwargs), prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` in the backward pass, before that of the module.

        Parameters
        ----------
        hook : callable
            ``hook(module, grad_output)``, where `grad_output` is a tuple of the gradients of the outputs; what it returns, unless
            None, takes their place.
        prepend : bool, default False
            Call it before the hooks that are there already.

        Returns
        -------
        RemovableHandle
            Its `remove` takes the hook away.

        Raises
        ------
        TypeError
            If the hook cannot be called.
        """
        function = checked("register_full_backward_pre_hook", hook)
        return register(self._forward_hooks, BackwardHook(function, before=True), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the gradients of the inputs are known.

        Parameters
        ----------
        hook : callable
            ``hook(module, grad_input, grad_output)``, where both are tuples of gradients: of the positional arguments, with None
            for those without one, and of the outputs. What it returns, unless None, takes the place of `grad_input`.
        prepend : bool, default False
            Call it before the hooks that are there already.

        Returns
        -------
        RemovableHandle
            Its `remove` takes the hook away.

        Raises
        ------
        TypeError
            If the hook cannot be called.
        """
        function = checked("register_full_backward_hook", hook)
        return register(self._forward_hooks, BackwardHook(function, before=False), prepend)
