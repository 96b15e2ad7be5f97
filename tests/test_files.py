"""Saved tensors: every dtype comes back, hostile files are refused, a failing save leaves the old file."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import random
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile

import dnncore as dnn
import numpy as np
import pytest
import safetensors.numpy
from faults import Faults

DTYPES = [dnn.float32, dnn.float64, dnn.bfloat16, dnn.float16, dnn.int64, dnn.int32, dnn.uint8, dnn.bool]


def bits(tensor: dnn.Tensor) -> tuple[object, ...]:
    wide = tensor.to(dnn.float32) if tensor.dtype == dnn.bfloat16 else tensor
    return tensor.dtype, tuple(tensor.shape), wide.contiguous().numpy().tobytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


# --- Round trips


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2), (3, 5), (2, 3, 4)], ids=str)
def test_every_dtype_and_shape_comes_back(path, dtype, shape):
    values = (dnn.arange(int(np.prod(shape))).reshape(shape) * 3).to(dtype)
    dnn.save({"a": values, "b.c": dnn.ones(2)}, path)
    loaded = dnn.load(path)
    assert set(loaded) == {"a", "b.c"}
    assert bits(loaded["a"]) == bits(values)
    assert not loaded["a"].requires_grad


def test_special_values_and_views_come_back(path):
    special = dnn.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e-45, 3.4e38])
    grid = dnn.arange(24).reshape(4, 6)
    tied = dnn.ones(2, requires_grad=True)
    state = {
        "special": special,
        "half": special.to(dnn.bfloat16),
        "transposed": grid.T,
        "strided": grid[1::2, ::3],
        "expanded": dnn.ones(1).expand(3, 4),
        "tied1": tied,
        "tied2": tied,
    }
    dnn.save(state, path)
    loaded = dnn.load(path)
    for name, value in state.items():
        assert bits(loaded[name]) == bits(value.detach()), name
    loaded["tied1"].fill_(5.0)
    assert loaded["tied2"].tolist() == [1.0, 1.0]


def test_loaded_tensors_can_be_written(path):
    dnn.save({"w": dnn.ones(2)}, path)
    loaded = dnn.load(path)["w"]
    loaded.fill_(2.0)
    assert loaded.tolist() == [2.0, 2.0]


def test_nothing_to_save(path):
    dnn.save({}, path)
    assert dnn.load(path) == {}


def test_others_read_it_and_it_reads_others(path):
    dnn.save({"w": dnn.full((2, 2), 0.5)}, path)
    np.testing.assert_array_equal(safetensors.numpy.load_file(path)["w"], np.full((2, 2), 0.5, np.float32))
    safetensors.numpy.save_file({"v": np.arange(3)}, path, metadata={"format": "np"})
    assert dnn.load(path)["v"].tolist() == [0, 1, 2]


def test_equal_content_gives_equal_files(tmp_path):
    for name in ("a", "b"):
        dnn.save({"x": dnn.ones(3), "y": dnn.zeros(2)}, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("state", "error", "match"),
    [
        ({"a": np.ones(2)}, TypeError, "expected a tensor for 'a', got ndarray"),
        ({1: dnn.ones(1)}, TypeError, "names of type str, got int"),
        ({"__metadata__": dnn.ones(1)}, ValueError, "cannot name a tensor"),
        ({"a" * 5000: dnn.ones(1)}, ValueError, "cannot name a tensor"),
    ],
)
def test_save_refuses(path, state, error, match):
    with pytest.raises(error, match=match):
        dnn.save(state, path)
    assert not path.exists()


# --- Hostile files


def content(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


def sealed(seal, key="dnncore") -> bytes:
    return content({"__metadata__": {key: json.dumps(seal)}, "a": entry()}, b"1234")


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("pickle-was-opened",)


def torch_like_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb()))
    return buffer.getvalue()


DOUBLE = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
ENTRY = b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'

HOSTILE = {
    "empty": b"",
    "short": b"1234567",
    "only a length": struct.pack("<Q", 0),
    "text": b"hello, this is not a model at all",
    "zip": torch_like_zip(),
    **{f"pickle {p}": pickle.dumps({"w": Bomb()}, protocol=p) for p in range(6)},
    "header longer than the file": struct.pack("<Q", 1 << 40) + b"{}",
    "header length with the top bit": struct.pack("<Q", (1 << 64) - 1) + b"{}",
    "header cap": struct.pack("<Q", (1 << 24) + 1) + b"{" + b" " * (1 << 24),
    "broken JSON": content(b'{"a":'),
    "deep JSON": content(b'{"a":' * 100_000),
    "bad UTF-8": content(b'{"\xff":1}'),
    "NaN as a shape": content(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', b"1234"),
    "huge number": content(b'{"a":{"dtype":"F32","shape":[1' + b"0" * 5000 + b'],"data_offsets":[0,4]}}', b"1234"),
    "duplicate name": content(DOUBLE, b"1234"),
    "duplicate metadata": content(b'{"__metadata__":{"k":"1","k":"2"},' + ENTRY + b"}", b"1234"),
    "metadata is a list": content({"__metadata__": ["x"], "a": entry()}, b"1234"),
    "metadata of numbers": content({"__metadata__": {"x": 1}, "a": entry()}, b"1234"),
    "entry is a list": content({"a": [1, 2]}, b"1234"),
    "entry without shape": content({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, b"1234"),
    "unknown field": content({"a": entry(code="import os")}, b"1234"),
    "unknown dtype": content({"a": entry("F128", (1,), (0, 16))}, b"1" * 16),
    "dtype is a list": content({"a": entry(["F32"])}, b"1234"),
    "complex": content({"a": entry("C64", (1,), (0, 8))}, b"1" * 8),
    "negative shape": content({"a": entry(shape=(-1,))}, b"1234"),
    "fractional shape": content({"a": entry(shape=(1.0,))}, b"1234"),
    "shape of bools": content({"a": entry(shape=(True,))}, b"1234"),
    "rank 65": content({"a": entry(shape=(1,) * 65)}, b"1234"),
    "product overflows": content({"a": entry(shape=(1 << 62, 1 << 62), offsets=(0, 0))}),
    "2^40 elements": content({"a": entry(shape=(1 << 40,), offsets=(0, 1 << 42))}),
    "offsets past the end": content({"a": entry(shape=(2,), offsets=(0, 8))}, b"1234"),
    "offsets reversed": content({"a": entry(offsets=(4, 0))}, b"1234"),
    "offsets overlap": content({"a": entry(), "b": entry()}, b"1234"),
    "hole": content({"a": entry(), "b": entry(offsets=(8, 12))}, b"123412341234"),
    "trailing bytes": content({"a": entry()}, b"12345"),
    "shape and offsets differ": content({"a": entry(shape=(2,))}, b"1234"),
    "three offsets": content({"a": entry(offsets=(0, 4, 4))}, b"1234"),
    "one offset": content({"a": entry(offsets=(0,))}, b"1234"),
    "unknown scheme": sealed({"sha256": {"a": "0" * 64}, "version": 2}),
    "hash missing": sealed({"sha256": {}, "version": 1}),
    "hash wrong": sealed({"sha256": {"a": "0" * 64}, "version": 1}),
    "hash of nothing": sealed({"sha256": {"a": "0" * 64, "b": "0" * 64}, "version": 1}),
    "hash is a list": sealed({"sha256": {"a": ["0" * 64]}, "version": 1}),
    "hashes are a number": sealed({"sha256": 1, "version": 1}),
    "hashes without version": sealed({"sha256": {"a": "0" * 64}}),
    "hashes under another name": sealed({"sha256": {"a": "0" * 64}, "version": 1}, key="dnnbore"),
    "seal is no JSON": content({"__metadata__": {"dnncore": "[" * 100_000}, "a": entry()}, b"1234"),
    "bool of 2": content({"a": entry("BOOL", (2,), (0, 2))}, b"\x01\x02"),
    "long name": content({"a" * 5000: entry()}, b"1234"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_refused(path, name, monkeypatch):
    monkeypatch.chdir(path.parent)
    path.write_bytes(HOSTILE[name])
    with pytest.raises(ValueError, match=r"^load: .*model\.safetensors") as caught:
        dnn.load(path)
    assert len(str(caught.value)) < 1000
    if name == "zip" or name.startswith("pickle"):
        assert "pickle" in str(caught.value)
    assert sorted(os.listdir()) == ["model.safetensors"]


def test_header_that_begins_like_a_pickle_is_read(path):
    text = json.dumps({"a": entry()}).encode()
    for length in (0x280, 0x480):  # little-endian: the bytes 80 02 and 80 04, as a pickle starts
        path.write_bytes(content(text.ljust(length), b"1234"))
        assert dnn.load(path)["a"].shape == (1,)


def test_every_single_bit_flip_is_noticed(path):
    dnn.save({"w": dnn.tensor([1.0, -2.0]), "b": dnn.tensor([1], dtype=dnn.uint8)}, path)
    good = path.read_bytes()
    with open(path, "r+b", buffering=0) as file:  # in place: opening to truncate is what takes time
        for position in range(len(good)):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([good[position] ^ 1 << bit]), position)
                with pytest.raises(ValueError, match=r"^load: "):
                    dnn.load(path)
            os.pwrite(file.fileno(), good[position : position + 1], position)
    assert dnn.load(path)["w"].tolist() == [1.0, -2.0]


def test_every_truncation_is_noticed(path):
    dnn.save({"w": dnn.ones(3)}, path)
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(ValueError, match=r"^load: "):
            dnn.load(path)


def test_only_regular_files(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # the paths of sockets are short
        server.bind("socket")
        for name in ("pipe", "socket", "missing", "."):
            with pytest.raises(OSError, match=r"regular file|No such|Is a directory"):
                dnn.load(tmp_path / name)
    with pytest.raises(OSError, match="regular file"):
        dnn.load("/dev/zero")


def test_sizes_are_judged_before_anything_is_read(path):
    """A sparse file of 8 TiB, whose header does not fit it, costs neither time nor memory."""
    before = dnn.memory_stats()["allocations"]
    for header in ({"a": entry(shape=(1 << 41,), offsets=(0, 1 << 43))}, {"a": entry()}, {}):
        with open(path, "wb") as file:
            file.write(content(header))
            file.truncate((1 << 43) - 1)
        with pytest.raises(ValueError, match="is damaged"):
            dnn.load(path)
    assert dnn.memory_stats()["allocations"] == before


def test_names_beyond_ascii_come_back(path):
    names = ["größe", "重み", "a b", "x\n", "\u2028", "e" * 4096]
    dnn.save({name: dnn.ones(1) for name in names}, path)
    assert set(dnn.load(path)) == set(names)


# --- Failing saves

CALLS = ["open", "write", "fsync", "close", "replace"]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, KeyboardInterrupt()], ids=["full", "io", "interrupt"])
def test_failing_system_calls_leave_old_or_new(path, error):
    dnn.save({"w": dnn.zeros(4)}, path)
    old = path.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        faults = Faults(patch, CALLS)
        dnn.save({"w": dnn.ones(4)}, path)
    new = path.read_bytes()
    calls = faults.seen
    assert calls == ["open", "write", "fsync", "close", "replace", "open", "fsync", "close"]
    for at in range(len(calls)):
        path.write_bytes(old)
        with pytest.MonkeyPatch.context() as patch:
            Faults(patch, CALLS, at, error)
            with pytest.raises((OSError, KeyboardInterrupt)):
                dnn.save({"w": dnn.ones(4)}, path)
        assert path.read_bytes() == (old if at <= calls.index("replace") else new), f"call {at}: {calls[at]}"
        assert os.listdir(path.parent) == [path.name], f"call {at}: {calls[at]} left something behind"


def test_short_writes_are_continued(path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    dnn.save({"w": dnn.arange(100)}, path)
    assert dnn.load(path)["w"].tolist() == list(range(100))
    monkeypatch.setattr(os, "write", lambda descriptor, data: 0)
    with pytest.raises(OSError, match="accepts no more"):
        dnn.save({"w": dnn.zeros(1)}, path)
    assert dnn.load(path)["w"].tolist() == list(range(100))


def test_save_follows_a_link_and_needs_a_folder(tmp_path):
    target = tmp_path / "deep" / "model.safetensors"
    with pytest.raises(FileNotFoundError):
        dnn.save({"w": dnn.ones(1)}, target)
    target.parent.mkdir()
    link = tmp_path / "latest"
    link.symlink_to(target)
    dnn.save({"w": dnn.ones(1)}, link)
    assert link.is_symlink()
    assert dnn.load(target)["w"].item() == 1.0


def run(code: str, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, **options)


def test_a_disk_quota_leaves_the_old_file(path):
    code = """
