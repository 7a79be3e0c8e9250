"""A whole run on a real CT with synthetic clots of known places, from volumes to a report.

All "patients" are one, mirrored: it shows that the path works on real voxels, and nothing about emboli.
"""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from caffe_port import Net
from caffe_port.study.embolism.phantoms import insert_clots
from caffe_port.study.embolism.volume_files import read_image, read_labels, write_volume
from caffe_port.study.embolism.volumes import Volume
from tests.cli.process import caffe_port
from tests.shared import IMAGES, needs

pytest.importorskip("SimpleITK")
pytestmark = needs(IMAGES / "ct")

PATIENTS, CLOTS = 6, 3
NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 32 dim: 32 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 12 kernel_size: 7 stride: 3 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "ip1" type: "InnerProduct" bottom: "conv1" top: "ip1"
        inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip1" top: "prob" }
"""
#: Settings for the crop's own coarse voxels.
COARSE = ["spacing_mm=1.5", "lung_margin_mm=20.0", "contrast_hu=60.0", "patch_px=32", "training.patches=1500"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    stored, spacing = read_image(IMAGES / "ct" / "ct_cropped.nii.gz")
    artery = read_labels(IMAGES / "ct" / "pulmonary_artery.nii.gz") > 0
    for patient in range(PATIENTS):
        axes = [axis for axis in range(3) if patient >> axis & 1]
        hu, vessels = (np.ascontiguousarray(np.flip(array, axes)) for array in (stored, artery))
        volume, labels = insert_clots(Volume(hu, 1.5, stored.shape, spacing), vessels, CLOTS, patient)
        (folder / "ct" / f"p{patient}").mkdir(parents=True)
        write_volume(folder / "ct" / f"p{patient}" / "volume.nii.gz", volume.hu, 1.5)
        write_volume(folder / "ct" / f"p{patient}" / "label.nii.gz", labels, 1.5)
    (folder / "net.prototxt").write_text(NET)
    Net(folder / "net.prototxt", seed=1).save(folder / "net.caffemodel")
    result = caffe_port(
        "study", "run", "embolism", "--data", "ct", "--out", "run", "--base", "net.prototxt", "--weights",
        "net.caffemodel", "--mean", "142", "--scale", "0.01", "--arms", "conv1-ip1", "--epochs", "4",
        "--set", "training.base_lr=0.01", *(word for text in COARSE for word in ("--set", text)), cwd=folder,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    return folder


def test_most_clots_are_found_and_the_net_sorts_them_to_the_front(folder):
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    entry = metrics["arms"]["conv1-ip1"]
    counts = entry["counts"]
    assert (counts["units"], counts["lesions"]) == (PATIENTS / 2, CLOTS * PATIENTS / 2)
    assert counts["found"] >= 0.7 * counts["lesions"]
    assert counts["false_positives"] / counts["units"] > 50  # of which 5 per volume are a tenth at most: by chance so
    assert entry["sensitivity_at_fp"]["5"]["sensitivity"] > 0.5  # many of the clots with one candidate would be found
    assert (folder / "run" / "report" / "index.html").exists()


def test_a_clot_is_where_it_was_put(folder):
    """What candidates.csv says of every candidate is what the label file says at its place."""
    with open(folder / "run" / "candidates.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = {f"p{i}": read_labels(folder / "ct" / f"p{i}" / "label.nii.gz") for i in range(PATIENTS)}
    for row in rows:
        clot = int(labels[row["patient"]][tuple(json.loads(row["info"])["index"])])
        assert row["lesion"] == (f"{row['patient']}/{clot}" if clot else "")
