"""Whole training steps of every kind: equal bits for any number of threads, equal weights and masks on every ISA, no leak."""

import gc

import dnncore as dnn
import numpy as np
import pytest
from cases import FAST_ISAS, ISAS, numbers, tensor, use_isa, use_threads
from dnncore import nn

OPTIMIZERS = ("SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta", "Rprop", "ASGD")


def network():
    return nn.Sequential(
        nn.Linear(40, 300), nn.SiLU(), nn.Dropout(0.3), nn.Linear(300, 200), nn.ELU(), nn.Dropout(0.2), nn.Linear(200, 10)
    )


def data():
    random = np.random.default_rng(1)
    return tensor(random.standard_normal((67, 40), dtype=np.float32)), tensor(random.integers(0, 10, 67))


def train(optimizer_name, steps):
    dnn.manual_seed(3)
    model, (x, target) = network(), data()
    optimizer = getattr(dnn.optim, optimizer_name)(model.parameters())
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(model(x), target)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        losses.append(loss.item())
    return losses, [numbers(parameter).tobytes() for parameter in model.parameters()]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_trained_bits_do_not_depend_on_threads(optimizer):
    with use_threads(1):
        expected = train(optimizer, 5)
    assert expected[0][-1] != expected[0][0]
    for threads in (2, 4):
        with use_threads(threads):
            assert train(optimizer, 5) == expected


def initial_weights_and_masks():
    dnn.manual_seed(11)
    model = network()
    masks = [dnn.nn.functional.dropout(dnn.ones(1000), 0.4) == 0 for _ in range(3)]
    return [p.detach().numpy().tobytes() for p in model.parameters()] + [mask.numpy().tobytes() for mask in masks]


def test_the_same_weights_and_masks_on_every_isa():
    found = []
    for isa in ISAS:
        with use_isa(isa):
            found.append(initial_weights_and_masks())
    assert all(other == found[0] for other in found)
    assert len(set(found[0][-3:])) == 3  # no two launches share a mask


@pytest.mark.parametrize("isa", FAST_ISAS)
def test_it_learns(isa):
    with use_isa(isa):
        losses, _ = train("Adam", 40)
    assert losses[-1] < 0.5 * losses[0] + 0.3


@pytest.mark.slow
def test_ten_thousand_steps_leak_nothing():
    dnn.manual_seed(0)
    model, (x, target) = nn.Sequential(nn.Linear(40, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 10)), data()
    optimizer = dnn.optim.Adam(model.parameters())
    held = []
    for step in range(10_000):
        optimizer.zero_grad()
        hidden = model[0](x)
        hidden.register_hook(lambda g, h=hidden: g if h is not None else None)
        loss = nn.functional.cross_entropy(model[3](model[2](model[1](hidden))), target)
        (slope,) = dnn.autograd.grad(loss, model[0].bias, create_graph=True)
        (loss + 1e-3 * slope.square().sum()).backward()
        optimizer.step()
        if step % 1000 == 999:
            del hidden, loss, slope
            gc.collect()
            held.append(dnn.memory_stats()["allocated_bytes"])
    assert len(set(held[1:])) == 1, held
