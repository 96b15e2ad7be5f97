"""The table of a network: layers, shapes, parameters, work and memory."""

from __future__ import annotations

import html
import math
import operator
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dnncore import _core, nn
from dnncore._core import Tensor
from dnncore.model._device import device_of
from dnncore.model._probe import Call, Trace, class_name, said_shape, tensors_in, trace
from dnncore.nn.conv import ConvNd
from dnncore.nn.parameter import is_lazy
from dnncore.nn.recurrent import RNNBase
from dnncore.nn.recurrent_cell import RNNCellBase

__all__ = ["Row", "Summary", "summarize"]

_HEADERS = ("Layer", "Output shape", "Parameters", "Trainable", "FLOPs", "Activations")
_LEAST = 12  # characters a column of text keeps in a narrow terminal
_FALLBACK = 100  # columns where there is no terminal

Shape = Sequence[int]


@dataclass(frozen=True)
class Row:
    """A module in a `Summary`.

    Attributes
    ----------
    path : str
        Its dotted path; "" for the whole.
    name : str
        Its class.
    depth : int
        How many modules it lies in.
    shared_with : str or None
        The path under which it was listed before; its parameters are not counted again.
    parameters : int or None
        Elements of its own parameters that were not counted before; None where a lazy layer has no shape yet.
    trainable : int
        Those of them that are trained.
    output_shape : str or None
        Shapes of its output; None if it did not run, "" if it only holds others.
    flops : int
        Floating-point operations of its own matrix products.
    activation_bytes : int
        Memory of the outputs that it made; a view of its input takes none.

    Examples
    --------
    >>> from dnncore import nn
    >>> from dnncore.model.summary import summarize
    >>> summarize(nn.Linear(3, 2), input_shape=(3,)).rows[0].flops
    12
    """

    path: str
    name: str
    depth: int
    shared_with: str | None
    parameters: int | None
    trainable: int
    output_shape: str | None = None
    flops: int = 0
    activation_bytes: int = 0


