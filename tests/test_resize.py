"""Interpolation, shuffles, sliding blocks, power-average pooling, unpooling, padding layers: PyTorch, tables, misuse."""

from __future__ import annotations

from functools import partial

import dnncore as dnn
import numpy as np
import pytest
from capture_cases import quiet, runs  # noqa: F401 - a fixture
from cases import GOLDEN, numbers, tensor, use_threads
from dnncore import nn
from dnncore.nn import functional as F
from pool_cases import whole_numbers
from reference import assert_exact
from resize_cases import CASES, NAMES

EXPECTED = dict(np.load(GOLDEN / "resize.npz"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", range(len(CASES)), ids=NAMES)
def test_as_pytorch(dtype, case):
    """Weights come from positions rounded in the input's precision: some units of it, times values up to 5 and sums of 36."""
    name, shape, args, options = CASES[case]
    leaf = tensor(np.abs(whole_numbers(shape)) + 1, dtype).requires_grad_()
    y = getattr(F, name)(leaf, *args, **options)
    y.backward(tensor(whole_numbers(tuple(y.shape), 1), dtype))
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(numbers(y), EXPECTED[f"{case}/y"], rtol=tolerance, atol=tolerance * 5)
    np.testing.assert_allclose(numbers(leaf.grad), EXPECTED[f"{case}/dx"], rtol=tolerance, atol=tolerance * 36)


def test_golden_file_is_whole():
    assert {int(key.split("/")[0]) for key in EXPECTED} == set(range(len(CASES)))


def test_shuffles_and_blocks_are_inverses():
    x = tensor(whole_numbers((2, 12, 6, 4)))
    assert_exact(numbers(F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2)), numbers(x))
    assert_exact(numbers(F.channel_shuffle(F.channel_shuffle(x, 3), 4)), numbers(x))
    assert_exact(numbers(F.fold(F.unfold(x, 2, stride=2), (6, 4), 2, stride=2)), numbers(x))


def test_unfold_then_a_product_is_a_convolution():
    x, weight = tensor(whole_numbers((2, 3, 6, 5))), tensor(whole_numbers((4, 3, 3, 3)))
    columns = F.unfold(x, 3, padding=1)
    y = (weight.reshape(4, 27) @ columns).reshape(2, 4, 6, 5)
    assert_exact(numbers(y), numbers(F.conv2d(x, weight, padding=1)))


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_unpooling_undoes_pooling(spatial):
    size = (9, 8, 7)[:spatial]
    x = tensor(np.random.default_rng(0).permutation(2 * 3 * int(np.prod(size))).reshape(2, 3, *size) + 1.0)
    pool, unpool = getattr(F, f"max_pool{spatial}d"), getattr(F, f"max_unpool{spatial}d")
    y, indices = pool(x, 2, return_indices=True)
    back = unpool(y, indices, 2, output_size=size)
    assert tuple(back.shape) == tuple(x.shape)
    assert numbers(back != 0).sum() == y.numel()
    kept = numbers(back) != 0
    assert_exact(numbers(back)[kept], numbers(x)[kept])
    assert_exact(numbers(unpool(y, indices, 2, output_size=(2, 3, *size))), numbers(back))
    assert_exact(numbers(unpool(y[0], indices[0], 2, output_size=size)), numbers(back)[0])
    leaf = y.clone().requires_grad_()
    unpool(leaf, indices, 2, output_size=size).backward(x)
    assert_exact(numbers(leaf.grad), numbers(y))


PADS = {
    "Constant": (lambda pad: (pad, 7.0), {"mode": "constant", "constant_values": 7.0}),
    "Zero": (lambda pad: (pad,), {"mode": "constant"}),
    "Reflection": (lambda pad: (pad,), {"mode": "reflect"}),
    "Replication": (lambda pad: (pad,), {"mode": "edge"}),
    "Circular": (lambda pad: (pad,), {"mode": "wrap"}),
}


@pytest.mark.parametrize("spatial", [1, 2, 3])
@pytest.mark.parametrize("kind", PADS)
def test_padding_layers_as_numpy(kind, spatial):
    arguments, options = PADS[kind]
    layer = getattr(nn, f"{kind}Pad{spatial}d")
    x = whole_numbers((2, 3, *(4, 5, 6)[:spatial]))
    sides = (2, 1, 0, 3, 1, 1)[: 2 * spatial]
    width = [(0, 0), (0, 0), *(sides[2 * i : 2 * i + 2] for i in reversed(range(spatial)))]
    assert_exact(numbers(layer(*arguments(sides))(tensor(x))), np.pad(x, width, **options))
    assert_exact(numbers(layer(*arguments(1))(tensor(x[0]))), np.pad(x[0], [(0, 0), *[(1, 1)] * spatial], **options))


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_channels_do_not_see_each_other(mode):
    """Also where the sums of rows do not fit one piece of scratch memory."""
    x = np.random.default_rng(5).standard_normal((1, 9000, 3, 70))
    for size in ((2, 2), (4, 90)):
        resize = partial(F.interpolate, size=size, mode=mode, antialias=mode != "nearest")
        y = numbers(resize(tensor(x)))
        for part in (slice(0, 1), slice(8190, 8195)):
            assert_exact(y[:, part], numbers(resize(tensor(x[:, part]))))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 2, 1, 0)], ids=str)
