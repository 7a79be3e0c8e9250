"""Pairs of FROC curves, by non-overlap of intervals at the operating points (Tables S1, S2)."""

from __future__ import annotations

from dataclasses import dataclass

from caffe_port.study.report import pairs
from caffe_port.study.report.applications.detection.operating_points import intervals, kind_of, points_of
from caffe_port.study.report.blocks import ABSENT, Cell, Section, Text
from caffe_port.study.report.names import Variant
from caffe_port.study.report.run import Run
from caffe_port.study.statistics.comparisons import separations


def comparisons(run: Run) -> Section:
    """The operating points at which the intervals of two arms do not overlap, for every pair."""
    kind = kind_of(run)
    table = pairs.matrix(
        "separations",
        f"Pairs of FROC curves ({kind.table}): at how many false positives per {kind.unit} the two curves differ.",
        run.whole, lambda a, b: _pair(run, Variant.parse(a), Variant.parse(b)).cell,
        "They differ where their 95 % intervals do not overlap: the model's, as in the paper, or, marked *, the "
        f"bootstrap's where the model cannot be fitted to both. {ABSENT}: there is no point at which both have one.",
    )  # fmt: skip
    rows = []
    for a, b in pairs.questions(run.whole):
        pair = _pair(run, a, b)
        measured = f"Sensitivity at fixed FP per {kind.unit}"
        rows.append(pairs.Finding(a, b, measured, None, Cell(ABSENT), bool(pair.apart), pair.words(kind.unit)))
    caution = (
        "Intervals that do not overlap are a stricter criterion than a test at 0.05, and take no account of both arms "
        "having seen the same lesions. The model takes candidates as independent; those of one patient are not, so its "
        "intervals are too narrow rather than the contrary, and the bootstrap draws whole patients. One seed was run: "
        "how much results differ between seeds is not in these numbers."
    )
    return Section("comparisons", "Comparisons", [pairs.findings(rows), Text([caution]), table])


@dataclass(frozen=True)
class _Pair:
    """Two arms at the operating points at which both have an interval: ``apart`` where their intervals do not overlap.

    :param by: whose intervals these are, ``model`` or ``bootstrap``.
    :param better: of ``apart``, which of the two has the larger sensitivity.
    """

    by: str
    compared: tuple[str, ...]
    apart: tuple[str, ...]
    better: tuple[Variant, ...]

    @property
    def cell(self) -> Cell:
        """The cell of Table S1 or S2."""
        if not self.compared:
            return Cell(ABSENT)
        star = "*" if self.by == "bootstrap" else ""
        return Cell((", ".join(self.apart) or "none") + star, mark="yes" if self.apart else "no")

    def words(self, unit: str) -> str:
        """The same as a sentence."""
        if not self.compared:
            return "There is no operating point at which both have an interval."
        if not self.apart:
            return f"The {self.by}'s intervals overlap at {', '.join(self.compared)} FP per {unit}."
        parts = []
        for winner in dict.fromkeys(self.better):
            where = ", ".join(point for point, better in zip(self.apart, self.better) if better is winner)
            parts.append(f"{winner.title} is better at {where} FP per {unit}")
        return f"{'; '.join(parts)} (the {self.by}'s intervals do not overlap)."


def _pair(run: Run, a: Variant, b: Variant) -> _Pair:
    by = "model" if intervals(run, a, "model") and intervals(run, b, "model") else "bootstrap"
    first, second = intervals(run, a, by), intervals(run, b, by)
    shared = [point for point in points_of(run) if point in first and point in second]
    numbers = [float(point) for point in shared]
    arms = {a.name: [first[p] for p in shared], b.name: [second[p] for p in shared]}
    found = set(separations(arms, numbers)[0].points)
    apart = [point for point, number in zip(shared, numbers) if number in found]
    better = [a if first[p].estimate > second[p].estimate else b for p in apart]
    return _Pair(by, tuple(shared), tuple(apart), tuple(better))
