"""Model folders: no failing call loses a model, and damaged or forged folders are refused."""

from __future__ import annotations

import errno
import json
import math
import os
import random
import re
import subprocess
import sys
import threading
from pathlib import Path

import dnncore as dnn
import pytest
from archive_cases import FORGED, LATE, constant, forge, sealed, small, value_in, weights_of
from dnncore import nn
from dnncore.model import archive
from faults import Faults
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "model"


# --- Failing writes

CALLS = ["mkdir", "open", "write", "fsync", "close", "replace", "unlink", "listdir"]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, KeyboardInterrupt()], ids=["full", "io", "interrupt"])
@pytest.mark.parametrize("present", [True, False], ids=["over an old model", "new"])
def test_failing_system_calls_leave_old_or_new(tmp_path, error, present):
    folder = tmp_path / "probe"
    if present:
        archive.write(folder, constant(1.0))
    with pytest.MonkeyPatch.context() as patch:
        faults = Faults(patch, CALLS)
        archive.write(folder, constant(2.0))
    calls = faults.seen
    assert calls.count("write") == 2
    assert calls.count("replace") == 2
    raised, kept = 0, []
    for at in range(len(calls)):
        folder = tmp_path / f"model{at}"
        if present:
            archive.write(folder, constant(1.0))
        with pytest.MonkeyPatch.context() as patch:
            Faults(patch, CALLS, at, error)
            try:
                archive.write(folder, constant(2.0))
            except (OSError, KeyboardInterrupt):
                raised += 1
        if not present and not folder.exists():
            continue
        kept.append(value_in(folder))
        assert kept[-1] in ((1.0, 2.0) if present else (2.0,)), f"call {at}: {calls[at]}"
        archive.write(folder, constant(3.0))
        assert value_in(folder) == 3.0
        assert len(list(folder.iterdir())) == 2, "the next write cleans up"
    assert raised >= len(calls) - 6
    assert kept == sorted(kept)
    assert 2.0 in kept


def test_nothing_is_left_beside_the_old_model(folder):
    """Errors of the disk itself (no space, I/O) leave exactly the old model's two files."""
    archive.write(folder, constant(1.0))
    before = sorted(os.listdir(folder))
    real = os.write
    for number in (1, 2):  # the weights, the JSON
        count = 0

        def write(descriptor, data):
            nonlocal count
            count += 1
            if count == number:  # noqa: B023
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(descriptor, data)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "write", write)
            with pytest.raises(OSError, match="No space left"):
                archive.write(folder, constant(2.0))
        assert sorted(os.listdir(folder)) == before
        assert value_in(folder) == 1.0


def test_a_failed_first_write_leaves_no_folder(folder, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(OSError, match="Input/output error"):
        archive.write(folder, small())
    assert not folder.exists()


def test_other_files_in_the_folder_stay(folder):
    folder.mkdir()
    others = ["history.json", "model.txt", "model-0123.safetensors", ".model.json.tmp", "weights.safetensors"]
    for name in others:
        (folder / name).write_text("mine")
    (folder / ".model.json.0123456789abcdef.tmp").write_text("of a killed writer")
    archive.write(folder, constant(1.0))
    archive.write(folder, constant(2.0))
    assert sorted(os.listdir(folder)) == sorted([*others, "model.json", weights_name(2.0)])


def weights_name(value: float) -> str:
    from dnncore.serialization import header_digest, to_bytes

    return f"model-{header_digest(to_bytes(constant(value).state_dict()))[:16]}.safetensors"


def test_a_killed_writer_leaves_a_whole_model(tmp_path):
    folder = tmp_path / "model"
    code = """
import sys
import dnncore as dnn
from dnncore import nn
from dnncore.model import archive
model = nn.Sequential(nn.Linear(300, 300))
value = 0.0
while True:
    value += 1.0
    with dnn.no_grad():
        for p in model.parameters():
            p.fill_(value)
    archive.write(sys.argv[1], model, {"value": value})
    if value == 1.0:
        print("ready", flush=True)
"""
    pause = random.Random(0)
    for _ in range(6):
        with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            threading.Event().wait(pause.uniform(0.02, 0.1))
            process.kill()
        model, extra = archive.read(folder)
        assert {model[0].weight.min().item(), model[0].weight.max().item(), model[0].bias[0].item()} == {extra["value"]}
    archive.write(folder, constant(1.0))
    assert len(os.listdir(folder)) == 2


def test_a_model_that_was_away_for_a_moment_is_read(folder, monkeypatch):
    """Two writers: one sweeps the weights that the JSON names, the other writes both again, byte for byte, before we look."""
    archive.write(folder, constant(1.0))
    weights, read_version, calls = folder / weights_name(1.0), archive._read_version, []

    def swept_once(target, text):
        calls.append(text)
        if len(calls) > 1:
            return read_version(target, text)
        content = weights.read_bytes()
        weights.unlink()
        try:
            return read_version(target, text)
        finally:
            weights.write_bytes(content)

    monkeypatch.setattr(archive, "_read_version", swept_once)
    assert archive.read(folder)[0][0].weight.max().item() == 1.0
    assert len(calls) == 2
    calls[:] = [None]
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=weights.name):
        archive.read(folder)


