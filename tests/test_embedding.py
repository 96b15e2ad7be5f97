"""Tables of vectors: NumPy oracles, PyTorch where it is installed, bits, captured steps, misuse."""

from __future__ import annotations

import itertools

import dnncore as dnn
import numpy as np
import pytest
from cases import numbers, tensor, use_threads
from dnncore import nn
from dnncore.nn import functional as F
from reference import assert_exact

MODES = ("sum", "mean", "max")
BAGS = [[3, 1, 3], [], [0, 4, 4, 4, 2], [3], [], [1, 0]]
IDS, OFFSETS = [id for bag in BAGS for id in bag], np.cumsum([0, *map(len, BAGS[:-1])])


def table(rows=5, columns=7, seed=0, dtype="float64"):
    return np.random.default_rng([seed, rows, columns]).standard_normal((rows, columns)).astype(dtype)


def bag_oracle(weight, bags, mode, factors=None, padding=None):
    y = np.zeros((len(bags), weight.shape[1]))
    factors = iter(itertools.repeat(1.0) if factors is None else factors)
    for b, bag in enumerate(bags):
        rows = [next(factors) * weight[id] for id in bag if id != padding]
        if rows:
            y[b] = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode](rows, axis=0)
    return y


def leaf(values):
    return tensor(values).requires_grad_()


# --- Values


@pytest.mark.parametrize("kind", ["int64", "int32"])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (17,), (2, 3), (3, 0, 2), (2, 1, 3, 2)])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (5, 7), (300, 64), (40, 200), (3, 0)])
def test_rows_and_their_gradient(kind, shape, rows, columns):
    weight = table(rows, columns, dtype="float32").round(1)
    ids = np.random.default_rng(3).integers(0, rows, shape).astype(kind)
    w = leaf(weight)
    y = F.embedding(tensor(ids), w)
    assert_exact(numbers(y), weight[ids])
    g = np.random.default_rng(4).integers(-3, 4, y.shape).astype(np.float32)
    y.backward(tensor(g))
    expected = np.zeros_like(weight)
    np.add.at(expected, ids, g)
    assert_exact(numbers(w.grad), expected)


def test_rows_beyond_the_caches_go_past_them_with_the_same_bits():
    weight, ids = table(40_000, 128, dtype="float32"), np.random.default_rng(0).integers(0, 40_000, 40_000)
    w = leaf(weight)
    y = F.embedding(tensor(ids), w)
    y.sum().backward()
    assert_exact(numbers(y), weight[ids])
    assert_exact(numbers(w.grad), np.repeat(np.bincount(ids, minlength=40_000)[:, None], 128, 1).astype(np.float32))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", [None, 4, -2])
@pytest.mark.parametrize("columns", [1, 7, 64, 70])
def test_bags(mode, padding, columns):
    weight = table(5, columns)
    skipped = None if padding is None else padding % 5
    expected = bag_oracle(weight, BAGS, mode, padding=skipped)
    ids, settings = tensor(np.array(IDS)), {"mode": mode, "padding_idx": padding}
    for offsets, last in ((OFFSETS, False), (OFFSETS.astype(np.int32), False), ([*OFFSETS, len(IDS)], True)):
        y = F.embedding_bag(ids, tensor(weight), tensor(np.array(offsets)), include_last_offset=last, **settings)
        np.testing.assert_allclose(numbers(y), expected, rtol=1e-14, atol=1e-14)
    even = np.array([[0, 1, 4], [4, 4, 4], [2, 2, 3]])
    np.testing.assert_allclose(
        numbers(F.embedding_bag(tensor(even), tensor(weight), **settings)),
        bag_oracle(weight, even, mode, padding=skipped),
        rtol=1e-14,
        atol=1e-14,
    )


def test_factors_weigh_the_rows_of_a_bag():
    weight, factors = table(), np.random.default_rng(1).standard_normal(len(IDS))
    y = F.embedding_bag(tensor(np.array(IDS)), tensor(weight), tensor(OFFSETS), mode="sum", per_sample_weights=tensor(factors))
    np.testing.assert_allclose(numbers(y), bag_oracle(weight, BAGS, "sum", factors), rtol=1e-13, atol=1e-13)


