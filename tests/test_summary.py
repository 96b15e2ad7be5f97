"""Summaries: the numbers agree with counts by hand and with PyTorch, the text fits, and the module is left as it was."""

from __future__ import annotations

import re
import threading
from html.parser import HTMLParser

import dnncore as dnn
import pytest
from dnncore import models, nn
from dnncore.model.summary import Summary, summarize


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


class TwoHeads(nn.Module):
    """Two inputs, two outputs in a dict, one layer that never runs, work outside of layers."""

    def __init__(self):
        super().__init__()
        self.left = nn.Linear(4, 8)
        self.right = nn.Linear(3, 8)
        self.head = nn.ModuleDict({"age": nn.Linear(8, 1), "kind": nn.Linear(8, 5)})
        self.unused = nn.Linear(2, 2)
        self.register_buffer("scale", dnn.ones(8))

    def forward(self, a, b):
        h = (self.left(a) + self.right(b)).relu() * self.scale
        return {"age": self.head["age"](h), "kind": self.head["kind"](h)}


def row(summary: Summary, path: str):
    (found,) = [row for row in summary.rows if row.path == path]
    return found


# --- Numbers


def test_a_perceptron_by_hand():
    summary = summarize(mlp(), input_shape=(64,))
    assert [(r.path, r.name, r.depth, r.output_shape) for r in summary.rows] == [
        ("", "Sequential", 0, "(1, 10)"),
        ("0", "Linear", 1, "(1, 32)"),
        ("1", "ReLU", 1, "(1, 32)"),
        ("2", "Linear", 1, "(1, 10)"),
    ]
    assert [r.parameters for r in summary.rows] == [0, 64 * 32 + 32, 0, 32 * 10 + 10]
    assert [r.flops for r in summary.rows] == [0, 2 * 64 * 32, 0, 2 * 32 * 10]
    assert [r.activation_bytes for r in summary.rows] == [0, 32 * 4, 32 * 4, 10 * 4]
    assert (summary.parameters, summary.trainable, summary.parameter_bytes) == (2410, 2410, 9640)
    assert (summary.flops, summary.activation_bytes) == (4736, 296)
    assert (summary.buffers, summary.buffer_bytes, summary.lazy) == (0, 0, False)


@pytest.mark.parametrize(
    ("layer", "shapes", "flops"),
    [
        (nn.Linear(5, 7), [(3, 5)], 2 * 3 * 5 * 7),
        (nn.Linear(5, 7, bias=False), [(2, 3, 5)], 2 * 6 * 5 * 7),
        (nn.Linear(5, 7), [(0, 5)], 0),
        (nn.Maxout(5, 7, pieces=3), [(4, 5)], 2 * 4 * 5 * 21),
        (nn.Bilinear(3, 4, 5), [(6, 3), (6, 4)], 6 * 5 * (2 * 3 * 4 + 2 * 4)),
        (nn.Conv2d(4, 6, (3, 2), groups=2), [(2, 4, 5, 5)], 2 * (2 * 3 * 2) * (2 * 6 * 3 * 4)),
        (nn.Conv1d(4, 6, 1, stride=2), [(4, 9)], 2 * 4 * (6 * 5)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), [(1, 4, 5, 5)], 2 * (3 * 3 * 3) * (4 * 5 * 5)),
        (nn.LSTM(5, 7), [(3, 2, 5)], 6 * 2 * (4 * 7) * (5 + 7)),
        (nn.GRU(5, 7, 2, bidirectional=True), [(3, 2, 5)], 6 * 2 * 2 * (3 * 7) * ((5 + 7) + (14 + 7))),
        (nn.LSTM(5, 7, proj_size=3, peephole=True), [(3, 2, 5)], 6 * 2 * ((4 * 7) * (5 + 3) + 3 * 7)),
        (nn.RNNCell(5, 7), [(2, 5)], 2 * 2 * 7 * (5 + 7)),
        (nn.Tanh(), [(3, 5)], 0),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_work_by_hand(layer, shapes, flops):
    summary = summarize(layer, tuple(dnn.zeros(*shape) for shape in shapes))
    assert summary.flops == flops
    assert summary.rows[0].flops == flops


def test_work_agrees_with_pytorch():
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    sizes = [(17, 33), (33, 9), (9, 4)]
    ours = nn.Sequential(*(part for a, b in sizes for part in (nn.Linear(a, b), nn.Tanh())))
    theirs = torch.nn.Sequential(*(part for a, b in sizes for part in (torch.nn.Linear(a, b), torch.nn.Tanh())))
    with FlopCounterMode(display=False) as counter:
        theirs(torch.zeros(6, 17))
    summary = summarize(ours, (dnn.zeros(6, 17),))
    assert summary.flops == counter.get_total_flops()
    assert summary.parameters == sum(p.numel() for p in theirs.parameters())


def test_memory_counts_each_output_once():
    """Views, in-place results and what a container hands on take no memory of their own."""
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(inplace=True), nn.Unflatten(1, (2, 2)), nn.Flatten(), nn.Identity())
    summary = summarize(nn.Sequential(model), (dnn.zeros(5, 6, dtype=dnn.float32),))
    assert [r.activation_bytes for r in summary.rows] == [0, 0, 80, 0, 0, 0, 0]
    assert summary.activation_bytes == 80


