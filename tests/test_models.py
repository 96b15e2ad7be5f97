"""The published networks: sizes, names, shapes, freezing, new heads, folders; PyTorch's numbers from the same weights."""

from __future__ import annotations

import sys

import dnncore as dnn
import numpy as np
import pytest
from cases import GOLDEN, numbers, use_threads
from dnncore import models, nn, optim
from dnncore.callbacks import LearningRateScheduler
from dnncore.data import DataLoader, TensorDataset, load_digits
from dnncore.data.augment import Compose, Normalize, RandomAffine
from dnncore.model import archive
from dnncore.nn import functional

sys.path.insert(0, str(GOLDEN))
import model_recipe as recipe

EXPECTED = dict(np.load(GOLDEN / "models.npz"))
HISTORIC = {"connections": "historic", "subsampling": "trainable", "activation": "scaled_tanh", "output": "rbf"}

# Parameters as published: torchvision's documentation; Caffe's model zoo for the two originals; LeCun 1998; He 2016, table 6.
PUBLISHED = [
    (models.lenet5, {}, 61_706),
    (models.lenet5, HISTORIC, 60_000),
    (models.alexnet, {}, 61_100_840),
    (models.alexnet, {"variant": "original"}, 60_965_224),
    (models.vgg11, {}, 132_863_336),
    (models.vgg13_bn, {}, 133_053_736),
    (models.vgg16, {}, 138_357_544),
    (models.vgg19, {}, 143_667_240),
    (models.googlenet, {}, 13_004_888),
    (models.googlenet, {"aux_logits": False}, 6_624_904),
    (models.googlenet, {"batch_norm": False, "kernel_5x5": True}, 13_378_280),
    (models.googlenet, {"batch_norm": False, "kernel_5x5": True, "aux_logits": False}, 6_998_552),
    (models.resnet18, {}, 11_689_512),
    (models.resnet34, {}, 21_797_672),
    (models.resnet50, {}, 25_557_032),
    (models.resnet101, {}, 44_549_160),
    (models.resnet152, {}, 60_192_808),
    (models.resnet20, {}, 269_722),
    (models.resnet32, {}, 464_154),
    (models.resnet44, {}, 658_586),
    (models.resnet56, {}, 853_018),
    (models.resnet20, {"shortcut": "B"}, 272_474),
]


