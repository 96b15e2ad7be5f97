"""The layers and networks a model folder may name: the arguments of their constructors, the tensors they give."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from dnncore import _core, nn
from dnncore._core import Tensor
from dnncore.models._alexnet import AlexNet
from dnncore.models._googlenet import GoogLeNet, Inception, InceptionAux
from dnncore.models.forecast import Forecaster, LastSteps
from dnncore.models.language import LanguageModel
from dnncore.models.lenet import LeNet5
from dnncore.models.lenet_layers import LeNetC3, RbfOutput, ScaledTanh, Subsampling2d
from dnncore.models.resnet import BasicBlock, Bottleneck, ResNet
from dnncore.models.resnet_cifar import CifarResNet, PadShortcut
from dnncore.models.sequence import SequenceClassifier, SequenceTagger
from dnncore.models.translation import BahdanauAttention, EncoderDecoder, LuongAttention, TeacherForcing
from dnncore.models.vgg import VGG

_RANK_CAP = 64
_INT = 1 << 63

DTYPES = {dtype.name: dtype for dtype in (_core.float32, _core.float64, _core.bfloat16, _core.float16)}
DTYPES |= {dtype.name: dtype for dtype in (_core.int64, _core.int32, _core.uint8, _core.bool)}

Node = dict[str, Any]
Arguments = dict[str, Any]


class Slot(NamedTuple):
    """What a parameter or buffer must be."""

    shape: tuple[int, ...]
    dtype: str


def shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


# --- Kinds of arguments


def _plain(module: nn.Module, name: str) -> Any:
    """Return an attribute as JSON has it: no NumPy scalar, no tuple."""
    value = getattr(module, name)
    if isinstance(value, np.generic):
        return value.item()
    return list(value) if isinstance(value, tuple) else value


def _has_tensor(module: nn.Module, name: str) -> bool:
    return module._parameters.get(name) is not None


def _weight_dtype(module: nn.Module, name: str) -> str:
    """Return the dtype of the (first) weight, else of the statistics of a layer; "float32" where there is neither."""
    tensor: Tensor | None = module._parameters.get("weight")
    for other in ("weight_ih", "weight_ih_l0"):
        tensor = module._parameters.get(other) if tensor is None else tensor
    tensor = module._buffers.get("running_mean") if tensor is None else tensor
    return "float32" if tensor is None else str(tensor.dtype.name)


def _slot_of(module: nn.Module, name: str) -> Any:
    value = module._buffers[name]
    return None if value is None else {"shape": list(value.shape), "dtype": value.dtype.name}


def _same(value: Any) -> Any:
    return value


def _zeros(slot: Any) -> Any:
    return None if slot is None else _core.zeros(tuple(slot["shape"]), dtype=DTYPES[slot["dtype"]])


@dataclass(frozen=True)
class Kind:
    """A kind of argument: what its JSON value may be, how it is read from a module and given to the constructor."""

    says: str
    fits: Callable[[Any], bool]
    read: Callable[[nn.Module, str], Any] = _plain
    make: Callable[[Any], Any] = _same


def _is_int(value: Any) -> bool:
    return type(value) is int and -_INT <= value < _INT


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < _INT


def _is_sizes(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= _RANK_CAP and all(map(_is_int, value))


def _is_slot(value: Any) -> bool:
    if value is None:
        return True
    fits = isinstance(value, dict) and set(value) == {"shape", "dtype"} and isinstance(value["dtype"], str)
    return fits and value["dtype"] in DTYPES and _is_sizes(value["shape"]) and all(map(_is_size, value["shape"]))


def _is_factor(value: Any) -> bool:
    several = value if isinstance(value, list) else [value]
    return len(several) <= _RANK_CAP and all(type(each) is float or _is_int(each) for each in several)


def _one_of(*texts: str) -> Kind:
    return Kind("one of " + ", ".join(map(repr, texts)), lambda value: isinstance(value, str) and value in texts)


def _is_size_or_sizes(value: Any) -> bool:
    return _is_int(value) or _is_sizes(value)


def _is_padding(value: Any) -> bool:
    return value in ("same", "valid") if isinstance(value, str) else _is_size_or_sizes(value)


def _is_output_size(value: Any) -> bool:
    sizes = value if isinstance(value, list) else [value]
    return len(sizes) <= _RANK_CAP and all(size is None or _is_int(size) for size in sizes)


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


BOOL = Kind("true or false", lambda value: type(value) is bool)
INT = Kind("a whole number", _is_int)
INT_OR_NONE = Kind("a whole number or null", lambda value: value is None or _is_int(value))
SIZE = Kind("a whole number of at least 0", _is_size)
FEW = Kind("a whole number from 1 to 1024", lambda value: type(value) is int and 1 <= value <= 1024)
SIZES = Kind("a list of whole numbers", _is_sizes, make=tuple)
SIZE_OR_SIZES = Kind("a whole number or a list of them", _is_size_or_sizes, make=_tupled)
PADDING = Kind("a whole number, a list of them, 'same' or 'valid'", _is_padding, make=_tupled)
OUTPUT_SIZE = Kind("a whole number, null, or a list of them", _is_output_size, make=_tupled)
NUMBER = Kind("a number", lambda value: type(value) is float or _is_int(value))
BIAS = Kind("true or false", lambda value: type(value) is bool, read=_has_tensor)
DTYPE = Kind(
    "the name of a floating dtype",
    lambda value: isinstance(value, str) and value in DTYPES and DTYPES[value].is_floating_point,
    read=_weight_dtype,
    make=lambda value: DTYPES[value],
)
TENSOR = Kind("null, or a shape and a dtype", _is_slot, read=_slot_of, make=_zeros)
REDUCTION = _one_of("mean", "sum", "none")
NUMBER_OR_NONE = Kind("a number or null", lambda value: value is None or NUMBER.fits(value))
BOOL_OR_NONE = Kind("true, false or null", lambda value: value is None or type(value) is bool)
FACTOR = Kind("a number, null, or a list of numbers", lambda value: value is None or _is_factor(value), make=_tupled)
P_NORM = Kind(NUMBER.says, NUMBER.fits, read=lambda module, name: _plain(module, "norm"))


# --- The registry


def _no_parameters(arguments: Arguments) -> dict[str, tuple[int, ...]]:
    return {}


def _no_buffers(arguments: Arguments) -> dict[str, Slot]:
    return {}


@dataclass(frozen=True)
class Layer:
    """A layer: its class, the arguments of its constructor, the shapes of the parameters they give, and the buffers."""

    cls: type[nn.Module]
    arguments: dict[str, Kind] = field(default_factory=dict)
    parameters: Callable[[Arguments], dict[str, tuple[int, ...]]] = _no_parameters
    buffers: Callable[[Arguments], dict[str, Slot]] = _no_buffers

    def slots(self, arguments: Arguments) -> dict[str, Slot]:
        """Return what the parameters and buffers of such a layer must be."""
        own = {name: Slot(shape, arguments["dtype"]) for name, shape in self.parameters(arguments).items()}
        given = {name: arguments[name] for name, kind in self.arguments.items() if kind is TENSOR and arguments[name]}
        return own | self.buffers(arguments) | {name: Slot(tuple(slot["shape"]), slot["dtype"]) for name, slot in given.items()}

    def build(self, arguments: Arguments) -> nn.Module:
        """Make the layer; its parameters have no values yet."""
        layer = _undrawn(self.cls)(**{name: kind.make(arguments[name]) for name, kind in self.arguments.items()})
        layer.__class__ = self.cls
        return layer


def _undrawn(cls: type[nn.Module]) -> type[nn.Module]:
    """Return a layer that does not draw initial values, which would take 0.4 of 0.5 s of reading 80 MB."""
    return type(cls.__name__, (cls,), {"reset_parameters": lambda self: None})


def _affine(arguments: Arguments, weight: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {"weight": weight, "bias": weight[:1]} if arguments["bias"] else {"weight": weight}


def _linear(a: Arguments) -> dict[str, tuple[int, ...]]:
    return _affine(a, (a["out_features"], a["in_features"]))


def _bilinear(a: Arguments) -> dict[str, tuple[int, ...]]:
    return _affine(a, (a["out_features"], a["in1_features"], a["in2_features"]))


def _maxout(a: Arguments) -> dict[str, tuple[int, ...]]:
    return _affine(a, (a["out_features"] * a["pieces"], a["in_features"]))


def _prelu(a: Arguments) -> dict[str, tuple[int, ...]]:
    return {"weight": (a["num_parameters"],)}


def _table(a: Arguments) -> dict[str, tuple[int, ...]]:
    return {"weight": (a["num_embeddings"], a["embedding_dim"])}


def _conv(a: Arguments) -> dict[str, tuple[int, ...]]:
    weight = (a["out_channels"], a["in_channels"] // max(1, a["groups"]), *a["kernel_size"])
    return {"weight": weight, "bias": weight[:1]} if a["bias"] else {"weight": weight}


def _conv_transpose(a: Arguments) -> dict[str, tuple[int, ...]]:
    weight = {"weight": (a["in_channels"], a["out_channels"] // max(1, a["groups"]), *a["kernel_size"])}
    return {**weight, "bias": (a["out_channels"],)} if a["bias"] else weight


def _channels(a: Arguments) -> dict[str, tuple[int, ...]]:
    shape = (a["num_features"] if "num_features" in a else a["num_channels"],)
    return ({"weight": shape, "bias": shape} if a["bias"] else {"weight": shape}) if a["affine"] else {}


def _statistics(a: Arguments) -> dict[str, Slot]:
    if not a["track_running_stats"]:
        return {}
    each = Slot((a["num_features"],), a["dtype"])
    return {"running_mean": each, "running_var": each, "num_batches_tracked": Slot((), "int64")}


def _elementwise(a: Arguments) -> dict[str, tuple[int, ...]]:
    shape = tuple(a["normalized_shape"])
    return ({"weight": shape, "bias": shape} if a.get("bias") else {"weight": shape}) if a["elementwise_affine"] else {}


def _cell(gates: int) -> Callable[[Arguments], dict[str, tuple[int, ...]]]:
    def shapes(a: Arguments) -> dict[str, tuple[int, ...]]:
        rows = gates * a["hidden_size"]
        biases: dict[str, tuple[int, ...]] = {"bias_ih": (rows,), "bias_hh": (rows,)} if a["bias"] else {}
        return {"weight_ih": (rows, a["input_size"]), "weight_hh": (rows, a["hidden_size"]), **biases}

    return shapes


def _recurrent(gates: int) -> Callable[[Arguments], dict[str, tuple[int, ...]]]:
    def shapes(a: Arguments) -> dict[str, tuple[int, ...]]:
        hidden, projected = a["hidden_size"], a.get("proj_size", 0)
        out = projected or hidden
        found: dict[str, tuple[int, ...]] = {}
        for number in range(a["num_layers"]):
            width = out * (1 + a["bidirectional"]) if number else a["input_size"]
            own = {**_cell(gates)({**a, "input_size": width}), "weight_hh": (gates * hidden, out)}
            own |= {"weight_hr": (projected, hidden)} if projected else {}
            own |= {"weight_ch": (3, hidden)} if a.get("peephole") else {}
            for suffix in ("", "_reverse")[: 1 + a["bidirectional"]]:
                found |= {f"{name}_l{number}{suffix}": shape for name, shape in own.items()}
        return found

    return shapes


def _subsampling(a: Arguments) -> dict[str, tuple[int, ...]]:
    return {"weight": (a["channels"],), "bias": (a["channels"],)}


def _lenet_c3(a: Arguments) -> dict[str, tuple[int, ...]]:
    return {"weight": (60, 5, 5), "bias": (16,)}


_AFFINE = {"out_features": SIZE, "bias": BIAS, "dtype": DTYPE}
_INPLACE = {"inplace": BOOL}
_CONV_BASE = {"in_channels": SIZE, "out_channels": SIZE, "kernel_size": SIZES, "stride": SIZES, "dilation": SIZES, "groups": SIZE}
_CONV_BASE |= {"bias": BIAS, "padding_mode": _one_of("zeros", "reflect", "replicate", "circular"), "dtype": DTYPE}
_CONV = {**_CONV_BASE, "padding": PADDING}
_CONV_TRANSPOSE = {**_CONV_BASE, "padding": SIZES, "output_padding": SIZES, "padding_mode": _one_of("zeros")}
_POOL = {"kernel_size": SIZE_OR_SIZES, "stride": SIZE_OR_SIZES, "padding": SIZE_OR_SIZES, "ceil_mode": BOOL}
_AVERAGE = {**_POOL, "count_include_pad": BOOL}
_UNPOOL = {"kernel_size": SIZE_OR_SIZES, "stride": SIZE_OR_SIZES, "padding": SIZE_OR_SIZES}
_POWERS = {"norm_type": NUMBER, "kernel_size": SIZE_OR_SIZES, "stride": OUTPUT_SIZE, "ceil_mode": BOOL}
_BLOCKS = {**_UNPOOL, "dilation": SIZE_OR_SIZES}
_RESIZE = {"size": OUTPUT_SIZE, "scale_factor": FACTOR}
_INTERPOLATION = _one_of("nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area")
_NORM = {"num_features": SIZE, "eps": NUMBER, "momentum": NUMBER_OR_NONE, "affine": BOOL, "track_running_stats": BOOL}
_NORM |= {"dtype": DTYPE, "bias": BIAS}
_DROPOUT = {"p": NUMBER, "inplace": BOOL}
_CELL = {"input_size": SIZE, "hidden_size": SIZE, "bias": BOOL, "dtype": DTYPE}
_RECURRENT = {**_CELL, "num_layers": FEW, "batch_first": BOOL, "dropout": NUMBER, "bidirectional": BOOL}
_NONLINEARITY = {"nonlinearity": _one_of("tanh", "relu")}
_TABLE = {"num_embeddings": SIZE, "embedding_dim": SIZE, "padding_idx": INT_OR_NONE, "max_norm": NUMBER_OR_NONE}
_TABLE |= {"norm_type": NUMBER, "scale_grad_by_freq": BOOL, "sparse": BOOL, "dtype": DTYPE}
_DIM = {"dim": INT_OR_NONE}
_MARGIN = {"margin": NUMBER, "reduction": REDUCTION}

_LAYERS = (
    Layer(nn.Linear, {"in_features": SIZE, **_AFFINE}, _linear),
    Layer(nn.Bilinear, {"in1_features": SIZE, "in2_features": SIZE, **_AFFINE}, _bilinear),
    Layer(nn.Maxout, {"in_features": SIZE, "pieces": SIZE, **_AFFINE}, _maxout),
    Layer(nn.PReLU, {"num_parameters": SIZE, "init": NUMBER, "dtype": DTYPE}, _prelu),
    Layer(nn.Embedding, _TABLE, _table),
    Layer(nn.EmbeddingBag, {**_TABLE, "mode": _one_of("sum", "mean", "max"), "include_last_offset": BOOL}, _table),
    *(Layer(cls, _CONV, _conv) for cls in (nn.Conv1d, nn.Conv2d, nn.Conv3d)),
    *(Layer(cls, _CONV_TRANSPOSE, _conv_transpose) for cls in (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)),
    *(
        Layer(cls, {**_POOL, "dilation": SIZE_OR_SIZES, "return_indices": BOOL})
        for cls in (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
    ),
    Layer(nn.AvgPool1d, _AVERAGE),
    *(Layer(cls, {**_AVERAGE, "divisor_override": INT_OR_NONE}) for cls in (nn.AvgPool2d, nn.AvgPool3d)),
    *(Layer(cls, {"output_size": OUTPUT_SIZE}) for cls in (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)),
    *(
        Layer(cls, {"output_size": OUTPUT_SIZE, "return_indices": BOOL})
        for cls in (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
    ),
    *(
        Layer(cls, _NORM, _channels, _statistics)
        for cls in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
    ),
    Layer(
        nn.GroupNorm,
        {"num_groups": SIZE, "num_channels": SIZE, "eps": NUMBER, "affine": BOOL, "dtype": DTYPE, "bias": BIAS},
        _channels,
    ),
    Layer(
        nn.LayerNorm,
        {"normalized_shape": SIZES, "eps": NUMBER, "elementwise_affine": BOOL, "bias": BIAS, "dtype": DTYPE},
        _elementwise,
    ),
    Layer(
        nn.RMSNorm,
        {"normalized_shape": SIZES, "eps": NUMBER_OR_NONE, "elementwise_affine": BOOL, "dtype": DTYPE},
        _elementwise,
    ),
    Layer(nn.LocalResponseNorm, {"size": SIZE, "alpha": NUMBER, "beta": NUMBER, "k": NUMBER}),
    Layer(nn.LocalContrastNorm, {"size": SIZE, "eps": NUMBER}),
    *(Layer(cls, _POWERS) for cls in (nn.LPPool1d, nn.LPPool2d, nn.LPPool3d)),
    *(Layer(cls, _UNPOOL) for cls in (nn.MaxUnpool1d, nn.MaxUnpool2d, nn.MaxUnpool3d)),
    Layer(
        nn.Upsample,
        {**_RESIZE, "mode": _INTERPOLATION, "align_corners": BOOL_OR_NONE, "recompute_scale_factor": BOOL_OR_NONE},
    ),
    *(Layer(cls, _RESIZE) for cls in (nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d)),
    Layer(nn.PixelShuffle, {"upscale_factor": SIZE}),
    Layer(nn.PixelUnshuffle, {"downscale_factor": SIZE}),
    Layer(nn.ChannelShuffle, {"groups": SIZE}),
    Layer(nn.Unfold, _BLOCKS),
    Layer(nn.Fold, {"output_size": SIZE_OR_SIZES, **_BLOCKS}),
    *(
        Layer(getattr(nn, f"{kind}Pad{d}d"), {"padding": SIZES, **({"value": NUMBER} if kind == "Constant" else {})})
        for kind in ("Circular", "Constant", "Reflection", "Replication", "Zero")
        for d in (1, 2, 3)
    ),
    Layer(nn.RNN, {**_RECURRENT, **_NONLINEARITY}, _recurrent(1)),
    Layer(nn.LSTM, {**_RECURRENT, "proj_size": SIZE, "peephole": BOOL}, _recurrent(4)),
    Layer(nn.GRU, _RECURRENT, _recurrent(3)),
    Layer(nn.RNNCell, {**_CELL, **_NONLINEARITY}, _cell(1)),
    Layer(nn.LSTMCell, _CELL, _cell(4)),
    Layer(nn.GRUCell, _CELL, _cell(3)),
    Layer(nn.Flatten, {"start_dim": INT, "end_dim": INT}),
    Layer(nn.Unflatten, {"dim": INT, "unflattened_size": SIZES}),
    *(Layer(cls) for cls in (nn.Identity, nn.LogSigmoid, nn.Sigmoid, nn.Softmax2d, nn.Softsign, nn.Tanh, nn.Tanhshrink)),
    *(Layer(cls, _INPLACE) for cls in (nn.Hardsigmoid, nn.Hardswish, nn.Mish, nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU)),
    *(Layer(cls, {"alpha": NUMBER, **_INPLACE}) for cls in (nn.CELU, nn.ELU)),
    *(Layer(cls, {"lambd": NUMBER}) for cls in (nn.Hardshrink, nn.Softshrink)),
    *(Layer(cls, _DIM) for cls in (nn.LogSoftmax, nn.Softmax, nn.Softmin)),
    *(Layer(cls, _DROPOUT) for cls in (nn.AlphaDropout, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)),
    Layer(nn.FeatureAlphaDropout, _DROPOUT),
    Layer(nn.GELU, {"approximate": _one_of("none", "tanh")}),
    Layer(nn.GLU, {"dim": INT}),
    Layer(nn.Hardtanh, {"min_val": NUMBER, "max_val": NUMBER, **_INPLACE}),
    Layer(nn.LeakyReLU, {"negative_slope": NUMBER, **_INPLACE}),
    Layer(nn.RReLU, {"lower": NUMBER, "upper": NUMBER, **_INPLACE}),
    Layer(nn.Softplus, {"beta": NUMBER, "threshold": NUMBER}),
    Layer(nn.Threshold, {"threshold": NUMBER, "value": NUMBER, **_INPLACE}),
    Layer(nn.CosineSimilarity, {"dim": INT, "eps": NUMBER}),
    Layer(nn.PairwiseDistance, {"p": P_NORM, "eps": NUMBER, "keepdim": BOOL}),
    *(Layer(cls, {"reduction": REDUCTION}) for cls in (nn.L1Loss, nn.MSELoss, nn.MultiLabelMarginLoss, nn.SoftMarginLoss)),
    *(Layer(cls, {"weight": TENSOR, "reduction": REDUCTION}) for cls in (nn.BCELoss, nn.MultiLabelSoftMarginLoss)),
    *(Layer(cls, _MARGIN) for cls in (nn.CosineEmbeddingLoss, nn.HingeEmbeddingLoss, nn.MarginRankingLoss)),
    Layer(nn.BCEWithLogitsLoss, {"weight": TENSOR, "reduction": REDUCTION, "pos_weight": TENSOR}),
    Layer(nn.CrossEntropyLoss, {"weight": TENSOR, "ignore_index": INT, "reduction": REDUCTION, "label_smoothing": NUMBER}),
    Layer(nn.GaussianNLLLoss, {"full": BOOL, "eps": NUMBER, "reduction": REDUCTION}),
    Layer(nn.HuberLoss, {"reduction": REDUCTION, "delta": NUMBER}),
    Layer(nn.KLDivLoss, {"reduction": _one_of("batchmean", "mean", "sum", "none"), "log_target": BOOL}),
    Layer(nn.MultiMarginLoss, {"p": INT, "margin": NUMBER, "weight": TENSOR, "reduction": REDUCTION}),
    Layer(nn.NLLLoss, {"weight": TENSOR, "ignore_index": INT, "reduction": REDUCTION}),
    Layer(nn.PoissonNLLLoss, {"log_input": BOOL, "full": BOOL, "eps": NUMBER, "reduction": REDUCTION}),
    Layer(nn.SmoothL1Loss, {"reduction": REDUCTION, "beta": NUMBER}),
    Layer(nn.TripletMarginLoss, {"p": NUMBER, "eps": NUMBER, "swap": BOOL, **_MARGIN}),
    Layer(ScaledTanh),
    Layer(Subsampling2d, {"channels": SIZE, "dtype": DTYPE}, _subsampling),
    Layer(LeNetC3, {"dtype": DTYPE}, _lenet_c3),
    Layer(RbfOutput, {"codes": TENSOR}),
    Layer(LastSteps, {"window": SIZE}),
    Layer(TeacherForcing, {"ratio": NUMBER}),
    Layer(PadShortcut, {"new_channels": SIZE, "stride": SIZE}),
)


class Network(NamedTuple):
    """A module that computes with its parts alone: what they are called, and which may be missing (None)."""

    cls: type[nn.Module]
    parts: tuple[str, ...]
    optional: tuple[str, ...] = ()

    def check(self, names: Collection[str], where: str) -> None:
        """Raise ValueError unless these are the names of its parts."""
        if not set(self.parts) <= set(names) <= {*self.parts, *self.optional}:
            raise ValueError(f"{where}: expected the parts {', '.join(self.parts)}, got {shortened(sorted(names))}")

    def build(self, parts: dict[str, nn.Module]) -> nn.Module:
        """Make the network of its parts."""
        module = self.cls.__new__(self.cls)
        nn.Module.__init__(module)
        for name in set(self.optional) - set(parts):
            setattr(module, name, None)
        for name, part in parts.items():
            module.add_module(name, part)
        return module


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_COLUMN = _names("features avgpool classifier")
_RESIDUAL = _names("conv1 bn1 relu layer1 layer2 layer3 avgpool fc")
_INCEPTIONS = _names("3a 3b 4a 4b 4c 4d 4e 5a 5b")
_GOOGLENET = (*_names("conv1 maxpool1 conv2 conv3 maxpool2 maxpool3 maxpool4"), *(f"inception{name}" for name in _INCEPTIONS))
_SEQUENCE = ("recurrent", "head"), ("embedding", "dropout")
_NETWORKS = (
    Network(LeNet5, ("features", "head")),
    Network(AlexNet, _COLUMN),
    Network(VGG, _COLUMN),
    Network(GoogLeNet, (*_GOOGLENET, *_names("avgpool dropout fc")), ("aux1", "aux2")),
    Network(Inception, _names("branch1 branch2 branch3 branch4")),
    Network(InceptionAux, _names("avgpool conv fc1 dropout fc2")),
    Network(ResNet, (*_RESIDUAL, "maxpool", "layer4")),
    Network(CifarResNet, _RESIDUAL),
    Network(LuongAttention, ("score", "combine")),
    Network(BahdanauAttention, ("query", "key", "score", "combine")),
    *(Network(cls, *_SEQUENCE) for cls in (SequenceClassifier, SequenceTagger, LanguageModel, Forecaster)),
    Network(EncoderDecoder, _names("source_embedding encoder target_embedding decoder forcing head"), ("attention",)),
    Network(BasicBlock, _names("conv1 bn1 relu conv2 bn2"), ("downsample",)),
    Network(Bottleneck, _names("conv1 bn1 conv2 bn2 conv3 bn3 relu"), ("downsample",)),
)

NETWORKS = {network.cls.__name__: network for network in _NETWORKS}
LAYERS = {layer.cls.__name__: layer for layer in _LAYERS}
CONTAINERS: dict[str, type[nn.Module]] = {cls.__name__: cls for cls in (nn.Sequential, nn.ModuleList, nn.ModuleDict)}
EXCLUDED = {  # public classes of nn that no folder names, and why
    **dict.fromkeys(
        (name for name in nn.__all__ if name.startswith("Lazy")), "it has no shape yet; run the model once on an input"
    ),
    "Module": "it computes nothing by itself",
    "ParameterDict": "its values are no constructor arguments",
    "ParameterList": "its values are no constructor arguments",
    "TripletMarginWithDistanceLoss": "its distance is a function",
}
