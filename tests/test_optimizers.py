"""Every optimizer: its formula in float64 NumPy, PyTorch's own run, the same bits from any number of threads, resumed."""

from __future__ import annotations

import copy
import pickle

import dnncore as dnn
import numpy as np
import pytest
from cases import GOLDEN, ISAS, numbers, use_isa, use_threads
from dnncore import _core, nn, optim
from optimizer_cases import CASES, KEPT, LBFGS_CASES, STEPS, gradient_of, initial_values, rosenbrock
from reference_optim import Rule
from test_determinism import same_bits

EXPECTED = dict(np.load(GOLDEN / "optimizers.npz"))
ONE_OF_EACH = dict(reversed(CASES.values()))
STATE = {
    "SGD": {"momentum_buffer"},
    "Adam": {"step", "exp_avg", "exp_avg_sq"},
    "AdamW": {"step", "exp_avg", "exp_avg_sq"},
    "Adamax": {"step", "exp_avg", "exp_inf"},
    "NAdam": {"step", "mu_product", "exp_avg", "exp_avg_sq"},
    "RAdam": {"step", "exp_avg", "exp_avg_sq"},
    "RMSprop": {"step", "square_avg"},
    "Adagrad": {"step", "sum"},
    "Adadelta": {"step", "square_avg", "acc_delta"},
    "Rprop": {"step", "prev", "step_size"},
    "ASGD": {"step", "eta", "mu", "ax"},
}


def parameters_of(dtype):
    return [dnn.tensor(value, dtype=dtype, requires_grad=True) for value in initial_values()]


def advance(parameters, optimizer, steps):
    """Steps with the numbers `steps`; returns all parameters after each, flattened."""
    path = []
    for step in steps:
        for i, parameter in enumerate(parameters):
            gradient = gradient_of(i, step, numbers(parameter).astype(np.float64))
            parameter.grad = dnn.tensor(gradient, dtype=parameter.dtype)
        optimizer.step()
        path.append(np.concatenate([numbers(parameter).ravel() for parameter in parameters]))
    return np.stack(path)


@pytest.mark.parametrize("name", CASES)
def test_follows_the_formula(name):
    kind, settings = CASES[name]
    parameters, values = parameters_of(dnn.float64), initial_values()
    got = advance(parameters, getattr(optim, kind)(parameters, **settings), range(STEPS))
    rules = [Rule(kind, settings) for _ in values]
    for step in range(STEPS):
        values = [rules[i].step(value, gradient_of(i, step, value)) for i, value in enumerate(values)]
        np.testing.assert_allclose(got[step], np.concatenate([value.ravel() for value in values]), rtol=1e-12, atol=1e-12)


