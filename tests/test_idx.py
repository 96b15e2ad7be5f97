"""IDX files: what is read, and that no damage of a file makes the reader crash, hang, take memory or return something."""

from __future__ import annotations

import gzip
import os
import struct
import tracemalloc

import dnncore as dnn
import numpy as np
import pytest
from dnncore.data import read_idx
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from image_set_cases import CODES, idx, packed_zeros

HELD = {"u1": "uint8", "i1": "int32", "i2": "int32", "i4": "int32", "f4": "float32", "f8": "float64"}


def header(code: int, *sizes: int) -> bytes:
    return bytes([0, 0, code, len(sizes)]) + b"".join(struct.pack(">I", n) for n in sizes)


def outcome(path) -> dnn.Tensor | str:
    """Return what is read, or the message; any other exception is a failure."""
    try:
        return read_idx(path)
    except ValueError as error:
        return str(error)


@pytest.fixture
def write(tmp_path):
    def write(content, name="some-idx"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", list(CODES))
def test_every_type(write, kind, packed):
    values = np.arange(-3 if kind != "u1" else 0, 117 if kind != "u1" else 120).reshape(2, 3, 20).astype(kind)
    content = idx(values)
    tensor = read_idx(write(gzip.compress(content) if packed else content, "without an ending"))
    assert tensor.dtype == getattr(dnn, HELD[kind])
    np.testing.assert_array_equal(tensor.numpy(), values)
    assert tensor.is_contiguous()


@given(st.data(), st.booleans())
def test_round_trip(tmp_path_factory, data, packed):
    kind = data.draw(st.sampled_from(sorted(CODES)))
    values = data.draw(npst.arrays(kind, npst.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=4)))
    path = tmp_path_factory.getbasetemp() / "round-trip"
    path.write_bytes(gzip.compress(idx(values)) if packed else idx(values))
    got = read_idx(path).numpy()
    assert got.shape == values.shape
    assert got.astype(kind).tobytes() == values.tobytes()  # the very bits, whatever kind of NaN


def test_values_belong_to_the_reader(write):
    path = write(idx(np.uint8([1, 2, 3])))
    tensor = read_idx(path)
    tensor[0] = 9
    assert tensor.tolist() == [9, 2, 3]
    assert read_idx(path).tolist() == [1, 2, 3]


def test_gzip_of_several_members(write):
    content = idx(np.arange(50, dtype=np.uint8))
    path = write(gzip.compress(content[:20]) + gzip.compress(content[20:]))
    assert read_idx(path).tolist() == list(range(50))


@pytest.mark.parametrize("packed", [False, True])
def test_cut_off_anywhere(write, packed):
    content = idx(np.arange(12, dtype=np.int16).reshape(3, 4))
    whole = gzip.compress(content) if packed else content
    for size in range(len(whole)):
        path = write(whole[:size])
        with pytest.raises(ValueError, match=r"^read_idx: .*some-idx (is|has)") as error:
            read_idx(path)
        assert len(str(error.value)) < 300 + len(str(path))


def test_every_flipped_bit_of_a_plain_header(write):
    """A flipped bit makes another sound file (a type of the same width) or an error; the bytes must match the sizes exactly."""
    content = idx(np.arange(24, dtype=np.int32).reshape(2, 3, 4))
    refused = 0
    for bit in range(16 * 8):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        got = outcome(write(bytes(damaged)))
        if isinstance(got, str):
            assert got.startswith("read_idx: ")
            refused += 1
        else:
            assert bit // 8 == 2  # the type
            assert (got.dtype, got.shape) == (dnn.float32, (2, 3, 4))
    assert refused == 127


def test_every_flipped_bit_of_a_packed_file(write):
    """The bytes of gzip that say nothing about the content may be anything; all others are covered by its checksum."""
    values = np.random.default_rng(0).integers(0, 256, 64, np.uint8)
    whole = gzip.compress(idx(values), mtime=0)
    for bit in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        got = outcome(write(bytes(damaged)))
        if isinstance(got, str):
            assert got.startswith("read_idx: ")
        else:
            assert bit // 8 in range(3, 11)  # flags, time, kind of system, bits before the bytes of a stored block
            np.testing.assert_array_equal(got.numpy(), values)


