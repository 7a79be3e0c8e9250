"""Results of frame classification: ROC curves with bands (Fig. 6), TPR at fixed FPR, comparisons (Table S3)."""

from __future__ import annotations

from caffe_port.errors import StatisticsError
from caffe_port.study.report import figures, pairs, sections
from caffe_port.study.report.applications.application import Application
from caffe_port.study.report.blocks import ABSENT, INTERVAL, Cell, Column, Figure, Section, Table, Text
from caffe_port.study.report.measure import Measure
from caffe_port.study.report.names import SCRATCH, Variant
from caffe_port.study.report.run import Run
from caffe_port.study.statistics.binormal import Binormal, fit_binormal
from caffe_port.study.statistics.bootstrap import bootstrap, difference, weighted_auc
from caffe_port.study.statistics.comparisons import separations
from caffe_port.study.statistics.intervals import Interval
from caffe_port.study.statistics.roc import roc_curve

Rows = list[dict[str, str]]
MEASURE = Measure("AUC", "after DeLong", ("auc",), (("auc_ci95", 0), ("auc_ci95", 1)))


def results(run: Run) -> Section:
    """AUC and TPR at fixed FPR per arm, and the ROC curves."""
    rates = _rates(run)
    columns = [Column("Arm"), Column("AUC", **INTERVAL)]
    columns += [Column(f"TPR at {100 * float(rate):g} % FPR", **INTERVAL) for rate in rates]
    table = Table(
        "results-table", "Area under the ROC curve, and true positive rate at fixed false positive rates, by frame.",
        columns, [_row(run, variant, rates) for variant in run.whole],
        "In brackets the 95 % intervals; that of the AUC after DeLong.",
    )  # fmt: skip
    scores = run.scores()
    curves = [_curve(run, variant, scores[variant.name]) for variant in run.whole if variant.name in scores]
    return Section("results", "Results", [Text([_best(run)]), table, *_figures(curves)])


def _rates(run: Run) -> list[str]:
    """The false positive rates, as metrics.json writes them, that every arm has."""
    of_arms = [run.metrics.get(*run.place(v), "tpr_at_fpr") or {} for v in run.whole]
    return [rate for rate in (of_arms[0] if of_arms else {}) if all(rate in rates for rates in of_arms)]


def _row(run: Run, variant: Variant, rates: list[str]) -> list[Cell]:
    place, metrics = run.place(variant), run.metrics
    cells = [metrics.cell((*place, "auc"), (*place, "auc_ci95", 0), (*place, "auc_ci95", 1))]
    for rate in rates:
        point = (*place, "tpr_at_fpr", rate)
        cells.append(metrics.cell((*point, "tpr"), (*point, "ci95", 0), (*point, "ci95", 1)))
    return [Cell(variant.title), *cells]


def _best(run: Run) -> str:
    areas = {v.title: run.metrics.get(*run.place(v), "auc") for v in run.whole}
    known = {name: area for name, area in areas.items() if area is not None}
    if not known:
        return "metrics.json holds no AUC."
    best = max(known, key=known.__getitem__)
    return f"Largest AUC: {best}, {known[best]:.3f}. Whether it differs from the others is asked under Comparisons."


def _curve(run: Run, variant: Variant, rows: Rows) -> figures.Curve:
    scores, labels = [float(row["score"]) for row in rows], [int(row["label"]) for row in rows]
    band: Binormal | None
    try:
        band = fit_binormal(scores, labels)
    except StatisticsError:
        band = None  # degenerate: the caption says that such a curve has no band
    points = {float(rate): _interval(run, variant, rate) for rate in _rates(run)}
    return figures.Curve(variant.title, run.styles[variant.name], roc_curve(scores, labels), band, points)


def _interval(run: Run, variant: Variant, rate: str) -> Interval:
    point = run.metrics.get(*run.place(variant), "tpr_at_fpr", rate)
    return Interval(point["tpr"], *point["ci95"])


