"""Operating points of a run of detection: which there are, their intervals, and the one by which arms are ranked."""

from __future__ import annotations

from dataclasses import dataclass

from caffe_port.study.report.measure import Measure
from caffe_port.study.report.names import Variant
from caffe_port.study.report.run import Run
from caffe_port.study.statistics.intervals import Interval


@dataclass(frozen=True)
class Kind:
    """What differs between the two applications: the unit of false positives, the paper's number of the figure and of
    the table, and the axis of false positives."""

    unit: str
    figure: str
    table: str
    log: bool


_KINDS = {
    "polyps": Kind("frame", "Fig. 2", "Table S1", log=True),
    "embolism": Kind("volume", "Fig. 4", "Table S2", log=False),
}


def kind_of(run: Run) -> Kind:
    """The kind of the run's application."""
    return _KINDS[run.application]


def points_of(run: Run) -> list[str]:
    """The operating points, as metrics.json writes them."""
    return list(
        dict.fromkeys(p for v in run.variants for p in run.metrics.get(*run.place(v), "sensitivity_at_fp") or ())
    )


def intervals(run: Run, variant: Variant, by: str) -> dict[str, Interval]:
    """The intervals of ``model`` or ``bootstrap`` at the operating points that an arm's curve reaches."""
    value, ends = ("model", "model_ci95") if by == "model" else ("sensitivity", "ci95")
    entries = run.metrics.get(*run.place(variant), "sensitivity_at_fp") or {}
    return {
        point: Interval(entry[value], *entry[ends])
        for point, entry in entries.items()
        if entry.get(value) is not None and entry.get(ends) is not None
    }


def measure(run: Run) -> Measure | None:
    """Sensitivity at the middle one of the operating points that the curves of all arms reach.

    None of these choices looks at how well an arm does there: where curves end is a matter of the candidates.
    """
    of_arms = [intervals(run, variant, "bootstrap") for variant in run.variants]
    reached = sorted((point for point in points_of(run) if all(point in arm for arm in of_arms)), key=float)
    if not reached:
        return None
    point = reached[len(reached) // 2]
    keys = ("sensitivity_at_fp", point)
    title = f"Sensitivity at {point} FP per {kind_of(run).unit}"
    return Measure(
        title, "by bootstrap over patients", (*keys, "sensitivity"), ((*keys, "ci95", 0), (*keys, "ci95", 1))
    )
