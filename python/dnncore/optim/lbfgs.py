"""Limited-memory BFGS: a quasi-Newton method for whole batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from dnncore import _core
from dnncore._core import Tensor
from dnncore._grad_mode import enable_grad, no_grad
from dnncore.optim.optimizer import Optimizer, Params, as_number

# Of the strong Wolfe conditions: sufficient decrease, curvature.
_DECREASE, _CURVATURE = 1e-4, 0.9


class _Point(NamedTuple):
    """The loss along a direction, at step size t, with its gradient and its slope along the direction."""

    t: float
    loss: float
    gradient: Tensor
    slope: float


def _dot(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum().item())


def _largest(a: Tensor) -> float:
    return float(a.abs().max().item())


def _cubic_minimum(a: _Point, b: _Point, bounds: tuple[float, float] | None = None) -> float:
    """Where the cubic through two points with their slopes is least, inside `bounds` or else between the points."""
    low, high = bounds or (min(a.t, b.t), max(a.t, b.t))
    if a.t > b.t:
        a, b = b, a
    try:
        d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
        square = d1 * d1 - a.slope * b.slope
        if not square >= 0:
            return (low + high) / 2
        d2 = math.sqrt(square)
        t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    except ZeroDivisionError:
        return (low + high) / 2
    return min(max(t, low), high)


class _LineSearch:
    """A step size that meets the strong Wolfe conditions, after at most `limit` further evaluations than the first."""

    def __init__(self, evaluate: Callable[[float], _Point], start: _Point, limit: int) -> None:
        self.evaluate, self.start, self.limit = evaluate, start, limit
        self.rounds = 0

    def too_high(self, point: _Point) -> bool:
        return point.loss > self.start.loss + _DECREASE * point.t * self.start.slope

    def flat(self, point: _Point) -> bool:
        return abs(point.slope) <= -_CURVATURE * self.start.slope

    def bracket(self, t: float) -> list[_Point]:
        """Return one point that meets the conditions, or two around such a point."""
        before, now = self.start, self.evaluate(t)
        while self.rounds < self.limit:
            if self.too_high(now) or (self.rounds > 1 and now.loss >= before.loss):
                return [before, now]
            if self.flat(now):
                return [now]
            if now.slope >= 0:
                return [before, now]
            t = _cubic_minimum(before, now, (now.t + 0.01 * (now.t - before.t), now.t * 10))
            before, now = now, self.evaluate(t)
            self.rounds += 1
        return [self.start, now]

    def zoom(self, ends: list[_Point], width: float, tolerance_change: float) -> _Point:
        """Narrow the bracket; `width` is the largest change of a parameter per unit of step size."""
        low, high = (0, 1) if ends[0].loss <= ends[1].loss else (1, 0)
        stalled = False
        while self.rounds < self.limit and not abs(ends[1].t - ends[0].t) * width < tolerance_change:
            left, right = min(ends[0].t, ends[1].t), max(ends[0].t, ends[1].t)
            t, margin = _cubic_minimum(ends[0], ends[1]), 0.1 * (right - left)
            near_end = min(right - t, t - left) < margin
            if near_end and (stalled or t >= right or t <= left):
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                near_end = False
            stalled = near_end
            now = self.evaluate(t)
            self.rounds += 1
            if self.too_high(now) or now.loss >= ends[low].loss:
                ends[high] = now
                low, high = (0, 1) if ends[0].loss <= ends[1].loss else (1, 0)
                continue
            done = self.flat(now)
            if not done and now.slope * (ends[high].t - ends[low].t) >= 0:
                ends[high] = ends[low]
            ends[low] = now
            if done:
                break
        return ends[low]


class LBFGS(Optimizer):
    r"""Limited-memory BFGS, as PyTorch's.

    One `step` makes up to `max_iter` iterations, each with one or more calls of the closure. The direction is the gradient times
    an approximation of the inverse Hessian, kept as the last `history_size` changes of parameters and gradients. There is one
    parameter group only, and every parameter takes part, those without a gradient as if it were zero.

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor) or of dict
        Parameters of one dtype, float32 or float64, with or without names; or one group of them.
    lr : float, default 1
        Step size; with a line search the first one tried.
    max_iter : int, default 20
        Iterations per step.
    max_eval : int, optional
        Calls of the closure per step; 5/4 of `max_iter` when left out.
    tolerance_grad : float, default 1e-7
        Stop when no element of the gradient is larger.
    tolerance_change : float, default 1e-9
        Stop when loss or parameters change less.
    history_size : int, default 100
        Pairs of changes kept: two vectors of the size of all parameters each.
    line_search_fn : str, optional
        ``"strong_wolfe"``, or None for steps of fixed size.

    Raises
    ------
    ValueError
        If a setting is out of range, there are several groups, or the parameters' dtypes differ.
    TypeError
        If `params` holds anything but tensors, pairs of a name and a tensor, or dicts.

    References
    ----------
    J. Nocedal, S. Wright: Numerical optimization, second edition, 2006, algorithms 3.5, 3.6, 7.4 and 7.5.
    M. Schmidt: minFunc, 2005.

    Examples
    --------
    >>> import dnncore as dnn
    >>> w = dnn.tensor([3.0, -2.0], requires_grad=True)
    >>> optimizer = dnn.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((w - 1) ** 4).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    97.0
    >>> closure().item() < 1e-6
    True
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError(f"LBFGS: expected one parameter group, got {len(self.param_groups)}")

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        for name in ("lr", "max_iter", "max_eval", "tolerance_grad", "tolerance_change", "history_size"):
            value = settings[name]
            least = 1 if name == "history_size" else 0
            if not as_number("LBFGS", name, value) >= least:
                raise ValueError(f"LBFGS: expected {name} of at least {least}, got {value}")
        if settings["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(f"LBFGS: expected line_search_fn None or 'strong_wolfe', got {settings['line_search_fn']!r}")
        dtypes = sorted({str(param.dtype) for param in settings.get("params", ())})
        if len(dtypes) > 1 or (dtypes and dtypes[0] not in ("dnncore.float32", "dnncore.float64")):
            raise ValueError(f"LBFGS: expected parameters of one dtype, float32 or float64, got {', '.join(dtypes)}")

    def _extend(self, group: dict[str, Any]) -> None:
        raise ValueError("LBFGS: expected one parameter group, got another one")

    def _check_state(self, number: Any, param: Tensor, state: dict[str, Any]) -> None:
        size = sum(p.numel() for p in self._all_params())
        vectors = [state[key] for key in ("d", "prev_flat_grad") if key in state]
        for vector in [*vectors, *state.get("old_dirs", ()), *state.get("old_stps", ())]:
            if not isinstance(vector, Tensor) or tuple(vector.shape) != (size,):
                raise ValueError(
                    f"LBFGS.load_state_dict: expected vectors of {size} elements, got {getattr(vector, 'shape', vector)}"
                )

    # --- All parameters as one vector

    def _flat_gradient(self) -> Tensor:
        parts = [(_core.zeros_like(p) if p.grad is None else p.grad.detach()).reshape(-1) for p in self._all_params()]
        return _core.cat(parts)

    def _move(self, t: float, direction: Tensor) -> None:
        begin = 0
        for param in self._all_params():
            end = begin + param.numel()
            param.add_(direction[begin:end].reshape(param.shape) * t)
            begin = end

    def _loss_along(self, closure: Callable[[], Any], direction: Tensor) -> Callable[[float], _Point]:
        origin = [param.detach().clone() for param in self._all_params()]

        def evaluate(t: float) -> _Point:
            self._move(t, direction)
            loss = float(closure())
            gradient = self._flat_gradient()
            for param, value in zip(self._all_params(), origin, strict=True):
                param.copy_(value)
            return _Point(t, loss, gradient, _dot(gradient, direction))

        return evaluate

    def _follow(self, state: dict[str, Any]) -> None:
        """Bring the state to the device where the parameters are now."""
        device = self._all_params()[0].device
        for key, value in state.items():
            if isinstance(value, Tensor):
                state[key] = value.to(device)
            elif isinstance(value, list):
                state[key] = [each.to(device) if isinstance(each, Tensor) else each for each in value]

    # --- The method

    @staticmethod
    def _remember(state: dict[str, Any], gradient: Tensor, history_size: int) -> None:
        """Add the last change of gradient and parameters to the history."""
        change, moved = gradient - state["prev_flat_grad"], state["d"] * float(state["t"])
        curvature = _dot(change, moved)
        if curvature <= 1e-10:
            return
        histories = (state["old_dirs"], state["old_stps"], state["ro"])
        if len(state["old_dirs"]) == history_size:
            for history in histories:
                del history[:1]
        for history, value in zip(histories, (change, moved, 1 / curvature), strict=True):
            history.append(value)
        state["H_diag"] = curvature / _dot(change, change)

    @staticmethod
    def _direction(state: dict[str, Any], gradient: Tensor) -> Tensor:
        """Return minus the gradient times the approximate inverse Hessian: two loops over the history."""
        pairs = list(zip(state["old_dirs"], state["old_stps"], map(float, state["ro"]), strict=True))
        parts = []
        q = -gradient
        for change, moved, ro in reversed(pairs):
            parts.append(_dot(moved, q) * ro)
            q = q - change * parts[-1]
        d = q * float(state["H_diag"])
        for (change, moved, ro), part in zip(pairs, reversed(parts), strict=True):
            d = d + moved * (part - _dot(change, d) * ro)
        return d

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Make up to `max_iter` iterations.

        Parameters
        ----------
        closure : callable
            Forgets the gradients, computes the loss and its gradients, and returns the loss.

        Returns
        -------
        object
            What the first call of `closure` returned.
        """

        def recorded() -> Any:
            with enable_grad():
                return closure()

        with no_grad():
            return self._iterate(recorded, self.param_groups[0])

    def _iterate(self, closure: Callable[[], Any], group: Mapping[str, Any]) -> Any:
        state = self.state[self._all_params()[0]]
        self._follow(state)
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first = closure()
        loss, gradient, evaluations = float(first), self._flat_gradient(), 1
        state["func_evals"] += 1
        done = _largest(gradient) <= group["tolerance_grad"]
        iteration = 0
        while not done and iteration < group["max_iter"]:
            iteration += 1
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                state.update(d=-gradient, old_dirs=[], old_stps=[], ro=[], H_diag=1)
                t = min(1.0, 1 / float(gradient.abs().sum().item())) * float(group["lr"])
            else:
                self._remember(state, gradient, group["history_size"])
                state["d"] = self._direction(state, gradient)
                t = float(group["lr"])
            direction, previous = state["d"], loss
            state.update(prev_flat_grad=gradient, prev_loss=loss, t=t)
            slope = _dot(gradient, direction)
            if slope > -group["tolerance_change"]:
                break
            spent = 0
            if group["line_search_fn"] is not None:
                search = _LineSearch(
                    self._loss_along(closure, direction), _Point(0.0, loss, gradient, slope), group["max_eval"] - evaluations
                )
                ends = search.bracket(t)
                point = ends[0] if len(ends) == 1 else search.zoom(ends, _largest(direction), 1e-9)
                t, loss, gradient, spent = point.t, point.loss, point.gradient, search.rounds + 1
                state["t"] = t
                self._move(t, direction)
            else:
                self._move(t, direction)
                if iteration != group["max_iter"]:
                    loss, gradient, spent = float(closure()), self._flat_gradient(), 1
            evaluations += spent
            state["func_evals"] += spent
            done = (
                evaluations >= group["max_eval"]
                or _largest(gradient) <= group["tolerance_grad"]
                or _largest(direction) * abs(t) <= group["tolerance_change"]
                or abs(loss - previous) < group["tolerance_change"]
            )
        return first
