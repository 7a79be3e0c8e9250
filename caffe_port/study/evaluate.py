"""The third stage: every trained arm and the handcrafted competitor on the test cases, and ``metrics.json``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from caffe_port.errors import CaffeError, DataError, StudyError
from caffe_port.net import Net
from caffe_port.study.arms import Arm
from caffe_port.study.cases import Application, Case, Row
from caffe_port.study.folder import RunFolder, read_made, read_table, write_record, write_table
from caffe_port.study.prepare import Bars, read_same_split, silent
from caffe_port.study.settings import Settings, versions
from caffe_port.study.statistics.comparisons import PairTest, auc_tests, error_tests
from caffe_port.study.train import read_done

HANDCRAFTED = "handcrafted"
PICTURES = "pictures"


def score_arm(
    folder: RunFolder, app: Application, settings: Settings, arm: Arm, *, device: str = "cpu", bars: Bars = silent
) -> None:
    """Write ``scores.csv``, pictures and the measures of a trained arm, unless they are there.

    :raises StudyError: the arm is not trained.
    """
    target = folder.arm(arm.name)
    done = read_done(folder, settings, arm)
    if done is None:
        raise StudyError(
            f"The arm {arm.name} is not trained.", file=target, remedy="Run 'caffe-port study train' first."
        )
    if read_measures(target, settings) is not None:
        return
    net = Net(target / "deploy.prototxt", target / "best.caffemodel").to(device)
    cases = read_same_split(folder, app, settings).test
    with bars(f"Testing {arm.name} on {len(cases)} cases") as progress:
        rows = app.score(net, cases, settings, progress)
    pictures = target / PICTURES
    pictures.mkdir(exist_ok=True)
    app.pictures(net, cases, settings, pictures)
    convergence = {"epochs": done["epochs"], "seconds": done["seconds"], "validation_auc": done["validation_auc"]}
    _finish(target, app, settings, cases, rows, convergence)


def score_handcrafted(folder: RunFolder, app: Application, settings: Settings, bars: Bars = silent) -> None:
    """The same for the handcrafted competitor, which learns from all training cases."""
    if read_measures(folder.handcrafted, settings) is not None:
        return
    split = read_same_split(folder, app, settings)
    with bars("Handcrafted competitor") as progress:
        rows = app.handcrafted(split.train, split.test, settings, progress)
    _finish(folder.handcrafted, app, settings, split.test, rows, {})


def read_measures(target: Path, settings: Settings) -> dict[str, Any] | None:
    """What was measured in the folder of an arm; None if it was not, or its scores are gone.

    :raises StudyError: it was with other settings.
    """
    record = read_made(target / "measures.json", settings.digest(), ("measures",))
    return None if record is None or not (target / "scores.csv").exists() else dict(record["measures"])


def _finish(
    target: Path, app: Application, settings: Settings, cases: list[Case], rows: list[Row], more: Mapping[str, Any]
) -> None:
    if not rows:
        raise DataError(f"The application '{app.name}' scored no test case.", file=target)
    write_table(target / "scores.csv", list(dict.fromkeys(key for row in rows for key in row)), rows)
    measures = {**app.metrics(rows, cases, settings), **more}
    write_record(target / "measures.json", {"digest": settings.digest(), "measures": measures})


def write_metrics(folder: RunFolder, app: Application, settings: Settings, arms: Sequence[Arm]) -> dict[str, Any]:
    """Gather what the arms' folders hold into ``scores.csv`` and ``metrics.json``.

    :raises StudyError: nothing has been tested.
    """
    found = {arm.name: read_measures(folder.arm(arm.name), settings) for arm in arms}
    measured = {name: measures for name, measures in found.items() if measures is not None}
    handcrafted = read_measures(folder.handcrafted, settings)
    if not measured and handcrafted is None:
        raise StudyError("No arm has been tested.", file=folder.root, remedy="Run 'caffe-port study evaluate' first.")
    rows = {name: read_table(folder.arm(name) / "scores.csv") for name in measured}
    if handcrafted is not None:
        rows[HANDCRAFTED] = read_table(folder.handcrafted / "scores.csv")
    columns = dict.fromkeys(key for table in rows.values() for row in table for key in row)
    lines = [{"arm": name, **row} for name, table in rows.items() for row in table]
    write_table(folder.scores, ["arm", *columns], lines)
    subsets = {arm.name: arm.subset for arm in arms} | {HANDCRAFTED: ""}
    metrics: dict[str, Any] = {
        "application": settings.application,
        "arms": measured,
        HANDCRAFTED: handcrafted or {},
        "comparisons": list(_comparisons({**measured, HANDCRAFTED: handcrafted or {}}, rows, subsets)),
        "settings": settings.tables(),
        "versions": versions(),
    }
    write_record(folder.metrics, metrics)
    return metrics


def _comparisons(
    measures: Mapping[str, Mapping[str, Any]], rows: Mapping[str, list[dict[str, str]]], subsets: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Tests of all pairs of arms that had the same training set, on every measure that is paired: errors by region
    (Table S4), and the AUC of scores of labelled cases."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in rows:
        groups[subsets[name]].append(name)
    for names in groups.values():
        for key in dict.fromkeys(key for name in names for key in measures[name]):
            yield from _tests(key, {name: _by_region(measures[name].get(key)) for name in names}, error_tests)
        scores = {name: {row["case"]: float(row["score"]) for row in rows[name] if "score" in row} for name in names}
        labels = {row["case"]: row["label"] for row in rows[names[0]] if "label" in row}
        if set(labels.values()) == {"0", "1"}:
            order = [int(label) for label in labels.values()]
            yield from _tests("auc", scores, partial(auc_tests, labels=order))


def _tests(measure: str, values: Mapping[str, Mapping[str, float]], test: Any) -> Iterator[dict[str, Any]]:
    """Entries of ``comparisons`` on the arms that have a value for every one of the same cases."""
    usable = {name: value for name, value in values.items() if value}
    if len(usable) < 2:
        return
    ids = list(next(iter(usable.values())))
    arrays = {name: [value[i] for i in ids] for name, value in usable.items() if set(value) == set(ids)}
    try:
        found: list[PairTest] = test(arrays) if len(arrays) > 1 else []
    except CaffeError:
        return  # too few cases for a test: the measures themselves stand in metrics.json
    for entry in found:
        yield {"measure": measure, **asdict(entry)}


def _by_region(entry: Any) -> dict[str, float]:
    return entry.get("per_roi", {}) if isinstance(entry, dict) else {}
