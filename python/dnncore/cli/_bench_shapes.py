"""Shapes of convolutional and recurrent networks that the benchmarks and their tests share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FORWARD, BACKWARD_DATA, BACKWARD_WEIGHTS = DIRECTIONS = ("forward", "backward-data", "backward-weights")


class Convolution(NamedTuple):
    """A layer of two dimensions, with bias; `id` is its number in the plan of the benchmarks."""

    id: str
    name: str
    n: int
    c: int
    h: int
    w: int
    k: int
    r: int
    s: int
    stride: int
    pad: int

    @property
    def x(self) -> tuple[int, int, int, int]:
        return self.n, self.c, self.h, self.w

    @property
    def weight(self) -> tuple[int, int, int, int]:
        return self.k, self.c, self.r, self.s

    @property
    def y(self) -> tuple[int, int, int, int]:
        height, width = ((size + 2 * self.pad - taps) // self.stride + 1 for size, taps in ((self.h, self.r), (self.w, self.s)))
        return self.n, self.k, height, width

    @property
    def flops(self) -> float:
        return 2.0 * elements(self.y) * self.c * self.r * self.s

    @property
    def bytes(self) -> float:
        """Of float32 operands, each read or written once: the same in every direction."""
        return 4.0 * (elements(self.x) + elements(self.weight) + elements(self.y))

    @property
    def directions(self) -> tuple[str, ...]:
        """A network's first layer has nothing to pass its gradient to."""
        return tuple(name for name in DIRECTIONS if name != BACKWARD_DATA or self.c > 3)


