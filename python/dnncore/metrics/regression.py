"""Errors of numbers, and the share of variance explained."""

from __future__ import annotations

import math
import warnings

from dnncore import _core
from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.metrics.metric import Streaming, check_pair, weights_of

_TASKS = frozenset({"regression"})


def _columns(op: str, output: Tensor, target: Tensor, sample_weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return output, target and weight as float64 of shape (N, K), K outputs per sample; N counts steps if weights do."""
    check_pair(op, output, target, sample_weight)
    weight = weights_of(op, sample_weight, tuple(output.shape), output.device)
    samples = 1 if sample_weight is None else sample_weight.ndim
    shape = math.prod(output.shape[:samples]), math.prod(output.shape[samples:])
    return output.double().reshape(shape), target.double().reshape(shape), weight.reshape(shape)


def _counted(weight: Tensor, x: Tensor) -> Tensor:
    """Return ``weight * x``, but 0 where the weight is 0 even if x is not finite."""
    return _core.where(weight != 0, weight * x, 0.0)


class _MeanError(Streaming):
    """A mean over samples for each output, and the plain mean of those."""

    tasks = _TASKS
    higher_is_better = False

    @no_grad()
    def update(self, output: Tensor, target: Tensor, sample_weight: Tensor | None = None) -> None:
        """Add the errors of a batch."""
        output, target, weight = _columns(self.name, output, target, sample_weight)
        part, whole = self._totals(*[(output.shape[1],)] * 2, beside=weight)
        part.add_(_counted(weight, self._error(output - target)).sum(0))
        whole.add_(weight.sum(0))

    def compute(self) -> float:
        """Return the mean error; nan before any counted sample."""
        if not self._state:
            return math.nan
        part, whole = self._state
        return float(self._finished(part / whole).mean().item())

    def _error(self, difference: Tensor) -> Tensor:
        raise NotImplementedError

    def _finished(self, mean: Tensor) -> Tensor:
        return mean


class MeanAbsoluteError(_MeanError):
    """The mean of ``|output - target|``, over the samples and then over the outputs of a sample.

    Differences and sums are float64. Samples of weight 0 do not count, even if they are nan; other nan make the value nan.

    Parameters
    ----------
    task : {"regression"}, optional
    name : str, optional

    Raises
    ------
    ValueError
        If output and target have not one shape.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.metrics import MeanAbsoluteError
    >>> metric = MeanAbsoluteError()
    >>> metric.update(dnn.tensor([1.0, 2.0]), dnn.tensor([1.0, 4.0]))
    >>> metric.update(dnn.tensor([3.0]), dnn.tensor([7.0]))
    >>> metric.compute()
    2.0
    """

    name = "mae"

    def _error(self, difference: Tensor) -> Tensor:
        return difference.abs()


class MeanSquaredError(_MeanError):
    """The mean of ``(output - target)^2``, over the samples and then over the outputs of a sample.

    Differences and sums are float64. Samples of weight 0 do not count, even if they are nan; other nan make the value nan.

    Parameters
    ----------
    task : {"regression"}, optional
    name : str, optional

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.metrics import MeanSquaredError
    >>> metric = MeanSquaredError()
    >>> metric.update(dnn.tensor([1.0, 2.0]), dnn.tensor([1.0, 4.0]))
    >>> metric.compute()
    2.0
    """

    name = "mse"

    def _error(self, difference: Tensor) -> Tensor:
        return difference.square()


class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean of ``(output - target)^2`` over all samples; for several outputs the mean of their roots.

    This is the root of the whole mean, not a mean of the roots of batches.

    Parameters
    ----------
    task : {"regression"}, optional
    name : str, optional

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.metrics import RootMeanSquaredError
    >>> metric = RootMeanSquaredError()
    >>> metric.update(dnn.tensor([1.0]), dnn.tensor([1.0]))
    >>> metric.update(dnn.tensor([2.0]), dnn.tensor([4.0]))
    >>> round(metric.compute(), 4)
    1.4142
    """

    name = "rmse"

    def _finished(self, mean: Tensor) -> Tensor:
        return mean.sqrt()


class R2Score(Streaming):
    """The share of the targets' variance that is explained, ``1 - sum((t - o)^2) / sum((t - mean(t))^2)``.

    For several outputs the plain mean over them. As in scikit-learn it is 1 for constant targets that are met, 0 for constant
    targets that are not, and nan, with a RuntimeWarning, for fewer than two samples. Batches are merged by their means and
    squared deviations, so a large offset of the targets costs no digits. Nan as in `MeanSquaredError`.

    Parameters
    ----------
    task : {"regression"}, optional
    name : str, optional

    References
    ----------
    T. F. Chan, G. H. Golub, R. J. LeVeque: Updating formulae and a pairwise algorithm for computing sample variances,
    COMPSTAT 1982.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore.metrics import R2Score
    >>> metric = R2Score()
    >>> metric.update(dnn.tensor([2.5, 0.0]), dnn.tensor([3.0, -0.5]))
    >>> metric.update(dnn.tensor([2.0, 8.0]), dnn.tensor([2.0, 7.0]))
    >>> round(metric.compute(), 4)
    0.9486
    """

    name = "r2"
    tasks = _TASKS
    higher_is_better = True

    @no_grad()
    def update(self, output: Tensor, target: Tensor, sample_weight: Tensor | None = None) -> None:
        """Merge the squares of a batch into those of the earlier ones."""
        output, target, weight = _columns(self.name, output, target, sample_weight)
        if output.shape[0] == 0:
            return
        rows, total, mean, spread, error = self._totals(*[(output.shape[1],)] * 5, beside=weight)
        own_total, own_mean, own_spread = _moments(target, weight)
        both = total + own_total
        share = _core.where(both != 0, own_total / both, 0.0)
        shift = _core.where(own_total != 0, own_mean - mean, 0.0)
        spread.add_(own_spread + shift.square() * total * share)
        mean.add_(shift * share)
        total.add_(own_total)
        rows.add_((weight != 0).sum(0))
        error.add_(_counted(weight, (target - output).square()).sum(0))

    def compute(self) -> float:
        """Return the share of explained variance."""
        if not self._state:
            return math.nan
        rows, _, _, spread, error = self._state
        if (rows < 2).any().item():
            warnings.warn(f"{self.name}: undefined for fewer than two samples: nan", RuntimeWarning, stacklevel=2)
            return math.nan
        unexplained = _core.where(spread != 0, error / spread, (error != 0).double())
        return float((1 - unexplained).mean().item())


def _moments(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return sum of weights, mean and weighted squared deviations of each column, (N, K) -> three of (K,).

    Deviations are taken from the largest value first, so equal values have a spread of exactly 0.
    """
    total = weight.sum(0)
    origin = _core.where(weight != 0, x, -math.inf).amax(0)
    away = _core.where(total != 0, _counted(weight, x - origin).sum(0) / total, 0.0)
    mean = origin + away
    return total, mean, _counted(weight, (x - origin - away).square()).sum(0)
