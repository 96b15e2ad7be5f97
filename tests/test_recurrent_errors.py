"""Recurrent layers and cells: bad input is named, with what was expected and what came."""

from __future__ import annotations

import dnncore as dnn
import numpy as np
import pytest
from dnncore import nn
from dnncore.nn.utils import rnn

F32, F64 = dnn.float32, dnn.float64

SETTINGS = [
    (nn.LSTM, (4, 0), {}, ValueError, "LSTM: expected hidden_size of at least 1, got 0"),
    (nn.GRU, (4, 2.0), {}, TypeError, "GRU: expected hidden_size of type int, got float"),
    (nn.RNN, (-1, 2), {}, ValueError, "RNN: expected input_size of at least 0, got -1"),
    (nn.GRU, (4, 2, 0), {}, ValueError, "GRU: expected num_layers of at least 1, got 0"),
    (nn.LSTM, (4, 2), {"dropout": 1.5, "num_layers": 2}, ValueError, "LSTM: expected dropout from 0 to 1, got dropout=1.5"),
    (nn.LSTM, (4, 2), {"dropout": "a"}, TypeError, "LSTM: expected dropout as a number from 0 to 1, got str"),
    (nn.LSTM, (4, 2), {"dropout": True}, TypeError, "LSTM: expected dropout as a number from 0 to 1, got bool"),
    (
        nn.LSTM,
        (4, 2),
        {"proj_size": 2},
        ValueError,
        "LSTM: expected proj_size below hidden_size=2, .* got proj_size=2",
    ),
    (nn.LSTM, (4, 2), {"proj_size": -1}, ValueError, "LSTM: expected proj_size of at least 0, got -1"),
    (nn.RNN, (4, 2), {"nonlinearity": "sin"}, ValueError, "RNN: expected nonlinearity 'tanh' or 'relu', got 'sin'"),
    (nn.RNNCell, (4, 2), {"nonlinearity": "sin"}, ValueError, "RNNCell: expected nonlinearity 'tanh' or 'relu', got 'sin'"),
    (nn.LSTMCell, (4, 0), {}, ValueError, "LSTMCell: expected hidden_size of at least 1, got 0"),
    (nn.GRU, (4, 2), {"proj_size": 1}, TypeError, "proj_size"),
]


@pytest.mark.parametrize(("layer", "sizes", "settings", "error", "text"), SETTINGS)
def test_settings(layer, sizes, settings, error, text):
    with pytest.raises(error, match=text):
        layer(*sizes, **settings)


def test_dropout_of_one_layer_warns():
    with pytest.warns(
        UserWarning, match=r"LSTM: dropout acts between layers: dropout=0\.5 does nothing with num_layers=1"
    ) as found:
        nn.LSTM(4, 2, dropout=0.5)
    assert found[0].filename == __file__


X = dnn.zeros(5, 3, 4)  # T, B, features
LSTM, FIRST = nn.LSTM(4, 6, 2), nn.LSTM(4, 6, 2, batch_first=True)
GRU, PROJECTED = nn.GRU(4, 6, bidirectional=True), nn.LSTM(4, 6, proj_size=2)


def pair(*shapes, dtype=F32):
    return tuple(dnn.zeros(shape, dtype=dtype) for shape in shapes)


