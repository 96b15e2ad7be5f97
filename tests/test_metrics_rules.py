"""What all metrics share: weights, nan, resets, captured steps, dtypes, ignored targets, refusals."""

from __future__ import annotations

import copy
import math
import pickle

import dnncore as dnn
import numpy as np
import pytest
from dnncore import metrics
from metric_cases import EACH, KEEP, NAMES, NAN, batch


@pytest.mark.parametrize(("task", "name"), EACH)
def test_zero_weight_is_absence_and_nan_is_seen(task, name):
    output, target = batch(task)
    alone, padded, spoilt = (metrics.resolve(name, task) for _ in range(3))
    alone.update(output, target)
    more, weight = dnn.cat([output, dnn.full_like(output, NAN)]), dnn.cat([dnn.ones(24), dnn.zeros(24)])
    padded.update(more, dnn.cat([target, target]), weight)
    np.testing.assert_allclose(padded.compute(), alone.compute(), rtol=1e-15)
    output[3] = NAN
    spoilt.update(output, target)
    spoilt.update(*batch(task))
    assert np.isnan(spoilt.compute()).any()


@pytest.mark.parametrize(("task", "name"), EACH)
def test_without_samples_and_after_reset(task, name):
    metric = metrics.resolve(name, task)
    output, target = batch(task)
    if name == "confusion_matrix":
        with pytest.raises(RuntimeError, match="confusion_matrix: the number of classes is known after the first update"):
            metric.compute()
    else:
        assert math.isnan(metric.compute())
    metric.update(*batch(task))
    metric.reset()
    if name != "confusion_matrix":
        assert name == "r2" or math.isnan(metric.compute())
    metric.update(output[:0], target[:0])
    metric.update(output, target)
    fresh = metrics.resolve(name, task)
    fresh.update(output, target)
    np.testing.assert_array_equal(metric.compute(), fresh.compute())
    np.testing.assert_array_equal(metric.compute(), fresh.compute())  # asking changes nothing


@pytest.mark.parametrize(("task", "name"), EACH)
def test_metrics_keep_no_graph_and_no_reference(task, name):
    output, target = batch(task)
    output = output.requires_grad_()
    metric, same = metrics.resolve(name, task), metrics.resolve(name, task)
    metric.update(output, target)
    same.update(output.detach().clone(), target.clone())
    with dnn.no_grad():
        output.fill_(7.0)
    target.fill_(1)
    np.testing.assert_array_equal(metric.compute(), same.compute())
    for twin in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        np.testing.assert_array_equal(twin.compute(), same.compute())


@pytest.mark.parametrize(("task", "name"), [(task, name) for task, name in EACH if name not in KEEP])
def test_a_captured_step_updates_metrics(task, name):
    metric, eager = metrics.resolve(name, task), metrics.resolve(name, task)
    step = dnn.capture(lambda output, target: metric.update(output, target))
    for _ in range(2):
        metric.reset()
        eager.reset()
        for _ in range(5):
            data = batch(task)
            step(*data)
            eager.update(*data)
        np.testing.assert_array_equal(metric.compute(), eager.compute())
    assert step.plans, step.reason


@pytest.mark.parametrize("dtype", [dnn.float16, dnn.bfloat16, dnn.float64])
@pytest.mark.parametrize(("task", "name"), EACH)
def test_floating_dtypes(task, name, dtype):
    output, target = batch(task)
    output = output.to(dtype)
    metric, single = metrics.resolve(name, task), metrics.resolve(name, task)
    metric.update(output, target)
    single.update(output.double(), target)
    np.testing.assert_array_equal(metric.compute(), single.compute())


@pytest.mark.parametrize("name", [name for name in NAMES["multiclass"] if name != "confusion_matrix"])
def test_ignored_classes_and_positions(name):
    output, target = dnn.randn(4, 3, 6), dnn.randint(0, 3, (4, 6))
    padded = target.clone()
    padded[1, 2:] = -100
    padded[3] = -100
    flat = output.movedim(1, -1).reshape(-1, 3)
    kept = (padded != -100).flatten()
    metric, oracle = metrics.resolve(name, "multiclass"), metrics.resolve(name, "multiclass")
    metric.update(output, padded)
    oracle.update(flat[kept], padded.flatten()[kept])
    assert metric.compute() == pytest.approx(oracle.compute(), rel=1e-15)
    weight = dnn.rand(4, 6)
    weighted, oracle = metrics.resolve(name, "multiclass"), metrics.resolve(name, "multiclass")
    weighted.update(output, padded, weight)
    oracle.update(flat[kept], padded.flatten()[kept], weight.flatten()[kept])
    assert weighted.compute() == pytest.approx(oracle.compute(), rel=1e-14)
    other = metrics.resolve(name, "multiclass")
    other.ignore_index = 255
    other.update(output, dnn.where(padded == -100, 255, padded))
    assert other.compute() == metric.compute()


