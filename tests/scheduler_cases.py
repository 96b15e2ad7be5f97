"""Learning-rate schedules that the tests and the script that makes their golden file share; `s` is a library's lr_scheduler."""

import math

STEPS = 24
RATES = (0.1, 0.5)  # of the two groups


class Decay:
    """A callable object, whose attributes travel in a state."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, epoch):
        return self.rate**epoch


CASES = {
    "lambda": lambda s, o: s.LambdaLR(o, [Decay(0.9), lambda epoch: 1 / (1 + epoch)]),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda epoch: 0.95 if epoch < 9 else 1.01),
    "step": lambda s, o: s.StepLR(o, 5, 0.3),
    "milestones": lambda s, o: s.MultiStepLR(o, [3, 7, 7, 20]),
    "constant": lambda s, o: s.ConstantLR(o, 0.25, 6),
    "linear": lambda s, o: s.LinearLR(o, 0.2, 0.9, 8),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.9),
    "polynomial": lambda s, o: s.PolynomialLR(o, 20, 1.5),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 7, 0.01),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 4, 2, 0.001),
    "restarts alike": lambda s, o: s.CosineAnnealingWarmRestarts(o, 5),
    "one cycle": lambda s, o: s.OneCycleLR(o, [1.0, 2.0], total_steps=STEPS + 1),
    "one cycle linear": lambda s, o: s.OneCycleLR(
        o, 1.0, epochs=5, steps_per_epoch=5, anneal_strategy="linear", three_phase=True
    ),
    "cyclic": lambda s, o: s.CyclicLR(o, 0.1, [0.6, 0.9], 4, 3),
    "cyclic halving": lambda s, o: s.CyclicLR(o, 0.1, 0.6, 3, mode="triangular2", cycle_momentum=False),
    "cyclic fading": lambda s, o: s.CyclicLR(o, 0.1, 0.6, 3, mode="exp_range", gamma=0.9),
    "cyclic own": lambda s, o: s.CyclicLR(o, 0.1, 0.6, 3, scale_fn=lambda x: math.sin(x) ** 2, scale_mode="iterations"),
    "chained": lambda s, o: s.ChainedScheduler([s.ExponentialLR(o, 0.9), s.ConstantLR(o, 0.5, 4), s.StepLR(o, 6, 0.5)]),
    "sequential": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, total_iters=5), s.CosineAnnealingLR(o, 8), s.StepLR(o, 2, 0.5)], [5, 15]
    ),
    "sequential restarts": lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.5, 3), s.CosineAnnealingWarmRestarts(o, 4), s.ExponentialLR(o, 0.5)], [4, 18]
    ),
    "plateau": lambda s, o: s.ReduceLROnPlateau(o, factor=0.5, patience=2, cooldown=2, min_lr=[0.02, 0.0]),
    "plateau max": lambda s, o: s.ReduceLROnPlateau(o, "max", 0.3, 1, threshold=0.05, threshold_mode="abs", min_lr=1e-4),
}


def metric(step):
    """Return a loss that falls, stays and jumps."""
    return 1 + math.cos(step) / (1 + step)


def trace(schedules, optimizer, scheduler, steps):
    """Return lr and momentum of both groups after each step."""
    rows = []
    for step in steps:
        scheduler.step(*((metric(step),) if isinstance(scheduler, schedules.ReduceLROnPlateau) else ()))
        rows.append([group[key] for group in optimizer.param_groups for key in ("lr", "momentum")])
    return rows
