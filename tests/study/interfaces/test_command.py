"""What ``caffe-port study prepare interfaces`` chooses where flags say nothing."""

from __future__ import annotations

import csv

import pytest

from caffe_port import Net
from caffe_port.study.settings import read_toml
from tests.cli.process import Here
from tests.net.make import conv, inputs, ip, layer
from tests.study.interfaces.phantoms import cyprus_folder

#: Padded, for 12 x 12; without padding: 12 -> 10 -> 5 leaves a window over the edge, 13 -> 11 -> 5 does not.
NET = (
    inputs(data=(1, 3, 12, 12))
    + conv("conv1", "data", "conv1", 4, 3, more="pad: 1")
    + layer("Pooling", "pool1", "conv1", "pool1", "pooling_param { kernel_size: 3 stride: 2 }")
    + ip("ip1", "pool1", "ip1")
)


@pytest.fixture
def prepare(tmp_path, monkeypatch, capsys):
    cyprus_folder(tmp_path / "data", ["a", "b", "c", "d", "e", "f"])
    (tmp_path / "net.prototxt").write_text(NET)
    Net(tmp_path / "net.prototxt", seed=1).save(tmp_path / "net.caffemodel")
    here = Here(monkeypatch, capsys)
    flags = ["--data", "data", "--out", "run", "--base", "net.prototxt", "--weights", "net.caffemodel"]

    def run(*more):
        result = here("study", "prepare", "interfaces", *flags, *more, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        return tmp_path / "run", read_toml(tmp_path / "run" / "study.toml")

    return run


def test_padding_size_mean_and_rate_suit_the_application(prepare):
    folder, settings = prepare()
    assert settings["base"]["padding"] is False
    assert settings["base"]["size"] == [13, 13]
    assert settings["base"]["mean"] == [42.0]
    assert settings["training"]["base_lr"] == 0.0003
    assert settings["data"]["dataset"] == "cyprus"
    with (folder / "patches.csv").open() as file:
        rows = list(csv.DictReader(file))
    counts = {label: sum(row["label"] == label and row["split"] == "train" for row in rows) for label in "012"}
    assert len(set(counts.values())) == 1
    sides = {row["split"]: {r["patient"] for r in rows if r["split"] == row["split"]} for row in rows}
    assert not sides["train"] & sides["val"]


def test_flags_come_first(prepare):
    _, settings = prepare("--padding", "--mean", "120", "--set", "training.base_lr=0.01", "--set", "patch_px=20")
    assert settings["base"]["padding"] is True
    assert settings["base"]["size"] == [12, 12]
    assert settings["base"]["mean"] == [120.0]
    assert settings["training"]["base_lr"] == 0.01
    assert settings["app"]["patch_px"] == 20