REFUSED = [
    (b"", "cut off: expected 4 more bytes, the file has 0"),
    (b"\x89PNG\r\n\x1a\n", "is not an IDX file: .* got 89 50 4e"),
    (b"\0\x01\x08\x01\0\0\0\x01\x07", "is not an IDX file"),
    (header(0x0A, 1) + b"\0", "is not an IDX file: .* one of 08, 09, 0b, 0c, 0d, 0e, got 00 00 0a"),
    (header(0x08) + b"\0", "expected 1 to 16 dimensions, got 0"),
    (bytes([0, 0, 8, 17]) + struct.pack(">17I", *[1] * 17) + b"\0", "expected 1 to 16 dimensions, got 17"),
    (header(0x08, 3) + b"123\n", "more bytes follow where its content ends"),
    (header(0x0E, 1) + b"1234567", "expected 8 more bytes, the file has 7"),
    (header(0x0E, *[2**32 - 1] * 2), "sizes .* are too large"),
    (header(0x08, 0, *[2**32 - 1] * 2), "sizes .* are too large"),
    (header(0x0E, *[2**32 - 1] * 16), "sizes .* are too large"),
    (header(0x08, 2**31, 2**31), "expected 4611686018427387904 more bytes, the file has 0"),
    (gzip.compress(b"", mtime=0), "is cut off: expected 4 more bytes"),
    (gzip.compress(header(0x08, 3) + b"1234", mtime=0), "more bytes follow"),
    (gzip.compress(header(0x08, 3) + b"123", mtime=0) + b"more", "damaged or cut off: .*incorrect header check"),
    (gzip.compress(gzip.compress(header(0x08, 3) + b"123", mtime=0), mtime=0), "is not an IDX file"),
]


@pytest.mark.parametrize(("content", "match"), REFUSED)
def test_refused(write, content, match):
    with pytest.raises(ValueError, match=rf"(?s)^read_idx: .*some-idx.*{match}"):
        read_idx(write(content))


def test_empty_is_sound(write):
    assert read_idx(write(header(0x0D, 0, 7))).shape == (0, 7)


BOMBS = {
    "says what it holds": lambda: packed_zeros(header(0x08, 1 << 28), 1 << 28),
    "says more than it holds": lambda: packed_zeros(header(0x08, 1 << 31), 1 << 22),
    "says 4 GiB in thirty bytes": lambda: packed_zeros(header(0x0E, 1 << 29), 0),
    "holds more than it says": lambda: packed_zeros(header(0x08, 10), 1 << 28),
    "is zeros only": lambda: packed_zeros(b"", 1 << 28),
    "has a long name": lambda: b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * (1 << 20),
}


@pytest.mark.parametrize("make", BOMBS.values(), ids=BOMBS.keys())
def test_bombs_take_no_memory(write, make):
    path = write(make())
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"^read_idx: "):
            read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


def test_the_caps_are_told(write):
    path = write(packed_zeros(header(0x08, 1 << 28), 1 << 28))
    with pytest.raises(ValueError, match=r"268435456, more than the .* \(200 times its size\).* gunzip"):
        read_idx(path)
    small = write(packed_zeros(header(0x08, 1 << 23), 1 << 23))  # ratio 1000, but harmless
    assert read_idx(small).sum().item() == 0


def test_only_regular_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        read_idx(tmp_path / "nothing")
    with pytest.raises(OSError, match="read_idx: expected a regular file, got "):
        read_idx(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"read_idx: expected a regular file, got .*pipe"):
        read_idx(tmp_path / "pipe")
    with pytest.raises(OSError, match="read_idx: expected a regular file"):
        read_idx("/dev/zero")


@given(
    st.binary(max_size=60),
    st.sampled_from([b"", b"\0\0", b"\0\0\x08\x01\0\0\0", b"\0\0\x0d\x02\0\0\0\x02\0\0\0", b"\x1f\x8b\x08\0"]),
)
def test_any_bytes_give_a_tensor_or_a_value_error(tmp_path_factory, tail, start):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(start + tail)
    got = outcome(path)
    assert got.startswith(f"read_idx: {path}") if isinstance(got, str) else got.nbytes <= 4 * len(tail)
