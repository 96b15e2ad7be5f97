"""What networks for sequences share: a recurrent layer, batch first, whose state may be carried from one call to the next."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from dnncore import _core, nn
from dnncore._checks import check_at_least, check_tensors
from dnncore._core import Tensor
from dnncore._grad_mode import no_grad

Cell: TypeAlias = Literal["lstm", "gru", "rnn"]
State: TypeAlias = tuple[Tensor, ...]  # (h,), of an LSTM (h, c)
CELLS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}


def recurrent_layer(
    name: str,
    cell: str,
    input_size: int,
    hidden_size: int,
    *,
    num_layers: int,
    dropout: float,
    memory: int | None,
    **options: Any,
) -> Any:
    """Return a recurrent layer, batch first, with the initial biases for a memory of so many steps."""
    if cell not in CELLS:
        raise ValueError(f"{name}: expected cell {' or '.join(map(repr, CELLS))}, got {cell!r}")
    check_at_least(name, 1, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
    layer_type = getattr(nn, CELLS[cell])
    between = dropout if num_layers > 1 else 0.0
    layer = layer_type(input_size, hidden_size, num_layers, batch_first=True, dropout=between, **options)
    return layer if memory is None else chrono_init(layer, memory)


def run(recurrent: Any, x: Tensor, state: State | None, lengths: Any = None) -> tuple[Tensor, State]:
    """Return the output of a recurrent layer and its final state, a tuple whatever the cell is."""
    single = not isinstance(recurrent, nn.LSTM)
    begin = None if state is None else state[0] if single else state
    y, end = recurrent(x, begin, lengths)
    return y, (end,) if single else end


def chrono_init(layer: Any, memory: int) -> Any:
    """Set the biases of gates so that an LSTM or GRU remembers over about `memory` steps from the beginning.

    The forget gate of an LSTM gets the bias ``log(u)`` with u uniform in ``[1, memory - 1]`` for each unit, its input gate the
    negative; the update gate of a GRU gets ``log(u)``. So the units forget within times spread from 1 to `memory` steps, where
    PyTorch's initial values, and these layers', forget half in each step. The second bias of these gates becomes 0.

    Parameters
    ----------
    layer : nn.LSTM or nn.GRU
        A layer with biases, of any number of layers and directions.
    memory : int
        Steps, at least 2.

    Returns
    -------
    Module
        The same layer.

    Raises
    ------
    ValueError
        If `memory` is below 2, the layer has no gates (`nn.RNN`) or no biases.

    References
    ----------
    C. Tallec, Y. Ollivier: Can recurrent neural networks warp time?, ICLR 2018, arXiv:1804.11188.

    Examples
    --------
    >>> from dnncore import models, nn
    >>> layer = models.chrono_init(nn.LSTM(2, 50), memory=100)
    >>> forget = (layer.bias_ih_l0 + layer.bias_hh_l0)[50:100].sigmoid()
    >>> 0.5 <= forget.min().item() < forget.max().item() < 0.99
    True
    """
    if not isinstance(layer, (nn.LSTM, nn.GRU)) or not layer.bias:
        got = type(layer).__name__ + (" without biases" if isinstance(layer, (nn.LSTM, nn.GRU)) else "")
        raise ValueError(f"chrono_init: expected an LSTM or GRU with biases, got {got}; a plain RNN has no gate to hold a state")
    if memory < 2:
        raise ValueError(f"chrono_init: expected memory of at least 2 steps, got {memory}")
    width = layer.hidden_size
    with no_grad():
        for name, first in [*layer.named_parameters()]:
            if not name.startswith("bias_ih"):
                continue
            second = getattr(layer, name.replace("ih", "hh"))
            times = (1 + (memory - 2) * _core.rand(width, dtype=first.dtype)).log()
            if isinstance(layer, nn.LSTM):  # i, f, g, o
                first[:width], first[width : 2 * width] = -times, times
                second[: 2 * width] = 0
            else:  # r, z, n
                first[width : 2 * width], second[width : 2 * width] = times, 0
    return layer


class SequenceNetwork(nn.Module):
    """A network around a recurrent layer: the base of the networks for sequences in `dnncore.models`.

    With `carry_state` a call in training mode begins with the state that the call before ended with, cut from its graph; that
    is what ``Model.fit(..., truncate=k)`` uses to train on sequences longer than it goes back through.

    Attributes
    ----------
    embedding : Embedding or None
        From tokens (N, T) to vectors (N, T, E); None where steps are numbers.
    recurrent : LSTM, GRU or RNN
        The recurrent layer, batch first.
    dropout : Dropout or None
        Before the head.
    head : Linear
        From states to the output.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> model = models.SequenceTagger(3, 2, hidden_size=8, cell="rnn")
    >>> x = dnn.randn(1, 6, 3)
    >>> whole = model(x)
    >>> model.carry_state(1)
    >>> pieces = [model(x[:, :4]), model(x[:, 4:])]
    >>> dnn.allclose(dnn.cat(pieces, 2), whole)
    True
    """

    embedding: Any
    recurrent: Any
    dropout: Any
    head: Any

    _memory: dict[Any, State] | None = None  # of carried states, by batch size and dtype; captured steps go on using it
    _carried: State | None = None  # the one in use

    def _set_parts(self, embedding: Any, recurrent: Any, dropout: float, head: Any) -> None:
        self.embedding, self.recurrent, self.head = embedding, recurrent, head
        self.dropout = nn.Dropout(dropout) if dropout else None

    def carry_state(self, batch_size: int | None) -> None:
        """Let the next call in training mode begin with zeros, and each one after it where the one before ended.

        Parameters
        ----------
        batch_size : int or None
            Sequences in each call; None lets every call begin with zeros again.

        Raises
        ------
        ValueError
            If the number is negative, or the network is bidirectional: what reads backwards would begin each piece with what it
            knows of the one before.
        """
        if batch_size is None:
            self._carried = None
            return
        check_at_least("carry_state", 0, batch_size=batch_size)
        if self.recurrent.bidirectional:
            raise ValueError(f"carry_state: a bidirectional {type(self).__name__} cannot read a sequence piece by piece")
        if self._memory is None:
            self._memory = {}
        key = batch_size, self.head.weight.dtype, self.head.weight.device
        if key not in self._memory:
            self._memory[key] = self._zeros(*key)
        self._carried = self._memory[key]
        with no_grad():
            for part in self._carried:
                part.zero_()

    def _zeros(self, batch_size: int, dtype: _core.dtype, device: _core.device) -> State:
        layer = self.recurrent
        rows = layer.num_layers * (1 + layer.bidirectional), batch_size
        widths = [getattr(layer, "proj_size", 0) or layer.hidden_size, layer.hidden_size]
        return tuple(_core.zeros(*rows, width, dtype=dtype, device=device) for width in widths[: 1 + isinstance(layer, nn.LSTM)])

    def run(self, input: Tensor, state: State | None = None, lengths: Any = None) -> tuple[Tensor, State]:
        """Return what the recurrent layer makes of a batch.

        Parameters
        ----------
        input : Tensor of shape (N, T) or (N, T, F)
            Tokens where there is an embedding, else numbers.
        state : tuple of Tensor, optional
            The state to begin with, as it is returned; zeros when not given.
        lengths : Tensor or sequence of int, optional
            Steps of each sequence, 0 to T; the rest is padding.

        Returns
        -------
        y : Tensor of shape (N, T, H)
            The state of the last layer after each step, of both directions where there are two.
        state : tuple of Tensor of shape (layers * directions, N, H)
            ``(h,)``, of an LSTM ``(h, c)``.
        """
        self._check_input(input)
        return run(self.recurrent, input if self.embedding is None else self.embedding(input), state, lengths)

    def _check_input(self, input: Tensor) -> None:
        name, tokens = type(self).__name__, self.embedding is not None
        check_tensors(name, input=input)
        if input.ndim != (2 if tokens else 3):
            wanted = "tokens of shape (N, T)" if tokens else f"numbers of shape (N, T, {self.recurrent.input_size})"
            raise ValueError(f"{name}: expected {wanted}, got shape {tuple(input.shape)}")

    def _carrying(self, input: Tensor, lengths: Any) -> tuple[Tensor, State]:
        """Run; where states are carried, from the last one."""
        kept = self._carried
        if kept is None or not self.training:
            return self.run(input, None, lengths)
        if kept[0].device != input.device:
            kept = self._carried = tuple(part.to(input.device) for part in kept)
        if input.shape[0] != kept[0].shape[1]:
            raise ValueError(
                f"{type(self).__name__}: expected {kept[0].shape[1]} sequences, as carry_state says, got {input.shape[0]}"
            )
        y, end = self.run(input, tuple(part.clone() for part in kept), lengths)
        with no_grad():
            for part, new in zip(kept, end, strict=True):
                part.copy_(new)
        return y, end

    def _headed(self, y: Tensor) -> Tensor:
        """Return the head of (dropped out) states."""
        out: Tensor = self.head(y if self.dropout is None else self.dropout(y))
        return out

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_memory": None, "_carried": None}


def embedded(name: str, input_size: int, embedding_dim: int | None) -> tuple[Any, int]:
    """Return the embedding of tokens, None where steps are numbers, and the width of what the recurrent layer gets."""
    if embedding_dim is None:
        return None, input_size
    check_at_least(name, 1, input_size=input_size, embedding_dim=embedding_dim)
    return nn.Embedding(input_size, embedding_dim), embedding_dim
