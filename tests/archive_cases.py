"""Models and forged descriptions for the tests of model folders."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import dnncore as dnn
import numpy as np
from dnncore import models, nn
from dnncore.model import archive
from dnncore.models import lenet_layers, resnet_cifar

# A layer that is not its class's default, and the shapes of its inputs.
LAYERS: dict[str, tuple[nn.Module, tuple[tuple[int, ...], ...]]] = {
    "Linear": (nn.Linear(6, 3, bias=False, dtype=dnn.float64), ((4, 6),)),
    "Bilinear": (nn.Bilinear(3, 4, 5), ((2, 3), (2, 4))),
    "Maxout": (nn.Maxout(6, 3, pieces=4), ((4, 6),)),
    "Embedding": (nn.Embedding(7, 3, padding_idx=-1, max_norm=150.0, scale_grad_by_freq=True), ("full classes",)),
    "EmbeddingBag": (nn.EmbeddingBag(7, 3, norm_type=1, mode="max", padding_idx=2, dtype=dnn.float64), ("full classes",)),
    "Conv1d": (nn.Conv1d(4, 6, 3, padding="same", groups=2, bias=False), ((2, 4, 7),)),
    "Conv2d": (nn.Conv2d(3, 5, (3, 2), (2, 1), 1, padding_mode="reflect"), ((2, 3, 6, 5),)),
    "Conv3d": (nn.Conv3d(2, 3, 2, dilation=(1, 2, 1)), ((1, 2, 4, 4, 4),)),
    "ConvTranspose1d": (nn.ConvTranspose1d(4, 6, 3, stride=2, groups=2), ((2, 4, 5),)),
    "ConvTranspose2d": (nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, bias=False), ((2, 4, 5, 3),)),
    "ConvTranspose3d": (nn.ConvTranspose3d(2, 3, 2, dilation=2), ((1, 2, 3, 3, 3),)),
    "PReLU": (nn.PReLU(6, init=0.125), ((4, 6),)),
    "MaxPool1d": (nn.MaxPool1d(3, 2, padding=1), ((2, 3, 9),)),
    "MaxPool2d": (nn.MaxPool2d((3, 2), ceil_mode=True), ((2, 3, 8, 8),)),
    "MaxPool3d": (nn.MaxPool3d(2, dilation=2), ((1, 2, 5, 5, 5),)),
    "AvgPool1d": (nn.AvgPool1d(3, 2, padding=1, count_include_pad=False), ((2, 3, 9),)),
    "AvgPool2d": (nn.AvgPool2d((3, 2), divisor_override=5), ((2, 3, 8, 8),)),
    "AvgPool3d": (nn.AvgPool3d(2, ceil_mode=True), ((1, 2, 5, 5, 5),)),
    "AdaptiveAvgPool1d": (nn.AdaptiveAvgPool1d(3), ((2, 3, 9),)),
    "AdaptiveAvgPool2d": (nn.AdaptiveAvgPool2d((None, 3)), ((2, 3, 8, 8),)),
    "AdaptiveAvgPool3d": (nn.AdaptiveAvgPool3d(2), ((1, 2, 5, 5, 5),)),
    "AdaptiveMaxPool1d": (nn.AdaptiveMaxPool1d(3), ((2, 3, 9),)),
    "AdaptiveMaxPool2d": (nn.AdaptiveMaxPool2d((None, 3)), ((2, 3, 8, 8),)),
    "AdaptiveMaxPool3d": (nn.AdaptiveMaxPool3d(2), ((1, 2, 5, 5, 5),)),
    "BatchNorm1d": (nn.BatchNorm1d(3, eps=1e-3, momentum=None), ((4, 3),)),
    "BatchNorm2d": (nn.BatchNorm2d(3, affine=False), ((2, 3, 4, 4),)),
    "BatchNorm3d": (nn.BatchNorm3d(3, track_running_stats=False, bias=False), ((2, 3, 2, 2, 2),)),
    "InstanceNorm1d": (nn.InstanceNorm1d(3), ((2, 3, 5),)),
    "InstanceNorm2d": (nn.InstanceNorm2d(3, affine=True, track_running_stats=True), ((2, 3, 4, 4),)),
    "InstanceNorm3d": (nn.InstanceNorm3d(3, momentum=0.2), ((2, 3, 2, 2, 2),)),
    "GroupNorm": (nn.GroupNorm(2, 4, eps=1e-3), ((2, 4, 3, 3),)),
    "LayerNorm": (nn.LayerNorm((3, 4), bias=False), ((2, 3, 4),)),
    "RMSNorm": (nn.RMSNorm(4), ((2, 3, 4),)),
    "LocalResponseNorm": (nn.LocalResponseNorm(3, k=2.0), ((2, 5, 3, 3),)),
    "LocalContrastNorm": (nn.LocalContrastNorm(5), ((2, 3, 8, 8),)),
    "ScaledTanh": (lenet_layers.ScaledTanh(), ((2, 3),)),
    "Subsampling2d": (lenet_layers.Subsampling2d(3), ((2, 3, 4, 4),)),
    "LeNetC3": (lenet_layers.LeNetC3(), ((2, 6, 8, 8),)),
    "RbfOutput": (lenet_layers.RbfOutput(dnn.rand(5, 7)), ((2, 7),)),
    "PadShortcut": (resnet_cifar.PadShortcut(3), ((2, 2, 5, 5),)),
    "RNN": (nn.RNN(3, 4, 2, "relu", bias=False, bidirectional=True), ((5, 2, 3),)),
    "LSTM": (nn.LSTM(3, 4, 2, dropout=0.2, proj_size=2, peephole=True, bidirectional=True), ((5, 2, 3),)),
    "GRU": (nn.GRU(3, 4, batch_first=True), ((5, 2, 3),)),
    "RNNCell": (nn.RNNCell(3, 4, nonlinearity="relu"), ((2, 3),)),
    "LSTMCell": (nn.LSTMCell(3, 4, bias=False), ((2, 3),)),
    "GRUCell": (nn.GRUCell(3, 4), ((2, 3),)),
    "LastSteps": (models.LastSteps(3), ((4, 6),)),
    "TeacherForcing": (models.TeacherForcing(0.3), ((4, 6), (4, 6))),
    "Flatten": (nn.Flatten(0, -2), ((4, 2, 3),)),
    "Unflatten": (nn.Unflatten(1, (2, -1)), ((4, 6),)),
    "CELU": (nn.CELU(0.3, inplace=True), ((4, 6),)),
    "ELU": (nn.ELU(np.float32(0.3)), ((4, 6),)),
    "Hardshrink": (nn.Hardshrink(0.1), ((4, 6),)),
    "Softshrink": (nn.Softshrink(0.1), ((4, 6),)),
    "LogSoftmax": (nn.LogSoftmax(0), ((4, 6),)),
    "Softmax": (nn.Softmax(-1), ((4, 6),)),
    "Softmin": (nn.Softmin(1), ((4, 6),)),
    "Softmax2d": (nn.Softmax2d(), ((2, 3, 4, 5),)),
    "Dropout": (nn.Dropout(0.3), ((4, 6),)),
    "Dropout1d": (nn.Dropout1d(0.3), ((4, 6, 2),)),
    "Dropout2d": (nn.Dropout2d(0.3), ((4, 6, 2, 2),)),
    "Dropout3d": (nn.Dropout3d(0.3), ((4, 6, 2, 2, 2),)),
    "AlphaDropout": (nn.AlphaDropout(0.3), ((4, 6),)),
    "FeatureAlphaDropout": (nn.FeatureAlphaDropout(0.3), ((4, 6, 2),)),
    "GELU": (nn.GELU("tanh"), ((4, 6),)),
    "GLU": (nn.GLU(0), ((4, 6),)),
    "Hardtanh": (nn.Hardtanh(-math.inf, 0.25), ((4, 6),)),
    "LeakyReLU": (nn.LeakyReLU(0.2), ((4, 6),)),
    "RReLU": (nn.RReLU(0.2, 0.9), ((4, 6),)),
    "Softplus": (nn.Softplus(2.0, 1.5), ((4, 6),)),
    "Threshold": (nn.Threshold(0.1, -7), ((4, 6),)),
    "CosineSimilarity": (nn.CosineSimilarity(0, 1e-3), ((4, 6), (4, 6))),
    "PairwiseDistance": (nn.PairwiseDistance(math.inf, 0.1, True), ((4, 6), (4, 6))),
    "L1Loss": (nn.L1Loss(reduction="sum"), ((4, 6), (4, 6))),
    "MSELoss": (nn.MSELoss(reduction="none"), ((4, 6), (4, 6))),
    "SoftMarginLoss": (nn.SoftMarginLoss(reduction="none"), ((4, 6), "signs")),
    "MultiLabelMarginLoss": (nn.MultiLabelMarginLoss(reduction="none"), ((4, 6), "full classes")),
    "MultiLabelSoftMarginLoss": (nn.MultiLabelSoftMarginLoss(dnn.rand(6)), ((4, 6), "share")),
    "BCELoss": (nn.BCELoss(dnn.rand(6)), ("share", "share")),
    "BCEWithLogitsLoss": (nn.BCEWithLogitsLoss(dnn.rand(4, 6), pos_weight=dnn.rand(6)), ((4, 6), "share")),
    "CosineEmbeddingLoss": (nn.CosineEmbeddingLoss(0.2), ((4, 6), (4, 6), "sign")),
    "HingeEmbeddingLoss": (nn.HingeEmbeddingLoss(0.2), ((4, 6), "signs")),
    "MarginRankingLoss": (nn.MarginRankingLoss(0.2), ((4,), (4,), "sign")),
    "CrossEntropyLoss": (nn.CrossEntropyLoss(dnn.rand(6), ignore_index=2, label_smoothing=0.1), ((4, 6), "classes")),
    "GaussianNLLLoss": (nn.GaussianNLLLoss(full=True, eps=0.1), ((4, 6), (4, 6), "share")),
    "HuberLoss": (nn.HuberLoss("sum", 0.3), ((4, 6), (4, 6))),
    "KLDivLoss": (nn.KLDivLoss(reduction="batchmean", log_target=True), ((4, 6), (4, 6))),
    "MultiMarginLoss": (nn.MultiMarginLoss(2, 0.7, dnn.rand(6)), ((4, 6), "classes")),
    "NLLLoss": (nn.NLLLoss(dnn.rand(6), ignore_index=1), ((4, 6), "classes")),
    "PoissonNLLLoss": (nn.PoissonNLLLoss(False, True, eps=1e-3), ("share", "share")),
    "SmoothL1Loss": (nn.SmoothL1Loss(beta=0.3), ((4, 6), (4, 6))),
    "TripletMarginLoss": (nn.TripletMarginLoss(0.5, 1.5, 1e-4, True), ((4, 6), (4, 6), (4, 6))),
}
for d in (1, 2, 3):
    planes = (2, 4, 6, 6, 6)[: d + 2]
    LAYERS |= {
        f"LPPool{d}d": (getattr(nn, f"LPPool{d}d")(2.0, 3, 1), (planes,)),
        f"MaxUnpool{d}d": (getattr(nn, f"MaxUnpool{d}d")(2, 3), (planes, f"places {d}")),
        f"ConstantPad{d}d": (getattr(nn, f"ConstantPad{d}d")(1, 0.5), (planes,)),
    }
    for kind in ("CircularPad", "ReflectionPad", "ReplicationPad", "ZeroPad"):
        LAYERS[f"{kind}{d}d"] = getattr(nn, f"{kind}{d}d")((0, 1) * d), (planes,)
LAYERS |= {
    "Upsample": (nn.Upsample(scale_factor=(1.5, 2), mode="bilinear", align_corners=True), ((2, 4, 6, 6),)),
    "UpsamplingNearest2d": (nn.UpsamplingNearest2d(5), ((2, 4, 6, 6),)),
    "UpsamplingBilinear2d": (nn.UpsamplingBilinear2d((5, 7)), ((2, 4, 6, 6),)),
    "PixelShuffle": (nn.PixelShuffle(2), ((2, 4, 6, 6),)),
    "PixelUnshuffle": (nn.PixelUnshuffle(3), ((2, 4, 6, 6),)),
    "ChannelShuffle": (nn.ChannelShuffle(2), ((2, 4, 6, 6),)),
    "Unfold": (nn.Unfold((3, 2), 1, 1, 2), ((2, 4, 6, 6),)),
    "Fold": (nn.Fold(3, 2), ((2, 4, 4),)),
}
for plain in ("Identity", "LogSigmoid", "Sigmoid", "Softsign", "Tanh", "Tanhshrink"):
    LAYERS[plain] = getattr(nn, plain)(), ((4, 6),)
for inplace in ("Hardsigmoid", "Hardswish", "Mish", "ReLU", "ReLU6", "SELU", "SiLU"):
    LAYERS[inplace] = getattr(nn, inplace)(inplace=True), ((4, 6),)

GIVEN = {
    **{f"places {d}": lambda d=d: dnn.arange(6**d).reshape((6,) * d).expand(2, 4, *(6,) * d).clone() for d in (1, 2, 3)},
    "share": lambda: dnn.rand(4, 6),
    "signs": lambda: (dnn.rand(4, 6) < 0.5).float() * 2 - 1,
    "sign": lambda: (dnn.rand(4) < 0.5).float() * 2 - 1,
    "classes": lambda: dnn.randint(6, (4,)),
    "full classes": lambda: dnn.randint(6, (4, 6)),
}


def inputs_of(name: str) -> list[dnn.Tensor]:
    _, shapes = LAYERS[name]
    dnn.manual_seed(7)
    dtype = dnn.float64 if name == "Linear" else dnn.float32
    return [GIVEN[shape]() if isinstance(shape, str) else dnn.randn(*shape, dtype=dtype) for shape in shapes]


def result_of(module: nn.Module, name: str) -> bytes:
    inputs = inputs_of(name)
    dnn.manual_seed(3)
    found = module(*inputs)
    while isinstance(found, tuple):
        found = found[0]
    return found.detach().contiguous().numpy().tobytes()


def small() -> nn.Sequential:
    dnn.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))


def weights_of(folder: Path) -> Path:
    (found,) = folder.glob("model-*.safetensors")
    return found


def value_in(folder: Path) -> float:
    return archive.read(folder)[0][0].bias[0].item()


def constant(value: float) -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 2))
    with dnn.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    return model


def sealed(body: bytes) -> bytes:
    return b'{"sha256": "' + hashlib.sha256(body).hexdigest().encode() + b'",\n' + body


def forge(folder: Path, change) -> None:
    """Write a JSON with a right hash whose content is changed."""
    path = folder / "model.json"
    document = json.loads(path.read_bytes())
    del document["sha256"]
    changed = change(document)
    path.write_bytes(sealed(json.dumps(document if changed is None else changed).encode()[1:]))


def linear(**arguments: object) -> dict[str, object]:
    full = {"in_features": 3, "out_features": 2, "bias": True, "dtype": "float32", **arguments}
    return {"class": "Linear", "arguments": full}


def sequence(*nodes: object) -> dict[str, object]:
    return {"class": "Sequential", "modules": {str(i): node for i, node in enumerate(nodes)}}


def nested(levels: int) -> dict[str, object]:
    node: dict[str, object] = linear()
    for _ in range(levels):
        node = sequence(node)
    return node


FORGED = {
    "no architecture": ("architecture", None, "expected"),
    "a list": ("architecture", [1], "objects that describe"),
    "an unknown class": ("architecture", {"class": "Popen", "arguments": {}}, "expected the class of a layer"),
    "a class with a path": ("architecture", {"class": "os.system", "arguments": {}}, "expected the class of a layer"),
    "an excluded class": ("architecture", {"class": "Module", "arguments": {}}, "expected the class of a layer"),
    "a class that is a list": ("architecture", {"class": [], "arguments": {}}, "expected the class of a layer"),
    "a private base": ("architecture", {"class": "InPlace", "arguments": {}}, "expected the class of a layer"),
    "modules of a layer": ("architecture", {"class": "Linear", "modules": {}}, "expected the class of a layer"),
    "arguments of a container": ("architecture", {"class": "Sequential", "arguments": {}}, "expected the class of a layer"),
    "both": ("architecture", {**linear(), "modules": {}}, "expected the class of a layer"),
    "a missing argument": (
        "architecture",
        {"class": "Linear", "arguments": {"bias": True}},
        "expected the arguments in_features",
    ),
    "an argument more": ("architecture", linear(device="cuda"), "expected the arguments in_features"),
    "arguments that are a list": ("architecture", {"class": "ReLU", "arguments": [False]}, "expected the arguments inplace"),
    "a size of text": ("architecture", linear(in_features="3"), "whole number of at least 0, got '3'"),
    "a negative size": ("architecture", linear(in_features=-3), "whole number of at least 0, got -3"),
    "a size of true": ("architecture", linear(in_features=True), "whole number of at least 0, got True"),
    "a fractional size": ("architecture", linear(in_features=3.0), "whole number of at least 0"),
    "2^80": ("architecture", linear(in_features=1 << 80), "whole number of at least 0"),
    "2^62 x 2^62": ("architecture", sequence(linear(in_features=1 << 62, out_features=1 << 62)), "does not fit its weights"),
    "2^40 x 2": ("architecture", sequence(linear(in_features=1 << 40)), r"at '0.weight': expected \(2, 1099511627776\)"),
    "a dtype of ints": ("architecture", linear(dtype="int64"), "floating dtype, got 'int64'"),
    "another dtype": ("architecture", sequence(linear(dtype="float64")), "of float64, got"),
    "no bias": ("architecture", sequence(linear(bias=False)), "at '0.bias': expected none, got"),
    "a layer more": ("architecture", sequence(linear(), linear()), "at '1.(weight|bias)': expected .*, got none"),
    "a layer less": ("architecture", sequence(), "at '0.(weight|bias)': expected none"),
    "65 levels": ("architecture", nested(66), "64 deep"),
    "100,002 modules": ("architecture", sequence(*[sequence()] * 100_002), "100000 objects"),
    "a name with a dot": ("architecture", {"class": "Sequential", "modules": {"a.b": linear()}}, "have no dot"),
    "an empty name": ("architecture", {"class": "Sequential", "modules": {"": linear()}}, "not empty"),
    "shared with itself": ("architecture", sequence({"shared": ""}), "a module before it"),
    "shared with a later one": ("architecture", sequence({"shared": "1"}, linear()), "a module before it"),
    "shared with a list": ("architecture", sequence({"shared": [1]}), "a module before it"),
    "shared with a shared one": (
        "architecture",
        sequence(linear(), {"shared": "0"}, {"shared": "1"}),
        "a module before it, got '1'",
    ),
    "modules that are a list": ("architecture", {"class": "ModuleList", "modules": []}, "an object of modules"),
    "a name that Sequential has": (
        "architecture",
        {"class": "Sequential", "modules": {"0": linear(), "forward": {"class": "Tanh", "arguments": {}}}},
        "attribute 'forward' exists",
    ),
    "a probability of 2": (
        "architecture",
        sequence(linear(), {"class": "Dropout", "arguments": {"p": 2, "inplace": False}}),
        "at '1': Dropout: expected a probability",
    ),
    "a wrong $float": (
        "architecture",
        sequence(linear(), {"class": "Hardshrink", "arguments": {"lambd": {"$float": "1"}}}),
        r"expected '\$float' alone",
    ),
    "a form of GELU": (
        "architecture",
        sequence(linear(), {"class": "GELU", "arguments": {"approximate": "fast"}}),
        "expected approximate as one of 'none', 'tanh'",
    ),
    "another format": ("format", "keras", "expected format"),
    "a later version": ("version", 2, "has version 2; this version of dnncore reads 1"),
    "a version of text": ("version", "1", "with a version"),
    "weights that point away": ("weights", "../../../etc/passwd", "expected a hash as weights"),
    "no weights": ("weights", None, "expected a hash as weights"),
    "other weights": ("weights", "0" * 64, "No such file"),
    "extra as a list": ("extra", [], "extra as an object"),
    "frozen as a text": ("frozen", "0.weight", "expected frozen as a list of names"),
    "frozen numbers": ("frozen", [1], "expected frozen as a list of names"),
    "frozen unknown": ("frozen", ["0.nothing"], "no module or parameter '0.nothing'"),
    "evaluating unknown": ("evaluating", ["9"], "no module or parameter '9'"),
    "a field more": ("code", "import os", "expected the fields"),
}
LATE = {"a name that Sequential has", "a probability of 2", "frozen unknown", "evaluating unknown"}  # found by constructors