def _figures(curves: list[figures.Curve]) -> list[Figure]:
    if not curves:
        return []
    scratch = next((curve for curve in curves if curve.title == SCRATCH), None)
    panels = [
        figures.roc_band(f"roc-{number}-svg", curve, scratch if curve is not scratch else None)
        for number, curve in enumerate(curves)
    ]
    without = [curve.title for curve in curves if curve.band is None]
    caption = (
        "Each arm's curve with the 95 % band of the binormal curve of maximum likelihood (dashed), and bars: the "
        "intervals of the table. Grey: scratch, to compare."
    )
    if without:
        caption += f" The binormal model cannot be fitted to {', '.join(without)} (the classes are separated too well)."
    return [
        Figure(
            "roc-figure", "ROC curves of all arms (Fig. 6a), drawn from scores.csv: one score per test frame.",
            [figures.roc_curves("roc-svg", curves)],
        ),
        Figure("roc-bands", caption, panels, [curve.title for curve in curves], size="small"),
    ]  # fmt: skip


def comparisons(run: Run) -> Section:
    """Non-overlap of intervals at the operating points for every pair of arms (Table S3), and DeLong's tests."""
    rates = _rates(run)
    arms = {v.name: [_interval(run, v, rate) for rate in rates] for v in run.whole}
    apart = {frozenset((s.a, s.b)): s.points for s in separations(arms, [float(rate) for rate in rates])}

    def cell(a: str, b: str) -> Cell:
        points = apart[frozenset((a, b))]
        return Cell(", ".join(f"{100 * p:g}" for p in points) or "none", mark="yes" if points else "no")

    table = pairs.matrix(
        "separations", "Pairs of ROC curves (Table S3): at which false positive rates, in %, the two curves differ.",
        run.whole, cell, "They differ where their 95 % intervals in the table of results do not overlap.",
    )  # fmt: skip
    tests, scores, rows = pairs.Tests(run, "auc"), run.scores(), []
    for a, b in pairs.questions(run.whole):
        gap = _difference(scores[a.name], scores[b.name]) if a.name in scores and b.name in scores else None
        rows.append(pairs.finding(tests, "AUC", a, b, gap, low=False))
        points = apart[frozenset((a.name, b.name))]
        where = ", ".join(f"{100 * p:g} %" for p in points)
        words = f"The intervals do not overlap at {where} FPR." if points else "The intervals overlap at every rate."
        rows.append(pairs.Finding(a, b, "TPR at fixed FPR", None, Cell(ABSENT), bool(points), words))
    caution = (
        "Intervals that do not overlap are a stricter criterion than a test at 0.05. Intervals and tests take frames "
        "as independent; frames of one video are not, so intervals are too narrow and p too small rather than the "
        "contrary, and the bootstrap draws whole videos. One seed was run: how much "
        "results differ between seeds is not in these numbers."
    )
    blocks: list[Text | Table] = [pairs.findings(rows), Text([caution]), table]
    if tests:
        blocks.append(tests.table("auc-pairs", "AUC: DeLong's test of every pair of arms.", run.whole))
    return Section("comparisons", "Comparisons", blocks)


def _difference(first: Rows, second: Rows) -> Interval | None:
    """AUC of the first arm minus that of the second on the same frames; None where there are others or one patient."""
    labels = [int(row["label"]) for row in first]
    patients = [row["patient"] for row in first]
    if [row["case"] for row in first] != [row["case"] for row in second] or len(set(patients)) < 2:
        return None
    areas = [weighted_auc([float(row["score"]) for row in rows], labels) for rows in (first, second)]
    return bootstrap(difference(*areas), patients, strata=labels)


def reduced(run: Run) -> Section | None:
    """ROC curves and AUC by the part of the training set."""
    scores = run.scores()
    variants, what = sections.by_part(run)
    curves = [_curve(run, variant, scores[variant.name]) for variant in variants if variant.name in scores]
    if not curves:
        return sections.reduced(run, MEASURE, "Fig. 6b")
    panel = figures.roc_curves("reduced-roc-svg", curves, columns=2)
    return sections.reduced(
        run, MEASURE, "Fig. 6b", [Figure("reduced-curves", f"ROC curves (Fig. 6b): {what}", [panel])]
    )


APPLICATION = Application(
    title="Informative and non-informative colonoscopy frames",
    about=(
        "Application: telling informative colonoscopy frames from non-informative ones (section VI-C of the paper). A "
        "frame's score is the mean of the net's probability over sub-images at random places."
    ),
    results=results,
    comparisons=comparisons,
    reduced=reduced,
    measure=lambda run: MEASURE,
)
