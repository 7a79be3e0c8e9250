"""ROC curve, area, DeLong's covariance and TPR at FPR beside naive loops, scikit-learn, scipy and published numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from caffe_port.errors import StatisticsError
from caffe_port.study.statistics.roc import FPR, auc, delong, roc_curve, tpr_at_fpr

#: Ovarian cancer with intestinal obstruction (DeLong et al. 1988, as the SAS/STAT manual prints it): albumin, total
#: protein, K-G score, whether surgery helped.
OVARIAN = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1  3.8 5.7 5 1
3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0
4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1
4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1
2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1
"""


def ovarian():
    """Scores (3, 43), higher for those whom surgery helped, and labels."""
    albumin, protein, kg, helped = np.array(OVARIAN.split(), float).reshape(-1, 4).T
    return np.stack([albumin, protein, -kg]), helped.astype(int)


def tied_scores(seed, number=60, levels=8):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(number) % 3 == 0).astype(int)
    return np.round(rng.normal(size=number) * levels / 4 + labels * 2), labels


def naive_psi(scores, labels):
    """(positives, negatives): 1 where the positive is higher, a half where they tie."""
    s = np.asarray(scores, float)
    return np.array([[(p > n) + (p == n) / 2 for n in s[labels == 0]] for p in s[labels == 1]])


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_goes_through_what_each_threshold_gives(seed):
    scores, labels = tied_scores(seed)
    curve = roc_curve(scores, labels)
    points = {}
    for threshold in [np.inf, *sorted(set(scores), reverse=True)]:
        called = [s >= threshold for s in scores]
        false, true = (sum(c and y == k for c, y in zip(called, labels)) for k in (0, 1))
        points[threshold] = (false / 40, true / 20)
    for fpr, tpr, threshold in zip(curve.fpr, curve.tpr, curve.thresholds):
        assert (fpr, tpr) == pytest.approx(points[threshold])
    between = (np.arange(40) + 0.3) / 40  # no operating point has one of these FPRs
    assert [curve.at(x) for x in between] == pytest.approx(np.interp(between, *zip(*points.values())).tolist())
    assert (curve.fpr[0], curve.tpr[0], curve.fpr[-1], curve.tpr[-1]) == (0, 0, 1, 1)


def test_tpr_between_and_on_corners():
    curve = roc_curve([5, 4, 3, 3, 2, 1], [1, 0, 1, 0, 1, 0])  # (0,1/3) (1/3,1/3) -tie- (2/3,2/3) (2/3,1) (1,1)
    assert curve.at(0) == pytest.approx(1 / 3)
    assert curve.at(0.2) == pytest.approx(1 / 3)
    assert curve.at(0.5) == pytest.approx(1 / 2)  # half-way along the tie
    assert curve.at(2 / 3) == 1  # the upper end of a vertical part
    assert curve.at(1) == 1
    assert roc_curve(np.arange(20), np.arange(20) >= 10).at(0.1) == 1
    exactly = roc_curve([*range(10), 8.5], [0] * 10 + [1])  # one false positive of ten lies above the positive
    assert exactly.at(0.1) == 1
    assert exactly.at(0.0999) == 0


@pytest.mark.parametrize("seed", range(5))
def test_area_is_that_of_mann_whitney_and_scikit_learn(seed):
    scores, labels = tied_scores(seed)
    area = auc(scores, labels).estimate
    u = stats.mannwhitneyu(scores[labels == 1], scores[labels == 0]).statistic
    assert area == pytest.approx(u / (20 * 40), abs=1e-12)
    assert area == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert auc(-scores, labels).estimate == pytest.approx(1 - area, abs=1e-12)
    assert auc(np.exp(scores), labels) == auc(scores, labels)  # only the order counts


@pytest.mark.parametrize("seed", range(3))
def test_covariance_is_delongs_sum_over_all_pairs(seed):
    scores, labels = tied_scores(seed)
    both = np.stack([scores, scores + np.random.default_rng(9).integers(-2, 3, 60), -(scores**2)])
    areas, covariance = delong(both, labels)
    psi = np.stack([naive_psi(s, labels) for s in both])
    theta = psi.mean(axis=(1, 2))
    v10, v01 = psi.mean(axis=2) - theta[:, None], psi.mean(axis=1) - theta[:, None]
    expected = v10 @ v10.T / (20 * 19) + v01 @ v01.T / (40 * 39)
    assert np.allclose(areas, theta, atol=1e-12)
    assert np.allclose(covariance, expected, atol=1e-12)