@pytest.fixture
def undrawn(monkeypatch):
    """Networks of 100 million weights whose values do not matter."""
    for name in ("uniform_", "normal_", "kaiming_uniform_", "kaiming_normal_", "trunc_normal_", "lecun_uniform_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **settings: tensor)


@pytest.mark.parametrize(("make", "options", "count"), PUBLISHED)
@pytest.mark.usefixtures("undrawn")
def test_parameters_are_as_many_as_published(make, options, count):
    assert sum(p.numel() for p in make(**options).parameters()) == count


KEYS = {
    "alexnet": ("features.0.weight", "features.10.bias", "classifier.1.weight", "classifier.6.bias"),
    "vgg11": ("features.0.weight", "features.18.bias", "classifier.0.weight", "classifier.6.bias"),
    "vgg16_bn": ("features.1.running_mean", "features.41.num_batches_tracked", "classifier.3.weight"),
    "googlenet": (
        "conv1.conv.weight",
        "conv3.bn.running_var",
        "inception4b.branch3.1.conv.weight",
        "inception5b.branch4.1.bn.bias",
        "aux1.conv.conv.weight",
        "aux2.fc2.bias",
        "fc.weight",
    ),
    "resnet50": (
        "conv1.weight",
        "bn1.weight",
        "layer1.0.downsample.0.weight",
        "layer1.0.downsample.1.running_mean",
        "layer3.5.conv3.weight",
        "layer4.2.bn3.bias",
        "fc.bias",
    ),
}


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.usefixtures("undrawn")
def test_names_are_those_of_torchvision(name):
    keys = getattr(models, name)().state_dict()
    assert set(KEYS[name]) <= set(keys)


# --- The same numbers as PyTorch --------------------------------------------------------------------------------------


MAKE = {
    "lenet5": models.lenet5,
    "lenet5_historic": lambda: models.lenet5(**HISTORIC),
    "alexnet": lambda: models.alexnet(10, hidden=64, dropout=0.0),
    "alexnet_original": lambda: models.alexnet(10, hidden=64, dropout=0.0, variant="original"),
    "vgg11": lambda: models.vgg11(10, hidden=64, dropout=0.0),
    "vgg11_bn": lambda: models.vgg11_bn(10, hidden=64, dropout=0.0),
    "googlenet": lambda: models.googlenet(10, dropout=0.0, dropout_aux=0.0),
    "googlenet_original": lambda: models.googlenet(10, dropout=0.0, dropout_aux=0.0, batch_norm=False, kernel_5x5=True),
    "resnet20": models.resnet20,
    "resnet20_projected": lambda: models.resnet20(shortcut="B"),
    "resnet18": lambda: models.resnet18(10),
    "resnet18_cifar": lambda: models.resnet18(10, cifar_stem=True),
    "resnet50": lambda: models.resnet50(10),
}


def filled(name, dtype):
    model = MAKE[name]()
    model.load_state_dict({key: dnn.tensor(recipe.weights(key, tuple(v.shape))) for key, v in model.state_dict().items()})
    return model.to(dtype)


def loss_of(outputs, y):
    if not isinstance(outputs, tuple):
        return functional.cross_entropy(outputs, y)
    return sum(factor * functional.cross_entropy(each, y) for factor, each in zip((1.0, 0.3, 0.3), outputs, strict=True))


def run(name, dtype, steps):
    """Return what make_models_golden.py keeps, from the same weights and data."""
    model = filled(name, dtype)
    x, y = (dnn.tensor(values) for values in recipe.data(name))
    x = x.to(dtype)
    found = {}
    with dnn.no_grad():
        found["evaluated"] = numbers(model.eval()(x))
    model.train()
    initial = {key: value.detach().clone() for key, value in model.named_parameters()}
    assert sorted(initial) == sorted(EXPECTED[f"{name}/names"])
    order = EXPECTED[f"{name}/names"].tolist()
    parameters = dict(model.named_parameters())
    optimizer = optim.SGD(model.parameters(), **recipe.SETTINGS)
    losses = []
    for step in range(steps):
        optimizer.zero_grad()
        outputs = model(x)
        loss = loss_of(outputs, y)
        loss.backward()
        if step == 0:
            found["trained"] = numbers(dnn.cat(list(outputs)) if isinstance(outputs, tuple) else outputs)
            gradients = {key: numbers(parameters[key].grad) for key in order}
            found["gradient_norms"], found["gradients"] = recipe.kept(gradients)
        optimizer.step()
        losses.append(loss.item())
    found["losses"] = np.array(losses)
    changes = {key: numbers(parameters[key].detach() - initial[key]) for key in order}
    found["change_norms"], found["changes"] = recipe.kept(changes)
    if f"{name}/buffers" in EXPECTED:
        buffers = {key: numbers(value) for key, value in model.named_buffers() if "running" in key}
        found["buffer_norms"], found["buffers"] = recipe.kept(buffers)
    return found


SLOW = ("googlenet_original", "resnet18", "resnet18_cifar", "resnet50", "vgg11_bn")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in MAKE])
def test_five_steps_in_float64_are_those_of_pytorch(name):
    """Rounding of 1e-16, grown as that of PyTorch's float32 grew from 6e-8, and a factor of 100 for another order of sums."""
    found = run(name, dnn.float64, recipe.STEPS)
    for key, value in found.items():
        expected = EXPECTED[f"{name}/{key}"]
        growth = EXPECTED[f"{name}/{key}/float32"] / 6e-8
        assert np.abs(value - expected).max() <= 100 * max(1.0, growth) * 2.2e-16 * np.abs(expected).max() + 1e-300, key


ONE_PRODUCT = 2 * np.sqrt(512 * 9) * 2**-24  # what a convolution over 512 channels may be off, by the contract


@pytest.mark.parametrize("name", MAKE)
def test_float32_is_as_accurate_as_pytorch(name):
    """Whole tensors are at most four times as far from the float64 result as PyTorch's, or as far as one product may be."""
    found = run(name, dnn.float32, 1)
    kinds = {"evaluated": ["evaluated"], "trained": ["trained"]}  # of gradients the norms and the entries have one bound
    for key in (*kinds, "gradient_norms", "gradients"):
        expected = EXPECTED[f"{name}/{key}"]
        distances = [EXPECTED[f"{name}/{each}/float32"] for each in kinds.get(key, ["gradient_norms", "gradients"])]
        allowed = max(4 * max(distances), ONE_PRODUCT)
        if key not in kinds and EXPECTED[f"{name}/trained/float32"] > 1e-5:
            allowed = 0.05  # rounding decides a ReLU or a maximum, and with it entries of gradients; float64 tells them above
        assert np.abs(found[key] - expected).max() <= allowed * np.abs(expected).max(), key


