"""From names, scikit-learn's scorers and functions to metrics."""

from __future__ import annotations

import math
import sys
from functools import partial

import dnncore as dnn
import numpy as np
import pytest
from dnncore import metrics
from metric_cases import CLOSE, EACH, NAN, Case

sk = pytest.importorskip("sklearn.metrics", reason="scikit-learn (extra sklearn) is the oracle")


@pytest.mark.parametrize(
    ("spec", "task", "shown"),
    [
        ("accuracy", "multiclass", "Accuracy(task='multiclass')"),
        ("acc", "binary", "Accuracy(task='binary', name='acc')"),
        ("exact_match", "multilabel", "Accuracy(exact_match=True, task='multilabel', name='exact_match')"),
        ("top_5_accuracy", "multiclass", "TopKAccuracy(task='multiclass')"),
        ("top3", "multiclass", "TopKAccuracy(k=3, task='multiclass', name='top3')"),
        ("f1", "binary", "F1Score(task='binary')"),
        ("f1", "multilabel", "F1Score(average='macro', task='multilabel')"),
        ("precision_micro", "multiclass", "Precision(average='micro', task='multiclass', name='precision_micro')"),
        ("AUC", "binary", "ROCAUC(task='binary', name='AUC')"),
        (
            "roc_auc_ovo_weighted",
            "multiclass",
            "ROCAUC(multi_class='ovo', average='weighted', task='multiclass', name='roc_auc_ovo_weighted')",
        ),
        ("confusion_matrix", "binary", "ConfusionMatrix(task='binary')"),
        ("mean_absolute_error", "regression", "MeanAbsoluteError(task='regression', name='mean_absolute_error')"),
        ("MSE", "regression", "MeanSquaredError(task='regression', name='MSE')"),
        ("rmse", "regression", "RootMeanSquaredError(task='regression')"),
        ("r2", "regression", "R2Score(task='regression')"),
    ],
)
def test_names(spec, task, shown):
    metric = metrics.resolve(spec, task)
    assert (repr(metric), metric.name, metric.task) == (shown, spec, task)


def test_direction():
    better = {name: metrics.resolve(name, task).higher_is_better for task, name in EACH}
    assert [name for name, high in better.items() if high is None] == ["confusion_matrix"]
    assert [name for name, high in better.items() if high is False] == ["mae", "mse", "rmse"]


@pytest.mark.parametrize(
    ("spec", "task", "error", "message"),
    [
        (
            "accuracy",
            "regression",
            ValueError,
            "accuracy: fits binary, .*the task is regression; use 'mae', 'mse', 'rmse' or 'r2'",
        ),
        ("mse", "multiclass", ValueError, "mse: fits regression, the task is multiclass; use 'accuracy', 'top_5_accuracy'"),
        ("top_5_accuracy", "binary", ValueError, "top_5_accuracy: fits multiclass, the task is binary; use 'accuracy'"),
        ("acuracy", "binary", ValueError, "unknown metric 'acuracy'; did you mean 'accuracy'"),
        ("?", "regression", ValueError, r"unknown metric '\?'; regression has 'mae', 'mse', 'rmse' or 'r2'"),
        ("accuracy", "ranking", ValueError, "resolve: expected task 'binary', 'multiclass', .* got 'ranking'"),
        (metrics.F1Score, "binary", TypeError, r"got <class .*; give an instance, F1Score\(\)"),
        (3, "binary", TypeError, "resolve: expected a name, a Metric, a scikit-learn scorer or a callable, got 3"),
        (metrics.R2Score(), "binary", ValueError, "r2: fits regression, the task is binary"),
        (metrics.Accuracy(task="binary"), "multilabel", ValueError, "accuracy: its task is binary, here it is multilabel"),
        ("sklearn:nonsense", "binary", ValueError, "sklearn:nonsense: expected a scorer of scikit-learn: accuracy"),
        ("sklearn:r2", "binary", ValueError, "sklearn:r2: fits regression, the task is binary"),
        ("sklearn:f1", "multiclass", ValueError, "sklearn:f1: average='binary' is for two classes.*average='macro'"),
        (sk.f1_score, "multilabel", ValueError, "f1_score: average='binary' is for two classes"),
        (
            sk.roc_auc_score,
            "regression",
            ValueError,
            "roc_auc_score: fits binary, multiclass, multilabel, the task is regression",
        ),
    ],
)
def test_what_does_not_fit_is_refused(spec, task, error, message):
    with pytest.raises(error, match=message):
        metrics.resolve(spec, task)