def test_any_order_of_memory(order):
    x = np.random.default_rng(6).standard_normal((2, 5, 6, 7))
    back = tuple(np.argsort(order).tolist())
    turned = tensor(np.ascontiguousarray(x.transpose(order))).permute(back)
    for mode in ("nearest", "bicubic"):
        assert_exact(numbers(F.interpolate(turned, (9, 4), mode=mode)), numbers(F.interpolate(tensor(x), (9, 4), mode=mode)))


def test_the_gradient_is_the_transpose():
    """Row p of the matrix is the gradient of output p; its columns are the outputs of unit inputs."""
    for mode, antialias in (("nearest", False), ("bicubic", False), ("bilinear", True)):
        for size in (3, 11):
            leaf = dnn.eye(6, dtype=dnn.float64).reshape(6, 1, 1, 6).requires_grad_()
            y = F.interpolate(leaf, (1, size), mode=mode, antialias=antialias)
            gradients = [dnn.autograd.grad(y[0, 0, 0, p], leaf, retain_graph=True)[0][0, 0, 0] for p in range(size)]
            assert_exact(np.stack([numbers(g) for g in gradients], 1), numbers(y)[:, 0, 0])


def test_values_that_are_not_finite_stay_where_they_are():
    x = np.zeros((1, 2, 4, 4))
    x[0, 0, 2, 2] = np.nan
    x[0, 1, 1, 1] = np.inf
    y = numbers(F.interpolate(tensor(x), scale_factor=2.0))
    assert_exact(y, x.repeat(2, 2).repeat(2, 3))
    y = numbers(F.interpolate(tensor(x), (4, 4), mode="bicubic"))
    assert_exact(y, x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_images_as_pytorch(dtype):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(7).standard_normal((2, 19, 61, 83)).astype(dtype)
    g = np.random.default_rng(8).standard_normal((2, 19, 150, 150)).astype(dtype)
    tolerance = 1e-11 if dtype == "float64" else 2e-4  # PyTorch's positions are float32 there: 83 elements, slopes of about 3
    for mode in ("nearest", "nearest-exact", "bilinear", "bicubic"):
        for size in ((122, 150), (40, 17), (61, 83)):
            for antialias in {False, mode[:2] == "bi"}:
                settings = {"size": size, "mode": mode, "antialias": antialias}
                ours, theirs = tensor(x).requires_grad_(), torch.tensor(x, requires_grad=True)
                y, expected = F.interpolate(ours, **settings), torch.nn.functional.interpolate(theirs, **settings)
                along = np.ascontiguousarray(g[..., : size[0], : size[1]])
                y.backward(tensor(along))
                expected.backward(torch.tensor(along))
                np.testing.assert_allclose(numbers(y), expected.detach().numpy(), rtol=0, atol=tolerance)
                np.testing.assert_allclose(numbers(ours.grad), theirs.grad.numpy(), rtol=0, atol=4 * tolerance)


def test_halves():
    x = tensor(whole_numbers((1, 2, 4, 4)), "bfloat16")
    y = F.interpolate(x, scale_factor=2.0, mode="bilinear")
    assert y.dtype == dnn.bfloat16
    assert_exact(numbers(y), numbers(F.interpolate(x.float(), scale_factor=2.0, mode="bilinear").to(dnn.bfloat16)))


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_same_bits_for_any_number_of_threads(mode):
    found = []
    for threads in (1, 2, 4):
        with use_threads(threads):
            x = tensor(np.random.default_rng(3).standard_normal((4, 20, 40, 37), dtype=np.float32)).requires_grad_()
            y = F.interpolate(x, scale_factor=1.9, mode=mode)
            y.backward(tensor(np.random.default_rng(4).standard_normal(tuple(y.shape), dtype=np.float32)))
            found.append((numbers(y).copy(), numbers(x.grad).copy()))
    for other in found[1:]:
        for got, expected in zip(other, found[0], strict=True):
            assert_exact(got, expected)


@pytest.mark.parametrize(
    "layer",
    [nn.Upsample(scale_factor=2.0, mode="bilinear"), nn.Upsample(size=5), nn.LPPool2d(2, 2), nn.PixelUnshuffle(2), nn.Unfold(2)],
    ids=str,
)
def test_captured_steps_have_the_bits_of_python(layer):
    def build():
        weight = nn.Parameter(dnn.ones(3, 1, 1))

        def step(x):
            weight.grad = None
            loss = (layer(x * weight) ** 2).sum()
            loss.backward()
            return loss, weight.grad

        return step, lambda i: (dnn.rand(2, 3, 4, 6) + 0.1,), lambda: None

    runs(build)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: F.interpolate(x), ValueError, "interpolate: expected either a size or a scale_factor"),
        (lambda x: F.interpolate(x, 2, 2.0), ValueError, "interpolate: expected either a size or a scale_factor"),
        (lambda x: F.interpolate(x, 2, mode="cubic"), ValueError, "interpolate: expected a mode of nearest, .* got 'cubic'"),
        (
            lambda x: F.interpolate(x, 2, mode="linear"),
            ValueError,
            r"interpolate: mode 'linear' expects .* got shape \(2, 4, 6, 6\)",
        ),
        (lambda x: F.interpolate(x, 2, align_corners=True), ValueError, "interpolate: align_corners goes with the modes linear"),
        (
            lambda x: F.interpolate(x, 2, mode="nearest", antialias=True),
            ValueError,
            "interpolate: antialias goes with the modes bilinear, bicubic, not with 'nearest'",
        ),
        (lambda x: F.interpolate(x, scale_factor=float("inf")), ValueError, "interpolate: expected one positive scale_factor"),
        (lambda x: F.interpolate(x, 2**40), ValueError, "interpolate: expected sizes from 1 to 2147483647"),
        (lambda x: F.interpolate(x, (2, 2, 2)), ValueError, "interpolate: expected one size or 2"),
        (lambda x: F.interpolate(x, 0), ValueError, "interpolate: expected output sizes of at least 1"),
        (lambda x: F.interpolate(x, scale_factor=0.01), ValueError, "interpolate: expected output sizes of at least 1"),
        (lambda x: F.interpolate(x, scale_factor=-1.0), ValueError, "interpolate: expected one positive scale_factor"),
        (lambda x: F.interpolate(x, 2, recompute_scale_factor=True), ValueError, "interpolate: recompute_scale_factor goes with"),
        (lambda x: F.interpolate(x.long(), 2), TypeError, "interpolate: expected a floating tensor"),
        (lambda x: F.interpolate([1.0], 2), TypeError, "interpolate: expected a Tensor as input"),
        (lambda x: F.pixel_shuffle(x, 3), ValueError, "pixel_shuffle: expected a positive upscale_factor"),
        (lambda x: F.pixel_unshuffle(x, 5), ValueError, "pixel_unshuffle: expected a positive downscale_factor"),
        (lambda x: F.channel_shuffle(x, 3), ValueError, "channel_shuffle: expected groups that divide"),
        (lambda x: F.unfold(x, 9), ValueError, "unfold: a block of"),
        (lambda x: F.unfold(x, 2, stride=0), ValueError, "unfold: expected a positive kernel_size"),
        (lambda x: F.unfold(x[0, 0], 2), ValueError, "unfold: expected an input of shape"),
        (lambda x: F.fold(x[0], (6, 6), 2), ValueError, "fold: expected an input of shape"),
        (lambda x: F.lp_pool2d(x, 0, 2), ValueError, "lp_pool2d: expected a norm_type that is not 0"),
        (lambda x: F.lp_pool2d(x, 2, (2, 2, 2)), ValueError, "lp_pool2d: expected one kernel_size or 2"),
        (lambda x: F.max_unpool2d(x, x.long()[:1], 2), ValueError, "max_unpool2d: expected indices of shape"),
        (lambda x: F.max_unpool2d(x, x.long(), 2, output_size=(3, 3)), ValueError, "max_unpool2d: expected an output_size"),
        (lambda x: F.max_unpool2d(x, x.long() - 1, 2), IndexError, "scatter: index -1"),
        (lambda x: F.max_unpool1d(x, x.long(), 2), ValueError, "max_unpool1d: expected an input of 3 or 2 dimensions"),
        (lambda x: nn.ZeroPad2d((1, 2, 3)), ValueError, "ZeroPad2d: expected one padding or 4"),
        (lambda x: nn.ReflectionPad1d(1)(x), ValueError, r"ReflectionPad1d: expected an input of 3 dimensions"),
        (lambda x: nn.ReflectionPad2d(6)(x), ValueError, "pad: mode 'reflect' expects padding below the size"),
    ],
)
def test_misuse(call, error, message):
    with pytest.raises(error, match=message):
        call(dnn.zeros(2, 4, 6, 6))


