"""Model folders: the weights as safetensors, and a JSON that describes the architecture from a closed registry of layers.

``model.json`` names the file of its weights, ``model-<hash>.safetensors``, by its content. A new version writes new weights under
their own name and then replaces the JSON, so that at any moment the JSON stands beside the weights it was written for.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dnncore import _version, nn
from dnncore._core import Tensor
from dnncore._files import open_regular, sync_folder, write_atomically
from dnncore._grad_mode import no_grad
from dnncore.model import _registry
from dnncore.model._layers import Node, Slot
from dnncore.serialization import header_digest, load_checked, to_bytes

if sys.platform != "win32":
    import fcntl

__all__ = ["read", "write"]

_NAME = "model.json"
_FORMAT = "dnncore model"
_VERSION = 1
_JSON_CAP = 1 << 24  # bytes
_WEIGHTS = re.compile(r"model-[0-9a-f]{16}\.safetensors")
_LEFT_BY_A_KILL = re.compile(r"\.model(-[0-9a-f]{16}\.safetensors|\.json)\.[0-9a-f]{16}\.tmp")
_SEAL = re.compile(rb'\{"sha256": "([0-9a-f]{64})",\n')  # the first line; the digest is that of all after it
_FIELDS = {"format", "version", "dnncore", "weights", "architecture", "frozen", "evaluating", "extra"}
_KEPT_STATISTICS = "frozen_statistics"  # only there where a batch normalisation keeps its statistics
_DTYPES = {"F32": "float32", "F64": "float64", "BF16": "bfloat16", "F16": "float16"}
_DTYPES |= {"I64": "int64", "I32": "int32", "U8": "uint8", "BOOL": "bool"}

PathLike = str | os.PathLike[str]


def write(folder: PathLike, module: nn.Module, extra: dict[str, Any] | None = None) -> None:
    """Write a module, its weights and further facts to a folder, atomically and durably.

    At any moment the folder holds the old model or the new one, whole; what is on the disk when the call returns is the new one.

    Parameters
    ----------
    folder : path-like
        The folder; it is made if it is not there. Its other files stay as they are.
    module : Module
        Layers and containers of `dnncore.nn`. Modules that stand in several places are stored once and stay shared.
    extra : dict, optional
        What JSON can hold: None, bool, int, float (NaN and infinities too), str, lists, dicts; tuples become lists.

    Raises
    ------
    ValueError
        If part of the module cannot be described: a class that is not of `dnncore.nn`, a parametrization, a hook, a layer that
        has no shape yet, a parameter that two layers share. The message names the part.
    TypeError
        If `module` is no module or `extra` holds what JSON cannot.
    OSError
        If the folder cannot be written; an older model in it stands.

    Examples
    --------
    >>> import os, tempfile
    >>> from dnncore import nn
    >>> from dnncore.model import archive
    >>> folder = os.path.join(tempfile.mkdtemp(), "digits")
    >>> archive.write(folder, nn.Sequential(nn.Linear(64, 10)), {"labels": ["zero", "one"]})
    >>> module, extra = archive.read(folder)
    >>> module[0], extra
    (Linear(in_features=64, out_features=10, bias=True), {'labels': ['zero', 'one']})
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"write: expected a Module, got {type(module).__name__}")
    target = Path(folder)
    try:
        architecture = _registry.describe(module)
        content = to_bytes(_tensors(module, architecture))
        digest = header_digest(content)
        text = _document(module, architecture, digest, {} if extra is None else extra)
        _parse(text)  # what is written can be read
    except (ValueError, TypeError, RecursionError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"write: {error}") from error
    created = _made(target)
    try:
        if created:
            sync_folder(target.parent)
        with _locked(target):
            _write_files(target, f"model-{digest[:16]}.safetensors", content, text)
    except BaseException:
        if created:
            with contextlib.suppress(OSError):
                os.rmdir(target)  # fails, rightly, if the model is there
        raise


