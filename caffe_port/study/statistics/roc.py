"""The empirical ROC curve, the area under it with DeLong's interval, and TPR at fixed FPR.

Cases are taken as independent. Where a patient has several, :mod:`caffe_port.study.statistics.bootstrap` resamples
patients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sklearn import metrics

from caffe_port.errors import StatisticsError
from caffe_port.study.statistics.checks import finite, two_classes
from caffe_port.study.statistics.intervals import Interval, normal_quantile, wilson

#: The false positive rates at which the paper compares the ROC curves of frame classification (Table S3).
FPR = (0.1, 0.15, 0.2)


@dataclass(frozen=True)
class Roc:
    """The corners of an empirical ROC curve, from (0, 0) to (1, 1).

    :param fpr: (K,) false positive rates, rising; ``tpr`` likewise.
    :param thresholds: (K,) falling, the first infinite: a case is called positive from this score on.
    """

    fpr: np.ndarray
    tpr: np.ndarray
    thresholds: np.ndarray
    positives: int
    negatives: int

    def at(self, fpr: float) -> float:
        """TPR of the curve at ``fpr``: the upper end of a vertical part, on the straight line within tied scores."""
        if not 0 <= fpr <= 1:
            raise StatisticsError(f"a false positive rate of {fpr}.", remedy="Give one between 0 and 1.")
        last = int(np.searchsorted(self.fpr, fpr, side="right")) - 1
        if self.fpr[last] == fpr:
            return float(self.tpr[last])
        return float(np.interp(fpr, self.fpr[last : last + 2], self.tpr[last : last + 2]))

    def tpr_at(self, fpr: float, level: float = 0.95) -> Interval:
        """TPR at ``fpr`` with its interval, no matter how the scores are distributed.

        Two things are uncertain: TPR at a given threshold, and which threshold has this FPR. Wilson's interval of the
        one, and that of the other carried over to the TPR axis by the curve itself, are combined by the method of
        variance estimates recovery (Zou and Donner, Statistics in Medicine 27, 2008).
        """
        tpr = self.at(fpr)
        given_threshold, of_threshold = wilson(tpr, self.positives, level), wilson(fpr, self.negatives, level)
        down = math.hypot(tpr - given_threshold.low, tpr - self.at(of_threshold.low))
        up = math.hypot(given_threshold.high - tpr, self.at(of_threshold.high) - tpr)
        return Interval(tpr, max(0.0, tpr - down), min(1.0, tpr + up))


def roc_curve(scores: ArrayLike, labels: ArrayLike) -> Roc:
    """The ROC curve of ``scores`` (N,), higher for positives, by ``labels`` (N,), 0 or 1. Tied scores move together.

    :raises StatisticsError: scores that are not finite, labels other than 0 and 1, a class without cases.
    """
    values = finite(scores, "scores")
    positive = two_classes(labels, len(values))
    fpr, tpr, thresholds = metrics.roc_curve(positive, values)
    thresholds[0] = np.inf  # before scikit-learn 1.3 it was the highest score plus 1
    positives = int(positive.sum())
    return Roc(fpr, tpr, thresholds, positives, len(positive) - positives)


def tpr_at_fpr(
    scores: ArrayLike, labels: ArrayLike, fpr: Sequence[float] = FPR, level: float = 0.95
) -> tuple[Interval, ...]:
    """TPR with its interval at each of ``fpr``: see :meth:`Roc.tpr_at` and :func:`roc_curve`."""
    curve = roc_curve(scores, labels)
    return tuple(curve.tpr_at(rate, level) for rate in fpr)


def delong(scores: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The areas under K ROC curves of the same N cases, and their covariance.

    After DeLong et al., Biometrics 44, 1988, by midranks in O(K N log N) as Sun and Xu, IEEE SPL 21, 2014.

    :param scores: (K, N), higher for positives.
    :param labels: (N,), 0 or 1.
    :returns: areas (K,) and covariance (K, K).
    :raises StatisticsError: see :func:`roc_curve`; fewer than two cases of a class.
    """
    values = finite(scores, "scores", dimensions=2)
    positive = two_classes(labels, values.shape[1], least=2)
    ranks = rankdata(values, axis=1)
    above = ranks[:, positive] - rankdata(values[:, positive], axis=1)  # negatives below each positive, ties by half
    below = ranks[:, ~positive] - rankdata(values[:, ~positive], axis=1)  # positives below each negative
    positives, negatives = above.shape[1], below.shape[1]
    of_positives, of_negatives = above / negatives, 1 - below / positives
    covariance = np.cov(of_positives) / positives + np.cov(of_negatives) / negatives
    return of_positives.mean(axis=1), np.atleast_2d(covariance)


def auc(scores: ArrayLike, labels: ArrayLike, level: float = 0.95) -> Interval:
    """The area under the ROC curve of ``scores`` (N,) with DeLong's interval, cut off at 0 and 1.

    Where the classes are perfectly separated the interval has no width: the data then hold no trace of the error.

    :raises StatisticsError: see :func:`delong`.
    """
    areas, covariance = delong([finite(scores, "scores")], labels)
    area, half = float(areas[0]), normal_quantile(level) * math.sqrt(covariance[0, 0])
    return Interval(area, max(0.0, area - half), min(1.0, area + half))
