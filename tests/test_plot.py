"""Pictures of what a network sees: what they show, without pyplot; saliency against a gradient by hand."""

from __future__ import annotations

import io
import subprocess
import sys

import dnncore as dnn
import numpy as np
import pytest
from cases import numbers
from dnncore import models, nn

needs_matplotlib = pytest.mark.usefixtures("matplotlib")


@pytest.fixture
def matplotlib():
    return pytest.importorskip("matplotlib", reason="matplotlib (extra plot) draws")


@pytest.fixture
def lenet():
    dnn.manual_seed(0)
    return dnn.Model(models.lenet5())


def drawn(figure):
    """Return the picture; warnings of the drawing are errors."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=40)
    return image.getvalue()


def images_of(figure):
    return [np.asarray(image.get_array()) for axes in figure.axes for image in axes.images]


@needs_matplotlib
def test_filters_of_one_channel(lenet):
    figure = lenet.plot_filters("features.0")
    weight = numbers(lenet.module.features[0].weight)
    (shown,) = [values for values in images_of(figure) if values.ndim == 2]
    for place in range(6):
        np.testing.assert_array_equal(shown[:, 6 * place : 6 * place + 5], weight[place, 0])
    image = figure.axes[0].images[0]
    assert image.get_clim() == (-np.abs(weight).max(), np.abs(weight).max())
    assert figure.axes[0].get_title() == "features.0: 6 filters"
    assert drawn(figure).startswith(b"\x89PNG")


@needs_matplotlib
def test_filters_of_several_channels_are_rows(lenet):
    layer = lenet.module.features[3]
    figure = lenet.plot_filters(layer)
    shown = images_of(figure)[0]
    assert shown.shape == (16 * 6 - 1, 6 * 6 - 1)
    np.testing.assert_array_equal(shown[12:17, 6:11], numbers(layer.weight)[2, 1])
    assert figure.axes[0].get_title() == "features.3: 16 filters, 6 channels"


@needs_matplotlib
def test_filters_of_three_channels_are_colours():
    model = dnn.Model(nn.Sequential(nn.Conv2d(3, 100, 7)))
    shown = images_of(model.plot_filters("0"))[0]
    assert shown.shape[2] == 3
    assert 0 <= shown.min() < shown.max() <= 1
    assert "64 of 100 filters" in model.plot_filters("0").axes[0].get_title()
    with dnn.no_grad():
        model.module[0].weight.zero_()
    assert np.unique(images_of(model.plot_filters("0"))[0][:7, :7]).tolist() == [0.5]


@needs_matplotlib
def test_activations_are_those_of_the_layer(lenet):
    x = dnn.rand(1, 32, 32)
    lenet.module.train()
    figure = lenet.plot_activations("features.2", x)
    assert lenet.module.training
    expected = numbers(lenet.module.eval().features[:3](x.unsqueeze(0)))[0]
    image, maps = images_of(figure)
    np.testing.assert_allclose(maps[:14, 15:29], expected[1])
    np.testing.assert_allclose(image, (numbers(x)[0] - x.min().item()) / (x.max() - x.min()).item(), rtol=1e-6)
    assert figure.axes[1].get_title() == "features.2: 6 maps of 14 x 14"
    assert not any(part._forward_hooks for part in lenet.module.modules())
    assert drawn(figure)


@needs_matplotlib
def test_activations_that_are_never_negative_start_at_zero():
    model = dnn.Model(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()))
    image = model.plot_activations("1", dnn.randn(1, 1, 8, 8)).axes[1].images[0]
    assert image.get_clim()[0] == 0
    assert image.get_cmap().name == "viridis"
    image = model.plot_activations("0", dnn.randn(1, 1, 8, 8)).axes[1].images[0]
    assert image.get_clim()[0] == -image.get_clim()[1]


def test_saliency_is_the_gradient_of_the_score():
    """Of a linear network it is the weight itself."""
    layer = nn.Linear(2 * 4 * 5, 3, dtype=dnn.float64)
    model = dnn.Model(nn.Sequential(nn.Flatten(), layer))
    x = dnn.randn(6, 2, 4, 5, dtype=dnn.float64)
    found = numbers(model.saliency(x, 1))
    expected = np.abs(numbers(layer.weight)[1].reshape(2, 4, 5)).max(0)
    np.testing.assert_allclose(found, np.broadcast_to(expected, (6, 4, 5)), rtol=1e-14)
    classes = model.predict(x).argmax(1).tolist()
    weight = np.abs(numbers(layer.weight).reshape(3, 2, 4, 5)).max(1)
    np.testing.assert_allclose(numbers(model.saliency(x)), weight[classes], rtol=1e-14)
    np.testing.assert_allclose(numbers(model.saliency(x, [0, 1, 2, 0, 1, 2])), weight[[0, 1, 2, 0, 1, 2]], rtol=1e-14)
    assert layer.weight.grad is None


def test_saliency_of_a_network_by_differences(lenet):
    lenet.module.double()
    x = dnn.rand(1, 1, 32, 32, dtype=dnn.float64)
    found = numbers(lenet.saliency(x, 4))[0]
    for row, column in ((5, 7), (16, 16), (31, 0)):
        scores = []
        for step in (1e-5, -1e-5):
            moved = x.clone()
            moved[0, 0, row, column] += step
            scores.append(lenet.predict(moved)[0, 4].item())
        assert found[row, column] == pytest.approx(abs(scores[0] - scores[1]) / 2e-5, rel=1e-5, abs=1e-9)


def test_smoothed_saliency_is_reproducible_and_a_mean(lenet):
    x = dnn.rand(2, 1, 32, 32)
    once = lenet.saliency(x, 3)
    many = [lenet.saliency(x, 3, samples=20, generator=dnn.Generator().manual_seed(1)) for _ in range(2)]
    assert many[0].equal(many[1])
    assert not many[0].equal(once)
    np.testing.assert_allclose(numbers(lenet.saliency(x, 3, samples=3, noise=0.0)), numbers(once), rtol=1e-5, atol=1e-8)


@needs_matplotlib
def test_saliency_is_drawn_below_the_images(lenet):
    x = dnn.rand(10, 1, 32, 32)
    figure = lenet.plot_saliency(x, class_names=list("abcdefghij"), samples=2)
    assert len(images_of(figure)) == 16
    predicted = lenet.predict(x[:8]).argmax(1).tolist()
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert [title[0] for title in titles] == ["abcdefghij"[number] for number in predicted]
    assert all(title.endswith(" %") for title in titles)
    assert drawn(figure)


@needs_matplotlib
def test_confusion_shows_counts_and_names():
    model = dnn.Model(nn.Identity())
    outputs, y = dnn.eye(3)[dnn.tensor([0, 0, 1, 2, 2])], dnn.tensor([0, 1, 1, 2, 2])
    figure = model.plot_confusion(outputs, y, class_names=["cat", "dog", "zebra"])
    axes = figure.axes[0]
    assert {(text.get_position(), text.get_text()) for text in axes.texts} == {
        ((0, 0), "1"),
        ((0, 1), "1"),
        ((1, 1), "1"),
        ((2, 2), "2"),
    }
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog", "zebra"]
    assert axes.get_title() == "4 of 5 right (80.00 %)"
    np.testing.assert_array_equal(images_of(figure)[0], [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]])
    shares = model.plot_confusion(outputs, y, normalize="true")
    assert sorted(text.get_text() for text in shares.axes[0].texts) == ["0.50", "0.50", "1.00", "1.00"]
    assert drawn(figure)
    assert drawn(shares)


@needs_matplotlib
def test_drawing_leaves_pyplot_alone():
    code = """