H = (2, 3, 6)
CALLS = [
    (
        LSTM,
        (dnn.zeros(5, 3, 7),),
        ValueError,
        "expected input of 4 features (input_size) ... got shape (5, 3, 7); use input_size=7",
    ),
    (
        LSTM,
        (dnn.zeros(4),),
        ValueError,
        "expected an input of 3 dimensions, (steps, batch, features) ... got shape (4,)",
    ),
    (FIRST, (dnn.zeros(1, 1, 1, 4),), ValueError, "LSTM: expected an input of 3 dimensions, (batch, steps, features)"),
    (LSTM, ([1.0],), TypeError, "LSTM: expected a Tensor or a PackedSequence as input, got list"),
    (LSTM, (dnn.zeros(5, 3, 4, dtype=dnn.int64),), TypeError, "LSTM: expected a floating tensor, got int64"),
    (
        LSTM,
        (X.to(dnn.bfloat16),),
        TypeError,
        "LSTM: expected input and weights of one dtype, got input of bfloat16 and weights of float32",
    ),
    (LSTM, (X.to(F64),), TypeError, "LSTM: expected input and weights of one dtype, got input of float64 and weights of float32"),
    (LSTM, (X, dnn.zeros(*H)), TypeError, "LSTM: expected hx as a pair (h0, c0), got Tenso"),
    (LSTM, (X, (dnn.zeros(*H), None, None)), TypeError, "LSTM: expected hx as a pair (h0, c0), got tuple"),
    (LSTM, (X, (3, dnn.zeros(*H))), TypeError, "LSTM: expected h0 as a Tensor, got int"),
    (
        LSTM,
        (X, pair(H, (1, 3, 6))),
        ValueError,
        "expected c0 of shape (2, 3, 6) (num_layers * directions, batch, size)",
    ),
    (
        LSTM,
        (X, pair((1, 3, 6), H)),
        ValueError,
        "expected h0 of shape (2, 3, 6) ... input of shape (5, 3, 4), got (1, 3, 6)",
    ),
    (LSTM, (X, pair((2, 6), H)), ValueError, "expected h0 of shape (2, 3, 6) ... got (2, 6)"),
    (LSTM, (X, pair((3, 2, 6), H)), ValueError, "got (3, 2, 6); states are never batch-first: use transpose(0, 1)"),
    (
        LSTM,
        (X, pair((2, 5, 6), H)),
        ValueError,
        "it fits 5 sequences, as with batch_first=True: pass that ... or input.transpose(0, 1)",
    ),
    (FIRST, (X, pair((2, 3, 6), (2, 3, 6))), ValueError, "expected h0 of shape (2, 5, 6) ... as with batch_first=False"),
    (LSTM, (X, pair(H, H, dtype=F64)), TypeError, "LSTM: expected h0 of float32 as the input, got float64"),
    (PROJECTED, (X, pair((1, 3, 6), (1, 3, 6))), ValueError, "LSTM: expected h0 of shape (1, 3, 2)"),
    (PROJECTED, (X, pair((1, 3, 2), (1, 3, 2))), ValueError, "LSTM: expected c0 of shape (1, 3, 6)"),
    (
        LSTM,
        (X[0], pair((2, 1, 6), (2, 6))),
        ValueError,
        "expected h0 of shape (2, 6) for input of shape (3, 4), got (2, 1, 6)",
    ),
    (GRU, (X, pair(H)), TypeError, "GRU: expected hx as a Tensor, got tuple"),
    (GRU, (X, dnn.zeros(1, 3, 6)), ValueError, "GRU: expected h0 of shape (2, 3, 6)"),
    (
        nn.LSTMCell(4, 6),
        (X,),
        ValueError,
        "expected an input of 2 dimensions, (batch, features), or of 1, got shape (5, 3, 4)",
    ),
    (nn.LSTMCell(4, 6), (X[0], X[0]), TypeError, "LSTMCell: expected hx as a pair (hx, cx), got Tenso"),
    (
        nn.LSTMCell(4, 6),
        (X[0], pair((3, 6), (3, 5))),
        ValueError,
        "expected cx of shape (3, 6) for input of shape (3, 4), got (3, 5)",
    ),
    (
        nn.GRUCell(4, 6),
        (X[0], dnn.zeros(2, 6)),
        ValueError,
        "expected hx of shape (3, 6) for input of shape (3, 4), got (2, 6)",
    ),
    (nn.GRUCell(4, 6), (X[0], X[0].to(F64)), TypeError, "GRUCell: expected hx of float32 as the input, got float64"),
    (nn.RNNCell(4, 6), (dnn.zeros(3, 5),), ValueError, "expected input of 4 features (input_size) ... use input_size=5"),
    (nn.RNNCell(4, 6), (3.0,), TypeError, "RNNCell: expected a Tensor as input, got float"),
    (nn.RNNCell(4, 6), (X[0], 3), TypeError, "RNNCell: expected hx as a Tensor, got int"),
]


@pytest.mark.parametrize(("layer", "arguments", "error", "text"), CALLS)
def test_calls(layer, arguments, error, text):
    with pytest.raises(error) as found:
        layer(*arguments)
    assert str(found.value).startswith(f"{type(layer).__name__}: ")
    assert all(part in str(found.value) for part in text.split(" ... "))


LENGTHS = [
    ([5, 6, 1], ValueError, r"LSTM: expected lengths from 0 to 5, the number of steps of the input of shape \(5, 3, 4\), got 6"),
    ([5, -1, 1], ValueError, "LSTM: expected lengths from 0 to 5, .* got -1"),
    ([5, 1], ValueError, r"LSTM: expected 3 lengths, one for each sequence of the input of shape \(5, 3, 4\), got 2$"),
    ([1] * 5, ValueError, r"got 5; that fits batch_first=True: pass it to the layer, or input.transpose\(0, 1\)"),
    ([1.0, 2.0, 3.0], TypeError, "LSTM: expected lengths as ints, got float"),
    ([True, False, True], TypeError, "LSTM: expected lengths as ints, got bool"),
    (["a", 1, 2], TypeError, "LSTM: expected lengths as ints, got str"),
    ([2**70, 1, 2], TypeError, "LSTM: expected lengths as ints"),
    (3, TypeError, "LSTM: expected lengths as ints or a tensor of them, got int"),
    (dnn.tensor([1.0, 2.0, 3.0]), TypeError, "LSTM: expected lengths of whole numbers, got float32"),
    (dnn.tensor([[1, 2, 3]]), ValueError, r"LSTM: expected lengths of one dimension, got shape \(1, 3\)"),
    (np.array([1.0, 2.0, 3.0]), TypeError, "LSTM: expected lengths of whole numbers, got float64"),
    (np.array([1, 2, 9]), ValueError, "LSTM: expected lengths from 0 to 5, .* got 9"),
]


