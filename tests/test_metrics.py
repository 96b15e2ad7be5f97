"""Values of metrics against scikit-learn: arbitrary splits into batches, ties, missing classes, weights, offsets."""

from __future__ import annotations

import math
from functools import partial

import dnncore as dnn
import numpy as np
import pytest
from dnncore import metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_cases import CLOSE, NAN, cases

sk = pytest.importorskip("sklearn.metrics", reason="scikit-learn (extra sklearn) is the oracle")

EXAMPLES = settings(max_examples=40, deadline=None)


@EXAMPLES
@given(cases("binary", "multiclass"))
def test_accuracy(case):
    expected = sk.accuracy_score(case.target, case.predicted, sample_weight=case.weight)
    assert case.stream(metrics.Accuracy(task=case.task)) == pytest.approx(expected, **CLOSE)


@EXAMPLES
@given(cases("multilabel"))
def test_multilabel_accuracy_of_elements_and_of_whole_rows(case):
    exact = sk.accuracy_score(case.target, case.predicted, sample_weight=case.weight)
    each = 1 - sk.hamming_loss(case.target, case.predicted, sample_weight=case.weight)
    assert case.stream(metrics.Accuracy(task="multilabel", exact_match=True)) == pytest.approx(exact, **CLOSE)
    assert case.stream(metrics.Accuracy(task="multilabel")) == pytest.approx(each, **CLOSE)


def test_labels_without_weight_do_not_spoil_a_whole_row():
    metric = metrics.Accuracy(exact_match=True)
    weight = dnn.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    metric.update(dnn.ones(3, 2), dnn.tensor([[1, 0], [1, 0], [0, 0]]), weight)  # right, wrong, absent
    assert metric.compute() == 0.5


@EXAMPLES
@given(cases("multiclass", width=3), st.integers(1, 2))
def test_top_k_accuracy(case, k):
    case.output = case.output + np.linspace(0.1, 0, case.output.shape[1], dtype=np.float32)  # scikit-learn breaks ties otherwise
    labels = np.arange(case.output.shape[1])
    expected = sk.top_k_accuracy_score(case.target, case.output, k=k, labels=labels, sample_weight=case.weight)
    assert case.stream(metrics.TopKAccuracy(k)) == pytest.approx(expected, **CLOSE)


def test_top_k_breaks_ties_as_argmax_does():
    output, target = dnn.zeros(4, 4), dnn.tensor([0, 1, 2, 3])
    for k in (1, 2, 3):
        metric = metrics.TopKAccuracy(k)
        metric.update(output, target)
        assert metric.compute() == k / 4
    first, last = metrics.TopKAccuracy(2), metrics.TopKAccuracy(2)
    first.update(output, dnn.tensor([0, 1, 0, 1]))
    last.update(output, dnn.tensor([2, 3, 2, 3]))
    assert (first.compute(), last.compute()) == (1.0, 0.0)
    dense = metrics.TopKAccuracy(1)
    dense.update(dnn.tensor([[[1.0, 2.0], [2.0, 1.0]]]), dnn.tensor([[1, 0]]))  # (N, C, d): class 1 first, then class 0
    assert dense.compute() == 1.0


RATES = [
    (metrics.Precision, sk.precision_score),
    (metrics.Recall, sk.recall_score),
    (metrics.F1Score, sk.f1_score),
    (partial(metrics.FBetaScore, beta=0.5), partial(sk.fbeta_score, beta=0.5)),
    (partial(metrics.FBetaScore, beta=2.0), partial(sk.fbeta_score, beta=2.0)),
]


@pytest.mark.parametrize(("ours", "theirs"), RATES)
@EXAMPLES
@given(
    cases("binary", "multiclass", "multilabel"),
    st.sampled_from(["binary", "macro", "micro", "weighted"]),
    st.sampled_from([0.0, 1.0, np.nan]),
)
def test_precision_recall_and_f(ours, theirs, case, average, zero_division):
    if average == "binary" and case.task != "binary":
        average = "macro"
    value = case.stream(ours(task=case.task, average=average, zero_division=float(zero_division)))
    expected = theirs(case.target, case.predicted, average=average, sample_weight=case.weight, zero_division=zero_division)
    assert value == pytest.approx(expected, nan_ok=True, **CLOSE)


