"""pycaffe's draw, used as old scripts use it (Caffe: python/caffe/test/test_draw.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_port import pycaffe as caffe
from caffe_port.errors import CaffeError, LayerError, NetError
from caffe_port.proto import pb, schema
from caffe_port.proto.files import read_message, read_net
from caffe_port.proto.schema import load_file_descriptor, message_classes
from caffe_port.pycaffe import draw
from tests.net.make import parse
from tests.shared import MODELS, ORACLE, ROOT, needs

NETS = [
    *sorted(path for path in (ROOT / "prototxt").glob("*/*.prototxt") if "solver" not in path.name),
    *sorted((ORACLE / "upgrade").glob("*.prototxt")),
]
PNG = b"\x89PNG\r\n"


@pytest.mark.parametrize("path", [path for path in NETS if "solver" not in path.name], ids=lambda path: path.stem)
def test_every_net_is_drawn(path):
    """As they stand in their files, of any age, as Caffe's own test does."""
    _, net = read_message(path)
    assert draw.draw_net(net, "LR").startswith(PNG)
    assert b"</svg>" in draw.draw_net(net, "TB", ext="svg", display_lrm=True)


@needs(MODELS)
def test_real_models_are_drawn():
    paths = sorted(MODELS.glob("*/net.prototxt"))
    assert paths
    for path in paths:
        assert b"</svg>" in draw.draw_net(read_message(path)[1], "LR", "svg", display_lrm=True)


def test_a_message_of_another_caffe_pb2():
    """Of a class that is not ours, made from the same schema; it stays as it is."""
    classes = message_classes(load_file_descriptor(Path(schema.__file__).with_name("caffe.desc")))
    net = read_net(ROOT / "prototxt" / "lenet" / "train_val.prototxt")
    foreign = classes["NetParameter"].FromString(net.SerializeToString())
    assert not isinstance(foreign, pb.NetParameter)
    assert draw.draw_net(foreign, "LR", "svg") == draw.draw_net(net, "LR", "svg")
    assert foreign.SerializeToString() == net.SerializeToString()


def test_phase_and_file(tmp_path):
    net = read_net(ROOT / "prototxt" / "lenet" / "train_val.prototxt")
    for phase, there in ((None, True), (caffe.TEST, True), (caffe.TRAIN, False)):
        draw.draw_net_to_file(net, str(tmp_path / "net.svg"), "TB", phase)
        text = (tmp_path / "net.svg").read_text()
        assert (">accuracy<" in text) == there
        assert text.encode() == draw.draw_net(net, "TB", "svg", phase)
    draw.draw_net_to_file(net, tmp_path / "net.png")
    assert (tmp_path / "net.png").read_bytes() == draw.draw_net(net, "LR")


CONV, POOL, FC, RELU, DATA = parse("""
layer { name: "c" type: "Convolution" param { lr_mult: 3 }
  convolution_param { num_output: 7 kernel_size: 5 stride: 2 } }
layer { name: "p" type: "Pooling" pooling_param { pool: AVE kernel_size: 3 pad: 1 } }
layer { name: "f" type: "InnerProduct" param { lr_mult: 0 } param { lr_mult: 2 } inner_product_param { num_output: 9 } }
layer { name: "r" type: "ReLU" }
layer { name: "d" type: "Data" data_param { batch_size: 64 } }
""").layer


def test_labels_are_those_of_caffe():
    assert draw.get_layer_label(CONV, "TB") == '"c (Convolution) kernel size: 5 stride: 2 pad: 0"'
    assert draw.get_layer_label(CONV, "LR") == r'"c\n(Convolution)\nkernel size: 5\nstride: 2\npad: 0"'
    assert draw.get_layer_label(POOL, "BT") == '"p (Pooling AVE) kernel size: 3 stride: 1 pad: 1"'
    assert draw.get_layer_label(FC, "TB", display_lrm=True) == '"f (InnerProduct) lr mult: 0.0, 2.0"'
    assert draw.get_layer_label(RELU, "TB", display_lrm=True) == '"r (ReLU)"'


def test_other_functions():
    assert [draw.get_edge_label(each) for each in (CONV, FC, DATA, RELU)] == ["7", "9", "Batch 64", '""']
    assert draw.get_pooling_types_dict() == {0: "MAX", 1: "AVE", 2: "STOCHASTIC"}
    assert [draw.get_layer_lr_mult(each) for each in (CONV, FC)] == [(3.0, 1.0), (0.0, 2.0)]
    kinds = ("Convolution", "Deconvolution", "Pooling", "InnerProduct")
    colors = ["#FF5050", "#FF5050", "#FF9900", "#CC33FF"]  # Caffe's
    assert [draw.choose_color_by_layertype(kind) for kind in kinds] == colors
    assert draw.choose_color_by_layertype("Concat") == "#6495ED"


def test_refusals():
    with pytest.raises(LayerError, match=r"layer 'r' \(ReLU\): has no learning rate multipliers"):
        draw.get_layer_lr_mult(RELU)
    with pytest.raises(CaffeError, match=r"without pydot\. Use draw_net"):
        draw.get_pydot_graph(pb.NetParameter(), "LR")
    for wrong in ("net.prototxt", pb.SolverParameter()):
        with pytest.raises(NetError, match="is no NetParameter"):
            draw.draw_net(wrong, "LR")
    with pytest.raises(CaffeError, match="cannot be drawn as 'gif'"):
        draw.draw_net(pb.NetParameter(), "LR", "gif")