def test_double_precision_takes_twice():
    assert summarize(mlp().double(), input_shape=(64,)).activation_bytes == 2 * 296
    assert summarize(mlp().double()).parameter_bytes == 2 * 9640


def test_several_inputs_outputs_and_a_layer_that_never_runs():
    model = TwoHeads()
    model.left.requires_grad_(False)
    model.right.bias.requires_grad_(False)
    summary = summarize(model, (dnn.zeros(2, 4), dnn.zeros(2, 3)))
    assert summary.rows[0].output_shape == "age: (2, 1), kind: (2, 5)"
    assert summary.rows[0].activation_bytes == 0, "the heads made its outputs"
    assert row(summary, "unused").output_shape is None
    assert row(summary, "head").output_shape == ""
    assert summary.flops == 2 * 2 * (4 * 8 + 3 * 8 + 8 * 1 + 8 * 5)
    assert summary.trainable == 24 + 9 + 45 + 6
    assert (summary.buffers, summary.buffer_bytes) == (8, 32)
    assert summary.input_shape == "(2, 4), (2, 3)"
    text = str(summary)
    assert re.search(r"unused: Linear +did not run", text)
    trained = {line.split(":")[0].strip(): line.split() for line in text.splitlines() if ": Linear" in line}
    assert "no" in trained["left"]
    assert "part" in trained["right"]
    assert "yes" in trained["age"]
    assert str(summarize(model, input_shape=[(4,), (3,)])).count("(1, 8)") == 2
    assert summarize(model, {"b": dnn.zeros(2, 3), "a": dnn.zeros(2, 4)}).flops == summary.flops  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("network", "shape", "out"),
    [
        (lambda: dnn.models.LanguageModel(5, 4, 3), (7,), "(1, 5, 7)"),
        (lambda: dnn.models.EncoderDecoder(5, 6, 8, 4), [(7,), (3,)], "(1, 6, 3)"),
        (lambda: dnn.models.EncoderDecoder(5, 6, 8, 4), [(7,), (7,)], "(1, 6, 7)"),
        (lambda: nn.Sequential(nn.EmbeddingBag(5, 4), nn.Linear(4, 3)), (7,), "(1, 3)"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Embedding(5, 4)), (7,), "(1, 7, 4)"),
    ],
)
def test_networks_that_begin_with_ids_get_ids(network, shape, out):
    assert summarize(network(), input_shape=shape).rows[0].output_shape == out


def test_an_embedding_of_computed_ids_that_fails_says_so():
    network = nn.Sequential(nn.Linear(3, 2), nn.Embedding(5, 4))
    with pytest.raises(TypeError, match=r"summarize: Embedding '1', given \(1, 2\): .* expected int64 or int32 ids"):
        summarize(network, input_shape=(3,))