def test_resolve_gives_a_metric_its_task():
    metric = metrics.F1Score(average="macro")
    assert metrics.resolve(metric, "multiclass") is metric
    assert metric.task == "multiclass"


SCORERS = [
    ("sklearn:accuracy", "multiclass", lambda c: sk.accuracy_score(c.target, c.predicted, sample_weight=c.weight)),
    ("sklearn:f1_macro", "multiclass", lambda c: sk.f1_score(c.target, c.predicted, average="macro", sample_weight=c.weight)),
    ("sklearn:f1", "binary", lambda c: sk.f1_score(c.target, c.predicted, sample_weight=c.weight)),
    ("sklearn:f1_micro", "multilabel", lambda c: sk.f1_score(c.target, c.predicted, average="micro", sample_weight=c.weight)),
    ("sklearn:roc_auc", "binary", lambda c: sk.roc_auc_score(c.target, c.output, sample_weight=c.weight)),
    ("sklearn:roc_auc", "multilabel", lambda c: sk.roc_auc_score(c.target, c.output, sample_weight=c.weight)),
    ("sklearn:neg_log_loss", "multiclass", lambda c: -sk.log_loss(c.target, c.probability, sample_weight=c.weight)),
    (
        "sklearn:neg_mean_squared_error",
        "regression",
        lambda c: -sk.mean_squared_error(c.target, c.output, sample_weight=c.weight),
    ),
    (
        sk.balanced_accuracy_score,
        "multiclass",
        lambda c: sk.balanced_accuracy_score(c.target, c.predicted, sample_weight=c.weight),
    ),
    (sk.cohen_kappa_score, "binary", lambda c: sk.cohen_kappa_score(c.target, c.predicted, sample_weight=c.weight)),
    (sk.log_loss, "binary", lambda c: sk.log_loss(c.target, c.probability, sample_weight=c.weight)),
    (sk.brier_score_loss, "binary", lambda c: sk.brier_score_loss(c.target, c.probability, sample_weight=c.weight)),
    (sk.hinge_loss, "binary", lambda c: sk.hinge_loss(c.target, c.output, sample_weight=c.weight)),
    (sk.hinge_loss, "multiclass", lambda c: sk.hinge_loss(c.target, c.output, sample_weight=c.weight)),
    (sk.average_precision_score, "multilabel", lambda c: sk.average_precision_score(c.target, c.output, sample_weight=c.weight)),
    (
        partial(sk.roc_auc_score, multi_class="ovr"),
        "multiclass",
        lambda c: sk.roc_auc_score(c.target, c.probability, multi_class="ovr", sample_weight=c.weight),
    ),
    (
        sk.make_scorer(sk.fbeta_score, beta=2, average="weighted"),
        "multiclass",
        lambda c: sk.fbeta_score(c.target, c.predicted, beta=2, average="weighted", sample_weight=c.weight),
    ),
    (
        sk.make_scorer(sk.mean_absolute_error, greater_is_better=False),
        "regression",
        lambda c: -sk.mean_absolute_error(c.target, c.output, sample_weight=c.weight),
    ),
    (sk.median_absolute_error, "regression", lambda c: sk.median_absolute_error(c.target, c.output, sample_weight=c.weight)),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("spec", "task", "expected"), SCORERS)
def test_scikit_learn(spec, task, expected, weighted):
    case = Case(task, seed=5, cuts=[7, 7, 30], weighted=weighted, rows=40, width=3)
    if task == "multiclass":
        case.target = np.arange(40) % 3
    case.output = np.random.default_rng(6).standard_normal(case.output.shape)
    metric = metrics.resolve(spec, task)
    assert case.stream(metric) == pytest.approx(expected(case), **CLOSE)
    metric.reset()
    assert math.isnan(metric.compute())


