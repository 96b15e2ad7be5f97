"""Model folders: every layer comes back with the same bits, no failing call loses a model, damaged folders are refused."""

from __future__ import annotations

import hashlib
import inspect
import math
import subprocess
import sys
from pathlib import Path

import dnncore as dnn
import numpy as np
import pytest
from archive_cases import LAYERS, result_of, small, weights_of
from dnncore import nn
from dnncore.model import _layers, _registry, archive


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "model"


# --- The registry is complete


def public_modules() -> dict[str, type[nn.Module]]:
    return {
        name: value
        for name, value in ((name, getattr(nn, name)) for name in nn.__all__)
        if inspect.isclass(value) and issubclass(value, nn.Module)
    }


def test_every_public_module_is_registered_or_excluded():
    known = [*_layers.LAYERS, *_layers.CONTAINERS, *_layers.EXCLUDED]
    assert len(known) == len(set(known))
    of_networks = {name for name, layer in _layers.LAYERS.items() if layer.cls.__module__.startswith("dnncore.models.")}
    assert set(known) - of_networks == set(public_modules())
    assert set(LAYERS) == set(_layers.LAYERS)


@pytest.mark.parametrize("name", _layers.LAYERS)
def test_arguments_are_those_of_the_constructor(name):
    signature = inspect.signature(_layers.LAYERS[name].cls.__init__)
    named = {p.name for p in signature.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    assert set(_layers.LAYERS[name].arguments) == {each for each in named if each[0] != "_"} - {"self", "device"}


@pytest.mark.parametrize("name", _layers.LAYERS)
def test_tensors_are_those_of_the_module(name):
    module = LAYERS[name][0]
    node = _registry.describe(module)
    found = {key: _layers.Slot(tuple(value.shape), value.dtype.name) for key, value in module.state_dict().items()}
    assert _registry.slots(node) == found


# --- Round trips


@pytest.mark.parametrize("name", _layers.LAYERS)
@pytest.mark.parametrize("training", [True, False])
def test_layer_comes_back(folder, name, training):
    module = LAYERS[name][0].train(training)
    expected = result_of(module, name)
    archive.write(folder, module)
    loaded, extra = archive.read(folder)
    assert type(loaded) is type(module)
    if hasattr(loaded, "reset_parameters"):
        assert loaded.reset_parameters.__func__ is type(module).reset_parameters
    assert repr(loaded) == repr(module).replace(
        "alpha=0.3)", f"alpha={float(np.float32(0.3))})" if name == "ELU" else "alpha=0.3)"
    )
    assert loaded.training is training
    assert extra == {}
    assert result_of(loaded, name) == expected


def test_every_layer_in_another_process(tmp_path):
    """One container of all layers: written here, read there, the same bits."""
    whole = nn.ModuleDict({name: module.eval() for name, (module, _) in LAYERS.items()})
    archive.write(tmp_path / "all", whole)
    code = """
import sys
sys.path.insert(0, sys.argv[2])
import hashlib
from dnncore.model import archive
from archive_cases import result_of
module, _ = archive.read(sys.argv[1])
for name, layer in module.items():
    print(name, hashlib.sha256(result_of(layer, name)).hexdigest())
"""
    command = [sys.executable, "-c", code, str(tmp_path / "all"), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = [f"{name} {hashlib.sha256(result_of(module, name)).hexdigest()}" for name, module in whole.items()]
    assert done.stdout.splitlines() == expected
    assert len(expected) == len(_layers.LAYERS)


def test_nested_shared_frozen_and_modes_come_back(folder):
    shared = nn.Linear(4, 4)
    block = nn.Sequential(shared, nn.ReLU())
    model = nn.Sequential(block, nn.Sequential(), nn.ModuleList([block, nn.ModuleDict({"größe": shared})]), shared)
    shared.weight.requires_grad_(False)
    block.eval()
    archive.write(folder, model)
    loaded, _ = archive.read(folder)
    assert list(loaded.state_dict()) == list(model.state_dict())
    assert loaded[0][0] is loaded[3] is loaded[2][1]["größe"]
    assert loaded[2][0] is loaded[0]
    assert [name for name, p in loaded.named_parameters() if not p.requires_grad] == ["0.0.weight"]
    assert [m.training for m in loaded.modules()] == [m.training for m in model.modules()]
    header = weights_of(folder).read_bytes()
    assert header.count(b'"shape"') == 2  # the shared layer is stored once
    x = dnn.randn(3, 4)
    assert loaded[0](x).equal(model[0](x))


def test_names_of_a_sequential_come_back(folder):
    model = nn.Sequential({"first": nn.Linear(3, 2), "then": nn.ReLU()})
    archive.write(folder, model)
    assert list(dict(archive.read(folder)[0].named_children())) == ["first", "then"]
    archive.write(folder, small()[1:])
    assert list(archive.read(folder)[0].state_dict()) == ["2.weight", "2.bias"]


def test_materialised_lazy_layer_and_dtypes(folder):
    model = nn.Sequential(nn.LazyLinear(3), nn.LazyLinear(2))
    model(dnn.zeros(1, 5))
    model[1].to(dnn.bfloat16)
    archive.write(folder, model)
    loaded, _ = archive.read(folder)
    assert [p.dtype for p in loaded.parameters()] == [dnn.float32] * 2 + [dnn.bfloat16] * 2
    assert loaded[0].weight.equal(model[0].weight)
    archive.write(folder, nn.Sequential(nn.Linear(0, 3), nn.Linear(3, 0)))
    assert [tuple(p.shape) for p in archive.read(folder)[0].parameters()] == [(3, 0), (3,), (0, 3), (0,)]


def test_extra_comes_back(folder):
    extra = {
        "history": {"loss": [1.5, -0.0, math.inf, -math.inf], "epoch": [1, 2]},
        "text": 'a "b"\n\u2028 größe \ud800',
        "none": None,
        "flags": [True, False],
        "big": 1 << 70,
        "tuple": (1, (2, 3)),
        "float": np.float64(0.1),
        "": {"deep": [[[{}]]]},
    }
    archive.write(folder, small(), extra)
    loaded = archive.read(folder)[1]
    assert loaded == {**extra, "tuple": [1, [2, 3]]}
    assert math.copysign(1, loaded["history"]["loss"][1]) == -1
    archive.write(folder, small(), {"nan": [math.nan]})
    assert math.isnan(archive.read(folder)[1]["nan"][0])


def test_reading_and_writing_leave_the_generator_alone(folder):
    model = nn.ModuleList([module for module, _ in LAYERS.values()])
    state = dnn.default_generator.get_state()
    archive.write(folder, model)
    archive.read(folder)
    assert dnn.default_generator.get_state().equal(state)


def test_equal_models_make_equal_folders(tmp_path):
    for name in ("a", "b"):
        archive.write(tmp_path / name, small(), {"x": 1})
    a, b = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("a", "b"))
    assert a == b


def test_the_weights_are_readable_by_others(folder):
    model = small()
    archive.write(folder, model)
    loaded = dnn.load(weights_of(folder))
    assert {name: value.tolist() for name, value in loaded.items()} == {k: v.tolist() for k, v in model.state_dict().items()}


# --- What cannot be described


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)


