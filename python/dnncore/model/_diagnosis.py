"""What a check has to say: a code, what was found, the fix, and where to read more."""

from __future__ import annotations

import sys
import warnings

PAGE = "docs/diagnostics.md"

CODES = {
    "D101": "softmax before a loss of logits",
    "D102": "log_softmax before cross-entropy",
    "D103": "sigmoid before a loss of logits",
    "D104": "no sigmoid before BCELoss",
    "D105": "no log_softmax before NLLLoss",
    "D201": "class numbers out of range",
    "D202": "class numbers that start at 1",
    "D203": "targets of the wrong kind",
    "D204": "targets of the wrong shape",
    "D205": "targets that are all equal",
    "D206": "targets that are not finite",
    "D207": "targets that are not 0 or 1",
    "D208": "inputs and targets of different lengths",
    "D301": "unscaled inputs",
    "D302": "inputs that are not finite",
    "D303": "constant inputs",
    "D401": "a layer of another size than its input",
    "D402": "a forward pass that fails",
    "D403": "outputs of the wrong size",
    "D404": "a loss that fails",
    "D405": "outputs that are not finite",
    "D501": "a class of one sample",
    "D502": "a class that is only in validation",
    "D503": "duplicates between training and validation",
    "D601": "a metric that does not fit",
    "D701": "nothing to train",
    "D702": "an optimizer of other parameters",
    "D703": "a learning rate of 0",
}


class _Finding(Exception):  # noqa: N818
    """What errors and warnings share."""

    def __init__(self, code: str, message: str, fix: str) -> None:
        super().__init__(code, message, fix)
        self.code = code
        self.message = message
        self.fix = fix

    @property
    def anchor(self) -> str:
        """Return the place in the documentation."""
        return f"{PAGE}#{self.code.lower()}"

    def __str__(self) -> str:
        return f"{self.code}: {self.message}\n  fix: {self.fix}\n  more: {self.anchor}"


class Diagnosis(_Finding, ValueError):  # noqa: N818 - says what was found, not that something broke
    """A mistake that was found before the first step.

    Attributes
    ----------
    code : str
        Such as "D101"; stays the same from version to version.
    message : str
        What was found.
    fix : str
        A line of code that mends it.
    anchor : str
        Where the documentation explains it.

    Examples
    --------
    >>> from dnncore.model.diagnostics import Diagnosis
    >>> print(Diagnosis("D202", "the classes are 1 to 10", "y = y - 1"))
    D202: the classes are 1 to 10
      fix: y = y - 1
      more: docs/diagnostics.md#d202
    """

    __module__ = "dnncore.model.diagnostics"


class DiagnosisWarning(_Finding, UserWarning):
    """What looks like a mistake, but may be meant; it has the attributes of `Diagnosis`.

    Examples
    --------
    >>> import warnings
    >>> from dnncore.model.diagnostics import DiagnosisWarning
    >>> warnings.simplefilter("ignore", DiagnosisWarning)  # when it is meant
    """

    __module__ = "dnncore.model.diagnostics"


def warn(code: str, message: str, fix: str) -> None:
    """Warn at the line of the user's code that led here."""
    depth = 2
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("dnncore."):
        frame = frame.f_back
        depth += 1
    warnings.warn(DiagnosisWarning(code, message, fix), stacklevel=depth)


def few(items: list[str], most: int = 5) -> str:
    """Return the first items as text, and how many more there are."""
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more} more" if more > 0 else "")