@pytest.mark.parametrize(
    "name", ["lenet5_historic", "alexnet_original", "resnet20", pytest.param("googlenet", marks=pytest.mark.slow)]
)
def test_every_gradient_is_that_of_pytorch(name):
    torch = pytest.importorskip("torch")
    from torch_models import MODELS, load

    theirs = load(MODELS[name](), recipe.weights).double()
    ours = filled(name, dnn.float64)
    x, y = recipe.data(name)
    parts = theirs(torch.from_numpy(x))
    parts = parts if isinstance(parts, tuple) else (parts,)
    factors = (1.0, 0.3, 0.3)[: len(parts)]
    loss = sum(f * torch.nn.functional.cross_entropy(p, torch.from_numpy(y)) for f, p in zip(factors, parts, strict=True))
    loss.backward()
    loss_of(ours(dnn.tensor(x)), dnn.tensor(y)).backward()
    expected = {key: value.grad.numpy() for key, value in theirs.named_parameters()}
    growth = max(1.0, EXPECTED[f"{name}/gradients/float32"] / 6e-8)
    for key, value in ours.named_parameters():
        scale = np.abs(expected[key]).max()
        assert np.abs(numbers(value.grad) - expected[key]).max() <= 1000 * growth * 2.2e-16 * max(scale, 1e-3), key


@pytest.mark.parametrize("name", ["lenet5_historic", "alexnet_original", "resnet20"])
def test_bits_are_the_same_for_any_number_of_threads(name):
    found = []
    for threads in (1, 2, 4):
        with use_threads(threads):
            found.append(run(name, dnn.float32, 2))
    for key in found[0]:
        assert all(np.array_equal(found[0][key], other[key]) for other in found[1:]), key


# --- Parts ------------------------------------------------------------------------------------------------------------


SMALL = {
    "lenet5": (models.lenet5, (1, 32, 32), (16, 5, 5)),
    "alexnet": (lambda: models.alexnet(10, hidden=8), (3, 63, 63), (256, 1, 1)),
    "vgg11": (lambda: models.vgg11(10, hidden=8), (3, 32, 32), (512, 1, 1)),
    "googlenet": (lambda: models.googlenet(10), (3, 32, 32), (1024, 1, 1)),
    "resnet18": (lambda: models.resnet18(10), (3, 32, 32), (512, 1, 1)),
    "resnet50": (lambda: models.resnet50(10, cifar_stem=True), (3, 16, 16), (2048, 2, 2)),
    "resnet20": (models.resnet20, (3, 32, 32), (64, 8, 8)),
}


@pytest.fixture(params=SMALL)
def small(request):
    dnn.manual_seed(0)
    make, shape, maps = SMALL[request.param]
    return make().eval(), dnn.rand(2, *shape), maps


def test_a_model_is_its_head_of_its_features(small):
    model, x, maps = small
    with dnn.no_grad():
        features = model.features(x)
        assert features.shape == (2, *maps)
        assert model(x).equal(model.head(features))
    parts = {id(p) for part in (model.features, model.head) for p in part.parameters()}
    extra = {id(p) for name, p in model.named_parameters() if name.startswith("aux")}
    assert parts | extra == {id(p) for p in model.parameters()}


def test_frozen_features_do_not_change(small):
    model, x, _ = small
    model.freeze().replace_head(3).train()
    before = {name: value.clone() for name, value in model.features.state_dict().items()}
    optimizer = optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        outputs = model(x)
        logits = outputs.logits if isinstance(outputs, tuple) else outputs
        assert logits.shape == (2, 3)
        functional.cross_entropy(logits, dnn.tensor([0, 2])).backward()
        optimizer.step()
    assert all(value.equal(before[name]) for name, value in model.features.state_dict().items())
    assert all(p.grad is None for p in model.features.parameters())
    model.unfreeze()
    assert all(p.requires_grad for p in model.parameters())
    model(x)
    norms = [name for name in before if name.endswith("running_mean")]
    assert all(not model.features.state_dict()[name].equal(before[name]) for name in norms)


