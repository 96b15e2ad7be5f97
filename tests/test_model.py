"""Model: the bits of a loop by hand, validation, best weights, evaluation and prediction."""

import gc
import itertools
import threading
import warnings

import dnncore as dnn
import numpy as np
import pytest
from cases import use_threads
from dnncore import nn
from dnncore.callbacks import Callback, EarlyStopping, LambdaCallback
from model_cases import CLASSES, ROWS, SIZE, VX, VY, Batches, X, Y, bits, by_hand, compiled, fitted, network

# --- The loop


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_the_bits_of_a_loop_by_hand(name, shuffle):
    module = network()
    losses = by_hand(module, getattr(dnn.optim, name)(module.parameters()), X, Y, 3, 16, shuffle)
    model = compiled(name.lower())
    history = model.fit(X, Y, epochs=3, batch_size=16, shuffle=shuffle, verbose=0)
    assert bits(model.module) == bits(module)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-12)
    assert history.epoch == [0, 1, 2]
    assert history.params == {"epochs": 3, "steps": 4, "batch_size": 16, "samples": ROWS}


def test_steps_are_captured_also_the_short_one():
    model = fitted(epochs=4, model=compiled(metrics=["accuracy"]))
    steps = [found.step for found in model._compiled._steps.values()]
    assert [(step.reason, len(step.plans)) for step in steps] == [(None, 2)]


def test_clipping_is_that_of_a_loop_by_hand():
    module = network()
    by_hand(module, dnn.optim.Adam(module.parameters()), X, Y, 2, 16, True, clip_norm=0.05)
    assert bits(fitted(model=compiled(clip_norm=0.05)).module) == bits(module)
    assert bits(fitted(model=compiled(clip_value=0.01)).module) != bits(module)


class Branching(nn.Module):
    """Reads values, so its steps cannot be captured."""

    def __init__(self):
        super().__init__()
        self.inner = network(0.0)

    def forward(self, x):
        return self.inner(x) * (1.0 if x.sum().item() > 0 else 0.5)


def test_a_network_that_cannot_be_captured_trains_without_a_word():
    module = Branching()
    by_hand(module, dnn.optim.Adam(module.parameters()), X, Y, 3, 16, True)
    model = compiled(module=Branching())
    model.fit(X, Y, epochs=3, batch_size=16, verbose=0)  # warnings are errors here
    assert bits(model.module) == bits(module)
    (found,) = model._compiled._steps.values()
    assert "item" in found.step.reason


def test_lbfgs():
    model = compiled(dnn.optim.LBFGS((module := network(0.0)).parameters()), module=module)
    history = model.fit(X, Y, epochs=5, batch_size=ROWS, verbose=0)
    assert history.history["loss"][-1] < 0.3 * history.history["loss"][0]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_two_calls_are_one(optimizer):
    whole = fitted(epochs=4, model=compiled(optimizer))
    parts = fitted(epochs=2, model=compiled(optimizer))
    history = parts.fit(X, Y, epochs=4, initial_epoch=2, batch_size=16, verbose=0)
    assert bits(whole.module) == bits(parts.module)
    assert history.epoch == [2, 3]
    by_one = compiled(optimizer)
    for _ in range(4):  # each call goes on with new orders
        by_one.fit(X, Y, batch_size=16, verbose=0)
    assert bits(by_one.module) == bits(whole.module)


def test_the_same_bits_for_any_number_of_threads():
    found = []
    for threads in (1, 2, 4):
        with use_threads(threads):
            model = fitted(epochs=3, validation_split=0.2, model=compiled(metrics=["accuracy"]))
            found.append((bits(model.module), model.history.history))
    assert found[1] == found[0]
    assert found[2] == found[0]


