"""Training in float64 follows PyTorch's own run, step by step: losses and parameters under several settings of SGD."""

import dnncore as dnn
import numpy as np
import pytest
from cases import GOLDEN, ISAS, numbers, tensor, use_isa
from dnncore.nn import functional

EXPECTED = dict(np.load(GOLDEN / "training.npz"))
SETTINGS = {
    "plain": {"lr": 0.1},
    "momentum": {"lr": 0.05, "momentum": 0.9},
    "nesterov": {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "dampened": {"lr": 0.1, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1},
    "maximize": {"lr": 0.01, "maximize": True},
}


def run(dtype, options):
    x, target = tensor(EXPECTED["x"], dtype), tensor(EXPECTED["target"])
    parameters = [dnn.nn.Parameter(tensor(EXPECTED[f"initial/{i}"].copy(), dtype)) for i in range(4)]
    optimizer = dnn.optim.SGD(parameters, **options)
    losses = []
    for _ in range(6):
        optimizer.zero_grad()
        hidden = dnn.relu(functional.linear(x, parameters[0], parameters[1]))
        loss = functional.cross_entropy(functional.linear(hidden, parameters[2], parameters[3]), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses), [numbers(parameter) for parameter in parameters]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 3e-6)])
def test_training_follows_pytorch(isa, name, dtype, tolerance):
    with use_isa(isa):
        losses, parameters = run(dtype, SETTINGS[name])
    np.testing.assert_allclose(losses, EXPECTED[f"{name}/losses"], rtol=tolerance, atol=tolerance)
    for i, parameter in enumerate(parameters):
        np.testing.assert_allclose(parameter, EXPECTED[f"{name}/{i}"], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_cross_entropy_with_ignored_rows(isa, reduction):
    with use_isa(isa):
        logits = tensor(EXPECTED["x"][:, :5].copy()).requires_grad_()
        target = tensor(EXPECTED["cross_entropy/target"])
        loss = functional.cross_entropy(logits, target, ignore_index=2, reduction=reduction)
        loss.sum().backward()
    np.testing.assert_allclose(numbers(loss), EXPECTED[f"cross_entropy/{reduction}"], rtol=1e-13, atol=1e-14)
    expected = EXPECTED[f"cross_entropy/{reduction}/gradient"]
    np.testing.assert_allclose(numbers(logits.grad), expected, rtol=1e-12, atol=1e-15)


def test_golden_files_are_not_empty():
    assert len(EXPECTED) > 30
    assert all(np.count_nonzero(EXPECTED[f"{name}/losses"]) == 6 for name in SETTINGS)
