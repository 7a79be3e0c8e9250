"""What the report of a run asks of its application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from caffe_port.study.report.blocks import Section
from caffe_port.study.report.measure import Measure
from caffe_port.study.report.run import Run


@dataclass(frozen=True)
class Application:
    """The report of one application.

    :param about: one sentence on what is classified.
    :param results: the section of measures and curves; ``comparisons`` that of all pairs of arms.
    :param reduced: the section on smaller training sets; it gives None where there were none.
    :param measure: gives None where the run has no number to rank arms by.
    """

    title: str
    about: str
    results: Callable[[Run], Section]
    comparisons: Callable[[Run], Section]
    reduced: Callable[[Run], Section | None]
    measure: Callable[[Run], Measure | None]
