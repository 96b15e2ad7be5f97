"""Captured steps: the bits of the same steps in Python, and what keeps a step from being captured or has it recorded anew."""

from __future__ import annotations

import gc
import os
import signal
import threading
import warnings

import dnncore as dnn
import loss_cases
import numpy as np
import optimizer_cases
import pytest
from dnncore import nn, optim
from dnncore.nn import functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from test_loss import learnable

STEPS = 7


@pytest.fixture(autouse=True)
def quiet():
    threads = dnn.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield
    dnn.set_num_threads(threads)


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


def trained(model, make, loss=F.cross_entropy, target=lambda i: dnn.randint(0, 4, (6,)), inputs=lambda i: dnn.randn(6, 5)):
    def build():
        net = model()
        optimizer = make(net.parameters())

        def step(x, t):
            optimizer.zero_grad()
            value = loss(net(x), t)
            value.backward()
            optimizer.step()
            return value

        return step, lambda i: (inputs(i), target(i)), lambda: state(net)

    return build


def mlp(*between):
    return lambda: nn.Sequential(nn.Linear(5, 7), *(layer() for layer in between or (nn.ReLU,)), nn.Linear(7, 4))


def adam(parameters):
    return optim.Adam(parameters, lr=0.05)


# --- The same bits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("make", [adam, lambda p: optim.SGD(p, lr=0.1, momentum=0.9)], ids=["Adam", "SGD"])
def test_threads(threads, make):
    dnn.set_num_threads(threads)
    runs(trained(mlp(nn.ReLU, nn.Dropout), make))


@pytest.mark.parametrize("case", optimizer_cases.CASES, ids=str)
def test_every_optimizer(case):
    name, options = optimizer_cases.CASES[case]
    runs(trained(mlp(), lambda parameters: getattr(optim, name)(parameters, **options)))


LAYERS = [
    nn.Identity, nn.Sigmoid, nn.Tanh, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU,
    nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign, nn.LogSigmoid, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Hardshrink,
    nn.Softshrink, nn.Tanhshrink, nn.Dropout, nn.AlphaDropout,
    lambda: nn.ReLU(inplace=True), lambda: nn.GELU("tanh"), lambda: nn.Threshold(0.1, 0.0), lambda: nn.Softmax(1),
    lambda: nn.LogSoftmax(1), lambda: nn.Softmin(1), lambda: nn.Sequential(nn.Linear(7, 14), nn.GLU()),
    lambda: nn.Maxout(7, 7), lambda: nn.Sequential(nn.Unflatten(1, (7, 1)), nn.Flatten()),
    lambda: nn.Sequential(nn.Unflatten(1, (7, 1)), nn.Dropout1d(), nn.Flatten()),
    lambda: nn.utils.parametrizations.weight_norm(nn.Linear(7, 7)),
    lambda: nn.utils.parametrizations.orthogonal(nn.Linear(7, 7), orthogonal_map="cayley"),
]  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_every_layer(layer):
    runs(trained(mlp(layer), adam))


LOOKING = {"multilabel_margin_loss"}  # at values of its arguments, on the host


@pytest.mark.parametrize("name", [name for name, case in loss_cases.CASES.items() if case.function not in LOOKING])
def test_every_loss(name):
    case = loss_cases.CASES[name]
    arrays, names = loss_cases.inputs(case), learnable(case)

    def build():
        leaves = [nn.Parameter(dnn.tensor(arrays[key])) for key in names]
        fixed = {key: dnn.tensor(x) for key, x in arrays.items() if key not in names}
        optimizer = optim.SGD(leaves, lr=1e-3)

        def step(fixed):
            optimizer.zero_grad()
            loss = getattr(F, case.function)(**fixed, **dict(zip(names, leaves, strict=True)), **case.options)
            loss.backward()
            optimizer.step()
            return loss

        return step, lambda i: (fixed,), lambda: bits(*leaves, *(x.grad for x in leaves))

    runs(build)


