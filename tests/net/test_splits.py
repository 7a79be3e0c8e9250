"""Split layers: their names, places and loss weights, as Caffe's test_split_layer.cpp and real files have them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from caffe_port import Net
from caffe_port.errors import NetError
from caffe_port.net.splits import insert_splits
from caffe_port.proto.weights import read_weights
from tests.net.make import build, inputs, ip, layer, parse
from tests.shared import MODELS, ORACLE, needs

LAYERS = ORACLE / "layers"
PHASE = {case["id"]: case["phase"] for case in json.loads((LAYERS / "index.json").read_text())}
DATA = layer("Input", "data", "", "data label", "input_param { shape { dim: 4 dim: 5 } shape { dim: 4 } }")


def wiring(text: str) -> list[str]:
    """Every layer of ``text`` with splits as ``name: bottoms -> tops``."""
    return [
        f"{one.name}: {' '.join(one.bottom)} -> {' '.join(one.top)}".replace(":  ->", ": ->")
        for one in insert_splits(parse(text)).layer
    ]


def test_no_consumer_or_one_needs_no_split():
    text = DATA + ip("a", "data", "a") + layer("EuclideanLoss", "loss", "a label")
    assert wiring(text) == ["data: -> data label", "a: data -> a", "loss: a label -> "]


def test_several_consumers():
    text = DATA + ip("a", "data", "x") + ip("b", "data", "y") + layer("Eltwise", "sum", "x y", "s")
    assert wiring(text) == [
        "data: -> data label",
        "data_data_0_split: data -> data_data_0_split_0 data_data_0_split_1",
        "a: data_data_0_split_0 -> x",
        "b: data_data_0_split_1 -> y",
        "sum: x y -> s",
    ]


def test_names_hold_blob_layer_and_index_of_the_top():
    text = layer("Input", "in", "", "data label") + layer("EuclideanLoss", "l1", "data label", "x")
    text += layer("EuclideanLoss", "l2", "data label", "y")
    lines = wiring(text)
    assert lines[1] == "data_in_0_split: data -> data_in_0_split_0 data_in_0_split_1"
    assert lines[2] == "label_in_1_split: label -> label_in_1_split_0 label_in_1_split_1"


def test_one_consumer_that_takes_a_blob_twice():
    text = DATA + layer("Eltwise", "sum", "data data", "s")
    assert wiring(text)[1:] == [
        "data_data_0_split: data -> data_data_0_split_0 data_data_0_split_1",
        "sum: data_data_0_split_0 data_data_0_split_1 -> s",
    ]


def test_an_in_place_chain_is_split_after_its_last_layer():
    text = DATA + ip("a", "data", "a") + layer("ReLU", "relu", "a", "a") + layer("Dropout", "drop", "a", "a")
    text += ip("b", "a", "b") + ip("c", "a", "c")
    assert wiring(text)[2:] == [
        "relu: a -> a",
        "drop: a -> a",
        "a_drop_0_split: a -> a_drop_0_split_0 a_drop_0_split_1",
        "b: a_drop_0_split_0 -> b",
        "c: a_drop_0_split_1 -> c",
    ]


def test_a_consumer_before_the_in_place_layer_makes_the_top_ambiguous():
    text = DATA + ip("a", "data", "a") + ip("b", "a", "b") + layer("ReLU", "relu", "a", "a")
    with pytest.raises(NetError, match=r"layer 'relu' \(ReLU\): Top blob 'a' produced by multiple sources"):
        build(text)


def test_a_loss_weight_counts_as_a_use_and_moves_to_the_first_split_top():
    text = DATA + ip("a", "data", "a", rest="loss_weight: 0.5") + layer("Silence", "end", "a")
    net = insert_splits(parse(text))
    by_name = {one.name: one for one in net.layer}
    assert list(by_name["a_a_0_split"].top) == ["a_a_0_split_0", "a_a_0_split_1"]
    assert list(by_name["a_a_0_split"].loss_weight) == [0.5, 0.0]
    assert list(by_name["a"].loss_weight) == []
    assert list(by_name["end"].bottom) == ["a_a_0_split_1"]  # the first copy is the loss


@pytest.mark.parametrize("weight", ["", "loss_weight: 0"])
def test_no_loss_weight_no_split(weight):
    text = DATA + ip("a", "data", "a", rest=weight) + layer("Silence", "end", "a")
    assert not any("split" in line for line in wiring(text))


def test_a_loss_weight_without_a_consumer_stays():
    net = insert_splits(parse(DATA + ip("a", "data", "a", rest="loss_weight: 2")))
    assert list(net.layer[-1].loss_weight) == [2]


def test_unknown_bottom_names_layer_and_index():
    with pytest.raises(NetError, match=r"layer 'sum' \(Eltwise\): Unknown bottom blob 'y' \(bottom index 1\)"):
        wiring(DATA + layer("Eltwise", "sum", "data y", "s") + ip("late", "data", "y"))


def test_the_given_net_is_left_alone():
    net = parse(DATA + ip("a", "data", "a") + ip("b", "data", "b"))
    before = net.SerializeToString()
    insert_splits(net)
    assert net.SerializeToString() == before


def test_splitting_twice_changes_nothing():
    once = insert_splits(parse(inputs(data=(2, 3)) + ip("a", "data", "a") + ip("b", "data", "b")))
    assert insert_splits(once) == once


@pytest.mark.parametrize("case", ["diamond_0", "two_losses_0", "shared_params_0", "split_0", "silence_0"])
def test_blob_names_of_recorded_nets(case):
    with np.load(LAYERS / f"{case}.npz") as recorded:
        names = {key.partition("/")[2] for key in recorded.files if key.startswith(("blob/", "input/"))}
    assert set(Net(LAYERS / f"{case}.prototxt", phase=PHASE[case]).blob_shapes) == names


MODEL_NAMES = sorted(path.parent.name for path in MODELS.glob("*/reference.npz")) or ["none"]


@needs(MODELS)
@pytest.mark.parametrize("name", MODEL_NAMES)
def test_blob_names_of_real_models(name):
    with np.load(MODELS / name / "reference.npz") as recorded:
        names = {key[5:] for key in recorded.files if key.startswith("blob/")}
    assert names <= set(Net(MODELS / name / "net.prototxt").blob_shapes)


@pytest.mark.parametrize("case", ["sgd_fixed", "sgd_shared", "sgd_lrn_group"])
def test_layer_names_in_a_caffemodel_that_real_caffe_wrote(case, monkeypatch):
    monkeypatch.chdir(ORACLE / "solvers" / case)
    net = Net("net.prototxt", phase="TRAIN")
    assert [node.name for node in net.nodes] == [one.name for one in read_weights("snap_iter_10.caffemodel")]
