"""Candidates, their patches and scores, and FROC measures, through a whole run."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from caffe_port import Net
from caffe_port.errors import CaffeWarning, DataError, StudyError
from caffe_port.study.cases import Candidate, Case, Detection
from caffe_port.study.detection import detection_metrics, rows_of
from caffe_port.study.folder import read_table
from caffe_port.study.prepare import read_same_split, read_split
from caffe_port.study.split import reduced
from tests.study import dots, tiny


@pytest.fixture
def app():
    return dots.Dots()


@pytest.fixture
def study(make_study, app, monkeypatch):
    monkeypatch.setattr(dots, "APPLICATION", app)

    def make(**settings):
        return make_study(app=app, data="dots", **settings)

    return make


def labels(study, subset=""):
    return Counter((row["split"], row["label"]) for row in read_table(study.folder.patches(subset)))


def test_which_applications_detect(app):
    assert isinstance(app, Detection)
    assert not isinstance(tiny.APPLICATION, Detection)


def test_the_detector_learns_from_training_cases_and_is_asked_once(study, app):
    run = study()
    cases = read_table(run.folder.cases)
    assert sorted(app.learned_from) == [row["case"] for row in cases if row["split"] != "test"]
    run.prepare()
    assert app.calls == 1


def test_candidates_csv_gives_the_candidates_back(study, app):
    run = study()
    split = read_same_split(run.folder, app, run.settings)
    expected = app.candidates(split.train, [*split.train, *split.test], run.settings, None)
    for case in [*split.train, *split.test]:
        assert list(case.candidates) == expected[case.id]
        assert len(case.candidates) == 2


def test_patches_are_balanced_and_cut_where_the_candidates_are(study):
    """Four training patients, two of them with a lesion in three of four frames; three copies of each patch."""
    run = study()
    found = labels(run)
    assert found["train", "0"] == found["train", "1"]
    assert found["val", "0"] == found["val", "1"]
    assert found["train", "1"] + found["val", "1"] == 2 * 3 * 3
    assert {row["candidate"] for row in read_table(run.folder.patches()) if row["label"] == "1"} == {"x=15,y=15"}


def test_at_most_so_many_patches(study):
    run = study(patches=20)
    assert labels(run) == {(split, label): n for split, n in (("train", 8), ("val", 2)) for label in "01"}


def test_pixels_are_asked_for_only_if_kept(study, monkeypatch):
    cut, asked = dots._cut, []
    monkeypatch.setattr(dots, "_cut", lambda case, candidate: asked.append(case.id) or cut(case, candidate))
    run = study(patches=20)
    assert len(asked) == len(read_table(run.folder.patches())) == 20


def test_a_smaller_training_set_has_fewer_lesions():
    def case(number, lesions, candidates):
        found = tuple(Candidate(f"c{i}", 0.5, lesion) for i, lesion in enumerate(candidates))
        return Case(f"v{number}", f"p{number}", lesions=lesions, candidates=found)

    cases = [
        case(1, ("p1/1", "p1/2"), ("p1/1", "p1/1", "p1/2", "")),
        case(2, ("p2/1",), ("p2/1", "")),
        case(3, ("p3/1",), ("",)),
        case(4, (), ("", "")),
    ]
    quarter, half = (reduced(cases, share, "lesion", 1) for share in (0.25, 0.5))
    for part, number in ((quarter, 1), (half, 2)):
        assert [c.id for c in part] == ["v1", "v2", "v3", "v4"]
        kept = {lesion for c in part for lesion in c.lesions}
        assert len(kept) == number
        for before, after in zip(cases, part):
            assert [c.id for c in after.candidates] == [
                c.id for c in before.candidates if not c.lesion or c.lesion in kept
            ]
    assert {x for c in quarter for x in c.lesions} < {x for c in half for x in c.lesions}


def test_a_run(study):
    run = study(arms=("ip1", "scratch"), base_lr=0.05)
    run.train()
    metrics = run.evaluate()
    rows = read_table(run.folder.scores)
    assert list(rows[0]) == ["arm", "case", "patient", "candidate", "lesion", "score"]
    mine = [row for row in rows if row["arm"] == "ip1"]
    assert len(mine) == 2 * sum(row["split"] == "test" for row in read_table(run.folder.cases))
    net = Net(run.folder.arm("ip1") / "deploy.prototxt", run.folder.arm("ip1") / "best.caffemodel")
    for row in mine[:6]:
        x, y = (int(part[2:]) for part in row["candidate"].split(","))
        image = cv2.imread(f"{run.settings.data.train}/{row['case']}.png")[y - 6 : y + 6, x - 6 : x + 6]
        values = torch.from_numpy((image.transpose(2, 0, 1)[None].astype(np.float32) - 128) * np.float32(0.02))
        assert float(row["score"]) == pytest.approx(net(data=values)["prob"][0, 1].item(), rel=1e-5)
    entry = metrics["arms"]["ip1"]
    frames = 16
    assert entry["counts"] == {
        "units": frames, "patients": 4, "lesions": 2, "found": 2, "false_positives": 2 * frames - 2 * 3,
    }  # fmt: skip
    assert list(entry["sensitivity_at_fp"]) == ["0.25", "1"]
    assert metrics == json.loads(run.folder.metrics.read_text())
    # The detector itself calls every ring likelier than every dot: 16 false ones, one in each frame, come first.
    handcrafted = metrics["handcrafted"]["sensitivity_at_fp"]
    assert handcrafted["0.25"]["sensitivity"] == 0
    assert handcrafted["1"]["sensitivity"] == 0


def test_metrics_by_direct_count():
    """Two lesions found of three; b's better candidate counts. Two units of three have false candidates."""
    cases = [
        Case("1", "p", lesions=("p/a",), candidates=(Candidate("1", 0), Candidate("2", 0, "p/a"))),
        Case("2", "p", lesions=("p/a", "p/c"), candidates=(Candidate("1", 0, "p/a"), Candidate("2", 0))),
        Case("3", "q", lesions=("q/b",), candidates=(Candidate("1", 0, "q/b"),)),
    ]
    rows = rows_of(cases, [0.8, 0.9, 0.3, 0.4, 0.4])
    metrics = detection_metrics(rows, cases, (0, 0.5, 2 / 3, 5))
    third = pytest.approx(1 / 3)
    assert metrics["froc"] == {
        "fp": [0, pytest.approx(2 / 3)], "sensitivity": [third, pytest.approx(2 / 3)],
        "threshold": [pytest.approx(0.9), pytest.approx(0.4)],
    }  # fmt: skip
    points = metrics["sensitivity_at_fp"]
    assert [entry["sensitivity"] for entry in points.values()] == [third, third, pytest.approx(2 / 3), None]
    assert points["5"] == {"sensitivity": None, "ci95": None}
    assert metrics["counts"] == {"units": 3, "patients": 2, "lesions": 3, "found": 2, "false_positives": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: {name: [] for name in found}, "finds nothing"),
        (lambda found: {name: [c[0], c[0]] for name, c in found.items()}, "Two candidates of case"),
        (lambda found: {name: [Candidate("1", 0, "p9/9")] for name in found}, "has no lesion 'p9/9'"),
    ],
)
def test_what_a_detector_may_not_say(study, app, monkeypatch, change, message):
    find = app.candidates
    monkeypatch.setattr(app, "candidates", lambda *args: change(find(*args)))
    with pytest.raises(DataError, match=message):
        study()


