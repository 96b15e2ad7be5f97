"""Callbacks: when each hook runs, what stops, what is written, what is refused."""

import csv
import re

import dnncore as dnn
import numpy as np
import pytest
from dnncore import optim
from dnncore.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from model_cases import ROWS, VX, VY, X, Y, bits, compiled


def fit(model=None, **settings):
    model = model or compiled()
    model.fit(X, Y, **{"epochs": 3, "batch_size": 16, "verbose": 0, **settings})
    return model


class Values(Callback):
    """Brings made values into the logs of the epochs."""

    def __init__(self, **values):
        self.values = values

    def on_epoch_end(self, epoch, logs):
        logs.update({name: values[epoch] for name, values in self.values.items()})


class Recorder(Callback):
    def __init__(self):
        self.seen = []

    def on_train_begin(self, logs=None):
        self.seen.append("train")

    def on_train_end(self, logs=None):
        self.seen.append(("end", sorted(logs)))

    def on_epoch_begin(self, epoch, logs=None):
        self.seen.append(("epoch", epoch))

    def on_epoch_end(self, epoch, logs):
        self.seen.append(("epoch end", epoch, sorted(logs)))

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append(("batch", batch))

    def on_train_batch_end(self, batch, logs):
        self.seen.append(("batch end", batch, sorted(logs), 0 < logs["loss"] < 10, len(logs)))


def test_every_hook_runs_in_its_place():
    recorder = Recorder()
    model = fit(compiled(metrics=["accuracy"]), epochs=2, batch_size=32, callbacks=recorder, validation_data=(VX, VY))
    values = ["accuracy", "loss"]
    everything = sorted([*values, "val_loss", "val_accuracy"])
    batches = [step for i in range(2) for step in (("batch", i), ("batch end", i, values, True, 2))]
    epochs = [step for i in range(2) for step in (("epoch", i), *batches, ("epoch end", i, everything))]
    assert recorder.seen == ["train", *epochs, ("end", everything)]
    assert recorder.model is model
    assert recorder.params == model.history.params


def test_lambda_callback():
    seen = []
    hooks = {name: lambda *args, name=name: seen.append((name, len(args))) for name in vars(Callback) if name.startswith("on_")}
    fit(epochs=1, batch_size=ROWS, callbacks=[LambdaCallback(**hooks)])
    names = ["train_begin", "epoch_begin", "train_batch_begin", "train_batch_end", "epoch_end", "train_end"]
    assert seen == [(f"on_{name}", 1 if name in ("train_begin", "train_end") else 2) for name in names]


def test_a_callback_adds_to_the_history():
    model = fit(callbacks=[Values(mine=[1.0, 2.0, 3.0])])
    assert model.history.history["mine"] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_epoch_end"])
def test_a_callback_stops_training(hook):
    class Stop(Callback):
        pass

    def stop(self, number, logs):
        self.model.stop_training = number == 1

    setattr(Stop, hook, stop)
    model = fit(epochs=9, callbacks=Stop())
    assert model.history.stopped_by == "Stop"
    assert model.history.epoch == ([0] if "batch" in hook else [0, 1])
    fit(model)
    assert model.history.stopped_by is None


@pytest.mark.parametrize("hook", [name for name in vars(Callback) if name.startswith("on_")])
def test_an_error_in_a_hook_reaches_the_caller(hook):
    def fail(*args):
        raise ZeroDivisionError(hook)

    model = compiled()
    with pytest.raises(ZeroDivisionError, match=hook):
        fit(model, callbacks=LambdaCallback(**{hook: fail}))
    assert model.history.epoch == {"on_epoch_end": [0], "on_train_end": [0, 1, 2]}.get(hook, [])
    fit(model)
    assert model.history.stopped_by is None


# --- Values that are watched

CURVES = [  # values, settings, epochs done, best epoch
    ([3, 2, 1, 2, 2, 2], {"patience": 2}, 5, 2),
    ([3, 2, 1, 2, 2, 2], {"patience": 0}, 4, 2),
    ([3, 2, 1, 2, 0, 2], {"patience": 2}, 6, 4),
    ([3, 2.9, 2.8, 2.7, 2.6, 2.5], {"patience": 3, "min_delta": 0.25}, 6, 5),
    ([3, 2.9, 2.85, 2.8, 2.79, 2.78], {"patience": 2, "min_delta": 0.5}, 3, 2),
    ([1, 2, 3, 2, 2, 2], {"patience": 2, "mode": "max"}, 5, 2),
    ([float("nan"), 3, float("nan"), 2, float("nan"), float("nan")], {"patience": 2}, 6, 3),
    ([float("nan")] * 6, {"patience": 2}, 2, None),
]


