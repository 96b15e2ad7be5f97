"""Convolution layers: parameters, forward and backward pass against PyTorch, names and errors."""

import copy

import dnncore as dnn
import numpy as np
import pytest
from cases import tensor
from dnncore import nn

LAYERS = [
    ("Conv1d", (4, 6, 3), {}, (2, 4, 11)),
    ("Conv1d", (4, 6, 3), {"padding": "same", "dilation": 2, "bias": False}, (4, 11)),
    ("Conv2d", (4, 6, (3, 2)), {"stride": (2, 1), "padding": 1, "groups": 2}, (2, 4, 7, 8)),
    ("Conv2d", (4, 6, 3), {"padding": "valid"}, (2, 4, 7, 8)),
    ("Conv2d", (4, 6, 1), {}, (2, 4, 7, 8)),
    ("Conv3d", (2, 3, 2), {"stride": 2}, (2, 2, 5, 6, 7)),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2}, (2, 4, 5)),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}, (2, 4, 5, 6)),
    ("ConvTranspose3d", (2, 3, 2), {"stride": (1, 2, 1), "dilation": 2}, (2, 2, 3, 4, 3)),
    *(
        ("Conv2d", (2, 3, 3), {"padding": padding, "padding_mode": mode}, (2, 2, 6, 7))
        for mode in ("reflect", "replicate", "circular")
        for padding in (2, (1, 0), "same")
    ),
]
IDS = [f"{name}-{i}" for i, (name, *_) in enumerate(LAYERS)]


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


@pytest.mark.parametrize(("name", "sizes", "settings", "shape"), LAYERS, ids=IDS)
def test_as_torch(name, sizes, settings, shape):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, name)(*sizes, **settings, dtype=torch.float64)
    ours = getattr(nn, name)(*sizes, **settings, dtype=dnn.float64)
    assert repr(ours) == repr(theirs)
    state = theirs.state_dict()
    assert {key: tuple(value.shape) for key, value in ours.state_dict().items()} == {k: tuple(v.shape) for k, v in state.items()}
    ours.load_state_dict({key: tensor(value.numpy()) for key, value in state.items()})
    x = random(*shape)
    given, wanted = tensor(x).requires_grad_(), torch.tensor(x, requires_grad=True)
    y, expected = ours(given), theirs(wanted)
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-12, atol=1e-12)
    dy = random(*y.shape, seed=1)
    y.backward(tensor(dy))
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(given.grad.numpy(), wanted.grad.numpy(), rtol=1e-12, atol=1e-12)
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(own.grad.numpy(), other.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "sizes", "settings", "shape"), LAYERS, ids=IDS)
def test_initial_values_fill_their_range(name, sizes, settings, shape):
    dnn.manual_seed(0)
    layer = getattr(nn, name)(64, 64, *sizes[2:], **settings)
    bound = 1 / np.sqrt(np.prod(layer.weight.shape[1:]))
    for parameter in layer.parameters():
        values = parameter.detach().numpy()
        assert np.abs(values).max() <= np.float32(bound)
        assert np.abs(values).max() > 0.9 * bound
        assert abs(values.mean()) < 5 * bound / np.sqrt(3 * values.size)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Sigmoid])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_sequential_joins_a_convolution_and_its_activation(activation, kernel_size):
    layer = nn.Conv2d(5, 7, kernel_size)
    joined, apart = nn.Sequential(layer, activation()), nn.Sequential(copy.deepcopy(layer), nn.Identity(), activation())
    found = []
    for model in (joined, apart):
        x = tensor(random(3, 5, 9, 8).astype(np.float32)).requires_grad_()
        with dnn._core._record_launches() as launches:
            y = model(x)
        (y * y).sum().backward()
        found.append([y.detach().numpy(), x.grad.numpy(), *(p.grad.numpy() for p in model.parameters())])
        kernels = [launch["kernel"] for launch in launches]
        assert ("unary" in kernels) == (model is apart)
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_output_size_of_a_transposed_convolution():
    layer = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1)
    x = dnn.zeros(4, 2, 5, 6)
    assert layer(x).shape == (4, 3, 9, 11)
    assert layer(x, output_size=(10, 11)).shape == (4, 3, 10, 11)
    assert layer(x, output_size=(4, 3, 9, 12)).shape == (4, 3, 9, 12)
    assert layer(dnn.zeros(2, 5, 6), (10, 12)).shape == (3, 10, 12)
    with pytest.raises(ValueError, match=r"ConvTranspose2d: expected output_size\[1\] from 11 to 12, got 13"):
        layer(x, output_size=(10, 13))
    with pytest.raises(ValueError, match="expected output_size of 2 or 4 sizes, got 3"):
        layer(x, output_size=(10, 12, 1))


