"""The command ``dnncore``: verbs load what they need only when they run, so that ``--help`` answers at once."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import TypeVar

import click

from dnncore._version import __version__

T = TypeVar("T")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="dnncore")
def main() -> None:
    """Train and inspect neural networks."""


@main.command()
def info() -> None:
    """Show version, CPU, instruction sets, threads, memory, GPUs (or why none is used) and extras."""
    from dnncore.cli.info import report

    click.echo(report())


_FAMILIES = {
    "gemm": "matrix products",
    "elementwise": "maps of one and two operands, in cache and out of it",
    "activation": "activations, forward and with their gradients",
    "reduce": "sums, maxima and their places",
    "softmax": "softmax and its logarithm",
    "loss": "losses with their gradients",
    "optim": "steps of optimizers",
    "train": "whole training steps of perceptrons with Adam, in Python and captured",
    "conv": "convolutions of well-known networks, forward and both gradients",
    "pool": "maxima and means of windows, with their gradients",
    "norm": "normalisation of batches and rows, with its gradients",
    "lstm": "LSTMs over whole sequences, GRUs and plain RNNs beside them, forward and with all gradients",
    "overhead": "what a call costs when there is nothing to compute",
}
_FAMILY_LINES = "\n".join(f"  {name:<12} {title}" for name, title in {**_FAMILIES, "all": "all of these"}.items())


@main.command(epilog=f"\b\nFamilies:\n{_FAMILY_LINES}")
@click.argument("family", type=click.Choice([*_FAMILIES, "all"]), metavar="FAMILY")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    multiple=True,
    show_default="1 and all cores",
    help="Of each library; repeat for more.",
)
@click.option("--quick", is_flag=True, help="A smoke test, not a measurement: short rounds, no large rows.")
@click.option("--filter", "text", default="", metavar="TEXT", show_default=False, help="Only rows whose name contains TEXT.")
@click.option("--json", "file", type=click.Path(), metavar="FILE", help="Write every figure there.")
@click.option("--no-torch", is_flag=True, help="Leave PyTorch out even where it is installed.")
def bench(family: str, threads: tuple[int, ...], quick: bool, text: str, file: str | None, no_torch: bool) -> None:
    """Time kernels and training steps beside NumPy and PyTorch.

    Contenders are checked against each other and timed in turns, with the same number of threads; medians are shown.
    """

    def run() -> None:
        os.environ.pop("OPENBLAS_CORETYPE", None)  # forced to an older core, NumPy would run at half its speed
        from dnncore.cli.bench import bench as measure

        families = _FAMILIES if family == "all" else {family: _FAMILIES[family]}
        measure(families, threads, quick=quick, text=text, file=file, with_torch=not no_torch)

    _told(run)


@main.group()
def train() -> None:
    """Train a network and save it."""


_IMAGE_SETS = ("shapes", "mnist:DIR", "fashion-mnist:DIR", "cifar10:DIR", "folder:DIR")
_ALL_SETS = ("digits", "csv:FILE", *_IMAGE_SETS)


class _Data(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in some versions
    """``digits``, ``csv:FILE``, ``mnist:DIR``, ..."""

    def __init__(self, forms: tuple[str, ...]) -> None:
        self._forms = forms
        self.name = "|".join(forms)

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        kind, _, place = value.partition(":")
        for form in self._forms:
            form_kind, _, form_place = form.partition(":")
            if kind == form_kind and bool(place) == bool(form_place):
                return value
        hint = f"; did you mean csv:{value}?" if value.endswith(".csv") and "csv:FILE" in self._forms else ""
        raise click.BadParameter(f"expected {', '.join(self._forms)}, got {value!r}{hint}", ctx=ctx, param=param)


class _Device(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in some versions
    """``cpu``, ``cuda``, ``cuda:1`` or ``auto``."""

    name = "device"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        kind, colon, number = value.partition(":")
        if value in ("cpu", "cuda", "auto") or (kind == "cuda" and colon and number.isdecimal()):
            return value
        raise click.BadParameter(f"expected cpu, cuda, cuda:1 or auto, got {value!r}", ctx=ctx, param=param)


_DEVICE = _Device()

_Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def _options(*options: _Decorator) -> _Decorator:
    """Return the decorator that gives a command several options, in this order."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_OUT = click.option(
    "--out", type=click.Path(file_okay=False), required=True, help="Folder for the model, its record and its curve."
)