import resource, signal, sys
import dnncore as dnn
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
dnn.save({"w": dnn.zeros(10)}, sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    dnn.save({"w": dnn.ones(100_000)}, sys.argv[1])
except OSError as error:
    print(error.errno)
"""
    done = run(code, str(path), check=True)
    assert done.stdout.split() == [str(errno.EFBIG)], done.stderr
    assert dnn.load(path)["w"].tolist() == [0.0] * 10
    assert os.listdir(path.parent) == [path.name]


def test_savers_and_loaders_at_once(path):
    dnn.save({"w": dnn.zeros(5000)}, path)
    stop, seen, errors = threading.Event(), set(), []

    def save(value):
        try:
            while not stop.is_set():
                dnn.save({"w": dnn.full((5000,), float(value))}, path)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=(value,)) for value in (1, 2, 3)]
    for thread in threads:
        thread.start()
    try:
        loads, deadline = 0, time.monotonic() + 30
        while (loads < 60 or len(seen) < 2) and time.monotonic() < deadline:
            loads += 1
            values = dnn.load(path)["w"]
            assert values.min().item() == values.max().item()
            seen.add(values[0].item())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not errors
    assert len(seen) > 1
    assert os.listdir(path.parent) == [path.name]


TRAINING = """
import os, sys
import dnncore as dnn
from dnncore import nn
path, steps = sys.argv[1], int(sys.argv[2])
dnn.manual_seed(1)
model = nn.Sequential(nn.Linear(20, 50), nn.Tanh(), nn.Linear(50, 3))
optimizer = dnn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
start = 0
if os.path.exists(path):
    saved = dnn.load(path)
    start = int(saved.pop("step").item())
    dnn.default_generator.set_state(saved.pop("generator"))
    momentum = {int(name[9:]): {"momentum_buffer": saved.pop(name)} for name in list(saved) if name.startswith("momentum.")}
    model.load_state_dict(saved)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": momentum})
print("started", start, flush=True)
for step in range(start, steps):
    if step == steps - 1 and "wait" in sys.argv:
        sys.stdin.read()
    x = dnn.randn(16, 20)
    loss = nn.functional.cross_entropy(model(x), dnn.randint(3, (16,)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    momentum = {f"momentum.{i}": entry["momentum_buffer"] for i, entry in optimizer.state_dict()["state"].items()}
    generator = dnn.default_generator.get_state()
    dnn.save({**model.state_dict(), **momentum, "generator": generator, "step": dnn.tensor(step + 1)}, path)
"""


def test_killed_training_resumes_with_the_same_bits(tmp_path):
    whole, killed = tmp_path / "whole" / "model", tmp_path / "killed" / "model"
    steps = "150"
    for path in (whole, killed):
        path.parent.mkdir()
    run(TRAINING, str(whole), steps, check=True)
    delays = random.Random(0)
    for _ in range(4):
        command = [sys.executable, "-c", TRAINING, str(killed), steps, "wait"]  # it never ends by itself
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            time.sleep(delays.uniform(0.0, 0.06))
            process.kill()
        if killed.exists():
            dnn.load(killed)
    assert killed.exists()
    run(TRAINING, str(killed), steps, check=True)
    assert killed.read_bytes() == whole.read_bytes()