def elements(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


CONVOLUTIONS = (
    Convolution("C1", "LeNet-5 c1", 64, 1, 32, 32, 6, 5, 5, 1, 0),
    Convolution("C2", "LeNet-5 c2", 64, 6, 14, 14, 16, 5, 5, 1, 0),
    Convolution("C3", "AlexNet c1", 16, 3, 224, 224, 64, 11, 11, 4, 2),
    Convolution("C4", "AlexNet c2", 16, 64, 27, 27, 192, 5, 5, 1, 2),
    Convolution("C5", "AlexNet c3", 16, 192, 13, 13, 384, 3, 3, 1, 1),
    Convolution("C6", "VGG 1_1", 8, 3, 224, 224, 64, 3, 3, 1, 1),
    Convolution("C7", "VGG 1_2", 8, 64, 224, 224, 64, 3, 3, 1, 1),
    Convolution("C8", "VGG 3_2", 8, 256, 56, 56, 256, 3, 3, 1, 1),
    Convolution("C9", "VGG 5_x", 8, 512, 14, 14, 512, 3, 3, 1, 1),
    Convolution("C10", "ResNet stem", 8, 3, 224, 224, 64, 7, 7, 2, 3),
    Convolution("C11", "ResNet-18 l1", 8, 64, 56, 56, 64, 3, 3, 1, 1),
    Convolution("C12", "ResNet-18 l2.0", 8, 64, 56, 56, 128, 3, 3, 2, 1),
    Convolution("C13", "ResNet-18 l3", 8, 256, 14, 14, 256, 3, 3, 1, 1),
    Convolution("C14", "ResNet-18 l4", 8, 512, 7, 7, 512, 3, 3, 1, 1),
    Convolution("C15", "ResNet-50 out", 8, 64, 56, 56, 256, 1, 1, 1, 0),
    Convolution("C16", "ResNet-50 l3", 8, 1024, 14, 14, 256, 1, 1, 1, 0),
    Convolution("C17", "ResNet-50 proj", 8, 256, 56, 56, 512, 1, 1, 2, 0),
    Convolution("C18", "GoogLeNet 3a", 16, 16, 28, 28, 32, 5, 5, 1, 2),
    Convolution("C19", "GoogLeNet 4a", 16, 480, 14, 14, 192, 1, 1, 1, 0),
    Convolution("C20", "ResNet-20 s1", 128, 16, 32, 32, 16, 3, 3, 1, 1),
    Convolution("C21", "DeepBench", 4, 1, 161, 700, 32, 5, 20, 2, 0),
)


class Pool(NamedTuple):
    """Windows of `size` x `size`; `kind` is max or avg."""

    kind: str
    n: int
    c: int
    h: int
    w: int
    size: int
    stride: int
    pad: int

    @property
    def x(self) -> tuple[int, int, int, int]:
        return self.n, self.c, self.h, self.w

    @property
    def y(self) -> tuple[int, int, int, int]:
        height, width = ((size + 2 * self.pad - self.size) // self.stride + 1 for size in (self.h, self.w))
        return self.n, self.c, height, width


POOLS = (
    Pool("max", 64, 6, 28, 28, 2, 2, 0),  # P1: LeNet-5
    Pool("max", 16, 64, 55, 55, 3, 2, 0),  # P2: AlexNet
    Pool("max", 8, 64, 112, 112, 3, 2, 1),  # P3: ResNet
    Pool("avg", 8, 2048, 7, 7, 7, 7, 0),  # P3: ResNet-50, its end
    Pool("avg", 64, 6, 28, 28, 2, 2, 0),  # LeNet-5 as published
    Pool("max", 16, 480, 14, 14, 3, 1, 1),  # GoogLeNet
    Pool("max", 32, 64, 112, 112, 2, 2, 0),  # out of cache
    Pool("avg", 32, 64, 112, 112, 2, 2, 0),
    Pool("max", 32, 64, 112, 112, 3, 2, 1),
)

BATCH_NORMS = ((32, 512, 4, 4), (128, 64, 8, 8), (8, 64, 56, 56), (128, 16, 32, 32), (32, 64, 112, 112))  # N1, and others
LAYER_NORMS = ((512, 128), (256, 512), (4096, 768), (32768, 768))  # N2, and others; the last of each is out of cache


GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


class Recurrence(NamedTuple):
    """A recurrent layer over whole sequences; `id` is its number in the plan of the benchmarks."""

    id: str
    cell: str  # LSTM, GRU or RNN
    inputs: int
    hidden: int
    layers: int
    batch: int
    steps: int
    varied: bool = False  # lengths of 1 to `steps`

    @property
    def name(self) -> str:
        sizes = f"{self.hidden}" + f" x{self.layers}" * (self.layers > 1)
        return f"{self.id} {self.cell} {sizes} {self.batch}x{self.steps}{' varied' * self.varied}".strip()

    @property
    def lengths(self) -> NDArray[np.int64] | None:
        return np.random.default_rng(8).integers(1, self.steps + 1, self.batch) if self.varied else None

    def flops(self, direction: str) -> float:
        """Of the products; the gradients of inputs and weights take as many each."""
        rows = self.batch * self.steps if self.lengths is None else int(self.lengths.sum())
        entries = self.inputs + (2 * self.layers - 1) * self.hidden
        return 2.0 * rows * GATES[self.cell] * self.hidden * entries * (1 if direction == FORWARD else 3)


RECURRENCES = (
    Recurrence("L1", "LSTM", 65, 128, 1, 32, 50),  # characters
    Recurrence("L2", "LSTM", 200, 200, 2, 20, 20),  # Penn Treebank, small
    Recurrence("L3", "LSTM", 650, 650, 2, 20, 35),  # Penn Treebank, medium
    *(Recurrence("L4", "LSTM", 256, 256, 1, batch, 150) for batch in (16, 32, 64)),  # L4 to L7: DeepBench
    *(Recurrence("L5", "LSTM", 512, 512, 1, batch, 25) for batch in (16, 32, 64, 128)),
    *(Recurrence("L6", "LSTM", 1024, 1024, 1, batch, 25) for batch in (16, 32, 64, 128)),
    *(Recurrence("L7", "LSTM", 512, 512, 1, batch, 25) for batch in (1, 2, 4)),
    *(Recurrence("L7", "LSTM", 256, 256, 1, batch, 150) for batch in (1, 2, 4)),
    Recurrence("L8", "LSTM", 256, 256, 1, 32, 100, varied=True),
    *(
        Recurrence("", cell, *sizes)
        for cell in ("GRU", "RNN")
        for sizes in (
            (65, 128, 1, 32, 50),
            (256, 256, 1, 32, 150),
            (512, 512, 1, 64, 25),
            (1024, 1024, 1, 16, 25),
            (512, 512, 1, 1, 25),
            (256, 256, 1, 4, 150),
        )
    ),
)
