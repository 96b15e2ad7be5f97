"""Captured steps: the bits of the same steps in Python, what is kept and what is fresh."""

from __future__ import annotations

import copy
import functools
import gc
import threading

import dnncore as dnn
import loss_cases
import numpy as np
import optimizer_cases
import pytest
from capture_cases import adam, batch, bits, mlp, quiet, runs, simple, state, trained, training  # noqa: F401 - a fixture
from cases import use_threads
from dnncore import nn, optim
from dnncore.nn import functional as F
from dnncore.nn.utils.rnn import PackedSequence
from hypothesis import given, settings
from hypothesis import strategies as st
from test_loss import learnable

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


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
def test_every_layer(layer):
    runs(trained(mlp(layer), adam))


class WithNothing(nn.Module):
    """A layer of parameters some of which have no elements, and a gradient nevertheless."""

    def __init__(self):
        super().__init__()
        self.few, self.none, self.unused = nn.Linear(0, 7), nn.Parameter(dnn.zeros(0, 7)), nn.Parameter(dnn.zeros(0))

    def forward(self, x):
        return x + self.few(x[:, :0]) + self.none.sum()


@pytest.mark.parametrize("make", [adam, lambda p: optim.SGD(p, lr=0.1, momentum=0.9)], ids=["Adam", "SGD"])
@pytest.mark.parametrize("clears", [{}, {"set_to_none": False}], ids=["None", "zero"])
def test_parameters_without_elements(make, clears):
    def build():
        net = mlp(WithNothing)()
        step = training(net, make(net.parameters()), **clears)
        return step, batch, lambda: (state(net), [p.grad is not None and tuple(p.grad.shape) for p in net.parameters()])

    runs(build)


