"""Steps of Python code that are recorded once and then repeated in one native call."""

from __future__ import annotations

import enum
import functools
import gc
import itertools
import threading
import types
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar

from dnncore import _core
from dnncore._core import Tensor
from dnncore.nn._hooks import modules_seen
from dnncore.nn.module import Module
from dnncore.optim.optimizer import Optimizer

_COMPARED = (
    *(type(None), bool, int, float, complex, str, bytes, range, enum.Enum, type, types.FunctionType, types.BuiltinFunctionType),
    *(_core.dtype, Module, Optimizer),
)
P = ParamSpec("P")
R = TypeVar("R")

_PLANS = 8  # of one step, the most recently used
_RECORDINGS = 32  # of one step in a row, none of them repeated: it stays in Python from then on


class _Slot(NamedTuple):
    """Stands for a tensor in a structure."""

    place: int


class _UncomparedError(TypeError):
    pass


def _taken_apart(value: Any, tensors: list[Tensor]) -> Any:
    """Return `value` with its tensors replaced by slots, as something hashable."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return _Slot
    if isinstance(value, (tuple, list)):
        return type(value), *(_taken_apart(item, tensors) for item in value)
    if type(value) in (dict, OrderedDict):
        return type(value), *((key, _taken_apart(item, tensors)) for key, item in value.items())
    if not isinstance(value, _COMPARED):  # another object may hold tensors that change
        raise _UncomparedError(f"an argument of type {type(value).__name__} cannot be compared; pass tensors")
    return type(value), value


def _rebuilt(value: Any, replace: Callable[[Tensor], Any]) -> Any:
    """Return `value` with every tensor replaced."""
    if isinstance(value, Tensor):
        return replace(value)
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(_rebuilt(item, replace) for item in value)
    if isinstance(value, (tuple, list)):
        return type(value)(_rebuilt(item, replace) for item in value)
    if type(value) in (dict, OrderedDict):
        return type(value)((key, _rebuilt(item, replace)) for key, item in value.items())
    return value


def _filled(value: Any, tensors: Sequence[Tensor]) -> Any:
    """Return the structure `value` with the tensors in its slots."""
    if isinstance(value, _Slot):
        return tensors[value.place]
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(_filled(item, tensors) for item in value)
    if isinstance(value, (tuple, list)):
        return type(value)(_filled(item, tensors) for item in value)
    if type(value) in (dict, OrderedDict):
        return type(value)((key, _filled(item, tensors)) for key, item in value.items())
    return value


class _Module(NamedTuple):
    """A module that ran in the step, as it was; `_core._modules_unchanged` compares."""

    module: Module
    training: bool
    parameters: tuple[Any, ...]
    buffers: tuple[Any, ...]
    modules: tuple[Any, ...]


class _Name(NamedTuple):
    """A global or closed-over name that the step reads, and its value; `_core._names_unchanged` compares."""

    holder: dict[str, Any] | types.CellType
    name: str
    value: Any

    def now(self) -> Any:
        if isinstance(self.holder, dict):
            return self.holder.get(self.name, _MISSING)
        try:
            return self.holder.cell_contents
        except ValueError:  # not set yet
            return _MISSING

    def unchanged(self) -> bool:
        now, then = self.now(), self.value
        return now is then or (type(now) is type(then) and isinstance(now, (int, float, str, tuple)) and now == then)


_MISSING = object()


def _names_of(function: Callable[..., Any]) -> list[_Name]:
    """Return what the code of a function reaches by name."""
    inner: Any = getattr(function, "__func__", function)
    code = getattr(inner, "__code__", None)
    if code is None:
        return []
    known = inner.__globals__
    found = [_Name(known, name, known[name]) for name in code.co_names if name in known]
    cells = [_Name(cell, name, None) for name, cell in zip(code.co_freevars, inner.__closure__ or (), strict=True)]
    return found + [cell._replace(value=cell.now()) for cell in cells]


def _unchanged(names: list[_Name], modules: list[_Module]) -> bool:
    same = _core._names_unchanged(names) or all(name.unchanged() for name in names)
    return same and _core._modules_unchanged(modules)


class _Recorded:
    """A plan, and what must be as it was for it to hold."""

    def __init__(self, plan: Any, structure: Any, modules: list[_Module], names: list[_Name]) -> None:
        self.plan = plan
        self._structure = structure
        self._modules = modules
        self._names = names

    def run(self, tensors: Sequence[Any]) -> Any:
        """Return the results, or `_MISSING` where something has changed."""
        if not _unchanged(self._names, self._modules):
            return _MISSING
        results = self.plan.run(tensors)
        if results is None:
            return _MISSING
        return results[0] if type(self._structure) is _Slot else _filled(self._structure, results)


class CapturedStep(Generic[P, R]):
    """A function whose repeated calls are one native call; made by `capture`."""

    def __init__(self, function: Callable[P, R]) -> None:
        if not callable(function):
            raise TypeError(f"capture: expected a function, got {type(function).__name__}")
        functools.update_wrapper(self, function, updated=())  # a module keeps its own attributes
        self._function = function
        self._seen: set[Any] = set()
        self._plans: OrderedDict[tuple[Any, int], _Recorded] = OrderedDict()
        self._numbers = itertools.count()
        self._latest: _Recorded | None = None  # of the plans for tensors alone, the one used last
        self._recordings = 0  # since the last repetition
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._refusal: str | None = None  # of a recording: it would be the next one's too

    @property
    def reason(self) -> str | None:
        """Why the last call that was not repeated natively ran in Python, or None."""
        return self._reason

    @property
    def plans(self) -> list[Any]:
        """The recorded plans, the most recently used last; ``plan.describe()`` prints one."""
        return [recorded.plan for recorded in self._plans.values()]

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        held = vars(instance)
        name = f"_captured_{self._function.__name__}"
        if name not in held:
            held[name] = CapturedStep(types.MethodType(self._function, instance))
        return held[name]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the step: in Python the first time, then recorded, then repeated."""
        if not kwargs and self._latest is not None and not _core._is_recording() and not _core._winograd_allowed():
            found: R = self._latest.run(args)
            if found is not _MISSING:
                return found
        result: R = self._called(args, kwargs)
        return result

    def _called(self, args: Any, kwargs: Any) -> Any:
        if _core._is_recording():  # part of a larger step
            return self._function(*args, **kwargs)
        tensors: list[Tensor] = []
        key: Any
        if not kwargs and all(type(value) is Tensor for value in args):  # a key by a shorter way
            tensors, key = [*args], len(args)
        else:
            try:
                key = _taken_apart((args, kwargs), tensors)
            except _UncomparedError as error:
                return self._eager(args, kwargs, str(error))
        if _core._winograd_allowed():
            key = (key, "winograd")
        for place, recorded in [*reversed(self._plans.items())]:  # a copy: other threads may call too
            if place[0] == key and (found := recorded.run(tensors)) is not _MISSING:
                self._recordings = 0
                if type(key) is int:
                    self._latest = recorded
                if place in self._plans:
                    self._plans.move_to_end(place)
                return found
        layouts = (key, tuple((tensor.shape, tensor.stride(), tensor.dtype) for tensor in tensors), _core.is_grad_enabled())
        if layouts not in self._seen:
            self._seen.add(layouts)
            return self._eager(args, kwargs, None)
        if self._refusal is not None:
            return self._eager(args, kwargs, self._refusal)
        if self._recordings >= _RECORDINGS:
            changes = "names, modules or lengths that it reads were not as before"
            return self._eager(args, kwargs, f"{_RECORDINGS} recordings in a row could not be repeated: {changes}")
        if any(tensor.is_cuda for tensor in tensors):
            return self._eager(args, kwargs, "steps on a CUDA device are not recorded")
        if any(tensor.requires_grad for tensor in tensors):
            return self._eager(args, kwargs, "an argument requires grad; make it a closed-over tensor")
        if not self._lock.acquire(blocking=False):  # another thread is recording
            return self._eager(args, kwargs, None)
        try:
            return self._record(key, args, kwargs, tensors)
        finally:
            self._lock.release()

    def _eager(self, args: Any, kwargs: Any, reason: str | None) -> Any:
        self._tell(reason, 5)
        return _rebuilt(self._function(*args, **kwargs), Tensor.detach)

    def _tell(self, reason: str | None, level: int) -> None:
        if reason is not None and reason != self._reason:
            name = getattr(self._function, "__qualname__", repr(self._function))
            warnings.warn(f"capture: {name} is run in Python each time: {reason}", stacklevel=level)
        self._reason = reason

    def _record(self, key: Any, args: Any, kwargs: Any, tensors: list[Tensor]) -> Any:
        self._recordings += 1
        inputs = [tensor.detach().clone() for tensor in tensors]
        if any(a.stride() != b.stride() for a, b in zip(tensors, inputs, strict=True)):
            return self._eager(args, kwargs, "an argument has gaps in memory; pass x.contiguous()")
        stand_ins = iter(inputs)
        args, kwargs = _rebuilt((args, kwargs), lambda _: next(stand_ins))
        names = _names_of(self._function)
        modules: dict[int, _Module] = {}

        def saw(module: Module) -> None:
            held = (module._parameters, module._buffers, module._modules)
            modules.setdefault(id(module), _Module(module, module.training, *(tuple(each.values()) for each in held)))

        recorder = _core._StepRecorder(inputs)
        recorder.begin()
        try:
            with modules_seen(saw):
                output = self._function(*args, **kwargs)
            output = _rebuilt(output, lambda x: x.detach().clone() if recorder.is_constant(x) else x.detach())
        finally:
            recorder.end()
        results: list[Tensor] = []

        def slot(tensor: Tensor) -> _Slot:
            results.append(tensor)
            return _Slot(len(results) - 1)

        structure = _rebuilt(output, slot)
        del args, kwargs
        if recorder.leaks(results):
            gc.collect()
        plan = recorder.finish(results)
        if plan is None:
            self._refused(recorder.why(), tensors, inputs)
            return output
        if not _unchanged(names, [*modules.values()]):
            self._refused("it changes a name that it reads, or a module", tensors, inputs)
            return output
        self._reason = None
        self._plans[key, next(self._numbers)] = _Recorded(plan, structure, list(modules.values()), names)
        if len(self._plans) > _PLANS:
            self._plans.popitem(last=False)
        return output

    def _refused(self, reason: str, tensors: list[Tensor], inputs: list[Tensor]) -> None:
        if reason.endswith("an argument in place"):
            for tensor, stand_in in zip(tensors, inputs, strict=True):
                if stand_in._version:  # it may be passed a second time, and that one not changed
                    tensor.copy_(stand_in)
        self._refusal = reason
        self._tell(reason, 6)