WRONG = [
    (lambda: nn.Conv2d(3, 4, 0), ValueError, "Conv2d: expected kernel_size of at least 1, got kernel_size=0"),
    (lambda: nn.Conv2d(3, 4, (3, 3, 3)), ValueError, r"Conv2d: expected kernel_size as an int or 2 of them, got \(3, 3, 3\)"),
    (lambda: nn.Conv2d(3, 4, 3, stride=0), ValueError, "Conv2d: expected stride of at least 1, got stride=0"),
    (lambda: nn.Conv2d(3, 4, 3, padding=-1), ValueError, "Conv2d: expected padding of at least 0, got padding=-1"),
    (lambda: nn.Conv2d(3, 4, 3, dilation=0), ValueError, "Conv2d: expected dilation of at least 1"),
    (lambda: nn.Conv2d(3, 4, 3.0), TypeError, "Conv2d: expected kernel_size of type int, got float"),
    (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "Conv2d: expected in_channels that 2 groups divide, got in_channels=3"),
    (lambda: nn.Conv2d(4, 3, 3, groups=2), ValueError, "Conv2d: expected out_channels that 2 groups divide"),
    (lambda: nn.Conv2d(4, 4, 3, groups=0), ValueError, "Conv2d: expected groups of at least 1"),
    (lambda: nn.Conv2d(4, 4, 3, padding="full"), ValueError, "Conv2d: expected padding as numbers, 'same' or 'valid'"),
    (lambda: nn.Conv2d(4, 4, 3, 2, "same"), ValueError, "Conv2d: padding 'same' expects stride 1"),
    (lambda: nn.Conv2d(4, 4, 3, padding_mode="mirror"), ValueError, "Conv2d: expected padding_mode 'zeros', 'reflect'"),
    (lambda: nn.ConvTranspose2d(4, 4, 3, padding_mode="reflect"), ValueError, "expected padding_mode 'zeros'"),
    (lambda: nn.ConvTranspose1d(4, 4, 3, padding="same"), TypeError, "ConvTranspose1d: expected padding of type int"),
]


@pytest.mark.parametrize(("make", "error", "message"), WRONG)
def test_wrong_settings(make, error, message):
    with pytest.raises(error, match=message):
        make()


LAZY = [(name, sizes, settings, shape) for name, sizes, settings, shape in LAYERS if "padding_mode" not in settings]


@pytest.mark.parametrize(("name", "sizes", "settings", "shape"), LAZY, ids=[f"{row[0]}-{i}" for i, row in enumerate(LAZY)])
def test_lazy_layers_become_the_layer(name, sizes, settings, shape):
    x = tensor(random(*shape).astype(np.float32))
    lazy = getattr(nn, f"Lazy{name}")(*sizes[1:], **settings)
    assert lazy.has_uninitialized_params()
    assert repr(lazy).startswith(f"Lazy{name}(0, {sizes[1]}, ")
    dnn.manual_seed(3)
    y = lazy(x)
    dnn.manual_seed(3)
    layer = getattr(nn, name)(*sizes, **settings)
    assert type(lazy) is type(layer)
    assert repr(lazy) == repr(layer)
    np.testing.assert_array_equal(y.detach().numpy(), layer(x).detach().numpy())
    loaded = getattr(nn, f"Lazy{name}")(*sizes[1:], **settings)
    loaded.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(loaded(x).detach().numpy(), y.detach().numpy())
    assert repr(loaded) == repr(layer)
