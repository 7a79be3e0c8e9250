"""``caffe-port summarize``."""

from __future__ import annotations

import json

import pytest

from tests.cli.process import Here, caffe_port, error_line
from tests.net.make import inputs, ip, layer
from tests.shared import ROOT

NET = 'name: "n"\n' + inputs(x=(2, 3, 4)) + ip("fc", "x", "y", 5, "param { lr_mult: 0 }") + layer("ReLU", "r", "y", "y")
NET += layer("TanH", "deep", "y", "z", 'include { phase: TRAIN stage: "deep" min_level: 2 }')
TABLE = """\
layer  type          bottoms  tops   parameters     multiply-adds  bytes
-----  ------------  -------  -----  -------------  -------------  -----
x      Input                  2x3x4              0              0     96
fc     InnerProduct  2x3x4    2x5    65 (60 fixed)            120     40
r      ReLU          2x5      2x5                0              0      0

n, TEST phase, batch of 2
parameters:    65 (5 learnable, 60 fixed)
weights:       260 bytes
multiply-adds: 120 for the batch, 60 per item
blobs:         136 bytes
"""


@pytest.fixture
def here(monkeypatch, capsys, tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    run = Here(monkeypatch, capsys)
    return lambda *args: run("summarize", *args, cwd=tmp_path)


def test_table(here):
    result = here("net.prototxt")
    assert (result.returncode, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines == [line.split() for line in TABLE.splitlines()]
    assert (
        len({line.rindex(end) + len(end) for line, end in zip(result.stdout.splitlines()[2:5], ("96", "40", "0"))}) == 1
    )


def test_in_a_process_of_its_own(tmp_path):
    path = ROOT / "prototxt" / "lenet" / "train_val.prototxt"
    shapes = ("--phase", "TRAIN", "--input", "data=64x1x28x28", "--input", "label=64")
    result = caffe_port("summarize", path, *shapes, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "parameters:    431,080 (431,080 learnable, 0 fixed)" in result.stdout
    assert "146,752,000 for the batch, 2,293,000 per item" in result.stdout


def test_json(here):
    found = json.loads(here("net.prototxt", "--json", "--input", "x=1x12").stdout)
    assert (found["name"], found["phase"], found["batch"]) == ("n", "TEST", 1)
    assert found["total"] == {
        "parameters": 65, "learnable": 5, "multiply_adds": 60, "memory": 68, "weight_bytes": 260,
    }  # fmt: skip
    fc = found["layers"][1]
    assert (fc["name"], fc["bottom_shapes"], fc["top_shapes"], fc["learnable"]) == ("fc", [[1, 12]], [[1, 5]], 5)


def test_phase_level_and_stage(here):
    assert "deep" not in here("net.prototxt", "--phase", "TRAIN").stdout
    assert "deep" in here("net.prototxt", "--phase", "TRAIN", "--stage", "a,deep", "--level", 2).stdout


def test_refusals(here):
    assert "gone.prototxt: Cannot be read" in error_line(here("gone.prototxt"))
    assert error_line(here("net.prototxt", "--input", "q=1")) == "net.prototxt: The net has no input 'q' in this phase."
    for wrong in ("x", "x=", "=3", "x=1,2", "x=-1"):
        result = here("net.prototxt", "--input", wrong)
        assert result.returncode == 2
        assert f"'{wrong}' is not like data=1x3x227x227" in result.stderr