def test_layers_are_their_functions():
    x = dnn.rand(2, 4, 6, 6)
    assert_exact(numbers(nn.Upsample(scale_factor=2, mode="bicubic")(x)), numbers(F.interpolate(x, None, 2, "bicubic")))
    assert_exact(numbers(nn.UpsamplingNearest2d(9)(x)), numbers(F.interpolate(x, 9)))
    assert_exact(numbers(nn.UpsamplingBilinear2d(9)(x)), numbers(F.interpolate(x, 9, None, "bilinear", True)))
    assert_exact(numbers(nn.PixelShuffle(2)(x)), numbers(F.pixel_shuffle(x, 2)))
    assert_exact(numbers(nn.LPPool2d(2, 3, 2)(x)), numbers(F.lp_pool2d(x, 2.0, 3, 2)))
    assert_exact(numbers(nn.Fold((3, 3), 2)(nn.Unfold(2)(x[..., :3, :3]))), numbers(F.fold(F.unfold(x[..., :3, :3], 2), 3, 2)))
    pooled = nn.MaxPool2d(2, return_indices=True)(x)
    assert_exact(numbers(nn.MaxUnpool2d(2)(*pooled)), numbers(F.max_unpool2d(*pooled, 2)))


def test_representations():
    assert repr(nn.Upsample(scale_factor=2)) == "Upsample(scale_factor=2, mode='nearest')"
    assert repr(nn.Upsample(5, mode="bilinear")) == "Upsample(size=5, mode='bilinear')"
    assert repr(nn.PixelShuffle(2)) == "PixelShuffle(upscale_factor=2)"
    assert repr(nn.ConstantPad1d(2, 1.5)) == "ConstantPad1d(padding=(2, 2), value=1.5)"
    assert repr(nn.ReflectionPad1d((1, 2))) == "ReflectionPad1d((1, 2))"
