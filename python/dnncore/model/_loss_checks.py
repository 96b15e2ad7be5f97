"""Checks of what a loss wants: the activation before it, the kind, shape and range of its targets, the metrics beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnncore import _core, nn
from dnncore._core import Tensor
from dnncore.model._data_checks import array_of
from dnncore.model._diagnosis import Diagnosis, warn
from dnncore.model._losses import OF_CLASSES, family_of, function_of, setting_of
from dnncore.model._probe import Call, Trace, tensors_in

_BINARY = ("logits", "probabilities")
_CHECKED = (*OF_CLASSES, *_BINARY, "numbers")
_PASSING = (nn.Flatten, nn.Unflatten, nn.Identity)  # layers that hand on the values they get
_ENDINGS: dict[str, tuple[type[nn.Module], ...]] = {
    "softmax": (nn.Softmax, nn.Softmax2d, nn.Softmin),
    "log_softmax": (nn.LogSoftmax,),
    "sigmoid": (nn.Sigmoid, nn.Hardsigmoid),
}
_SUM_ERROR = 1e-4  # of the rows of a softmax, for thousands of classes in float32


@dataclass
class Head:
    """One output of the network with its loss and targets."""

    name: str  # before messages: "" for the only output
    loss: Callable[..., Any]
    output: Any
    targets: Any  # of the first minibatch
    train: Tensor | None  # of all training samples, where they are known
    validation: Tensor | None
    run: Trace

    @property
    def kind(self) -> str:
        """Return which of the losses that are checked here it is; "" for any other."""
        family = family_of(self.loss)
        return family if family in _CHECKED else ""

    @property
    def loss_name(self) -> str:
        """Return the loss as messages have it."""
        function = function_of(self.loss)
        return str(getattr(function, "__name__", type(function).__name__))

    @property
    def known_targets(self) -> Tensor:
        """Return as many targets as are known."""
        return self.targets if self.train is None else self.train

    @property
    def maker(self) -> Call | None:
        """Return the call that computed the output."""
        return maker_of(self.output, self.run.calls)

    def last_layer(self, size: int) -> str:
        """Return a line of code that makes the last layer give `size` outputs."""
        call = self.maker
        if call is None or not isinstance(call.module, nn.Linear):
            return f"make the last layer give {size} outputs, such as nn.Linear(..., {size})"
        return f"{called(call)} = nn.{type(call.module).__name__}({call.module.in_features}, {size})"


def called(call: Call) -> str:
    """Return a module as code reaches it: ``model[0]``, ``model.fc``."""
    text = "model"
    for part in call.path.split(".") if call.path else ():
        text += f"[{part}]" if part.isdecimal() else f".{part}" if part.isidentifier() else f"[{part!r}]"
    return text


def maker_of(tensor: Any, calls: list[Call]) -> Call | None:
    """Return the innermost call that made a tensor, seen through layers that hand on their input."""
    found = next((call for call in calls if any(own is tensor for own in tensors_in(call.output))), None)
    if found is not None and isinstance(found.module, _PASSING) and found.args:
        return maker_of(found.args[0], calls)
    return found


def heads(run: Trace, loss: Any, targets: Any, train: Any, validation: Any) -> list[Head]:
    """Match outputs, losses and targets."""
    if not isinstance(loss, (tuple, list, dict)):
        return [Head("", loss, run.output, targets, _tensor(train), _tensor(validation), run)]
    if isinstance(run.output, dict) and not isinstance(loss, dict):
        return []  # nothing says which loss belongs to which name
    keys = list(loss) if isinstance(loss, dict) else list(range(len(loss)))
    for what, value in (("outputs", run.output), ("targets", targets)):
        number = len(value) if isinstance(value, (tuple, list, dict)) else 1
        if number < len(keys) or (isinstance(value, dict) and not set(keys) <= set(value)):
            got = f"the {what} {list(value)}" if isinstance(value, dict) else f"{number} of the {what}"
            fix = f"loss = dict.fromkeys({list(value)}, loss)" if isinstance(value, dict) else f"loss = (loss,) * {number}"
            raise Diagnosis(
                "D403",
                f"there are losses for the outputs {keys}, but {got}",
                fix,
            )
    return [
        Head(
            f"output {key!r}: ",
            loss[key],
            _part(run.output, key),
            _part(targets, key),
            _tensor(_part(train, key)),
            _tensor(_part(validation, key)),
            run,
        )
        for key in keys
    ]


def _part(value: Any, key: Any) -> Any:
    if value is None:
        return None
    return value[key] if isinstance(value, (dict, tuple, list)) else None


def _tensor(value: Any) -> Tensor | None:
    return value if isinstance(value, Tensor) else None


# --- The activation before the loss


def check_activation(head: Head) -> None:
    """Refuse a softmax or sigmoid before a loss that has its own, and none before a loss that has not."""
    ending, by = _ending(head)
    if head.kind in ("cross_entropy", "logits") and ending in ("softmax", "sigmoid"):
        own = "sigmoid" if head.kind == "logits" else "softmax"
        effect = "twice, gradients" if ending == own else "of values between 0 and 1, gradients"
        raise Diagnosis(
            "D101" if ending == "softmax" else "D103",
            f"{head.name}{by} stands before {head.loss_name}, which takes logits and applies the {own} itself; "
            f"{effect} become small and the loss cannot reach 0",
            f"probabilities = model(x).{own}({'' if own == 'sigmoid' else 1})  # there, and no {ending} in the model",
        )
    if head.kind == "cross_entropy" and ending == "log_softmax":
        warn(
            "D102",
            f"{head.name}{by} stands before {head.loss_name}, which applies it itself; a second one costs time only",
            "loss = nn.NLLLoss()  # or leave log_softmax out of the model",
        )
    if head.kind == "probabilities" and ending not in ("sigmoid", "softmax"):
        _check_probabilities(head)
    if head.kind == "nll" and ending != "log_softmax":
        _check_log_probabilities(head)


def _ending(head: Head) -> tuple[str, str]:
    """Return what the network ends with, "softmax", "log_softmax", "sigmoid" or "", and who says so."""
    maker = head.maker
    for ending, classes in _ENDINGS.items():
        if maker is not None and isinstance(maker.module, classes):
            return ending, maker.name
    node = head.output.grad_fn
    name = "" if node is None else node.name()
    for ending in ("log_softmax", "softmax", "sigmoid"):
        if name == f"{ending}Backward":
            return ending, f"the {ending} at the end of forward"
    if _sums_to_one(head.output):
        return "softmax", "an output whose rows are positive and sum to 1, as of a softmax,"
    return "", ""


def _sums_to_one(output: Tensor) -> bool:
    if output.ndim < 2 or output.shape[1] < 2 or not output.numel():
        return False
    values = array_of(output).astype(np.float64)
    return bool((values >= 0).all() and (abs(values.sum(1) - 1) < _SUM_ERROR).all())


def _check_probabilities(head: Head) -> None:
    low, high = head.output.min().item(), head.output.max().item()
    maker = head.maker
    linear = maker is not None and isinstance(maker.module, nn.Linear)
    if low < 0 or high > 1 or linear:
        by = f"{maker.name} gives" if maker is not None else "the network gives"
        raise Diagnosis(
            "D104",
            f"{head.name}{by} values from {low:.4g} to {high:.4g} to {head.loss_name}, which takes probabilities from 0 to 1",
            "loss = nn.BCEWithLogitsLoss()  # or end the model with nn.Sigmoid()",
        )


def _check_log_probabilities(head: Head) -> None:
    if head.output.ndim < 2 or not head.output.numel():
        return
    values = array_of(head.output).astype(np.float64)
    if (abs(np.exp(values).sum(1) - 1) > _SUM_ERROR).any():
        raise Diagnosis(
            "D105",
            f"{head.name}the network gives values from {values.min():.4g} to {values.max():.4g} to {head.loss_name}, which takes "
            "log-probabilities, as of log_softmax",
            "loss = nn.CrossEntropyLoss()  # or end the model with nn.LogSoftmax(dim=1)",
        )


# --- Targets


def check_targets(head: Head) -> None:
    """Refuse targets of the wrong kind, shape or range for the loss."""
    if not isinstance(head.output, Tensor) or not isinstance(head.targets, Tensor) or not head.kind:
        return
    output, targets = tuple(head.output.shape), tuple(head.targets.shape)
    if not output or not targets or output[0] != targets[0]:
        raise Diagnosis(
            "D403",
            f"{head.name}the network returns shape {output} for {targets[0] if targets else 1} targets of shape {targets}",
            "nn.Flatten()  # joins all dimensions but the first, the batch",
        )
    if head.kind in OF_CLASSES:
        _check_classes(head, output, targets)
    else:
        _check_values(head, output, targets)


def _check_classes(head: Head, output: tuple[int, ...], targets: tuple[int, ...]) -> None:
    if len(output) < 2 or output[1] == 1:
        raise Diagnosis(
            "D403",
            f"{head.name}the network returns shape {output}, but {head.loss_name} needs (N, C) with a column per class; with one "
            "column it is always 0",
            f"loss = nn.BCEWithLogitsLoss()  # for two classes; or {head.last_layer(2)}",
        )
    expected = output[:1] + output[2:]
    if head.targets.is_floating_point():
        _check_shares(head, output, targets, expected)
        return
    if targets == output:
        raise Diagnosis(
            "D203",
            f"{head.name}the targets are one-hot rows of {head.targets.dtype.name}, but {head.loss_name} takes class numbers, or "
            "probabilities as floats",
            "y = y.argmax(1)",
        )
    if targets != expected:
        raise _wrong_shape(head, targets, expected)
    if head.targets.dtype != _core.int64:
        raise Diagnosis(
            "D203",
            f"{head.name}the targets are {head.targets.dtype.name}, but {head.loss_name} takes class numbers of int64",
            "y = dnn.as_tensor(y).long()",
        )
    _check_range(head, output[1])


def _check_shares(head: Head, output: tuple[int, ...], targets: tuple[int, ...], expected: tuple[int, ...]) -> None:
    values = array_of(head.targets)
    if targets == output and head.kind == "cross_entropy":
        sums = values.sum(1, dtype=np.float64)
        if np.isin(values, (0, 1)).all() and (sums != 1).any():
            raise Diagnosis(
                "D203",
                f"{head.name}the targets mark {sums.min():.0f} to {sums.max():.0f} classes, but {head.loss_name} takes one",
                "loss = nn.BCEWithLogitsLoss()",
            )
        return
    if math.prod(targets) != math.prod(expected):
        raise _wrong_shape(head, targets, expected)
    whole = bool((values == np.floor(values)).all())
    reshaped = "" if targets == expected else ".squeeze(1)" if targets == (*expected, 1) else f".reshape({expected})"
    raise Diagnosis(
        "D203",
        f"{head.name}the targets are {head.targets.dtype.name} of shape {targets}, but {head.loss_name} takes class numbers, "
        f"int64 of shape {expected}" + ("" if whole else f"; values such as {_first_part(values):.4g} are no class numbers"),
        f"y = dnn.as_tensor(y){reshaped}.long()" if whole else "loss = nn.MSELoss()  # for numbers; classes are whole numbers",
    )


def _first_part(values: Any) -> float:
    return float(values[values != np.floor(values)][0])


def _wrong_shape(head: Head, targets: tuple[int, ...], expected: tuple[int, ...]) -> Diagnosis:
    if targets == (*expected, 1):
        fix = f"y = y.squeeze({len(expected)})"
    elif math.prod(targets) == math.prod(expected):
        fix = f"y = dnn.as_tensor(y).reshape({', '.join(map(str, (-1, *expected[1:])))})"
    else:
        fix = "print(model(x).shape, y.shape)  # one of the two has to change"
    shape = tuple(head.output.shape)
    return Diagnosis(
        "D204",
        f"{head.name}the targets have shape {targets}, but {head.loss_name} of outputs {shape} takes exactly {expected}",
        fix,
    )


def _check_range(head: Head, classes: int) -> None:
    for targets, part in ((head.known_targets, ""), (head.validation, " of validation")):
        if targets is not None:
            _check_classes_in(head, array_of(targets), part, classes)


def _check_classes_in(head: Head, values: NDArray[Any], part: str, classes: int) -> None:
    values = values[values != setting_of(head.loss, "ignore_index", -100)]
    if not values.size:
        return
    low, high = int(values.min()), int(values.max())
    if low >= 0 and high < classes:
        return
    found = (
        f"{head.name}the class numbers{part} are {low} to {high}, but the network has {classes} outputs, for 0 to {classes - 1}"
    )
    if low >= 1 and high == classes:
        raise Diagnosis("D202", found, "y = y - 1")
    if low < 0:
        two = low == -1 and set(np.unique(values)) <= {-1, 1}
        shift = f"y = y + {-low}  # or, if {low} marks no class, ignore_index={low} in the loss"
        raise Diagnosis("D201", found, "y = (y + 1) // 2" if two else shift)
    raise Diagnosis("D201", found, head.last_layer(high + 1))


def _check_values(head: Head, output: tuple[int, ...], targets: tuple[int, ...]) -> None:
    """Targets of the output's shape and dtype; 0 or 1, or between, where probabilities are meant."""
    whole = not head.targets.is_floating_point()
    if targets != output:
        if head.kind in _BINARY and whole and len(targets) == 1 and len(output) == 2 and output[1] > 1:
            raise Diagnosis(
                "D203",
                f"{head.name}the targets are class numbers of shape {targets}, but {head.loss_name} takes a 0 or 1 for each "
                f"of the {output[1]} outputs",
                "loss = nn.CrossEntropyLoss()",
            )
        if len(targets) == len(output) and targets[:-1] == output[:-1] and 1 not in (targets[-1], output[-1]):
            raise Diagnosis(
                "D403",
                f"{head.name}the network gives {output[-1]} values per sample, the targets have {targets[-1]}",
                head.last_layer(targets[-1]),
            )
        raise _wrong_shape(head, targets, output)
    dtype = head.output.dtype.name
    if head.targets.dtype.name != dtype:
        raise Diagnosis(
            "D203",
            f"{head.name}the targets are {head.targets.dtype.name}, but {head.loss_name} takes the outputs' {dtype}",
            f"y = dnn.as_tensor(y).to(dnn.{dtype})",
        )
    if head.kind in _BINARY and targets:
        _check_binary(head)


