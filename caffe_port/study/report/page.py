"""A page of one or several runs, from what was read of them to HTML."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from caffe_port.errors import StudyError
from caffe_port.files import atomic_write
from caffe_port.study.applications import application as application_of
from caffe_port.study.report import sections
from caffe_port.study.report.applications import APPLICATIONS, Application
from caffe_port.study.report.blocks import Number, Section
from caffe_port.study.report.run import Run, read_run

_ASSETS = Path(__file__).parent / "assets"
_NO_EVIDENCE = "show that the software works; they are no evidence about patients or the paper's question."


@dataclass(frozen=True)
class Notes:
    """What stands at the top of a page, or of a part of it.

    :param procedural: what to say where images were made by formulas; ``missing`` where something is not there yet.
    """

    procedural: str
    missing: str


@dataclass(frozen=True)
class Part(Notes):
    """What a page holds of one run. ``file`` is what it calls the run's metrics.json, which it holds whole."""

    name: str
    title: str
    sections: Sequence[Section]
    file: str
    metrics_base64: str


def write_report(folder: str | Path) -> Path:
    """Write ``report/index.html`` of the run in ``folder`` and return its path.

    The page holds everything it needs: a browser fetches nothing. Equal runs give equal pages.

    :raises StudyError: metrics.json or a table of the run is missing or damaged, there is no report for this
        application, or the page cannot be written.
    """
    run = read_run(folder)
    part = part_of(run)
    title = f"{part.title}: fine-tuning or full training"
    return write_page(run.folder.report, "report.html", title=title, part=part)


def part_of(run: Run) -> Part:
    """All sections of one run.

    :raises StudyError: see :func:`write_report`.
    """
    application = report_of(run)
    possible = [
        sections.what_was_run(run, application.about, application_of(run.application).class_names),
        application.results(run),
        application.comparisons(run),
        sections.convergence(run),
        application.reduced(run),
        sections.pictures(run),
        sections.settings(run),
        sections.reproduce(run),
    ]
    return Part(
        procedural=procedural("this run") if run.procedural else "",
        missing=f"There are no results yet for: {', '.join(run.missing)}." if run.missing else "",
        name=run.application,
        title=application.title,
        sections=[section for section in possible if section is not None],
        file=run.metrics.file,
        metrics_base64=base64.b64encode(json.dumps(run.metrics.content, indent=1).encode()).decode(),
    )


def report_of(run: Run) -> Application:
    """What is particular to the application of ``run``.

    :raises StudyError: there is no report for it.
    """
    if run.application not in APPLICATIONS:
        text = f"There is no report for the application '{run.application}'."
        remedy = f"There are reports for: {', '.join(APPLICATIONS)}."
        raise StudyError(text, remedy=remedy, file=run.folder.metrics)
    return APPLICATIONS[run.application]


def procedural(what: str) -> str:
    """What a page says of ``what`` where its images are no pictures of patients."""
    return f"The images of {what} were made by formulas. The numbers {_NO_EVIDENCE}"


def write_page(folder: Path, template: str, **content: Any) -> Path:
    """Write ``index.html`` in ``folder`` from one of the templates and return its path.

    :raises StudyError: it cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_ASSETS), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.globals["layout"] = _layout
    page = environment.get_template(template).render(
        style=(_ASSETS / "style.css").read_text(encoding="utf-8"),
        script=(_ASSETS / "script.js").read_text(encoding="utf-8"),
        **content,
    )
    path = folder / "index.html"
    folder.mkdir(exist_ok=True)
    with atomic_write(path, StudyError) as file:
        file.write(page.encode())
    return path


def _layout(pattern: str, numbers: tuple[Number, ...], show: jinja2.runtime.Macro) -> Markup:
    """A cell's numbers, each as ``show`` shows it, in the column's pattern."""
    return Markup(pattern).format(*(show(number) for number in numbers))
