"""The end of the page of the whole study: which depth for which application, and what every depth costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from caffe_port.study.report.applications import APPLICATIONS
from caffe_port.study.report.blocks import ABSENT, INTERVAL, Cell, Column, Number, Section, Table, Text
from caffe_port.study.report.depths import Choice, choose
from caffe_port.study.report.measure import Measure
from caffe_port.study.report.names import HANDCRAFTED, SCRATCH, Variant
from caffe_port.study.report.run import Run
from caffe_port.study.statistics.intervals import Interval

_LIMITS = (
    "Overlapping intervals do not show that two depths are equally good. With few patients intervals are wide and many "
    "overlap, so that the shallowest one listed is too shallow rather than too deep.",
    "Intervals take no account of all arms having seen the same test data, as the tests of pairs do, where an "
    "application has them. The best of several arms is likely to be overrated by its own number.",
    "One seed was run, with the same learning rates for all depths: another training of the same arm may come out "
    "differently, by how much is not in these numbers.",
    "Seconds are those of the epochs, on whatever machines and beside whatever else ran there. Where a shallow arm "
    "learned from stored features of its frozen layers, the time to compute them once is not among them. To apply a "
    "trained net costs the same at every depth.",
    "One number stands for each application. Other operating points and measures are in its own sections, and what "
    "holds for these data and this base need not hold for others.",
)


#: A name, and below it a number with its interval.
_NAMED: Any = {"parts": ("name", *INTERVAL["parts"]), "pattern": "{}<br>" + INTERVAL["pattern"]}


@dataclass(frozen=True)
class _Ranking:
    """The arms of a run on the whole training set by its main measure, and the choice among the depths."""

    run: Run
    measure: Measure
    intervals: dict[str, Interval]
    choice: Choice

    @classmethod
    def of(cls, run: Run) -> _Ranking | None:
        """None where no depth has a number with an interval."""
        measure = APPLICATIONS[run.application].measure(run)
        if measure is None:
            return None
        intervals = {v.name: interval for v in run.whole if (interval := measure.of(run, v))}
        depths = {name: interval for name, interval in intervals.items() if name not in (SCRATCH, HANDCRAFTED)}
        return cls(run, measure, intervals, choose(depths, small=measure.small)) if depths else None

    def verdict(self, name: str) -> str:
        """How an arm stands to the best depth."""
        if name not in self.intervals:
            return ABSENT
        best, other = self.intervals[self.choice.best], self.intervals[name]
        gain = (other.estimate - best.estimate) * (-1 if self.measure.small else 1)
        value = "better" if gain > 0 else "worse" if gain < 0 else "equal"
        return f"{value}, {'overlaps' if other.overlaps(best) else 'apart'}"

    def named(self, name: str, variant: Variant) -> Cell:
        """A cell with ``name`` and below it the measure of an arm."""
        cell = self.measure.cell(self.run, variant)
        return Cell(numbers=(Number(name, name), *cell.numbers)) if cell.numbers else cell


def conclusions(runs: Sequence[Run]) -> Section:
    """The paper's practical conclusion (section VIII), as far as these runs allow one."""
    rankings = [ranking for run in runs if (ranking := _Ranking.of(run))]
    ranked = {ranking.run.application for ranking in rankings}
    blocks: list[Text | Table] = []
    if rankings:
        blocks.append(_summary(rankings))
    if without := [APPLICATIONS[run.application].title for run in runs if run.application not in ranked]:
        blocks.append(Text([f"No depth has a number with an interval in: {'; '.join(without)}."]))
    blocks += [Text(["What this does not say:"]), Text(_LIMITS, listed=True), *map(_costs, rankings)]
    return Section("depths", "Which depth for which application", blocks)


def _summary(rankings: Sequence[_Ranking]) -> Table:
    rows = []
    for ranking in rankings:
        run, measure = ranking.run, ranking.measure
        best, shallow = (Variant.parse(name) for name in (ranking.choice.best, ranking.choice.shallowest))
        title = APPLICATIONS[run.application].title + (" (procedural data)" if run.procedural else "")
        rows.append(
            [
                Cell(title),
                Cell(f"{measure.title}; interval {measure.interval}"),
                ranking.named(best.title, best),
                ranking.named(shallow.title, shallow),
                _share(run, shallow, best),
                ranking.named(ranking.verdict(SCRATCH), Variant.parse(SCRATCH)),
            ]
        )
    columns = [
        Column("Application", words=True),
        Column("Measure", words=True),
        Column("Best depth", **_NAMED),
        Column("Shallowest depth that overlaps it", **_NAMED),
        Column("Its time, % of the best's"),
        Column("Scratch beside the best depth", **_NAMED),
    ]
    note = (
        "The best depth by the measure, and the shallowest one whose 95 % interval (in brackets) overlaps that of the "
        "best. Scratch is better or worse by its value, and overlaps or is apart by its interval."
    )
    return Table("depths-table", "Which depth for which application.", columns, rows, note)


def _share(run: Run, part: Variant, whole: Variant) -> Cell:
    """The training time of one arm in per cent of that of another."""
    seconds = [run.metrics.get(*run.place(variant), "seconds") for variant in (part, whole)]
    if not all(seconds):
        return Cell(ABSENT)
    share = 100 * seconds[0] / seconds[1]
    return Cell(numbers=(Number(f"{share:.0f}", share),))


def _costs(ranking: _Ranking) -> Table:
    """What every arm of one application reaches, and what its training takes."""
    run, choice = ranking.run, ranking.choice
    roles = {choice.shallowest: "shallowest that overlaps"} | {choice.best: "best"}
    if choice.best == choice.shallowest:
        roles[choice.best] = "best, and no shallower one overlaps"
    rows = []
    for variant in run.whole:
        place, trained = run.place(variant), run.trained.get(variant.name)
        rows.append(
            [
                Cell(variant.title),
                ranking.measure.cell(run, variant),
                Cell(roles.get(variant.name) or ranking.verdict(variant.name)),
                run.metrics.cell((*place, "epochs"), form=",d"),
                run.metrics.cell((*place, "seconds"), form=",.0f"),
                Cell(numbers=(Number(f"{trained:,}", trained),)) if trained else Cell(ABSENT),
            ]
        )
    columns = [Column("Arm"), ranking.measure.column(), Column("Beside the best depth", words=True)]
    columns += [Column(title) for title in ("Epochs", "Training, s", "Weights that are trained")]
    note = (
        f"In brackets the 95 % interval {ranking.measure.interval}. Weights (with biases) are counted in the arm's "
        "train_val.prototxt."
    )
    caption = f"{APPLICATIONS[run.application].title}: what every arm reaches and what its training takes."
    return Table(f"depths-{run.application}", caption, columns, rows, note)
