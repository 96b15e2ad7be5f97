"""Random steps: captured, they come to the bits of Python."""

from __future__ import annotations

import random
from types import SimpleNamespace

import dnncore as dnn
import pytest
from capture_cases import bits
from dnncore import optim

SHAPES = [(6,), (3, 5), (16384,), (16385,), (32769,), (129, 257), (2, 16384)]  # a task has 16384 elements


def unary(rng, env, world):
    return getattr(rng.choice(env), rng.choice(["tanh", "sigmoid", "relu", "neg", "abs", "sin", "square"]))()


def binary(rng, env, world):
    x = rng.choice(env)
    other = rng.choice([z for z in env if z.shape == x.shape] + [0.5, world.scale])
    return rng.choice([dnn.add, dnn.sub, dnn.mul, dnn.maximum])(x, other)


def repeated_element(rng, env, world):
    return rng.choice(env) * rng.choice(env).reshape(-1)[rng.choice([0, -1])]


def chosen(rng, env, world):
    x = rng.choice(env)
    return dnn.where(x > 0, x, rng.choice([z for z in env if z.shape == x.shape]))


def cast(rng, env, world):
    return rng.choice(env).to(rng.choice([dnn.float64, dnn.float16, dnn.bool])).to(dnn.float32)


def heavy(rng, env, world):
    x = rng.choice([x for x in env if x.ndim > 0])
    return rng.choice([lambda: dnn.cumsum(x, -1), lambda: dnn.softmax(x, -1), lambda: x.flip(0), lambda: x.T.contiguous().T])()


def reduced(rng, env, world):
    x = rng.choice([x for x in env if x.ndim > 0])
    return x * rng.choice([x.sum(), x.mean(0, keepdim=True), x.amax(-1, keepdim=True)])


def shifted(rng, env, world):
    y = rng.choice([x for x in env if x.ndim > 0]).detach() * 1
    y[1:].add_(y[:1])
    y[:1] = 0.25
    return y


def made(rng, env, world):
    shape = rng.choice([(), (1,), world.weight.shape])
    return rng.choice(
        [lambda: dnn.zeros(shape), lambda: dnn.full(shape, 0.75), lambda: dnn.tensor([0.5]), lambda: dnn.rand(shape)]
    )()


def buffered(rng, env, world):
    with dnn.no_grad():
        world.buffer.mul_(0.5).add_(rng.choice([x for x in env if x.shape == world.buffer.shape]))
    return world.buffer * 1


def gradient(rng, env, world):
    if rng.random() < 0.5:
        world.optimizer.zero_grad()
    (rng.choice(env) * world.weight * world.scale).tanh().sum().backward(retain_graph=True)
    return world.weight.grad * 1


OFTEN = [unary, binary, repeated_element, heavy]
OPS = [*OFTEN * 3, chosen, cast, reduced, shifted, made, buffered, gradient]


def trace(seed, shape, captured, spoil=False):
    """Five calls of the step of this seed: the bits of its results, and of what it left."""
    dnn.manual_seed(seed)
    world = SimpleNamespace(
        weight=dnn.randn(shape).requires_grad_(True), scale=dnn.tensor(0.5, requires_grad=True), buffer=dnn.randn(shape)
    )
    world.optimizer = optim.SGD([world.weight, world.scale], lr=0.01, momentum=0.5)

    def step(x):
        rng = random.Random(seed)
        env = [x, world.weight * 1, world.buffer * 1]
        for _ in range(rng.choice([5, 12, 20])):
            env.append(rng.choice(OPS)(rng, env, world))
        world.optimizer.step()
        results = tuple(y.detach() for y in rng.sample(env[3:], 2))
        return (*results, x * world.call) if spoil else results

    run = dnn.capture(step) if captured else step
    seen, held = [], []
    for call in range(5):
        world.call = call
        results = run(dnn.randn(shape))
        held += results[: call % 2]
        seen.append(
            [bits(*results), bits(world.weight, world.scale, world.buffer, world.weight.grad, world.scale.grad), bits(*held)]
        )
        with dnn.no_grad():
            results[-1].mul_(0.5)
    return seen, (run.plans if captured else [])


@pytest.mark.parametrize("seed", range(300))
def test_random_steps(seed):
    shape = SHAPES[seed % len(SHAPES)]
    eager, _ = trace(seed, shape, captured=False)
    replayed, plans = trace(seed, shape, captured=True)
    assert eager == replayed
    assert len(plans) > 0


def test_a_difference_is_seen():
    """An attribute that the step reads is frozen when it is recorded."""
    assert trace(0, (6,), captured=True, spoil=True)[0] != trace(0, (6,), captured=False, spoil=True)[0]
