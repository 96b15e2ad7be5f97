"""Checks before the first step: every code with its message, no alarm where all is well, nothing changed."""

from __future__ import annotations

import functools
import pickle
import re
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dnncore as dnn
import numpy as np
import pytest
from diagnostics_cases import ERRORS, WARNINGS
from diagnostics_set_ups import (
    ACCURACY,
    BCE,
    CE,
    LOGITS,
    MAE,
    MSE,
    Functional,
    TwoHeads,
    batch,
    bits,
    classes,
    mlp,
    pixels,
    steep,
    with_nan,
)
from dnncore import nn
from dnncore.model import diagnostics
from dnncore.model._diagnosis import CODES
from dnncore.model.diagnostics import Diagnosis, DiagnosisWarning, examine
from dnncore.nn import functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

PAGE = Path(__file__).parents[1] / "docs" / "diagnostics.md"


def run(module=None, loss=CE, metrics=(), inputs=None, targets=None, **more):
    inputs = batch() if inputs is None else inputs
    examine(mlp(4, 8, 3) if module is None else module, loss, metrics, inputs, classes() if targets is None else targets, **more)


@pytest.mark.parametrize("name", ERRORS)
def test_error(name):
    code, changed, message, fix = ERRORS[name]
    with pytest.raises(Diagnosis) as caught:
        run(**changed())
    error = caught.value
    assert (error.code, error.message, error.fix) == (code, message, fix)
    assert isinstance(error, ValueError)
    assert str(error) == f"{code}: {message}\n  fix: {fix}\n  more: docs/diagnostics.md#{code.lower()}"


@pytest.mark.parametrize("name", WARNINGS)
def test_warning(name):
    code, changed, message, fix = WARNINGS[name]
    with pytest.warns(DiagnosisWarning) as caught:
        run(**changed())
    (warning,) = caught
    assert (warning.message.code, warning.message.message, warning.message.fix) == (code, message, fix)
    assert warning.filename == __file__, "the warning does not point at the user's code"
    assert issubclass(warning.category, UserWarning)


def test_every_code_has_a_case_and_a_section():
    tested = {entry[0] for table in (ERRORS, WARNINGS) for entry in table.values()}
    sections = re.findall(r"^### (D\d{3})\n\n\*\*(.+?)\.\*\*", PAGE.read_text(), re.MULTILINE)
    assert tested == set(CODES)
    assert sections == [(code, text[0].upper() + text[1:]) for code, text in sorted(CODES.items())]


def test_findings_can_be_pickled_and_have_an_anchor():
    for kind in (Diagnosis, DiagnosisWarning):
        found = kind("D101", "message", "fix")
        assert found.anchor == "docs/diagnostics.md#d101"
        copied = pickle.loads(pickle.dumps(found))
        assert (type(copied), copied.code, copied.fix, str(copied)) == (kind, "D101", "fix", str(found))


# --- Several outputs


def test_several_outputs():
    targets = (classes(), batch()[:, :1])
    run(TwoHeads(), (CE, MSE), [ACCURACY, MAE], targets=targets)
    run(TwoHeads(True), {"age": MSE, "kind": CE}, targets={"age": targets[1], "kind": targets[0]}, data=(batch(), None))
    with pytest.raises(Diagnosis, match=r"D204: output 1: the targets have shape \(20,\), but MSELoss"):
        run(TwoHeads(), (CE, MSE), targets=(classes(), batch()[:, 0]))
    with pytest.raises(Diagnosis, match="D202: output 'kind': the class numbers are 1 to 3"):
        run(TwoHeads(True), {"kind": CE, "age": MSE}, targets={"age": targets[1], "kind": classes() + 1})
    with pytest.raises(Diagnosis, match="D202: output 0: the class numbers are 1 to 3"):
        run(TwoHeads(), (CE, MSE), targets=targets, data=(batch(), (classes() + 1, targets[1])))
    with pytest.raises(Diagnosis, match=r"D208: .* inputs has 20, targets\[0\] has 20, targets\[1\] has 5"):
        run(TwoHeads(), (CE, MSE), targets=(classes(), batch(5)[:, :1]))


