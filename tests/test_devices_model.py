"""Model, its files and the command line on a CUDA device, or on the emulated one."""

import copy
import json
import pickle
import subprocess
import sys

import dnncore as dnn
import numpy as np
import pytest
from cases import default_device, numbers
from dnncore import cuda, metrics, models, nn, optim
from dnncore.data import DataLoader, TensorDataset
from marks import PLACES, needs_device, without_device

ROWS, CLASSES = 60, 3


def _data(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((ROWS, 5), dtype=np.float32)
    return x, (x[:, :CLASSES] + 0.1).argmax(1)


def _net():
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, CLASSES))


def _model(device=None, optimizer="adam", loss="cross_entropy", chosen=("accuracy",), module=None):
    dnn.manual_seed(0)
    model = dnn.Model(_net() if module is None else module, device)
    model.compile(optimizer, loss, list(chosen))
    return model


@without_device
@pytest.mark.parametrize(
    "request_device",
    [
        lambda: dnn.Model(nn.Linear(2, 1), "cuda"),
        lambda: dnn.Model(nn.Linear(2, 1)).to("cuda:1"),
        lambda: _model().fit(*_data(), device="cuda", verbose=0),
    ],
)
def test_without_a_device_every_request_says_why(request_device):
    with pytest.raises(RuntimeError, match=r"(Model|Model.to|fit): cuda:[01] cannot be used: .+"):
        request_device()


@without_device
def test_auto_without_a_device_is_the_cpu(capsys):
    model = _model()
    history = model.fit(*_data(), device="auto", verbose=2)
    assert model.device == "cpu"
    assert history.params["device"] == "cpu"
    assert history.params["device_reason"].startswith("no CUDA device: ")
    assert f"fit: device 'auto' is cpu: no CUDA device: {cuda.unavailable_reason()}" in capsys.readouterr().err


def test_devices_that_are_none():
    for wrong in ("gpu", "cuda:x", ""):
        with pytest.raises(ValueError, match="expected device to be 'cpu', 'cuda', 'cuda:1' or 'auto', got"):
            dnn.Model(nn.Linear(2, 1), wrong)
        with pytest.raises(ValueError, match="fit: expected device to be"):
            _model().fit(*_data(), device=wrong, verbose=0)
    with pytest.raises(TypeError, match=r"Model.to: expected device to be .+, got 0"):
        dnn.Model(nn.Linear(2, 1)).to(0)
    with pytest.raises(RuntimeError, match="cannot be used"):
        dnn.Model(nn.Linear(2, 1)).to("cuda:99")


def test_the_cpu_says_nothing_of_devices():
    model = _model("cpu")
    assert model.device == "cpu"
    assert "device" not in model.fit(*_data(), verbose=0).params


@pytest.mark.parametrize("device", PLACES)
def test_models_are_pickled_and_copied(device):
    model = _model(device)
    model.fit(*_data(), verbose=0)
    expected = model.predict(_data()[0]).tolist()
    for twin, place in ((copy.deepcopy(model), device), (pickle.loads(pickle.dumps(model)), "cpu")):
        assert twin.device == dnn.device(place)
        assert np.allclose(twin.predict(_data()[0]).tolist(), expected, atol=1e-5)
        twin.fit(*_data(), verbose=0)
        assert np.isfinite(twin.evaluate(*_data())["loss"])


# --- Training


def _fitted(device, **options):
    model = _model(options.pop("model_device", None), **options.pop("compile", {}))
    history = model.fit(*_data(), epochs=3, batch_size=16, validation_split=0.2, verbose=0, device=device, **options)
    return model, history


