"""How ``dnncore bench`` times: calls in turns, by rounds."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Call = Callable[[], Any]


class Budget(NamedTuple):
    """Rounds of a contender, seconds of a round, and a pause before it: threads of other libraries spin after their last call."""

    rounds: int
    seconds: float
    pause: float


class Timing(NamedTuple):
    """Seconds of a call; `spread` is (slowest round - fastest round) / median."""

    median_s: float
    spread: float
    rounds_s: list[float]


def compare(calls: Mapping[str, Call], budget: Budget) -> dict[str, Timing]:
    """Time the calls in interleaved rounds (A B C A B C ...); an untimed call goes before each."""
    counts = {who: _calls_for(call, budget.seconds) for who, call in calls.items()}
    rounds: dict[str, list[float]] = {who: [] for who in calls}
    for _ in range(budget.rounds):
        for who, call in calls.items():
            time.sleep(budget.pause)
            call()
            rounds[who].append(_timed(call, counts[who]) / counts[who])
    return {who: _timing(times) for who, times in rounds.items()}


def _timing(rounds: list[float]) -> Timing:
    median = statistics.median(rounds)
    return Timing(median, (max(rounds) - min(rounds)) / median, rounds)


def _calls_for(call: Call, seconds: float) -> int:
    """Return how many calls last `seconds`."""
    count = 1
    while (elapsed := _timed(call, count)) < seconds / 4:
        count = max(2 * count, int(count * seconds / 4 / max(elapsed, 1e-9)))
    return max(1, math.ceil(count * seconds / elapsed))


def seconds_of(call: Call, tries: int) -> float:
    """Return the least seconds of some calls, after an untimed one."""
    call()
    return min(_timed(call, 1) for _ in range(tries))


def _timed(call: Call, count: int) -> float:
    repeat = range(count)
    start = time.perf_counter()
    for _ in repeat:
        call()
    return time.perf_counter() - start
