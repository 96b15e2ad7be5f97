"""Tensors on a CUDA device, or on the emulated one: moves, memory, errors, and training as on the CPU."""

import copy
import os
import pickle
import subprocess
import sys

import dnncore as dnn
import numpy as np
import pytest
from cases import normals, numbers, tensor
from dnncore import cuda, nn, optim
from marks import needs_device, without_device


@without_device
@pytest.mark.parametrize(
    "request_device",
    [
        lambda: dnn.zeros(3, device="cuda"),
        lambda: dnn.tensor([1.0]).to("cuda"),
        lambda: dnn.tensor([1.0]).cuda(),
        lambda: nn.Linear(2, 3).to("cuda"),
        lambda: dnn.rand(2, device="cuda:0"),
        cuda.synchronize,
        cuda.get_device_name,
        cuda.memory_allocated,
        cuda.mem_get_info,
        lambda: cuda.set_device(0),
        lambda: nn.Linear(2, 3, device="cuda"),
        lambda: nn.Linear(2, 3).cuda(),
    ],
)
def test_without_a_device_every_request_says_why(request_device):
    assert cuda.device_count() == 0
    assert cuda.unavailable_reason()
    with pytest.raises(RuntimeError, match=r"cuda:0 cannot be used: .+"):
        request_device()


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "cuda:x", "CUDA", "cuda:1000"])
def test_names_of_devices(name):
    with pytest.raises(ValueError, match="expected 'cpu', 'cuda' or 'cuda:1', got"):
        dnn.device(name)
    assert repr(dnn.device("cuda:1")) == "device(type='cuda', index=1)"
    assert str(dnn.device("cuda")) == "cuda:0"
    assert dnn.device("cuda") == dnn.device("cuda:0") == "cuda:0"
    assert copy.deepcopy(dnn.device("cuda:1")) == pickle.loads(pickle.dumps(dnn.device("cuda:1"))) == dnn.device("cuda:1")
    assert dnn.device("cpu").index is None


@needs_device
def test_values_survive_the_way_there_and_back():
    for x in (
        tensor(normals(3, 5)),
        tensor(normals(4, 3, 5, 6)).to(memory_format=dnn.channels_last),
        tensor(normals(6, 4)).t(),
        tensor(normals(9))[::2],
    ):
        there = x.to("cuda")
        assert there.is_cuda
        assert there.device == "cuda:0"
        assert there.to("cuda") is there
        assert np.array_equal(numbers(there.cpu()), numbers(x))
        if x.stride() != (2,):
            assert there.stride() == x.stride() == there.cpu().stride()
    for kind in (dnn.float64, dnn.bfloat16, dnn.float16, dnn.int64, dnn.int32, dnn.uint8, dnn.bool):
        x = tensor(np.arange(7)).to(kind)
        assert x.cuda().dtype == kind
        assert x.cuda().tolist() == x.tolist()


@needs_device
def test_the_gradient_comes_back():
    x = tensor(normals(4, 3)).requires_grad_()
    there = x.cuda()
    (there * there).cpu().sum().backward()
    assert np.array_equal(numbers(x.grad), 2 * numbers(x.detach()))


@needs_device
def test_creation_and_conversion():
    x = dnn.full((2, 3), 2.5, device="cuda")
    assert dnn.zeros_like(x).is_cuda
    assert x.new_ones(3).is_cuda
    assert dnn.empty_like(x, device="cpu").device == "cpu"
    assert dnn.arange(5, device="cuda").tolist() == [0, 1, 2, 3, 4]
    assert dnn.eye(2, device="cuda").tolist() == [[1, 0], [0, 1]]
    assert "device='cuda:0'" in repr(x)
    assert x.sum().item() == 15.0
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x)).cuda()):
        assert twin.is_cuda
        assert twin.tolist() == x.tolist()
    y = dnn.zeros(2, 3)
    y.copy_(x)
    assert y.tolist() == x.tolist()