@needs_device
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compile": {"optimizer": "sgd", "chosen": ("accuracy", "f1_macro", "confusion_matrix")}},
        {"class_weight": "balanced"},
        {"sample_weight": np.linspace(0.5, 2, ROWS, dtype=np.float32)},
        {"train_loss_eval": True},
        {"compile": {"loss": nn.CrossEntropyLoss(weight=dnn.tensor([1.0, 2.0, 3.0]))}},
    ],
    ids=["plain", "metrics", "class_weight", "sample_weight", "train_loss_eval", "weighted_loss"],
)
def test_training_as_on_the_cpu(options):
    """Twelve steps: a step's rounding is of 1e-7, and Adam makes it up to 1e-3 where a gradient is nearly 0."""
    (here, first), (there, second) = _fitted("cpu", **options), _fitted("cuda", **options)
    assert here.device == "cpu"
    assert there.device == "cuda:0"
    assert second.params["device"] == "cuda:0"
    assert first.history.keys() == second.history.keys()
    for name, values in first.history.items():
        assert np.allclose(values, second.history[name], atol=2e-3), name
    x, y = _data(1)
    assert np.abs(numbers(here.predict(x)) - numbers(there.predict(x))).max() < 5e-3
    assert abs(here.evaluate(x, y)["loss"] - there.evaluate(x, y)["loss"]) < 2e-3


@needs_device
def test_training_twice_gives_equal_bits():
    weights = [[numbers(p.detach().cpu()) for p in _fitted("cuda")[0].module.parameters()] for _ in range(2)]
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))


@needs_device
def test_auto_takes_the_faster_device_and_says_why(capsys):
    before = dnn.default_generator.get_state().tolist()
    model = _model("auto")
    dnn.default_generator.set_state(dnn.tensor(before, dtype=dnn.uint8))
    history = model.fit(*_data(), verbose=2)
    reason = history.params["device_reason"]
    assert history.params["device"] == str(model.device)
    assert "a step of 32 samples takes " in reason
    assert " ms on cpu and " in reason
    assert cuda.get_device_name() in reason
    assert f"fit: device 'auto' is {model.device}: {reason}" in capsys.readouterr().err
    plain = _model(str(model.device))
    dnn.default_generator.set_state(dnn.tensor(before, dtype=dnn.uint8))
    plain.fit(*_data(), verbose=0)
    for a, b in zip(model.module.parameters(), plain.module.parameters(), strict=True):  # the trial left no trace
        assert a.tolist() == b.tolist()


@needs_device
def test_a_failed_trial_leaves_the_cpu(monkeypatch):
    class HostOnly(nn.Linear):
        def forward(self, input):
            if input.is_cuda:
                raise RuntimeError("not here")
            return super().forward(input)

    model = _model(module=HostOnly(5, CLASSES))
    history = model.fit(*_data(), device="auto", verbose=0)
    assert model.device == "cpu"
    assert history.params["device_reason"] == "a trial step on cuda:0 failed: not here"


@needs_device
def test_what_fails_on_the_cpu_is_not_blamed_on_the_device(capsys):
    class Broken(nn.Linear):
        def forward(self, input):
            if self.training:
                raise RuntimeError("nowhere")
            return super().forward(input)

    model = _model(module=Broken(5, CLASSES))
    with pytest.raises(RuntimeError, match="nowhere"):
        model.fit(*_data(), device="auto", verbose=2)
    assert "trial" not in capsys.readouterr().err


@needs_device
def test_what_cannot_be_copied_is_not_tried():
    class Penalised(nn.Linear):
        def forward(self, input):
            if self.training:
                self.penalty = self.weight.square().sum()
            return super().forward(input)

    model = _model(module=Penalised(5, CLASSES))
    model.fit(*_data(), verbose=0)
    history = model.fit(*_data(), device="auto", verbose=0)
    assert "the network cannot be copied: deepcopy: " in history.params["device_reason"]


