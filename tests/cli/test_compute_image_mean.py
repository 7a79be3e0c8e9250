"""``caffe-port compute-image-mean``."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from caffe_port.proto.means import read_mean
from tests.cli.process import Here, caffe_port, error_line, messages
from tests.shared import ORACLE

DATA = ORACLE / "data"


@pytest.fixture
def here(monkeypatch, capsys):
    return Here(monkeypatch, capsys)


def mean(run, folder, *arguments):
    return run("compute-image-mean", *arguments, cwd=folder)


@pytest.mark.parametrize("flags", [["lmdb"], ["-backend=lmdb", "lmdb"], ["--backend", "leveldb", "leveldb"]])
def test_file_and_lines_are_caffes(flags, here, tmp_path):
    shutil.copytree(DATA / flags[-1], tmp_path / flags[-1])
    result = mean(here, tmp_path, *flags, "mean.binaryproto")
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert (tmp_path / "mean.binaryproto").read_bytes() == (DATA / "mean.binaryproto").read_bytes()
    *lines, blue, green, red = messages(result.stderr)
    assert lines == ["Starting Iteration", "Processed 10 files.", "Write to mean.binaryproto", "Number of channels: 3"]
    expected = read_mean(DATA / "mean.binaryproto").mean((1, 2), dtype=np.float64)
    for channel, line in enumerate((blue, green, red)):
        value = float(re.fullmatch(rf"mean_value channel \[{channel}\]: (\S+)", line)[1])
        assert value == pytest.approx(expected[channel], rel=1e-5)


def test_in_a_process_of_its_own(tmp_path):
    assert mean(caffe_port, tmp_path, DATA / "lmdb", "mean").returncode == 0
    assert (tmp_path / "mean").read_bytes() == (DATA / "mean.binaryproto").read_bytes()


def test_without_an_output_it_only_logs(here, tmp_path):
    result = mean(here, tmp_path, DATA / "lmdb_gray")
    assert result.returncode == 0, result.stderr
    assert messages(result.stderr)[-2] == "Number of channels: 1"
    assert list(tmp_path.iterdir()) == []


def test_errors(here, tmp_path):
    assert re.search(r"gone: The database does not exist", error_line(mean(here, tmp_path, "gone")))
    line = error_line(mean(here, tmp_path, "--backend=leveldb", DATA / "lmdb"))
    assert re.search(r"lmdb: holds LMDB data, but the backend is LEVELDB", line)
    assert re.search(r"gone/mean: cannot be written", error_line(mean(here, tmp_path, DATA / "lmdb", "gone/mean")))


def test_usage(here, tmp_path):
    assert "Missing argument 'INPUT_DB'" in mean(here, tmp_path).stderr
    assert mean(here, tmp_path, "-backend", "sqlite", "db").returncode == 2
    assert "Example: caffe-port compute-image-mean" in mean(here, tmp_path, "--help").stdout
