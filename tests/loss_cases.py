"""One case per loss and way to call it: PyTorch's names, float64 inputs. Read by the tests and golden/make_loss_golden.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

REDUCTIONS = ("mean", "sum", "none")


@dataclass(frozen=True)
class LossCase:
    function: str
    arrays: dict[str, tuple[str, tuple[int, ...]]]  # argument: (kind, shape); the gradient is of the first
    options: dict[str, Any] = field(default_factory=dict)
    reductions: tuple[str, ...] = ()  # beside the three
    classes: int = 5
    smooth: bool = True  # gradients may be compared with central differences


def labels(random: np.random.Generator, shape: tuple[int, ...], classes: int) -> np.ndarray:
    """Class numbers in random order with a -1 somewhere among them; the first of several rows has none."""
    found = np.broadcast_to(np.arange(classes), shape).copy()
    random.permuted(found, axis=-1, out=found)
    rows = found.reshape(-1, classes)
    for row in rows[len(rows) > 1 :]:
        row[random.integers(0, classes)] = -1
    return found


def inputs(case: LossCase) -> dict[str, np.ndarray]:
    """The same numbers for every reader; values keep away from kinks."""
    random = np.random.default_rng(len(case.function))
    draw = {
        "real": lambda shape: random.uniform(-2, 2, shape),
        "unit": lambda shape: random.uniform(0.05, 0.95, shape),
        "positive": lambda shape: random.uniform(0.1, 3, shape),
        "sign": lambda shape: random.choice([-1.0, 1.0], shape),
        "count": lambda shape: random.integers(0, 6, shape).astype(np.float64),
        "bit": lambda shape: random.integers(0, 2, shape).astype(np.float64),
        "class": lambda shape: random.integers(0, case.classes, shape),
        "labels": lambda shape: labels(random, shape, case.classes),
        "log": lambda shape: np.log(random.uniform(0.05, 0.95, shape)),
    }
    return {name: np.asarray(draw[kind](shape)) for name, (kind, shape) in case.arrays.items()}


def _classes(function: str, shape: tuple[int, ...], weighted: bool = False, kind: str = "class", **options: Any) -> LossCase:
    rows = shape[:0] if len(shape) == 1 else (shape[0], *shape[2:])
    arrays = {
        "input": ("log" if function == "nll_loss" else "real", shape),
        "target": (kind, rows if kind == "class" else shape),
    }
    if weighted:
        arrays["weight"] = ("positive", (5,))
    return LossCase(function, arrays, options)


def _pair(function: str, x: str, t: str, shape: tuple[int, ...] = (6, 5), *, more: Any = None, **options: Any) -> LossCase:
    return LossCase(function, {"input": (x, shape), "target": (t, shape), **(more or {})}, options)


VECTORS = (6, 5)
CASES = {
    "cross_entropy": _classes("cross_entropy", (6, 5)),
    "cross_entropy one row": _classes("cross_entropy", (5,)),
    "cross_entropy images": _classes("cross_entropy", (2, 5, 3, 2), weighted=True, ignore_index=1),
    "cross_entropy smoothed": _classes("cross_entropy", (6, 5), label_smoothing=0.1),
    "cross_entropy smoothed, weighted, ignored": _classes(
        "cross_entropy", (2, 5, 7), weighted=True, ignore_index=2, label_smoothing=0.3
    ),
    "cross_entropy probabilities": _classes("cross_entropy", (6, 5), kind="unit"),
    "cross_entropy probabilities, weighted, smoothed": _classes(
        "cross_entropy", (2, 5, 4), weighted=True, kind="unit", label_smoothing=0.2
    ),
    "nll": _classes("nll_loss", (6, 5), ignore_index=0),
    "nll images": _classes("nll_loss", (2, 5, 3, 2), weighted=True, ignore_index=3),
    "nll one row": _classes("nll_loss", (5,), weighted=True),
    "mse": _pair("mse_loss", "real", "real"),
    "l1": _pair("l1_loss", "real", "real"),
    "smooth_l1": _pair("smooth_l1_loss", "real", "real", beta=0.7),
    "smooth_l1 of beta 0": _pair("smooth_l1_loss", "real", "real", beta=0.0),
    "huber": _pair("huber_loss", "real", "real", delta=1.3),
    **{
        f"{name} weighted": _pair(f"{name}_loss", "real", "real", more={"weight": ("positive", VECTORS)})
        for name in ("mse", "l1", "huber")
    },
    "bce": _pair("binary_cross_entropy", "unit", "unit"),
    "bce weighted": _pair("binary_cross_entropy", "unit", "bit", more={"weight": ("positive", (5,))}),
    "bce_with_logits": _pair("binary_cross_entropy_with_logits", "real", "unit"),
    "bce_with_logits weighted": _pair(
        "binary_cross_entropy_with_logits",
        "real",
        "bit",
        more={"weight": ("positive", (6, 1)), "pos_weight": ("positive", (5,))},
    ),
    "kl_div": LossCase("kl_div", {"input": ("log", VECTORS), "target": ("bit", VECTORS)}, reductions=("batchmean",)),
    "kl_div of logarithms": LossCase(
        "kl_div", {"input": ("log", VECTORS), "target": ("log", VECTORS)}, {"log_target": True}, ("batchmean",)
    ),
    "poisson_nll": _pair("poisson_nll_loss", "real", "count"),
    "poisson_nll of rates, full": _pair("poisson_nll_loss", "positive", "count", log_input=False, full=True),
    "gaussian_nll": _pair("gaussian_nll_loss", "real", "real", more={"var": ("positive", VECTORS)}),
    "gaussian_nll of one variance, full": _pair("gaussian_nll_loss", "real", "real", more={"var": ("positive", (6,))}, full=True),
    "soft_margin": _pair("soft_margin_loss", "real", "sign"),
    "hinge_embedding": _pair("hinge_embedding_loss", "positive", "sign", margin=1.5),
    "cosine_embedding": LossCase(
        "cosine_embedding_loss",
        {"input1": ("real", VECTORS), "input2": ("real", VECTORS), "target": ("sign", (6,))},
        {"margin": 0.1},
    ),
    "margin_ranking": LossCase(
        "margin_ranking_loss",
        {"input1": ("real", VECTORS), "input2": ("real", VECTORS), "target": ("sign", VECTORS)},
        {"margin": 0.3},
    ),
    **{
        f"triplet_margin {options}": LossCase(
            "triplet_margin_loss", dict.fromkeys(("anchor", "positive", "negative"), ("real", VECTORS)), options
        )
        for options in ({}, {"swap": True, "margin": 2.0}, {"p": 1.0}, {"p": 3.0})
    },
    "multi_margin": _classes("multi_margin_loss", (6, 5)),
    "multi_margin squared, weighted": _classes("multi_margin_loss", (6, 5), weighted=True, p=2, margin=0.5),
    "multilabel_margin": _pair("multilabel_margin_loss", "real", "labels"),
    "multilabel_margin of one row": LossCase(
        "multilabel_margin_loss", {"input": ("real", (7,)), "target": ("labels", (7,))}, classes=7
    ),
    "multilabel_soft_margin": _pair("multilabel_soft_margin_loss", "real", "bit", more={"weight": ("positive", (5,))}),
}
