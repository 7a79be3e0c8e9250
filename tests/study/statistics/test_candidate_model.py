"""The model of the FROC curve beside a general optimiser of its whole likelihood, simulations and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import binom, norm, poisson

from caffe_port.errors import StatisticsError
from caffe_port.study.statistics.binormal import fit_binormal
from caffe_port.study.statistics.candidate_model import fit_candidate_model
from caffe_port.study.statistics.froc import detections, froc_curve
from caffe_port.study.statistics.intervals import wilson


def arm(false, hit, missed, units):
    """Of one patient: scores of false candidates and of lesions that are hit, and how many are not."""
    lesions = {f"p/{i}": "p" for i in range(len(hit) + missed)}
    ids = [""] * len(false) + list(lesions)[: len(hit)]
    return detections(np.r_[false, hit], ids, ["p"] * len(ids), all_lesions=lesions, units=["p"] * units)


def simulated(seed, lesions, units, rate=3.0, share=0.85, a=1.5, b=0.8):
    rng = np.random.default_rng(seed)
    hit = rng.binomial(lesions, share)
    scores = (rng.normal(size=hit) + a) / b
    return arm(rng.normal(size=rng.poisson(rate * units)), scores, lesions - hit, units)


def negative_log_likelihood(x, detected):
    """Of (λ, ν, a, b, boundaries): the Poisson, the binomial and the ordinal categories of one distinct score each."""
    rate, share, a, b, boundaries = *x[:4], x[4:]
    false, hit = detected.false, detected.lesions[: detected.found]
    levels = np.unique(np.r_[false, hit])
    edges = np.r_[-np.inf, boundaries, np.inf]
    value = poisson.logpmf(len(false), rate * detected.units.sum())
    value += binom.logpmf(len(hit), len(detected.lesions), share)
    for scores, cuts in ((false, edges), (hit, b * edges - a)):
        counts = np.sum(scores[:, None] == levels, axis=0)
        value += counts @ np.log(np.maximum(np.diff(norm.cdf(cuts)), 1e-300))
    return -value


def bounded(y):
    """All real numbers to (λ, ν, a, b, rising boundaries)."""
    return np.r_[np.exp(y[0]), 1 / (1 + np.exp(-y[1])), y[2], np.exp(y[3]), np.cumsum(np.r_[y[4], np.exp(y[5:])])]


def rounded(seed):
    """Few levels, so that the whole likelihood has few parameters."""
    rng = np.random.default_rng(seed)
    return arm(np.round(rng.normal(size=60)), np.round(rng.normal(size=40) + 1.3), 7, 25)


@pytest.mark.parametrize("seed", range(3))
def test_same_maximum_and_covariance_as_of_the_whole_likelihood(seed):
    detected = rounded(seed)
    model = fit_candidate_model(detected)
    levels = len(np.unique(np.r_[detected.false, detected.lesions[: detected.found]]))
    start = np.r_[0.5, 0.5, 1.0, 0.0, -2.0, np.zeros(levels - 2)]
    found = bounded(
        minimize(
            lambda y: negative_log_likelihood(bounded(y), detected), start, options={"gtol": 1e-6, "maxiter": 3000}
        ).x
    )
    estimates = [model.rate, model.share, model.roc.a, model.roc.b]
    assert estimates == pytest.approx(found[:4].tolist(), abs=2e-3)
    assert (model.rate, model.share) == (60 / 25, 40 / 47)

    def second(i, j, step=1e-3):
        """Derivative of the likelihood by two of all parameters, by differences."""
        d = np.eye(len(found)) * step
        corners = [(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]
        terms = [sign * negative_log_likelihood(found + u * d[i] + v * d[j], detected) for u, v, sign in corners]
        return sum(terms) / (4 * step * step)

    hessian = np.array([[second(i, j) for j in range(len(found))] for i in range(len(found))])
    covariance = np.linalg.inv(hessian)[:4, :4]
    expected = np.zeros((4, 4))
    expected[0, 0], expected[1, 1] = model.rate / 25, model.share * (1 - model.share) / 47
    expected[2:, 2:] = model.roc.covariance
    assert np.allclose(covariance, expected, atol=2e-3 * expected.max())


def test_simulated_curves_come_back():
    for seed, (rate, share, a, b) in enumerate([(3.0, 0.85, 1.5, 0.8), (0.4, 0.95, 2.5, 1.0), (20.0, 0.6, 0.7, 1.3)]):
        detected = simulated(seed, 20_000, round(20_000 / rate), rate, share, a, b)
        model = fit_candidate_model(detected)
        fp = rate * np.array([0.01, 0.1, 0.3, 0.6, 0.9])
        truth = share * norm.cdf(a + b * norm.ppf(fp / rate))
        assert np.allclose(model.sensitivity(fp), truth, atol=0.015)
        low, high = model.band(fp, level=0.999)
        assert ((low < truth) & (truth < high)).all()
        assert [froc_curve(detected).at(x) for x in fp] == pytest.approx(model.sensitivity(fp).tolist(), abs=0.01)


def test_the_band_is_that_of_the_delta_method_for_many_lesions():
    """Where the delta method is good: an axis of sensitivity itself, far from both of its ends."""
    model = fit_candidate_model(simulated(0, 4000, 1500))
    fp, x = np.array([0.2, 0.6, 1.5]), np.array([model.rate, model.share, model.roc.a, model.roc.b])

    def curve(rate, share, a, b):
        return share * norm.cdf(a + b * norm.ppf(fp / rate))

    slopes = np.array([(curve(*(x + d)) - curve(*(x - d))) / 2e-5 for d in 1e-5 * np.eye(4)])
    covariance = np.zeros((4, 4))
    covariance[0, 0], covariance[1, 1] = model.rate / model.units, model.share * (1 - model.share) / model.lesions
    covariance[2:, 2:] = model.roc.covariance
    half = 1.959964 * np.sqrt(np.einsum("if,ij,jf->f", slopes, covariance, slopes))
    low, high = model.band(fp)
    assert np.allclose(high - low, 2 * half, rtol=0.01)
    assert np.allclose((high + low) / 2, curve(*x), atol=0.1 * half.min())


def test_the_ends_of_the_curve():
    model = fit_candidate_model(simulated(1, 200, 100))
    fp = np.linspace(0, model.rate, 101)
    curve, (low, high) = model.sensitivity(fp), model.band(fp)
    assert (curve[0], low[0], high[0]) == (0, 0, 0)
    assert curve[-1] == model.share
    assert froc_curve(simulated(1, 200, 100)).sensitivity[-1] == model.share
    assert ((low >= 0) & (low <= curve) & (curve <= high) & (high <= 1)).all()
    assert (high - low)[1:].min() > 0
    at_end = wilson(model.share, 200)
    assert high[-1] == pytest.approx(at_end.high)
    assert 0 < at_end.low - low[-1] < 0.02  # λ is uncertain too: the true curve may still rise here
    assert np.abs(np.diff(low[-10:])).max() < 0.02
    narrow = model.band(fp[1:], level=0.5)
    assert ((narrow[0] > low[1:]) & (narrow[1] < high[1:])).all()
    at = model.at(0.5)
    assert (at.estimate, at.low, at.high) == (model.sensitivity(0.5), *model.band(0.5))
    beyond = model.at(model.rate * 1.001)
    assert np.isnan([beyond.estimate, beyond.low, beyond.high]).all()
    assert model.sensitivity([[0.5], [99]]).shape == (2, 1)
    for fp in (-1, [0.5, np.nan]):
        with pytest.raises(StatisticsError, match="below 0, or NaN"):
            model.sensitivity(fp)


def test_all_lesions_hit_is_no_certainty():
    """With 30 of 30 lesions hit the naive variance of ν is 0; Wilson's lower end is 30 / (30 + z²)."""
    rng = np.random.default_rng(2)
    detected = arm(rng.normal(size=3000), rng.normal(size=30) + 3, 0, 1000)
    model = fit_candidate_model(detected)
    assert model.share == 1
    low, high = model.band([2.9, 3.0])
    assert low == pytest.approx(30 / (30 + 1.959964**2), abs=1e-3)
    assert high.tolist() == [1, 1]
    more = fit_candidate_model(arm(detected.false, detected.lesions, 10, 1000))
    assert np.array_equal(more.roc.covariance, model.roc.covariance)
    assert more.sensitivity(0.5) == pytest.approx(0.75 * model.sensitivity(0.5))