def test_the_largest_of_a_bag():
    weight = np.array([[1.0, np.nan], [1.0, 2.0], [-np.inf, -np.inf]])
    w = leaf(weight)
    y = F.embedding_bag(tensor(np.array([0, 1, 2, 2, 2, 1])), w, tensor(np.array([0, 3, 5, 5])), mode="max")
    assert_exact(numbers(y), np.array([[1.0, np.nan], [-np.inf, -np.inf], [0, 0], [1, 2]]))
    y.backward(tensor(np.array([[1.0, 2], [3, 4], [5, 6], [7, 8]])))
    assert_exact(numbers(w.grad), np.array([[1.0, 2], [7, 8], [3, 4]]))  # the first of equal ones


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
@pytest.mark.parametrize("mode", MODES)
def test_no_bags_and_empty_bags(shape, mode):
    w = leaf(table())
    y = F.embedding_bag(dnn.zeros(*shape, dtype=dnn.int64), w, mode=mode)
    y.sum().backward()
    assert_exact(numbers(y), np.zeros((shape[0], 7)))
    assert_exact(numbers(w.grad), np.zeros((5, 7)))
    nothing = dnn.zeros(0, dtype=dnn.int64)
    factors = leaf(np.zeros(0)) if mode == "sum" else None
    y = F.embedding_bag(nothing, w, nothing, mode=mode, per_sample_weights=factors)
    y.sum().backward()
    assert y.shape == (0, 7)


@pytest.mark.parametrize("mode", MODES)
def test_a_table_without_rows(mode):
    w = leaf(np.zeros((0, 3)))
    y = F.embedding_bag(dnn.zeros(0, dtype=dnn.int64), w, dnn.zeros(2, dtype=dnn.int64), mode=mode)
    y.sum().backward()
    assert_exact(numbers(y), np.zeros((2, 3)))
    assert w.grad.shape == (0, 3)


@pytest.mark.parametrize("ids", [[0, 1], []])
def test_max_norm_of_rows_without_numbers(ids):
    w = dnn.zeros(2, 0)
    assert F.embedding(dnn.tensor(ids, dtype=dnn.int64), w, max_norm=1.0, norm_type=float("inf")).shape == (len(ids), 0)


# --- Gradients


def test_padding_has_no_gradient_and_its_row_is_read():
    w = leaf(table())
    y = F.embedding(tensor(np.array([1, 4, 1])), w, padding_idx=-1)
    assert_exact(numbers(y), table()[[1, 4, 1]])
    y.sum().backward()
    assert_exact(numbers(w.grad), np.outer([0, 2, 0, 0, 0], np.ones(7)))


@pytest.mark.parametrize("graph", [False, True])
def test_gradients_by_frequency(graph):
    w = leaf(table())
    y = F.embedding(tensor(np.array([1, 3, 1, 1])), w, scale_grad_by_freq=True)
    g = np.arange(28.0).reshape(4, 7)
    y.backward(tensor(g), create_graph=graph)
    expected = np.zeros((5, 7))
    expected[1], expected[3] = (g[0] + g[2] + g[3]) / 3, g[1]
    assert_exact(numbers(w.grad), expected)


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_gradients_of_bags_by_frequency(mode):
    """PyTorch 2.13 divides by how often another id occurs: no oracle."""
    w = leaf(table())
    y = F.embedding_bag(tensor(np.array(IDS)), w, tensor(OFFSETS), mode=mode, scale_grad_by_freq=True)
    g = np.random.default_rng(2).standard_normal((6, 7))
    y.backward(tensor(g))
    expected = np.zeros((5, 7))
    for b, bag in enumerate(BAGS):
        for id in bag:
            expected[id] += g[b] / IDS.count(id) / (len(bag) if mode == "mean" else 1)
    np.testing.assert_allclose(numbers(w.grad), expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    "settings", [{"padding_idx": 1}, {"scale_grad_by_freq": True}, {"padding_idx": 3, "scale_grad_by_freq": True}]
)
@pytest.mark.parametrize("is_bag", [False, True])
def test_gradients_that_are_no_derivatives_have_derivatives(is_bag, settings):
    """They are linear in the gradient that comes in."""
    w, ids = leaf(table(5, 3)), tensor(np.array([[0, 1, 1], [3, 3, 1]]))

    def gradient(g):
        y = F.embedding_bag(ids, w, **settings) if is_bag else F.embedding(ids, w, **settings)
        return dnn.autograd.grad(y, w, g, create_graph=True)[0]

    dnn.autograd.gradcheck(gradient, (leaf(table(2, 3) if is_bag else table(6, 3).reshape(2, 3, 3)),))


def test_a_table_used_twice_adds_up():
    w = leaf(table())
    ids = tensor(np.array([1, 1, 2]))
    (F.embedding(ids, w).sum() + F.embedding_bag(ids[None], w, mode="sum").sum()).backward()
    assert_exact(numbers(w.grad), np.outer([0, 4, 2, 0, 0], np.ones(7)))