# Differences of float32: rounding by 2^-24 of values up to 30 (sums of squares), twelve times.
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(dnn.float64, 1e-13), (dnn.float32, 3e-6)], ids=["float64", "float32"])
def test_follows_pytorch(isa, name, dtype, tolerance):
    kind, settings = CASES[name]
    parameters = parameters_of(dtype)
    with use_isa(isa):
        optimizer = getattr(optim, kind)(parameters, **settings)
        path = advance(parameters, optimizer, range(STEPS))
    np.testing.assert_allclose(path[list(KEPT)], EXPECTED[name], rtol=tolerance, atol=tolerance)
    keys = {key.partition("/")[2] for key in EXPECTED if key.startswith(name + "/")}
    assert set(optimizer.state.get(parameters[0], {})) == keys
    for key in keys:
        state = np.concatenate([np.ravel(numbers(optimizer.state[parameter][key])) for parameter in parameters])
        np.testing.assert_allclose(state, EXPECTED[f"{name}/{key}"], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", CASES)
def test_one_float32_step_is_within_2_ulp(isa, name):
    """Of the float64 formula on the same state, in units of the larger of the parameter before and after."""
    kind, settings = CASES[name]
    settings = {**settings, "lr": 0.002}  # steps much smaller than the parameter
    random = np.random.default_rng(1)
    values = random.uniform(0.5, 2, 5000).astype(np.float32)
    exact = dnn.tensor(values, dtype=dnn.float64, requires_grad=True)
    rounded = dnn.tensor(values, requires_grad=True)
    with use_isa(isa):
        optimizers = [getattr(optim, kind)([p], **settings) for p in (exact, rounded)]
        for step in range(4):
            gradient = random.normal(size=5000).astype(np.float32)
            exact.grad, rounded.grad = dnn.tensor(gradient, dtype=dnn.float64), dnn.tensor(gradient)
            if step == 3:  # the same state for both
                with dnn.no_grad():
                    exact.copy_(rounded.detach().to(dnn.float64))
                for key, value in optimizers[1].state.get(rounded, {}).items():
                    optimizers[0].state[exact][key].copy_(value.to(dnn.float64))
            before = numbers(rounded).copy()
            for optimizer in optimizers:
                optimizer.step()
    ulp = np.spacing(np.maximum(np.abs(before), np.abs(numbers(rounded))))
    assert np.max(np.abs(numbers(rounded).astype(np.float64) - numbers(exact)) / ulp) <= 2


@pytest.mark.parametrize("name", CASES)
def test_same_bits_from_any_number_of_threads(name):
    kind, settings = CASES[name]
    random = np.random.default_rng(3)
    sizes = [1, 100_000, 63, 50_001, 300]
    values = [random.standard_normal(size, dtype=np.float32) for size in sizes]
    gradients = [[random.standard_normal(size, dtype=np.float32) for size in sizes] for _ in range(3)]

    def run():
        parameters = [nn.Parameter(dnn.tensor(value)) for value in values]
        optimizer = getattr(optim, kind)(parameters, **settings)
        for step in gradients:
            for parameter, gradient in zip(parameters, step, strict=True):
                parameter.grad = dnn.tensor(gradient)
            optimizer.step()
        return [numbers(parameter) for parameter in parameters]

    with use_threads(1):
        expected = run()
    for threads in (2, 4):
        with use_threads(threads):
            assert same_bits(run(), expected), f"{threads} threads"


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("travel", ["state_dict", "deepcopy", "pickle"])
def test_resumed_equals_uninterrupted(name, travel):
    kind, settings = CASES[name]
    whole = parameters_of(dnn.float32)
    expected = advance(whole, getattr(optim, kind)(whole, **settings), range(STEPS))
    parameters = parameters_of(dnn.float32)
    optimizer = getattr(optim, kind)(parameters, **settings)
    optimizer.param_groups[0]["lr"] = optimizer.param_groups[0]["lr"]
    advance(parameters, optimizer, range(5))
    if travel == "state_dict":
        copied = [parameter.detach().clone().requires_grad_() for parameter in parameters]
        resumed = getattr(optim, kind)(copied, lr=123.0)
        resumed.load_state_dict(optimizer.state_dict())
    elif travel == "deepcopy":
        copied, resumed = copy.deepcopy((parameters, optimizer))
    else:
        copied, resumed = pickle.loads(pickle.dumps((parameters, optimizer)))
    advance(parameters, optimizer, range(5, 7))  # must not reach the copy
    assert [id(p) for p in resumed.param_groups[0]["params"]] == [id(p) for p in copied]
    assert same_bits(list(advance(copied, resumed, range(5, STEPS))), list(expected[5:]))


@pytest.mark.parametrize("kind", STATE)
def test_state_has_pytorchs_names(kind):
    w = dnn.ones(3, requires_grad=True)
    optimizer = getattr(optim, kind)([w], **({"momentum": 0.9} if kind == "SGD" else {}))
    assert bool(optimizer.state) == (kind == "Adagrad")
    w.grad = dnn.ones(3)
    optimizer.step()
    assert set(optimizer.state_dict()["state"][0]) == set(optimizer.state[w]) == STATE[kind]
    if kind != "SGD":
        assert optimizer.state[w]["step"].item() == 1
        assert optimizer.state[w]["step"].shape == ()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_frozen_and_ungraded_parameters_stay(kind):
    moved, still, frozen = dnn.ones(3, requires_grad=True), dnn.ones(3, requires_grad=True), dnn.ones(3)
    optimizer = getattr(optim, kind)([moved, still, frozen], **{**ONE_OF_EACH[kind], "maximize": False})
    optimizer.step()  # no gradient at all
    assert moved.tolist() == [1.0] * 3
    moved.grad = dnn.ones(3)
    optimizer.step()
    assert still.tolist() == frozen.tolist() == [1.0] * 3
    assert moved.tolist() != [1.0] * 3
    still.grad = dnn.ones(3)
    optimizer.step()  # its own first step
    again = dnn.ones(3, requires_grad=True)
    alone = getattr(optim, kind)([again], **{**ONE_OF_EACH[kind], "maximize": False})
    again.grad = dnn.ones(3)
    alone.step()
    assert same_bits([numbers(still)], [numbers(again)])


def test_two_groups_and_their_changes():
    a, b, c, d = (dnn.ones(4, requires_grad=True) for _ in range(4))
    optimizer = optim.Adam([{"params": [a]}, {"params": [b], "lr": 0.5, "amsgrad": True}], lr=0.25)
    for p in (a, b, c, d):
        p.grad = dnn.ones(4)
    optimizer.step()
    assert (round(a[0].item(), 4), round(b[0].item(), 4)) == (0.75, 0.5)
    assert set(optimizer.state[b]) - set(optimizer.state[a]) == {"max_exp_avg_sq"}
    average = optimizer.state[a]["exp_avg"]
    optimizer.add_param_group({"params": c, "lr": 0.125})
    optimizer.param_groups[0]["params"] = [d, a]
    optimizer.step()
    assert [optimizer.state[p]["step"].item() for p in (a, b, c, d)] == [2, 2, 1, 1]
    assert average[0].item() == optimizer.state[a]["exp_avg"][0].item() == pytest.approx(0.19)
    assert round(a[0].item(), 4) == 0.5
    optimizer.state[a]["step"].fill_(7)  # the state itself, not a copy
    optimizer.step()
    assert optimizer.state_dict()["state"][1]["step"].item() == 8


def test_changes_in_place_are_refused_not_ignored():
    w, x = (dnn.ones(2, requires_grad=True) for _ in range(2))
    optimizer = optim.Adam([w])
    group = optimizer.param_groups[0]
    for change in (
        lambda: group["params"].append(x),
        lambda: group["params"].__setitem__(0, x),
        lambda: group["params"].clear(),
        lambda: optimizer.param_groups.append({"params": [x]}),
        lambda: optimizer.param_groups.pop(),
        lambda: group.pop("lr"),
    ):
        with pytest.raises(TypeError, match=r"in place|cannot be removed"):
            change()
    with pytest.raises(AttributeError):
        optimizer.param_groups = []
    with pytest.raises(ValueError, match="more than once"):
        group["params"] = [w, w]
    assert group["params"] == [w]


def test_load_state_dict_changes_all_or_nothing():
    def fresh():
        parameters = parameters_of(dnn.float32)
        optimizer = optim.Adam(parameters, lr=0.05)
        return parameters, optimizer, advance(parameters, optimizer, range(3))

    _, _, expected = fresh()
    parameters, optimizer, _ = fresh()
    saved = optimizer.state_dict()
    before = copy.deepcopy(saved)
    broken = {
        "shape": (
            {**saved["state"], 3: {**saved["state"][3], "exp_avg": dnn.ones(2)}},
            r"exp_avg 3 of shape \(1, 33\), got \(2,\)",
        ),
        "missing": ({**saved["state"], 3: {"step": dnn.ones(())}}, "expected a state with 'exp_avg'"),
        "unknown": ({**saved["state"], 2: {**saved["state"][2], "sum": dnn.ones(())}}, "no part of the state is called 'sum'"),
    }
    for state, message in broken.values():
        changed = {"state": state, "param_groups": [{**saved["param_groups"][0], "lr": 5.0}]}
        with pytest.raises(ValueError, match=message):
            optimizer.load_state_dict(changed)
    with pytest.raises(ValueError, match="lr of at least 0, got -1"):
        optimizer.load_state_dict({**saved, "param_groups": [{**saved["param_groups"][0], "lr": -1}]})
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for number, state in before["state"].items():
        assert same_bits([numbers(v) for v in state.values()], [numbers(v) for v in after["state"][number].values()])
    assert same_bits([advance(parameters, optimizer, range(3, 5))], [advance(*fresh()[:2], range(3, 5))])
    assert expected.shape[0] == 3


def test_a_state_of_another_dtype_and_of_numbers_is_converted():
    w = dnn.ones(2, requires_grad=True)
    optimizer = optim.AdamW([w])
    state = {0: {"step": 3, "exp_avg": np.ones(2), "exp_avg_sq": np.ones(2, dtype=np.float32), "max_exp_avg_sq": None}}
    optimizer.load_state_dict({"state": state, "param_groups": [{"params": [0], "lr": 0.5, "decoupled_weight_decay": False}]})
    found = optimizer.state[w]
    assert found["step"].item() == 3
    assert found["exp_avg"].dtype == dnn.float32
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)


