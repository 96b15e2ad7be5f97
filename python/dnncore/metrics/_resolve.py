"""From what a user writes in ``metrics=[...]`` to a metric."""

from __future__ import annotations

import difflib
import inspect
import re
from functools import partial
from typing import Any

from dnncore.metrics import _sklearn
from dnncore.metrics._function import FunctionMetric
from dnncore.metrics.accuracy import Accuracy, TopKAccuracy
from dnncore.metrics.confusion_matrix import ConfusionMatrix
from dnncore.metrics.metric import TASKS, Metric, one_of
from dnncore.metrics.perplexity import Perplexity
from dnncore.metrics.precision_recall import F1Score, Precision, Recall
from dnncore.metrics.ranking import ROCAUC, AveragePrecision
from dnncore.metrics.regression import MeanAbsoluteError, MeanSquaredError, R2Score, RootMeanSquaredError

_RATES = {"precision": Precision, "recall": Recall, "f1": F1Score}
_NAMES: dict[str, tuple[type[Metric], dict[str, Any]]] = {
    "accuracy": (Accuracy, {}),
    "exact_match": (Accuracy, {"exact_match": True}),
    **{name: (rate, {}) for name, rate in _RATES.items()},
    **{f"{name}_{how}": (rate, {"average": how}) for name, rate in _RATES.items() for how in ("macro", "micro", "weighted")},
    "roc_auc": (ROCAUC, {}),
    "roc_auc_ovr": (ROCAUC, {}),
    "roc_auc_ovr_weighted": (ROCAUC, {"average": "weighted"}),
    "roc_auc_ovo": (ROCAUC, {"multi_class": "ovo"}),
    "roc_auc_ovo_weighted": (ROCAUC, {"multi_class": "ovo", "average": "weighted"}),
    "average_precision": (AveragePrecision, {}),
    "confusion_matrix": (ConfusionMatrix, {}),
    "perplexity": (Perplexity, {}),
    "mae": (MeanAbsoluteError, {}),
    "mse": (MeanSquaredError, {}),
    "rmse": (RootMeanSquaredError, {}),
    "r2": (R2Score, {}),
}
_ALIASES = {
    "acc": "accuracy",
    "subset_accuracy": "exact_match",
    "f1_score": "f1",
    "auc": "roc_auc",
    "auroc": "roc_auc",
    "mean_absolute_error": "mae",
    "mean_squared_error": "mse",
    "root_mean_squared_error": "rmse",
    "r2_score": "r2",
}
_SHOWN = ("accuracy", "top_5_accuracy", "exact_match", *_RATES, "roc_auc", "average_precision", "confusion_matrix")
_FITTING = {
    "binary": [name for name in _SHOWN if name not in ("top_5_accuracy", "exact_match")],
    "multiclass": [name for name in _SHOWN if name != "exact_match"],
    "multilabel": [name for name in _SHOWN if name not in ("top_5_accuracy", "confusion_matrix")],
    "regression": ["mae", "mse", "rmse", "r2"],
}


class MisfitError(ValueError):
    """A metric that is for other tasks."""

    def __init__(self, metric: str, tasks: list[str], task: str) -> None:
        self.metric, self.tasks, self.fitting = metric, tasks, _FITTING[task]
        super().__init__(f"{metric}: fits {', '.join(tasks)}, the task is {task}; use {one_of(self.fitting)}")


