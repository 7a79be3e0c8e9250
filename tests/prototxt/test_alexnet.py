"""The paper's AlexNet: Table I, what bvlc_alexnet adds to it, and weights of its names and shapes."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from caffe_port import Net
from caffe_port.errors import WeightsError
from caffe_port.proto import pb
from caffe_port.proto.files import read_net
from caffe_port.proto.text import parse_text
from caffe_port.proto.weights import write_caffemodel
from caffe_port.resources import prototxt
from tests.data.make import image_database, images, write_mean
from tests.proto.encoder import integer, legacy_shape, string, varint
from tests.shared import ROOT, tool

make_prototxt = tool("make_prototxt")
REAL = os.environ.get("CAFFE_PORT_BVLC_ALEXNET")

#: Table I: layer, input, kernel, stride, pad, output. C is the number of classes.
TABLE_I = [
    ("conv1", (3, 227, 227), 11, 4, 0, (96, 55, 55)),
    ("pool1", (96, 55, 55), 3, 2, 0, (96, 27, 27)),
    ("conv2", (96, 27, 27), 5, 1, 2, (256, 27, 27)),
    ("pool2", (256, 27, 27), 3, 2, 0, (256, 13, 13)),
    ("conv3", (256, 13, 13), 3, 1, 1, (384, 13, 13)),
    ("conv4", (384, 13, 13), 3, 1, 1, (384, 13, 13)),
    ("conv5", (384, 13, 13), 3, 1, 1, (256, 13, 13)),
    ("pool5", (256, 13, 13), 3, 2, 0, (256, 6, 6)),
    ("fc6", (256, 6, 6), 6, 1, 0, (4096,)),
    ("fc7", (4096,), 1, 1, 0, (4096,)),
    ("fc8", (4096,), 1, 1, 0, ("C",)),
]

#: The blobs of bvlc_alexnet.caffemodel, with its groups: a filter of conv2, conv4 and conv5 sees half the channels.
SHAPES = {
    "conv1": [(96, 3, 11, 11), (96,)],
    "conv2": [(256, 48, 5, 5), (256,)],
    "conv3": [(384, 256, 3, 3), (384,)],
    "conv4": [(384, 192, 3, 3), (384,)],
    "conv5": [(256, 192, 3, 3), (256,)],
    "fc6": [(4096, 9216), (4096,)],
    "fc7": [(4096, 4096), (4096,)],
    "fc8": [(1000, 4096), (1000,)],
}
#: Weights and biases of each layer, by hand: 96 * 3 * 11 * 11 + 96 and so on.
COUNTS = {
    "conv1": 34_944,
    "conv2": 307_456,
    "conv3": 885_120,
    "conv4": 663_936,
    "conv5": 442_624,
    "fc6": 37_752_832,
    "fc7": 16_781_312,
    "fc8": 4_097_000,
}


# -- Table I ----------------------------------------------------------------------------------------------------------


#: In the place of train_val's data layers, which need a database.
INPUT = """
layer {
  name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 2 dim: 3 dim: 227 dim: 227 } shape { dim: 2 } }
}
"""


def shipped(name, classes):
    """The shipped net ``name`` for so many classes, able to run without data, and without its 57 million random
    numbers."""
    param = parse_text(make_prototxt.files(classes)[f"alexnet/{name}.prototxt"], pb.NetParameter)
    if name == "train_val":
        del param.layer[:2]
        param.MergeFrom(parse_text(INPUT, pb.NetParameter))
        param.layer.insert(0, param.layer.pop())
    for layer in param.layer:
        layer.convolution_param.ClearField("weight_filler")
        layer.inner_product_param.ClearField("weight_filler")
    return param


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", ["deploy_ft", "train_val"])
def test_every_row_of_table_1(name, classes):
    assert_table_1(Net(shipped(name, classes)), classes)


def test_every_row_of_table_1_with_the_classes_of_imagenet():
    assert_table_1(Net(prototxt("alexnet/deploy.prototxt")), 1000)


def assert_table_1(net, classes):
    assert net.blob_shapes["data"][1:] == (3, 227, 227)
    producers = {node.tops[0]: node for node in net.nodes if node.tops[0] not in node.bottoms}
    for row, taken, kernel, stride, pad, given in TABLE_I:
        node = producers[row]
        given = tuple(classes if n == "C" else n for n in given)
        assert net.blob_shapes[node.bottoms[0]][1:] == taken, row
        assert net.blob_shapes[row][1:] == given, row
        param = node.layer.layer_param
        if node.layer.TYPE == "InnerProduct":  # a convolution with one window, which covers the whole input
            assert kernel == (taken[1] if len(taken) == 3 else 1), row
            assert node.layer.blob_shapes == [(*given, math.prod(taken)), given], row
        elif node.layer.TYPE == "Convolution":
            window = param.convolution_param
            assert list(window.kernel_size) == [kernel], row
            assert list(window.stride) == ([stride] if stride != 1 else []), row
            assert list(window.pad) == ([pad] if pad else []), row
        else:
            window = param.pooling_param
            assert (node.layer.TYPE, window.pool) == ("Pooling", pb.PoolingParameter.MAX), row
            assert (window.kernel_size, window.stride, window.pad) == (kernel, stride, pad), row


# -- what bvlc_alexnet adds -------------------------------------------------------------------------------------------

DEPLOY = [
    ("data", "Input", "data"),
    *[("conv1", "Convolution", "conv1"), ("relu1", "ReLU", "conv1"), ("norm1", "LRN", "norm1")],
    *[("pool1", "Pooling", "pool1")],
    *[("conv2", "Convolution", "conv2"), ("relu2", "ReLU", "conv2"), ("norm2", "LRN", "norm2")],
    *[("pool2", "Pooling", "pool2")],
    *[("conv3", "Convolution", "conv3"), ("relu3", "ReLU", "conv3")],
    *[("conv4", "Convolution", "conv4"), ("relu4", "ReLU", "conv4")],
    *[("conv5", "Convolution", "conv5"), ("relu5", "ReLU", "conv5"), ("pool5", "Pooling", "pool5")],
    *[("fc6", "InnerProduct", "fc6"), ("relu6", "ReLU", "fc6"), ("drop6", "Dropout", "fc6")],
    *[("fc7", "InnerProduct", "fc7"), ("relu7", "ReLU", "fc7"), ("drop7", "Dropout", "fc7")],
    *[("fc8", "InnerProduct", "fc8"), ("prob", "Softmax", "prob")],
]


@pytest.mark.parametrize(("name", "last"), [("deploy", "fc8"), ("deploy_ft", "fc8_ft")])
def test_layers_and_blobs_are_those_of_bvlc_alexnet(name, last):
    param = read_net(prototxt(f"alexnet/{name}.prototxt"))
    expected = [(last if layer == "fc8" else layer, kind, top) for layer, kind, top in DEPLOY]
    assert [(layer.name, layer.type, *layer.top) for layer in param.layer] == expected
    for before, layer in zip(param.layer, param.layer[1:]):
        assert list(layer.bottom) == list(before.top), "a chain"


def test_groups_normalisation_and_dropout():
    for name in ("deploy", "deploy_ft", "train_val"):
        for layer in read_net(prototxt(f"alexnet/{name}.prototxt")).layer:
            if layer.type == "Convolution":
                assert layer.convolution_param.group == (2 if layer.name in ("conv2", "conv4", "conv5") else 1)
            elif layer.type == "LRN":
                lrn = layer.lrn_param
                assert (lrn.local_size, lrn.beta, lrn.k, lrn.norm_region) == (5, 0.75, 1, 0)
                assert lrn.alpha == pytest.approx(1e-4)
            elif layer.type == "Dropout":
                assert layer.dropout_param.dropout_ratio == 0.5


def test_rates_decay_and_fillers():
    fillers = {"conv1": (0.01, 0), "conv2": (0.01, 0.1), "conv3": (0.01, 0), "conv4": (0.01, 0.1)}
    fillers |= {"conv5": (0.01, 0.1), "fc6": (0.005, 0.1), "fc7": (0.005, 0.1), "fc8_ft": (0.01, 0)}
    assert not any(layer.param for layer in read_net(prototxt("alexnet/deploy.prototxt")).layer), "rates are the arms'"
    seen = {}
    for layer in read_net(prototxt("alexnet/train_val.prototxt")).layer:
        if not layer.param:
            continue
        times = 10 if layer.name == "fc8_ft" else 1  # Table II: 0.01 for the new layer, 0.001 for the others
        assert [(p.lr_mult, p.decay_mult) for p in layer.param] == [(times, 1), (2 * times, 0)], layer.name
        own = layer.convolution_param if layer.type == "Convolution" else layer.inner_product_param
        assert (own.weight_filler.type, own.bias_filler.type) == ("gaussian", "constant")
        seen[layer.name] = (pytest.approx(own.weight_filler.std), pytest.approx(own.bias_filler.value))
    assert seen == fillers


def test_the_parameters_are_as_many_as_counted_by_hand():
    net = Net(prototxt("alexnet/deploy.prototxt"))
    counted = {node.name: sum(blob.numel() for blob in node.layer.blobs) for node in net.nodes if node.layer.blobs}
    assert counted == COUNTS
    convolution = sum(count for name, count in COUNTS.items() if name.startswith("conv"))
    connected = sum(count for name, count in COUNTS.items() if name.startswith("fc"))
    assert (convolution, connected) == (2_334_080, 58_631_144)
    assert connected == pytest.approx(55e6, rel=0.1)  # "about 55 million", says the paper; its 5 million are not these


def test_the_files_are_what_the_tool_writes():
    for name, text in make_prototxt.files().items():
        assert (ROOT / "prototxt" / name).read_text() == text, "run python tools/make_prototxt.py"


@pytest.mark.parametrize("arguments", [["--classes", "1"], ["--last-layer", "fc8"], ["--last-layer", 'a"b']])
def test_the_tool_refuses_what_would_not_train(monkeypatch, capsys, arguments):
    monkeypatch.setattr("sys.argv", ["make_prototxt.py", *arguments])
    with pytest.raises(SystemExit):
        make_prototxt.main()
    assert arguments[0] in capsys.readouterr().err.splitlines()[-1]


# -- weights ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def blobs():
    """Random blobs of bvlc_alexnet's names and shapes: 244 MB."""
    random = np.random.default_rng(0)

    def blob(shape):
        values = random.random(shape, dtype=np.float32)
        values -= 0.5
        values *= 0.02
        return values

    return {name: [blob(shape) for shape in shapes] for name, shapes in SHAPES.items()}


