"""Saving and loading tensors: safetensors files with a hash per tensor, written atomically; never a pickle.

The header's metadata holds one entry ``dnncore``, the JSON text ``{"sha256": {name: digest, ...}, "version": 1}``; a digest
covers dtype, shape and bytes of its tensor. One entry, because safetensors writes several in random order, and equal weights
shall make equal files. Files of other writers have no hashes and load without that check.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO

import safetensors

from dnncore import _core
from dnncore._core import Tensor
from dnncore._files import open_regular, write_atomically

_SCHEME = 1
_SEAL = '{"sha256": {'  # how our metadata begins
_HEADER_CAP = 1 << 24  # bytes; the largest published models stay below 1 MiB
_RANK_CAP = 64
_NAME_CAP = 4096
_CHUNK = 1 << 24  # bytes hashed or read between two chances for Ctrl-C

_DTYPES: dict[str, _core.dtype] = {
    "F32": _core.float32,
    "F64": _core.float64,
    "BF16": _core.bfloat16,
    "F16": _core.float16,
    "I64": _core.int64,
    "I32": _core.int32,
    "U8": _core.uint8,
    "BOOL": _core.bool,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def save(state_dict: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Write tensors to a safetensors file, atomically and durably.

    The file appears complete or not at all, an existing one is replaced only by a complete one, and the bytes are on the disk
    when the call returns. A hash of every tensor goes into the metadata and is verified by `load`.

    Parameters
    ----------
    state_dict : mapping of str to Tensor
        Tensors by name, such as ``model.state_dict()``; any shape and any dtype, bfloat16 included.
    path : path-like
        The file to write; its folder must exist.

    Raises
    ------
    TypeError
        If a name is not a string or a value is not a tensor.
    ValueError
        If a name is reserved or too long.
    OSError
        If the file cannot be written; nothing is left behind and an older file stands.

    Examples
    --------
    >>> import os, tempfile
    >>> import dnncore as dnn
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.safetensors")
    >>> dnn.save({"bias": dnn.zeros(3)}, path)
    >>> dnn.load(path)["bias"].shape
    (3,)
    """
    write_atomically(path, [to_bytes(state_dict)])


def to_bytes(state_dict: Mapping[str, Tensor]) -> bytes:
    """Return the content of the file that `save` writes."""
    kept: list[Tensor] = []  # the specs hold addresses
    specs: dict[str, safetensors.TensorSpec] = {}
    hashes: dict[str, str] = {}
    for name, value in state_dict.items():
        _check_entry(name, value)
        tensor = value.detach().cpu().contiguous()
        kept.append(tensor)
        shape = tuple(tensor.shape)
        specs[name] = safetensors.TensorSpec(
            dtype=tensor.dtype.name, shape=shape, data_ptr=tensor.data_ptr(), data_len=tensor.nbytes
        )
        hashes[name] = _digest(_NAMES[tensor.dtype], shape, _bytes_of(tensor))
    seal = json.dumps({"sha256": hashes, "version": _SCHEME})
    content = safetensors.serialize(specs, metadata={"dnncore": seal})
    header = int.from_bytes(content[:8], "little")
    if header > _HEADER_CAP:
        raise ValueError(f"save: the names take a header of {header} bytes; load accepts at most {_HEADER_CAP}")
    return content


def header_digest(content: bytes) -> str:
    """Return the SHA-256 of a file's header, which stands for the whole file, since the header has a hash of every tensor."""
    return hashlib.sha256(content[: 8 + int.from_bytes(content[:8], "little")]).hexdigest()


