"""What a call costs when there is nothing to compute: tiny operations in nanoseconds, and the time to import."""

import statistics
import subprocess
import sys
import time

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np

COLUMNS = [
    ("call", 34, ""),
    ("ours ns", 9, ".0f"),
    ("best ns", 9, ".0f"),
    ("spread", 6, ".2f"),
    ("NumPy ns", 9, ".0f"),
    ("torch ns", 9, ".0f"),
    ("x torch", 7, ".2f"),
]


def calls(lib, as_tensor, functional):
    """{row: callable} on 4-element tensors and a 1 x 64 by 64 x 32 layer."""
    x, z = as_tensor(np.ones(4, np.float32)), as_tensor(np.full(4, 2, np.float32))
    g = as_tensor(np.ones(4, np.float32)).requires_grad_()
    batch = as_tensor(np.ones((1, 64), np.float32))
    weight = as_tensor(np.ones((32, 64), np.float32)).requires_grad_()
    bias = as_tensor(np.ones(32, np.float32)).requires_grad_()

    def forward_without_gradient():
        with lib.no_grad():
            return functional.linear(batch, weight, bias)

    return {
        "add": lambda: x + z,
        "add, gradient recorded": lambda: g + z,
        "mul by a number": lambda: x * 2.0,
        "relu": lambda: lib.relu(x),
        "sum": lambda: x.sum(),
        "x[1:3]": lambda: x[1:3],
        "reshape": lambda: x.reshape(2, 2),
        "linear 1 x 64 -> 32, gradient": lambda: functional.linear(batch, weight, bias),
        "linear 1 x 64 -> 32, no_grad": forward_without_gradient,
        "(g * z).sum().backward()": lambda: (g * z).sum().backward(),
        "item": lambda: x[0].item(),
    }


def numpy_calls():
    x, z = np.ones(4, np.float32), np.full(4, 2, np.float32)
    batch, weight, bias = np.ones((1, 64), np.float32), np.ones((32, 64), np.float32), np.ones(32, np.float32)
    return {
        "add": lambda: x + z,
        "mul by a number": lambda: x * 2.0,
        "relu": lambda: np.maximum(x, 0),
        "sum": lambda: x.sum(),
        "x[1:3]": lambda: x[1:3],
        "reshape": lambda: x.reshape(2, 2),
        "linear 1 x 64 -> 32, no_grad": lambda: batch @ weight.T + bias,
        "item": lambda: x[0].item(),
    }


def import_milliseconds(code, before, runs):
    """Median wall time of a fresh interpreter that runs `before` and `code`, less one that runs `before` alone."""

    def once(text):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", text], check=True)
        return time.perf_counter() - start

    whole = f"{before}\n{code}"
    once(whole)  # writes the .pyc files, warms the page cache
    full, base = [], []
    for _ in range(runs):
        full.append(once(whole))
        base.append(once(before))
    return 1e3 * (statistics.median(full) - statistics.median(base))


def main():
    options = common.arguments(__doc__)
    torch = common.find_torch(options)
    report = common.Report("overhead", options, COLUMNS, torch)
    ours = calls(dnn, dnn.from_numpy, dnn.nn.functional)
    theirs = calls(torch, torch.from_numpy, torch.nn.functional) if torch else {}
    plain = numpy_calls()
    empty = common.compare({"loop": lambda: None}, options.quick)["loop"].median  # the price of the lambda and the loop
    with common.Threads(1, torch):
        for name in ours:
            if options.filter not in name:
                continue
            found = {who: run[name] for who, run in (("ours", ours), ("NumPy", plain), ("torch", theirs)) if name in run}
            timings = common.compare(found, options.quick)
            net = {who: 1e9 * (timing.median - empty) for who, timing in timings.items()}
            values = {
                "call": name,
                "ours ns": net["ours"],
                "best ns": 1e9 * (timings["ours"].min - empty),
                "spread": timings["ours"].spread,
                "NumPy ns": net.get("NumPy"),
                "torch ns": net.get("torch"),
                "x torch": net["torch"] / net["ours"] if "torch" in net else None,
            }
            report.row(values, timings=timings)
    runs = 5 if options.quick else 15
    imports = {
        "numpy": ("import numpy", "pass"),
        "dnncore over numpy": ("import dnncore.nn, dnncore.optim; dnncore.zeros(1)", "import numpy"),
        **({"torch over numpy": ("import torch", "import numpy")} if torch else {}),
    }
    found = {name: import_milliseconds(code, before, runs) for name, (code, before) in imports.items()}
    report.summary["import_ms"] = found
    print("import: " + ", ".join(f"{name} {ms:.0f} ms" for name, ms in found.items()))
    report.finish()


if __name__ == "__main__":
    main()