@pytest.mark.parametrize(("ours", "theirs"), RATES)
@EXAMPLES
@given(cases("binary", "multiclass", "multilabel"), st.sampled_from([0.0, 1.0, np.nan]))
def test_precision_recall_and_f_of_each_class(ours, theirs, case, zero_division):
    value = case.stream(ours(task=case.task, average=None, zero_division=float(zero_division)))
    labels = np.arange(2 if case.task == "binary" else case.output.shape[1])
    expected = theirs(
        case.target,
        case.predicted,
        average=None,
        labels=labels,
        sample_weight=case.weight,
        zero_division=zero_division,
    )
    np.testing.assert_allclose(value, expected, rtol=2e-14)


def test_two_classes_of_softmax_have_a_binary_mean():
    output, target = dnn.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]), dnn.tensor([1, 1, 0])
    metric = metrics.F1Score(average="binary", task="multiclass")
    metric.update(output, target)
    assert metric.compute() == 0.5
    with pytest.raises(ValueError, match=r"f1: average='binary' is for two classes, the task is multiclass .*average='macro'"):
        metrics.F1Score().update(dnn.eye(3), dnn.tensor([0, 1, 2]))


def test_zero_division_warns_if_asked():
    metric = metrics.Precision(zero_division="warn")
    metric.update(dnn.tensor([-1.0]), dnn.tensor([1]))
    with pytest.warns(RuntimeWarning, match="precision: undefined for 1 of 1 classes.*zero_division"):
        assert metric.compute() == 0.0


@pytest.mark.filterwarnings("ignore:A single label was found:UserWarning")
@EXAMPLES
@given(cases("binary", "multiclass"), st.sampled_from([None, "true", "pred", "all"]), st.booleans())
def test_confusion_matrix(case, normalize, some):
    labels = list(range(2 if case.task == "binary" else case.output.shape[1]))
    if some:
        labels = [labels[-1], case.target[0]] if case.target[0] != labels[-1] else [labels[-1]]
    value = case.stream(metrics.ConfusionMatrix(task=case.task, normalize=normalize, labels=labels if some else None))
    expected = sk.confusion_matrix(case.target, case.predicted, labels=labels, normalize=normalize, sample_weight=case.weight)
    np.testing.assert_allclose(value, expected, rtol=2e-14)
    assert value.dtype == expected.dtype


@EXAMPLES
@given(cases("binary", "multilabel", rows=2), st.sampled_from(["macro", "weighted", None]))
def test_roc_auc_and_average_precision_of_labels(case, average):
    for column in np.atleast_2d(case.target.T):
        column[:2] = 0, 1  # both kinds occur
    value = case.stream(metrics.ROCAUC(task=case.task, average=average))
    expected = sk.roc_auc_score(case.target, case.output, average=average, sample_weight=case.weight)
    np.testing.assert_allclose(value, expected, rtol=2e-14, atol=2e-14)
    value = case.stream(metrics.AveragePrecision(task=case.task, average=average))
    expected = sk.average_precision_score(case.target, case.output, average=average, sample_weight=case.weight)
    np.testing.assert_allclose(value, expected, rtol=2e-14, atol=2e-14)


@EXAMPLES
@given(cases("multiclass", rows=6, width=3), st.sampled_from(["ovr", "ovo"]), st.sampled_from(["macro", "weighted"]))
def test_roc_auc_of_classes(case, multi_class, average):
    width = case.output.shape[1]
    case.target[:width] = np.arange(width)
    case.output += np.random.default_rng(1).standard_normal(case.output.shape).astype(np.float32)  # no ties to round apart
    if multi_class == "ovo":
        case.weight = None  # scikit-learn takes no weights there
    value = case.stream(metrics.ROCAUC(task="multiclass", multi_class=multi_class, average=average))
    expected = sk.roc_auc_score(
        case.target, case.probability, multi_class=multi_class, average=average, sample_weight=case.weight
    )
    assert value == pytest.approx(expected, **CLOSE)
    value = case.stream(metrics.AveragePrecision(task="multiclass", average=average))
    expected = sk.average_precision_score(case.target, case.probability, average=average, sample_weight=case.weight)
    assert value == pytest.approx(expected, **CLOSE)


