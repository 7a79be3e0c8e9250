"""ONNX files: valid, and the same numbers in onnxruntime as the net's and real Caffe's."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from caffe_port.convert import onnx as target
from caffe_port.convert.onnx import write_onnx
from caffe_port.errors import CaffeError, LayerError, NetError
from tests.convert.exports import (
    CASES,
    MODEL_NAMES,
    alexnet,
    assert_close,
    blobs,
    case,
    model,
    random_inputs,
    recorded_inputs,
)
from tests.net.make import build, conv, inputs, ip, layer
from tests.shared import MODELS, needs

TOLERANCE = 1e-5
#: Real Caffe rounds differently from machine to machine; see tests/reference/compare.py.
REAL_TOLERANCE = 2e-5


def session(path):
    """The checked file in onnxruntime."""
    onnx.checker.check_model(str(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 2
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(running, values):
    """The outputs by name."""
    fed = {each.name: values[each.name].numpy() for each in running.get_inputs()}
    return dict(zip([each.name for each in running.get_outputs()], running.run(None, fed)))


def assert_same(net, running, values, recorded=None):
    wanted = blobs(net, values)
    results = run(running, values)
    assert results
    for name, value in results.items():
        assert_close(value, wanted[name], TOLERANCE, name)
        if recorded is not None:
            assert_close(value, recorded[f"blob/{name}"], REAL_TOLERANCE, name)


def export(text, path):
    net = build(text)
    write_onnx(net, path)
    return net, session(path)


# -- the same numbers -------------------------------------------------------------------------------------------------


@needs(MODELS)
@pytest.mark.parametrize("name", MODEL_NAMES)
def test_real_models(name, tmp_path):
    net = model(name)
    converted = write_onnx(net, tmp_path / "x.onnx")
    running = session(tmp_path / "x.onnx")
    path = MODELS / name / "reference.npz"
    assert_same(net, running, recorded_inputs(name, net), np.load(path) if path.exists() else None)
    for batch in (1, 3):
        assert_same(net, running, random_inputs(net, batch))
    assert converted.bytes == (tmp_path / "x.onnx").stat().st_size
    stored = sum(onnx.numpy_helper.to_array(each).size for each in onnx.load(tmp_path / "x.onnx").graph.initializer)
    assert 0 <= stored - converted.parameters < 100  # besides the weights only small constants


def test_alexnet(tmp_path):
    net = alexnet()
    write_onnx(net, tmp_path / "x.onnx")
    running = session(tmp_path / "x.onnx")
    assert {o.op_type for o in onnx.load(tmp_path / "x.onnx", load_external_data=False).graph.node} == {
        "Conv", "Relu", "LRN", "MaxPool", "Flatten", "Gemm", "Softmax",
    }  # fmt: skip
    for batch in (1, 3):
        assert_same(net, running, random_inputs(net, batch))


@pytest.mark.parametrize("name", CASES)
def test_layers_equal_real_caffe(name, tmp_path):
    net, recorded = case(name)
    write_onnx(net, tmp_path / "x.onnx")
    trained = "batchnorm_train" in name or "batchnorm_2d" in name or "batchnorm_inplace" in name
    values = {key: torch.from_numpy(recorded[f"input/{key}"]) for key in net.inputs}
    assert_same(net, session(tmp_path / "x.onnx"), values, None if trained else recorded)


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize(
    "window",
    [
        "kernel_size: 2 stride: 2",
        "kernel_size: 3 stride: 2 pad: 1",
        "kernel_size: 3 stride: 2 pad: 2",
        "kernel_h: 2 kernel_w: 4 stride_h: 3 stride_w: 1 pad_h: 0 pad_w: 3",
        "kernel_size: 2 stride: 3 round_mode: FLOOR",
        "kernel_size: 3 stride: 2 pad: 2 round_mode: FLOOR",
    ],
)
def test_pooling_windows(method, window, tmp_path):
    for height, width in ((8, 8), (7, 9), (10, 5)):
        text = layer("Pooling", "p", "data", "p", f"pooling_param {{ pool: {method} {window} }}")
        net, running = export(inputs(data=(2, 3, height, width)) + text, tmp_path / "x.onnx")
        assert_same(net, running, random_inputs(net, 3))


def test_any_batch_size_through_layers_that_move_axes(tmp_path):
    net, running = export(
        inputs(data=(2, 4, 3, 6), reference=(2, 4, 2, 5), gate=(2, 4))
        + layer("Crop", "crop", "data reference", "crop", "crop_param { axis: 0 }")
        + layer("Scale", "scale", "crop gate", "scaled", "scale_param { axis: 0 }")
        + layer("Slice", "slice", "scaled", "a b", "slice_param { slice_point: 1 }")
        + layer("Reshape", "reshape", "b", "c", "reshape_param { shape { dim: 0 dim: -1 dim: 5 } }")
        + layer("Flatten", "flatten", "a", "d", "flatten_param { axis: 1 end_axis: 2 }")
        + layer("ArgMax", "best", "c", "best", "argmax_param { top_k: 2 out_max_val: true }")
        + layer("Tile", "tile", "d", "tiled", "tile_param { tiles: 3 }")
        + layer("MVN", "mvn", "tiled", "mvn"),
        tmp_path / "x.onnx",
    )
    for batch in (1, 2, 5):
        assert_same(net, running, random_inputs(net, batch))


# -- the file ---------------------------------------------------------------------------------------------------------


def test_names_and_shapes(tmp_path):
    _, running = export(
        inputs(data=(2, 3, 8, 8), label=(2,))
        + conv("conv/1", "data", "conv/1")
        + layer("ReLU", "relu", "conv/1", "conv/1")
        + ip("score", "conv/1", "score")
        + layer("Softmax", "prob", "score", "score")
        + layer("SoftmaxWithLoss", "loss", "score label", "loss"),
        tmp_path / "x.onnx",
    )
    assert [(each.name, each.shape) for each in running.get_inputs()] == [("data", ["batch", 3, 8, 8])]
    assert [(each.name, each.shape) for each in running.get_outputs()] == [("score", ["batch", 3])]
    graph = onnx.load(tmp_path / "x.onnx").graph
    assert [(node.name, node.op_type) for node in graph.node] == [
        ("conv/1", "Conv"), ("relu", "Relu"), ("score", "Flatten"), ("score_2", "Gemm"), ("prob", "Softmax"),
    ]  # fmt: skip
    assert [each.name for each in graph.initializer] == ["conv/1.weight", "conv/1.bias", "score.weight", "score.bias"]


def test_flatten_of_any_axes(tmp_path):
    for index, axes in enumerate(("axis: 0", "axis: 1 end_axis: 0", "axis: 2 end_axis: 2", "end_axis: -2")):
        flatten = layer("Flatten", "f", "data", "f", f"flatten_param {{ {axes} }}")
        net, running = export(inputs(data=(2, 3, 4, 5)) + flatten, tmp_path / f"{index}.onnx")
        assert_same(net, running, random_inputs(net, 3))


def test_one_value_under_several_names(tmp_path):
    _, running = export(inputs(data=(2, 3)) + layer("Split", "s", "data", "a b"), tmp_path / "x.onnx")
    values = torch.randn(4, 3)
    results = run(running, {"data": values})
    assert set(results) == {"a", "b"}
    assert all(np.array_equal(value, values.numpy()) for value in results.values())


def test_blobs_that_layers_share_are_stored_once(tmp_path):
    both = 'param { name: "w" } param { name: "b" }'
    text = inputs(one=(2, 3), two=(2, 3)) + ip("a", "one", "a", 3, both) + ip("b", "two", "b", 3, both)
    net, running = export(text, tmp_path / "x.onnx")
    assert [each.name for each in onnx.load(tmp_path / "x.onnx").graph.initializer] == ["a.weight", "a.bias"]
    assert_same(net, running, random_inputs(net, 4))


def test_a_net_that_fixes_its_batch_size_keeps_it(tmp_path):
    reshape = layer("Reshape", "r", "data", "r", "reshape_param { shape { dim: 2 dim: 2 dim: 3 } }")
    _, running = export(inputs(data=(2, 6)) + reshape, tmp_path / "x.onnx")
    assert running.get_inputs()[0].shape == [2, 6]


# -- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (layer("SPP", "bad", "data", "y", "spp_param { pyramid_height: 2 }"), r"\(SPP\): cannot be exported"),
        (layer("Pooling", "bad", "data", "y", "pooling_param { kernel_size: 1 stride: 2 }"), "outside its bottom"),
        (
            layer("Reshape", "bad", "data", "y", "reshape_param { shape { dim: 1 } axis: 0 num_axes: 0 }"),
            "moves the batch axis",
        ),
    ],
    ids=["type", "window", "batch"],
)
def test_a_layer_that_onnx_lacks_is_named(text, message, tmp_path):
    (tmp_path / "x.onnx").write_text("earlier")
    with pytest.raises(LayerError, match=f"layer 'bad'.*{message}"):
        write_onnx(build(inputs(data=(2, 3, 8, 8)) + text), tmp_path / "x.onnx")
    assert (tmp_path / "x.onnx").read_text() == "earlier"
    assert len(list(tmp_path.iterdir())) == 1


def test_more_weights_than_a_file_holds_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(target, "LIMIT", 40)
    with pytest.raises(NetError, match=r"has 48 bytes of weights.*at most 2 GB"):
        write_onnx(build(inputs(data=(2, 3)) + ip("a", "data", "a")), tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(CaffeError, match=r"onnx, which is not installed.*caffe_port\[convert\]"):
        write_onnx(build(inputs(data=(2, 3)) + ip("a", "data", "a")), tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())