@settings(max_examples=50, deadline=None)
@given(
    widths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    kinds=st.lists(st.sampled_from([nn.ReLU, nn.Tanh, nn.GELU, nn.Dropout, nn.SiLU, nn.Identity]), min_size=5, max_size=5),
    batch=st.integers(1, 33),
    optimizer=st.sampled_from(["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam"]),
    threads=st.sampled_from([1, 2, 4]),
)
def test_random_networks(widths, kinds, batch, optimizer, threads):
    def model():
        sizes = [5, *widths, 4]
        layers = [layer for i, o, kind in zip(sizes, sizes[1:], kinds, strict=False) for layer in (nn.Linear(i, o), kind())]
        return nn.Sequential(*layers)

    dnn.set_num_threads(threads)
    runs(
        trained(
            model,
            lambda p: getattr(optim, optimizer)(p, lr=0.01),
            inputs=lambda i: dnn.randn(batch, 5),
            target=lambda i: dnn.randint(0, 4, (batch,)),
        ),
        steps=5,
    )


def test_settings_and_schedules_act_between_steps():
    def build():
        net = mlp()()
        optimizer = adam(net.parameters())
        schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

        def step(x, t):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), t)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 0.1)
            optimizer.step()
            return loss

        def arguments(i):
            if i % 3 == 2:
                schedule.step()
            if i == 5:
                optimizer.param_groups[0]["betas"] = (0.5, 0.9)
            return dnn.randn(6, 5), dnn.randint(0, 4, (6,))

        return step, arguments, lambda: state(net)

    runs(build, steps=10)


def test_accumulation():
    """A step that adds to gradients, one that starts them, and an update outside: two plans."""

    def build():
        net = mlp()()
        optimizer = adam(net.parameters())

        def step(x, t):
            loss = F.cross_entropy(net(x), t)
            loss.backward()
            return loss

        def arguments(i):
            if i % 3 == 0:
                optimizer.step()
                optimizer.zero_grad(set_to_none=i % 2 == 0)
            return dnn.randn(6, 5), dnn.randint(0, 4, (6,))

        return step, arguments, lambda: state(net)

    runs(build, steps=18, plans=2)


def test_gradients_filled_with_zeros():
    def build():
        net = mlp()()
        optimizer = adam(net.parameters())

        def step(x, t):
            optimizer.zero_grad(set_to_none=False)
            loss = F.cross_entropy(net(x), t)
            loss.backward()
            optimizer.step()
            return loss

        return step, lambda i: (dnn.randn(6, 5), dnn.randint(0, 4, (6,))), lambda: state(net)

    runs(build)


def test_gradients_cleared_at_the_end():
    def build():
        net = mlp()()
        optimizer = adam(net.parameters())

        def step(x, t):
            loss = F.cross_entropy(net(x), t)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss

        return step, lambda i: (dnn.randn(6, 5), dnn.randint(0, 4, (6,))), lambda: state(net)

    runs(build)


def gan():
    generator, critic = mlp()(), nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(8, 1))
    first, second = optim.Adam(generator.parameters(), lr=0.01), optim.RMSprop(critic.parameters(), lr=0.01)

    def step(noise, real):
        fake = generator(noise)
        second.zero_grad()
        right = F.binary_cross_entropy_with_logits(critic(real), dnn.ones(6, 1))
        wrong = F.binary_cross_entropy_with_logits(critic(fake.detach()), dnn.zeros(6, 1))
        (right + wrong).backward()
        second.step()
        first.zero_grad()
        for parameter in critic.parameters():
            parameter.requires_grad_(False)
        fooled = F.binary_cross_entropy_with_logits(critic(fake), dnn.ones(6, 1))
        fooled.backward()
        for parameter in critic.parameters():
            parameter.requires_grad_(True)
        first.step()
        return right, wrong, fooled

    return step, lambda i: (dnn.randn(6, 5), dnn.randn(6, 4)), lambda: state(generator, critic)


def test_two_models_and_optimizers():
    runs(gan)