def read(folder: PathLike) -> tuple[nn.Module, dict[str, Any]]:
    """Read a model folder that `write` made.

    Everything is checked before a tensor is made: hashes, names and arguments of layers, and whether the tensors that they ask
    for are exactly those of the weights file. No code is loaded, no pickle, no link followed.

    Parameters
    ----------
    folder : path-like
        The folder.

    Returns
    -------
    module : Module
        The module; its layers are in the mode (training or not) they were written in, frozen parameters are frozen.
    extra : dict
        What `write` was given.

    Raises
    ------
    ValueError
        If a file is damaged, was edited, does not belong to the other, or comes from a later version.
    OSError
        If a file is missing, cannot be read or is not a regular file.

    Examples
    --------
    >>> import os, tempfile
    >>> from dnncore import nn
    >>> from dnncore.model import archive
    >>> folder = os.path.join(tempfile.mkdtemp(), "model")
    >>> archive.write(folder, nn.Sequential(nn.Linear(2, 3), nn.Tanh()))
    >>> archive.read(folder)[0][1]
    Tanh()
    """
    target = Path(folder)
    text = _text(target)
    with contextlib.suppress(FileNotFoundError):
        return _read_version(target, text)
    with _locked(target):  # a writer has replaced the model since the JSON was read, unless a file is missing
        return _read_version(target, _text(target))


# --- Writing


def _tensors(module: nn.Module, architecture: Node) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    names: dict[int, str] = {}
    for name in _registry.slots(architecture):
        tensor = _tensor(module, name)
        other = names.setdefault(id(tensor), name)
        if other != name:
            raise ValueError(f"{name!r} and {other!r} are one tensor, which a folder cannot hold; share the module instead")
        tensors[name] = tensor
    return tensors


def _tensor(module: nn.Module, name: str) -> Tensor:
    path, _, own = name.rpartition(".")
    layer = module.get_submodule(path)
    return layer._parameters[own] if own in layer._parameters else layer._buffers[own]  # type: ignore[return-value]


def _document(module: nn.Module, architecture: Node, digest: str, extra: dict[str, Any]) -> bytes:
    if not isinstance(extra, dict):
        raise TypeError(f"expected extra as a dict, got {type(extra).__name__}")
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "dnncore": _version.__version__,
        "weights": digest,
        "architecture": _registry.to_json(architecture, "architecture"),
        "frozen": [name for name, parameter in module.named_parameters() if not parameter.requires_grad],
        "evaluating": [path for path, part in module.named_modules() if not part.training],
        "extra": _registry.to_json(extra),
    }
    kept = [path for path, part in module.named_modules() if getattr(part, "statistics_frozen", False)]
    if kept:
        content[_KEPT_STATISTICS] = kept
    body = json.dumps(content, indent=1, allow_nan=False)[2:].encode("ascii") + b"\n"
    if len(body) > _JSON_CAP - 100:
        raise ValueError(f"the description takes {len(body)} bytes, read accepts at most {_JSON_CAP - 100}; keep less in extra")
    return b'{"sha256": "' + hashlib.sha256(body).hexdigest().encode() + b'",\n' + body


