"""Set-ups for the tests of diagnostics: with one mistake each, and without."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import dnncore as dnn
import numpy as np
from diagnostics_set_ups import (
    ACCURACY,
    BCE,
    CE,
    LOGITS,
    MAE,
    MSE,
    Conv,
    Functional,
    Plain,
    TwoHeads,
    batch,
    bits,
    broken,
    cast_after,
    classes,
    frozen,
    ink,
    mlp,
    pixels,
    salaries,
    steep,
    with_nan,
)
from dnncore import nn
from dnncore.nn import functional as F

WELL = "; networks train well on values around -1 to 1"
TWICE = "; twice, gradients become small and the loss cannot reach 0"
PROBABILITIES = "probabilities = model(x).softmax(1)  # there, and no softmax in the model"

# name: (code, what differs from a healthy classifier, message, fix)
ERRORS: dict[str, tuple[str, Callable[[], dict[str, Any]], str, str]] = {
    "a softmax layer": (
        "D101",
        lambda: {"module": mlp(4, 3, end=nn.Softmax(dim=1))},
        "Softmax '1' stands before CrossEntropyLoss, which takes logits and applies the softmax itself" + TWICE,
        PROBABILITIES,
    ),
    "a softmax layer under others": (
        "D101",
        lambda: {"module": nn.Sequential(nn.Sequential(mlp(4, 3, end=nn.Softmax(dim=1)), nn.Dropout()), nn.Flatten())},
        "Softmax '0.0.1' stands before CrossEntropyLoss, which takes logits and applies the softmax itself" + TWICE,
        PROBABILITIES,
    ),
    "a softmax in forward": (
        "D101",
        lambda: {"module": Functional(lambda x: x.softmax(1)), "loss": F.cross_entropy},
        "the softmax at the end of forward stands before cross_entropy, which takes logits and applies the softmax itself"
        + TWICE,
        PROBABILITIES,
    ),
    "a softmax of one's own": (
        "D101",
        lambda: {"module": Functional(lambda x: x.exp() / x.exp().sum(1, keepdim=True))},
        "an output whose rows are positive and sum to 1, as of a softmax, stands before CrossEntropyLoss, which takes logits and "
        "applies the softmax itself" + TWICE,
        PROBABILITIES,
    ),
    "a sigmoid layer before logits": (
        "D103",
        lambda: {"module": mlp(4, 1, end=nn.Sigmoid()), "loss": LOGITS, "targets": bits(20, 1)},
        "Sigmoid '1' stands before BCEWithLogitsLoss, which takes logits and applies the sigmoid itself" + TWICE,
        "probabilities = model(x).sigmoid()  # there, and no sigmoid in the model",
    ),
    "a sigmoid in forward": (
        "D103",
        lambda: {
            "module": Functional(dnn.sigmoid, 1),
            "loss": functools.partial(F.binary_cross_entropy_with_logits, reduction="sum"),
            "targets": bits(20, 1),
        },
        "the sigmoid at the end of forward stands before binary_cross_entropy_with_logits, which takes logits and applies the "
        "sigmoid itself" + TWICE,
        "probabilities = model(x).sigmoid()  # there, and no sigmoid in the model",
    ),
    "a sigmoid before cross-entropy": (
        "D103",
        lambda: {"module": mlp(4, 3, end=nn.Sigmoid())},
        "Sigmoid '1' stands before CrossEntropyLoss, which takes logits and applies the softmax itself; of values between 0 and "
        "1, gradients become small and the loss cannot reach 0",
        "probabilities = model(x).softmax(1)  # there, and no sigmoid in the model",
    ),
    "no sigmoid before BCE": (
        "D104",
        lambda: {"module": mlp(4, 1), "loss": BCE, "targets": bits(20, 1)},
        "Linear '0' gives values from -0.1396 to 1.555 to BCELoss, which takes probabilities from 0 to 1",
        "loss = nn.BCEWithLogitsLoss()  # or end the model with nn.Sigmoid()",
    ),
    "no log_softmax before NLL": (
        "D105",
        lambda: {"module": mlp(4, 3), "loss": nn.NLLLoss()},
        "the network gives values from -1.035 to 1.37 to NLLLoss, which takes log-probabilities, as of log_softmax",
        "loss = nn.CrossEntropyLoss()  # or end the model with nn.LogSoftmax(dim=1)",
    ),
    "a class too many": (
        "D201",
        lambda: {"targets": classes(20, 5)},
        "the class numbers are 0 to 4, but the network has 3 outputs, for 0 to 2",
        "model[2] = nn.Linear(8, 5)",
    ),
    "a class too many in later samples": (
        "D201",
        lambda: {"data": (batch(), classes(20, 4)), "module": Functional(lambda x: x)},
        "the class numbers are 0 to 3, but the network has 3 outputs, for 0 to 2",
        "model.fc = nn.Linear(4, 4)",
    ),
    "a class too many for a function": (
        "D201",
        lambda: {"targets": classes(20, 5), "module": Functional(lambda x: x * 2)},
        "the class numbers are 0 to 4, but the network has 3 outputs, for 0 to 2",
        "make the last layer give 5 outputs, such as nn.Linear(..., 5)",
    ),
    "negative classes": (
        "D201",
        lambda: {"targets": classes() - 2},
        "the class numbers are -2 to 0, but the network has 3 outputs, for 0 to 2",
        "y = y + 2  # or, if -2 marks no class, ignore_index=-2 in the loss",
    ),
    "classes -1 and 1": (
        "D201",
        lambda: {"targets": classes(20, 2) * 2 - 1},
        "the class numbers are -1 to 1, but the network has 3 outputs, for 0 to 2",
        "y = (y + 1) // 2",
    ),
    "classes from 1": (
        "D202",
        lambda: {"targets": classes() + 1},
        "the class numbers are 1 to 3, but the network has 3 outputs, for 0 to 2",
        "y = y - 1",
    ),
    "floats as classes": (
        "D203",
        lambda: {"targets": classes().float()},
        "the targets are float32 of shape (20,), but CrossEntropyLoss takes class numbers, int64 of shape (20,)",
        "y = dnn.as_tensor(y).long()",
    ),
    "a column of floats as classes": (
        "D203",
        lambda: {"targets": classes().float().unsqueeze(1)},
        "the targets are float32 of shape (20, 1), but CrossEntropyLoss takes class numbers, int64 of shape (20,)",
        "y = dnn.as_tensor(y).squeeze(1).long()",
    ),
    "numbers as classes": (
        "D203",
        lambda: {"targets": classes() + 0.25},
        "the targets are float32 of shape (20,), but CrossEntropyLoss takes class numbers, int64 of shape (20,); values such as "
        "0.25 are no class numbers",
        "loss = nn.MSELoss()  # for numbers; classes are whole numbers",
    ),
    "int32 classes": (
        "D203",
        lambda: {"targets": classes().to(dnn.int32)},
        "the targets are int32, but CrossEntropyLoss takes class numbers of int64",
        "y = dnn.as_tensor(y).long()",
    ),
    "one-hot integers": (
        "D203",
        lambda: {"targets": dnn.one_hot(classes(), 3)},
        "the targets are one-hot rows of int64, but CrossEntropyLoss takes class numbers, or probabilities as floats",
        "y = y.argmax(1)",
    ),
    "several labels": (
        "D203",
        lambda: {"targets": dnn.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]] * 10)},
        "the targets mark 0 to 2 classes, but CrossEntropyLoss takes one",
        "loss = nn.BCEWithLogitsLoss()",
    ),
    "classes for BCE": (
        "D203",
        lambda: {"loss": LOGITS},
        "the targets are class numbers of shape (20,), but BCEWithLogitsLoss takes a 0 or 1 for each of the 3 outputs",
        "loss = nn.CrossEntropyLoss()",
    ),
    "integers for BCE": (
        "D203",
        lambda: {"module": mlp(4, 1), "loss": LOGITS, "targets": bits(20, 1).long()},
        "the targets are int64, but BCEWithLogitsLoss takes the outputs' float32",
        "y = dnn.as_tensor(y).to(dnn.float32)",
    ),
    "a column of classes": (
        "D204",
        lambda: {"targets": classes().unsqueeze(1)},
        "the targets have shape (20, 1), but CrossEntropyLoss of outputs (20, 3) takes exactly (20,)",
        "y = y.squeeze(1)",
    ),
    "a row for a column": (
        "D204",
        lambda: {"module": mlp(4, 1), "loss": MSE, "targets": batch()[:, 0]},
        "the targets have shape (20,), but MSELoss of outputs (20, 1) takes exactly (20, 1)",
        "y = dnn.as_tensor(y).reshape(-1, 1)",
    ),
    "a column for a row": (
        "D204",
        lambda: {"module": nn.Sequential(mlp(4, 1), nn.Flatten(0)), "loss": F.l1_loss, "targets": batch()[:, :1]},
        "the targets have shape (20, 1), but l1_loss of outputs (20,) takes exactly (20,)",
        "y = y.squeeze(1)",
    ),
    "flat images as targets": (
        "D204",
        lambda: {"module": mlp(4, 4), "loss": MSE, "targets": batch().reshape(20, 2, 2)},
        "the targets have shape (20, 2, 2), but MSELoss of outputs (20, 4) takes exactly (20, 4)",
        "y = dnn.as_tensor(y).reshape(-1, 4)",
    ),
    "nan in targets": (
        "D206",
        lambda: {"module": mlp(4, 1), "loss": MSE, "targets": with_nan(batch()[:, :1], (3, 0))},
        "targets: the value in row 3, column 0 is nan; one such value makes every weight nan",
        "keep = np.isfinite(np.asarray(y)).all(1); x, y = x[keep], y[keep]",
    ),
    "targets of -1 and 1": (
        "D207",
        lambda: {"module": mlp(4, 1), "loss": LOGITS, "targets": bits(20, 1) * 2 - 1},
        "the targets range from -1 to 1, but BCEWithLogitsLoss takes 0 to 1",
        "y = (y + 1) / 2",
    ),
    "targets of 1 and 2": (
        "D207",
        lambda: {"module": mlp(4, 1), "loss": LOGITS, "targets": bits(20, 1) + 1},
        "the targets range from 1 to 2, but BCEWithLogitsLoss takes 0 to 1",
        "y = y - 1",
    ),
    "pixels as targets": (
        "D207",
        lambda: {"module": mlp(4, 4, end=nn.Sigmoid()), "loss": BCE, "targets": bits(20, 4) * 255},
        "the targets range from 0 to 255, but BCELoss takes 0 to 1",
        "y = y / 255",
    ),
    "numbers for BCE": (
        "D207",
        lambda: {"module": mlp(4, 4), "loss": LOGITS, "targets": batch()},
        "the targets range from -2 to 1.972, but BCEWithLogitsLoss takes 0 to 1",
        "y = (y > 0).float()",
    ),
    "fewer targets": (
        "D208",
        lambda: {"targets": classes(19)},
        "the numbers of samples differ: inputs has 20, targets has 19",
        "print(x.shape, y.shape)  # the first dimension of each is the samples",
    ),
    "no samples": (
        "D208",
        lambda: {"inputs": batch(0), "targets": classes(0)},
        "there are no samples: inputs, targets have length 0",
        "print(x.shape, y.shape)",
    ),
    "nan in inputs": (
        "D302",
        lambda: {"inputs": with_nan(batch(), (7, 2), (9, 1))},
        "inputs: the value in row 7, column 2 is nan and 1 more among the 20 rows around it; one such value makes "
        "every weight nan",
        "keep = np.isfinite(np.asarray(x)).all(1); x, y = x[keep], y[keep]",
    ),
    "nan in later inputs": (
        "D302",
        lambda: {"data": (with_nan(batch(500), (321, 2)), classes(500))},
        "inputs: the value in row 321, column 2 is nan; one such value makes every weight nan",
        "keep = np.isfinite(np.asarray(x)).all(1); x, y = x[keep], y[keep]",
    ),
    "inf in an image of validation": (
        "D302",
        lambda: {"validation": (dnn.tensor(np.where(np.arange(32) == 21, np.inf, 0).reshape(2, 4, 4)), classes(2))},
        "inputs of validation: the value in row 1, place (1, 1) is inf; one such value makes every score nan",
        "keep = np.isfinite(np.asarray(x)).reshape(len(x), -1).all(1); x, y = x[keep], y[keep]",
    ),
    "another number of features": (
        "D401",
        lambda: {"module": mlp(64, 8, 3)},
        "Linear '0' expects 64 features, the data gives 4 (shape (20, 4))",
        "model[0] = nn.Linear(4, 8)",
    ),
    "layers that do not fit": (
        "D401",
        lambda: {"module": nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Sequential(nn.Maxout(9, 3, pieces=4)))},
        "Maxout '2.0' expects 9 features, ReLU '1' gives 8 (shape (20, 8))",
        "model[2][0] = nn.Maxout(8, 3, pieces=4)",
    ),
    "images that are not flat": (
        "D401",
        lambda: {"module": mlp(64, 3), "inputs": batch(20, 64).reshape(20, 1, 8, 8)},
        "Linear '0' expects 64 features, the data gives 8 (shape (20, 1, 8, 8))",
        "nn.Sequential(nn.Flatten(), ...)  # before Linear '0': (20, 1, 8, 8) becomes (20, 64)",
    ),
    "a flattened size": (
        "D401",
        lambda: {"module": nn.Sequential(nn.Flatten(), nn.Linear(784, 3)), "inputs": batch(20, 64).reshape(20, 1, 8, 8)},
        "Linear '1' expects 784 features, the data gives 64 (shape (20, 64))",
        "model[1] = nn.Linear(64, 3)",
    ),
    "samples as columns": (
        "D401",
        lambda: {"module": mlp(20, 3)},
        "Linear '0' expects 20 features, the data gives 4 (shape (20, 4))",
        "x = x.T  # samples are rows",
    ),
    "other channels": (
        "D401",
        lambda: {"module": nn.Sequential(Conv(3, 3)), "inputs": batch(20, 64).reshape(20, 1, 8, 8)},
        "Conv '0' expects 3 channels, the data gives 1 (shape (20, 1, 8, 8))",
        "model[0] = nn.Conv(1, ...)",
    ),
    "channels last": (
        "D401",
        lambda: {"module": nn.Sequential(Conv(3, 3)), "inputs": batch(20, 192).reshape(20, 8, 8, 3)},
        "Conv '0' expects 3 channels, the data gives 8 (shape (20, 8, 8, 3))",
        "x = x.permute(0, 3, 1, 2)  # channels come second",
    ),
    "no channel": (
        "D401",
        lambda: {"module": nn.Sequential(Conv(1, 3)), "inputs": batch(20, 64).reshape(20, 8, 8)},
        "Conv '0' expects 1 channels, the data gives 8 (shape (20, 8, 8))",
        "x = x.unsqueeze(1)  # one channel",
    ),
    "slopes": (
        "D401",
        lambda: {"module": nn.Sequential(nn.Linear(4, 8), nn.PReLU(5), nn.Linear(8, 3))},
        "PReLU '1' has 5 slopes, Linear '0' gives 8 channels",
        "model[1] = nn.PReLU(8)",
    ),
    "another dtype": (
        "D402",
        lambda: {"inputs": classes(80).reshape(20, 4)},
        "Linear '0', given (20, 4): linear: expected operands of one dtype, got int64 and float32",
        "model(x)  # alone, to see all of the error",
    ),
    "an error in forward": (
        "D402",
        lambda: {"module": nn.Sequential(Functional(lambda x: x.matmul(x)))},
        "Functional '0', given (20, 4): matmul: shapes (20, 3) and (20, 3) do not fit: 3 columns times 20 rows",
        "model(x)  # alone, to see all of the error",
    ),
    "one column for cross-entropy": (
        "D403",
        lambda: {"module": mlp(4, 1)},
        "the network returns shape (20, 1), but CrossEntropyLoss needs (N, C) with a column per class; with one column "
        "it is always 0",
        "loss = nn.BCEWithLogitsLoss()  # for two classes; or model[0] = nn.Linear(4, 2)",
    ),
    "another number of outputs": (
        "D403",
        lambda: {"module": mlp(4, 3), "loss": MSE, "targets": batch(20, 2)},
        "the network gives 3 values per sample, the targets have 2",
        "model[0] = nn.Linear(4, 2)",
    ),
    "a joined batch": (
        "D403",
        lambda: {"module": nn.Sequential(mlp(4, 3), nn.Flatten(0))},
        "the network returns shape (60,) for 20 targets of shape (20,)",
        "nn.Flatten()  # joins all dimensions but the first, the batch",
    ),
    "two outputs for one loss": (
        "D403",
        lambda: {"module": TwoHeads()},
        "the network returns (20, 3), (20, 1), but CrossEntropyLoss takes one tensor",
        "loss = (loss_of_first, loss_of_second)  # a loss per output",
    ),
    "two losses for one output": (
        "D403",
        lambda: {"loss": (CE, MSE), "targets": (classes(), batch())},
        "there are losses for the outputs [0, 1], but 1 of the outputs",
        "loss = (loss,) * 1",
    ),
    "a loss for another name": (
        "D403",
        lambda: {"module": TwoHeads(True), "loss": {"sort": CE}, "targets": {"sort": classes()}},
        "there are losses for the outputs ['sort'], but the outputs ['kind', 'age']",
        "loss = dict.fromkeys(['kind', 'age'], loss)",
    ),
    "weights of other classes": (
        "D404",
        lambda: {"loss": nn.CrossEntropyLoss(dnn.ones(4))},
        "CrossEntropyLoss of outputs (20, 3) and targets (20,): cross_entropy: expected weight of "
        "shape (3,), one per class, got (4,)",
        "print(loss)  # its settings, such as weights of classes, fit other sizes",
    ),
    "a weight that is inf": (
        "D405",
        lambda: {"module": broken()},
        "the output of Linear '2' is not finite; neither are its parameters weight",
        "model[2].reset_parameters()",
    ),
    "an overflow": (
        "D405",
        lambda: {"module": steep(), "inputs": batch() * 1e38},
        "the output of Linear '0' is not finite",
        "x = x / x.abs().max()  # are the inputs too large?",
    ),
    "a metric of regression": (
        "D601",
        lambda: {"metrics": [ACCURACY, MAE]},
        "the metric 'mae' is for regression, but CrossEntropyLoss of outputs (20, 3) is multiclass",
        "metrics=['accuracy']",
    ),
    "a metric of classes": (
        "D601",
        lambda: {"module": mlp(4, 1), "loss": MSE, "targets": batch()[:, :1], "metrics": [ACCURACY]},
        "the metric 'accuracy' is for binary and multiclass and multilabel, but MSELoss of outputs (20, 1) is regression",
        "metrics=['mae']",
    ),
    "no parameters": (
        "D701",
        lambda: {"module": Plain()},
        "Plain has nothing to train: it has no parameters",
        "self.layers = nn.ModuleList(layers)  # a plain list hides its layers",
    ),
    "frozen parameters": (
        "D701",
        lambda: {"module": frozen()},
        "Sequential has nothing to train: all its 2 parameters are frozen",
        "model.requires_grad_(True)",
    ),
    "an optimizer of another network": (
        "D702",
        lambda: {"optimizer": dnn.optim.SGD(mlp(4, 3).parameters(), lr=0.1)},
        "SGD holds 2 parameters, none of which are among the 4 that Sequential trains (0.weight, 0.bias, 2.weight and 1 more)",
        "optimizer = dnn.optim.SGD(model.parameters(), ...)",
    ),
    "a cast after the optimizer": (
        "D702",
        cast_after,
        "Adam holds 2 parameters, none of which are among the 2 that Sequential trains (0.weight, 0.bias); they were replaced "
        "after it was made",
        "optimizer = dnn.optim.Adam(model.parameters(), ...)  # after casts and load_state_dict(assign=True)",
    ),
    "a learning rate of 0": (
        "D703",
        lambda: {"module": (model := mlp(4, 3)), "optimizer": dnn.optim.SGD(model.parameters(), lr=0.0)},
        "SGD has a learning rate of 0, so that no step changes anything",
        "optimizer = dnn.optim.SGD(model.parameters(), lr=1e-3)",
    ),
}


WARNINGS: dict[str, tuple[str, Callable[[], dict[str, Any]], str, str]] = {
    "log_softmax before cross-entropy": (
        "D102",
        lambda: {"module": mlp(4, 3, end=nn.LogSoftmax(dim=1))},
        "LogSoftmax '1' stands before CrossEntropyLoss, which applies it itself; a second one costs time only",
        "loss = nn.NLLLoss()  # or leave log_softmax out of the model",
    ),
    "log_softmax in forward": (
        "D102",
        lambda: {"module": Functional(lambda x: x.log_softmax(1))},
        "the log_softmax at the end of forward stands before CrossEntropyLoss, which applies it itself; a second one costs time "
        "only",
        "loss = nn.NLLLoss()  # or leave log_softmax out of the model",
    ),
    "equal targets": (
        "D205",
        lambda: {"data": (batch(), dnn.full((20,), 2, dtype=dnn.int64))},
        "all 20 targets are 2, so that there is nothing to learn",
        "np.unique(y)  # is this the right column?",
    ),
    "images of 0 to 255": (
        "D301",
        lambda: {"inputs": pixels()},
        "what reaches Linear '0' ranges from 0 to 252 with a standard deviation of 74.2" + WELL,
        "x = x / 255",
    ),
    "digits of 0 to 16": (
        "D301",
        lambda: {"inputs": ink()},
        "what reaches Linear '0' ranges from 0 to 16 with a standard deviation of 7.49" + WELL,
        "x = x / 16",
    ),
    "columns of other sizes": (
        "D301",
        lambda: {"inputs": salaries()},
        "what reaches Linear '0' ranges from -3.838e+04 to 2.966e+04 with a standard deviation of 1.11e+04" + WELL,
        "x = sklearn.preprocessing.StandardScaler().fit_transform(x)",
    ),
    "tiny values": (
        "D301",
        lambda: {"inputs": batch() * 1e-6},
        "what reaches Linear '0' ranges from -2e-06 to 1.972e-06 with a standard deviation of 1.16e-06" + WELL,
        "x = sklearn.preprocessing.StandardScaler().fit_transform(x)",
    ),
    "equal inputs": (
        "D303",
        lambda: {"inputs": dnn.ones(20, 4)},
        "inputs: all 20 samples are the same, so that nothing tells one from the other",
        "print(x[:3])  # where do they become equal?",
    ),
    "a class of one sample": (
        "D501",
        lambda: {"data": (batch(21), dnn.cat([classes(20, 2), dnn.tensor([2])]))},
        "targets: there is one training sample of class 2; it can be learned by heart only",
        "np.unique(y, return_counts=True)  # then collect more samples, or leave these classes out",
    ),
    "two classes of one sample": (
        "D501",
        lambda: {"module": mlp(4, 5), "data": (batch(20), dnn.cat([classes(18, 3), dnn.tensor([3, 4])]))},
        "targets: there is one training sample of each of the classes 3, 4; it can be learned by heart only",
        "np.unique(y, return_counts=True)  # then collect more samples, or leave these classes out",
    ),
    "a class in validation only": (
        "D502",
        lambda: {"data": (batch(), classes(20, 2)), "validation": (batch(9) + 1, classes(9, 3))},
        "targets: 3 samples of validation are of class 2, which training has not",
        "model.fit(x, y, validation_split=0.2)  # shuffled, each class in both parts",
    ),
    "duplicates": (
        "D503",
        lambda: {
            "data": (batch(), classes()),
            "validation": (dnn.cat([batch(6) + 1, batch()[4:7], -batch()[:1]]), classes(10)),
        },
        "inputs: 3 samples of validation are also in training, the first in row 6; scores of validation will look "
        "better than they are",
        "x, kept = np.unique(x, axis=0, return_index=True); y = y[kept]  # before the split",
    ),
}
