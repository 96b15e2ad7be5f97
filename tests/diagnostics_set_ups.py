"""Networks, data and losses that the cases of test_diagnostics.py are made of."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import dnncore as dnn
import numpy as np
from dnncore import nn


class Metric:
    def __init__(self, name: str, *tasks: str):
        self.name, self.tasks = name, frozenset(tasks)


ACCURACY = Metric("accuracy", "binary", "multiclass", "multilabel")
MAE = Metric("mae", "regression")


def mlp(*sizes: int, end: nn.Module | None = None) -> nn.Sequential:
    dnn.manual_seed(0)
    parts: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        parts += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*parts[:-1], *([end] if end is not None else []))


def batch(rows: int = 20, columns: int = 4) -> dnn.Tensor:
    values = np.arange(rows * columns) * 7919 % 10_007 / 2500 - 2  # all different, from -2 to 2
    return dnn.tensor(values.reshape(rows, columns).astype(np.float32))


def classes(rows: int = 20, number: int = 3) -> dnn.Tensor:
    return dnn.arange(rows) % number


def bits(rows: int = 20, *columns: int) -> dnn.Tensor:
    return (dnn.arange(rows * int(np.prod(columns))).reshape(rows, *columns) % 3 == 0).float()


class Functional(nn.Module):
    """A network whose end is no layer but a function."""

    def __init__(self, end: Callable[[dnn.Tensor], dnn.Tensor], out: int = 3):
        super().__init__()
        dnn.manual_seed(0)
        self.fc = nn.Linear(4, out)
        self.end = end

    def forward(self, x):
        return self.end(self.fc(x))


class Conv(nn.Module):
    """Stands for any layer of channels."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.in_channels = in_channels
        self.weight = nn.Parameter(dnn.ones(out_channels, in_channels))

    def forward(self, x):
        if x.shape[1] != self.in_channels:
            raise ValueError("conv: wrong channels")
        return x


class Plain(nn.Module):
    """Hides its layers in a list."""

    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(4, 3)]

    def forward(self, x):
        return self.layers[0](x)


class TwoHeads(nn.Module):
    def __init__(self, as_dict: bool = False):
        super().__init__()
        dnn.manual_seed(0)
        self.body, self.kind, self.age = nn.Linear(4, 8), nn.Linear(8, 3), nn.Linear(8, 1)
        self.as_dict = as_dict

    def forward(self, x):
        h = self.body(x).tanh()
        return {"kind": self.kind(h), "age": self.age(h)} if self.as_dict else (self.kind(h), self.age(h))


def with_nan(x: dnn.Tensor, *places: tuple[int, ...]) -> dnn.Tensor:
    values = x.numpy().copy()
    for place in places:
        values[place] = np.nan
    return dnn.tensor(values)


def broken() -> nn.Module:
    model = mlp(4, 8, 3)
    with dnn.no_grad():
        model[2].weight[0, 0] = float("inf")
    return model


def steep() -> nn.Module:
    model = mlp(4, 3, end=nn.Softplus())
    with dnn.no_grad():
        model[0].weight.fill_(100.0)
    return model


def frozen() -> nn.Module:
    return mlp(4, 3).requires_grad_(False)


def cast_after() -> dict[str, Any]:
    model = mlp(4, 3)
    optimizer = dnn.optim.Adam(model.parameters())
    model.double()
    return {"module": model, "optimizer": optimizer, "inputs": batch().double()}


CE, BCE, LOGITS, MSE = nn.CrossEntropyLoss(), nn.BCELoss(), nn.BCEWithLogitsLoss(), nn.MSELoss()


def pixels() -> dnn.Tensor:
    return dnn.tensor((np.arange(80).reshape(20, 4) * 37 % 256).astype(np.float32))


def ink() -> dnn.Tensor:
    return dnn.tensor(np.tile(np.float32([0, 16, 16, 0]), (20, 1))) * (dnn.arange(20) % 3 > 0).float().unsqueeze(1)


def salaries() -> dnn.Tensor:
    return batch() * dnn.tensor([1.0, 1.0, 10.0, 20_000.0])
