"""Networks for sequences: sizes, lengths, carried states, forecasts, text, decoding, against loops that recompute everything."""

from __future__ import annotations

import copy
import math
import pickle

import dnncore as dnn
import numpy as np
import pytest
from cases import numbers
from dnncore import models, nn, optim
from dnncore.nn import functional

CELLS = {"lstm": 4, "gru": 3, "rnn": 1}  # gates


def of_layers(gates, inputs, hidden, layers=1, directions=1):
    """Return the parameters of PyTorch's recurrent layers: two weights and two biases per layer and direction."""
    widths = [inputs] + [directions * hidden] * (layers - 1)
    return sum(directions * gates * hidden * (width + hidden + 2) for width in widths)


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(autouse=True)
def seeded():
    dnn.manual_seed(0)


# --- Sizes


@pytest.mark.parametrize("cell", CELLS)
def test_numbers_of_parameters_follow_from_the_sizes(cell):
    gates = CELLS[cell]
    assert count(models.SequenceClassifier(3, 5, 7, cell=cell)) == of_layers(gates, 3, 7) + 5 * 7 + 5
    deep = models.SequenceClassifier(11, 5, 7, embedding_dim=4, cell=cell, num_layers=2, bidirectional=True, dropout=0.1)
    assert count(deep) == 11 * 4 + of_layers(gates, 4, 7, 2, 2) + 5 * 14 + 5
    assert count(models.SequenceTagger(3, 5, 7, cell=cell, bidirectional=True)) == of_layers(gates, 3, 7, 1, 2) + 5 * 14 + 5
    assert count(models.LanguageModel(11, 7, 4, cell=cell, num_layers=3)) == 11 * 4 + of_layers(gates, 4, 7, 3) + 11 * 7 + 11
    assert count(models.Forecaster(2, 3, 7, cell=cell)) == of_layers(gates, 2, 7) + 6 * 7 + 6
    plain = 11 * 4 + 9 * 4 + 2 * of_layers(gates, 4, 7) + 9 * 7 + 9
    assert count(models.EncoderDecoder(11, 9, 7, 4, cell=cell, attention=None)) == plain
    assert count(models.EncoderDecoder(11, 9, 7, 4, cell=cell)) == plain + 7 * 7 + 14 * 7


def test_the_delay_network_has_the_sizes_it_says():
    network = models.delay_network(2, (3, 2), 10, (20, 15))
    assert count(network) == 20 * 20 + 20 + 20 * 15 + 15 + 15 * 6 + 6
    x = dnn.randn(4, 25, 2)
    assert network(x).shape == (4, 3, 2)
    np.testing.assert_array_equal(numbers(network(x)), numbers(network(x[:, 15:])))  # what lies before is not seen
    assert models.delay_network(1, 5, 3, ())(dnn.randn(2, 3, 1)).shape == (2, 5)
    with pytest.raises(ValueError, match=r"LastSteps: expected \(N, T, ...\) with T of at least 10, got \(4, 9, 2\)"):
        network(x[:, :9])


MAKE = {
    "classifier": (lambda cell: models.SequenceClassifier(3, 4, 6, cell=cell, num_layers=2), (5, 9, 3), (5, 4)),
    "classifier of tokens": (lambda cell: models.SequenceClassifier(8, 4, 6, embedding_dim=3, cell=cell), (5, 9), (5, 4)),
    "two directions": (lambda cell: models.SequenceClassifier(3, 4, 6, cell=cell, bidirectional=True), (5, 9, 3), (5, 4)),
    "tagger": (lambda cell: models.SequenceTagger(3, 4, 6, cell=cell, bidirectional=True), (5, 9, 3), (5, 4, 9)),
    "language model": (lambda cell: models.LanguageModel(8, 6, 3, cell=cell), (5, 9), (5, 8, 9)),
    "forecaster": (lambda cell: models.Forecaster(3, 2, 6, cell=cell), (5, 9, 3), (5, 2, 3)),
}


def batch(shape):
    return dnn.randn(*shape) if len(shape) == 3 else dnn.randint(8, shape)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", MAKE)
