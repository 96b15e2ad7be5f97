"""Softmax and losses, forward and with the gradient: dnncore against the best NumPy form and PyTorch.

Steps (fwd+bwd) make the loss and the gradient of its input, as a training step does; PyTorch runs eagerly.
"""

import common  # first: clears OPENBLAS_CORETYPE
import dnncore as dnn
import numpy as np
import reference_numpy
from dnncore.cli import _bench_numpy
from dnncore.nn import functional as F

SHAPES = ((128, 10), (128, 1000), (640, 10000))
PAIRS = ((128, 784), (512, 4096))
MAPS = ("softmax", "log_softmax")
STEPS = ("cross_entropy", "cross_entropy smoothed", "mse", "bce_with_logits")

COLUMNS = common.peer_columns(34, common.SPREAD)


NUMPY = {
    "softmax": _bench_numpy.softmax,
    "log_softmax": _bench_numpy.log_softmax,
    "cross_entropy": _bench_numpy.cross_entropy,
    "cross_entropy smoothed": reference_numpy.cross_entropy_smoothed,
    "mse": _bench_numpy.mse_loss,
    "bce_with_logits": _bench_numpy.binary_cross_entropy_with_logits,
}
NAMES = {"mse": "mse_loss", "bce_with_logits": "binary_cross_entropy_with_logits"}


def loss_step(functions, name, x, target):
    """A call that returns the gradient of the loss for the leaf `x`."""
    function = getattr(functions, NAMES.get(name, "cross_entropy"))
    options = {"label_smoothing": 0.1} if name.endswith("smoothed") else {}

    def run():
        x.grad = None
        function(x, target, **options).backward()
        return x.grad

    return run


def contenders(name, x, target, torch):
    numpy_form = NUMPY[name]
    if name in MAPS:
        tensor = dnn.from_numpy(x)
        found = {"ours": lambda: getattr(dnn, name)(tensor, 1), "NumPy": lambda: numpy_form(x)}
        if torch is not None:
            peer = torch.from_numpy(x)
            found["torch"] = lambda: getattr(torch, name)(peer, 1)
        return found
    found = {
        "ours": loss_step(F, name, dnn.from_numpy(x).requires_grad_(), dnn.from_numpy(target)),
        "NumPy": lambda: numpy_form(x, target)[1],
    }
    if torch is not None:
        leaf = torch.from_numpy(x).requires_grad_()
        found["torch"] = loss_step(torch.nn.functional, name, leaf, torch.from_numpy(target))
    return found


def rows():
    for name in (*MAPS, *STEPS):
        for shape in PAIRS if name in NAMES else SHAPES:
            label = f"{name} {shape[0]}x{shape[1]}{'' if name in MAPS else ' fwd+bwd'}"
            yield label, name, shape


def measure(run, label, name, shape):
    random = np.random.default_rng(shape)
    x = random.standard_normal(shape, dtype=np.float32)
    target = random.random(shape, dtype=np.float32) if name in NAMES else random.integers(0, shape[1], shape[0])
    found = contenders(name, x, target, run.torch)
    if run.checks:
        wide = (x.astype(np.float64), target.astype(np.float64) if name in NAMES else target)
        exact = NUMPY[name](wide[0]) if name in MAPS else NUMPY[name](*wide)[1]
        common.check(label, found, exact, 3e-6)
    timings = common.compare(found, run.options.quick)
    run.report.row(common.peer_values(label, run.threads, timings), timings=timings)


def main():
    common.compare_rows("softmax and losses", __doc__, COLUMNS, rows, measure)


if __name__ == "__main__":
    main()