def test_models_that_are_frozen_between_steps():
    def build():
        net = mlp()()
        optimizer = adam(net.parameters())

        def step(x, t):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), t)
            loss.backward()
            optimizer.step()
            return loss

        def arguments(i):
            net[0].requires_grad_(i // 4 % 2 == 0)
            return dnn.randn(6, 5), dnn.randint(0, 4, (6,))

        return step, arguments, lambda: state(net)

    runs(build, steps=20, plans=2)


def test_inference():
    def build():
        net = mlp()().eval()

        def step(x):
            with dnn.no_grad():
                return net(x).softmax(1)

        return step, lambda i: (dnn.randn(6, 5),), list

    runs(build)


def test_buffers_and_structures():
    def build():
        total = dnn.zeros(3)

        def step(batch, *, scale):
            total.mul_(0.9).add_(batch["x"].sum(0), alpha=scale)
            return {"mean": batch["x"].mean(), "both": (total * 2, [batch["x"], total, 7, None])}

        return step, total

    dnn.manual_seed(0)
    (step, total), (twin, expected) = build(), build()
    step = dnn.capture(step)
    for _ in range(5):
        x = dnn.randn(4, 3)
        found, right = step({"x": x}, scale=2.0), twin({"x": x}, scale=2.0)
        assert bits(found["mean"], found["both"][0], *found["both"][1][:2]) == bits(
            right["mean"], right["both"][0], *right["both"][1][:2]
        )
        assert found["both"][1][2:] == [7, None]
        assert bits(total) == bits(expected)
    assert len(step.plans) == 1


# --- What is kept and what is fresh -----------------------------------------------------------------------------------


def simple():
    net = mlp()()
    optimizer = adam(net.parameters())

    @dnn.capture
    def step(x, t):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), t)
        loss.backward()
        optimizer.step()
        return loss

    x, t = dnn.randn(6, 5), dnn.randint(0, 4, (6,))
    return step, net, optimizer, (x, t)


def test_results_and_gradients_that_are_held_stay_what_they_are():
    step, net, _, arguments = simple()
    held = []
    for _ in range(8):
        loss = step(*arguments)
        held.append((loss, loss.item(), net[0].weight.grad, net[0].weight.grad.tolist()))
    assert len(step.plans) == 1
    for loss, number, grad, numbers in held:
        assert (loss.item(), grad.tolist()) == (number, numbers)
    assert len({number for _, number, _, _ in held}) == len(held)


def test_a_replay_allocates_its_results_only():
    step, _, _, arguments = simple()
    for _ in range(4):
        step(*arguments)
    before = dnn.memory_stats()
    for _ in range(10):
        step(*arguments)
    after = dnn.memory_stats()
    assert after["allocations"] - before["allocations"] == 10
    assert after["allocated_bytes"] == before["allocated_bytes"]


def test_memory_is_packed_and_given_back():
    gc.collect()
    before = dnn.memory_stats()["allocated_bytes"]
    step, net, optimizer, arguments = simple()
    for _ in range(4):
        step(*arguments)
    (plan,) = step.plans
    assert plan.live_bytes <= plan.arena_bytes <= 1.1 * plan.live_bytes
    description = plan.describe()
    assert "cross_entropy" in description
    assert f"{plan.launches} launches, 1 optimizer updates, 1 checks" in description
    del step, net, optimizer, arguments, plan
    gc.collect()
    assert dnn.memory_stats()["allocated_bytes"] == before


def test_peak_memory_is_not_above_python():
    def peak(captured):
        dnn.manual_seed(0)
        net = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 8))

        def step(x):
            net.zero_grad()
            loss = net(x).square().mean()
            loss.backward()
            return loss

        step = dnn.capture(step) if captured else step
        x = dnn.randn(512, 64)
        for _ in range(4):
            step(x)
        gc.collect()
        dnn.reset_peak_memory_stats()
        for _ in range(3):
            step(x)
        return dnn.memory_stats()["peak_allocated_bytes"]

    eager = peak(False)
    gc.collect()
    assert peak(True) <= eager


def test_callers_at_the_same_time_have_their_own_memory():
    net = nn.Sequential(nn.Linear(50, 300), nn.Tanh(), nn.Linear(300, 50)).eval()

    @dnn.capture
    def step(x):
        with dnn.no_grad():
            return net(x)

    inputs = [dnn.randn(40, 50) for _ in range(4)]
    expected = [bits(net(x)) for x in inputs]
    for x in inputs[:2]:
        step(x)
    wrong = []

    def work(i):
        for _ in range(100):
            if bits(step(inputs[i])) != expected[i]:
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(step.plans) == 1


# --- Guards -----------------------------------------------------------------------------------------------------------


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

        def step(x, t):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), t)
            loss.backward()
            optimizer.step()
            return loss

        def arguments(i):
            if i == 5:
                CHANGES[change](net, optimizer)
            return dnn.randn(6, 5), dnn.randint(0, 4, (6,))

        return step, arguments, lambda: state(net)

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
