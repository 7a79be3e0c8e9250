"""The bootstrap beside the enumeration of every resample, scipy's own, and naive copies of the drawn rows."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from caffe_port.errors import StatisticsError
from caffe_port.study.statistics.bootstrap import bootstrap, difference, weighted_auc, weighted_mean, weighted_tpr
from caffe_port.study.statistics.roc import auc, roc_curve

PATIENTS = np.array(["p", "p", "q", "r", "r", "r", "s"])
VALUES = np.array([1.0, 4, 2, 8, 5, 7, 11])
SCORES, LABELS = np.array([3, 1, 2, 2, 5, 4, 1]), np.array([1, 0, 0, 1, 1, 0, 1])


def recorded(statistic, values):
    """The statistic, which also keeps the values it gives."""

    def spy(weights):
        values.append(statistic(weights))
        return values[-1]

    return spy


def enumerate_all(rows_of, strata):
    """Every equally likely resample, as indices of rows."""
    draws = [list(product(members, repeat=len(members))) for members in strata]
    return [np.concatenate([rows_of[p] for drawn in choice for p in drawn]) for choice in product(*draws)]


@pytest.mark.parametrize("name", ["mean", "auc"])
def test_exact_enumeration(name):
    rows_of = {p: np.flatnonzero(p == PATIENTS) for p in "pqrs"}
    if name == "mean":
        statistic, labels, strata = weighted_mean(VALUES), None, ["pqrs"]
        exact = [VALUES[rows].mean() for rows in enumerate_all(rows_of, strata)]
    else:  # p and r have both classes, q and s one each
        statistic, labels, strata = weighted_auc(SCORES, LABELS), LABELS, ["pr", "q", "s"]
        exact = [
            stats.mannwhitneyu(SCORES[rows][LABELS[rows] == 1], SCORES[rows][LABELS[rows] == 0]).statistic
            / (LABELS[rows].sum() * (1 - LABELS[rows]).sum())
            for rows in enumerate_all(rows_of, strata)
        ]
    values = []
    interval = bootstrap(recorded(statistic, values), PATIENTS, strata=labels, draws=20_000, seed=1)
    drawn = np.round(np.concatenate(values[1:]), 9)
    assert len(drawn) == 20_000
    exact = np.round(exact, 9)
    assert set(drawn) == set(exact)
    for value in np.unique(exact):
        share = np.mean(exact == value)
        assert abs(np.mean(drawn == value) - share) < 4.5 * np.sqrt(share * (1 - share) / 20_000), value
    for end, part in ((interval.low, 0.025), (interval.high, 0.975)):
        assert np.mean(exact < end - 1e-8) < part + 0.006
        assert np.mean(exact <= end + 1e-8) > part - 0.006
    assert interval.estimate == pytest.approx(VALUES.mean() if name == "mean" else auc(SCORES, LABELS).estimate)


@pytest.mark.parametrize("seed", range(3))
def test_weights_are_copies_of_rows(seed):
    rng = np.random.default_rng(seed)
    scores, labels = rng.integers(0, 9, 40), rng.integers(0, 2, 40)
    weights = rng.integers(0, 4, (50, 40))
    columns = weights.T.astype(float)
    for fpr in (0, 0.1, 0.3, 0.95):
        found = weighted_tpr(scores, labels, fpr)(columns)
        naive = [roc_curve(np.repeat(scores, w), np.repeat(labels, w)).at(fpr) for w in weights]
        assert np.allclose(found, naive, atol=1e-12)
    naive = [auc(np.repeat(scores, w), np.repeat(labels, w)).estimate for w in weights]
    assert np.allclose(weighted_auc(scores, labels)(columns), naive, atol=1e-12)
    naive = [np.repeat(scores, w).mean() for w in weights]
    assert np.allclose(weighted_mean(scores)(columns), naive, atol=1e-12)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_beside_scipy_with_one_row_of_each_patient(method):
    values = np.random.default_rng(3).exponential(size=30) ** 2
    found = bootstrap(weighted_mean(values), np.arange(30), draws=40_000, seed=2, method=method)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=40_000, method=method, rng=np.random.default_rng(4)
    ).confidence_interval
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.02 * width)
    assert found.high == pytest.approx(expected.high, abs=0.03 * width)


def test_bca_moves_the_interval_of_a_skewed_statistic_towards_its_long_tail():
    values = np.random.default_rng(3).exponential(size=30) ** 2
    plain, bca = (bootstrap(weighted_mean(values), np.arange(30), method=m) for m in ("percentile", "bca"))
    assert bca.low > plain.low
    assert bca.high > plain.high


def test_rows_of_a_patient_stay_together():
    """Ten copies of every row are no more evidence than one."""
    values = np.random.default_rng(0).normal(size=50)
    once = bootstrap(weighted_mean(values), np.arange(50))
    copied = bootstrap(weighted_mean(np.repeat(values, 10)), np.repeat(np.arange(50), 10))
    assert (copied.low, copied.high) == (pytest.approx(once.low), pytest.approx(once.high))


def test_paired_difference():
    """What both arms share drops out; the same seed draws the same patients for both."""
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(40), 3)
    hard = np.repeat(rng.exponential(size=40), 3)  # hard for both arms
    a, b = (hard + 0.02 * rng.normal(size=120) + shift for shift in (0.05, 0))
    paired = bootstrap(difference(weighted_mean(a), weighted_mean(b)), patients)
    assert paired.estimate == pytest.approx((a - b).mean())
    assert paired.low > 0
    assert paired.high - paired.low < 0.03
    assert bootstrap(weighted_mean(a), patients).overlaps(bootstrap(weighted_mean(b), patients))
    direct = bootstrap(weighted_mean(a - b), patients)
    assert (paired.low, paired.high) == (pytest.approx(direct.low), pytest.approx(direct.high))


def test_the_seed_decides_and_blocks_do_not(monkeypatch):
    statistic = weighted_auc(SCORES, LABELS)
    first = bootstrap(statistic, PATIENTS, strata=LABELS, draws=500, seed=3)
    assert first == bootstrap(statistic, PATIENTS, strata=LABELS, draws=500, seed=3)
    values, others = [], []
    bootstrap(recorded(weighted_mean(VALUES), values), PATIENTS, draws=500, seed=3)
    bootstrap(recorded(weighted_mean(VALUES), others), PATIENTS, draws=500, seed=4)
    assert not np.array_equal(values[1], others[1])
    monkeypatch.setattr("caffe_port.study.statistics.bootstrap.BLOCK", 50)
    blocks = []
    assert bootstrap(recorded(statistic, blocks), PATIENTS, strata=LABELS, draws=500, seed=3) == first
    assert len(blocks) > 10


def test_strata_keep_what_each_patient_kind_has():
    """Three patients with the one positive class and five with the other: every resample has three and five."""
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    seen = []
    statistic = weighted_auc(np.arange(8), labels)
    bootstrap(recorded(lambda w: labels @ w, seen), np.arange(8), strata=labels, draws=200)
    assert set(np.concatenate(seen[1:])) == {3.0}
    with pytest.raises(StatisticsError, match="lacks a class"):
        bootstrap(statistic, np.arange(8), draws=2000)


def test_bca_without_any_spread():
    interval = bootstrap(weighted_auc([1, 2, 3, 4], [0, 0, 1, 1]), range(4), strata=[0, 0, 1, 1], method="bca")
    assert (interval.low, interval.estimate, interval.high) == (1, 1, 1)


def test_what_cannot_be_resampled():
    mean = weighted_mean([1.0, 2.0])
    for patients in (["p", "p"], []):
        with pytest.raises(StatisticsError, match="nothing can be resampled"):
            bootstrap(mean, patients)
    with pytest.raises(StatisticsError, match="each patient is the only one of its kind"):
        bootstrap(mean, ["p", "q"], strata=[0, 1])
    with pytest.raises(StatisticsError, match=r"strata of shape \(3,\) for 2 rows"):
        bootstrap(mean, ["p", "q"], strata=[0, 1, 1])
    with pytest.raises(StatisticsError, match="lacks a class"):  # the jackknife leaves out the only positive patient
        bootstrap(weighted_auc([1, 2, 3], [0, 0, 1]), [0, 1, 2], strata=[0, 0, 1], method="bca")
    for statistic in (weighted_mean([1.0, 2.0, 3.0]), weighted_auc([1, 2, 3], [0, 1, 0])):
        for patients in (["p", "q"], ["p", "q", "q", "r"]):
            with pytest.raises(StatisticsError, match=f"3 values for {len(patients)} rows of patients"):
                bootstrap(statistic, patients)
    for how, message in [
        ({"draws": 0}, "0 draws"),
        ({"method": "BCA"}, "no method 'BCA'"),
        ({"level": 95}, "level of 95"),
    ]:
        with pytest.raises(StatisticsError, match=message):
            bootstrap(mean, ["p", "q"], **how)
    with pytest.raises(StatisticsError, match="false positive rate of 1"):
        weighted_tpr([1, 2], [0, 1], 1)
