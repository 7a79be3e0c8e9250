"""Every benchmark runs, with tiny settings; what the times are is not judged."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.shared import ROOT

SMALL = "--repeats=1 --threads=1 --clock=cpu --batch=2 --size=67"


def bench(*arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, ROOT / "tools" / "bench.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        ("load --repeats=1 --threads=1", ["load", "save"]),
        (f"train {SMALL}", ["caffe_port", "caffe_port"]),
        ("lenet --repeats=1 --iterations=1", ["iteration", "iteration", "layer of one value"]),
        ("infer --repeats=1 --batch=1", ["forward, batch 1"]),
        ("dense --repeats=1 --rows=8 --columns=9 --batch=4", ["pixel"]),
        (f"data {SMALL} --images=5", ["image read"]),
    ],
    ids=lambda value: value.split()[0] if isinstance(value, str) else "",
)
def test_a_table_of_ratios(arguments, rows, tmp_path):
    folder = ["--folder", tmp_path] if arguments.startswith(("load", "data")) else []
    result = bench(*arguments.split(), *folder)
    assert result.returncode in (0, 1), result.stderr[-2000:]
    assert "Traceback" not in result.stderr, result.stderr[-2000:]
    found = re.findall(r"^(\w.*?) +([\d.]+)  (\S.*?) +([\d.]+) +([\d.]+)( +[\d.]+(  missed)?)?$", result.stdout, re.M)
    assert [row[0] for row in found if "OpenCV" not in row[2]] == rows
    for name, ours, _, yardstick, ratio, _, _ in found:
        assert float(yardstick) / float(ours) == pytest.approx(float(ratio), rel=0.1, abs=0.01), name
    assert result.returncode == int("missed" in result.stdout)
    assert not list(tmp_path.iterdir())


def test_frozen(tmp_path):
    result = bench("frozen", *SMALL.split(), "--images=4", "--epochs=3", "--folder", tmp_path)
    assert "Traceback" not in result.stderr, result.stderr[-2000:]
    assert "warning" not in result.stderr.lower()  # the head trains as the whole net does
    numbers = r"on images ([\d.]+), extraction ([\d.]+), on features ([\d.]+)\n3 epochs: ([\d.]+) times as fast"
    images, once, features, speed = map(float, re.search(numbers, result.stdout).groups())
    assert speed == pytest.approx(3 * images / (once + 3 * features), abs=0.06)
    assert result.returncode == int("missed" in result.stdout)


def test_a_wrong_command_line():
    assert bench().returncode == bench("swim").returncode == 2
