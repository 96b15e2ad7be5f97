"""Model: the bits of a loop by hand, every kind of data, weights, validation, best weights, what is refused and how."""

import gc
import itertools
import re
import threading
import warnings

import dnncore as dnn
import numpy as np
import pytest
from cases import use_threads
from dnncore import nn
from dnncore.callbacks import Callback, EarlyStopping, LambdaCallback
from dnncore.data import DataLoader, Subset, TensorDataset
from dnncore.nn import functional as F
from model_cases import CLASSES, ROWS, SIZE, TwoHeads, bits, by_hand, compiled, data, network

X, Y = data()
VX, VY = data(seed=1)


def fitted(x=X, y=Y, model=None, **settings):
    """A model after two epochs."""
    model = model or compiled()
    settings = {"epochs": 2, "batch_size": 16, "verbose": 0, **settings}
    model.fit(x, y, **settings)
    return model


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


# --- Data


def loaders(torch):
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    return torch.utils.data.DataLoader(dataset, batch_size=16)


class Rows:
    """A data set without tensors."""

    def __len__(self):
        return ROWS

    def __getitem__(self, row):
        return X[row], Y[row]


class Batches:
    """Something that can be walked through again and again."""

    def __iter__(self):
        return ((X[i : i + 16], Y[i : i + 16]) for i in range(0, ROWS, 16))


KINDS = {
    "float64": lambda: (X.astype(np.float64), Y),
    "int32 classes": lambda: (X, Y.astype(np.int32)),
    "uint8 classes": lambda: (X, Y.astype(np.uint8)),
    "tensors": lambda: (dnn.from_numpy(X), dnn.from_numpy(Y)),
    "lists": lambda: (X.tolist(), Y.tolist()),
    "transposed": lambda: (np.ascontiguousarray(X.T).T, Y),
    "reversed": lambda: (X[::-1].copy()[::-1], Y[::-1].copy()[::-1]),
    "tensor data set": lambda: (TensorDataset(X, Y), None),
    "data set": lambda: (Rows(), None),
    "subset": lambda: (Subset(TensorDataset(X, Y), range(ROWS)), None),
    "loader": lambda: (DataLoader(TensorDataset(X, Y), batch_size=16), None),
    "batches": lambda: (Batches(), None),
    "list of batches": lambda: ([*Batches()], None),
    "iterator": lambda: (itertools.chain(*(Batches() for _ in range(2))), None),
}


def test_a_data_set_is_shuffled_as_its_tensors():
    assert bits(fitted(Rows(), None).module) == bits(fitted().module)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_data_give_the_same_weights(kind):
    expected = bits(fitted(shuffle=False).module)
    steps = {"steps_per_epoch": 4} if kind == "iterator" else {}
    x, y = KINDS[kind]()
    model = fitted(x, y, shuffle=False, **steps)
    assert bits(model.module) == expected
    if kind != "iterator":
        np.testing.assert_array_equal(model.predict(x).numpy(), fitted(shuffle=False).predict(X).numpy())


def test_arrays_of_other_libraries():
    expected = bits(fitted(shuffle=False).module)
    torch = pytest.importorskip("torch", reason="an array of another library")
    assert bits(fitted(torch.from_numpy(X), torch.from_numpy(Y), shuffle=False).module) == expected
    assert bits(fitted(loaders(torch), None, shuffle=False).module) == expected
    with pytest.raises(TypeError, match="fit: x cannot become a tensor"):
        fitted(torch.from_numpy(X).requires_grad_(), Y)


def test_tables():
    pandas = pytest.importorskip("pandas", reason="tables")
    assert bits(fitted(pandas.DataFrame(X), pandas.Series(Y)).module) == bits(fitted().module)


