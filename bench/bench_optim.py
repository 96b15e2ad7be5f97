"""Optimizer steps over many parameters: dnncore, PyTorch's fused kernels and the better of its foreach and for-loop forms."""

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np

# (label, lengths of the parameters)
SIZES = [
    ("0.1 M in 8", [12_500] * 8),
    ("0.1 M in 100", [1000] * 100),
    ("0.67 M in 6", [784 * 512, 512, 512 * 512, 512, 5120, 10]),
    ("25.6 M in 161", [159_000] * 161),
]
# (name, settings, bytes read and written per parameter, whether PyTorch has a fused form)
KINDS = [
    ("SGD", {"momentum": 0.9}, 20, True),
    ("Adam", {}, 28, True),
    ("AdamW", {"amsgrad": True}, 36, True),
    ("RMSprop", {}, 20, False),
    ("RAdam", {}, 28, False),
]
LR = 1e-6

COLUMNS = [
    ("optimizer", 24, ""),
    ("threads", 7, "d"),
    ("ours us", 9, ".1f"),
    ("best us", 9, ".1f"),
    ("spread", 6, ".2f"),
    ("GB/s", 7, ".1f"),
    ("of copy", 7, ".2f"),
    ("fused us", 9, ".1f"),
    ("loops us", 9, ".1f"),
    ("x fused", 7, ".2f"),
    ("x loops", 7, ".2f"),
]


def optimizer_of(lib, as_tensor, kind, lengths, **settings):
    """An optimizer of a library over normal parameters with gradients, its state made."""
    random = np.random.default_rng(0)
    parameters = []
    for length in lengths:
        parameter = as_tensor(random.standard_normal(length, dtype=np.float32)).requires_grad_(True)
        parameter.grad = as_tensor(random.standard_normal(length, dtype=np.float32))
        parameters.append(parameter)
    optimizer = getattr(lib.optim, kind)(parameters, lr=LR, **settings)
    optimizer.step()
    return optimizer


def contenders(kind, settings, lengths, has_fused, torch):
    found = {"ours": optimizer_of(dnn, dnn.tensor, kind, lengths, **settings)}
    if torch is not None:
        forms = {"foreach": {"foreach": True}, "loop": {"foreach": False}, **({"fused": {"fused": True}} if has_fused else {})}
        for name, form in forms.items():
            found[name] = optimizer_of(torch, torch.tensor, kind, lengths, **settings, **form)
    return found


def agree(label, found):
    """Refuse to time forms that do not compute the same."""
    first = {name: np.asarray(common.to_numpy(o.param_groups[0]["params"][0])) for name, o in found.items()}
    for name, values in first.items():
        if not np.allclose(values, first["ours"], rtol=1e-6, atol=1e-7):
            raise AssertionError(f"{label}: {name} differs from ours")


def main():
    options = common.arguments(__doc__)
    torch = common.find_torch(options)
    ceilings = common.Ceilings(options.quick)
    report = common.Report("Optimizer step", options, COLUMNS, torch)
    for count in options.threads:
        with common.Threads(count, torch):
            for size, lengths in SIZES:
                for kind, settings, traffic, has_fused in KINDS:
                    label = f"{kind}, {size}"
                    if options.filter not in label:
                        continue
                    found = contenders(kind, settings, lengths, has_fused, torch)
                    agree(label, found)
                    timings = common.compare({name: optimizer.step for name, optimizer in found.items()}, options.quick)
                    ours, moved = timings["ours"], traffic * sum(lengths)
                    rate, ceiling = 1e-9 * moved / ours.median, ceilings.copy(count, moved // 2)
                    loops = min(
                        (timings[name] for name in ("foreach", "loop") if name in timings), key=lambda t: t.median, default=None
                    )
                    values = {
                        "optimizer": label,
                        "threads": count,
                        "ours us": ours.median * 1e6,
                        "best us": ours.min * 1e6,
                        "spread": ours.spread,
                        "GB/s": rate,
                        "of copy": ceiling and rate / ceiling,
                        "fused us": timings["fused"].median * 1e6 if "fused" in timings else None,
                        "loops us": loops and loops.median * 1e6,
                        "x fused": common.ratio(timings.get("fused"), ours),
                        "x loops": common.ratio(loops, ours),
                    }
                    report.row(values, timings=timings)
    report.finish(ceilings)


if __name__ == "__main__":
    main()