def test_lengths_give_what_each_sequence_gives_alone(name, cell):
    make, shape, out = MAKE[name]
    model, x = make(cell), batch(shape)
    assert model(x).shape == out
    lengths = [9, 1, 4, 9, 2]
    together = numbers(model(x, lengths))
    for row, length in enumerate(lengths):
        alone = numbers(model(x[row : row + 1, :length]))[0]
        found = together[row][:, :length] if len(out) == 3 and out[2] == 9 else together[row]
        np.testing.assert_allclose(found, alone, atol=1e-6)
    if out[-1] == 9:  # beyond its end a sequence says what a state of zeros says
        np.testing.assert_allclose(together[1][:, 5], numbers(model.head.bias), atol=1e-7)


@pytest.mark.parametrize("name", MAKE)
def test_a_saved_model_is_the_same_model(name, tmp_path):
    make, shape, _ = MAKE[name]
    x = batch(shape)
    module = make("gru")
    assert_loads_as_saved(module, tmp_path, x)
    again = pickle.loads(pickle.dumps(module))
    np.testing.assert_array_equal(numbers(again(x)), numbers(module(x)))


def assert_loads_as_saved(module, folder, *inputs):
    model = dnn.Model(module.eval())
    expected = numbers(module(*inputs))
    model.save(folder)
    again = dnn.Model.load(folder).module
    assert type(again) is type(module)
    np.testing.assert_array_equal(numbers(again(*inputs)), expected)


def test_other_networks_are_saved_too(tmp_path):
    dropped = models.SequenceTagger(3, 4, 6, dropout=0.3, num_layers=2)
    assert_loads_as_saved(dropped, tmp_path / "dropped", dnn.randn(2, 5, 3))
    network = models.delay_network(2, (3, 2), 10)
    assert_loads_as_saved(network, tmp_path / "delay", dnn.randn(4, 12, 2))
    source, target = dnn.randint(7, (3, 5)), dnn.randint(9, (3, 4))
    for attention in ("luong", "bahdanau", None):
        network = models.EncoderDecoder(7, 9, 6, 4, attention=attention, teacher_forcing=0.25)
        assert_loads_as_saved(network, tmp_path / f"attention {attention}", source, target)
        assert dnn.Model.load(tmp_path / f"attention {attention}").module.forcing.ratio == 0.25


def test_training_steps_are_captured():
    x, y = dnn.randn(64, 12, 3), dnn.randint(4, (64,))
    z = dnn.randint(1, 8, (64, 12))
    cases = [
        (models.SequenceClassifier(3, 4, 6, dropout=0.2), x, y),
        (models.SequenceTagger(3, 4, 6, num_layers=2), x, y.unsqueeze(1).expand(64, 12)),
        (models.LanguageModel(8, 6, 3), z, z),
        (models.EncoderDecoder(8, 8, 6, 3, teacher_forcing=0.5), (z, z), z),
    ]
    for module, inputs, targets in cases:
        model = dnn.Model(module)
        model.compile("adam", "cross_entropy", ["accuracy"])
        history = model.fit(inputs, targets, epochs=3, batch_size=16, verbose=0)
        assert history.history["loss"][-1] < history.history["loss"][0]
        (found,) = model._compiled._steps.values()
        assert found.step.reason is None
    model = dnn.Model(models.Forecaster(3, 2, 6))
    model.compile("adam", "mse")
    model.fit(x[:, :10], x[:, 10:], epochs=3, verbose=0)
    (found,) = model._compiled._steps.values()
    assert found.step.reason is None


# --- Initial memory


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_chrono_init_sets_the_gates_that_keep(kind):
    layer = kind(3, 200, num_layers=2, bidirectional=True)
    before = copy.deepcopy(layer)
    assert models.chrono_init(layer, 50) is layer
    for name, first in layer.named_parameters():
        old = numbers(dict(before.named_parameters())[name])
        if not name.startswith("bias_ih"):
            if name.startswith("weight"):
                np.testing.assert_array_equal(numbers(first), old)
            continue
        total = numbers(first + getattr(layer, name.replace("ih", "hh"))).reshape(-1, 200)
        kept = total[1]
        assert 0 <= kept.min() < math.log(3)
        assert math.log(40) < kept.max() <= math.log(49)
        if kind is nn.LSTM:
            np.testing.assert_array_equal(total[0], -kept)
        np.testing.assert_array_equal(numbers(first).reshape(-1, 200)[2:], old.reshape(-1, 200)[2:])