class Sub(nn.Linear):
    pass


def with_hook() -> nn.Module:
    model = small()
    model[1].register_forward_hook(lambda *_: None)
    return model


def with_backward_hook() -> nn.Module:
    model = small()
    model[0].register_full_backward_hook(lambda *_: None)
    return model


def with_own_forward() -> nn.Module:
    model = small()
    model[1].forward = lambda x: x
    return model


def with_more(name: str, value: object) -> nn.Module:
    model = small()
    setattr(model[0], name, value)
    return model


def tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    return model


def deep(levels: int) -> nn.Module:
    module: nn.Module = nn.Linear(1, 1)
    for _ in range(levels):
        module = nn.Sequential(module)
    return module


def circular() -> nn.Module:
    model = nn.ModuleList([nn.Linear(1, 1)])
    model.append(model)
    return model


def loaded_lazy() -> nn.Module:
    lazy = nn.LazyLinear(3)
    lazy.load_state_dict(nn.Linear(2, 3).state_dict())
    return lazy


REFUSED = {
    "a class of the user": (
        lambda: nn.Sequential(nn.Linear(2, 2), Own()),
        r"Own at '1' is no layer of dnncore\.nn.*dnncore\.save",
    ),
    "the root is one": (Own, "Own as the whole model is no layer"),
    "a subclass": (lambda: nn.Sequential(Sub(2, 2)), "Sub at '0' is no layer"),
    "a forward hook": (with_hook, "Tanh at '1' has a hook.*remove"),
    "a backward hook": (with_backward_hook, "Linear at '0' has a hook"),
    "a forward of its own": (with_own_forward, "Tanh at '1' has a forward of its own"),
    "a parametrization": (
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))),
        "ParametrizedLinear at '0' has a parametrization.*remove_parametrizations",
    ),
    "weight_norm in its first form": (lambda: nn.Sequential(nn.utils.weight_norm(nn.Linear(2, 2))), "Linear at '0' has a hook"),
    "a lazy layer": (lambda: nn.Sequential(nn.LazyLinear(2)), "LazyLinear at '0' cannot be described.*run the model once"),
    "a lazy layer with loaded values": (loaded_lazy, "LazyLinear as the whole model.*run the model once"),
    "a parameter more": (
        lambda: with_more("gain", nn.Parameter(dnn.ones(1))),
        r"Linear at '0': expected the tensors bias \(4,\) float32, weight \(4, 5\) float32, got .*gain \(1,\)",
    ),
    "a parameter of another shape": (lambda: with_more("weight", nn.Parameter(dnn.ones(7, 5))), r"weight \(7, 5\)"),
    "a module in a layer": (lambda: with_more("inner", nn.ReLU()), r"modules of its own, \['inner'\]"),
    "a parameter in a container": (lambda: nn.Sequential(nn.ParameterList([dnn.ones(1)])), "ParameterList at '0' cannot"),
    "a tied parameter": (tied, "'1.weight' and '0.weight' are one tensor.*share the module"),
    "a changed argument": (
        lambda: with_more("in_features", "5"),
        "expected in_features as a whole number of at least 0, got '5'",
    ),
    "65 levels": (lambda: deep(66), "more than 64 containers deep"),
    "a circle": (circular, "expected the path of a module before it"),
    "a distance function": (lambda: nn.TripletMarginWithDistanceLoss(), "its distance is a function"),
    "a bare module": (nn.Module, "it computes nothing"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_write_refuses(folder, name):
    make, match = REFUSED[name]
    with pytest.raises(ValueError, match=f"(?s)^write: .*{match}"):
        archive.write(folder, make())
    assert not folder.exists()


@pytest.mark.parametrize(
    ("extra", "error", "match"),
    [
        ([], TypeError, "expected extra as a dict, got list"),
        ({"a": [1, {2}]}, TypeError, r"extra\.a\[1\]: expected None, bool, int, float, str, list or dict, got set"),
        ({"a": {1: 2}}, TypeError, "keys of type str"),
        ({"$float": 1}, TypeError, r"other than '\$float'"),
        ({"a": np.int64(3)}, TypeError, "got int64"),
        ({"a": dnn.ones(1)}, TypeError, "got Tensor"),
        ({"a": "x" * (1 << 24)}, ValueError, "keep less in extra"),
    ],
)
def test_write_refuses_extra(folder, extra, error, match):
    with pytest.raises(error, match=f"^write: .*{match}"):
        archive.write(folder, small(), extra)
    assert not folder.exists()


def test_write_refuses_endless_extra_and_no_module(folder):
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="at most 64 levels"):
        archive.write(folder, small(), {"a": endless})
    with pytest.raises(TypeError, match=r"^write: expected a Module, got OrderedDict"):
        archive.write(folder, small().state_dict())


# --- Folders of other versions


def test_a_folder_of_format_version_1():
    """Written by dnncore 0.1.0; every later version reads it with the same predictions."""
    module, extra = archive.read(Path(__file__).parent / "golden" / "model-1")
    assert [type(part).__name__ for part in module] == ["Linear", "Hardtanh", "Sequential", "Sequential", "Maxout", "Softmax"]
    assert module[2] is module[3]
    assert module[1].min_val == -math.inf
    assert [name for name, p in module.named_parameters() if not p.requires_grad] == ["0.weight"]
    assert not any(part.training for part in module.modules())
    assert math.isnan(extra["loss"][1])
    np.testing.assert_allclose(module(dnn.tensor(extra["x"])).detach().numpy(), extra["y"], rtol=0, atol=1e-6)