def test_whole_numbers_as_inputs_are_cast_where_the_network_wants_it(capsys):
    x = np.random.default_rng(0).integers(0, 5, (ROWS, SIZE))
    model = fitted(x, Y, verbose=2)
    assert "fit: x is int64; cast once to the network's float32\n" in capsys.readouterr().err
    assert bits(model.module) == bits(fitted(x.astype(np.float32), Y).module)
    model.evaluate(x, Y)
    fresh = dnn.Model(network())
    np.testing.assert_array_equal(fresh.predict(x).numpy(), fresh.predict(x.astype(np.float32)).numpy())

    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.rows = nn.Parameter(dnn.randn(5, CLASSES))

        def forward(self, number):
            assert number.dtype == dnn.int64
            return self.rows[number]

    fitted(x[:, 0], Y, model=compiled(module=Table()))


def test_notices_come_once(capsys):
    model = fitted(X.astype(np.float64), Y, validation_data=(VX.astype(np.float64), VY), verbose=2)
    assert capsys.readouterr().err.count("cast once") == 1
    model.module.double()
    model.compile("adam", "cross_entropy")
    fitted(X.astype(np.float64), Y, model=model, verbose=2)
    assert "cast" not in capsys.readouterr().err


def test_several_inputs_and_outputs():
    number = X[:, 3:4] - X[:, 4:5]
    shift = VX
    by_place = dnn.Model(TwoHeads())
    by_place.compile("sgd", ("cross_entropy", "mse"), metrics=(["accuracy"], ["mae"]), loss_weights=(1.0, 0.25))
    first = by_place.fit((X, shift), (Y, number), epochs=2, batch_size=16, verbose=0)
    by_name = dnn.Model(TwoHeads(as_dict=True))
    by_name.compile(
        "sgd",
        {"size": nn.MSELoss(), "kind": F.cross_entropy},
        metrics={"size": ["mae"], "kind": "accuracy"},
        loss_weights={"kind": 1.0, "size": 0.25},
    )
    inputs = {"shift": shift, "x": X}
    second = by_name.fit(inputs, {"kind": Y, "size": number}, epochs=2, batch_size=16, verbose=0)
    np.testing.assert_allclose(first.history["loss"], second.history["loss"], rtol=1e-6)
    assert list(first.history) == ["loss", "output_0_loss", "output_1_loss", "output_0_accuracy", "output_1_mae"]
    assert list(second.history) == ["loss", "size_loss", "kind_loss", "size_mae", "kind_accuracy"]
    found = by_name.evaluate(inputs, {"kind": Y, "size": number}, batch_size=10)
    made = by_name.predict(inputs, batch_size=10)
    exact = np.mean((made["size"].numpy().astype(np.float64) - number) ** 2)
    np.testing.assert_allclose(found["size_loss"], exact, rtol=1e-5)
    np.testing.assert_allclose(found["loss"], found["kind_loss"] + 0.25 * found["size_loss"], rtol=1e-6)
    assert found["kind_accuracy"] == (made["kind"].numpy().argmax(1) == Y).mean()
    assert [part.shape for part in by_place.predict((X[:1], shift[:1]))] == [(1, CLASSES), (1, 1)]


# --- Weights


LOSSES = {
    "cross_entropy": ("classes", CLASSES),
    "multi_margin": ("classes", CLASSES),
    "bce_with_logits": ("truths", 1),
    "mse": ("numbers", 2),
    "l1": ("numbers", 2),
    "smooth_l1": ("numbers", 2),
    "huber": ("numbers", 1),
    "poisson_nll": ("truths", 1),
    "soft_margin": ("signs", 1),
}


def targets_of(kind, size):
    random = np.random.default_rng(3)
    if kind == "classes":
        return Y
    if kind == "numbers":
        return random.standard_normal((ROWS, size)).astype(np.float32)
    truths = random.integers(0, 2, (ROWS, size))
    return truths if kind == "truths" else 2.0 * truths - 1


