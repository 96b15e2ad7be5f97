"""Networks written for PyTorch run with dnncore in its place: same losses, gradients and ten steps from the same weights."""

import sys

import dnncore as dnn
import numpy as np
import pytest
from cases import GOLDEN, ISAS, numbers, use_isa

sys.path.insert(0, str(GOLDEN))
from bodies import bodies, inputs

EXPECTED = dict(np.load(GOLDEN / "bodies.npz"))
NAMES = sorted({key.split("/")[0] for key in EXPECTED})


def scaled(actual, expected):
    """Largest error over the largest value."""
    return np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-3)


def run(name):
    make, loss_of, optimizer_of = bodies(dnn)[name]
    data = {key: dnn.tensor(array) for key, array in inputs().items()}
    module = make().eval()
    prefix = f"{name}/initial/"
    module.load_state_dict({key[len(prefix) :]: value for key, value in EXPECTED.items() if key.startswith(prefix)})
    optimizer = optimizer_of(module.parameters())
    losses, gradients = [], {}
    for step in range(len(EXPECTED[f"{name}/losses"])):
        optimizer.zero_grad()
        loss = loss_of(module, data)
        loss.backward()
        if step == 0:
            gradients = {key: numbers(parameter.grad).copy() for key, parameter in module.named_parameters()}
        optimizer.step()
        losses.append(loss.item())
    return losses, gradients, {key: numbers(parameter) for key, parameter in module.named_parameters()}


def test_every_body_has_its_answers():
    assert sorted(bodies(dnn)) == NAMES


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", NAMES)
def test_a_body_written_for_pytorch(isa, name):
    with use_isa(isa):
        losses, gradients, parameters = run(name)
    assert scaled(losses[0], EXPECTED[f"{name}/losses"][0]) < 1e-6
    for key, gradient in gradients.items():
        assert scaled(gradient, EXPECTED[f"{name}/gradient/{key}"]) < 1e-5, key
    # Ten steps amplify the last bit where an update divides by a small root.
    np.testing.assert_allclose(losses, EXPECTED[f"{name}/losses"], rtol=2e-4)
    for key, parameter in parameters.items():
        assert scaled(parameter, EXPECTED[f"{name}/final/{key}"]) < 2e-4, key
