"""Schedules that are a function of the step number."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dnncore.optim.lr_scheduler.base import LRScheduler, checked, function_state, per_group
from dnncore.optim.optimizer import Optimizer

Lambda = Callable[[int], float]


class _WithLambdas(LRScheduler):
    def __init__(self, optimizer: Optimizer, lr_lambda: Lambda | Sequence[Lambda], last_epoch: int = -1) -> None:
        self.lr_lambdas: list[Any] = per_group("lr_lambda", checked(type(self).__name__, optimizer), lr_lambda)
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"{type(self).__name__}: expected functions, got {type(function).__name__}")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer; of the functions the attributes of callable objects only."""
        return {**super().state_dict(), "lr_lambdas": [function_state(function) for function in self.lr_lambdas]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "lr_lambdas"})
        for function, state in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if state is not None:
                vars(function).update(state)


class LambdaLR(_WithLambdas):
    """First rate times a function of the step number.

    Examples
    --------
    >>> import dnncore as dnn
    >>> optimizer = dnn.optim.SGD([dnn.ones(1)], lr=1.0)
    >>> scheduler = dnn.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
    >>> scheduler.step()
    >>> optimizer.param_groups[0]["lr"]
    0.5
    """

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        return [base * function(self.last_epoch) for base, function in zip(self.base_lrs, self.lr_lambdas, strict=True)]


class MultiplicativeLR(_WithLambdas):
    """Present rate times a function of the step number.

    Examples
    --------
    >>> import dnncore as dnn
    >>> optimizer = dnn.optim.SGD([dnn.ones(1)], lr=1.0)
    >>> scheduler = dnn.optim.lr_scheduler.MultiplicativeLR(optimizer, lambda epoch: 0.5)
    >>> scheduler.step()
    >>> scheduler.step()
    >>> optimizer.param_groups[0]["lr"]
    0.25
    """

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        if self._is_initial:
            return self._lrs()
        return [lr * function(self.last_epoch) for lr, function in zip(self._lrs(), self.lr_lambdas, strict=True)]


class StepLR(LRScheduler):
    """Times `gamma` every `step_size` steps.

    Examples
    --------
    >>> import dnncore as dnn
    >>> optimizer = dnn.optim.SGD([dnn.ones(1)], lr=1.0)
    >>> scheduler = dnn.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> scheduler.step()
    >>> scheduler.step()
    >>> optimizer.param_groups[0]["lr"]
    0.5
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        due = self.last_epoch != 0 and self.last_epoch % self.step_size == 0
        return self._times(self.gamma) if due else self._lrs()

    def _closed_form(self) -> list[float]:
        return [base * self.gamma ** (self.last_epoch // self.step_size) for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """Times `gamma` at each of the `milestones`.

    Examples
    --------
    >>> import dnncore as dnn
    >>> optimizer = dnn.optim.SGD([dnn.ones(1)], lr=1.0)
    >>> scheduler = dnn.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[1, 2], gamma=0.5)
    >>> scheduler.step()
    >>> scheduler.step()
    >>> optimizer.param_groups[0]["lr"]
    0.25
    """

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        times = self.milestones[self.last_epoch]
        return self._times(self.gamma**times) if times else self._lrs()

    def _closed_form(self) -> list[float]:
        passed = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return [base * self.gamma**passed for base in self.base_lrs]


class ConstantLR(LRScheduler):
    """Times `factor` for the first `total_iters` steps.

    Examples
    --------
    >>> import dnncore as dnn
    >>> optimizer = dnn.optim.SGD([dnn.ones(1)], lr=1.0)
    >>> scheduler = dnn.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=1)
    >>> before = optimizer.param_groups[0]["lr"]
    >>> scheduler.step()
    >>> before, optimizer.param_groups[0]["lr"]
    (0.5, 1.0)
    """

    def __init__(self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        if not 0 < factor <= 1:
            raise ValueError(f"ConstantLR: expected factor above 0 and up to 1, got {factor}")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        if self.last_epoch == 0:
            return self._times(self.factor)
        return self._times(1.0 / self.factor) if self.last_epoch == self.total_iters else self._lrs()

    def _closed_form(self) -> list[float]:
        return [base * (1 if self.last_epoch >= self.total_iters else self.factor) for base in self.base_lrs]


class LinearLR(LRScheduler):
    """Factor from `start_factor` to `end_factor`, in a straight line over `total_iters` steps.

    Examples
    --------
    >>> import dnncore as dnn
    >>> optimizer = dnn.optim.SGD([dnn.ones(1)], lr=1.0)
    >>> scheduler = dnn.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> scheduler.step()
    >>> optimizer.param_groups[0]["lr"]
    0.75
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ValueError(f"LinearLR: expected start_factor above 0 and up to 1, got {start_factor}")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: expected end_factor from 0 to 1, got {end_factor}")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        if self.last_epoch == 0:
            return self._times(self.start_factor)
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._lrs()
        change = self.end_factor - self.start_factor
        return self._times(1.0 + change / (self.total_iters * self.start_factor + (self.last_epoch - 1) * change))

    def _closed_form(self) -> list[float]:
        part = min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * (self.start_factor + (self.end_factor - self.start_factor) * part) for base in self.base_lrs]


