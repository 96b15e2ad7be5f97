"""Captured steps: memory that a repetition must not share, overwrite or remember."""

from __future__ import annotations

import gc

import dnncore as dnn
import numpy as np
import pytest
from capture_cases import bits, runs
from dnncore.nn import functional as F


def test_one_element_that_is_repeated_outlives_the_joined_launches():
    """The memory of `c` is free for `f` only when every task has read `c[5]`."""

    def step(x):
        c = dnn.cumsum(x, 0)
        d = c + 1
        e = d * c[5]
        f = e + 1
        return f * 2

    captured = dnn.capture(step)
    for _ in range(4):
        x = dnn.randn(4 * 16384)
        assert bits(captured(x)) == bits(step(x))
    assert "joined with the one before" in captured.plans[0].describe()


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
def test_nothing_to_fill(shape):
    step = dnn.capture(lambda x: (dnn.zeros(shape) + 1, x * 2, dnn.zeros_like(x[:0])))
    for _ in range(4):
        empty, twice, none = step(dnn.ones(3))
        assert (empty.shape, twice.tolist(), none.shape) == (shape, [2, 2, 2], (0,))
    assert len(step.plans) == 1


def test_returned_python_values_are_the_callers_own():
    @dnn.capture
    def step(x):
        c = dnn.tensor([1.0, 2.0])
        return x * c, c, c[1:]

    for _ in range(5):
        product, c, rest = step(dnn.ones(2))
        assert (product.tolist(), c.tolist(), rest.tolist()) == ([1, 2], [1, 2], [2])
        c.add_(10)
        rest.add_(10)
    assert len(step.plans) == 1


def weight_with_gradient():
    weight = dnn.ones(4, requires_grad=True)
    weight.grad = dnn.full((4,), 0.5)
    return weight, lambda i: (dnn.full((4,), i + 1.0),), lambda: bits(weight, weight.grad)


def test_a_gradient_of_before_is_used_after_it_is_replaced():
    def build():
        weight, arguments, look = weight_with_gradient()

        def step(x):
            old = weight.grad
            weight.grad = None
            (weight * x).sum().backward()
            return old, old * weight.grad

        return step, arguments, look

    runs(build)


def test_a_replaced_gradient_that_is_known_outside_is_not_guessed():
    weight, arguments, _ = weight_with_gradient()
    held = weight.grad

    @dnn.capture
    def step(x):
        weight.grad = None
        (weight * x).sum().backward()
        return held * x

    assert step(*arguments(0)).tolist() == [0.5] * 4
    weight.grad = held
    with pytest.warns(UserWarning, match="gradient of before the step that was replaced"):
        assert step(*arguments(1)).tolist() == [1.0] * 4
    assert step(*arguments(2)).tolist() == [1.5] * 4


def test_a_gradient_that_the_step_looks_for():
    def build():
        weight, arguments, look = weight_with_gradient()

        def step(x):
            return x * 2 if weight.grad is None else x * 3

        def cleared(i):
            weight.grad = dnn.ones(4) if i % 3 else None
            return arguments(i)

        return step, cleared, look

    runs(build, plans=2)


def test_gradients_survive_an_error_and_the_next_call():
    weight = dnn.ones(4, requires_grad=True)

    @dnn.capture
    def step(x, target):
        weight.grad = None
        (weight * x).sum().backward()
        loss = F.cross_entropy((weight * x).reshape(2, 2), target)
        weight.grad = None
        loss.backward()

    x, right, wrong = dnn.arange(4.0), dnn.tensor([0, 1]), dnn.tensor([0, 7])
    for _ in range(3):
        step(x, right)
    with pytest.raises((ValueError, IndexError)):
        step(x, wrong)
    held = weight.grad
    step(x * 5, right)
    assert np.array_equal(held.numpy(), x.numpy())


def test_a_captured_step_holds_no_more_than_one_in_python():
    def held(wrap):
        gc.collect()
        dnn.empty_cache()
        before = dnn.memory_stats()["reserved_bytes"]
        model = dnn.nn.Sequential(dnn.nn.Linear(1000, 2000), dnn.nn.ReLU(), dnn.nn.Linear(2000, 1000))
        optimizer = dnn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        @wrap
        def step(x):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()

        x = dnn.randn(2000, 1000)
        for _ in range(4):
            step(x)
        return dnn.memory_stats()["reserved_bytes"] - before

    in_python = held(lambda step: step)
    assert held(dnn.capture) <= in_python
