"""Schedules follow PyTorch's own run, resume from their state, and refuse what makes no sense."""

import copy

import dnncore as dnn
import numpy as np
import pytest
from cases import GOLDEN
from dnncore import optim
from dnncore.optim import lr_scheduler
from scheduler_cases import CASES, RATES, STEPS, trace

EXPECTED = dict(np.load(GOLDEN / "schedulers.npz"))


def build(name):
    groups = [{"params": [dnn.ones(1)], "lr": lr} for lr in RATES]
    optimizer = optim.SGD(groups, momentum=0.9)
    return optimizer, CASES[name](lr_scheduler, optimizer)


@pytest.mark.parametrize("name", CASES)
def test_follows_pytorch(name):
    optimizer, scheduler = build(name)
    rows = [[group[key] for group in optimizer.param_groups for key in ("lr", "momentum")]]
    rows += trace(lr_scheduler, optimizer, scheduler, range(STEPS))
    np.testing.assert_allclose(rows, EXPECTED[name], rtol=1e-13, atol=1e-15)
    assert scheduler.get_last_lr() == [group["lr"] for group in optimizer.param_groups]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("travel", ["state_dict", "deepcopy"])
def test_resumed_equals_uninterrupted(name, travel):
    optimizer, scheduler = build(name)
    trace(lr_scheduler, optimizer, scheduler, range(10))
    if travel == "state_dict":
        other, resumed = build(name)
        other.load_state_dict(optimizer.state_dict())
        resumed.load_state_dict(copy.deepcopy(scheduler.state_dict()))
    else:
        other, resumed = copy.deepcopy((optimizer, scheduler))
        assert resumed.optimizer is other
    expected = trace(lr_scheduler, optimizer, scheduler, range(10, STEPS))
    assert trace(lr_scheduler, other, resumed, range(10, STEPS)) == expected


def test_a_rate_takes_effect_in_the_update():
    w = dnn.ones(1, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.5)
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.5)
    for expected in (0.5, 0.25, 0.125):
        w.grad = dnn.ones(1)
        optimizer.step()
        scheduler.step()
        assert w.item() == expected


def test_resuming_by_number():
    optimizer = optim.SGD([dnn.ones(1)], lr=1.0)
    with pytest.raises(KeyError, match="initial_lr"):
        lr_scheduler.StepLR(optimizer, 2, last_epoch=3)
    optimizer.param_groups[0]["initial_lr"] = 1.0
    scheduler = lr_scheduler.StepLR(optimizer, 2, 0.5, last_epoch=2)
    assert scheduler.last_epoch == 3
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.5
    scheduler.step(9)
    assert optimizer.param_groups[0]["lr"] == 0.5**4


def test_beta1_moves_where_there_is_no_momentum():
    optimizer = optim.Adam([dnn.ones(1)])
    lr_scheduler.CyclicLR(optimizer, 0.1, 0.2, 2).step()
    assert optimizer.param_groups[0]["betas"] == (pytest.approx(0.85), 0.999)


A, B = optim.SGD([dnn.ones(1)], lr=1.0), optim.SGD([dnn.ones(1)], lr=1.0)
RPROP = optim.Rprop([dnn.ones(1)])


@pytest.mark.parametrize(
    ("act", "error", "match"),
    [
        (lambda: lr_scheduler.StepLR(None, 1), TypeError, "expected an optimizer, got NoneType"),
        (lambda: lr_scheduler.LambdaLR(A, [len, len]), ValueError, "expected 1 values, one per group, got 2"),
        (lambda: lr_scheduler.LambdaLR(A, 0.5), TypeError, "expected functions, got float"),
        (lambda: lr_scheduler.ConstantLR(A, 2.0), ValueError, "factor above 0 and up to 1"),
        (lambda: lr_scheduler.LinearLR(A, 0.0), ValueError, "start_factor"),
        (lambda: lr_scheduler.LinearLR(A, end_factor=2.0), ValueError, "end_factor"),
        (lambda: lr_scheduler.CosineAnnealingWarmRestarts(A, 0), ValueError, "T_0 above 0"),
        (lambda: lr_scheduler.CosineAnnealingWarmRestarts(A, 1, 0), ValueError, "T_mult of at least 1"),
        (lambda: lr_scheduler.CosineAnnealingWarmRestarts(A, 1).step(-1), ValueError, "epoch of at least 0"),
        (lambda: lr_scheduler.OneCycleLR(A, 1.0), ValueError, "total_steps"),
        (lambda: lr_scheduler.OneCycleLR(A, 1.0, 10, pct_start=2.0), ValueError, "pct_start"),
        (lambda: lr_scheduler.OneCycleLR(A, 1.0, 10, anneal_strategy="x"), ValueError, "anneal_strategy"),
        (lambda: lr_scheduler.OneCycleLR(RPROP, 1.0, 10), ValueError, "cycle_momentum=False"),
        (lambda: lr_scheduler.OneCycleLR(A, 1.0, 1, pct_start=1.0).step(5), ValueError, "at most 1 steps"),
        (lambda: lr_scheduler.CyclicLR(A, 0.1, 1.0, mode="x"), ValueError, "expected mode"),
        (lambda: lr_scheduler.ReduceLROnPlateau(A, factor=1.0), ValueError, "factor below 1"),
        (lambda: lr_scheduler.ReduceLROnPlateau(A, "x"), ValueError, "expected mode"),
        (lambda: lr_scheduler.ReduceLROnPlateau(A, threshold_mode="x"), ValueError, "threshold_mode"),
        (lambda: lr_scheduler.ReduceLROnPlateau(A, min_lr=[0, 0]), ValueError, "min_lr: expected 1 values"),
        (lambda: lr_scheduler.ChainedScheduler([]), ValueError, "got none"),
        (lambda: lr_scheduler.ChainedScheduler([1]), TypeError, "expected schedulers, got int"),
        (lambda: lr_scheduler.ChainedScheduler([lr_scheduler.ReduceLROnPlateau(A)]), ValueError, "needs a metric"),
        (
            lambda: lr_scheduler.ChainedScheduler([lr_scheduler.StepLR(A, 1), lr_scheduler.StepLR(B, 1)]),
            ValueError,
            "one optimizer",
        ),
        (lambda: lr_scheduler.SequentialLR(A, [lr_scheduler.StepLR(A, 1)], [3]), ValueError, "0 milestones, got 1"),
    ],
)
def test_wrong_arguments_are_refused(act, error, match):
    with pytest.raises(error, match=match):
        act()