class ExponentialLR(LRScheduler):
    """Times `gamma` every step.

    Examples
    --------
    >>> import dnncore as dnn
    >>> optimizer = dnn.optim.SGD([dnn.ones(1)], lr=1.0)
    >>> scheduler = dnn.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler.step()
    >>> optimizer.param_groups[0]["lr"]
    0.5
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        return self._lrs() if self._is_initial else self._times(self.gamma)

    def _closed_form(self) -> list[float]:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    """Times (1 - step / total_iters)^power.

    Examples
    --------
    >>> import dnncore as dnn
    >>> optimizer = dnn.optim.SGD([dnn.ones(1)], lr=1.0)
    >>> scheduler = dnn.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=2)
    >>> scheduler.step()
    >>> optimizer.param_groups[0]["lr"]
    0.5
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._lrs()
        left, before = 1.0 - self.last_epoch / self.total_iters, 1.0 - (self.last_epoch - 1) / self.total_iters
        return self._times((left / before) ** self.power)

    def _closed_form(self) -> list[float]:
        left = 1.0 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * left**self.power for base in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """From the first rate to `eta_min` and back along a cosine of half period `T_max`, without restarts.

    References
    ----------
    I. Loshchilov, F. Hutter: SGDR: stochastic gradient descent with warm restarts, ICLR 2017.

    Examples
    --------
    >>> import dnncore as dnn
    >>> optimizer = dnn.optim.SGD([dnn.ones(1)], lr=1.0)
    >>> scheduler = dnn.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    >>> scheduler.step()
    >>> round(optimizer.param_groups[0]["lr"], 6)
    0.5
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:  # noqa: N803
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        if self._is_initial:
            return self._lrs()
        if self._step_count == 1 and self.last_epoch > 0:
            return self._closed_form()
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [lr + (base - self.eta_min) * rise for lr, base in zip(self._lrs(), self.base_lrs, strict=True)]
        now, before = (1 + math.cos(math.pi * step / self.T_max) for step in (self.last_epoch, self.last_epoch - 1))
        return [now / before * (lr - self.eta_min) + self.eta_min for lr in self._lrs()]

    def _closed_form(self) -> list[float]:
        height = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """From the first rate to `eta_min` along half a cosine of `T_0` steps, then anew with `T_mult` times as many.

    References
    ----------
    I. Loshchilov, F. Hutter: SGDR: stochastic gradient descent with warm restarts, ICLR 2017.

    Examples
    --------
    >>> import dnncore as dnn
    >>> optimizer = dnn.optim.SGD([dnn.ones(1)], lr=1.0)
    >>> scheduler = dnn.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> scheduler.step()
    >>> scheduler.step()
    >>> optimizer.param_groups[0]["lr"]
    1.0
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1) -> None:  # noqa: N803
        if not isinstance(T_0, int) or T_0 <= 0:
            raise ValueError(f"CosineAnnealingWarmRestarts: expected a whole T_0 above 0, got {T_0}")
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ValueError(f"CosineAnnealingWarmRestarts: expected a whole T_mult of at least 1, got {T_mult}")
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Write the next rates, or those of `epoch`, which may be a fraction."""
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            self.last_epoch += 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            self._restart_for(epoch)
            self.last_epoch = math.floor(epoch)
        self._write(self.get_lr())

    def _move_to(self, epoch: int | None) -> None:
        self.step(epoch)

    def _restart_for(self, epoch: float) -> None:
        if epoch < 0:
            raise ValueError(f"CosineAnnealingWarmRestarts: expected an epoch of at least 0, got {epoch}")
        self.T_i, self.T_cur = self.T_0, epoch
        if epoch < self.T_0:
            return
        if self.T_mult == 1:
            self.T_cur = epoch % self.T_0
            return
        n = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
        self.T_cur = epoch - self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
        self.T_i = self.T_0 * self.T_mult**n