#: Type in V2 and in V1 (V1LayerParameter.LayerType) by the beginning of the name.
TYPES = {
    "conv": ("Convolution", 4),
    "fc": ("InnerProduct", 14),
    "relu": ("ReLU", 18),
    "norm": ("LRN", 15),
    "pool": ("Pooling", 17),
    "drop": ("Dropout", 6),
    "data": ("Data", 5),
    "loss": ("SoftmaxWithLoss", 21),
}


def trained_layers() -> Iterator[tuple[str, str, int]]:
    """Names and types of the layers in a caffemodel: those of the TRAIN net, its data and loss layers too."""
    for name in ["data", *[name for name, _, _ in DEPLOY[1:-1]], "loss"]:
        yield (name, *TYPES[name.rstrip("0123456789")])


@pytest.fixture(scope="module")
def v2_file(blobs, tmp_path_factory):
    path = tmp_path_factory.mktemp("alexnet") / "v2.caffemodel"
    layers = [pb.LayerParameter(name=name, type=kind, phase=pb.TRAIN) for name, kind, _ in trained_layers()]
    write_caffemodel(path, pb.NetParameter(name="AlexNet", layer=layers), blobs)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def v1_file(blobs, tmp_path_factory):
    """In V1 form with num, channels, height and width, as Caffe wrote weights in 2014: fc6 is 1 x 1 x 4096 x 9216."""
    path = tmp_path_factory.mktemp("alexnet") / "v1.caffemodel"
    with open(path, "wb") as file:
        file.write(string(1, "CaffeNet"))
        for name, _, number in trained_layers():
            head, tail = string(4, name) + integer(5, number), struct.pack("<Bf", 7 * 8 + 5, 1.0)  # blobs_lr: 1
            lengths = [(legacy_blob_head(blob), blob) for blob in blobs.get(name, [])]
            body = sum(len(varint(len(h) + b.nbytes)) + 1 + len(h) + b.nbytes for h, b in lengths)
            file.write(varint(2 * 8 + 2) + varint(len(head) + body + len(tail)) + head)
            for blob_head, blob in lengths:
                file.write(varint(6 * 8 + 2) + varint(len(blob_head) + blob.nbytes) + blob_head)
                file.write(blob.data)
            file.write(tail)
    yield path
    path.unlink()