def test_several_inputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(7, 3)

        def forward(self, left, right):
            return self.fc(dnn.cat([left, right], 1))

    parts = {"left": batch(), "right": batch(20, 3)}
    run(Two(), inputs=(parts["left"], parts["right"]))
    run(Two(), inputs=parts)
    with pytest.raises(Diagnosis, match="D302: inputs\\['right'\\]: the value in row 2, column 1 is nan"):
        run(Two(), inputs={**parts, "right": with_nan(parts["right"], (2, 1))})
    with pytest.raises(Diagnosis, match="D401: Linear 'fc' expects 7 features, the data gives 8"):
        run(Two(), inputs=(batch(), batch()))
    with pytest.warns(DiagnosisWarning, match="D503: inputs: all 20 samples"):
        run(Two(), inputs=parts, data=(parts, classes()), validation=(parts, classes()))
    shuffled = {**parts, "right": parts["right"].flip(0)}
    run(Two(), inputs=parts, data=(parts, classes()), validation=(shuffled, classes()))


# --- No alarm where all is well


def test_digits_are_healthy():
    pytest.importorskip("sklearn", reason="scikit-learn (extra course) holds the digits")
    from dnncore.data import load_digits

    x, y = load_digits()
    train, validation = (x[:1100], y[:1100]), (x[1100:], y[1100:])
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 10))
    optimizer = dnn.optim.Adam(model.parameters())
    for loss in (CE, F.cross_entropy, dnn.cross_entropy, nn.CrossEntropyLoss(label_smoothing=0.1), nn.MultiMarginLoss()):
        examine(model, loss, [ACCURACY], x[:32], y[:32], data=train, validation=validation, optimizer=optimizer)
    model.append(nn.LogSoftmax(dim=1))
    examine(model, nn.NLLLoss(), [ACCURACY], x[:32], y[:32], data=train, validation=validation)
    flat = x.flatten(1)
    coder = nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 64), nn.Sigmoid())
    for loss in (BCE, MSE):
        examine(coder, loss, [MAE], flat[:32], flat[:32], data=(flat[:900], flat[:900]), validation=(flat[900:], flat[900:]))


HEALTHY: dict[str, Callable[[], dict[str, Any]]] = {
    "regression": lambda: {"module": mlp(4, 8, 1), "loss": nn.HuberLoss(), "targets": batch()[:, :1] * 1000, "metrics": [MAE]},
    "regression without a column": lambda: {
        "module": Functional(lambda x: x.squeeze(1), 1),
        "loss": F.mse_loss,
        "targets": batch()[:, 0],
    },
    "binary": lambda: {"module": mlp(4, 1), "loss": LOGITS, "targets": bits(20, 1), "metrics": [ACCURACY]},
    "binary with soft targets": lambda: {"module": mlp(4, 1), "loss": LOGITS, "targets": bits(20, 1) * 0.8 + 0.1},
    "binary with a sigmoid": lambda: {"module": mlp(4, 1, end=nn.Sigmoid()), "loss": BCE, "targets": bits(20, 1)},
    "binary with a sigmoid in forward": lambda: {"module": Functional(dnn.sigmoid, 1), "loss": BCE, "targets": bits(20, 1)},
    "multilabel": lambda: {"module": mlp(4, 5), "loss": LOGITS, "targets": bits(20, 5), "metrics": [ACCURACY]},
    "two classes": lambda: {"module": mlp(4, 2), "targets": classes(20, 2)},
    "shares as targets": lambda: {"targets": dnn.softmax(batch(20, 3), 1)},
    "one-hot floats": lambda: {"targets": dnn.one_hot(classes(), 3).float()},
    "images of classes": lambda: {
        "module": nn.Sequential(nn.Linear(4, 24), nn.Unflatten(1, (3, 2, 4))),
        "targets": classes(160).reshape(20, 2, 4),
    },
    "ignored targets": lambda: {
        "loss": nn.CrossEntropyLoss(ignore_index=-1),
        "targets": classes() - (dnn.arange(20) == 0).long(),
    },
    "ignored targets of a function": lambda: {"loss": F.cross_entropy, "targets": classes() - 100 * (dnn.arange(20) == 0).long()},
    "ignored targets of a partial": lambda: {
        "loss": functools.partial(F.cross_entropy, ignore_index=9),
        "targets": classes() + 9 * (dnn.arange(20) == 0).long(),
    },
    "fewer classes than outputs": lambda: {"module": mlp(4, 10)},
    "a minibatch of one class": lambda: {"targets": dnn.ones(20, dtype=dnn.int64), "data": (batch(60), classes(60))},
    "a loss of one's own": lambda: {"loss": lambda output, target: (output[:, 0] * target.float()).mean(), "metrics": [ACCURACY]},
    "softmax for a loss of one's own": lambda: {
        "module": mlp(4, 3, end=nn.Softmax(1)),
        "loss": lambda output, target: -output.log().mean(),
    },
    "softmax inside": lambda: {"module": nn.Sequential(nn.Linear(4, 4), nn.Softmax(1), nn.Linear(4, 3))},
    "softmax for a squared error": lambda: {
        "module": mlp(4, 3, end=nn.Softmax(1)),
        "loss": MSE,
        "targets": dnn.one_hot(classes(), 3).float(),
    },
    "pixels that the network scales": lambda: {
        "module": Scaling(),
        "inputs": pixels(),
    },
    "numbers and an embedding": lambda: {"module": Lookup(), "inputs": classes(20, 9)},
    "half of the parameters": lambda: {
        "module": (model := mlp(4, 8, 3)),
        "optimizer": dnn.optim.SGD(model[2].parameters(), lr=0.1),
    },
    "a schedule that begins at 0": lambda: warming(),
    "a lazy layer": lambda: {"module": nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3))},
    "double precision": lambda: {"module": mlp(4, 3).double(), "inputs": batch().double()},
    "one sample": lambda: {"inputs": batch(1), "targets": classes(1)},
    "repeated rows of a table": lambda: {
        "data": (classes(80, 2).float().reshape(20, 4), classes()),
        "validation": (classes(80, 2).float().reshape(20, 4), classes()),
    },
    "validation of another shape": lambda: {"data": (batch(), classes()), "validation": (batch(20, 5), classes())},
    "an empty validation": lambda: {"data": (batch(), classes()), "validation": (batch(0), classes(0))},
    "targets alone": lambda: {"data": (None, classes())},
    "bfloat16": lambda: {
        "module": mlp(4, 3).to(dnn.bfloat16),
        "inputs": batch().to(dnn.bfloat16),
        "loss": lambda output, target: output.float().sum(),
        "data": (batch().to(dnn.bfloat16), classes()),
        "validation": (batch(3).to(dnn.bfloat16) + 3, classes(3)),
    },
    "a network that ends in a ReLU": lambda: {"module": mlp(4, 3, end=nn.ReLU())},
    "few positive logits": lambda: {"module": Functional(lambda x: x.abs()), "inputs": batch(1), "targets": classes(1)},
    "weight_norm": lambda: {"module": nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 3)))},
    "parametrizations": lambda: {"module": nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3)))},
}


