"""The closed registry of layers a model folder may name: constructor arguments out of modules, modules out of them.

A module is described by ``{"class": name, "arguments": {...}}``, a container or a network of `dnncore.models` by
``{"class": name, "modules": {...}}``, a module that stands in several places by ``{"shared": path}`` in all but the first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from dnncore import nn
from dnncore.model._layers import CONTAINERS, EXCLUDED, LAYERS, NETWORKS, Arguments, Layer, Node, Slot, shortened
from dnncore.nn.module import _HOOKS as HOOKS
from dnncore.nn.parameter import is_lazy

DEPTH_CAP = 64  # containers in containers
MODULE_CAP = 100_000
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
    if name in CONTAINERS or name in NETWORKS:
        parts = {key: child for key, child in module._modules.items() if child is not None}
        if name in NETWORKS:
            NETWORKS[name].check(parts, f"{name} {at}")
        children = {key: _describe(child, _joined(path, key), seen, depth + 1) for key, child in parts.items()}
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
    known: Any = CONTAINERS.get(name) or next((table[name].cls for table in (LAYERS, NETWORKS) if name in table), None)
    if hasattr(type(module), "_plain_class"):
        raise ValueError(
            f"{name} {at} has a parametrization, which a folder cannot hold; see nn.utils.parametrize.remove_parametrizations"
        )
    if type(module) is getattr(nn, name, None) and name in EXCLUDED:
        raise ValueError(f"{name} {at} cannot be described: {EXCLUDED[name]}")
    if type(module) is not known:
        raise ValueError(
            f"{name} {at} is no layer of dnncore.nn or network of dnncore.models, and a folder names no other; keep the weights "
            "with dnncore.save(module.state_dict(), path), make the module in code and call load_state_dict(dnncore.load(path))"
        )
    if "forward" in module.__dict__:
        raise ValueError(f"{name} {at} has a forward of its own, which a folder cannot hold")
    if any(getattr(module, hooks) for hooks in HOOKS):
        raise ValueError(f"{name} {at} has a hook, which a folder cannot hold; take it away with the handle's remove()")
    if any(is_lazy(value) for value in module._parameters.values()):
        raise ValueError(f"{name} {at} has a parameter without a shape; run the model once on an input")
    if name not in LAYERS and (
        module._parameters or module._buffers or (name in CONTAINERS and None in module._modules.values())
    ):
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
            raise ValueError(f"{at}: expected the path of a module before it, got {shortened(node['shared'])}")
        return
    if set(node) == {"class", "modules"} and isinstance(node["class"], str) and node["class"] in {**CONTAINERS, **NETWORKS}:
        if not isinstance(node["modules"], dict):
            raise ValueError(f"{at}: expected an object of modules, got {shortened(node['modules'])}")
        if node["class"] in NETWORKS:
            NETWORKS[node["class"]].check(node["modules"], f"{node['class']} {at}")
        for name, child in node["modules"].items():
            if not name or "." in name:
                raise ValueError(f"{at}: expected names of modules that are not empty and have no dot, got {shortened(name)}")
            yield from _parts(child, _joined(path, name), done, depth + 1)
    elif set(node) == {"class", "arguments"} and isinstance(node["class"], str) and node["class"] in LAYERS:
        layer, arguments = LAYERS[node["class"]], node["arguments"]
        if not isinstance(arguments, dict) or set(arguments) != set(layer.arguments):
            raise ValueError(f"{at}: expected the arguments {', '.join(layer.arguments) or 'none'}, got {shortened(arguments)}")
        _check_arguments(layer, arguments, f"{node['class']} {at}")
        yield Part(path, layer, arguments)
    else:
        raise ValueError(f"{at}: expected the class of a layer, container or network of dnncore, got {shortened(node)}")
    done.add(path)


def _check_arguments(layer: Layer, arguments: Arguments, where: str) -> None:
    for name, kind in layer.arguments.items():
        if not kind.fits(arguments[name]):
            raise ValueError(f"{where}: expected {name} as {kind.says}, got {shortened(arguments[name])}")


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
    children = {name: _build(child, _joined(path, name), built) for name, child in node["modules"].items()}
    if node["class"] in NETWORKS:
        built[path] = NETWORKS[node["class"]].build(children)
        return built[path]
    container = CONTAINERS[node["class"]]()
    for name, child in children.items():
        try:
            container.add_module(name, child)
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
                raise TypeError(f"{path[:80]}: expected keys of type str other than {_KEY!r}, got {shortened(key)}")
        return {key: to_json(item, f"{path}.{key}", depth + 1) for key, item in value.items()}
    raise TypeError(f"{path[:80]}: expected None, bool, int, float, str, list or dict, got {type(value).__name__}")


def from_json(value: dict[str, Any]) -> Any:
    """Undo `to_json` in one object."""
    if _KEY not in value:
        return value
    text = value[_KEY]
    if len(value) != 1 or not isinstance(text, str) or text not in _SPECIAL:
        raise ValueError(f"is damaged: expected {_KEY!r} alone with one of {', '.join(_SPECIAL)}, got {shortened(value)}")
    return _SPECIAL[text]
