"""Image sets: MNIST and CIFAR from files made here, whole and damaged, and downloads from a server of the test's own."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import dnncore as dnn
import numpy as np
import pytest
from dnncore.data import cifar as cifar_module
from dnncore.data import load_cifar10, load_cifar100, load_mnist
from dnncore.data import mnist as mnist_module
from hypothesis import given
from hypothesis import strategies as st
from image_set_cases import idx, packed_zeros

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (7, 28, 28), np.uint8)
LABELS = np.uint8([5, 0, 4, 1, 9, 2, 1])


# --- MNIST ----------------------------------------------------------------------------------------------------------------
def write_mnist(folder: Path, images: np.ndarray = IMAGES, labels: np.ndarray = LABELS, prefix: str = "train") -> Path:
    (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images))
    (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    return folder


@pytest.mark.parametrize(("split", "prefix"), [("train", "train"), ("test", "t10k")])
@pytest.mark.parametrize("kind", ["mnist", "fashion_mnist"])
def test_mnist(tmp_path, split, prefix, kind):
    x, y = load_mnist(write_mnist(tmp_path, prefix=prefix), split=split, kind=kind)
    assert (x.dtype, y.dtype) == (dnn.float32, dnn.int64)
    np.testing.assert_array_equal(x.numpy(), (IMAGES[:, None].astype(np.float64) / 255).astype(np.float32))
    assert y.tolist() == LABELS.tolist()


def test_mnist_from_the_usual_place(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "dnncore" / "fashion_mnist"
    folder.mkdir(parents=True)
    write_mnist(folder)
    assert load_mnist(kind="fashion_mnist")[0].shape == (7, 1, 28, 28)
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "dnncore" / "mnist")):
        load_mnist()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=str(tmp_path / ".cache" / "dnncore" / "mnist")):
        load_mnist()


def test_mnist_missing_names_what_and_how(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        load_mnist(tmp_path)
    message = str(error.value)
    assert message.startswith("load_mnist: train-images-idx3-ubyte and train-labels-idx1-ubyte not found in ")
    for part in (str(tmp_path), "with or without .gz", "download=True", "https://", "train-labels-idx1-ubyte.gz"):
        assert part in message
    write_mnist(tmp_path, prefix="t10k")
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"^load_mnist: t10k-labels-idx1-ubyte not found in "):
        load_mnist(tmp_path, split="test")


MNIST_REFUSED = [
    (
        IMAGES[:, :27],
        LABELS,
        r"images-idx3-ubyte: expected uint8 images of shape \(N, 28, 28\), got uint8 of shape \(7, 27, 28\)",
    ),
    (LABELS, LABELS, r"expected uint8 images of shape \(N, 28, 28\), got uint8 of shape \(7,\)"),
    (IMAGES, LABELS[:6], r"labels-idx1-ubyte.gz: expected 7 uint8 labels, as many as images, got uint8 of shape \(6,\)"),
    (IMAGES, IMAGES, "expected 7 uint8 labels"),
    (IMAGES, LABELS + np.uint8([0, 0, 6, 0, 0, 0, 0]), "expected labels 0 to 9, got 10 at position 2"),
]


@pytest.mark.parametrize(("images", "labels", "match"), MNIST_REFUSED)
def test_mnist_refused(tmp_path, images, labels, match):
    with pytest.raises(ValueError, match=rf"^load_mnist: .*{match}"):
        load_mnist(write_mnist(tmp_path, images, labels))


def test_mnist_damaged_file_is_named(tmp_path):
    write_mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        ValueError, match="train-images-idx3-ubyte is damaged or cut off: expected 5488 more bytes, the file has 5487"
    ):
        load_mnist(tmp_path)


@pytest.mark.parametrize("load", [load_mnist, load_cifar10, load_cifar100])
def test_unknown_choices(tmp_path, load):
    with pytest.raises(ValueError, match="expected split 'train' or 'test', got 'valid'"):
        load(tmp_path, split="valid")


def test_unknown_kind_and_labels(tmp_path):
    with pytest.raises(ValueError, match="load_mnist: expected kind 'mnist' or 'fashion_mnist', got 'kmnist'"):
        load_mnist(tmp_path, kind="kmnist")
    with pytest.raises(ValueError, match="load_cifar100: expected labels 'fine' or 'coarse', got 'both'"):
        load_cifar100(tmp_path, labels="both")


# --- CIFAR ----------------------------------------------------------------------------------------------------------------
TEN = [RANDOM.integers(0, 256, (n, 1 + 3072), np.uint8) for n in (3, 1, 2, 4, 2, 5)]
for part in TEN:
    part[:, 0] %= 10
TEN_FILES = {f"data_batch_{i + 1}.bin": TEN[i].tobytes() for i in range(5)} | {"test_batch.bin": TEN[5].tobytes()}
HUNDRED = RANDOM.integers(0, 256, (4, 2 + 3072), np.uint8)
HUNDRED[:, :2] = [[19, 99], [0, 0], [3, 42], [11, 2]]


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def tar(files: dict[str, bytes], folder: str = "cifar-10-batches-bin", form: int = tarfile.USTAR_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        top = tarfile.TarInfo(folder)
        top.type = tarfile.DIRTYPE
        archive.addfile(top)
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mtime = len(content), 1.5  # a fraction makes a note in the format of POSIX 2001
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def check_ten(folder: Path) -> None:
    x, y = load_cifar10(folder)
    rows = np.concatenate(TEN[:5])
    assert (x.dtype, y.dtype) == (dnn.float32, dnn.int64)
    np.testing.assert_array_equal(x.numpy(), (rows[:, 1:].astype(np.float64) / 255).astype(np.float32).reshape(12, 3, 32, 32))
    assert y.tolist() == rows[:, 0].tolist()
    x, y = load_cifar10(folder, split="test")
    assert y.tolist() == TEN[5][:, 0].tolist()
    assert x[4, 2, 31, 30].item() == np.float32(TEN[5][4, 1 + 2 * 1024 + 31 * 32 + 30] / 255)


def test_cifar10_from_folders(tmp_path):
    check_ten(write_files(tmp_path / "files", TEN_FILES))
    write_files(tmp_path / "cifar-10-batches-bin", TEN_FILES)
    check_ten(tmp_path)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("packed", [False, True])
def test_cifar10_from_the_archive(tmp_path, form, packed):
    content = tar({"batches.meta.txt": b"airplane\n", **TEN_FILES, "readme.html": b"x" * 700}, form=form)
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(gzip.compress(content) if packed else content)
    check_ten(tmp_path)
    check_ten(path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_cifar100(tmp_path):
    content = tar({"train.bin": HUNDRED.tobytes(), "test.bin": HUNDRED[:1].tobytes()}, "cifar-100-binary")
    (tmp_path / "cifar-100-binary.tar.gz").write_bytes(gzip.compress(content))
    x, y = load_cifar100(tmp_path)
    np.testing.assert_array_equal(x.numpy().reshape(4, -1), np.float32(HUNDRED[:, 2:] / 255))
    assert y.tolist() == [99, 0, 42, 2]
    assert load_cifar100(tmp_path, labels="coarse")[1].tolist() == [19, 0, 3, 11]
    assert load_cifar100(tmp_path, split="test")[1].tolist() == [99]


def test_cifar_missing(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        load_cifar10(tmp_path, split="test")
    message = str(error.value)
    assert message.startswith(f"load_cifar10: test_batch.bin not found in {tmp_path} (nor in cifar-10-batches-bin in it); ")
    assert "download=True" in message
    assert "https://www.cs.toronto.edu/~kriz/ has as cifar-10-binary.tar.gz" in message
    write_files(tmp_path, {name: content for name, content in TEN_FILES.items() if "3" not in name})
    with pytest.raises(FileNotFoundError, match=r"^load_cifar10: data_batch_3.bin not found in "):
        load_cifar10(tmp_path)


PICKLE = b"\x80\x02}q\x01(U\x04dataq\x02"


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "cifar-10-batches-py/data_batch_1", "data_batch_1"])
def test_the_pickled_version_is_refused(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(PICKLE)
    expected = rf"^load_cifar10: .*{name} is the pickled version; a pickle can run code, .*cifar-10-binary.tar.gz"
    with pytest.raises(ValueError, match=expected):
        load_cifar10(tmp_path)


def test_the_pickled_archive_is_recognised_by_its_content(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(gzip.compress(tar({"data_batch_1": PICKLE, "test_batch": PICKLE}, "cifar-10-batches-py")))
    with pytest.raises(ValueError, match=r"^load_cifar10: .*binary.tar.gz is the pickled version"):
        load_cifar10(tmp_path)
    (tmp_path / "train").mkdir()  # a folder of that name is no pickle
    with pytest.raises(FileNotFoundError):
        load_cifar100(tmp_path)


def test_cifar_records_refused(tmp_path):
    path = tmp_path / "test_batch.bin"
    for content in (b"", bytes(3072), bytes(3074), bytes(3073 * 10_001)):
        path.write_bytes(content)
        expected = rf"test_batch.bin is damaged .* expected 1 to 10000 records of 3073 bytes, got {len(content)} bytes"
        with pytest.raises(ValueError, match=f"^load_cifar10: .*{expected}"):
            load_cifar10(tmp_path, split="test")
    path.write_bytes(bytes(3073) + b"\x0a" + bytes(3072))
    with pytest.raises(ValueError, match=r"test_batch.bin is damaged: expected a label of 0 to 9 in record 1, got 10"):
        load_cifar10(tmp_path, split="test")
    path.write_bytes(gzip.compress(os.urandom(9000))[: 2 * 3073])
    with pytest.raises(ValueError, match=r"test_batch.bin: expected records of CIFAR, got a file packed with gzip"):
        load_cifar10(tmp_path, split="test")
    for labels, match in (
        (b"\x14\0", "a coarse of 0 to 19 in record 0, got 20"),
        (b"\0\x64", "a fine of 0 to 99 in record 0, got 100"),
    ):
        (tmp_path / "test.bin").write_bytes(labels + bytes(3072))
        with pytest.raises(ValueError, match=f"test.bin is damaged: expected {match}"):
            load_cifar100(tmp_path, split="test")


def member(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


RECORD = b"\x05" + bytes(3072)
TEST = "cifar-10-batches-bin/test_batch.bin"
END = bytes(1024)
ARCHIVES = [
    (member(TEST, content=RECORD) + member("x", tarfile.SYMTYPE, link="/etc/passwd") + END, "'x' is neither a file nor a folder"),
    (member(TEST, tarfile.LNKTYPE, link="y") + END, "neither a file nor a folder .* links and devices are refused"),
    (member(TEST, tarfile.FIFOTYPE) + END, "neither a file nor a folder"),
    (member("/etc/cron.d/x", content=b"x") + END, "'/etc/cron.d/x' leads out of the archive"),
    (member("a/../../x", content=b"x") + END, "'a/../../x' leads out of the archive"),
    (member(TEST, content=RECORD) * 2 + END, "test_batch.bin is there twice"),
    (member(TEST, content=bytes(3073 * 10_001)) + END, "has 30733073 bytes, expected at most 30730000"),
    (member(TEST, content=RECORD[:-1]) + END, "records of 3073 bytes, got 3072 bytes"),
    (member(TEST, content=b"\x0b" + RECORD[1:]) + END, "expected a label of 0 to 9 in record 0, got 11"),
    (member(TEST, tarfile.DIRTYPE) + END, "has no cifar-10-batches-bin/test_batch.bin; it holds no files"),
    (member("test_batch.bin", content=RECORD) + END, "has no cifar-10-batches-bin/test_batch.bin; it holds test_batch.bin"),
    (b"".join(member(f"f{i}") for i in range(200)) + END, "has more than 100 members"),
    (member(TEST, content=RECORD) + END + b"more", "more bytes follow"),
    (member(TEST, content=RECORD) + END + bytes(2 << 20), "more bytes follow"),
    (member(TEST, content=RECORD), "cut off: expected 512 more bytes"),
    (b"PK\x03\x04" + bytes(2000), "is not a tar archive"),
    (b"", "cut off"),
]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("content", "match"), ARCHIVES, ids=[match for _, match in ARCHIVES])
def test_archives_refused(tmp_path, content, match, packed):
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(ValueError, match=rf"^load_cifar10: {path}.*{match}"):
        load_cifar10(tmp_path, split="test")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def outcome(folder: Path) -> dnn.Tensor | str:
    """Return the labels that are read, or the message; any other exception is a failure."""
    try:
        return load_cifar10(folder, split="test")[1]
    except ValueError as error:
        return str(error)


def test_an_archive_cut_off_anywhere(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    whole = gzip.compress(tar({"test_batch.bin": RECORD}))
    path.write_bytes(whole)
    assert load_cifar10(tmp_path, split="test")[1].tolist() == [5]
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"^load_cifar10: .*cifar-10-binary.tar.gz is "):
            load_cifar10(tmp_path, split="test")


def test_flipped_bits_of_a_tar_header(tmp_path):
    """Every bit of the bytes that say something, one of each other."""
    path = tmp_path / "cifar-10-binary.tar.gz"
    whole = member(TEST, content=RECORD) + END
    bits = [8 * byte + bit for byte in range(512) for bit in range(8) if whole[byte] or bit == byte % 8]
    for bit in bits:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        got = outcome(tmp_path)
        if isinstance(got, str):
            assert got.startswith("load_cifar10: ")
        else:
            assert bit // 8 in range(148, 156)  # the checksum's text: a zero more or less in front, a blank behind
            assert got.tolist() == [5]


@given(st.binary(max_size=1500), st.integers(0, 4), st.integers(0, 512 + 3073))
def test_any_bytes_in_an_archive_give_data_or_a_value_error(tmp_path_factory, junk, width, place):
    folder = tmp_path_factory.mktemp("any", numbered=True)
    whole = bytearray(member(TEST, content=RECORD) + END)
    whole[place : place + width] = junk
    (folder / "cifar-10-binary.tar.gz").write_bytes(whole)
    got = outcome(folder)
    assert got.startswith("load_cifar10: ") if isinstance(got, str) else got.shape == (1,)


def test_an_archive_that_is_a_bomb_takes_no_memory(tmp_path):
    """In a process whose memory could hold the whole set's images but not what the archive would unpack to."""
    info = tarfile.TarInfo("cifar-10-batches-bin/filler")
    info.size = 4 << 30
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(packed_zeros(info.tobuf(tarfile.USTAR_FORMAT), 64 << 20))
    code = f"""
import resource
import numpy, dnncore
from dnncore.data import load_cifar10
dnncore.zeros(1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
try:
    load_cifar10({str(tmp_path)!r}, split="test")
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"is said to unpack to {4 << 30}" in done.stdout


# --- Downloads --------------------------------------------------------------------------------------------------------------
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        self.server.asked.append(self.path)


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Serve a folder on this machine, count what is asked for, and put it in the place of a published set's mirrors."""
    pytest.importorskip("pooch", reason="pooch (extra data) downloads")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: Quiet(*args, directory=str(folder)))
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"

    def publish(source, files):
        for name, content in files.items():
            (folder / name).write_bytes(content)
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        return source._replace(mirrors=(f"{address}/gone/", f"{address}/"), files=hashes)

    yield publish, folder, server.asked
    server.shutdown()
    server.server_close()
    thread.join()


