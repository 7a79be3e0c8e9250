"""Pairs of arms: Table S3's operating points, Table S4's p-values, Holm's adjustment, DeLong's test."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from caffe_port.errors import StatisticsError
from caffe_port.study.statistics.comparisons import auc_tests, error_tests, format_p, holm, separations
from caffe_port.study.statistics.intervals import Interval
from caffe_port.study.statistics.roc import delong
from tests.study.statistics.test_roc import ovarian

RNG = np.random.default_rng(0)
BASE = RNG.gamma(2, 0.05, 30)
ERRORS = {
    "fc8": BASE + 0.1 + RNG.normal(0, 0.02, 30),
    "conv1-fc8": BASE + RNG.normal(0, 0.02, 30),
    "scratch": BASE + 0.01 + RNG.normal(0, 0.02, 30),
}


def test_operating_points_at_which_intervals_do_not_overlap():
    arms = {
        "fc8": [Interval(0.5, 0.4, 0.6), Interval(0.6, 0.5, 0.7), Interval(0.7, 0.6, 0.8)],
        "conv1-fc8": [Interval(0.7, 0.61, 0.8), Interval(0.8, 0.7, 0.9), Interval(0.95, 0.9, 1.0)],
        "scratch": [Interval(0.6, 0.55, 0.65), Interval(0.6, 0.55, 0.65), Interval(0.6, 0.5, 0.59)],
    }
    found = {(s.a, s.b): s.points for s in separations(arms, (0.1, 0.15, 0.2))}
    assert found == {
        ("fc8", "conv1-fc8"): (0.1, 0.2),  # at 0.15 the ends touch
        ("fc8", "scratch"): (0.2,),  # below it counts as well
        ("conv1-fc8", "scratch"): (0.15, 0.2),
    }
    with pytest.raises(StatisticsError, match="scratch: 2 intervals for 3"):
        separations({**arms, "scratch": arms["scratch"][:2]}, (0.1, 0.15, 0.2))


def test_an_interval_that_is_not_known_is_apart_from_none():
    unknown, known = Interval(np.nan, np.nan, np.nan), Interval(0.5, 0.4, 0.6)
    assert known.overlaps(unknown)
    assert unknown.overlaps(known)
    (pair,) = separations({"a": [unknown, known], "b": [known, Interval(0.9, 0.8, 1)]}, (1, 2))
    assert pair.points == (2,)


@pytest.mark.parametrize(
    ("test", "reference"), [("wilcoxon", stats.wilcoxon), ("t", stats.ttest_rel)], ids=["wilcoxon", "t"]
)
def test_error_tests_beside_scipy(test, reference):
    found = error_tests(ERRORS, test)
    assert [(t.a, t.b) for t in found] == [("fc8", "conv1-fc8"), ("fc8", "scratch"), ("conv1-fc8", "scratch")]
    for t in found:
        assert t.p == pytest.approx(reference(ERRORS[t.a], ERRORS[t.b]).pvalue)
        assert t.difference == pytest.approx(np.mean(ERRORS[t.a]) - np.mean(ERRORS[t.b]))
    assert [t.holm for t in found] == pytest.approx(holm([t.p for t in found]).tolist())
    assert found[0].text == "p<.0001"


def test_wilcoxon_is_the_default_and_exact():
    """By all 2^8 signs of the ranks."""
    differences = np.array([0.3, -0.1, 0.5, 0.7, 0.2, -0.4, 0.9, 1.1])
    ranks = stats.rankdata(np.abs(differences))
    seen = ranks[differences > 0].sum()
    sums = np.array([ranks @ signs for signs in product((0, 1), repeat=8)])
    expected = 2 * min(np.mean(sums >= seen), np.mean(sums <= seen))
    (found,) = error_tests({"a": differences, "b": np.zeros(8)})
    assert found.p == pytest.approx(expected)


def test_t_by_hand():
    (found,) = error_tests({"a": [1.0, 2, 4], "b": [0.0, 0, 0]}, "t")
    t = (7 / 3) / np.sqrt(((1 - 7 / 3) ** 2 + (2 - 7 / 3) ** 2 + (4 - 7 / 3) ** 2) / 2 / 3)
    assert found.p == pytest.approx(2 * (1 / 2 - t / (2 * np.sqrt(2 + t * t))))  # closed form with 2 degrees of freedom


@pytest.mark.parametrize("test", ["wilcoxon", "t"])
def test_arms_that_are_equal(test):
    found = error_tests({"a": [0.1, 0.2, 0.3], "b": [0.1, 0.2, 0.3]}, test)[0]
    assert (found.p, found.holm, found.difference, found.text) == (1, 1, 0, "1.0000")


def test_errors_that_cannot_be_paired():
    for arms, message in [
        ({"a": [1, 2, 3], "b": [1, 2]}, r"same two or more regions in all arms \(a: 3, b: 2\)"),
        ({"a": [1], "b": [2]}, "two or more"),
        ({"a": [1, 2], "b": [1, np.nan]}, "errors of b: 1 of 2"),
    ]:
        with pytest.raises(StatisticsError, match=message):
            error_tests(arms)
    with pytest.raises(StatisticsError, match=r"no test 'u'.*wilcoxon, t"):
        error_tests(ERRORS, "u")
    assert error_tests({"a": [1, 2]}) == []


def test_holm_by_hand():
    """0.01 x 4, 0.02 x 3, 0.03 x 2, 0.04 x 1, never falling; at most 1."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.001, 0.6, 0.5]) == pytest.approx([0.003, 1, 1])
    assert holm([0.2]) == pytest.approx([0.2])
    assert holm([]).size == 0