def test_ids_that_change_before_the_backward_pass_are_refused():
    ids = tensor(np.array([1, 2]))
    y = F.embedding(ids, leaf(table()))
    ids += 1
    with pytest.raises(RuntimeError, match="embedding"):
        y.sum().backward()


@pytest.mark.parametrize("dtype", [dnn.float16, dnn.bfloat16])
def test_halves_are_summed_in_float32(dtype):
    w = tensor(table(dtype="float32")).to(dtype).requires_grad_()
    ids, offsets = tensor(np.array(IDS)), tensor(OFFSETS)
    assert_exact(numbers(F.embedding(ids, w).float()), numbers(w.detach().float())[IDS])
    y = F.embedding_bag(ids, w, offsets)
    assert y.dtype == dtype
    assert_exact(numbers(y.float()), numbers(F.embedding_bag(ids, w.float(), offsets).to(dtype).float()))
    y.sum().backward()
    assert w.grad is not None
    assert w.grad.dtype == dtype


# --- Norms


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
def test_max_norm_changes_the_rows_that_ids_name(p):
    weight = table() * np.array([[0.01], [1], [2], [3], [4]])
    w = leaf(weight)
    y = F.embedding(tensor(np.array([0, 3, 3, 1])), w, max_norm=1.0, norm_type=p)
    norms = np.linalg.norm(weight, p, axis=1, keepdims=True)
    limited = np.where(norms > 1, weight * (1 / (norms + 1e-7)), weight)
    limited[[2, 4]] = weight[[2, 4]]
    np.testing.assert_allclose(numbers(w), limited, rtol=1e-14)
    assert_exact(numbers(w)[[0, 2, 4]], weight[[0, 2, 4]])
    assert_exact(numbers(y), numbers(w)[[0, 3, 3, 1]])
    y.sum().backward()
    assert_exact(numbers(w.grad), np.outer([1, 1, 0, 2, 0], np.ones(7)))


# --- Bits


@pytest.mark.parametrize("mode", MODES)
def test_bits_do_not_depend_on_threads(mode):
    rng = np.random.default_rng(5)
    ids, offsets = tensor(rng.integers(0, 1000, 20_000)), tensor(np.sort(rng.integers(0, 20_000, 3000)) * (np.arange(3000) > 0))
    found = []
    for threads in (1, 2, 4):
        with use_threads(threads):
            w, factors = leaf(table(1000, 72, dtype="float32")), leaf(rng.permutation(20_000).astype(np.float32) * 0 + 0.7)
            y = F.embedding_bag(ids, w, offsets, mode=mode, per_sample_weights=factors if mode == "sum" else None)
            z = F.embedding(ids, w)
            ((y * y).sum() + (z * z).sum()).backward()
            found.append([numbers(x) for x in (y, z, w.grad, *([factors.grad] if mode == "sum" else []))])
    for other in found[1:]:
        for mine, theirs in zip(found[0], other, strict=True):
            assert_exact(theirs, mine)


# --- Layers


def test_layers_draw_and_keep_padding_zero():
    dnn.manual_seed(0)
    layer = nn.Embedding(1000, 50, padding_idx=-1)
    assert (layer.padding_idx, layer.weight.shape) == (999, (1000, 50))
    assert not numbers(layer.weight)[999].any()
    assert abs(numbers(layer.weight).std() - 1) < 0.02
    assert list(layer.state_dict()) == ["weight"]
    assert repr(layer) == "Embedding(1000, 50, padding_idx=999)"
    bag = nn.EmbeddingBag(10, 3, mode="max", padding_idx=2, dtype=dnn.float64)
    assert repr(bag) == "EmbeddingBag(10, 3, padding_idx=2, mode='max')"
    assert bag(dnn.tensor([[2, 2]])).tolist() == [[0.0, 0.0, 0.0]]


def test_given_tables_are_shared_and_frozen_unless_asked():
    given = tensor(table(dtype="float32"))
    for cls in (nn.Embedding, nn.EmbeddingBag):
        layer = cls.from_pretrained(given)
        assert (layer.weight.data_ptr(), layer.weight.requires_grad) == (given.data_ptr(), False)
        assert cls.from_pretrained(given, freeze=False).weight.requires_grad
    assert nn.Embedding.from_pretrained(given, padding_idx=-1).padding_idx == 4
    assert numbers(given)[4].any()


