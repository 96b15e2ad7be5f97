"""Containers of modules and of parameters."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import dnncore as dnn
import numpy as np
import pytest
from cases import GOLDEN
from dnncore import nn

EXPECTED = dict(np.load(GOLDEN / "nn.npz"))


def types(modules) -> list[str]:
    return [type(module).__name__ for module in modules]


MADE = {
    "weight_norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 3)),
    "spectral_norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(2, 3)),
    "bilinear": lambda: nn.Bilinear(2, 3, 4),
    "slice": lambda: nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))[1:],
    "module dict": lambda: nn.ModuleDict({"b": nn.Linear(1, 1), "a": nn.Bilinear(1, 1, 1)}),
    "parameter list": lambda: nn.ParameterList([dnn.ones(1), dnn.ones(2)]),
    "parameter dict": lambda: nn.ParameterDict({"b": dnn.ones(1), "a": dnn.ones(2)}),
    "lazy": lambda: nn.Sequential(nn.LazyLinear(3), nn.ReLU()),
}


@pytest.mark.parametrize("name", MADE)
def test_keys_of_the_state_and_text_are_pytorchs(name):
    module = MADE[name]()
    keys = list(module.state_dict())
    if name == "parameter dict":  # PyTorch sorts the names of a plain dict, here their order is kept
        keys = sorted(keys)
    assert keys == EXPECTED[f"keys/{name}"].tolist()
    if not name.startswith("parameter"):  # those lines name the tensor's type, which is the library's own
        assert repr(module) == str(EXPECTED[f"repr/{name}"])


# --- Sequential


def test_slices_of_a_sequential_keep_their_names():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    tail = model[1:]
    assert isinstance(tail, nn.Sequential)
    assert list(tail.state_dict()) == ["2.weight", "2.bias"]
    assert tail[0] is model[1]
    assert list(dict(model[::-1].named_children())) == ["2", "1", "0"]
    tail.append(nn.Tanh())
    assert types(tail) == ["ReLU", "Linear", "Tanh"]
    assert list(dict(tail.named_children())) == ["1", "2", "3"]
    tail.load_state_dict({"2.weight": dnn.ones(1, 3), "2.bias": dnn.ones(1)})
    assert model[2].bias.item() == 1.0


def test_sequential_edits():
    model = nn.Sequential(nn.ReLU(), nn.Tanh())
    assert model.insert(1, nn.Sigmoid()) is model
    assert types(model.insert(-1, nn.GELU())) == ["ReLU", "Sigmoid", "GELU", "Tanh"]
    assert list(dict(model.named_children())) == ["0", "1", "2", "3"]
    assert types([model.pop(1)]) == ["Sigmoid"]
    assert types(model.pop(slice(0, 2))) == ["ReLU", "GELU"]
    assert types(model) == ["Tanh"]
    joined = model + nn.Sequential(nn.ReLU())
    assert types(joined) == ["Tanh", "ReLU"]
    assert joined[0] is model[0]
    same = joined
    joined += nn.Sequential(nn.GELU())
    assert joined is same
    assert types(joined) == ["Tanh", "ReLU", "GELU"]
    assert types(2 * model) == ["Tanh", "Tanh"]
    assert types(model * 3) == ["Tanh"] * 3
    model *= 2
    assert model[0] is model[1]
    assert model[0] in model
    assert nn.ReLU() not in model
    assert types(reversed(joined)) == ["GELU", "ReLU", "Tanh"]
    assert types(nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh())).extend(model)) == ["ReLU", "Tanh", "Tanh", "Tanh"]
    del joined[::2]
    assert types(joined) == ["ReLU"]
    assert types([joined[np.int64(0)]]) == ["ReLU"]
    assert nn.Sequential()(5) == 5


@pytest.mark.parametrize(
    ("act", "error", "match"),
    [
        (lambda m: m.insert(4, nn.ReLU()), IndexError, "out of range"),
        (lambda m: m.insert(0, 3), TypeError, "expected modules"),
        (lambda m: m.append(3), TypeError, "expected nn.Module"),
        (lambda m: m.extend([3]), TypeError, "expected nn.Module"),
        (lambda m: m + [nn.ReLU()], TypeError, "Sequential to add"),  # noqa: RUF005
        (lambda m: m * 0, ValueError, "at least 1"),
        (lambda m: m * 1.5, TypeError, "int to multiply"),
        (lambda m: m[2], IndexError, "out of range for 2"),
        (lambda m: m["0"], TypeError, "str"),
        (lambda m: m.pop(-3), IndexError, "out of range for 2"),
        (lambda m: m.__setitem__(0, 3), TypeError, "expected nn.Module"),
        (lambda m: m.__delitem__(5), IndexError, "out of range"),
    ],
)
@pytest.mark.parametrize("kind", ["Sequential", "ModuleList"])
def test_misuse_changes_nothing(kind, act, error, match):
    modules = [nn.ReLU(), nn.Tanh()]
    container = nn.Sequential(*modules) if kind == "Sequential" else nn.ModuleList(modules)
    if kind == "ModuleList" and match in ("Sequential to add", "at least 1", "int to multiply"):
        return
    with pytest.raises(error, match=match):
        act(container)
    assert types(container) == ["ReLU", "Tanh"]


# --- ModuleList


def test_module_list_edits():
    layers = nn.ModuleList([nn.ReLU(), nn.Tanh()])
    layers += [nn.GELU()]
    assert types(layers + [nn.ReLU()]) == ["ReLU", "Tanh", "GELU", "ReLU"]  # noqa: RUF005
    layers[-1] = nn.Sigmoid()
    assert types(layers) == ["ReLU", "Tanh", "Sigmoid"]
    assert types([layers.pop(0)]) == ["ReLU"]
    assert list(dict(layers.named_children())) == ["0", "1"]
    part = layers[1:]
    assert list(dict(part.named_children())) == ["0"]
    assert isinstance(part, nn.ModuleList)
    assert types(layers.extend(layers)) == ["Tanh", "Sigmoid", "Tanh", "Sigmoid"]
    with pytest.raises(TypeError, match="iterable of modules"):
        layers.extend(3)
    with pytest.raises(NotImplementedError, match="forward"):
        layers(1)


# --- ModuleDict


def test_module_dict_is_a_dict():
    parts = nn.ModuleDict([("a", nn.ReLU()), ["b", nn.Tanh()]])
    assert list(parts) == list(parts.keys()) == ["a", "b"]
    assert types(parts.values()) == ["ReLU", "Tanh"]
    assert dict(parts.items())["b"] is parts["b"] is parts.b
    assert "a" in parts
    assert len(parts) == 2
    parts["a"] = nn.GELU()
    assert types(parts.values()) == ["GELU", "Tanh"]
    assert types([parts.pop("a")]) == ["GELU"]
    parts.update(nn.ModuleDict({"c": nn.ReLU()}))
    del parts["b"]
    assert list(parts) == ["c"]
    parts.clear()
    assert len(parts) == 0
    for act, error in (
        (lambda: parts["x"], KeyError),
        (lambda: parts.pop("x"), KeyError),
        (lambda: parts.update(3), TypeError),
        (lambda: parts.update(["ab", 3]), TypeError),
        (lambda: parts.update({"a": 3}), TypeError),
        (lambda: parts.__setitem__("keys", nn.ReLU()), KeyError),
        (lambda: parts.__setitem__(3, nn.ReLU()), TypeError),
    ):
        with pytest.raises(error):
            act()


# --- Parameters


def test_parameter_list():
    first = nn.Parameter(dnn.zeros(2))
    values = nn.ParameterList([first, dnn.ones(3)])
    assert values[0] is first
    assert isinstance(values[1], nn.Parameter)
    values.append(dnn.ones(1)).extend([dnn.ones(4)])
    values += [dnn.ones(5)]
    assert [value.numel() for value in values] == [2, 3, 1, 4, 5]
    assert values[-1].numel() == len(values) == 5
    values[1] = dnn.zeros(7)
    assert values[1].numel() == 7
    assert [value.numel() for value in values[1:3]] == [7, 1]
    assert len(list(values.parameters())) == 5
    assert list(values.state_dict()) == ["0", "1", "2", "3", "4"]
    assert "Parameter containing: [dnncore.float32 of size 2]" in repr(values)
    for act, error in (
        (lambda: values[5], IndexError),
        (lambda: values.extend(3), TypeError),
        (lambda: values.extend(dnn.ones(2)), TypeError),
        (lambda: values["a"], TypeError),
    ):
        with pytest.raises(error):
            act()


def test_parameter_dict():
    values = nn.ParameterDict({"b": dnn.ones(1), "a": dnn.ones(2)})
    assert list(values) == ["b", "a"]
    assert list(reversed(values)) == ["a", "b"]
    assert values["a"] is values.a
    assert isinstance(values["a"], nn.Parameter)
    values["c"] = dnn.ones(3)
    assert values.setdefault("c", dnn.ones(9)).numel() == 3
    assert values.get("d") is None
    assert values.get("d", 5) == 5
    assert [value.numel() for value in values.values()] == [1, 2, 3]
    assert values.pop("b").numel() == 1
    assert "b" not in values
    assert values.popitem()[0] == "c"
    twin = values.copy()
    assert twin["a"] is values["a"]
    joined = values | {"z": dnn.ones(4)}
    assert list(joined) == ["a", "z"]
    assert list({"y": dnn.ones(1)} | values) == ["y", "a"]
    values |= {"q": dnn.ones(1)}
    assert list(values.state_dict()) == ["a", "q"]
    assert list(values.fromkeys(["m", "n"])) == ["m", "n"]
    del values["q"]
    values.clear()
    assert len(values) == 0
    assert list(values.parameters()) == []
    for act, error in (
        (lambda: values["a"], KeyError),
        (lambda: values.popitem(), KeyError),
        (lambda: values.pop("a"), KeyError),
        (lambda: values.update(3), TypeError),
        (lambda: values.update([1]), TypeError),
        (lambda: values.__setitem__(3, dnn.ones(1)), TypeError),
        (lambda: values.__setitem__("keys", dnn.ones(1)), KeyError),
    ):
        with pytest.raises(error):
            act()


ORDERS = {
    "dict": dict,
    "ordered": OrderedDict,
    "pairs": list,
    "pairs of lists": lambda pairs: [list(pair) for pair in pairs],
    "iterator": iter,
    "container": lambda pairs: nn.ParameterDict(pairs),
}


@pytest.mark.parametrize("kind", ORDERS)
def test_parameter_dict_keeps_the_order_it_is_given(kind):
    def named(*names):
        return ORDERS[kind]([(name, dnn.full((1,), float(ord(name)))) for name in names])

    values = nn.ParameterDict(named("d", "a", "c"))
    assert list(values) == list(values.keys()) == [name for name, _ in values.items()] == ["d", "a", "c"]
    assert [name for name, _ in values.named_parameters()] == ["d", "a", "c"]
    values.update(named("z", "a", "b"))  # a name that is there keeps its place
    assert list(values) == ["d", "a", "c", "z", "b"]
    assert [value.item() for value in values.values()] == [float(ord(name)) for name in "daczb"]
    assert list(values | nn.ParameterDict(named("y", "d"))) == ["d", "a", "c", "z", "b", "y"]
    assert list(reversed(values)) == ["b", "z", "c", "a", "d"]
    assert [name for name, _ in values.copy().named_parameters()] == ["d", "a", "c", "z", "b"]
    del values["a"]
    values["a"] = dnn.ones(1)
    assert list(values) == ["d", "c", "z", "b", "a"]
    assert values.popitem()[0] == "a"


def test_parameter_dict_methods():
    class Scales(nn.ParameterDict):
        pass

    buffer, parameter = nn.Buffer(dnn.ones(1)), nn.Parameter(dnn.ones(2))
    values = Scales({"p": parameter, "text": "x", "none": None})
    assert values["p"] is parameter
    assert (values["text"], values.get("none", 3), "none" in values) == ("x", None, True)
    assert list(dict(values.named_parameters())) == ["p"]
    twin = values.copy()
    assert type(twin) is type(values | {}) is Scales
    twin["q"] = dnn.ones(1)
    assert "q" not in values
    assert values.setdefault("q", dnn.ones(3)) is values["q"]
    assert isinstance(values["q"], nn.Parameter)
    assert values.setdefault("r") is None
    made = nn.ParameterDict().fromkeys("ab", dnn.ones(1))
    assert made["a"] is not made["b"]
    assert nn.ParameterDict().fromkeys(["a"]).get("a", 1) is None
    right = nn.ParameterDict({"p": buffer})
    assert (values | right)["p"] is not parameter
    before = values
    values |= right
    assert values is before
    assert values["p"] is not parameter
    with pytest.raises(ValueError, match="pairs of a name and a value, got 3 items at place 0"):
        values.update([("a", 1, 2)])
    with pytest.raises(ValueError, match="pairs of a name and a module, got 1 items at place 1"):
        nn.ModuleDict([("a", nn.ReLU()), ["b"]])


@pytest.mark.parametrize("name", [name for name in MADE if "norm" not in name])
def test_containers_are_copied_and_pickled(name):
    module = MADE[name]()
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert repr(twin) == repr(module)
        assert list(twin.state_dict()) == list(module.state_dict())
        assert not {id(p) for p in twin.parameters()} & {id(p) for p in module.parameters()}