def _check_binary(head: Head) -> None:
    values = array_of(head.known_targets)
    if not values.size or (values.min() >= 0 and values.max() <= 1):
        return
    low, high = float(values.min()), float(values.max())
    found = np.unique(values[:100_000])
    fix = "y = (y > 0).float()"
    if list(found) == [-1, 1]:
        fix = "y = (y + 1) / 2"
    elif list(found) == [1, 2]:
        fix = "y = y - 1"
    elif high <= 255 and (found == np.floor(found)).all() and high > 2 and low >= 0:
        fix = f"y = y / {high:.0f}"
    raise Diagnosis("D207", f"{head.name}the targets range from {low:.4g} to {high:.4g}, but {head.loss_name} takes 0 to 1", fix)


def warn_of_equal_targets(head: Head) -> None:
    """Warn if there is nothing to learn."""
    if head.train is None or head.train.numel() < 2:
        return
    values = array_of(head.train)
    if (values == values.reshape(-1)[0]).all():
        warn(
            "D205",
            f"{head.name}all {len(values)} targets are {values.reshape(-1)[0]:g}, so that there is nothing to learn",
            "np.unique(y)  # is this the right column?",
        )


def classes_of(head: Head) -> tuple[Tensor, Tensor | None] | None:
    """Return class numbers of training and validation, where the targets are that."""
    train, validation = head.train, head.validation
    if train is None or train.ndim != 1 or not head.kind:
        return None
    if head.kind in OF_CLASSES and train.dtype == _core.int64:
        return train, validation
    if head.kind in _BINARY and bool(np.isin(array_of(train), (0, 1)).all()):
        return train, validation
    return None


