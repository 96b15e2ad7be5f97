"""What networks for sequences learn: to remember, to add, to forecast, to spell; and what the simpler ones do not."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import dnncore as dnn
import numpy as np
import pytest
from dnncore import data, models, optim
from dnncore.nn import functional

ROOT = Path(__file__).parents[1]
SYMBOLS, CLASSES = 8, 4


def seeded(seed):
    return dnn.Generator().manual_seed(seed)


def fitted(network, x, y, loss, *, rate, epochs, batch_size=50):
    model = dnn.Model(network)
    model.compile(optim.Adam(network.parameters(), lr=rate), loss, clip_norm=1.0)
    model.fit(x, y, epochs=epochs, batch_size=batch_size, verbose=0)
    return model


def remembering(network, lag, *, epochs, classes=CLASSES, symbols=SYMBOLS):
    """Return the accuracy of the first symbol on 500 sequences after training on 2000."""
    tokens, y = data.make_first_symbol(2500, lag, seeded(1), classes=classes, distractors=symbols - classes)
    x = functional.one_hot(tokens, symbols).float()
    model = fitted(network, x[:2000], y[:2000], "cross_entropy", rate=0.005, epochs=epochs)
    return model.evaluate(x[2000:], y[2000:], metrics=["accuracy"])["accuracy"]


def classifier(cell, seed, memory=None):
    dnn.manual_seed(seed)
    return models.SequenceClassifier(SYMBOLS, CLASSES, 32, cell=cell, memory=memory)


def test_short_lags_are_no_problem_for_any_cell():
    for cell in ("rnn", "gru", "lstm"):
        assert remembering(classifier(cell, 0), 5, epochs=6) > 0.99


def test_a_window_knows_only_what_it_sees():
    dnn.manual_seed(0)
    assert remembering(models.delay_network(SYMBOLS, CLASSES, 6), 5, epochs=6) > 0.99
    assert remembering(models.delay_network(SYMBOLS, CLASSES, 5), 5, epochs=6) < 0.35


@pytest.mark.slow
def test_gates_remember_over_a_hundred_steps_where_a_plain_rnn_fails():
    """Eight symbols at lag 100, fifteen passes, five seeds; guessing has 0.125. Some plain networks find it by luck, few do."""

    def accuracies(cell, memory=None):
        networks = ((dnn.manual_seed(seed), models.SequenceClassifier(16, 8, 32, cell=cell, memory=memory)) for seed in range(5))
        return [remembering(network, 100, epochs=15, classes=8, symbols=16) for _, network in networks]

    for cell in ("lstm", "gru"):
        found = accuracies(cell, memory=102)
        assert np.mean(found) > 0.95
        assert sum(each > 0.99 for each in found) >= 4
    assert np.mean(accuracies("rnn")) < 0.5


@pytest.mark.slow
def test_the_adding_problem_is_solved_over_fifty_steps():
    """The squared error falls below a tenth of that of answering the mean, 1 / 6."""
    x, y = data.make_adding_problem(5500, 50, seeded(1))
    dnn.manual_seed(0)
    network = models.SequenceClassifier(2, 1, 48, memory=50)
    model = fitted(network, x[:5000], y[:5000], "mse", rate=0.005, epochs=25)
    assert model.evaluate(x[5000:], y[5000:])["loss"] < 1 / 60


def test_gradients_reach_further_through_gates():
    """Before training, of the last state with respect to the first input: what `examples/gradient_through_time.py` draws."""
    dnn.manual_seed(0)

    def reach(layer):
        x = dnn.randn(16, 100, 1).requires_grad_()
        layer(x)[0][:, -1].sum().backward()
        norms = x.grad.norm(dim=2).mean(0).numpy()
        return norms[0] / norms[-1]

    assert reach(dnn.nn.RNN(1, 32, batch_first=True)) < 1e-12
    assert reach(models.chrono_init(dnn.nn.LSTM(1, 32, batch_first=True), 100)) > 1e-3


def test_a_forecaster_beats_the_last_value_and_the_mean():
    noisy, clean = data.make_noisy_sines(40, 120, seeded(0))
    x, _ = data.delay_windows(noisy, 30, 5, stride=7)
    _, y = data.delay_windows(clean, 30, 5, stride=7)
    dnn.manual_seed(0)
    rows = int(0.8 * len(x)) // 13 * 13  # whole series
    model = fitted(models.Forecaster(horizon=5, hidden_size=32), x[:rows], y[:rows], "mse", rate=0.01, epochs=20)
    error = model.evaluate(x[rows:], y[rows:])["loss"]
    assert error < 0.2 * ((y[rows:] - x[rows:, -1:]) ** 2).mean().item()
    assert error < 0.2 * (y[rows:] ** 2).mean().item()


def test_mackey_glass_is_forecast_from_a_window_and_by_a_network():
    series = data.make_mackey_glass(1, 1500, seeded(0))
    series = (series - series.mean()) / series.std()
    x, y = data.delay_windows(series, 20, 6)
    dnn.manual_seed(0)
    for network in (models.delay_network(1, (6, 1), 20), models.Forecaster(horizon=6, hidden_size=24)):
        model = fitted(network, x[:1000], y[:1000], "mse", rate=0.01, epochs=15)
        assert model.evaluate(x[1100:], y[1100:])["loss"] < 0.1 * ((y[1100:] - x[1100:, -1:]) ** 2).mean().item()


def test_a_character_model_knows_more_than_frequencies():
    """The documentation's own text: held-out loss well below the entropy of its characters one by one."""
    text = "".join(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md")))[:60_000]
    vocabulary = data.Characters(text)
    train, test = (vocabulary.encode(part) for part in data.split_text(text))
    share = np.bincount(train.numpy(), minlength=len(vocabulary)) / len(train)
    entropy = -(share[share > 0] * np.log(share[share > 0])).sum()
    assert 2.5 < entropy < math.log(len(vocabulary))
    dnn.manual_seed(0)
    network = models.LanguageModel(len(vocabulary), 96, 32)
    x, y = data.text_chunks(train, 64)
    model = fitted(network, x, y, "cross_entropy", rate=0.01, epochs=6, batch_size=16)
    found = model.evaluate(*data.text_chunks(test, 64))["loss"]
    assert found < 0.75 * entropy
    written = vocabulary.decode(network.generate(vocabulary.encode("the "), 200, temperature=0.5, generator=seeded(0)))
    assert len(written) == 200
    words = {word for word in written.split() if word.isalpha() and len(word) > 2}
    assert len(words & set(text.split())) > 0.5 * len(words)  # most of what it writes are words of the text


def test_an_encoder_and_decoder_with_attention_turns_sequences_round():
    dnn.manual_seed(0)
    lengths = dnn.randint(3, 9, (1100,))
    source = dnn.randint(1, 8, (1100, 8)) * (dnn.arange(8) < lengths.unsqueeze(1)).long()
    turned = dnn.zeros(1100, 8, dtype=dnn.int64)
    for row, length in enumerate(lengths.tolist()):
        turned[row, :length] = source[row, :length].flip(0)
    right = dnn.where(turned == 0, -100, turned)
    read = dnn.cat([dnn.full((1100, 1), 8, dtype=dnn.int64), turned[:, :-1]], 1)  # 8 begins a target
    network = models.EncoderDecoder(8, 9, 32, 16)
    model = fitted(network, (source[:1000], read[:1000], lengths[:1000]), right[:1000], "cross_entropy", rate=0.01, epochs=30)
    decoded = network.decode(source[1000:], 8, 8, lengths=lengths[1000:])
    wrong = ((decoded != turned[1000:]) & (turned[1000:] != 0)).float().sum().item() / (turned[1000:] != 0).float().sum().item()
    assert wrong < 0.1
    assert model.evaluate((source[1000:], read[1000:], lengths[1000:]), right[1000:])["loss"] < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["memory_lags", "gradient_through_time", "char_lstm"])
def test_examples_run(name, tmp_path):
    pytest.importorskip("matplotlib", reason="an example draws (extra plot)")
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{name}.py")], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    shown = {"memory_lags": "lag ", "gradient_through_time": "picture in ", "char_lstm": "--- temperature 1.0"}
    assert shown[name] in done.stdout