def test_models_come_back_from_a_folder(small, tmp_path):
    model, x, _ = small
    model.freeze().replace_head(4)
    with dnn.no_grad():
        expected = model(x)
    dnn.Model(model).save(tmp_path / "model")
    loaded = dnn.Model.load(tmp_path / "model").module
    assert type(loaded) is type(model)
    assert repr(loaded) == repr(model)
    assert list(loaded.state_dict()) == list(model.state_dict())
    with dnn.no_grad():
        assert loaded(x).equal(expected)
    assert [p.requires_grad for p in loaded.parameters()] == [p.requires_grad for p in model.parameters()]
    before = {name: value.clone() for name, value in loaded.features.state_dict().items()}
    loaded.train()(x)
    assert all(value.equal(before[name]) for name, value in loaded.features.state_dict().items())


def test_the_historic_lenet_comes_back(tmp_path):
    model = models.lenet5(**HISTORIC).eval()
    archive.write(tmp_path / "model", model)
    loaded, _ = archive.read(tmp_path / "model")
    x = dnn.rand(2, 1, 32, 32)
    assert loaded(x).equal(model(x))
    assert not any(p is loaded.head[-1].codes for p in loaded.parameters())


def test_networks_with_wrong_parts_are_refused(tmp_path):
    model = models.lenet5()
    del model._modules["head"]
    with pytest.raises(ValueError, match=r"LeNet5 as the whole model: expected the parts features, head"):
        archive.write(tmp_path / "model", model)


def test_small_images_are_refused_with_the_name_of_the_network():
    cases = [
        (models.lenet5(), (1, 28, 28), r"LeNet5: expected images of 32 x 32 pixels, got \(2, 1, 28, 28\); pad them"),
        (models.lenet5(), (1, 64, 64), r"LeNet5: expected images of 32 x 32 pixels.*resize them"),
        (models.alexnet(10, hidden=8), (3, 32, 32), r"AlexNet: expected images of at least 63 x 63 pixels"),
        (models.vgg11(10, hidden=8), (3, 28, 28), r"VGG: expected images of at least 32 x 32 pixels"),
        (models.googlenet(10), (3, 14, 14), r"GoogLeNet: expected images of at least 15 x 15 pixels"),
    ]
    for model, shape, message in cases:
        with pytest.raises(ValueError, match=message):
            model(dnn.zeros(2, *shape))


@pytest.mark.parametrize(("name", "side"), [("alexnet", 63), ("vgg11", 32), ("googlenet", 15), ("resnet18", 1), ("resnet20", 1)])
def test_the_smallest_images(name, side):
    options = {"hidden": 8} if name in ("alexnet", "vgg11") else {}
    model = getattr(models, name)(3, **options).eval()
    assert model(dnn.rand(1, 3, side, side)).shape == (1, 3)


def test_wrong_channels_are_refused():
    with pytest.raises(ValueError, match="3"):
        models.resnet20()(dnn.zeros(2, 1, 32, 32))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.LeNet5(0), "LeNet5: expected num_classes of at least 1, got 0"),
        (lambda: models.LeNet5(connections="some"), "LeNet5: expected connections 'full' or 'historic', got 'some'"),
        (lambda: models.LeNet5(2.5), "LeNet5: expected num_classes of type int, got float"),
        (lambda: models.VGG(11, in_channels=True), "VGG: expected in_channels of type int, got bool"),
        (lambda: models.AlexNet(variant="new"), "AlexNet: expected variant 'single' or 'original', got 'new'"),
        (lambda: models.VGG(12), "VGG: expected depth 11, 13, 16 or 19, got 12"),
        (lambda: models.ResNet(20), "ResNet: expected depth 18, 34, 50, 101 or 152, got 20"),
        (lambda: models.CifarResNet(18), "CifarResNet: expected depth 6 n"),
        (lambda: models.CifarResNet(20, in_channels=0), "CifarResNet: expected in_channels of at least 1, got 0"),
        (lambda: models.replace_head(models.lenet5(), 0), "replace_head: expected num_classes of at least 1, got 0"),
        (lambda: models.replace_head(nn.Linear(3, 2), 4), "replace_head: expected a network with a part `head`"),
        (
            lambda: models.lenet5(output="rbf").replace_head(4),
            "replace_head: expected .* that ends in a linear layer, got LeNet5",
        ),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_a_new_head_serves_any_module_with_a_head():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5))
            self.head = nn.Linear(5, 2, bias=False, dtype=dnn.float64)

        def forward(self, x):
            return self.head(self.features(x))

    model = models.replace_head(Own(), 7)
    assert (model.head.out_features, model.head.bias, model.head.weight.dtype) == (7, None, dnn.float64)
    models.freeze(model.features)
    mean = model.features[1].running_mean.clone()
    model.train().features(dnn.rand(8, 4))
    assert model.features[1].running_mean.equal(mean)


