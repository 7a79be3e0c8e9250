"""Arms of nets other than AlexNet (whose arms tests/prototxt has): rates, names, initialisations, and that they run."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_port import Net
from caffe_port.errors import StudyError
from caffe_port.proto import pb
from caffe_port.proto.text import parse_text
from caffe_port.study.arms import Arm, Feed, Schedule, arms_of, deploy, depths, solver, train_val
from caffe_port.study.base import open_base
from caffe_port.study.body import Body
from tests.data.make import image_database, images
from tests.shared import MODELS, needs
from tests.study.tiny import BASE

FEED = Feed(pb.TransformationParameter(scale=0.5), "train", "val", 4, 2)


def body_of(text):
    return Body.of(parse_text(text, pb.NetParameter))


def rates(net):
    return {layer.name: [spec.lr_mult for spec in layer.param] for layer in net.layer if layer.param}


@pytest.mark.parametrize(
    ("arm", "expected"),
    [
        ("conv1-ip1", {"conv1": [1, 2], "conv2": [1, 2], "ip1_ft": [10, 20]}),
        ("conv2-ip1", {"conv1": [0, 0], "conv2": [1, 2], "ip1_ft": [10, 20]}),
        ("ip1", {"conv1": [0, 0], "conv2": [0, 0], "ip1_ft": [10, 20]}),
        ("scratch", {"conv1": [1, 2], "conv2": [1, 2], "ip1_ft": [1, 2]}),
    ],
)
def test_rates_follow_table_2(arm, expected):
    net = train_val(body_of(BASE), Arm(arm), 3, FEED)
    assert rates(net) == expected
    assert all([spec.decay_mult for spec in layer.param] == [1, 0] for layer in net.layer if layer.param)


def test_depths_are_one_per_learnable_layer():
    assert depths(body_of(BASE)) == ["conv1-ip1", "conv2-ip1", "ip1", "scratch"]


def test_the_last_layer_is_new_under_a_new_name():
    body = Body.of(parse_text(BASE, pb.NetParameter), taken=["ip1_ft"])
    net = train_val(body, Arm("ip1"), 3, FEED)
    (last,) = [layer for layer in net.layer if layer.type == "InnerProduct"]
    assert (last.name, last.inner_product_param.num_output, list(last.top)) == ("ip1_ft_ft", 3, ["ip1"])


def test_names():
    body = body_of(BASE)
    for name in ("conv1-ip1", "ip1", "scratch", "scratch+msra", "ip1@0.1", "scratch+xavier@0.05~3"):
        assert Arm.parse(name, body).name == name
    assert Arm.parse("ip1@1", body).name == "ip1"
    wrong = ("conv3-ip1", "ip1+xavier", "scratch+he", "ip1@0", "ip1@2", "ip1@", "ip1@0.1~0", "", "../ip1", "ip1@1e")
    for name in wrong:
        with pytest.raises(StudyError, match="There is no arm"):
            Arm.parse(name, body)


def test_combinations():
    names = [arm.name for arm in arms_of(body_of(BASE), ["ip1", "scratch"], ["gaussian", "msra"], [1.0, 0.1], 2)]
    assert names == [
        *["ip1", "ip1@0.1", "ip1@0.1~2"],
        *["scratch", "scratch+msra", "scratch@0.1", "scratch+msra@0.1", "scratch@0.1~2", "scratch+msra@0.1~2"],
    ]
    names = [arm.name for arm in arms_of(body_of(BASE), ["ip1", "scratch+msra@0.5"], ["gaussian"], [1.0], 1)]
    assert names == ["ip1", "scratch+msra@0.5"], "a name in full stands for itself"
    assert len(arms_of(body_of(BASE), [], ["gaussian"], [1.0], 1)) == 4


@pytest.mark.parametrize("init", ["gaussian", "xavier", "msra"])
def test_initialisations(init):
    text = BASE.replace('weight_filler { type: "gaussian" std: 0.1 } } }', "} }", 1)  # conv1 without any
    net = train_val(body_of(text), Arm("scratch", init), 2, FEED)
    found = {}
    for layer in net.layer:
        if layer.type in ("Convolution", "InnerProduct"):
            filler = (
                layer.convolution_param if layer.type == "Convolution" else layer.inner_product_param
            ).weight_filler
            found[layer.name] = (filler.type, round(filler.std, 6))
    own = {"conv1": ("gaussian", 0.01), "conv2": ("gaussian", 0.1), "ip1_ft": ("gaussian", 0.1)}
    assert found == (own if init == "gaussian" else dict.fromkeys(own, (init, 1.0)))


NORMALISED = """
name: "bn"
layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "c1" type: "Convolution" bottom: "x" top: "c1"
  convolution_param { num_output: 4 kernel_size: 3 bias_term: false } }