def test_captured_steps_equal_eager_ones_and_check_ids():
    def made():
        dnn.manual_seed(1)
        network = nn.Sequential(nn.Embedding(50, 8, padding_idx=0, max_norm=2.0), nn.Flatten(), nn.Linear(32, 3))
        optimizer = dnn.optim.Adam(network.parameters())

        def step(ids, target):
            optimizer.zero_grad()
            loss = F.cross_entropy(network(ids), target)
            loss.backward()
            optimizer.step()
            return loss

        return network, step

    rng = np.random.default_rng(0)
    batches = [(tensor(rng.integers(0, 50, (16, 4))), tensor(rng.integers(0, 3, 16))) for _ in range(6)]
    (eager, by_hand), (recorded, step) = made(), made()
    captured = dnn.capture(step)
    for batch in batches:
        assert by_hand(*batch).item() == captured(*batch).item()
    for mine, theirs in zip(eager.parameters(), recorded.parameters(), strict=True):
        assert_exact(numbers(theirs), numbers(mine))
    wrong = numbers(batches[0][0]).copy()
    wrong[3, 2] = 50
    before = numbers(recorded[2].weight).copy()
    with pytest.raises(IndexError, match=r"embedding: id 50 at position \(3, 2\) is outside \[0, 50\)"):
        captured(tensor(wrong), batches[0][1])
    assert_exact(numbers(recorded[2].weight), before)


# --- PyTorch


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", [None, 3])
@pytest.mark.parametrize("frequency", [False, True])
def test_against_pytorch(mode, padding, frequency):
    torch = pytest.importorskip("torch")
    weight, factors = table(), np.random.default_rng(1).standard_normal(len(IDS))
    found = []
    for library, functional in ((dnn, F), (torch, torch.nn.functional)):
        w, a = library.tensor(weight).requires_grad_(), library.tensor(factors).requires_grad_()
        ids, offsets = library.tensor(np.array(IDS)), library.tensor(OFFSETS)
        z = functional.embedding(ids, w, padding, scale_grad_by_freq=frequency)
        weights = {"per_sample_weights": a} if mode == "sum" else {}
        y = functional.embedding_bag(ids, w, offsets, mode=mode, padding_idx=padding, **weights)
        ((z**2).sum() + (y**3).sum()).backward()
        found.append([z, y, w.grad, *([a.grad] if weights else [])])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-12, atol=1e-12)


def test_max_norm_against_pytorch():
    torch = pytest.importorskip("torch")
    ours, theirs = tensor(table()), torch.tensor(table())
    F.embedding(tensor(np.array([0, 3, 3])), ours, max_norm=1.5, norm_type=3.0)
    torch.nn.functional.embedding(torch.tensor([0, 3, 3]), theirs, max_norm=1.5, norm_type=3.0)
    np.testing.assert_allclose(numbers(ours), theirs.numpy(), rtol=1e-14)


