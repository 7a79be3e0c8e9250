"""Fully convolutional nets: they compute what the net computes, at every position of a larger input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffe_port import Net
from caffe_port.errors import CaffeError, LayerError, NetError, WeightsError
from caffe_port.net.convolutional import convolutional, fc_to_conv
from caffe_port.proto import write_text
from caffe_port.proto.files import read_net
from tests.net.make import conv, inputs, ip, layer, parse, random_inputs
from tests.shared import MODELS, ROOT, needs

BODY = (
    conv("conv1", "x", "conv1", 4, 3, more="stride: 2 bias_filler { type: 'gaussian' std: 1 }")
    + layer("ReLU", "relu1", "conv1", "conv1")
    + layer("Pooling", "pool1", "conv1", "pool1", "pooling_param { kernel_size: 2 stride: 2 }")
)
HEAD = (
    ip("fc6", "pool1", "fc6", 6, "param { lr_mult: 3 decay_mult: 2 } param { lr_mult: 5 }")
    + layer("ReLU", "relu6", "fc6", "fc6")
    + layer("Dropout", "drop6", "fc6", "fc6")
    + ip("fc7", "fc6", "fc7", 5)
    + layer("Softmax", "prob", "fc7", "prob")
)
#: 13 x 17 pixels, of which pool1 makes 3 x 4; steps of 4 pixels in the input are steps of 1 there.
NET = inputs(x=(2, 3, 13, 17)) + BODY + HEAD


def converted(tmp_path, text, *args, **options):
    """The net of ``text`` with random weights, the converted prototxt, and its net."""
    (tmp_path / "net.prototxt").write_text(text)
    net = Net(tmp_path / "net.prototxt", seed=1)
    net.save(tmp_path / "net.caffemodel")
    return net, *fc_to_conv(tmp_path / "net.prototxt", tmp_path / "net.caffemodel", *args, **options)


def run(net, values):
    with torch.no_grad():
        return net.run(values)[0]


def assert_equal_functions(net, made, values):
    """Every blob equals that of the other net; some have further axes of 1."""
    expected, found = run(net, values), run(made, values)
    assert set(made.outputs) == set(net.outputs)
    grown = 0
    for name in set(expected) & set(found):
        grown += found[name].ndim > expected[name].ndim
        assert found[name].shape[: expected[name].ndim] == expected[name].shape
        torch.testing.assert_close(found[name].reshape(expected[name].shape), expected[name], rtol=1e-5, atol=1e-5)
    assert grown


# -- equal functions --------------------------------------------------------------------------------------------------


def test_a_small_net(tmp_path):
    net, param, made = converted(tmp_path, NET)
    assert_equal_functions(net, made, random_inputs(net))
    assert made.blob_shapes["fc6"] == (2, 6, 1, 1)
    assert made.blob_shapes["prob"] == (2, 5, 1, 1)
    assert [each.name for each in param.layer] == [
        "x", "conv1", "relu1", "pool1", "fc6-conv", "relu6", "drop6", "fc7-conv", "prob",
    ]  # fmt: skip
    fc6, fc7 = (made.layer(name) for name in ("fc6-conv", "fc7-conv"))
    assert [fc6.blob_shapes[0], fc7.blob_shapes[0]] == [(6, 4, 3, 4), (5, 6, 1, 1)]
    np.testing.assert_array_equal(fc6.blob(0).detach().flatten(1), net.layer("fc6").blob(0).detach())


def test_every_position_of_a_larger_input(tmp_path):
    """A net without padding, slid over the image in steps of 4 pixels."""
    net, _, made = converted(tmp_path, NET, input_size=(29, 25))
    image = torch.randn(2, 3, 29, 25, generator=torch.Generator().manual_seed(2))
    maps = run(made, {"x": image})
    assert maps["prob"].shape == (2, 5, 5, 3)
    for i in range(5):
        for j in range(3):
            crop = image[:, :, 4 * i : 4 * i + 13, 4 * j : 4 * j + 17]
            expected = run(net, {"x": crop})
            for name in ("fc6", "fc7", "prob"):
                torch.testing.assert_close(maps[name][..., i, j], expected[name], rtol=1e-5, atol=1e-5)


def test_multipliers_and_fillers_are_kept(tmp_path):
    _, param, _ = converted(tmp_path, NET)
    old, new = parse(NET).layer[4], param.layer[4]
    assert list(new.param) == list(old.param)
    assert new.convolution_param.weight_filler == old.inner_product_param.weight_filler
    assert new.convolution_param.bias_filler == old.inner_product_param.bias_filler
    assert new.convolution_param.num_output == 6
    assert list(new.convolution_param.kernel_size) == [3, 4]
    assert not new.HasField("inner_product_param")
    assert not param.HasField("state")


@pytest.mark.parametrize(
    "options", ["transpose: true", "bias_term: false", "axis: -3", "transpose: true bias_term: false"]
)
def test_options_of_inner_product(tmp_path, options):
    param = f"inner_product_param {{ num_output: 6 {options} weight_filler {{ type: 'gaussian' std: 1 }} }}"
    head = layer("InnerProduct", "fc6", "pool1", "fc6", param) + ip("fc7", "fc6", "fc7", 5)
    net, _, made = converted(tmp_path, inputs(x=(2, 3, 13, 17)) + BODY + head)
    assert_equal_functions(net, made, random_inputs(net))


def test_branches_and_layers_along_the_channels(tmp_path):
    """Axes counted from the end, parameters of all further axes, shared weights: all become those of the channels."""
    shared = 'param { name: "w" } param { name: "b" }'
    text = inputs(x=(2, 3, 6, 6), z=(2, 3, 6, 6)) + ip("a", "x", "a", 6, shared) + ip("b", "z", "b", 6, shared)
    text += layer("PReLU", "prelu", "a", "a")
    text += layer("Scale", "scale", "a", "s", "scale_param { axis: -1 num_axes: -1 bias_term: true }")
    text += layer("Bias", "bias", "s", "t", "bias_param { filler { type: 'gaussian' std: 1 } }")
    text += layer("Concat", "concat", "t b", "c", "concat_param { axis: -1 }") + layer("BatchNorm", "bn", "c", "d")
    text += layer("Slice", "slice", "d", "e f", "slice_param { slice_dim: 1 slice_point: 5 }") + ip("g", "f", "g", 5)
    text += layer("Eltwise", "sum", "e g", "sum") + layer(
        "Softmax", "prob", "sum", "prob", "softmax_param { axis: -1 }"
    )
    net, param, made = converted(tmp_path, text)
    assert_equal_functions(net, made, random_inputs(net))
    larger = fc_to_conv(tmp_path / "net.prototxt", tmp_path / "net.caffemodel", input_size=(8, 7))[1]
    maps = run(larger, random_inputs(larger, seed=3))["prob"]
    assert maps.shape == (2, 5, 3, 2)
    torch.testing.assert_close(maps.sum(1), torch.ones(2, 3, 2))
    assert parse(text).layer[0] == param.layer[0]


def test_one_spatial_axis(tmp_path):
    net, param, made = converted(tmp_path, inputs(x=(2, 3, 7)) + ip("a", "x", "a", 4) + ip("b", "a", "b", 5))
    assert_equal_functions(net, made, random_inputs(net))
    assert [list(each.convolution_param.kernel_size) for each in param.layer[1:]] == [[7], [1]]


def test_files(tmp_path):
    """What is written loads by name; the old weights do not fit the new net, and are not taken for its own."""
    net, param, made = converted(tmp_path, NET)
    write_text(param, tmp_path / "full.prototxt")
    for name in ("full.caffemodel", "full.caffemodel.h5"):
        made.save(tmp_path / name)
        assert_equal_functions(net, Net(tmp_path / "full.prototxt", tmp_path / name), random_inputs(net))
    with pytest.raises(WeightsError, match=r"no blobs for 2 learnable layer\(s\): fc6-conv, fc7-conv"):
        Net(tmp_path / "full.prototxt", tmp_path / "net.caffemodel")


def test_suffix(tmp_path):
    net, _, made = converted(tmp_path, NET, "_full")
    assert made.layer("fc6_full").TYPE == "Convolution"
    _, _, made = converted(tmp_path, NET, "")
    assert_equal_functions(net, made, random_inputs(net))
    text = NET + layer("TanH", "fc6-conv", "conv1", "side")
    with pytest.raises(NetError, match=r"Two layers would be called 'fc6-conv'. Use another suffix"):
        converted(tmp_path, text)


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (inputs(x=(2, 3, 4, 4)) + conv("c", "x", "c", 2, 3), "no InnerProduct layer, so there is nothing to convert"),
        (
            inputs(x=(2, 3, 4, 4)) + layer("Flatten", "flat", "x", "y") + ip("fc", "y", "z"),
            r"layer 'fc' \(InnerProduct\): cannot be a convolution: its bottom 'y' of shape 2 48 \(96\) has no spatial",
        ),
        (
            inputs(x=(2, 3, 4, 4))
            + layer("InnerProduct", "fc", "x", "y", "inner_product_param { num_output: 2 axis: 2 }"),
            r"layer 'fc' \(InnerProduct\): has axis 2; only with axis 1",
        ),
        (
            NET + layer("Reshape", "shape", "fc7", "y", "reshape_param { shape { dim: 0 dim: -1 } }"),
            r"layer 'shape' \(Reshape\): reads 'fc7', which gets spatial axes; this type does not treat each position",
        ),
        (NET + layer("Reduction", "sum", "fc7", "y"), r"layer 'sum' \(Reduction\): reads 'fc7'"),
        (
            NET + inputs(meta=(2, 9)) + layer("Concat", "join", "fc7 meta", "y"),
            r"layer 'join' \(Concat\): reads 'meta', which has no spatial axes, beside one that gets them",
        ),
        (
            NET + layer("Softmax", "over_items", "fc7", "y", "softmax_param { axis: 0 }"),
            r"layer 'over_items' \(Softmax\): has axis 0; only along axis 1",
        ),
    ],
)
def test_refused(tmp_path, text, message):
    with pytest.raises(NetError, match=message) as error:
        converted(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path}/net.prototxt")


def test_input_sizes(tmp_path):
    with pytest.raises(LayerError, match=r"layer 'fc6-conv' \(Convolution\): The window of"):
        converted(tmp_path, NET, input_size=(9, 9))
    with pytest.raises(NetError, match="no Input layer of images"):
        converted(tmp_path, inputs(x=(2, 3, 7)) + ip("a", "x", "a", 4), input_size=(9, 9))
    text = inputs(x=(2, 3, 4, 4), label=(2,)) + ip("a", "x", "a") + layer("SoftmaxWithLoss", "loss", "a label", "loss")
    net, _, made = converted(tmp_path, text)
    assert_equal_functions(net, made, random_inputs(net))
    with pytest.raises(CaffeError, match=r"layer 'loss' \(SoftmaxWithLoss\): The number of labels must match"):
        converted(tmp_path, text, input_size=(9, 9))


def test_weights_that_do_not_belong(tmp_path):
    converted(tmp_path, NET)
    (tmp_path / "other.prototxt").write_text(NET.replace("num_output: 6", "num_output: 7"))
    with pytest.raises(WeightsError, match=r"net\.caffemodel, layer 'fc6' .*shape mismatch"):
        fc_to_conv(tmp_path / "other.prototxt", tmp_path / "net.caffemodel")


# -- real nets --------------------------------------------------------------------------------------------------------


@needs(MODELS)
@pytest.mark.parametrize("name", ["lenet_v1", "cifar10_full_v1", "mtcnn_lnet", "mtcnn_onet"])
def test_real_models(name):
    """On the inputs for which real Caffe's results are recorded, these are what the converted net gives."""
    folder = MODELS / name
    recorded = np.load(folder / "reference.npz")
    values = {key[6:]: torch.from_numpy(recorded[key]) for key in recorded.files if key.startswith("input/")}
    _, made = fc_to_conv(folder / "net.prototxt", folder / "weights.caffemodel")
    found = run(made, values)
    for output in made.outputs:
        expected = torch.from_numpy(recorded[f"blob/{output}"])
        torch.testing.assert_close(found[output].reshape(expected.shape), expected, rtol=2e-5, atol=2e-5)
    assert not any(node.layer.TYPE == "InnerProduct" for node in made.nodes)


