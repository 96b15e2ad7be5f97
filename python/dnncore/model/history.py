"""The record of a training run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dnncore._extras import require


class History:
    """What `Model.fit` measured, epoch by epoch.

    Attributes
    ----------
    history : dict of str to list of float
        Values by name, one per finished epoch: ``loss``, metrics, and the same with ``val_`` for the validation data. ``loss``
        and the metrics beside it are means over the epoch while the weights changed, with dropout on.
    epoch : list of int
        The numbers of the finished epochs, from ``initial_epoch``.
    params : dict
        What the run was asked for: ``epochs``, ``steps`` (batches per epoch, None where unknown), ``batch_size``, ``samples``;
        ``device`` where one was asked for, and ``device_reason`` if that was "auto".
    stopped_by : str or None
        Why training ended before the last epoch: ``"user"`` (Ctrl-C), the name of a callback, ``"error"``; None if it did not.
    monitor : str or None
        The name whose best value decides which weights come back.
    best_epoch : int or None
        The epoch of the best value, in the numbers of `epoch`.

    Examples
    --------
    >>> from dnncore import History
    >>> history = History({"loss": [0.9, 0.4]}, epoch=[0, 1])
    >>> history.history["loss"][-1]
    0.4
    """

    def __init__(
        self,
        history: Mapping[str, list[float]] | None = None,
        epoch: list[int] | None = None,
        params: Mapping[str, Any] | None = None,
        stopped_by: str | None = None,
        monitor: str | None = None,
        best_epoch: int | None = None,
    ) -> None:
        self.history = {name: list(values) for name, values in (history or {}).items()}
        self.epoch = list(epoch or [])
        self.params = dict(params or {})
        self.stopped_by = stopped_by
        self.monitor = monitor
        self.best_epoch = best_epoch

    def append(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Add the values of an epoch; a name that was there before and is missing now gets NaN."""
        for name in logs:
            self.history.setdefault(name, [math.nan] * len(self.epoch))
        for name, values in self.history.items():
            values.append(float(logs.get(name, math.nan)))
        self.epoch.append(epoch)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON has it; a value that is not finite becomes a string.

        Examples
        --------
        >>> from dnncore import History
        >>> History({"loss": [float("nan")]}, epoch=[0]).to_dict()["history"]
        {'loss': ['nan']}
        """
        history = {name: [x if math.isfinite(x) else repr(x) for x in values] for name, values in self.history.items()}
        rest = {name: getattr(self, name) for name in ("stopped_by", "monitor", "best_epoch")}
        return {"history": history, "epoch": list(self.epoch), "params": dict(self.params), **rest}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> History:
        """Return the record that `to_dict` wrote."""
        history = {name: [float(x) for x in values] for name, values in saved["history"].items()}
        rest = {name: saved.get(name) for name in ("params", "stopped_by", "monitor", "best_epoch")}
        return cls(history, epoch=[int(number) for number in saved["epoch"]], **rest)

    def to_frame(self) -> Any:
        """Return a pandas DataFrame with a column per name and the epochs as its index.

        Raises
        ------
        ImportError
            If pandas is missing (extra ``frame``).
        """
        pandas = require("pandas", "frame", "History.to_frame")
        return pandas.DataFrame(self.history, index=pandas.Index(self.epoch, name="epoch"))

    def plot(self) -> Any:
        """Draw the curves, one panel for the loss and one per metric, and mark the best epoch.

        Returns
        -------
        list of matplotlib.axes.Axes
            One per panel, of a figure of pyplot: ``plt.show()`` shows it, ``axes[0].figure.savefig("curves.png")`` writes it.

        Raises
        ------
        ImportError
            If matplotlib is missing (extra ``plot``).
        ValueError
            If no epoch was finished.
        """
        if not self.epoch:
            raise ValueError("History.plot: expected at least one finished epoch, got none")
        return _drawn(self, require("matplotlib.pyplot", "plot", "History.plot"))

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.4g}" for name, values in self.history.items() if values)
        stopped = f", stopped_by={self.stopped_by!r}" if self.stopped_by else ""
        return f"History({len(self.epoch)} epochs{', ' + last if last else ''}{stopped})"


def _drawn(history: History, pyplot: Any) -> list[Any]:
    names = [name for name in history.history if not name.startswith("val_") and name != "train_loss_eval"]
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = pyplot.figure(figsize=(4.8 * columns, 3.4 * rows), layout="constrained")
    panels = [figure.add_subplot(rows, columns, place + 1) for place in range(len(names))]
    for panel, name in zip(panels, names, strict=True):
        _draw_panel(panel, history, name)
    return panels


def _draw_panel(axes: Any, history: History, name: str) -> None:
    epochs = [number + 1 for number in history.epoch]  # as the log counts them
    marker = "o" if len(epochs) <= 30 else None
    curves = [(name, "training", "C0"), (f"val_{name}", "validation", "C1")]
    if name == "loss":
        curves.append(("train_loss_eval", "training, evaluated", "C2"))
    for key, label, color in curves:
        if key in history.history:
            axes.plot(epochs, history.history[key], color=color, label=label, marker=marker, markersize=3)
    if history.best_epoch is not None:
        axes.axvline(
            history.best_epoch + 1, color="0.4", linestyle="--", linewidth=1, label=f"best: epoch {history.best_epoch + 1}"
        )
    axes.set_xlabel("epoch")
    axes.set_ylabel(name)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