def test_a_gradient_that_is_returned_and_cleared():
    def build():
        net = mlp()()
        optimizer = adam(net.parameters())

        def step(x, t):
            F.cross_entropy(net(x), t).backward()
            found = tuple(p.grad for p in net.parameters())
            optimizer.step()
            optimizer.zero_grad()
            return found

        return step, batch, lambda: state(net)

    runs(build)


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
    rows=st.integers(1, 33),
    optimizer=st.sampled_from(["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam"]),
    threads=st.sampled_from([1, 2, 4]),
)
def test_random_networks(widths, kinds, rows, optimizer, threads):
    def model():
        sizes = [5, *widths, 4]
        layers = [layer for i, o, kind in zip(sizes, sizes[1:], kinds, strict=False) for layer in (nn.Linear(i, o), kind())]
        return nn.Sequential(*layers)

    dnn.set_num_threads(threads)
    runs(
        trained(
            model,
            lambda p: getattr(optim, optimizer)(p, lr=0.01),
            lambda i: (dnn.randn(rows, 5), dnn.randint(0, 4, (rows,))),
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
            return batch(i)

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
            return batch(i)

        return step, arguments, lambda: state(net)

    runs(build, steps=18, plans=2)


def test_gradients_filled_with_zeros():
    def build():
        net = mlp()()
        optimizer = adam(net.parameters())

        return training(net, optimizer, set_to_none=False), batch, lambda: state(net)

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

        return step, batch, lambda: state(net)

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

        def arguments(i):
            net[0].requires_grad_(i // 4 % 2 == 0)
            return batch(i)

        return training(net, optimizer), arguments, lambda: state(net)

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


def test_parts_of_a_named_tuple_that_makes_its_own():
    """Stand-ins are parts as they are: what a PackedSequence made of them would be frozen."""
    step = dnn.capture(lambda packed: packed.data[packed.unsorted_indices])
    for order in ([0, 1, 2], [0, 1, 2], [1, 2, 0], [2, 1, 0]):
        packed = PackedSequence(dnn.randn(3), dnn.tensor([3]), dnn.tensor(order))
        assert step(packed).tolist() == packed.data[packed.unsorted_indices].tolist()
    assert len(step.plans) == 1


# --- What is kept and what is fresh -----------------------------------------------------------------------------------


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


def test_gradients_read_by_a_copy_are_those_of_the_call():
    weight = dnn.ones(3, requires_grad=True)

    @dnn.capture
    def step(x):
        return copy.deepcopy(weight).grad + x

    for i in range(6):
        weight.grad = dnn.full((3,), float(i))
        assert step(dnn.ones(3)).tolist() == [i + 1] * 3
    assert len(step.plans) == 1


def test_a_replay_allocates_its_results_only():
    step, _, _, arguments = simple()
    for _ in range(4):
        step(*arguments)
    gc.collect()
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


CHAINS = {
    "gelu by hand": lambda x: 0.5 * x * (1 + (0.7978845608 * (x + 0.044715 * x * x * x)).tanh()),
    "many": lambda x: functools.reduce(lambda y, i: (y * 0.9 + i).tanh(), range(20), x),
    "branches": lambda x: dnn.where(x > 0, x.exp(), -x) + nn.functional.silu(x) / (1 + x.abs()),
    "in place": lambda x: (x * 2).add_(1).mul_(x).sub_(0.5),
    "scalars": lambda x: (x * x.sum()).sqrt() + x.mean(),
    "transposed": lambda x: ((x.T * 2 + 1) * x.T).contiguous() - 1,
    "turned": lambda x: ((x * 2).T.contiguous() - 1).T.contiguous(),
    "halves": lambda x: (x.to(dnn.bfloat16) * 2 + 1).tanh(),
}


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("name", CHAINS)
def test_joined_elementwise_launches(name, threads):
    with use_threads(threads):
        for shape in ((1, 1), (3, 5), (127, 129), (401, 503)):
            step = dnn.capture(CHAINS[name])
            for i in range(4):
                x = dnn.rand(*shape) + i
                assert bits(step(x)) == bits(CHAINS[name](x)), f"{shape}, call {i}"
        assert ("joined with the one before" in step.plans[0].describe()) == (name != "turned")  # copies between the orders


def test_joined_launches_need_no_more_memory():
    """Each takes the place of one that is no longer needed."""
    step = dnn.capture(CHAINS["many"])
    x = dnn.rand(1000, 100)
    for _ in range(3):
        step(x)
    (plan,) = step.plans
    assert plan.arena_bytes <= 3 * x.nbytes


def test_launches_that_need_neighbours_are_not_joined():
    n = 100_000

    @dnn.capture
    def shifted(x):
        with dnn.no_grad():
            y = x * 1
            y[1:].mul_(2)
            y[:-1].add_(y[1:])
            return y * 1

    for _ in range(4):
        x = dnn.rand(n + 1)
        expected = x.numpy().copy()
        expected[1:] *= 2
        expected[:-1] += expected[1:].copy()
        assert np.array_equal(shifted(x).numpy(), expected)
    assert len(shifted.plans) == 1


def test_numbers_that_are_filled_in():
    @dnn.capture
    def step(x):
        counted = dnn.zeros(())
        counted += 1  # written again: not the same for ever
        empty = dnn.full((0,), 3.0)
        kept = dnn.full((2,), 7.0)
        return x * 2 + dnn.full((), 0.5) + counted, empty, kept

    for i in range(5):
        value, empty, kept = step(dnn.full((3,), float(i)))
        assert value.tolist() == [2 * i + 1.5] * 3
        assert empty.shape == (0,)
        assert kept.tolist() == [7.0, 7.0]
        kept.zero_()  # the caller's own
    assert len(step.plans) == 1
    assert step.plans[0].describe().count("(fill)") == 3  # counted, empty, kept; not the half


def test_profile_names_every_launch():
    step, _, _, arguments = simple()
    for _ in range(3):
        step(*arguments)
    (plan,) = step.plans
    lines = plan.profile(arguments, 3).splitlines()
    assert len(lines) == plan.launches + 2  # the optimizer's update, the sum
    assert sum("GFLOP/s" in line for line in lines) == sum("(gemm)" in line for line in lines) > 0
    assert "flop in matrix products" in plan.describe()
    with pytest.raises(ValueError, match="profile: expected at least one repeat, got 0"):
        plan.profile(arguments, 0)
    with pytest.raises(RuntimeError, match="profile"):
        plan.profile([dnn.zeros(1)], 3)


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