def test_published_areas_and_standard_errors():
    areas, covariance = delong(*ovarian())
    assert np.round(areas, 4).tolist() == [0.7366, 0.6478, 0.7258]
    assert np.round(np.sqrt(np.diag(covariance)), 4).tolist() == [0.0927, 0.1000, 0.1028]
    contrast = np.array([[1, 0, -1], [0, 1, -1]])  # both against the K-G score
    difference = contrast @ areas
    chi2 = difference @ np.linalg.solve(contrast @ covariance @ contrast.T, difference)
    assert stats.chi2.sf(chi2, 2) == pytest.approx(0.2817, abs=5e-4)


def test_delongs_interval_is_cut_off_and_without_width_at_perfect_separation():
    interval = auc([1, 2, 4, 3, 5, 6], [0, 0, 0, 1, 1, 1])
    assert interval.high == 1
    assert 0 < interval.low < interval.estimate == pytest.approx(8 / 9)
    assert auc(range(6), [0, 0, 0, 1, 1, 1]) == auc(range(6), [0, 0, 0, 1, 1, 1], level=0.5)
    scores, labels = ovarian()
    narrow, wide = auc(scores[0], labels, level=0.5), auc(scores[0], labels, level=0.99)
    assert (wide.high - wide.low) / (narrow.high - narrow.low) > stats.norm.ppf(0.75) ** -1 * 1.5


def test_tpr_at_fpr_and_its_interval():
    rng = np.random.default_rng(1)
    labels = np.arange(800) % 2
    scores = rng.normal(size=800) + 1.5 * labels
    for fpr, interval in zip(FPR, tpr_at_fpr(scores, labels)):
        threshold = np.sort(scores[labels == 0])[::-1][round(400 * fpr)]  # so many negatives lie above it
        assert interval.estimate == pytest.approx(np.mean(scores[labels == 1] > threshold))
        error = np.sqrt(interval.estimate * (1 - interval.estimate) / 400)  # if the threshold were known
        assert interval.estimate - interval.low > 1.96 * error
        assert interval.high - interval.estimate > 1.96 * error * 0.9
        assert interval.high - interval.low < 8 * error
    perfect = tpr_at_fpr([0] * 10 + [1] * 10, [0] * 10 + [1] * 10, (0.2,))[0]
    assert perfect.estimate == perfect.high == 1
    assert perfect.low == pytest.approx(1 / (1 + 1.959964**2 / 10), abs=1e-6)  # Wilson's, 10 of 10


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([1, 2, np.nan], [0, 1, 1], "1 of 3 are NaN"),
        ([1, 2, np.inf], [0, 1, 1], "infinite"),
        ([1, 2, 3], [1, 1, 1], "3 positives and 0 negatives"),
        ([1, 2, 3], [0, 0, 0], "0 positives"),
        ([1, 2, 3], [0, 1, 2], "other than 0 and 1"),
        ([1, 2, 3], [0, 1], "shape"),
        ([], [], "shape"),
        ([[1, 2], [3, 4]], [0, 1], "shape"),
    ],
)
def test_bad_numbers(scores, labels, message):
    for function in (roc_curve, auc, tpr_at_fpr):
        with pytest.raises(StatisticsError, match=message):
            function(scores, labels)


def test_what_cannot_be_asked():
    with pytest.raises(StatisticsError, match="at least 2 of each"):
        auc([1, 2, 3], [0, 1, 1])
    with pytest.raises(StatisticsError, match=r"false positive rate of 1\.5"):
        roc_curve([1, 2], [0, 1]).at(1.5)
    for level in (0, 1, 95):
        with pytest.raises(StatisticsError, match="confidence level"):
            auc([1, 2, 3, 4], [0, 1, 0, 1], level=level)
