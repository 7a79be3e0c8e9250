"""The page of a run, from its folder to HTML."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from types import ModuleType

import jinja2
from markupsafe import Markup

from caffe_port.errors import StudyError
from caffe_port.files import atomic_write
from caffe_port.study.applications import application as application_of
from caffe_port.study.report import frames, interfaces, sections
from caffe_port.study.report.blocks import Number, Section
from caffe_port.study.report.run import Run, read_run

#: What is particular to an application.
APPLICATIONS: dict[str, ModuleType] = {"interfaces": interfaces, "frames": frames}
_ASSETS = Path(__file__).parent / "assets"
_PROCEDURAL = (
    "The images of this run were made by formulas. Its numbers show that the software works; they are no evidence "
    "about patients or the paper's question."
)


def write_report(folder: str | Path) -> Path:
    """Write ``report/index.html`` of the run in ``folder`` and return its path.

    The page holds everything it needs: a browser fetches nothing. Equal runs give equal pages.

    :raises StudyError: metrics.json or a table of the run is missing or damaged, there is no report for this
        application, or the page cannot be written.
    """
    run = read_run(folder)
    path = run.folder.report / "index.html"
    page = render(run)
    path.parent.mkdir(exist_ok=True)
    with atomic_write(path, StudyError) as file:
        file.write(page.encode())
    return path


def render(run: Run) -> str:
    """The page as text."""
    name = run.metrics.get("application")
    application = APPLICATIONS.get(name)
    if application is None:
        known = ", ".join(APPLICATIONS)
        text = f"There is no report for the application '{name}'."
        raise StudyError(text, remedy=f"There are reports for: {known}.", file=run.folder.metrics)
    possible: list[Section | None] = [
        sections.what_was_run(run, application.ABOUT, application_of(name).class_names),
        application.results(run),
        application.comparisons(run),
        sections.convergence(run),
        sections.reduced(run, *application.REDUCED),
        sections.pictures(run),
        sections.settings(run),
        sections.reproduce(run),
    ]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_ASSETS), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.globals["layout"] = _layout
    return environment.get_template("report.html").render(
        title=f"{application.TITLE}: fine-tuning or full training",
        banner=_PROCEDURAL if run.procedural else "",
        missing=f"There are no results yet for: {', '.join(run.missing)}." if run.missing else "",
        sections=[section for section in possible if section is not None],
        style=(_ASSETS / "style.css").read_text(encoding="utf-8"),
        script=(_ASSETS / "script.js").read_text(encoding="utf-8"),
        metrics_base64=base64.b64encode(json.dumps(run.metrics.content, indent=1).encode()).decode(),
    )


def _layout(pattern: str, numbers: tuple[Number, ...], show: jinja2.runtime.Macro) -> Markup:
    """A cell's numbers, each as ``show`` shows it, in the column's pattern."""
    return Markup(pattern).format(*(show(number) for number in numbers))