def test_ties_of_probabilities_count_half():
    probabilities = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.5, 0.25, 0.25], [0.25, 0.25, 0.5], [0.25, 0.5, 0.25]])
    target = np.array([0, 1, 1, 2, 0])
    for multi_class in ("ovr", "ovo"):
        metric = metrics.ROCAUC(multi_class=multi_class, from_logits=False)
        metric.update(dnn.tensor(probabilities), dnn.tensor(target))
        assert metric.compute() == pytest.approx(sk.roc_auc_score(target, probabilities, multi_class=multi_class), **CLOSE)


def test_whole_weights_of_pairs_of_classes_are_repetitions():
    rng = np.random.default_rng(0)
    output, target, weight = rng.standard_normal((30, 3)), rng.integers(0, 3, 30), rng.integers(1, 4, 30)
    for average in ("macro", "weighted"):
        weighted, repeated = (metrics.ROCAUC(multi_class="ovo", average=average) for _ in range(2))
        weighted.update(dnn.tensor(output), dnn.tensor(target), dnn.tensor(weight))
        repeated.update(dnn.tensor(output.repeat(weight, 0)), dnn.tensor(target.repeat(weight)))
        assert weighted.compute() == pytest.approx(repeated.compute(), **CLOSE)


def test_roc_auc_orders_saturated_logits():
    output, target = dnn.tensor([40.0, 41.0, 39.0, 42.0]), dnn.tensor([0, 1, 0, 1])  # float32 sigmoids of all four are 1
    metric = metrics.ROCAUC()
    metric.update(output, target)
    assert metric.compute() == 1.0


def test_two_classes_have_the_roc_auc_of_one():
    output, target = dnn.randn(30, 2), dnn.randint(0, 2, (30,))
    both, one = metrics.ROCAUC(task="multiclass"), metrics.ROCAUC(task="binary")
    both.update(output, target)
    one.update(output.double()[:, 1] - output.double()[:, 0], target)
    assert both.compute() == pytest.approx(one.compute(), **CLOSE)


def test_weighted_mean_over_labels_that_never_occur():
    metric = metrics.ROCAUC(average="weighted")
    metric.update(dnn.randn(4, 3), dnn.zeros(4, 3))
    with pytest.warns(RuntimeWarning, match=r"undefined for the classes or pairs \[0, 1, 2\]"):
        assert math.isnan(metric.compute())


@pytest.mark.parametrize("kind", [metrics.ROCAUC, metrics.AveragePrecision])
def test_one_class_alone_is_nan_with_a_warning(kind):
    metric = kind()
    metric.update(dnn.tensor([0.5, 0.25]), dnn.tensor([0, 0]))
    with pytest.warns(RuntimeWarning, match=f"{metric.name}: undefined, for want of samples of both kinds"):
        assert math.isnan(metric.compute())
    metric = kind()
    metric.update(dnn.randn(4, 3), dnn.tensor([0, 2, 2, 0]))
    with pytest.warns(RuntimeWarning, match=r"undefined for the classes or pairs \[1\]"):
        assert math.isnan(metric.compute())


ERRORS = [
    (metrics.MeanAbsoluteError, sk.mean_absolute_error),
    (metrics.MeanSquaredError, sk.mean_squared_error),
    (metrics.RootMeanSquaredError, sk.root_mean_squared_error),
    (metrics.R2Score, sk.r2_score),
]


@pytest.mark.parametrize(("ours", "theirs"), ERRORS)
@EXAMPLES
@given(cases("regression", rows=2, width=1))
def test_regression(ours, theirs, case):
    expected = theirs(case.target, case.output.astype(np.float64), sample_weight=case.weight)
    # R2 subtracts from 1 a quotient that can be large: the error is relative to that.
    assert case.stream(ours()) == pytest.approx(expected, rel=2e-14, abs=2e-14 * (1 + abs(expected)))


