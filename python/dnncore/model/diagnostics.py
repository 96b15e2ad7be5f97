"""Checks before the first step: whole-model mistakes, each with a code, the fix and a place in the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dnncore import _core, nn
from dnncore._core import Tensor
from dnncore.model import _data_checks as data_checks
from dnncore.model import _loss_checks as loss_checks
from dnncore.model._diagnosis import Diagnosis, DiagnosisWarning, few
from dnncore.model._loss_checks import Head, called, maker_of
from dnncore.model._probe import Call, Trace, said_shape, tensors_in, trace
from dnncore.nn.parameter import is_lazy, is_replaced

__all__ = ["Diagnosis", "DiagnosisWarning", "examine", "examine_forward"]


def examine(
    module: nn.Module,
    loss: Any,
    metrics: Sequence[Any],
    inputs: Any,
    targets: Any,
    *,
    data: tuple[Any, Any] | None = None,
    validation: tuple[Any, Any] | None = None,
    optimizer: Any = None,
) -> None:
    """Look for mistakes in a network, its loss, its metrics and its data, before it is trained.

    The first minibatch is run once in evaluation mode, on a copy that shares the parameters; module, gradients, data and random
    state stay as they are. Mistakes raise, one at a time; what only looks like one gives a warning.

    Parameters
    ----------
    module : Module
        The network.
    loss : Module or callable, or a tuple or dict of them
        The loss, or one per output. Of losses other than those of `dnncore.nn` only what holds for all is checked.
    metrics : sequence of Metric
        Each has ``name`` and ``tasks``.
    inputs : Tensor, tuple or dict of Tensor
        The first minibatch, with the samples along the first dimension.
    targets : Tensor, or a tuple or dict of Tensor
        Its targets, one per loss.
    data, validation : (inputs, targets), optional
        All samples, where they are in memory; scanned once, large ones in part.
    optimizer : Optimizer, optional
        What will update the parameters.

    Raises
    ------
    Diagnosis
        If a mistake was found; its ``code``, ``fix`` and ``anchor`` say what to do.

    Warns
    -----
    DiagnosisWarning
        If something looks like a mistake.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> from dnncore.model.diagnostics import examine
    >>> model = nn.Sequential(nn.Linear(8, 3), nn.Softmax(dim=1))
    >>> try:
    ...     examine(model, nn.CrossEntropyLoss(), [], dnn.randn(4, 8), dnn.tensor([0, 1, 2, 0]))
    ... except ValueError as error:
    ...     print(error.code, error.fix)
    D101 probabilities = model(x).softmax(1)  # there, and no softmax in the model
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"examine: expected a Module, got {type(module).__name__}")
    state = _core.default_generator.get_state()
    try:
        _examine(module, loss, list(metrics), inputs, targets, data or (None, None), validation or (None, None), optimizer)
    finally:
        _core.default_generator.set_state(state)


def _examine(
    module: nn.Module,
    loss: Any,
    metrics: list[Any],
    inputs: Any,
    targets: Any,
    data: tuple[Any, Any],
    validation: tuple[Any, Any],
    optimizer: Any,
) -> None:
    _check_training(module, optimizer)
    _check_lengths(inputs, targets)
    for place, name, code, first in ((0, "inputs", "D302", inputs), (1, "targets", "D206", targets)):
        data_checks.check_finite(first if data[place] is None else data[place], code, name)
        data_checks.check_finite(validation[place], code, f"{name} of validation")
    run = _run(module, inputs)
    found = loss_checks.heads(run, loss, targets, data[1], validation[1])
    for head in found:
        _check_head(head)
    loss_checks.check_metrics(metrics, found)
    _give_warnings(found, inputs, data[0], validation[0], run)


def _check_head(head: Head) -> None:
    if head.kind and not isinstance(head.output, Tensor):
        raise Diagnosis(
            "D403",
            f"{head.name}the network returns {said_shape(head.output)}, but {head.loss_name} takes one tensor",
            "loss = (loss_of_first, loss_of_second)  # a loss per output",
        )
    if head.kind:
        loss_checks.check_activation(head)
    loss_checks.check_targets(head)
    loss_checks.check_loss(head)


