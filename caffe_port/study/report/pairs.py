"""Comparisons of every pair of arms in the form of Tables S3 and S4, and what they say to the paper's questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from caffe_port.study.report.blocks import ABSENT, INTERVAL, Cell, Column, Number, Table
from caffe_port.study.report.names import HANDCRAFTED, SCRATCH, Variant
from caffe_port.study.report.run import Run
from caffe_port.study.statistics.comparisons import format_p
from caffe_port.study.statistics.intervals import Interval

#: Level of significance, the paper's.
ALPHA = 0.05


def matrix(name: str, caption: str, variants: Sequence[Variant], cell: Callable[[str, str], Cell], note: str) -> Table:
    """The lower triangle of all pairs: a row and a column for every arm, as the paper prints it."""
    rows = []
    for index, row in enumerate(variants[1:], 1):
        filled = [cell(column.name, row.name) for column in variants[:index]]
        rows.append([Cell(row.title), *filled, *(Cell() for _ in variants[index:-1])])
    return Table(name, caption, [Column("Arm"), *(Column(variant.title) for variant in variants[:-1])], rows, note)


class Tests:
    """The entries of ``comparisons`` in metrics.json that test one measure."""

    def __init__(self, run: Run, measure: str) -> None:
        self._run = run
        self._places = {
            frozenset((entry["a"], entry["b"])): index
            for index, entry in enumerate(run.metrics.get("comparisons") or [])
            if entry["measure"] == measure
        }

    def __bool__(self) -> bool:
        return bool(self._places)

    def p(self, a: str, b: str) -> Cell:
        """p and Holm's p of two arms; an empty cell where they were not tested."""
        place = self._places.get(frozenset((a, b)))
        if place is None:
            return Cell(ABSENT)
        metrics = self._run.metrics
        entry = metrics.get("comparisons", place)
        numbers = tuple(metrics.shown(format_p(entry[key]), "comparisons", place, key) for key in ("p", "holm"))
        return Cell(numbers=numbers, mark="yes" if entry["p"] < ALPHA else "no")

    def table(self, name: str, caption: str, variants: Sequence[Variant]) -> Table:
        """Table S4: p of every pair of ``variants``."""
        note = "First p, then in brackets Holm's adjustment for all pairs that were tested. Green: p < 0.05; red: not."
        table = matrix(name, caption, variants, self.p, note)
        columns = [table.columns[0], *(Column(column.title, ("p", "Holm"), "{} ({})") for column in table.columns[1:])]
        return replace(table, columns=columns)


def questions(variants: Sequence[Variant]) -> Iterator[tuple[Variant, Variant]]:
    """The pairs that the paper asks about, as far as they are there: the deepest fine-tuning beside scratch, only
    the last layer and the handcrafted method, and scratch beside the handcrafted method."""
    tuned = [v for v in variants if v.arm not in (SCRATCH, HANDCRAFTED)]
    scratch = next((v for v in variants if v.arm == SCRATCH), None)
    handcrafted = next((v for v in variants if v.arm == HANDCRAFTED), None)
    deepest = tuned[0] if tuned else None
    last = tuned[-1] if len(tuned) > 1 else None
    for a, b in ((deepest, scratch), (deepest, last), (deepest, handcrafted), (scratch, handcrafted)):
        if a and b:
            yield a, b


@dataclass(frozen=True)
class Finding:
    """What one comparison says: one row of the first table under Comparisons.

    :param difference: of the first arm minus the second, with its interval by bootstrap over patients, if there is one.
    :param p: a cell of :meth:`Tests.p`, or an empty one.
    """

    first: Variant
    second: Variant
    measure: str
    difference: Interval | None
    p: Cell
    shown: bool
    words: str


def finding(tests: Tests, measure: str, a: Variant, b: Variant, difference: Interval | None, *, low: bool) -> Finding:
    """A difference counts as shown where the adjusted test and the bootstrap over patients both say so.

    :param low: a small measure is good, as an error is; else a large one.
    """
    p = tests.p(a.name, b.name)
    by_test = bool(p.numbers) and float(p.numbers[1].value) < ALPHA
    by_patients = difference is not None and (difference.low > 0 or difference.high < 0)
    if by_test and by_patients and difference is not None:
        better = a if (difference.estimate < 0) == low else b
        return Finding(a, b, measure, difference, p, True, f"{better.title} is better.")
    words = "No difference is shown."
    if by_test or by_patients:
        words = f"Not settled: only the {'adjusted test' if by_test else 'bootstrap'} shows one."
    return Finding(a, b, measure, difference, p, False, words)


def findings(rows: Sequence[Finding]) -> Table:
    """All findings of a run, without the columns that none of them fills."""
    cells = []
    for row in rows:
        numbers: tuple[Number, ...] = ()
        if row.difference:
            ends = (row.difference.estimate, row.difference.low, row.difference.high)
            numbers = tuple(Number(f"{value:+.3f}".replace("-", "−"), value) for value in ends)
        cells.append(
            [
                Cell(f"{row.first.title} or {row.second.title}"),
                Cell(row.measure),
                Cell(numbers=numbers) if numbers else Cell(ABSENT),
                replace(row.p, mark=""),
                Cell("yes" if row.shown else "no", mark="yes" if row.shown else "no"),
                Cell(row.words),
            ]
        )
    columns = [
        Column("Pair", words=True),
        Column("Measure", words=True),
        Column("First minus second", INTERVAL["parts"], "{} ({} to {})"),
        Column("p (Holm)", ("p", "Holm"), "{} ({})"),
        Column("Shown"),
        Column("Finding", words=True),
    ]
    used = [n for n in range(len(columns)) if any(row[n] != Cell(ABSENT) for row in cells) or not cells]
    note = "A difference that is not shown is not shown to be absent either."
    if any(row.difference for row in rows):
        what = (
            "Differences with 95 % intervals by a bootstrap over patients, computed from metrics.json, scores.csv and "
        )
        note = f"{what}cases.csv. {note}"
    return Table(
        "findings", "What this run says to the paper's questions.", [columns[n] for n in used],
        [[row[n] for n in used] for row in cells], note,
    )  # fmt: skip