def test_chrono_init_refuses_what_has_no_gates():
    for layer, got in ((nn.RNN(2, 3), "RNN"), (nn.LSTM(2, 3, bias=False), "LSTM without biases"), (nn.Linear(2, 3), "Linear")):
        with pytest.raises(ValueError, match=f"chrono_init: expected an LSTM or GRU with biases, got {got}"):
            models.chrono_init(layer, 10)
    with pytest.raises(ValueError, match="chrono_init: expected memory of at least 2 steps, got 1"):
        models.chrono_init(nn.GRU(2, 3), 1)


# --- Carried states


@pytest.mark.parametrize("cell", CELLS)
def test_pieces_with_a_carried_state_are_the_whole(cell):
    model = models.SequenceTagger(3, 4, 6, cell=cell, num_layers=2)
    x = dnn.randn(5, 9, 3)
    whole = numbers(model(x))
    model.carry_state(5)
    pieces = [model(x[:, :4]), model(x[:, 4:8]), model(x[:, 8:])]
    np.testing.assert_allclose(np.concatenate([numbers(piece) for piece in pieces], 2), whole, atol=1e-6)
    # The graph is cut: what a piece says does not depend on earlier inputs as far as gradients go.
    model.carry_state(5)
    early = dnn.randn(5, 2, 3).requires_grad_()
    model(early)
    model(x).sum().backward()
    assert early.grad is None
    model.carry_state(5)
    np.testing.assert_allclose(numbers(model(x)), whole, atol=1e-6)
    assert not np.allclose(numbers(model(x)), whole, atol=1e-6)
    model.eval()
    np.testing.assert_allclose(numbers(model(x)), whole, atol=1e-6)
    model.train().carry_state(None)
    np.testing.assert_allclose(numbers(model(x)), whole, atol=1e-6)
    np.testing.assert_allclose(numbers(model(x)), whole, atol=1e-6)


def test_a_carried_state_has_its_batch_size():
    model = models.SequenceTagger(3, 4, 6)
    model.carry_state(2)
    with pytest.raises(ValueError, match="SequenceTagger: expected 2 sequences, as carry_state says, got 3"):
        model(dnn.randn(3, 5, 3))
    with pytest.raises(ValueError, match="carry_state: expected batch_size of at least 0, got -1"):
        model.carry_state(-1)


def test_what_reads_backwards_carries_no_state():
    both = dnn.Model(models.SequenceTagger(3, 4, 6, bidirectional=True))
    both.compile("sgd", "cross_entropy")
    with pytest.raises(ValueError, match="a bidirectional SequenceTagger cannot read a sequence piece by piece"):
        both.fit(dnn.randn(2, 6, 3), dnn.randint(4, (2, 6)), truncate=3)


