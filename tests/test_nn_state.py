"""state_dict and load_state_dict: names, hooks, extra state, one report of all that does not fit."""

from __future__ import annotations

import copy

import dnncore as dnn
import numpy as np
import pytest
from dnncore import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.scale = nn.Parameter(dnn.ones(4))
        self.register_buffer("count", dnn.zeros(1))
        self.register_buffer("scratch", dnn.zeros(1), persistent=False)
        self.plain = 3

    def forward(self, x, *, gain=1.0):
        return self.inner(x) * self.scale * gain


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x))


def test_state_dict_arguments():
    block = Block()
    destination = {"there": 1}
    assert block.state_dict(destination=destination, prefix="b.", keep_vars=True) is destination
    assert list(destination) == ["there", "b.scale", "b.count", "b.inner.weight", "b.inner.bias"]
    assert destination["b.scale"] is block.scale
    assert not block.state_dict()["scale"].requires_grad


def test_state_dict_of_an_overridden_child_is_called():
    class Doubled(nn.Linear):
        def state_dict(self, *args, **kwargs):
            found = super().state_dict(*args, **kwargs)
            found[kwargs["prefix"] + "extra"] = dnn.ones(1)
            return found

    assert list(nn.Sequential(Doubled(1, 1)).state_dict()) == ["0.weight", "0.bias", "0.extra"]


def test_state_hooks():
    block = Block()
    calls = []
    block.inner.register_state_dict_pre_hook(lambda module, prefix, keep_vars: calls.append(prefix))

    def rename(module, state_dict, prefix, metadata):
        state_dict[prefix + "kernel"] = state_dict.pop(prefix + "weight")

    block.inner.register_state_dict_post_hook(rename)
    state = block.state_dict()
    assert calls == ["inner."]
    assert list(state) == ["scale", "count", "inner.bias", "inner.kernel"]

    def back(module, state_dict, prefix, metadata, strict, missing, unexpected, errors):
        state_dict[prefix + "weight"] = state_dict.pop(prefix + "kernel")

    other = Block()
    other.inner.register_load_state_dict_pre_hook(back)
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.inner.weight.detach().numpy(), block.inner.weight.detach().numpy())
    assert "inner.kernel" in state

    def complain(module, state_dict, prefix, metadata, strict, missing, unexpected, errors):
        errors.append(f"{prefix} is too old")

    other.inner.register_load_state_dict_pre_hook(complain)
    with pytest.raises(ValueError, match=r"inner\. is too old"):
        other.load_state_dict(state)


def test_post_hook_may_forgive_names():
    block = Block()
    state = block.state_dict()
    del state["count"]
    with pytest.raises(ValueError, match="count: missing"):
        block.load_state_dict(state)
    block.register_load_state_dict_post_hook(lambda module, keys: keys.missing_keys.clear())
    assert block.load_state_dict(state) == ([], [])
    state["other"] = dnn.ones(1)
    with pytest.raises(ValueError, match="other: unexpected"):
        block.load_state_dict(state)
    block.register_load_state_dict_post_hook(lambda module, keys: 3)
    with pytest.raises(TypeError, match="return None"):
        block.load_state_dict(state, strict=False)


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.seen = {"steps": 0}
        self.weight = nn.Parameter(dnn.ones(1))

    def get_extra_state(self):
        return dict(self.seen)

    def set_extra_state(self, state):
        self.seen = dict(state)


def test_extra_state_travels():
    source, target = nn.Sequential(Counting()), nn.Sequential(Counting())
    source[0].seen["steps"] = 5
    state = source.state_dict()
    assert list(state) == ["0.weight", "0._extra_state"]
    target.load_state_dict(state)
    assert target[0].seen == {"steps": 5}
    del state["0._extra_state"]
    with pytest.raises(ValueError, match="_extra_state: missing, expected the extra state"):
        target.load_state_dict(state)
    with pytest.raises(ValueError, match="_extra_state: unexpected"):
        nn.Sequential(nn.Linear(1, 1)).load_state_dict({**nn.Sequential(nn.Linear(1, 1)).state_dict(), "0._extra_state": 1})
    with pytest.raises(TypeError, match=r"0\.weight: expected a tensor or an array, got NoneType"):
        target.load_state_dict({"0.weight": None, "0._extra_state": {}})

    class Giving(nn.Module):  # nobody takes it back
        def get_extra_state(self):
            return 3

    assert Giving().load_state_dict({}) == ([], [])
    with pytest.raises(ValueError, match="_extra_state: unexpected"):
        Giving().load_state_dict(Giving().state_dict())
    for method in ("get_extra_state", "set_extra_state"):
        with pytest.raises(NotImplementedError, match=method):
            getattr(nn.ReLU(), method)(*[1] * (method == "set_extra_state"))


def test_every_mismatch_is_in_one_report_and_nothing_is_written():
    model = nn.Sequential(nn.Linear(2, 3), Counting())
    before = {key: copy.deepcopy(value) for key, value in model.state_dict().items()}
    state = {"0.weight": dnn.zeros(3, 3), "2.bias": dnn.zeros(1), "0.bias": dnn.zeros(3)}
    with pytest.raises(ValueError, match="Sequential") as caught:
        model.load_state_dict(state)
    assert str(caught.value).splitlines()[1:] == [
        "  0.weight: expected shape (3, 2), got (3, 3)",
        "  1.weight: missing, expected shape (1,)",
        "  1._extra_state: missing, expected the extra state",
        "  2.bias: unexpected",
    ]
    with pytest.raises(ValueError, match=r"0\.weight: expected") as caught:
        model.load_state_dict(state, strict=False)
    assert "missing" not in str(caught.value)
    for key, value in model.state_dict().items():
        assert value == before[key] if key.endswith("_extra_state") else value.equal(before[key])


def test_assign_takes_the_tensors_themselves():
    model, values = Tied(), Tied().double().state_dict()
    frozen = model.first.bias.requires_grad_(False)
    model.load_state_dict(values, assign=True)
    assert model.first.weight.dtype == dnn.float64
    assert model.first.weight.data_ptr() == values["first.weight"].data_ptr()
    assert model.first.weight is model.second.weight
    assert not model.first.bias.requires_grad
    assert model.first.bias is not frozen
    own = nn.Parameter(dnn.ones(3))
    model.load_state_dict({"first.bias": own}, strict=False, assign=True)
    assert model.first.bias is own
    assert not own.requires_grad
    block = Block()
    count = dnn.ones(1)
    block.load_state_dict({"count": count}, strict=False, assign=True)
    assert block.count is count


def test_loading_casts_to_the_dtype_that_stands_here():
    model = nn.Linear(2, 1).double()
    model.load_state_dict({"weight": np.float32([[1, 2]]), "bias": [3]})
    assert model.weight.dtype == dnn.float64
    assert (model.weight.tolist(), model.bias.tolist()) == ([[1.0, 2.0]], [3.0])
    model.load_state_dict(model.state_dict())
    assert model.bias.tolist() == [3.0]
