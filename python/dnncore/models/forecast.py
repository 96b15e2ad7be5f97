"""Networks that forecast a series: recurrent, and a perceptron on a window of the past as the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from dnncore import _core, nn
from dnncore._checks import check_at_least
from dnncore._core import Tensor
from dnncore.models._sequence import Cell, SequenceNetwork, State, recurrent_layer


class Forecaster(SequenceNetwork):
    """A recurrent network that reads a series and forecasts its next `horizon` steps at once.

    Parameters
    ----------
    input_size : int, default 1
        Numbers per step.
    horizon : int, default 1
        Steps that one call forecasts; `forecast` goes on from them.
    hidden_size : int, default 64
        Units per layer.
    cell : {"lstm", "gru", "rnn"}, default "lstm"
    num_layers : int, default 1
    dropout : float, default 0
        Between layers and before the head.
    memory : int, optional
        Steps over which to remember from the beginning, see `chrono_init`.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> from dnncore.data import delay_windows, make_noisy_sines
    >>> noisy, _ = make_noisy_sines(4, 100, dnn.Generator().manual_seed(0))
    >>> x, y = delay_windows(noisy, window=30, horizon=5)
    >>> model = models.Forecaster(horizon=5)
    >>> model(x).shape == y.shape, model.forecast(noisy, 12).shape
    (True, (4, 12, 1))
    """

    def __init__(
        self,
        input_size: int = 1,
        horizon: int = 1,
        hidden_size: int = 64,
        *,
        cell: Cell = "lstm",
        num_layers: int = 1,
        dropout: float = 0.0,
        memory: int | None = None,
    ) -> None:
        super().__init__()
        check_at_least("Forecaster", 1, input_size=input_size, horizon=horizon)
        layer = recurrent_layer(
            "Forecaster", cell, input_size, hidden_size, num_layers=num_layers, dropout=dropout, memory=memory
        )
        self._set_parts(None, layer, dropout, nn.Linear(hidden_size, horizon * input_size))

    @property
    def horizon(self) -> int:
        """Steps that one call forecasts."""
        return int(self.head.out_features // self.recurrent.input_size)

    def forward(self, input: Tensor, lengths: Any = None) -> Tensor:
        """Return the next steps (N, horizon, input_size) of series (N, T, input_size).

        Parameters
        ----------
        input : Tensor
            The batch.
        lengths : Tensor or sequence of int, optional
            Steps of each series that are known, 0 to T; the rest is padding.
        """
        return self._next(self._carrying(input, lengths)[1])

    def _next(self, state: State) -> Tensor:
        return self._headed(state[0][-1]).reshape(-1, self.horizon, self.recurrent.input_size)

    def forecast(self, input: Tensor, steps: int) -> Tensor:
        """Return any number of next steps: the network reads what it has forecast and goes on.

        The state is carried, so what is known is read once. The network is in evaluation mode meanwhile.

        Parameters
        ----------
        input : Tensor of shape (N, T, input_size)
            What is known.
        steps : int
            Steps to forecast.

        Returns
        -------
        Tensor of shape (N, steps, input_size)

        Raises
        ------
        ValueError
            If `steps` is below 1.
        """
        check_at_least("forecast", 1, steps=steps)
        from dnncore.model._compiled import evaluating  # that package knows the networks of this one

        found: list[Tensor] = []
        with evaluating(self):
            _, state = self.run(input)
            found.append(self._next(state))
            for _ in range(self.horizon, steps, self.horizon):
                _, state = self.run(found[-1], state)
                found.append(self._next(state))
        return _core.cat(found, 1)[:, :steps]


class LastSteps(nn.Module):
    """The last steps of sequences (N, T, ...): (N, window, ...).

    Parameters
    ----------
    window : int
        Steps to keep, at least 1.

    Raises
    ------
    ValueError
        If `window` is below 1, or an input has fewer steps.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> models.LastSteps(2)(dnn.tensor([[1, 2, 3, 4]]))
    tensor([[3, 4]])
    """

    def __init__(self, window: int) -> None:
        super().__init__()
        check_at_least("LastSteps", 1, window=window)
        self.window = window

    def forward(self, input: Tensor) -> Tensor:
        """Return the last steps."""
        if input.ndim < 2 or input.shape[1] < self.window:
            raise ValueError(f"LastSteps: expected (N, T, ...) with T of at least {self.window}, got {tuple(input.shape)}")
        return input[:, input.shape[1] - self.window :]

    def extra_repr(self) -> str:
        """Return the number of steps."""
        return f"window={self.window}"


def delay_network(input_size: int, outputs: int | Sequence[int], window: int, hidden: Sequence[int] = (64,)) -> nn.Sequential:
    """Return a perceptron that sees a window of the last steps: the baseline that recurrent networks must beat.

    It takes the data of `Forecaster` and `SequenceClassifier`, sequences (N, T, input_size) of at least `window` steps. What lies
    before the window it cannot know.

    Parameters
    ----------
    input_size : int
        Numbers per step.
    outputs : int or tuple of int
        Classes or numbers per sequence, or the shape of them, such as ``(horizon, input_size)``.
    window : int
        Steps it sees.
    hidden : sequence of int, default (64,)
        Units of the hidden layers, with ReLU.

    Returns
    -------
    nn.Sequential

    Raises
    ------
    ValueError
        If a number is below 1.

    References
    ----------
    A. Waibel, T. Hanazawa, G. Hinton, K. Shikano, K. Lang: Phoneme recognition using time-delay neural networks, IEEE Trans.
    Acoustics, Speech, and Signal Processing 37, 1989.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> model = models.delay_network(1, (5, 1), window=30)
    >>> model(dnn.randn(8, 100, 1)).shape, sum(p.numel() for p in model.parameters())
    ((8, 5, 1), 2309)
    """
    shape = (outputs,) if isinstance(outputs, int) else tuple(outputs)
    last = 1
    for size in shape:
        check_at_least("delay_network", 1, outputs=size)
        last *= size
    check_at_least("delay_network", 1, input_size=input_size, window=window)
    layers: list[nn.Module] = [LastSteps(window), nn.Flatten()]
    widths = [window * input_size, *hidden]
    for narrow, wide in pairwise(widths):
        check_at_least("delay_network", 1, hidden=wide)
        layers += [nn.Linear(narrow, wide), nn.ReLU()]
    layers.append(nn.Linear(widths[-1], last))
    return nn.Sequential(*layers, *([nn.Unflatten(1, shape)] if len(shape) > 1 else []))