def test_scikit_learn_of_two_classes():
    output, target = np.random.default_rng(0).standard_normal((20, 2)), np.arange(20) % 2
    positive = np.exp(output[:, 1]) / np.exp(output).sum(1)
    for spec, expected in [
        (sk.log_loss, sk.log_loss(target, positive)),
        ("sklearn:roc_auc", sk.roc_auc_score(target, positive)),
        ("sklearn:f1_macro", sk.f1_score(target, positive > 0.5, average="macro")),
    ]:
        metric = metrics.resolve(spec, "multiclass")
        metric.update(dnn.tensor(output), dnn.tensor(target))
        assert metric.compute() == pytest.approx(expected, **CLOSE)


def test_scikit_learn_with_probabilities():
    probability, target = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]]), np.array([0, 2, 1])
    metric = metrics.resolve("sklearn:neg_log_loss", "multiclass", from_logits=False)
    metric.update(dnn.tensor(probability), dnn.tensor(target))
    assert metric.compute() == pytest.approx(-sk.log_loss(target, probability), **CLOSE)
    metric = metrics.resolve(sk.f1_score, "binary", from_logits=False)
    metric.update(dnn.tensor([0.6, 0.4, 0.7]), dnn.tensor([1, 1, 0]))
    assert metric.compute() == sk.f1_score([1, 1, 0], [1, 0, 1])


def test_scikit_learn_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(ImportError, match=r"sklearn:f1: needs sklearn, .*pip install 'dnncore\[sklearn\]'"):
        metrics.resolve("sklearn:f1", "binary")


def test_scikit_learn_names_and_directions():
    for spec, name, better in [
        ("sklearn:neg_log_loss", "sklearn:neg_log_loss", True),
        (sk.log_loss, "log_loss", False),
        (sk.mean_squared_error, "mean_squared_error", False),
        (partial(sk.f1_score, average="macro"), "f1_score", True),
        (sk.matthews_corrcoef, "matthews_corrcoef", None),
    ]:
        metric = metrics.resolve(spec, "regression" if spec is sk.mean_squared_error else "multiclass")
        assert (metric.name, metric.higher_is_better) == (name, better)


def test_scikit_learn_misfits():
    with pytest.raises(ValueError, match="max_error: scikit-learn's max_error takes no sample_weight"):
        metrics.resolve(sk.max_error, "regression").update(dnn.zeros(2), dnn.zeros(2), dnn.ones(2))
    metric = metrics.resolve(sk.classification_report, "binary")
    metric.update(dnn.tensor([1.0, -1.0]), dnn.tensor([1, 0]))
    with pytest.raises(TypeError, match="classification_report: expected scikit-learn to return one number, got str"):
        metric.compute()
    metric = metrics.resolve(sk.f1_score, "binary")
    metric.update(dnn.tensor([NAN, 1.0]), dnn.tensor([0, 1]))
    assert math.isnan(metric.compute())


def test_functions_are_averaged_by_samples():
    def error(output, target):
        return (output - target).abs().mean()

    metric, mae = metrics.resolve(error, "regression"), metrics.MeanAbsoluteError()
    assert (metric.name, metric.higher_is_better) == ("error", None)
    for rows in (3, 5, 1):
        data = dnn.randn(rows), dnn.randn(rows)
        metric.update(*data)
        mae.update(*data)
    assert metric.compute() == pytest.approx(mae.compute(), rel=1e-6)  # the function's means are float32
    metric.reset()
    metric.update(dnn.ones(2), dnn.zeros(2), dnn.tensor([1.0, 2.0]))
    metric.update(dnn.ones(1) * 5, dnn.zeros(1), dnn.tensor([1.0]))
    assert metric.compute() == 2.0
    loss = metrics.resolve(dnn.nn.MSELoss(), "regression")
    loss.update(dnn.ones(2), dnn.zeros(2))
    assert (loss.name, loss.compute()) == ("MSELoss", 1.0)
    assert metrics.resolve(partial(error), "regression").name == "error"
    with pytest.raises(TypeError, match="<lambda>: expected the function to return a number, got str"):
        metrics.resolve(lambda output, target: "1", "regression").update(dnn.ones(2), dnn.ones(2))


def test_a_metric_must_be_whole():
    class Half(metrics.Metric):
        name = "half"

    for call in (lambda m: m.reset(), lambda m: m.compute(), lambda m: m.update(dnn.zeros(1), dnn.zeros(1))):
        with pytest.raises(NotImplementedError, match=r"Half: (reset|update|compute)\(\) is missing"):
            call(Half())