layer { name: "bn1" type: "BatchNorm" bottom: "c1" top: "c1" }
layer { name: "s1" type: "Scale" bottom: "c1" top: "c1" scale_param { bias_term: true } }
layer { name: "r1" type: "PReLU" bottom: "c1" top: "c1" }
layer { name: "c2" type: "Convolution" bottom: "c1" top: "c2" convolution_param { num_output: 9 kernel_size: 1 } }
layer { name: "bn2" type: "BatchNorm" bottom: "c2" top: "c2" }
layer { name: "s2" type: "Scale" bottom: "c2" top: "c2" }
layer { name: "average" type: "Pooling" bottom: "c2" top: "average" pooling_param { pool: AVE global_pooling: true } }
layer { name: "prob" type: "Softmax" bottom: "average" top: "prob" }
"""


def test_what_belongs_to_a_frozen_layer_is_frozen_too(tmp_path, monkeypatch):
    """Batch statistics, scales, PReLU; and a score layer with pooling above it (as in NIN and SqueezeNet)."""
    monkeypatch.chdir(tmp_path)
    for name in ("train", "val"):
        image_database(tmp_path / name, images(8, (3, 8, 8)))
    param = train_val(body_of(NORMALISED), Arm("c2"), 8, FEED)
    net = Net(param, phase="TRAIN", seed=1)
    learning = {node.name for node in net.nodes if any(blob.requires_grad for blob in node.layer.blobs)}
    assert learning == {"c2_ft", "s2"}
    frozen = {layer.name: layer.batch_norm_param.use_global_stats for layer in param.layer if layer.type == "BatchNorm"}
    assert frozen == {"bn1": True, "bn2": False}
    assert net()["loss"].item() == pytest.approx(np.log(8), rel=0.5)
    whole = Net(deploy(body_of(NORMALISED), 8, (2, 3, 8, 8)), seed=1)
    assert whole.inputs == ["data"]
    assert whole.outputs == ["prob"]
    assert whole.blob_shapes["prob"] == (2, 8, 1, 1)


def test_nothing_of_the_old_data_and_losses_is_left():
    text = """
    layer { name: "d" type: "Data" top: "img" top: "label" include { phase: TRAIN } transform_param { crop_size: 9 }
      data_param { source: "a" batch_size: 2 } }
    layer { name: "d" type: "Data" top: "img" top: "label" include { phase: TEST } transform_param { crop_size: 9 }
      data_param { source: "b" batch_size: 2 } }
    layer { name: "c" type: "Convolution" bottom: "img" top: "c" convolution_param { num_output: 2 kernel_size: 3 } }
    layer { name: "aux" type: "InnerProduct" bottom: "c" top: "aux" inner_product_param { num_output: 9 } }
    layer { name: "aux_loss" type: "SoftmaxWithLoss" bottom: "aux" bottom: "label" top: "aux_loss" }
    layer { name: "drop" type: "Dropout" bottom: "c" top: "c" include { phase: TRAIN } }
    layer { name: "fc" type: "InnerProduct" bottom: "c" top: "fc" inner_product_param { num_output: 9 } }
    layer { name: "acc" type: "Accuracy" bottom: "fc" bottom: "label" top: "acc" include { phase: TEST } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
    """
    body = body_of(text)
    assert [layer.name for layer in body.layers] == ["c", "drop", "fc"]
    assert body.learnable == ("c", "fc"), "no auxiliary classifier"
    assert (body.source.size, body.output) == ((9, 9), "fc")
    net = train_val(body, Arm("fc"), 2, FEED)
    assert [layer.name for layer in net.layer] == ["data", "data", "c", "drop", "fc_ft", "accuracy", "loss"]
    run = Net(deploy(body, 2, (1, 3, 9, 9)))
    assert [node.name for node in run.nodes] == ["data", "c", "fc_ft", "prob"]


@needs(MODELS / "cifar10_full_v1")
@pytest.mark.parametrize("name", ["cifar10_full_v1", "cifar10_quick_v1", "lenet_v1"])
def test_real_nets(name):
    """Nets for training with their own losses; the weights fit all layers but the last."""
    base = open_base(str(MODELS / name / "net.prototxt"), str(MODELS / name / "weights.caffemodel"))
    base.check_weights()
    body = base.body()
    net = Net(deploy(body, 3, (1, base.channels, *base.size)), base.weights, missing="log")
    assert net.filled == [body.new_last]


def test_what_cannot_be_frozen():
    text = BASE.replace(
        'layer { name: "ip1"',
        'layer { name: "flat" type: "Flatten" bottom: "conv2" top: "flat" }\n'
        'layer { name: "embed" type: "Embed" bottom: "flat" top: "embed" embed_param { input_dim: 9 num_output: 2 } }\n'
        'layer { name: "ip1"',
    ).replace('type: "InnerProduct" bottom: "conv2"', 'type: "InnerProduct" bottom: "embed"')
    with pytest.raises(StudyError, match=r"layer 'embed' .Embed.: The study cannot freeze"):
        train_val(body_of(text), Arm("ip1"), 2, FEED)


def test_the_solver_tests_and_keeps_every_epoch():
    schedule = Schedule(samples=100, validation=21, batch=16, test_batch=10, epochs=3, base_lr=0.01, weight_decay=0.1)
    param = solver(schedule, "net", "prefix", "weights", seed=5)
    assert list(param.stepvalue) == [7, 13]  # 100 / 16 = 6.25: 6.25, 12.5, 18.75
    assert (param.max_iter, list(param.test_iter), param.test_interval) == (19, [3], 7)
    assert (param.base_lr, param.weight_decay) == (np.float32(0.01), np.float32(0.1))
    assert (list(param.weights), param.random_seed) == (["weights"], 5)
    assert not solver(schedule, "net", "prefix").weights
