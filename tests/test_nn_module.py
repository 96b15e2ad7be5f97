"""Module's own rules: names and attributes, hooks, casts, copies; PyTorch's behaviour unless a test says otherwise."""

from __future__ import annotations

import copy
import pickle
import warnings

import dnncore as dnn
import numpy as np
import pytest
from dnncore import nn
from dnncore.nn._hooks import Hook
from dnncore.nn.module import Module


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


# --- Names and attributes


@pytest.mark.parametrize("taken", ["plain", "count", "inner", "forward", "training"])
@pytest.mark.parametrize(
    "register",
    [
        lambda m, name: m.register_parameter(name, nn.Parameter(dnn.ones(1))),
        lambda m, name: m.register_buffer(name, dnn.ones(1)),
        lambda m, name: m.add_module(name, nn.ReLU()),
    ],
    ids=["parameter", "buffer", "module"],
)
def test_registration_never_takes_the_name_of_another_kind(register, taken, request):
    kind = request.node.callspec.id.split("-")[0]
    block = Block()
    if (kind, taken) in (("buffer", "count"), ("module", "inner")):
        register(block, taken)
        return
    before = block.__dict__.get(taken)
    with pytest.raises(KeyError, match=f"'{taken}' exists already"):
        register(block, taken)
    assert block.__dict__.get(taken) is before
    assert [name for name, _ in block.named_buffers()] == ["count", "scratch"]


@pytest.mark.parametrize("name", [1, None, b"a", ("a",), ["a"]], ids=repr)
def test_names_are_strings(name):
    block = Block()
    for register in (block.register_parameter, block.register_buffer, block.add_module, block.register_module):
        with pytest.raises(TypeError, match="as str"):
            register(name, None)


@pytest.mark.parametrize("name", ["", "a.b", "."])
def test_names_have_no_dots(name):
    for register in (Block().register_parameter, Block().register_buffer, Block().add_module):
        with pytest.raises(KeyError, match="without a dot"):
            register(name, None)


def test_setting_an_attribute_replaces_one_of_another_kind():
    block = Block()
    block.plain = nn.Parameter(dnn.ones(2))
    block.count = nn.Parameter(dnn.ones(2))
    block.inner = nn.Parameter(dnn.ones(2))
    block.scratch = nn.ReLU()
    assert [name for name, _ in block.named_parameters()] == ["scale", "plain", "count", "inner"]
    assert list(block.buffers()) == []
    assert isinstance(block.scratch, nn.ReLU)
    assert "plain" not in block.__dict__
    block.scale = None
    block.scale = nn.Parameter(dnn.zeros(1))
    assert block.scale.tolist() == [0.0]
    with pytest.raises(KeyError, match="'forward' exists already"):
        block.forward = nn.ReLU()
    with pytest.raises(KeyError, match="'train' exists already"):
        block.train = nn.Parameter(dnn.ones(1))


def test_a_name_is_free_after_its_deletion():
    linear = nn.Linear(2, 3)
    del linear.weight
    linear.weight = dnn.ones(3, 2)  # a plain attribute now
    assert "weight" in linear.__dict__
    assert list(linear.state_dict()) == ["bias"]
    expected = 2.0 + linear.bias.detach().numpy()
    np.testing.assert_allclose(linear(dnn.ones(1, 2)).detach().numpy()[0], expected, rtol=1e-6)
    block = Block()
    del block.scratch
    block.register_buffer("scratch", dnn.ones(1))
    assert "scratch" in block.state_dict()
    with pytest.raises(AttributeError):
        del block.nothing


def test_transient_stays_with_the_buffer_not_with_the_name():
    block = Block()
    block.scratch = dnn.ones(1)
    assert "scratch" not in block.state_dict()
    block.scratch = nn.Parameter(dnn.ones(1))
    del block.scratch
    block.scratch = nn.Buffer(dnn.ones(1))
    assert "scratch" in block.state_dict()
    block.more = nn.Buffer(dnn.ones(1), persistent=False)
    assert "more" not in block.state_dict()
    assert "more" in dict(block.named_buffers())


def test_computed_tensors_are_no_parameters():
    class Odd(nn.Parameter):
        is_leaf = False

    with pytest.raises(ValueError, match="expected a leaf"):
        nn.Module().register_parameter("w", Odd(dnn.ones(1)))


def test_dir_lists_names_that_can_be_written():
    names = dir(nn.Sequential(nn.ReLU()))
    assert "forward" in names
    assert "0" not in names
    assert {"inner", "scale", "count"} <= set(dir(Block()))