def load(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file.

    Everything is checked before a tensor is made: the kind of file, the header's size, names, dtypes, shapes and offsets. Where
    the file has hashes, they are compared as the tensors are read; none is returned unless all match. A pickle (what
    ``torch.save`` writes) is recognised by its content and never opened.

    Parameters
    ----------
    path : path-like
        The file to read.

    Returns
    -------
    dict of str to Tensor
        The tensors by name, in the order of their bytes in the file.

    Raises
    ------
    ValueError
        If the file is not a safetensors file, is damaged, or holds a dtype dnncore does not have.
    OSError
        If the file cannot be read or is not a regular file.

    Examples
    --------
    >>> import os, tempfile
    >>> import dnncore as dnn
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.safetensors")
    >>> dnn.save({"w": dnn.full((2,), 0.5, dtype=dnn.bfloat16)}, path)
    >>> dnn.load(path)["w"].dtype
    dnncore.bfloat16
    """
    where = os.fspath(path)
    with open_regular(where, "load") as file:
        return _read_tensors(file, *_read_header(file, _size(file), where), where)


def load_checked(path: str, check: Callable[[dict[str, Any], str], None]) -> dict[str, Tensor]:
    """Do as `load` with a file that is no link, after ``check(header, digest of the header)`` and before a tensor is made."""
    with open_regular(path, "load", getattr(os, "O_NOFOLLOW", 0)) as file:
        header, hashes = _read_header(file, _size(file), path)
        start = file.tell()
        file.seek(0)
        check(header, header_digest(_read_exactly(file, start, path)))
        return _read_tensors(file, header, hashes, path)


def _size(file: Any) -> int:
    return os.fstat(file.fileno()).st_size


def _read_tensors(file: Any, header: dict[str, Any], hashes: dict[str, str] | None, where: str) -> dict[str, Tensor]:
    tensors = {}
    for name, entry in header.items():  # in the order of their bytes, as _check_cover has it
        tensor = _core.empty(tuple(entry["shape"]), dtype=_DTYPES[entry["dtype"]], device="cpu")
        _read_into(file, _bytes_of(tensor), where)
        if hashes is not None and _digest(entry["dtype"], tuple(entry["shape"]), _bytes_of(tensor)) != hashes[name]:
            raise ValueError(f"load: {where} is damaged: the bytes of {name!r} do not match their hash")
        if entry["dtype"] == "BOOL" and bytes(_bytes_of(tensor)).translate(None, b"\0\1"):
            raise ValueError(f"load: {where} is damaged: {name[:40]!r} holds bytes that are neither true nor false")
        tensors[name] = tensor
    return tensors


def _check_entry(name: object, value: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f"save: expected names of type str, got {type(name).__name__}")
    if name == "__metadata__" or len(name.encode("utf-8", "replace")) > _NAME_CAP:
        raise ValueError(f"save: {name[:40]!r} cannot name a tensor in a file (reserved, or longer than {_NAME_CAP} bytes)")
    if not isinstance(value, Tensor):
        raise TypeError(f"save: expected a tensor for {name!r}, got {type(value).__name__}")


def _digest(dtype: str, shape: tuple[int, ...], data: memoryview) -> str:
    digest = hashlib.sha256(f"{dtype} {list(shape)} ".encode())
    for start in range(0, len(data), _CHUNK):
        digest.update(data[start : start + _CHUNK])
    return digest.hexdigest()


def _read_header(file: BinaryIO | Any, size: int, where: str) -> tuple[dict[str, Any], dict[str, str] | None]:
    """Return the entries of the tensors, and the hashes where the file has them."""
    start = _read_exactly(file, min(size, 9), where)
    length = int.from_bytes(start[:8], "little")
    if len(start) < 9 or start[8:9] != b"{":
        if start[:4] == b"PK\x03\x04" or (start[:1] == b"\x80" and start[1:2] <= b"\x05") or (start and start[:1] in b"(c]}"):
            raise ValueError(f"load: {where} looks like a pickle, which can run code and is never opened; save it as safetensors")
        raise ValueError(f"load: {where} is not a safetensors file")
    if length > _HEADER_CAP or length > size - 8:
        raise ValueError(f"load: {where} has a header of {length} bytes; expected at most {min(_HEADER_CAP, size - 8)}")
    text = start[8:] + _read_exactly(file, length - 1, where)
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"load: {where} has a damaged header: {error}") from None
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError(f"load: {where} has a damaged header: __metadata__ must map names to text")
    for name, entry in header.items():
        _check_header_entry(name, entry, where)
    header = dict(sorted(header.items(), key=lambda item: (item[1]["data_offsets"], item[0])))
    _check_cover(header, size - 8 - length, where)
    return header, _hashes_of(metadata, header, where)


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"{key[:40]!r} appears twice")
        result[key] = value
    return result


def _check_header_entry(name: str, entry: Any, where: str) -> None:
    if len(name) > _NAME_CAP or not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"load: {where} has a damaged header at {name[:40]!r}: expected dtype, shape and data_offsets")
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in _DTYPES:
        raise ValueError(f"load: {where} holds {name[:40]!r} as {entry['dtype']!s:.20}; dnncore reads {', '.join(_DTYPES)}")
    for field, cap in (("shape", _RANK_CAP), ("data_offsets", 2)):
        sizes = entry[field]
        if not isinstance(sizes, list) or len(sizes) > cap or not all(type(n) is int and 0 <= n < 1 << 63 for n in sizes):
            raise ValueError(f"load: {where} has a damaged header at {name[:40]!r}: {field}")
    if len(entry["data_offsets"]) != 2:
        raise ValueError(f"load: {where} has a damaged header at {name[:40]!r}: data_offsets")


def _check_cover(header: dict[str, Any], size: int, where: str) -> None:
    """Refuse tensors that do not fill the bytes after the header one after the other: no overlap, no hole, nothing left."""
    place = 0
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        expected = math.prod(entry["shape"]) * _DTYPES[entry["dtype"]].itemsize
        if begin != place or end - begin != expected or end > size:
            raise ValueError(
                f"load: {where} is damaged at {name[:40]!r}: expected {expected} bytes from {place} on, got {begin} to {end} "
                f"of {size}"[:400]
            )
        place = end
    if place != size:
        raise ValueError(f"load: {where} is damaged: expected {place} bytes after the header, got {size}")


def _hashes_of(metadata: dict[str, str], header: dict[str, Any], where: str) -> dict[str, str] | None:
    seal = metadata.get("dnncore")
    if seal is None and not any(value.startswith(_SEAL) for value in metadata.values()):
        return None
    try:
        content = json.loads(seal or "", object_pairs_hook=_unique)
        hashes: dict[str, str] = content["sha256"]
        names = set(hashes)
        version = content["version"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError(f"load: {where} is damaged: its hashes cannot be read") from None
    if version != _SCHEME:
        raise ValueError(f"load: {where} has scheme {version!s:.20}; this version of dnncore reads {_SCHEME}")
    if names != set(header):
        raise ValueError(f"load: {where} is damaged: its hashes and its tensors do not have the same names")
    return hashes


def _read_exactly(file: BinaryIO | Any, size: int, where: str) -> bytes:
    parts = []
    while size > 0:
        part = file.read(size)
        if not part:
            raise ValueError(f"load: {where} ends early")
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _read_into(file: Any, data: memoryview, where: str) -> None:
    while len(data):
        count = file.readinto(data[:_CHUNK])
        if not count:
            raise ValueError(f"load: {where} ends early")
        data = data[count:]


def _bytes_of(tensor: Tensor) -> memoryview:
    """Return the memory of a contiguous tensor."""
    return memoryview((ctypes.c_ubyte * tensor.nbytes).from_address(tensor.data_ptr())).cast("B")