def test_hooks_run_around_each_step():
    w = dnn.ones(1, requires_grad=True)
    optimizer = optim.Adam([w])
    seen = []
    before = optimizer.register_step_pre_hook(lambda own, args, kwargs: seen.append(("before", own is optimizer, args)))
    after = optimizer.register_step_post_hook(lambda own, args, kwargs: seen.append(("after", own is optimizer, w.item() < 1)))
    w.grad = dnn.ones(1)
    optimizer.step()
    assert seen == [("before", True, (optimizer,)), ("after", True, True)]
    before.remove()
    after.remove()
    optimizer.step()
    assert len(seen) == 2
    optimizer.register_step_pre_hook(lambda own, args, kwargs: ((own, lambda: 42), {}))
    assert optimizer.step() == 42


def test_step_hooks_see_the_arguments_of_the_step():
    w = dnn.ones(1, requires_grad=True)
    optimizer = optim.SGD([w])
    seen = []
    optimizer.register_step_pre_hook(lambda own, args, kwargs: seen.append((args, kwargs)))
    optimizer.register_step_pre_hook(lambda own, args, kwargs: ((own,), {"closure": list}))
    optimizer.register_step_post_hook(lambda own, args, kwargs: seen.append((args, kwargs)))
    assert optimizer.step(tuple) == []
    assert optimizer.step(closure=tuple) == []
    changed = ((optimizer,), {"closure": list})
    assert seen == [((optimizer, tuple), {}), changed, ((optimizer,), {"closure": tuple}), changed]


