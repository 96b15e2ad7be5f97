"""Model: every kind of data, weights of samples and classes, what is refused and how."""

import functools
import itertools
import re
from typing import NamedTuple

import dnncore as dnn
import numpy as np
import pytest
from dnncore import nn
from dnncore.callbacks import EarlyStopping
from dnncore.data import DataLoader, Subset, TensorDataset
from dnncore.model.diagnostics import Diagnosis
from dnncore.nn import functional as F
from model_cases import CLASSES, ROWS, SIZE, VX, VY, Batches, TwoHeads, X, Y, bits, by_hand, compiled, fitted, network

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


def test_a_named_tuple_of_outputs():
    class Pair(NamedTuple):
        kind: object
        size: object

    class Named(TwoHeads):
        def forward(self, x):
            return Pair(*super().forward(x))

    model = compiled(loss=("cross_entropy", "mse"), module=Named())
    model.fit(X, (Y, VX[:, :1]), verbose=0)
    made = model.predict(X, batch_size=20)
    assert type(made) is Pair
    assert (made.kind.shape, made.size.shape) == ((ROWS, CLASSES), (ROWS, 1))


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


WEIGHTED = {
    "classes": nn.CrossEntropyLoss(dnn.tensor([1.0, 3.0, 0.5])),
    "smoothed": nn.CrossEntropyLoss(dnn.tensor([1.0, 3.0, 0.5]), label_smoothing=0.2),
    "function": functools.partial(F.cross_entropy, weight=dnn.tensor([1.0, 3.0, 0.5])),
    "sum": nn.CrossEntropyLoss(reduction="sum"),
    "margin": nn.MultiMarginLoss(weight=dnn.tensor([1.0, 3.0, 0.5])),
}


@pytest.mark.parametrize("name", WEIGHTED)
def test_weights_of_one_change_nothing(name):
    model = compiled(loss=WEIGHTED[name])
    for y in (Y, np.where(np.arange(ROWS) % 4 == 0, -100, Y)) if name != "margin" else (Y,):
        expected = model.test_on_batch(X, y)["loss"]
        assert model.test_on_batch(X, y, sample_weight=np.ones(ROWS))["loss"] == pytest.approx(expected, rel=1e-5)


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


# --- What is refused


