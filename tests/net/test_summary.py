"""Parameters, multiply-adds and memory: published figures, figures by hand, and torch's own counter."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from caffe_port import Net
from caffe_port.errors import CaffeError, NetError
from caffe_port.layers import Layer
from caffe_port.net.summary import summarize
from tests.draw.nets import inception_net
from tests.net.make import build, inputs, ip, layer, parse, random_inputs
from tests.shared import MODELS, ROOT, needs

ALEXNET = ROOT / "prototxt" / "alexnet" / "deploy.prototxt"


def rows(text, **options):
    """The layers of a prototxt's summary by name."""
    return {each.name: each for each in summarize(parse(text), **options).layers}


# -- published figures and figures by hand ----------------------------------------------------------------------------


def test_alexnet():
    """724,406,816 multiply-adds and 60,965,224 parameters, as published for bvlc_alexnet with its groups."""
    summary = summarize(ALEXNET)
    assert summary.batch == 10
    assert summary.total("multiply_adds") == 10 * 724_406_816
    assert summary.total("parameters") == summary.total("learnable") == 60_965_224
    assert summary.weight_bytes == 243_860_896
    found = {each.name: (each.parameters, each.multiply_adds // 10) for each in summary.layers if each.parameters}
    assert found == {
        "conv1": (34_944, 105_415_200),
        "conv2": (307_456, 223_948_800),
        "conv3": (885_120, 149_520_384),
        "conv4": (663_936, 112_140_288),
        "conv5": (442_624, 74_760_192),
        "fc6": (37_752_832, 37_748_736),
        "fc7": (16_781_312, 16_777_216),
        "fc8": (4_097_000, 4_096_000),
    }


def test_lenet_by_hand():
    path = ROOT / "prototxt" / "lenet" / "train_val.prototxt"
    summary = summarize(path, "TRAIN", inputs={"data": (64, 1, 28, 28), "label": (64,)})
    found = {each.name: (each.parameters, each.multiply_adds) for each in summary.layers if each.parameters}
    assert found == {
        "conv1": (20 * 25 + 20, 64 * 20 * 24 * 24 * 25),
        "conv2": (50 * 20 * 25 + 50, 64 * 50 * 8 * 8 * 20 * 25),
        "ip1": (500 * 800 + 500, 64 * 500 * 800),
        "ip2": (10 * 500 + 10, 64 * 10 * 500),
    }
    assert summary.total("parameters") == 431_080
    assert (summary.batch, summary.phase, summary.name) == (64, "TRAIN", "LeNet")


def test_a_frozen_arm():
    """Table II's fc8: all but fc8 has a rate of 0."""
    path = ROOT / "prototxt" / "table2" / "fc8_train_val.prototxt"
    summary = summarize(path, "TRAIN", inputs={"data": (1, 3, 227, 227), "label": (1,)})
    assert {each.name for each in summary.layers if each.learnable} == {"fc8_ft"}
    assert summary.total("learnable") == 4096 * 2 + 2
    assert summary.total("parameters") == 60_965_224 - 4_097_000 + 4096 * 2 + 2


# -- an independent counter -------------------------------------------------------------------------------------------

STEPS = inputs(x=(5, 2, 3), cont=(5, 2), static=(2, 7))
RECURRENT = 'recurrent_param { num_output: 4 weight_filler { type: "xavier" } }'
WINDOW = "convolution_param { num_output: 6 %s }"
NETS = {
    "conv": inputs(x=(2, 4, 9, 10))
    + layer("Convolution", "c", "x", "y", WINDOW % "group: 2 dilation: 2 pad: 1 kernel_size: 3 stride: 2"),
    "several bottoms": inputs(x=(2, 4, 9, 10), z=(2, 4, 9, 10))
    + layer("Convolution", "c", "x z", "y w", WINDOW % "kernel_size: 3"),
    "one dimension": inputs(x=(2, 4, 9)) + layer("Convolution", "c", "x", "y", WINDOW % "kernel_size: 3"),
    "deconv": inputs(x=(2, 4, 5, 6))
    + layer("Deconvolution", "d", "x", "y", WINDOW % "group: 2 pad: 1 kernel_size: 4 stride: 3"),
    "ip": inputs(x=(2, 3, 4, 5)) + ip("a", "x", "y", 7) + ip("b", "y", "z", 3),
    "ip of rows": inputs(x=(2, 3, 4))
    + layer("InnerProduct", "a", "x", "y", "inner_product_param { num_output: 5 axis: 2 transpose: true }"),
    "lstm": STEPS + layer("LSTM", "l", "x cont static", "y", RECURRENT),
    "rnn": STEPS + layer("RNN", "r", "x cont static", "y", RECURRENT),
    "inception": inception_net(2),
}


@pytest.mark.parametrize("text", NETS.values(), ids=NETS.keys())
def test_multiply_adds_are_half_of_torchs_operations(text):
    net = build(text)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net.run(random_inputs(net))
    assert counter.get_total_flops() == 2 * summarize(parse(text)).total("multiply_adds") > 0


@needs(MODELS)
@pytest.mark.parametrize("name", ["mtcnn_lnet", "mnist_siamese", "waifu2x_upconv7", "cifar10_full_v1"])
def test_real_models(name):
    net = Net(MODELS / name / "net.prototxt", MODELS / name / "weights.caffemodel")
    summary = summarize(MODELS / name / "net.prototxt")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net.run({blob: torch.zeros(net.blob_shapes[blob]) for blob in net.inputs})
    assert counter.get_total_flops() == 2 * summary.total("multiply_adds")
    assert summary.total("parameters") == sum(param.numel() for param in net.parameters())


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_layers_are_those_of_the_prototxt():
    """Without the Split layers that a net inserts, under the names of before."""
    text = inputs(x=(2, 3)) + layer("Split", "own", "x", "a b") + layer("TanH", "t", "a", "c")
    found = rows(text + layer("Silence", "s", "c b") + layer("Power", "p", "c", "d"))
    assert list(found) == ["x", "own", "t", "s", "p"]
    assert (found["s"].bottoms, found["p"].bottoms) == (["c", "b"], ["c"])
    assert (found["p"].bottom_shapes, found["p"].top_shapes) == ([(2, 3)], [(2, 3)])


def test_memory_counts_nothing_twice():
    text = inputs(x=(2, 3, 4)) + layer("TanH", "t", "x", "y") + layer("ReLU", "r", "y", "y")
    text += layer("Flatten", "f", "y", "z") + layer("Power", "p", "z", "w")
    memory = {name: each.memory for name, each in rows(text).items()}
    assert memory == {"x": 96, "t": 96, "r": 0, "f": 0, "p": 96}


def test_shared_and_fixed_parameters():
    shared = 'param { name: "w" } param { name: "b" }'
    text = inputs(x=(2, 3), z=(2, 3)) + ip("a", "x", "ya", 4, shared) + ip("b", "z", "yb", 4, shared)
    text += ip("c", "ya", "yc", 2, "param { lr_mult: 0 }") + layer("BatchNorm", "bn", "yc", "yd")
    found = rows(text + layer("Silence", "s", "yb yd"))
    counts = {
        name: (found[name].parameters, found[name].learnable, found[name].shared) for name in ("a", "b", "c", "bn")
    }
    assert counts == {"a": (16, 16, 0), "b": (0, 0, 16), "c": (10, 2, 0), "bn": (5, 0, 0)}


def test_force_backward_makes_nothing_learnable():
    text = inputs(x=(2, 3)) + ip("a", "x", "y", 4, "param { lr_mult: 0 } param { lr_mult: 0 }")
    assert rows(f"force_backward: true\n{text}")["a"].learnable == 0


def test_phase_level_and_stage():
    text = inputs(x=(2, 3)) + layer("TanH", "deep", "x", "y", 'include { phase: TRAIN stage: "s" min_level: 1 }')
    assert list(rows(text)) == ["x"]
    assert list(rows(text, phase="TRAIN", level=1, stages=["s"])) == ["x", "deep"]


def test_weights_are_not_filled(monkeypatch):
    """Which takes most of the time that a large net needs."""
    monkeypatch.setattr(Layer, "fill_blob", lambda *_: pytest.fail("a blob is filled"))
    assert summarize(ALEXNET).layers


def test_other_inputs():
    other = summarize(ALEXNET, inputs={"data": (1, 3, 227, 227)})
    assert (other.batch, other.total("multiply_adds")) == (1, 724_406_816)
    data = "data_param { source: 'gone' batch_size: 9 }"
    text = layer("Data", "d", "", "x label", data) + ip("a", "x", "y", 2)
    assert rows(text, inputs={"x": (3, 5), "label": (3,)})["a"].parameters == 12
    with pytest.raises(NetError, match=r"layer 'd' \(Data\): makes 'label', too, whose shape is not given"):
        rows(text, inputs={"x": (3, 5)})
    with pytest.raises(NetError, match="The net has no input 'y' in this phase"):
        rows(text, inputs={"x": (3, 5), "label": (3,), "y": (1,)})
    with pytest.raises(CaffeError, match=r"layer 'd' \(Data\)"):
        rows(text)


def test_no_layers():
    summary = summarize(parse('name: "empty"'))
    assert (summary.batch, summary.layers, summary.total("memory")) == (1, [], 0)
