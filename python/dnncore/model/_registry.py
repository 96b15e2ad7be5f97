"""The closed registry of layers a model folder may name: constructor arguments out of modules, modules out of them.

A module is described by ``{"class": name, "arguments": {...}}``, a container by ``{"class": name, "modules": {...}}``, a
module that stands in several places by ``{"shared": path}`` in all but the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from dnncore import _core, nn
from dnncore.nn.module import _HOOKS as HOOKS
from dnncore.nn.parameter import is_lazy

DEPTH_CAP = 64  # containers in containers
MODULE_CAP = 100_000
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
    return str(module._parameters["weight"].dtype.name)  # type: ignore[union-attr]


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


def _one_of(*texts: str) -> Kind:
    return Kind("one of " + ", ".join(map(repr, texts)), lambda value: isinstance(value, str) and value in texts)


BOOL = Kind("true or false", lambda value: type(value) is bool)
INT = Kind("a whole number", _is_int)
INT_OR_NONE = Kind("a whole number or null", lambda value: value is None or _is_int(value))
SIZE = Kind("a whole number of at least 0", _is_size)
SIZES = Kind("a list of whole numbers", _is_sizes, make=tuple)
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
PADDING = Kind(
    "a list of whole numbers, 'same' or 'valid'",
    lambda value: _is_sizes(value) or (isinstance(value, str) and value in ("same", "valid")),
    make=lambda value: value if isinstance(value, str) else tuple(value),
)
P_NORM = Kind(NUMBER.says, NUMBER.fits, read=lambda module, name: _plain(module, "norm"))


# --- The registry


def _no_parameters(arguments: Arguments) -> dict[str, tuple[int, ...]]:
    return {}


@dataclass(frozen=True)
class Layer:
    """A layer of the registry: its class, the arguments of its constructor, and the shapes of the parameters they give."""

    cls: type[nn.Module]
    arguments: dict[str, Kind] = field(default_factory=dict)
    parameters: Callable[[Arguments], dict[str, tuple[int, ...]]] = _no_parameters

    def slots(self, arguments: Arguments) -> dict[str, Slot]:
        """Return what the parameters and buffers of such a layer must be."""
        own = {name: Slot(shape, arguments["dtype"]) for name, shape in self.parameters(arguments).items()}
        given = {name: arguments[name] for name, kind in self.arguments.items() if kind is TENSOR and arguments[name]}
        return own | {name: Slot(tuple(slot["shape"]), slot["dtype"]) for name, slot in given.items()}

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


def _conv(a: Arguments) -> dict[str, tuple[int, ...]]:
    return _affine(a, (a["out_channels"], a["in_channels"] // max(a["groups"], 1), *a["kernel_size"]))


def _conv_transpose(a: Arguments) -> dict[str, tuple[int, ...]]:
    weight = (a["in_channels"], a["out_channels"] // max(a["groups"], 1), *a["kernel_size"])
    return {"weight": weight, "bias": (a["out_channels"],)} if a["bias"] else {"weight": weight}


def _prelu(a: Arguments) -> dict[str, tuple[int, ...]]:
    return {"weight": (a["num_parameters"],)}


_AFFINE = {"out_features": SIZE, "bias": BIAS, "dtype": DTYPE}
_CHANNELS = {"in_channels": SIZE, "out_channels": SIZE, "kernel_size": SIZES, "stride": SIZES}
_FILTERS = {"dilation": SIZES, "groups": SIZE, "bias": BIAS, "dtype": DTYPE}
_CONV = {**_CHANNELS, **_FILTERS, "padding": PADDING, "padding_mode": _one_of("zeros", "reflect", "replicate", "circular")}
_TRANSPOSED = {**_CHANNELS, **_FILTERS, "padding": SIZES, "output_padding": SIZES, "padding_mode": _one_of("zeros")}
_INPLACE = {"inplace": BOOL}
_DROPOUT = {"p": NUMBER, "inplace": BOOL}
_DIM = {"dim": INT_OR_NONE}
_MARGIN = {"margin": NUMBER, "reduction": REDUCTION}

_LAYERS = (
    Layer(nn.Linear, {"in_features": SIZE, **_AFFINE}, _linear),
    Layer(nn.Bilinear, {"in1_features": SIZE, "in2_features": SIZE, **_AFFINE}, _bilinear),
    Layer(nn.Maxout, {"in_features": SIZE, "pieces": SIZE, **_AFFINE}, _maxout),
    *(Layer(cls, _CONV, _conv) for cls in (nn.Conv1d, nn.Conv2d, nn.Conv3d)),
    *(Layer(cls, _TRANSPOSED, _conv_transpose) for cls in (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)),
    Layer(nn.PReLU, {"num_parameters": SIZE, "init": NUMBER, "dtype": DTYPE}, _prelu),
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
)

LAYERS = {layer.cls.__name__: layer for layer in _LAYERS}
CONTAINERS: dict[str, type[nn.Module]] = {cls.__name__: cls for cls in (nn.Sequential, nn.ModuleList, nn.ModuleDict)}
_LAZY = "it has no shape yet; run the model once on an input"
EXCLUDED = {  # public classes of nn that no folder names, and why
    **{f"Lazy{kind}{d}d": _LAZY for kind in ("Conv", "ConvTranspose") for d in (1, 2, 3)},
    "LazyLinear": _LAZY,
    "Module": "it computes nothing by itself",
    "ParameterDict": "its values are no constructor arguments",
    "ParameterList": "its values are no constructor arguments",
    "TripletMarginWithDistanceLoss": "its distance is a function",
}


# --- From a module to its description


def describe(module: nn.Module) -> Node:
    """Return the description of a module, or raise ValueError that names the part which has none."""
    return _describe(module, "", {}, 0)


def _describe(module: Any, path: str, seen: dict[int, str], depth: int) -> Node:
    if id(module) in seen:
        return {"shared": seen[id(module)]}
    seen[id(module)] = path
    name, at = type(module).__name__, f"at {path!r}" if path else "as the whole model"
    _check_describable(module, name, at)
    if depth > DEPTH_CAP:
        raise ValueError(f"{name} {at} lies more than {DEPTH_CAP} containers deep")
    if name in CONTAINERS:
        children = {key: _describe(child, _joined(path, key), seen, depth + 1) for key, child in module._modules.items()}
        return {"class": name, "modules": children}
    layer = LAYERS[name]
    arguments = {argument: kind.read(module, argument) for argument, kind in layer.arguments.items()}
    _check_arguments(layer, arguments, f"{name} {at}")
    own = {key: value for key, value in (*module._parameters.items(), *module._buffers.items()) if value is not None}
    found = {key: Slot(tuple(value.shape), value.dtype.name) for key, value in own.items()}
    if found != layer.slots(arguments):
        raise ValueError(f"{name} {at}: expected the tensors {_listed(layer.slots(arguments))}, got {_listed(found)}")
    return {"class": name, "arguments": arguments}


def _check_describable(module: Any, name: str, at: str) -> None:
    known: Any = CONTAINERS.get(name) or (LAYERS[name].cls if name in LAYERS else None)
    if hasattr(type(module), "_plain_class"):
        raise ValueError(
            f"{name} {at} has a parametrization, which a folder cannot hold; see nn.utils.parametrize.remove_parametrizations"
        )
    if type(module) is getattr(nn, name, None) and name in EXCLUDED:
        raise ValueError(f"{name} {at} cannot be described: {EXCLUDED[name]}")
    if type(module) is not known:
        raise ValueError(
            f"{name} {at} is no layer of dnncore.nn, and a folder names no other; keep the weights with "
            "dnncore.save(module.state_dict(), path), make the module in code and call load_state_dict(dnncore.load(path))"
        )
    if "forward" in module.__dict__:
        raise ValueError(f"{name} {at} has a forward of its own, which a folder cannot hold")
    if any(getattr(module, hooks) for hooks in HOOKS):
        raise ValueError(f"{name} {at} has a hook, which a folder cannot hold; take it away with the handle's remove()")
    if any(is_lazy(value) for value in module._parameters.values()):
        raise ValueError(f"{name} {at} has a parameter without a shape; run the model once on an input")
    if name in CONTAINERS and (module._parameters or module._buffers or None in module._modules.values()):
        raise ValueError(f"{name} {at} holds more than modules, which a folder cannot describe")
    if name in LAYERS and module._modules:
        raise ValueError(f"{name} {at} has modules of its own, {sorted(module._modules)}, which its class has not")


def _listed(slots: dict[str, Slot]) -> str:
    return ", ".join(f"{name} {slot.shape} {slot.dtype}" for name, slot in sorted(slots.items())) or "none"


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


# --- From a description to a module


class Part(NamedTuple):
    """A layer somewhere in a description."""

    path: str
    layer: Layer
    arguments: Arguments


def parts(node: Any) -> Iterator[Part]:
    """Yield the layers of a description that may come from anywhere; ValueError where it is none."""
    done: set[str] = set()
    yield from _parts(node, "", done, 0)


def _parts(node: Any, path: str, done: set[str], depth: int) -> Iterator[Part]:
    at = f"at {path[:80]!r}"
    if not isinstance(node, dict) or depth > DEPTH_CAP or len(done) > MODULE_CAP:
        raise ValueError(f"{at}: expected at most {MODULE_CAP} objects that describe modules, {DEPTH_CAP} deep")
    if set(node) == {"shared"}:
        if not isinstance(node["shared"], str) or node["shared"] not in done:
            raise ValueError(f"{at}: expected the path of a module before it, got {_short(node['shared'])}")
        return
    if set(node) == {"class", "modules"} and isinstance(node["class"], str) and node["class"] in CONTAINERS:
        if not isinstance(node["modules"], dict):
            raise ValueError(f"{at}: expected an object of modules, got {_short(node['modules'])}")
        for name, child in node["modules"].items():
            if not name or "." in name:
                raise ValueError(f"{at}: expected names of modules that are not empty and have no dot, got {_short(name)}")
            yield from _parts(child, _joined(path, name), done, depth + 1)
    elif set(node) == {"class", "arguments"} and isinstance(node["class"], str) and node["class"] in LAYERS:
        layer, arguments = LAYERS[node["class"]], node["arguments"]
        if not isinstance(arguments, dict) or set(arguments) != set(layer.arguments):
            raise ValueError(f"{at}: expected the arguments {', '.join(layer.arguments) or 'none'}, got {_short(arguments)}")
        _check_arguments(layer, arguments, f"{node['class']} {at}")
        yield Part(path, layer, arguments)
    else:
        raise ValueError(f"{at}: expected the class of a layer or container of dnncore.nn, got {_short(node)}")
    done.add(path)


def _check_arguments(layer: Layer, arguments: Arguments, where: str) -> None:
    for name, kind in layer.arguments.items():
        if not kind.fits(arguments[name]):
            raise ValueError(f"{where}: expected {name} as {kind.says}, got {_short(arguments[name])}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def slots(node: Any) -> dict[str, Slot]:
    """Return what the tensors of a described module must be, by dotted name; nothing is allocated."""
    return {_joined(part.path, name): slot for part in parts(node) for name, slot in part.layer.slots(part.arguments).items()}


def build(node: Node) -> nn.Module:
    """Make the module of a description that `parts` accepts; its parameters have no values yet."""
    return _build(node, "", {})


def _build(node: Node, path: str, built: dict[str, nn.Module]) -> nn.Module:
    if "shared" in node:
        return built[node["shared"]]
    if "arguments" in node:
        try:
            built[path] = LAYERS[node["class"]].build(node["arguments"])
        except (ValueError, TypeError) as error:
            raise ValueError(f"at {path[:80]!r}: {error}") from error
        return built[path]
    container = CONTAINERS[node["class"]]()
    for name, child in node["modules"].items():
        try:
            container.add_module(name, _build(child, _joined(path, name), built))
        except KeyError as error:
            raise ValueError(f"at {path[:80]!r}: {error.args[0]}") from error
    built[path] = container
    return container


# --- JSON has no NaN

_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_KEY = "$float"


def to_json(value: Any, path: str = "extra", depth: int = 0) -> Any:
    """Return `value` with what JSON has not written in its terms: ``{"$float": "nan"}``; ValueError or TypeError if it cannot."""
    if depth > DEPTH_CAP:
        raise ValueError(f"{path[:80]}: expected at most {DEPTH_CAP} levels")
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_KEY: str(float(value))}
    if isinstance(value, (list, tuple)):
        return [to_json(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if type(key) is not str or key == _KEY:
                raise TypeError(f"{path[:80]}: expected keys of type str other than {_KEY!r}, got {_short(key)}")
        return {key: to_json(item, f"{path}.{key}", depth + 1) for key, item in value.items()}
    raise TypeError(f"{path[:80]}: expected None, bool, int, float, str, list or dict, got {type(value).__name__}")


def from_json(value: dict[str, Any]) -> Any:
    """Undo `to_json` in one object."""
    if _KEY not in value:
        return value
    text = value[_KEY]
    if len(value) != 1 or not isinstance(text, str) or text not in _SPECIAL:
        raise ValueError(f"is damaged: expected {_KEY!r} alone with one of {', '.join(_SPECIAL)}, got {_short(value)}")
    return _SPECIAL[text]
