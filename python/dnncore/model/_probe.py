"""One forward pass that is watched and leaves no trace: mode, buffers, gradients and random state stay as they were."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dnncore import _core, nn
from dnncore._core import Tensor
from dnncore._grad_mode import enable_grad, no_grad
from dnncore.nn.parameter import is_lazy


@dataclass
class Call:
    """One call of a module: what it got and what it returned."""

    path: str
    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any = None

    @property
    def name(self) -> str:
        """Return the class and the path, as ``Linear 'fc1'``."""
        own = class_name(self.module)
        return f"{own} {self.path!r}" if self.path else own


@dataclass
class Trace:
    """A forward pass: what ran, its calls in the order in which they ended, its output, or its error and the calls in which."""

    module: nn.Module
    calls: list[Call] = field(default_factory=list)
    running: list[Call] = field(default_factory=list)
    output: Any = None
    error: Exception | None = None

    @property
    def failed(self) -> Call | None:
        """Return the innermost call that did not end."""
        return self.running[-1] if self.running else None


def class_name(module: nn.Module) -> str:
    """Return the name of a module's class; that of the plain one for a parametrized layer."""
    return str(getattr(type(module), "_plain_class", type(module)).__name__)


def tensors_in(value: Any) -> list[Tensor]:
    """Return the tensors in a tensor, tuple, list or dict."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [tensor for item in value for tensor in tensors_in(item)] if isinstance(value, (tuple, list)) else []


def said_shape(value: Any) -> str:
    """Return the shapes in an argument or output as text."""
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    if isinstance(value, dict):
        return ", ".join(f"{key}: {said_shape(item)}" for key, item in value.items())
    if isinstance(value, (tuple, list)):
        return ", ".join(map(said_shape, value))
    return type(value).__name__


def trace(module: nn.Module, inputs: Any, grad: bool = False) -> Trace:
    """Run ``module(inputs)`` in evaluation mode, ``module(*inputs)`` for a tuple and ``module(**inputs)`` for a dict.

    What runs is a copy that shares the parameters; a module that cannot be copied runs itself, and its modes and buffers are put
    back. An error of the pass is returned, not raised. With `grad`, the tape records, so that outputs tell what made them.
    """
    result = Trace(module)
    state = _core.default_generator.get_state()
    try:
        with _twin(module) as twin, _watched(twin, result), enable_grad() if grad else no_grad():
            result.module = twin.eval()
            result.output = _called(twin, _cloned(inputs))
    except Exception as error:
        result.error = error
    finally:
        _core.default_generator.set_state(state)
    return result


def _called(module: nn.Module, inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return module(**inputs)
    return module(*inputs) if isinstance(inputs, (tuple, list)) else module(inputs)


def _cloned(value: Any) -> Any:
    """Copy the inputs: an activation may write into them."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _cloned(item) for key, item in value.items()}
    return type(value)(map(_cloned, value)) if type(value) in (tuple, list) else value


@contextlib.contextmanager
def _twin(module: nn.Module) -> Iterator[nn.Module]:
    kept = {id(parameter): parameter for parameter in module.parameters() if not is_lazy(parameter)}
    try:
        copied = copy.deepcopy(module, kept)
    except Exception:  # a lock, an open file, a computed tensor
        copied = None
    if copied is not None:
        yield copied
        return
    modes = [(part, part.training) for part in module.modules()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in module.buffers() if not is_lazy(buffer)]
    try:
        yield module
    finally:
        for part, training in modes:
            part.training = training
        with no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


@contextlib.contextmanager
def _watched(module: nn.Module, result: Trace) -> Iterator[None]:
    handles = []
    for path, part in module.named_modules():

        def begin(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], path: str = path) -> None:
            result.running.append(Call(path, part, args, kwargs))

        def end(part: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            call = result.running.pop()
            call.output = output
            result.calls.append(call)

        handles += [part.register_forward_pre_hook(begin, with_kwargs=True), part.register_forward_hook(end)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
