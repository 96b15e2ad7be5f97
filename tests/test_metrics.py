"""Metrics: every value against scikit-learn over arbitrary splits into batches, ties, missing classes, weights, messages."""

from __future__ import annotations

import copy
import math
import pickle
from functools import partial

import dnncore as dnn
import numpy as np
import pytest
from dnncore import metrics
from hypothesis import given, settings
from hypothesis import strategies as st

sk = pytest.importorskip("sklearn.metrics", reason="scikit-learn (extra sklearn) is the oracle")

NAN = float("nan")
EXAMPLES = settings(max_examples=40, deadline=None)
# Sums of up to 60 products in another order than scikit-learn's: 60 roundings of 1.1e-16 each on both sides.
CLOSE = {"rel": 2e-14, "abs": 2e-14}


class Case:
    """Random outputs, targets and weights, with ties and missing classes, and cuts that split them into batches."""

    def __init__(self, task: str, seed: int, cuts: list[int], weighted: bool, rows: int, width: int) -> None:
        rng = np.random.default_rng(seed)
        self.task = task
        self.weight = rng.integers(1, 5, rows) / 4 if weighted else None
        self.cuts = sorted(cut % (rows + 1) for cut in cuts)
        shape = (rows,) if task == "binary" else (rows, width)
        self.output = (rng.integers(-3, 4, shape) / 2).astype(np.float32)
        if task == "multiclass":
            self.target = rng.choice(rng.integers(0, width, width), rows)
        elif task == "regression":
            self.target = rng.standard_normal(shape)
        else:
            self.target = rng.integers(0, 2, shape)

    def __repr__(self) -> str:
        return f"Case({self.task}, output={self.output.tolist()}, target={self.target.tolist()}, cuts={self.cuts})"

    def stream(self, metric: metrics.Metric) -> object:
        metric.reset()
        for start, stop in zip([0, *self.cuts], [*self.cuts, len(self.output)], strict=True):
            weight = None if self.weight is None else dnn.tensor(self.weight[start:stop])
            metric.update(dnn.tensor(self.output[start:stop]), dnn.tensor(self.target[start:stop]), weight)
        return metric.compute()

    @property
    def predicted(self) -> np.ndarray:
        return self.output.argmax(1) if self.task == "multiclass" else (self.output > 0).astype(int)

    @property
    def probability(self) -> np.ndarray:
        exponential = np.exp(self.output.astype(np.float64))
        if self.task == "multiclass":
            return exponential / exponential.sum(1, keepdims=True)
        return exponential / (1 + exponential)


def cases(*tasks: str, rows: int = 1, width: int = 2):
    return st.builds(
        Case,
        st.sampled_from(tasks),
        seed=st.integers(0, 2**32),
        cuts=st.lists(st.integers(0, 60), max_size=4),
        weighted=st.booleans(),
        rows=st.integers(rows, 60),
        width=st.integers(width, 6),
    )


# --- classification ----------------------------------------------------------------------------------------------------


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


# --- regression and means ----------------------------------------------------------------------------------------------

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


# --- what all metrics share --------------------------------------------------------------------------------------------

NAMES = {
    "binary": ["accuracy", "precision", "recall", "f1", "f1_macro", "roc_auc", "average_precision", "confusion_matrix"],
    "multiclass": [
        "accuracy",
        "top_2_accuracy",
        "precision",
        "recall",
        "f1",
        "roc_auc",
        "roc_auc_ovo",
        "average_precision",
        "confusion_matrix",
    ],
    "multilabel": ["accuracy", "exact_match", "precision_micro", "recall_weighted", "f1", "roc_auc", "average_precision"],
    "regression": ["mae", "mse", "rmse", "r2"],
}
EACH = [(task, name) for task, names in NAMES.items() for name in names]
KEEP = ("roc_auc", "roc_auc_ovo", "average_precision")


def batch(task: str, rows: int = 24) -> tuple[dnn.Tensor, dnn.Tensor]:
    output = dnn.randn(rows) if task == "binary" else dnn.randn(rows, 3)
    if task == "regression":
        return output, dnn.randn(rows, 3)
    target = dnn.arange(rows) % 3 if task == "multiclass" else (dnn.rand(*output.shape) > 0.5).long()
    return output, target


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


# --- names, scikit-learn and functions ---------------------------------------------------------------------------------


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
    with pytest.raises(TypeError, match="<lambda>: expected the function to return a number, got str"):
        metrics.resolve(lambda output, target: "1", "regression").update(dnn.ones(2), dnn.ones(2))


def test_a_metric_must_be_whole():
    class Half(metrics.Metric):
        name = "half"

    for call in (lambda m: m.reset(), lambda m: m.compute(), lambda m: m.update(dnn.zeros(1), dnn.zeros(1))):
        with pytest.raises(NotImplementedError, match=r"Half: (reset|update|compute)\(\) is missing"):
            call(Half())
