from __future__ import annotations

import cv2
import numpy as np
import pytest

from caffe_port.data.datum import array_to_datum, datum_to_array, parse_datum
from caffe_port.data.images import decode_image, read_image
from caffe_port.errors import DataError
from caffe_port.proto import pb
from tests.data.make import encoded_datum, images, write_png
from tests.shared import ORACLE

PIXELS = images(1, (3, 5, 4))[0]


def test_bytes_there_and_back():
    datum = parse_datum(array_to_datum(PIXELS, 7).SerializeToString(), name="it")
    assert (datum.channels, datum.height, datum.width, datum.label) == (3, 5, 4, 7)
    assert datum.data[(2 * 5 + 3) * 4 + 1] == PIXELS[2, 3, 1]
    array = datum_to_array(datum)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, PIXELS)


def test_float_data_there_and_back():
    values = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    datum = parse_datum(array_to_datum(values).SerializeToString(), name="it")
    assert not datum.HasField("label")
    assert datum.float_data[(1 * 3 + 2) * 4 + 3] == values[1, 2, 3]
    array = datum_to_array(datum)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, values)


def test_negative_labels():
    assert parse_datum(array_to_datum(PIXELS, -3).SerializeToString(), name="it").label == -3


@pytest.mark.parametrize(("colour", "channels"), [(None, 3), (True, 3), (False, 1)])
def test_encoded(colour, channels):
    array = datum_to_array(encoded_datum(PIXELS, 1), colour)
    assert array.shape == (channels, 5, 4)
    if channels == 3:
        np.testing.assert_array_equal(array, PIXELS)
    else:  # the weights of ITU-R BT.601; blue comes first
        grey = (PIXELS * np.array([0.114, 0.587, 0.299])[:, None, None]).sum(0)
        assert np.abs(array[0] - grey).max() <= 1


def test_encoded_grey_stays_grey_unless_colour_is_forced():
    datum = encoded_datum(PIXELS[:1], 1)
    np.testing.assert_array_equal(datum_to_array(datum), PIXELS[:1])
    np.testing.assert_array_equal(datum_to_array(datum, True), np.repeat(PIXELS[:1], 3, axis=0))


def test_encoded_with_alpha_keeps_four_channels():
    pixels = images(1, (4, 5, 6))[0]
    np.testing.assert_array_equal(datum_to_array(encoded_datum(pixels, 1)), pixels)


@pytest.mark.parametrize(
    ("datum", "cause"),
    [
        (pb.Datum(channels=3, height=5, width=4, data=bytes(59)), "59 values for 3 x 5 x 4"),
        (pb.Datum(channels=3, height=5, width=4, float_data=[1.0]), "1 values for 3 x 5 x 4"),
        (pb.Datum(channels=0, height=5, width=4), "0 values for 0 x 5 x 4"),
        (pb.Datum(channels=-1, height=-1, width=1, data=b"x"), "1 values for -1 x -1 x 1"),
        (pb.Datum(data=b"not an image", encoded=True), "Could not decode it"),
        (pb.Datum(encoded=True), "Could not decode it"),
    ],
)
def test_corrupt(datum, cause):
    with pytest.raises(DataError, match=cause):
        datum_to_array(datum, name="it")


def test_garbage():
    with pytest.raises(DataError, match="record 5 is no Datum"):
        parse_datum(b"\xff\xff\xff", name="record 5")


def test_sixteen_bit_images_are_refused():
    _, data = cv2.imencode(".png", np.zeros((2, 2), np.uint16))
    with pytest.raises(DataError, match="uint16"):
        decode_image(data.tobytes(), None, name="it")


@pytest.mark.parametrize("array", [np.zeros((2, 2), np.uint8), np.zeros((1, 2, 2), np.int64)])
def test_what_a_datum_cannot_hold(array):
    with pytest.raises(DataError, match="A Datum holds"):
        array_to_datum(array)


def test_read_image(tmp_path):
    write_png(tmp_path / "a.png", PIXELS)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), PIXELS)
    assert read_image(tmp_path / "a.png", colour=False).shape == (1, 5, 4)
    assert read_image(tmp_path / "a.png", 7, 9, False).shape == (1, 7, 9)


def test_resize_is_bilinear(tmp_path):
    """Twice the size: OpenCV puts pixel centres at (i + 0.5) / 2 - 0.5."""
    ramp = np.array([[[0, 40, 80, 120]]], np.uint8).repeat(2, axis=1)
    write_png(tmp_path / "ramp.png", ramp)
    places = np.clip((np.arange(8) + 0.5) / 2 - 0.5, 0, 3)
    np.testing.assert_array_equal(read_image(tmp_path / "ramp.png", 4, 8, False)[0, 0], places * 40)


def test_images_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"no.png: Could not open or find file: No such file"):
        read_image(tmp_path / "no.png")
    jpeg = (ORACLE / "data" / "images" / "img0.jpg").read_bytes()
    (tmp_path / "bad.jpg").write_bytes(jpeg[:100])
    with pytest.raises(DataError, match=r"bad.jpg: Could not decode the image"):
        read_image(tmp_path / "bad.jpg")
