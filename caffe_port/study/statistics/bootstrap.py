"""The bootstrap by patient: frames, regions or candidates of one patient are not independent, patients are.

A resample is a weight for every row of the data: how many times its patient was drawn. Every statistic here is a
function from weights, a whole block of resamples at once, to values, so that estimate, resamples and jackknife come
from one formula, and a paired difference between two arms is the difference of two of them.

    bootstrap(difference(weighted_auc(deep, labels), weighted_auc(shallow, labels)), patients, strata=labels)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from caffe_port.errors import StatisticsError
from caffe_port.study.statistics.checks import finite, two_classes
from caffe_port.study.statistics.intervals import Interval, normal_quantile

#: Weights of the rows, (N, draws) -> values, (draws,).
Statistic = Callable[[np.ndarray], np.ndarray]
#: Weights that are held at a time: so few (256 KB) that the processor's cache keeps them, three times as fast.
BLOCK = 1 << 15


def bootstrap(
    statistic: Statistic,
    patients: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    method: Literal["percentile", "bca"] = "percentile",
) -> Interval:
    """The statistic of all rows, and its interval when patients are drawn anew, with replacement.

    :param patients: (N,) which patient (exam, video) each row belongs to.
    :param strata: (N,) labels of the rows. Patients are drawn separately among those whose rows hold the same set of
        labels, so that no resample lacks a class. One that is the only of its kind stays in every resample, and the
        interval knows nothing of how patients of that kind vary.
    :param seed: the same seed draws the same patients, whatever the statistic.
    :param method: ``percentile``, or ``bca``: bias-corrected and accelerated, by the jackknife over patients (Efron,
        JASA 82, 1987), for skewed statistics of few patients.
    :raises StatisticsError: fewer than two patients, or none that can be drawn in another's place; a resample that
        lacks what the statistic needs; no draws, no such method.
    """
    _, patient = np.unique(np.asarray(patients), return_inverse=True)
    number = int(patient.max(initial=-1)) + 1
    if number < 2:
        raise StatisticsError(f"{number} patients: nothing can be resampled.", remedy="Use data of more patients.")
    if method not in ("percentile", "bca"):
        raise StatisticsError(f"no method '{method}'.", remedy="There are: percentile, bca.")
    if draws < 1:
        raise StatisticsError(f"{draws} draws.", remedy="Take some thousand.")
    z = normal_quantile(level)
    counts = _draw(_patient_strata(patient, strata), draws, np.random.default_rng(seed))
    estimate = float(statistic(np.ones((len(patient), 1)))[0])
    values = np.concatenate([statistic(weights) for weights in _weights(counts, patient)])
    ends = np.array([-z, z])
    if method == "bca":
        left_out = 1 - np.eye(number, dtype=np.int64)
        jackknife = np.concatenate([statistic(weights) for weights in _weights(left_out, patient)])
        ends = _corrected(ends, estimate, values, jackknife)
    low, high = np.quantile(values, ndtr(ends))
    return Interval(estimate, float(low), float(high))


def _patient_strata(patient: np.ndarray, strata: ArrayLike | None) -> list[np.ndarray]:
    """The patients of each stratum: those whose rows hold one and the same set of labels."""
    number = int(patient.max()) + 1
    if strata is None:
        return [np.arange(number)]
    _, label = np.unique(np.asarray(strata), return_inverse=True)
    if label.shape != patient.shape:
        raise StatisticsError(f"strata of shape {label.shape} for {len(patient)} rows.")
    holds = np.zeros((number, int(label.max()) + 1), dtype=bool)
    holds[patient, label] = True
    kinds, kind = np.unique(holds, axis=0, return_inverse=True)
    if len(kinds) == number:
        raise StatisticsError(
            "each patient is the only one of its kind: nothing can be resampled.", remedy="Use data of more patients."
        )
    return [np.flatnonzero(kind.ravel() == k) for k in range(len(kinds))]


def _draw(strata: list[np.ndarray], draws: int, rng: np.random.Generator) -> np.ndarray:
    """How often each of P patients is drawn in each resample, (P, draws)."""
    number = sum(map(len, strata))
    drawn = np.vstack([members[rng.integers(len(members), size=(len(members), draws))] for members in strata])
    places = drawn * draws + np.arange(draws)
    return np.bincount(places.ravel(), minlength=number * draws).reshape(number, draws)


def _weights(counts: np.ndarray, patient: np.ndarray) -> Iterator[np.ndarray]:
    """The rows' weights in blocks of resamples, from the patients' ``counts`` (P, draws)."""
    step = max(1, BLOCK // len(patient))
    for start in range(0, counts.shape[1], step):
        yield counts[:, start : start + step].astype(np.float64)[patient]


def _corrected(ends: np.ndarray, estimate: float, values: np.ndarray, jackknife: np.ndarray) -> np.ndarray:
    """The normal deviates at which BCa takes the quantiles of ``values``, instead of ``ends``."""
    below = (np.sum(values < estimate) + np.sum(values == estimate) / 2) / len(values)
    bias = ndtri(np.clip(below, 1 / (len(values) + 1), len(values) / (len(values) + 1)))
    deviation = jackknife.mean() - jackknife
    spread = np.sum(deviation**2)
    acceleration = np.sum(deviation**3) / (6 * spread**1.5) if spread > 0 else 0.0
    return bias + (bias + ends) / (1 - acceleration * (bias + ends))


def difference(first: Statistic, second: Statistic) -> Statistic:
    """``first`` minus ``second`` of the same resamples: a paired comparison."""
    return lambda weights: first(weights) - second(weights)


def weighted_mean(values: ArrayLike) -> Statistic:
    """The mean of ``values`` (N,), such as the errors of regions."""
    array = finite(values, "values")

    def statistic(weights: np.ndarray) -> np.ndarray:
        _same_rows(weights, len(array))
        return array @ weights / weights.sum(axis=0)

    return statistic


def weighted_auc(scores: ArrayLike, labels: ArrayLike) -> Statistic:
    """The area under the empirical ROC curve: see :func:`caffe_port.study.statistics.roc.auc`."""
    curves = _curves(scores, labels)

    def statistic(weights: np.ndarray) -> np.ndarray:
        fpr, tpr = curves(weights)
        return np.sum(np.diff(fpr, axis=0) * (tpr[1:] + tpr[:-1]), axis=0) / 2

    return statistic


def weighted_tpr(scores: ArrayLike, labels: ArrayLike, fpr: float) -> Statistic:
    """TPR of the empirical ROC curve at one ``fpr``: see :meth:`caffe_port.study.statistics.roc.Roc.at`."""
    if not 0 <= fpr < 1:
        raise StatisticsError(f"a false positive rate of {fpr}.", remedy="Give one from 0 to below 1.")
    curves = _curves(scores, labels)

    def statistic(weights: np.ndarray) -> np.ndarray:
        rates, tpr = curves(weights)
        draw = np.arange(weights.shape[1])
        last = np.sum(rates <= fpr, axis=0) - 1
        left, right = rates[last, draw], rates[last + 1, draw]
        return tpr[last, draw] + (fpr - left) / (right - left) * (tpr[last + 1, draw] - tpr[last, draw])

    return statistic


def _curves(scores: ArrayLike, labels: ArrayLike) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """A function from weights (N, draws) to FPR and TPR, each (1 + distinct scores, draws), from (0, 0) to (1, 1)."""
    values = finite(scores, "scores")
    positive = two_classes(labels, len(values))
    order = np.argsort(-values, kind="stable")
    kind = positive[order][:, None]
    lasts = np.flatnonzero(np.r_[np.diff(values[order]) != 0, True])  # of each run of tied scores

    def curves(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        _same_rows(weights, len(order))
        ordered = weights[order]
        return _rates(ordered * ~kind, lasts), _rates(ordered * kind, lasts)

    return curves


def _same_rows(weights: np.ndarray, number: int) -> None:
    if len(weights) != number:
        raise StatisticsError(f"{number} values for {len(weights)} rows of patients.")


def _rates(weights: np.ndarray, lasts: np.ndarray) -> np.ndarray:
    """What part of one class has a score as high as each distinct one or higher; first of all none."""
    counts = np.zeros((len(lasts) + 1, weights.shape[1]))
    counts[1:] = np.cumsum(weights, axis=0)[lasts]
    if not counts[-1].all():
        raise StatisticsError(
            "a resample of the patients lacks a class.",
            remedy="Give the labels as strata; for BCa each stratum needs two patients.",
        )
    return counts / counts[-1]
