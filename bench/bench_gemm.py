"""Matrix products: dnncore against NumPy (OpenBLAS) and torch.mm, as a fraction of the FMA ceiling.

Peers write into a prepared result, dnncore into a fresh tensor each time.
"""

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np

# (id, m, n, k, storage of A and B): "t" means that operand is stored transposed.
FLOAT32 = [
    ("G1", 64, 64, 64, "nn"),
    ("G2", 256, 256, 256, "nn"),
    ("G3", 512, 512, 512, "nn"),
    ("G4", 1024, 1024, 1024, "nn"),
    ("G5", 2048, 2048, 2048, "nn"),
    ("G6", 4096, 4096, 4096, "nn"),
    ("G7", 128, 512, 784, "nt"),
    ("G8", 512, 784, 128, "tn"),
    ("G9", 64, 10, 512, "nt"),
    ("G10", 128, 4096, 9216, "nt"),
    *(("G11", 1760, n, 1760, "nn") for n in (16, 32, 64, 128)),
    *(("G12", 3072, n, 1024, layout) for n in (16, 64) for layout in ("nn", "tn")),
    ("G13", 35, 700, 2048, "nn"),
    ("G13", 5124, 700, 2048, "nn"),
    ("G14", 512, 16, 500000, "nn"),
]
FLOAT64 = [("G2", 256, 256, 256, "nn"), ("G4", 1024, 1024, 1024, "nn"), ("G7", 128, 512, 784, "nt")]
BFLOAT16 = [(f"B{size}", size, size, size, "nn") for size in (256, 512, 1024, 2048)]
TOLERANCE = {"float32": 1e-5, "float64": 1e-13, "bfloat16": 1e-2}

COLUMNS = [
    ("row", 38, ""),
    ("threads", 7, "d"),
    ("ours GF/s", 9, ".1f"),
    ("best", 8, ".1f"),
    ("spread", 6, ".2f"),
    ("ceiling", 8, ".1f"),
    ("fraction", 8, ".3f"),
    ("NumPy", 8, ".1f"),
    ("torch", 8, ".1f"),
    ("x NumPy", 7, ".2f"),
    ("x torch", 7, ".2f"),
]


def operands(m, n, k, layout, dtype):
    """A and B as NumPy views of the wanted storage, rounded to `dtype`, N(0, 1)."""
    random = np.random.default_rng(m * 31 + n * 7 + k)
    kind = np.float64 if dtype == "float64" else np.float32
    a = random.standard_normal((m, k) if layout[0] == "n" else (k, m), dtype=kind)
    b = random.standard_normal((k, n) if layout[1] == "n" else (n, k), dtype=kind)
    return a, b


def views(a, b, layout):
    return (a if layout[0] == "n" else a.T), (b if layout[1] == "n" else b.T)


def contenders(a, b, layout, dtype, torch):
    ours_a, ours_b = (dnn.from_numpy(x).to(getattr(dnn, dtype)) for x in (a, b))
    ours_a, ours_b = views(ours_a, ours_b, layout)
    found = {"ours": lambda: dnn.matmul(ours_a, ours_b)}
    if dtype != "bfloat16":
        x, y = views(a, b, layout)
        out = np.empty((x.shape[0], y.shape[1]), x.dtype)
        found["NumPy"] = lambda: np.matmul(x, y, out=out)
    if torch is not None:
        torch_a, torch_b = views(*(torch.from_numpy(x).to(getattr(torch, dtype)) for x in (a, b)), layout)
        result = torch.empty((torch_a.shape[0], torch_b.shape[1]), dtype=torch_a.dtype)
        found["torch"] = lambda: torch.mm(torch_a, torch_b, out=result)
    return found


def expected(a, b, layout, dtype):
    rounded = [dnn.from_numpy(x).to(getattr(dnn, dtype)).to(dnn.float64).numpy() for x in (a, b)]
    x, y = views(*rounded, layout)
    return x @ y


def measure(report, ceilings, case, dtype, count, options, torch):
    name, m, n, k, layout = case
    label = f"{name} {m}x{n}x{k} {layout} {dtype}"
    if options.filter not in label:
        return
    a, b = operands(m, n, k, layout, dtype)
    found = contenders(a, b, layout, dtype, torch)
    if count == options.threads[0]:
        common.check(label, found, expected(a, b, layout, dtype), TOLERANCE[dtype])
    timings = common.compare(found, options.quick)
    ceiling = ceilings.fma(count, dtype)
    work = 2e-9 * m * n * k
    rates = {who: work / timing.median for who, timing in timings.items()}
    ours = timings["ours"]
    values = {
        "row": label,
        "threads": count,
        "ours GF/s": rates["ours"],
        "best": work / ours.min,
        "spread": ours.spread,
        "ceiling": ceiling,
        "fraction": ceiling and rates["ours"] / ceiling,
        "NumPy": rates.get("NumPy"),
        "torch": rates.get("torch"),
        "x NumPy": common.ratio(timings.get("NumPy"), ours),
        "x torch": common.ratio(timings.get("torch"), ours),
    }
    report.row(values, timings=timings, dtype=dtype)


def main():
    dtypes = list(TOLERANCE)
    options = common.arguments(__doc__, dtypes={"nargs": "+", "default": dtypes, "choices": dtypes})
    torch = common.find_torch(options)
    ceilings = common.Ceilings(options.quick)
    report = common.Report("matrix products", options, COLUMNS, torch)
    for count in options.threads:
        with common.Threads(count, torch):
            for dtype, cases in (("float32", FLOAT32), ("float64", FLOAT64), ("bfloat16", BFLOAT16)):
                if dtype not in options.dtypes:
                    continue
                for case in cases:
                    measure(report, ceilings, case, dtype, count, options, torch)
    for count in options.threads:
        for column in ("x NumPy", "x torch"):
            report.geometric_mean(column, f"float32 {column}, {count} thread(s)", threads=count, dtype="float32")
        report.geometric_mean("x torch", f"bfloat16 x torch, {count} thread(s)", threads=count, dtype="bfloat16")
    report.finish(ceilings)


if __name__ == "__main__":
    main()
