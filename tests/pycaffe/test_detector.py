"""Detector: windows of image files through a linear net whose output is computed beside it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from caffe_port.errors import CaffeError, DataError
from caffe_port.pycaffe.detector import Detector
from caffe_port.pycaffe.net import Net
from tests.net.make import inputs, ip

RNG = np.random.default_rng(0)
SIZE = 8


@pytest.fixture
def files(tmp_path):
    (tmp_path / "net.prototxt").write_text(inputs(data=(3, 3, SIZE, SIZE)) + ip("score", "data", "score", 5))
    net = Net(str(tmp_path / "net.prototxt"), phase="TEST")
    net.save(str(tmp_path / "net.caffemodel"))
    return str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel")


@pytest.fixture
def images(tmp_path):
    """Two image files and their pixels: red, green, blue from 0 to 1."""
    names, pixels = [], []
    for index in range(2):
        image = RNG.integers(0, 256, (30, 40, 3), dtype=np.uint8)
        names.append(str(tmp_path / f"{index}.png"))
        cv2.imwrite(names[-1], image)
        pixels.append(image[:, :, ::-1] / np.float32(255))
    return names, pixels


def scores(net, ready):
    weight, bias = (blob.data for blob in net.params["score"])
    return weight @ ready.ravel() + bias


def test_windows(files, images):
    net = Detector(*files, mean=np.array([10.0, 20, 30]), raw_scale=255, channel_swap=(2, 1, 0), input_scale=0.1)
    names, pixels = images
    windows = [[(0, 0, 8, 8), (3, 5, 11, 13)], [np.array([22, 32, 30, 40]), [4, 4, 12, 12], (1, 2, 17, 18)]]
    found = net.detect_windows(zip(names, windows))  # an iterator, as old scripts give
    assert [one["filename"] for one in found] == [names[0]] * 2 + [names[1]] * 3
    assert [tuple(one["window"]) for one in found] == [tuple(window) for of in windows for window in of]
    sources = [pixels[0]] * 2 + [pixels[1]] * 3
    for one, image in zip(found, sources):
        top, left, bottom, right = one["window"]
        part = image[top:bottom, left:right]
        if len(part) == 2 * SIZE:  # linear interpolation to the half
            part = part.reshape(SIZE, 2, SIZE, 2, 3).mean((1, 3))
        ready = (part[:, :, ::-1].transpose(2, 0, 1) * 255 - np.reshape([10, 20, 30], (3, 1, 1))) * 0.1
        np.testing.assert_allclose(one["prediction"], scores(net, ready), rtol=1e-3, atol=1e-2)


def test_nothing_to_detect(files, images):
    assert Detector(*files).detect_windows([]) == []
    assert Detector(*files).detect_windows([(images[0][0], [])]) == []


def test_crop_without_context(files):
    image = RNG.random((30, 40, 3))
    np.testing.assert_array_equal(Detector(*files).crop(image, (2, 3, 9, 23)), image[2:9, 3:23])


def test_context_inside_the_image(files):
    """The input's border of 2 is context: of a window of 4 pixels, [8, 12), a box about twice as large is taken."""
    net = Detector(*files, context_pad=2)
    image = np.zeros((40, 40, 3), np.float32)
    image[..., 0] = np.arange(40)[:, None]
    image[..., 1] = np.arange(40)
    # centre 8 + 5/2 = 10.5, half 5/2 times 8 / (8 - 2 * 2): from 5.5 to 15.5, rounded to 6 (even) and 16 (even)
    found = net.crop(image, np.array([8, 8, 12, 12]))
    assert found.shape == (SIZE, SIZE, 3)
    centres = 6 + (np.arange(SIZE) + 0.5) * 10 / SIZE - 0.5
    np.testing.assert_allclose(found[..., 0], np.broadcast_to(centres[:, None], (SIZE, SIZE)), rtol=1e-5)
    np.testing.assert_allclose(found[..., 1], np.broadcast_to(centres, (SIZE, SIZE)), rtol=1e-5)


def test_context_beyond_the_image_is_the_mean(files):
    """In the image's own colours and scale, so that it is zero for the net."""
    net = Detector(*files, mean=np.array([10.0, 20, 30]), raw_scale=100, channel_swap=(2, 1, 0), context_pad=2)
    image = np.full((30, 40, 3), 0.75, np.float32)
    found = net.crop(image, np.array([0, 20, 4, 24]))
    inside = (found == 0.75).all(2)
    assert inside.any()
    assert not inside[0].any()  # above the image
    assert inside[-1].all()
    np.testing.assert_allclose(found[~inside], np.broadcast_to([0.3, 0.2, 0.1], (np.sum(~inside), 3)), rtol=1e-6)
    np.testing.assert_allclose(net.transformer.preprocess("data", found)[:, ~inside], 0, atol=1e-5)
    # at the lower right corner it lies below and to the right
    inside = (net.crop(image, np.array([26, 36, 30, 40])) == 0.75).all(2)
    assert inside[0, 0]
    assert not inside[-1].any()
    assert not inside[:, -1].any()


def test_context_without_a_mean_is_zero(files):
    found = Detector(*files, context_pad=2).crop(np.ones((30, 40, 3), np.float32), np.array([0, 0, 4, 4]))
    assert set(np.unique(found)) == {0, 1}


def test_a_mean_image_surrounds(files):
    mean = RNG.random((3, SIZE, SIZE)) * 100
    net = Detector(*files, mean=mean, raw_scale=100, channel_swap=(1, 2, 0))
    net.configure_crop(2)
    prepared = net.transformer.preprocess("data", net.crop_mean)
    np.testing.assert_allclose(prepared, 0, atol=1e-4)
    assert list(net.crop_dims) == [SIZE, SIZE, 3]


@pytest.mark.parametrize("window", [(5, 5, 5, 9), (9, 5, 5, 9), (-1, 0, 5, 5), (40, 0, 50, 5)])
def test_windows_that_are_none(files, images, window):
    with pytest.raises(DataError, match=r"0.png: Window \(.*\) is empty or lies outside of the image \(30, 40\)"):
        Detector(*files).detect_windows([(images[0][0], [window])])


def test_a_context_without_a_window(files, images):
    with pytest.raises(CaffeError, match="A context of 4 pixels on each side leaves nothing of 8"):
        Detector(*files, context_pad=4)
    net = Detector(*files, context_pad=1)
    with pytest.raises(DataError, match="lies outside"):
        net.detect_windows([(images[0][0], [(100, 100, 110, 110)])])


def test_selective_search_is_not_here(files, images):
    with pytest.raises(CaffeError, match=r"selective_search_ijcv_with_python.*needs Matlab.*detect_windows"):
        Detector(*files).detect_selective_search(images[0])


def test_selective_search_where_it_is(files, images, monkeypatch):
    asked = []

    def get_windows(names):
        asked.extend(names)
        return [[(0, 0, 8, 8)], [(1, 1, 9, 9)]]

    monkeypatch.setitem(sys.modules, "selective_search_ijcv_with_python", SimpleNamespace(get_windows=get_windows))
    net = Detector(*files)
    found = net.detect_selective_search(images[0])
    assert asked == images[0]
    again = net.detect_windows([(images[0][0], [(0, 0, 8, 8)]), (images[0][1], [(1, 1, 9, 9)])])
    for one, other in zip(found, again):
        np.testing.assert_array_equal(one["prediction"], other["prediction"])
    assert len(found) == len(again) == 2