class Scaling(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(x / 255)


class Lookup(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(dnn.randn(9, 3))

    def forward(self, x):
        return self.table[x]


def warming() -> dict[str, Any]:
    model = mlp(4, 3)
    optimizer = dnn.optim.SGD(model.parameters(), lr=0.1)
    dnn.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: epoch / 10)
    assert optimizer.param_groups[0]["lr"] == 0
    return {"module": model, "optimizer": optimizer}


@pytest.mark.parametrize("name", HEALTHY)
def test_no_alarm(name):
    changed = HEALTHY[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(**changed)


# --- The forward pass alone


def test_examine_forward():
    model = mlp(4, 8, 3)
    assert diagnostics.examine_forward(model, batch()) is None
    for inputs, code in ((batch(20, 5), "D401"), (batch().double(), "D402"), (with_nan(batch(), (0, 0)), "D302")):
        with pytest.raises(Diagnosis) as caught:
            diagnostics.examine_forward(model, inputs)
        assert caught.value.code == code
    with pytest.raises(Diagnosis, match="D405"):
        diagnostics.examine_forward(steep(), batch() * 1e38)


def test_no_module():
    with pytest.raises(TypeError, match="examine: expected a Module, got function"):
        examine(lambda x: x, CE, [], batch(), classes())  # type: ignore[arg-type]


# --- Nothing changes


@pytest.mark.parametrize("lock", [False, True], ids=["copied", "in place"])
def test_nothing_changes(lock):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.ReLU(inplace=True))
            self.register_buffer("calls", dnn.zeros(1))
            if lock:
                self.lock = threading.Lock()

        def forward(self, x):
            self.calls += 1
            return self.body(x) - dnn.rand(3)

    def state() -> object:
        hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
        return (
            [(name, id(p), p.tolist(), p.grad.tolist(), p._version) for name, p in model.named_parameters()],
            model.calls.tolist(),
            [m.training for m in model.modules()],
            hooks,
            dnn.default_generator.get_state().tolist(),
            x.tolist(),
            y.tolist(),
            dnn.is_grad_enabled(),
        )

    model, x, y = Net(), batch(), classes()
    model.body[1].eval()
    model(x).sum().backward()
    before = state()
    run(model, inputs=x, targets=y, data=(x, y), validation=(x[:3] + 1, y[:3]))
    assert state() == before
    with pytest.raises(Diagnosis, match="D401"):
        run(model, inputs=batch(20, 5))
    with pytest.raises(Diagnosis, match="D202"):
        run(model, inputs=x, targets=y + 1)
    assert state() == before


def test_a_lazy_layer_stays_lazy():
    model = nn.Sequential(nn.LazyLinear(3))
    run(model)
    assert model[0].has_uninitialized_params()
    with pytest.raises(Diagnosis, match=r"D401: Linear '1' expects 4 features, (Lazy)?Linear '0' gives 3"):
        run(nn.Sequential(nn.LazyLinear(3), nn.Linear(4, 3)))


def test_data_are_scanned_in_part_when_large(monkeypatch):
    """The caps hold: no pass over everything, and the message of duplicates says how much was looked at."""
    from dnncore.model import _data_checks

    monkeypatch.setattr(_data_checks, "_BYTE_CAP", 16 * 100)
    x, y = batch(1000), classes(1000)
    with pytest.warns(DiagnosisWarning, match=r"D503.*\(looked at 100 of 1000, and 100 of 1000\)"):
        run(data=(x, y), validation=(x, y))
    monkeypatch.setattr(_data_checks, "_ELEMENT_CAP", 400)
    run(data=(with_nan(x, (999, 0)), y))
    with pytest.raises(Diagnosis, match="D302"):
        run(data=(with_nan(x, (99, 3)), y))
    monkeypatch.setattr(_data_checks, "_CHUNK", 8)
    with pytest.raises(Diagnosis, match="D302: inputs: the value in row 99, column 3 is nan; one"):
        run(data=(with_nan(x, (99, 3)), y))


def test_minus_zero_equals_zero():
    x = batch()
    zeros = x * dnn.tensor([1.0, 1.0, 1.0, 0.0])
    minus = dnn.tensor(np.where(zeros.numpy() == 0, np.float32(-0.0), zeros.numpy()))
    with pytest.warns(DiagnosisWarning, match="D503: inputs: all 20 samples"):
        run(inputs=x, data=(zeros, classes()), validation=(minus, classes()))


# --- The checks agree with the losses

LOSSES = [CE, nn.NLLLoss(), nn.MultiMarginLoss(), LOGITS, BCE, MSE, nn.L1Loss(), nn.SmoothL1Loss(), nn.HuberLoss()]
ENDS = [nn.Identity(), nn.Sigmoid(), nn.LogSoftmax(dim=1), nn.Flatten(0), nn.Unflatten(1, (-1, 1)), nn.Unflatten(1, (1, -1))]
DTYPES = [dnn.float32, dnn.float64, dnn.int64, dnn.int32, dnn.uint8, dnn.bool]
SHAPES = st.sampled_from([(), (1,), (2,), (3,), (1, 1), (1, 3), (3, 1), (1, 1, 1), (4,)])


@settings(max_examples=400, deadline=None)
@given(
    rows=st.sampled_from([0, 1, 2, 3]),
    outputs=st.sampled_from([1, 2, 3]),
    end=st.sampled_from(ENDS),
    loss=st.sampled_from(LOSSES),
    shape=SHAPES,
    dtype=st.sampled_from(DTYPES),
    low=st.sampled_from([-1, 0, 1]),
    batched=st.booleans(),
)
def test_what_a_loss_refuses_is_a_diagnosis(rows, outputs, end, loss, shape, dtype, low, batched):
    """Any loss with any targets: where the loss raises, so does the check, and it raises nothing but diagnoses."""
    shape = (rows, *shape) if batched else shape
    values = (np.arange(int(np.prod(shape))) % 3 + low).reshape(shape)
    x, y = batch(rows), dnn.tensor(values).to(dtype)
    model = mlp(4, outputs, end=end)
    try:
        loss(model(x), y)
        works = True
    except (ValueError, TypeError, RuntimeError, IndexError):
        works = False
    found = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DiagnosisWarning)
        try:
            examine(model, loss, [], x, y, data=(x, y), validation=(x, y))
        except Diagnosis:
            found = True
    assert found or works