@pytest.mark.parametrize("seed", range(3))
def test_holm_rejects_what_its_step_down_procedure_rejects(seed):
    ps = np.random.default_rng(seed).uniform(size=12) ** 3
    for alpha in (0.01, 0.05, 0.3):
        rejected = np.zeros(12, bool)
        for step, i in enumerate(np.argsort(ps)):
            if ps[i] > alpha / (12 - step):
                break
            rejected[i] = True
        assert ((holm(ps) <= alpha) == rejected).all()


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0, "p<.0001"),
        (0.00009, "p<.0001"),
        (0.0001, "p<.001"),
        (0.00099, "p<.001"),
        (0.001, "p<.05"),
        (0.0499, "p<.05"),
        (0.05, "0.0500"),
        (0.5808, "0.5808"),
        (0.95301, "0.9530"),
        (1, "1.0000"),
    ],
)
def test_p_as_the_paper_prints_it(p, text):
    assert format_p(p) == text


def test_delongs_test_beside_published_p_values():
    """SAS/STAT's contrasts of the ovarian cancer data with the K-G score."""
    scores, labels = ovarian()
    found = {(t.a, t.b): t for t in auc_tests(dict(zip(("albumin", "protein", "kg"), scores)), labels)}
    assert found["albumin", "kg"].difference == pytest.approx(0.0108, abs=5e-5)
    assert found["albumin", "kg"].p == pytest.approx(0.9102, abs=5e-5)
    assert found["protein", "kg"].difference == pytest.approx(-0.0780, abs=5e-5)
    assert found["protein", "kg"].p == pytest.approx(0.4561, abs=5e-5)


def test_delongs_test_without_any_difference_and_without_any_variance():
    scores, labels = ovarian()
    first, *_ = auc_tests({"a": scores[0], "b": 2 * scores[0], "c": scores[1]}, labels)
    assert (first.p, first.difference) == (1, 0)
    apart = auc_tests({"perfect": [0, 0, 1, 1], "inverse": [1, 1, 0, 0]}, [0, 0, 1, 1])[0]
    assert (apart.difference, apart.p) == (1, 0)
    areas, covariance = delong(scores, labels)
    z = (areas[0] - areas[1]) / np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    found = auc_tests({"a": scores[0], "b": scores[1]}, labels)[0]
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(z)))
    with pytest.raises(StatisticsError, match="different numbers of cases"):
        auc_tests({"a": scores[0], "b": scores[1][:-1]}, labels)
