"""What the tests of captured steps share: steps, networks, and the comparison with Python."""

from __future__ import annotations

import warnings

import dnncore as dnn
import pytest
from dnncore import nn, optim
from dnncore.nn import functional as F

STEPS = 7


def bits(*tensors):
    return [None if x is None else x.detach().numpy().tobytes() for x in tensors]


def state(*modules):
    found = [x for module in modules for x in (*module.parameters(), *module.buffers())]
    return bits(*found, *(x.grad for module in modules for x in module.parameters()))


def runs(build, steps=STEPS, plans=1):
    """`build()` gives a step, its arguments by number and what to look at; captured it must come to the bits of Python."""
    seen = []
    for captured in (False, True):
        dnn.manual_seed(3)
        step, arguments, look = build()
        step = dnn.capture(step) if captured else step
        trace = []
        for i in range(steps):
            result = step(*arguments(i))
            trace.append((bits(*(result if isinstance(result, tuple) else [result])), look()))
        seen.append(trace)
    for i, (eager, replayed) in enumerate(zip(*seen, strict=True)):
        assert eager == replayed, f"step {i}"
    assert step.reason is None
    assert len(step.plans) == plans
    return step


def training(net, optimizer, **zero_grad):
    """A step of a classifier."""

    def step(x, t):
        optimizer.zero_grad(**zero_grad)
        loss = F.cross_entropy(net(x), t)
        loss.backward()
        optimizer.step()
        return loss

    return step


def batch(i):
    return dnn.randn(6, 5), dnn.randint(0, 4, (6,))


def trained(model, make, arguments=batch):
    def build():
        net = model()
        optimizer = make(net.parameters())

        return training(net, optimizer), arguments, lambda: state(net)

    return build


def mlp(*between):
    return lambda: nn.Sequential(nn.Linear(5, 7), *(layer() for layer in between or (nn.ReLU,)), nn.Linear(7, 4))


def adam(parameters):
    return optim.Adam(parameters, lr=0.05)


def simple():
    net = mlp()()
    optimizer = adam(net.parameters())

    return dnn.capture(training(net, optimizer)), net, optimizer, batch(0)


@pytest.fixture(autouse=True)
def quiet():
    threads = dnn.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield
    dnn.set_num_threads(threads)
