"""Recurrent layers: values against NumPy, gradients, lengths, the order of sums, captured steps."""

from __future__ import annotations

import copy
import pickle
from functools import partial
from typing import get_args, get_type_hints

import dnncore as dnn
import numpy as np
import pytest
import reference_recurrent
from capture_cases import runs, state
from cases import FAST_ISAS, tensor, use_isa, use_threads
from dnncore import _core, nn, optim
from dnncore.autograd import grad, gradcheck, gradgradcheck
from dnncore.nn import functional as F
from dnncore.nn.utils import rnn
from recurrent_cases import CELLS, IDS, LAYERS, as_hx, functional, leaves, made, parts, random, run, states

LENGTHS = [4, 0, 7, 1, 7]
OUTSIDE = dnn.tensor([0, 5])
WIDE = [
    ("LSTM", {"num_layers": 2, "bidirectional": True}),
    ("LSTM", {"proj_size": 17, "peephole": True}),
    ("GRU", {}),
    ("RNN", {}),
]


def close(found, expected, tolerance=1e-12):
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=tolerance, atol=tolerance)


# --- Values and gradients ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [None, LENGTHS, [7, 6, 6, 2, 0], [0] * 5], ids=["all", "mixed", "sorted", "none"])
@pytest.mark.parametrize(("name", "settings"), LAYERS, ids=IDS)
def test_values(name, settings, lengths):
    layer, x = made(name, settings), random(5, 7, 5)
    h0, c0 = states(layer, 5)
    found = run(layer, x, h0, c0, lengths=lengths)
    expected = reference_recurrent.network(layer, x, h0, c0, lengths or [7] * 5)
    for own, other in zip(found, expected, strict=False):
        close(own, other)


@pytest.mark.parametrize("hidden", [1, 3, 15, 16, 17, 33])
@pytest.mark.parametrize("batch", [1, 2, 7, 13, 25])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_values_of_awkward_sizes(name, batch, hidden):
    layer, x = made(name, {}, (3, hidden)), random(batch, 4, 3)
    h0, c0 = states(layer, batch)
    for own, other in zip(run(layer, x, h0, c0), reference_recurrent.network(layer, x, h0, c0, [4] * batch), strict=False):
        close(own, other)


@pytest.mark.parametrize("lengths", [None, [3, 0, 1]], ids=["all", "mixed"])
@pytest.mark.parametrize(("name", "settings"), LAYERS, ids=IDS)
def test_gradients(name, settings, lengths):
    layer = made(name, settings, (2, 4))
    call = partial(functional, layer, lengths=lengths)
    given = leaves(layer, 3, 3)
    assert gradcheck(call, given)
    assert gradgradcheck(call, given)


@pytest.mark.parametrize("wanted", range(5))
def test_gradients_of_one_result_or_one_input(wanted):
    """Others are not asked for: no gradient arrives at them, or none is needed."""
    layer = made("LSTM", {"bidirectional": True}, (2, 3))
    given = leaves(layer, 2, 3)
    inputs = [x if i == wanted else x.detach() for i, x in enumerate(given)]
    assert gradcheck(partial(functional, layer), inputs)
    for number in range(3):
        assert gradgradcheck(lambda *x, at=number: functional(layer, *x)[at], inputs)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_third_derivatives(name):
    layer = made(name, {}, (1, 2))
    given = leaves(layer, 1, 2)

    def slope(x, *rest):
        y = functional(layer, x, *rest)[0]
        return grad((y * y).sum(), [x], create_graph=True)[0]

    assert gradgradcheck(slope, given)


