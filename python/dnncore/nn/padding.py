"""Padding layers: entries added at the ends of the spatial dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from dnncore import _core
from dnncore._core import Tensor
from dnncore.nn.module import Module


class _Pad(Module):
    _spatial: ClassVar[int]
    _mode: ClassVar[str]

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        sides = tuple(padding) if isinstance(padding, Sequence) else (padding,) * (2 * self._spatial)
        if len(sides) != 2 * self._spatial:
            raise ValueError(f"{type(self).__name__}: expected one padding or {2 * self._spatial}, got {sides}")
        self.padding = sides

    def forward(self, input: Tensor) -> Tensor:
        """Return the padded tensor."""
        if input.ndim not in (self._spatial + 1, self._spatial + 2):
            ranks = f"{self._spatial + 2} dimensions (N, C, ...) or {self._spatial + 1} (C, ...)"
            raise ValueError(f"{type(self).__name__}: expected an input of {ranks}, got shape {tuple(input.shape)}")
        return _core.pad(input, self.padding, self._mode, self._value())

    def _value(self) -> float | None:
        return None

    def extra_repr(self) -> str:
        """Return the padding."""
        return str(self.padding)


class _ConstantPad(_Pad):
    _mode = "constant"

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def _value(self) -> float:
        return self.value

    def extra_repr(self) -> str:
        """Return padding and value."""
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_Pad):
    _mode = "constant"


class ConstantPad1d(_ConstantPad):
    """Pads (N, C, L) or (C, L) with a value.

    Parameters
    ----------
    padding : int or sequence of int
        (left, right); negative numbers crop.
    value : float

    Raises
    ------
    ValueError
        If the padding does not fit the input.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.ConstantPad1d((2, 1), 7.0)(dnn.arange(1.0, 4.0).reshape(1, 1, 3)).flatten().tolist()
    [7.0, 7.0, 1.0, 2.0, 3.0, 7.0]
    """

    _spatial = 1


class ConstantPad2d(_ConstantPad):
    """Pads (N, C, H, W) or (C, H, W) with a value.

    Parameters
    ----------
    padding : int or sequence of int
        (left, right, top, bottom); negative numbers crop.
    value : float

    Raises
    ------
    ValueError
        If the padding does not fit the input.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.ConstantPad2d((2, 1, 0, 0), 7.0)(dnn.arange(1.0, 4.0).reshape(1, 1, 1, 3)).flatten().tolist()
    [7.0, 7.0, 1.0, 2.0, 3.0, 7.0]
    """

    _spatial = 2


class ConstantPad3d(_ConstantPad):
    """Pads (N, C, D, H, W) or (C, D, H, W) with a value.

    Parameters
    ----------
    padding : int or sequence of int
        (left, right, top, bottom, front, back); negative numbers crop.
    value : float

    Raises
    ------
    ValueError
        If the padding does not fit the input.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.ConstantPad3d((2, 1, 0, 0, 0, 0), 7.0)(dnn.arange(1.0, 4.0).reshape(1, 1, 1, 1, 3)).flatten().tolist()
    [7.0, 7.0, 1.0, 2.0, 3.0, 7.0]
    """

    _spatial = 3


class ZeroPad1d(_ZeroPad):
    """Pads (N, C, L) or (C, L) with zeros.

    Parameters
    ----------
    padding : int or sequence of int
        (left, right); negative numbers crop.

    Raises
    ------
    ValueError
        If the padding does not fit the input.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.ZeroPad1d((2, 1))(dnn.arange(1.0, 4.0).reshape(1, 1, 3)).flatten().tolist()
    [0.0, 0.0, 1.0, 2.0, 3.0, 0.0]
    """

    _spatial = 1


class ZeroPad2d(_ZeroPad):
    """Pads (N, C, H, W) or (C, H, W) with zeros.

    Parameters
    ----------
    padding : int or sequence of int
        (left, right, top, bottom); negative numbers crop.

    Raises
    ------
    ValueError
        If the padding does not fit the input.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.ZeroPad2d((2, 1, 0, 0))(dnn.arange(1.0, 4.0).reshape(1, 1, 1, 3)).flatten().tolist()
    [0.0, 0.0, 1.0, 2.0, 3.0, 0.0]
    """

    _spatial = 2


class ZeroPad3d(_ZeroPad):
    """Pads (N, C, D, H, W) or (C, D, H, W) with zeros.

    Parameters
    ----------
    padding : int or sequence of int
        (left, right, top, bottom, front, back); negative numbers crop.

    Raises
    ------
    ValueError
        If the padding does not fit the input.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.ZeroPad3d((2, 1, 0, 0, 0, 0))(dnn.arange(1.0, 4.0).reshape(1, 1, 1, 1, 3)).flatten().tolist()
    [0.0, 0.0, 1.0, 2.0, 3.0, 0.0]
    """

    _spatial = 3


class ReflectionPad1d(_Pad):
    """Pads (N, C, L) or (C, L) with what lies inside, mirrored without the edge.

    Parameters
    ----------
    padding : int or sequence of int
        (left, right).

    Raises
    ------
    ValueError
        If the padding does not fit the input.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.ReflectionPad1d((2, 1))(dnn.arange(1.0, 4.0).reshape(1, 1, 3)).flatten().tolist()
    [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]
    """

    _spatial = 1
    _mode = "reflect"


class ReflectionPad2d(_Pad):
    """Pads (N, C, H, W) or (C, H, W) with what lies inside, mirrored without the edge.

    Parameters
    ----------
    padding : int or sequence of int
        (left, right, top, bottom).

    Raises
    ------
    ValueError
        If the padding does not fit the input.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.ReflectionPad2d((2, 1, 0, 0))(dnn.arange(1.0, 4.0).reshape(1, 1, 1, 3)).flatten().tolist()
    [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]
    """

    _spatial = 2
    _mode = "reflect"


class ReflectionPad3d(_Pad):
    """Pads (N, C, D, H, W) or (C, D, H, W) with what lies inside, mirrored without the edge.

    Parameters
    ----------
    padding : int or sequence of int
        (left, right, top, bottom, front, back).

    Raises
    ------
    ValueError
        If the padding does not fit the input.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.ReflectionPad3d((2, 1, 0, 0, 0, 0))(dnn.arange(1.0, 4.0).reshape(1, 1, 1, 1, 3)).flatten().tolist()
    [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]
    """

    _spatial = 3
    _mode = "reflect"


class ReplicationPad1d(_Pad):
    """Pads (N, C, L) or (C, L) with the edge, repeated.

    Parameters
    ----------
    padding : int or sequence of int
        (left, right).

    Raises
    ------
    ValueError
        If the padding does not fit the input.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.ReplicationPad1d((2, 1))(dnn.arange(1.0, 4.0).reshape(1, 1, 3)).flatten().tolist()
    [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]
    """

    _spatial = 1
    _mode = "replicate"


class ReplicationPad2d(_Pad):
    """Pads (N, C, H, W) or (C, H, W) with the edge, repeated.

    Parameters
    ----------
    padding : int or sequence of int
        (left, right, top, bottom).

    Raises
    ------
    ValueError
        If the padding does not fit the input.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.ReplicationPad2d((2, 1, 0, 0))(dnn.arange(1.0, 4.0).reshape(1, 1, 1, 3)).flatten().tolist()
    [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]
    """

    _spatial = 2
    _mode = "replicate"


class ReplicationPad3d(_Pad):
    """Pads (N, C, D, H, W) or (C, D, H, W) with the edge, repeated.

    Parameters
    ----------
    padding : int or sequence of int
        (left, right, top, bottom, front, back).

    Raises
    ------
    ValueError
        If the padding does not fit the input.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.ReplicationPad3d((2, 1, 0, 0, 0, 0))(dnn.arange(1.0, 4.0).reshape(1, 1, 1, 1, 3)).flatten().tolist()
    [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]
    """

    _spatial = 3
    _mode = "replicate"


class CircularPad1d(_Pad):
    """Pads (N, C, L) or (C, L) with the other end.

    Parameters
    ----------
    padding : int or sequence of int
        (left, right).

    Raises
    ------
    ValueError
        If the padding does not fit the input.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.CircularPad1d((2, 1))(dnn.arange(1.0, 4.0).reshape(1, 1, 3)).flatten().tolist()
    [2.0, 3.0, 1.0, 2.0, 3.0, 1.0]
    """

    _spatial = 1
    _mode = "circular"


class CircularPad2d(_Pad):
    """Pads (N, C, H, W) or (C, H, W) with the other end.

    Parameters
    ----------
    padding : int or sequence of int
        (left, right, top, bottom).

    Raises
    ------
    ValueError
        If the padding does not fit the input.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.CircularPad2d((2, 1, 0, 0))(dnn.arange(1.0, 4.0).reshape(1, 1, 1, 3)).flatten().tolist()
    [2.0, 3.0, 1.0, 2.0, 3.0, 1.0]
    """

    _spatial = 2
    _mode = "circular"


class CircularPad3d(_Pad):
    """Pads (N, C, D, H, W) or (C, D, H, W) with the other end.

    Parameters
    ----------
    padding : int or sequence of int
        (left, right, top, bottom, front, back).

    Raises
    ------
    ValueError
        If the padding does not fit the input.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.CircularPad3d((2, 1, 0, 0, 0, 0))(dnn.arange(1.0, 4.0).reshape(1, 1, 1, 1, 3)).flatten().tolist()
    [2.0, 3.0, 1.0, 2.0, 3.0, 1.0]
    """

    _spatial = 3
    _mode = "circular"
