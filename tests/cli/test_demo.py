"""``caffe-port demo`` as a user runs it, once, whole."""

from __future__ import annotations

import json
import re
import shlex

import cv2
import numpy as np
import pytest

from caffe_port.cli.main import group
from caffe_port.data.database import open_database
from caffe_port.demo.run import ARMS, BASE, LOG, NET, SHAPE_IMAGES, SHEET, STUDY, WEIGHTS
from caffe_port.logs import read_log
from tests.cli.process import Here, caffe_port, error_line


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder, and what the command wrote."""
    place = tmp_path_factory.mktemp("demo")
    result = caffe_port("demo", "--out", "my demo", cwd=place)
    assert result.returncode == 0, result.stderr[-2000:]
    return place / "my demo", result


@pytest.fixture(scope="module")
def metrics(demo):
    return json.loads((demo[0] / STUDY / "metrics.json").read_text())


def test_the_base_learns_the_shapes(demo):
    assert float(re.search(r"The base tells (\d+\.\d)% of new shapes right", demo[1].stdout)[1]) > 70
    for name, count in SHAPE_IMAGES.items():
        assert len(open_database(demo[0] / BASE / name, "LMDB")) == count
    log = read_log(demo[0] / BASE / LOG)
    assert log.train[-1].iteration == int(re.search(r"_iter_(\d+)", WEIGHTS)[1])
    assert cv2.imread(str(demo[0] / BASE / SHEET)).std() > 10


def test_every_arm_finds_the_interfaces(metrics):
    assert list(metrics["arms"]) == list(ARMS)
    for arm in metrics["arms"].values():
        assert max(arm["validation_auc"]) > 0.9
        for key in ("lumen_intima_error_mm", "media_adventitia_error_mm", "imt_error_mm"):
            # Guessing the middle of a region gives about a millimetre.
            assert arm[key]["mean"] < 0.15
            assert arm[key]["mean"] == pytest.approx(np.mean(list(arm[key]["per_roi"].values())))


def test_the_table_on_the_terminal(demo, metrics):
    lines = dict(re.findall(r"^  ([\w-]+) {2,}((?:\d\.\d{3} *){3})$", demo[1].stdout, re.MULTILINE))
    assert list(lines) == [*ARMS, "handcrafted"]
    entry = metrics["arms"]["ip"]
    keys = ("lumen_intima_error_mm", "media_adventitia_error_mm", "imt_error_mm")
    assert lines["ip"].split() == [f"{entry[key]['mean']:.3f}" for key in keys]
    assert "Procedural images" in demo[1].stdout


def test_fine_tuning_starts_from_the_base(demo):
    text = (demo[0] / STUDY / "arms" / "conv1-ip" / "log.txt").read_text()
    assert f"{WEIGHTS}" in text
    assert not re.search(r"Ignoring source layer (conv|bn|scale)", text)
    assert WEIGHTS not in (demo[0] / STUDY / "arms" / "scratch" / "log.txt").read_text()


def test_the_report(demo):
    path = demo[0] / STUDY / "report" / "index.html"
    assert f"Report: {path}" in demo[1].stdout
    page = path.read_text()
    assert "Procedural data." in page
    assert "Incomplete run." not in page
    assert page.count("data:image/png;base64,") >= len(ARMS)


def test_no_bar_without_a_terminal(demo):
    assert "\r" not in demo[1].stdout + demo[1].stderr
    assert "it/s" not in demo[1].stderr


def test_what_to_try_next(demo):
    folder, result = demo
    lines = [shlex.split(line, comments=True) for line in result.stdout.split("Try next:\n")[1].splitlines()]
    place = folder.parent
    for words in (words for words in lines if words):
        if words[0] == "cd":
            place = place / words[1]
            continue
        program, name, *arguments = words
        assert program == "caffe-port"
        given = group.get_command(None, name).make_context(name, list(arguments)).params
        files = [given[key] for key in ("solver", "snapshot", "model", "weights") if given.get(key)]
        assert files
        assert all((place / file).is_file() for file in files)
    test = next(words for words in lines if words[:2] == ["caffe-port", "test"])
    assert test[test.index("--model") + 1] == NET
    scored = caffe_port(*test[1:], cwd=folder / BASE)
    assert scored.returncode == 0
    accuracy = float(re.findall(r"\] accuracy = (\S+)", scored.stdout + scored.stderr)[-1])
    assert f"{accuracy:.1%}" in result.stdout


def test_folder_of_something_else(tmp_path, monkeypatch, capsys):
    (tmp_path / "thesis.tex").write_text("precious")
    assert "not empty" in error_line(Here(monkeypatch, capsys)("demo", "--out", ".", cwd=tmp_path))