def test_writers_and_readers_at_once(folder):
    archive.write(folder, constant(0.0))
    stop, errors, seen = threading.Event(), [], set()

    def keep_writing(value):
        try:
            while not stop.is_set():
                archive.write(folder, constant(value), {"value": value})
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=keep_writing, args=(value,)) for value in (1.0, 2.0)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(100):
            model, extra = archive.read(folder)
            assert model[0].weight.max().item() == extra.get("value", 0.0)
            seen.add(extra.get("value"))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not errors
    assert len(os.listdir(folder)) == 2


def test_unwritable_places(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        archive.write(tmp_path / "missing" / "model", small())
    (tmp_path / "file").write_text("a file")
    with pytest.raises(NotADirectoryError, match=r"^write: expected a folder, got the file .*file"):
        archive.write(tmp_path / "file", small())
    assert (tmp_path / "file").read_text() == "a file"
    (tmp_path / "closed").mkdir()
    real = os.open

    def refuse(path, flags, *args, **kwargs):  # tests may run as root, whom modes do not stop
        if flags & os.O_CREAT and Path(path).parent.name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError):
        archive.write(tmp_path / "closed", small())
    assert os.listdir(tmp_path / "closed") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_folder_without_permission(folder):
    folder.mkdir(mode=0o500)
    with pytest.raises(PermissionError):
        archive.write(folder, small())


# --- Damaged folders


def test_missing_and_strange_files(folder, tmp_path):
    with pytest.raises(FileNotFoundError):
        archive.read(folder)
    folder.mkdir()
    with pytest.raises(FileNotFoundError):
        archive.read(folder)
    archive.write(folder, small())
    weights = weights_of(folder)
    weights.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match="safetensors"):
        archive.read(folder)
    weights.symlink_to(tmp_path / "moved")
    with pytest.raises(OSError, match=r"symbolic|regular"):
        archive.read(folder)
    weights.unlink()
    os.mkfifo(weights)
    with pytest.raises(OSError, match="regular file"):
        archive.read(folder)
    weights.unlink()
    (tmp_path / "moved").rename(weights)
    archive.read(folder)
    (folder / "model.json").rename(tmp_path / "text")
    (folder / "model.json").symlink_to(tmp_path / "text")
    with pytest.raises(OSError, match=r"symbolic|regular"):
        archive.read(folder)
    with pytest.raises(OSError, match=r"^write: .*is a link"):
        archive.write(folder, small())
    (folder / "model.json").unlink()
    (folder / "model.json").mkdir()
    with pytest.raises(OSError, match="regular file"):
        archive.read(folder)


def test_a_link_to_the_folder_is_followed(folder, tmp_path):
    archive.write(folder, constant(1.0))
    (tmp_path / "latest").symlink_to(folder)
    archive.write(tmp_path / "latest", constant(2.0))
    assert value_in(folder) == value_in(tmp_path / "latest") == 2.0


def test_halves_of_different_models_are_noticed(tmp_path):
    for name, value in (("a", 1.0), ("b", 2.0)):
        archive.write(tmp_path / name, constant(value))
    weights_of(tmp_path / "b").rename(weights_of(tmp_path / "a"))
    with pytest.raises(ValueError, match=r"^read: the weights in .* do not belong to model\.json"):
        archive.read(tmp_path / "a")


def test_truncations_are_noticed(folder):
    archive.write(folder, small(), {"history": list(range(30))})
    for path in (folder / "model.json", weights_of(folder)):
        good = path.read_bytes()
        for length in [*range(0, len(good), 64), len(good) - 1]:
            path.write_bytes(good[:length])
            with pytest.raises(ValueError, match=r"^(read|load): "):
                archive.read(folder)
        path.write_bytes(good + b" ")
        with pytest.raises(ValueError, match=r"^(read|load): "):
            archive.read(folder)
        path.write_bytes(good)
    archive.read(folder)


def test_bit_flips_are_noticed(folder):
    archive.write(folder, constant(1.0), {"a": [1, 2.5, "text"]})
    places = random.Random(0)
    for path in (folder / "model.json", weights_of(folder)):
        good = path.read_bytes()
        flips = [(places.randrange(len(good)), places.randrange(8)) for _ in range(1500)]
        flips += [(place, bit) for place in range(min(90, len(good))) for bit in range(8)]  # the line of the hash, the header
        with open(path, "r+b", buffering=0) as file:
            for place, bit in flips:
                os.pwrite(file.fileno(), bytes([good[place] ^ 1 << bit]), place)
                with pytest.raises(ValueError, match=r"^(read|load): "):
                    archive.read(folder)
                os.pwrite(file.fileno(), good[place : place + 1], place)
    archive.read(folder)