def test_auxiliary_heads_are_replaced_too():
    model = models.googlenet(10).replace_head(4)
    outputs = model(dnn.rand(2, 3, 32, 32))
    assert isinstance(outputs, models.GoogLeNetOutputs)
    assert [each.shape for each in outputs] == [(2, 4)] * 3


# --- LeNet-5 as published ---------------------------------------------------------------------------------------------


def test_partial_connections_are_those_of_the_table():
    layer = models.lenet5(connections="historic").features[3]
    dense = numbers(layer.dense_weight())
    seen = np.abs(dense).sum((2, 3)) > 0
    assert seen.sum() == 60
    assert seen.sum(1).tolist() == [3] * 6 + [4] * 9 + [6]
    assert seen.sum(0).tolist() == [10] * 6  # every map of S2 feeds ten of C3
    assert seen[7].tolist() == [False, True, True, True, True, False]


def test_codes_are_bitmaps_that_differ():
    codes = numbers(models.lenet5(output="rbf").head[-1].codes)
    assert codes.shape == (10, 84)
    assert set(np.unique(codes)) == {-1.0, 1.0}
    different = (codes[:, None] != codes[None]).sum(2)
    assert different[~np.eye(10, dtype=bool)].min() >= 4
    others = [numbers(models.lenet5(26, output="rbf").head[-1].codes) for _ in range(2)]
    assert np.array_equal(*others)
    assert others[0].shape == (26, 84)


def test_rbf_is_a_distance():
    layer = models.lenet5(output="rbf").double().head[-1]
    x = dnn.randn(5, 84, dtype=dnn.float64)
    expected = -((numbers(x)[:, None] - numbers(layer.codes)) ** 2).sum(2)
    np.testing.assert_allclose(numbers(layer(x)), expected, rtol=1e-12)
    assert layer(layer.codes).argmax(1).tolist() == list(range(10))


def test_scaled_tanh_goes_through_one():
    squash = models.lenet5(activation="scaled_tanh").features[1]
    np.testing.assert_allclose(numbers(squash(dnn.tensor([-1.0, 0.0, 1.0], dtype=dnn.float64))), [-1, 0, 1], atol=1e-4)


def test_historic_weights_are_within_their_bounds():
    model = models.lenet5(**HISTORIC)
    bounds = {"features.0": 25, "head.1": 400, "head.3": 120}
    for path, fan_in in bounds.items():
        weight = numbers(model.get_submodule(path).weight)
        assert 0.9 * 2.4 / fan_in < np.abs(weight).max() <= 2.4 / fan_in


@pytest.mark.slow
def test_lenet_reaches_its_accuracy_on_the_digits():
    """The settings of examples/lenet_digits.py, chosen by validation; the mean of five seeds."""
    pytest.importorskip("sklearn", reason="scikit-learn (extra course) holds the digits")
    x, y = load_digits(32, "train")
    x_test, y_test = load_digits(32, "test")
    normalize = Normalize(x.mean().item(), x.std().item())
    change = Compose([RandomAffine(8, translate=(0.06, 0.06), scale=(0.92, 1.08)), normalize])
    scores = []
    for seed in range(5):
        dnn.manual_seed(seed)
        model = dnn.Model(models.lenet5())
        model.compile(optim.Adam(model.module.parameters(), lr=3e-3), "cross_entropy", ["accuracy"])
        loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True, transform=change)
        falling = LearningRateScheduler(lambda epoch, rate: 3e-3 * (1 - epoch / 40))
        model.fit(loader, epochs=40, callbacks=[falling], verbose=0)
        scores.append(model.evaluate(normalize(x_test), y_test)["accuracy"])
    assert sum(scores) / 5 >= 0.985, scores
