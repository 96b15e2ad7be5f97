"""Metrics over any number of batches, computed as if all samples had come in one."""

from dnncore.metrics._resolve import resolve
from dnncore.metrics.accuracy import Accuracy, TopKAccuracy
from dnncore.metrics.aggregation import Mean
from dnncore.metrics.confusion_matrix import ConfusionMatrix
from dnncore.metrics.metric import Metric
from dnncore.metrics.perplexity import Perplexity
from dnncore.metrics.precision_recall import F1Score, FBetaScore, Precision, Recall
from dnncore.metrics.ranking import ROCAUC, AveragePrecision
from dnncore.metrics.regression import MeanAbsoluteError, MeanSquaredError, R2Score, RootMeanSquaredError

__all__ = [
    "ROCAUC",
    "Accuracy",
    "AveragePrecision",
    "ConfusionMatrix",
    "F1Score",
    "FBetaScore",
    "Mean",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "Perplexity",
    "Precision",
    "R2Score",
    "Recall",
    "RootMeanSquaredError",
    "TopKAccuracy",
    "resolve",
]
