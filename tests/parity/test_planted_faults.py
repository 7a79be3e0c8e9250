"""Wrong conversions are found at the right layer and explained; right ones raise no alarm.

What is right comes from elsewhere: real Caffe's recorded numbers with a fault planted in the net, or a net written out
in plain torch operations with a fault planted there.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from caffe_port import Net
from caffe_port.parity import Record, compare
from tests.shared import MODELS, ORACLE, needs

LAYERS = ORACLE / "layers"
CASES = json.loads((LAYERS / "index.json").read_text())
REFERENCES = sorted(path.parent for path in MODELS.glob("*/reference.npz"))

#: (what real Caffe computed, its prototxt changed from ... to ..., what must be said first)
IN_THE_NET = [
    ("pooling_max_3", "round_mode: FLOOR", "round_mode: CEIL", "round_mode: FLOOR"),
    ("pooling_max_2", "pad: 0", "pad: 1", "pad: 0"),
    ("pooling_ave_4", "AVE", "MAX", "pool: AVE"),
    ("pooling_ave_5", "stride: 3", "stride: 2", "stride: 3"),
    ("lrn_1", "alpha: 0.5", "alpha: 0.16666667", "alpha not divided by the size of the window"),
    ("lrn_4", "norm_region: WITHIN_CHANNEL", "", "norm_region: WITHIN_CHANNEL"),
    ("lrn_2", "k: 2", "", "k: 2"),
    ("lrn_2", "local_size: 5 alpha: 2", "local_size: 3 alpha: 2", "local_size: 5"),
    ("convolution_5", "dilation: 2", "dilation: 1", "dilation: 2"),
    ("convolution_6", "pad: 1", "pad: 0", "pad: 1"),
    ("convolution_6", "stride: 2", "stride: 1", "stride: 2"),
    ("convolution_8", "group: 3", "", "group: 3"),
    ("deconvolution_0", "group: 2", "", "group: 2"),
    ("deconvolution_4", "pad: 1", "pad: 0", "pad: 1"),
    ("batchnorm_train_1", "use_global_stats: true", "use_global_stats: true eps: 0.01", "eps: 1e-05"),
    (
        "batchnorm_test_0",
        "batch_norm_param {",
        "batch_norm_param { use_global_stats: false",
        "use_global_stats: true (statistics that were stored)",
    ),
    ("batchnorm_train_2", "eps: 0.01", "", "eps: 0.01"),
    ("eltwise_1", "coeff: 0.5 coeff: -2", "", "operation: SUM coeff: 0.5 coeff: -2"),
    ("eltwise_2", "PROD", "SUM", "operation: PROD"),
    ("softmax_axis_0", "axis: -1", "axis: 1", "axis: 3"),
    ("relu_1", "negative_slope: 0.13", "", "negative_slope: 0.13"),
    (
        "relu_inplace_0",
        'bottom: "h" top: "h"',
        'bottom: "h" top: "h" relu_param { negative_slope: 0.2 }',
        "negative_slope lost",
    ),
    ("elu_0", "alpha: 0.7", "", "alpha: 0.7"),
    ("innerproduct_0", "num_output: 5", "num_output: 5 bias_term: false", "bias_term: true (the bias was lost)"),
    ("scale_5", "axis: -1", "axis: 2", "axis: 3"),
    ("power_1", "shift: 0.5", "", "a factor of 1 and 0.5 added"),
    ("mvn_2", "normalize_variance: false", "", "normalize_variance: false"),
    ("reduction_1", "MEAN", "SUM", "operation: MEAN"),
]


def report(case, text=None, tmp_path=None, record=None, **options):
    """The comparison of a case, or of ``text`` in place of its prototxt."""
    path = LAYERS / f"{case}.prototxt"
    if text is not None:
        path = tmp_path / "net.prototxt"
        path.write_text(text)
    phase = next(known["phase"] for known in CASES if known["id"] == case)
    return compare(path, None, record or Record.read(LAYERS / f"{case}.npz"), phase=phase, **options)


@pytest.mark.parametrize(("case", "old", "new", "said"), IN_THE_NET)
def test_fault_in_the_net(case, old, new, said, tmp_path):
    text = (LAYERS / f"{case}.prototxt").read_text()
    assert old in text
    result = report(case, text.replace(old, new), tmp_path)
    assert not result.agrees
    assert [layer.name for layer in result.finding.layers] == (["ip", "op"] if "inplace" in case else ["op"])
    assert [e.what for e in result.finding.explanations][:1] == [said]


NET = """
name: "every kind of layer"
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 23 dim: 23 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 5 stride: 1 pad: 2 } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param { local_size: 5 alpha: 2 beta: 0.75 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 6 kernel_size: 3 pad: 1 group: 2 } }
layer { name: "bn2" type: "BatchNorm" bottom: "conv2" top: "conv2" }
layer { name: "scale2" type: "Scale" bottom: "conv2" top: "conv2" scale_param { bias_term: true } }
layer { name: "prelu2" type: "PReLU" bottom: "conv2" top: "prelu2" }
layer { name: "drop2" type: "Dropout" bottom: "prelu2" top: "drop2" dropout_param { dropout_ratio: 0.3 } }
layer { name: "pool2" type: "Pooling" bottom: "drop2" top: "pool2"
  pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "up" type: "Deconvolution" bottom: "pool2" top: "up"
  convolution_param { num_output: 6 group: 6 kernel_size: 4 stride: 2 pad: 1 } }
