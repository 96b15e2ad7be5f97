"""Recurrent layers over whole sequences."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias

from dnncore import _core
from dnncore._checks import checked_size
from dnncore._core import Tensor
from dnncore.nn import init
from dnncore.nn.module import Module
from dnncore.nn.parameter import Parameter
from dnncore.nn.utils.rnn import PackedSequence

Lengths: TypeAlias = Sequence[int] | Tensor
Sequences: TypeAlias = Tensor | PackedSequence
States: TypeAlias = tuple[Tensor | None, Tensor | None]  # h and c as an LSTM takes them; None for zeros

# What the native call takes of each layer and direction, in this order; None where there is none.
WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "weight_ch")


def checked_nonlinearity(layer: str, nonlinearity: str) -> str:
    """Return "tanh" or "relu"."""
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"{layer}: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}")
    return nonlinearity


def checked_state(layer: str, name: str, state: object) -> Tensor | None:
    """Return a state, a tensor or None."""
    if state is not None and not isinstance(state, Tensor):
        raise TypeError(f"{layer}: expected {name} as a Tensor, got {type(state).__name__}")
    return state


def checked_pair(layer: str, names: tuple[str, str], states: object) -> States:
    """Return the two states of an LSTM."""
    if states is None:
        return None, None
    if not isinstance(states, (tuple, list)) or len(states) != 2:
        raise TypeError(f"{layer}: expected hx as a pair ({', '.join(names)}), got {type(states).__name__}")
    return checked_state(layer, names[0], states[0]), checked_state(layer, names[1], states[1])


class RNNBase(Module):
    """What `RNN`, `LSTM` and `GRU` share: parameters, their names, and the call of the native layer."""

    _layer: ClassVar[str]
    _gates: ClassVar[int]
    _cell: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        device: Any,
        dtype: _core.dtype | None,
        proj_size: int = 0,
        peephole: bool = False,
    ) -> None:
        super().__init__()
        self.input_size = checked_size(self._layer, "input_size", input_size)
        self.hidden_size = checked_size(self._layer, "hidden_size", hidden_size, 1)
        self.num_layers = checked_size(self._layer, "num_layers", num_layers, 1)
        self.bias = bool(bias)
        self.batch_first = bool(batch_first)
        self.dropout = self._checked_dropout(dropout)
        self.bidirectional = bool(bidirectional)
        self.proj_size = checked_size(self._layer, "proj_size", proj_size)
        self.peephole = bool(peephole)
        if self.proj_size >= self.hidden_size:
            limit = f"below hidden_size={self.hidden_size}"
            raise ValueError(f"{self._layer}: expected proj_size {limit}, or 0 for none, got proj_size={self.proj_size}")
        factory: dict[str, Any] = {"device": device, "dtype": _core.float32 if dtype is None else dtype}
        self._names: list[str | None] = []
        for number in range(self.num_layers):
            self._add_parameters(number, f"_l{number}", factory)
            if self.bidirectional:
                self._add_parameters(number, f"_l{number}_reverse", factory)
        self.reset_parameters()

    def _checked_dropout(self, dropout: object) -> float:
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)):
            raise TypeError(f"{self._layer}: expected dropout as a number from 0 to 1, got {type(dropout).__name__}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"{self._layer}: expected dropout from 0 to 1, got dropout={dropout}")
        if dropout > 0 and self.num_layers == 1:
            text = f"{self._layer}: dropout acts between layers: dropout={dropout} does nothing with num_layers=1"
            warnings.warn(text, stacklevel=4)
        return float(dropout)

    def _add_parameters(self, number: int, suffix: str, factory: dict[str, Any]) -> None:
        rows, out = self._gates * self.hidden_size, self.proj_size or self.hidden_size
        features = self.input_size if number == 0 else out * (1 + self.bidirectional)
        shapes = {
            "weight_ih": (rows, features),
            "weight_hh": (rows, out),
            "bias_ih": (rows,) if self.bias else None,
            "bias_hh": (rows,) if self.bias else None,
            "weight_hr": (self.proj_size, self.hidden_size) if self.proj_size else None,
            "weight_ch": (3, self.hidden_size) if self.peephole else None,
        }
        for name in WEIGHTS:
            shape = shapes[name]
            self._names.append(None if shape is None else name + suffix)
            if shape is not None:
                self.register_parameter(name + suffix, Parameter(_core.empty(shape, **factory)))

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    @property
    def mode(self) -> str:
        """The kind of cell, as PyTorch names it: "LSTM", "GRU", "RNN_TANH" or "RNN_RELU"."""
        return self._layer if self._layer != "RNN" else f"RNN_{self._cell.upper()}"

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters of each layer and direction."""
        groups = [self._names[i : i + len(WEIGHTS)] for i in range(0, len(self._names), len(WEIGHTS))]
        return [[getattr(self, name) for name in group if name is not None] for group in groups]

    def flatten_parameters(self) -> None:
        """Do nothing: no parameter needs to be moved. For code written for PyTorch."""

    def _weights(self) -> list[Tensor | None]:
        own: Any = self._parameters  # attribute access would search three tables
        try:
            return [None if name is None else own[name] for name in self._names]
        except KeyError:  # computed from other parameters: weight_norm and its kin
            return [None if name is None else getattr(self, name) for name in self._names]

    def _run(
        self, input: Sequences, h0: Tensor | None, c0: Tensor | None, lengths: Lengths | None
    ) -> tuple[Any, Tensor, Tensor | None]:
        """Return the output, packed where the input is, and the final states."""
        dropout = self.dropout if self.training else 0.0
        settings = (self._cell, self._weights(), self.num_layers, self.bidirectional, dropout)
        if not isinstance(input, PackedSequence):
            if not isinstance(input, Tensor):
                raise TypeError(f"{self._layer}: expected a Tensor or a PackedSequence as input, got {type(input).__name__}")
            return _core._recurrent(self._layer, input, h0, c0, *settings, self.batch_first, lengths)
        if lengths is not None:
            raise ValueError(f"{self._layer}: a PackedSequence has its lengths: call without lengths")
        data, sizes, order, back = input
        output, h_n, c_n = _core._recurrent_packed(self._layer, data, sizes, order, back, h0, c0, *settings)
        return input._replace(data=output), h_n, c_n

    def extra_repr(self) -> str:
        """Return the sizes and what differs from the defaults."""
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        for name, value in (defaults | {"peephole": False}).items():
            if getattr(self, name) != value:
                text += f", {name}={getattr(self, name)}"
        return text + (", nonlinearity=relu" if self._cell == "relu" else "")