# --- Loss and metrics


def check_loss(head: Head) -> None:
    """Compute a loss known here once."""
    if not head.kind:
        return
    try:
        head.loss(head.output.detach(), head.targets)
    except Exception as error:
        raise Diagnosis(
            "D404",
            f"{head.name}{head.loss_name} of outputs {tuple(head.output.shape)} and targets {tuple(head.targets.shape)}: {error}",
            "print(loss)  # its settings, such as weights of classes, fit other sizes",
        ) from error


_SUGGESTED = {"multiclass": "accuracy", "binary": "accuracy", "multilabel": "f1", "regression": "mae"}


def tasks_of(head: Head) -> set[str]:
    """Return the tasks whose metrics fit an output; none if the loss is not known."""
    if head.kind in OF_CLASSES:
        return {"multiclass"}
    if head.kind == "numbers":
        return {"regression"}
    if head.kind in _BINARY:
        several = head.output.ndim > 1 and head.output.shape[1] > 1
        return {"multilabel", "regression"} if several else {"binary"}
    return set()


def check_metrics(metrics: list[Any], found: list[Head]) -> None:
    """Refuse a metric that fits none of the outputs."""
    tasks = [tasks_of(head) for head in found]
    if not all(tasks):
        return
    fitting = set().union(*tasks)
    for metric in metrics:
        own = getattr(metric, "tasks", None)
        if own and not fitting & set(own):
            first = found[0]
            task = sorted(tasks[0])[0]
            raise Diagnosis(
                "D601",
                f"the metric {getattr(metric, 'name', metric)!r} is for {' and '.join(sorted(own))}, "
                f"but {first.loss_name} of outputs {tuple(first.output.shape)} is {task}",
                f"metrics=[{_SUGGESTED[task]!r}]",
            )