@dataclass(frozen=True)
class Summary:
    """What `summarize` found out; printed, it is a table, in a notebook one of HTML.

    Attributes
    ----------
    rows : tuple of Row
        A row per module, in the order in which they are nested.
    parameters, trainable : int
        Elements of all parameters, and of those that are trained; shared ones once.
    buffers : int
        Elements of all buffers.
    parameter_bytes, buffer_bytes : int
        Their memory.
    flops : int or None
        Floating-point operations of one forward pass in the matrix products of its layers, 2 per multiply-add; None without an
        input.
    activation_bytes : int or None
        Memory of all outputs of layers in one forward pass; None without an input.
    input_shape : str or None
        The shapes of the inputs.
    lazy : bool
        Whether a layer has no shape yet, so that its parameters are missing in the sums.

    Examples
    --------
    >>> from dnncore import nn
    >>> from dnncore.model.summary import summarize
    >>> summarize(nn.Linear(64, 10)).parameters
    650
    """

    rows: tuple[Row, ...]
    parameters: int
    trainable: int
    buffers: int
    parameter_bytes: int
    buffer_bytes: int
    flops: int | None
    activation_bytes: int | None
    input_shape: str | None
    lazy: bool

    def __str__(self) -> str:
        table = [list(self._headers()), *map(list, self._cells("  "))]
        widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
        _narrow(widths, self._texts, shutil.get_terminal_size((_FALLBACK, 24)).columns)
        lines = ["  ".join(_aligned(text, widths[i], i < self._texts) for i, text in enumerate(line)).rstrip() for line in table]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([lines[0], rule, *lines[1:], rule, *self._totals()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(text)}</th>" for text in self._headers())
        rows = []
        for cells in self._cells("\u2003"):
            aligned = [f'<td style="text-align: {"left" if i < self._texts else "right"}">' for i in range(len(cells))]
            rows.append("".join(f"{tag}{html.escape(text)}</td>" for tag, text in zip(aligned, cells, strict=True)))
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        notes = "<br>".join(map(html.escape, self._totals()))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{notes}</p>"

    def _headers(self) -> tuple[str, ...]:
        return tuple(text for i, text in enumerate(_HEADERS) if self._ran or i not in (1, 4, 5))

    @property
    def _ran(self) -> bool:
        return self.flops is not None

    @property
    def _texts(self) -> int:
        """How many columns are text; the others are numbers."""
        return 2 if self._ran else 1

    def _cells(self, indent: str) -> list[tuple[str, ...]]:
        return [tuple(self._row(row, indent)) for row in self.rows]

    def _row(self, row: Row, indent: str) -> list[str]:
        own = row.path.rpartition(".")[2]
        layer = indent * row.depth + (f"{own}: {row.name}" if own else row.name)
        numbers = ["?" if row.parameters is None else f"{row.parameters:,}" if row.parameters else "", _said_trainable(row)]
        if row.shared_with is not None:
            layer += f" (shared with {row.shared_with or 'the whole'})"
        if not self._ran:
            return [layer, *numbers]
        work = [_said_count(row.flops) if row.flops else "", _said_bytes(row.activation_bytes) if row.activation_bytes else ""]
        return [layer, "did not run" if row.output_shape is None else row.output_shape, *numbers, *work]

    def _totals(self) -> list[str]:
        lines = [
            f"Parameters: {self.parameters:,} ({_said_bytes(self.parameter_bytes)}), {self.trainable:,} of them trained; "
            f"buffers: {self.buffers:,} ({_said_bytes(self.buffer_bytes)})"
        ]
        if self.lazy:
            lines.append("Layers marked ? take their shape from the first input and are not in the sums.")
        if self.flops is not None and self.activation_bytes is not None:
            lines.append(
                f"One forward pass of {self.input_shape}: {_said_count(self.flops)} FLOPs in matrix products "
                f"(a multiply-add is 2), {_said_bytes(self.activation_bytes)} of activations"
            )
        return lines


def summarize(
    module: nn.Module, inputs: tuple[Tensor, ...] | None = None, input_shape: Shape | Sequence[Shape] | None = None
) -> Summary:
    """Return the table of a network's layers: output shapes, parameters, floating-point operations, memory.

    With inputs, one forward pass in evaluation mode is run on a copy that shares the parameters; the module itself, its mode,
    buffers and random state do not change, and lazy layers stay lazy. Without them the table has parameters only.

    Parameters
    ----------
    module : Module
        The network.
    inputs : tuple of Tensor, optional
        What the module is called with; a single tensor is taken as a tuple of one.
    input_shape : tuple of int, or sequence of them, optional
        Instead of `inputs`: the shape of one sample, without the batch; several for several inputs. One sample of zeros is run:
        of whole numbers for a network that begins with an embedding.

    Returns
    -------
    Summary
        Printed, it is a table as wide as the terminal.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind, or both `inputs` and `input_shape` are given.
    ValueError, TypeError, RuntimeError
        If the forward pass fails: the message names the layer and the shapes that reached it.

    Notes
    -----
    A multiply-add counts as 2 FLOPs. Counted are the matrix products of layers; biases, activations and what a module computes
    beside its layers are not. A module that stands in several places has a row in each; its parameters are counted in the first.

    Examples
    --------
    >>> from dnncore import nn
    >>> from dnncore.model.summary import summarize
    >>> print(summarize(nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)), input_shape=(64,)))
    Layer        Output shape  Parameters  Trainable  FLOPs  Activations
    --------------------------------------------------------------------
    Sequential   (1, 10)
      0: Linear  (1, 32)            2,080        yes  4,096        128 B
      1: ReLU    (1, 32)                                           128 B
      2: Linear  (1, 10)              330        yes    640         40 B
    --------------------------------------------------------------------
    Parameters: 2,410 (9.41 KiB), 2,410 of them trained; buffers: 0 (0 B)
    One forward pass of (1, 64): 4,736 FLOPs in matrix products (a multiply-add is 2), 296 B of activations
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"summarize: expected a Module, got {type(module).__name__}")
    given = _inputs(module, inputs, input_shape)
    run = None if given is None else _run(module, given) if input_shape is None else _run_zeros(module, given)
    if run is not None:
        module = run.module  # where lazy layers have their shapes
    rows = _rows(module)
    if run is not None:
        rows = _with_calls(rows, run.calls)
    parameters = [p for p in module.parameters() if not is_lazy(p)]
    buffers = [b for b in module.buffers() if not is_lazy(b)]
    return Summary(
        rows=tuple(rows),
        parameters=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        buffers=sum(b.numel() for b in buffers),
        parameter_bytes=sum(p.nbytes for p in parameters),
        buffer_bytes=sum(b.nbytes for b in buffers),
        flops=None if given is None else sum(row.flops for row in rows),
        activation_bytes=None if given is None else sum(row.activation_bytes for row in rows),
        input_shape=None if given is None else said_shape(given),
        lazy=any(map(is_lazy, (*module.parameters(), *module.buffers()))),
    )


# --- Inputs


def _inputs(module: nn.Module, inputs: Any, input_shape: Any) -> tuple[Any, ...] | dict[str, Any] | None:
    if inputs is not None and input_shape is not None:
        raise ValueError("summarize: expected inputs or input_shape, got both")
    if inputs is not None:
        given = (inputs,) if isinstance(inputs, Tensor) else inputs
        if not isinstance(given, (tuple, list, dict)) or not tensors_in(given):
            raise TypeError(f"summarize: expected inputs as a tuple of tensors, got {type(inputs).__name__}")
        return dict(given) if isinstance(given, dict) else tuple(given)
    if input_shape is None:
        return None
    try:
        shapes = [list(shape) if isinstance(shape, Sequence) else operator.index(shape) for shape in input_shape]
        several = bool(shapes) and all(isinstance(shape, list) for shape in shapes)
        sizes: Any = shapes if several else [shapes]
        zeros = [(1, *map(operator.index, shape)) for shape in sizes]
    except TypeError:
        raise TypeError(f"summarize: expected input_shape as a tuple of ints, or several of them, got {input_shape!r}") from None
    if any(size < 0 for shape in zeros for size in shape):
        raise ValueError(f"summarize: expected sizes of at least 0 in input_shape, got {input_shape!r}")
    floating = (p.dtype for p in module.parameters() if p.dtype.is_floating_point)
    dtype = next(floating, _core.float32)
    return tuple(_core.zeros(shape, dtype=dtype, device=device_of(module)) for shape in zeros)


def _run(module: nn.Module, inputs: Any) -> Trace:
    return _ended(trace(module, inputs))


def _run_zeros(module: nn.Module, zeros: Any) -> Trace:
    """Run; inputs that reach an embedding become ids."""
    run = trace(module, zeros)
    for _ in zeros:
        where = run.failed
        if where is None or not isinstance(where.module, (nn.Embedding, nn.EmbeddingBag)):
            break
        wanted = tensors_in((where.args, where.kwargs))[0]
        zeros = tuple(x.long() if x.shape == wanted.shape else x for x in zeros)
        run = trace(module, zeros)
    return _ended(run)


def _ended(run: Trace) -> Trace:
    """Return a pass that went through, or say where it failed."""
    if run.error is None:
        return run
    where = run.failed
    at = f"{where.name}, given {said_shape((where.args, where.kwargs)).strip(', ') or 'nothing'}" if where else "before a layer"
    kind = next((kind for kind in (ValueError, TypeError) if isinstance(run.error, kind)), RuntimeError)
    raise kind(f"summarize: {at}: {run.error}") from run.error


# --- Rows


def _rows(module: nn.Module) -> list[Row]:
    rows: list[Row] = []
    places: dict[int, str] = {}
    counted: set[int] = set()

    def walk(part: nn.Module, path: str, depth: int) -> None:
        before = places.get(id(part))
        own = [] if before is not None else [p for p in part._parameters.values() if p is not None and id(p) not in counted]
        counted.update(map(id, own))
        lazy = any(map(is_lazy, own))
        sizes = [(0 if is_lazy(p) else p.numel(), p.requires_grad) for p in own]
        total, trained = sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)
        never = "" if type(part).forward is nn.Module.forward else None
        rows.append(Row(path, class_name(part), depth, before, None if lazy else total, trained, never))
        if before is not None:
            return
        places[id(part)] = path
        for name, child in part._modules.items():
            if child is not None:
                walk(child, f"{path}.{name}" if path else name, depth + 1)

    walk(module, "", 0)
    return rows


def _with_calls(rows: list[Row], calls: list[Call]) -> list[Row]:
    """Give each row its calls: a shared module's one to each of its places if the numbers agree, else all to the first."""
    places: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        places.setdefault(row.path if row.shared_with is None else row.shared_with, []).append(i)
    known: set[int] = set()  # addresses of what was counted; the calls keep it alive
    made: dict[str, list[tuple[Call, int]]] = {}
    for call in calls:
        known.update(x.data_ptr() for x in tensors_in((call.args, call.kwargs)))
        new = {x.data_ptr(): x.nbytes for x in tensors_in(call.output) if x.data_ptr() not in known}
        known.update(new)
        made.setdefault(call.path, []).append((call, sum(new.values())))
    result = list(rows)
    for path, own in places.items():
        of_path = made.get(path, [])
        spread = [[call] for call in of_path] if len(of_path) == len(own) else [of_path] + [of_path[-1:]] * (len(own) - 1)
        for n, (i, group) in enumerate(zip(own, spread, strict=True)):
            counts = group if n == 0 or len(of_path) == len(own) else []
            result[i] = _filled(rows[i], group, counts)
    return result


def _filled(row: Row, calls: list[tuple[Call, int]], counted: list[tuple[Call, int]]) -> Row:
    times = f" x {len(calls)}" if len(calls) > 1 else ""
    return replace(
        row,
        output_shape=said_shape(calls[-1][0].output) + times if calls else row.output_shape,
        flops=sum(_flops(call) for call, _ in counted),
        activation_bytes=sum(size for _, size in counted),
    )


# --- Work


def _elements(value: Any) -> int:
    return sum(x.numel() for x in tensors_in(value))


def _linear_flops(call: Call) -> int:
    return int(2 * call.module.in_features * _elements(call.output))


def _maxout_flops(call: Call) -> int:
    return int(2 * call.module.in_features * call.module.pieces * _elements(call.output))


def _bilinear_flops(call: Call) -> int:
    layer = call.module
    return int(2 * layer.in2_features * (layer.in1_features + 1) * _elements(call.output))  # x1^T W, then its product with x2


def _conv_flops(call: Call) -> int:
    """Count every entry of a filter for every pixel: of the output, of a transposed convolution of the input."""
    layer = call.module
    channels, pixels = (layer.out_channels, call.args[:1]) if layer.transposed else (layer.in_channels, call.output)
    return int(2 * channels // layer.groups * math.prod(layer.kernel_size) * _elements(pixels))


def _recurrent_flops(call: Call) -> int:
    """Count every entry of the matrices once for each step of each sequence, padding too."""
    x = tensors_in((call.args, call.kwargs))[0]
    matrices = (p for name, p in call.module.named_parameters() if name.startswith(("weight_ih", "weight_hh", "weight_hr")))
    return 2 * math.prod(x.shape[:-1]) * sum(p.numel() for p in matrices)


_FLOPS: dict[type[nn.Module], Callable[[Call], int]] = {
    nn.Linear: _linear_flops,
    nn.Maxout: _maxout_flops,
    nn.Bilinear: _bilinear_flops,
    ConvNd: _conv_flops,
    RNNBase: _recurrent_flops,
    RNNCellBase: _recurrent_flops,
}


def _flops(call: Call) -> int:
    count = next((_FLOPS[cls] for cls in type(call.module).__mro__ if cls in _FLOPS), None)
    return 0 if count is None else count(call)


# --- Text


def _said_trainable(row: Row) -> str:
    if row.parameters is None:
        return "?"
    if not row.parameters:
        return ""
    return "yes" if row.trainable == row.parameters else "part" if row.trainable else "no"


def _said_count(number: int) -> str:
    for size, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M")):
        if number >= size:
            return f"{number / size:.3g} {unit}" if number < 1000 * size else f"{number / size:,.0f} {unit}"
    return f"{number:,}"


def _said_bytes(number: int) -> str:
    for size, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if number >= size:
            return f"{number / size:,.{0 if number >= 1000 * size else 2}f} {unit}"
    return f"{number} B"


def _narrow(widths: list[int], texts: int, columns: int) -> None:
    """Shorten the first columns, those of text, the wider one first, until the table fits or nothing more can go."""
    excess = sum(widths) + 2 * (len(widths) - 1) - columns
    while excess > 0 and max(widths[:texts]) > _LEAST:
        widest = widths.index(max(widths[:texts]))
        widths[widest] -= 1
        excess -= 1


def _aligned(text: str, width: int, left: bool) -> str:
    cut = text if len(text) <= width else text[: width - 1] + "…"
    return cut.ljust(width) if left else cut.rjust(width)
