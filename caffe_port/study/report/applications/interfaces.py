"""Results of the carotid interfaces: errors in mm per arm (Fig. 9) and their paired tests (Table S4)."""

from __future__ import annotations

from caffe_port.study.report import figures, pairs, sections
from caffe_port.study.report.applications.application import Application
from caffe_port.study.report.blocks import Cell, Column, Figure, Number, Section, Table, Text
from caffe_port.study.report.measure import Measure
from caffe_port.study.report.names import Variant
from caffe_port.study.report.run import Run
from caffe_port.study.statistics.bootstrap import bootstrap, difference, weighted_mean
from caffe_port.study.statistics.boxes import tukey_box
from caffe_port.study.statistics.intervals import Interval

#: Key in metrics.json -> title.
MEASURES = {
    "lumen_intima_error_mm": "Lumen-intima error",
    "media_adventitia_error_mm": "Media-adventitia error",
    "imt_error_mm": "IMT error",
}


def results(run: Run) -> Section:
    """Errors per arm, as a table and as box plots."""
    columns = [Column("Arm"), *(Column(f"{title}, mm", ("mean", "sd"), "{} ± {}") for title in MEASURES.values())]
    table = Table(
        "results-table", "Segmentation errors on the test regions: mean ± standard deviation over regions.",
        [*columns, Column("Regions")], [_row(run, variant) for variant in run.whole],
        "Lumen-intima and media-adventitia: mean absolute vertical distance from the expert's trace over the columns "
        "of a region. IMT: absolute difference of the region's mean thickness from the expert's.",
    )  # fmt: skip
    return Section("results", "Results", [Text([_best(run)]), table, _boxes(run)])


def _row(run: Run, variant: Variant) -> list[Cell]:
    place = run.place(variant)
    regions = len(run.metrics.get(*place, "imt_error_mm", "per_roi") or ())
    errors = [run.metrics.cell((*place, key, "mean"), (*place, key, "sd")) for key in MEASURES]
    return [Cell(variant.title), *errors, Cell(numbers=(Number(str(regions), regions),))]


def _best(run: Run) -> str:
    sentences = []
    for key, title in MEASURES.items():
        means = {v.title: run.metrics.get(*run.place(v), key, "mean") for v in run.whole}
        known = {name: mean for name, mean in means.items() if mean is not None}
        if known:
            best = min(known, key=known.__getitem__)
            sentences.append(f"{title}: smallest mean {known[best]:.3f} mm, {best}.")
    return " ".join([*sentences, "Whether it differs from the others is asked under Comparisons."])


def _boxes(run: Run) -> Figure:
    caption = (
        "Errors by arm (Fig. 9), one value per test region. Box: quartiles and median; whiskers after Tukey; diamond "
        "and text: mean ± standard deviation."
    )
    panels = [_box_plot(run, key, title) for key, title in MEASURES.items()]
    return Figure("box-plots", caption, panels, list(MEASURES.values()), size="medium")


def _box_plot(run: Run, key: str, title: str) -> str:
    boxes = []
    for variant in run.whole:
        values = run.metrics.get(*run.place(variant), key, "per_roi")
        if values:
            box = tukey_box(list(values.values()))
            boxes.append((variant.title, run.styles[variant.name], box, f"{box.mean:.3f} ± {box.sd:.3f}"))
    return figures.box_plot(f"{key}-svg", title, "mm", boxes)


def comparisons(run: Run) -> Section:
    """Paired tests of every pair of arms (Table S4), and what they allow to say."""
    tables, rows = [], []
    for key, title in MEASURES.items():
        tests = pairs.Tests(run, key)
        if tests:
            tables.append(tests.table(f"{key}-pairs", f"{title}: paired tests over regions (Table S4).", run.whole))
        for a, b in pairs.questions(run.whole):
            rows.append(pairs.finding(tests, f"{title}, mm", a, b, _difference(run, key, a, b), low=True))
    caution = (
        "The tests take regions as independent; regions of one patient are not, so p is too small rather than too "
        "large, and the bootstrap draws whole patients. One seed was run: how much "
        "results differ between seeds is not in these numbers."
    )
    return Section("comparisons", "Comparisons", [pairs.findings(rows), Text([caution]), *tables])


def _difference(run: Run, key: str, a: Variant, b: Variant) -> Interval | None:
    """Mean error of ``a`` minus that of ``b`` over the same regions; None where regions or patients are too few."""
    first, second = (run.metrics.get(*run.place(variant), key, "per_roi") or {} for variant in (a, b))
    regions = [region for region in first if region in second]
    errors = [weighted_mean([values[region] for region in regions]) for values in (first, second)] if regions else []
    patients = [run.patients.get(region, region) for region in regions]
    return bootstrap(difference(*errors), patients) if len(set(patients)) > 1 else None


def reduced(run: Run) -> Section | None:
    """The IMT error by the size of the training set; the paper has this in words only."""
    return sections.reduced(run, MEASURE, "section VI-D")


def _mean_imt_error(run: Run, variant: Variant) -> Interval | None:
    """The mean over regions and its interval by bootstrap; None where there are no two exams."""
    errors = run.metrics.get(*run.place(variant), "imt_error_mm", "per_roi") or {}
    patients = [run.patients.get(region, region) for region in errors]
    return bootstrap(weighted_mean(list(errors.values())), patients) if len(set(patients)) > 1 else None


MEASURE = Measure(
    "Mean IMT error, mm", "by bootstrap over exams", ("imt_error_mm", "mean"), compute=_mean_imt_error, small=True
)
APPLICATION = Application(
    title="Carotid intima-media interfaces",
    about=(
        "Application: the lumen-intima and media-adventitia interfaces of the carotid artery in ultrasound, and from "
        "them the intima-media thickness (section VI-D of the paper). The net classifies the surrounding of every "
        "pixel of a region as lumen-intima interface, media-adventitia interface or neither."
    ),
    results=results,
    comparisons=comparisons,
    reduced=reduced,
    measure=lambda run: MEASURE,
)
