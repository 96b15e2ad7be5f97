"""Work done ahead in one thread, in order and with the same results as without it."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Job = Callable[[], list[Item]]

_DEPTH = 2  # jobs under way or done beyond the one in use


def run(jobs: Iterator[Job[Item]]) -> Iterator[Item]:
    """Yield what the jobs return, each done when its turn comes."""
    for job in jobs:
        yield from job()


def run_ahead(jobs: Iterator[Job[Item]]) -> Iterator[Item]:
    """Yield what the jobs return, up to `_DEPTH` of them done ahead by one thread.

    An exception of a job arrives where its result was due, and ends the thread, as closing the iterator does. A forked child,
    and a process that ends, have no such thread: there jobs are done when their turn comes.
    """
    home = os.getpid()
    pool = ThreadPoolExecutor(1, thread_name_prefix="dnncore-data")  # its thread is joined before Python ends
    waiting: deque[tuple[Job[Item], Future[list[Item]] | None]] = deque()
    try:
        while True:
            while len(waiting) <= _DEPTH and (job := next(jobs, None)) is not None:
                waiting.append((job, _submit(pool, job, home)))
            if not waiting:
                return
            job, future = waiting.popleft()
            yield from job() if future is None or os.getpid() != home else future.result()
    finally:
        waiting.clear()
        if os.getpid() == home:
            pool.shutdown(wait=False, cancel_futures=True)


def _submit(pool: ThreadPoolExecutor, job: Job[Item], home: int) -> Future[list[Item]] | None:
    if os.getpid() == home:
        with contextlib.suppress(RuntimeError):  # Python ends, or the system has no thread to give
            return pool.submit(job)
    return None
