"""Tensors on a CUDA device, or on the emulated one: moves, memory, errors, and training as on the CPU."""

import copy
import os
import pickle
import subprocess
import sys

import dnncore as dnn
import numpy as np
import pytest
from cases import numbers, tensor
from dnncore import cuda, nn, optim

needs_device = pytest.mark.skipif(not cuda.is_available(), reason=f"no CUDA device: {cuda.unavailable_reason()}")


def _random(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape, dtype=np.float32)


@pytest.mark.skipif(cuda.is_available(), reason="there is a device")
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
    assert dnn.device("cpu").index is None


@needs_device
def test_values_survive_the_way_there_and_back():
    for x in (
        tensor(_random(3, 5)),
        tensor(_random(4, 3, 5, 6)).to(memory_format=dnn.channels_last),
        tensor(_random(6, 4)).t(),
        tensor(_random(9))[::2],
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
    x = tensor(_random(4, 3)).requires_grad_()
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
def test_mixed_devices_and_arrays_are_refused():
    here, there = dnn.ones(3), dnn.ones(3, device="cuda")
    with pytest.raises(ValueError, match="add: expected tensors on one device, got cuda:0 and cpu"):
        there + here
    with pytest.raises(TypeError, match=r"numpy: NumPy cannot read a tensor on cuda:0; use x.cpu\(\).numpy\(\)"):
        there.numpy()
    with pytest.raises(RuntimeError, match="cuda:7 cannot be used: there"):
        dnn.zeros(2, device="cuda:7")
    with pytest.raises(ValueError, match="expected tensors on one device"):
        nn.Linear(3, 2)(there)
    assert there.tolist() == [1, 1, 1]


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
    x = tensor(_random(1000))
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
    x, target = tensor(_random(16, 20)).to(device), dnn.arange(16, device=device) % 7
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
