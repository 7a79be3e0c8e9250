"""Every pair of arms: by intervals at operating points (Table S3) and by tests of paired numbers (Table S4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from caffe_port.errors import StatisticsError
from caffe_port.study.statistics.checks import finite
from caffe_port.study.statistics.intervals import Interval
from caffe_port.study.statistics.roc import delong


@dataclass(frozen=True)
class Separation:
    """One cell of Table S3: the operating points at which the intervals of two arms do not overlap; none is red."""

    a: str
    b: str
    points: tuple[float, ...]


@dataclass(frozen=True)
class PairTest:
    """One cell of Table S4.

    :param difference: of the first arm minus the second: the mean of the paired differences, or of the areas.
    :param p: two-sided; ``holm`` is adjusted for all pairs of the table.
    """

    a: str
    b: str
    difference: float
    p: float
    holm: float

    @property
    def text(self) -> str:
        """``p`` as the paper prints it."""
        return format_p(self.p)


def separations(arms: Mapping[str, Sequence[Interval]], points: Sequence[float]) -> list[Separation]:
    """Which pairs of arms differ at which operating points, as section IV decides it: their intervals do not overlap.

    That is stricter than p < .05 (for two independent normal estimates of equal error it is p < .006), and it makes no
    use of all arms having seen the same cases, as :func:`auc_tests` and the bootstrap of paired differences do.

    :param arms: name -> one interval for each of ``points``.
    :raises StatisticsError: an arm with another number of intervals.
    """
    for name, intervals in arms.items():
        if len(intervals) != len(points):
            raise StatisticsError(f"{name}: {len(intervals)} intervals for {len(points)} operating points.")
    return [
        Separation(a, b, tuple(p for p, x, y in zip(points, arms[a], arms[b]) if not x.overlaps(y)))
        for a, b in combinations(arms, 2)
    ]


def error_tests(errors: Mapping[str, ArrayLike], test: Literal["wilcoxon", "t"] = "wilcoxon") -> list[PairTest]:
    """Paired tests of every pair of arms on the errors of the same regions; the paper does not name its test.

    Wilcoxon's signed-rank test leaves out regions where both arms are equal; where all are, p is 1 in either test.
    Regions of one patient are not independent, which makes any such p too small: read it beside the bootstrap by
    patient.

    :param errors: arm -> (regions,) errors, the regions in the same order in all arms.
    :raises StatisticsError: arms of different numbers of regions, fewer than two, not finite; no such test.
    """
    arrays = {name: finite(values, f"errors of {name}") for name, values in errors.items()}
    if len({len(array) for array in arrays.values()}) > 1 or any(len(array) < 2 for array in arrays.values()):
        numbers = ", ".join(f"{name}: {len(array)}" for name, array in arrays.items())
        raise StatisticsError(f"paired tests need the same two or more regions in all arms ({numbers}).")
    pairs = list(combinations(arrays, 2))
    differences = [arrays[a] - arrays[b] for a, b in pairs]
    return _tests(pairs, [float(d.mean()) for d in differences], [_p(d, test) for d in differences])


def _p(differences: np.ndarray, test: str) -> float:
    """Two-sided p of paired ``differences``."""
    if test not in ("wilcoxon", "t"):
        raise StatisticsError(f"no test '{test}'.", remedy="There are: wilcoxon, t.")
    if not differences.any():
        return 1.0
    return float((stats.wilcoxon(differences) if test == "wilcoxon" else stats.ttest_1samp(differences, 0)).pvalue)


def auc_tests(scores: Mapping[str, ArrayLike], labels: ArrayLike) -> list[PairTest]:
    """DeLong's test of every pair of arms on the areas under the ROC curves of the same cases.

    :param scores: arm -> (N,) scores, the cases in the same order in all arms and in ``labels``.
    :raises StatisticsError: see :func:`caffe_port.study.statistics.roc.delong`; arms of different numbers of cases.
    """
    arrays = {name: finite(values, f"scores of {name}") for name, values in scores.items()}
    if len({len(array) for array in arrays.values()}) > 1:
        raise StatisticsError("arms of different numbers of cases cannot be paired.")
    areas, covariance = delong(np.stack(list(arrays.values())), labels)
    first, second = np.triu_indices(len(areas), 1)
    differences = areas[first] - areas[second]
    variances = covariance[first, first] + covariance[second, second] - 2 * covariance[first, second]
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(differences == 0, 0, np.abs(differences) / np.sqrt(np.maximum(variances, 0)))
    return _tests(list(combinations(arrays, 2)), list(differences), list(2 * stats.norm.sf(z)))


def _tests(pairs: list[tuple[str, str]], differences: list[float], ps: list[float]) -> list[PairTest]:
    adjusted = holm(ps)
    return [PairTest(a, b, float(d), float(p), float(h)) for (a, b), d, p, h in zip(pairs, differences, ps, adjusted)]


def holm(ps: ArrayLike) -> np.ndarray:
    """``ps`` (M,) adjusted for M tests, so that the chance of any false rejection is kept (Holm, 1979)."""
    array = np.asarray(ps, dtype=np.float64)
    order = np.argsort(array, kind="stable")
    adjusted = np.empty_like(array)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(array[order] * np.arange(len(array), 0, -1)))
    return adjusted


def format_p(p: float) -> str:
    """``p`` as Table S4 prints it: ``p<.0001``, ``p<.001``, ``p<.05``, and from there on the number, ``0.5808``."""
    for bound, text in ((0.0001, "p<.0001"), (0.001, "p<.001"), (0.05, "p<.05")):
        if p < bound:
            return text
    return f"{p:.4f}"