def test_scores_count_by_their_order_and_lesions_by_their_best():
    detected = simulated(3, 60, 30)
    scores = np.r_[detected.false, detected.lesions[: detected.found]]
    owners = {f"p/{i}": "p" for i in range(60)}
    ids = [""] * len(detected.false) + list(owners)[: detected.found]
    further = detected.lesions[: detected.found] - 0.7  # a second, lower hit of each
    warped = detections(
        np.exp(np.r_[scores, further]),
        ids + list(owners)[: detected.found],
        ["p"] * (len(ids) + detected.found),
        all_lesions=owners,
        units=["p"] * 30,
    )
    fp = np.linspace(0, 2, 9)
    model, other = fit_candidate_model(detected), fit_candidate_model(warped)
    assert np.array_equal(model.sensitivity(fp), other.sensitivity(fp))
    labels = np.arange(len(scores)) >= len(detected.false)
    roc = fit_binormal(scores, labels)
    assert (model.roc.a, model.roc.b) == (pytest.approx(roc.a), pytest.approx(roc.b))


@pytest.mark.parametrize(
    ("false", "hit", "message"),
    [
        ([1, 2, 3], [], "0 lesions and 3 false candidates: 0 positives and 3 negatives"),
        ([], [1, 2, 3], "3 lesions and 0 false candidates: 3 positives and 0 negatives"),
        ([], [], "0 lesions and 0 false candidates"),
        ([1, 2], [3, 4], "perfectly separated"),
        ([1, 3], [2, 2], "too few operating points"),
    ],
)
def test_what_has_no_model(false, hit, message):
    with pytest.raises(StatisticsError, match=message) as raised:
        fit_candidate_model(arm(false, hit, 1, 5))
    assert "bootstrap by patient" in str(raised.value)