def test_the_order_follows_from_the_seed():
    def order(seed):
        seen = []
        model = compiled(module=Recording(seen))
        dnn.manual_seed(seed)
        model.fit(np.arange(ROWS, dtype=np.float32)[:, None], X[:, :1], epochs=2, batch_size=16, verbose=0)
        rows = list(itertools.chain(*seen[1:]))  # the first call looks at shapes
        assert sorted(rows[:ROWS]) == sorted(rows[ROWS:]) == list(range(ROWS))
        assert rows[:ROWS] != rows[ROWS:]
        return rows

    class Recording(nn.Module):
        def __init__(self, seen):
            super().__init__()
            self.seen, self.scale = seen, nn.Parameter(dnn.ones(1))

        def forward(self, x):
            self.seen.append([int(value) for (value,) in x.tolist()])
            return x * self.scale

    def compiled(module):
        model = dnn.Model(module)
        model.compile("sgd", lambda output, target: (output * 0).mean())
        return model

    assert order(1) == order(1) != order(2)


def test_gradients_are_on_in_fit():
    expected = bits(fitted().module)
    with dnn.no_grad():
        assert bits(fitted().module) == expected
        compiled().train_on_batch(X, Y)
        assert not dnn.is_grad_enabled()


def test_an_input_that_is_its_own_target():
    module = nn.Linear(SIZE, SIZE)
    model = compiled(loss="mse", module=module)
    for shuffle in (True, False):
        model.fit(X, X, epochs=4, batch_size=16, shuffle=shuffle, verbose=0)
    for _ in range(4):
        model.evaluate(X, X, batch_size=16)
    steps = [found.step for found in model._compiled._steps.values()]
    assert [(step.reason, len(step.plans)) for step in steps] == [(None, 2), (None, 2)]


def test_train_on_batch_is_a_step_and_test_on_batch_is_none():
    module = network(0.0)
    by_hand(module, dnn.optim.Adam(module.parameters()), X, Y, 2, ROWS, False)
    model = compiled(module=network(0.0), metrics=["accuracy"])
    first = model.train_on_batch(X, Y)
    before = bits(model.module)
    tested = model.test_on_batch(X, Y)
    assert bits(model.module) == before
    assert tested["loss"] < first["loss"]
    assert set(tested) == {"loss", "accuracy"}
    model.train_on_batch(X, Y)
    assert bits(model.module) == bits(module)


def test_a_lazy_module_and_an_optimizer_by_name():
    model = compiled(module=nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(CLASSES)))
    with pytest.raises(RuntimeError, match="no shapes yet"):
        _ = model.optimizer
    fitted(model=model)
    assert len(model.optimizer.param_groups[0]["params"]) == 4


def test_modes_are_restored():
    model = compiled(module=network())
    model.module[2].eval()
    modes = [module.training for module in model.module.modules()]
    fitted(model=model, validation_split=0.2)
    model.evaluate(X, Y)
    model.predict(X)
    assert [module.training for module in model.module.modules()] == modes


# --- Validation and best weights


def test_the_split_is_stratified_and_the_same_each_time(capsys):
    y = np.repeat([0, 1, 2], [30, 20, 3])
    counts = []
    for _ in range(2):
        model = compiled()
        model.fit(X, y, validation_split=0.2, verbose=2)
        counts.append(model.history.params["samples"])
        assert (
            "fit: 11 of 53 samples are held out for validation: shuffled, the same share of each class\n"
            in capsys.readouterr().err
        )
    assert counts == [42, 42]


def test_the_last_samples_for_series(capsys):
    model = compiled("sgd", "mse", module=nn.Linear(SIZE, 1))
    target = X[:, :1]
    history = model.fit(X, target, validation_split=0.2, split="last", verbose=2, restore_best_weights=False)
    assert "11 of 53 samples are held out for validation: the last ones, in order" in capsys.readouterr().err
    assert history.history["val_loss"] == [model.evaluate(X[-11:], target[-11:])["loss"]]


