"""check_gradients: finds a wrong gradient, says where, and guesses the cause."""

import dnncore as dnn
import numpy as np
import pytest
from dnncore import nn
from dnncore.autograd import Function, GradcheckError

F64 = dnn.float64
A = np.random.default_rng(0).uniform(0.3, 1.4, (3, 4))


def wrong(formula):
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x @ x.t() if formula == "transpose" else x**2

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            exact = (g + g.t()) @ x if formula == "transpose" else 2 * x * g
            return {
                "transpose": lambda: exact.t(),
                "sign": lambda: -exact,
                "zero": lambda: exact * 0,
                "batch": lambda: exact / 3,
                "constant": lambda: exact * 1.37,
                "some": lambda: exact + (dnn.arange(9).reshape(3, 3) == 4).to(F64),
                "formula": lambda: exact * x,
            }[formula]()

    return Wrong.apply


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("transpose", "transpose would be right"),
        ("sign", "sign is wrong"),
        ("zero", "gradient is zero"),
        ("batch", "factor 3 is missing"),
        ("constant", "wrong by the factor 1.37"),
        ("some", "1 of 9 entries"),
        ("formula", "look at the formula"),
    ],
)
def test_the_check_finds_mistakes_and_guesses_the_cause(formula, words):
    x = A[:, :3].copy()
    report = dnn.check_gradients(wrong(formula), x, raise_exception=False)
    assert not report.ok
    assert words in report.hint
    assert report.name == "inputs[0]"
    with pytest.raises(GradcheckError, match="worst entry"):
        dnn.check_gradients(wrong(formula), x)


def test_the_check_of_modules_names_the_parameter():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(3, 2)

        def forward(self, x):
            return x @ (self.inner.weight * 1.0).t() + Detached.apply(self.inner.bias)

    class Detached(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g

    report = dnn.check_gradients(Broken(), np.ones((2, 3)), raise_exception=False)
    assert report.name == "inner.bias"
    assert "factor 2" in report.hint
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    before = [parameter.numpy().copy() for parameter in (p.detach() for p in model.parameters())]
    assert dnn.check_gradients(model, A).ok
    assert all(np.array_equal(a, p.detach().numpy()) for a, p in zip(before, model.parameters(), strict=True))


def test_the_check_refuses_what_it_cannot_judge():
    with pytest.raises(GradcheckError, match="two calls gave different values"):
        dnn.check_gradients(lambda x: x * dnn.rand(1, dtype=F64), A)
    with pytest.raises(GradcheckError, match="do not depend on any input"):
        dnn.check_gradients(lambda x: x.detach(), A)
    with pytest.raises(ValueError, match="at least one floating-point input"):
        dnn.check_gradients(lambda x: x, dnn.arange(3))
    with pytest.raises(ValueError, match="return floating-point"):
        dnn.check_gradients(lambda x: 3, A)
    assert dnn.check_gradients(lambda x, i: x[i], (A, dnn.tensor([0, 2]))).ok


def test_tied_parameters_are_checked_as_one():
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    seen = []
    model.register_forward_hook(lambda module, args, output: seen.append(module[2].weight is module[0].weight))
    assert dnn.check_gradients(model, A[:, :3].copy()).ok
    assert all(seen)
