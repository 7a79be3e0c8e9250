"""The FROC curve, lesion by lesion, and sensitivity at given false positives per unit with the bootstrap by patient.

A unit is a frame or a volume. A lesion is found at a threshold when any candidate that hits it, in whatever frame,
reaches that threshold: its score is the maximum over its candidates, and further hits on it are neither true nor false
positives. What hits no lesion is a false positive. The curve through these counts assumes nothing; the model of the
paper's [38] is in :mod:`caffe_port.study.statistics.candidate_model`.

    deep, shallow = (detections(s, lesions, patients, all_lesions=owners, units=unit_patients) for s in scores)
    froc_curve(deep).at(0.01)
    sensitivity_at(deep, (0.001, 0.01))
    gain = difference(weighted_sensitivity(deep, 0.01), weighted_sensitivity(shallow, 0.01))
    bootstrap(gain, deep.patients, strata=deep.with_lesions)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from caffe_port.errors import StatisticsError
from caffe_port.study.statistics.bootstrap import BLOCK, Statistic, bootstrap
from caffe_port.study.statistics.checks import finite
from caffe_port.study.statistics.intervals import Interval


@dataclass(frozen=True)
class Detections:
    """One arm's candidates of a test set, reduced to what FROC statistics need. Made by :func:`detections`.

    :param patients: (P,) names, rising; the other fields call a patient by the index here.
    :param units: (P,) frames or volumes of each patient.
    :param false: (F,) scores of the false candidates, falling; ``false_patient`` likewise.
    :param lesions: (L,) scores of all lesions, falling, -inf for those that no candidate hits; ``lesion_patient``
        likewise.
    """

    patients: np.ndarray
    units: np.ndarray
    false: np.ndarray
    false_patient: np.ndarray
    lesions: np.ndarray
    lesion_patient: np.ndarray

    @property
    def with_lesions(self) -> np.ndarray:
        """Which of ``patients`` have lesions, (P,) booleans: the strata of the bootstrap."""
        return np.isin(np.arange(len(self.patients)), self.lesion_patient)

    @property
    def found(self) -> int:
        """How many lesions any candidate hits."""
        return int(np.count_nonzero(self.lesions > -np.inf))

    def lesions_above_false(self) -> np.ndarray:
        """How many lesions have a higher score than each false candidate; last of all ``found``: (F + 1,)."""
        return np.asarray(np.searchsorted(-self.lesions, np.r_[-self.false, np.inf]))


def detections(
    scores: ArrayLike,
    lesions: Sequence[str],
    patients: Sequence[str],
    *,
    all_lesions: Mapping[str, str],
    units: Sequence[str],
) -> Detections:
    """The candidates of a test set, lesion by lesion.

    :param scores: (N,) of the candidates, the higher the likelier; there may be none.
    :param lesions: (N,) id of the lesion that each candidate hits, "" for a false one.
    :param patients: (N,) which patient (video) each candidate belongs to.
    :param all_lesions: every lesion of the test set, also those that no candidate hits -> its patient.
    :param units: (U,) the patient of every frame or volume, also of those without candidates and without lesions.
    :raises StatisticsError: scores that are not finite, not one of each for every candidate; no lesions; a lesion that
        is not among ``all_lesions``, or hit in another patient than its own; a patient without units.
    """
    values = finite(scores, "scores") if np.size(scores) else np.zeros(0)
    if not len(values) == len(lesions) == len(patients):
        raise StatisticsError(f"{len(values)} scores, {len(lesions)} lesions and {len(patients)} patients.")
    if not all_lesions:
        raise StatisticsError("a test set without lesions has no sensitivity.", remedy="Use data with lesions.")
    strange = next((x for x, p in zip(lesions, patients) if x and all_lesions.get(x) != p), None)
    if strange is not None:
        raise StatisticsError(f"a candidate hits the lesion '{strange}', which its patient does not have.")
    names, counts = np.unique(np.asarray(units, dtype=str), return_counts=True)
    number = {str(name): i for i, name in enumerate(names)}
    without = next((p for p in (*patients, *all_lesions.values()) if p not in number), None)
    if without is not None:
        raise StatisticsError(f"patient '{without}' has no units.", remedy="Name the patient of every frame or volume.")
    place = {lesion: i for i, lesion in enumerate(all_lesions)}
    hit = np.array([place.get(lesion, -1) for lesion in lesions], dtype=np.int64)
    best = np.full(len(place), -np.inf)
    np.maximum.at(best, hit[hit >= 0], values[hit >= 0])
    owner = np.array([number[p] for p in patients], dtype=np.int64)
    lesion_owner = np.array([number[p] for p in all_lesions.values()], dtype=np.int64)
    false = np.flatnonzero(hit < 0)
    false = false[np.argsort(-values[false], kind="stable")]
    order = np.argsort(-best, kind="stable")
    return Detections(names, counts, values[false], owner[false], best[order], lesion_owner[order])


@dataclass(frozen=True)
class Froc:
    """A FROC curve: one point for every number of false positives that a threshold can give, tied scores together.

    :param fp: (K,) false positives per unit, rising from 0 to that of all candidates.
    :param sensitivity: (K,) the share of all lesions that is found with so many: of the thresholds that give them, the
        lowest counts.
    :param threshold: (K,) that lowest threshold: a candidate is called a lesion from this score on. Infinite where no
        candidate is called.
    """

    fp: np.ndarray
    sensitivity: np.ndarray
    threshold: np.ndarray

    def at(self, fp: float) -> float:
        """The best sensitivity with at most ``fp`` false positives per unit: the curve is a step function.

        nan beyond the last point: what a detector with more candidates would find is not known.
        """
        last = int(np.searchsorted(self.fp, _checked(fp), side="right")) - 1
        return float(self.sensitivity[last]) if fp <= self.fp[-1] else math.nan


def froc_curve(arm: Detections) -> Froc:
    """The FROC curve of ``arm``."""
    false = np.r_[0, np.flatnonzero(np.r_[arm.false[1:] != arm.false[:-1], True][: len(arm.false)]) + 1]
    lesions = arm.lesions_above_false()[false]
    threshold = np.minimum(np.r_[np.inf, arm.false][false], np.r_[np.inf, arm.lesions][lesions])
    return Froc(false / arm.units.sum(), lesions / len(arm.lesions), threshold)


def sensitivity_at(
    arm: Detections, points: Sequence[float], *, draws: int = 2000, seed: int = 0, level: float = 0.95
) -> list[Interval]:
    """Sensitivity of the curve at each of ``points``, and its interval by the bootstrap over patients.

    Three times nan at points beyond the curve.

    :param points: false positives per unit.
    :raises StatisticsError: see :func:`caffe_port.study.statistics.bootstrap.bootstrap`; a negative point.
    """
    end = froc_curve(arm).fp[-1]

    def interval(fp: float) -> Interval:
        if fp > end:
            return Interval(math.nan, math.nan, math.nan)
        statistic = weighted_sensitivity(arm, fp)
        return bootstrap(statistic, arm.patients, strata=arm.with_lesions, draws=draws, seed=seed, level=level)

    return [interval(fp) for fp in points]


def weighted_sensitivity(arm: Detections, fp: float) -> Statistic:
    """Sensitivity with at most ``fp`` false positives per unit, of weights (P, draws) of ``arm.patients``.

    In a resample whose curve ends before ``fp``, that of all its candidates. Two arms can be compared when their
    patients are the same, whatever their candidates.

    :raises StatisticsError: a negative ``fp``; a resample without lesions.
    """
    _checked(fp)
    lesions_above = arm.lesions_above_false()

    def statistic(weights: np.ndarray) -> np.ndarray:
        if len(weights) != len(arm.patients):
            raise StatisticsError(f"detections of {len(arm.patients)} patients for {len(weights)} rows of patients.")
        lesions = np.zeros((len(arm.lesions) + 1, weights.shape[1]))
        np.cumsum(weights[arm.lesion_patient], axis=0, out=lesions[1:])
        if not lesions[-1].all():
            raise StatisticsError("a resample of the patients lacks lesions.", remedy="Give with_lesions as strata.")
        last = lesions_above[_allowed(arm, weights, fp)]
        return lesions[last, np.arange(weights.shape[1])] / lesions[-1]

    return statistic


def _allowed(arm: Detections, weights: np.ndarray, fp: float) -> np.ndarray:
    """How many false candidates, from the highest score down, do not exceed ``fp`` per unit, in each draw (draws,).

    The next one does: it has a weight, and the threshold must lie above its score. Block by block, until no draw allows
    more, for few of very many candidates count at a low ``fp``.
    """
    units = arm.units @ weights
    number, count = np.zeros(len(units), dtype=np.int64), np.zeros(len(units))
    step = max(1, BLOCK // len(units))
    for start in range(0, len(arm.false), step):
        totals = count + np.cumsum(weights[arm.false_patient[start : start + step]], axis=0)
        number += np.sum(totals / units <= fp, axis=0)
        count = totals[-1]
        if (count / units > fp).all():
            break
    return number


def _checked(fp: float) -> float:
    if not fp >= 0:
        raise StatisticsError(f"{fp} false positives per unit.", remedy="Give 0 or more.")
    return fp
