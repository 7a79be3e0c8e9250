"""The binormal ROC curve of maximum likelihood, with its confidence band: how the paper gets its error bars [38].

Edwards et al. (Medical Physics 29, 2002) fit a ROC curve to the candidates of a detector by maximum likelihood; the
FROC curve is that curve with stretched axes. Where every case is classified, as in frame classification, the ROC curve
is all there is. The model: after some increasing transformation the scores of negatives are normal with mean 0 and
deviation 1 and those of positives normal with mean a/b and deviation 1/b, so that TPR = Φ(a + b Φ⁻¹(FPR)). As the
transformation is free, only the order of the scores counts: sorted scores fall into runs of one class (or of tied
scores), and the runs are ordinal categories whose boundaries are estimated along with a and b (Metz et al., Statistics
in Medicine 17, 1998, LABROC4; for ratings Dorfman and Alf, Journal of Mathematical Psychology 6, 1969).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solveh_banded
from scipy.special import ndtr, ndtri

from caffe_port.errors import StatisticsError
from caffe_port.study.statistics.checks import finite, two_classes
from caffe_port.study.statistics.intervals import Interval, normal_quantile

ITERATIONS = 200
#: A step whose gain in log-likelihood is expected to be below this is the last.
ENOUGH = 1e-10
#: b outside of 1/STEEPEST to STEEPEST is a curve of right angles, which the fit approaches without end.
STEEPEST = 50.0
#: So little information (a standard error of 30) is the plateau that leads to a or b without bounds.
FLAT = 1e-3


@dataclass(frozen=True)
class Binormal:
    """A fitted curve TPR = Φ(a + b Φ⁻¹(FPR)).

    :param covariance: (2, 2), of a and b: the inverse of the observed information, the boundaries being estimated too.
    :param log_likelihood: of the ordinal categories, at the maximum.
    :param categories: their number.
    """

    a: float
    b: float
    covariance: np.ndarray
    log_likelihood: float
    categories: int

    def tpr(self, fpr: ArrayLike) -> np.ndarray:
        """The curve at ``fpr``, of the same shape."""
        return ndtr(self.a + self.b * ndtri(np.asarray(fpr, dtype=np.float64)))

    def band(self, fpr: ArrayLike, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper end, each of the shape of ``fpr``, of the pointwise interval of TPR.

        The delta method on the normal-deviate axis, where the curve is a straight line, so that the ends stay between
        0 and 1.
        """
        x = ndtri(np.asarray(fpr, dtype=np.float64))
        line = self.a + self.b * x
        (aa, ab), (_, bb) = self.covariance
        with np.errstate(invalid="ignore"):  # at FPR 0 and 1 x is infinite, and the curve has no other choice
            half = normal_quantile(level) * np.sqrt(aa + 2 * x * ab + x * x * bb)
            low, high = ndtr(line - half), ndtr(line + half)
        ends = ~np.isfinite(x)
        return np.where(ends, ndtr(line), low), np.where(ends, ndtr(line), high)

    def tpr_at(self, fpr: float, level: float = 0.95) -> Interval:
        """The curve and its band at one ``fpr``."""
        low, high = self.band(fpr, level)
        return Interval(float(self.tpr(fpr)), float(low), float(high))

    def auc(self, level: float = 0.95) -> Interval:
        """The area under the curve, Φ(a / √(1 + b²)), and its interval by the delta method inside of Φ."""
        root = math.sqrt(1 + self.b**2)
        slope = np.array([1 / root, -self.a * self.b / root**3])
        half = normal_quantile(level) * math.sqrt(slope @ self.covariance @ slope)
        centre = self.a / root
        return Interval(*(float(ndtr(x)) for x in (centre, centre - half, centre + half)))


def fit_binormal(scores: ArrayLike, labels: ArrayLike) -> Binormal:
    """The binormal curve of maximum likelihood for ``scores`` (N,), higher for positives, and ``labels`` (N,), 0 or 1.

    :raises StatisticsError: scores that are not finite, labels other than 0 and 1, a class without cases; or the data
        are degenerate, so that the likelihood has no single maximum: perfectly separated classes, or operating points
        that are a single one or lie on one horizontal or vertical line. The empirical curve of
        :mod:`caffe_port.study.statistics.roc` and its intervals have no such trouble.
    """
    values = finite(scores, "scores")
    counts = categories(values, two_classes(labels, len(values)))
    if not counts[:, 1:-1].any(axis=1).all():
        separated = counts.shape[1] == 2 and np.count_nonzero(counts) == 2
        raise _degenerate("perfectly separated classes." if separated else "too few operating points to fix a curve.")
    x = _start(counts)
    value = _log_likelihood(x, counts)
    for _ in range(ITERATIONS):
        step, gain, information = _newton_step(x, counts)
        if gain < ENOUGH:
            if np.linalg.eigvalsh(information)[0] < FLAT:
                break
            return Binormal(float(x[0]), float(x[1]), np.linalg.inv(information), value, counts.shape[1])
        x, value = _climb(x, value, step, gain, counts)
        if not 1 / STEEPEST < x[1] < STEEPEST:
            break
    raise _degenerate("the likelihood of the binormal model has no maximum.")