def legacy_blob_head(blob) -> bytes:
    """A BlobProto up to the bytes of its packed data."""
    dims = (1,) * (4 - blob.ndim) + blob.shape
    return legacy_shape(*dims) + varint(5 * 8 + 2) + varint(blob.nbytes)


def assert_same_bits(net, blobs):
    for name, arrays in blobs.items():
        for ours, array in zip(net.layer(name).blobs, arrays, strict=True):
            assert torch.equal(ours.detach().view(torch.int32), torch.from_numpy(array).view(torch.int32)), name


@pytest.mark.parametrize("form", ["v1_file", "v2_file"])
def test_weights_of_bvlc_alexnet_load_whole(form, blobs, request):
    net = Net(prototxt("alexnet/deploy.prototxt"), request.getfixturevalue(form), missing="error")
    assert {node.name for node in net.nodes if node.layer.blobs} == set(blobs)
    assert_same_bits(net, blobs)


def test_the_tuned_deploy_net_does_not_take_the_published_weights(v1_file):
    with pytest.raises(WeightsError, match="fc8_ft"):
        Net(prototxt("alexnet/deploy_ft.prototxt"), v1_file)


def test_fine_tuning_takes_all_but_the_last_layer(v1_file, blobs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image_database(tmp_path / "train_lmdb", images(2, (3, 256, 256)))
    write_mean(tmp_path / "imagenet_mean.binaryproto", np.full((3, 256, 256), 117.0))
    param = read_net(prototxt("alexnet/train_val.prototxt"))
    param.layer[0].data_param.batch_size = 2
    net = Net(param, v1_file, phase="TRAIN", missing="log", seed=1)
    assert_same_bits(net, {name: arrays for name, arrays in blobs.items() if name != "fc8"})
    weight, bias = net.layer("fc8_ft").blobs
    assert weight.std().item() == pytest.approx(0.01, rel=0.05)  # 8192 draws: 0.8 % is one standard error
    assert not bias.any()
    loss = net()["loss"]
    loss.backward()
    assert math.isfinite(loss.item())
    assert all(param.blob.grad is not None for param in net.params)


@pytest.mark.skipif(not REAL, reason="CAFFE_PORT_BVLC_ALEXNET does not name a bvlc_alexnet.caffemodel")
def test_the_real_weights_load_whole():
    net = Net(prototxt("alexnet/deploy.prototxt"), REAL)
    assert all(blob.abs().sum() > 0 for node in net.nodes for blob in node.layer.blobs)
