"""A whole run on procedural frames: from the folder to metrics.json, by video."""

from __future__ import annotations

import csv
import json

import pytest
from sklearn.metrics import roc_auc_score

import caffe_port
from caffe_port.study.base import open_base
from caffe_port.study.frames import APPLICATION
from caffe_port.study.frames.generator import write_frames
from caffe_port.study.run import Study
from caffe_port.study.settings import ArmChoice, Data, Settings, Training

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 24 dim: 24 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 8 kernel_size: 5 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "ip1" type: "InnerProduct" bottom: "conv1" top: "ip1"
        inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip1" top: "prob" }
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    write_frames(root / "data", videos=4, frames=10, seed=2, size=(100, 70))
    (root / "net.prototxt").write_text(NET)
    caffe_port.Net(root / "net.prototxt", seed=1).save(root / "net.caffemodel")
    base = open_base(str(root / "net.prototxt"), str(root / "net.caffemodel"), mean="120", scale=0.01)
    app = dict(APPLICATION.defaults) | {"frame_width": 100, "frame_height": 70, "sub_image": 48, "sub_images": 12}
    settings = Settings(
        "frames",
        1,
        Data(str(root / "data"), dataset=APPLICATION.detect(root / "data")),
        base,
        ArmChoice(("ip1", "scratch"), APPLICATION.reduce_by),
        Training(base_lr=0.01, batch_size=16, epochs=3),
        app,
    )
    study = Study.open(root / "out", settings)
    study.prepare()
    study.train()
    study.evaluate()
    return root / "out"


def rows(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_no_video_is_on_both_sides(run):
    sides: dict[str, set[str]] = {}
    for row in rows(run / "cases.csv"):
        sides.setdefault(row["patient"], set()).add(row["split"])
    assert sorted(sides) == [f"procedural_v0{n}" for n in range(4)]
    assert all(len(found) == 1 for found in sides.values())


def test_patches_are_sub_images_of_both_classes_in_equal_numbers(run):
    found = rows(run / "patches.csv")
    assert sum(row["label"] == "1" for row in found) == len(found) / 2
    assert {row["split"] for row in found} == {"train", "val"}
    assert {row["case"] for row in found} == {r["case"] for r in rows(run / "cases.csv") if r["split"] != "test"}


def test_metrics_follow_from_the_scores_of_the_test_frames(run):
    metrics = json.loads((run / "metrics.json").read_text())
    tested = {row["case"] for row in rows(run / "cases.csv") if row["split"] == "test"}
    scores = rows(run / "scores.csv")
    for arm, measures in (*metrics["arms"].items(), ("handcrafted", metrics["handcrafted"])):
        mine = [row for row in scores if row["arm"] == arm]
        assert {row["case"] for row in mine} == tested
        area = roc_auc_score([int(row["label"]) for row in mine], [float(row["score"]) for row in mine])
        assert measures["auc"] == pytest.approx(area)
        assert measures["auc_ci95"][0] <= area <= measures["auc_ci95"][1]
        assert set(measures["tpr_at_fpr"]) == {"0.1", "0.15", "0.2"}
    assert set(metrics["arms"]) == {"ip1", "scratch"}
    assert (run / "arms" / "ip1" / "pictures" / "frames.png").stat().st_size > 1000
