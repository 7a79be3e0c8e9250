"""The page of the whole study: all applications that were run, and which depth each of them needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from caffe_port.errors import StudyError
from caffe_port.study.report.applications import APPLICATIONS
from caffe_port.study.report.blocks import Cell, Code, Column, Number, Section, Table, Text, within
from caffe_port.study.report.conclusions import conclusions
from caffe_port.study.report.page import Notes, part_of, procedural, report_of, write_page
from caffe_port.study.report.run import Run, read_run


def write_whole_report(root: Path) -> Path:
    """Write ``root/report/index.html`` about all runs in folders of ``root`` that are called as their applications
    (``root/polyps``, ``root/frames``) and have a metrics.json; return its path.

    As with :func:`~caffe_port.study.report.page.write_report`, a browser fetches nothing.

    :raises StudyError: there is none; one is damaged, or of another application than its folder says; the page cannot
        be written.
    """
    runs = [read_run(root / name, name) for name in APPLICATIONS if (root / name / "metrics.json").exists()]
    if not runs:
        raise StudyError(
            "holds no run with results.", file=root,
            remedy=f"Give the folder above runs that are called {', '.join(APPLICATIONS)}.",
        )  # fmt: skip
    for run in runs:
        if run.application != run.folder.root.name:
            text = f"is of the application '{run.application}', not of that of its folder."
            raise StudyError(text, file=run.folder.metrics, remedy="Rename the folder.")
    parts = [part_of(run) for run in runs]
    own = [
        replace(part, sections=[within(section, part.name) for section in part.sections if section.name != "reproduce"])
        for part in parts
    ]
    return write_page(
        root / "report", "whole.html", title="Fine-tuning or full training: the whole study", study=_notes(runs),
        first=[_overview(runs)], parts=own, last=[conclusions(runs), _reproduce(runs)],
    )  # fmt: skip


def _titles(names: Sequence[str]) -> str:
    return "; ".join(APPLICATIONS[name].title for name in names)


def _notes(runs: Sequence[Run]) -> Notes:
    """What the top of the page says."""
    generated = [run.application for run in runs if run.procedural]
    absent = [name for name in APPLICATIONS if name not in {run.application for run in runs}]
    unfinished = [run.application for run in runs if run.missing]
    missing = f"There are no results of: {_titles(absent)}. " if absent else ""
    missing += f"Arms are missing of: {_titles(unfinished)}." if unfinished else ""
    return Notes(procedural(_titles(generated)) if generated else "", missing.strip())


def _overview(runs: Sequence[Run]) -> Section:
    """One row for each application."""
    rows = []
    for run in runs:
        cases, patients = run.cases.get("test", (0, 0))
        learned, _ = run.cases.get("train", (0, 0))
        where = ("settings", "data", "dataset")
        data = Cell(numbers=(run.metrics.shown(str(run.metrics.get(*where)), *where),))
        numbers = [Cell(numbers=(Number(f"{n:,}", n),)) for n in (learned, cases, patients, len(run.whole))]
        generated = Cell("yes" if run.procedural else "no")
        rows.append([Cell(report_of(run).title), data, generated, *numbers])
    titles = ("Training cases", "Test cases", "Test patients", "Arms")
    columns = [Column("Application", words=True), Column("Layout"), Column("Made by formulas")]
    table = Table(
        "overview-table", "What was run.", [*columns, *(Column(title) for title in titles)], rows,
        "Counted in cases.csv of every run; arms on the whole training set, with the handcrafted competitor. Images "
        "made by formulas are told by the names of their cases.",
    )  # fmt: skip
    sentence = (
        "One net is fine-tuned to every depth and trained from scratch, for each application: is fine-tuning enough, "
        "and how deep must it go? Figures and tables are numbered as in the paper (Figs. 2, 4, 6, 9, 10, Tables S1 to "
        "S4)."
    )
    return Section("overview", "The study", [Text([sentence]), table])


def _reproduce(runs: Sequence[Run]) -> Section:
    """The commands that make this again."""
    lines = ["# Every application anew, each in a new folder that holds a copy of its study.toml:"]
    lines += [f"caffe-port study run {run.application} --out ROOT/{run.application}" for run in runs]
    lines += ["# Then this page:", "caffe-port study report all --out ROOT"]
    return Section("reproduce", "How to reproduce", [Code("\n".join(lines))])
