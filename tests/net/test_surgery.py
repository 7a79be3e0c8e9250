"""Cutting a net: the head trains as the whole net does, and cuts that could not are refused."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from caffe_port import Net
from caffe_port.errors import CaffeWarning, NetError
from caffe_port.net.features import extract_features
from caffe_port.net.surgery import FeatureSource, cut_net
from caffe_port.proto import pb, write_text
from caffe_port.proto.text import parse_text
from caffe_port.solver import Solver
from tests.data.make import image_database, images

#: conv1 and fc1 are frozen; the input is centred, so that their ReLUs cut something off.
NET = """
name: "net"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { mean_value: 128 scale: 0.01 } data_param { source: "images" batch_size: 6 backend: LMDB } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { mean_value: 128 scale: 0.01 } data_param { source: "images" batch_size: 12 backend: LMDB } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 0 } param { lr_mult: 0 }
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "fc1" type: "InnerProduct" bottom: "conv1" top: "fc1" param { lr_mult: 0 } param { lr_mult: 0 }
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "relu2" type: "ReLU" bottom: "fc1" top: "fc1" }
layer { name: "drop2" type: "Dropout" bottom: "fc1" top: "fc1" }
layer { name: "fc2" type: "InnerProduct" bottom: "fc1" top: "fc2" param { lr_mult: 1 } param { lr_mult: 2 }
  inner_product_param { num_output: 12 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc2" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "fc2" bottom: "label" top: "accuracy" include { phase: TEST } }
"""
BOTH = {phase: FeatureSource("features", "labels") for phase in ("TRAIN", "TEST")}


def parsed(text=NET):
    return parse_text(text.encode(), pb.NetParameter)


def layer(text):
    return f"layer {{ {text} }}\n"


def names(net):
    return [each.name for each in net.layer]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The net, its data of 12 images, and weights for all of it."""
    monkeypatch.chdir(tmp_path)
    image_database(Path("images"), images(12))
    Path("net.prototxt").write_text(NET)
    Net("net.prototxt", seed=3).save("all.caffemodel")
    return tmp_path


def trajectory(net, steps=7):
    """The loss of every iteration, the weights of fc2 afterwards, and what the test net gives."""
    param = pb.SolverParameter(
        net=net, base_lr=0.1, momentum=0.9, weight_decay=0.01, lr_policy="fixed", random_seed=5, test_iter=[1],
        test_interval=1000, test_initialization=False, snapshot_after_train=False, weights=["all.caffemodel"],
    )  # fmt: skip
    solver = Solver(param)
    losses: list[float] = []
    solver.progress = lambda iteration, loss: losses.append(loss)
    solver.step(steps)
    weights = [blob.detach().numpy() for blob in solver.net.layer("fc2").blobs]
    return [np.array(losses), *weights, *(solver.test()[name] for name in ("accuracy", "loss"))]


@pytest.mark.parametrize("blob", ["fc1", "conv1"])
@pytest.mark.parametrize("backend", ["LMDB", "LEVELDB"])
def test_a_head_trains_as_the_whole_net_does(folder, blob, backend):
    """Weights load by name, batches wrap alike, and a Dropout above the cut draws the same masks."""
    extract_features("all.caffemodel", "net.prototxt", [blob, "label"], ["features", "labels"], 1, backend=backend)
    sources = {phase: FeatureSource("features", "labels", backend) for phase in ("TRAIN", "TEST")}
    with warnings.catch_warnings():
        warnings.simplefilter("error", CaffeWarning)
        write_text(cut_net(parsed(), blob, sources), "head.prototxt")
    whole, head = trajectory("net.prototxt"), trajectory("head.prototxt")
    for ours, expected in zip(head, whole, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-6)
    assert len(set(whole[0])) == 7  # it did learn


def test_what_a_head_consists_of():
    head = cut_net(parsed(), "fc1", BOTH)
    data = ["fc1_datum", "fc1_shape", "label_datum", "label_shape"]
    assert names(head) == [*data, *data, "drop2", "fc2", "loss", "accuracy"]
    assert [each.data_param.batch_size for each in head.layer if each.type == "Data"] == [6, 6, 12, 12]
    assert head.layer[-2] == parsed().layer[-2]
    assert names(cut_net(parsed(), "conv1", BOTH))[:6] == ["conv1_datum", *data[2:], "conv1_datum", *data[2:]]
    batches = {each.data_param.batch_size for each in cut_net(parsed(), "fc1", BOTH, 3).layer if each.type == "Data"}
    assert batches == {3}


@pytest.mark.parametrize("blob", ["fc1", "conv1"])
def test_blobs_keep_their_shapes(folder, blob):
    extract_features("all.caffemodel", "net.prototxt", [blob, "label"], ["features", "labels"], 1)
    write_text(cut_net(parsed(), blob, BOTH), "head.prototxt")
    for phase in ("TRAIN", "TEST"):
        whole, head = Net("net.prototxt", phase=phase).blob_shapes, Net("head.prototxt", phase=phase).blob_shapes
        for name in (blob, "label"):
            assert head[name] == whole[name]


def test_without_labels():
    """A head that needs none reads none; an Input layer tells the batch size."""
    net = parsed(
        layer('name: "x" type: "Input" top: "x" input_param { shape { dim: 9 dim: 4 dim: 1 dim: 1 } }')
        + layer('name: "a" type: "TanH" bottom: "x" top: "a"')
        + layer('name: "b" type: "TanH" bottom: "a" top: "b"')
    )
    head = cut_net(net, "a", {"TRAIN": FeatureSource("f"), "TEST": FeatureSource("g", backend="LEVELDB")})
    assert names(head) == ["a_datum", "a_datum", "b"]
    found = [(each.data_param.source, each.data_param.batch_size, each.data_param.backend) for each in head.layer[:2]]
    assert found == [("f", 9, pb.DataParameter.LMDB), ("g", 9, pb.DataParameter.LEVELDB)]


SIDE = layer('name: "side" type: "Power" bottom: "conv1" top: "side"')
SUM = layer('name: "sum" type: "Eltwise" bottom: "side" bottom: "fc1" top: "sum"')


@pytest.mark.parametrize(
    ("net", "blob", "message"),
    [
        (NET, "fc9", r"no blob 'fc9'. It has: data, label, conv1, fc1, fc2, loss, accuracy"),
        (NET, "loss", r"No layer takes 'loss' in TRAIN phase"),
        (NET + SIDE, "fc1", r"layer 'side' \(Power\): The layer needs 'conv1' from below the cut at 'fc1'"),
        (NET.replace('bottom: "label"', 'bottom: "data"'), "fc1", r"'loss' .*needs 'data' from below"),
        (
            NET.replace('name: "relu2"', 'name: "early" type: "Power" bottom: "fc1" top: "early" } layer { name: "r"'),
            "fc1",
            r"layer 'early' \(Power\): The layer takes 'fc1' before r changes it in-place",
        ),
        (
            NET.replace('top: "label"', 'top: "label" top: "weight"')
            + layer('name: "w" type: "Silence" bottom: "weight"'),
            "fc1",
            r"needs 'label' and 'weight'; only one blob of labels",
        ),
    ],
)
def test_refused(net, blob, message):
    with pytest.raises(NetError, match=message):
        cut_net(parsed(net), blob, BOTH)


def test_a_database_for_each_phase():
    with pytest.raises(NetError, match="has 'fc1' in TEST phase too, but no database"):
        cut_net(parsed(), "fc1", {"TRAIN": BOTH["TRAIN"]})
    with pytest.raises(NetError, match="needs 'label' in TEST phase, but no database"):
        cut_net(parsed(), "fc1", {**BOTH, "TEST": FeatureSource("features")})


def test_a_side_branch_above_the_cut_is_no_hindrance():
    net = parsed(NET + layer('name: "side" type: "Power" bottom: "fc1" top: "side"') + SUM)
    assert names(cut_net(net, "fc1", BOTH))[-2:] == ["side", "sum"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mean_value: 128", "mean_value: 128 mirror: true", r"Below 'fc1', data act differently in training"),
        ('top: "fc1" param', 'top: "fc1" param { lr_mult: 1 } param', r"Below 'fc1', fc1 would be trained"),
        ('name: "relu1" type: "ReLU"', 'name: "drop1" type: "Dropout"', r"Below 'fc1', drop1 act differently"),
        ('name: "relu1" type: "ReLU"', 'name: "bn" type: "BatchNorm"', r"Below 'fc1', bn act differently"),
    ],
)
def test_what_features_cannot_hold_is_warned_of(old, new, message):
    text = NET.replace("param { lr_mult: 0 } param { lr_mult: 0 }\n  inner", "param { lr_mult: 0 }\n  inner")
    with pytest.warns(CaffeWarning, match=message):
        cut_net(parsed(text.replace(old, new)), "fc1", BOTH)


def test_the_net_given_is_not_changed():
    net = parsed()
    cut_net(net, "fc1", BOTH)
    assert net == parsed()


def test_features_are_read_as_numbers(folder):
    """The head's first batch is what the whole net computes, in testing."""
    extract_features("all.caffemodel", "net.prototxt", ["fc1", "label"], ["features", "labels"], 1)
    write_text(cut_net(parsed(), "fc1", BOTH), "head.prototxt")
    with torch.no_grad():
        whole = Net("net.prototxt", "all.caffemodel").run({}, ["fc2"])[0]["fc2"]
        head = Net("head.prototxt", "all.caffemodel").run({}, ["fc2"])[0]["fc2"]
    torch.testing.assert_close(head, whole, rtol=1e-6, atol=1e-6)