@pytest.mark.parametrize("wrong", [3, (), ((), {}), ((list,), {}), (5, {})], ids=repr)
def test_a_step_hook_returns_the_arguments_or_none(wrong):
    optimizer = optim.SGD([dnn.ones(1, requires_grad=True)])
    optimizer.register_step_pre_hook(lambda own, args, kwargs: wrong)
    with pytest.raises(TypeError, match=r"SGD.step: expected a step hook to return None or a pair of args"):
        optimizer.step()


def test_hooks_of_the_state_run_in_order_and_may_replace_it():
    optimizer = optim.SGD([dnn.ones(1, requires_grad=True)], lr=0.5)
    seen = []
    handles = [
        optimizer.register_state_dict_pre_hook(lambda own: seen.append(("before", own))),
        optimizer.register_state_dict_pre_hook(lambda own: seen.append(("first", own)), prepend=True),
        optimizer.register_state_dict_post_hook(lambda own, state: state.update(epoch=1)),
        optimizer.register_state_dict_post_hook(lambda own, state: {**state, "epoch": state["epoch"] + 1}),
    ]
    saved = optimizer.state_dict()
    assert seen == [("first", optimizer), ("before", optimizer)]
    assert saved["epoch"] == 2
    for handle in handles:
        handle.remove()
    assert sorted(optimizer.state_dict()) == ["param_groups", "state"]
    assert len(seen) == 2


