"""scikit-learn's scorers and metric functions as metrics: one call over all samples."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnncore import _core
from dnncore._core import Tensor
from dnncore._extras import require
from dnncore._grad_mode import no_grad
from dnncore.metrics._keeping import Keeping, Samples
from dnncore.metrics._labels import CLASSIFICATION

_PROBABILITIES = ("y_score", "y_proba", "y_prob")
_LOG_LOSSES = ("log_loss", "d2_log_loss_score")  # their second argument was called y_pred before scikit-learn 1.9


class SklearnMetric(Keeping):
    """The value of a scikit-learn scorer; it keeps outputs and targets and calls scikit-learn once in `compute`."""

    def __init__(self, scorer: Any, *, task: str, name: str, higher_is_better: bool | None, from_logits: bool) -> None:
        super().__init__(task=task, name=name, from_logits=from_logits)
        self.scorer = scorer
        self.higher_is_better = higher_is_better

    def __repr__(self) -> str:
        return f"{self.name} of scikit-learn (task={self.task!r})"

    def update(self, output: Tensor, target: Tensor, sample_weight: Tensor | None = None) -> None:
        """Keep a batch."""
        function = getattr(self.scorer, "_score_func", None)
        if sample_weight is not None and function is not None and "sample_weight" not in _parameters(function):
            raise ValueError(f"{self.name}: scikit-learn's {function.__name__} takes no sample_weight")
        super().update(output, target, sample_weight)

    @no_grad()
    def compute(self) -> float:
        """Return scikit-learn's value; nan without samples or with a nan among the outputs."""
        samples = self._whole()
        if samples is None or samples.output.isnan().any().item():
            return math.nan
        target = samples.target.long().numpy() if samples.task != "regression" else _single(samples.target.double().numpy())
        weight = {} if samples.weight is None else {"sample_weight": samples.weight.numpy()}
        value = self.scorer(_estimator(samples, self.from_logits), target, target, **weight)  # the estimator reads no input
        if not isinstance(value, (int, float, np.number)):
            raise TypeError(f"{self.name}: expected scikit-learn to return one number, got {type(value).__name__}")
        return float(value)


def from_scorer(scorer: Any, *, task: str, name: str | None = None, from_logits: bool = True) -> SklearnMetric:
    """Wrap what ``make_scorer`` returns; higher is better by scikit-learn's convention."""
    function = getattr(scorer, "_score_func", None)
    name = str(name or getattr(function, "__name__", "scorer"))
    _check_fits(name, function, getattr(scorer, "_kwargs", {}), task)
    return SklearnMetric(scorer, task=task, name=name, higher_is_better=True, from_logits=from_logits)


def from_scorer_name(name: str, *, task: str, from_logits: bool = True) -> SklearnMetric:
    """Look up "sklearn:NAME"."""
    metrics = require("sklearn.metrics", "sklearn", name)
    known = metrics.get_scorer_names()
    wanted = name.partition(":")[2]
    if wanted not in known:
        raise ValueError(f"{name}: expected a scorer of scikit-learn: {', '.join(known)}")
    return from_scorer(metrics.get_scorer(wanted), task=task, name=name, from_logits=from_logits)


def from_function(function: Callable[..., Any], *, task: str, from_logits: bool = True) -> SklearnMetric:
    """Wrap a function of ``sklearn.metrics``, or a partial of one, with the sign it has there."""
    keywords = function.keywords if isinstance(function, functools.partial) else {}
    plain = function.func if isinstance(function, functools.partial) else function
    metrics = require("sklearn.metrics", "sklearn", plain.__name__)
    second = list(inspect.signature(plain).parameters)[1]
    method = "predict"
    if second in _PROBABILITIES or plain.__name__ in _LOG_LOSSES:
        method = "predict_proba"
    elif second == "pred_decision":
        method = "decision_function"
    _check_fits(plain.__name__, plain, keywords, task)
    scorer = metrics.make_scorer(plain, response_method=method, **keywords)
    better = {"score": True, "loss": False, "error": False}.get(plain.__name__.rpartition("_")[2])
    return SklearnMetric(scorer, task=task, name=plain.__name__, higher_is_better=better, from_logits=from_logits)


