"""How often the 95 % intervals of caffe_port.study.statistics hold the truth, by simulation.

python tools/interval_coverage.py [--draws 2000] [--quick]

prints the tables of caffe_port/study/statistics/README.md (about a quarter of an hour on one core); --quick leaves out
all but the rows for which theory promises 95 %.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from scipy.special import ndtr, ndtri

from caffe_port.errors import StatisticsError
from caffe_port.study.statistics.binormal import fit_binormal
from caffe_port.study.statistics.bootstrap import bootstrap, difference, weighted_auc, weighted_mean, weighted_tpr
from caffe_port.study.statistics.candidate_model import fit_candidate_model
from caffe_port.study.statistics.froc import Detections, detections, sensitivity_at, weighted_sensitivity
from caffe_port.study.statistics.intervals import Interval
from caffe_port.study.statistics.roc import FPR, auc, tpr_at_fpr

#: Cases of each class, or patients, from which on the intervals should hold the truth in 93 to 97 % of all draws.
ENOUGH_CASES, ENOUGH_PATIENTS = 400, 100
AREAS = (0.75, 0.85, 0.95)
#: A detector's first stage: false candidates per unit, and the share of lesions that it hits.
RATE, SHARE = 4.0, 0.9
#: False positives per unit at which FROC curves are looked at, around the middle of the curve.
FP = (0.5, 1.0, 2.0)
#: What the bootstrap of FROC curves is tried on.
FROC_QUANTITIES = (*(f"sensitivity at {fp:g}" for fp in FP), f"difference at {FP[1]:g}")
#: Draws of patients in each simulated bootstrap.
RESAMPLES = 400


@dataclass(frozen=True)
class Truth:
    """A binormal population of known area under the curve; ``b`` as in the fit."""

    area: float
    b: float = 1.0

    @property
    def a(self) -> float:
        """The other parameter of the curve."""
        return float(ndtri(self.area) * np.hypot(1, self.b))

    def tpr(self, fpr: float) -> float:
        """The true curve."""
        return float(ndtr(self.a + self.b * ndtri(fpr)))

    def cases(self, number: int, draws: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Scores and labels of ``number`` independent cases of each class, ``draws`` times."""
        rng = np.random.default_rng(seed)
        labels = np.arange(2 * number) // number
        for _ in range(draws):
            normal = rng.normal(size=2 * number)
            yield np.where(labels, (normal + self.a) / self.b, normal), labels


def holds(interval: Interval, truth: float) -> bool:
    """Whether the interval holds the truth."""
    return interval.low <= truth <= interval.high


def delong_coverage(truth: Truth, number: int, draws: int, seed: int = 0) -> float:
    """Of the area, by DeLong's interval."""
    return float(np.mean([holds(auc(*case), truth.area) for case in truth.cases(number, draws, seed)]))


def tpr_coverage(truth: Truth, number: int, draws: int, seed: int = 0) -> list[float]:
    """Of TPR at 10, 15 and 20 % FPR, by the interval that asks for no distribution."""
    true = [truth.tpr(fpr) for fpr in FPR]
    hits = [list(map(holds, tpr_at_fpr(*case), true)) for case in truth.cases(number, draws, seed)]
    return list(np.mean(hits, axis=0))


def binormal_coverage(truth: Truth, number: int, draws: int, seed: int = 0) -> tuple[list[float], float]:
    """Of the area and of TPR at 10, 15 and 20 % FPR, by the binormal fit; and what part of the draws is degenerate."""
    true, hits = [truth.tpr(fpr) for fpr in FPR], []
    for case in truth.cases(number, draws, seed):
        try:
            fit = fit_binormal(*case)
        except StatisticsError:
            continue
        hits.append([holds(fit.auc(), truth.area), *map(holds, map(fit.tpr_at, FPR), true)])
    return list(np.mean(hits, axis=0)), 1 - len(hits) / draws


