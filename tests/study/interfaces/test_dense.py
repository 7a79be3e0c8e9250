"""A net at every pixel equals the net on every patch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffe_port import Net
from caffe_port.errors import LayerError, NetError
from caffe_port.study.base import open_base
from caffe_port.study.interfaces.dense import DenseNet
from tests.net.make import conv, inputs, ip, layer, parse
from tests.shared import MODELS, needs

POOL = "pooling_param {{ pool: {} kernel_size: {} stride: {} }}"
WITHIN = "lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }"
RANDOM = "bias_filler { type: 'gaussian' std: 0.5 }"


def chain(size, pool=("MAX", 2, 2), pad=0, stride=1, lrn=False):
    """Two convolutions, two poolings and two fully connected layers."""
    text = (
        inputs(data=(1, 2, *size))
        + conv("conv1", "data", "conv1", 4, 3, more=f"stride: {stride} pad: {pad} " + RANDOM)
        + layer("ReLU", "relu1", "conv1", "conv1")
        + layer("Pooling", "pool1", "conv1", "pool1", POOL.format(*pool))
        + (layer("LRN", "norm1", "pool1", "norm1", WITHIN) if lrn else "")
        + conv("conv2", "norm1" if lrn else "pool1", "conv2", 5, 3, more=f"pad: {pad} " + RANDOM)
        + layer("Pooling", "pool2", "conv2", "pool2", POOL.format(*pool))
        + ip("fc3", "pool2", "fc3", 6)
        + layer("ReLU", "relu3", "fc3", "fc3")
        + ip("fc4", "fc3", "fc4", 3)
        + layer("Softmax", "prob", "fc4", "prob")
    )
    return Net(parse(text), seed=3)


def patch_by_patch(net, image, every):
    """What the net gives for each patch alone, one after the other."""
    height, width = net.blob_shapes["data"][2:]
    rows, columns = (range(0, n - p + 1, every) for n, p in zip(image.shape[2:], (height, width)))
    found = torch.stack(
        [torch.stack([net(data=image[:, :, y : y + height, x : x + width])["prob"][0] for x in columns]) for y in rows]
    )
    return found.flatten(2).permute(2, 0, 1)[None]


@pytest.fixture
def image():
    return torch.from_numpy(np.random.default_rng(0).normal(0, 1, (1, 2, 41, 46)).astype(np.float32))


@pytest.mark.parametrize(
    "net",
    [
        {"size": (22, 22)},
        {"size": (22, 26)},
        {"size": (22, 22), "pool": ("AVE", 2, 2)},
        {"size": (29, 29), "pool": ("MAX", 3, 2)},
        {"size": (23, 23), "stride": 2, "pool": ("MAX", 3, 1)},
        {"size": (26, 26), "pool": ("AVE", 3, 3)},
    ],
    ids=str,
)
@pytest.mark.parametrize("every", [1, 2, 3, 4])
def test_without_padding_it_equals_patch_by_patch_everywhere(net, every, image):
    net = chain(**net)
    with torch.no_grad():
        expected = patch_by_patch(net, image, every)
        found = DenseNet(net, every)(image)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("net", [{"pad": 1}, {"pad": 1, "lrn": True}, {"pool": ("AVE", 3, 2)}], ids=str)
def test_with_padding_it_equals_the_patch_amid_its_surroundings(net, image):
    """Of a patch with its surroundings, enough that zeros around those do not reach it, the layers see the same."""
    dense = DenseNet(chain((16, 16), **net))
    step = 4
    before, after = (-(-reach // step) * step for reach in (dense.before, dense.after))
    found = dense(image)
    compared = 0
    for y in range(before, image.shape[2] - 16 - after + 1, 3):
        for x in range(before, image.shape[3] - 16 - after + 1, 3):
            around = image[:, :, y - before : y + 16 + after, x - before : x + 16 + after]
            with torch.no_grad():
                amid = dense.net(data=around)["prob"][0, :, before // step, before // step]
            torch.testing.assert_close(found[0, :, y, x], amid, rtol=1e-5, atol=1e-6)
            compared += 1
    assert compared > 4


@pytest.mark.parametrize("every", [1, 2])
def test_a_net_that_is_convolutional_already(every, image):
    """As in MTCNN's P-Net, whose classifier is a 1 x 1 convolution; here above a 9 x 9 one that sees all of a patch."""
    text = inputs(data=(1, 2, 13, 13)) + conv("c1", "data", "c1", 4, 5, more=RANDOM) + conv("c2", "c1", "c2", 3, 9)
    net = Net(parse(text + conv("c3", "c2", "c3", 3, 1) + layer("Softmax", "prob", "c3", "prob")), seed=3)
    with torch.no_grad():
        expected = patch_by_patch(net, image, every)
        found = [DenseNet(net, every)(image) for _ in range(2)]  # the first does not change the net
    torch.testing.assert_close(found, [expected] * 2, rtol=1e-5, atol=1e-6)


@needs(MODELS / "cifar10_full_v1")
def test_the_real_net_without_its_padding():
    folder = MODELS / "cifar10_full_v1"
    base = open_base(str(folder / "net.prototxt"), str(folder / "weights.caffemodel"), padding=False)
    from caffe_port.study.arms import deploy

    net = Net(deploy(base.body(), 3, (1, 3, *base.size)), folder / "weights.caffemodel", missing="log", seed=1)
    pixels = np.random.default_rng(1).integers(0, 256, (48, 50, 3)).astype(np.uint8)
    image = base.preprocess([pixels], resize=False)
    with torch.no_grad():
        expected = patch_by_patch(net, image, 1)
        found = DenseNet(net)(image)
    assert found.shape == (1, 3, 6, 8)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (conv("c", "data", "c", 3, 3), NetError, "more than one place"),
        (layer("MVN", "m", "data", "m") + ip("f", "m", "f", 2), LayerError, "mixes all places"),
        (layer("Pooling", "g", "data", "g", "pooling_param { global_pooling: true }") + ip("f", "g", "f", 2),
         LayerError, "Global pooling"),
        (conv("c", "data", "c", 3, 3, more="stride_h: 1 stride_w: 2") + ip("f", "c", "f", 2), LayerError, "differ"),
    ],
)  # fmt: skip
def test_refused(body, error, message):
    with pytest.raises(error, match=message):
        DenseNet(Net(parse(inputs(data=(1, 2, 9, 9)) + body), seed=1))
