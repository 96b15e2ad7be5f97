"""Every loss: values and gradients as PyTorch's (golden file), gradients against central differences, accuracy, checks."""

import dnncore as dnn
import numpy as np
import pytest
from cases import GOLDEN, ISAS, draw, numbers, tensor, use_isa, use_threads
from dnncore import nn
from dnncore.nn import functional as F
from loss_cases import CASES, REDUCTIONS, inputs
from test_gradients import assert_gradients

EXPECTED = dict(np.load(GOLDEN / "losses.npz"))
X, T = dnn.zeros(4, 3), dnn.zeros(4)
LOGITS = dnn.zeros(4, 3)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", CASES)
def test_as_pytorch(isa, name):
    case = CASES[name]
    for reduction in (*REDUCTIONS, *case.reductions):
        arrays = {key: tensor(x.copy()) for key, x in inputs(case).items()}
        first = next(iter(arrays.values())).requires_grad_()
        with use_isa(isa):
            loss = getattr(F, case.function)(**arrays, **case.options, reduction=reduction)
            loss.sum().backward()
        np.testing.assert_allclose(numbers(loss), EXPECTED[f"{name}/{reduction}"], rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(numbers(first.grad), EXPECTED[f"{name}/{reduction}/gradient"], rtol=1e-11, atol=1e-13)


def learnable(case):
    """Arguments that PyTorch has a gradient for, too."""
    names = [
        key
        for key, (kind, _) in case.arrays.items()
        if kind not in ("class", "labels", "sign", "bit", "count") and "weight" not in key
    ]
    return names if case.function != "nll_loss" else names[:1]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", CASES)
def test_gradients(name, reduction):
    case, arrays = CASES[name], inputs(CASES[name])
    names = learnable(case)
    fixed = {key: tensor(x) for key, x in arrays.items() if key not in names}

    def function(*leaves):
        given = {**fixed, **dict(zip(names, leaves, strict=True))}
        return getattr(F, case.function)(**{key: given[key] for key in arrays}, **case.options, reduction=reduction)

    assert_gradients(function, *(arrays[key] for key in names))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", CASES)
def test_second_derivatives(name, reduction):
    case, arrays = CASES[name], inputs(CASES[name])
    names = learnable(case)

    def function(*leaves):
        given = {**{key: tensor(x) for key, x in arrays.items()}, **dict(zip(names, leaves, strict=True))}
        return getattr(F, case.function)(**given, **case.options, reduction=reduction)

    assert dnn.autograd.gradgradcheck(function, tuple(tensor(arrays[key]).requires_grad_() for key in names))


@pytest.mark.parametrize("function", [F.mse_loss, F.binary_cross_entropy_with_logits])
def test_gradients_of_other_layouts(function):
    x, t = inputs(CASES["bce_with_logits"]).values()
    turned = np.ascontiguousarray(t.T)
    assert_gradients(lambda a: function(a.t(), tensor(t).t(), reduction="none"), x)
    assert_gradients(lambda a: function(a[:, ::2], tensor(t)[:, ::2]), x)
    assert_gradients(lambda a: function(a.t(), tensor(turned), reduction="none"), x)


ACCURATE = {
    "mse": lambda x, t: (x - t) ** 2,
    "l1": lambda x, t: np.abs(x - t),
    "bce_with_logits": lambda x, t: np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x))),
    "soft_margin": lambda x, t: np.maximum(-x * t, 0) + np.log1p(np.exp(-np.abs(x * t))),
}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", ACCURATE)
def test_means_are_accurate(isa, kind):
    """Means of positive float32 terms: within 3e-7 of float64, relative."""
    x, t = (draw((70_001,), "float32", seed=seed, low=low, high=high) for seed, low, high in ((1, -9, 9), (2, 0, 1)))
    x, t = x.astype(np.float32), t.astype(np.float32)
    with use_isa(isa):
        mean = dnn._core._pointwise_loss(kind, tensor(x), tensor(t), 1.0, "mean").item()
    exact = ACCURATE[kind](x.astype(np.float64), t.astype(np.float64)).mean()
    assert abs(mean - exact) <= 3e-7 * exact


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("classes", [10, 1000])
def test_cross_entropy_is_accurate(isa, classes, smoothing):
    x = draw((130, classes), "float32", low=-9, high=9).astype(np.float32)
    target = np.arange(130) % classes
    with use_isa(isa):
        loss = F.cross_entropy(tensor(x), tensor(target), label_smoothing=smoothing).item()
    wide = x.astype(np.float64)
    logs = wide - wide.max(1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(1, keepdims=True))
    exact = -((1 - smoothing) * logs[np.arange(130), target] + smoothing * logs.mean(1)).mean()
    assert abs(loss - exact) <= 3e-7 * exact