# --- Misuse


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda i, w: F.embedding(i + 5, w), IndexError, r"embedding: id 5 at position \(0,\) is outside \[0, 5\), .* of 5 rows"),
        (lambda i, w: F.embedding(i[None] - 1, w), IndexError, r"embedding: id -1 at position \(0, 0\) is outside"),
        (lambda i, w: F.embedding(i.float(), w), TypeError, "embedding: expected int64 or int32 ids, got .*float32; convert"),
        (lambda i, w: F.embedding(i, w[0]), ValueError, r"embedding: expected weight of shape \(rows, columns\), got \(7,\)"),
        (lambda i, w: F.embedding(i, w.long()), TypeError, "embedding: expected a floating weight, got"),
        (lambda i, w: F.embedding([0], w), TypeError, "embedding: expected a Tensor as input, got list"),
        (lambda i, w: F.embedding(i, w, 5), ValueError, "embedding: expected padding_idx from -5 to 4"),
        (lambda i, w: F.embedding(i, w, sparse=True), ValueError, "embedding: there are no sparse gradients"),
        (
            lambda i, w: F.embedding_bag(i, w),
            ValueError,
            r"embedding_bag: expected ids of shape \(bags, ids\), .* got shape \(2,\)",
        ),
        (lambda i, w: F.embedding_bag(i[None], w, i), ValueError, "embedding_bag: expected ids of one dimension with offsets"),
        (lambda i, w: F.embedding_bag(i, w, i + 1), ValueError, r"embedding_bag: .* begin with 0 .*offsets\[0\] is 1$"),
        (lambda i, w: F.embedding_bag(i, w, i * 3), ValueError, r"rise to at most 2, .*; offsets\[1\] is 3 after 0"),
        (lambda i, w: F.embedding_bag(i, w, i[:0]), ValueError, "embedding_bag: expected offsets for 2 ids, got none"),
        (lambda i, w: F.embedding_bag(i, w, i.float()), TypeError, "embedding_bag: expected int64 or int32 offsets"),
        (lambda i, w: F.embedding_bag(i, w, i[None]), ValueError, "embedding_bag: expected offsets of one dimension"),
        (
            lambda i, w: F.embedding_bag(i, w, i, include_last_offset=True),
            ValueError,
            "embedding_bag: include_last_offset .* got 1",
        ),
        (lambda i, w: F.embedding_bag(i[None], w, include_last_offset=True), ValueError, "embedding_bag: include_last_offset"),
        (lambda i, w: F.embedding_bag(i, w, i, mode="min"), ValueError, "embedding_bag: expected a mode of sum, mean, max"),
        (
            lambda i, w: F.embedding_bag(i, w, i, per_sample_weights=w[0, :2]),
            ValueError,
            "embedding_bag: per_sample_weights go with mode 'sum' only",
        ),
        (
            lambda i, w: F.embedding_bag(i, w, i, mode="sum", per_sample_weights=w[0]),
            ValueError,
            r"embedding_bag: expected per_sample_weights of the ids' shape \(2,\), got \(7,\)",
        ),
        (
            lambda i, w: F.embedding_bag(i, w, i, mode="sum", per_sample_weights=w[0, :2].float()),
            TypeError,
            "embedding_bag: expected per_sample_weights of the weight's dtype",
        ),
        (
            lambda i, w: F.embedding_bag(i, w, i, mode="max", scale_grad_by_freq=True),
            ValueError,
            "embedding_bag: scale_grad_by_freq does not go with mode 'max'",
        ),
        (lambda i, w: nn.Embedding(5, 2, padding_idx=5), ValueError, "Embedding: expected padding_idx from -5 to 4"),
        (lambda i, w: nn.Embedding(-1, 2), ValueError, "Embedding: expected num_embeddings of at least 0"),
        (lambda i, w: nn.Embedding(2.0, 2), TypeError, "Embedding: expected num_embeddings of type int"),
        (lambda i, w: nn.Embedding(5, 2, _weight=w), ValueError, r"Embedding: expected _weight of shape \(5, 2\), got \(5, 7\)"),
        (lambda i, w: nn.Embedding(5, 2, sparse=True), ValueError, "Embedding: there are no sparse gradients"),
        (lambda i, w: nn.EmbeddingBag(5, 2, mode="min"), ValueError, "EmbeddingBag: expected mode"),
        (lambda i, w: F.embedding_bag(i, w, [0]), TypeError, "embedding_bag: expected a Tensor as offsets, got list"),
        (
            lambda i, w: F.embedding_bag(i, w, i, mode="sum", per_sample_weights=[1.0, 2.0]),
            TypeError,
            "embedding_bag: expected a Tensor as per_sample_weights, got list",
        ),
        (lambda i, w: nn.Embedding(5, 2, padding_idx=1.5), TypeError, "^Embedding: expected padding_idx of type int, got float"),
        (
            lambda i, w: nn.EmbeddingBag(5, 2, padding_idx=True),
            TypeError,
            "EmbeddingBag: expected padding_idx of type int, got bool",
        ),
        (lambda i, w: F.embedding(i, w, 1.5), TypeError, "embedding: expected padding_idx of type int, got float"),
        (lambda i, w: nn.Embedding(5, 2, max_norm="a"), TypeError, "Embedding: expected max_norm as a number, got str"),
        (lambda i, w: nn.Embedding(5, 2, max_norm=-1.0), ValueError, "Embedding: expected max_norm of at least 0, got -1.0"),
        (lambda i, w: nn.EmbeddingBag(5, 2, norm_type="a"), TypeError, "EmbeddingBag: expected norm_type as a number, got str"),
        (lambda i, w: F.embedding(i, w, max_norm="a"), TypeError, "embedding: expected max_norm as a number, got str"),
        (
            lambda i, w: nn.Embedding(5, 2, scale_grad_by_freq="x"),
            TypeError,
            "Embedding: expected scale_grad_by_freq of type bool, got str",
        ),
        (
            lambda i, w: F.embedding_bag(i, w, i, scale_grad_by_freq="x"),
            TypeError,
            "embedding_bag: expected scale_grad_by_freq of type bool, got str",
        ),
        (lambda i, w: nn.Embedding.from_pretrained(w[0]), ValueError, r"Embedding.from_pretrained: expected a table"),
    ],
)
def test_misuse(call, error, message):
    with pytest.raises(error, match=message):
        call(tensor(np.array([0, 1])), tensor(table()))
