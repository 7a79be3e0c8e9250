"""Fine-tuning a real CIFAR-10 net to real colonoscopy images: polyp against background."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffe_port.data.database import DatabaseWriter
from caffe_port.data.datum import array_to_datum
from caffe_port.proto import pb
from caffe_port.solver import Solver
from tests.cli.process import caffe_port, messages
from tests.shared import IMAGES, MODELS, needs

POLYP = IMAGES / "polyp"
CIFAR = MODELS / "cifar10_full_v1"
WEIGHTS = CIFAR / "weights.caffemodel"
HEIGHT = 256  # of the images before patches are cut
PATCH = 32

DATA = """
layer {{ name: "data" type: "Data" top: "data" top: "label" include {{ {rule} }}
  transform_param {{ mean_value: 110 mean_value: 80 mean_value: 70 {mirror} }}
  data_param {{ source: "{source}" batch_size: 50 backend: LMDB }} }}
"""
SOLVER = """
net: "net.prototxt"
test_iter: 16
test_iter: 4
test_state { stage: "seen" }
test_state { stage: "unseen" }
test_interval: 100
base_lr: 0.0002
momentum: 0.9
weight_decay: 0.004
lr_policy: "fixed"
display: 10
average_loss: 10
max_iter: 100
snapshot_prefix: "polyp"
random_seed: 1
"""


def read_at_height(path: Path, flag: int) -> np.ndarray:
    image = cv2.imread(str(path), flag)
    width = round(image.shape[1] * HEIGHT / image.shape[0])
    return cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_AREA)


def cut_patches(image_path: Path, count: int, random: np.random.Generator) -> list[tuple[np.ndarray, int]]:
    """As many (C, H, W) patches of polyp (label 1) as of background (0), each nine tenths inside its class."""
    image = read_at_height(image_path, cv2.IMREAD_COLOR)
    mask = read_at_height(POLYP / "masks" / image_path.name, cv2.IMREAD_GRAYSCALE) > 127
    share = cv2.boxFilter(mask.astype(np.float32), -1, (PATCH, PATCH))  # at the patch's centre
    half = PATCH // 2
    inside = np.zeros_like(mask)
    inside[half:-half, half:-half] = image[half:-half, half:-half].max(axis=2) > 40  # not in the black frame
    patches = []
    for label, wanted in ((0, share < 0.1), (1, share > 0.9)):
        rows, columns = np.nonzero(wanted & inside)
        for index in random.integers(len(rows), size=count):
            top, left = rows[index] - half, columns[index] - half
            patch = image[top : top + PATCH, left : left + PATCH]
            patches.append((np.ascontiguousarray(patch.transpose(2, 0, 1)), label))
    return patches


def write_lmdb(path: Path, patches: list[tuple[np.ndarray, int]], random: np.random.Generator) -> None:
    with DatabaseWriter(path, "LMDB") as database:
        for index, place in enumerate(random.permutation(len(patches))):
            database.put(b"%08d" % index, array_to_datum(*patches[place]).SerializeToString())


def finetuning_net() -> str:
    """cifar10_full with Data layers for its inputs and a new last layer of two outputs."""
    layers = (CIFAR / "net.prototxt").read_text().partition('layer {\n  name: "conv1"')
    text = layers[1] + layers[2].replace('name: "ip1"', 'name: "ip_polyp"').replace("num_output: 10", "num_output: 2")
    data = [
        DATA.format(rule="phase: TRAIN", source="seen_lmdb", mirror="mirror: true"),
        DATA.format(rule='phase: TEST stage: "seen"', source="seen_lmdb", mirror=""),
        DATA.format(rule='phase: TEST stage: "unseen"', source="unseen_lmdb", mirror=""),
    ]
    return "".join([*data, text.replace("decay_mult: 250.0", "decay_mult: 1")])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Net, solver and databases: eight images to train on, two to test on."""
    folder = tmp_path_factory.mktemp("polyp")
    random = np.random.default_rng(0)
    images = sorted((POLYP / "images").iterdir())
    for name, chosen in (("seen_lmdb", images[:8]), ("unseen_lmdb", images[8:])):
        patches = [patch for image in chosen for patch in cut_patches(image, 50, random)]
        write_lmdb(folder / name, patches, random)
    (folder / "net.prototxt").write_text(finetuning_net())
    (folder / "solver.prototxt").write_text(SOLVER)
    return folder


@needs(POLYP)
@needs(CIFAR)
def test_all_other_layers_are_loaded(folder, monkeypatch):
    """Against the V1 file read with protobuf alone."""
    monkeypatch.chdir(folder)
    solver = Solver("solver.prototxt")
    before = solver.net.layer("ip_polyp").blob(0).detach().clone()
    solver.load_weights(str(WEIGHTS))
    old = {layer.name: layer.blobs for layer in pb.NetParameter.FromString(WEIGHTS.read_bytes()).layers if layer.blobs}
    assert set(old) == {"conv1", "conv2", "conv3", "ip1"}
    for name in ("conv1", "conv2", "conv3"):
        for ours, real in zip(solver.net.layer(name).blobs, old[name]):
            np.testing.assert_array_equal(ours.detach().numpy().ravel(), np.array(real.data, np.float32))
    assert np.array_equal(solver.net.layer("ip_polyp").blob(0).detach(), before)


@needs(POLYP)
@needs(CIFAR)
def test_fine_tuning_lowers_the_loss(folder):
    result = caffe_port("train", "--solver", "solver.prototxt", "--weights", WEIGHTS, cwd=folder)
    assert result.returncode == 0, result.stderr[-2000:]
    lines = messages(result.stderr)
    assert "Ignoring source layer ip1" in lines
    assert f"Layer ip_polyp is not in {WEIGHTS}: it starts from its filler" in lines
    losses = [float(x) for x in re.findall(r"Test net output #1: loss = (\S+)", result.stderr)]
    accuracies = [float(x) for x in re.findall(r"Test net output #0: accuracy = (\S+)", result.stderr)]
    assert len(losses) == len(accuracies) == 4  # both test nets, before and after
    seen_before, _, seen_after, _ = losses
    assert seen_after < 0.7 * seen_before
    assert accuracies[2] > max(accuracies[0], 0.75)