@needs_device
@pytest.mark.parametrize(
    ("op", "mix"),
    [
        ("add", lambda a, b: a + b),
        ("mul", lambda a, b: a.mul_(b)),
        ("where", lambda a, b: dnn.where(a > 0, a, b)),
        ("where", lambda a, b: dnn.where(b > 0, a, a)),
        ("matmul", lambda a, b: a @ b),
        ("linear", nn.functional.linear),
        ("bmm", lambda a, b: dnn.bmm(a[None], b[None])),
        ("cat", lambda a, b: dnn.cat([a, b])),
        ("stack", lambda a, b: dnn.stack([a, b])),
        ("mse_loss", nn.functional.mse_loss),
        ("layer_norm", lambda a, b: nn.functional.layer_norm(a, (3,), b[0])),
        ("conv2d", lambda a, b: nn.functional.conv2d(a[None, None], b[None, None])),
        ("gather", lambda a, b: a.gather(0, b.long())),
        ("embedding", lambda a, b: nn.functional.embedding(b.long(), a)),
        ("cross_entropy", lambda a, b: nn.functional.cross_entropy(a, b[0].long())),
        ("masked_fill", lambda a, b: a.masked_fill(b > 0, 1.0)),
        ("index_select", lambda a, b: a.index_select(0, b[0].long())),
        ("addmm", lambda a, b: dnn.addmm(a, b, b)),
        ("einsum", lambda a, b: dnn.einsum("ij,jk->ik", a, b)),
    ],
)
def test_mixed_devices_are_refused(op, mix):
    for a, b in (("cpu", "cuda"), ("cuda", "cpu")):
        with pytest.raises(RuntimeError, match=r"(one device|all tensors on|all parameters on)") as error:
            mix(dnn.ones(3, 3, device=a), dnn.ones(3, 3, device=b))
        assert "cuda" in str(error.value).lower()
        assert "cpu" in str(error.value) or "elsewhere" in str(error.value), error.value


@needs_device
def test_numbers_of_the_cpu_stand_beside_any_device():
    there, number = dnn.ones(3, device="cuda"), dnn.tensor(2.0, requires_grad=True)
    assert (there + number).tolist() == (number + there).tolist() == [3, 3, 3]
    assert there.clone().mul_(number.detach()).tolist() == [2, 2, 2]
    assert dnn.where(there > 0, number, there).tolist() == [2, 2, 2]
    assert dnn.where(there > 0, 0.0, 1.0).is_cuda
    assert dnn.where(number > 0, there, 1.0).tolist() == there.tolist()
    with pytest.raises(RuntimeError, match="where: expected tensors on one device, got cuda:0 and cpu"):
        dnn.where(there > 0, there.cpu(), 1.0)
    (there * number).sum().backward()
    assert number.grad.device == "cpu"
    assert number.grad.item() == 3
    with pytest.raises(RuntimeError, match="add: expected tensors on one device, got cpu and cuda:0"):
        dnn.ones(3) + there.sum()


@needs_device
def test_what_cannot_leave_the_device_says_how():
    there = dnn.ones(3, device="cuda")
    for convert in (there.numpy, there.__array__, lambda: np.asarray(there), lambda: np.add(there, 1)):
        with pytest.raises(TypeError, match=r"NumPy cannot read a tensor on cuda:0; use x.cpu\(\).numpy\(\)"):
            convert()
    with pytest.raises(RuntimeError, match="zeros: cuda:7 cannot be used: there"):
        dnn.zeros(2, device="cuda:7")
    with pytest.raises(RuntimeError, match=r"expected tensors on one device|all tensors on"):
        nn.Linear(3, 2)(there)
    assert there.tolist() == [1, 1, 1]


