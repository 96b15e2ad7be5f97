"""Generated sequences, windows of series and text against their definitions."""

from __future__ import annotations

import dnncore as dnn
import numpy as np
import pytest
from dnncore import data
from dnncore.data.series import _mackey_glass
from hypothesis import given, settings
from hypothesis import strategies as st


def seeded(seed=0):
    return dnn.Generator().manual_seed(seed)


def bits(found):
    return [part.numpy().tobytes() for part in (found if isinstance(found, tuple) else (found,))]


MAKERS = {
    "first_symbol": lambda generator: data.make_first_symbol(20, 6, generator),
    "adding_problem": lambda generator: data.make_adding_problem(20, 6, generator),
    "mackey_glass": lambda generator: data.make_mackey_glass(3, 20, generator),
    "noisy_sines": lambda generator: data.make_noisy_sines(3, 20, generator),
}


@pytest.mark.parametrize("name", MAKERS)
def test_everything_random_comes_from_the_generator(name):
    make = MAKERS[name]
    assert bits(make(seeded())) == bits(make(seeded()))
    assert bits(make(seeded())) != bits(make(seeded(1)))
    dnn.manual_seed(5)
    first = bits(make(None))
    dnn.manual_seed(5)
    assert bits(make(None)) == first


# --- Tasks of memory


def test_the_first_symbol_is_the_class_and_comes_no_more():
    x, y = data.make_first_symbol(1000, 30, seeded(), classes=3, distractors=5)
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((1000, 31), dnn.int64, (1000,), dnn.int64)
    x, y = x.numpy(), y.numpy()
    assert sorted(np.bincount(y).tolist()) == [333, 333, 334]
    np.testing.assert_array_equal(x[:, 0], y)
    counts = np.bincount(x[:, 1:].ravel(), minlength=8)
    assert counts[:3].tolist() == [0, 0, 0]
    assert len(counts) == 8
    # 30,000 draws of five: a deviation of five standard deviations
    assert np.abs(counts[3:] - 6000).max() < 5 * np.sqrt(30000 * 0.2 * 0.8)
    assert data.make_first_symbol(4, 0)[0].shape == (4, 1)
    assert data.make_first_symbol(0, 3)[0].shape == (0, 4)