def _of_steps(usual: str = "sgd", rates: str = "0.05 with sgd, 0.001 with adam") -> _Decorator:
    """Return the options of how the steps are taken."""
    positive = click.FloatRange(min=0, min_open=True)
    share = click.FloatRange(min=0, max=1, max_open=True)
    return _options(
        click.option("--batch-size", type=click.IntRange(min=1), default=32, help="Samples per step."),
        click.option("--optimizer", type=click.Choice(["sgd", "adam"]), default=usual, help="How the weights are updated."),
        click.option("--lr", type=positive, default=None, help=f"Learning rate; {rates}."),
        click.option("--momentum", type=share, default=0.9, help="Momentum of sgd."),
        click.option(
            "--validation",
            type=share,
            default=0.1,
            help="Share of the training part that chooses the best epoch; 0 keeps the last one.",
        ),
        click.option("--seed", type=click.IntRange(min=0), default=0, help="Fixes initial weights and the order of samples."),
        click.option("--threads", type=click.IntRange(min=1), default=None, help="Threads to use; results do not depend on it."),
        click.option(
            "--device",
            type=_DEVICE,
            default="cpu",
            help="Where to train: cpu, cuda, cuda:1, or auto, which takes the one where a step is faster.",
        ),
    )


@train.command()
@click.option("--data", type=_Data(_ALL_SETS), default="digits", help="Data set: images, or a table with a target column.")
@click.option("--target", default=None, help="Column of a table to predict; the last one when not given.", show_default=False)
@click.option(
    "--task",
    type=click.Choice(["classification", "regression"]),
    default=None,
    help="What the target of a table is; told from its values when not given.",
)
@click.option(
    "--drop", multiple=True, metavar="COLUMN", show_default=False, help="Column of a table to leave out; repeat for more."
)
@click.option(
    "--missing",
    type=click.Choice(["error", "mean", "drop"]),
    default="error",
    help="What an empty cell of a table is: an error, the mean of a numeric column, or a reason to leave out the row.",
)
@_OUT
@click.option("--epochs", type=click.IntRange(min=1), default=60, help="Passes through the training part.")
@_of_steps()
@click.option(
    "--hidden", type=click.IntRange(min=1), multiple=True, default=[256, 128], help="Width of a hidden layer; repeat for more."
)
@click.option("--dropout", type=click.FloatRange(min=0, max=1, max_open=True), default=0.2, help="After each hidden layer.")
@click.option(
    "--size", type=click.IntRange(min=1), default=None, help="Height and width of images; their own when not given, 8 of digits."
)
def mlp(**options: object) -> None:
    """Train a multilayer perceptron on images or on a table.

    The folder gets model.json with its weights (what `evaluate`, `predict` and dnncore.Model.load read), run.json with settings,
    history and held-out results, and curve.png. Ctrl-C ends after the current batch and saves what was learnt, with status 130.
    """
    out, threads, device = str(options.pop("out")), options.pop("threads"), str(options.pop("device"))

    def run() -> int:
        from dnncore.cli.train import MlpConfig, train_mlp

        return train_mlp(MlpConfig(**options), out, threads, device)  # type: ignore[arg-type]

    click.get_current_context().exit(_told(run))


_NETWORKS = {
    "lenet5": "LeNet-5",
    "alexnet": "AlexNet",
    **{f"vgg{depth}": f"VGG-{depth}" for depth in (11, 13, 16, 19)},
    **{f"vgg{depth}_bn": f"VGG-{depth} with batch normalisation" for depth in (11, 13, 16, 19)},
    "googlenet": "GoogLeNet",
    **{f"resnet{depth}": f"ResNet-{depth} of CIFAR-10" for depth in (20, 32, 44, 56)},
    **{f"resnet{depth}": f"ResNet-{depth}" for depth in (18, 34, 50, 101, 152)},
}


def _network(name: str, title: str) -> None:
    """Add the command that trains a network of dnncore.models."""

    @train.command(name, short_help=f"Train {title} on images.")
    @click.option("--data", type=_Data(("digits", *_IMAGE_SETS)), default="digits", help="Images.")
    @_OUT
    @click.option("--epochs", type=click.IntRange(min=1), default=20, help="Passes through the training part.")
    @_of_steps()
    @click.option(
        "--size",
        type=click.IntRange(min=1),
        default=None,
        help="Height and width that images are brought to; 32 when not given, 64 with alexnet and googlenet.",
    )
    @click.option(
        "--augment",
        multiple=True,
        metavar="NAME[:VALUE]",
        show_default=False,
        help="Random change of training images: shift, rotate, scale, elastic, noise, cutout, flip; repeat for more.",
    )
    def command(**options: object) -> None:
        out, threads, device = str(options.pop("out")), options.pop("threads"), str(options.pop("device"))

        def run() -> int:
            from dnncore.cli.networks import NetworkConfig, train_network

            return train_network(NetworkConfig(model=name, **options), out, threads, device)  # type: ignore[arg-type]

        click.get_current_context().exit(_told(run))

    command.help = (
        f"Train {title} on images.\n\nThe folder gets what `train mlp` writes. Images are brought to one size and normalised by "
        "the mean and deviation of the training part, which is stored with the model. Ctrl-C ends after the current batch."
    )


