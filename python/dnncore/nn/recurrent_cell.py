"""One step of recurrent layers."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from dnncore import _core
from dnncore._checks import checked_size
from dnncore._core import Tensor
from dnncore.nn import init
from dnncore.nn.module import Module
from dnncore.nn.parameter import Parameter
from dnncore.nn.recurrent import States, checked_nonlinearity, checked_pair, checked_state


class RNNCellBase(Module):
    """What the cells share: parameters, and the native step."""

    _layer: ClassVar[str]
    _gates: ClassVar[int]
    _cell: str
    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool, device: Any, dtype: _core.dtype | None) -> None:
        super().__init__()
        self.input_size = checked_size(self._layer, "input_size", input_size)
        self.hidden_size = checked_size(self._layer, "hidden_size", hidden_size, 1)
        self.bias = bool(bias)
        factory: dict[str, Any] = {"device": device, "dtype": _core.float32 if dtype is None else dtype}
        rows = self._gates * self.hidden_size
        self.weight_ih = Parameter(_core.empty((rows, self.input_size), **factory))
        self.weight_hh = Parameter(_core.empty((rows, self.hidden_size), **factory))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(_core.empty((rows,), **factory)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _step(self, input: Tensor, h: Tensor | None, c: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if not isinstance(input, Tensor):
            raise TypeError(f"{self._layer}: expected a Tensor as input, got {type(input).__name__}")
        own: Any = self._parameters  # attribute access would search three tables
        try:
            weights = [own["weight_ih"], own["weight_hh"], own["bias_ih"], own["bias_hh"], None, None]
        except KeyError:  # computed from other parameters: weight_norm and its kin
            weights = [self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, None, None]
        return _core._recurrent_step(self._layer, input, h, c, self._cell, weights)

    def extra_repr(self) -> str:
        """Return the sizes and what differs from the defaults."""
        text = f"{self.input_size}, {self.hidden_size}"
        return text + ("" if self.bias else ", bias=False") + (", nonlinearity=relu" if self._cell == "relu" else "")


class LSTMCell(RNNCellBase):
    """One step of an LSTM; `LSTM` says what it computes and runs over whole sequences at once, which is faster.

    Parameters
    ----------
    input_size : int
        Features of the input.
    hidden_size : int
        Units, H below.
    bias : bool, default True
        Whether to add biases.
    device : device, optional
        Where the parameters are; only the CPU.
    dtype : dtype, optional
        Of the parameters; float32 when not given.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter of shape (4 H, input_size) and (4 H, H)
    bias_ih, bias_hh : Parameter of shape (4 H,), or None

    Notes
    -----
    Weights of float16 or bfloat16 are converted to float32 at every call, as a cell of any kind does; a layer converts them once
    for all steps.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> cell = nn.LSTMCell(10, 20)
    >>> h, c = cell(dnn.zeros(3, 10))
    >>> h, c = cell(dnn.zeros(3, 10), (h, c))
    >>> h.shape
    (3, 20)
    """

    _layer = "LSTMCell"
    _cell = "lstm"
    _gates = 4

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: _core.dtype | None = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: States | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, input_size) or (input_size,) and a pair of (B, H) or (H,), zeros when not given, to the next h, c."""
        h, c = self._step(input, *checked_pair("LSTMCell", ("hx", "cx"), hx))
        assert c is not None
        return h, c


class GRUCell(RNNCellBase):
    """One step of a GRU; `GRU` says what it computes and runs over whole sequences at once, which is faster.

    Parameters
    ----------
    input_size, hidden_size, bias, device, dtype
        As of `LSTMCell`.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter of shape (3 H, input_size) and (3 H, H)
    bias_ih, bias_hh : Parameter of shape (3 H,), or None

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.GRUCell(10, 20)(dnn.zeros(3, 10), dnn.zeros(3, 20)).shape
    (3, 20)
    """

    _layer = "GRUCell"
    _cell = "gru"
    _gates = 3

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: _core.dtype | None = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Map (B, input_size) or (input_size,) and a state of shape (B, H) or (H,), zeros when not given, to the next state."""
        return self._step(input, checked_state("GRUCell", "hx", hx), None)[0]


class RNNCell(RNNCellBase):
    """One step of a plain recurrent network; `RNN` says what it computes and runs over whole sequences at once, which is faster.

    Parameters
    ----------
    input_size, hidden_size, bias, device, dtype
        As of `LSTMCell`.
    nonlinearity : {"tanh", "relu"}, default "tanh"

    Attributes
    ----------
    weight_ih, weight_hh : Parameter of shape (H, input_size) and (H, H)
    bias_ih, bias_hh : Parameter of shape (H,), or None

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.RNNCell(10, 20, nonlinearity="relu")(dnn.zeros(10)).shape
    (20,)
    """

    _layer = "RNNCell"
    _gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self._cell = self.nonlinearity = checked_nonlinearity("RNNCell", nonlinearity)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Map (B, input_size) or (input_size,) and a state of shape (B, H) or (H,), zeros when not given, to the next state."""
        return self._step(input, checked_state("RNNCell", "hx", hx), None)[0]