@pytest.mark.parametrize("piece", [25, 30])
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("cell", CELLS)
def test_fit_truncates_with_the_bits_of_a_loop(cell, kind, piece):
    """Two layers with dropout between them, clipping, a shorter last piece; captured against plain Python."""
    x, y = dnn.data.text_streams(dnn.randint(5, (401,)), 4)

    def network():
        dnn.manual_seed(1)
        return models.LanguageModel(5, 12, 6, cell=cell, num_layers=2, dropout=0.2)

    expected = network()
    optimizer, losses = getattr(optim, kind)(expected.parameters(), lr=0.01), []
    dnn.manual_seed(7)
    for _ in range(3):
        state, total = None, 0.0
        for begin in range(0, 100, piece):
            optimizer.zero_grad()
            hidden, state = expected.run(x[:, begin : begin + piece].contiguous(), state)
            state = tuple(part.detach() for part in state)
            logits = expected.head(expected.dropout(hidden)).transpose(1, 2)
            loss = functional.cross_entropy(logits, y[:, begin : begin + piece].contiguous())
            loss.backward()
            nn.utils.clip_grad_norm_(expected.parameters(), 0.3)
            optimizer.step()
            total += loss.item() * min(piece, 100 - begin)
        losses.append(total / 100)
    model = dnn.Model(network())
    model.compile(getattr(optim, kind)(model.module.parameters(), lr=0.01), "cross_entropy", clip_norm=0.3)
    dnn.manual_seed(7)
    history = model.fit(x, y, epochs=3, batch_size=4, truncate=piece, shuffle=False, verbose=0)
    assert history.history["loss"] == losses
    for found, right in zip(model.module.parameters(), expected.parameters(), strict=True):
        np.testing.assert_array_equal(numbers(found), numbers(right))
    assert history.params["steps"] == 4
    assert all(each.step.reason is None for each in model._compiled._steps.values())
    # Afterwards every call begins with zeros again.
    model.module.eval()
    np.testing.assert_array_equal(numbers(model.module(x)), numbers(model.module(x)))


def test_one_piece_of_the_whole_is_training_without_pieces():
    x, y = dnn.data.text_streams(dnn.randint(5, (401,)), 4)
    found = []
    for truncate in (100, None):
        dnn.manual_seed(1)
        model = dnn.Model(models.LanguageModel(5, 12, 6))
        model.compile(optim.SGD(model.module.parameters(), lr=0.1), "cross_entropy")
        model.fit(x, y, epochs=3, batch_size=4, shuffle=False, truncate=truncate, verbose=0)
        found.append([numbers(p) for p in model.module.parameters()])
    for cut, whole in zip(*found, strict=True):
        np.testing.assert_array_equal(cut, whole)


def test_pieces_of_uneven_length_and_several_batches():
    x, y = dnn.randn(6, 10, 3), dnn.randint(4, (6, 10))
    module = models.SequenceTagger(3, 4, 6)
    model = dnn.Model(module)
    model.compile("sgd", "cross_entropy")
    seen = []
    forward = type(module).forward

    class Spy(models.SequenceTagger):
        def forward(self, input, lengths=None):
            if self.training and self._carried is not None:
                fresh = all(not part.any().item() for part in self._carried)
                seen.append((tuple(input.shape), fresh))
            return forward(self, input, lengths)

    module.__class__ = Spy
    history = model.fit(x, y, batch_size=4, truncate=4, epochs=2, verbose=0, validation_data=(x, y), train_loss_eval=True)
    assert history.params["steps"] == 6
    expected = [((4, 4, 3), True), ((4, 4, 3), False), ((4, 2, 3), False)]
    expected += [((2, 4, 3), True), ((2, 4, 3), False), ((2, 2, 3), False)]
    assert seen[:6] == expected
    whole = functional.cross_entropy(module.eval()(x), y).item()
    assert history.history["val_loss"][-1] == pytest.approx(whole, rel=1e-5)
    assert history.history["train_loss_eval"][-1] == pytest.approx(whole, rel=1e-5)


def test_truncate_takes_weights_streams_and_held_out_parts():
    x, y = dnn.randn(8, 10, 3), dnn.randint(4, (8, 10))
    model = dnn.Model(models.SequenceTagger(3, 4, 6))
    model.compile("sgd", "cross_entropy")
    weight = np.float32([1, 0, 1, 0, 1, 0, 1, 0])
    model.fit(x, y, truncate=5, sample_weight=weight, validation_split=0.25, verbose=0)
    model.fit(x, y, truncate=5, class_weight={0: 2.0}, verbose=0)
    steps = functional.sequence_mask(dnn.tensor([10, 3, 7, 5, 10, 0, 1, 2]), 10).float()
    model.fit(x, y, truncate=5, sample_weight=steps, verbose=0)
    model.fit(x, y, truncate=5, sample_weight=steps, class_weight={0: 2.0}, verbose=0)
    history = model.fit([(x[:4], y[:4]), (x[4:], y[4:])], truncate=5, verbose=0)
    assert history.params["steps"] is None
    assert len(history.history["loss"]) == 1


