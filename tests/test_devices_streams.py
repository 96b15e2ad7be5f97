"""Streams, events, pinned memory and DLPack of CUDA devices, or of the emulated one."""

import subprocess
import sys

import dnncore as dnn
import numpy as np
import pytest
from cases import numbers, tensor
from dnncore import cuda
from dnncore.data import DataLoader, TensorDataset
from marks import needs_device, without_device

CUDA, CPU, LEGACY = 2, 1, 1


@without_device
@pytest.mark.parametrize(
    "request_device",
    [
        cuda.Stream,
        cuda.current_stream,
        lambda: cuda.Event().record(),
        lambda: dnn.ones(3).pin_memory(),
        lambda: dnn.from_dlpack(Producer(CUDA, 0)),
    ],
)
def test_without_a_device_every_request_says_why(request_device):
    with pytest.raises(RuntimeError, match=r"cuda:0 cannot be used: .+"):
        request_device()
    assert not dnn.ones(3).is_pinned()


# --- Streams and events


@needs_device
def test_a_device_has_one_stream():
    stream = cuda.Stream()
    assert stream == cuda.current_stream() == cuda.default_stream("cuda:0")
    assert stream.device == "cuda:0"
    assert stream.cuda_stream > 2
    assert len({stream, cuda.Stream()}) == 1
    with cuda.stream(stream), cuda.stream(None):
        x = dnn.ones(1000, device="cuda") + 1
    stream.synchronize()
    assert stream.query()
    assert x.sum().item() == 2000
    x.record_stream(stream)
    with pytest.raises(TypeError, match=r"expected a Stream of dnncore\.cuda, got int"), cuda.stream(3):
        pass
    with pytest.raises(RuntimeError, match="record_stream: expected a tensor on a CUDA device"):
        dnn.ones(2).record_stream(stream)


@needs_device
def test_events_happen_and_tell_the_time():
    begin, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
    assert begin.query()
    begin.synchronize()
    begin.wait()
    with pytest.raises(RuntimeError, match="expected both events to be recorded first"):
        begin.elapsed_time(end)
    begin.record()
    x = dnn.ones(300, 300, device="cuda")
    x = x @ x
    assert cuda.current_stream().record_event(end) is end
    end.synchronize()
    assert begin.query()
    assert end.query()
    assert begin.elapsed_time(end) > 0
    assert begin.elapsed_time(begin) == 0
    untimed = cuda.current_stream().record_event()
    untimed.synchronize()
    cuda.current_stream().wait_event(untimed)
    with pytest.raises(ValueError, match="enable_timing=True"):
        begin.elapsed_time(untimed)


class Foreign:
    """A stream of another library: the default one."""

    cuda_stream = 0


@needs_device
def test_streams_of_other_libraries():
    stream = cuda.current_stream()
    stream.wait_stream(Foreign())
    stream.wait_stream(cuda.Stream())
    event = cuda.Event()
    event.record(Foreign())
    event.wait(stream)
    event.synchronize()
    x = dnn.ones(5, device="cuda")
    x.record_stream(Foreign())
    del x
    assert dnn.zeros(5, device="cuda").tolist() == [0] * 5


# --- Pinned memory


@needs_device
def test_pinned_memory():
    x = tensor(np.arange(6.0).reshape(2, 3)).t()
    pinned = x.pin_memory()
    assert pinned.is_pinned()
    assert not x.is_pinned()
    assert pinned.pin_memory().data_ptr() == pinned.data_ptr()
    assert pinned[1:].is_pinned()
    assert pinned.stride() == x.stride()
    assert np.array_equal(numbers(pinned), numbers(x))
    there = pinned.to("cuda", non_blocking=True)
    assert np.array_equal(numbers(there.cpu()), numbers(x))
    assert not there.is_pinned()
    assert x.cuda(non_blocking=True).tolist() == x.tolist()
    assert dnn.ones(0).pin_memory().shape == (0,)
    with pytest.raises(RuntimeError, match="pin_memory: expected a tensor on the CPU, got one on cuda:0"):
        there.pin_memory()


@needs_device
def test_pinned_memory_is_reused_after_its_copies():
    addresses = set()
    for i in range(20):
        pinned = dnn.full((1000,), float(i)).pin_memory()
        addresses.add(pinned.data_ptr())
        there = pinned.to("cuda", non_blocking=True)
        del pinned
        cuda.synchronize()
        assert there[0].item() == i
    assert len(addresses) == 1


@without_device
def test_a_loader_that_cannot_pin_warns():
    with pytest.warns(UserWarning, match="DataLoader: pin_memory has no effect: .+"):
        batches = list(DataLoader(TensorDataset(dnn.ones(3)), pin_memory=True))
    assert len(batches) == 3


@needs_device
@pytest.mark.parametrize("options", [{}, {"shuffle": True, "prefetch": True}, {"transform": lambda x, y: (x + 1, y)}])
def test_a_loader_pins_its_batches(options):
    x, y = dnn.arange(10).float(), dnn.arange(10)
    batches = []
    for pin in (False, True):
        dnn.manual_seed(0)
        batches.append([*DataLoader(TensorDataset(x, y), batch_size=4, pin_memory=pin, **options)])
    for plain, pinned in zip(*batches, strict=True):
        assert [part.tolist() for part in plain] == [part.tolist() for part in pinned]
        assert not any(part.is_pinned() for part in plain)
        assert all(part.is_pinned() for part in pinned)


# --- DLPack


class Producer:
    """What another library hands out: memory of a device, with the stream that it was asked for."""

    def __init__(self, kind, number, x=None):
        self.device, self.x, self.asked = (kind, number), x, []

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, *, stream=None, max_version=None):
        self.asked.append(stream)
        return self.x.__dlpack__(stream=stream, max_version=max_version)