@pytest.mark.parametrize("isa", ISAS)
def test_special_values(isa):
    inf, nan = float("inf"), float("nan")
    with use_isa(isa):
        certain = F.binary_cross_entropy(dnn.tensor([0.0, 1.0, 0.0, 1.0]), dnn.tensor([1.0, 0.0, 0.0, 1.0]), reduction="none")
        assert certain.tolist() == [100, 100, 0, 0]
        far = F.binary_cross_entropy_with_logits(dnn.tensor([1e4, -1e4]), dnn.tensor([0.0, 1.0]), reduction="none")
        assert far.tolist() == [1e4, 1e4]
        at_infinity = dnn.tensor([inf, -inf, inf, -inf, inf]), dnn.tensor([0.0, 1.0, 1.0, 0.0, 0.5])
        assert F.binary_cross_entropy_with_logits(*at_infinity, reduction="none").tolist() == [inf, inf, 0, 0, inf]
        assert F.kl_div(dnn.tensor([-1.0]), dnn.tensor([0.0])).item() == 0
        for function in (F.mse_loss, F.l1_loss, F.huber_loss, F.smooth_l1_loss, F.soft_margin_loss):
            assert np.isnan(function(dnn.tensor([nan]), dnn.tensor([1.0])).item())
            assert function(dnn.tensor([-inf]), dnn.tensor([1.0])).item() == inf
        assert np.isnan(F.mse_loss(dnn.zeros(0), dnn.zeros(0)).item())
        assert F.mse_loss(dnn.zeros(0), dnn.zeros(0), reduction="sum").item() == 0


def test_halves_are_computed_in_float32():
    x, t = (tensor(draw((300,), "float32", seed=seed), "bfloat16") for seed in (1, 2))
    loss = F.mse_loss(x.requires_grad_(), t)
    loss.backward()
    assert loss.dtype == x.grad.dtype == dnn.bfloat16
    exact = np.mean((numbers(x).astype(np.float64) - numbers(t)) ** 2)
    assert abs(float(loss) - exact) <= 2**-8 * exact
    logits = tensor(draw((4, 9), "float32"), "float16")
    assert F.cross_entropy(logits, dnn.tensor([0, 1, 2, 3])).dtype == dnn.float16


@pytest.mark.parametrize("name", ["cross_entropy", "cross_entropy smoothed", "mse", "bce_with_logits"])
def test_same_bits_for_any_number_of_threads(name):
    case = CASES[name]
    shape = (700, 130)
    x = draw(shape, "float32").astype(np.float32)
    target = np.arange(700) % 130 if case.function == "cross_entropy" else draw(shape, "float32", 1, 0, 1).astype(np.float32)
    found = []
    for threads in (1, 2, 4):
        with use_threads(threads):
            leaf = tensor(x.copy()).requires_grad_()
            loss = getattr(F, case.function)(leaf, tensor(target), **case.options)
            loss.backward()
            found.append((numbers(loss).tobytes(), numbers(leaf.grad).tobytes()))
    assert found[0] == found[1] == found[2]


def margin_of_sets(x, target):
    """The formula of multilabel_margin_loss, term by term, for one row."""
    end = list(target).index(-1) if -1 in target else len(target)
    own = target[:end]
    others = [k for k in range(len(x)) if k not in own]
    return sum(max(0.0, 1 - x[j] + x[k]) for j in own for k in others) / len(x)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("classes", [1, 2, 5, 33])