def test_truncate_refuses_what_it_cannot_cut():
    x, y = dnn.randn(8, 10, 3), dnn.randint(4, (8, 10))
    model = dnn.Model(nn.Sequential(nn.Flatten(), nn.Linear(30, 4)))
    model.compile("sgd", "cross_entropy")
    with pytest.raises(ValueError, match=r"fit: truncate=5 needs a network that carries its state .* Sequential has none"):
        model.fit(x, y[:, 0], truncate=5)
    model = dnn.Model(models.SequenceClassifier(3, 4, 6))
    model.compile("sgd", "cross_entropy")
    shapes = r"\(8, 10, 3\), \(8,\)"
    with pytest.raises(ValueError, match=f"fit: truncate cuts along time: expected inputs and targets .* got {shapes}"):
        model.fit(x, y[:, 0], truncate=5)
    with pytest.raises(ValueError, match="fit: expected truncate to be a whole number of at least 1, got 0"):
        model.fit(x, y[:, 0], truncate=0)


# --- Text


def by_recomputation(model, prime, length, temperature, top_k, generator):
    """Generate by reading the whole text again for every token."""
    tokens = prime
    for _ in range(length):
        logits = numbers(model(tokens)[:, :, -1]).astype(np.float64)
        if temperature == 0:
            new = logits.argmax(1)[:, None]
        else:
            places = np.argsort(-logits, axis=1, kind="stable")[:, : top_k or logits.shape[1]]
            places = np.sort(places, axis=1) if top_k is None else places
            scaled = np.take_along_axis(logits, places, 1) / temperature
            chance = np.exp(scaled - scaled.max(1, keepdims=True))
            drawn = dnn.tensor((chance / chance.sum(1, keepdims=True)).astype(np.float32)).multinomial(1, generator=generator)
            new = np.take_along_axis(places, drawn.numpy(), 1)
        tokens = dnn.cat([tokens, dnn.tensor(new)], 1)
    return tokens[:, prime.shape[1] :]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("temperature", "top_k"), [(0, None), (1.0, None), (0.5, 3), (1.7, 1)])
def test_generated_tokens_are_those_of_reading_everything_again(cell, temperature, top_k):
    model = models.LanguageModel(9, 12, 5, cell=cell, num_layers=2, dropout=0.5)
    with dnn.no_grad():
        model.head.weight.mul_(8)  # clear preferences: no draw hangs on a rounding
    prime = dnn.randint(9, (3, 4))
    found = model.generate(prime, 20, temperature=temperature, top_k=top_k, generator=dnn.Generator().manual_seed(7))
    assert model.training
    model.eval()
    expected = by_recomputation(model, prime, 20, temperature, top_k, dnn.Generator().manual_seed(7))
    assert found.dtype == dnn.int64
    assert found.tolist() == expected.tolist()


def test_generate_takes_one_text_or_several():
    model = models.LanguageModel(9, 12, 5)
    prime = dnn.tensor([1, 2, 3])
    alone = model.generate(prime, 6, temperature=0)
    assert alone.shape == (6,)
    assert model.generate(prime.unsqueeze(0), 6, temperature=0).tolist() == [alone.tolist()]
    assert model.generate(prime, 0).shape == (0,)
    assert model.generate(prime.unsqueeze(0), 0).shape == (1, 0)
    dnn.manual_seed(3)
    first = model.generate(prime, 20).tolist()
    dnn.manual_seed(3)
    assert model.generate(prime, 20).tolist() == first
    drawn = model.generate(dnn.zeros(2000, 1, dtype=dnn.int64), 1)[:, 0]
    share = np.bincount(drawn.numpy(), minlength=9) / 2000
    chance = numbers(model.eval()(dnn.zeros(1, 1, dtype=dnn.int64))[0, :, 0].softmax(0))
    assert np.abs(share - chance).max() < 5 * np.sqrt(0.25 / 2000)


