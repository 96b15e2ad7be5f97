"""Generated tasks that ask a network to remember over a known number of steps."""

from __future__ import annotations

import numpy as np

from dnncore import _core
from dnncore._checks import check_at_least
from dnncore._core import Generator, Tensor


def make_first_symbol(
    n: int, lag: int, generator: Generator | None = None, *, classes: int = 4, distractors: int = 4
) -> tuple[Tensor, Tensor]:
    """Make sequences whose class is their first symbol: it must be remembered over `lag` symbols that say nothing.

    The first symbol is one of ``0 .. classes - 1``, each as often as the others, up to one, in random order. The `lag` symbols
    after it are drawn from the `distractors` others. So what is asked for is stated once, and chance level is ``1 / classes``.

    Parameters
    ----------
    n : int
        Number of sequences.
    lag : int
        Symbols after the first, at least 0.
    generator : Generator, optional
        Where everything random is drawn from; the default generator when not given. The same state gives the same sequences.
    classes : int, default 4
        Symbols that may come first.
    distractors : int, default 4
        Other symbols, at least 1.

    Returns
    -------
    x : Tensor of shape (n, lag + 1), int64
        The symbols, ``0 .. classes + distractors - 1``, for `nn.Embedding` or `nn.functional.one_hot`.
    y : Tensor of shape (n,), int64
        The first symbols.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    References
    ----------
    S. Hochreiter, J. Schmidhuber: Long short-term memory, Neural Computation 9, 1997 (experiment 2).

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data import make_first_symbol
    >>> x, y = make_first_symbol(8, lag=5, generator=dnn.Generator().manual_seed(0))
    >>> x.shape, sorted(y.tolist()), x[:, 0].tolist() == y.tolist(), x[:, 1:].min().item() >= 4
    ((8, 6), [0, 0, 1, 1, 2, 2, 3, 3], True, True)
    """
    check_at_least("make_first_symbol", 0, n=n, lag=lag)
    check_at_least("make_first_symbol", 1, classes=classes, distractors=distractors)
    y = _core.randperm(n, generator=generator, device="cpu") % classes
    rest = _core.randint(classes, classes + distractors, (n, lag), generator=generator, device="cpu")
    return _core.cat([y.unsqueeze(1), rest], 1), y


def make_adding_problem(n: int, length: int, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
    """Make the adding problem: of `length` numbers two are marked, and their sum is asked for.

    One mark lies in the first half of the sequence, one in the second. Answering 1, the mean, has a squared error of 1 / 6.

    Parameters
    ----------
    n : int
        Number of sequences.
    length : int
        Steps of each, at least 2.
    generator : Generator, optional
        Where everything random is drawn from; the default generator when not given. The same state gives the same sequences.

    Returns
    -------
    x : Tensor of shape (n, length, 2), float32
        Numbers, uniform in [0, 1), and marks, 1 or 0.
    y : Tensor of shape (n, 1), float32
        The sums of the two marked numbers.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    References
    ----------
    S. Hochreiter, J. Schmidhuber: Long short-term memory, Neural Computation 9, 1997 (experiment 4); in this form Q. V. Le,
    N. Jaitly, G. E. Hinton: A simple way to initialize recurrent networks of rectified linear units, 2015, arXiv:1504.00941.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data import make_adding_problem
    >>> x, y = make_adding_problem(100, 20, dnn.Generator().manual_seed(0))
    >>> x.shape, x[:, :10, 1].sum(1).min().item(), x[:, 10:, 1].sum(1).max().item()
    ((100, 20, 2), 1.0, 1.0)
    >>> bool(((x[..., 0] * x[..., 1]).sum(1) == y[:, 0]).all())
    True
    """
    check_at_least("make_adding_problem", 0, n=n)
    check_at_least("make_adding_problem", 2, length=length)
    values = _core.rand(n, length, generator=generator, device="cpu").numpy()
    half = length // 2
    first = _core.randint(half, (n,), generator=generator, device="cpu").numpy()
    second = _core.randint(half, length, (n,), generator=generator, device="cpu").numpy()
    rows = np.arange(n)
    marks = np.zeros((n, length), np.float32)
    marks[rows, first] = marks[rows, second] = 1
    sums = values[rows, first] + values[rows, second]
    return _core.from_numpy(np.stack([values, marks], -1)), _core.from_numpy(sums[:, None])
