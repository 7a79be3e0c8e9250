"""``caffe-port study`` on the tiny application of tests/study: its stages, its flags, and what they refuse."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from caffe_port.study import applications
from tests.cli.process import Here, error_line
from tests.study import tiny

BASE = ["--base", "tiny.prototxt", "--weights", "tiny.caffemodel", "--mean", "128", "--scale", "0.02"]
QUICK = ["--epochs", "2", "--set", "training.batch_size=16", "--set", "training.base_lr=0.01"]
NEW = ["--data", "data", "--out", "run", *BASE, *QUICK]


@pytest.fixture
def folder(tmp_path):
    tiny.write_data(tmp_path / "data", frames=4)
    tiny.write_base(tmp_path)
    return tmp_path


@pytest.fixture
def study(monkeypatch, capsys, folder):
    monkeypatch.setitem(applications.APPLICATIONS, "tiny", "tests.study.tiny")
    here = Here(monkeypatch, capsys)
    return lambda *arguments: here("study", arguments[0], "tiny", *arguments[1:], cwd=folder)


def test_stage_by_stage(study, folder):
    assert study("prepare", *NEW, "--arms", "ip1,scratch", "--inits", "gaussian,msra").returncode == 0
    result = study("train", "--out", "run")
    assert result.returncode == 0
    lines = re.findall(
        r"^(\S+): AUC 0\.\d{4} on the validation set in epoch [12] of [12]$", result.stderr, re.MULTILINE
    )
    assert lines == ["ip1", "scratch", "scratch+msra"]
    result = study("evaluate", "--out", "run")
    assert result.stdout == "run/metrics.json\n"
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    assert list(metrics["arms"]) == lines
    assert metrics["settings"]["training"]["epochs"] == 2
    assert metrics["settings"]["data"]["train"] == str(folder / "data")
    assert re.findall(r"^Testing .*", study("evaluate", "--out", "run").stderr) == [], "nothing is done twice"


def test_report(study, folder, monkeypatch):
    """The report is of the folder; what is in it is the affair of tests/study/report."""
    study("prepare", *NEW, "--arms", "ip1")
    error = error_line(study("report", "--out", "run"))
    assert "run/metrics.json" in error
    assert "study evaluate" in error


def test_run_does_every_stage(study, folder):
    """Up to the report, which the tiny application has none of."""
    error = error_line(study("run", *NEW, "--arms", "ip1"))
    assert "report" in error
    assert (folder / "run" / "metrics.json").exists()
    assert (folder / "run" / "scores.csv").exists()


def test_progress_is_shown(study):
    text = study("prepare", *NEW, "--arms", "ip1,ip1@0.5").stderr.splitlines()
    assert text == [
        f"{verb} {what} patches{part}"
        for part in ("", " of 0.5 of the training set")
        for what in ("training", "validation")
        for verb in ("Counting", "Storing")
    ]


def test_fractions_and_draws(study, folder):
    assert study("prepare", *NEW, "--arms", "ip1", "--fractions", "1,1/2", "--draws", "2").returncode == 0
    assert '["ip1", "ip1@0.5", "ip1@0.5~2"]' in (folder / "run" / "study.toml").read_text()
    assert study("train", "--out", "run", "--arms", "ip1@0.5~2").returncode == 0
    assert [path.name for path in (folder / "run" / "arms").iterdir()] == ["ip1@0.5~2"]


@pytest.mark.parametrize(
    ("flags", "cause"),
    [
        (["--seed", "2"], "This run has seed = 1, not 2"),
        (["--epochs", "3"], "training.epochs = 2, not 3"),
        (["--set", "windows=4"], "app.windows = 3, not 4"),
        (["--set", "training.gamma=0.5"], "training.gamma = 0.95, not 0.5"),
        (["--mean", "1,2,3"], "base.mean = [128.0], not [1.0, 2.0, 3.0]"),
        (["--scale", "1"], "base.scale = 0.02, not 1.0"),
        (["--data", "other"], "data.train = "),
        (["--test-data", "other"], "data.test = "),
        (["--base", "other.prototxt"], "base.net = "),
        (["--weights", "other.caffemodel"], "base.weights = "),
        (["--arms", "scratch"], "no arm 'scratch' (arms.list)"),
        (["--set", "windws=4"], "no setting 'app.windws'"),
        (["--set", "windows"], "not KEY=VALUE"),
    ],
)
def test_a_run_has_its_settings(study, folder, flags, cause):
    study("prepare", *NEW, "--arms", "ip1")
    for suffix in ("prototxt", "caffemodel"):
        shutil.copy(folder / f"tiny.{suffix}", folder / f"other.{suffix}")
    shutil.copytree(folder / "data", folder / "other")
    assert cause in error_line(study("train", "--out", "run", *flags))


def test_the_same_flags_again_are_no_other_settings(study):
    for _ in range(2):
        assert study("prepare", *NEW, "--arms", "ip1", "--seed", "3", "--set", "windows=2").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["prepare", "--out", "run"], "no run in 'run' yet"),
        (["prepare", "--out", "run", "--data", "none", *BASE], "--data is no folder"),
        (["prepare", *NEW, "--dataset", "waves"], "knows no data set 'waves'. It knows: stripes"),
        (
            ["prepare", *NEW, "--arms", "conv9-ip1"],
            "no arm 'conv9-ip1'. There are: conv1-ip1, conv2-ip1, ip1,",
        ),
        (["prepare", *NEW, "--fractions", "0"], "no arm 'conv1-ip1@0'. There are: "),
        (["prepare", *NEW, "--inits", "zero"], "no arm 'scratch+zero'. There are: "),
        (["prepare", *NEW, "--scale", "nan"], "base.scale is nan"),
        (["prepare", *NEW, "--size", "3"], "Give height and width"),
        (["prepare", *NEW, "--base", "none.prototxt"], "none.prototxt"),
        (["prepare", *NEW, "--mean", "none.binaryproto"], "none.binaryproto"),
        (["prepare", "--data", "data", "--out", "run"], "'caffe-port data fetch bvlc_alexnet --file bvlc_alexnet.caff"),
        (
            ["prepare", *NEW, "--weights", "w.caffemodel"],
            "There is no such file of weights. Give --weights",
        ),
        (["train", *NEW], "not there. Run 'caffe-port study prepare' first"),
        (["prepare", *NEW, "--seed", "-1"], "seed is -1"),
    ],
)
def test_what_cannot_be_begun(study, arguments, cause):
    assert cause in error_line(study(*arguments))


@pytest.mark.parametrize(
    "flags", [["--fractions", "half"], ["--fractions", "1/0"], ["--arms", ","], ["--jobs", "0"], ["--epochs", "0"]]
)
def test_flags_that_are_none(study, flags):
    result = study("prepare", *NEW, *flags)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_an_unknown_application(monkeypatch, capsys, folder):
    here = Here(monkeypatch, capsys)
    error = error_line(here("study", "run", "teeth", "--out", "run", cwd=folder))
    assert error == "Unknown application 'teeth'. There are: interfaces, frames, polyps, embolism, all."


def test_the_folder_to_test_on_may_have_another_layout(study, folder, monkeypatch):
    monkeypatch.setitem(tiny.Tiny.datasets, "other", lambda path: tiny.load(path / "images"))
    monkeypatch.setattr(tiny.Tiny, "detect", lambda self, path: "other" if (path / "images").exists() else "stripes")
    tiny.write_data(folder / "more" / "images", patients=2, frames=2)
    assert study("prepare", *NEW, "--arms", "ip1", "--test-data", "more").returncode == 0
    assert (folder / "run" / "cases.csv").read_text().count(",test,") == 4
    text = (folder / "run" / "study.toml").read_text()
    assert 'dataset = "stripes"' in text
    assert 'test_dataset = "other"' in text


@pytest.fixture
def whole(monkeypatch, capsys, folder):
    """``caffe-port study STAGE all`` that knows two applications; there are data for one of them."""
    for name in list(applications.APPLICATIONS):
        monkeypatch.delitem(applications.APPLICATIONS, name)
    for name in ("tiny", "tiny3"):
        monkeypatch.setitem(applications.APPLICATIONS, name, f"tests.study.{name}")
    tiny.write_data(folder / "all" / "tiny", frames=4)
    here = Here(monkeypatch, capsys)
    return lambda *arguments: here("study", arguments[0], "all", *arguments[1:], cwd=folder)


ALL = ["--data", "all", "--out", "whole", "--arms", "ip1", *BASE, *QUICK]


def test_the_whole_study_is_of_all_that_there_are_data_for(whole, folder):
    assert whole("prepare", *ALL).returncode == 0
    assert [path.name for path in (folder / "whole").iterdir()] == ["tiny"]
    tiny.write_data(folder / "all" / "tiny3", frames=6, classes=3)
    assert whole("prepare", *ALL).returncode == 0
    result = whole("train", "--out", "whole")  # runs that have begun need no --data
    assert re.findall(r"^== (\w+) ==$|^(ip1): AUC", result.stderr, re.MULTILINE) == [
        ("tiny", ""), ("", "ip1"), ("tiny3", ""), ("", "ip1"),
    ]  # fmt: skip
    assert [(folder / "whole" / name / "arms" / "ip1" / "best.caffemodel").exists() for name in ("tiny", "tiny3")] == [
        True, True,
    ]  # fmt: skip
    assert whole("evaluate", "--out", "whole").stdout.split() == ["whole/tiny/metrics.json", "whole/tiny3/metrics.json"]


def test_an_application_that_fails_does_not_keep_the_others(whole, folder):
    (folder / "all" / "tiny3").mkdir()
    result = whole("prepare", *ALL)
    assert result.returncode == 1
    assert "Of the whole study failed: tiny3: " in result.stderr
    assert "holds no stripes" in result.stderr
    assert (folder / "whole" / "tiny" / "patches.csv").exists()


def test_the_whole_study_of_nothing(whole, folder):
    error = error_line(whole("prepare", "--data", "data", "--out", "whole", *BASE))
    assert "There are data for no application" in error
    assert "tiny, tiny3" in error
    error = error_line(whole("prepare", *ALL, "--dataset", "stripes"))
    assert "--dataset stripes is a layout of one application" in error


def test_a_run_of_another_application(study, monkeypatch, capsys, folder):
    study("prepare", *NEW, "--arms", "ip1")
    here = Here(monkeypatch, capsys)
    assert "run of the application 'tiny'" in error_line(here("study", "train", "frames", "--out", "run", cwd=folder))
