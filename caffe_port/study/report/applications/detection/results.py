"""Results of detection: sensitivity at the operating points, and what was counted."""

from __future__ import annotations

from caffe_port.study.report import sections
from caffe_port.study.report.applications.detection.curves import figures_of
from caffe_port.study.report.applications.detection.operating_points import intervals, kind_of, measure, points_of
from caffe_port.study.report.blocks import (
    ABSENT,
    INTERVAL,
    NO_INTERVAL,
    Cell,
    Column,
    Figure,
    Number,
    Section,
    Table,
    Text,
)
from caffe_port.study.report.names import Variant
from caffe_port.study.report.run import Run

#: What a table shows where the curve ends before an operating point.
_NOT_REACHED = "not reached"
_COUNTS = {
    "units": "Test {unit}s", "patients": "Patients", "lesions": "Lesions", "found": "Found by the candidates",
    "false_positives": "False candidates",
}  # fmt: skip


def results(run: Run) -> Section:
    """FROC curves with bands, sensitivity at the operating points, and what was counted."""
    shown = [variant for variant in run.whole if run.metrics.get(*run.place(variant), "froc", "fp")]
    blocks: list[Text | Table | Figure] = [Text([_best(run)]), _sensitivities(run)]
    if any(intervals(run, variant, "model") for variant in run.whole):
        blocks.append(_modelled(run))
    return Section("results", "Results", [*blocks, *figures_of(run, shown), *_counts(run), _candidates(run)])


def _best(run: Run) -> str:
    main = measure(run)
    if main is None:
        return "There is no operating point at which all arms have a sensitivity with an interval."
    values = {v.title: run.metrics.get(*run.place(v), *main.keys) for v in run.whole}
    largest = max(values.values())
    best = ", ".join(title for title, value in values.items() if value == largest)
    return f"{main.title}: largest with {best}, {largest:.3f}. Whether it differs is asked under Comparisons."


def _sensitivities(run: Run) -> Table:
    unit, points = kind_of(run).unit, points_of(run)
    rows = [[Cell(v.title), *(_sensitivity(run, v, point) for point in points)] for v in run.whole]
    note = (
        "A lesion is found when at least one of its candidates has a score at or above the threshold; the curve has a "
        "step at every threshold and nothing is interpolated between. In brackets the 95 % interval by bootstrap over "
        "patients; one without width says that the patients agree, not that the value is certain. "
        f"{_NOT_REACHED.capitalize()}: all candidates together make fewer false positives than that."
    )
    caption = f"Sensitivity at fixed numbers of false positives (FP) per {unit}."
    columns = [Column("Arm"), *(Column(f"At {point} FP per {unit}", **INTERVAL) for point in points)]
    return Table("results-table", caption, columns, rows, note)


def _sensitivity(run: Run, variant: Variant, point: str) -> Cell:
    place = (*run.place(variant), "sensitivity_at_fp", point)
    value = run.metrics.number(*place, "sensitivity")
    if value is None:
        return Cell(_NOT_REACHED)
    if run.metrics.get(*place, "ci95") is None:
        return Cell(numbers=(value,), pattern=NO_INTERVAL)
    return run.metrics.cell((*place, "sensitivity"), (*place, "ci95", 0), (*place, "ci95", 1))


def _modelled(run: Run) -> Table:
    unit, points = kind_of(run).unit, points_of(run)
    rows = []
    for variant in run.whole:
        places = [(*run.place(variant), "sensitivity_at_fp", point) for point in points]
        cells = [run.metrics.cell((*p, "model"), (*p, "model_ci95", 0), (*p, "model_ci95", 1)) for p in places]
        rows.append([Cell(variant.title), *cells])
    note = (
        "The candidates' binormal ROC curve, scaled by what the candidate detector finds and by its false positives, "
        "fitted by maximum likelihood; in brackets its 95 % interval. It takes candidates as independent. "
        f"{ABSENT}: it cannot be fitted, or the curve does not reach so far."
    )
    caption = f"The same by the model of initial detection and candidate analysis (reference 38), per {unit}."
    columns = [Column("Arm"), *(Column(f"At {point} FP per {unit}", **INTERVAL) for point in points)]
    return Table("model-table", caption, columns, rows, note)


def _counts(run: Run) -> list[Table]:
    """What was counted: one row for all arms, where they scored the same candidates."""
    groups: dict[tuple[int, ...], list[Variant]] = {}
    for variant in run.whole:
        counts = run.metrics.get(*run.place(variant), "counts")
        if counts:
            groups.setdefault(tuple(counts[key] for key in _COUNTS), []).append(variant)
    unit, rows = kind_of(run).unit, []
    for same in groups.values():
        place = (*run.place(same[0]), "counts")
        units, lesions, found, false = (
            run.metrics.get(*place, k) for k in ("units", "lesions", "found", "false_positives")
        )
        title = "all arms" if len(groups) == 1 else ", ".join(variant.title for variant in same)
        ratios = [
            Cell(numbers=(Number(f"{a / b:.3f}", a / b),)) if b else Cell(ABSENT)
            for a, b in ((found, lesions), (false, units))
        ]
        rows.append([Cell(title), *(run.metrics.cell((*place, key), form=",d") for key in _COUNTS), *ratios])
    if not rows:
        return []
    titles = ["Arm", *(title.format(unit=unit) for title in _COUNTS.values()), "Ceiling", f"False per {unit}"]
    note = (
        "The ceiling is found / lesions: no arm can do better, for it only sorts the candidates. "
        f"False per {unit} is where the curves end. Both are computed from the counts."
    )
    caption = "What the FROC analysis counts on the test data."
    return [Table("counts-table", caption, [Column(title) for title in titles], rows, note)]


def _candidates(run: Run) -> Table:
    """How many candidates the detector gave to each part of the data."""
    unit, rows = kind_of(run).unit, []
    for split, found in run.candidates().items():
        hits = [row["lesion"] for row in found if row["lesion"]]
        numbers = (len(found), len(hits), len(set(hits)))
        per_unit = len(found) / run.cases[split][0]
        cells = [Cell(numbers=(Number(f"{n:,}", n),)) for n in numbers]
        rows.append([Cell(sections.SPLITS[split]), *cells, Cell(numbers=(Number(f"{per_unit:.2f}", per_unit),))])
    columns = [Column(title) for title in ("Part", "Candidates", "On a lesion", "Lesions hit", f"Per {unit}")]
    return Table(
        "candidates-table", "Candidates by part of the data.", columns, rows,
        "Counted in candidates.csv. The candidate detector learned from the training and validation parts, so there it "
        "is likely to do better than on the test part.",
    )  # fmt: skip