layer { name: "crop" type: "Crop" bottom: "up" bottom: "drop2" top: "crop" crop_param { axis: 2 offset: 1 } }
layer { name: "sum" type: "Eltwise" bottom: "crop" bottom: "drop2" top: "sum" eltwise_param { coeff: 1 coeff: -0.5 } }
layer { name: "relu3" type: "ReLU" bottom: "sum" top: "relu3" relu_param { negative_slope: 0.1 } }
layer { name: "cat" type: "Concat" bottom: "relu3" bottom: "crop" top: "cat" }
layer { name: "fc" type: "InnerProduct" bottom: "cat" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def converted(net, x, fault):
    """Every blob of NET in plain torch operations, with one of them done wrongly."""
    p = {f"{node.name}/{i}": b.detach() for node in net.nodes for i, b in enumerate(node.layer.blobs)}
    blobs = {}
    conv1 = {"rgb": p["conv1/0"].flip(1), "flipped": p["conv1/0"].flip(2, 3)}.get(fault, p["conv1/0"])
    image = (
        (x - x.new_tensor([0.3, -0.2, 0.5]).view(1, 3, 1, 1)) * 0.5
        if fault == "mean"
        else x * 255
        if fault == "255"
        else x
    )
    y = F.conv2d(image, conv1, None if fault == "bias" else p["conv1/1"], padding=1 if fault == "pad" else 2)
    blobs["conv1"] = y = y if fault == "relu lost" else F.leaky_relu(y, 0.05) if fault == "leaky" else y.relu()
    if fault == "pad":
        return {"conv1": y.numpy()}
    alpha = 10.0 if fault == "alpha" else 2.0
    blobs["norm1"] = y = F.local_response_norm(y, 5, alpha=alpha, beta=0.75, k=2.0 if fault == "k" else 1.0)
    blobs["pool1"] = y = F.max_pool2d(y, 2, 2, ceil_mode=fault != "floor")
    if fault == "floor":
        return {name: value.numpy() for name, value in blobs.items()}
    z = y[:, :4].repeat(1, 2, 1, 1) if fault == "group" else y
    y = F.conv2d(z, p["conv2/0"], p["conv2/1"], padding=1, groups=2)
    factor = 1.0 if fault == "factor" else float(p["bn2/2"])
    eps = {"eps": 1e-3, "odd eps": 0.02}.get(fault, 1e-5)
    mean, variance = p["bn2/0"] / factor, p["bn2/1"] / factor
    y = F.batch_norm(y, mean, variance, eps=eps, training=fault == "batch statistics")
    y = y if fault == "scale lost" else y * p["scale2/0"].view(1, -1, 1, 1)
    blobs["conv2"] = y = y if fault == "shift lost" else y + p["scale2/1"].view(1, -1, 1, 1)
    slopes = p["prelu2/0"]
    blobs["prelu2"] = y = F.prelu(y, slopes[:1] if fault == "shared" else slopes)
    blobs["drop2"] = drop2 = F.dropout(y, 0.3) if fault == "dropout" else y * 0.7 if fault == "scaled dropout" else y
    inside = fault == "padding left out"
    blobs["pool2"] = y = F.avg_pool2d(drop2, 3, 2, 1, ceil_mode=True, count_include_pad=not inside)
    up = p["up/0"].transpose(2, 3) if fault == "h and w" else p["up/0"]
    blobs["up"] = y = F.conv_transpose2d(y, up, p["up/1"], stride=2, padding=1, groups=6)
    start = 0 if fault == "offset" else 1
    blobs["crop"] = crop = y[:, :, start : start + 12, start : start + 12]
    blobs["sum"] = y = crop + (1 if fault == "coeff" else -0.5) * drop2
    blobs["relu3"] = y = F.leaky_relu(y, 0.0 if fault == "slope" else 0.1)
    blobs["cat"] = y = torch.cat([crop, y] if fault == "order" else [y, crop], 1)
    weight = p["fc/0"].reshape(p["fc/0"].shape[::-1]).t() if fault == "transposed" else p["fc/0"]
    flat = y.permute(0, 2, 3, 1).flatten(1) if fault == "flattened" else y.flatten(1)
    blobs["fc"] = y = F.linear(flat, weight, p["fc/1"])
    blobs["prob"] = y.softmax(0) if fault == "axis" else y.log_softmax(1) if fault == "log" else y.softmax(1)
    return {name: value.numpy() for name, value in blobs.items()}


#: fault -> the layer at fault and what must be said first
IN_THE_REFERENCE = {
    "rgb": ("conv1", "the input channels in reverse order (RGB and BGR swapped)"),
    "flipped": ("conv1", "filters flipped in both directions (a true convolution)"),
    "mean": ("conv1", "its input scaled by 0.5 and the mean 0.3 -0.2 0.5 subtracted before"),
    "255": ("conv1", "its input scaled by 255"),
    "bias": ("conv1", "the bias left out"),
    "pad": ("conv1", "pad: 1"),
    "relu lost": ("relu1", "this layer left out"),
    "leaky": ("relu1", "negative_slope: 0.05"),
    "alpha": ("norm1", "alpha not divided by the size of the window"),
    "k": ("norm1", "k: 2"),
    "floor": ("pool1", "round_mode: FLOOR"),
    "group": ("conv2", "every group reading the first group's input channels (group lost)"),
    "factor": ("bn2", "the scale factor (its third blob) ignored, that is 1"),
    "eps": ("bn2", "eps: 0.001"),
    "odd eps": ("bn2", "eps: 0.02"),
    "batch statistics": ("bn2", "use_global_stats: false (statistics of the batch)"),
    "scale lost": ("scale2", "the factors left out (only the bias)"),
    "shift lost": ("scale2", "the bias left out"),
    "shared": ("prelu2", "the first slope for all channels (channel_shared)"),
    "dropout": ("drop2", "the TRAIN phase, in which it drops values"),
    "scaled dropout": ("drop2", "values multiplied by 1 - dropout_ratio"),
    "padding left out": ("pool2", "an average that leaves padding out of the count"),
    "h and w": ("up", "filters with height and width swapped"),
    "offset": ("crop", "offset: 0"),
    "coeff": ("sum", "coeff lost"),
    "slope": ("relu3", "negative_slope lost"),
    "order": ("cat", "its bottoms in reverse order"),
    "transposed": ("fc", "its weights transposed"),
    "flattened": ("fc", "its columns in the order height x width x channel (the bottom flattened otherwise)"),
    "axis": ("prob", "axis: 0"),
    "log": ("prob", "the logarithm taken"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A net of many layers with random weights: prototxt, weights, the net, a batch of images."""
    folder = tmp_path_factory.mktemp("net")
    (folder / "net.prototxt").write_text(NET)
    net = Net(folder / "net.prototxt", seed=1)
    torch.manual_seed(0)
    with torch.no_grad():
        for node in net.nodes:
            for blob in node.layer.blobs:
                blob.copy_(torch.randn(blob.shape) * 0.3)
        net.layer("bn2").blobs[1].copy_(torch.rand(6) + 0.01)
        net.layer("bn2").blobs[2].copy_(torch.tensor([0.25]))
    net.save(folder / "w.caffemodel")
    return folder / "net.prototxt", folder / "w.caffemodel", net, torch.randn(4, 3, 23, 23)


def reference(whole, fault=""):
    _, _, net, x = whole
    torch.manual_seed(1)
    return Record(inputs={"data": x.numpy()}, blobs=converted(net, x, fault))


def test_the_conversion_without_a_fault(whole):
    assert compare(*whole[:2], reference(whole)).agrees


@pytest.mark.parametrize("fault", IN_THE_REFERENCE)
def test_fault_in_the_reference(fault, whole):
    layer, said = IN_THE_REFERENCE[fault]
    result = compare(*whole[:2], reference(whole, fault))
    assert not result.agrees
    assert layer in [suspect.name for suspect in result.finding.layers]
    assert result.finding.explanations, result.finding.layers
    first = result.finding.explanations[0]
    assert (first.layer, first.what) == (layer, said)
    assert first.relative < 2e-5


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_no_false_alarm_in_layers(case):
    result = report(case["id"], backward=case["backward"])
    assert result.agrees, [row for row in result.rows if row.status not in ("agrees", "not recorded")]
    assert result.finding is None
    assert result.count("agrees") > 0


@needs(MODELS)
@pytest.mark.parametrize("folder", REFERENCES, ids=lambda folder: folder.name)
def test_no_false_alarm_in_real_models(folder):
    result = compare(folder / "net.prototxt", folder / "weights.caffemodel", Record.read(folder / "reference.npz"))
    assert result.agrees, [row for row in result.rows if row.status not in ("agrees", "not recorded")]
    assert result.count("agrees") == len(np.load(folder / "reference.npz").files) - len(result_inputs(folder))


def result_inputs(folder):
    return [key for key in np.load(folder / "reference.npz").files if key.startswith("input/")]


@needs(MODELS)
@pytest.mark.parametrize(
    ("old", "new", "layer", "what"),
    [
        ("stride: 2", "stride: 2 round_mode: FLOOR", "pool1", "round_mode: CEIL"),
        ("kernel_size: 5", "kernel_size: 3", "conv1", None),
        ("num_output: 64", "num_output: 32", "conv3", None),
    ],
)
def test_weights_that_do_not_fit_are_no_obstacle(old, new, layer, what, tmp_path):
    """A wrong setting shows in a layer above it first: its weights have another shape."""
    folder = MODELS / "cifar10_full_v1"
    (tmp_path / "net.prototxt").write_text((folder / "net.prototxt").read_text().replace(old, new))
    record = Record.read(folder / "reference.npz")
    report = compare(tmp_path / "net.prototxt", folder / "weights.caffemodel", record)
    assert report.finding.layers[0].name == layer
    if what:
        assert report.finding.explanations[0].what == what