def test_hooks_of_loading_see_a_copy_and_may_replace_it():
    optimizer = optim.SGD([dnn.ones(1, requires_grad=True)], lr=0.5)
    saved = optimizer.state_dict()
    seen = []

    def slower(own, state):
        seen.append(("second", own))
        return {**state, "param_groups": [{**state["param_groups"][0], "lr": 0.25}]}

    optimizer.register_load_state_dict_pre_hook(slower)
    optimizer.register_load_state_dict_pre_hook(lambda own, state: state.pop("epoch"), prepend=True).remove()
    optimizer.register_load_state_dict_pre_hook(lambda own, state: state.update(epoch=seen.append("first")), prepend=True)
    optimizer.register_load_state_dict_post_hook(lambda own: seen.append(("done", own.param_groups[0]["lr"])))
    optimizer.load_state_dict(saved)
    assert seen == ["first", ("second", optimizer), ("done", 0.25)]
    assert "epoch" not in saved
    assert saved["param_groups"][0]["lr"] == 0.5
    with pytest.raises(ValueError, match="groups of"):
        optimizer.load_state_dict({**saved, "param_groups": [{"params": []}]})
    assert seen[3:] == ["first", ("second", optimizer)]  # what raised has no end


@pytest.mark.parametrize(
    "kind", ["step_pre", "step_post", "state_dict_pre", "state_dict_post", "load_state_dict_pre", "load_state_dict_post"]
)
def test_a_hook_must_be_callable(kind):
    with pytest.raises(TypeError, match=f"SGD.register_{kind}_hook: expected a callable hook, got int"):
        getattr(optim.SGD([W]), f"register_{kind}_hook")(3)


# --- Parameters with names


def two_layers():
    return nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1, bias=False))


NAMES = ["0.weight", "0.bias", "1.weight"]


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam, optim.Adagrad, optim.LBFGS, optim.Rprop], ids=lambda make: make.__name__)
def test_named_parameters_keep_their_names(make):
    model = two_layers()
    optimizer = make(model.named_parameters())
    assert optimizer.param_groups[0]["param_names"] == NAMES
    assert list(map(id, optimizer.param_groups[0]["params"])) == list(map(id, model.parameters()))
    saved = optimizer.state_dict()
    assert saved["param_groups"][0]["param_names"] == NAMES
    assert saved["param_groups"][0]["params"] == [0, 1, 2]
    assert f"param_names: {NAMES}" in repr(optimizer)
    copied = pickle.loads(pickle.dumps(optimizer))
    assert copied.param_groups[0]["param_names"] == NAMES
    assert "param_names" not in make(model.parameters()).state_dict()["param_groups"][0]