@pytest.mark.parametrize(("ours", "theirs"), ERRORS)
def test_regression_of_one_output_of_any_number_dtype(ours, theirs):
    target, output = np.array([1, 2, 4, 8]), np.array([1.5, 2.0, 3.0, 8.0], dtype=np.float32)
    for shape in [(4,), (4, 1)]:
        metric = ours()
        metric.update(dnn.tensor(output.reshape(shape)), dnn.tensor(target.reshape(shape)))
        assert metric.compute() == pytest.approx(theirs(target, output.astype(np.float64)), **CLOSE)


def test_an_offset_costs_no_digits():
    rng = np.random.default_rng(0)
    signal, noise = rng.integers(-50, 50, 1000) / 8, rng.integers(-4, 4, 1000) / 8  # exact with any offset below 2^49
    offset = 2.0**45
    plain, shifted = metrics.R2Score(), metrics.R2Score()
    rmse = metrics.RootMeanSquaredError()
    for rows in np.split(np.arange(1000), [7, 8, 500]):
        plain.update(dnn.tensor(signal[rows] + noise[rows]), dnn.tensor(signal[rows]))
        shifted.update(dnn.tensor(signal[rows] + noise[rows] + offset), dnn.tensor(signal[rows] + offset))
        rmse.update(dnn.tensor(signal[rows] + noise[rows] + offset), dnn.tensor(signal[rows] + offset))
    assert rmse.compute() == pytest.approx(math.sqrt((noise**2).mean()), rel=1e-14)
    assert plain.compute() == pytest.approx(sk.r2_score(signal, signal + noise), rel=1e-14)
    # A mean near 2^45 is rounded to 2^-8; the spread sees the square of that, 1.5e-5 beside a variance of 13.
    assert shifted.compute() == pytest.approx(plain.compute(), abs=2e-6)
    naive = ((signal + offset) ** 2).mean() - (signal + offset).mean() ** 2
    assert abs(naive - signal.var()) > 1e6  # what the difference of squares would say


@pytest.mark.parametrize("constant", [0.1, 1e9, -3.3])
def test_constant_targets(constant):
    for wrong, expected in [(0.0, 1.0), (1.0, 0.0)]:
        metric = metrics.R2Score()
        for n in (3, 7, 1):
            metric.update(dnn.full((n,), constant + wrong, dtype=dnn.float64), dnn.full((n,), constant, dtype=dnn.float64))
        assert metric.compute() == expected


def test_r2_of_one_sample_is_nan_with_a_warning():
    metric = metrics.R2Score()
    metric.update(dnn.tensor([1.0, 2.0]), dnn.tensor([1.0, 2.0]), dnn.tensor([1.0, 0.0]))
    with pytest.warns(RuntimeWarning, match="r2: undefined for fewer than two samples"):
        assert math.isnan(metric.compute())


@EXAMPLES
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 100)), min_size=1, max_size=20))
def test_mean(pairs):
    mean = metrics.Mean()
    for value, weight in pairs:
        mean.update(dnn.tensor(value, dtype=dnn.float64) if weight % 2 else value, weight)
    values, weights = np.array(pairs).T
    expected = math.fsum(values * weights) / weights.sum() if weights.any() else NAN
    # 20 additions, each wrong by 2^-53 of a sum that is at most the sum of the sizes
    bound = 20 * 2.0**-53 * np.abs(values * weights).sum() / max(weights.sum(), 1)
    assert mean.compute() == pytest.approx(expected, rel=1e-15, abs=bound, nan_ok=True)
    mean.reset()
    assert math.isnan(mean.compute())


def test_mean_refuses():
    with pytest.raises(ValueError, match=r"Mean: expected a value of one element, got shape \(2,\)"):
        metrics.Mean().update(dnn.zeros(2))
    for weight in (-1.0, NAN, dnn.tensor(-1.0)):
        with pytest.raises(ValueError, match="Mean: expected a weight of at least 0"):
            metrics.Mean().update(1.0, weight)