def test_multilabel_margin_is_the_sum_over_targets_and_others(isa, classes):
    random = np.random.default_rng(classes)
    x = random.normal(size=(9, classes))
    target = random.integers(-1, classes, (9, classes))  # with repeated targets, which count as often as they stand there
    expected = [margin_of_sets(row, own) for row, own in zip(x, target, strict=True)]
    with use_isa(isa):
        found = F.multilabel_margin_loss(tensor(x), tensor(target), reduction="none")
    np.testing.assert_allclose(numbers(found), expected, rtol=1e-13, atol=1e-15)
    rows = [F.multilabel_margin_loss(tensor(row), tensor(own)).item() for row, own in zip(x, target, strict=True)]
    np.testing.assert_allclose(rows, expected, rtol=1e-13, atol=1e-15)


def test_multilabel_margin_at_its_ends():
    x = dnn.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]], requires_grad=True)
    F.multilabel_margin_loss(x, dnn.tensor([[0, 2, -1], [1, 2, -1]]), reduction="sum").backward()
    third = np.float32(1) / 3  # a margin that is met exactly has no gradient: x[0][0] - x[0][1] = 1
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0, 0], [third, 0, -third]])
    assert F.multilabel_margin_loss(dnn.zeros(2, 3), dnn.full((2, 3), -1, dtype=dnn.int64), reduction="none").tolist() == [0, 0]
    assert F.multilabel_margin_loss(dnn.zeros(0, 3), dnn.zeros(0, 3, dtype=dnn.int64), reduction="none").shape == (0,)
    assert F.multilabel_margin_loss(dnn.zeros(0, 3), dnn.zeros(0, 3, dtype=dnn.int64), reduction="sum").item() == 0


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_triplet_margin_with_any_distance(swap, reduction):
    random = np.random.default_rng(0)
    arrays = [random.normal(size=(6, 5)) for _ in range(3)]
    close, apart, across = (np.abs(arrays[i] - arrays[j]).max(-1) for i, j in ((0, 1), (0, 2), (1, 2)))
    losses = np.maximum(0, 1.5 + close - (np.minimum(apart, across) if swap else apart))
    expected = {"none": losses, "mean": losses.mean(), "sum": losses.sum()}[reduction]

    def largest(a, b):
        return (a - b).abs().amax(-1)

    layer = nn.TripletMarginWithDistanceLoss(distance_function=largest, margin=1.5, swap=swap, reduction=reduction)
    np.testing.assert_allclose(numbers(layer(*map(tensor, arrays))), expected, rtol=1e-14)
    assert_gradients(layer, *arrays)
    plain = nn.TripletMarginWithDistanceLoss(swap=swap, reduction=reduction)(*map(tensor, arrays))
    by_norm = nn.TripletMarginLoss(swap=swap, reduction=reduction)(*map(tensor, arrays))
    np.testing.assert_array_equal(numbers(plain), numbers(by_norm))


def test_a_distance_may_be_learned():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(dnn.ones(5, dtype=dnn.float64))

        def forward(self, a, b):
            return ((a - b) * self.scale).square().sum(-1)

    layer = nn.TripletMarginWithDistanceLoss(distance_function=Scaled())
    assert list(layer.state_dict()) == ["distance_function.scale"]
    random = np.random.default_rng(0)
    layer(*(tensor(random.normal(size=(6, 5))) for _ in range(3))).backward()
    assert layer.distance_function.scale.grad is not None


@pytest.mark.parametrize("dim", [0, 1, -1, (0, 2)], ids=str)
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
def test_normalize(p, dim):
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    x[0, 0] = 0
    size = np.abs(x)
    lengths = size.max(dim, keepdims=True) if p == float("inf") else (size**p).sum(dim, keepdims=True) ** (1 / p)
    np.testing.assert_allclose(numbers(F.normalize(tensor(x), p, dim)), x / np.maximum(lengths, 1e-12), rtol=1e-14)
    np.testing.assert_allclose(numbers(F.normalize(tensor(x), p, dim, eps=2.0)), x / np.maximum(lengths, 2.0), rtol=1e-14)
    x[0, 0] = 0.1 * np.arange(1, 6)
    assert_gradients(lambda a: F.normalize(a, p, dim), x)