def test_the_adding_problem_asks_for_the_sum_of_the_marked():
    for length in (2, 3, 7, 50):
        x, y = data.make_adding_problem(400, length, seeded())
        assert (x.shape, y.shape, x.dtype, y.dtype) == ((400, length, 2), (400, 1), dnn.float32, dnn.float32)
        values, marks = np.moveaxis(x.numpy(), -1, 0)
        assert set(np.unique(marks)) <= {0.0, 1.0}
        assert (marks[:, : length // 2].sum(1) == 1).all()
        assert (marks[:, length // 2 :].sum(1) == 1).all()
        assert (marks.sum(0) > 0).all()  # every place is marked sometimes
        assert (values >= 0).all()
        assert (values < 1).all()
        np.testing.assert_array_equal((values * marks).sum(1, dtype=np.float32), y.numpy()[:, 0])
    # The stated error of answering the mean: the variance of the sum of two uniform numbers.
    _, y = data.make_adding_problem(100_000, 10, seeded())
    assert abs(((y - 1) ** 2).mean().item() - 1 / 6) < 0.003


# --- Series


def runge_kutta(start, delay, steps, h):
    """Return the solution by the textbook's steps, the delayed values by cubic Hermite interpolation."""

    def production(past):
        return 0.2 * past / (1 + past**10)

    x, slope = [start] * (delay + 1), [0.0] * (delay + 1)  # slopes from the right, but that of time 0 for what came before
    for k in range(delay, delay + steps):
        before, after = x[k - delay], x[k - delay + 1]
        left, right = slope[k - delay], 0.0 if k - delay + 1 == delay else slope[k - delay + 1]
        middle = (before + after) / 2 + h / 8 * (left - right)
        g0, gm, g1 = production(before), production(middle), production(after)
        slope[k] = g0 - 0.1 * x[k]
        k1 = slope[k]
        k2 = gm - 0.1 * (x[k] + h / 2 * k1)
        k3 = gm - 0.1 * (x[k] + h / 2 * k2)
        k4 = g1 - 0.1 * (x[k] + h * k3)
        x.append(x[k] + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
        slope.append(np.nan)
    return np.array(x[delay:])


def test_mackey_glass_is_the_runge_kutta_method():
    expected = runge_kutta(1.2, 17, 300, 0.5)
    found = _mackey_glass(np.array([1.2, 0.7]), 17, 300, 0.5)
    assert found.shape == (301, 2)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-12)  # chaos multiplies roundings of 1e-16
    np.testing.assert_allclose(found[:, 1], runge_kutta(0.7, 17, 300, 0.5), rtol=1e-12)


def test_the_integration_has_its_order():
    """Half the step, a sixteenth of the error, at time 100 with a delay of 10."""
    exact = _mackey_glass(np.array([1.2]), 1280, 12800, 1 / 128)[-1]
    errors = [abs(_mackey_glass(np.array([1.2]), 10 * per, 100 * per, 1 / per)[-1] - exact)[0] for per in (2, 4, 8)]
    ratios = np.log2([errors[0] / errors[1], errors[1] / errors[2]])
    assert (ratios > 3.6).all()
    assert (ratios < 4.6).all()


def test_mackey_glass_samples_are_of_the_solution_after_it_has_settled():
    x = data.make_mackey_glass(2, 40, seeded(), tau=3.5)
    start = 0.5 + dnn.rand(2, generator=seeded()).numpy().astype(np.float64)
    whole = _mackey_glass(start, 35, 3400, 0.1)
    assert (x.shape, x.dtype) == ((2, 40, 1), dnn.float32)
    np.testing.assert_array_equal(x.numpy()[:, :, 0], whole[3000:3400:10].T.astype(np.float32))
    assert data.make_mackey_glass(2, 0).shape == (2, 0, 1)
    assert data.make_mackey_glass(0, 5).shape == (0, 5, 1)
    # A short delay ends at the fixed point, where 0.2 x / (1 + x^10) = 0.1 x, so x = 1; at 17 it never rests.
    np.testing.assert_allclose(data.make_mackey_glass(1, 5, seeded(), tau=2).numpy(), 1, atol=1e-6)
    assert data.make_mackey_glass(1, 500, seeded()).std().item() > 0.15


def test_noisy_sines_are_sines_and_noise():
    noisy, clean = data.make_noisy_sines(200, 400, seeded(), noise=0.3)
    error = (noisy - clean).numpy()
    assert abs(error.std() - 0.3) < 0.005
    assert abs(error.mean()) < 0.005
    assert abs(np.corrcoef(error[:, 1:, 0].ravel(), error[:, :-1, 0].ravel())[0, 1]) < 0.02
    wave = clean.numpy()[:, :, 0].astype(np.float64)
    # Of a sine x[t-1] + x[t+1] = 2 cos(2 pi / period) x[t]: that gives its period.
    middle = wave[:, 1:-1]
    cosine = ((wave[:, :-2] + wave[:, 2:]) * middle).sum(1) / (2 * (middle**2).sum(1))
    period = 2 * np.pi / np.arccos(cosine)
    assert period.min() > 9.99
    assert period.max() < 50.01
    assert np.ptp(period) > 35
    same, clean = data.make_noisy_sines(2, 10, noise=0)
    np.testing.assert_array_equal(same.numpy(), clean.numpy())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(2, 30), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_delay_windows_are_what_a_loop_cuts(series, length, window, horizon, stride, features):
    values = np.arange(series * length * features, dtype=np.float64).reshape(series, length, features)
    if length < window + horizon:
        with pytest.raises(ValueError, match="delay_windows: expected at least window"):
            data.delay_windows(values, window, horizon, stride)
        return
    x, y = data.delay_windows(values, window, horizon, stride)
    begins = range(0, length - window - horizon + 1, stride)
    assert x.tolist() == [each[b : b + window].tolist() for each in values for b in begins]
    assert y.tolist() == [each[b + window : b + window + horizon].tolist() for each in values for b in begins]
    assert x.dtype == dnn.float64


def test_delay_windows_take_series_of_every_rank():
    flat = dnn.arange(10).float()
    expected = data.delay_windows(flat.reshape(1, 10, 1), 3)
    for same in (flat, flat.reshape(10, 1), flat.numpy()):
        x, y = data.delay_windows(same, 3)
        assert (x.tolist(), y.tolist()) == (expected[0].tolist(), expected[1].tolist())


# --- Text


def write(folder, content):
    path = folder / "text.txt"
    path.write_bytes(content)
    return path


def test_read_text_knows_encodings_and_ends_of_lines(tmp_path):
    assert data.read_text(write(tmp_path, b"one\r\ntwo\rthree\n")) == "one\ntwo\nthree\n"
    assert data.read_text(write(tmp_path, "\ufeffcafé".encode())) == "café"
    assert data.read_text(write(tmp_path, "café".encode("latin-1")), "latin-1") == "café"
    assert data.read_text(write(tmp_path, "café".encode("utf-16")), "utf-16") == "café"
    with pytest.raises(ValueError, match=r"read_text: .*text.txt is not in utf-8: .* at byte 3"):
        data.read_text(write(tmp_path, "café!".encode("latin-1")))
    with pytest.raises(ValueError, match=r"read_text: .* is empty"):
        data.read_text(write(tmp_path, b""))
    with pytest.raises(ValueError, match="read_text: unknown encoding 'klingon'"):
        data.read_text(write(tmp_path, b"x"), "klingon")
    with pytest.raises(ValueError, match="read_text: 'base64' is no encoding of text"):
        data.read_text(write(tmp_path, b"x"), "base64")
    with pytest.raises(FileNotFoundError):
        data.read_text(tmp_path / "none")
    with pytest.raises(OSError, match=r"read_text: expected a regular file|directory"):
        data.read_text(tmp_path)


def test_split_text_keeps_every_character():
    text = "".join(map(chr, range(97, 123)))
    train, test = data.split_text(text)
    assert (train + test, len(test)) == (text, 3)
    assert data.split_text("ab", 0.99) == ("a", "b")
    assert data.split_text("ab", 0.01) == ("a", "b")


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=50))
def test_what_is_encoded_is_decoded(text):
    vocabulary = data.Characters(text)
    numbers = vocabulary.encode(text)
    assert vocabulary.characters == "".join(sorted(set(text)))
    assert numbers.tolist() == [vocabulary.characters.index(each) for each in text]
    assert vocabulary.decode(numbers) == text
    again = data.Characters(vocabulary.characters)
    assert again == vocabulary
    assert hash(again) == hash(vocabulary)


def test_characters_outside_the_vocabulary_are_named():
    vocabulary = data.Characters("abc")
    assert vocabulary.encode("").shape == (0,)
    assert vocabulary.decode([]) == ""
    for text, place in (("abz", 2), ("Aab", 0), ("a\U0001f600", 1)):
        with pytest.raises(ValueError, match=rf"Characters.encode: {text[place]!r} at position {place} is not in the vocabulary"):
            vocabulary.encode(text)
    for wrong in ([3], [-1], [0.5], dnn.tensor([[0, 1]])):
        with pytest.raises(ValueError, match=r"Characters\.decode: expected numbers of 0 to 2"):
            vocabulary.decode(wrong)
    assert vocabulary != data.Characters("ab")
    assert vocabulary != "abc"
    assert repr(vocabulary) == "Characters('abc')"


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(1, 9), st.integers(1, 9))
def test_chunks_and_streams_are_what_a_loop_cuts(count, length, stride):
    tokens = dnn.arange(count)
    if count > length:
        x, y = data.text_chunks(tokens, length, stride)
        begins = range(0, count - length, stride)
        assert x.tolist() == [[*range(b, b + length)] for b in begins]
        assert y.tolist() == (x + 1).tolist()
        x, y = data.text_streams(tokens, length)
        each = (count - 1) // length
        assert x.tolist() == [[*range(i * each, (i + 1) * each)] for i in range(length)]
        assert y.tolist() == (x + 1).tolist()
    else:
        with pytest.raises(ValueError, match=f"text_chunks: expected at least {length + 1} tokens, got {count}"):
            data.text_chunks(tokens, length)
        with pytest.raises(ValueError, match=f"text_streams: expected at least {length + 1} tokens, got {count}"):
            data.text_streams(tokens, length)


# --- Errors

WRONG = [
    (lambda: data.make_first_symbol(-1, 3), "make_first_symbol: expected n of at least 0, got -1"),
    (lambda: data.make_first_symbol(1, -3), "make_first_symbol: expected lag of at least 0, got -3"),
    (lambda: data.make_first_symbol(1, 3, classes=0), "make_first_symbol: expected classes of at least 1, got 0"),
    (lambda: data.make_first_symbol(1, 3, distractors=0), "make_first_symbol: expected distractors of at least 1"),
    (lambda: data.make_adding_problem(-1, 3), "make_adding_problem: expected n of at least 0, got -1"),
    (lambda: data.make_adding_problem(1, 1), "make_adding_problem: expected length of at least 2, got 1"),
    (lambda: data.make_mackey_glass(-1, 3), "make_mackey_glass: expected n of at least 0, got -1"),
    (lambda: data.make_mackey_glass(1, -3), "make_mackey_glass: expected length of at least 0, got -3"),
    (lambda: data.make_mackey_glass(1, 3, tau=0), "make_mackey_glass: expected tau to be a multiple of 0.1 above 0, got 0"),
    (lambda: data.make_mackey_glass(1, 3, tau=1.23), "multiple of 0.1 above 0, got 1.23"),
    (lambda: data.make_mackey_glass(1, 3, tau=float("nan")), "multiple of 0.1 above 0, got nan"),
    (lambda: data.make_noisy_sines(1, 3, noise=-1), "make_noisy_sines: expected noise of at least 0, got -1"),
    (lambda: data.make_noisy_sines(1, 3, noise=float("nan")), "make_noisy_sines: expected noise of at least 0, got nan"),
    (lambda: data.delay_windows(dnn.zeros(5), 0), "delay_windows: expected window of at least 1, got 0"),
    (lambda: data.delay_windows(dnn.zeros(5), 1, 0), "delay_windows: expected horizon of at least 1, got 0"),
    (lambda: data.delay_windows(dnn.zeros(5), 1, 1, 0), "delay_windows: expected stride of at least 1, got 0"),
    (lambda: data.delay_windows(dnn.zeros(1, 1, 5, 1), 1), r"expected series of shape \(T,\), \(T, F\) or \(N, T, F\), got"),
    (lambda: data.split_text("abc", 0), "split_text: expected held_out above 0 and below 1, got 0"),
    (lambda: data.split_text("a"), "split_text: expected a text of at least two characters, got 1"),
    (lambda: data.Characters(""), "Characters: expected a text with at least one character"),
    (lambda: data.text_chunks(dnn.arange(9), 0), "text_chunks: expected length of at least 1, got 0"),
    (lambda: data.text_chunks(dnn.arange(9), 2, 0), "text_chunks: expected stride of at least 1, got 0"),
    (lambda: data.text_chunks(dnn.zeros(9), 2), r"text_chunks: expected tokens of shape \(T,\), int64, got \(9,\) of .*float32"),
    (lambda: data.text_streams(dnn.arange(9), 0), "text_streams: expected n of at least 1, got 0"),
    (
        lambda: data.text_streams(dnn.arange(9).reshape(3, 3), 2),
        r"text_streams: expected tokens of shape \(T,\), int64, got \(3, 3\)",
    ),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: data.Characters(b"ab"), "Characters: expected a str, got bytes"),
        (lambda: data.Characters(["ab", "c"]), "Characters: expected a str, got list"),
        (lambda: data.Characters("ab").encode(b"a"), "Characters.encode: expected a str, got bytes"),
        (lambda: data.text_chunks("hello", 2), "text_chunks: expected a Tensor as tokens, got str; encode it with Characters"),
        (lambda: data.text_chunks(np.arange(9), 2), "text_chunks: expected a Tensor as tokens, got ndarray"),
        (lambda: data.text_chunks(dnn.arange(9), 2.0), "text_chunks: expected length of type int, got float"),
        (lambda: data.delay_windows(dnn.zeros(9), 2.5), "delay_windows: expected window of type int, got float"),
        (lambda: data.make_first_symbol(2.5, 3), "make_first_symbol: expected n of type int, got float"),
        (lambda: data.make_noisy_sines(2, 3.0), "make_noisy_sines: expected length of type int, got float"),
        (lambda: data.text_streams([1, 2, 3], 2), "text_streams: expected a Tensor as tokens, got list"),
    ],
)
def test_what_is_of_another_kind_is_named(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_windows_of_no_features_and_no_series():
    assert [tuple(part.shape) for part in data.delay_windows(dnn.zeros(2, 6, 0), 2)] == [(8, 2, 0), (8, 1, 0)]
    assert [tuple(part.shape) for part in data.delay_windows(dnn.zeros(0, 6, 1), 2)] == [(0, 2, 1), (0, 1, 1)]
