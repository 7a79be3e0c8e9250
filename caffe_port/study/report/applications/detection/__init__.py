"""Polyps and pulmonary embolism: FROC curves (Figs. 2, 4) and their comparisons (Tables S1, S2)."""

from __future__ import annotations

from caffe_port.study.report import sections
from caffe_port.study.report.applications.application import Application
from caffe_port.study.report.applications.detection.comparisons import comparisons
from caffe_port.study.report.applications.detection.curves import reduced_curves
from caffe_port.study.report.applications.detection.operating_points import kind_of, measure
from caffe_port.study.report.applications.detection.results import results
from caffe_port.study.report.blocks import Section
from caffe_port.study.report.run import Run


def reduced(run: Run) -> Section | None:
    """FROC curves and the measure by the part of the training set; None where there were no smaller ones."""
    main, curves = measure(run), reduced_curves(run)
    if main:
        return sections.reduced(run, main, f"{kind_of(run).figure}b", curves)
    return Section("reduced", "Reduced training sets", curves) if curves else None


POLYPS = Application(
    title="Polyps in colonoscopy",
    about=(
        "Application: finding polyps in frames of colonoscopy videos (section VI-A of the paper). A detector proposes "
        "candidates; a candidate's score is the mean of the net's probability over patches of three sizes, shifted and "
        "mirrored. A polyp counts as found when it is found in any frame that shows it."
    ),
    results=results,
    comparisons=comparisons,
    reduced=reduced,
    measure=measure,
)
EMBOLISM = Application(
    title="Pulmonary embolism in CT",
    about=(
        "Application: finding emboli in CT angiograms of the lungs (section VI-B of the paper). Tobogganing proposes "
        "candidates; a candidate's score is the mean of the net's probability over patches that are aligned with the "
        "vessel, of three widths, shifted and turned. An embolus counts as found when any of its candidates is."
    ),
    results=results,
    comparisons=comparisons,
    reduced=reduced,
    measure=measure,
)

__all__ = ["EMBOLISM", "POLYPS"]