@pytest.mark.parametrize("top_k", [None, 3])
def test_the_coldest_text_is_that_of_the_likeliest_tokens(top_k):
    model, prime = models.LanguageModel(9, 12, 5), dnn.tensor([1, 2])
    likeliest = model.generate(prime, 9, temperature=0).tolist()
    for temperature in (1e-12, 1e-42, 1e-320):
        assert model.generate(prime, 9, temperature=temperature, top_k=top_k).tolist() == likeliest


def test_generate_refuses_what_it_cannot_continue():
    model = models.LanguageModel(9, 12, 5)
    prime = dnn.tensor([1, 2])
    wrong = [
        (lambda: model.generate(prime[:0], 3), r"generate: expected prime of shape \(P,\) or \(N, P\) with P of at least 1"),
        (lambda: model.generate(prime.float(), 3), r"int64, got \(2,\) of .*float32"),
        (lambda: model.generate(prime.reshape(1, 1, 2), 3), r"got \(1, 1, 2\)"),
        (lambda: model.generate(prime, -1), "generate: expected length of at least 0, got -1"),
        (lambda: model.generate(prime, 1, temperature=-1), "generate: expected a temperature of at least 0, got -1"),
        (lambda: model.generate(prime, 1, temperature=math.nan), "generate: expected a temperature of at least 0, got nan"),
        (lambda: model.generate(prime, 1, top_k=10), "generate: expected top_k from 1 to 9, got 10"),
        (lambda: model.generate(prime, 1, top_k=0), "generate: expected top_k from 1 to 9, got 0"),
    ]
    for call, message in wrong:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="generate: expected a Tensor as prime, got str; encode a text with Characters"):
        model.generate("ab", 3)


# --- Series


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("steps", [1, 3, 4, 10])
def test_forecasts_go_on_from_what_was_forecast(cell, steps):
    model = models.Forecaster(2, 3, 8, cell=cell, num_layers=2, dropout=0.4)
    assert model.horizon == 3
    x = dnn.randn(4, 7, 2)
    found = model.forecast(x, steps)
    assert model.training
    model.eval()
    known = x
    while known.shape[1] < 7 + steps:
        known = dnn.cat([known, model(known)], 1)
    np.testing.assert_allclose(numbers(found), numbers(known[:, 7 : 7 + steps]), atol=1e-5)
    with pytest.raises(ValueError, match="forecast: expected steps of at least 1, got 0"):
        model.forecast(x, 0)


# --- Encoder and decoder


def test_attention_is_its_formula():
    attention = models.LuongAttention(6).double()
    decoder, encoder = dnn.randn(2, 3, 6, dtype=dnn.float64), dnn.randn(2, 5, 6, dtype=dnn.float64)
    hidden = dnn.tensor([[False] * 5, [False, False, True, True, True]])
    d, e = numbers(decoder), numbers(encoder)
    scores = np.einsum("nth,hk,nsk->nts", d, numbers(attention.score.weight).T, e)
    scores[1, :, 2:] = -np.inf
    weights = np.exp(scores - scores.max(2, keepdims=True))
    weights /= weights.sum(2, keepdims=True)
    np.testing.assert_allclose(numbers(attention.weights(decoder, encoder, hidden)), weights, atol=1e-12)
    expected = np.tanh(np.concatenate([weights @ e, d], 2) @ numbers(attention.combine.weight).T)
    np.testing.assert_allclose(numbers(attention(decoder, encoder, hidden)), expected, atol=1e-12)


def test_additive_attention_is_its_formula():
    attention = models.BahdanauAttention(4).double()
    decoder, encoder = dnn.randn(2, 3, 4, dtype=dnn.float64), dnn.randn(2, 5, 4, dtype=dnn.float64)
    w, u, v = (numbers(layer.weight) for layer in (attention.query, attention.key, attention.score))
    d, e = numbers(decoder), numbers(encoder)
    for n, t in np.ndindex(2, 3):
        scores = np.array([v[0] @ np.tanh(w @ d[n, t] + u @ e[n, s]) for s in range(5)])
        weights = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(numbers(attention.weights(decoder, encoder))[n, t], weights, atol=1e-12)