@needs_device
def test_the_host_reads_values():
    x = dnn.arange(6.0, device="cuda").reshape(2, 3)
    assert x[1, 2].item() == 5
    assert float(x[1, 1]) == 4
    assert int(x[0, 1]) == 1
    assert bool(x[1, 0])
    assert not x[0, 0]
    assert [row.tolist() for row in x] == [[0, 1, 2], [3, 4, 5]]
    assert len(x) == 2
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert repr(x) == "tensor([[0., 1., 2.],\n        [3., 4., 5.]], device='cuda:0')"
    assert f"{x[0, 1].item():.1f}" == "1.0"
    assert 4 in x
    assert dnn.equal(x, x.clone())
    assert dnn.allclose(x, x + 1e-9)
    assert x.unique().numel() == 6
    assert x.nonzero().tolist() == [[0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]


@needs_device
def test_indices_may_come_from_the_host():
    x = dnn.arange(6.0, device="cuda").reshape(2, 3)
    there = dnn.tensor([1, 0], device="cuda")
    for index in (there, there.cpu(), [1, 0], np.array([1, 0]), dnn.tensor([True, True]), x[:, 0] > -1):
        assert x[index].device == "cuda:0"
    assert x[there.cpu()].tolist() == x[there].tolist() == [[3, 4, 5], [0, 1, 2]]
    assert x[:, dnn.tensor([2, 0])].tolist() == [[2, 0], [5, 3]]
    assert x[there.cpu(), there].tolist() == [4, 0]
    assert x[x.cpu() > 3].tolist() == [4, 5]
    x[dnn.tensor([0])] = dnn.tensor(7.0)
    x[1] = [8, 9, 10]
    x[[1], 1:] = np.array([[1.0, 2.0]], np.float32)
    assert x.tolist() == [[7, 7, 7], [8, 1, 2]]
    with pytest.raises(RuntimeError, match="expected all tensors on cpu, got one on a CUDA device"):
        dnn.ones(2, 3)[there]


@needs_device
def test_lengths_may_come_from_the_device():
    layer = nn.LSTM(3, 4, batch_first=True).cuda()
    x = tensor(normals(2, 5, 3))
    packed = nn.utils.rnn.pack_padded_sequence(x.cuda(), dnn.tensor([5, 2], device="cuda"), batch_first=True)
    found, _ = nn.utils.rnn.pad_packed_sequence(layer(packed)[0], batch_first=True)
    here = layer.cpu()(nn.utils.rnn.pack_padded_sequence(x, dnn.tensor([5, 2]), batch_first=True))[0]
    expected, _ = nn.utils.rnn.pad_packed_sequence(here, batch_first=True)
    assert np.allclose(numbers(found.cpu()), numbers(expected), atol=1e-6)
    lengths = dnn.tensor([2, 5])
    there = layer.cuda()(x.cuda(), lengths=lengths.cuda())[0]
    assert np.allclose(numbers(there.detach().cpu()), numbers(layer.cpu()(x, lengths=lengths)[0].detach()), atol=1e-6)


@needs_device
def test_modules_move_as_they_are():
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.LazyLinear(2))
    module.append(module[0])
    before = [*module.parameters()]
    assert module.cuda() is module
    assert all(a is b for a, b in zip(before, module.parameters(), strict=True))
    assert all(each.device == "cuda:0" for each in (*before, *module.buffers()))
    assert module[0].weight is module[3].weight
    module[2](dnn.ones(1, 4, device="cuda")).sum().backward()
    weight = module[2].weight
    assert weight.is_cuda
    module.to("cpu", dnn.float64)
    assert module[2].weight.grad.dtype == dnn.float64
    assert module[2].weight.device == module[2].weight.grad.device == "cpu"
    twin = copy.deepcopy(nn.Linear(2, 2, device="cuda"))
    assert twin.weight.is_cuda
    assert not pickle.loads(pickle.dumps(twin)).weight.is_cuda
    assert nn.Linear(2, 2, device="cuda").to(dnn.float64).weight.device == "cuda:0"
    assert nn.BatchNorm1d(3, device="cuda").num_batches_tracked.is_cuda


@needs_device
def test_a_failed_kernel_is_named():
    if cuda.get_device_name() != "emulated device":
        pytest.skip("kernels of a real device do not fail on request")
    code = """
import dnncore as dnn
x = dnn.ones(3, device="cuda")
try:
    x.exp()
except RuntimeError as error:
    print(error)
print((x + 1).tolist())
"""
    found = _ran(code, DNNCORE_EMULATOR_FAIL="unary").stdout
    assert found == "exp: unary: an illegal memory access was encountered\n[2.0, 2.0, 2.0]\n"


