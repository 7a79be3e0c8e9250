"""The whole study on phantoms, from procedural data through all four applications to one page."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest

from caffe_port import Net
from tests.cli.process import caffe_port, error_line

pytest.importorskip("SimpleITK")

APPLICATIONS = ("interfaces", "frames", "polyps", "embolism")
ARMS = ("conv1-ip1", "ip1", "scratch")
NET = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 25 dim: 25 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 5 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
  convolution_param { num_output: 12 kernel_size: 5 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "ip1" type: "InnerProduct" bottom: "conv2" top: "ip1"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip1" top: "prob" }
"""
BASE = ["--base", "small.prototxt", "--weights", "small.caffemodel", "--mean", "100", "--scale", "0.02"]
FLAGS = ["--arms", ",".join(ARMS), "--epochs", "2", "--set", "training.patches=800", "--set", "training.batch_size=32"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Small data of all applications, a base of random weights, and the whole study of them."""
    folder = tmp_path_factory.mktemp("whole")
    assert caffe_port("data", "phantoms", "data", "--patients", "6", cwd=folder).returncode == 0
    (folder / "small.prototxt").write_text(NET)
    Net(folder / "small.prototxt", seed=1).save(folder / "small.caffemodel")
    # a run that has begun keeps its own settings
    begun = ["--data", "data/frames", "--out", "whole/frames", "--set", "sub_images=4"]
    for words in (["prepare", "frames", *begun], ["run", "all", "--data", "data", "--out", "whole"]):
        result = caffe_port("study", *words, *BASE, *FLAGS, cwd=folder)
        assert result.returncode == 0, result.stderr[-2000:]
    return folder


def metrics(folder, name):
    return json.loads((folder / "whole" / name / "metrics.json").read_text())


@pytest.mark.parametrize("name", APPLICATIONS)
def test_every_application_is_tested_with_every_arm(folder, name):
    found = metrics(folder, name)
    assert found["application"] == name
    assert list(found["arms"]) == list(ARMS)
    for entry in found["arms"].values():
        assert entry["epochs"] == len(entry["validation_auc"]) == 2
    assert found["handcrafted"]
    assert found["settings"]["training"]["patches"] == 800
    with open(folder / "whole" / name / "patches.csv") as file:
        assert 0 < len(list(csv.reader(file))) - 1 <= 800


@pytest.mark.parametrize(("name", "unit"), [("polyps", "1"), ("embolism", "5")])
def test_detection_is_measured_by_lesion(folder, name, unit):
    found = metrics(folder, name)
    with open(folder / "whole" / name / "scores.csv") as file:
        rows = list(csv.DictReader(file))
    for arm, entry in {**found["arms"], "handcrafted": found["handcrafted"]}.items():
        mine = [row for row in rows if row["arm"] == arm]
        lesions = {row["lesion"] for row in mine if row["lesion"]}
        false = np.array([float(row["score"]) for row in mine if not row["lesion"]])
        counts = entry["counts"]
        assert (counts["found"], counts["false_positives"]) == (len(lesions), len(false))
        # the curve, counted directly at each of its points
        froc = entry["froc"]
        for fp, sensitivity, threshold in zip(froc["fp"], froc["sensitivity"], froc["threshold"]):
            least = np.inf if threshold is None else threshold
            hit = {row["lesion"] for row in mine if row["lesion"] and float(row["score"]) >= least}
            assert sensitivity == pytest.approx(len(hit) / counts["lesions"])
            assert fp == pytest.approx(np.count_nonzero(false >= least) / counts["units"])
        assert unit in entry["sensitivity_at_fp"] or name == "polyps"


def test_one_page_of_all_that_says_that_these_are_phantoms(folder):
    page = (folder / "whole" / "report" / "index.html").read_text()
    text = re.sub(r"<[^>]+>", " ", page)
    assert re.search(r"procedural", text, re.IGNORECASE)
    for what in ("Fig. 2", "Fig. 4", "Fig. 6", "Fig. 9", "Fig. 10", "Table S1", "Table S2", "Table S3", "Table S4"):
        assert what in text, what
    assert "http://" not in re.sub(r'"http://www.w3.org/[^"]*"', "", page)
    assert len(set(re.findall(r'\bid="([^"]+)"', page))) == len(re.findall(r'\bid="([^"]+)"', page))


def test_what_is_done_is_not_done_again(folder):
    before = {name: (folder / "whole" / name / "metrics.json").read_bytes() for name in APPLICATIONS}
    result = caffe_port("study", "run", "all", "--out", "whole", cwd=folder)
    assert "Testing" not in result.stderr
    assert "Candidates in" not in result.stderr
    assert result.stdout.splitlines()[-1] == "whole/report/index.html"
    assert before == {name: (folder / "whole" / name / "metrics.json").read_bytes() for name in APPLICATIONS}


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [(["data"], "data: is not empty"), (["few", "--patients", "3"], "3 patients are too few")],
)
def test_phantoms_that_cannot_be_made(folder, arguments, cause):
    assert cause in error_line(caffe_port("data", "phantoms", *arguments, cwd=folder))
    assert not (folder / "few").exists()