def _made(target: Path) -> bool:
    """Make the folder; return whether it was not there."""
    try:
        os.mkdir(target)
    except FileExistsError:
        if not target.is_dir():
            raise NotADirectoryError(f"write: expected a folder, got the file {target}") from None
        return False
    return True


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Let one writer at a time into the folder."""
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(target, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_files(target: Path, weights: str, content: bytes, text: bytes) -> None:
    for name in (weights, _NAME):
        if (target / name).is_symlink():
            raise OSError(f"write: {target / name} is a link; read follows none, remove it")
    try:
        write_atomically(target / weights, [content])
        write_atomically(target / _NAME, [text])
    finally:
        _sweep(target)


def _sweep(target: Path) -> None:
    """Remove the weights that the JSON does not name, and what a killed writer left."""
    with contextlib.suppress(OSError, ValueError):
        keep = ""
        if os.path.lexists(target / _NAME):
            keep = f"model-{_parse(_text(target))['weights'][:16]}.safetensors"
        for name in os.listdir(target):
            if _LEFT_BY_A_KILL.fullmatch(name) or (_WEIGHTS.fullmatch(name) and name != keep):
                os.unlink(target / name)


# --- Reading


def _text(target: Path) -> bytes:
    path = os.fspath(target / _NAME)
    with open_regular(path, "read", getattr(os, "O_NOFOLLOW", 0)) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _JSON_CAP:
            raise ValueError(f"read: {path} has {size} bytes; expected at most {_JSON_CAP}")
        parts = []
        while part := file.read(_JSON_CAP):
            parts.append(part)
    return b"".join(parts)


def _read_version(target: Path, text: bytes) -> tuple[nn.Module, dict[str, Any]]:
    where = target / _NAME
    try:
        document = _parse(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"read: {where} {error}") from None
    expected = _registry.slots(document["architecture"])

    def check(header: dict[str, Any], digest: str) -> None:
        found = {name: Slot(tuple(entry["shape"]), _DTYPES[entry["dtype"]]) for name, entry in header.items()}
        if digest != document["weights"]:
            raise ValueError(f"read: the weights in {target} do not belong to {_NAME}: the hashes differ")
        for name in expected.keys() | found.keys():
            if expected.get(name) != found.get(name):
                raise ValueError(
                    f"read: {where} does not fit its weights at {name[:80]!r}: "
                    f"expected {_said(expected.get(name))}, got {_said(found.get(name))}"
                )

    tensors = load_checked(os.fspath(target / f"model-{document['weights'][:16]}.safetensors"), check)
    try:
        module = _registry.build(document["architecture"])
    except ValueError as error:
        raise ValueError(f"read: {where} is damaged: {error}") from error
    _fill(module, tensors, document)
    return module, document["extra"]


def _said(slot: Slot | None) -> str:
    return "none" if slot is None else f"{slot.shape} of {slot.dtype}"


def _fill(module: nn.Module, tensors: dict[str, Tensor], document: dict[str, Any]) -> None:
    with no_grad():
        for name, value in tensors.items():
            _tensor(module, name).copy_(value)
    parameters = dict(module.named_parameters())
    parts = dict(module.named_modules())
    try:
        for name in document["frozen"]:
            parameters[name].requires_grad_(False)
        for path in document["evaluating"]:
            parts[path].training = False
        for path in document.get(_KEPT_STATISTICS, ()):
            _frozen(parts[path])
    except KeyError as error:
        raise ValueError(f"read: {_NAME} is damaged: it has no module or parameter {error.args[0][:80]!r}") from None


def _frozen(part: Any) -> None:
    if not hasattr(part, "freeze_statistics"):
        raise KeyError(f"a batch normalisation in the place of {type(part).__name__}")
    part.freeze_statistics()


def _parse(text: bytes) -> dict[str, Any]:
    """Return the checked content of a JSON that may come from anywhere; ValueError says what is wrong with it."""
    seal = _SEAL.match(text)
    if seal is None:
        raise ValueError("is not a dnncore model: expected the line of its hash first")
    if hashlib.sha256(text[seal.end() :]).hexdigest().encode() != seal[1]:
        raise ValueError("is damaged or was edited: its content does not match its hash")
    document = json.loads(text.decode("ascii"), object_pairs_hook=_object, parse_constant=_refuse_constant)
    if document.get("format") != _FORMAT or type(document.get("version")) is not int:
        raise ValueError(f"is not a dnncore model: expected format {_FORMAT!r} with a version")
    if document["version"] != _VERSION:
        raise ValueError(f"has version {document['version']}; this version of dnncore reads {_VERSION}")
    if set(document) - {_KEPT_STATISTICS} != _FIELDS | {"sha256"}:
        raise ValueError(f"is damaged: expected the fields {', '.join(sorted(_FIELDS))}, got {', '.join(sorted(document))[:200]}")
    _check_fields(document)
    for _ in _registry.parts(document["architecture"]):
        pass
    return document  # type: ignore[no-any-return]


def _check_fields(document: dict[str, Any]) -> None:
    if not isinstance(document["weights"], str) or not re.fullmatch("[0-9a-f]{64}", document["weights"]):
        raise ValueError("is damaged: expected a hash as weights")
    if not isinstance(document["dnncore"], str) or not isinstance(document["extra"], dict):
        raise ValueError("is damaged: expected dnncore as text and extra as an object")
    for field in ("frozen", "evaluating", _KEPT_STATISTICS):
        names = document.get(field, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"is damaged: expected {field} as a list of names")


def _object(pairs: list[tuple[str, Any]]) -> Any:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("is damaged: a name appears twice in one object")
    return _registry.from_json(result)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"is damaged: {text} is no JSON")