@pytest.mark.parametrize("curve", CURVES, ids=str)
def test_early_stopping(curve):
    values, settings, epochs, best = curve
    weights = []
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: weights.append(bits(model.module)))
    model = compiled()
    stop = EarlyStopping("mine", **{"mode": "min", **settings})

    class Before(Values):
        """The best weights are those at the end of the epoch, so the values come first."""

    fit(model, epochs=6, callbacks=[Before(mine=values), keep, stop])
    assert len(model.history.epoch) == epochs
    assert model.history.stopped_by == (None if epochs == 6 and best in (4, 5) else "EarlyStopping")
    assert model.history.best_epoch == best
    assert model.history.monitor == "mine"
    assert bits(model.module) == weights[-1 if best is None else best]


def test_directions_are_known():
    model = compiled(metrics=["accuracy", lambda output, target: 0.5])
    fit(model, callbacks=EarlyStopping("val_accuracy", patience=9), validation_data=(VX, VY))
    assert model.history.best_epoch == int(np.argmax(model.history.history["val_accuracy"]))
    with pytest.raises(ValueError, match=re.escape("whether 'val_<lambda>' should fall or rise is not known; pass mode='min'")):
        fit(model, callbacks=EarlyStopping("val_<lambda>"), validation_data=(VX, VY))
    with pytest.raises(ValueError, match=re.escape("EarlyStopping: expected monitor to be one of loss, accuracy, ")):
        fit(model, callbacks=EarlyStopping("acc"), validation_data=(VX, VY))


def test_reduce_lr_on_plateau():
    model = compiled(optim.SGD((net := compiled().module).parameters(), lr=1.0), module=net)
    values = [5.0, 4.0, 4.0, 4.0, 3.9, 3.9, 3.9]
    reduce = ReduceLROnPlateau("mine", factor=0.5, patience=2, mode="min", min_lr=0.3)
    fit(model, epochs=7, callbacks=[Values(mine=values), reduce])
    assert model.history.history["lr"] == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5]
    assert model.optimizer.param_groups[0]["lr"] == 0.3


def test_terminate_on_nan():
    batches = []

    def spoil(batch, logs):
        batches.append(batch)
        if batch == 1:
            with dnn.no_grad():
                model.module[0].bias.fill_(float("nan"))

    model = compiled()
    with pytest.warns(RuntimeWarning, match="loss of epoch 1 is nan"):
        fit(model, callbacks=[LambdaCallback(on_train_batch_begin=spoil), TerminateOnNaN()])
    assert (model.history.stopped_by, model.history.epoch) == ("TerminateOnNaN", [0])
    assert batches == [0, 1]


def test_batch_logs_compute_what_is_looked_at():
    computed = []

    def costly(output, target):
        computed.append(1)
        return 0.0

    model = compiled(metrics=[costly])

    def count(logs):
        model.metrics["costly"].compute = lambda: computed.append(2) or 0.0

    fit(model, epochs=1, callbacks=[LambdaCallback(on_train_begin=count), TerminateOnNaN()])
    assert computed.count(2) == 1  # at the end of the epoch
    assert computed.count(1) == 4


# --- Learning rates


def test_a_function_sets_the_rate():
    model = fit(callbacks=LearningRateScheduler(lambda epoch, lr: lr if epoch == 0 else lr / 2))
    assert model.history.history["lr"] == [0.001, 0.0005, 0.00025]


@pytest.mark.parametrize("interval", ["epoch", "batch"])
def test_a_schedule_is_stepped_as_by_hand(interval):
    module = compiled().module
    model = compiled(optim.SGD(module.parameters(), lr=1.0), module=module)
    schedule = optim.lr_scheduler.ExponentialLR(model.optimizer, 0.5)
    fit(model, callbacks=LearningRateScheduler(schedule, interval), batch_size=32)
    per_epoch = 1 if interval == "epoch" else 2
    assert model.history.history["lr"] == [0.5 ** (per_epoch * epoch) for epoch in range(3)]
    assert model.optimizer.param_groups[0]["lr"] == 0.5 ** (3 * per_epoch)


