"""Corners that once went wrong: scalars without dimensions, sums of truths, flat spots, what is saved for backward."""

import dnncore as dnn
import numpy as np
import pytest
from cases import ISAS, use_isa
from dnncore import nn

INF = float("inf")


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.size(0),
        lambda x: x.stride(0),
        lambda x: x.select(0, 0),
        lambda x: x.narrow(0, 0, 1),
        lambda x: x.chunk(2),
        lambda x: x.split(1),
        lambda x: x.unbind(),
        lambda x: x.flip(0),
        lambda x: dnn.cat([x, x]),
    ],
)
def test_a_scalar_has_no_dimension_to_take_apart(call):
    for _ in range(40):
        dnn.zeros(5, 7, 9)  # headers that are used again, so that a stale size would show
    with pytest.raises((IndexError, ValueError), match="0-D tensor"):
        call(dnn.tensor(1.0))


def test_wrong_kinds_of_arguments_are_type_errors():
    x = dnn.ones(2, 2)
    for call in (lambda: x.split("ab"), lambda: x.max("a"), lambda: x.to(copy="abc")):
        with pytest.raises(TypeError):
            call()


def test_a_long_chain_of_gradients_is_let_go():
    last = dnn.zeros(1)
    for _ in range(300_000):
        link = dnn.zeros(1)
        link.grad = last
        last = link
    del link, last


@pytest.mark.parametrize("isa", ISAS)
def test_bool_results_are_zero_or_one(isa):
    with use_isa(isa):
        a, b = dnn.tensor([True, True, False, False]), dnn.tensor([True, False, True, False])
        total = a + b
        assert total.numpy().view(np.uint8).tolist() == [1, 1, 1, 0]
        assert total.sum().item() == 3
        total += a
        assert total.numpy().view(np.uint8).tolist() == [1, 1, 1, 0]


def test_std_of_equal_values_has_gradient_zero():
    x = dnn.ones(4, requires_grad=True)
    x.std().backward()
    assert x.grad.tolist() == [0.0] * 4


def test_cross_entropy_with_every_row_ignored():
    x = dnn.ones(2, 3, requires_grad=True)
    loss = dnn.cross_entropy(x, dnn.tensor([-100, -100]))
    loss.backward()
    assert np.isnan(loss.item())
    assert x.grad.tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("row", [[-INF] * 3, [INF, 0.0, 0.0], [INF, INF, 0.0], [INF] * 40])
@pytest.mark.parametrize("target", [0, 1])
def test_cross_entropy_of_infinite_logits_is_nan_throughout(isa, row, target):
    with use_isa(isa):
        x = dnn.tensor([row, [1.0] * len(row)], requires_grad=True)
        losses = dnn.cross_entropy(x, dnn.tensor([target, target]), reduction="none")
        losses.sum().backward()
    assert np.isnan(losses.detach().numpy()).tolist() == [True, False]
    assert np.isnan(x.grad.numpy()).all(axis=1).tolist() == [True, False]


def test_positions_and_conditions_are_watched_too():
    x = dnn.arange(5.0).requires_grad_()
    positions, condition = dnn.tensor([0, 1]), dnn.tensor([True] * 5)
    picked, chosen = x[positions].sum(), dnn.where(condition, x, x * 2).sum()
    positions.copy_(dnn.tensor([3, 4]))
    condition.fill_(False)
    for y in (picked, chosen):
        with pytest.raises(RuntimeError, match="changed in place"):
            y.backward()


def test_only_what_a_gradient_reads_is_saved():
    w = dnn.ones(3, requires_grad=True)
    v = dnn.ones(3, 3, requires_grad=True)
    y = (w * dnn.full((3,), 3.0)).sum() + (dnn.ones(2, 3) @ v).sum()
    with dnn.no_grad():
        w.add_(1)
        v.add_(1)
    y.backward()
    assert w.grad.tolist() == [3.0] * 3
    assert v.grad.tolist() == [[2.0] * 3] * 3


def test_backward_comes_again_where_nothing_was_saved():
    x = dnn.ones(4, requires_grad=True)
    y = x + 1
    y.sum().backward()
    y.mean().backward()
    assert x.grad.tolist() == [1.25] * 4


def test_integers_that_do_not_fit_are_refused():
    for call in (
        lambda: dnn.full((1,), 300, dtype=dnn.uint8),
        lambda: dnn.full((1,), 2**31, dtype=dnn.int32),
        lambda: dnn.zeros(1, dtype=dnn.uint8).fill_(-1),
        lambda: dnn.arange(0, 3, 0.5, dtype=dnn.int64),
    ):
        with pytest.raises(ValueError, match=r"fit|whole"):
            call()
    x = dnn.zeros(1, dtype=dnn.uint8)
    with pytest.raises(ValueError, match="300 does not fit uint8"):
        x[0] = 300


def test_sequential_calls_a_replaced_forward():
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    model[1].forward = lambda x: x * 0 + 7
    assert model(dnn.ones(1, 1)).item() == 7


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda x, z: x.add_(z), lambda x, z: x + z),
        (lambda x, z: x.copy_(z), lambda x, z: z),
        (lambda x, z: x.__setitem__(dnn.arange(len(x)), z), lambda x, z: z),
    ],
)
def test_views_of_one_foreign_array_are_not_read_after_they_were_written(write, expected):
    memory = np.arange(4096, dtype=np.float32)
    after = expected(memory[1:].copy(), memory[:-1].copy())
    write(dnn.from_numpy(memory[1:]), dnn.from_numpy(memory[:-1]))
    assert np.array_equal(memory[1:], after)


def test_indices_in_the_memory_that_is_written():
    x = dnn.arange(9).flip(0)
    expected = x.numpy().copy()
    expected[expected.copy()] = 7 - expected
    x[x] = 7 - x
    assert x.tolist() == expected.tolist()


def test_the_gradient_of_a_nan_extreme_goes_to_the_nans():
    x = dnn.tensor([float("nan"), 1.0, float("nan"), 2.0], requires_grad=True)
    for op in (x.max, x.min, x.amax):
        x.grad = None
        op().backward()
        assert x.grad.tolist() == [0.5, 0, 0.5, 0]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (7, 2), (64, 33), (129, 500), (4500, 3), (0, 5)])
def test_one_row_through_a_linear_layer(isa, dtype, inputs, outputs):
    random = np.random.default_rng(inputs)
    x, w, b = (random.standard_normal(shape).astype(dtype) for shape in ((1, inputs), (outputs, inputs), (outputs,)))
    wide = x.astype(np.float64) @ w.T.astype(np.float64)
    room = np.finfo(dtype).eps * (inputs + 2) * (np.abs(x) @ np.abs(w.T) + np.abs(b) + 1)
    with use_isa(isa):
        for bias, activation in ((None, None), (b, None), (b, "relu"), (b, "tanh")):
            exact = wide + (0 if bias is None else bias)
            exact = {"relu": lambda y: np.maximum(y, 0), "tanh": np.tanh, None: lambda y: y}[activation](exact)
            y = dnn.linear(dnn.tensor(x), dnn.tensor(w), None if bias is None else dnn.tensor(bias), activation)
            assert np.all(np.abs(y.numpy() - exact) <= room)
            assert np.array_equal(
                dnn.linear(dnn.tensor(x[0]), dnn.tensor(w), None if bias is None else dnn.tensor(bias), activation), y[0]
            )
