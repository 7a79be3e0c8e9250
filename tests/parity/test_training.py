"""Trainings beside those of real Caffe: none of the recorded ones differs, planted faults are named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from caffe_port.errors import FormatError
from caffe_port.parity.training import compare_training
from tests.shared import ORACLE

FOLDER = ORACLE / "solvers"
CASES = sorted(path.name for path in FOLDER.iterdir())


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(FOLDER / "sgd_fixed", tmp_path / "case"))


@pytest.mark.parametrize("case", CASES)
def test_no_false_alarm(case):
    before = sorted((FOLDER / case).iterdir())
    report = compare_training(FOLDER / case / "solver.prototxt", FOLDER / case / "expected.npz")
    assert report.agrees, report.first
    assert len(report.losses) == 20
    assert {row.kind for row in report.rows} == {"init", "after1", "final"}
    assert {row.status for row in report.rows} == {"agrees"}
    assert sorted((FOLDER / case).iterdir()) == before  # no snapshot was written


@pytest.mark.parametrize(
    ("old", "new", "first", "iteration", "said", "suspect"),
    [
        ("lr: 0.028506", "lr: 0.014253", "the first update, first that of conv1/0", 1, "2 times ours", "base_lr"),
        ("0.002264", "0.01", "the first update", 1, "a difference of -0.007736 in weight_decay", "base_lr"),
        ("momentum: 0.9", "momentum: 0.5", "the loss of iteration 4", 4, None, "momentum"),
        ('"fixed"', '"step" gamma: 0.5 stepsize: 7', "the loss of iteration 9", 9, None, "lr_policy (step): the rate"),
    ],
)  # fmt: skip
def test_fault_in_the_solver(old, new, first, iteration, said, suspect, folder):
    solver = folder / "solver.prototxt"
    text = solver.read_text()
    assert old in text
    solver.write_text(text.replace(old, new))
    report = compare_training(solver, folder / "expected.npz")
    assert not report.agrees
    assert report.first.startswith(first)
    assert report.iteration == iteration
    assert (said is None and not report.explanations) or said in report.explanations[0]
    assert report.suspects[0].startswith(suspect)
    assert json.loads(json.dumps(report.to_json()))["first"] == report.first


def test_lost_lr_mult(folder):
    """Real Caffe trained with an lr_mult of its own for each blob of a layer."""
    lr_mult = FOLDER / "sgd_lr_mult"
    plain = (FOLDER / "sgd_fixed" / "net.prototxt").read_text()
    assert "lr_mult" in (lr_mult / "net.prototxt").read_text()
    for path in lr_mult.iterdir():
        shutil.copy(path, folder / path.name)
    (folder / "net.prototxt").write_text(plain)
    report = compare_training(folder / "solver.prototxt", folder / "expected.npz")
    assert report.iteration == 1
    assert "lr_mult" in report.suspects[0]


def test_other_weights_at_the_start(folder):
    report = compare_training(folder / "solver.prototxt", folder / "expected.npz", folder / "init.caffemodel")
    assert report.agrees
    report = compare_training(folder / "solver.prototxt", folder / "expected.npz", folder / "snap_iter_10.caffemodel")
    assert report.first == "the weights at the start, first conv1/0"
    assert report.iteration == 0


def test_relative_paths(folder, monkeypatch):
    """The net and the data are found from the solver's folder, the arguments from where one is."""
    monkeypatch.chdir(folder.parent)
    assert compare_training("case/solver.prototxt", "case/expected.npz", "case/init.caffemodel").agrees
    assert Path.cwd() == folder.parent


def test_other_data(folder):
    expected = dict(np.load(folder / "expected.npz"))
    expected["loss"][0] *= 1.5
    np.savez(folder / "e.npz", **expected)
    report = compare_training(folder / "solver.prototxt", folder / "e.npz")
    assert (report.first, report.iteration) == ("the loss of the first iteration", 1)
    assert report.suspects[0].startswith("other data")


def test_records_of_no_training(folder):
    np.savez(folder / "e.npz", **{"blob/x": np.ones(2)})
    with pytest.raises(FormatError, match=r"holds no 'loss' of several iterations\. Record one with tools/record_"):
        compare_training(folder / "solver.prototxt", folder / "e.npz")