def capture(step: Callable[P, R]) -> CapturedStep[P, R]:
    """Return `step` so that repeated calls are done in one native call, with the same bits.

    The first call with arguments of some shapes and dtypes runs in Python, the second is recorded while it runs, later ones
    repeat what was recorded: kernels, checks of values, gradients of parameters, updates of optimizers. A step may hold a forward
    pass, ``backward``, clipping, several models and optimizers; or a forward pass alone.

    Parameters
    ----------
    step : callable
        A function of tensors (also in tuples, lists and dicts) and of other values, which are part of what is compared. Tensors
        it closes over are read where they live, so parameters, buffers, learning rates and random numbers go on as in Python.
        Other values that it reads while it is recorded, such as attributes, are frozen; names it reads are compared.

    Returns
    -------
    CapturedStep
        Called as `step`. Tensors it returns are detached from the graph, and are fresh ones in each call. ``.reason`` says why
        calls run in Python, if they do; ``.plans`` holds what was recorded.

    Warns
    -----
    UserWarning
        Once for each reason why the step cannot be repeated: it reads values (``item()``, ``bool()``), runs Python during
        backward (hooks, `autograd.Function`), keeps a tensor for later, changes an argument or the settings of an optimizer.

    Examples
    --------
    >>> import dnncore as dnn
    >>> model = dnn.nn.Linear(4, 1)
    >>> optimizer = dnn.optim.Adam(model.parameters(), lr=0.1)
    >>> @dnn.capture
    ... def step(x, y):
    ...     optimizer.zero_grad()
    ...     loss = dnn.nn.functional.mse_loss(model(x), y)
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> x, y = dnn.ones(8, 4), dnn.zeros(8, 1)
    >>> losses = [step(x, y).item() for _ in range(100)]
    >>> losses[-1] < losses[0], len(step.plans), step.reason
    (True, 1, None)
    """
    return CapturedStep(step)