TWO = """
import dnncore as dnn
from dnncore import cuda, nn
assert cuda.device_count() == 2
x = dnn.ones(3, device="cuda:1")
assert x.device == "cuda:1" and x.cuda(0).device == "cuda:0" and x.to("cuda").device == "cuda:0"
assert x.cuda("cuda:1") is x and (x.cuda(0) + 1).to("cuda:1").tolist() == [2, 2, 2]
try:
    x + x.cuda(0)
except RuntimeError as error:
    assert "add: expected tensors on one device, got cuda:1 and cuda:0" in str(error)
else:
    raise AssertionError
assert cuda.current_device() == 0
with cuda.device(1):
    assert cuda.current_device() == 1
    assert dnn.zeros(2, device="cuda").device == "cuda:1" and nn.Linear(2, 2).cuda().weight.device == "cuda:1"
    assert cuda.current_stream().device == "cuda:1"
    with cuda.stream(cuda.Stream(0)):
        assert cuda.current_device() == 0
assert cuda.current_device() == 0
cuda.set_device("cuda:1")
assert cuda.current_device() == 1 and cuda.memory_allocated() == cuda.memory_allocated(1)
import threading
seen = []
thread = threading.Thread(target=lambda: seen.append(cuda.current_device()))
thread.start(), thread.join()
assert seen == [0]
event = cuda.Event()
event.record()
try:
    event.record(cuda.Stream(0))
except RuntimeError as error:
    assert "the event is of cuda:1, the stream of cuda:0" in str(error)
else:
    raise AssertionError
"""


@needs_device
def test_two_devices():
    if cuda.device_count() < 2 and cuda.get_device_name() != "emulated device":
        pytest.skip("there is one device")
    _ran(TWO, DNNCORE_EMULATOR_DEVICES="2")


def _ran(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, **environment},
        check=True,
        timeout=120,
        capture_output=True,
        text=True,
    )


def test_devices_are_asked_for_silently():
    code = "import dnncore as dnn; dnn.ones(2); print(dnn.cuda.is_available() == (dnn.cuda.unavailable_reason() == ''))"
    done = _ran(code)
    assert (done.stdout, done.stderr) == ("True\n", "")


DEFAULT = """
import dnncore as dnn
from dnncore import data, nn
rows = data.TensorDataset(dnn.arange(12.0).reshape(6, 2), dnn.arange(6) % 2)
dnn.set_default_device("cuda")
weight = dnn.empty(6, 4)
for initialise in (nn.init.orthogonal_, nn.init.trunc_normal_, lambda w: nn.init.sparse_(w, 0.5)):
    assert initialise(weight).is_cuda
parts = data.random_split(rows, [4, 2])
assert [len(part) for part in parts] == [4, 2]
assert [len(part) for part in data.stratified_split(rows.tensors[1], 0.34)] == [4, 2]
for dataset in (rows, parts[0]):
    assert sum(len(x) for x, _ in data.DataLoader(dataset, batch_size=4, shuffle=True)) == len(dataset)
model = dnn.Model(nn.Linear(2, 2))
model.compile("sgd", "cross_entropy", ["accuracy"])
model.fit(*rows.tensors, validation_split=0.34, verbose=0)
assert model.device == "cuda:0"
"""


@needs_device
def test_the_host_draws_and_counts_whatever_the_default_device():
    _ran(DEFAULT)


