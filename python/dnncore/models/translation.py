"""From one sequence to another: encoder, decoder, and attention between them."""

from __future__ import annotations

import math
from typing import Any, Literal

from dnncore import _core, nn
from dnncore._checks import check_at_least, check_tensors
from dnncore._core import Tensor
from dnncore.models._sequence import Cell, State, embedded, recurrent_layer, run
from dnncore.nn import functional


class _Attention(nn.Module):
    """What the kinds of attention share; they differ in their scores."""

    combine: Any

    def _scores(self, decoder: Tensor, encoder: Tensor) -> Tensor:
        """Return (N, T, S) from (N, T, H) and (N, S, H)."""
        raise NotImplementedError

    def weights(self, decoder: Tensor, encoder: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Return how much each step of the decoder looks at each of the encoder: (N, T, S), sums over S are 1.

        Parameters
        ----------
        decoder : Tensor of shape (N, T, H)
        encoder : Tensor of shape (N, S, H)
        hidden : Tensor of shape (N, S), bool, optional
            Steps of the encoder that are padding; not all of a sequence.
        """
        scores = self._scores(decoder, encoder)
        if hidden is not None:
            scores = scores.masked_fill(hidden.unsqueeze(1), -math.inf)
        return scores.softmax(2)

    def forward(self, decoder: Tensor, encoder: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Return the states of the decoder with what they looked at, (N, T, H); arguments as of `weights`."""
        context = self.weights(decoder, encoder, hidden) @ encoder
        combined: Tensor = self.combine(_core.cat([context, decoder], 2))
        return combined.tanh()


class LuongAttention(_Attention):
    """Attention of a decoder to what an encoder said at each step, in the general form of Luong.

    ``a[t, s] = softmax_s(h[t] W e[s])``, ``context[t] = sum_s a[t, s] e[s]``, ``result[t] = tanh(V [context[t]; h[t]])`` with
    states h of the decoder and e of the encoder.

    Parameters
    ----------
    hidden_size : int
        Width of both.

    Raises
    ------
    ValueError
        If the width is below 1.

    References
    ----------
    M.-T. Luong, H. Pham, C. D. Manning: Effective approaches to attention-based neural machine translation, EMNLP 2015.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> attention = models.LuongAttention(8)
    >>> decoder, encoder = dnn.randn(2, 3, 8), dnn.randn(2, 5, 8)
    >>> attention(decoder, encoder).shape, attention.weights(decoder, encoder).shape
    ((2, 3, 8), (2, 3, 5))
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        check_at_least("LuongAttention", 1, hidden_size=hidden_size)
        self.score: Any = nn.Linear(hidden_size, hidden_size, bias=False)
        self.combine = nn.Linear(2 * hidden_size, hidden_size, bias=False)

    def _scores(self, decoder: Tensor, encoder: Tensor) -> Tensor:
        scores: Tensor = self.score(decoder) @ encoder.transpose(1, 2)
        return scores


class BahdanauAttention(_Attention):
    """Attention with the additive scores of Bahdanau; all else is that of `LuongAttention`.

    ``a[t, s] = softmax_s(v . tanh(W h[t] + U e[s]))``. As in `LuongAttention`, h[t] is the state after step t, where Bahdanau has
    the one before it and feeds the context into the step: so all steps of a target are one call. It takes memory for
    (N, T, S, H) numbers.

    Parameters
    ----------
    hidden_size : int
        Width of both, and of the scores.

    Raises
    ------
    ValueError
        If the width is below 1.

    References
    ----------
    D. Bahdanau, K. Cho, Y. Bengio: Neural machine translation by jointly learning to align and translate, ICLR 2015.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> attention = models.BahdanauAttention(8)
    >>> decoder, encoder = dnn.randn(2, 3, 8), dnn.randn(2, 5, 8)
    >>> attention(decoder, encoder).shape, attention.weights(decoder, encoder).shape
    ((2, 3, 8), (2, 3, 5))
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        check_at_least("BahdanauAttention", 1, hidden_size=hidden_size)
        self.query: Any = nn.Linear(hidden_size, hidden_size, bias=False)
        self.key: Any = nn.Linear(hidden_size, hidden_size, bias=False)
        self.score: Any = nn.Linear(hidden_size, 1, bias=False)
        self.combine = nn.Linear(2 * hidden_size, hidden_size, bias=False)

    def _scores(self, decoder: Tensor, encoder: Tensor) -> Tensor:
        both: Tensor = self.query(decoder).unsqueeze(2) + self.key(encoder).unsqueeze(1)  # (N, T, S, H)
        scores: Tensor = self.score(both.tanh()).squeeze(3)
        return scores


ATTENTIONS = {"luong": LuongAttention, "bahdanau": BahdanauAttention}


class TeacherForcing(nn.Module):
    """Chooses what a decoder reads next: in training the right token with probability `ratio`, else the one it said itself.

    In evaluation mode it is the right token.

    Parameters
    ----------
    ratio : float
        From 0 to 1.

    References
    ----------
    S. Bengio, O. Vinyals, N. Jaitly, N. Shazeer: Scheduled sampling for sequence prediction with recurrent neural networks, NIPS
    2015.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> right, said = dnn.tensor([1, 2, 3]), dnn.tensor([7, 8, 9])
    >>> models.TeacherForcing(0.0)(right, said)
    tensor([7, 8, 9])
    >>> models.TeacherForcing(0.0).eval()(right, said)
    tensor([1, 2, 3])
    """

    def __init__(self, ratio: float) -> None:
        super().__init__()
        if not 0 <= ratio <= 1:
            raise ValueError(f"TeacherForcing: expected a ratio from 0 to 1, got {ratio}")
        self.ratio = float(ratio)

    def forward(self, right: Tensor, said: Tensor) -> Tensor:
        """Return one token for each place, from `right` or from `said`."""
        if not self.training or self.ratio == 1:
            return right
        return _core.where(_core.rand(right.shape, device=right.device) < self.ratio, right, said)

    def extra_repr(self) -> str:
        """Return the ratio."""
        return f"ratio={self.ratio}"


class EncoderDecoder(nn.Module):
    """A network from one sequence of tokens to another: one recurrent layer reads, another writes.

    The decoder begins with the final state of the encoder. With attention it also looks at what the encoder said at every step.

    Parameters
    ----------
    source_size, target_size : int
        Numbers of different tokens that are read and written.
    hidden_size : int, default 128
        Units per layer, of both.
    embedding_dim : int, default 64
        Numbers that stand for a token.
    cell : {"lstm", "gru", "rnn"}, default "lstm"
    num_layers : int, default 1
        Of both.
    dropout : float, default 0
        Between layers.
    attention : {"luong", "bahdanau"} or None, default "luong"
        `LuongAttention`, `BahdanauAttention` or none.
    teacher_forcing : float, default 1
        How often the decoder reads the right token in training, else the one it said: see `TeacherForcing`. Below 1 the decoder
        goes step by step, which takes longer.

    Raises
    ------
    ValueError
        If a number is out of its range, or the kind of cell or attention is unknown.

    References
    ----------
    I. Sutskever, O. Vinyals, Q. V. Le: Sequence to sequence learning with neural networks, NIPS 2014.

    Examples
    --------
    Targets begin with a token of their own, here 0: the network reads ``target[:, :-1]`` and is to say ``target[:, 1:]``.

    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> _ = dnn.manual_seed(0)
    >>> source = dnn.randint(1, 6, (256, 4))
    >>> target = dnn.cat([dnn.zeros(256, 1, dtype=dnn.int64), source.flip(1)], 1)  # backwards
    >>> model = dnn.Model(models.EncoderDecoder(6, 6, 32, 16))
    >>> model.compile(dnn.optim.Adam(model.module.parameters(), lr=0.01), "cross_entropy")
    >>> history = model.fit((source, target[:, :-1]), target[:, 1:], epochs=25, verbose=0)
    >>> model.module.decode(dnn.tensor([[1, 2, 3, 4]]), start=0, length=4).tolist()
    [[4, 3, 2, 1]]
    """

    def __init__(
        self,
        source_size: int,
        target_size: int,
        hidden_size: int = 128,
        embedding_dim: int = 64,
        *,
        cell: Cell = "lstm",
        num_layers: int = 1,
        dropout: float = 0.0,
        attention: Literal["luong", "bahdanau"] | None = "luong",
        teacher_forcing: float = 1.0,
    ) -> None:
        super().__init__()
        name = "EncoderDecoder"
        check_at_least(name, 1, source_size=source_size, target_size=target_size)
        if attention is not None and attention not in ATTENTIONS:
            raise ValueError(f"{name}: expected attention {' or '.join(map(repr, ATTENTIONS))} or None, got {attention!r}")
        settings: Any = {"num_layers": num_layers, "dropout": dropout, "memory": None}
        self.source_embedding, width = embedded(name, source_size, embedding_dim)
        self.encoder = recurrent_layer(name, cell, width, hidden_size, **settings)
        self.target_embedding, width = embedded(name, target_size, embedding_dim)
        self.decoder = recurrent_layer(name, cell, width, hidden_size, **settings)
        self.attention: Any = None if attention is None else ATTENTIONS[attention](hidden_size)
        self.forcing: Any = TeacherForcing(teacher_forcing)
        self.head: Any = nn.Linear(hidden_size, target_size)

    def forward(self, source: Tensor, target: Tensor, lengths: Any = None) -> Tensor:
        """Return the logits (N, target_size, T) of what follows each token of the targets.

        Parameters
        ----------
        source : Tensor of shape (N, S), int64
            What is read.
        target : Tensor of shape (N, T), int64
            What is written, from its first token to the last but one.
        lengths : Tensor or sequence of int, optional
            Tokens of each source, 1 to S; the rest is padding.
        """
        check_tensors("EncoderDecoder", source=source, target=target)
        if source.ndim != 2 or target.ndim != 2 or len(source) != len(target):
            raise ValueError(
                f"EncoderDecoder: expected source (N, S) and target (N, T), got {tuple(source.shape)} and {tuple(target.shape)}"
            )
        seen, state = self._read(source, lengths)
        if not self.training or self.forcing.ratio == 1 or target.shape[1] < 2:
            return self._write(target, state, seen)[0].transpose(1, 2)
        token = target[:, :1]
        found: list[Tensor] = []
        for t in range(target.shape[1]):
            if t:
                token = self.forcing(target[:, t : t + 1], found[-1].detach().argmax(2))
            logits, state = self._write(token, state, seen)
            found.append(logits)
        return _core.cat(found, 1).transpose(1, 2)

    def _read(self, source: Tensor, lengths: Any) -> tuple[tuple[Tensor, Tensor | None], State]:
        """Return what the encoder says at each step with what of it is padding, and its final state."""
        y, state = run(self.encoder, self.source_embedding(source), None, lengths)
        if lengths is None or self.attention is None:
            return (y, None), state
        hidden = ~functional.sequence_mask(lengths, source.shape[1]).to(y.device)
        if bool(hidden.all(1).any()):
            raise ValueError("EncoderDecoder: expected lengths of at least 1, since attention needs something to look at, got 0")
        return (y, hidden), state

    def _write(self, tokens: Tensor, state: State, seen: tuple[Tensor, Tensor | None]) -> tuple[Tensor, State]:
        """Return the logits (N, T, V) after each token, and the state of the decoder after the last."""
        y, state = run(self.decoder, self.target_embedding(tokens), state)
        logits: Tensor = self.head(y if self.attention is None else self.attention(y, *seen))
        return logits, state

    def decode(self, source: Tensor, start: int, length: int, *, end: int | None = None, lengths: Any = None) -> Tensor:
        """Return what the network writes when it always takes the likeliest token. It is in evaluation mode meanwhile.

        Parameters
        ----------
        source : Tensor of shape (N, S), int64
            What is read.
        start : int
            The token that targets begin with; it is not returned.
        length : int
            Tokens to write.
        end : int, optional
            The token that ends a target; what comes after it is it again.
        lengths : Tensor or sequence of int, optional
            Tokens of each source.

        Returns
        -------
        Tensor of shape (N, length), int64

        Raises
        ------
        ValueError
            If `length` is negative or a token is out of its range.
        """
        for name, given in (("start", start), ("end", end)):
            if given is not None and not 0 <= given < self.head.out_features:
                raise ValueError(f"decode: expected {name} from 0 to {self.head.out_features - 1}, got {given}")
        check_at_least("decode", 0, length=length)
        from dnncore.model._compiled import evaluating  # that package knows the networks of this one

        with evaluating(self):
            seen, state = self._read(source, lengths)
            token = _core.full((source.shape[0], 1), start, dtype=_core.int64, device=source.device)
            found = [token]
            for _ in range(length):
                logits, state = self._write(token, state, seen)
                said = logits.argmax(2)
                token = said if end is None or len(found) == 1 else said.masked_fill(token == end, end)
                found.append(token)
        return _core.cat(found, 1)[:, 1:]