def _give_warnings(found: list[Head], inputs: Any, train: Any, validation: Any, run: Trace) -> None:
    data_checks.warn_of_scale(inputs, run.calls)
    data_checks.warn_of_constants(inputs, train)
    for head in found:
        loss_checks.warn_of_equal_targets(head)
        classes = loss_checks.classes_of(head)
        if classes is not None:
            data_checks.warn_of_classes(*classes)
    if train is not None and validation is not None:
        data_checks.warn_of_duplicates(train, validation)


# --- What is trained


def _check_training(module: nn.Module, optimizer: Any) -> None:
    parameters = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    if not parameters:
        frozen = [name for name, _ in module.named_parameters()]
        found = f"all its {len(frozen)} parameters are frozen" if frozen else "it has no parameters"
        raise Diagnosis(
            "D701",
            f"{type(module).__name__} has nothing to train: {found}",
            "model.requires_grad_(True)" if frozen else "self.layers = nn.ModuleList(layers)  # a plain list hides its layers",
        )
    if optimizer is None:
        return
    groups = optimizer.param_groups
    held = {id(p) for group in groups for p in group["params"]}
    if not any(id(p) in held for _, p in parameters):
        old = any(is_replaced(p) for group in groups for p in group["params"])
        raise Diagnosis(
            "D702",
            f"{type(optimizer).__name__} holds {len(held)} parameters, none of which are among the {len(parameters)} that "
            f"{type(module).__name__} trains ({few([name for name, _ in parameters], 3)})"
            + ("; they were replaced after it was made" if old else ""),
            f"optimizer = dnn.optim.{type(optimizer).__name__}(model.parameters(), ...)"
            + ("  # after casts and load_state_dict(assign=True)" if old else ""),
        )
    if all(group["lr"] == 0 and "initial_lr" not in group for group in groups):  # a schedule may begin at 0
        raise Diagnosis(
            "D703",
            f"{type(optimizer).__name__} has a learning rate of 0, so that no step changes anything",
            f"optimizer = dnn.optim.{type(optimizer).__name__}(model.parameters(), lr=1e-3)",
        )


def _check_lengths(inputs: Any, targets: Any) -> None:
    lengths = {
        where: len(tensor)
        for name, value in (("inputs", inputs), ("targets", targets))
        for where, tensor in data_checks.named(value, name)
        if tensor.ndim
    }
    empty = [where for where, number in lengths.items() if number == 0]
    if empty:
        raise Diagnosis("D208", f"there are no samples: {', '.join(empty)} have length 0", "print(x.shape, y.shape)")
    if len(set(lengths.values())) > 1:
        raise Diagnosis(
            "D208",
            f"the numbers of samples differ: {', '.join(f'{where} has {number}' for where, number in lengths.items())}",
            "print(x.shape, y.shape)  # the first dimension of each is the samples",
        )


# --- The forward pass


def examine_forward(module: nn.Module, inputs: Any) -> None:
    """Say which layer a minibatch does not fit, if it does not; what a failing forward pass is explained with.

    Parameters
    ----------
    module : Module
        The network; it stays as it is.
    inputs : Tensor, tuple or dict of Tensor
        A minibatch.

    Raises
    ------
    Diagnosis
        With the code D302, D401, D402 or D405.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> from dnncore.model.diagnostics import examine_forward
    >>> try:
    ...     examine_forward(nn.Sequential(nn.Linear(64, 10)), dnn.zeros(32, 784))
    ... except ValueError as error:
    ...     print(error.message)
    ...     print(error.fix)
    Linear '0' expects 64 features, the data gives 784 (shape (32, 784))
    model[0] = nn.Linear(784, 10)
    """
    data_checks.check_finite(inputs, "D302", "inputs")
    _run(module, inputs)


def _run(module: nn.Module, inputs: Any) -> Trace:
    run = trace(module, inputs, grad=True)
    if run.error is not None:
        raise _failed_pass(run) from run.error
    _check_outputs(run)
    return run


