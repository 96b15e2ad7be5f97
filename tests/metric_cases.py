"""Outputs, targets and weights for the tests of metrics, and which metric fits which task."""

from __future__ import annotations

import dnncore as dnn
import numpy as np
from dnncore import metrics
from hypothesis import strategies as st

NAN = float("nan")
# Sums of up to 60 products in another order than scikit-learn's: 60 roundings of 1.1e-16 each on both sides.
CLOSE = {"rel": 2e-14, "abs": 2e-14}

NAMES = {
    "binary": ["accuracy", "precision", "recall", "f1", "f1_macro", "roc_auc", "average_precision", "confusion_matrix"],
    "multiclass": [
        "accuracy",
        "top_2_accuracy",
        "precision",
        "recall",
        "f1",
        "roc_auc",
        "roc_auc_ovo",
        "average_precision",
        "confusion_matrix",
    ],
    "multilabel": ["accuracy", "exact_match", "precision_micro", "recall_weighted", "f1", "roc_auc", "average_precision"],
    "regression": ["mae", "mse", "rmse", "r2"],
}
EACH = [(task, name) for task, names in NAMES.items() for name in names]
KEEP = ("roc_auc", "roc_auc_ovo", "average_precision")


def batch(task: str, rows: int = 24) -> tuple[dnn.Tensor, dnn.Tensor]:
    output = dnn.randn(rows) if task == "binary" else dnn.randn(rows, 3)
    if task == "regression":
        return output, dnn.randn(rows, 3)
    target = dnn.arange(rows) % 3 if task == "multiclass" else (dnn.rand(*output.shape) > 0.5).long()
    return output, target


class Case:
    """Random outputs, targets and weights, with ties and missing classes, and cuts that split them into batches."""

    def __init__(self, task: str, seed: int, cuts: list[int], weighted: bool, rows: int, width: int) -> None:
        rng = np.random.default_rng(seed)
        self.task = task
        self.weight = rng.integers(1, 5, rows) / 4 if weighted else None
        self.cuts = sorted(cut % (rows + 1) for cut in cuts)
        shape = (rows,) if task == "binary" else (rows, width)
        self.output = (rng.integers(-3, 4, shape) / 2).astype(np.float32)
        if task == "multiclass":
            self.target = rng.choice(rng.integers(0, width, width), rows)
        elif task == "regression":
            self.target = rng.standard_normal(shape)
        else:
            self.target = rng.integers(0, 2, shape)

    def __repr__(self) -> str:
        return f"Case({self.task}, output={self.output.tolist()}, target={self.target.tolist()}, cuts={self.cuts})"

    def stream(self, metric: metrics.Metric) -> object:
        metric.reset()
        for start, stop in zip([0, *self.cuts], [*self.cuts, len(self.output)], strict=True):
            weight = None if self.weight is None else dnn.tensor(self.weight[start:stop])
            metric.update(dnn.tensor(self.output[start:stop]), dnn.tensor(self.target[start:stop]), weight)
        return metric.compute()

    @property
    def predicted(self) -> np.ndarray:
        return self.output.argmax(1) if self.task == "multiclass" else (self.output > 0).astype(int)

    @property
    def probability(self) -> np.ndarray:
        exponential = np.exp(self.output.astype(np.float64))
        if self.task == "multiclass":
            return exponential / exponential.sum(1, keepdims=True)
        return exponential / (1 + exponential)


def cases(*tasks: str, rows: int = 1, width: int = 2):
    return st.builds(
        Case,
        st.sampled_from(tasks),
        seed=st.integers(0, 2**32),
        cuts=st.lists(st.integers(0, 60), max_size=4),
        weighted=st.booleans(),
        rows=st.integers(rows, 60),
        width=st.integers(width, 6),
    )
