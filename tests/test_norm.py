"""Batch, instance, group, layer and RMS normalisation against PyTorch, in every order of memory."""

from __future__ import annotations

import copy

import dnncore as dnn
import numpy as np
import pytest
from cases import numbers, tensor
from dnncore import nn

SHAPES = [
    (4, 6, 5, 5),
    (3, 17, 1, 9),
    (2, 1, 7, 9),
    (2, 35, 3, 7),
    (5, 130, 2, 8),
    (16, 3, 33, 31),
    (1, 5, 40, 50),
    (8, 64, 14, 14),
]
ORDERS = ["contiguous", "channels last", "channels first", "strided"]


def laid_out(x: np.ndarray, order: str) -> dnn.Tensor:
    """A leaf of the values of x in an order of memory."""
    if order == "contiguous":
        y = tensor(x.copy())
    elif order == "channels last":
        y = tensor(np.ascontiguousarray(np.moveaxis(x, 1, -1))).movedim(-1, 1)
    elif order == "channels first":
        y = tensor(np.ascontiguousarray(x.swapaxes(0, 1))).transpose(0, 1)
    else:
        y = tensor(np.repeat(x, 2, axis=-1))[..., ::2]
    return y.detach().requires_grad_()


def draw(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    rng = np.random.default_rng(shape)
    channels = (1, shape[1]) + (1,) * (len(shape) - 2)
    return (rng.standard_normal(shape) * 3 + 5 * rng.standard_normal(channels)).astype(dtype)


def layers_for(shape: tuple[int, ...]) -> dict[str, object]:
    """Name: what makes the layer from a namespace, dnncore's or PyTorch's."""
    c = shape[1]
    return {
        "batch": lambda m: m.BatchNorm2d(c),
        "batch, not affine": lambda m: m.BatchNorm2d(c, affine=False),
        "batch, mean of all": lambda m: m.BatchNorm2d(c, momentum=None),
        "batch, untracked": lambda m: m.BatchNorm2d(c, track_running_stats=False),
        "batch, eval": lambda m: m.BatchNorm2d(c).eval(),
        "batch, relu": lambda m: m.Sequential(m.BatchNorm2d(c), m.ReLU()),
        "batch, relu, eval": lambda m: m.Sequential(m.BatchNorm2d(c), m.ReLU()).eval(),
        "instance": lambda m: m.InstanceNorm2d(c, affine=True),
        "instance, tracked": lambda m: m.InstanceNorm2d(c, track_running_stats=True),
        "instance, eval": lambda m: m.InstanceNorm2d(c, affine=True, track_running_stats=True).eval(),
        **{f"{g} groups": lambda m, g=g: m.GroupNorm(g, c) for g in (1, 2, 3, 5) if c % g == 0 and c // g * shape[-1] > 1},
        "groups of 1": lambda m: m.GroupNorm(c, c, affine=False),
        "layer": lambda m: m.LayerNorm(shape[1:]),
        "rows": lambda m: m.LayerNorm(shape[-1], bias=False),
        "planes": lambda m: m.LayerNorm(shape[2:], elementwise_affine=False),
        "rms": lambda m: m.RMSNorm(shape[-1], eps=1e-6),
    }


def assert_near(found: dnn.Tensor, expected: object, unit: float, what: str) -> None:
    """Within 64 roundings of the largest value."""
    got, want = numbers(found).astype(np.float64), expected.detach().numpy()
    assert got.shape == want.shape, what
    if want.size:
        assert np.abs(got - want).max() <= 64 * unit * max(1.0, np.abs(want).max()), what


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_layers_equal_those_of_pytorch_in_float64(shape, dtype):
    torch = pytest.importorskip("torch")
    x, g = draw(shape, dtype), np.random.default_rng(1).standard_normal(shape).astype(dtype)
    unit = np.finfo(dtype).eps
    for name, make in layers_for(shape).items():
        own, peer = make(nn).to(tensor(x).dtype), make(torch.nn).double()
        for (key, mine), (other, theirs) in zip(own.named_parameters(), peer.named_parameters(), strict=True):
            assert key == other
            values = np.random.default_rng(2).standard_normal(theirs.shape).astype(dtype)
            with dnn.no_grad(), torch.no_grad():
                mine.copy_(tensor(values))
                theirs.copy_(torch.tensor(values))
        start = copy.deepcopy(peer)
        for order in ORDERS:
            layer, peer = copy.deepcopy(own), copy.deepcopy(start)
            mine, theirs = laid_out(x, order), torch.tensor(x.astype(np.float64)).requires_grad_()
            for _ in range(2):
                y, expected = layer(mine), peer(theirs)
            y.backward(tensor(g))
            expected.backward(torch.tensor(g.astype(np.float64)))
            what = f"{name} {order}"
            assert_near(y, expected, unit, what)
            assert_near(mine.grad, theirs.grad, unit, what)
            for p, q in zip(layer.parameters(), peer.parameters(), strict=True):
                assert_near(p.grad, q.grad, unit * shape[0] * shape[2] * shape[3] ** 0.5, what)
            for p, q in zip(layer.buffers(), peer.buffers(), strict=True):
                assert_near(p, q, unit, what)