def test_getters_and_setters_by_path():
    model = nn.Sequential(Block(), nn.ModuleDict({"head": nn.Linear(4, 2)}))
    assert model.get_parameter("0.inner.weight") is model[0].inner.weight
    assert model.get_buffer("0.scratch") is model[0].scratch
    assert model.get_submodule("1.head") is model[1]["head"]
    assert model.get_submodule("") is model
    model.set_submodule("1.head", nn.Identity())
    assert isinstance(model[1]["head"], nn.Identity)
    model.set_submodule("1.tail", nn.ReLU())
    assert "tail" in model[1]
    for act in (
        lambda: model.get_parameter("0.inner.count"),
        lambda: model.get_parameter("0.count"),
        lambda: model.get_buffer("0.scale"),
        lambda: model.get_submodule("0.scale"),
        lambda: model.set_submodule("0.none", nn.ReLU(), strict=True),
        lambda: model.set_submodule("0.scale", nn.ReLU()),
        lambda: model.set_submodule("9.scale", nn.ReLU()),
    ):
        with pytest.raises(AttributeError, match="no "):
            act()
    with pytest.raises(ValueError, match="ends with a name"):
        model.set_submodule("", nn.ReLU())
    with pytest.raises(TypeError, match="expected a module"):
        model.set_submodule("0", 3)


def test_train_reaches_modules_that_decide_themselves():
    class Frozen(nn.ReLU):
        def train(self, mode=True):
            return super().train(False)

    model = nn.Sequential(nn.ReLU(), Frozen())
    assert model.train() is model
    assert [module.training for module in model] == [True, False]
    assert model.eval() is model


def test_names_of_repeated_modules():
    shared = nn.Linear(1, 1)
    model = nn.Sequential(shared, shared)
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    assert [name for name, _ in model.named_modules(remove_duplicate=False)] == ["", "0", "1"]
    assert list(model.modules()) == [model, shared]
    assert list(model.modules(remove_duplicate=False)) == [model, shared, shared]
    assert len(list(model.named_parameters(prefix="net", remove_duplicate=False))) == 4
    assert next(iter(model.named_parameters(prefix="net")))[0] == "net.0.weight"
    assert list(model.parameters(recurse=False)) == []
    assert len(list(model.children())) == 1


# --- Hooks


def test_hooks_run_in_their_order_and_prepend_comes_first():
    calls = []
    layer = nn.Identity()
    for name, prepend in (("a", False), ("b", False), ("c", True)):
        layer.register_forward_pre_hook(lambda *_, name=name: calls.append(f"pre {name}"), prepend=prepend)
        layer.register_forward_hook(lambda *_, name=name: calls.append(name), prepend=prepend)
    layer(dnn.ones(1))
    assert calls == ["pre c", "pre a", "pre b", "c", "a", "b"]


def test_hooks_with_kwargs():
    block = Block()
    seen = []

    def before(module, args, kwargs):
        seen.append(kwargs)
        return args, {"gain": 0.0}

    def after(module, args, kwargs, output):
        seen.append(kwargs)
        return output + 1

    with block.register_forward_pre_hook(before, with_kwargs=True), block.register_forward_hook(after, with_kwargs=True):
        assert block(dnn.ones(1, 4), gain=2.0).tolist() == [[1.0] * 4]
    assert seen == [{"gain": 2.0}, {"gain": 0.0}]
    block.register_forward_pre_hook(lambda module, args, kwargs: args, with_kwargs=True)
    with pytest.raises(TypeError, match=r"expected None or \(args, kwargs\)"):
        block(dnn.ones(1, 4))


def test_always_called_hooks_see_errors():
    class Failing(nn.Module):
        def forward(self, x):
            raise ZeroDivisionError("forward failed")

    calls = []
    module = Failing()
    module.register_forward_hook(lambda *_: calls.append("normal"))
    module.register_forward_hook(lambda module, args, output: calls.append(output), always_call=True)
    with pytest.raises(ZeroDivisionError, match="forward failed"):
        module(1)
    assert calls == [None]

    def fail(*_):
        raise ValueError("hook failed")

    module.register_forward_hook(fail, always_call=True)
    with pytest.warns(UserWarning, match="hook failed"), pytest.raises(ZeroDivisionError):
        module(1)


