"""Networks that give a sequence one class, or each of its steps one."""

from __future__ import annotations

from typing import Any

from dnncore import _core, nn
from dnncore._checks import check_at_least
from dnncore._core import Tensor
from dnncore.models._sequence import Cell, SequenceNetwork, embedded, recurrent_layer


class SequenceClassifier(SequenceNetwork):
    """A recurrent network that reads a sequence and then says one thing about it: a class, or numbers.

    The head gets the state of the last layer after the last step; of a bidirectional network that of both directions, each at
    its own end.

    Parameters
    ----------
    input_size : int
        Numbers per step; with `embedding_dim` the number of different tokens.
    num_classes : int
        Outputs: classes, or numbers of a regression.
    hidden_size : int, default 128
        Units per layer and direction.
    embedding_dim : int, optional
        Steps are tokens, which become vectors of this many numbers; not given, steps are numbers.
    cell : {"lstm", "gru", "rnn"}, default "lstm"
    num_layers : int, default 1
    dropout : float, default 0
        Between layers and before the head.
    bidirectional : bool, default False
        Whether another network reads backwards.
    memory : int, optional
        Steps over which to remember from the beginning, see `chrono_init`.

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    S. Hochreiter, J. Schmidhuber: Long short-term memory, Neural Computation 9, 1997; A. Graves, J. Schmidhuber: Framewise
    phoneme classification with bidirectional LSTM and other neural network architectures, Neural Networks 18, 2005.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> model = models.SequenceClassifier(8, 4, hidden_size=32, embedding_dim=16)
    >>> tokens = dnn.randint(8, (5, 20))
    >>> model(tokens).shape, sum(p.numel() for p in model.parameters())
    ((5, 4), 6660)
    >>> model(tokens, lengths=[20, 3, 7, 1, 20]).shape
    (5, 4)
    """

    def __init__(
        self,
        input_size: int,
        num_classes: int,
        hidden_size: int = 128,
        *,
        embedding_dim: int | None = None,
        cell: Cell = "lstm",
        num_layers: int = 1,
        dropout: float = 0.0,
        bidirectional: bool = False,
        memory: int | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_at_least(name, 1, num_classes=num_classes)
        embedding, width = embedded(name, input_size, embedding_dim)
        recurrent = recurrent_layer(
            *(name, cell, width, hidden_size),
            num_layers=num_layers,
            dropout=dropout,
            memory=memory,
            bidirectional=bidirectional,
        )
        self._set_parts(embedding, recurrent, dropout, nn.Linear(hidden_size * (1 + bidirectional), num_classes))

    def forward(self, input: Tensor, lengths: Any = None) -> Tensor:
        """Return the outputs (N, num_classes) of sequences (N, T, input_size), or (N, T) of tokens.

        Parameters
        ----------
        input : Tensor
            The batch.
        lengths : Tensor or sequence of int, optional
            Steps of each sequence, 0 to T; the rest is padding.
        """
        _, state = self._carrying(input, lengths)
        last = state[0]  # (layers * directions, N, H)
        return self._headed(_core.cat([last[-2], last[-1]], 1) if self.recurrent.bidirectional else last[-1])


class SequenceTagger(SequenceClassifier):
    """A recurrent network that says something about each step of a sequence: a class, or numbers.

    Parameters
    ----------
    input_size, num_classes, hidden_size, embedding_dim, cell, num_layers, dropout, bidirectional, memory
        As of `SequenceClassifier`.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Notes
    -----
    The output is (N, num_classes, T), as `nn.CrossEntropyLoss` takes it with targets (N, T). With `lengths`, let the targets of
    the padding be -100, which the loss and the accuracy leave out.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> model = models.SequenceTagger(10, 3, hidden_size=16, embedding_dim=4, bidirectional=True)
    >>> model(dnn.randint(10, (2, 7)), lengths=[7, 4]).shape
    (2, 3, 7)
    """

    def forward(self, input: Tensor, lengths: Any = None) -> Tensor:
        """Return the outputs (N, num_classes, T) of sequences (N, T, input_size), or (N, T) of tokens.

        Parameters
        ----------
        input : Tensor
            The batch.
        lengths : Tensor or sequence of int, optional
            Steps of each sequence, 0 to T; outputs beyond are those of a state of zeros.
        """
        return self._headed(self._carrying(input, lengths)[0]).transpose(1, 2)