@pytest.mark.parametrize("name", FORGED)
def test_forged_json_is_refused(folder, name):
    archive.write(folder, constant(1.0))
    field, value, match = FORGED[name]
    forge(folder, lambda document: document.__setitem__(field, value))
    before = dnn.memory_stats()["allocations"]
    with pytest.raises((ValueError, FileNotFoundError), match=match) as caught:
        archive.read(folder)
    assert len(str(caught.value)) < 800
    if name not in LATE:
        assert dnn.memory_stats()["allocations"] == before, "something was allocated before the check"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"}",
        b"1",
        b'"format": "dnncore model", "version": NaN}',
        b'"format": "dnncore model", "version": Infinity}',
        b'"format": "dnncore model", "format": "dnncore model"}',
        b'"sha256": "again"}',
        b'"a": ' + b"[" * 100_000,
        b'"a": ' + b'{"a":' * 100_000,
        b'"a": 1' + b"0" * 5000 + b"}",
        b'"a": "\xff"}',
        b'"a": 01}',
        b'"a": 1,}',
        b'"a": 1} more',
        b'"$float": "nan"}',
        b'"a": {"$float": []}}',
        b'"a": {"$float": {"b": 1}}}',
    ],
    ids=lambda body: repr(body[:40]),
)
def test_broken_json_is_refused(folder, body):
    archive.write(folder, constant(1.0))
    (folder / "model.json").write_bytes(sealed(body))
    with pytest.raises(ValueError, match=r"^read: .*model\.json") as caught:
        archive.read(folder)
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"{}", b"{" * 1000, b"\x00" * 100])
def test_no_json_at_all(folder, content):
    archive.write(folder, constant(1.0))
    (folder / "model.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"^read: .*is not a dnncore model"):
        archive.read(folder)


def test_an_edit_and_a_huge_json_are_refused(folder):
    archive.write(folder, constant(1.0), {"note": "old"})
    path = folder / "model.json"
    path.write_text(path.read_text().replace('"old"', '"new"'))
    with pytest.raises(ValueError, match="is damaged or was edited"):
        archive.read(folder)
    with open(path, "wb") as file:
        file.truncate(1 << 43)
    with pytest.raises(ValueError, match=r"^read: .* has 8796093022208 bytes; expected at most 16777216"):
        archive.read(folder)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["0", "Linear", "float32"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


FUZZED = nn.Sequential(nn.Linear(3, 2), nn.GELU(), nn.Unflatten(1, (1, 2)), nn.Hardtanh(-math.inf), nn.NLLLoss(dnn.ones(2)))


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_fuzzed_json_is_refused_or_read(tmp_path, data):
    """Any part replaced by anything, under a right hash: an error of the promised kinds, or a model that works."""
    folder = tmp_path / "fuzz"
    archive.write(folder, FUZZED)
    document = json.loads((folder / "model.json").read_bytes())
    path = data.draw(st.sampled_from([place for place in places(document) if place and place != ("sha256",)]))
    target = document
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = data.draw(VALUES)
    forge_to = {key: value for key, value in document.items() if key != "sha256"}
    (folder / "model.json").write_bytes(sealed(json.dumps(forge_to).encode()[1:]))
    try:
        module, _ = archive.read(folder)
    except (ValueError, OSError) as error:
        message = str(error)
    else:
        message = "read: it works"
        assert [tuple(p.shape) for p in module.parameters()] == [(2, 3), (2,)]
    assert re.match(r"read: |load: |\[Errno", message)
    assert len(message) < 2000


def test_hostile_weights_are_refused(folder):
    """A weights file whose header is right for the JSON but whose tensors are not, and one with pickled content."""
    archive.write(folder, constant(1.0))
    weights = weights_of(folder)
    dnn.save({"0.weight": dnn.ones(2, 3), "0.bias": dnn.ones(3)}, weights)
    from dnncore.serialization import header_digest

    digest = header_digest(weights.read_bytes())
    weights.rename(folder / f"model-{digest[:16]}.safetensors")
    forge(folder, lambda document: document.__setitem__("weights", digest))
    with pytest.raises(ValueError, match=r"at '0\.bias': expected \(2,\) of float32, got \(3,\) of float32"):
        archive.read(folder)
    weights_of(folder).write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(ValueError, match="looks like a pickle"):
        archive.read(folder)


def test_a_model_replaced_while_it_is_read(folder, monkeypatch):
    """The JSON was read, then its weights are gone, since a new model has come: the new one is returned."""
    archive.write(folder, constant(1.0))
    real = archive._text

    def replaced_after(target):
        text = real(target)
        monkeypatch.setattr(archive, "_text", real)
        archive.write(folder, constant(2.0))
        return text

    monkeypatch.setattr(archive, "_text", replaced_after)
    assert value_in(folder) == 2.0


@pytest.mark.parametrize(
    ("once", "twice"), [('"extra": {', '"extra": {}, "extra": {'), ('"bias": true', '"bias": true, "bias": true')]
)
def test_a_name_twice_is_refused(folder, once, twice):
    archive.write(folder, constant(1.0))
    path = folder / "model.json"
    body = path.read_text().split("\n", 1)[1]
    assert body.count(once) == 1
    path.write_bytes(sealed(body.replace(once, twice).encode()))
    with pytest.raises(ValueError, match=r"^read: .*a name appears twice"):
        archive.read(folder)
