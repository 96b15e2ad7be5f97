"""Padding that does not count: masks of lengths, losses and metrics of sequences, perplexity."""

from __future__ import annotations

import math

import dnncore as dnn
import numpy as np
import pytest
from cases import numbers, tensor
from dnncore import metrics, nn
from dnncore.nn import functional as F
from reference import assert_exact

LENGTHS = np.array([4, 0, 7, 1, 7, 3])
N, T, SIZE, CLASSES = len(LENGTHS), 7, 5, 3
MASK = np.arange(T) < LENGTHS[:, None]


def draw(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


# --- Masks


@pytest.mark.parametrize("kind", [np.int64, np.int32])
@pytest.mark.parametrize("maxlen", [None, 7, 9])
def test_mask(kind, maxlen):
    mask = F.sequence_mask(tensor(LENGTHS.astype(kind)), maxlen)
    assert mask.dtype == dnn.bool
    assert_exact(numbers(mask), np.arange(maxlen or 7) < LENGTHS[:, None])
    assert_exact(numbers(F.sequence_mask(LENGTHS.tolist(), maxlen, dnn.float32)), numbers(mask).astype(np.float32))
    assert F.sequence_mask(tensor(LENGTHS.reshape(2, 3)), 8).shape == (2, 3, 8)


def test_masks_of_nothing():
    assert F.sequence_mask([]).shape == (0, 0)
    assert F.sequence_mask([0, 0]).shape == (2, 0)
    assert F.sequence_mask([], 3).shape == (0, 3)
    assert F.sequence_mask(dnn.tensor(2), 3).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.sequence_mask([1, 4], 3), ValueError, "sequence_mask: expected lengths from 0 to 3, got some outside"),
        (lambda: F.sequence_mask([1, -1]), ValueError, "sequence_mask: expected lengths from 0 to 1"),
        (lambda: F.sequence_mask([1], -1), ValueError, "sequence_mask: expected maxlen of at least 0"),
        (lambda: F.sequence_mask(dnn.ones(2), 3), TypeError, "sequence_mask: expected int64 or int32 lengths, got .*float32"),
        (lambda: F.sequence_mask([1.5], 3), TypeError, "float"),
    ],
)
def test_misuse(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_masks_and_one_hot_in_captured_steps_check_each_call():
    @dnn.capture
    def step(lengths):
        return F.sequence_mask(lengths, 4, dnn.float32).sum() + F.one_hot(lengths, 5).sum()

    for lengths in ([1, 2], [3, 4], [0, 0], [4, 4]):
        assert step(dnn.tensor(lengths)).item() == sum(lengths) + 2
    assert step.reason is None
    with pytest.raises(ValueError, match="sequence_mask: expected lengths from 0 to 4"):
        step(dnn.tensor([5, 0]))


# --- Losses


def test_cross_entropy_of_taggers():
    logits, target = draw(N, T, CLASSES), np.random.default_rng(1).integers(0, CLASSES, (N, T))
    ignored = np.where(MASK, target, -100)
    x = tensor(logits).requires_grad_()
    loss = F.cross_entropy(x.transpose(1, 2), tensor(ignored))
    loss.backward()
    flat = tensor(logits[MASK]).requires_grad_()
    expected = F.cross_entropy(flat, tensor(target[MASK]))
    expected.backward()
    np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-6)
    np.testing.assert_allclose(numbers(x.grad)[MASK], numbers(flat.grad), rtol=1e-5, atol=1e-8)
    assert not numbers(x.grad)[~MASK].any()
    with pytest.raises(
        ValueError, match=r"cross_entropy: .* the classes are dimension 1 of the input: use input.movedim\(-1, 1\)"
    ):
        F.cross_entropy(x, tensor(ignored))


def model_of(loss, outputs, module=None, **settings):
    dnn.manual_seed(3)
    model = dnn.Model(nn.Linear(SIZE, outputs) if module is None else module)
    model.compile("sgd", loss, **settings)
    return model


@pytest.mark.parametrize("loss", ["mse", "l1", "huber"])
@pytest.mark.parametrize("as_bool", [False, True])
def test_weights_of_steps_leave_padding_out(loss, as_bool):
    x, y = draw(N, T, SIZE), draw(N, T, 2, seed=1)
    weight = MASK if as_bool else MASK.astype(np.float32)
    masked, flat = model_of(loss, 2), model_of(loss, 2)
    for _ in range(3):
        found, expected = masked.train_on_batch(x, y, sample_weight=weight), flat.train_on_batch(x[MASK], y[MASK])
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    np.testing.assert_allclose(numbers(masked.module.weight), numbers(flat.module.weight), rtol=1e-5, atol=1e-7)
    assert masked.evaluate(x, y, sample_weight=weight, batch_size=4)["loss"] == pytest.approx(
        flat.evaluate(x[MASK], y[MASK])["loss"], rel=1e-5
    )


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        dnn.manual_seed(4)
        self.head = nn.Linear(SIZE, CLASSES)

    def forward(self, x):
        return self.head(x).transpose(1, 2)