def is_sklearn_function(spec: object) -> bool:
    """Whether `spec` is a function of ``sklearn.metrics``, or a partial of one."""
    plain = spec.func if isinstance(spec, functools.partial) else spec
    return inspect.isfunction(plain) and (plain.__module__ or "").startswith("sklearn.metrics.")


def is_scorer(spec: object) -> bool:
    """Whether `spec` is what ``make_scorer`` returns."""
    return type(spec).__module__ == "sklearn.metrics._scorer" and callable(spec)


def _check_fits(name: str, function: Any, keywords: dict[str, Any], task: str) -> None:
    """Raise ValueError for a regression metric of classes, the reverse, or the mean over two classes of several."""
    home = getattr(function, "__module__", "").rpartition(".")[2]
    tasks = {"_regression": frozenset({"regression"}), "_classification": CLASSIFICATION, "_ranking": CLASSIFICATION}.get(home)
    if tasks is not None and task not in tasks:
        raise ValueError(f"{name}: fits {', '.join(sorted(tasks))}, the task is {task}")
    if "average" not in _parameters(function) or task not in ("multiclass", "multilabel"):
        return
    if keywords.get("average", _parameters(function)["average"].default) == "binary":
        raise ValueError(
            f"{name}: average='binary' is for two classes, the task is {task}; "
            f"give another one: functools.partial({name}, average='macro')"
        )


def _parameters(function: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters if callable(function) else {}


def _single(x: NDArray[Any]) -> NDArray[Any]:
    """(N, 1) -> (N,)."""
    return x[:, 0] if x.ndim == 2 and x.shape[1] == 1 else x


def _estimator(samples: Samples, from_logits: bool) -> Any:
    """Return a fitted scikit-learn estimator whose answers come from the kept outputs."""
    output = samples.output.double()
    if samples.task == "regression":
        return _regressor(_single(output.numpy()))
    if samples.task == "multiclass":
        probability, predicted, decision = output.softmax(1) if from_logits else output, output.argmax(1), output
        if output.shape[1] == 2:
            decision = output[:, 1] - output[:, 0]
    else:
        probability, predicted, decision = (
            output.sigmoid() if from_logits else output,
            output > (0.0 if from_logits else 0.5),
            output,
        )
    if samples.task == "binary":
        probability = _core.stack([1 - probability, probability], 1)
    return _classifier(np.arange(probability.shape[1]), predicted.long().numpy(), probability.numpy(), decision.numpy())


def _regressor(predicted: NDArray[Any]) -> Any:
    base = require("sklearn.base", "sklearn", "scikit-learn scorers")

    class Regressor(base.RegressorMixin, base.BaseEstimator):  # type: ignore[misc,name-defined]
        def __sklearn_is_fitted__(self) -> bool:
            return True

        def predict(self, X: object) -> NDArray[Any]:  # noqa: N803 - scikit-learn's name
            return predicted

    return Regressor()


def _classifier(classes: NDArray[Any], predicted: NDArray[Any], probability: NDArray[Any], decision: NDArray[Any]) -> Any:
    base = require("sklearn.base", "sklearn", "scikit-learn scorers")

    class Classifier(base.ClassifierMixin, base.BaseEstimator):  # type: ignore[misc,name-defined]
        classes_ = classes

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def predict(self, X: object) -> NDArray[Any]:  # noqa: N803
            return predicted

        def predict_proba(self, X: object) -> NDArray[Any]:  # noqa: N803
            return probability

        def decision_function(self, X: object) -> NDArray[Any]:  # noqa: N803
            return decision

    return Classifier()