@needs(MODELS)
def test_a_real_model_slid_over_a_larger_image():
    """MTCNN's last net, of 48 pixels. At the lower right corner its pooling windows reach over the same edges."""
    folder = MODELS / "mtcnn_onet"
    net = Net(folder / "net.prototxt", folder / "weights.caffemodel")
    _, made = fc_to_conv(folder / "net.prototxt", folder / "weights.caffemodel", input_size=(48 + 8, 48 + 16))
    image = torch.rand(1, 3, 56, 64, generator=torch.Generator().manual_seed(4))
    maps = run(made, {"data": image})["prob1"]
    assert maps.shape == (1, 2, 2, 3)
    last = run(net, {"data": image[..., 8:56, 16:64]})["prob1"]
    torch.testing.assert_close(maps[..., 1, 2], last, rtol=1e-5, atol=1e-5)


def test_alexnet(tmp_path):
    """fc6 becomes a convolution of 6 x 6, fc7 and fc8 of 1 x 1; on 259 pixels there are 2 x 2 positions."""
    path = ROOT / "prototxt" / "alexnet" / "deploy.prototxt"
    param = read_net(path)
    for each in param.layer:
        for name in ("convolution_param", "inner_product_param"):
            if each.HasField(name):
                getattr(each, name).weight_filler.type = "xavier"
    net = Net(param, seed=7)
    net.save(tmp_path / "alexnet.caffemodel")
    _, made = fc_to_conv(path, tmp_path / "alexnet.caffemodel", input_size=(259, 259))
    kernels = [made.layer(f"{name}-conv").blob_shapes[0] for name in ("fc6", "fc7", "fc8")]
    assert kernels == [(4096, 256, 6, 6), (4096, 4096, 1, 1), (1000, 4096, 1, 1)]
    assert made.blob_shapes["prob"] == (10, 1000, 2, 2)
    image = torch.randn(1, 3, 227, 227, generator=torch.Generator().manual_seed(7))
    expected, found = run(net, {"data": image}), run(made, {"data": image})
    for name in ("pool5", "fc6", "fc7", "fc8", "prob"):
        difference = (found[name].reshape(expected[name].shape) - expected[name]).abs().max()
        assert difference < 1e-5 * expected[name].abs().max()


def test_a_net_in_memory_is_copied(tmp_path):
    net, _, expected = converted(tmp_path, NET)
    made = convolutional(net)
    values = random_inputs(net)
    for name, value in run(expected, values).items():
        torch.testing.assert_close(run(made, values)[name], value)
    before = run(made, values)["prob"]
    with torch.no_grad():
        for param in net.params:
            param.blob.zero_()
    torch.testing.assert_close(run(made, values)["prob"], before)