def bootstrap_coverage(
    patients: int, draws: int, seed: int = 0, methods: Sequence[str] = ("percentile",)
) -> Mapping[str, list[float]]:
    """Of quantities in a population of patients with one negative and one positive frame and two regions each.

    Half of the variance is the patient's own, and the same in both arms; the second arm has area 0.8 instead of 0.85
    and errors that are 1.2 times as large.

    :returns: quantity -> coverage by each of ``methods``.
    """
    rng = np.random.default_rng(seed)
    first, second, error = Truth(0.85), Truth(0.8), np.sqrt(2 / np.pi)
    true = {
        "AUC": first.area,
        "TPR at 10 % FPR": first.tpr(0.1),
        "mean error": error,
        "difference of AUC": first.area - second.area,
        "difference of errors": -0.2 * error,
    }
    rows, labels = np.repeat(np.arange(patients), 2), np.tile([0, 1], patients)
    hits: dict[str, list[list[bool]]] = {name: [] for name in true}
    for draw in range(draws):
        own = rng.normal(size=(2, 1, patients))[:, :, rows]
        scores, errors = np.sqrt(0.5) * (own + rng.normal(size=(2, 2, 2 * patients)))  # each of two arms
        scores += np.outer([first.a, second.a], labels)
        areas = [weighted_auc(arm, labels) for arm in scores]
        means = [weighted_mean(np.abs(arm) * scale) for arm, scale in zip(errors, (1, 1.2))]
        statistics = {
            "AUC": areas[0],
            "TPR at 10 % FPR": weighted_tpr(scores[0], labels, 0.1),
            "mean error": means[0],
            "difference of AUC": difference(*areas),
            "difference of errors": difference(*means),
        }
        for name, statistic in statistics.items():
            intervals = [bootstrap(statistic, rows, draws=RESAMPLES, seed=draw, method=m) for m in methods]
            hits[name].append([holds(interval, true[name]) for interval in intervals])
    return {name: list(np.mean(rows, axis=0)) for name, rows in hits.items()}


def candidate_model_coverage(
    truth: Truth, number: int, draws: int, seed: int = 0, share: float = SHARE
) -> tuple[list[float], float]:
    """Of sensitivity at ``FP`` by the model's band; and what part of the draws is degenerate.

    :param truth: the candidates' ROC curve.
    :param number: of lesions, and of false candidates on the average.
    """
    rng = np.random.default_rng(seed)
    true, hits = [share * truth.tpr(fp / RATE) for fp in FP], []
    lesions, units = {f"l{i}": "p" for i in range(number)}, ["p"] * round(number / RATE)
    for _ in range(draws):
        hit = [lesion for lesion in lesions if rng.random() < share]
        false = rng.normal(size=rng.poisson(RATE * len(units)))
        scores = np.r_[false, (rng.normal(size=len(hit)) + truth.a) / truth.b]
        owners = ["p"] * len(scores)
        arm = detections(scores, [""] * len(false) + hit, owners, all_lesions=lesions, units=units)
        try:
            model = fit_candidate_model(arm)
        except StatisticsError:
            continue
        hits.append(list(map(holds, map(model.at, FP), true)))
    return list(np.mean(hits, axis=0)), 1 - len(hits) / draws


def simulated_detections(truths: Sequence[Truth], patients: int, rng: np.random.Generator) -> list[Detections]:
    """Of arms that score the same candidates of patients with one or two units and one or two lesions each.

    Half of the scores' variance is the patient's own, and the same in all arms.
    """
    names, (units, lesions) = np.arange(patients).astype(str), rng.integers(1, 3, (2, patients))
    false = np.repeat(np.arange(patients), rng.poisson(RATE * units))
    true = np.repeat(np.arange(patients), lesions)
    owners = {f"{names[p]}/{i}": names[p] for i, p in enumerate(true)}
    hit = rng.random(len(true)) < SHARE
    patient, of_lesion = np.r_[false, true[hit]], np.r_[np.zeros(len(false)), np.ones(hit.sum())]
    own = rng.normal(size=patients)[patient]
    return [
        detections(
            np.sqrt(0.5) * (own + rng.normal(size=len(patient))) + truth.a * of_lesion,
            [""] * len(false) + list(np.array(list(owners))[hit]),
            list(names[patient]),
            all_lesions=owners,
            units=list(np.repeat(names, units)),
        )
        for truth in truths
    ]