for _name, _title in _NETWORKS.items():
    _network(_name, _title)


_TEMPERATURE = click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    default=0.8,
    help="Of samples: below 1 the likely becomes likelier, 0 takes always the likeliest.",
)


@train.command("char-lstm", short_help="Train a language model of characters on a text.")
@click.option("--data", type=_Data(("text:FILE",)), required=True, help="Text.")
@click.option("--encoding", default="utf-8", help="How the characters of the text are written.")
@_OUT
@click.option("--epochs", type=click.IntRange(min=1), default=20, help="Passes through the training part.")
@_of_steps("adam", "0.5 with sgd, 0.003 with adam")
@click.option("--length", type=click.IntRange(min=1), default=64, help="Characters of a sequence to train on.")
@click.option("--hidden", type=click.IntRange(min=1), default=128, help="Units of a layer.")
@click.option("--embedding", type=click.IntRange(min=1), default=64, help="Numbers that stand for a character.")
@click.option("--layers", type=click.IntRange(min=1), default=1, help="LSTM layers.")
@click.option(
    "--dropout",
    type=click.FloatRange(min=0, max=1, max_open=True),
    default=0.0,
    help="Between layers and before the last one.",
)
@click.option("--sample", type=click.IntRange(min=0), default=300, help="Characters to write at the end.")
@_TEMPERATURE
def char_lstm(**options: object) -> None:
    """Train a language model of characters on a text.

    The last tenth of the text is held out to judge by. The folder gets what `train mlp` writes; `dnncore sample` lets the model
    write again. Ctrl-C ends after the current batch.
    """
    out, threads, device = str(options.pop("out")), options.pop("threads"), str(options.pop("device"))

    def run() -> int:
        from dnncore.cli.language import CharLstmConfig, train_char_lstm

        return train_char_lstm(CharLstmConfig(**options), out, threads, device)  # type: ignore[arg-type]

    click.get_current_context().exit(_told(run))


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("--prime", default=None, show_default="a new line", help="How the text begins.")
@click.option("--length", type=click.IntRange(min=0), default=500, help="Characters to write.")
@_TEMPERATURE
@click.option("--top-k", type=click.IntRange(min=1), default=None, help="Draw from so many of the likeliest characters only.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Another seed, another text.")
def sample(folder: str, prime: str | None, length: int, temperature: float, top_k: int | None, seed: int) -> None:
    """Let the language model in FOLDER write a text."""

    def run() -> None:
        from dnncore.cli import language

        language.sample(folder, prime, length, temperature, top_k, seed)

    _told(run)


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option(
    "--data",
    type=_Data((*_ALL_SETS, "text:FILE")),
    default=None,
    help="Data to judge by; the held-out part of the training data when not given.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def evaluate(folder: str, data: str | None, as_json: bool) -> None:
    """Show how good the model in FOLDER is."""

    def run() -> None:
        from dnncore.cli import use

        use.evaluate(folder, data, as_json)

    _told(run)


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--top", type=click.IntRange(min=1), default=1, help="Classes to show per sample, the most probable first.")
@click.option("--invert", is_flag=True, help="The image is dark on light.")
def predict(folder: str, file: str, top: int, invert: bool) -> None:
    """Predict for FILE, an image, a .npy array or a .csv table, with the model in FOLDER; print CSV."""

    def run() -> None:
        from dnncore.cli import use

        use.predict(folder, file, top, invert)

    _told(run)


def _show_warning(message: Warning | str, *place: object, **rest: object) -> None:
    """Show a warning without the line of code it comes from."""
    click.echo(f"Warning: {message}", err=True)


def _told(run: Callable[[], T]) -> T:
    """Run; an error the user can mend is one line on standard error and status 1, Ctrl-C status 130."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return run()
    except KeyboardInterrupt:
        click.echo("Aborted!", err=True)
        click.get_current_context().exit(130)
    except BrokenPipeError:
        raise  # the reader has had enough: click ends quietly
    except (OSError, ImportError, MemoryError, ValueError) as error:
        raise click.ClickException(str(error) or type(error).__name__) from error
