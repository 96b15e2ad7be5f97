"""What `Model.save` keeps of compile and fit; copies and pickles of models."""

import copy
import pickle
import subprocess
import sys

import dnncore as dnn
import numpy as np
import pytest
from dnncore import nn, optim
from dnncore.model import archive
from model_cases import CLASSES, SIZE, bits, compiled, data, network

X, Y = data()


def again(model, tmp_path):
    model.save(tmp_path / "model")
    return dnn.Model.load(tmp_path / "model")


def sgd(module):
    return optim.SGD(module.parameters(), lr=0.1, momentum=0.9, nesterov=True)


SETTINGS = [  # optimizer, loss, other settings
    ("adam", "cross_entropy", {"metrics": ["accuracy", "f1"], "clip_norm": 1.0}),
    (sgd, nn.CrossEntropyLoss(label_smoothing=0.1, ignore_index=-1), {"clip_value": 0.1}),
    (lambda module: optim.AdamW(module.parameters(), betas=(0.8, 0.9)), nn.HuberLoss(delta=2.0), {"metrics": "mae"}),
    ("rmsprop", ("mse", nn.L1Loss()), {"loss_weights": (1.0, 0.5), "metrics": (["mae"], [])}),
    ("sgd", {"a": "mse", "b": "l1"}, {"loss_weights": {"a": 1.0, "b": 2.0}, "metrics": {"b": ["mae"]}}),
]


@pytest.mark.parametrize("number", range(len(SETTINGS)))
def test_settings_come_back(number, tmp_path):
    optimizer, loss, settings = SETTINGS[number]
    module = network()
    model = compiled(optimizer if isinstance(optimizer, str) else optimizer(module), loss, module=module, **settings)
    found = again(model, tmp_path)
    assert type(found.optimizer) is type(model.optimizer)
    mine, other = (
        {k: v for k, v in m.optimizer.param_groups[0].items() if k not in ("params", "param_names")} for m in (model, found)
    )
    assert mine == other
    for own, its in zip(model._compiled.objective.outputs, found._compiled.objective.outputs, strict=True):
        assert (own.name, own.share, own.metrics, type(own.loss.function)) == (
            its.name,
            its.share,
            its.metrics,
            type(its.loss.function),
        )
        for setting in ("reduction", "label_smoothing", "ignore_index", "delta"):
            assert getattr(own.loss.function, setting, None) == getattr(its.loss.function, setting, None)
    assert found._compiled._clip == model._compiled._clip


def test_history_and_order_go_on(tmp_path):
    model = compiled("sgd")
    model.fit(X, Y, epochs=2, verbose=0)
    found = again(model, tmp_path)
    assert found.history.to_dict() == model.history.to_dict()
    state = dnn.default_generator.get_state()  # of the dropout
    found.fit(X, Y, epochs=4, initial_epoch=2, verbose=0)
    dnn.default_generator.set_state(state)
    model.fit(X, Y, epochs=4, initial_epoch=2, verbose=0)
    assert bits(found.module) == bits(model.module)


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": lambda output, target: nn.functional.cross_entropy(output, target)},
        {"loss": nn.CrossEntropyLoss(dnn.ones(CLASSES))},
        {"metrics": [lambda output, target: 1.0]},
    ],
    ids=["function", "weights", "metric"],
)
def test_what_cannot_be_written_asks_for_compile(settings, tmp_path):
    model = compiled(**settings)
    model.fit(X, Y, verbose=0)
    found = again(model, tmp_path)
    assert found.history.history.keys() == model.history.history.keys()
    np.testing.assert_array_equal(found.predict(X).numpy(), model.predict(X).numpy())
    with pytest.raises(RuntimeError, match="evaluate: call compile"):
        found.evaluate(X, Y)


def test_a_model_that_was_not_compiled(tmp_path):
    model = dnn.Model(network())
    assert bits(again(model, tmp_path).module) == bits(model.module)


@pytest.mark.parametrize(
    "damage", [{"compile": {"loss": "mse"}}, {"compile": 3}, {"history": {"epoch": 1}}, {"compile": {"loss": {"name": "os"}}}]
)
def test_settings_that_make_no_sense(damage, tmp_path):
    archive.write(tmp_path / "model", network(), damage)
    with pytest.raises(ValueError, match=r"Model\.load: the saved settings cannot be used"):
        dnn.Model.load(tmp_path / "model")


def test_another_process_predicts_the_same_bits(tmp_path):
    model = compiled(metrics=["accuracy"])
    model.fit(X, Y, epochs=3, verbose=0)
    model.save(tmp_path / "model")
    np.save(tmp_path / "x.npy", X)
    code = """
import sys, numpy as np, dnncore as dnn
model = dnn.Model.load(sys.argv[1] + "/model")
np.save(sys.argv[1] + "/found.npy", model.predict(np.load(sys.argv[1] + "/x.npy")).numpy())
"""
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)
    assert np.load(tmp_path / "found.npy").tobytes() == model.predict(X).numpy().tobytes()


@pytest.mark.parametrize("way", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"])
def test_copies_are_independent_and_go_on(way):
    model = compiled(metrics=["accuracy"])
    model.fit(X, Y, verbose=0)
    model.predict(X)
    other = way(model)
    before = bits(model.module)
    assert bits(other.module) == before
    state = dnn.default_generator.get_state()
    other.fit(X, Y, epochs=2, initial_epoch=1, verbose=0)
    assert bits(model.module) == before
    dnn.default_generator.set_state(state)
    model.fit(X, Y, epochs=2, initial_epoch=1, verbose=0)
    assert bits(other.module) == bits(model.module) != before
    assert other.evaluate(X, Y) == model.evaluate(X, Y)


def test_summary():
    assert f"{SIZE * 8 + 8}" in str(dnn.Model(network()).summary(input_shape=(1, SIZE)))
