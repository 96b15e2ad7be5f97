"""Parameter: a tensor that a module trains; Buffer: one that it only keeps; both in a form without a shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dnncore import _core
from dnncore._core import Tensor


class Parameter(Tensor):
    """A tensor that, set as an attribute of a `Module`, becomes one of its parameters.

    Parameters
    ----------
    data : Tensor or array-like
        The values; a tensor's memory is shared.
    requires_grad : bool, default True
        Whether gradients are computed for it.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Parameter(dnn.zeros(3)).requires_grad
    True
    """

    def __new__(cls, data: Any, requires_grad: bool = True) -> Parameter:  # noqa: D102
        self = super().__new__(cls, data)
        self.requires_grad = requires_grad
        return self

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        """Everything is done by __new__, which fixes the memory."""

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that, set as an attribute of a `Module`, becomes one of its buffers: state that is not trained.

    Parameters
    ----------
    data : Tensor or array-like
        The values; a tensor's memory is shared.
    persistent : bool, default True
        Whether it belongs to the `state_dict`.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> module = nn.Module()
    >>> module.steps = nn.Buffer(dnn.zeros(1))
    >>> list(module.state_dict())
    ['steps']
    """

    persistent: bool

    def __new__(cls, data: Any, *, persistent: bool = True) -> Buffer:  # noqa: D102
        self = super().__new__(cls, data)
        self.persistent = persistent
        return self

    def __init__(self, data: Any, *, persistent: bool = True) -> None:
        """Everything is done by __new__, which fixes the memory."""


# What a tensor without a shape answers; everything else of a tensor would speak of memory it does not have.
_KNOWN = {"dtype", "device", "grad", "requires_grad", "requires_grad_", "is_floating_point"}
_UNKNOWN = frozenset(name for name in dir(Tensor) if not name.startswith("__")) - _KNOWN


class Uninitialized(Tensor):
    """What the two kinds of tensors without a shape share; the module's first call gives them one."""

    cls_to_become: type[Tensor]

    def __getattribute__(self, name: str) -> Any:
        if name in _UNKNOWN and isinstance(self, Uninitialized):
            raise RuntimeError(f"{name}: this tensor has no shape yet; run its module once on an input, or call materialize")
        return super().__getattribute__(name)

    def materialize(self, shape: Sequence[int], device: Any = None, dtype: _core.dtype | None = None) -> None:
        """Take memory of this shape, uninitialised, and become an ordinary one; the object stays the same."""
        kind = self.dtype if dtype is None else dtype
        _core._materialize(self, _core.empty(tuple(shape), device=self.device if device is None else device, dtype=kind))
        self.__class__ = self.cls_to_become  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class UninitializedParameter(Uninitialized, Parameter):
    """A parameter whose shape is not known yet; a lazy module gives it one at its first call.

    Parameters
    ----------
    requires_grad : bool, default True
        Whether gradients will be computed for it.
    device : device, optional
        Where its memory will be.
    dtype : dtype, optional
        Of the elements; float32 when not given.

    Examples
    --------
    >>> from dnncore import nn
    >>> weight = nn.UninitializedParameter()
    >>> weight.materialize((2, 3))
    >>> type(weight).__name__, weight.shape
    ('Parameter', (2, 3))
    """

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: _core.dtype | None = None) -> Any:  # noqa: D102
        kind = _core.float32 if dtype is None else dtype
        return Parameter.__new__(cls, _core.empty((0,), device=device, dtype=kind), requires_grad)

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: _core.dtype | None = None) -> None:
        """Everything is done by __new__, which fixes the memory."""


class UninitializedBuffer(Uninitialized, Buffer):
    """A buffer whose shape is not known yet; a lazy module gives it one at its first call.

    Parameters
    ----------
    requires_grad : bool, default False
        Only False: a buffer is not trained.
    device : device, optional
        Where its memory will be.
    dtype : dtype, optional
        Of the elements; float32 when not given.
    persistent : bool, default True
        Whether it belongs to the `state_dict`.

    Examples
    --------
    >>> from dnncore import nn
    >>> mean = nn.UninitializedBuffer()
    >>> mean.materialize((3,))
    >>> type(mean).__name__, mean.shape
    ('Buffer', (3,))
    """

    cls_to_become = Buffer

    def __new__(  # noqa: D102
        cls, requires_grad: bool = False, device: Any = None, dtype: _core.dtype | None = None, persistent: bool = True
    ) -> Any:
        if requires_grad:
            raise ValueError("UninitializedBuffer: expected requires_grad=False, got True; a buffer is not trained")
        kind = _core.float32 if dtype is None else dtype
        return Buffer.__new__(cls, _core.empty((0,), device=device, dtype=kind), persistent=persistent)

    def __init__(
        self, requires_grad: bool = False, device: Any = None, dtype: _core.dtype | None = None, persistent: bool = True
    ) -> None:
        """Everything is done by __new__, which fixes the memory."""


def is_lazy(value: object) -> bool:
    """Whether `value` is a parameter or buffer without a shape."""
    return isinstance(value, Uninitialized)


_replacements = 0


def replacements() -> int:
    """Return how often a module has put a new parameter in the place of an old one."""
    return _replacements


def replace(old: Parameter) -> None:
    """Note that a new parameter stands in the place of `old`, so that an optimizer of the old one can say so."""
    global _replacements
    old.__dict__["_replaced"] = True
    _replacements += 1


def is_replaced(parameter: Tensor) -> bool:
    """Whether the module of `parameter` has put another one in its place."""
    return isinstance(parameter, Parameter) and "_replaced" in parameter.__dict__
