"""The base: what it is taken from, and its preprocessing, beside a real Data layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffe_port import Net
from caffe_port.data.mean import channel_means
from caffe_port.errors import DataError, NetError, StudyError, WeightsError
from caffe_port.proto import pb
from caffe_port.proto.means import read_mean
from caffe_port.study.arms import Feed
from caffe_port.study.base import ALEXNET_MEAN, open_base
from tests.data.make import image_database, write_mean
from tests.shared import MODELS, needs
from tests.study.tiny import BASE, write_base

DATA = """
layer { name: "images" type: "Data" top: "input" top: "label" include { phase: TRAIN }
  transform_param { crop_size: 12 scale: 0.5 mean_value: 1 mean_value: 2 mean_value: 3 mirror: true }
  data_param { source: "nowhere" batch_size: 4 backend: LMDB } }
"""


def of_text(tmp_path, text, **flags):
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    return open_base(str(path), None, **flags)


def test_a_deploy_net_tells_its_size(tmp_path):
    base = of_text(tmp_path, BASE)
    assert (base.size, base.channels, base.mean, base.scale, base.order) == ((12, 12), 3, (), 1.0, "BGR")


def test_a_training_net_tells_its_preprocessing(tmp_path):
    text = BASE.replace('bottom: "data"', 'bottom: "input"')
    text = text[: text.index("layer")] + DATA + text[text.index('layer { name: "conv1"') :]
    base = of_text(tmp_path, text)
    assert (base.size, base.channels, base.mean, base.scale) == ((12, 12), 3, (1.0, 2.0, 3.0), 0.5)
    base = of_text(tmp_path, text, mean="7", scale=1.0, size=(9, 8), order="RGB")
    assert (base.size, base.mean, base.scale, base.order) == ((9, 8), (7.0,), 1.0, "RGB")
    with pytest.raises(StudyError, match=r"size of its input.*--size"):
        of_text(tmp_path, text.replace("crop_size: 12", ""))


def test_an_old_net_is_upgraded(tmp_path):
    """V1 layers and input fields, as of 2014."""
    text = """
    name: "old" input: "data" input_dim: 1 input_dim: 1 input_dim: 12 input_dim: 10
    layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1"
      convolution_param { num_output: 4 kernel_size: 3 } }
    layers { name: "ip1" type: INNER_PRODUCT bottom: "conv1" top: "ip1" inner_product_param { num_output: 3 } }
    layers { name: "prob" type: SOFTMAX bottom: "ip1" top: "prob" }
    """
    base = of_text(tmp_path, text)
    assert (base.size, base.channels) == ((12, 10), 1)
    assert base.body().learnable == ("conv1", "ip1")


def test_a_mean_image_counts_by_its_channels(tmp_path):
    mean = np.random.default_rng(0).uniform(0, 255, (3, 20, 20)).astype(np.float32)
    write_mean(tmp_path / "mean.binaryproto", mean)
    base = of_text(tmp_path, BASE, mean=str(tmp_path / "mean.binaryproto"))
    np.testing.assert_allclose(base.mean, mean.reshape(3, -1).mean(1), rtol=1e-5)


@needs(MODELS / "ilsvrc_2012_mean.npy")
def test_the_mean_of_the_papers_alexnet():
    """The image that BVLC ships for pycaffe, whose values are the mean of the binaryproto over its centre."""
    found = channel_means(read_mean(MODELS / "ilsvrc_2012_mean.npy"))
    np.testing.assert_allclose(found, ALEXNET_MEAN, atol=0.02)


def test_the_papers_alexnet_is_the_default():
    base = open_base(None, None)
    assert (base.size, base.channels, base.order, base.mean) == ((227, 227), 3, "BGR", ALEXNET_MEAN)
    assert base.body().learnable == ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
    with pytest.raises(StudyError, match=r"need weights.*bvlc_alexnet"):
        base.check_weights()


def test_preprocessing_is_that_of_a_data_layer(tmp_path):
    """To the bit: the patches that a net was trained on, given to it in a test."""
    base = of_text(tmp_path, BASE, mean="104.007,116.669,122.679", scale=0.017)
    images = np.random.default_rng(1).integers(0, 256, (5, 12, 12, 3), np.uint8)
    image_database(tmp_path / "db", np.stack([base.pixels(image) for image in images]))
    net = Net(_data_net(tmp_path, base))
    assert torch.equal(net.run({}, ["data"])[0]["data"], base.preprocess(images))


def _data_net(tmp_path, base):
    feed = Feed(base.transform, "unused", str(tmp_path / "db"), 5, 5)
    return pb.NetParameter(layer=feed.layers())


def test_colours_and_sizes(tmp_path):
    base = of_text(tmp_path, BASE)
    grey, colour = np.full((12, 12), 7, np.uint8), np.zeros((12, 12, 3), np.uint8)
    colour[..., 0] = 200  # blue
    assert base.preprocess([grey, colour]).shape == (2, 3, 12, 12)
    assert base.preprocess([grey]).unique().tolist() == [7], "grey repeated"
    assert base.preprocess([colour])[0, :, 0, 0].tolist() == [200, 0, 0]
    swapped = of_text(tmp_path, BASE, order="RGB")
    assert swapped.preprocess([colour])[0, :, 0, 0].tolist() == [0, 0, 200]
    one = of_text(tmp_path, BASE.replace("dim: 3 dim: 12", "dim: 1 dim: 12"))
    assert one.preprocess([grey, colour]).shape == (2, 1, 12, 12)
    assert one.preprocess([colour])[0, 0, 0, 0].item() == round(0.114 * 200)  # ITU-R BT.601
    checks = np.kron(np.indices((12, 12)).sum(0) % 2 * 100, np.ones((2, 2))).astype(np.uint8)
    assert torch.equal(base.preprocess([checks])[0, 0], base.preprocess([checks[::2, ::2]])[0, 0]), "means of 2 x 2"
    assert base.preprocess([np.zeros((30, 40), np.uint8)], resize=False).shape == (1, 3, 30, 40)
    with pytest.raises(DataError, match="image 1 has the shape"):
        base.preprocess([np.zeros((30, 40), np.uint8), np.zeros((30, 41), np.uint8)], resize=False)


@pytest.mark.parametrize(
    "image", [np.zeros((12, 12), np.float32), np.zeros((12, 12, 4), np.uint8), np.zeros((0, 12), np.uint8), np.zeros(3)]
)
def test_what_is_no_image(tmp_path, image):
    with pytest.raises(DataError, match="An image is uint8"):
        of_text(tmp_path, BASE).preprocess([image])


def test_weights_must_have_every_layer_but_the_last(tmp_path):
    net, weights = write_base(tmp_path)
    open_base(str(net), str(weights)).check_weights()
    more = BASE.replace('bottom: "conv2" top: "ip1"', 'bottom: "ip0" top: "ip1"').replace(
        'layer { name: "ip1"',
        'layer { name: "ip0" type: "InnerProduct" bottom: "conv2" top: "ip0" inner_product_param { num_output: 5 } }\n'
        'layer { name: "ip1"',
    )
    net.write_text(more)
    with pytest.raises(WeightsError, match="ip0"):
        open_base(str(net), str(weights)).check_weights()


def test_other_files_than_the_run_began_with(tmp_path):
    net, weights = write_base(tmp_path)
    base = open_base(str(net), str(weights))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(StudyError, match=r"tiny.caffemodel: .*base.weights_sha256"):
        base.check_weights()
    net.write_text(BASE + "# changed\n")
    with pytest.raises(StudyError, match=r"tiny.prototxt: .*base.net_sha256"):
        base.body()


def test_nets_that_are_no_classifiers_of_images(tmp_path):
    with pytest.raises(NetError, match="nothing to fine-tune"):
        of_text(tmp_path, 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 } } }')
    two = BASE.replace('top: "data" input_param', 'top: "data" top: "more" input_param')
    two = two.replace('"InnerProduct" bottom: "conv2"', '"InnerProduct" bottom: "more"')
    with pytest.raises(NetError, match="one input of images"):
        of_text(tmp_path, two.replace('"Convolution" bottom: "pool1"', '"Convolution" bottom: "more"') + EXTRA)
    with pytest.raises(NetError, match="not that of images"):
        of_text(tmp_path, BASE.replace("dim: 1 dim: 3 dim: 12 dim: 12", "dim: 1 dim: 3"))


#: Joins a branch that sees ``data`` to one that sees another input.
EXTRA = """
layer { name: "join" type: "Concat" bottom: "conv1" bottom: "more" top: "join" }
layer { name: "ip2" type: "InnerProduct" bottom: "join" top: "ip2" inner_product_param { num_output: 2 } }
"""