@pytest.mark.parametrize("device", PLACES)
def test_data_of_all_kinds_move_by_themselves(device):
    x, y = _data()
    model = _model(device)
    dataset = TensorDataset(dnn.tensor(x), dnn.tensor(y))
    loader = DataLoader(dataset, batch_size=16, pin_memory=device == "cuda")
    for data in ((x, y), (dnn.tensor(x), dnn.tensor(y)), (dataset,), (loader,), ([(x, y)],)):
        assert np.isfinite(model.fit(*data, verbose=0).history["loss"][0])
        assert set(model.evaluate(*data)) == {"loss", "accuracy"}
        assert model.predict(data[0]).device == "cpu"
    if device == "cuda":
        assert model.predict(dnn.tensor(x).cuda()).device == "cpu"
        there = dnn.tensor(x).cuda()
        targets = dnn.tensor(y)
        for data in ((there, targets.cuda()), (there, y), (x, targets.cuda()), (TensorDataset(there, targets),)):
            assert np.isfinite(model.fit(*data, verbose=0).history["loss"][0])
    assert model.train_on_batch(x, y).keys() == model.test_on_batch(x, y).keys() == {"loss", "accuracy"}
    assert model.predict(x, batch_size=7).shape == (ROWS, CLASSES)


@pytest.mark.parametrize("device", PLACES)
def test_several_outputs_and_metrics_in_python(device):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(5, CLASSES), nn.Linear(5, 1)

        def forward(self, x):
            return {"kind": self.a(x), "size": self.b(x)}

    seen = []

    def spread(output, target):
        seen.append((output.device, target.device))
        return float(np.abs(output.numpy() - target.numpy()).max())

    x, y = _data()
    model = dnn.Model(Two(), device)
    losses = {"kind": "cross_entropy", "size": "mse"}
    model.compile("adam", losses, {"kind": ["accuracy", metrics.ROCAUC()], "size": [spread, "r2"]})
    model.fit(x, {"kind": y, "size": x[:, :1]}, epochs=2, verbose=0)
    assert set(seen) == {(dnn.device("cpu"), dnn.device("cpu"))}
    found = model.predict(x)
    assert {name: value.device for name, value in found.items()} == {"kind": "cpu", "size": "cpu"}


@needs_device
def test_a_model_moves_between_fits():
    """Six steps; a step's rounding is of 1e-7 and grows by the steps."""

    def made():
        dnn.manual_seed(0)
        module = _net()
        model = dnn.Model(module)
        model.compile(optim.SGD(module.parameters(), 0.01, momentum=0.9), "cross_entropy")
        return model

    x, y = _data()
    stays, moves = made(), made()
    for model, devices in ((stays, ["cpu"] * 3), (moves, ["cpu", "cuda", "cpu"])):
        dnn.manual_seed(1)
        for device in devices:
            model.fit(x, y, verbose=0, device=device)
            assert model.device == dnn.device(device)
    first = moves.optimizer.param_groups[0]["params"][0]
    assert first is next(iter(moves.module.parameters()))
    assert moves.optimizer.state[first]["momentum_buffer"].device == "cpu"
    for a, b in zip(stays.module.parameters(), moves.module.parameters(), strict=True):
        assert np.abs(numbers(a.detach()) - numbers(b.detach())).max() < 1e-5


@needs_device
def test_lazy_modules_and_optimizers_of_ones_own():
    module = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(CLASSES))
    model = dnn.Model(module, "cuda")
    assert model.device == "cuda:0"
    model.compile("sgd", "cross_entropy")
    model.fit(*_data(), verbose=0)
    assert all(parameter.is_cuda for parameter in module.parameters())
    module = _net()
    model = dnn.Model(module)
    model.compile(optim.SGD(module.parameters(), 0.1, momentum=0.9), "cross_entropy")
    model.fit(*_data(), verbose=0, device="cuda")
    assert all(parameter.is_cuda for parameter in module.parameters())
    assert all(buffer.is_cuda for buffer in module.buffers())


@needs_device
def test_steps_on_a_device_say_why_they_run_in_python():
    module = _net().cuda()
    optimizer = optim.Adam(module.parameters())

    @dnn.capture
    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(x), y)
        loss.backward()
        optimizer.step()
        return loss

    x, y = (dnn.tensor(part).cuda() for part in _data())
    first = step(x, y).item()
    with pytest.warns(UserWarning, match="steps on a CUDA device are not recorded"):
        last = [step(x, y).item() for _ in range(5)][-1]
    assert last != first
    assert step.reason == "steps on a CUDA device are not recorded"
    assert not step.plans
    made_there = dnn.capture(lambda x: (module(x.cuda()).sum()).cpu())
    here = dnn.tensor(_data()[0])
    made_there(here)
    with pytest.warns(UserWarning, match="made_there|lambda"):
        assert made_there(here).device == "cpu"
    assert made_there.reason