def test_shared_modules_and_tied_parameters_count_once(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    shared = nn.Linear(4, 4)
    tied = nn.Linear(4, 4)
    tied.weight = shared.weight
    summary = summarize(nn.Sequential(shared, nn.Tanh(), nn.Sequential(shared), tied), (dnn.zeros(3, 4),))
    assert summary.parameters == 20 + 4
    assert [r.shared_with for r in summary.rows] == [None, None, None, None, "0", None]
    assert [r.parameters for r in summary.rows] == [0, 20, 0, 0, 0, 4]
    assert [r.flops for r in summary.rows] == [0, 96, 0, 0, 96, 96]
    assert "0: Linear (shared with 0)" in str(summary)


def test_a_module_called_in_a_loop():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.step = nn.Linear(4, 4)

        def forward(self, x):
            for _ in range(3):
                x = self.step(x)
            return x

    summary = summarize(Loop(), (dnn.zeros(2, 4),))
    assert row(summary, "step").flops == 3 * 64
    assert row(summary, "step").activation_bytes == 3 * 32
    assert row(summary, "step").output_shape == "(2, 4) x 3"
    shared = Loop()
    twice = summarize(nn.Sequential(shared, shared.step), (dnn.zeros(2, 4),))
    assert [r.flops for r in twice.rows] == [0, 0, 4 * 64, 0]


def test_parametrized_layers():
    summary = summarize(nn.utils.parametrizations.weight_norm(nn.Linear(8, 10)), input_shape=(8,))
    assert summary.rows[0].name == "Linear"
    assert summary.flops == 160
    assert summary.parameters == 10 + 10 + 80


# --- Text


def test_without_an_input_there_are_parameters_only():
    assert str(summarize(mlp())).splitlines() == [
        "Layer        Parameters  Trainable",
        "----------------------------------",
        "Sequential",
        "  0: Linear       2,080        yes",
        "  1: ReLU",
        "  2: Linear         330        yes",
        "----------------------------------",
        "Parameters: 2,410 (9.41 KiB), 2,410 of them trained; buffers: 0 (0 B)",
    ]
    assert summarize(mlp()).flops is None


def test_large_numbers_have_units():
    text = str(summarize(nn.Sequential(nn.Linear(2000, 1500)), (dnn.zeros(300, 2000),)))
    assert "1.8 G" in text
    assert "1.72 MiB" in text
    assert "3,001,500 (11.45 MiB)" in text


def test_lazy_layers():
    model = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3, bias=False))
    text = str(summarize(model))
    assert text.count("?") == 5
    assert "take their shape from the first input" in text
    summary = summarize(model, input_shape=(5,))
    assert (summary.parameters, summary.lazy) == (5 * 8 + 8 + 24, False)
    assert model[0].has_uninitialized_params()
    assert isinstance(model[2], nn.LazyLinear)
    model(dnn.zeros(2, 7))
    assert model[0].in_features == 7


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 200])
def test_width_of_the_terminal(monkeypatch, columns):
    inner: nn.Module = nn.Linear(3, 3)
    for _ in range(12):
        inner = nn.Sequential({"a_rather_long_name": inner})
    summary = summarize(inner, input_shape=(3,))
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = str(summary).splitlines()
    table = lines[: lines.index(lines[1], 2) + 1]
    widths = {len(line) for line in table if line.startswith("-")}
    assert len(widths) == 1
    assert max(map(len, table)) <= max(columns, 72)
    assert ("…" in str(summary)) == (columns < 100)