@pytest.mark.parametrize(("lengths", "error", "text"), LENGTHS, ids=lambda x: None)
def test_lengths(lengths, error, text):
    with pytest.raises(error, match=text):
        LSTM(X, lengths=lengths)


@pytest.mark.parametrize(
    "lengths", [[1, 0, 5], (1, 0, 5), np.array([1, 0, 5], np.int32), [np.int64(1), 0, 5], dnn.tensor([1, 0, 5])]
)
def test_lengths_of_every_kind(lengths):
    assert LSTM(X, lengths=lengths)[0].tolist() == LSTM(X, lengths=[1, 0, 5])[0].tolist()


def test_lengths_without_a_batch():
    with pytest.raises(
        ValueError, match=r"LSTM: lengths are those of a batch: expected an input of 3 dimensions, got shape \(3, 4\)"
    ):
        LSTM(X[0], lengths=[3])


def test_packed_sequences():
    packed = rnn.pack_padded_sequence(X, [5, 3, 1])
    with pytest.raises(ValueError, match="LSTM: a PackedSequence has its lengths: call without lengths"):
        LSTM(packed, lengths=[5, 3, 1])
    with pytest.raises(ValueError, match=r"LSTM: expected h0 of shape \(2, 3, 6\).*got \(2, 4, 6\)"):
        LSTM(packed, pair((2, 4, 6), (2, 4, 6)))
    sizes = packed.batch_sizes
    wrong = {
        "expected packed data of 9 rows, the sum of its batch_sizes, got shape": (packed.data[:-1], sizes),
        "batch_sizes of a PackedSequence that are positive and never grow": (packed.data, sizes.flip(0)),
        "are positive and never": (packed.data, dnn.tensor([9, 0])),
        r"expected packed data of shape \(rows, features\)": (X, sizes),
        "expected batch_sizes of whole numbers, got float32": (packed.data, sizes.float()),
        "expected sorted_indices and unsorted_indices of 3 int64, got int64 of shape": (packed.data, sizes, dnn.tensor([1, 0])),
        "expected input of 4 features": (packed.data[:, :2], sizes),
    }
    for text, parts in wrong.items():
        with pytest.raises((ValueError, TypeError), match=f"LSTM: .*{text}"):
            LSTM(rnn.PackedSequence(*parts))


def test_positions_out_of_range():
    packed = rnn.pack_padded_sequence(X, [5, 3, 1])
    wrong = packed._replace(sorted_indices=dnn.tensor([0, 1, 7]), unsorted_indices=dnn.tensor([0, 1, 2]))
    with pytest.raises(IndexError, match="index 7 is out of bounds"):
        LSTM(wrong, pair(H, H))


def test_weights_of_other_shapes():
    layer = nn.LSTM(4, 6)
    layer.weight_hh_l0 = nn.Parameter(dnn.zeros(24, 5))
    with pytest.raises(ValueError, match=r"LSTM: expected weight_hh of shape \(24, 6\), got \(24, 5\)"):
        layer(X)
    layer.weight_hh_l0 = nn.Parameter(dnn.zeros(23, 6))
    with pytest.raises(ValueError, match="LSTM: expected weight_ih and weight_hh as matrices of 4 rows for each hidden unit"):
        layer(X)
    layer = nn.LSTM(4, 6)
    layer.bias_hh_l0 = nn.Parameter(dnn.zeros(5))
    with pytest.raises(ValueError, match=r"LSTM: expected bias_hh of shape \(24,\), got \(5,\)"):
        layer(X)
    layer.bias_hh_l0 = None
    with pytest.raises(ValueError, match="LSTM: expected bias_ih and bias_hh both or neither"):
        layer(X)
    layer = nn.LSTM(4, 6)
    layer.weight_hh_l0 = None
    with pytest.raises(ValueError, match="LSTM: expected weight_ih and weight_hh, got None"):
        layer(X)


def test_weights_of_every_layer_are_checked_before_one_runs():
    layer = nn.LSTM(4, 6, 3, dropout=0.5, bidirectional=True)
    layer.weight_ih_l2_reverse = nn.Parameter(dnn.zeros(24, 6))
    state = dnn.default_generator.get_state().tolist()
    with pytest.raises(ValueError, match=r"LSTM: expected weight_ih of shape \(24, 12\), got \(24, 6\)"):
        layer(X)
    assert dnn.default_generator.get_state().tolist() == state  # nothing was dropped


def test_a_change_in_place_is_seen():
    layer, x = nn.GRU(4, 6), dnn.zeros(5, 3, 4)
    y, _ = layer(x)
    with dnn.no_grad():
        layer.weight_hh_l0.mul_(2.0)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()
    y, _ = layer(x)
    y.sum().backward()
    with pytest.raises(RuntimeError, match="already freed"):
        y.sum().backward()
