"""Recurrent layers against PyTorch: its answers in a file, and the library itself where it is installed."""

from __future__ import annotations

from pathlib import Path

import dnncore as dnn
import numpy as np
import pytest
from cases import tensor
from dnncore import nn
from dnncore.nn.utils import rnn
from recurrent_cases import CELLS, TORCH_IDS, TORCH_LAYERS, as_hx, laid, parts, random, states
from recurrent_golden import GOLDEN, inputs, key_of, parameters, waves

ANSWERS = np.load(Path(__file__).parent / "golden" / "recurrent.npz")


def close(own, other):
    np.testing.assert_allclose(own.detach().numpy(), other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("name", "settings", "lengths"), GOLDEN)
def test_golden(name, settings, lengths):
    layer = getattr(nn, name)(3, 4, dtype=dnn.float64, **settings)
    shapes = {key: tuple(value.shape) for key, value in layer.state_dict().items()}
    layer.load_state_dict({key: tensor(value) for key, value in parameters(shapes).items()})
    x, h0, c0 = (tensor(each).requires_grad_() for each in inputs(name, settings))
    results = parts(layer(x, as_hx(layer, h0, c0), lengths=lengths))
    sum((each * tensor(waves(*each.shape, phase=2))).sum() for each in results).backward()
    leaves = [x, h0, *([c0] if name == "LSTM" else []), *layer.parameters()]
    key = key_of(name, settings, lengths)
    for i, each in enumerate(results):
        close(each, ANSWERS[f"{key}/y{i}"])
    for i, each in enumerate(leaves):
        close(each.grad, ANSWERS[f"{key}/d{i}"])


def pair(name, settings, sizes=(5, 6)):
    """The same layer of both libraries, in float64."""
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, name)(*sizes, dtype=torch.float64, **settings)
    ours = getattr(nn, name)(*sizes, dtype=dnn.float64, **settings)
    ours.load_state_dict({key: tensor(value.numpy()) for key, value in theirs.state_dict().items()})
    return torch, ours, theirs


def compare(torch, ours, theirs, own, other, own_results, other_results):
    """Results, and gradients by everything, of a weighted sum of the results."""
    weights = [random(*each.shape, seed=7) for each in own_results]
    sum((y * tensor(w)).sum() for y, w in zip(own_results, weights, strict=True)).backward()
    sum((y * torch.tensor(w)).sum() for y, w in zip(other_results, weights, strict=True)).backward()
    for mine, yours in zip(own_results, other_results, strict=True):
        assert mine.shape == yours.shape
        close(mine, yours.detach().numpy())
    for mine, yours in zip([*own, *ours.parameters()], [*other, *theirs.parameters()], strict=True):
        close(mine.grad, yours.grad.numpy())


def given_to_both(torch, *arrays):
    """Tensors of both libraries that require grad."""
    return [tensor(x).requires_grad_() for x in arrays], [torch.tensor(x, requires_grad=True) for x in arrays]


@pytest.mark.parametrize(("name", "settings"), TORCH_LAYERS, ids=TORCH_IDS)
def test_names_shapes_and_repr(name, settings):
    _, ours, theirs = pair(name, settings)
    assert [(key, tuple(p.shape)) for key, p in ours.named_parameters()] == [
        (k, tuple(p.shape)) for k, p in theirs.named_parameters()
    ]
    assert repr(ours).replace(", nonlinearity=relu", "") == repr(theirs)
    assert ours.mode == theirs.mode
    for attribute in ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size"):
        assert getattr(ours, attribute) == getattr(theirs, attribute)


@pytest.mark.parametrize("with_states", [False, True])
@pytest.mark.parametrize("batch", [None, 1, 4])
@pytest.mark.parametrize(("name", "settings"), TORCH_LAYERS, ids=TORCH_IDS)
def test_padded(name, settings, batch, with_states):
    torch, ours, theirs = pair(name, settings)
    x = laid(ours, random(batch or 1, 6, 5))
    arrays = [np.ascontiguousarray(x), *states(ours, batch or 1)]
    if batch is None:
        arrays = [arrays[0].reshape(6, 5), *(each[:, 0].copy() for each in arrays[1:])]
    if not with_states:
        arrays = arrays[:1]
    elif name != "LSTM":
        arrays = arrays[:2]
    own, other = given_to_both(torch, *arrays)
    hx = [as_hx(ours, *each[1:], *([None] if name != "LSTM" else [])) if with_states else None for each in (own, other)]
    compare(torch, ours, theirs, own, other, parts(ours(own[0], hx[0])), parts(theirs(other[0], hx[1])))


@pytest.mark.parametrize("lengths", [[4, 4, 4], [6, 3, 1], [2, 5, 1, 5]], ids=str)
@pytest.mark.parametrize(("name", "settings"), TORCH_LAYERS, ids=TORCH_IDS)
def test_packed(name, settings, lengths):
    torch, ours, theirs = pair(name, settings)
    in_order = lengths == sorted(lengths, reverse=True)
    batch, batch_first = len(lengths), ours.batch_first
    arrays = [np.ascontiguousarray(laid(ours, random(batch, 6, 5))), *states(ours, batch)][: 3 if name == "LSTM" else 2]
    own, other = given_to_both(torch, *arrays)
    results = []
    for library, layer, (x, *hx) in ((rnn, ours, own), (torch.nn.utils.rnn, theirs, other)):
        packed = library.pack_padded_sequence(x, lengths, batch_first=batch_first, enforce_sorted=in_order)
        y, *last = parts(layer(packed, as_hx(ours, *hx, *([None] if name != "LSTM" else []))))
        assert type(y).__name__ == "PackedSequence"
        padded, found = library.pad_packed_sequence(y, batch_first=batch_first, total_length=6)
        assert found.tolist() == lengths
        results.append([padded, *last])
    compare(torch, ours, theirs, own, other, *results)


@pytest.mark.parametrize("batch", [None, 1, 4])
@pytest.mark.parametrize(("name", "settings"), CELLS)
def test_cells(name, settings, batch):
    torch, ours, theirs = pair(name, settings)
    assert repr(ours).replace(", nonlinearity=relu", "") == repr(theirs).replace(", nonlinearity=relu", "")
    rows = () if batch is None else (batch,)
    arrays = [random(*rows, 5), random(*rows, 6), random(*rows, 6, seed=1)][: 3 if name == "LSTMCell" else 2]
    own, other = given_to_both(torch, *arrays)
    results = [layer(x, tuple(hx) if len(hx) == 2 else hx[0]) for layer, (x, *hx) in ((ours, own), (theirs, other))]
    compare(torch, ours, theirs, own, other, *(each if isinstance(each, tuple) else (each,) for each in results))


@pytest.mark.parametrize(("name", "settings"), [("LSTM", {"num_layers": 2}), ("GRU", {"bidirectional": True}), ("RNN", {})])
def test_a_few_steps_of_training(name, settings):
    torch, ours, theirs = pair(name, settings)
    mine, yours = dnn.optim.Adam(ours.parameters(), lr=0.02), torch.optim.Adam(theirs.parameters(), lr=0.02)
    for i in range(5):
        x = random(6, 4, 5, seed=i)
        for layer, optimizer, make in ((ours, mine, tensor), (theirs, yours, torch.tensor)):
            optimizer.zero_grad()
            y, _ = layer(make(x))
            (y * y).mean().backward()
            optimizer.step()
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(own.detach().numpy(), other.detach().numpy(), rtol=1e-8, atol=1e-10)