def test_other_devices_are_refused():
    with pytest.raises(ValueError, match="expected memory of the CPU or of a CUDA device, got DLPack device type 10"):
        dnn.from_dlpack(Producer(10, 0))
    with pytest.raises(BufferError, match="the tensor is on cpu and is moved to the CPU only"):
        dnn.ones(2).__dlpack__(dl_device=(CUDA, 0))


@needs_device
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16", "int64", "int32", "uint8", "bool"])
def test_dlpack_shares_the_memory_of_a_device(dtype):
    x = dnn.arange(6).to(getattr(dnn, dtype)).cuda().reshape(2, 3).t()
    assert x.__dlpack_device__() == (CUDA, 0)
    shared = dnn.from_dlpack(x)
    assert shared.device == "cuda:0"
    assert shared.data_ptr() == x.data_ptr()
    assert shared.stride() == x.stride()
    assert shared.tolist() == x.tolist()
    x.zero_()
    assert not shared.any().item()
    del x
    assert shared.sum().item() == 0
    copied = dnn.from_dlpack(shared, copy=True)
    assert copied.data_ptr() != shared.data_ptr()


@needs_device
def test_foreign_memory_takes_part_in_operations():
    x = dnn.arange(6.0, device="cuda")
    shared = dnn.from_dlpack(x)
    assert (shared + x).tolist() == [0, 2, 4, 6, 8, 10]
    before = cuda.memory_allocated()
    del shared
    assert cuda.memory_allocated() == before
    assert x.tolist() == [0, 1, 2, 3, 4, 5]
    assert dnn.from_dlpack(dnn.empty(0, 3, device="cuda")).shape == (0, 3)


@needs_device
def test_dlpack_names_its_stream():
    producer = Producer(CUDA, 0, dnn.ones(3, device="cuda"))
    assert dnn.from_dlpack(producer).tolist() == [1, 1, 1]
    assert producer.asked == [cuda.current_stream().cuda_stream]
    host = Producer(CPU, 0, dnn.ones(3))
    assert dnn.from_dlpack(host).tolist() == [1, 1, 1]
    assert host.asked == [None]


@needs_device
def test_streams_of_dlpack_follow_the_array_api():
    x = dnn.ones(3, device="cuda")
    for stream in (None, 1, 2, -1, cuda.current_stream().cuda_stream):
        capsule = x.__dlpack__(stream=stream, max_version=(1, 0))
        assert dnn.from_dlpack(capsule).tolist() == [1, 1, 1]
    for stream in (0, -2):
        with pytest.raises(ValueError, match=f"expected stream 1, 2, -1 or a handle, got {stream}"):
            x.__dlpack__(stream=stream)
    with pytest.raises(TypeError, match="expected stream as an int or None, got str"):
        x.__dlpack__(stream="1")
    with pytest.raises(ValueError, match="a CPU tensor has no stream, got 1"):
        dnn.ones(3).__dlpack__(stream=1)


@needs_device
def test_dlpack_to_the_cpu_is_a_copy():
    x = dnn.arange(4.0, device="cuda")
    assert dnn.from_dlpack(x, device="cpu").device == "cpu"
    capsule = x.__dlpack__(dl_device=(CPU, 0), max_version=(1, 0))
    assert dnn.from_dlpack(capsule).tolist() == [0, 1, 2, 3]
    with pytest.raises(BufferError, match="copy=False forbids to bring it to the CPU"):
        x.__dlpack__(dl_device=(CPU, 0), copy=False)
    with pytest.raises(ValueError, match="copy=False forbids to move the tensor from cuda:0 to cpu"):
        dnn.from_dlpack(x, device="cpu", copy=False)
    assert dnn.from_dlpack(np.arange(3.0), device="cuda").device == "cuda:0"
    with pytest.raises(RuntimeError, match="requires grad"):
        dnn.ones(2, device="cuda").requires_grad_().__dlpack__()


@needs_device
def test_torch_shares_the_memory_both_ways():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    x = dnn.arange(1000.0, device="cuda")
    there = torch.from_dlpack(x)
    assert there.device.type == "cuda"
    assert there.data_ptr() == x.data_ptr()
    there.mul_(2)
    torch.cuda.current_stream().synchronize()
    assert x[10].item() == 20
    for stream in (torch.cuda.default_stream(), torch.cuda.Stream()):
        with torch.cuda.stream(stream):
            for size in (10, 1 << 20):
                made = torch.full((size,), 3.0, device="cuda") * 2
                assert (dnn.from_dlpack(made) + 1).sum().item() == 7 * size
                back = torch.from_dlpack(dnn.full((size,), 4.0, device="cuda") + 1)
                assert back.sum().item() == 5 * size


# --- After a fork

FORKED = """
import os
import dnncore as dnn
x = dnn.ones(3, device="cuda")
pinned = x.cpu().pin_memory()
pid = os.fork()
if pid == 0:
    for request in (lambda: x + 1, lambda: x.cpu(), lambda: dnn.ones(2, device="cuda"), dnn.cuda.synchronize):
        try:
            request()
        except RuntimeError as error:
            assert "forked" in str(error) and "spawn" in str(error), error
        else:
            os._exit(1)
    assert not dnn.cuda.is_available() and "forked" in dnn.cuda.unavailable_reason()
    del x, pinned
    assert (dnn.ones(3) + 1).tolist() == [2, 2, 2]
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert (x + 1).tolist() == [2, 2, 2]
"""


@needs_device
def test_a_forked_process_says_that_it_cannot_use_the_device():
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], check=True, timeout=120)