def categories(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Negatives and positives (2, K) in each ordinal category of ``scores`` (N,), from the lowest category up.

    Tied scores stay together; neighbours of one and the same class are one category, for a boundary between them would
    not change the curve of maximum likelihood.
    """
    _, score = np.unique(scores, return_inverse=True)
    counts = np.stack([np.bincount(score, kind) for kind in (~positive, positive)])
    pure = np.where(counts[1] == 0, 0, np.where(counts[0] == 0, 1, -1))
    new = np.r_[True, (pure[1:] != pure[:-1]) | (pure[1:] == -1)]
    return np.add.reduceat(counts, np.flatnonzero(new), axis=1)


def _degenerate(cause: str) -> StatisticsError:
    return StatisticsError(f"degenerate data: {cause}", remedy="Use the empirical ROC curve and its intervals.")


def _start(counts: np.ndarray) -> np.ndarray:
    """First values of (a, b, K - 1 boundaries): the straight line through the corners on normal-deviate axes."""
    deviates = [ndtri((np.cumsum(c)[:-1] + 0.5) / (c.sum() + 1)) for c in counts]
    b = float(np.clip(np.std(deviates[1]) / np.std(deviates[0]), 0.2, 5))
    a = b * np.mean(deviates[0]) - np.mean(deviates[1])
    return np.r_[a, b, (deviates[0] + (deviates[1] + a) / b) / 2]  # one of the two rises at every boundary


def _log_likelihood(x: np.ndarray, counts: np.ndarray) -> float:
    """Of (a, b, boundaries) for ``counts`` (2, K); minus infinity unless b is positive and the boundaries rise."""
    a, b, boundaries = x[0], x[1], x[2:]
    if b <= 0 or (np.diff(boundaries) <= 0).any():
        return -math.inf
    value = 0.0
    for number, edges in zip(counts, (boundaries, b * boundaries - a)):
        probability = _probabilities(edges)[number > 0]
        if (probability <= 0).any():
            return -math.inf
        value += float(number[number > 0] @ np.log(probability))
    return value


def _probabilities(edges: np.ndarray) -> np.ndarray:
    """Of the K categories between K - 1 ``edges`` under the standard normal, to full relative precision."""
    low, high = np.r_[-np.inf, edges], np.r_[edges, np.inf]
    mirrored = low > 0
    return ndtr(np.where(mirrored, -low, high)) - ndtr(np.where(mirrored, -high, low))


def _slopes(edges: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (K - 1,) of one class's log-likelihood by its ``edges``; minus its Hessian, tridiagonal, as (2, K - 1).

    The second array is in the upper form of ``scipy.linalg.solveh_banded``: off-diagonal (first entry idle), diagonal.
    """
    density = np.exp(-edges * edges / 2) / math.sqrt(2 * math.pi)
    probability = np.where(counts > 0, _probabilities(edges), 1)
    first, second = counts / probability, counts / probability**2
    gradient = density * (first[:-1] - first[1:])
    diagonal = edges * gradient + density**2 * (second[:-1] + second[1:])
    beside = -density[:-1] * density[1:] * second[1:-1]
    return gradient, np.stack([np.r_[0, beside], diagonal])


def _times(band: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """A tridiagonal matrix as ``_slopes`` gives it, times (K - 1, M) ``columns``."""
    product = band[1][:, None] * columns
    product[1:] += band[0][1:, None] * columns[:-1]
    product[:-1] += band[0][1:, None] * columns[1:]
    return product


def _newton_step(x: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Newton's step for (a, b, boundaries), the gain that its slope promises, and the information (2, 2) on a and b.

    The boundaries are eliminated first, as their part of the Hessian is tridiagonal: O(K). That part is always negative
    definite; where the rest is not, far from the maximum, the signs of its eigenvalues are turned so that the step
    leads upwards.
    """
    a, b, boundaries = x[0], x[1], x[2:]
    slope_n, bend_n = _slopes(boundaries, counts[0])
    slope_p, bend_p = _slopes(b * boundaries - a, counts[1])
    by_ab = np.stack([-np.ones_like(boundaries), boundaries], axis=1)  # of the positives' edges, by a and b
    bent = _times(bend_p, by_ab)
    cross = b * bent
    cross[:, 1] -= slope_p
    gradient_ab, gradient_t = by_ab.T @ slope_p, slope_n + b * slope_p
    solved = solveh_banded(bend_n + b * b * bend_p, np.column_stack([gradient_t, cross]))
    information = by_ab.T @ bent - cross.T @ solved[:, 1:]
    values, vectors = np.linalg.eigh(information)
    reduced = gradient_ab - cross.T @ solved[:, 0]
    step_ab = vectors @ ((vectors.T @ reduced) / np.maximum(np.abs(values), 1e-9))
    step = np.r_[step_ab, solved[:, 0] - solved[:, 1:] @ step_ab]
    return step, float(np.r_[gradient_ab, gradient_t] @ step), information


def _climb(x: np.ndarray, value: float, step: np.ndarray, gain: float, counts: np.ndarray) -> tuple[np.ndarray, float]:
    """``x`` moved along ``step``, halved until the log-likelihood rises; and that log-likelihood."""
    for part in 0.5 ** np.arange(40):
        moved = x + part * step
        reached = _log_likelihood(moved, counts)
        if reached >= value + 1e-4 * part * gain - 1e-12 * abs(value):
            return moved, reached
    raise _degenerate("the likelihood of the binormal model does not rise any more.")
