"""The command ``dnncore``: verbs load what they need only when they run, so that ``--help`` answers at once."""

from __future__ import annotations

import click

from dnncore._version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="dnncore")
def main() -> None:
    """Train and inspect neural networks."""


@main.command()
def info() -> None:
    """Show version, CPU, instruction sets, threads, memory and extras."""
    from dnncore.cli.info import report

    click.echo(report())


@main.group()
def train() -> None:
    """Train a network and save it."""


@train.command()
@click.option("--data", type=click.Choice(["digits"]), default="digits", help="Data set.")
@click.option("--out", type=click.Path(file_okay=False), required=True, help="Folder for the model and its record.")
@click.option("--epochs", type=click.IntRange(min=1), default=30, help="Passes through the training part.")
@click.option("--batch-size", type=click.IntRange(min=1), default=32, help="Samples per step.")
@click.option("--lr", type=click.FloatRange(min=0, min_open=True), default=0.05, help="Learning rate.")
@click.option("--momentum", type=click.FloatRange(min=0, max=1, max_open=True), default=0.9, help="Momentum.")
@click.option(
    "--hidden", type=click.IntRange(min=1), multiple=True, default=[256, 128], help="Width of a hidden layer; repeat for more."
)
@click.option("--size", type=click.Choice(["8", "32"]), default="8", help="Height and width of the images.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Fixes initial weights and the order of samples.")
@click.option("--threads", type=click.IntRange(min=1), default=None, help="Threads to use; results do not depend on it.")
def mlp(**options: object) -> None:
    """Train a multilayer perceptron."""
    from dnncore.cli.train import MlpConfig, train_mlp

    out = str(options.pop("out"))
    threads = options.pop("threads")
    config = MlpConfig(**{**options, "size": int(str(options["size"]))})  # type: ignore[arg-type]
    try:
        train_mlp(config, out, threads=threads)  # type: ignore[arg-type]
    except (OSError, ImportError, MemoryError) as error:
        raise click.ClickException(str(error) or type(error).__name__) from error