def test_data_without_lesions(study, app, monkeypatch, tmp_path):
    load = dots.load
    monkeypatch.setitem(app.datasets, "dots", lambda folder: [Case(c.id, c.patient, info=c.info) for c in load(folder)])
    with pytest.raises(DataError, match=r"No case for (test|training) has a lesion"):
        study()
    assert not (tmp_path / "run").exists()


def test_a_table_changed_by_hand(study):
    run = study()
    text = run.folder.candidates.read_text()
    lines = text.splitlines(keepends=True)
    for changed in (text.replace("0.25", "0.26", 1), text.replace("[15, 15]", "[]", 1), "".join(lines[:-1])):
        run.folder.candidates.write_text(changed)
        with pytest.raises(StudyError, match=r"candidates.csv: is damaged, or was changed by hand\. Put it back"):
            read_same_split(run.folder, run.app, run.settings)
    run.folder.candidates.unlink()
    with pytest.raises(StudyError, match="no candidates yet"):
        read_same_split(run.folder, run.app, run.settings)
    run.prepare()
    assert run.folder.candidates.read_text() == text


def test_cases_of_one_name_in_both_folders(make_settings, app, material, tmp_path):
    """Else what is found in the one would be taken for what is found in the other."""
    (tmp_path / "more").mkdir()
    for path in (material / "dots").glob("p[01]_*"):
        shutil.copy(path, tmp_path / "more")
    settings = make_settings(app=app, data="dots").changed("data.test", str(tmp_path / "more"))
    with pytest.warns(CaffeWarning, match="2 patients have the same name in both folders"):
        split = read_split(app, settings)
    assert [case.id for case in split.test] == [f"p{patient}_{frame}~test" for patient in (0, 1) for frame in range(4)]
    assert {case.info["path"] for case in split.test} == {str(p) for p in (tmp_path / "more").iterdir()}


def test_lesions_on_one_side_only_are_told_before_candidates_are_looked_for(study, app, monkeypatch, tmp_path):
    def load(folder):
        return [replace(c, lesions=c.lesions if c.patient in ("p1", ill) else ()) for c in dots.load(folder)]

    ill = "p3"
    monkeypatch.setitem(app.datasets, "dots", load)
    with pytest.raises(DataError, match=r"No case for (training|validation) has a lesion"):
        study()
    assert app.calls == 0


def test_a_small_training_set_needs_lesions_too(study, app):
    with pytest.raises(DataError, match=r"No case for (training|validation) of 0\.5 of the training set has a lesion"):
        study(arms=("ip1", "ip1@0.5"))
    assert app.calls == 0