@needs_device
def test_steps_recorded_on_the_cpu_are_not_repeated_elsewhere():
    module = nn.Linear(4, 2)
    x = dnn.ones(3, 4)
    steps = [dnn.capture(lambda x: (x * 2).sum()), dnn.capture(lambda x: module(x).sum())]
    expected = [[step(x).item() for _ in range(3)][-1] for step in steps]
    assert all(step.plans for step in steps)
    module.cuda()
    for step, value in zip(steps, expected, strict=True):
        with pytest.warns(UserWarning, match="steps on a CUDA device are not recorded"):
            assert abs(step(x.cuda()).item() - value) < 1e-5
    with pytest.raises(RuntimeError, match=r"expected tensors on one device|all tensors on"):
        steps[1](x)


# --- What a model shows


@needs_device
@pytest.mark.parametrize("default", ["cpu", "cuda"])
@pytest.mark.parametrize("place", ["cpu", "cuda"])
def test_a_model_is_shown_wherever_it_is(place, default):
    images = np.random.default_rng(0).random((2, 1, 32, 32), dtype=np.float32)
    dnn.manual_seed(0)
    model = dnn.Model(models.lenet5())
    expected = [numbers(model.saliency(images, [3, 4], samples=n, generator=dnn.Generator(1))) for n in (1, 3)]
    model.to(place)
    with default_device(default):
        for samples, values in zip((1, 3), expected, strict=True):
            found = model.saliency(images, [3, 4], samples=samples, generator=dnn.Generator(1))
            assert not found.is_cuda
            assert np.abs(numbers(found) - values).max() < 1e-5 * values.max()
        assert "61,706" in str(model.summary((1, 32, 32)))


@pytest.mark.parametrize("place", PLACES)
def test_pictures_of_a_model_wherever_it_is(place):
    plots = pytest.importorskip("matplotlib.figure", reason="matplotlib (extra plot) draws")
    model = dnn.Model(models.lenet5(), place)
    images = dnn.rand(2, 1, 32, 32, device=place)
    for figure in (
        model.plot_filters("features.0"),
        model.plot_activations("features.0", images[:1]),
        model.plot_saliency(images, samples=2),
        model.plot_confusion(images, dnn.tensor([0, 9], device=place)),
    ):
        assert isinstance(figure, plots.Figure)


# --- Files


@needs_device
def test_files_are_read_on_any_machine(tmp_path):
    x, _ = _data()
    model, _ = _fitted("cuda")
    model.save(tmp_path / "model")
    expected = numbers(model.predict(x))
    for device in (None, "cpu", "cuda"):
        found = dnn.Model.load(tmp_path / "model", device)
        assert found.device == dnn.device(device or "cpu")
        assert np.allclose(numbers(found.predict(x)), expected, atol=1e-5)
    dnn.save(model.module.state_dict(), tmp_path / "weights.safetensors")
    weights = dnn.load(tmp_path / "weights.safetensors")
    assert {value.device for value in weights.values()} == {dnn.device("cpu")}
    for device in ("cpu", "cuda"):
        module = _net().to(device)
        module.load_state_dict(weights)
        module.load_state_dict(model.module.state_dict())
        assert {value.device for value in module.state_dict().values()} == {dnn.device(device)}
        assert all(np.array_equal(numbers(value.cpu()), numbers(weights[name])) for name, value in module.state_dict().items())


