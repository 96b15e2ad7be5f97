"""Series of numbers: two generated ones, and windows of any."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dnncore import _core
from dnncore._checks import check_at_least
from dnncore._core import Tensor

_Array = NDArray[np.float64]

# The Mackey-Glass equation dx/dt = BETA x(t - tau) / (1 + x(t - tau)^POWER) - GAMMA x(t)
_BETA, _GAMMA, _POWER = 0.2, 0.1, 10
_PER_UNIT = 10  # steps of the integration per unit of time
_SETTLING = 300  # units of time before the first sample


def make_mackey_glass(n: int, length: int, generator: _core.Generator | None = None, *, tau: float = 17.0) -> Tensor:
    """Integrate the Mackey-Glass equation, whose solution is chaotic from a delay of about 17 on.

    ``dx/dt = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x(t)``, with one sample per unit of time. Before time 0 each series is a
    constant of its own, uniform in [0.5, 1.5); the first 300 units of time are left out.

    Parameters
    ----------
    n : int
        Number of series.
    length : int
        Samples of each.
    generator : Generator, optional
        Where the constants are drawn from; the default generator when not given. The same state gives the same series.
    tau : float, default 17
        The delay, a multiple of 0.1 above 0.

    Returns
    -------
    Tensor of shape (n, length, 1), float32

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Notes
    -----
    The integration is the classical Runge-Kutta method of fourth order in float64 with steps of 0.1; values between two steps
    are those of cubic Hermite interpolation, which keeps the order.

    References
    ----------
    M. C. Mackey, L. Glass: Oscillation and chaos in physiological control systems, Science 197, 1977.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data import make_mackey_glass
    >>> x = make_mackey_glass(2, 500, dnn.Generator().manual_seed(0))
    >>> x.shape, 0.2 < x.min().item() < 0.6 and 1.2 < x.max().item() < 1.5
    ((2, 500, 1), True)
    """
    check_at_least("make_mackey_glass", 0, n=n, length=length)
    delay = round(tau * _PER_UNIT) if math.isfinite(tau) else 0
    if delay < 1 or abs(tau * _PER_UNIT - delay) > 1e-9 * delay:
        raise ValueError(f"make_mackey_glass: expected tau to be a multiple of {1 / _PER_UNIT} above 0, got {tau}")
    start = 0.5 + _core.rand(n, generator=generator, device="cpu").numpy().astype(np.float64)
    steps = (_SETTLING + max(length, 1) - 1) * _PER_UNIT
    x = _mackey_glass(start, delay, steps, 1 / _PER_UNIT)[_SETTLING * _PER_UNIT :: _PER_UNIT][:length]
    return _core.from_numpy(np.ascontiguousarray(x.T[:, :, None], np.float32))


def _mackey_glass(start: _Array, delay: int, steps: int, h: float) -> _Array:
    """Return x (steps + 1, n) at multiples of `h` from `start` (n,), with a delay of `delay` steps.

    A stretch of `delay` steps knows its delayed values, so that there the equation is linear: x' = g(t) - GAMMA x. A step of the
    Runge-Kutta method then is ``x <- a x + b0 g(t) + b1 g(t + h/2) + b2 g(t + h)``.
    """
    z = _GAMMA * h
    a = 1 - z + z**2 / 2 - z**3 / 6 + z**4 / 24
    b0, b1, b2 = h / 6 * (1 - z + z**2 / 2 - z**3 / 4), h / 6 * (4 - 2 * z + z**2 / 2), h / 6
    x = np.empty((steps + delay + 1, len(start)))
    x[0] = start
    past, slope = np.tile(start, (delay + 1, 1)), np.zeros((delay + 1, len(start)))
    for begin in range(0, steps, delay):
        middle = (past[:-1] + past[1:]) / 2 + h / 8 * (slope[:-1] - slope[1:])
        g = _production(past)
        added = b0 * g[:-1] + b1 * _production(middle) + b2 * g[1:]
        for k in range(delay):
            x[begin + k + 1] = a * x[begin + k] + added[k]
        past = x[begin : begin + delay + 1]
        slope = g - _GAMMA * past
    return x[: steps + 1]


def _production(x: _Array) -> _Array:
    return _BETA * x / (1 + x**_POWER)


def make_noisy_sines(
    n: int, length: int, generator: _core.Generator | None = None, *, noise: float = 0.1
) -> tuple[Tensor, Tensor]:
    """Make sines of random period and phase with Gaussian noise: to be forecast, or freed of the noise.

    Periods are uniform in [10, 50) samples, phases uniform; the amplitude is 1.

    Parameters
    ----------
    n : int
        Number of series.
    length : int
        Samples of each.
    generator : Generator, optional
        Where everything random is drawn from; the default generator when not given. The same state gives the same series.
    noise : float, default 0.1
        Standard deviation of the noise, at least 0.

    Returns
    -------
    noisy : Tensor of shape (n, length, 1), float32
        The series.
    clean : Tensor of shape (n, length, 1), float32
        The same without the noise.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data import make_noisy_sines
    >>> noisy, clean = make_noisy_sines(50, 200, dnn.Generator().manual_seed(0))
    >>> noisy.shape, round((noisy - clean).std().item(), 2), clean.abs().max().item() <= 1
    ((50, 200, 1), 0.1, True)
    """
    check_at_least("make_noisy_sines", 0, n=n, length=length)
    if not 0 <= noise < math.inf:
        raise ValueError(f"make_noisy_sines: expected noise of at least 0, got {noise}")
    chance = _core.rand(n, 2, generator=generator, device="cpu").numpy().astype(np.float64)
    errors = _core.randn(n, length, generator=generator, device="cpu").numpy()
    period, phase = 10 + 40 * chance[:, :1], 2 * np.pi * chance[:, 1:]
    clean = np.sin(2 * np.pi * np.arange(length) / period + phase)
    noisy = clean + noise * errors
    return _core.from_numpy(noisy[..., None].astype(np.float32)), _core.from_numpy(clean[..., None].astype(np.float32))


def delay_windows(series: Tensor | NDArray[np.floating], window: int, horizon: int = 1, stride: int = 1) -> tuple[Tensor, Tensor]:
    """Cut a series into windows of the past and what follows them.

    Parameters
    ----------
    series : Tensor or array of shape (T,), (T, F) or (N, T, F)
        One series of one number or F numbers per step, or N of them; no window reaches from one into the next.
    window : int
        Steps that are known.
    horizon : int, default 1
        Steps after them to forecast.
    stride : int, default 1
        Steps between the beginnings of two windows.

    Returns
    -------
    x : Tensor of shape (M, window, F)
        The windows, M = ``N ((T - window - horizon) // stride + 1)`` of them, in the order of the series and of time. A copy.
    y : Tensor of shape (M, horizon, F)
        What follows each.

    Raises
    ------
    ValueError
        If an argument is below 1, or the series is shorter than one window and its horizon.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.data import delay_windows
    >>> x, y = delay_windows(dnn.arange(6).float(), window=3, horizon=2)
    >>> x[..., 0].tolist(), y[..., 0].tolist()
    ([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]], [[3.0, 4.0], [4.0, 5.0]])
    """
    check_at_least("delay_windows", 1, window=window, horizon=horizon, stride=stride)
    values = series if isinstance(series, Tensor) else _core.as_tensor(series)
    if values.ndim not in (1, 2, 3):
        raise ValueError(f"delay_windows: expected series of shape (T,), (T, F) or (N, T, F), got {tuple(values.shape)}")
    values = values.reshape(1, -1, 1) if values.ndim == 1 else values.unsqueeze(0) if values.ndim == 2 else values
    if values.shape[1] < window + horizon:
        raise ValueError(
            f"delay_windows: expected at least window + horizon = {window} + {horizon} steps, got a series of {values.shape[1]}"
        )
    cut = values.unfold(1, window + horizon, stride).transpose(2, 3)  # (N, M / N, window + horizon, F)
    x, y = (part.flatten(0, 1) for part in (cut[:, :, :window], cut[:, :, window:]))
    return x, y
