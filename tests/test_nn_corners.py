"""Corners of modules and optimizers that once went wrong."""

import copy
import gc

import dnncore as dnn
import pytest
from dnncore import nn, optim


def test_full_backward_hooks_act_once_in_second_derivatives():
    module = nn.Tanh()
    module.register_full_backward_hook(lambda mod, gi, go: (gi[0] * 2,))
    x = dnn.ones(2, dtype=dnn.float64, requires_grad=True)
    (g,) = dnn.autograd.grad(module(x).sum(), x, create_graph=True)
    (gg,) = dnn.autograd.grad(g.sum(), x)
    t = dnn.tanh(x).detach()
    assert dnn.allclose(gg, 2 * -2 * t * (1 - t * t))


def test_full_backward_hooks_need_the_gradient_of_the_output():
    class Aside(nn.Module):
        def forward(self, x):
            self.aside = x * 3
            return x * 2

    module, seen = Aside(), []
    module.register_full_backward_hook(lambda mod, gi, go: seen.append(len(go)))
    x = dnn.ones(2, requires_grad=True)
    module(x)
    module.aside.sum().backward()
    assert seen == []
    y = module(x)
    y.sum().backward()
    module.aside.sum().backward()
    assert seen == [1]
    assert x.grad.tolist() == [8.0, 8.0]


def test_full_backward_hooks_get_none_for_outputs_that_are_not_used():
    class Two(nn.Module):
        def forward(self, x):
            return x * 2, x * 3

    module, seen = Two(), []
    module.register_full_backward_hook(lambda mod, gi, go: seen.append([g is None for g in go]))
    module(dnn.ones(2, requires_grad=True))[0].sum().backward()
    assert seen == [[False, True]]


def test_the_state_of_an_optimizer_is_not_changed_silently():
    w = nn.Parameter(dnn.ones(2))
    optimizer = optim.Adam([w])
    w.grad = dnn.ones(2)
    optimizer.step()
    for change in (
        lambda: optimizer.state.clear(),
        lambda: optimizer.state.pop(w),
        lambda: optimizer.state.__delitem__(w),
        lambda: optimizer.state.__setitem__(w, {}),
        lambda: optimizer.state[w].__setitem__("exp_avg", dnn.zeros(2)),
    ):
        with pytest.raises(TypeError, match="load_state_dict"):
            change()
    optimizer.state[w]["exp_avg"].zero_()
    assert optimizer.state_dict()["state"][0]["exp_avg"].tolist() == [0.0, 0.0]
    for wrong in (None, {}, []):
        with pytest.raises(TypeError, match="load_state_dict"):
            optimizer.load_state_dict(wrong)


@pytest.mark.parametrize("owner", ["module", "optimizer"])
def test_zeroed_gradients_forget_their_graph(owner):
    module = nn.Linear(100, 100)
    optimizer = optim.SGD(module.parameters(), lr=1e-9)
    held = []
    for _ in range(6):
        (module if owner == "module" else optimizer).zero_grad(set_to_none=False)
        (module.weight**3).sum().backward(create_graph=True)
        optimizer.step()
        gc.collect()
        held.append(dnn.memory_stats()["allocated_bytes"])
    assert len(set(held[2:])) == 1
    optimizer.zero_grad(set_to_none=False)
    assert not module.weight.grad.requires_grad


def test_a_copied_parameter_starts_without_gradient():
    module = nn.Linear(2, 2)
    module(dnn.ones(1, 2)).sum().backward()
    assert all(parameter.grad is None for parameter in copy.deepcopy(module).parameters())
    x = dnn.ones(2, requires_grad=True)
    x.sum().backward()
    assert copy.deepcopy(x).grad.tolist() == [1.0, 1.0]


def test_an_optimizer_made_before_a_cast_says_so():
    module = nn.Linear(2, 2)
    optimizer = optim.SGD(module.parameters(), lr=0.1)
    module.double()
    module(dnn.ones(1, 2, dtype=dnn.float64)).sum().backward()
    with pytest.warns(UserWarning, match="make the optimizer after it"):
        optimizer.step()


def test_overridden_saving_is_refused():
    with pytest.raises(TypeError, match="get_extra_state"):

        class Own(nn.Linear):
            def _save_to_state_dict(self, destination, prefix, keep_vars):
                pass


def test_a_file_that_could_not_be_read_again_is_not_written(tmp_path):
    path = tmp_path / "x.safetensors"
    dnn.save({"a": dnn.ones(1)}, path)
    with pytest.raises(ValueError, match="header"):
        dnn.save({f"{i}." + "x" * 3000: dnn.ones(1) for i in range(4000)}, path)
    assert dnn.load(path)["a"].tolist() == [1.0]
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(ValueError, match="not a safetensors"):
        dnn.load(tmp_path / "empty")