@pytest.mark.parametrize("kind", [models.LuongAttention, models.BahdanauAttention])
def test_attention_has_its_gradient(kind):
    attention = kind(3).double()
    decoder = dnn.randn(2, 2, 3, dtype=dnn.float64).requires_grad_()
    encoder = dnn.randn(2, 4, 3, dtype=dnn.float64).requires_grad_()
    hidden = dnn.tensor([[False] * 4, [False, True, True, True]])
    assert dnn.autograd.gradcheck(lambda d, e: attention(d, e, hidden), (decoder, encoder))


def test_teacher_forcing_chooses_as_often_as_it_says():
    right, said = dnn.zeros(20000, 1, dtype=dnn.int64), dnn.ones(20000, 1, dtype=dnn.int64)
    for ratio in (0.0, 0.25, 1.0):
        layer = models.TeacherForcing(ratio)
        found = layer(right, said)
        assert found.dtype == dnn.int64
        assert abs(1 - found.float().mean().item() - ratio) <= 5 * math.sqrt(ratio * (1 - ratio) / 20000)
        assert layer.eval()(right, said).tolist() == right.tolist()
    with pytest.raises(ValueError, match=r"TeacherForcing: expected a ratio from 0 to 1, got 1.5"):
        models.TeacherForcing(1.5)


@pytest.mark.parametrize("attention", ["luong", "bahdanau", None])
@pytest.mark.parametrize("cell", CELLS)
def test_a_decoder_that_reads_itself_says_what_it_decodes(cell, attention):
    model = models.EncoderDecoder(7, 9, 8, 5, cell=cell, attention=attention, num_layers=2, teacher_forcing=0.0)
    source = dnn.randint(7, (4, 6))
    decoded = model.decode(source, start=1, length=5)
    assert model.training
    # In training with ratio 0 only the first token of the target counts.
    target = dnn.cat([dnn.ones(4, 1, dtype=dnn.int64), dnn.randint(9, (4, 4))], 1)
    free = model(source, target)
    assert free.argmax(1).tolist() == decoded.tolist()
    # And with the right tokens, which are those it says, the same comes in one call.
    model.eval()
    read = dnn.cat([target[:, :1], decoded[:, :-1]], 1)
    np.testing.assert_allclose(numbers(model(source, read)), numbers(free), atol=1e-5)
    # An end stays the end.
    end = decoded[0, 1].item()
    ended = model.decode(source, start=1, length=5, end=end).tolist()
    for row, full in zip(ended, decoded.tolist(), strict=True):
        place = full.index(end) if end in full else len(full)
        assert row[: place + 1] == full[: place + 1]
        assert set(row[place:]) <= {end}


def test_a_padded_source_is_as_if_it_were_alone():
    model = models.EncoderDecoder(7, 9, 8, 5)
    source, target = dnn.randint(7, (3, 6)), dnn.randint(9, (3, 4))
    lengths = [6, 2, 4]
    together = numbers(model(source, target, lengths))
    decoded = model.decode(source, 0, 4, lengths=dnn.tensor(lengths)).tolist()
    for row, length in enumerate(lengths):
        part = source[row : row + 1, :length]
        np.testing.assert_allclose(together[row], numbers(model(part, target[row : row + 1]))[0], atol=1e-6)
        assert decoded[row] == model.decode(part, 0, 4).tolist()[0]
    with pytest.raises(ValueError, match="EncoderDecoder: expected lengths of at least 1"):
        model(source, target, [6, 0, 4])


def test_decode_refuses_tokens_it_does_not_have():
    model = models.EncoderDecoder(7, 9, 8, 5)
    source = dnn.randint(7, (3, 6))
    wrong = [
        (lambda: model.decode(source, 9, 2), "decode: expected start from 0 to 8, got 9"),
        (lambda: model.decode(source, 0, 2, end=-1), "decode: expected end from 0 to 8, got -1"),
        (lambda: model.decode(source, 0, -2), "decode: expected length of at least 0, got -2"),
    ]
    for call, message in wrong:
        with pytest.raises(ValueError, match=message):
            call()
    assert model.decode(source, 0, 0).shape == (3, 0)