class LSTM(RNNBase):
    r"""Long short-term memory: layers of cells that keep what they want to keep.

    At each step, with sigma the sigmoid and * element by element::

        i = sigma(W_ii x + b_ii + W_hi h + b_hi)     f = sigma(W_if x + b_if + W_hf h + b_hf)
        g = tanh(W_ig x + b_ig + W_hg h + b_hg)      o = sigma(W_io x + b_io + W_ho h + b_ho)
        c = f * c + i * g                            h = o * tanh(c)

    A layer and direction is one native call over all steps. Each layer's input is the output of the layer below; with
    `bidirectional` a second set of weights reads the sequence from its end, and both outputs lie side by side. All parameters are
    drawn from U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)), as in PyTorch; the notes say how to start otherwise.

    Parameters
    ----------
    input_size : int
        Features of the input.
    hidden_size : int
        Units of each layer and direction, H below.
    num_layers : int, default 1
        Layers on top of each other.
    bias : bool, default True
        Whether to add biases.
    batch_first : bool, default False
        Whether input and output are (batch, steps, features); the states are not.
    dropout : float, default 0
        Probability of dropping an output of a layer other than the last, in training.
    bidirectional : bool, default False
        Whether to read the sequence in both directions.
    proj_size : int, default 0
        Size of a linear map of h after each step, below `hidden_size`; 0 for none. P below is `proj_size`, or H without one.
    device : device, optional
        Where the parameters are; only the CPU.
    dtype : dtype, optional
        Of the parameters; float32 when not given.
    peephole : bool, default False
        Whether the gates see the cell: c of the step before for i and f, the new c for o. Not in PyTorch.

    Attributes
    ----------
    weight_ih_l[k], weight_hh_l[k] : Parameter of shape (4 H, features) and (4 H, P)
        Rows of i, f, g and o below each other, for layer k; with ``_reverse`` at the end, of the other direction.
    bias_ih_l[k], bias_hh_l[k] : Parameter of shape (4 H,)
    weight_hr_l[k] : Parameter of shape (P, H), with `proj_size`
    weight_ch_l[k] : Parameter of shape (3, H), with `peephole`
        The factors of c in i, f and o.

    Notes
    -----
    A forget gate that starts open remembers longer (Jozefowicz et al.), and orthogonal recurrent weights keep gradients in size;
    the second example sets both. The sum of the two biases counts, so one of them is 1 and the other 0.

    Without a step the output is empty and the final states are the initial ones; PyTorch refuses such an input.

    References
    ----------
    S. Hochreiter, J. Schmidhuber: Long short-term memory, 1997. F. Gers, J. Schmidhuber: Recurrent nets that time and count, 2000
    (peepholes). H. Sak, A. Senior, F. Beaufays: Long short-term memory based recurrent neural network architectures, 2014
    (projections). R. Jozefowicz, W. Zaremba, I. Sutskever: An empirical exploration of recurrent network architectures, 2015.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> lstm = nn.LSTM(10, 20, num_layers=2, batch_first=True)
    >>> output, (h_n, c_n) = lstm(dnn.randn(3, 5, 10), lengths=[5, 0, 2])
    >>> output.shape, h_n.shape
    ((3, 5, 20), (2, 3, 20))

    An open forget gate and orthogonal recurrent weights:

    >>> size = lstm.hidden_size
    >>> with dnn.no_grad():
    ...     for name, parameter in lstm.named_parameters():
    ...         gates = parameter.chunk(4)
    ...         if name.startswith("weight_hh"):
    ...             gates = [nn.init.orthogonal_(gate) for gate in gates]
    ...         elif name.startswith("bias_ih"):
    ...             gates = [nn.init.zeros_(gates[0]), nn.init.ones_(gates[1]), *map(nn.init.zeros_, gates[2:])]
    ...         elif name.startswith("bias_hh"):
    ...             gates = [nn.init.zeros_(parameter)]
    >>> lstm.bias_ih_l0[size : 2 * size].mean().item()
    1.0
    """

    _layer = "LSTM"
    _cell = "lstm"
    _gates = 4

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: _core.dtype | None = None,
        *,
        peephole: bool = False,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device,
            dtype,
            proj_size=proj_size,
            peephole=peephole,
        )

    def forward(
        self, input: Sequences, hx: States | None = None, lengths: Lengths | None = None
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        """Run over the sequences.

        Parameters
        ----------
        input : Tensor of shape (T, B, input_size), (B, T, input_size) with `batch_first`, or (T, input_size); or PackedSequence
        hx : tuple of h_0 and c_0, of shape (num_layers * directions, B, P) and (num_layers * directions, B, H), optional
            The initial states, without B for an input of two dimensions; zeros when not given, or where one is None.
        lengths : sequence of int or Tensor of B whole numbers, optional
            The steps that count of each sequence, from 0 to T, in any order. Others cost nothing: the output there is 0, and the
            final states are those after a sequence's last step. Results are those of each sequence alone, bit for bit.

        Returns
        -------
        output : Tensor of shape (T, B, directions * P), or as the input is
        (h_n, c_n) : the final states, of the shapes of the initial ones

        Raises
        ------
        ValueError
            If a shape does not fit, or a length is not from 0 to T.
        TypeError
            If a dtype does not fit.
        """
        h0, c0 = checked_pair("LSTM", ("h0", "c0"), hx)
        output, h_n, c_n = self._run(input, h0, c0, lengths)
        assert c_n is not None
        return output, (h_n, c_n)


class _OneState(RNNBase):
    """A layer whose only state is its output."""

    def forward(self, input: Sequences, hx: Tensor | None = None, lengths: Lengths | None = None) -> tuple[Any, Tensor]:
        """Run over the sequences.

        Parameters
        ----------
        input : Tensor of shape (T, B, input_size), (B, T, input_size) with `batch_first`, or (T, input_size); or PackedSequence
        hx : Tensor of shape (num_layers * directions, B, H), optional
            The initial state, without B for an input of two dimensions; zeros when not given.
        lengths : sequence of int or Tensor of B whole numbers, optional
            As of `LSTM`.

        Returns
        -------
        output : Tensor of shape (T, B, directions * H), or as the input is
        h_n : Tensor, the final state, of the shape of the initial one

        Raises
        ------
        ValueError
            If a shape does not fit, or a length is not from 0 to T.
        TypeError
            If a dtype does not fit.
        """
        output, h_n, _ = self._run(input, checked_state(self._layer, "hx", hx), None, lengths)
        return output, h_n


class GRU(_OneState):
    r"""Gated recurrent units; `LSTM` describes the parameters.

    At each step, with sigma the sigmoid and * element by element::

        r = sigma(W_ir x + b_ir + W_hr h + b_hr)     z = sigma(W_iz x + b_iz + W_hz h + b_hz)
        n = tanh(W_in x + b_in + r * (W_hn h + b_hn))
        h = (1 - z) * n + z * h

    The reset gate multiplies the product, as in PyTorch; in the paper it multiplies h.

    Parameters
    ----------
    input_size, hidden_size : int
    num_layers, bias, batch_first, dropout, bidirectional, device, dtype
        As of `LSTM`.

    Attributes
    ----------
    weight_ih_l[k], weight_hh_l[k] : Parameter of shape (3 H, features) and (3 H, H)
        Rows of r, z and n below each other, for layer k; with ``_reverse`` at the end, of the other direction.
    bias_ih_l[k], bias_hh_l[k] : Parameter of shape (3 H,)

    References
    ----------
    K. Cho et al.: Learning phrase representations using RNN encoder-decoder for statistical machine translation, 2014.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> output, h_n = nn.GRU(10, 20, bidirectional=True)(dnn.zeros(5, 3, 10))
    >>> output.shape, h_n.shape
    ((5, 3, 40), (2, 3, 20))
    """

    _layer = "GRU"
    _cell = "gru"
    _gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype)


class RNN(_OneState):
    r"""The plain recurrent network of Elman; `LSTM` describes the parameters.

    At each step ``h = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or with max(0, .) in place of tanh.

    Parameters
    ----------
    input_size, hidden_size : int
    num_layers : int, default 1
    nonlinearity : {"tanh", "relu"}, default "tanh"
    bias, batch_first, dropout, bidirectional, device, dtype
        As of `LSTM`.

    Attributes
    ----------
    weight_ih_l[k], weight_hh_l[k] : Parameter of shape (H, features) and (H, H)
        Of layer k; with ``_reverse`` at the end, of the other direction.
    bias_ih_l[k], bias_hh_l[k] : Parameter of shape (H,)

    References
    ----------
    J. Elman: Finding structure in time, 1990.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> output, h_n = nn.RNN(10, 20, nonlinearity="relu")(dnn.zeros(5, 10))
    >>> output.shape, h_n.shape
    ((5, 20), (1, 20))
    """

    _layer = "RNN"
    _gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype)
        self._cell = self.nonlinearity = checked_nonlinearity("RNN", nonlinearity)
