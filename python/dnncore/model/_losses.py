"""Which loss it is: what depends on that asks here."""

from __future__ import annotations

from typing import Any

from dnncore import _core, nn
from dnncore.nn import functional as F

_FAMILIES: dict[str, tuple[Any, ...]] = {
    "cross_entropy": (nn.CrossEntropyLoss, F.cross_entropy, _core.cross_entropy),
    "nll": (nn.NLLLoss, F.nll_loss),
    "margin": (nn.MultiMarginLoss, F.multi_margin_loss),
    "logits": (nn.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits),
    "probabilities": (nn.BCELoss, F.binary_cross_entropy),
    "labels": (nn.MultiLabelSoftMarginLoss, F.multilabel_soft_margin_loss),
    "numbers": (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss),
    "scores": (nn.PoissonNLLLoss, nn.SoftMarginLoss, nn.KLDivLoss, F.poisson_nll_loss, F.soft_margin_loss, F.kl_div),
}
MEANS_OF_CLASSES = ("cross_entropy", "nll")  # the mean leaves out ignored targets, and divides by the weights of the classes
OF_CLASSES = (*MEANS_OF_CLASSES, "margin")


def function_of(loss: Any) -> Any:
    """Return the loss without the settings of a partial."""
    return getattr(loss, "func", loss)


def family_of(loss: Any) -> str:
    """Return which of the losses known here it is; "" for any other."""
    function = function_of(loss)
    for family, table in _FAMILIES.items():
        if any(isinstance(function, own) if isinstance(own, type) else function is own for own in table):
            return family
    return ""


def setting_of(loss: Any, name: str, default: Any) -> Any:
    """Return a setting of a loss: an attribute, or an argument of a partial."""
    return getattr(loss, "keywords", {}).get(name, getattr(loss, name, default))