WRONG = [
    (lambda: models.SequenceClassifier(3, 0), "SequenceClassifier: expected num_classes of at least 1, got 0"),
    (lambda: models.SequenceTagger(0, 2), "SequenceTagger: expected input_size of at least 1, got 0"),
    (lambda: models.SequenceClassifier(3, 2, cell="elman"), "expected cell 'lstm' or 'gru' or 'rnn', got 'elman'"),
    (lambda: models.SequenceClassifier(3, 2, embedding_dim=0), "expected embedding_dim of at least 1, got 0"),
    (lambda: models.SequenceClassifier(3, 2, num_layers=0), "expected num_layers of at least 1, got 0"),
    (lambda: models.SequenceClassifier(3, 2, cell="rnn", memory=9), "a plain RNN has no gate to hold a state"),
    (lambda: models.LanguageModel(0), "LanguageModel: expected vocab_size of at least 1, got 0"),
    (lambda: models.Forecaster(1, 0), "Forecaster: expected horizon of at least 1, got 0"),
    (lambda: models.LastSteps(0), "LastSteps: expected window of at least 1, got 0"),
    (lambda: models.delay_network(0, 1, 3), "delay_network: expected input_size of at least 1, got 0"),
    (lambda: models.delay_network(1, (2, 0), 3), "delay_network: expected outputs of at least 1, got 0"),
    (lambda: models.delay_network(1, 1, 3, (4, 0)), "delay_network: expected hidden of at least 1, got 0"),
    (lambda: models.LuongAttention(0), "LuongAttention: expected hidden_size of at least 1, got 0"),
    (lambda: models.BahdanauAttention(0), "BahdanauAttention: expected hidden_size of at least 1, got 0"),
    (lambda: models.EncoderDecoder(3, 3, attention=True), "expected attention 'luong' or 'bahdanau' or None, got True"),
    (lambda: models.EncoderDecoder(0, 3), "EncoderDecoder: expected source_size of at least 1, got 0"),
    (lambda: models.EncoderDecoder(3, 3, teacher_forcing=2), "TeacherForcing: expected a ratio from 0 to 1, got 2"),
]


@pytest.mark.parametrize(
    ("network", "shapes", "message"),
    [
        (
            models.SequenceClassifier(3, 2, 4),
            [(5, 3)],
            r"SequenceClassifier: expected numbers of shape \(N, T, 3\), got shape \(5, 3\)",
        ),
        (
            models.SequenceTagger(9, 2, 4, embedding_dim=3),
            [(5,)],
            r"SequenceTagger: expected tokens of shape \(N, T\), got shape",
        ),
        (models.LanguageModel(9, 4, 3), [(2, 5, 1)], r"LanguageModel: expected tokens of shape \(N, T\), got shape \(2, 5, 1\)"),
        (models.Forecaster(), [(4,)], r"Forecaster: expected numbers of shape \(N, T, 1\), got shape \(4,\)"),
        (models.EncoderDecoder(9, 9, 4, 3), [(3, 5), (2, 5)], r"expected source \(N, S\) and target \(N, T\), got \(3, 5\) and"),
        (models.EncoderDecoder(9, 9, 4, 3), [(5,), (5,)], r"EncoderDecoder: expected source \(N, S\) and target \(N, T\)"),
    ],
)
def test_batches_of_other_ranks_are_named(network, shapes, message):
    with pytest.raises(ValueError, match=message):
        network(*map(dnn.zeros, shapes))


@pytest.mark.parametrize("length", [0, 1])
def test_the_shortest_targets_need_no_forcing(length):
    network = models.EncoderDecoder(9, 8, 4, 3, teacher_forcing=0.5)
    assert network(dnn.randint(9, (3, 5)), dnn.randint(8, (3, length))).shape == (3, 8, length)


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_sizes_out_of_range_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
