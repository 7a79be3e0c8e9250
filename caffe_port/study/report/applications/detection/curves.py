"""FROC curves: of all arms with bands (Figs. 2a, 4a), and by the part of the training set (Figs. 2b, 4b)."""

from __future__ import annotations

from collections.abc import Sequence

from caffe_port.study.report import figures, sections
from caffe_port.study.report.applications.detection.operating_points import intervals, kind_of, points_of
from caffe_port.study.report.blocks import Figure
from caffe_port.study.report.names import HANDCRAFTED, SCRATCH, Variant
from caffe_port.study.report.run import Run


def figures_of(run: Run, shown: Sequence[Variant]) -> list[Figure]:
    """The curves of the arms ``shown`` in one picture, and a representative subset with bands."""
    if not shown:
        return []
    kind, strong = kind_of(run), _representative(shown)
    curves = [curve_of(run, variant, variant in strong) for variant in shown]
    axis, cut = axis_of(run, curves)
    bands = [curve for curve in curves if curve.strong]
    scratch = next((curve for curve in curves if curve.title == SCRATCH), None)
    panels = [
        figures.froc_band(f"froc-{number}-svg", curve, scratch if curve is not scratch else None, axis)
        for number, curve in enumerate(bands)
    ]
    caption = (
        "Representative curves with the 95 % band of the model (dashed), and bars: the bootstrap's intervals of the "
        "table. Grey: scratch, to compare."
    )
    if without := [curve.title for curve in bands if curve.model is None]:
        caption += f" The model cannot be fitted to {', '.join(without)}."
    thin = " Thick: a representative subset." if len(bands) < len(curves) else ""
    return [
        Figure(
            "froc-figure", f"FROC curves of all arms ({kind.figure}a).{thin} Dotted: the operating points.{cut}",
            [figures.froc_curves("froc-svg", curves, axis)],
        ),
        Figure("froc-bands", caption, panels, [curve.title for curve in bands], size="small"),
    ]  # fmt: skip


def _representative(variants: Sequence[Variant]) -> list[Variant]:
    """The deepest, a middle and the shallowest fine-tuning, scratch and the handcrafted method, as in the paper."""
    tuned = [v for v in variants if v.arm not in (SCRATCH, HANDCRAFTED)]
    chosen = {0, len(tuned) // 2, len(tuned) - 1}
    return [v for v in variants if v not in tuned or tuned.index(v) in chosen]


def curve_of(run: Run, variant: Variant, strong: bool = True) -> figures.Froc:
    """What a figure shows of one arm."""
    place = run.place(variant)
    fp, sensitivity = (run.metrics.get(*place, "froc", key) for key in ("fp", "sensitivity"))
    points = {float(point): interval for point, interval in intervals(run, variant, "bootstrap").items()}
    model = run.metrics.get(*place, "model")
    return figures.Froc(variant.title, run.styles[variant.name], fp, sensitivity, model, points, strong)


def axis_of(run: Run, curves: Sequence[figures.Froc]) -> tuple[figures.FrocAxis, str]:
    """The axis, and a sentence where it ends before the curves do."""
    kind, points = kind_of(run), [float(point) for point in points_of(run)]
    longest, largest = max(curve.fp[-1] for curve in curves), max(points, default=0.0)
    end = max(longest, 2 * largest) if kind.log or not points else 1.25 * largest
    cut = f" The curves go on to {longest:.3g} false positives per {kind.unit}." if longest > end else ""
    return figures.FrocAxis(kind.unit, points, end or 1.0, kind.log), cut


def reduced_curves(run: Run) -> list[Figure]:
    """FROC curves by the part of the training set, or none."""
    variants, what = sections.by_part(run)
    shown = [variant for variant in variants if run.metrics.get(*run.place(variant), "froc", "fp")]
    if not shown:
        return []
    curves = [curve_of(run, variant, strong=not variant.fraction) for variant in shown]
    axis, cut = axis_of(run, curves)
    caption = f"FROC curves ({kind_of(run).figure}b): {what} Thick: the whole one.{cut}"
    panel = figures.froc_curves("reduced-froc-svg", curves, axis, columns=2)
    return [Figure("reduced-curves", caption, [panel])]
