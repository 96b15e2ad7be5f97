"""Text as numbers: a file read, its characters numbered, cut into pieces for a language model."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dnncore import _core
from dnncore._checks import check_at_least, check_tensors
from dnncore._core import Tensor
from dnncore._files import open_regular


def read_text(path: str | os.PathLike[str], encoding: str = "utf-8") -> str:
    r"""Read a text file; a mark of the byte order is left out, ends of lines become ``\n``.

    Parameters
    ----------
    path : path-like
        The file.
    encoding : str, default "utf-8"
        How its characters are written.

    Raises
    ------
    ValueError
        If the encoding is unknown, the file is not in it (the message says at which byte), or the file is empty.
    OSError
        If the file cannot be read or is not a regular file.

    Examples
    --------
    >>> import os, tempfile
    >>> from dnncore.data import read_text
    >>> path = os.path.join(tempfile.mkdtemp(), "song.txt")
    >>> with open(path, "wb") as file:
    ...     _ = file.write("naïve\r\nétude".encode())
    >>> read_text(path)
    'naïve\nétude'
    """
    place = os.fspath(path)
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise ValueError(f"read_text: unknown encoding {encoding!r}") from None
    with open_regular(place, "read_text") as file:
        content = file.read()
    try:
        text: str = content.decode("utf-8-sig" if name == "utf-8" else name)
    except LookupError:  # of bytes to bytes, such as base64
        raise ValueError(f"read_text: {encoding!r} is no encoding of text") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"read_text: {place} is not in {encoding}: {error.reason} at byte {error.start}; try encoding="
        ) from None
    if not text:
        raise ValueError(f"read_text: {place} is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def split_text(text: str, held_out: float = 0.1) -> tuple[str, str]:
    """Split a text into a part to train on and the last part, to judge by.

    Parameters
    ----------
    text : str
        The text.
    held_out : float, default 0.1
        Share of the characters in the second part, above 0 and below 1.

    Returns
    -------
    train, test : str
        Together the text; neither is empty.

    Raises
    ------
    ValueError
        If the share is out of its range, or the text has fewer than two characters.

    Examples
    --------
    >>> from dnncore.data import split_text
    >>> split_text("abcdefghij", 0.2)
    ('abcdefgh', 'ij')
    """
    if not 0 < held_out < 1:
        raise ValueError(f"split_text: expected held_out above 0 and below 1, got {held_out}")
    if len(text) < 2:
        raise ValueError(f"split_text: expected a text of at least two characters, got {len(text)}")
    count = min(max(1, round(held_out * len(text))), len(text) - 1)
    return text[:-count], text[-count:]


class Characters:
    """The vocabulary of a text: its characters in the order of Unicode, numbered from 0.

    Parameters
    ----------
    text : str
        A text with every character that will occur, or these characters.

    Attributes
    ----------
    characters : str
        The characters by number: ``Characters(characters)`` is the same vocabulary.

    Raises
    ------
    ValueError
        If the text is empty.
    TypeError
        If it is none.

    Examples
    --------
    >>> from dnncore.data import Characters
    >>> vocabulary = Characters("hello world")
    >>> len(vocabulary), vocabulary.characters
    (8, ' dehlorw')
    >>> vocabulary.encode("hold")
    tensor([3, 5, 4, 1])
    >>> vocabulary.decode(vocabulary.encode("low"))
    'low'
    """

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"Characters: expected a str, got {type(text).__name__}")
        if not text:
            raise ValueError("Characters: expected a text with at least one character")
        self.characters = "".join(sorted(set(text)))
        self._points = _points(self.characters)

    def __len__(self) -> int:
        return len(self.characters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Characters) and self.characters == other.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    def __repr__(self) -> str:
        return f"Characters({self.characters!r})"

    def encode(self, text: str) -> Tensor:
        """Return the numbers of the characters.

        Parameters
        ----------
        text : str
            Any text of characters of the vocabulary.

        Returns
        -------
        Tensor of shape (len(text),), int64

        Raises
        ------
        ValueError
            If a character is not in the vocabulary; the message says which and where.
        TypeError
            If it is no text.
        """
        if not isinstance(text, str):
            raise TypeError(f"Characters.encode: expected a str, got {type(text).__name__}")
        points = _points(text)
        numbers = np.searchsorted(self._points, points)
        wrong = np.flatnonzero(self._points[np.minimum(numbers, len(self) - 1)] != points)
        if len(wrong):
            place = int(wrong[0])
            raise ValueError(f"Characters.encode: {text[place]!r} at position {place} is not in the vocabulary of {len(self)}")
        return _core.from_numpy(numbers.astype(np.int64))

    def decode(self, numbers: Tensor | Iterable[int]) -> str:
        """Return the text of some numbers.

        Parameters
        ----------
        numbers : Tensor of shape (N,) or sequence of int
            Numbers as `encode` gives them.

        Raises
        ------
        ValueError
            If a number belongs to no character.
        """
        values = numbers.tolist() if isinstance(numbers, Tensor) else [*numbers]
        for value in values:
            if not isinstance(value, (int, np.integer)) or not 0 <= value < len(self):
                raise ValueError(f"Characters.decode: expected numbers of 0 to {len(self) - 1} in one dimension, got {value}")
        return "".join([self.characters[value] for value in values])


def _points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def text_chunks(tokens: Tensor, length: int, stride: int | None = None) -> tuple[Tensor, Tensor]:
    """Cut the numbers of a text into sequences of one length and, for each place, what comes next.

    Parameters
    ----------
    tokens : Tensor of shape (T,), int64
        A text, see `Characters.encode`.
    length : int
        Tokens of a sequence, at least 1.
    stride : int, optional
        Tokens between the beginnings of two sequences; `length` when not given, so that each token is used once.

    Returns
    -------
    x : Tensor of shape (N, length), int64
        The sequences, N = ``(T - 1 - length) // stride + 1``; what is left at the end is not used. A copy.
    y : Tensor of shape (N, length), int64
        The same, one place further.

    Raises
    ------
    ValueError
        If an argument is out of its range, or the text is not longer than `length`.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data import text_chunks
    >>> x, y = text_chunks(dnn.arange(8), 3)
    >>> x.tolist(), y.tolist()
    ([[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 6]])
    """
    stride = length if stride is None else stride
    check_at_least("text_chunks", 1, length=length, stride=stride)
    _check_tokens("text_chunks", tokens, length + 1)
    cut = tokens.unfold(0, length + 1, stride)
    return cut[:, :-1].contiguous(), cut[:, 1:].contiguous()


def text_streams(tokens: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Cut the numbers of a text into `n` long sequences to be read beside each other, and what comes next at each place.

    ``Model.fit(x, y, batch_size=n, truncate=k)`` reads them `k` tokens at a time and carries the state from one piece to the
    next.

    Parameters
    ----------
    tokens : Tensor of shape (T,), int64
        A text, see `Characters.encode`.
    n : int
        Number of sequences, at least 1.

    Returns
    -------
    x : Tensor of shape (n, (T - 1) // n), int64
        The sequences; what is left at the end is not used.
    y : Tensor of shape (n, (T - 1) // n), int64
        The same, one place further.

    Raises
    ------
    ValueError
        If `n` is below 1 or the text is not longer than `n`.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data import text_streams
    >>> x, y = text_streams(dnn.arange(8), 2)
    >>> x.tolist(), y.tolist()
    ([[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 6]])
    """
    check_at_least("text_streams", 1, n=n)
    _check_tokens("text_streams", tokens, n + 1)
    used = (len(tokens) - 1) // n * n
    return tokens[:used].reshape(n, -1), tokens[1 : used + 1].reshape(n, -1)


def _check_tokens(op: str, tokens: Tensor, least: int) -> None:
    if isinstance(tokens, str):
        raise TypeError(f"{op}: expected a Tensor as tokens, got str; encode it with Characters")
    check_tensors(op, tokens=tokens)
    if tokens.ndim != 1 or tokens.dtype != _core.int64:
        raise ValueError(f"{op}: expected tokens of shape (T,), int64, got {tuple(tokens.shape)} of {tokens.dtype}")
    if len(tokens) < least:
        raise ValueError(f"{op}: expected at least {least} tokens, got {len(tokens)}")