def froc_bootstrap_coverage(patients: int, draws: int, seed: int = 0) -> list[float]:
    """Of ``FROC_QUANTITIES``: sensitivity at ``FP`` of an arm of area 0.85, its difference from one of area 0.8."""
    rng = np.random.default_rng(seed)
    arms = Truth(0.85), Truth(0.8)
    true = [[SHARE * truth.tpr(fp / RATE) for fp in FP] for truth in arms]
    hits = []
    for draw in range(draws):
        first, second = simulated_detections(arms, patients, rng)
        gain = bootstrap(
            difference(*(weighted_sensitivity(arm, FP[1]) for arm in (first, second))),
            first.patients,
            strata=first.with_lesions,
            draws=RESAMPLES,
            seed=draw,
        )
        intervals = sensitivity_at(first, FP, draws=RESAMPLES, seed=draw)
        hits.append([*map(holds, intervals, true[0]), holds(gain, true[0][1] - true[1][1])])
    return list(np.mean(hits, axis=0))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000, help="simulated data sets for each row (default 2000)")
    parser.add_argument("--quick", action="store_true", help="only what theory promises")
    args = parser.parse_args()
    print("| cases of each class | AUC | DeLong | TPR at 10, 15, 20 % | binormal AUC | binormal TPR | degenerate |")
    print("|---|---|---|---|---|---|---|")
    for number in (ENOUGH_CASES,) if args.quick else (20, 40, 100, ENOUGH_CASES):
        for area in AREAS:
            truth = Truth(area)
            delong = delong_coverage(truth, number, args.draws)
            tpr = tpr_coverage(truth, number, args.draws)
            binormal, degenerate = binormal_coverage(truth, number, args.draws)
            cells = [percent(delong), percent(*tpr), percent(binormal[0]), percent(*binormal[1:]), percent(degenerate)]
            print(f"| {number} | {area} |", " | ".join(cells), "|", flush=True)
    print("\n| patients | quantity | percentile | BCa |\n|---|---|---|---|")
    for patients in (ENOUGH_PATIENTS,) if args.quick else (10, 20, 50, ENOUGH_PATIENTS):
        for name, shares in bootstrap_coverage(patients, args.draws, methods=("percentile", "bca")).items():
            print(f"| {patients} | {name} |", " | ".join(map(percent, shares)), "|", flush=True)
    froc_tables(args.draws, args.quick)


def froc_tables(draws: int, quick: bool) -> None:
    """Print those of FROC curves."""
    print("\n| lesions, false candidates | AUC of the candidates | sensitivity by the model | degenerate |")
    print("|---|---|---|---|")
    for number in (ENOUGH_CASES,) if quick else (20, 40, 100, ENOUGH_CASES):
        for area in AREAS:
            model, degenerate = candidate_model_coverage(Truth(area), number, draws)
            print(f"| {number} | {area} |", percent(*model), "|", percent(degenerate), "|", flush=True)
    print("\n| patients |", " | ".join(FROC_QUANTITIES), "|\n|---|---|---|---|---|")
    for patients in (ENOUGH_PATIENTS,) if quick else (10, 20, 50, ENOUGH_PATIENTS):
        shares = froc_bootstrap_coverage(patients, draws)
        print(f"| {patients} |", " | ".join(map(percent, shares)), "|", flush=True)


def percent(*shares: float) -> str:
    """As in the tables."""
    return ", ".join(f"{100 * share:.1f}" for share in shares)


if __name__ == "__main__":
    main()