def test_pairwise_distance_names_its_norm():
    assert nn.PairwiseDistance(3.0).norm == 3.0


def test_normalize_of_zeros_has_a_finite_gradient():
    x = dnn.zeros(2, 3, requires_grad=True)
    F.normalize(x, eps=0.5).sum().backward()
    assert x.grad.tolist() == [[2.0] * 3] * 2
    with pytest.raises(TypeError, match="normalize: expected a Tensor as input, got int"):
        F.normalize(3)


LABELS = dnn.tensor([0, 1, 2, 0])
SETS = dnn.tensor([[0, 1, 2], [1, -1, 0], [-1, -1, -1], [2, 0, -1]])
MISUSE = {
    "a column and a row": (
        lambda: F.mse_loss(dnn.zeros(4, 1), T),
        ValueError,
        r"\(4, 1\), got \(4,\); use target.unsqueeze\(1\)",
    ),
    "a row and a column": (lambda: F.mse_loss(T, dnn.zeros(4, 1)), ValueError, r"\(4,\), got \(4, 1\); use target.squeeze\(1\)"),
    "other shapes": (lambda: F.l1_loss(X, T), ValueError, r"l1_loss.*\(4, 3\), got \(4,\).*expand"),
    "turned": (lambda: F.huber_loss(X, dnn.zeros(3, 4)), ValueError, r"reshape\(input.shape\)"),
    "integer target": (lambda: F.mse_loss(T, LABELS), TypeError, r"float32, got int64; use target.to\(input.dtype\)"),
    "integer input": (lambda: F.mse_loss(LABELS, LABELS), TypeError, r"use input.float\(\)"),
    "reduction": (lambda: F.mse_loss(T, T, reduction="max"), ValueError, "'mean', 'sum' or 'none', got 'max'"),
    "layer's reduction": (lambda: nn.MSELoss(reduction="avg"), ValueError, "MSELoss.*'avg'"),
    "KL's reduction": (lambda: nn.KLDivLoss(reduction="avg"), ValueError, "batchmean"),
    "bce target": (lambda: F.binary_cross_entropy(T, T + 2), ValueError, "targets from 0 to 1"),
    "bce input": (lambda: F.binary_cross_entropy(T - 1, T), ValueError, "with_logits"),
    "bce with logits target": (lambda: F.binary_cross_entropy_with_logits(T, T - 1), ValueError, "targets from 0 to 1"),
    "bce weight": (lambda: F.binary_cross_entropy(T, T, dnn.ones(3)), ValueError, r"\(3,\) to \(4,\)"),
    "pos_weight dtype": (
        lambda: F.binary_cross_entropy_with_logits(T, T, pos_weight=dnn.ones(4, dtype=dnn.float64)),
        TypeError,
        r"pos_weight.to\(input.dtype\)",
    ),
    "huber delta": (lambda: F.huber_loss(T, T, delta=0.0), ValueError, "delta above 0"),
    "smooth beta": (lambda: F.smooth_l1_loss(T, T, beta=-1.0), ValueError, "beta"),
    "variance": (lambda: F.gaussian_nll_loss(T, T, T - 1), ValueError, "variances"),
    "variance shape": (lambda: F.gaussian_nll_loss(X, X, dnn.ones(5)), ValueError, "var of shape"),
    "class weight shape": (lambda: F.cross_entropy(LOGITS, LABELS, dnn.ones(4)), ValueError, r"weight of shape \(3,\)"),
    "class weight dtype": (lambda: F.cross_entropy(LOGITS, LABELS, dnn.ones(3, dtype=dnn.int64)), TypeError, "weight.to"),
    "class weight gradient": (
        lambda: F.cross_entropy(LOGITS, LABELS, dnn.ones(3, requires_grad=True)),
        RuntimeError,
        r"weight.detach\(\)",
    ),
    "smoothing": (lambda: F.cross_entropy(LOGITS, LABELS, label_smoothing=1.5), ValueError, "from 0 to 1"),
    "column of classes": (lambda: F.cross_entropy(LOGITS, LABELS.unsqueeze(1)), ValueError, r"use target.reshape\(4,\)"),
    "class out of range": (lambda: F.nll_loss(LOGITS, LABELS + 1), ValueError, "nll_loss: target 3 at position 2"),
    "probabilities of another dtype": (
        lambda: F.cross_entropy(LOGITS, dnn.zeros(4, 3, dtype=dnn.float64)),
        TypeError,
        r"target.to\(input.dtype\)",
    ),
    "scores of no dimension": (lambda: F.cross_entropy(dnn.tensor(1.0), dnn.tensor(0)), ValueError, r"\(C,\)"),
    "multi_margin target": (lambda: F.multi_margin_loss(LOGITS, LABELS + 1), ValueError, "from 0 to 2"),
    "multi_margin p": (lambda: F.multi_margin_loss(LOGITS, LABELS, p=3), ValueError, "1 or 2"),
    "multilabel_margin target": (lambda: F.multilabel_margin_loss(LOGITS, SETS + 1), ValueError, "from 0 to 2, or -1 after"),
    "multilabel_margin negative": (lambda: F.multilabel_margin_loss(LOGITS, SETS - 1), ValueError, "from 0 to 2, or -1 after"),
    "multilabel_margin dtype": (
        lambda: F.multilabel_margin_loss(LOGITS, SETS.int()),
        TypeError,
        r"int32; convert them with .long\(\)",
    ),
    "multilabel_margin shape": (lambda: F.multilabel_margin_loss(LOGITS, LABELS), ValueError, r"target of shape \(4, 3\)"),
    "multilabel_margin of images": (
        lambda: F.multilabel_margin_loss(dnn.zeros(1, 2, 3), SETS),
        ValueError,
        r"\(N, C\) or \(C,\)",
    ),
    "multilabel_margin of no class": (lambda: F.multilabel_margin_loss(dnn.zeros(2, 0), SETS), ValueError, r"got \(2, 0\)"),
    "mse weight": (
        lambda: F.mse_loss(T, T, weight=dnn.ones(1)),
        ValueError,
        r"weight of shape \(4,\) to match input, got \(1,\)",
    ),
    "l1 weight dtype": (lambda: F.l1_loss(T, T, weight=T.double()), TypeError, r"weight.to\(input.dtype\)"),
    "huber weight": (lambda: F.huber_loss(T, T, weight=X), ValueError, "huber_loss: expected weight of shape"),
    "weight reduction": (lambda: F.mse_loss(T, T, weight=T, reduction="max"), ValueError, "'mean', 'sum' or 'none', got 'max'"),
    "triplet with distance margin": (lambda: nn.TripletMarginWithDistanceLoss(margin=0)(X, X, X), ValueError, "margin above 0"),
    "triplet with distance shapes": (lambda: F.triplet_margin_with_distance_loss(X, X, T), ValueError, "negative of shape"),
    "triplet without distances": (
        lambda: F.triplet_margin_with_distance_loss(X, X, X, distance_function=lambda a, b: 1.0),
        TypeError,
        "expected a Tensor as distances, got float",
    ),
    "hinge shape": (lambda: F.hinge_embedding_loss(X, T), ValueError, "hinge_embedding_loss: expected target"),
    "ranking dtype": (lambda: F.margin_ranking_loss(T, T.double(), T), TypeError, r"input2.to\(input1.dtype\)"),
    "triplet margin": (lambda: F.triplet_margin_loss(X, X, X, margin=0.0), ValueError, "margin above 0"),
    "unknown": (lambda: dnn._core._pointwise_loss("mean", T, T, 0.0, "mean"), ValueError, "no loss 'mean'"),
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse(name):
    call, error, message = MISUSE[name]
    with pytest.raises(error, match=message):
        call()


LAYERS = {
    nn.CrossEntropyLoss(dnn.ones(3, dtype=dnn.float64), label_smoothing=0.1): "cross_entropy",
    nn.NLLLoss(): "nll_loss",
    nn.MSELoss(): "mse_loss",
    nn.L1Loss(): "l1_loss",
    nn.SmoothL1Loss(beta=0.5): "smooth_l1_loss",
    nn.HuberLoss(delta=0.5): "huber_loss",
    nn.BCELoss(): "binary_cross_entropy",
    nn.BCEWithLogitsLoss(pos_weight=dnn.ones(3, dtype=dnn.float64)): "binary_cross_entropy_with_logits",
    nn.KLDivLoss(log_target=True): "kl_div",
    nn.PoissonNLLLoss(full=True): "poisson_nll_loss",
    nn.GaussianNLLLoss(full=True): "gaussian_nll_loss",
    nn.SoftMarginLoss(): "soft_margin_loss",
    nn.HingeEmbeddingLoss(0.5): "hinge_embedding_loss",
    nn.CosineEmbeddingLoss(0.5): "cosine_embedding_loss",
    nn.MarginRankingLoss(0.5): "margin_ranking_loss",
    nn.TripletMarginLoss(p=1.0): "triplet_margin_loss",
    nn.MultiMarginLoss(margin=0.5): "multi_margin_loss",
    nn.MultiLabelMarginLoss(): "multilabel_margin_loss",
    nn.MultiLabelSoftMarginLoss(): "multilabel_soft_margin_loss",
}


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_layers_pass_their_settings_on(layer):
    function = LAYERS[layer]
    random = np.random.default_rng(0)
    case = next(case for case in CASES.values() if case.function == function)
    given = []
    for key, (kind, _) in list(case.arrays.items())[: 3 if function != "cross_entropy" else 2]:
        if kind == "labels":
            given.append(SETS)
            continue
        rows = kind == "class" or (function == "cosine_embedding_loss" and key == "target")
        if "weight" in key:
            continue
        values = random.integers(0, 3, 4) if kind == "class" else random.uniform(0.1, 0.9, (4,) if rows else (4, 3))
        given.append(tensor(np.sign(values - 0.5) if kind == "sign" else values))
    settings = {key: value for key, value in vars(layer).items() if key[0] != "_" and key != "training"}
    buffers = {key: value for key, value in layer.named_buffers() if value is not None}
    assert layer(*given).item() == getattr(F, function)(*given, **settings, **buffers).item()


def test_weights_are_state():
    layer = nn.BCEWithLogitsLoss(pos_weight=dnn.ones(3))
    assert list(layer.state_dict()) == ["pos_weight"]
    assert list(nn.CrossEntropyLoss(dnn.ones(3)).state_dict()) == ["weight"]
    assert not nn.CrossEntropyLoss().state_dict()


def test_similarities():
    x, z = (draw((4, 5), "float64", seed=seed) for seed in (1, 2))
    cosine = (x * z).sum(1) / np.sqrt((x * x).sum(1) * (z * z).sum(1))
    np.testing.assert_allclose(numbers(nn.CosineSimilarity()(tensor(x), tensor(z))), cosine, rtol=1e-13)
    for p in (1.0, 2.0, 3.0, np.inf):
        distance = np.linalg.norm(x - z + 1e-6, ord=p, axis=1)
        np.testing.assert_allclose(numbers(nn.PairwiseDistance(p)(tensor(x), tensor(z))), distance, rtol=1e-13)
    zero = dnn.zeros(1, 3, requires_grad=True)
    (F.cosine_similarity(zero, dnn.ones(1, 3)) + F.pairwise_distance(zero, dnn.zeros(1, 3), eps=0.0)).sum().backward()
    assert np.isfinite(numbers(zero.grad)).all()


def test_golden_file_is_complete():
    assert len(EXPECTED) == 2 * sum(len(REDUCTIONS) + len(case.reductions) for case in CASES.values())
