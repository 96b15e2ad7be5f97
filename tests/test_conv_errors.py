"""What convolutions refuse, and how they say it."""

import dnncore as dnn
import pytest
from dnncore import nn
from dnncore.nn import functional as F

X, W = (2, 6, 9, 9), (4, 6, 3, 3)


def conv(x=X, w=W, b=None, **settings):
    return F.conv2d(dnn.zeros(*x), dnn.zeros(*w), None if b is None else dnn.zeros(*b), **settings)


def transposed(x=X, w=(6, 4, 3, 3), b=None, **settings):
    return F.conv_transpose2d(dnn.zeros(*x), dnn.zeros(*w), None if b is None else dnn.zeros(*b), **settings)


def of(function, *tensors, **settings):
    return lambda: function(*tensors, **settings)


WRONG = {
    "channels": (
        of(conv, (64, 3, 14, 14), (16, 6, 5, 5)),
        r"conv2d: expected input of shape \(N, 6, H, W\) to match weight \(16, 6, 5, 5\), got \(64, 3, 14, 14\)$",
    ),
    "channels of an image without a batch": (of(conv, (3, 14, 14)), r"expected input of shape \(N, 6, H, W\).*got \(3, 14, 14\)"),
    "channels of groups": (
        of(conv, groups=2),
        r"\(N, 12, H, W\) to match weight \(4, 6, 3, 3\) and groups=2, got",
    ),
    "too few dimensions": (of(conv, (9, 9)), r"conv2d: expected input of shape \(N, 6, H, W\)"),
    "too many dimensions": (of(conv, (1, 2, 6, 9, 9)), r"conv2d: expected input of shape \(N, 6, H, W\)"),
    "dimensions of the weight": (
        of(conv, w=(4, 6, 3)),
        r"a weight of shape \(K, C / groups, H, W\), got \(4, 6, 3\)",
    ),
    "an empty weight": (of(conv, w=(4, 6, 0, 3)), "conv2d: expected a weight without empty dimensions"),
    "no output channels": (of(conv, w=(0, 6, 3, 3)), "conv2d: expected a weight without empty dimensions"),
    "a large filter": (of(conv, w=(4, 6, 10, 3)), "conv2d: expected an input at least as large as the filter, got size 9"),
    "a filter with wide holes": (of(conv, dilation=5), "got size 9 with padding and 11 with dilation in spatial dimension 0"),
    "no pixels": (of(conv, (2, 6, 0, 9), padding=5), "conv2d: expected images of at least one element"),
    "groups": (of(conv, (2, 18, 9, 9), groups=3), "conv2d: expected output channels that 3 groups divide"),
    "no groups": (of(conv, groups=0), "conv2d: expected groups of at least 1, got 0"),
    "stride 0": (of(conv, stride=0), r"conv2d: expected stride of at least 1, got \(0,\)"),
    "dilation 0": (of(conv, dilation=(1, 0)), r"conv2d: expected dilation of at least 1, got \(1, 0\)"),
    "negative padding": (of(conv, padding=-1), "conv2d: expected padding of at least 0"),
    "a third stride": (of(conv, stride=(1, 1, 1)), r"conv2d: expected stride as one number or 2, got \(1, 1, 1\)"),
    "huge padding": (of(conv, padding=2**62), "conv2d: size 9 padded by 4611686018427387904 and .* is too large"),
    "huge dilation": (of(conv, dilation=2**62), "conv2d: a filter of size 3 with dilation 4611686018427387904 is too large"),
    "a huge output": (of(conv, padding=10**9), "conv2d: "),
    "a name of padding": (of(conv, padding="full"), "conv2d: expected padding as numbers, 'same' or 'valid', got 'full'"),
    "same with a stride": (of(conv, padding="same", stride=2), "conv2d: padding 'same' expects stride 1, got 2"),
    "bias": (of(conv, b=(5,)), r"conv2d: expected a bias of shape \(4,\) to match weight \(4, 6, 3, 3\), got \(5,\)"),
    "bias of two dimensions": (of(conv, b=(4, 1)), r"conv2d: expected a bias of shape \(4,\)"),
    "transposed: channels": (of(transposed, (2, 5, 9, 9)), r"conv_transpose2d: expected input of shape \(N, 6, H, W\) to match"),
    "transposed: weight": (of(transposed, w=(6, 4, 3)), r"conv_transpose2d: expected a weight of shape \(C, K / groups, H, W\)"),
    "transposed: groups": (of(transposed, groups=4), "conv_transpose2d: expected input channels that 4 groups divide"),
    "transposed: bias": (of(transposed, b=(4,), groups=2), r"conv_transpose2d: expected a bias of shape \(8,\)"),
    "transposed: output padding": (of(transposed, output_padding=1), "expected output_padding below stride or dilation, got 1"),
    "transposed: padding": (of(transposed, padding=6), "conv_transpose2d: padding 6 leaves nothing of size 11"),
    "transposed: huge stride": (of(transposed, stride=2**61), "conv_transpose2d: size 9 with stride .* too large"),
    "transposed: stride 0": (of(transposed, stride=0), "conv_transpose2d: expected stride of at least 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_shapes_and_settings(name):
    call, message = WRONG[name]
    with pytest.raises((ValueError, MemoryError), match=message):
        call()


x, w = dnn.zeros(*X), dnn.zeros(*W)
KINDS = {
    "integers": (lambda: F.conv2d(x.long(), w.long()), "conv2d: expected a floating input, got .*int64; cast with .float()"),
    "weight of another dtype": (
        lambda: F.conv2d(x, w.double()),
        "expected input and weight of one dtype, got .*float32 and",
    ),
    "bias of another dtype": (
        lambda: F.conv2d(x, w, dnn.zeros(4).double()),
        "expected a bias of .*float32, got .*float64",
    ),
    "no tensor": (lambda: F.conv2d(x.numpy(), w), "conv2d: expected a Tensor as input, got ndarray"),
    "no tensor as weight": (lambda: F.conv_transpose1d(x, 3), "conv_transpose1d: expected a Tensor as weight, got int"),
    "a stride of another kind": (
        lambda: F.conv2d(x, w, stride=1.5),
        "expected stride as an int or a tuple of ints, got float",
    ),
    "no padding": (lambda: F.conv2d(x, w, padding=None), "expected padding as an int or a tuple of ints, got NoneType"),
}


@pytest.mark.parametrize("name", KINDS)
def test_kinds(name):
    call, message = KINDS[name]
    with pytest.raises(TypeError, match=message):
        call()


def test_layers_say_what_would_fit():
    images = dnn.zeros(64, 16, 6, 6)
    with pytest.raises(ValueError, match=r"; Linear\(in_features=400\) got 576 features: use in_features=576$"):
        nn.Linear(400, 120)(images.flatten(1))
    with pytest.raises(ValueError, match=r"; Linear\(in_features=576\) got 6 features: put nn.Flatten\(\) before it$"):
        nn.Linear(576, 120)(images)
    with pytest.raises(ValueError, match=r"; Conv2d\(in_channels=6\) got 16 channels: use in_channels=16$"):
        nn.Conv2d(6, 16, 5)(images)
    with pytest.raises(ValueError, match=r"; ConvTranspose2d\(in_channels=6\) got 16 channels: use in_channels=16$"):
        nn.ConvTranspose2d(6, 16, 5)(images)
    layer = nn.Linear(6, 2)
    layer.bias = nn.Parameter(dnn.zeros(3))
    with pytest.raises(ValueError, match=r"^linear: expected a bias .*got \(3,\)$"):
        layer(images)


def test_lazy_layers_check_their_first_input():
    with pytest.raises(ValueError, match="LazyConv2d: expected in_channels that 2 groups divide, got in_channels=3"):
        nn.LazyConv2d(4, 3, groups=2)(dnn.zeros(1, 3, 5, 5))
    with pytest.raises(ValueError, match=r"LazyConv1d: expected an input of 3 dimensions, got shape \(3,\)"):
        nn.LazyConv1d(4, 3)(dnn.zeros(3))
