"""The FROC curve and its bootstrap beside counts by hand, naive loops over thresholds and copies of drawn patients."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from caffe_port.errors import StatisticsError
from caffe_port.study.statistics.bootstrap import bootstrap, difference
from caffe_port.study.statistics.comparisons import separations
from caffe_port.study.statistics.froc import detections, froc_curve, sensitivity_at, weighted_sensitivity

#: Score, lesion, patient: two patients, p with four frames and lesion 1 in several of them, q with one frame.
BY_HAND = [
    (0.95, "p/1", "p"),
    (0.90, "p/1", "p"),  # a second frame of the same lesion: neither true nor false
    (0.80, "", "p"),
    (0.80, "q/1", "q"),  # tied with a false one
    (0.80, "", "q"),
    (0.70, "p/2", "p"),
    (0.60, "", "q"),
    (0.50, "p/2", "p"),
    (0.40, "", "p"),
]
OWNERS = {"p/1": "p", "p/2": "p", "q/1": "q", "q/2": "q"}  # no candidate hits q/2
UNITS = ["p"] * 4 + ["q"]


def arm(rows, owners=OWNERS, units=UNITS):
    scores, lesions, patients = zip(*rows) if rows else ((), (), ())
    return detections(scores, lesions, patients, all_lesions=owners, units=units)


def random_rows(seed, number=60, patients=6, levels=8):
    """Candidates with many ties, several on one lesion, lesions without any; patients without lesions or candidates."""
    rng = np.random.default_rng(seed)
    names = [f"p{i}" for i in range(patients)]
    owners = {f"{names[k]}/{i}": names[k] for i, k in enumerate(rng.integers(0, patients - 1, 9))}
    units = names + [names[k] for k in rng.integers(0, patients, 10)]
    rows = []
    for _ in range(number):
        lesion = rng.choice([*owners]) if rng.random() < 0.3 else ""
        patient = owners.get(lesion, names[rng.integers(1, patients)])
        rows.append((float(rng.integers(0, levels) + 2 * bool(lesion)), str(lesion), patient))
    return rows, owners, units


def count(rows, owners, threshold):
    """Number of false positives and of lesions found, by going through everything."""
    false = sum(1 for score, lesion, _ in rows if lesion == "" and score >= threshold)
    found = 0
    for lesion in owners:
        found += any(score >= threshold for score, hit, _ in rows if hit == lesion)
    return false, found


def naive_at(rows, owners, units, fp):
    """The best share of lesions of all thresholds with at most ``fp`` per unit."""
    points = [count(rows, owners, t) for t in [math.inf, *{row[0] for row in rows}]]
    return max(found for false, found in points if false / len(units) <= fp) / len(owners)


def test_by_hand():
    curve = froc_curve(arm(BY_HAND))
    assert curve.fp.tolist() == [0, 0.4, 0.6, 0.8]
    assert curve.sensitivity.tolist() == [0.25, 0.75, 0.75, 0.75]
    assert curve.threshold.tolist() == [0.95, 0.7, 0.6, 0.4]
    steps = [(0, 0.25), (0.2, 0.25), (0.399, 0.25), (0.4, 0.75), (0.5, 0.75), (0.8, 0.75)]
    assert [curve.at(fp) for fp, _ in steps] == [s for _, s in steps]
    assert math.isnan(curve.at(0.81))
    assert math.isnan(curve.at(math.inf))


@pytest.mark.parametrize("seed", range(8))
def test_every_threshold_counted_directly(seed):
    rows, owners, units = random_rows(seed, levels=(4, 8, 1000)[seed % 3])
    curve = froc_curve(arm(rows, owners, units))
    direct = {}
    for threshold in [math.inf, *sorted({row[0] for row in rows}, reverse=True)]:
        false, found = count(rows, owners, threshold)
        direct[false] = (false / len(units), found / len(owners), threshold)  # the last, the lowest, counts
    # The lowest threshold of a number may lie on a further hit of a lesion that is found already: it changes nothing.
    assert list(zip(curve.fp, curve.sensitivity)) == [(fp, s) for fp, s, _ in direct.values()]
    for fp, sensitivity, threshold in zip(curve.fp, curve.sensitivity, curve.threshold):
        false, found = count(rows, owners, threshold)
        assert (false / len(units), found / len(owners)) == (fp, sensitivity)
    for fp in np.linspace(0, curve.fp[-1], 50):
        assert curve.at(fp) == naive_at(rows, owners, units, fp)


def test_order_of_candidates_and_monotone_scores_do_not_matter():
    rows, owners, units = random_rows(3)
    curve = froc_curve(arm(rows, owners, units))
    other = froc_curve(arm([(math.exp(s), lesion, p) for s, lesion, p in reversed(rows)], owners, units[::-1]))
    assert np.array_equal(curve.fp, other.fp)
    assert np.array_equal(curve.sensitivity, other.sensitivity)
    assert np.allclose(np.exp(curve.threshold), other.threshold)


def test_curves_of_one_point():
    nothing = froc_curve(arm([]))
    assert (nothing.fp.tolist(), nothing.sensitivity.tolist(), nothing.threshold.tolist()) == ([0], [0], [math.inf])
    no_false = froc_curve(arm([row for row in BY_HAND if row[1]]))
    assert (no_false.fp.tolist(), no_false.sensitivity.tolist(), no_false.threshold.tolist()) == ([0], [0.75], [0.7])
    assert no_false.at(0) == 0.75
    assert math.isnan(no_false.at(0.1))
    no_hit = froc_curve(arm([row for row in BY_HAND if not row[1]]))
    assert (no_hit.fp.tolist(), no_hit.sensitivity.tolist()) == ([0, 0.4, 0.6, 0.8], [0, 0, 0, 0])
    assert no_hit.threshold.tolist() == [math.inf, 0.8, 0.6, 0.4]


def test_decimal_operating_points_are_met_exactly():
    """29 false positives in 100 frames are 0.29 per frame, although 0.29 * 100 is below 29 in floating point."""
    rows = [(1.0, "", "p")] * 29 + [(0.5, "p/1", "p")]
    one = detections(*zip(*rows), all_lesions={"p/1": "p", "q/1": "q"}, units=["p"] * 50 + ["q"] * 50)
    assert froc_curve(one).at(0.29) == 0.5
    assert weighted_sensitivity(one, 0.29)(np.ones((2, 1))) == [0.5]


@pytest.mark.parametrize("seed", range(4))
def test_weights_are_copies_of_patients(seed, monkeypatch):
    """Each draw of a patient brings its frames, candidates and lesions anew, as if of another patient."""
    rows, owners, units = random_rows(seed)
    whole = arm(rows, owners, units)
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 4, (40, len(whole.patients)))
    weights = weights[(weights * whole.with_lesions).any(axis=1)]
    times = [dict(zip(whole.patients, w)) for w in weights]
    for fp in (0, 0.3, 1, 1.7, 100):
        found = weighted_sensitivity(whole, fp)(weights.T.astype(float))
        naive = []
        for copies in times:
            drawn = [(s, lesion and f"{lesion}#{i}", p) for s, lesion, p in rows for i in range(copies[p])]
            new_owners = {f"{lesion}#{i}": p for lesion, p in owners.items() for i in range(copies[p])}
            naive.append(naive_at(drawn, new_owners, [p for p in units for _ in range(copies[p])], fp))
        assert found.tolist() == pytest.approx(naive, abs=1e-12)
        monkeypatch.setattr("caffe_port.study.statistics.froc.BLOCK", 3 * len(weights))  # blocks of three candidates
        assert weighted_sensitivity(whole, fp)(weights.T.astype(float)).tolist() == found.tolist()
        monkeypatch.undo()


def test_intervals_at_operating_points():
    rows, owners, units = random_rows(1, number=200)
    whole = arm(rows, owners, units)
    curve = froc_curve(whole)
    points = [0.0, 1.0, 4.0, 1000.0]
    intervals = sensitivity_at(whole, points, draws=500, seed=2)
    assert [x.estimate for x in intervals[:3]] == [curve.at(fp) for fp in points[:3]]
    assert all(x.low <= x.estimate <= x.high for x in intervals[:3])
    assert any(x.low < x.high for x in intervals[:3])
    assert np.isnan([intervals[3].estimate, intervals[3].low, intervals[3].high]).all()
    assert intervals[:2] == sensitivity_at(whole, points[:2], draws=500, seed=2)
    statistic = weighted_sensitivity(whole, 1.0)
    same = bootstrap(statistic, whole.patients, strata=whole.with_lesions, draws=500, seed=2)
    assert intervals[1] == same
    assert sensitivity_at(whole, points[:2], draws=500, seed=2, level=0.5)[1].low >= intervals[1].low


def test_patients_are_drawn_and_not_lesions():
    """In half of the patients everything is found, in half nothing: the binomial spread is that of 40 patients."""
    owners = {f"p{i:02}/{j}": f"p{i:02}" for i in range(40) for j in range(25)}
    units = [f"p{i:02}" for i in range(40)]
    rows = [(2.0, lesion, p) for lesion, p in owners.items() if int(p[1:]) < 20] + [(1.0, "", p) for p in units]
    (interval,) = sensitivity_at(arm(rows, owners, units), [0.5], draws=4000)
    assert interval.estimate == 0.5
    half = 1.96 * math.sqrt(0.25 / 40)
    assert interval.low == pytest.approx(0.5 - half, abs=0.026)  # a patient more or less is 0.025
    assert interval.high == pytest.approx(0.5 + half, abs=0.026)


def test_patients_without_lesions_stay_as_many():
    """One lesion in each of three patients, none in twenty others: every resample has lesions."""
    owners = {f"a{i}/1": f"a{i}" for i in range(3)}
    units = [f"a{i}" for i in range(3)] + [f"b{i}" for i in range(20)]
    whole = arm([(1.0, "a0/1", "a0"), (0.5, "", "b3"), (0.4, "", "b4")], owners, units)
    assert whole.with_lesions.tolist() == [True] * 3 + [False] * 20
    assert whole.found == 1
    assert sensitivity_at(whole, [0.0])[0].estimate == pytest.approx(1 / 3)
    with pytest.raises(StatisticsError, match="lacks lesions"):
        bootstrap(weighted_sensitivity(whole, 0.0), whole.patients)


def two_arms(gain, seed=0):
    """Two arms over 60 patients, the first better by ``gain``; their candidates are not the same."""
    rng = np.random.default_rng(seed)
    names = [f"p{i:02}" for i in range(60)]
    owners = {f"{p}/{j}": p for p in names for j in range(3)}
    hard = rng.normal(size=len(owners))  # for both
    both = []
    for better in (gain, 0):
        false = [(float(s), "", str(p)) for s, p in zip(rng.normal(size=400), rng.choice(names, 400))]
        both.append(arm(false + [(1 + better + 2 * h, *x) for h, x in zip(hard, owners.items())], owners, names))
    return both


def test_paired_difference_of_two_arms():
    deep, shallow = two_arms(1.0)
    gain = bootstrap(
        difference(weighted_sensitivity(deep, 0.5), weighted_sensitivity(shallow, 0.5)),
        deep.patients,
        strata=deep.with_lesions,
    )
    alone = [sensitivity_at(x, [0.5])[0] for x in (deep, shallow)]
    assert gain.estimate == pytest.approx(froc_curve(deep).at(0.5) - froc_curve(shallow).at(0.5))
    assert gain.low > 0
    assert gain.high - gain.low < min(x.high - x.low for x in alone)  # what is hard for both drops out
    with pytest.raises(StatisticsError, match="60 patients for 59 rows"):
        bootstrap(weighted_sensitivity(deep, 0.5), deep.patients[:-1])


def test_pairs_by_intervals_that_do_not_overlap():
    points = [0.5, 2.0]
    deep, shallow = two_arms(2.0)
    arms = {name: sensitivity_at(x, points) for name, x in (("deep", deep), ("same", deep), ("shallow", shallow))}
    found = {(s.a, s.b): s.points for s in separations(arms, points)}
    assert found["deep", "same"] == ()
    assert found["deep", "shallow"] == tuple(
        p for p, x, y in zip(points, arms["deep"], arms["shallow"]) if x.low > y.high
    )
    assert 0.5 in found["deep", "shallow"]


def test_many_candidates_take_seconds():
    rng = np.random.default_rng(0)
    names = [f"p{i:02}" for i in range(100)]
    owners = {f"{p}/{j}": p for p in names for j in range(3)}
    rows = [(float(s), "", p) for s, p in zip(rng.normal(size=20_000), names * 200)]
    rows += [(float(s) + 1, *x) for s, x in zip(rng.normal(size=300), owners.items())]
    whole = arm(rows, owners, names * 20)
    started = time.process_time()
    sensitivity_at(whole, [0.001, 0.01, 1, 5, 9])
    assert time.process_time() - started < 20


@pytest.mark.parametrize(
    ("rows", "owners", "units", "message"),
    [
        ([(math.nan, "", "p")], OWNERS, UNITS, "1 of 1 are NaN"),
        (BY_HAND, {}, UNITS, "without lesions"),
        (BY_HAND, {"p/1": "p"}, UNITS, "hits the lesion 'q/1', which its patient does not have"),
        ([(1.0, "p/1", "q")], OWNERS, UNITS, "hits the lesion 'p/1'"),
        (BY_HAND, OWNERS, ["p"], "patient 'q' has no units"),
        ([(1.0, "", "r")], OWNERS, UNITS, "patient 'r' has no units"),
        ([], OWNERS, [], "patient 'p' has no units"),
    ],
)
def test_what_is_no_test_set(rows, owners, units, message):
    with pytest.raises(StatisticsError, match=message):
        arm(rows, owners, units)


def test_what_is_asked_wrongly():
    whole = arm(BY_HAND)
    for fp in (-0.1, math.nan):
        for ask in (
            froc_curve(whole).at,
            lambda x: weighted_sensitivity(whole, x),
            lambda x: sensitivity_at(whole, [x]),
        ):
            with pytest.raises(StatisticsError, match="false positives per unit"):
                ask(fp)
    with pytest.raises(StatisticsError, match="2 scores, 1 lesions and 2 patients"):
        detections([1, 2], [""], ["p", "p"], all_lesions=OWNERS, units=UNITS)
    with pytest.raises(StatisticsError, match="nothing can be resampled"):
        sensitivity_at(detections([1], [""], ["p"], all_lesions={"p/1": "p"}, units=["p"]), [0.5])