def test_html_is_escaped_and_well_formed():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_module("<script>alert(1)</script>", nn.Linear(2, 2))

        def forward(self, x):
            return dict(self.named_children())["<script>alert(1)</script>"](x)

    class Checked(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.cells = [], []

        def handle_starttag(self, tag, attrs):
            assert tag != "script"
            if tag != "br":
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

        def handle_data(self, data):
            if self.open[-1] in ("td", "th"):
                self.cells.append(data)

    page = summarize(Odd(), input_shape=(2,))._repr_html_()
    parser = Checked()
    parser.feed(page)
    assert parser.open == []
    assert parser.cells[:6] == ["Layer", "Output shape", "Parameters", "Trainable", "FLOPs", "Activations"]
    assert "\u2003<script>alert(1)</script>: Linear" in parser.cells
    assert "multiply-add" in page


def test_repr_is_the_table():
    summary = summarize(mlp())
    assert repr(summary) == str(summary)


# --- The module stays as it was


class Counting(nn.Module):
    """Changes everything a forward pass can: a buffer, a Python attribute, random state, gradients' tape."""

    def __init__(self, lock: bool):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.drop = nn.Dropout(0.5).train()
        self.register_buffer("calls", dnn.zeros(1))
        if lock:
            self.lock = threading.Lock()  # cannot be copied

    def forward(self, x):
        self.calls += 1
        return self.drop(self.fc(x)) + dnn.rand(3)


@pytest.mark.parametrize("lock", [False, True], ids=["copied", "in place"])
def test_the_module_stays_as_it_was(lock):
    model = Counting(lock)
    model.fc.eval()
    model.fc(dnn.ones(1, 3)).sum().backward()
    x = dnn.randn(2, 3)
    before = (
        {name: value.clone().tolist() for name, value in model.state_dict().items()},
        [m.training for m in model.modules()],
        [p.grad.tolist() for p in model.parameters()],
        dnn.default_generator.get_state().tolist(),
        x.tolist(),
        [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        id(model.fc.weight),
    )
    summarize(model, (x,))
    with pytest.raises(ValueError, match=r"^summarize: Linear 'fc', given \(2, 4\): linear: expected"):
        summarize(model, (dnn.zeros(2, 4),))
    after = (
        {name: value.tolist() for name, value in model.state_dict().items()},
        [m.training for m in model.modules()],
        [p.grad.tolist() for p in model.parameters()],
        dnn.default_generator.get_state().tolist(),
        x.tolist(),
        [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        id(model.fc.weight),
    )
    assert after == before


def test_inputs_are_not_written():
    x = dnn.tensor([[-1.0, 2.0]])
    summarize(nn.Sequential(nn.ReLU(inplace=True)), (x,))
    assert x.tolist() == [[-1.0, 2.0]]


# --- Errors


@pytest.mark.parametrize(
    ("model", "shape", "error", "match"),
    [
        (
            nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Linear(5, 2))),
            (3,),
            ValueError,
            r"Linear '1\.0', given \(1, 4\): linear",
        ),
        (nn.Linear(3, 4), (5,), ValueError, r"^summarize: Linear, given \(1, 5\): linear: expected input of shape"),
        (nn.Sequential(nn.Softmax()), (5,), ValueError, "Softmax '0', given"),
        (nn.Sequential(nn.ModuleList([nn.Linear(3, 3)])), (3,), RuntimeError, "ModuleList '0', given"),
        (nn.Sequential(nn.Unflatten(7, (1, 1))), (3,), RuntimeError, "Unflatten '0', given"),
        (TwoHeads(), (3,), TypeError, "TwoHeads, given"),
    ],
    ids=["nested", "alone", "settings", "container", "index", "too few inputs"],
)
def test_errors_name_the_layer(model, shape, error, match):
    with pytest.raises(error, match=match):
        summarize(model, input_shape=shape)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"inputs": (dnn.zeros(1, 64),), "input_shape": (64,)}, ValueError, "got both"),
        ({"inputs": "x"}, TypeError, "expected inputs as a tuple of tensors, got str"),
        ({"inputs": (1, 2)}, TypeError, "expected inputs as a tuple of tensors"),
        ({"input_shape": (1.5,)}, TypeError, "expected input_shape as a tuple of ints"),
        ({"input_shape": 64}, TypeError, "expected input_shape as a tuple of ints"),
        ({"input_shape": [(64,), 3]}, TypeError, "expected input_shape as a tuple of ints"),
        ({"input_shape": (-1,)}, ValueError, r"sizes of at least 0 in input_shape, got \(-1,\)"),
    ],
)
def test_wrong_arguments(arguments, error, match):
    with pytest.raises(error, match=match):
        summarize(mlp(), **arguments)


def test_no_module():
    with pytest.raises(TypeError, match=r"^summarize: expected a Module, got function"):
        summarize(lambda x: x)  # type: ignore[arg-type]


def test_convolutions_count_by_their_outputs():
    """LeNet-5 by hand: 784 * 6 * 25 + 100 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10 multiply-adds."""
    assert summarize(models.lenet5(), input_shape=(1, 32, 32)).flops == 2 * (117_600 + 240_000 + 48_000 + 10_080 + 840)
    layers = nn.Sequential(nn.Conv2d(4, 8, (3, 2), groups=2), nn.ConvTranspose2d(8, 6, 3, stride=2, groups=2))
    rows = summarize(layers, input_shape=(4, 9, 9)).rows
    assert [row.flops for row in rows[1:]] == [2 * 8 * 7 * 8 * 2 * 3 * 2, 2 * 8 * 7 * 8 * 3 * 3 * 3]


def test_a_convolution_has_far_fewer_weights_than_a_dense_layer():
    found = {}
    for name, layer in (("shared", nn.Conv2d(1, 6, 5)), ("dense", nn.Sequential(nn.Flatten(), nn.Linear(1024, 6 * 28 * 28)))):
        summary = summarize(layer, input_shape=(1, 32, 32))
        assert sum(summary.rows[-1].output_shape.count(text) for text in ("(1, 6, 28, 28)", "(1, 4704)")) == 1
        found[name] = summary.parameters
    assert found == {"shared": 156, "dense": 4_821_600}
