"""Schedules that move the learning rate and, against it, the momentum."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from dnncore.optim.lr_scheduler.base import LRScheduler, checked, function_state, per_group
from dnncore.optim.optimizer import Optimizer


class _WithMomentum(LRScheduler):
    def _prepare_momentum(self, cycle: bool, base: Any, largest: Any, last_epoch: int) -> None:
        self.cycle_momentum = cycle
        if not cycle:
            return
        defaults = self.optimizer.defaults
        if "momentum" not in defaults and "betas" not in defaults:
            raise ValueError(f"{type(self).__name__}: the optimizer has neither momentum nor betas; write cycle_momentum=False")
        self.use_beta1 = "betas" in defaults
        self.base_momentums = per_group("base_momentum", self.optimizer, base)
        self.max_momentums = per_group("max_momentum", self.optimizer, largest)
        if last_epoch != -1:
            return
        for group, low, high in zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True):
            self._set_momentum(group, high)
            group.update(max_momentum=high, base_momentum=low)

    def _set_momentum(self, group: Any, momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) / 2.0 * (math.cos(math.pi * part) + 1)


def _straight(start: float, end: float, part: float) -> float:
    return (end - start) * part + start


class OneCycleLR(_WithMomentum):
    """Up from ``max_lr / div_factor`` to `max_lr` and down far below, once; the momentum goes the other way. One step per batch.

    Parameters
    ----------
    optimizer : Optimizer
        Its groups' ``lr`` and momentum are written.
    max_lr : float or list of float
        Largest rate, of all groups or of each.
    total_steps : int, optional
        Length of the cycle; else `epochs` times `steps_per_epoch`.
    epochs, steps_per_epoch : int, optional
        The length of the cycle when `total_steps` is left out.
    pct_start : float, default 0.3
        Part of the cycle in which the rate rises.
    anneal_strategy : str, default "cos"
        ``"cos"`` or ``"linear"``.
    cycle_momentum : bool, default True
        Whether to move the momentum (or beta1) from `max_momentum` to `base_momentum` and back.
    base_momentum, max_momentum : float or list of float, default 0.85 and 0.95
        Least and largest momentum.
    div_factor : float, default 25
        `max_lr` over the first rate.
    final_div_factor : float, default 1e4
        The first rate over the last.
    three_phase : bool, default False
        Fall as fast as it rose, and then to the last rate.
    last_epoch : int, default -1
        Number of the last step done; -1 starts anew.

    References
    ----------
    L. N. Smith, N. Topin: Super-convergence: very fast training of neural networks using large learning rates,
    arXiv:1708.07120, 2017.

    Examples
    --------
    >>> import dnncore as dnn
    >>> optimizer = dnn.optim.SGD([dnn.ones(1)], lr=1.0, momentum=0.9)
    >>> scheduler = dnn.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    >>> for _ in range(2):
    ...     scheduler.step()
    >>> optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]
    (1.0, 0.85)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = checked("OneCycleLR", optimizer)
        if total_steps is None and epochs is not None and steps_per_epoch is not None:
            total_steps = epochs * steps_per_epoch
        if not isinstance(total_steps, int) or total_steps <= 0:
            raise ValueError(f"OneCycleLR: expected whole total_steps, or epochs and steps_per_epoch, above 0, got {total_steps}")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: expected pct_start from 0 to 1, got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"OneCycleLR: expected anneal_strategy 'cos' or 'linear', got {anneal_strategy!r}")
        self.total_steps, self._anneal_func_type = total_steps, anneal_strategy
        up, down = ("initial_lr", "max_lr"), ("max_lr", "initial_lr")
        rising, falling, resting = ("max_momentum", "base_momentum"), ("base_momentum", "max_momentum"), ("max_momentum",) * 2
        end = pct_start * total_steps
        if three_phase:
            last = ("initial_lr", "min_lr")
            self._phases = [(end - 1, up, rising), (2 * end - 2, down, falling), (total_steps - 1.0, last, resting)]
        else:
            self._phases = [(end - 1, up, rising), (total_steps - 1.0, ("max_lr", "min_lr"), falling)]
        if last_epoch == -1:
            for group, largest in zip(optimizer.param_groups, per_group("max_lr", optimizer, max_lr), strict=True):
                first = largest / div_factor
                group.update(initial_lr=first, max_lr=largest, min_lr=first / final_div_factor)
        self._prepare_momentum(cycle_momentum, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`, and set the momentum of that step."""
        if self.last_epoch > self.total_steps:
            raise ValueError(f"OneCycleLR: expected at most {self.total_steps} steps, got step {self.last_epoch}")
        between = _cosine if self._anneal_func_type == "cos" else _straight
        ends = [end for end, _, _ in self._phases]
        phase = min(bisect_left(ends, self.last_epoch), len(ends) - 1)  # one step beyond the last is allowed
        start = ends[phase - 1] if phase > 0 else 0.0
        end, rates, momenta = self._phases[phase]
        part = (self.last_epoch - start) / (end - start) if end > start else 1.0
        for group in self.optimizer.param_groups:
            if self.cycle_momentum:
                self._set_momentum(group, between(group[momenta[0]], group[momenta[1]], part))
        return [between(group[rates[0]], group[rates[1]], part) for group in self.optimizer.param_groups]


class CyclicLR(_WithMomentum):
    """Up from `base_lr` to `max_lr` and back, again and again; the momentum goes the other way. One step per batch.

    Parameters
    ----------
    optimizer : Optimizer
        Its groups' ``lr`` and momentum are written.
    base_lr, max_lr : float or list of float
        Least and largest rate, of all groups or of each.
    step_size_up : int, default 2000
        Steps upwards.
    step_size_down : int, optional
        Steps downwards; as many as upwards when left out.
    mode : str, default "triangular"
        ``"triangular"``; ``"triangular2"`` halves the height every cycle; ``"exp_range"`` scales it by gamma^step.
    gamma : float, default 1.0
        For ``mode="exp_range"``.
    scale_fn : callable, optional
        Height of the cycle instead of `mode`, as a function of the number of the cycle or of the step.
    scale_mode : str, default "cycle"
        ``"cycle"`` or ``"iterations"``: which number `scale_fn` gets.
    cycle_momentum : bool, default True
        Whether to move the momentum (or beta1) from `max_momentum` to `base_momentum` and back.
    base_momentum, max_momentum : float or list of float, default 0.8 and 0.9
        Least and largest momentum.
    last_epoch : int, default -1
        Number of the last step done; -1 starts anew.

    References
    ----------
    L. N. Smith: Cyclical learning rates for training neural networks, WACV 2017.

    Examples
    --------
    >>> import dnncore as dnn
    >>> optimizer = dnn.optim.SGD([dnn.ones(1)], lr=1.0, momentum=0.9)
    >>> scheduler = dnn.optim.lr_scheduler.CyclicLR(optimizer, base_lr=0.5, max_lr=1.0, step_size_up=2)
    >>> scheduler.step()
    >>> optimizer.param_groups[0]["lr"]
    0.75
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = checked("CyclicLR", optimizer)
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError(f"CyclicLR: expected mode 'triangular', 'triangular2' or 'exp_range', got {mode!r}")
        base_lrs = per_group("base_lr", optimizer, base_lr)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, base_lrs, strict=True):
                group["lr"] = lr
        self.total_size = step_size_up + (step_size_up if step_size_down is None else step_size_down)
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma, self._scale_fn_custom = mode, gamma, scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else "iterations" if mode == "exp_range" else "cycle"
        self._prepare_momentum(cycle_momentum, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """Return the height of a cycle."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        return float({"triangular": 1.0, "triangular2": 2.0 ** (1 - x), "exp_range": self.gamma**x}[self.mode])

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`, and set the momentum of that step."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        height *= self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, low, high in zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True):
                self._set_momentum(group, high - (high - low) * height)
        return [base + (largest - base) * height for base, largest in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer; of `scale_fn` the attributes of a callable object only."""
        custom = self._scale_fn_custom
        return {**super().state_dict(), "_scale_fn_custom": None if custom is None else function_state(custom)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "_scale_fn_custom"})
        if state_dict["_scale_fn_custom"] is not None:
            vars(self._scale_fn_custom).update(state_dict["_scale_fn_custom"])
