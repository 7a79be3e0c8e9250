"""The measure by which the arms of an application are ranked, with its interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from caffe_port.study.report.blocks import ABSENT, INTERVAL, NO_INTERVAL, Cell, Column, Number
from caffe_port.study.report.names import Variant
from caffe_port.study.report.run import Run
from caffe_port.study.statistics.intervals import Interval

#: Keys of a value within an arm's entry in metrics.json.
Keys = Sequence[str | int]


@dataclass(frozen=True)
class Measure:
    """The main measure of an application.

    :param title: with its unit.
    :param interval: how its 95 % interval comes about, in words that follow "the 95 % interval".
    :param keys: where an arm's entry has it; ``ends`` those of its interval's ends, none where ``compute`` makes it.
    :param small: whether a small value is good, as of an error.
    """

    title: str
    interval: str
    keys: Keys
    ends: tuple[Keys, Keys] | None = None
    compute: Callable[[Run, Variant], Interval | None] | None = None
    small: bool = False

    def of(self, run: Run, variant: Variant) -> Interval | None:
        """An arm's value with its interval; None where the run has not both."""
        if self.compute is not None:
            return self.compute(run, variant)
        values = [run.metrics.get(*run.place(variant), *keys) for keys in (self.keys, *(self.ends or ()))]
        return None if None in values or len(values) < 3 else Interval(*values)

    def column(self) -> Column:
        """A column of :meth:`cell`."""
        return Column(self.title, **INTERVAL)

    def cell(self, run: Run, variant: Variant) -> Cell:
        """An arm's value with its interval, each with its place where it has one."""
        place = run.place(variant)
        value, interval = run.metrics.number(*place, *self.keys), self.of(run, variant)
        if value is None:
            return Cell(ABSENT)
        if interval is None:
            return Cell(numbers=(value,), pattern=NO_INTERVAL)
        if self.ends:
            return run.metrics.cell(*((*place, *keys) for keys in (self.keys, *self.ends)))
        return Cell(numbers=(value, *(Number(f"{end:.3f}", end) for end in (interval.low, interval.high))))