def test_an_always_called_hook_is_called_once():
    calls = []
    layer = nn.Identity()
    layer.register_forward_hook(lambda *_: calls.append(1), always_call=True)

    def fail(*_):
        raise ValueError("later hook")

    layer.register_forward_hook(fail)
    with pytest.raises(ValueError, match="later hook"):
        layer(1)
    assert calls == [1]


def test_hooks_of_another_process_are_not_overwritten():
    layer, calls = nn.Identity(), []
    coming = layer.register_forward_hook(lambda *_: None)._number + 1
    layer._forward_hooks.clear()
    layer._forward_hooks[coming] = Hook(lambda *_: calls.append("old"))
    layer.register_forward_hook(lambda *_: calls.append("new"))
    layer(1)
    assert calls == ["old", "new"]


@pytest.mark.parametrize(
    "name",
    [
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
        "register_state_dict_pre_hook",
        "register_state_dict_post_hook",
        "register_load_state_dict_pre_hook",
        "register_load_state_dict_post_hook",
    ],
)
def test_hooks_must_be_callable(name):
    with pytest.raises(TypeError, match=f"{name}: expected a callable"):
        getattr(Block(), name)(3)


def test_backward_hooks_see_gradients():
    layer = nn.Linear(3, 2)
    seen = {}
    layer.register_full_backward_pre_hook(lambda module, grad_output: seen.update(before=grad_output))
    layer.register_full_backward_hook(lambda module, grad_input, grad_output: seen.update(input=grad_input, output=grad_output))
    x = dnn.ones(4, 3, requires_grad=True)
    (layer(x) * 2).sum().backward()
    assert [len(value) for value in seen.values()] == [1, 1, 1]
    np.testing.assert_array_equal(seen["before"][0].numpy(), np.full((4, 2), 2))
    np.testing.assert_array_equal(seen["output"][0].numpy(), np.full((4, 2), 2))
    np.testing.assert_array_equal(seen["input"][0].numpy(), x.grad.numpy())
    np.testing.assert_allclose(layer.bias.grad.numpy(), [8, 8])


def test_backward_hooks_change_gradients():
    layer = nn.Linear(3, 2)
    layer.register_full_backward_pre_hook(lambda module, grad_output: (grad_output[0] * 10,))
    layer.register_full_backward_hook(lambda module, grad_input, grad_output: (grad_input[0] * 0 + 7,))
    x = dnn.ones(4, 3, requires_grad=True)
    layer(x).sum().backward()
    assert layer.bias.grad.tolist() == [40.0, 40.0]
    assert x.grad.tolist() == [[7.0] * 3] * 4


def test_backward_hook_of_inputs_without_gradient():
    layer = nn.Linear(3, 2)
    seen = []
    handle = layer.register_full_backward_hook(lambda module, grad_input, grad_output: seen.append((grad_input, grad_output)))
    layer(dnn.ones(4, 3)).sum().backward()
    assert seen[0][0] == (None,)
    assert seen[0][1][0].shape == (4, 2)
    handle.remove()
    layer(dnn.ones(4, 3)).sum().backward()
    assert len(seen) == 1
    with dnn.no_grad():
        layer.register_full_backward_hook(lambda *_: seen.append(0))
        layer(dnn.ones(4, 3))
    assert len(seen) == 1


def test_backward_hooks_of_several_inputs_and_outputs():
    class Pair(nn.Module):
        def forward(self, x, n, z):
            return x * 2, n, [x + z][0]

    module = Pair()
    seen = []
    module.register_full_backward_hook(lambda module, grad_input, grad_output: seen.append((grad_input, grad_output)))
    x, z = dnn.ones(2, requires_grad=True), dnn.ones(2, requires_grad=True)
    first, number, second = module(x, 3, z)
    assert number == 3
    (first * 5 + second).sum().backward()
    (dx, dn, dz), (dfirst, _, dsecond) = seen[0]
    assert (dx.tolist(), dn, dz.tolist()) == ([11.0, 11.0], None, [1.0, 1.0])
    assert (dfirst.tolist(), dsecond.tolist()) == ([5.0, 5.0], [1.0, 1.0])


def test_backward_hooks_must_keep_the_count():
    layer = nn.Linear(3, 2)
    layer.register_full_backward_hook(lambda module, grad_input, grad_output: (None, None))
    with pytest.raises(ValueError, match="expected 1 gradients from a hook on grad_input, got 2"):
        layer(dnn.ones(1, 3, requires_grad=True)).sum().backward()


