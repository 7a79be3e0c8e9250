"""The binormal fit beside a direct optimisation, simulated curves, closed forms and published fits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from caffe_port.errors import StatisticsError
from caffe_port.study.statistics.binormal import fit_binormal
from caffe_port.study.statistics.roc import auc


def ratings(negatives, positives):
    """Scores and labels with so many cases at each rating."""
    levels = np.arange(len(negatives))
    scores = np.r_[np.repeat(levels, negatives), np.repeat(levels, positives)]
    return scores, np.r_[np.zeros(sum(negatives), int), np.ones(sum(positives), int)]


def simulated(a, b, number, seed):
    rng = np.random.default_rng(seed)
    return np.r_[rng.normal(size=number), (rng.normal(size=number) + a) / b], np.arange(2 * number) // number


def direct(scores, labels):
    """Maximise the likelihood of every distinct score as a category of its own, by a general optimiser.

    :returns: a, b, and the log-likelihood's maximum.
    """
    levels = np.unique(scores)
    counts = np.array([[np.sum((scores == s) & (labels == k)) for s in levels] for k in (0, 1)])

    def cost(x):
        edges = np.r_[-np.inf, np.cumsum(np.r_[x[2], np.exp(x[3:])]), np.inf]
        terms = [np.diff(norm.cdf(e)) for e in (edges, np.exp(x[1]) * edges - x[0])]
        return -sum((c * np.log(np.maximum(t, 1e-300))).sum() for c, t in zip(counts, terms))

    edges = norm.ppf(np.clip((np.cumsum(counts.sum(axis=0))[:-1]) / counts.sum(), 0.01, 0.99))
    start = np.r_[1.0, 0.0, edges[0], np.log(np.maximum(np.diff(edges), 1e-3))]
    found = min(
        (minimize(cost, start + d, method="BFGS", options={"gtol": 1e-7, "maxiter": 5000}) for d in (0, 0.1)),
        key=lambda result: result.fun,
    )
    return found.x[0], np.exp(found.x[1]), -found.fun


def test_published_fit_of_ct_ratings():
    """Hanley and McNeil 1982, 58 normal and 51 abnormal scans; the fit that the manual of Stata's rocfit prints."""
    fit = fit_binormal(*ratings([33, 6, 6, 11, 2], [3, 2, 2, 11, 33]))
    assert (round(fit.a, 6), round(fit.b, 6)) == (1.656782, 0.713002)
    assert np.round(np.sqrt(np.diag(fit.covariance)), 6).tolist() == [0.310456, 0.215882]
    assert fit.log_likelihood == pytest.approx(-123.64855, abs=1e-5)
    assert fit.auc().estimate == pytest.approx(0.911331, abs=1e-6)
    assert fit.categories == 5


@pytest.mark.parametrize(("a", "b", "seed"), [(1.2, 1.0, 0), (2.0, 0.6, 1), (0.3, 1.5, 2), (-0.5, 1.0, 3)])
def test_same_maximum_as_a_general_optimiser(a, b, seed):
    scores, labels = simulated(a, b, 25, seed)
    for values in (np.round(2 * scores), scores):  # ratings; continuous, where runs are merged
        expected_a, expected_b, _ = direct(values, labels)
        fit = fit_binormal(values, labels)
        assert (fit.a, fit.b) == (pytest.approx(expected_a, abs=1e-3), pytest.approx(expected_b, abs=1e-3))
    scores, labels = ratings([9, 5, 4, 2], [2, 3, 6, 10])
    assert fit_binormal(scores, labels).log_likelihood == pytest.approx(direct(scores, labels)[2], abs=1e-8)


def test_three_categories_are_met_exactly():
    """Two operating points fix two parameters: a straight line through them on normal-deviate axes."""
    fit = fit_binormal(*ratings([60, 30, 10], [15, 35, 50]))
    x, y = norm.ppf([0.10, 0.40]), norm.ppf([0.50, 0.85])
    slope = (y[1] - y[0]) / (x[1] - x[0])
    assert (fit.a, fit.b) == (pytest.approx(y[0] - slope * x[0], abs=1e-6), pytest.approx(slope, abs=1e-6))
    variance = np.array([0.1 * 0.9, 0.4 * 0.6]) / 100  # of FPR and TPR at either point, binomial, by the delta method
    spread = np.array([[0.5 * 0.5, 0.5 * 0.15], [0.5 * 0.15, 0.85 * 0.15]]) / 100
    noise = np.array([[variance[0], 0.1 * 0.6 / 100], [0.1 * 0.6 / 100, variance[1]]])
    of_y, of_x = np.diag(1 / norm.pdf(y)), np.diag(-slope / norm.pdf(x))
    line = of_y @ spread @ of_y.T + of_x @ noise @ of_x.T
    low, high = fit.band([0.10, 0.40])
    half = 1.959964 * np.sqrt(np.diag(line))
    assert np.allclose(low, norm.cdf(y - half), atol=1e-6)
    assert np.allclose(high, norm.cdf(y + half), atol=1e-6)


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (2.5, 0.7), (0.0, 1.4)])
def test_simulated_curves_come_back(a, b):
    scores, labels = simulated(a, b, 20000, 4)
    fit = fit_binormal(scores, labels)
    errors = np.sqrt(np.diag(fit.covariance))
    assert abs(fit.a - a) < 3.5 * errors[0]
    assert abs(fit.b - b) < 3.5 * errors[1]
    assert errors.max() < 0.05
    assert fit.auc().estimate == pytest.approx(norm.cdf(a / np.sqrt(1 + b * b)), abs=0.01)
    assert fit.auc().estimate == pytest.approx(auc(scores, labels).estimate, abs=0.005)