def test_validation_is_evaluated_with_the_weights_of_the_epoch():
    module = network()
    model = compiled(module=module, metrics=["accuracy"])
    seen = []
    after = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.evaluate(VX[:20], VY[:20])))
    history = model.fit(X, Y, epochs=3, validation_data=(VX[:20], VY[:20]), callbacks=after, verbose=0)
    assert history.history["val_loss"] == [found["loss"] for found in seen]
    assert history.history["val_accuracy"] == [found["accuracy"] for found in seen]
    weighted = model.fit(X, Y, validation_data=(VX, VY, np.arange(ROWS)), verbose=0, restore_best_weights=False)
    expected = model.evaluate(VX, VY, sample_weight=np.arange(ROWS))["loss"]
    assert weighted.history["val_loss"] == [pytest.approx(expected)]
    batches = model.fit(X, Y, validation_data=Batches(), verbose=0, restore_best_weights=False)
    assert batches.history["val_loss"] == [pytest.approx(model.evaluate(X, Y)["loss"])]


def test_evaluated_training_loss_has_no_dropout():
    model = compiled(module=network(0.5))
    history = model.fit(X, Y, epochs=2, train_loss_eval=True, verbose=0)
    assert history.history["train_loss_eval"][-1] == model.evaluate(X, Y, batch_size=32)["loss"]
    assert history.history["train_loss_eval"][-1] != history.history["loss"][-1]


class Disturb(Callback):
    """Makes the weights worse after some epoch, or fails there."""

    def __init__(self, epoch, error=None, value=5.0):
        self.epoch, self.error, self.value = epoch, error, value

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            with dnn.no_grad():
                self.model.module[0].weight.fill_(self.value)
            if self.error is not None:
                raise self.error


@pytest.mark.parametrize("value", [50.0, float("nan")])
def test_the_best_weights_come_back(value):
    kept = []
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(bits(model.module)))
    model = compiled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the loss is NaN
        history = model.fit(X, Y, epochs=5, validation_data=(VX, VY), callbacks=[keep, Disturb(3, value=value)], verbose=0)
    best = history.best_epoch
    assert best == int(np.nanargmin(history.history["val_loss"])) == 2
    assert bits(model.module) == kept[best]
    assert history.monitor == "val_loss"


@pytest.mark.parametrize("error", [ZeroDivisionError("mine"), KeyboardInterrupt()])
def test_the_best_weights_come_back_after_an_error(error):
    kept = []
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(bits(model.module)))
    model = compiled()
    with pytest.raises(type(error)):
        model.fit(X, Y, epochs=5, validation_data=(VX, VY), callbacks=[keep, Disturb(2, error)], verbose=0)
    assert bits(model.module) == kept[1]
    assert model.history.epoch == [0, 1]
    assert model.history.stopped_by == ("error" if isinstance(error, ZeroDivisionError) else "user")
    assert model.module.training


def test_without_a_monitor_or_if_asked_the_last_weights_stay():
    for settings in ({}, {"validation_data": (VX, VY), "restore_best_weights": False}):
        model = compiled()
        model.fit(X, Y, epochs=3, callbacks=Disturb(2, value=50.0), verbose=0, **settings)
        assert model.module[0].weight.detach().numpy().min() > 30
    kept = EarlyStopping(patience=9, restore_best_weights=False)
    model.fit(X, Y, epochs=3, callbacks=[kept, Disturb(2, value=50.0)], validation_data=(VX, VY), verbose=0)
    assert model.module[0].weight.detach().numpy().min() > 30


def test_a_nan_loss_warns_once():
    with pytest.warns(RuntimeWarning, match="the loss of epoch 2 is nan; look for NaN in the data") as found:
        compiled().fit(X, Y, epochs=4, callbacks=Disturb(1, value=float("nan")), verbose=0)
    assert [warning.filename for warning in found] == [__file__]


# --- Use


def test_evaluate_is_the_mean_over_samples():
    model = compiled(metrics=["accuracy"])
    logits = model.predict(X).numpy().astype(np.float64)
    exact = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(ROWS), Y])
    for size in (1, 7, 16, ROWS, 1000):
        found = model.evaluate(X, Y, batch_size=size)
        assert found["loss"] == pytest.approx(exact, rel=1e-5)
        assert found["accuracy"] == (logits.argmax(1) == Y).mean()
    assert set(model.evaluate(X, Y, metrics=["f1", "confusion_matrix"])) == {"loss", "f1", "confusion_matrix"}
    assert set(model.metrics) == {"accuracy"}