MSE = {"loss": "mse", "module": nn.Linear(SIZE, 1)}
ERRORS = [
    (lambda: dnn.Model(3), TypeError, "Model: expected a module of dnncore.nn, got int"),
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
    (lambda: fitted(X, np.array(["a"] * ROWS)), TypeError, "names of classes become numbers by numpy.unique"),
    (lambda: fitted(Batches(), Y), ValueError, "fit: y goes with arrays; a Batches brings batches"),
    (lambda: fitted(iter(Batches()), None), ValueError, "several epochs of an iterator need steps_per_epoch"),
    (lambda: fitted(iter(Batches()), None, steps_per_epoch=4), ValueError, "no batches are left for epoch 2"),
    (lambda: fitted(iter([]), None, epochs=1), ValueError, "fit: expected batches of (x, y), got none"),
    (lambda: fitted(steps_per_epoch=2), ValueError, "fit: steps_per_epoch is for data that comes in batches"),
    (lambda: fitted(TensorDataset(X, Y, Y, Y), None), ValueError, "TensorDataset of (x, y) or (x, y, sample_weight), got 4"),
    (lambda: fitted([(X, Y, Y, Y)], None), ValueError, "batches of (x, y) or (x, y, sample_weight), got one of 4 parts"),
    (lambda: fitted(3, None), TypeError, "fit: expected arrays, a data set, a DataLoader or an iterator"),
    (lambda: fitted(batch_size=0), ValueError, "fit: expected batch_size to be a whole number of at least 1, got 0"),
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
    (
        lambda: fitted(sample_weight=np.ones(3)),
        ValueError,
        "one per step of targets (N, T, ...), got (3,) for targets of shape (53,)",
    ),
    (lambda: fitted(sample_weight=-np.ones(ROWS)), ValueError, "finite numbers of at least 0"),
    (lambda: fitted(sample_weight=np.ones((ROWS, 1))), ValueError, "sample_weight of shape (53,), one per sample, or (N, T)"),
    (lambda: fitted(class_weight={3: 1.0}), ValueError, "classes from 0 to 2, got 3"),
    (lambda: fitted(class_weight={0: -1.0}), ValueError, "weight of at least 0 for class 0"),
    (lambda: fitted(class_weight="even"), ValueError, "a dict or 'balanced', got 'even'"),
    (lambda: fitted(class_weight=[1, 2, 3]), TypeError, "a dict or 'balanced', got list"),
    (lambda: fitted(Batches(), None, class_weight="balanced"), ValueError, "needs targets in memory"),
    (lambda: fitted(X, X[:, :1], class_weight={0: 1}, model=compiled(**MSE)), ValueError, "needs class numbers as targets"),
    (lambda: fitted(X, Y.astype(np.float32), model=compiled(**MSE)), ValueError, "fix: y = dnn.as_tensor(y).reshape(-1, 1)"),
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
    (
        lambda: fitted(model=compiled(metrics=["mse"])),
        Diagnosis,
        "D601: the metric 'mse' is for regression",
    ),
    (lambda: fitted(X[:, :3]), Diagnosis, "D401: Linear '0' expects 6 features, the data gives 3 (shape (16, 3))"),
    (
        lambda: fitted(X[:, 0], X[:, 0], model=compiled(loss="mse", module=nn.Linear(1, 1))),
        Diagnosis,
        "fix: x = x.reshape(-1, 1)",
    ),
    (lambda: fitted(validation_data=(X[:, :3], Y)), ValueError, "fit, validation_data: linear: expected input of shape (..., 6)"),
    (lambda: fitted(validation_data=(VX, VY[:, None])), ValueError, "fit, validation_data: cross_entropy"),
    (lambda: fitted(validation_data=(VX, VY + 1)), Diagnosis, "D202: the class numbers of validation are 1 to 3, but"),
    (
        lambda: fitted(validation_data=[X, Y]),
        TypeError,
        "validation_data to be a tuple (x, y) or (x, y, sample_weight), got l",
    ),
    (lambda: fitted(validation_data=X), TypeError, "validation_data to be a tuple (x, y) or (x, y, sample_weight), got numpy."),
    (lambda: fitted(model=compiled(loss=lambda o, t: 0.5)), ValueError, "to return a tensor of one number, got float"),
    (lambda: fitted(model=compiled("optimizer")), ValueError, "compile: expected optimizer to be one of adadelta"),
    (lambda: compiled().predict(X[:, :3]), ValueError, "linear: expected input of shape (..., 6)"),
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_wrong_use_says_what_and_how(number):
    call, kind, message = ERRORS[number]
    with pytest.raises(kind, match=re.escape(message)):
        call()


def test_whole_numbers_of_numpy_count_epochs_and_samples():
    model = fitted(epochs=np.int64(2), batch_size=np.int32(8))
    assert len(model.history.epoch) == 2
    assert model.history.params == {"epochs": 2, "steps": 7, "batch_size": 8, "samples": ROWS}
    assert {type(value) for value in model.history.params.values()} == {int}


class Codes(nn.Module):
    """Takes whole numbers only, once it works."""

    def __init__(self):
        super().__init__()
        self.layer, self.broken = nn.Linear(SIZE, CLASSES), True

    def forward(self, x):
        if self.broken:
            raise TypeError("a mistake of the user")
        assert not x.is_floating_point()
        return self.layer(x.float())


def test_a_network_that_failed_on_whole_numbers_still_gets_them():
    model, whole = compiled(module=Codes()), (X * 3).astype(np.int64)
    with pytest.raises(TypeError, match="a mistake of the user"):
        model.fit(whole, Y, verbose=0)
    model.module.broken = False
    assert model.fit(whole, Y, verbose=0).epoch == [0]


def test_a_look_at_validation_draws_no_random_numbers():
    class Noisy(nn.Linear):
        def forward(self, x):
            return super().forward(x) + 0 * dnn.randn(1)

    def after(**settings):
        model = compiled(module=Noisy(SIZE, CLASSES))
        dnn.manual_seed(1)
        model.fit(X, Y, epochs=0, verbose=0, **settings)
        return dnn.default_generator.get_state().tolist()

    assert after(validation_data=(VX, VY)) == after()


@pytest.mark.parametrize("name", ["accuracy", "f1", "roc_auc", "top_2_accuracy", "sklearn:accuracy"])
def test_metrics_by_name_leave_out_what_the_loss_leaves_out(name):
    left_out = np.arange(ROWS) % 4 == 0
    y = np.where(left_out, -1, Y)
    model = compiled(loss=nn.CrossEntropyLoss(ignore_index=-1), metrics=[name])
    model.fit(X, y, verbose=0)
    assert model.evaluate(X, y) == pytest.approx(model.evaluate(X[~left_out], Y[~left_out]), rel=1e-6)


def test_the_network_of_a_model_is_not_exchanged():
    model = compiled()
    before = model.predict(X)
    with pytest.raises(AttributeError, match="module"):
        model.module = nn.Linear(SIZE, 1)
    assert model.predict(X).tolist() == before.tolist()


ARRAYS_OF = {
    "numpy": lambda x: x,
    "dnncore": dnn.tensor,
    "pandas": lambda x: (frame := pytest.importorskip("pandas")) and (frame.Series(x) if x.ndim == 1 else frame.DataFrame(x)),
    "torch": lambda x: pytest.importorskip("torch").from_numpy(x.copy()),
}


@pytest.mark.parametrize("kind", ARRAYS_OF)
@pytest.mark.parametrize("mistake", ["nan", "a column", "floats as classes", "classes from 1"])
def test_fixes_mend_arrays_of_any_library(kind, mistake):
    make, classes = ARRAYS_OF[kind], {}
    with_nan = X.copy()
    with_nan[3, 1] = np.nan
    x, y, settings = {
        "nan": (with_nan, Y, classes),
        "a column": (X, Y.astype(np.float32), {"loss": "mse", "module": nn.Linear(SIZE, 1)}),
        "floats as classes": (X, Y.astype(np.float32), classes),
        "classes from 1": (X, Y + 1, classes),
    }[mistake]
    names = {"x": make(x), "y": make(y), "dnn": dnn, "np": np}
    with pytest.raises(Diagnosis) as caught:
        fitted(names["x"], names["y"], model=compiled(**settings))
    exec(caught.value.fix, names)
    assert fitted(names["x"], names["y"], model=compiled(**settings)).history.epoch


def test_nan_in_validation_speaks_of_scores():
    with pytest.raises(Diagnosis, match=r"inputs of validation: the value in row 0, column 0 is nan.*makes every score nan"):
        fitted(validation_data=(VX * np.nan, VY))
