"""What keeps a step from being captured, has it recorded anew, or raises in it."""

from __future__ import annotations

import os
import signal
import threading
import warnings

import dnncore as dnn
import numpy as np
import pytest
from capture_cases import adam, batch, bits, mlp, quiet, simple, state, training  # noqa: F401 - a fixture
from dnncore import nn, optim


def test_wrong_values_raise_in_a_replay_too():
    step, net, _, (x, t) = simple()
    for _ in range(3):
        step(x, t)
    before = bits(*net.parameters())
    with pytest.raises(ValueError, match="target 9 at position 2"):
        step(x, dnn.tensor([0, 1, 9, 0, 0, 0]))
    assert bits(*net.parameters()) == before
    step(x, t)
    with pytest.raises(ValueError, match="linear"):
        step(dnn.randn(6, 4), t)
    index = dnn.capture(lambda x, i: x[i] * 2)
    for _ in range(3):
        assert index(x, dnn.tensor([1, 5])).shape == (2, 5)
    assert len(index.plans) == 1
    with pytest.raises(IndexError, match="6 is out of bounds"):
        index(x, dnn.tensor([1, 6]))


CHANGES = {
    "mode": lambda net, optimizer: net.eval(),
    "threads": lambda net, optimizer: dnn.set_num_threads(3),
    "parameter": lambda net, optimizer: setattr(net[0], "bias", nn.Parameter(dnn.ones(7))),
    "parameter by loading": lambda net, optimizer: net.load_state_dict(
        {k: v * 2 for k, v in net.state_dict().items()}, assign=True
    ),
    "values by loading": lambda net, optimizer: net.load_state_dict({k: v * 2 for k, v in net.state_dict().items()}),
    "layer": lambda net, optimizer: net.__setitem__(1, nn.Sigmoid()),
    "frozen": lambda net, optimizer: net[0].weight.requires_grad_(False),
    "cleared": lambda net, optimizer: net.zero_grad(),
    "optimizer state": lambda net, optimizer: optimizer.load_state_dict(optimizer.state_dict()),
    "learning rate": lambda net, optimizer: optimizer.param_groups[0].update(lr=0.5),
    "parameter group": lambda net, optimizer: optimizer.param_groups[0].update(weight_decay=0.1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_between_steps_is_seen(change):
    def build():
        net = mlp(nn.ReLU, nn.Dropout)()
        optimizer = adam(net.parameters())

        def arguments(i):
            if i == 5:
                CHANGES[change](net, optimizer)
            return batch(i)

        return training(net, optimizer), arguments, lambda: state(net)

    threads = dnn.get_num_threads()
    seen = []
    for captured in (False, True):
        dnn.set_num_threads(threads)
        dnn.manual_seed(3)
        step, arguments, look = build()
        step = dnn.capture(step) if captured else step
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of optimizers whose parameters were replaced
            seen.append([(bits(step(*arguments(i))), look()) for i in range(12)])
    assert seen[0] == seen[1]
    assert step.plans


def test_names_are_compared():
    scale = 2.0

    @dnn.capture
    def step(x):
        return x * scale

    x = dnn.ones(3)
    for _ in range(3):
        assert step(x).tolist() == [2, 2, 2]
    scale = 3.0
    for _ in range(3):
        assert step(x).tolist() == [3, 3, 3]
    assert len(step.plans) == 2


def test_arguments_that_are_no_tensors_are_part_of_the_step():
    step = dnn.capture(lambda x, factor, *, power=1: x.mul(factor) ** power)
    for factor, power in [(2, 1), (2.0, 1), (3, 2)] * 3:
        assert step(dnn.full((2,), 2.0), factor, power=power).tolist() == [(2.0 * factor) ** power] * 2
    assert len(step.plans) == 3


def test_other_layouts_are_recorded_by_themselves():
    step = dnn.capture(lambda x: x * 2 + 1)
    for shape in [(2, 3), (4,), (2, 3)] * 3:
        x = dnn.rand(shape)
        assert bits(step(x)) == bits(x * 2 + 1)
        assert bits(step(x.double())) == bits(x.double() * 2 + 1)
    assert bits(step(dnn.rand(3, 2).T)) is not None
    assert len(step.plans) == 4


def test_many_layouts_in_turn():
    step = dnn.capture(lambda x: x * 2)
    for n in [*range(1, 40)] * 2:
        for _ in range(3):
            assert step(dnn.ones(n)).shape == (n,)
    assert len(step.plans) == 8
    with pytest.warns(UserWarning, match="32 recordings in a row could not be repeated"):
        [step(dnn.ones(n)) for n in range(1, 40)]  # more than are kept, and none twice


def test_an_argument_that_the_step_knows_otherwise():
    data = dnn.ones(4)

    @dnn.capture
    def step(x):
        return x + data

    other = dnn.full((4,), 5.0)
    for _ in range(3):
        assert step(other).tolist() == [6] * 4
    assert step(data).tolist() == [2] * 4
    data.fill_(3.0)
    assert step(other).tolist() == [8] * 4
    assert step(data).tolist() == [6] * 4


def function():
    class Double(dnn.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * 2

    weight = dnn.ones(3, requires_grad=True)
    return lambda x: Double.apply(weight * x).sum().backward()


def hooked():
    dnn.manual_seed(1)
    net = nn.Linear(3, 3)
    net.register_forward_hook(lambda module, args, output: None)
    return lambda x: net(x)


def watched():
    weight = dnn.ones(3, requires_grad=True)
    weight.register_hook(lambda grad: None)

    def step(x):
        weight.grad = None
        (weight * x).sum().backward()

    return step


def hoarding():
    held = []
    return lambda x: held.append(x * 2)


def scheduled():
    net = nn.Linear(3, 3)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    schedule = optim.lr_scheduler.StepLR(optimizer, 1)

    def step(x):
        net(x).sum().backward()
        optimizer.step()
        schedule.step()

    return step


def watched_optimizer():
    net = nn.Linear(3, 3)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    optimizer.register_step_post_hook(lambda *_: None)

    def step(x):
        net(x).sum().backward()
        optimizer.step()

    return step


def switching():
    weight = dnn.ones(3, requires_grad=True)

    def step(x):
        found = (weight * x).sum()
        weight.requires_grad_(not weight.requires_grad)
        return found

    return step


REFUSED = {
    "item": (lambda: lambda x: x * x.sum().item(), "item reads values"),
    "bool": (lambda: lambda x: x if x.sum() > 0 else -x, "bool reads values"),
    "numpy": (lambda: lambda x: dnn.from_numpy(x.numpy() * 2), "reads values"),
    "tolist": (lambda: lambda x: dnn.tensor(x.tolist()), "tolist reads values"),
    "mask": (lambda: lambda x: x[x > 0], "nonzero reads values"),
    "array": (lambda: lambda x: x + dnn.from_numpy(np.ones(3, np.float32)), "from_numpy reads values"),
    "in place": (lambda: lambda x: x.add_(1.0), "changes an argument in place"),
    "constant in place": (lambda: lambda x: dnn.tensor([1.0, 2.0, 3.0]).mul_(x), "made from Python values in place"),
    "seed": (lambda: lambda x: [dnn.manual_seed(1), dnn.rand(3) * x][1], "manual_seed"),
    "Function": (function, "Function runs Python"),
    "hook of a module": (hooked, "hook of Linear runs Python"),
    "hook of a tensor": (watched, "hook runs Python during backward"),
    "hook of an optimizer": (watched_optimizer, "hook of SGD runs Python"),
    "kept tensor": (hoarding, "kept outside"),
    "schedule": (scheduled, "optimizer changes its settings"),
    "requires_grad": (switching, "requires_grad of a tensor is changed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_repeated_runs_in_python(name):
    build, reason = REFUSED[name]
    step, twin = dnn.capture(build()), build()

    def repeated():
        for i in range(6):
            x, y = dnn.full((3,), float(i + 1)), dnn.full((3,), float(i + 1))
            found, right = step(x), twin(y)
            assert bits(x) == bits(y)
            if isinstance(right, dnn.Tensor):
                assert bits(found) == bits(right)

    with pytest.warns(UserWarning, match="is run in Python each time") as caught:
        repeated()
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert reason in str(caught[0].message)
    assert step.plans == []
    assert step.reason is not None


def test_arguments_that_cannot_be_captured():
    step = dnn.capture(lambda x, y: x * 2)
    x = dnn.ones(3, requires_grad=True)
    step(x, 1)
    with pytest.warns(UserWarning, match="requires grad"):
        step(x, 1)
    for value, kind in [({1}, "set"), (np.ones(3), "ndarray"), (object(), "object")]:
        with pytest.warns(UserWarning, match=f"argument of type {kind}"):
            step(dnn.ones(3), value)
    step(dnn.ones(6)[::2], 1)
    with pytest.warns(UserWarning, match="gaps in memory"):
        step(dnn.ones(6)[::2], 1)
    with pytest.raises(TypeError, match="capture: expected a function, got int"):
        dnn.capture(3)


def test_results_are_detached_from_the_first_call_on():
    weight = dnn.ones(3, requires_grad=True)
    step = dnn.capture(lambda x: weight * x)
    for _ in range(4):
        assert not step(dnn.ones(3)).requires_grad


def test_methods_and_steps_inside_steps():
    class Trainer:
        def __init__(self, factor):
            self.weight = dnn.full((3,), factor)

        @dnn.capture
        def step(self, x):
            """Scale."""
            return self.weight * inner(x)

    inner = dnn.capture(lambda x: x + 1)
    first, second = Trainer(2.0), Trainer(3.0)
    for _ in range(4):
        assert first.step(dnn.ones(3)).tolist() == [4] * 3
        assert second.step(dnn.ones(3)).tolist() == [6] * 3
    assert first.step is first.step
    assert len(first.step.plans) == len(second.step.plans) == 1
    assert Trainer.step.__doc__ == "Scale."


def test_an_error_while_recording_leaves_nothing_behind():
    fails = True

    @dnn.capture
    def step(x):
        if fails and dnn._core._is_recording():
            raise KeyError("half-way")
        return x * 2

    step(dnn.ones(3))
    with pytest.raises(KeyError, match="half-way"):
        step(dnn.ones(3))
    assert not dnn._core._is_recording()
    fails = False
    for _ in range(3):
        assert step(dnn.ones(3)).tolist() == [2] * 3


def test_ctrl_c_leaves_whole_updates():
    """All entries of all parameters are moved by the same amount in each update: so they stay equal."""
    first, second = (nn.Parameter(dnn.zeros(n)) for n in (70_000, 5))
    optimizer = optim.SGD([first, second], lr=1.0)

    @dnn.capture
    def step(x):
        optimizer.zero_grad()
        busy = x
        for _ in range(4):
            busy = (busy @ x).tanh()
        (first.sum() + second.sum() + 0 * busy.sum()).backward()
        optimizer.step()

    x = dnn.rand(1200, 1200)
    for _ in range(3):
        step(x)
    assert len(step.plans) == 1
    for delay in (0.02, 0.05, 0.08, 0.11, 0.14):
        timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            timer.start()
            while True:
                step(x)
        timer.join()
        (value,) = {*first.tolist(), *second.tolist()}
        assert value == round(value) <= -3
    before = value
    step(x)
    assert {*first.tolist(), *second.tolist()} == {before - 1}
    assert len(step.plans) == 1


def test_a_change_of_an_argument_that_is_passed_twice_is_kept():
    @dnn.capture
    def step(a, b):
        a.add_(1)
        return b.sum()

    x = dnn.zeros(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(1, 5):
            step(x, x)
            assert x.tolist() == [i] * 3
