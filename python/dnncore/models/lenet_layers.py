"""The layers of LeNet-5 as published: partial connections, trainable subsampling, scaled tanh, distances to codes."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

import dnncore as dnn
from dnncore import _core, nn
from dnncore._core import Tensor
from dnncore.nn import functional, init
from dnncore.nn.parameter import Parameter

# Table I of the paper: the maps of S2 that each map of C3 sees.
_TEXT = "012 123 234 345 045 015 0123 1234 2345 0345 0145 0125 0134 1245 0235 012345"
_TABLE = [[int(digit) for digit in seen] for seen in _TEXT.split()]
_CONNECTIONS = sum(map(len, _TABLE))
_KERNEL = 5

# Digits of 7 x 12 pixels, drawn for this library in the manner of figure 3.
_BITMAPS = """
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
..###..  ...#...  .#####.  .#####.  ....##.  #######  ..####.  #######  .#####.  .#####.
.#...#.  ..##...  #.....#  #.....#  ...#.#.  #......  .#.....  ......#  #.....#  #.....#
#.....#  .#.#...  ......#  ......#  ..#..#.  #......  #......  .....#.  #.....#  #.....#
#.....#  ...#...  ......#  ......#  .#...#.  #......  #......  .....#.  #.....#  #.....#
#.....#  ...#...  .....#.  ..####.  #....#.  ######.  #.####.  ....#..  .#####.  .######
#.....#  ...#...  ....#..  ......#  #######  ......#  ##....#  ....#..  #.....#  ......#
#.....#  ...#...  ...#...  ......#  .....#.  ......#  #.....#  ...#...  #.....#  ......#
#.....#  ...#...  ..#....  ......#  .....#.  ......#  #.....#  ...#...  #.....#  ......#
.#...#.  ...#...  .#.....  #.....#  .....#.  #.....#  #.....#  ..#....  #.....#  .....#.
..###..  .#####.  #######  .#####.  .....#.  .#####.  .#####.  ..#....  .#####.  .####..
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
"""
_CODE_SEED = 1998


class ScaledTanh(nn.Module):
    """The activation ``1.7159 tanh(2 x / 3)``, which maps 1 to 1 and -1 to -1."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the values of every element."""
        return 1.7159 * dnn.tanh(input * (2 / 3))


class Subsampling2d(nn.Module):
    """Sums of 2 x 2 pixels, times a factor, plus a bias; both trained, one of each per channel.

    Parameters
    ----------
    channels : int
    dtype : dtype, optional
        Of the parameters; float32 when not given.
    """

    def __init__(self, channels: int, dtype: _core.dtype | None = None) -> None:
        super().__init__()
        self.channels = channels
        self.weight = Parameter(_core.empty((channels,), dtype=dtype or _core.float32))
        self.bias = Parameter(_core.empty((channels,), dtype=dtype or _core.float32))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        for parameter in (self.weight, self.bias):
            init.uniform_(parameter, -2.4 / 4, 2.4 / 4)

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, channels, H / 2, W / 2)."""
        factor, bias = (4 * self.weight).view(-1, 1, 1), self.bias.view(-1, 1, 1)
        return functional.avg_pool2d(input, 2) * factor + bias

    def extra_repr(self) -> str:
        """Return the settings."""
        return str(self.channels)


class LeNetC3(nn.Module):
    """The 16 convolutions 5 x 5 of C3, each of which sees 3, 4 or all of the 6 maps of S2.

    Parameters
    ----------
    dtype : dtype, optional
        Of the parameters; float32 when not given.

    Attributes
    ----------
    weight : Parameter of shape (60, 5, 5)
        The kernels, map of C3 by map of C3.
    bias : Parameter of shape (16,)
    """

    def __init__(self, dtype: _core.dtype | None = None) -> None:
        super().__init__()
        self.weight = Parameter(_core.empty((_CONNECTIONS, _KERNEL, _KERNEL), dtype=dtype or _core.float32))
        self.bias = Parameter(_core.empty((len(_TABLE),), dtype=dtype or _core.float32))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values from U(-2.4 / fan_in, 2.4 / fan_in), of each map by its own fan in."""
        begin = 0
        for place, seen in enumerate(_TABLE):
            end, bound = begin + len(seen), 2.4 / (len(seen) * _KERNEL**2)
            with dnn.no_grad():
                init.uniform_(self.weight[begin:end], -bound, bound)
                init.uniform_(self.bias[place : place + 1], -bound, bound)
            begin = end

    def dense_weight(self) -> Tensor:
        """Return the weight (16, 6, 5, 5) with zeros where a map is not seen."""
        rows = self.weight.view(_CONNECTIONS, _KERNEL**2)
        rows = dnn.cat([rows, rows.new_zeros(1, _KERNEL**2)])
        return rows.index_select(0, _places().to(rows.device)).view(len(_TABLE), 6, _KERNEL, _KERNEL)

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, 6, H, W) to (N, 16, H - 4, W - 4)."""
        return functional.conv2d(input, self.dense_weight(), self.bias)


@cache
def _places() -> Tensor:
    """Return, for each of 16 x 6 kernels, its row in the weight of `LeNetC3`; that behind the last is zero."""
    places = np.full((len(_TABLE), 6), _CONNECTIONS)
    rows = iter(range(_CONNECTIONS))
    for place, seen in enumerate(_TABLE):
        for channel in seen:
            places[place, channel] = next(rows)
    return _core.tensor(places.reshape(-1), device="cpu")


class RbfOutput(nn.Module):
    """Minus the squared distance to the code of each class: ``y[i] = -sum_j (x[j] - codes[i, j])^2``.

    Parameters
    ----------
    codes : Tensor of shape (num_classes, in_features)
        They are a buffer: not trained.
    """

    codes: Tensor

    def __init__(self, codes: Tensor) -> None:
        super().__init__()
        self.register_buffer("codes", codes)

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, in_features) to (N, num_classes)."""
        codes = self.codes
        return 2 * functional.linear(input, codes) - (input * input).sum(1, keepdim=True) - (codes * codes).sum(1)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"num_classes={self.codes.shape[0]}, in_features={self.codes.shape[1]}"


def class_codes(num_classes: int) -> Tensor:
    """Return codes (num_classes, 84) of +-1: bitmaps for ten classes, random ones of a fixed seed for other numbers."""
    if num_classes != 10:
        generator = _core.Generator().manual_seed(_CODE_SEED)
        return 2.0 * _core.randint(2, (num_classes, 84), generator=generator).float() - 1.0
    lines = [line.split() for line in _BITMAPS.split("\n") if line]
    bits = np.array([[list(part) for part in line] for line in lines]) == "#"  # (12 rows, 10 digits, 7 columns)
    return _core.tensor(np.where(bits.transpose(1, 0, 2).reshape(10, 84), 1.0, -1.0).astype(np.float32))


def draw_historic(model: nn.Module) -> None:
    """Draw weights and biases of convolutions and linear layers from U(-2.4 / fan_in, 2.4 / fan_in)."""
    parts: Any = model.modules()
    for part in parts:
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            bound = 2.4 / part.weight[0].numel()
            for parameter in part.parameters():
                init.uniform_(parameter, -bound, bound)