@pytest.mark.parametrize("shares", [None, (1, 2, 4)], ids=["all", "lengths"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_second_derivatives_move_bytes_in_proportion_to_the_steps(name, batch_first, shares):
    layer = made(name, {"bidirectional": True, "batch_first": batch_first})

    def moved(steps):
        x = tensor(random(*((3, steps) if batch_first else (steps, 3)), 5)).requires_grad_()
        with _core._record_launches() as launches:
            y = layer(x, lengths=shares and [steps // share for share in shares])[0]
            slope = grad((y * y).sum(), [x], create_graph=True)[0]
            (slope * slope).sum().backward()
        return sum(operand["bytes"] for launch in launches for operand in launch["operands"])

    few, more, many = moved(16), moved(32), moved(64)
    assert many - more < 2.01 * (more - few)


@pytest.mark.parametrize("name", ["LSTM", "RNN"])
def test_gradients_of_the_biases_are_apart(name):
    layer, x = made(name, {}), tensor(random(3, 2, 5))
    one, other = grad(layer(x)[0].sum(), [layer.bias_ih_l0, layer.bias_hh_l0])
    before = other.tolist()
    assert one.tolist() == before
    one.zero_()
    assert other.tolist() == before


def slopes(layer, x, hx, changed=(), **options):
    """Gradients after `changed` were changed in place between forward and backward."""
    leaves = [p for p in (x, hx, *layer.parameters()) if p.requires_grad]
    y = layer(x, (hx, None) if isinstance(layer, nn.LSTM) else hx)[0]
    with dnn.no_grad():
        for each in changed:
            each.add_(1.0)
    return [each.tolist() for each in grad((y * y).sum(), leaves, **options)]


NEEDLESS = {  # what needs no gradient, and what may change then
    "biases": ("", "bias"),
    "weight of an input without gradient": ("x", "weight_ih"),
    "input of weights without gradient": ("weight_ih", "x"),
    "first state of weights without gradient": ("weight_hh", "hx"),
}


@pytest.mark.parametrize("case", NEEDLESS)
@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_a_change_in_place_of_what_the_gradient_does_not_need(name, case):
    frozen, changes = NEEDLESS[case]
    layer = made(name, {"bidirectional": True})
    named = {"x": tensor(random(3, 2, 5)), "hx": tensor(random(2, 2, 6)), **dict(layer.named_parameters())}
    for key, each in named.items():
        each.requires_grad_(not frozen or not key.startswith(frozen))
    expected = slopes(layer, named["x"], named["hx"])
    changed = [each for key, each in named.items() if key.startswith(changes)]
    if changes == "hx" and name == "GRU":  # its gates need what the state was
        with pytest.raises(RuntimeError, match="changed in place"):
            slopes(layer, named["x"], named["hx"], changed)
        return
    assert slopes(layer, named["x"], named["hx"], changed) == expected
    for each in changed:
        each.detach().sub_(1.0)
    with pytest.raises(RuntimeError, match=rf"^{name}: .* changed in place"):  # runs forward once more
        slopes(layer, named["x"], named["hx"], changed, create_graph=True)


@pytest.mark.parametrize(("name", "settings"), LAYERS, ids=IDS)
def test_without_states_is_with_zeros(name, settings):
    layer, x = made(name, settings), tensor(random(3, 4, 5)).requires_grad_()
    h0, c0 = states(layer, 3 if layer.batch_first else 4)
    zeros = as_hx(layer, tensor(0 * h0), tensor(0 * c0))
    results = []
    for hx in (None, zeros):
        layer.zero_grad()
        x.grad = None
        found = parts(layer(x, hx))
        sum((each * each).sum() for each in found).backward()
        results.append([*found, x.grad, *(p.grad for p in layer.parameters())])
    for own, other in zip(*results, strict=True):
        close(own, other.detach().numpy())


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("layer", [nn.LSTM(4, 6), nn.LSTMCell(4, 6)])
def test_half_a_state_of_an_lstm(layer, missing):
    x, given = dnn.randn(3, 4), [dnn.randn(1, 6), dnn.randn(1, 6)]
    x, given = (x, given) if isinstance(layer, nn.LSTM) else (x[:1], given)
    zeros = [dnn.zeros(1, 6) if i == missing else state for i, state in enumerate(given)]
    given[missing] = None
    flat = [layer(x, tuple(hx)) for hx in (given, zeros)]
    found, expected = ((y[1] if isinstance(layer, nn.LSTM) else y) for y in flat)
    assert [x.tolist() for x in found] == [x.tolist() for x in expected]


@pytest.mark.parametrize("layer", [nn.LSTM, nn.LSTMCell])
def test_the_state_of_an_lstm_is_typed_as_one_to_pass_on(layer):
    hints = get_type_hints(layer.forward)
    result = hints["return"] if layer is nn.LSTMCell else get_args(hints["return"])[1]
    assert result == tuple[dnn.Tensor, dnn.Tensor]
    assert hints["hx"] == tuple[dnn.Tensor | None, dnn.Tensor | None] | None


@pytest.mark.parametrize(("name", "settings"), LAYERS, ids=IDS)
def test_one_sequence_without_a_batch(name, settings):
    layer, x = made(name, settings), tensor(random(4, 5))
    h0, c0 = (tensor(each) for each in states(layer, 1))
    batch = x.unsqueeze(0 if layer.batch_first else 1)
    y, *rest = parts(layer(batch, as_hx(layer, h0, c0)))
    alone = parts(layer(x, as_hx(layer, h0.squeeze(1), c0.squeeze(1))))
    expected = [y.squeeze(0 if layer.batch_first else 1), *(each.squeeze(1) for each in rest)]
    for own, other in zip(alone, expected, strict=True):
        assert own.shape == other.shape
        assert own.tolist() == other.tolist()


@pytest.mark.parametrize("shape", [(0, 3, 5), (4, 0, 5), (0, 0, 5), (0, 5)])
@pytest.mark.parametrize(("name", "settings"), LAYERS, ids=IDS)
def test_no_steps_or_no_sequences(name, settings, shape):
    layer = made(name, {**settings, "batch_first": False})
    x = dnn.zeros(shape, dtype=dnn.float64).requires_grad_()
    h0, c0 = (tensor(each) for each in states(layer, shape[1] if len(shape) == 3 else 1))
    if len(shape) == 2:
        h0, c0 = h0.squeeze(1), c0.squeeze(1)
    y, *last = parts(layer(x, as_hx(layer, h0, c0)))
    assert y.shape == (*shape[:-1], (1 + layer.bidirectional) * (layer.proj_size or 6))
    if 0 in shape[:1]:
        for own, other in zip(last, (h0, c0), strict=False):
            assert own.tolist() == other.tolist()
    (y.sum() + sum(each.sum() for each in last)).backward()
    assert x.grad.shape == x.shape
    assert all(p.grad.numpy().any() == 0 for p in layer.parameters())


def test_inputs_that_are_not_contiguous():
    layer, x = made("LSTM", {}), random(4, 3, 5)
    h0, c0 = states(layer, 3)
    expected = parts(layer(tensor(x), (tensor(h0), tensor(c0))))
    turned = [tensor(np.ascontiguousarray(each.T)).permute(2, 1, 0) for each in (x, h0, c0)]
    for own, other in zip(parts(layer(turned[0], tuple(turned[1:]))), expected, strict=True):
        assert own.tolist() == other.tolist()


# --- The order of sums ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isa", FAST_ISAS)
@pytest.mark.parametrize("dtype", [dnn.float32, dnn.float64], ids=str)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(("name", "settings"), WIDE)
def test_lengths_give_the_bits_of_each_sequence_alone(name, settings, batch_first, dtype, isa):
    layer = made(name, {**settings, "batch_first": batch_first}, (33, 40), dtype)
    lengths, x = [0, 9, 3, 9, 1, 0, 12, 5], random(8, 12, 33)
    h0, c0 = states(layer, 8)
    with use_isa(isa):
        y, *last = run(layer, x, h0, c0, lengths=lengths)
        for b, length in enumerate(lengths):
            own, *own_last = run(layer, x[b : b + 1, :length], h0[:, b : b + 1], c0[:, b : b + 1])
            assert y[b, :length].tolist() == own[0].tolist()
            assert not y[b, length:].detach().numpy().any()
            assert [each[:, b].tolist() for each in last] == [each[:, 0].tolist() for each in own_last]


@pytest.mark.parametrize("isa", FAST_ISAS)
@pytest.mark.parametrize("sizes", [(6, 3), (20, 70), (40, 300)])
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize(("name", "settings"), WIDE)
def test_threads_do_not_change_bits(name, settings, lengths, sizes, isa):
    features, hidden = sizes
    settings = settings if hidden > 17 else {key: value for key, value in settings.items() if key != "proj_size"}
    layer = made(name, settings, sizes, dnn.float32)
    h0, c0 = states(layer, 19)
    x, given = random(19, 5, features), [i % 6 for i in range(19)] if lengths else None

    def bits():
        layer.zero_grad()
        found = run(layer, x, h0, c0, lengths=given)
        sum((each * each).sum() for each in found).backward()
        return [each.detach().numpy().tobytes() for each in (*found, *(p.grad for p in layer.parameters()))]

    with use_isa(isa):
        with use_threads(1):
            expected = bits()
        for threads in (2, 4):
            with use_threads(threads):
                assert bits() == expected


@pytest.mark.parametrize(("name", "settings"), [("LSTM", {}), ("LSTM", {"bidirectional": True}), ("GRU", {}), ("RNN", {})])
def test_accuracy_after_fifty_steps(name, settings):
    """float32 within 2e-6 of float64, gradients 1e-5 relative (Frobenius)."""
    results = []
    for dtype in (dnn.float32, dnn.float64):
        layer = made(name, settings, (64, 128), dnn.float32).to(dtype)
        x = tensor(random(50, 8, 64).astype(np.float32)).to(dtype).requires_grad_()
        found = parts(layer(x))
        weights = [tensor(random(*each.shape, seed=5).astype(np.float32)).to(dtype) for each in found]
        sum((each * w).sum() for each, w in zip(found, weights, strict=True)).backward()
        grads = [x.grad, *(p.grad for p in layer.parameters())]
        results.append([[each.detach().numpy() for each in group] for group in (found, grads)])
    (values, grads), (exact_values, exact_grads) = results
    for own, exact in zip(values, exact_values, strict=True):
        assert np.abs(own - exact).max() < 2e-6
    for own, exact in zip(grads, exact_grads, strict=True):
        assert np.linalg.norm(own - exact) < 1e-5 * np.linalg.norm(exact)


def test_padding_costs_nothing():
    """A recorded step multiplies the rows that count, not those of the padded batch."""
    layer, x = made("LSTM", {}, (4, 8), dnn.float32), dnn.zeros(100, 3, 4)
    counted = []
    for call in (lambda x: layer(x)[0], lambda x: layer(x, lengths=[2, 100, 1])[0]):
        step = dnn.capture(call)
        with dnn.no_grad():
            for _ in range(3):
                step(x)
        counted.append(step.plans[0].flops)
    assert counted[1] * 300 == counted[0] * 103


# --- Layers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "settings"), CELLS)
def test_cells_are_steps_of_layers(name, settings):
    cell = made(name, settings)
    layer = made(name.removesuffix("Cell"), settings)
    cell.load_state_dict({key.removesuffix("_l0"): value for key, value in layer.state_dict().items()})
    x = tensor(random(4, 3, 5))
    h0, c0 = (tensor(each) for each in states(layer, 3))
    expected = parts(layer(x, as_hx(layer, h0, c0)))
    hx = as_hx(layer, h0[0], c0[0])
    for t in range(4):
        hx = cell(x[t], hx)
        assert (hx[0] if layer.mode == "LSTM" else hx).tolist() == expected[0][t].tolist()
    found = hx if layer.mode == "LSTM" else (hx,)
    assert [each.tolist() for each in found] == [each[0].tolist() for each in expected[1:]]
    first = cell(x[0, 0])
    assert (first[0] if layer.mode == "LSTM" else first).tolist() == layer(x[0, :1])[0][0].tolist()


@pytest.mark.parametrize(("name", "settings"), CELLS)
def test_gradients_of_cells(name, settings):
    cell = made(name, settings, (2, 3))
    lstm = name == "LSTMCell"

    def call(x, h, c, *weights):
        found = _core._recurrent_step(name, x, h, c if lstm else None, cell._cell, [*weights, *[None] * (6 - len(weights))])
        return found if lstm else (found[0], c * 1)

    own = [p.detach().clone().requires_grad_() for p in cell.parameters()]
    given = [tensor(random(*shape)).requires_grad_() for shape in ((3, 2), (3, 3), (3, 3))]
    assert gradcheck(call, [*given, *own])
    assert gradgradcheck(call, [*given, *own])


@pytest.mark.parametrize(("name", "settings"), [*LAYERS, *CELLS])
def test_initial_values_fill_their_range(name, settings):
    dnn.manual_seed(0)
    layer = getattr(nn, name)(7, 100, **settings)
    for parameter in layer.parameters():
        values = parameter.detach().numpy()
        assert np.abs(values).max() <= 0.1
        assert np.abs(values).max() > 0.09
        assert abs(values.mean()) < 5 * 0.1 / np.sqrt(3 * values.size)


def test_dropout_between_layers():
    dnn.manual_seed(3)
    layer = nn.LSTM(4, 50, 2, dropout=0.5)
    first, second = nn.LSTM(4, 50), nn.LSTM(50, 50)
    for own, name in ((first, "_l0"), (second, "_l1")):
        own.load_state_dict({key[:-3] + "_l0": value for key, value in layer.state_dict().items() if key.endswith(name)})
    x = dnn.randn(6, 3, 4)
    dnn.manual_seed(4)
    y, _ = layer(x)
    dnn.manual_seed(4)
    expected, _ = second(F.dropout(first(x)[0], 0.5))
    assert y.tolist() == expected.tolist()
    assert layer.eval()(x)[0].tolist() == second(first(x)[0])[0].tolist()
    full = nn.GRU(4, 5, 2, dropout=1.0)
    silent = copy.deepcopy(full).eval()
    with dnn.no_grad():
        for name, parameter in silent.named_parameters():
            if name == "weight_ih_l1":
                parameter.zero_()
    assert full(x)[0].tolist() == silent(x)[0].tolist()


def test_weights_computed_from_others():
    layer = made("LSTM", {}, (3, 4))
    x = tensor(random(5, 2, 3))
    expected = layer(x)[0].detach().numpy()
    nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    close(layer(x)[0], expected)
    layer(x)[0].sum().backward()
    assert layer.parametrizations.weight_hh_l0.original0.grad is not None


def test_halves_go_through_float32():
    for dtype in (dnn.bfloat16, dnn.float16):
        layer = made("GRU", {"bidirectional": True}, (3, 4), dnn.float32).to(dtype)
        x = tensor(random(5, 2, 3)).to(dtype)
        y, h = layer(x)
        wide, wide_h = copy.deepcopy(layer).to(dnn.float32)(x.to(dnn.float32))
        assert y.dtype == h.dtype == dtype
        assert y.tolist() == wide.to(dtype).tolist()
        assert h.tolist() == wide_h.to(dtype).tolist()


def test_the_gradient_of_relu_passes_where_its_result_is_nan():
    layer = nn.RNN(2, 3, nonlinearity="relu")
    x = dnn.tensor([[[float("nan"), 1.0]]]).requires_grad_()
    layer(x)[0].sum().backward()
    close(x.grad[0], layer.weight_ih_l0.detach().numpy().sum(0, keepdims=True))


@pytest.mark.parametrize("isa", FAST_ISAS)
def test_lstm_gates_of_special_values(isa):
    """One unit each whose gates i, f, o come from the same value and whose g is tanh(1)."""
    values = np.array([0.0, np.inf, -np.inf, np.nan, 200.0, -200.0, 95.0, -95.0, -20.0, 1e30, 1e-40], dtype=np.float32)
    n = len(values)
    layer = nn.LSTM(1, n)
    bias = np.concatenate([values, values, np.ones(n, dtype=np.float32), values])
    layer.load_state_dict(
        {
            "weight_ih_l0": dnn.zeros(4 * n, 1),
            "weight_hh_l0": dnn.zeros(4 * n, n),
            "bias_ih_l0": tensor(bias),
            "bias_hh_l0": dnn.zeros(4 * n),
        }
    )
    with use_isa(isa), dnn.no_grad():
        h, (_, c) = layer(dnn.zeros(1, 1, 1), (dnn.zeros(1, 1, n), dnn.ones(1, 1, n)))
    with np.errstate(over="ignore"):
        gate = 1 / (1 + np.exp(-values.astype(np.float64)))
    cell = gate + gate * np.tanh(1.0)
    np.testing.assert_allclose(c.numpy()[0, 0], cell, rtol=0, atol=4e-7)
    np.testing.assert_allclose(h.numpy()[0, 0], gate * np.tanh(cell), rtol=0, atol=4e-7)


def test_hooks_see_every_tensor():
    layer, x = made("LSTM", {}, (3, 4)), tensor(random(5, 2, 3)).requires_grad_()
    seen = []
    layer.register_forward_hook(lambda _, given, result: seen.append((given[0].shape, result[1][1].shape)))
    layer.register_full_backward_hook(lambda _, dx, dy: seen.append((dx[0].shape, dy[0].shape)))
    layer(x)[0].sum().backward()
    assert seen == [((5, 2, 3), (1, 2, 4)), ((5, 2, 3), (5, 2, 4))]


def test_all_weights_mode_and_repr():
    layer = nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2)
    assert [tuple(w.shape) for w in layer.all_weights[3]] == [(16, 4), (16, 2), (16,), (16,), (2, 4)]
    assert len(layer.all_weights) == 4
    assert nn.RNN(1, 1, nonlinearity="relu").mode == "RNN_RELU"
    layer.flatten_parameters()
    assert repr(nn.LSTM(3, 4, peephole=True)) == "LSTM(3, 4, peephole=True)"
    assert repr(nn.RNN(3, 4, nonlinearity="relu")) == "RNN(3, 4, nonlinearity=relu)"


def test_copies_and_pickles():
    layer, x = made("LSTM", {"num_layers": 2}), tensor(random(3, 2, 5))
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other(x)[0].tolist() == layer(x)[0].tolist()


# --- Memory and captured steps ----------------------------------------------------------------------------------------


def test_inference_keeps_nothing():
    layer, x = nn.LSTM(32, 64), dnn.zeros(40, 8, 32)

    def held(run):
        before = _core.memory_stats()["allocated_bytes"]
        result = run()
        return _core.memory_stats()["allocated_bytes"] - before, result

    with dnn.no_grad():
        without, _ = held(lambda: layer(x))
    gates = 40 * 8 * 4 * 64 * 4
    assert without < gates
    assert held(lambda: layer(x))[0] >= gates


@pytest.mark.parametrize("lengths", [None, [3, 6, 0, 6, 1, 2]], ids=["all", "mixed"])
@pytest.mark.parametrize(("name", "settings"), [*WIDE, ("LSTM", {"num_layers": 3, "dropout": 0.3})])
def test_captured_steps(name, settings, lengths):
    def build():
        net = getattr(nn, name)(5, 20, **settings)
        head = nn.Linear(net.proj_size * (1 + net.bidirectional) or 20 * (1 + net.bidirectional), 4)
        optimizer = optim.Adam([*net.parameters(), *head.parameters()], lr=0.05)

        def step(x, t):
            optimizer.zero_grad()
            y = net(x, lengths=lengths)[0]
            loss = F.cross_entropy(head(y[-1]), t)
            loss.backward()
            optimizer.step()
            return loss

        return step, lambda i: (dnn.randn(6, 6, 5), dnn.randint(0, 4, (6,))), lambda: state(net, head)

    runs(build)


@pytest.mark.parametrize("dtype", [dnn.int64, dnn.int32])
def test_a_captured_step_is_of_the_values_of_a_tensor_of_lengths(dtype):
    layer = nn.GRU(2, 3)
    step = dnn.capture(lambda x, lengths: layer(x, lengths=lengths)[0].detach())
    for i in (1, 1, 1, 2, 2, 0, 1, 5, 2):
        x = dnn.randn(5, 2, 2)
        expected = layer(x, lengths=[i, 5])[0]
        assert step(x, dnn.tensor([i, 5], dtype=dtype)).tolist() == expected.tolist()
    assert step.reason is None
    assert len(step.plans) == 4  # of 1, 2, 0, 5
    with pytest.raises(ValueError, match=r"GRU: expected lengths from 0 to 5, .* got 6"):
        step(x, dnn.tensor([6, 5], dtype=dtype))


def test_a_captured_step_of_part_of_a_tensor_of_lengths():
    layer = nn.GRU(2, 3)
    step = dnn.capture(lambda x, lengths: layer(x, lengths=lengths[1:])[0].detach())
    for i in (1, 1, 1, 2, 2):
        x = dnn.randn(5, 2, 2)
        assert step(x, dnn.tensor([9, i, 5])).tolist() == layer(x, lengths=[i, 5])[0].tolist()
    assert len(step.plans) == 2


def test_a_captured_step_of_packed_sequences():
    layer = nn.LSTM(2, 3, bidirectional=True)
    step = dnn.capture(lambda packed: layer(packed))
    for lengths in ([3, 2, 2], [3, 2, 2], [3, 2, 2], [2, 3, 2], [3, 3, 1], [1, 3, 3], [3, 2, 2]):
        packed = rnn.pack_padded_sequence(dnn.randn(4, 3, 2), lengths, enforce_sorted=False)
        (found, states), (expected, others) = step(packed), layer(packed)
        for own, other in zip((*found, *states), (*expected, *others), strict=True):
            assert own.tolist() == other.tolist()
    assert step.reason is None
    assert len(step.plans) == 2  # of 3, 3, 1 and 3, 2, 2 sequences at a step, in any order


@pytest.mark.filterwarnings("ignore:capture:UserWarning")
@pytest.mark.parametrize("made", [lambda lengths: lengths * 1, lambda lengths: OUTSIDE], ids=["in it", "outside"])
def test_lengths_made_elsewhere_keep_a_step_in_python(made):
    layer = nn.GRU(2, 3)
    step = dnn.capture(lambda x, lengths: layer(x, lengths=made(lengths))[0])
    for i in range(4):
        x = dnn.randn(5, 2, 2)
        OUTSIDE.copy_(dnn.tensor([i, 5]))
        expected = layer(x, lengths=[i, 5])[0]
        assert step(x, dnn.tensor([i, 5])).tolist() == expected.tolist()
    assert "GRU reads values on the host" in step.reason


def test_learns_a_sum():
    """A few steps of Adam bring the loss down."""
    dnn.manual_seed(0)
    net, head = nn.LSTM(1, 16), nn.Linear(16, 1)
    optimizer = optim.Adam([*net.parameters(), *head.parameters()], lr=0.02)
    losses = []
    for _ in range(60):
        x = dnn.randn(8, 32, 1)
        loss = F.mse_loss(head(net(x)[0][-1]), x.sum(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.3 * np.mean(losses[:5])
