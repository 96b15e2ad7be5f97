"""What `Model.save` writes beside the module, as JSON has it, and back."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dnncore import optim
from dnncore.model._objective import LOSSES
from dnncore.model.history import History
from dnncore.nn.module import Module
from dnncore.optim.optimizer import Optimizer

if TYPE_CHECKING:
    from dnncore.model.model import Model

_PLAIN = (str, int, float, bool, type(None))


class _NotPlainError(Exception):
    pass


def packed(model: Model) -> dict[str, Any]:
    """Return history, settings and tasks; the settings are None where one of them cannot be written."""
    compiled = model._compiled
    try:
        settings = _packed_settings(model) if compiled is not None else None
    except _NotPlainError:
        settings = None
    return {
        "compile": settings,
        "history": None if model.history is None else model.history.to_dict(),
        "epochs_done": model._epochs_done,
        "casts_integers": model._casts_integers,
        "tasks": [] if compiled is None else compiled.tasks,
        "outputs": [] if compiled is None else [output.name for output in compiled.objective.outputs],
    }


def _packed_settings(model: Model) -> dict[str, Any]:
    given = model._settings
    rest = {name: given[name] for name in ("clip_norm", "clip_value")}
    return {
        "optimizer": _packed_optimizer(given["optimizer"] if isinstance(given["optimizer"], str) else model.optimizer),
        "loss": _nested(given["loss"], _packed_loss),
        "metrics": _nested(given["metrics"], _plain),
        "loss_weights": _nested(given["loss_weights"], _plain),
        **rest,
    }


def _nested(value: Any, pack: Any) -> Any:
    if isinstance(value, Mapping):
        return {"dict": {key: _nested(item, pack) for key, item in value.items()}}
    if isinstance(value, (tuple, list)):
        return [_nested(item, pack) for item in value]
    return pack(value)


def _unnested(value: Any, unpack: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"dict"}:
        return {key: _unnested(item, unpack) for key, item in value["dict"].items()}
    if isinstance(value, list):
        return [_unnested(item, unpack) for item in value]
    return unpack(value)


def _plain(value: Any) -> Any:
    if not isinstance(value, _PLAIN):
        raise _NotPlainError
    return value


def _packed_loss(loss: Any) -> Any:
    """Return a name, or the class of a loss of dnncore.nn with its plain settings."""
    if isinstance(loss, str):
        return loss
    name = next((name for name, kind in LOSSES.items() if type(loss) is kind), None)
    if name is None:
        raise _NotPlainError
    settings = {key: _plain(getattr(loss, key)) for key in inspect.signature(type(loss)).parameters}
    return {"name": name, "settings": settings}


def _unpacked_loss(saved: Any) -> Module | str:
    return saved if isinstance(saved, str) else LOSSES[saved["name"]](**saved["settings"])


def _packed_optimizer(optimizer: Optimizer | str) -> Any:
    if isinstance(optimizer, str):
        return optimizer
    if getattr(optim, type(optimizer).__name__, None) is not type(optimizer) or len(optimizer.param_groups) != 1:
        raise _NotPlainError
    (group,) = optimizer.param_groups
    known = inspect.signature(type(optimizer)).parameters
    settings = {key: group[key] for key in optimizer.defaults if key in known}
    return {"name": type(optimizer).__name__, "settings": {key: _nested(value, _plain) for key, value in settings.items()}}


def _unpacked_optimizer(saved: Any, module: Module) -> Optimizer | str:
    if isinstance(saved, str):
        return saved
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in saved["settings"].items()}
    optimizer: Optimizer = getattr(optim, saved["name"])(module.parameters(), **settings)
    return optimizer


def unpack(model: Model, extra: Mapping[str, Any]) -> None:
    """Bring a model to the saved settings; ValueError if they are not what `packed` writes."""
    try:
        model._epochs_done = int(extra.get("epochs_done", 0))
        model._casts_integers = bool(extra.get("casts_integers", False))
        if extra.get("history") is not None:
            model.history = History.from_dict(extra["history"])
        saved = extra.get("compile")
        if saved is None:
            return
        model.compile(
            _unpacked_optimizer(saved["optimizer"], model.module),
            _unnested(saved["loss"], _unpacked_loss),
            _unnested(saved["metrics"], lambda value: value),
            _unnested(saved["loss_weights"], lambda value: value),
            clip_norm=saved["clip_norm"],
            clip_value=saved["clip_value"],
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"Model.load: the saved settings cannot be used: {error}") from error