def test_probabilities_are_known_to_the_metrics():
    truths = (X[:, :1] > 0.3).astype(np.float32)
    module = nn.Sequential(nn.Linear(SIZE, 1), nn.Sigmoid())
    model = compiled(loss="bce", module=module, metrics=["accuracy"])
    expected = ((model.predict(X).numpy() > 0.5) == truths).mean()
    assert model.evaluate(X, truths)["accuracy"] == pytest.approx(expected)


def test_metrics_in_python_and_metrics_in_the_step_agree():
    def share(output, target):
        return (output.argmax(1) == target).float().mean().item()

    model = compiled(metrics=["accuracy", share])
    history = model.fit(X, Y, epochs=3, batch_size=16, validation_data=(VX, VY), verbose=0).history
    assert history["accuracy"] == pytest.approx(history["share"])
    assert history["val_accuracy"] == pytest.approx(history["val_share"])


def test_predict():
    model = dnn.Model(network())
    x = dnn.from_numpy(X)
    model.module.eval()
    with dnn.no_grad():
        expected = model.module(x).numpy()
    model.module.train()
    for size in (1, 10, 53, 54):
        found = model.predict(X, batch_size=size)
        assert not found.requires_grad
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)
    for _ in range(3):
        np.testing.assert_array_equal(model.predict(x).numpy(), expected)
    np.testing.assert_allclose(model.predict(Batches()).numpy(), expected, rtol=1e-5, atol=1e-6)
    first = model.predict(x[:1])
    model.predict(x[1:2])
    np.testing.assert_allclose(first.numpy(), expected[:1], rtol=1e-5, atol=1e-6)
    with dnn.no_grad():
        model.module[3].bias.add_(1.0)
    np.testing.assert_allclose(model.predict(x).numpy(), expected + 1, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_threads_predict_at_once(training):
    model = dnn.Model(network())
    model.module.train(training)
    expected = model.predict(X).numpy()
    wrong = []

    def many():
        for _ in range(200):
            if not np.array_equal(model.predict(X).numpy(), expected):
                wrong.append(1)

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert all(module.training is training for module in model.module.modules())


def grown_by(predicts):
    """Bytes held by the process and by dnncore after so many predicts, beyond those after a tenth."""
    model = dnn.Model(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)))
    tensor, array = dnn.randn(1, 4), np.ones((3, 4))
    held = []
    for number in range(predicts):
        model.predict(tensor)
        if number % 10 == 0:
            model.predict(array)
        if number in (predicts // 10, predicts - 1):
            gc.collect()
            with open("/proc/self/statm") as file:
                held.append((int(file.read().split()[1]) * 4096, dnn.memory_stats()["allocated_bytes"]))
    return held[1][0] - held[0][0], held[1][1] - held[0][1]


def test_predicts_leak_nothing():
    resident, allocated = grown_by(5_000)
    assert allocated == 0
    assert resident < 2**20  # 4,500 leaks of 256 bytes would be more


@pytest.mark.slow
def test_a_million_predicts_leak_nothing():
    resident, allocated = grown_by(1_000_000)
    assert allocated == 0
    assert resident < 2**20  # about one byte each


def test_layers_that_are_newer_than_the_optimizer_are_not_forgotten():
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    model = dnn.Model(module)
    model.compile("sgd", "cross_entropy")
    x, y = dnn.randn(40, 3), dnn.arange(40) % 2
    model.fit(x, y, verbose=0)
    module.append(nn.Linear(2, 2))
    with pytest.raises(RuntimeError, match=r"fit: parameter '3\.weight' is newer than compile\('sgd'\).*call compile again"):
        model.fit(x, y, verbose=0)
    model.compile("sgd", "cross_entropy")
    before = module[3].weight.tolist()
    model.fit(x, y, verbose=0)
    assert module[3].weight.tolist() != before
