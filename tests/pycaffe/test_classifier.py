"""Classifier: real models, and a linear net whose output is computed beside it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from caffe_port.data.database import open_database
from caffe_port.data.datum import datum_to_array, parse_datum
from caffe_port.errors import NetError
from caffe_port.proto import format_text, read_net
from caffe_port.pycaffe import io
from caffe_port.pycaffe.classifier import Classifier
from caffe_port.pycaffe.net import Net
from tests.net.make import inputs, ip, layer
from tests.shared import IMAGES, MODELS, needs

RNG = np.random.default_rng(0)
LINEAR = inputs(data=(4, 3, 6, 5)) + ip("score", "data", "score", 7)


@pytest.fixture
def linear(tmp_path):
    """A net with random weights: its files and its weights (classes, K, H, W) and biases."""
    (tmp_path / "net.prototxt").write_text(LINEAR)
    net = Net(str(tmp_path / "net.prototxt"), phase="TEST")
    net.save(str(tmp_path / "net.caffemodel"))
    weight, bias = (blob.data.copy() for blob in net.params["score"])
    return (str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel")), weight.reshape(7, 3, 6, 5), bias


def scores(image, weight, bias):
    """What the linear net gives for a prepared input (K, H, W)."""
    return (weight * image).sum((1, 2, 3)) + bias


def test_the_centre(linear):
    files, weight, bias = linear
    mean = np.array([10, 20, 30])
    net = Classifier(*files, image_dims=(8, 8), mean=mean, input_scale=0.5, raw_scale=100, channel_swap=(2, 1, 0))
    images = [RNG.random((8, 8, 3), np.float32) for _ in range(6)]  # more than a batch
    found = net.predict(images, oversample=False)
    assert found.shape == (6, 7)
    for image, row in zip(images, found):
        ready = image[1:7, 1:6, ::-1].transpose(2, 0, 1) * 100 - mean[:, None, None]
        np.testing.assert_allclose(row, scores(ready * 0.5, weight, bias), rtol=1e-3, atol=1e-2)


def test_the_average_of_ten_crops(linear):
    files, weight, bias = linear
    net = Classifier(*files, image_dims=[9, 8])
    images = [RNG.random((9, 8, 3), np.float32) for _ in range(3)]
    found = net.predict(images)
    for image, row in zip(images, found):
        crops = [image[y : y + 6, x : x + 5] for y, x in ((0, 0), (0, 3), (3, 0), (3, 3), (1, 1))]
        crops += [crop[:, ::-1] for crop in crops]
        expected = np.mean([scores(crop.transpose(2, 0, 1), weight, bias) for crop in crops], axis=0)
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-4)


def test_images_are_resized_to_the_net_by_default(linear):
    files, weight, bias = linear
    net = Classifier(*files)
    assert list(net.image_dims) == list(net.crop_dims) == [6, 5]
    image = RNG.random((12, 10, 3), np.float32)
    halved = image.reshape(6, 2, 5, 2, 3).mean((1, 3))  # what linear interpolation to the half is
    found = net.predict([image, np.full((3, 4, 3), 0.25)], oversample=False)
    np.testing.assert_allclose(found[0], scores(halved.transpose(2, 0, 1), weight, bias), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found[1], scores(np.full((3, 6, 5), 0.25), weight, bias), rtol=1e-3, atol=1e-4)


def test_it_is_a_net_in_test_phase(linear, tmp_path):
    files, _, _ = linear
    (tmp_path / "drop.prototxt").write_text(LINEAR + layer("Dropout", "drop", "score", "score"))
    net = Classifier(str(tmp_path / "drop.prototxt"), files[1])
    assert isinstance(net, Net)
    images = [RNG.random((6, 5, 3), np.float32)]
    np.testing.assert_array_equal(net.predict(images, False), net.predict(images, False))
    np.testing.assert_array_equal(net.predict(images, False), Classifier(*files).predict(images, False))


def test_what_is_refused(linear, tmp_path):
    files, _, _ = linear
    with pytest.raises(ValueError, match="Images of 5x8 have no crops of 6x5"):
        Classifier(*files, image_dims=(5, 8)).predict([np.ones((5, 8, 3))])
    with pytest.raises(ValueError, match="Mean channels incompatible"):
        Classifier(*files, mean=np.zeros(2))
    flat = tmp_path / "flat.prototxt"
    flat.write_text(inputs(data=(4, 90)) + ip("score", "data", "score", 7))
    with pytest.raises(NetError, match=r"Input 'data' of shape \(4, 90\) is no batch of images"):
        Classifier(str(flat), files[1])
    own = tmp_path / "own.prototxt"
    own.write_text('layer { name: "d" type: "DummyData" top: "data" dummy_data_param { shape { dim: 1 dim: 90 } } }')
    with pytest.raises(NetError, match="has no input blob"):
        Classifier(str(own), files[1])
    silent = tmp_path / "silent.prototxt"
    silent.write_text(LINEAR + layer("Silence", "silence", "score"))
    with pytest.raises(NetError, match="has no output blob"):
        Classifier(str(silent), files[1])


@needs(MODELS / "lenet_v1")
@needs(IMAGES / "mnist")
def test_lenet_on_mnist(tmp_path):
    """Real Caffe's LeNet: 99.05 % of all test images are right; the scores are those of the data layer's transform."""
    deploy = read_net(MODELS / "lenet_v1" / "net.prototxt")
    for name in ("label", "accuracy", "loss"):
        deploy.layer.remove(next(one for one in deploy.layer if one.name == name))
    (tmp_path / "deploy.prototxt").write_text(format_text(deploy) + layer("Softmax", "prob", "ip2", "prob"))
    net = Classifier(
        str(tmp_path / "deploy.prototxt"),
        str(MODELS / "lenet_v1" / "weights.caffemodel"),
        raw_scale=255,
        input_scale=1 / 256,
    )
    database = open_database(IMAGES / "mnist" / "mnist-test-leveldb", "LEVELDB")
    datums = [parse_datum(value, name="") for _, value in itertools.islice(database.records(), 1000)]
    digits = [io.datum_to_array(datum)[0, :, :, None] / np.float32(255) for datum in datums]
    found = net.predict(digits, oversample=False)
    assert found.shape == (1000, 10)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    labels = np.array([datum.label for datum in datums])
    assert (found.argmax(1) == labels).mean() > 0.985
    for start in range(0, 12, 4):
        pixels = np.array([datum_to_array(datum) for datum in datums[start : start + 4]]) / 256
        np.testing.assert_allclose(net.forward(data=pixels)["prob"], found[start : start + 4], rtol=1e-3, atol=1e-5)


@needs(MODELS / "cifar10_full_v1")
def test_cifar_against_what_caffe_computed(tmp_path):
    """Inputs that real Caffe was given, as images: the same scores."""
    folder = MODELS / "cifar10_full_v1"
    deploy = read_net(folder / "net.prototxt")
    for name in ("label", "accuracy", "loss"):
        deploy.layer.remove(next(one for one in deploy.layer if one.name == name))
    (tmp_path / "deploy.prototxt").write_text(format_text(deploy))
    net = Classifier(
        str(tmp_path / "deploy.prototxt"), str(folder / "weights.caffemodel"), mean=np.array([5.0, 0, -5]), raw_scale=2
    )
    with np.load(folder / "reference.npz") as reference:
        given, expected = reference["input/data"], reference["blob/ip1"]
    images = [(one + np.reshape([5, 0, -5], (3, 1, 1))).transpose(1, 2, 0) / 2 for one in given]
    found = net.predict(images, oversample=False)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