def publish_mnist(serve, monkeypatch):
    files = {"train-images-idx3-ubyte.gz": gzip.compress(idx(IMAGES)), "train-labels-idx1-ubyte.gz": gzip.compress(idx(LABELS))}
    source = serve[0](mnist_module._SOURCES["mnist"], files)
    monkeypatch.setitem(mnist_module._SOURCES, "mnist", source)
    return files


def test_download_tries_the_next_mirror(serve, monkeypatch, tmp_path):
    files = publish_mnist(serve, monkeypatch)
    root = tmp_path / "new" / "mnist"
    assert load_mnist(root, download=True)[1].tolist() == LABELS.tolist()
    assert sorted(entry.name for entry in root.iterdir()) == sorted(files)
    asked = len(serve[2])
    assert any("/gone/" in line for line in map(str, serve[2]))
    load_mnist(root, download=True)
    load_mnist(root)
    assert len(serve[2]) == asked  # what is there is not fetched again


def test_nothing_is_downloaded_unasked(serve, monkeypatch, tmp_path):
    publish_mnist(serve, monkeypatch)
    with pytest.raises(FileNotFoundError):
        load_mnist(tmp_path / "new")
    assert serve[2] == []
    assert not (tmp_path / "new").exists()


def test_download_with_another_hash_is_refused(serve, monkeypatch, tmp_path):
    publish_mnist(serve, monkeypatch)
    (serve[1] / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS[::-1].copy())))
    with pytest.raises(
        OSError, match=r"(?s)^load_mnist: train-labels-idx1-ubyte.gz could not be downloaded.*/gone/.*404.*SHA256"
    ) as error:
        load_mnist(tmp_path / "new", download=True)
    assert str(tmp_path / "new") in str(error.value)
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["train-images-idx3-ubyte.gz"]


