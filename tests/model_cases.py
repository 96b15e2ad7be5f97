"""What the tests of the managed loop share: small data, networks, loops written by hand."""

from __future__ import annotations

import dnncore as dnn
import numpy as np
from dnncore import nn
from dnncore.model._split import generator_for

ROWS, SIZE, CLASSES = 53, 6, 3  # the last batch is short


def data(rows=ROWS, seed=0):
    random = np.random.default_rng(seed)
    x = random.standard_normal((rows, SIZE)).astype(np.float32)
    return x, (x[:, :CLASSES].argmax(1)).astype(np.int64)


def network(dropout=0.2):
    dnn.manual_seed(5)
    return nn.Sequential(nn.Linear(SIZE, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, CLASSES))


def compiled(optimizer="adam", loss="cross_entropy", module=None, **settings):
    model = dnn.Model(network() if module is None else module)
    model.compile(optimizer, loss, **settings)
    return model


def bits(module):
    return [value.numpy().tobytes() for value in module.state_dict().values()]


def by_hand(module, optimizer, x, y, epochs, batch_size, shuffle, loss_of=None, clip_norm=None):
    """Train with a plain loop, nothing captured; return the mean loss of each epoch."""
    x, y = dnn.from_numpy(x), dnn.from_numpy(y)
    loss_of = loss_of or nn.CrossEntropyLoss()
    history = []
    module.train()
    for epoch in range(epochs):
        order = dnn.randperm(len(x), generator=generator_for("order", epoch)) if shuffle else dnn.arange(len(x))
        total = 0.0
        for start in range(0, len(x), batch_size):
            rows = order[start : start + batch_size]
            optimizer.zero_grad()
            loss = loss_of(module(x[rows]), y[rows])
            loss.backward()
            if clip_norm is not None:
                nn.utils.clip_grad_norm_(module.parameters(), clip_norm)
            optimizer.step()
            total += loss.item() * len(rows)
        history.append(total / len(x))
    return history


class TwoHeads(nn.Module):
    """One or two inputs, two outputs: classes and a number."""

    def __init__(self, as_dict=False):
        super().__init__()
        dnn.manual_seed(7)
        self.shared, self.kind, self.size = nn.Linear(SIZE, 8), nn.Linear(8, CLASSES), nn.Linear(8, 1)
        self.as_dict = as_dict

    def forward(self, x, shift=None):
        hidden = self.shared(x if shift is None else x + shift).tanh()
        found = {"kind": self.kind(hidden), "size": self.size(hidden)}
        return found if self.as_dict else tuple(found.values())


X, Y = data()
VX, VY = data(seed=1)


def fitted(x=X, y=Y, model=None, **settings):
    """A model after two epochs."""
    model = model or compiled()
    settings = {"epochs": 2, "batch_size": 16, "verbose": 0, **settings}
    model.fit(x, y, **settings)
    return model


class Batches:
    """Something that can be walked through again and again."""

    def __iter__(self):
        return ((X[i : i + 16], Y[i : i + 16]) for i in range(0, ROWS, 16))
