"""How operations fare while other processes burn the same cores: 90th percentile against the quiet median.

Single calls are timed one by one, since the tail is the subject.
"""

import contextlib
import subprocess
import sys
import time

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np

# Square products of about 0.5 ms, 3 ms and 20 ms on two cores of the reference machine.
SIZES = (384, 768, 1536)

COLUMNS = [
    ("operation", 20, ""),
    ("who", 6, ""),
    ("burning", 7, "d"),
    ("quiet ms", 9, ".3f"),
    ("median", 9, ".3f"),
    ("p90", 9, ".3f"),
    ("worst", 9, ".3f"),
    ("median x", 8, ".2f"),
    ("p90 x", 8, ".2f"),
]


@contextlib.contextmanager
def burning(count):
    """`count` processes that do nothing but compute."""
    helpers = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(0.3 if count else 0)
        yield
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()


def single_calls(run, seconds):
    """Milliseconds of single calls for `seconds`, at least 30 of them."""
    run()
    found, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(found) < 30:
        start = time.perf_counter()
        run()
        found.append(1e3 * (time.perf_counter() - start))
    return np.array(found)


def contenders(size, torch):
    random = np.random.default_rng(size)
    a, b = (random.standard_normal((size, size), dtype=np.float32) for _ in range(2))
    x, y, out = dnn.from_numpy(a), dnn.from_numpy(b), np.empty_like(a)
    found = {"ours": lambda: dnn.matmul(x, y), "NumPy": lambda: np.matmul(a, b, out=out)}
    if torch is not None:
        p, q = torch.from_numpy(a), torch.from_numpy(b)
        result = torch.empty_like(p)
        found["torch"] = lambda: torch.mm(p, q, out=result)
    return found


def main():
    options = common.arguments(__doc__)
    torch = common.find_torch(options)
    report = common.Report("contention", options, COLUMNS, torch)
    count = max(options.threads)
    rounds, seconds = (1, 0.5) if options.quick else (5, 1.0)
    with common.Threads(count, torch):
        for size in SIZES:
            found = contenders(size, torch)
            times = {}
            for _ in range(rounds):  # interleaved: quiet, one, two, for each in turn
                for burners in (0, 1, 2):
                    with burning(burners):
                        for who, run in found.items():
                            times.setdefault((who, burners), []).append(single_calls(run, seconds))
            for (who, burners), parts in times.items():
                calls, quiet = np.concatenate(parts), float(np.median(np.concatenate(times[who, 0])))
                middle, p90 = (float(np.percentile(calls, percent)) for percent in (50, 90))
                values = {
                    "operation": f"matmul {size}^3",
                    "who": who,
                    "burning": burners,
                    "quiet ms": quiet,
                    "median": middle,
                    "p90": p90,
                    "worst": float(calls.max()),
                    "median x": middle / quiet,
                    "p90 x": p90 / quiet,
                }
                report.row(values, threads=count)
    report.finish()


if __name__ == "__main__":
    main()
