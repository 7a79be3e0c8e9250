"""Sections that every application has: what was run, convergence, reduced training sets, pictures, settings."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from caffe_port.study.report import figures
from caffe_port.study.report.blocks import (
    Cell,
    Code,
    Column,
    Figure,
    Metrics,
    Number,
    Section,
    Table,
    Text,
)
from caffe_port.study.report.measure import Measure
from caffe_port.study.report.names import SCRATCH, Variant
from caffe_port.study.report.run import Run

#: At most so many pictures of one arm are put into the page.
PICTURES = 3
#: How the parts of the data are called.
SPLITS = {"train": "training", "val": "validation", "test": "test"}


def what_was_run(run: Run, application: str, class_names: Sequence[str]) -> Section:
    """Application, data, base net, arms, and how many cases, patients and patches are on each side."""
    data, base = (run.metrics.get("settings", key) or {} for key in ("data", "base"))
    sentences = [application]
    if data.get("test"):
        layout = data.get("test_dataset") or data["dataset"]
        sentences.append(
            f"Trained on {data['train']} (layout {data['dataset']}), tested on {data['test']} (layout {layout})."
        )
    elif data:
        sentences.append(f"Data (layout {data['dataset']}): {data['train']}, divided by patient for training and test.")
    start = f"pre-trained weights {base['weights']}" if base.get("weights") else "no pre-trained weights"
    sentences.append(f"Base net: {base.get('net')}, {start}.")
    parts = sorted({_part(v) for v in run.variants if v.fraction})
    smaller = f" Some also on {', '.join(f'{100 * part:g} %' for part in parts)} of the training set." if parts else ""
    titles = ", ".join(v.title for v in run.variants if not v.fraction)
    sentences.append(
        f"Compared: {titles}.{smaller} FT names the layers that were "
        "fine-tuned from the pre-trained weights, deepest first; scratch is the same net from random weights."
    )
    return Section("run", "What was run", [Text(sentences), _splits(run, class_names)])


def _splits(run: Run, class_names: Sequence[str]) -> Table:
    labels = sorted({label for _, label in run.patches})
    names = {str(n): name for n, name in enumerate(class_names)}
    columns = [
        Column("Part"),
        Column("Cases"),
        Column("Patients"),
        *(Column(f"Patches: {names.get(x, x)}") for x in labels),
    ]
    rows = []
    for split, counts in run.cases.items():
        numbers = [*counts, *(run.patches.get((split, label), 0) for label in labels)]
        cells = [Cell(numbers=(Number(f"{n:,}", n),)) if n else Cell("–") for n in numbers]
        rows.append([Cell(SPLITS.get(split, split)), *cells])
    return Table(
        "splits", "Cases, patients and patches in each part.", columns, rows,
        "Counted in cases.csv and patches.csv. No patient (exam, video) is in two parts. The validation part decides "
        "when a training stops; the test part is seen once, at the end.",
    )  # fmt: skip


def convergence(run: Run) -> Section:
    """Fig. 10: AUC on the validation set after every epoch."""
    shown = [v for v in run.variants if not v.fraction and run.metrics.get(*run.place(v), "validation_auc")]
    if not shown:
        return Section("convergence", "Convergence", [Text(["metrics.json holds no validation AUC by epoch."])])
    deepest = next((v for v in shown if v.arm != SCRATCH), None)
    lines = []
    for variant in shown:
        values = run.metrics.get(*run.place(variant), "validation_auc")
        strong = variant is deepest or variant.arm == SCRATCH
        style = run.styles[variant.name]
        lines.append(figures.Line(variant.title, style, range(1, len(values) + 1), values, strong=strong))
    figure = Figure(
        "convergence-figure",
        "AUC on the validation set after each epoch (Fig. 10). A dot marks the best epoch; its snapshot was tested. "
        "Thick: the deepest fine-tuning and scratch with its initialisations.",
        [figures.convergence("convergence-svg", lines)],
    )
    return Section("convergence", "Convergence", [figure, _convergence_table(run, shown)])


def _convergence_table(run: Run, shown: Sequence[Variant]) -> Table:
    rows = []
    for variant in shown:
        place = (*run.place(variant), "validation_auc")
        values = run.metrics.get(*place)
        best = max(range(len(values)), key=values.__getitem__)
        near = next(n for n, value in enumerate(values) if value >= values[best] - 0.01)
        counts = [Number(str(n), n) for n in (best + 1, near + 1)]
        cells = [run.metrics.cell((*place, 0)), run.metrics.cell((*place, best)), *(Cell(numbers=(n,)) for n in counts)]
        cells.append(run.metrics.cell((*run.place(variant), "epochs"), form="d"))
        rows.append([Cell(variant.title), *cells, run.metrics.cell((*run.place(variant), "seconds"), form=".0f")])
    columns = ("Arm", "AUC after epoch 1", "Best AUC", "Best epoch", "First within 0.01 of it", "Epochs", "Training, s")
    return Table(
        "convergence-table", "How soon each training came near its best.", [Column(title) for title in columns], rows,
        "The best epoch and the first one within 0.01 of its AUC are counted from validation_auc in metrics.json. One "
        "training per row: with another seed it may differ.",
    )  # fmt: skip


def reduced(run: Run, measure: Measure, place: str, curves: Sequence[Figure] = ()) -> Section | None:
    """The application's main measure by the part of the training set; None where no fraction was run.

    :param place: where the paper has the like; ``curves`` what is to stand before it.
    """
    of_kind = {v.kind: [w for w in run.variants if w.kind == v.kind] for v in run.variants if v.fraction}
    if not of_kind:
        return None
    columns = [Column("Arm"), Column("Part of the training set"), Column("Draw"), measure.column()]
    rows = []
    every = [variant for group in of_kind.values() for variant in group]
    for variant in sorted(every, key=lambda v: (v.kind, _part(v), int(v.draw or 1))):
        part = Number(f"{100 * _part(variant):g} %", _part(variant))
        draw = variant.draw or ("1" if variant.fraction else "")
        rows.append(
            [Cell(Variant.parse(variant.kind).title), Cell(numbers=(part,)), Cell(draw), measure.cell(run, variant)]
        )
    caption = f"{measure.title} by the part of the training set that was used ({place})."
    note = f"In brackets the 95 % interval {measure.interval}."
    lines = [line for group in of_kind.values() for line in _line(run, group, measure)]
    legend = "Bars: 95 % intervals." if any(line.bars for line in lines) else ""
    if any(line.dots for line in lines):
        legend += " Small dots: one random subset each; lines: their means."
    blocks: list[Figure | Table] = [*curves]
    if lines:
        panel = figures.reduced("reduced-svg", measure.title, lines)
        blocks.append(Figure("reduced-figure", f"{caption} {legend}".strip(), [panel]))
    blocks.append(Table("reduced-table", caption, columns, rows, note))
    return Section("reduced", "Reduced training sets", blocks)


def by_part(run: Run) -> tuple[list[Variant], str]:
    """The deepest fine-tuning and scratch on every part of the training set, as in Figs. 2b, 4b and 6b; and what the
    caption of their curves says: of several subsets of one size the first is shown."""
    reduced = [v for v in run.variants if v.fraction]
    deepest = next((v.kind for v in reduced if v.arm != SCRATCH), None)
    asked = {deepest, *(v.kind for v in reduced if v.arm == SCRATCH)}
    shown = [v for v in run.variants if v.kind in asked and not v.draw]
    draws = " Of several random subsets of one size, the first." if any(v.draw for v in run.variants) else ""
    return shown, f"the deepest fine-tuning and scratch by the part of the training set.{draws}"


def _part(variant: Variant) -> float:
    return float(variant.fraction or 1)


def _line(run: Run, group: Sequence[Variant], measure: Measure) -> Iterator[figures.Line]:
    """One arm's line through the means of all draws of a size, or none; intervals where there is one draw of each."""
    values = {v: value for v in group if (value := run.metrics.get(*run.place(v), *measure.keys)) is not None}
    parts = sorted({_part(v) for v in values})
    draws = {part: [v for v in values if _part(v) == part] for part in parts}
    means = [sum(values[v] for v in draws[part]) / len(draws[part]) for part in parts]
    title, style = Variant.parse(group[0].kind).title, run.styles[group[0].name]
    if len(values) > len(parts):
        yield figures.Line(title, style, parts, means, dots=[(_part(v), value) for v, value in values.items()])
    elif parts:
        intervals = [measure.of(run, draws[part][0]) for part in parts]
        known = [interval for interval in intervals if interval]
        ends = [[i.low for i in known], [i.high for i in known]] if len(known) == len(parts) else []
        yield figures.Line(title, style, parts, means, bars=ends)