def test_backward_hooks_stop_the_fusion_of_a_sequential():
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    seen = []
    model[0].register_full_backward_hook(lambda module, grad_input, grad_output: seen.append(grad_output[0].tolist()))
    model(dnn.ones(1, 3)).sum().backward()
    assert len(seen) == 1


# --- Casts


def test_casts_reach_parameters_buffers_and_gradients():
    block = Block()
    block.register_buffer("steps", dnn.arange(3))
    block(dnn.ones(1, 4)).sum().backward()
    for cast, dtype in (
        (lambda m: m.double(), dnn.float64),
        (lambda m: m.half(), dnn.float16),
        (lambda m: m.bfloat16(), dnn.bfloat16),
        (lambda m: m.float(), dnn.float32),
        (lambda m: m.to(dnn.float64), dnn.float64),
        (lambda m: m.to("cpu", dnn.float32), dnn.float32),
        (lambda m: m.to(dnn.ones(1, dtype=dnn.float64)), dnn.float64),
        (lambda m: m.to(dtype="float32"), dnn.float32),
        (lambda m: m.type(dnn.float64), dnn.float64),
        (lambda m: m.to("cpu"), dnn.float64),
        (lambda m: m.cpu(), dnn.float64),
        (lambda m: m.to(device="cpu", non_blocking=True), dnn.float64),
    ):
        assert cast(block) is block
        assert {p.dtype for p in block.parameters()} == {dtype}
        assert {p.grad.dtype for p in block.parameters()} == {dtype}
        assert block.count.dtype == dtype
        assert block.steps.dtype == dnn.int64
        assert all(p.requires_grad and p.is_leaf for p in block.parameters())
    same = block.scale
    assert block.double().scale is same
    tied = Tied().double()
    assert tied.first.weight is tied.second.weight


@pytest.mark.parametrize(
    ("arguments", "error"),
    [((dnn.int64,), TypeError), (("cuda",), (ValueError, RuntimeError)), ((3,), TypeError), ((dnn.bool,), TypeError)],
    ids=str,
)
def test_casts_refuse(arguments, error):
    block = Block()
    with pytest.raises(error):
        block.to(*arguments)
    assert block.scale.dtype == dnn.float32


def test_an_optimizer_of_replaced_parameters_warns():
    model = nn.Linear(2, 1)
    optimizer = dnn.optim.SGD(model.parameters(), lr=0.1)
    model.double()
    with pytest.warns(UserWarning, match="make the optimizer after it"):
        optimizer.zero_grad()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dnn.optim.SGD(model.parameters(), lr=0.1).zero_grad()
        model.zero_grad()


# --- Copies


def test_deep_copies_are_whole_and_apart():
    model = Tied()
    calls = []
    model.first.register_forward_hook(lambda *_: calls.append(1))
    model(dnn.ones(1, 3)).sum().backward()
    twin = copy.deepcopy(model)
    assert twin.first.weight is twin.second.weight
    assert twin.first.weight is not model.first.weight
    assert twin.first.weight.grad is None  # as in PyTorch
    twin(dnn.ones(1, 3))
    assert calls == [1, 1]
    handles = len(model.first._forward_hooks)
    twin.first._forward_hooks.clear()
    assert len(model.first._forward_hooks) == handles == 1


def shout(module, args, output):
    return output * 2


def test_pickles_are_whole():
    model = Tied()
    model.second.register_forward_hook(shout)
    model.eval()
    twin = pickle.loads(pickle.dumps(model))
    assert twin.first.weight is twin.second.weight
    assert not twin.training
    np.testing.assert_array_equal(twin(dnn.ones(1, 3)).detach().numpy(), model(dnn.ones(1, 3)).detach().numpy())
    assert isinstance(pickle.loads(pickle.dumps(nn.Buffer(dnn.ones(2), persistent=False))), nn.Buffer)
    assert not copy.deepcopy(nn.Buffer(dnn.ones(2), persistent=False)).persistent


def test_a_module_in_a_cycle_with_its_hook_is_collected():
    import gc
    import weakref

    layer = nn.Linear(2, 2)
    layer.register_forward_hook(lambda *_, own=layer: None)
    gone = weakref.ref(layer)
    del layer
    gc.collect()
    assert gone() is None


def test_module_is_the_class_of_every_part():
    assert nn.Module is Module
    assert [kind.__name__ for kind in Module.__mro__] == ["Module", "HookedCalls", "Stateful", "object"]