def test_the_loss_of_an_epoch_is_the_mean_over_steps():
    x, y = draw(N, T, SIZE), np.random.default_rng(1).integers(0, CLASSES, (N, T))
    ignored = np.where(MASK, y, -100)
    model = model_of("cross_entropy", 0, Tagger(), metrics=["accuracy", "perplexity"])
    logits = numbers(model.module.head(tensor(x)))[MASK]
    expected = F.cross_entropy(tensor(logits), tensor(y[MASK])).item()
    for size in (1, 4, N):  # a batch of one sequence of padding among them
        found = model.evaluate(x, ignored, batch_size=size)
        assert found["loss"] == pytest.approx(expected, rel=1e-5)
        assert found["perplexity"] == pytest.approx(math.exp(expected), rel=1e-5)
        assert found["accuracy"] == pytest.approx((logits.argmax(1) == y[MASK]).mean())
        weighed = model.evaluate(x, y, batch_size=size, sample_weight=MASK)
        assert weighed == pytest.approx(found, rel=1e-5)
    history = model.fit(x, ignored, epochs=3, batch_size=3, verbose=0, shuffle=False).history
    assert np.isfinite(history["loss"]).all()
    assert all(found.step.reason is None for found in model._compiled._steps.values())


def test_weights_of_classes_and_of_steps_multiply():
    x, y = draw(N, T, SIZE), np.random.default_rng(1).integers(0, CLASSES, (N, T))
    weights = {0: 3.0, 1: 1.0, 2: 0.5}
    models = [model_of("cross_entropy", 0, Tagger()) for _ in range(2)]
    settings = {"batch_size": N, "shuffle": False, "verbose": 0}
    models[0].fit(x, y, sample_weight=MASK, class_weight=weights, **settings)
    models[1].fit(x, np.where(MASK, y, -100), class_weight=weights, **settings)
    mine, other = (numbers(model.module.head.weight) for model in models)
    np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-7)


# --- Metrics


@pytest.mark.parametrize("name", ["mae", "mse", "rmse", "r2"])
@pytest.mark.parametrize("wide", [False, True])
def test_errors_by_steps(name, wide):
    shape = (N, T, 2) if wide else (N, T)
    output, target = draw(*shape), draw(*shape, seed=1)
    output[~MASK] = np.nan
    masked, flat = metrics.resolve(name, "regression"), metrics.resolve(name, "regression")
    for rows in (slice(0, 2), slice(2, N)):
        masked.update(tensor(output[rows]), tensor(target[rows]), tensor(MASK[rows].astype(np.float32)))
    flat.update(tensor(output[MASK]), tensor(target[MASK]))
    assert masked.compute() == pytest.approx(flat.compute(), rel=1e-12)


@pytest.mark.parametrize("name", ["accuracy", "f1", "precision", "recall", "perplexity", "roc_auc"])
def test_classes_by_steps(name):
    output, target = draw(N, CLASSES, T), np.random.default_rng(1).integers(0, CLASSES, (N, T))
    output.transpose(0, 2, 1)[~MASK] = np.nan
    masked, flat = metrics.resolve(name, "multiclass"), metrics.resolve(name, "multiclass")
    for rows in (slice(0, 2), slice(2, N)):
        masked.update(tensor(output[rows]), tensor(target[rows]), tensor(MASK[rows].astype(np.float32)))
    flat.update(tensor(output.transpose(0, 2, 1)[MASK]), tensor(target[MASK]))
    assert masked.compute() == pytest.approx(flat.compute(), rel=1e-7)


def test_perplexity():
    metric = metrics.Perplexity()
    assert math.isnan(metric.compute())
    logits, target = draw(40, 11), np.random.default_rng(1).integers(0, 11, 40)
    exact = logits.astype(np.float64)
    losses = np.log(np.exp(exact).sum(1)) - exact[np.arange(40), target]
    for rows in (slice(0, 7), slice(7, 40)):
        metric.update(tensor(logits[rows]), tensor(target[rows]))
    assert metric.compute() == pytest.approx(np.exp(losses.mean()), rel=1e-6)
    metric.reset()
    metric.update(dnn.tensor([[-1000.0, 0.0]]), dnn.tensor([0]))
    assert metric.compute() == math.inf
    metric.reset()
    metric.update(dnn.tensor([[math.nan, 0.0]]), dnn.tensor([0]))
    assert math.isnan(metric.compute())
    assert repr(metrics.resolve("perplexity", "multiclass")) == "Perplexity(task='multiclass')"