@needs_device
def test_what_a_device_is():
    properties = cuda.get_device_properties()
    assert set(properties) == {"name", "major", "minor", "multi_processor_count", "total_memory"}
    assert cuda.get_device_name("cuda") == cuda.get_device_name(0) == properties["name"]
    assert cuda.get_device_capability() == (properties["major"], properties["minor"])
    free, total = cuda.mem_get_info()
    assert 0 < free <= total == properties["total_memory"]
    assert "allocated_bytes" in cuda.memory_summary()
    cuda.manual_seed_all(4)
    x = dnn.rand(3, device="cuda")
    cuda.manual_seed(4)
    assert dnn.rand(3).tolist() == x.tolist()
    for wrong, kind, message in (
        ("cpu", ValueError, "expected a CUDA device, got cpu"),
        (-1, ValueError, "expected the number of a device, got -1"),
        (1 << 70, ValueError, "expected the number of a device"),
        (2.5, TypeError, "expected a device, its name or its number, got float"),
        (99, RuntimeError, "cuda:99 cannot be used: there"),
    ):
        with pytest.raises(kind, match=message):
            cuda.synchronize(wrong)
    with pytest.raises(RuntimeError, match="set_device: cuda:99 cannot be used"):
        cuda.set_device(99)


@needs_device
def test_memory_is_counted_kept_and_given_back():
    cuda.empty_cache()
    before = cuda.memory_allocated()
    x = dnn.zeros(1 << 20, device="cuda")
    assert cuda.memory_allocated() == before + (4 << 20) <= cuda.memory_reserved()
    del x
    assert cuda.memory_allocated() == before
    taken = cuda.memory_stats()["system_allocations"]
    for _ in range(10):
        dnn.zeros(1 << 20, device="cuda")
    assert cuda.memory_stats()["system_allocations"] == taken
    assert cuda.max_memory_allocated() >= before + (4 << 20)
    cuda.empty_cache()
    with pytest.raises(MemoryError, match=r"requested on cuda:0; .+ held by tensors, .+ kept .+ free"):
        dnn.empty(1 << 45, device="cuda")


@needs_device
def test_without_the_cache_memory_goes_back_at_once():
    code = """
import dnncore as dnn
from dnncore import cuda
x = dnn.arange(250, dtype=dnn.float32, device="cuda")
assert cuda.memory_allocated() == cuda.memory_reserved() == 1000
assert (x + 1).sum().item() == 250 * 251 / 2
assert cuda.memory_reserved() == 1000
del x
assert cuda.memory_allocated() == cuda.memory_reserved() == 0
"""
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "DNNCORE_CUDA_CACHE": "0"}, check=True)


@needs_device
def test_dropout_has_the_masks_of_the_cpu():
    x = tensor(normals(1000))
    found = []
    for device in ("cpu", "cuda"):
        dnn.manual_seed(3)
        found += [numbers(nn.functional.dropout(x.to(device), 0.3).cpu()) for _ in range(2)]
    assert np.array_equal(found[0], found[2])
    assert np.array_equal(found[1], found[3])
    assert not np.array_equal(found[0], found[1])


def _trained(device, make):
    dnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 33), nn.ReLU(), nn.Linear(33, 7)).to(device)
    optimizer = make(model.parameters())
    x, target = tensor(normals(16, 20)).to(device), dnn.arange(16, device=device) % 7
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, [numbers(parameter.detach().cpu()) for parameter in model.parameters()]


@needs_device
@pytest.mark.parametrize("make", [lambda p: optim.SGD(p, 0.1, momentum=0.9), lambda p: optim.Adam(p, 0.01)], ids=["SGD", "Adam"])
def test_training_as_on_the_cpu(make):
    """Five steps; a step's rounding is of 1e-7 and grows by the steps."""
    here, there = _trained("cpu", make), _trained("cuda", make)
    assert np.allclose(here[0], there[0], rtol=0, atol=2e-6)
    for a, b in zip(here[1], there[1], strict=True):
        assert np.abs(a - b).max() <= 1e-5


@needs_device
def test_gradients_are_checked_where_the_inputs_are():
    x = dnn.tensor(normals(3, 4), device="cuda")
    report = dnn.check_gradients(nn.Linear(4, 2).cuda(), x)
    assert report.ok
    wrong = dnn.check_gradients(lambda x: (x.detach() * x).sum(), x, raise_exception=False)
    assert "factor 2" in wrong.hint