def test_only_the_order_of_scores_counts():
    scores, labels = simulated(1.5, 0.8, 50, 5)
    fit, warped = fit_binormal(scores, labels), fit_binormal(1 / (1 + np.exp(-3 * scores)), labels)
    assert (warped.a, warped.b, warped.log_likelihood) == (fit.a, fit.b, fit.log_likelihood)
    mirrored = fit_binormal(-scores, 1 - labels)  # exchanging the classes mirrors the curve at the second diagonal
    assert (mirrored.a, mirrored.b) == (pytest.approx(fit.a / fit.b, abs=1e-5), pytest.approx(1 / fit.b, abs=1e-5))


def test_the_band():
    fit = fit_binormal(*simulated(1.5, 0.8, 60, 6))
    fpr = np.linspace(0, 1, 101)
    low, high = fit.band(fpr)
    assert ((low <= fit.tpr(fpr)) & (fit.tpr(fpr) <= high)).all()
    assert (low[0], high[0], low[-1], high[-1]) == (0, 0, 1, 1)
    narrow = fit.band(fpr[1:-1], level=0.5)
    assert (narrow[0] > low[1:-1]).all()
    assert (narrow[1] < high[1:-1]).all()
    at = fit.tpr_at(0.1)
    assert (at.estimate, at.low, at.high) == (pytest.approx(fit.tpr(fpr)[10]), low[10], high[10])
    draws = np.random.default_rng(0).multivariate_normal([fit.a, fit.b], fit.covariance, 200_000)
    for x in (0.05, 0.5):
        spread = norm.cdf(np.quantile(draws @ [1, norm.ppf(x)], [0.025, 0.975]))
        assert np.allclose(fit.band(x), spread, atol=3e-3)
    area = fit.auc()
    drawn = norm.ppf(norm.cdf(draws[:, 0] / np.hypot(1, draws[:, 1])))
    assert norm.ppf(area.high) - norm.ppf(area.low) == pytest.approx(2 * 1.96 * drawn.std(), rel=0.02)


@pytest.mark.parametrize(
    ("negatives", "positives", "message"),
    [
        ([5, 0], [0, 5], "perfectly separated"),
        ([0, 5], [5, 0], "perfectly separated"),
        ([5, 3], [2, 4], "too few operating points"),
        ([5], [5], "too few operating points"),
        ([3, 0, 3], [0, 5, 0], "too few operating points"),  # a vertical line fits perfectly
        ([0, 5, 0], [3, 0, 3], "too few operating points"),
        ([5, 5, 0], [0, 1, 11], "no maximum"),  # a grows without bounds
        ([5, 0], [0, 0], "at least 1 of each"),
    ],
)
def test_degenerate_data(negatives, positives, message):
    with pytest.raises(StatisticsError, match=message):
        fit_binormal(*ratings(negatives, positives))


def test_it_fits_or_says_that_it_cannot():
    """Small, tied, separated, inverted: a finite fit whose band holds the curve, or the one error; never a warning."""
    rng = np.random.default_rng(7)
    fits = 0
    for _ in range(300):
        labels = np.r_[0, 1, rng.integers(0, 2, int(rng.integers(1, 30)))]
        scores = rng.normal(size=len(labels)) + labels * rng.choice([-1, 0, 1, 3])
        if rng.random() < 0.5:
            scores = np.round(scores)
        try:
            fit = fit_binormal(scores, labels)
        except StatisticsError as error:
            if "degenerate" not in str(error):
                raise
            continue
        fits += 1
        assert np.isfinite([fit.a, fit.b, *fit.covariance.ravel()]).all()
        low, high = fit.band([0.1, 0.5])
        assert (low <= fit.tpr([0.1, 0.5])).all()
        assert (fit.tpr([0.1, 0.5]) <= high).all()
    assert fits > 100