@pytest.mark.parametrize("name", LOSSES)
def test_a_sample_of_weight_two_counts_twice(name):
    kind, size = LOSSES[name]
    y, weight = targets_of(kind, size), np.random.default_rng(4).integers(0, 3, ROWS)
    model = compiled("sgd", name, module=nn.Linear(SIZE, size))
    twice = np.repeat(np.arange(ROWS), weight)
    plain, weighted = model.evaluate(X[twice], y[twice]), model.evaluate(X, y, sample_weight=weight)
    np.testing.assert_allclose(weighted["loss"], plain["loss"], rtol=1e-5)
    start = model.module.weight.detach().numpy().copy()
    model.train_on_batch(X, y, sample_weight=weight)
    moved = model.module.weight.detach().numpy() - start
    with dnn.no_grad():
        model.module.weight.copy_(dnn.from_numpy(start))
    model.train_on_batch(X[twice], y[twice])
    np.testing.assert_allclose(moved, model.module.weight.detach().numpy() - start, rtol=1e-3, atol=1e-7)
    assert np.abs(moved).max() > 1e-6


def test_weights_in_training_are_captured_and_reach_the_metrics():
    weight = np.where(Y == 0, 0.0, 1.0)
    model = fitted(sample_weight=weight, epochs=3, model=compiled(metrics=["accuracy"]))
    (found,) = model._compiled._steps.values()
    assert (found.step.reason, len(found.step.plans)) == (None, 2)
    kept = Y != 0
    expected = model.evaluate(X[kept], Y[kept])
    assert model.evaluate(X, Y, sample_weight=weight) == pytest.approx(expected, rel=1e-5)


def test_class_weight_is_the_weight_of_the_loss():
    weights = {0: 3.0, 2: 0.5}
    module = network()
    loss_of = nn.CrossEntropyLoss(dnn.tensor([3.0, 1.0, 0.5]))
    losses = by_hand(module, dnn.optim.SGD(module.parameters()), X, Y, 1, ROWS, False, loss_of)
    model = compiled("sgd")
    history = model.fit(X, Y, batch_size=ROWS, shuffle=False, class_weight=weights, verbose=0)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-6)
    for mine, other in zip(model.module.parameters(), module.parameters(), strict=True):
        np.testing.assert_allclose(mine.detach().numpy(), other.detach().numpy(), rtol=1e-5, atol=1e-7)


def test_balanced_classes():
    utils = pytest.importorskip("sklearn.utils.class_weight", reason="the oracle")
    y = np.repeat([0, 1, 2], [30, 20, 3])
    weights = dict(enumerate(utils.compute_class_weight("balanced", classes=np.arange(3), y=y)))
    one, other = (compiled(module=network(0.0)) for _ in range(2))
    first = one.fit(X, y, class_weight="balanced", verbose=0).history["loss"]
    assert first == pytest.approx(other.fit(X, y, class_weight=weights, verbose=0).history["loss"])


@pytest.mark.parametrize("flat", [True, False])
def test_weights_of_two_classes(flat):
    truths = (Y == 2) if flat else (Y == 2)[:, None]
    settings = {"loss": "bce_with_logits", "metrics": ["accuracy"]}

    def module():
        dnn.manual_seed(2)
        return nn.Sequential(nn.Linear(SIZE, 1), nn.Flatten(0) if flat else nn.Identity())

    model, other = (compiled(module=module(), **settings) for _ in range(2))
    found = model.fit(X, truths, class_weight={1: 10.0}, batch_size=ROWS, verbose=0).history
    weight = np.where(Y == 2, 10.0, 1.0)
    expected = other.fit(X, truths, sample_weight=weight, batch_size=ROWS, verbose=0).history
    assert found["loss"] == pytest.approx(expected["loss"])
    assert found["accuracy"] != expected["accuracy"]  # metrics do not see the weights of classes
    assert fitted([*Batches()], None, class_weight={0: 2.0}).history.history["loss"] == pytest.approx(
        fitted(shuffle=False, class_weight={0: 2.0}).history.history["loss"]
    )