# --- Files


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    model = fit(callbacks=CSVLogger(path), validation_data=(VX, VY))
    with open(path) as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    for name, values in model.history.history.items():
        assert [float(row[name]) for row in rows] == values
    fit(model, epochs=4, initial_epoch=3, callbacks=CSVLogger(path, append=True), validation_data=(VX, VY))
    assert len(path.read_text().splitlines()) == 5
    fit(model, epochs=1, callbacks=CSVLogger(path))
    assert len(path.read_text().splitlines()) == 2
    with pytest.raises(OSError, match="no-such-folder"):
        fit(callbacks=CSVLogger(tmp_path / "no-such-folder" / "log.csv"))


def test_model_checkpoint(tmp_path):
    every = ModelCheckpoint(tmp_path / "{epoch:02d}-{mine:.1f}.safetensors")
    best = ModelCheckpoint(tmp_path / "best.safetensors", "mine", save_best_only=True, mode="max")
    weights = []
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: weights.append(bits(model.module)))
    model = compiled()
    fit(model, callbacks=[Values(mine=[1.0, 2.0, float("nan")]), keep, every, best])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "01-1.0.safetensors",
        "02-2.0.safetensors",
        "03-nan.safetensors",
        "best.safetensors",
    ]
    saved = [value.numpy().tobytes() for value in dnn.load(tmp_path / "best.safetensors").values()]
    names = list(model.module.state_dict())
    state = dnn.load(tmp_path / "best.safetensors")
    assert sorted(state) == sorted(names)
    assert len(saved) == len(names)
    assert [state[name].numpy().tobytes() for name in names] == weights[1] == bits(model.module)


def test_model_checkpoint_writes_folders(tmp_path):
    model = fit(epochs=1, callbacks=ModelCheckpoint(tmp_path / "run-{epoch}"))
    other = dnn.Model.load(tmp_path / "run-1")
    assert bits(other.module) == bits(model.module)


# --- What is refused

ERRORS = [
    (lambda: EarlyStopping(patience=-1), "EarlyStopping: expected patience and min_delta of at least 0, got -1"),
    (lambda: EarlyStopping(mode="up"), "EarlyStopping: expected mode 'auto', 'min' or 'max', got 'up'"),
    (lambda: ReduceLROnPlateau(factor=1.0), "ReduceLROnPlateau: expected factor above 0 and below 1, got 1.0"),
    (lambda: ReduceLROnPlateau(patience=-1), "ReduceLROnPlateau: expected patience"),
    (lambda: ModelCheckpoint("x", mode="up"), "ModelCheckpoint: expected mode"),
    (lambda: LearningRateScheduler(lambda e, lr: lr, "hour"), "LearningRateScheduler: expected interval 'epoch' or 'batch'"),
    (lambda: LearningRateScheduler(lambda e, lr: lr, "batch"), "a function is called once per epoch"),
    (lambda: fit(callbacks=LearningRateScheduler(lambda epoch, lr: -1.0)), "finite rate of at least 0 for epoch 0, got -1.0"),
    (
        lambda: fit(callbacks=LearningRateScheduler(optim.lr_scheduler.StepLR(compiled().optimizer, 1))),
        "the schedule is of another optimizer; make it with model.optimizer",
    ),
    (lambda: fit(callbacks=ModelCheckpoint("{mine}")), "no value 'mine' for '{mine}'; there are epoch, loss"),
    (lambda: fit(callbacks=[Values(), EarlyStopping("mine", mode="min")]), "expected monitor to be one of loss, got 'mine'"),
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_wrong_arguments(number):
    call, message = ERRORS[number]
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LearningRateScheduler(0.1), "expected a function or a schedule of dnncore.optim.lr_scheduler, got float"),
        (
            lambda: LearningRateScheduler(optim.lr_scheduler.ReduceLROnPlateau(compiled().optimizer)),
            "callbacks.ReduceLROnPlateau",
        ),
        (lambda: LambdaCallback(on_epoch_end=3), "LambdaCallback: expected on_epoch_end to be a function, got int"),
    ],
)
def test_wrong_kinds(call, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        call()
