"""The initial-detection-and-candidate-analysis model of the FROC curve [38], with its confidence band.

Edwards et al. (Medical Physics 29, 2002): a first stage finds candidates, a second one scores them. The first has one
operating point: λ false candidates per unit, their number being of the Poisson distribution, and ν, the share of all
lesions that any candidate hits, each independently. The second has a binormal ROC curve: the scores of the lesions that
are hit (the maximum over their candidates) against those of the false candidates. The FROC curve is that ROC curve with
stretched axes, FROC(x) = ν ROC(x / λ) for x ≤ λ. The likelihood is the product of a Poisson one of λ, a binomial one of
ν and that of the binormal model, and no parameter is in two of them: each factor has its maximum for itself, and the
three estimates are independent of one another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from caffe_port.errors import StatisticsError
from caffe_port.study.statistics.binormal import Binormal, fit_binormal
from caffe_port.study.statistics.froc import Detections
from caffe_port.study.statistics.intervals import Interval, normal_quantile, wilson


@dataclass(frozen=True)
class CandidateModel:
    """A fitted curve FROC(x) = ν ROC(x / λ).

    :param roc: of the candidates.
    :param false: number of false candidates in ``units`` frames or volumes.
    :param found: number of the ``lesions`` that any candidate hits.
    """

    roc: Binormal
    false: int
    units: int
    found: int
    lesions: int

    @property
    def rate(self) -> float:
        """λ, the false candidates per unit: where the curve ends."""
        return self.false / self.units

    @property
    def share(self) -> float:
        """ν, the share of lesions that any candidate hits: the sensitivity at the end of the curve."""
        return self.found / self.lesions

    def sensitivity(self, fp: ArrayLike) -> np.ndarray:
        """The curve at ``fp`` false positives per unit, of the same shape; nan beyond its end."""
        return self.share * self.roc.tpr(self._fpr(fp))

    def band(self, fp: ArrayLike, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper end, each of the shape of ``fp``, of the pointwise interval of sensitivity.

        Three independent things are uncertain: the ROC curve, ν and λ. How far the ends of each one's own interval (the
        binormal band; Wilson's; the score interval of a Poisson mean) move the sensitivity is combined as in
        :meth:`caffe_port.study.statistics.roc.Roc.tpr_at` (Zou and Donner, 2008), and cut off at 0 and 1. To the first
        order that is the delta method, which fails where this does not: with all lesions hit the variance of ν would be
        0, and towards the end of the curve the slope by λ grows without bounds on the normal-deviate axis.
        """
        fpr = self._fpr(fp)
        roc, share = self.roc.tpr(fpr), wilson(self.share, self.lesions, level)
        low, high = self.roc.band(fpr, level)
        few, many = _poisson(self.false, level)
        centre = self.share * roc
        at_many, at_few = (self.roc.tpr(np.minimum(1, fpr * self.false / number)) for number in (many, few))
        down = [share.low * roc, self.share * low, self.share * at_many]
        up = [share.high * roc, self.share * high, self.share * at_few]
        below, above = (np.sqrt(sum((end - centre) ** 2 for end in ends)) for ends in (down, up))
        return np.maximum(0, centre - below), np.minimum(1, centre + above)

    def at(self, fp: float, level: float = 0.95) -> Interval:
        """The curve and its band at one ``fp``."""
        low, high = self.band(fp, level)
        return Interval(float(self.sensitivity(fp)), float(low), float(high))

    def _fpr(self, fp: ArrayLike) -> np.ndarray:
        """What part of the false candidates ``fp`` per unit is."""
        x = np.asarray(fp, dtype=np.float64)
        if not (x >= 0).all():
            raise StatisticsError("a number of false positives per unit below 0, or NaN.", remedy="Give 0 or more.")
        return np.where(x <= self.rate, x / self.rate, np.nan)


def fit_candidate_model(arm: Detections) -> CandidateModel:
    """The model of maximum likelihood for ``arm``.

    :raises StatisticsError: no lesion is hit, there are no false candidates, or the binormal curve of the candidates is
        degenerate (see :func:`caffe_port.study.statistics.binormal.fit_binormal`).
    """
    hit = arm.lesions[: arm.found]
    try:
        roc = fit_binormal(np.r_[arm.false, hit], np.r_[np.zeros(len(arm.false)), np.ones(len(hit))])
    except StatisticsError as error:
        raise StatisticsError(
            f"no candidate model of {len(hit)} lesions and {len(arm.false)} false candidates: {error.cause}",
            remedy="Use the empirical FROC curve and the bootstrap by patient.",
        ) from error
    return CandidateModel(roc, len(arm.false), int(arm.units.sum()), len(hit), len(arm.lesions))


def _poisson(number: int, level: float) -> tuple[float, float]:
    """The score interval of the mean of a Poisson distribution of which ``number`` was seen: Wilson's for counts."""
    z = normal_quantile(level)
    centre, half = number + z * z / 2, z * math.sqrt(number + z * z / 4)
    return centre - half, centre + half