@needs_device
@pytest.mark.parametrize("make", [lambda p: optim.SGD(p, 0.1, momentum=0.9), lambda p: optim.Adam(p, 0.01)], ids=["SGD", "Adam"])
def test_the_state_of_an_optimizer_goes_where_its_parameters_are(make):
    def stepped(module, optimizer):
        device = next(iter(module.parameters())).device
        x, y = (dnn.tensor(part).to(device) for part in _data())
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(x), y).backward()
        optimizer.step()

    dnn.manual_seed(0)
    here = nn.Linear(5, CLASSES)
    there = nn.Linear(5, CLASSES).cuda()
    there.load_state_dict(here.state_dict())
    ours, theirs = make(here.parameters()), make(there.parameters())
    stepped(here, ours)
    theirs.load_state_dict(ours.state_dict())
    there.load_state_dict(here.state_dict())
    assert all(value.is_cuda for state in theirs.state.values() for value in state.values() if value.ndim)
    stepped(here, ours)
    stepped(there, theirs)
    assert np.abs(numbers(here.weight.detach()) - numbers(there.weight.detach().cpu())).max() < 1e-4
    ours.load_state_dict(theirs.state_dict())
    here.cuda()
    assert here.weight.grad.is_cuda
    stepped(here, ours)
    assert all(value.is_cuda for state in ours.state.values() for value in state.values())


@needs_device
def test_lbfgs_goes_on_where_its_parameters_are():
    def stepped(w, optimizer):
        def closure():
            optimizer.zero_grad()
            loss = ((w - 1) ** 4).sum()
            loss.backward()
            return loss

        optimizer.step(closure)

    ways = []
    for moves in (False, True):
        holder = nn.Module()
        holder.w = nn.Parameter(dnn.tensor([3.0, -2.0], dtype=dnn.float64))
        optimizer = optim.LBFGS(holder.parameters(), max_iter=3)
        stepped(holder.w, optimizer)
        if moves:
            holder.cuda()
        stepped(holder.w, optimizer)
        ways.append(holder.w)
    assert ways[1].is_cuda
    assert np.allclose(numbers(ways[0].detach()), numbers(ways[1].detach().cpu()), rtol=1e-12)


@needs_device
def test_parameters_on_two_devices_are_refused():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with pytest.raises(RuntimeError, match="sgd: expected all parameters on cpu, got one on cuda:0"):
        optim.SGD([module[0].weight, nn.Linear(2, 2, device="cuda").weight], 0.1)
    optimizer = optim.SGD(module.parameters(), 0.1)
    module(dnn.ones(1, 2)).sum().backward()
    module[0].cuda()
    with pytest.raises(RuntimeError, match="sgd: expected all parameters on cuda:0, got one on cpu"):
        optimizer.step()


# --- The command line


def _run(*args):
    command = [sys.executable, "-W", "ignore", "-c", "from dnncore.cli import main; main()", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_info_says_whether_a_gpu_is_used():
    (line,) = [line for line in _run("info").stdout.splitlines() if line.startswith("CUDA")]
    if cuda.is_available():
        assert f"cuda:0 {cuda.get_device_name()}" in line
    else:
        assert f"no GPU is used: {cuda.unavailable_reason()}" in line


def test_the_command_line_refuses_devices_in_one_line(tmp_path):
    done = _run("train", "mlp", "--out", tmp_path / "a", "--epochs", 1, "--device", "gpu")
    assert done.returncode == 2
    assert "expected cpu, cuda, cuda:1 or auto, got 'gpu'" in done.stderr
    done = _run("train", "mlp", "--out", tmp_path / "b", "--epochs", 1, "--device", "cuda:99")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "cuda:99" in done.stderr


@pytest.mark.parametrize("device", ["auto", *PLACES])
def test_training_on_the_command_line(tmp_path, device):
    folder = tmp_path / "model"
    done = _run("train", "mlp", "--out", folder, "--epochs", 1, "--hidden", 4, "--batch-size", 512, "--device", device)
    assert done.returncode == 0, done.stderr
    record = json.loads((folder / "run.json").read_text())
    if device == "auto":
        assert record["params"]["device_reason"] in done.stderr
    elif device == "cuda":
        assert record["params"]["device"] == "cuda:0"
    assert _run("evaluate", folder).returncode == 0