def test_download_of_an_archive(serve, monkeypatch, tmp_path):
    source = serve[0](cifar_module._CIFAR10.source, {"cifar-10-binary.tar.gz": gzip.compress(tar(TEN_FILES))})
    monkeypatch.setattr(cifar_module, "_CIFAR10", cifar_module._CIFAR10._replace(source=source))
    root = tmp_path / "new"
    root.mkdir()
    (root / "cifar-10-python.tar.gz").write_bytes(PICKLE)
    load_cifar10(root, download=True)
    check_ten(root)


def test_published_sources_are_whole():
    sources = [*mnist_module._SOURCES.values(), cifar_module._CIFAR10.source, cifar_module._CIFAR100.source]
    digests = [digest for source in sources for digest in source.files.values()]
    assert len(digests) == len(set(digests)) == 10
    assert all(len(bytes.fromhex(digest)) == 32 for digest in digests)
    assert all(address.endswith("/") for source in sources for address in source.mirrors)
    assert all(source.mirrors[0].startswith("https://") for source in sources)


def test_missing_pooch_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"load_mnist: needs pooch, .* pip install 'dnncore\[data\]'"):
        load_mnist(tmp_path, download=True)
    assert load_mnist(write_mnist(tmp_path), download=True)[0].shape == (7, 1, 28, 28)  # nothing to fetch


@pytest.mark.parametrize(("old", "new"), [(8, 32), (28, 63), (5, 7), (32, 8), (28, 20), (9, 1), (4, 4)])
def test_resized_images_are_those_of_pytorch(old, new):
    torch = pytest.importorskip("torch")
    from dnncore.data._resize import resized

    x = np.random.default_rng(0).random((3, 2, old, old + 1))
    expected = torch.nn.functional.interpolate(torch.from_numpy(x), (new, new + 2), mode="bilinear", antialias=True)
    np.testing.assert_allclose(resized(x, new, new + 2), expected.numpy(), atol=1e-12)