def pictures(run: Run) -> Section | None:
    """What the application drew with the trained nets; None where it drew nothing."""
    blocks = []
    for number, variant in enumerate(run.whole):
        paths = run.pictures(variant)[:PICTURES]
        panels = [_image(path.read_bytes(), f"{variant.title}: {path.stem}") for path in paths]
        titles = [path.stem for path in paths] if len(paths) > 1 else ()
        if panels:
            caption = f"{variant.title}: what its net makes of test data."
            blocks.append(Figure(f"pictures-{number}", caption, panels, titles, "small" if titles else "large"))
    return Section("pictures", "Pictures", blocks) if blocks else None


def _image(png: bytes, description: str) -> str:
    data = base64.b64encode(png).decode()
    return Markup('<img alt="{}" src="data:image/png;base64,{}">').format(description, data)


def settings(run: Run) -> Section:
    """Everything that decided the result, and the versions of the software."""
    return Section(
        "settings",
        "Settings and versions",
        [
            _listing(run.metrics, "settings", "Settings", "Everything that decides the result, as in study.toml."),
            _listing(run.metrics, "versions", "Versions", "The software that made this run."),
        ],
    )


def _listing(metrics: Metrics, key: str, title: str, caption: str) -> Table:
    rows = []
    entries = {name: value for name, value in (metrics.get(key) or {}).items() if name != "versions"}
    for keys, value in _leaves(entries, (key,)):
        text = _words(value)
        rows.append([Cell(".".join(map(str, keys[1:]))), Cell(numbers=(metrics.shown(text, *keys),))])
    return Table(key + "-table", caption, [Column(title), Column("Value", words=True)], rows)


def _leaves(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Everything that is no mapping, with its keys."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*keys, key))
    else:
        yield keys, value


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value not in ("", None) else "none"


def reproduce(run: Run) -> Section:
    """The commands that make this run again."""
    application = run.metrics.get("application")
    lines = [
        "# Anew, in a new folder RUN that holds a copy of this run's study.toml:",
        f"caffe-port study run {application} --out RUN",
        "# Only this page, from the numbers that are there:",
        f"caffe-port study report {application} --out RUN",
    ]
    return Section("reproduce", "How to reproduce", [Code("\n".join(lines))])
