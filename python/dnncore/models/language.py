"""A language model: what comes next, and text drawn from it."""

from __future__ import annotations

import math
from typing import Any

from dnncore import _core, nn
from dnncore._checks import check_at_least
from dnncore._core import Generator, Tensor
from dnncore.models._sequence import Cell, SequenceNetwork, State, embedded, recurrent_layer


class LanguageModel(SequenceNetwork):
    """A recurrent network that predicts the next token of a text at each place, and writes texts by drawing what it predicts.

    Parameters
    ----------
    vocab_size : int
        Number of different tokens, such as ``len(Characters(text))``.
    hidden_size : int, default 128
        Units per layer.
    embedding_dim : int, default 64
        Numbers that stand for a token.
    cell : {"lstm", "gru", "rnn"}, default "lstm"
    num_layers : int, default 1
    dropout : float, default 0
        Between layers and before the head.

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    T. Mikolov, M. Karafiát, L. Burget, J. Černocký, S. Khudanpur: Recurrent neural network based language model, Interspeech
    2010; I. Sutskever, J. Martens, G. Hinton: Generating text with recurrent neural networks, ICML 2011.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> from dnncore.data import Characters, text_chunks
    >>> _ = dnn.manual_seed(0)
    >>> text = "hello world. " * 60
    >>> vocabulary = Characters(text)
    >>> model = dnn.Model(models.LanguageModel(len(vocabulary), 32, 16))
    >>> model.compile(dnn.optim.Adam(model.module.parameters(), lr=0.02), "cross_entropy")
    >>> history = model.fit(*text_chunks(vocabulary.encode(text), 20, stride=9), epochs=15, verbose=0)
    >>> vocabulary.decode(model.module.generate(vocabulary.encode("hello"), 15, temperature=0))
    ' world. hello w'
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int = 128,
        embedding_dim: int = 64,
        *,
        cell: Cell = "lstm",
        num_layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_at_least("LanguageModel", 1, vocab_size=vocab_size, embedding_dim=embedding_dim)
        embedding, width = embedded("LanguageModel", vocab_size, embedding_dim)
        layer = recurrent_layer("LanguageModel", cell, width, hidden_size, num_layers=num_layers, dropout=dropout, memory=None)
        self._set_parts(embedding, layer, dropout, nn.Linear(hidden_size, vocab_size))

    def forward(self, input: Tensor, lengths: Any = None) -> Tensor:
        """Return the logits (N, vocab_size, T) of the token after each place of texts (N, T).

        Parameters
        ----------
        input : Tensor of shape (N, T), int64
            The batch.
        lengths : Tensor or sequence of int, optional
            Tokens of each text, 0 to T; let targets beyond be -100.
        """
        return self._headed(self._carrying(input, lengths)[0]).transpose(1, 2)

    def generate(
        self,
        prime: Tensor,
        length: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        """Return tokens that continue a text, each drawn from what the network predicts after those before it.

        The state is carried: each token costs one step, however long the text is. The network is in evaluation mode meanwhile.

        Parameters
        ----------
        prime : Tensor of shape (P,) or (N, P), int64
            The beginning, of at least one token, or N of them.
        length : int
            Tokens to draw.
        temperature : float, default 1
            Logits are divided by it: below 1 the likely becomes likelier; 0 always takes the likeliest.
        top_k : int, optional
            Draw from the k likeliest tokens only.
        generator : Generator, optional
            Where they are drawn from; the default generator when not given.

        Returns
        -------
        Tensor of shape (length,) or (N, length), int64
            The continuation, without the prime.

        Raises
        ------
        ValueError
            If an argument is out of its range.
        TypeError
            If the beginning is no tensor.
        """
        batch = self._checked_prime(prime, length, temperature, top_k)
        from dnncore.model._compiled import evaluating  # that package knows the networks of this one

        drawn: list[Tensor] = []
        with evaluating(self):
            state: State | None = None
            tokens = batch
            for _ in range(length):
                y, state = self.run(tokens, state)
                tokens = _drawn(self._headed(y[:, -1]), temperature, top_k, generator)
                drawn.append(tokens)
        found = _core.cat(drawn, 1) if drawn else batch[:, :0]
        return found[0] if prime.ndim == 1 else found

    def _checked_prime(self, prime: Tensor, length: int, temperature: float, top_k: int | None) -> Tensor:
        if not isinstance(prime, Tensor):
            raise TypeError(f"generate: expected a Tensor as prime, got {type(prime).__name__}; encode a text with Characters")
        if prime.ndim not in (1, 2) or prime.dtype != _core.int64 or prime.shape[-1] == 0:
            raise ValueError(
                f"generate: expected prime of shape (P,) or (N, P) with P of at least 1, int64, got {tuple(prime.shape)} of "
                f"{prime.dtype}"
            )
        check_at_least("generate", 0, length=length)
        if not 0 <= temperature < math.inf:
            raise ValueError(f"generate: expected a temperature of at least 0, got {temperature}")
        if top_k is not None and not 1 <= top_k <= self.head.out_features:
            raise ValueError(f"generate: expected top_k from 1 to {self.head.out_features}, got {top_k}")
        return prime.unsqueeze(0) if prime.ndim == 1 else prime


def _drawn(logits: Tensor, temperature: float, top_k: int | None, generator: Generator | None) -> Tensor:
    """Return one token (N, 1) for each row of logits (N, V)."""
    if temperature < 1e-30:  # float32 would divide by 0
        return logits.argmax(1, keepdim=True)
    if top_k is None:
        scaled = logits - logits.amax(1, keepdim=True)
        return (scaled / temperature).softmax(1).multinomial(1, generator=generator)
    values, places = logits.topk(top_k, 1)  # exactly k, also where some are equal
    chosen = ((values - values[:, :1]) / temperature).softmax(1).multinomial(1, generator=generator)
    return places.gather(1, chosen)