def test_ignored_targets_have_no_weight():
    y = np.where(np.arange(ROWS) % 3 == 0, -100, Y)
    model = compiled()
    kept = y != -100
    expected = model.evaluate(X[kept], Y[kept])["loss"]
    for batch in (model.train_on_batch, model.test_on_batch):
        model.module.load_state_dict(network().state_dict())
        model.module[2].p = 0.0
        assert batch(X, y, sample_weight=np.ones(ROWS))["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_weight_of_zero_for_a_whole_batch_changes_nothing_by_nan():
    model = fitted(sample_weight=np.r_[np.zeros(16), np.ones(ROWS - 16)], shuffle=False)
    assert np.isfinite(model.history.history["loss"]).all()
    assert all(np.isfinite(p.detach().numpy()).all() for p in model.module.parameters())


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
        fitted(epochs=4, callbacks=Disturb(1, value=float("nan")))
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


def test_threads_predict_at_once():
    model = dnn.Model(network())
    model.module.eval()
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


# --- What is refused


MSE = {"loss": "mse", "module": nn.Linear(SIZE, 1)}
ERRORS = [
    (lambda: dnn.Model(3), TypeError, "Model: expected a module, got int"),
    (lambda: dnn.Model(nn.Linear), TypeError, "write Linear()"),
    (lambda: dnn.Model(network()).fit(X, Y), RuntimeError, "fit: call compile(optimizer, loss) first"),
    (lambda: dnn.Model(network()).evaluate(X, Y), RuntimeError, "evaluate: call compile"),
    (lambda: dnn.Model(network()).compile(), TypeError, "compile: expected a loss, such as 'cross_entropy'"),
    (lambda: compiled(loss="crossentropy"), ValueError, "compile: expected loss to be one of bce, "),
    (lambda: compiled(loss=nn.MSELoss), TypeError, "write MSELoss()"),
    (lambda: compiled(loss=3), TypeError, "compile: expected loss to be a name, a module or a function, got int"),
    (lambda: compiled("adamm"), ValueError, "compile: expected optimizer to be one of adadelta, "),
    (lambda: compiled(dnn.optim.Adam), TypeError, "write Adam(module.parameters())"),
    (lambda: compiled(3), TypeError, "compile: expected an optimizer of dnncore.optim or its name, got int"),
    (lambda: compiled(dnn.optim.SGD(nn.Linear(2, 2).parameters())), ValueError, "holds no parameter of the module"),
    (lambda: compiled(clip_norm=0), ValueError, "compile: expected clip_norm above 0, got 0"),
    (lambda: compiled(loss_weights=(1, 2)), TypeError, "give a tuple or dict of losses too"),
    (lambda: compiled(loss=("mse", "l1"), loss_weights=(1,)), ValueError, "expected loss_weights for 2 outputs, got 1"),
    (lambda: compiled(loss={"a": "mse"}, metrics={"b": ["mae"]}), ValueError, "unknown outputs ['b']"),
    (lambda: compiled(loss=("mse", "l1")).fit(X, (Y, Y)), ValueError, "expected the output for 2 losses, got a tensor"),
    (lambda: compiled(module=TwoHeads()).fit(X, Y), ValueError, "one tensor for one loss, got 2; give a loss per output"),
    (lambda: fitted(X, Y[:-1]), ValueError, "fit: expected one number of samples, got 53 in x, 52 in y"),
    (lambda: fitted(X[:0], Y[:0]), ValueError, "fit: expected at least one sample"),
    (lambda: fitted(X, None), ValueError, "fit: expected targets"),
    (lambda: fitted(np.float32(3), Y), ValueError, "of shape (N, ...), got a single number"),
    (lambda: fitted([X, X], Y), TypeError, "fit: x is a list of arrays; pass a tuple"),
    (lambda: fitted(np.array(["a"] * ROWS), Y), TypeError, "fit: x cannot become a tensor"),
    (lambda: fitted(Batches(), Y), ValueError, "fit: y goes with arrays; a Batches brings batches"),
    (lambda: fitted(iter(Batches()), None), ValueError, "several epochs of an iterator need steps_per_epoch"),
    (lambda: fitted(iter(Batches()), None, steps_per_epoch=4), ValueError, "no batches are left for epoch 2"),
    (lambda: fitted(iter([]), None, epochs=1), ValueError, "fit: expected batches of (x, y), got none"),
    (lambda: fitted(steps_per_epoch=2), ValueError, "fit: steps_per_epoch is for data that comes in batches"),
    (lambda: fitted(TensorDataset(X, Y, Y, Y), None), ValueError, "TensorDataset of (x, y) or (x, y, sample_weight), got 4"),
    (lambda: fitted([(X, Y, Y, Y)], None), ValueError, "batches of (x, y) or (x, y, sample_weight), got one of 4 parts"),
    (lambda: fitted(3, None), TypeError, "fit: expected arrays, a data set, a DataLoader or an iterator"),
    (lambda: fitted(batch_size=0), ValueError, "fit: expected batch_size of at least 1, got 0"),
    (lambda: fitted(epochs=-1), ValueError, "fit: expected epochs to be a whole number"),
    (lambda: fitted(epochs=1.5), ValueError, "fit: expected epochs to be a whole number of at least 0, got 1.5"),
    (lambda: fitted(verbose=3), ValueError, "fit: expected verbose to be 'auto', 0, 1 or 2, got 3"),
    (lambda: fitted(validation_split=1.5), ValueError, "validation_split above 0 and below 1, got 1.5"),
    (lambda: fitted(validation_split=0.1, split="first"), ValueError, "fit: expected split 'shuffled' or 'last'"),
    (lambda: fitted(validation_split=0.1, validation_data=(VX, VY)), ValueError, "got both"),
    (lambda: fitted(Batches(), None, validation_split=0.1), ValueError, "validation_split needs arrays"),
    (lambda: fitted(validation_data=(X,)), ValueError, "validation_data to be (x, y) or (x, y, sample_weight), got 1"),
    (lambda: fitted(validation_data=iter(Batches())), ValueError, "walked through in each epoch, got an iterator"),
    (lambda: fitted(validation_data=(X, Y[:-1])), ValueError, "got 53 in x, 52 in y"),
    (lambda: fitted(sample_weight=np.ones(3)), ValueError, "sample_weight of shape (53,), one per sample, got (3,)"),
    (lambda: fitted(sample_weight=-np.ones(ROWS)), ValueError, "finite numbers of at least 0"),
    (lambda: fitted(sample_weight=np.ones((ROWS, 1))), ValueError, "sample_weight of shape (N,)"),
    (lambda: fitted(class_weight={3: 1.0}), ValueError, "classes from 0 to 2, got 3"),
    (lambda: fitted(class_weight={0: -1.0}), ValueError, "weight of at least 0 for class 0"),
    (lambda: fitted(class_weight="even"), ValueError, "a dict or 'balanced', got 'even'"),
    (lambda: fitted(class_weight=[1, 2, 3]), TypeError, "a dict or 'balanced', got list"),
    (lambda: fitted(Batches(), None, class_weight="balanced"), ValueError, "needs targets in memory"),
    (lambda: fitted(X, X[:, :1], class_weight={0: 1}, model=compiled(**MSE)), ValueError, "needs class numbers as targets"),
    (lambda: fitted(X, Y.astype(np.float32), model=compiled(**MSE)), ValueError, "fix: y = y.unsqueeze(1)"),
    (
        lambda: fitted(sample_weight=np.ones(ROWS), model=compiled(loss=lambda o, t: F.cross_entropy(o, t))),
        ValueError,
        "weights of samples need a loss with a value per sample",
    ),
    (lambda: fitted(model=compiled(loss=nn.CrossEntropyLoss(reduction="none"))), ValueError, "use reduction='mean'"),
    (lambda: fitted(callbacks=[3]), TypeError, "fit: expected callbacks to be callbacks, got int"),
    (lambda: fitted(callbacks=[EarlyStopping]), TypeError, "write EarlyStopping()"),
    (lambda: fitted(callbacks=EarlyStopping()), ValueError, "got 'val_loss'; pass validation_data or validation_split"),
    (lambda: fitted(model=compiled(metrics=["accuracy", "accuracy"])), ValueError, "two metrics are called 'accuracy'"),
    (lambda: fitted(model=compiled(metrics=["mse"])), ValueError, "the task is multiclass"),
    (lambda: compiled().predict(X[:, :3]), ValueError, "linear: expected input of shape (..., 6)"),
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_wrong_use_says_what_and_how(number):
    call, kind, message = ERRORS[number]
    with pytest.raises(kind, match=re.escape(message)):
        call()