import sys
import dnncore as dnn
from dnncore import models
model = dnn.Model(models.lenet5())
x = dnn.rand(3, 1, 32, 32)
figures = [model.plot_filters("features.0"), model.plot_activations("features.0", x[0]), model.plot_saliency(x)]
figures.append(model.plot_confusion(x, dnn.tensor([0, 1, 9])))
print("matplotlib.pyplot" in sys.modules, len(figures))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False 4\n"


def test_without_matplotlib_the_extra_is_named(lenet, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"plot_filters: needs matplotlib.*pip install 'dnncore\[plot\]'"):
        lenet.plot_filters("features.0")
    assert lenet.saliency(dnn.rand(1, 32, 32)).shape == (1, 32, 32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.plot_filters("features.9"), r"plot_filters: no layer 'features.9'; there are features, features.0"),
        (lambda m: m.plot_filters("head.1"), r"plot_filters: expected a layer with a weight .* head.1 \(Linear\) has one of"),
        (lambda m: m.plot_filters("features.1"), r"features.1 \(Tanh\) has none"),
        (lambda m: m.plot_filters(nn.Conv2d(1, 1, 3)), r"this Conv2d is not part of the network"),
        (lambda m: m.plot_activations("head.1", dnn.rand(1, 32, 32)), r"plot_activations: expected maps"),
        (lambda m: m.plot_activations("features.0", dnn.rand(2, 1, 32, 32)), r"expected one image, got 2"),
        (
            lambda m: m.plot_activations("features.0", dnn.rand(32, 32)),
            r"expected images of shape \(N, channels, height, width\)",
        ),
        (lambda m: m.saliency(dnn.rand(1, 1, 28, 28)), r"LeNet5: expected images of 32 x 32 pixels"),
        (lambda m: m.saliency(dnn.rand(2, 1, 32, 32), 10), r"saliency: expected classes from 0 to 9"),
        (lambda m: m.saliency(dnn.rand(2, 1, 32, 32), [1, 2, 3]), r"saliency: expected a class, or one for each of 2 images"),
        (lambda m: m.saliency(dnn.rand(2, 1, 32, 32), samples=0), r"saliency: expected at least one sample"),
    ],
)
@needs_matplotlib
def test_wrong_use_is_refused(lenet, call, message):
    with pytest.raises(ValueError, match=message):
        call(lenet)