def test_groups_of_named_parameters():
    model = two_layers()
    pairs = list(model.named_parameters())
    optimizer = optim.SGD([{"params": pairs[:1]}, {"params": iter(pairs[1:2]), "lr": 0.5}])
    assert [group["param_names"] for group in optimizer.param_groups] == [["0.weight"], ["0.bias"]]
    with pytest.raises(ValueError, match="names in all parameter groups or in none, got them in 2 of 3"):
        optimizer.add_param_group({"params": [pairs[2][1]]})
    assert len(optimizer.param_groups) == 2
    optimizer.add_param_group({"params": pairs[2:]})
    assert optimizer.param_groups[2]["param_names"] == ["1.weight"]
    with pytest.raises(ValueError, match="names in all parameter groups or in none"):
        optimizer.param_groups[0]["params"] = [dnn.ones(1)]
    assert optimizer.param_groups[0]["params"] == [pairs[0][1]]
    assert optimizer.param_groups[0]["param_names"] == ["0.weight"]
    optimizer.param_groups[0]["params"] = [("other", dnn.ones(1))]
    assert optimizer.param_groups[0]["param_names"] == ["other"]
    optimizer.param_groups[0]["param_names"] = ["another"]
    with pytest.raises(ValueError, match="expected 1 param_names, got 2"):
        optimizer.param_groups[0]["param_names"] = ["a", "b"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["another"]


def test_names_follow_new_parameters_of_a_single_group():
    optimizer = optim.SGD([("w", dnn.ones(1))])
    optimizer.param_groups[0]["params"] = [dnn.ones(2)]
    assert "param_names" not in optimizer.param_groups[0]
    optimizer.param_groups[0].update(params=[dnn.ones(2)], param_names=["v"])
    assert optimizer.param_groups[0]["param_names"] == ["v"]


def test_saved_names_replace_and_missing_names_do_not():
    model = two_layers()
    named, plain = optim.SGD(model.named_parameters(), lr=0.5), optim.SGD(model.parameters(), lr=0.25)
    named.load_state_dict(plain.state_dict())
    assert named.param_groups[0]["param_names"] == NAMES
    assert named.param_groups[0]["lr"] == 0.25
    other = optim.SGD([(f"p{i}", param) for i, param in enumerate(model.parameters())])
    named.load_state_dict(other.state_dict())  # names do not matter for loading
    assert named.param_groups[0]["param_names"] == ["p0", "p1", "p2"]
    plain.load_state_dict(other.state_dict())
    assert plain.param_groups[0]["param_names"] == ["p0", "p1", "p2"]
    broken = other.state_dict()
    broken["param_groups"][0]["param_names"] = ["p0"]
    with pytest.raises(ValueError, match="expected 3 param_names, got 1"):
        named.load_state_dict(broken)


def test_a_subclass_with_its_own_step():
    class Halve(optim.Optimizer):
        def step(self, closure=None):
            loss = self._loss_of(closure)
            with dnn.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        state = self.state[p]
                        state["count"] = state.get("count", 0) + 1
                        p.mul_(group["factor"])
            return loss

    w = dnn.ones(2, requires_grad=True)
    optimizer = Halve([w], {"factor": 0.5})
    assert optimizer.step(lambda: 3) == 3
    copied_w, copied = pickle.loads(pickle.dumps((w, optim.Adam([w]))))
    assert copied.param_groups[0]["params"][0] is copied_w
    other = Halve([dnn.ones(2, requires_grad=True)], {"factor": 0.25})
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[0]["factor"] == 0.5
    assert next(iter(other.state.values())) == {"count": 1}
    assert w.tolist() == [0.5, 0.5]
    with pytest.raises(NotImplementedError, match="method step"):
        optim.Optimizer([w], {}).step()


@pytest.mark.parametrize("name", LBFGS_CASES)
def test_lbfgs_follows_pytorch(name):
    w = dnn.tensor([-1.2, 1.0, 0.5], dtype=dnn.float64, requires_grad=True)
    optimizer = optim.LBFGS([w], **LBFGS_CASES[name])

    def closure():
        optimizer.zero_grad()
        loss = rosenbrock(w)
        loss.backward()
        return loss

    for step, row in enumerate(EXPECTED[name]):
        if step == 3:
            w, optimizer = copy.deepcopy((w, optimizer))
        loss = optimizer.step(closure).item()
        np.testing.assert_allclose([*w.tolist(), loss, optimizer.state[w]["func_evals"]], row, rtol=1e-10)
    saved = optimizer.state_dict()
    assert list(saved["state"]) == [0]
    resumed_w = w.detach().clone().requires_grad_()
    resumed = optim.LBFGS([resumed_w])
    resumed.load_state_dict(saved)
    optimizer.step(closure)
    expected, w, optimizer = w.tolist(), resumed_w, resumed
    optimizer.step(closure)
    assert w.tolist() == expected
    with pytest.raises(ValueError, match="vectors of 3 elements"):
        optimizer.load_state_dict({**saved, "state": {0: {**saved["state"][0], "d": dnn.ones(2)}}})


def test_lbfgs_minimises_in_float32():
    dnn.manual_seed(0)
    model = nn.Linear(5, 1)
    x = dnn.randn(50, 5)
    y = x @ dnn.tensor([[1.0], [-2.0], [3.0], [0.5], [0.0]]) + 0.25
    optimizer = optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    assert closure().item() < 1e-9


W = dnn.ones(1, requires_grad=True)
H = dnn.ones(1, dtype=dnn.bfloat16)


@pytest.mark.parametrize(
    ("act", "error", "match"),
    [
        (lambda: optim.Adam([W, ("w", H)]), ValueError, "names for all parameters or for none, got 1 named of 2"),
        (lambda: optim.Adam([("w", W, 1)]), TypeError, r"pairs of a name and a tensor, got a tuple of \(str, Tensor, int\)"),
        (lambda: optim.Adam([(W, "w")]), TypeError, r"pairs of a name and a tensor, got a tuple of \(Tensor, str\)"),
        (lambda: optim.Adam([("w", 1)]), TypeError, "expected tensors, got int"),
        (lambda: optim.Adam([{"params": [("w", W)]}, {"params": [dnn.ones(1)]}]), ValueError, "got them in 1 of 2"),
        (lambda: optim.Adam([{"params": [W], "param_names": []}]), ValueError, "expected 1 param_names, got 0"),
        (lambda: optim.Adam([W], lr=dnn.tensor(0.1)), TypeError, r"number for lr, got a Tensor; write lr.item\(\)"),
        (lambda: optim.Adam([W], betas=(dnn.ones(1), 0.9)), TypeError, r"write betas\[0\].item\(\)"),
        (
            lambda: optim.LBFGS([W], lr=dnn.tensor(0.1)),
            TypeError,
            r"LBFGS: expected a number for lr, got a Tensor; write lr.item\(\)",
        ),
        (lambda: optim.Adam([W], lr=-1), ValueError, "Adam: expected lr of at least 0, got -1"),
        (lambda: optim.Adam([W], lr=float("nan")), ValueError, "got nan"),
        (lambda: optim.Adam([W], betas=(0.9, 1.0)), ValueError, r"betas\[1\] of at least 0 and below 1, got 1.0"),
        (lambda: optim.Adam([W], betas=0.9), TypeError, "two numbers for betas, got 0.9"),
        (lambda: optim.Adam([W], betas=("a", 0.9)), TypeError, r"number for betas\[0\], got str"),
        (lambda: optim.AdamW([W], eps=-1e-8), ValueError, "AdamW: expected eps"),
        (lambda: optim.Adam([W], differentiable=True), ValueError, "differentiable=False"),
        (lambda: optim.Adam([H]), TypeError, "adam: expected float32 or float64 parameters, got bfloat16"),
        (lambda: optim.NAdam([W], momentum_decay=-1), ValueError, "momentum_decay"),
        (lambda: optim.RMSprop([W], momentum=-1), ValueError, "momentum"),
        (lambda: optim.RMSprop([W], alpha=-1), ValueError, "alpha"),
        (lambda: optim.Adagrad([W], lr_decay=-1), ValueError, "lr_decay"),
        (lambda: optim.Adagrad([W], initial_accumulator_value=-1), ValueError, "initial_accumulator_value"),
        (lambda: optim.Adadelta([W], rho=1.5), ValueError, "rho from 0 to 1, got 1.5"),
        (lambda: optim.Rprop([W], etas=(1.5, 1.2)), ValueError, r"etas\[0\] above 0 and below 1"),
        (lambda: optim.Rprop([W], etas=(0.5, 1.0)), ValueError, r"etas\[1\] above 1"),
        (lambda: optim.ASGD([W], weight_decay=-1), ValueError, "weight_decay"),
        (lambda: optim.LBFGS([{"params": [W]}, {"params": [dnn.ones(1)]}]), ValueError, "one parameter group, got 2"),
        (lambda: optim.LBFGS([W], line_search_fn="armijo"), ValueError, "'strong_wolfe', got 'armijo'"),
        (lambda: optim.LBFGS([W], history_size=0), ValueError, "history_size of at least 1"),
        (lambda: optim.LBFGS([W, H]), ValueError, "one dtype"),
        (lambda: optim.LBFGS([W]).add_param_group({"params": [dnn.ones(1)]}), ValueError, "one parameter group"),
        (lambda: _core.OptimizerUpdate("nonsense"), ValueError, "no rule 'nonsense'"),
        (lambda: _core.OptimizerUpdate("adam").add_group([W], speed=1.0), ValueError, "no setting 'speed'"),
    ],
)
def test_wrong_arguments_are_refused(act, error, match):
    with pytest.raises(error, match=match):
        act()