# --- Recurrent weights


@pytest.mark.parametrize("gates", [1, 4])
@pytest.mark.parametrize("radius", [0.0, 0.9, 1.5])
def test_spectral_radius(gates, radius):
    weight = tensor(draw(gates * 20, 20))
    assert nn.init.spectral_radius_(weight, radius) is weight
    found = np.abs(np.linalg.eigvals(numbers(weight).astype(np.float64).reshape(gates, 20, 20))).max(1)
    np.testing.assert_allclose(found, radius, rtol=1e-5)


def test_spectral_radius_and_orthogonal_weights_of_recurrent_layers():
    for layer in (nn.RNN(3, 8), nn.LSTM(3, 8), nn.GRU(3, 8)):
        before = numbers(layer.weight_hh_l0).copy()
        nn.init.spectral_radius_(layer.weight_hh_l0, 2.0)
        ratio = numbers(layer.weight_hh_l0) / before
        assert np.ptp(ratio.reshape(-1, 64), axis=1).max() < 1e-5 * ratio.max()  # one factor for each gate
        nn.init.orthogonal_(layer.weight_hh_l0)
        columns = numbers(layer.weight_hh_l0.T @ layer.weight_hh_l0)
        np.testing.assert_allclose(columns, np.eye(8), atol=1e-6)
        assert layer(dnn.zeros(4, 2, 3))[0].shape == (4, 2, 8)


@pytest.mark.parametrize(
    ("weight", "radius", "message"),
    [
        (np.ones((3, 2)), 1.0, r"expected a weight of shape \(H, H\) or \(gates \* H, H\), got \(3, 2\)"),
        (np.ones(3), 1.0, "expected a weight of shape"),
        (np.ones((3, 0)), 1.0, "expected a weight of shape"),
        (np.eye(2), -1.0, "expected a radius of at least 0, got -1.0"),
        (np.triu(np.ones((2, 2)), 1), 1.0, "the eigenvalues are 0"),
        (np.full((2, 2), np.nan), 1.0, "expected finite values"),
    ],
)
def test_spectral_radius_of_what_has_none(weight, radius, message):
    with pytest.raises(ValueError, match=f"spectral_radius_: .*{message}"):
        nn.init.spectral_radius_(tensor(weight), radius)


@pytest.mark.parametrize("captured", [False, True])
def test_gradients_of_recurrent_layers_are_clipped(captured):
    dnn.manual_seed(0)
    layer = nn.LSTM(3, 8, 2, bidirectional=True)
    x = tensor(100 * draw(6, 4, 3))

    def step(x):
        layer.zero_grad()
        layer(x)[0].square().sum().backward()
        before = dnn.cat([p.grad.flatten() for p in layer.parameters()]).norm()
        return before, nn.utils.clip_grad_norm_(layer.parameters(), 0.5)

    run = dnn.capture(step) if captured else step
    for _ in range(3):
        before, total = run(x)
    assert before.item() == pytest.approx(total.item(), rel=1e-5)
    assert total.item() > 0.5
    after = dnn.cat([p.grad.flatten() for p in layer.parameters()]).norm()
    assert after.item() == pytest.approx(0.5, rel=1e-4)


def test_missing_steps_are_left_out_by_a_number_and_a_weight_of_zero():
    y = draw(N, T, 1)
    y[~MASK] = np.nan
    model = dnn.Model(nn.Linear(SIZE, 1))
    model.compile("sgd", "mse", ["mae"])
    x, y = tensor(draw(N, T, SIZE)), tensor(y)
    with pytest.raises(ValueError, match="D206"):
        model.fit(x, y, sample_weight=MASK, verbose=0)
    found = model.evaluate(x, y.nan_to_num(), sample_weight=~y.isnan().any(2))
    kept = numbers(model.predict(x))[MASK] - numbers(y)[MASK]
    assert found["loss"] == pytest.approx(np.mean(kept**2), rel=1e-5)
    assert found["mae"] == pytest.approx(np.mean(np.abs(kept)), rel=1e-5)
    model.fit(x, y.nan_to_num(), sample_weight=~y.isnan().any(2), verbose=0)
    assert np.isfinite(numbers(model.module.weight)).all()