def resolve(spec: object, task: str, *, from_logits: bool = True) -> Metric:
    """Return the metric that is meant, set up for a task.

    Parameters
    ----------
    spec : str, Metric, scorer or callable
        - a name: "accuracy" ("acc"), "top_5_accuracy" (any number), "exact_match" ("subset_accuracy"), "precision", "recall",
          "f1" (each also with "_macro", "_micro", "_weighted"; without: of class 1 for binary, else macro), "roc_auc" ("auc",
          "auroc"; "roc_auc_ovr", "roc_auc_ovo", each also with "_weighted"), "average_precision", "confusion_matrix",
          "perplexity", "mae", "mse", "rmse", "r2" and their long names; the metric is called as it was written
        - "sklearn:NAME", a scorer of scikit-learn by name, or what ``make_scorer`` returns: the value scikit-learn shows, so
          "sklearn:neg_mean_squared_error" is negative; outputs and targets are kept, and scikit-learn is called once
        - a function of ``sklearn.metrics``, or a ``functools.partial`` of one: likewise, with the function's own sign
        - a `Metric`: its task is set if it has none
        - another callable ``(output, target) -> number``: the mean over batches, weighted by their samples; that is the value
          of all samples only if the function is a mean over samples itself
    task : {"binary", "multiclass", "multilabel", "regression"}
        What outputs and targets mean; see `Metric`.
    from_logits : bool, default True
        Whether the network returns logits; else probabilities. A `Metric` keeps its own setting.

    Raises
    ------
    ValueError
        If the name is unknown, or the metric does not fit the task: the message names what does.
    TypeError
        If `spec` is none of the above.
    ImportError
        If a scikit-learn metric is asked for and scikit-learn is missing (extra ``sklearn``).

    Examples
    --------
    >>> from dnncore.metrics import resolve
    >>> resolve("f1", "multiclass")
    F1Score(average='macro', task='multiclass')
    >>> try:
    ...     resolve("accuracy", "regression")
    ... except ValueError as error:
    ...     print(error)
    accuracy: fits binary, multiclass, multilabel, the task is regression; use 'mae', 'mse', 'rmse' or 'r2'
    """
    if task not in TASKS:
        raise ValueError(f"resolve: expected task {one_of(list(TASKS))}, got {task!r}")
    if isinstance(spec, str):
        if spec.startswith("sklearn:"):
            return _sklearn.from_scorer_name(spec, task=task, from_logits=from_logits)
        return _from_name(spec, task, from_logits)
    if isinstance(spec, Metric):
        return _with_task(spec, task)
    if isinstance(spec, type) or not callable(spec):
        instance = f"; give an instance, {spec.__name__}()" if isinstance(spec, type) and issubclass(spec, Metric) else ""
        raise TypeError(f"resolve: expected a name, a Metric, a scikit-learn scorer or a callable, got {spec!r}{instance}")
    if _sklearn.is_scorer(spec):
        return _sklearn.from_scorer(spec, task=task, from_logits=from_logits)
    if _sklearn.is_sklearn_function(spec):
        return _sklearn.from_function(spec, task=task, from_logits=from_logits)
    plain = spec.func if isinstance(spec, partial) else spec
    return FunctionMetric(spec, task=task, name=getattr(plain, "__name__", type(plain).__name__))


def _from_name(written: str, task: str, from_logits: bool) -> Metric:
    name = _ALIASES.get(written.lower(), written.lower())
    top = re.fullmatch(r"top_?(\d+)(_accuracy)?", name)
    if top is None and name not in _NAMES:
        near = difflib.get_close_matches(name, [*_NAMES, *_ALIASES, "top_5_accuracy"], n=1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"resolve: unknown metric {written!r}; {meant}{task} has {one_of(_FITTING[task])}")
    kind, fixed = (TopKAccuracy, {"k": int(top[1])}) if top else _NAMES[name]
    _check_task(written, kind.tasks, task)
    settings: dict[str, Any] = {**fixed, "task": task, "name": written}
    if name in _RATES:
        settings["average"] = "binary" if task == "binary" else "macro"
    if "from_logits" in inspect.signature(kind).parameters:
        settings["from_logits"] = from_logits
    return kind(**settings)


def _with_task(metric: Metric, task: str) -> Metric:
    _check_task(metric.name, metric.tasks, task)
    if metric.task not in (None, task):
        raise ValueError(f"{metric.name}: its task is {metric.task}, here it is {task}; make a new one")
    metric.task = task
    return metric


def _check_task(name: str, tasks: frozenset[str], task: str) -> None:
    if task not in tasks:
        raise MisfitError(name, sorted(tasks), task)