def _failed_pass(run: Trace) -> Diagnosis:
    call = run.failed
    if call is not None and call.args and isinstance(call.args[0], Tensor):
        for fit in (_features, _channels, _slopes):
            found = fit(call, call.args[0], run)
            if found is not None:
                return Diagnosis("D401", *found)
    where = f"{call.name}, given {said_shape(call.args) or said_shape(call.kwargs) or 'nothing'}" if call else "the network"
    return Diagnosis("D402", f"{where}: {run.error}", "model(x)  # alone, to see all of the error")


Misfit = tuple[str, str] | None


def _features(call: Call, x: Tensor, run: Trace) -> Misfit:
    """Judge a `Linear` that gets another number of features, or an image that was not flattened."""
    layer: Any = call.module
    if not isinstance(layer, nn.Linear) or not x.ndim or is_lazy(layer._parameters.get("weight")):
        return None
    expected, shape = layer.in_features, tuple(x.shape)
    if shape[-1] == expected:
        return None
    message = f"{call.name} expects {expected} features, {_giver(x, run)} gives {shape[-1]} (shape {shape})"
    if len(shape) == 1 and expected == 1:
        return message, "x = x.reshape(-1, 1)  # samples are rows"
    flat = _product(shape[1:])
    if len(shape) > 2 and flat == expected:
        return message, f"nn.Sequential(nn.Flatten(), ...)  # before {call.name}: {shape} becomes {(shape[0], flat)}"
    if len(shape) == 2 and shape[0] == expected and shape[1] != expected:
        return message, "x = x.T  # samples are rows"
    settings = f", pieces={layer.pieces}" if isinstance(layer, nn.Maxout) else ""
    return message, f"{called(call)} = nn.{type(layer).__name__}({shape[-1]}, {layer.out_features}{settings})"


def _channels(call: Call, x: Tensor, run: Trace) -> Misfit:
    """Judge a layer of channels that gets another number of them, or gets them last."""
    expected, shape = getattr(call.module, "in_channels", None), tuple(x.shape)
    if not isinstance(expected, int) or len(shape) < 3 or shape[1] == expected:
        return None
    message = f"{call.name} expects {expected} channels, {_giver(x, run)} gives {shape[1]} (shape {shape})"
    if shape[-1] == expected:
        order = (0, len(shape) - 1, *range(1, len(shape) - 1))
        return message, f"x = x.permute{order}  # channels come second"
    if len(shape) == 3 and expected == 1:
        return message, "x = x.unsqueeze(1)  # one channel"
    return message, f"{called(call)} = nn.{type(call.module).__name__}({shape[1]}, ...)"


def _slopes(call: Call, x: Tensor, run: Trace) -> Misfit:
    """Judge a `PReLU` with a slope per channel."""
    if not isinstance(call.module, nn.PReLU) or x.ndim < 2 or call.module.num_parameters in (1, x.shape[1]):
        return None
    message = f"{call.name} has {call.module.num_parameters} slopes, {_giver(x, run)} gives {x.shape[1]} channels"
    return message, f"{called(call)} = nn.PReLU({x.shape[1]})"


def _giver(x: Tensor, run: Trace) -> str:
    maker = maker_of(x, run.calls)
    return "the data" if maker is None else maker.name


def _product(sizes: tuple[int, ...]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total


def _check_outputs(run: Trace) -> None:
    """Name the first layer whose output is not finite."""
    if _all_finite(run.output):
        return
    call = next((call for call in run.calls if not _all_finite(call.output)), None)
    where, broken = "the network", []
    if call is not None:
        where = call.name
        broken = [name for name, p in call.module.named_parameters() if not _all_finite(p)]
    raise Diagnosis(
        "D405",
        f"the output of {where} is not finite" + (f"; neither are its parameters {few(broken)}" if broken else ""),
        f"{called(call)}.reset_parameters()"
        if call is not None and broken
        else "x = x / x.abs().max()  # are the inputs too large?",
    )


def _all_finite(value: Any) -> bool:
    floating = [x for x in tensors_in(value) if x.is_floating_point()]
    return all(bool(_core.isfinite(x.detach()).all().item()) for x in floating)