@pytest.mark.parametrize("name", [name for name in NAMES["multiclass"] if name != "confusion_matrix"])
def test_class_probabilities_as_targets(name):
    output, target = batch("multiclass")
    soft, hard = metrics.resolve(name, "multiclass"), metrics.resolve(name, "multiclass")
    soft.update(output, dnn.one_hot(target, 3) * 0.8 + 0.2 / 3)
    hard.update(output, target)
    assert soft.compute() == hard.compute()


@pytest.mark.parametrize("threshold", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("from_logits", [True, False])
def test_threshold_is_a_probability(threshold, from_logits):
    probability = np.array([0.1, 0.3, 0.5, 0.6, 0.9])
    output = np.log(probability / (1 - probability)) if from_logits else probability
    metric = metrics.ConfusionMatrix(threshold=threshold, from_logits=from_logits)
    metric.update(dnn.tensor(output), dnn.ones(5))
    assert metric.compute()[1, 1] == (probability > threshold).sum()


def test_positions_of_a_mask_are_binary():
    output, target = dnn.randn(4, 1, 5, 6), (dnn.rand(4, 1, 5, 6) > 0.5)
    weight = dnn.tensor([1.0, 0.0, 2.0, 1.0])
    for name in NAMES["binary"]:
        masks, flat = metrics.resolve(name, "binary"), metrics.resolve(name, "binary")
        masks.update(output, target, weight)
        flat.update(output.flatten(), target.flatten(), weight.repeat_interleave(30))
        np.testing.assert_array_equal(masks.compute(), flat.compute())
    with pytest.raises(ValueError, match=r"accuracy: expected an output of shape \(N, K\) .*task='binary'"):
        metrics.Accuracy().update(output, target)


def test_weights_of_positions():
    output, target, weight = dnn.randn(4, 3, 6), dnn.randint(0, 3, (4, 6)), dnn.rand(4, 6)
    for name in NAMES["multiclass"]:
        dense, flat = metrics.resolve(name, "multiclass"), metrics.resolve(name, "multiclass")
        dense.update(output, target, weight)
        flat.update(output.movedim(1, -1).reshape(-1, 3), target.flatten(), weight.flatten())
        np.testing.assert_array_equal(dense.compute(), flat.compute())


def test_infinite_logits():
    output, target = dnn.tensor([[math.inf, 0.0], [-math.inf, 0.0], [1.0, 0.0], [0.0, 1.0]]), dnn.tensor([0, 1, 1, 0])
    accuracy, area = metrics.Accuracy(), metrics.ROCAUC()
    accuracy.update(output, target)
    area.update(output, target)
    assert accuracy.compute() == 0.5
    assert math.isnan(area.compute())  # a softmax of inf is nan
    area.reset()
    area.update(output[1:], target[1:])
    assert area.compute() == 0.5


def test_shapes_decide_without_a_task():
    metric = metrics.Accuracy()
    metric.update(dnn.tensor([[1.0], [-1.0]]), dnn.tensor([[1], [1]]))  # binary (N, 1)
    metric.update(dnn.tensor([1.0, -1.0]), dnn.tensor([1, 1]))  # binary (N,)
    metric.update(dnn.eye(2), dnn.tensor([[1, 0], [0, 0]]))  # two labels: 3 of 4
    metric.update(dnn.eye(2), dnn.tensor([0, 0]))  # two classes
    assert metric.compute() == (1 + 1 + 3 + 1) / (2 + 2 + 4 + 2)


REFUSALS = [
    ("accuracy", "multiclass", (8, 3), (8, 1), dnn.int64, ValueError, r"accuracy: .* shape \(8,\) .* target.reshape\(8,\)"),
    ("accuracy", "multiclass", (8, 3), (7,), dnn.int64, ValueError, r"class numbers of shape \(8,\) .*\(8, 3\), got \(7,\)"),
    ("f1", "multiclass", (8, 3), (8,), dnn.float32, TypeError, r"f1: expected int64 class numbers .*use target.long\(\)"),
    ("accuracy", "multiclass", (8, 1), (8,), dnn.int64, ValueError, r"for one logit per sample use task='binary'"),
    ("accuracy", "binary", (8, 1), (8,), dnn.int64, ValueError, r"got \(8,\); use target.reshape\(8, 1\)"),
    ("roc_auc", "binary", (8, 1), (8,), dnn.int64, ValueError, r"roc_auc: .*use target.reshape\(8, 1\)"),
    ("roc_auc", "multilabel", (8, 3), (8, 2), dnn.int64, ValueError, r"output's shape \(8, 3\), got \(8, 2\)"),
    ("top_3_accuracy", "multiclass", (8, 3), (8,), dnn.int64, ValueError, r"top_3_accuracy: expected k below .* classes 3"),
    ("mse", "regression", (8, 1), (8,), dnn.float32, ValueError, r"mse: .*\(8, 1\) and \(8,\); use target.reshape\(8, 1\)"),
    ("r2", "regression", (8, 2), (8,), dnn.float32, ValueError, r"r2: expected output and target of one shape"),
]


@pytest.mark.parametrize(("name", "task", "shape", "target", "dtype", "error", "message"), REFUSALS)
def test_misfits_are_refused(name, task, shape, target, dtype, error, message):
    with pytest.raises(error, match=message):
        metrics.resolve(name, task).update(dnn.randn(*shape), dnn.zeros(*target, dtype=dtype))


@pytest.mark.parametrize(("task", "name"), EACH)
def test_bad_arguments_are_refused(task, name):
    output, target = batch(task)
    metric = metrics.resolve(name, task)
    with pytest.raises(TypeError, match=f"{name}: expected a Tensor as output, got ndarray"):
        metric.update(output.numpy(), target)
    with pytest.raises(TypeError, match=f"{name}: expected a Tensor as target, got list"):
        metric.update(output, target.tolist())
    with pytest.raises(TypeError, match=f"{name}: expected a Tensor as sample_weight, got list"):
        metric.update(output, target, [1.0])
    with pytest.raises(ValueError, match=rf"{name}: expected sample_weight of shape \(24,\).*got \(5,\)"):
        metric.update(output, target, dnn.ones(5))
    for bad in (-1.0, NAN):
        with pytest.raises(ValueError, match=f"{name}: expected sample_weight of at least 0"):
            metric.update(output, target, dnn.full((24,), bad))
    if task == "regression":
        return
    with pytest.raises(TypeError, match=f"{name}: expected floating logits or probabilities as output, got dnncore.int64"):
        metric.update(output.long(), target)
    wrong = "expected class numbers from 0 to 2" if task == "multiclass" else "expected targets of 0 and 1"
    for value in (3, -1):
        with pytest.raises(ValueError, match=f"{name}: {wrong}"):
            metric.update(output, dnn.full_like(target, value))


@pytest.mark.parametrize(("task", "name"), [(task, name) for task, name in EACH if task != "binary"])
def test_the_number_of_classes_may_change_after_reset_only(task, name):
    metric = metrics.resolve(name, task)
    metric.update(*batch(task))
    more, target = dnn.randn(24, 4), dnn.arange(24) % 4 if task == "multiclass" else dnn.ones(24, 4)
    if "accuracy" in name or name == "exact_match":  # their sums do not depend on it
        metric.update(more, target)
        return
    with pytest.raises(ValueError, match=f"{name}: the earlier batches .*reset"):
        metric.update(more, target)
    metric.reset()
    metric.update(more, target)


@pytest.mark.parametrize("name", ["accuracy", "roc_auc"])
def test_logits_are_no_probabilities(name):
    metric = metrics.resolve(name, "binary", from_logits=False)
    with pytest.raises(ValueError, match=f"{name}: expected probabilities from 0 to 1 with from_logits=False"):
        metric.update(dnn.tensor([2.0]), dnn.tensor([1]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: metrics.F1Score(average="mean"),
            "f1: expected average 'binary', 'macro', 'micro', 'weighted' or None, got 'mean'",
        ),
        (lambda: metrics.F1Score(zero_division=0.5), "f1: expected zero_division 0, 1, nan or 'warn', got 0.5"),
        (lambda: metrics.FBetaScore(beta=0.0), "fbeta: expected a finite beta above 0, got 0.0"),
        (lambda: metrics.Accuracy(threshold=1.0), "accuracy: expected threshold as a probability between 0 and 1, got 1.0"),
        (lambda: metrics.Accuracy(task="regression"), "accuracy: expected task 'binary', 'multiclass' or 'multilabel'"),
        (lambda: metrics.TopKAccuracy(0), "top_0_accuracy: expected k of at least 1, got 0"),
        (lambda: metrics.ROCAUC(average="micro"), "roc_auc: expected average 'macro', 'weighted' or None, got 'micro'"),
        (lambda: metrics.ROCAUC(multi_class="raise"), "roc_auc: expected multi_class 'ovr' or 'ovo', got 'raise'"),
        (lambda: metrics.ROCAUC(multi_class="ovo", average=None), "multi_class='ovo' has no value per class"),
        (lambda: metrics.ConfusionMatrix(normalize="rows"), "expected normalize 'true', 'pred', 'all' or None, got 'rows'"),
        (lambda: metrics.ConfusionMatrix(labels=[1, 1]), r"expected different labels, got \[1, 1\]"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_labels_of_a_confusion_matrix_must_exist():
    with pytest.raises(ValueError, match=r"confusion_matrix: expected labels from 0 to 2, got \[3\]"):
        metrics.ConfusionMatrix(labels=[0, 3]).update(dnn.eye(3), dnn.tensor([0, 1, 2]))
