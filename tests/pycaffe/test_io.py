"""Messages, transformers and images of old scripts (Caffe: python/caffe/test/test_io.py)."""

from __future__ import annotations

import io as files
import warnings

import cv2
import numpy as np
import pytest

from caffe_port.data.database import open_database
from caffe_port.errors import DataError, NetError
from caffe_port.proto.means import read_mean
from caffe_port.pycaffe import io
from caffe_port.pycaffe.proto import caffe_pb2
from tests.shared import MODELS, ORACLE, needs

RNG = np.random.default_rng(0)


# -- BlobProto --------------------------------------------------------------------------------------------------------


def blob(values, **fields):
    return caffe_pb2.BlobProto(data=np.ravel(values), **fields)


def test_blobs_of_either_form():
    values = np.arange(6.0)
    array = io.blobproto_to_array(blob(values, num=1, channels=1, height=2, width=3))
    np.testing.assert_array_equal(array, values.reshape(1, 1, 2, 3))
    array = io.blobproto_to_array(blob(values, shape=caffe_pb2.BlobShape(dim=[3, 2])))
    np.testing.assert_array_equal(array, values.reshape(3, 2))
    assert array.dtype == float


def test_blobs_without_a_shape():
    assert io.blobproto_to_array(blob([123])) == 123
    with pytest.raises(ValueError, match=r"A blob of shape \(\) cannot hold 100 values"):
        io.blobproto_to_array(blob(np.zeros(100)))
    with pytest.raises(DataError, match=r"shape \(1, 1, 3, 0\) cannot hold 6"):
        io.blobproto_to_array(blob(np.zeros(6), num=1, channels=1, height=3))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (7,), (), (2, 0)])
def test_blobs_there_and_back(shape):
    array, diff = RNG.random(shape, np.float32), RNG.random(shape, np.float32)
    message = io.array_to_blobproto(array, diff)
    assert tuple(message.shape.dim) == shape
    np.testing.assert_array_equal(io.blobproto_to_array(message), array)
    np.testing.assert_array_equal(io.blobproto_to_array(message, return_diff=True), diff)
    assert not io.array_to_blobproto(array).diff
    with pytest.raises(ValueError, match="is no diff of data"):
        io.array_to_blobproto(array, np.zeros((9, 9)))


def test_vectors_of_blobs():
    arrays = [RNG.random((2, 3)), RNG.integers(0, 9, (4,)), np.float32(7) * np.ones(())]
    data = io.arraylist_to_blobprotovector_str(arrays)
    assert len(caffe_pb2.BlobProtoVector.FromString(data).blobs) == 3
    again = io.blobprotovector_str_to_arraylist(data)
    for array, read in zip(arrays, again):
        assert read.shape == array.shape
        np.testing.assert_array_equal(read, array.astype(np.float32))
    assert io.blobprotovector_str_to_arraylist(io.arraylist_to_blobprotovector_str([])) == []


def test_a_mean_that_caffe_made():
    """As every old script reads one."""
    path = ORACLE / "data" / "mean.binaryproto"
    message = io.caffe_pb2.BlobProto.FromString(path.read_bytes())
    np.testing.assert_array_equal(io.blobproto_to_array(message)[0], read_mean(path))


# -- Datum ------------------------------------------------------------------------------------------------------------


def test_datums_of_bytes_and_of_floats():
    pixels = RNG.integers(0, 256, (3, 4, 5), dtype=np.uint8)
    datum = io.array_to_datum(pixels, 7)
    assert (datum.channels, datum.height, datum.width, datum.label) == (3, 4, 5, 7)
    assert datum.data == pixels.tobytes()
    read = io.datum_to_array(datum)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, pixels)
    read += 1  # it is the script's own
    for array in (RNG.random((1, 2, 3)), RNG.random((1, 2, 3), np.float32), RNG.integers(-9, 999, (1, 2, 3))):
        datum = io.array_to_datum(array)
        assert not datum.data
        assert io.datum_to_array(datum).dtype == float
        np.testing.assert_array_equal(io.datum_to_array(datum), array.astype(np.float32))


def test_no_label_is_no_label():
    with_label, without = io.array_to_datum(np.ones((2, 2, 3)), label=1), io.array_to_datum(np.ones((2, 2, 3)))
    assert with_label.HasField("label")
    assert not without.HasField("label")
    assert len(with_label.SerializeToString()) > len(without.SerializeToString())


def test_arrays_that_are_no_datum():
    with pytest.raises(ValueError, match=r"Incorrect array shape.*\(3, 4\)"):
        io.array_to_datum(np.zeros((3, 4)))
    with pytest.raises(DataError, match="3 values for 1 x 2 x 2"):
        io.datum_to_array(caffe_pb2.Datum(channels=1, height=2, width=2, data=b"123"))


def test_datums_that_caffe_made():
    database = open_database(ORACLE / "data" / "lmdb", "LMDB")
    _, value = next(database.records())
    datum = caffe_pb2.Datum.FromString(value)
    pixels = io.datum_to_array(datum)
    assert pixels.shape == (datum.channels, datum.height, datum.width)
    assert io.array_to_datum(pixels, datum.label).data == datum.data


# -- Transformer ------------------------------------------------------------------------------------------------------


def transformer(**settings):
    made = io.Transformer({"data": (10, 3, 4, 5)})
    for name, value in settings.items():
        getattr(made, f"set_{name}")("data", value)
    return made


SETTINGS = {
    "transpose": (2, 0, 1),
    "channel_swap": (2, 0, 1),
    "raw_scale": 255,
    "mean": np.array([1.0, 2.0, 3.0]),
    "input_scale": 0.5,
}


def test_preprocess_does_each_step_in_order():
    image = RNG.random((4, 5, 3), np.float32)
    found = transformer(**SETTINGS).preprocess("data", image)
    assert found.dtype == np.float32
    expected = np.empty((3, 4, 5))
    for channel, source in enumerate((2, 0, 1)):
        expected[channel] = (image[:, :, source].astype(float) * 255 - (channel + 1)) * 0.5
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("absent", [None, *SETTINGS])
def test_deprocess_undoes_preprocess(absent):
    settings = {name: value for name, value in SETTINGS.items() if name != absent}
    if absent == "transpose":
        del settings["channel_swap"], settings["mean"]
    image = RNG.random((4, 5, 3), np.float32)
    made = transformer(**settings)
    ready = made.preprocess("data", image)
    for batch in (ready, ready[None]):
        before = batch.copy()
        np.testing.assert_allclose(made.deprocess("data", batch), image, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(batch, before)


def test_deprocess_of_one_channel():
    made = io.Transformer({"data": (1, 1, 4, 5)})
    made.set_transpose("data", (2, 0, 1))
    image = RNG.random((4, 5, 1), np.float32)
    np.testing.assert_array_equal(made.deprocess("data", made.preprocess("data", image)[None]), image)
    assert io.Transformer({"data": (1, 1, 4, 5)}).deprocess("data", np.zeros((1, 1, 4, 5))).shape == (4, 5)


def test_preprocess_leaves_its_input_alone():
    image = RNG.random((4, 5, 3), np.float32)
    before = image.copy()
    transformer(transpose=(2, 0, 1), raw_scale=255, mean=np.ones(3), input_scale=3).preprocess("data", image)
    np.testing.assert_array_equal(image, before)


def test_preprocess_resizes_and_converts():
    constant = np.full((8, 10, 3), 7, np.uint8)
    found = transformer(transpose=(2, 0, 1)).preprocess("data", constant)
    np.testing.assert_array_equal(found, np.full((3, 4, 5), 7, np.float32))
    with pytest.raises(ValueError, match=r"shape \(8, 10\) cannot be resized to \(4, 5\)"):
        transformer().preprocess("data", np.zeros((8, 10)))


def test_means():
    made = transformer(mean=[1, 2, 3])
    np.testing.assert_array_equal(made.mean["data"][:, 0, 0], [1, 2, 3])
    exact = RNG.random((3, 4, 5))
    np.testing.assert_array_equal(transformer(mean=exact).mean["data"], exact)
    grey = RNG.random((4, 5))
    found = transformer(transpose=(2, 0, 1), mean=grey).preprocess("data", np.ones((4, 5, 3)))
    np.testing.assert_allclose(found, np.broadcast_to(1 - grey, (3, 4, 5)), rtol=1e-6)


def test_means_of_another_size_are_resized():
    """Halving by linear interpolation is the average of 2x2."""
    large = RNG.random((3, 8, 10)).astype(np.float32)
    expected = large.reshape(3, 4, 2, 5, 2).mean((2, 4))
    np.testing.assert_allclose(transformer(mean=large).mean["data"], expected, rtol=1e-5)
    np.testing.assert_allclose(transformer(mean=large[0]).mean["data"], expected[:1], rtol=1e-5)
    np.testing.assert_array_equal(transformer(mean=np.full((3, 9, 9), 4.0)).mean["data"], np.full((3, 4, 5), 4))


def test_settings_that_do_not_fit():
    for call in (
        lambda made: made.preprocess("image", np.zeros((4, 5, 3))),
        lambda made: made.deprocess("image", np.zeros((4, 5, 3))),
        *(lambda made, name=name: getattr(made, f"set_{name}")("image", 1) for name in SETTINGS),
    ):
        with pytest.raises(NetError, match="'image' is not one of the net inputs: data"):
            call(transformer())
    with pytest.raises(NetError, match="takes 3 axes, not 2"):
        transformer(transpose=(1, 0))
    with pytest.raises(NetError, match="has 3 channels; the channel swap names 1"):
        transformer(channel_swap=(0,))
    for mean in (np.zeros(2), np.zeros(1), np.zeros((2, 4, 5)), np.zeros((4, 9, 9))):
        with pytest.raises(ValueError, match="Mean channels incompatible with input"):
            transformer(mean=mean)
    for mean in (np.zeros(()), np.zeros((1, 3, 4, 5))):
        with pytest.raises(ValueError, match="Mean shape invalid"):
            transformer(mean=mean)


# -- images -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def write(tmp_path):
    """A function that writes an image, colours in OpenCV's order, and returns its path."""

    def written(image, suffix="png"):
        path = tmp_path / f"image.{suffix}"
        assert cv2.imwrite(str(path), image)
        return path

    return written


def test_load_image(write):
    bgra = RNG.integers(0, 256, (6, 7, 4), dtype=np.uint8)
    rgb = bgra[:, :, 2::-1] / 255
    for pixels in (bgra[:, :, :3], bgra):
        image = io.load_image(str(write(pixels)))
        assert image.dtype == np.float32
        np.testing.assert_allclose(image, rgb, rtol=1e-6)
        grey = io.load_image(write(pixels), color=False)
        assert grey.shape == (6, 7, 1)
        np.testing.assert_allclose(
            grey[:, :, 0], 0.2125 * rgb[:, :, 0] + 0.7154 * rgb[:, :, 1] + 0.0721 * rgb[:, :, 2], rtol=1e-5
        )
    one = bgra[:, :, 0]
    np.testing.assert_allclose(io.load_image(write(one)), (one / 255)[:, :, None].repeat(3, 2), rtol=1e-6)
    np.testing.assert_allclose(io.load_image(write(one), color=False), (one / 255)[:, :, None], rtol=1e-6)


def test_deeper_pixels(write):
    deep = RNG.integers(0, 65536, (6, 7, 3), dtype=np.uint16)
    np.testing.assert_allclose(io.load_image(write(deep)), deep[:, :, ::-1] / 65535, rtol=1e-6)
    floats = RNG.random((6, 7), np.float32) * 3
    np.testing.assert_array_equal(io.load_image(write(floats, "tiff"), color=False)[:, :, 0], floats)
    with pytest.raises(DataError, match=r"image.tiff: has pixels of type int32"):
        io.load_image(write(floats.astype(np.int32), "tiff"))


def test_open_files(write):
    path = write(RNG.integers(0, 256, (6, 7, 3), dtype=np.uint8))
    with path.open("rb") as file:
        np.testing.assert_array_equal(io.load_image(file), io.load_image(path))
    np.testing.assert_array_equal(io.load_image(files.BytesIO(path.read_bytes())), io.load_image(path))


def test_files_that_are_no_images(tmp_path):
    with pytest.raises(DataError, match=r"gone.png: cannot be read: No such file"):
        io.load_image(str(tmp_path / "gone.png"))
    for content in (b"", b"no image"):
        (tmp_path / "wrong.png").write_bytes(content)
        with pytest.raises(DataError, match=r"wrong.png: cannot be decoded"):
            io.load_image(str(tmp_path / "wrong.png"))
    with pytest.raises(DataError, match="the image: cannot be decoded"):
        io.load_image(files.BytesIO(b""))


def test_resize_by_hand():
    image = np.arange(4, dtype=np.float32).reshape(2, 2, 1)  # 0 1 / 2 3
    np.testing.assert_allclose(io.resize_image(image, (1, 1)), [[[1.5]]])
    np.testing.assert_allclose(io.resize_image(image, (2, 2)), image)
    # twice as wide: at -1/4, 1/4, 3/4, 5/4 of each row, whose neighbours beyond the border are the minimum, 0
    found = io.resize_image(image, (2, 4))[:, :, 0]
    np.testing.assert_allclose(found, [[0, 0.25, 0.75, 0.75], [1.5, 2.25, 2.75, 2.25]], atol=1e-6)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(io.resize_image(image, (4, 2), interp_order=0)[:, 0, 0], [0, 0, 2, 2])


def test_constant_images():
    found = io.resize_image(np.full((3, 4, 3), -2.0), (5, 6))
    np.testing.assert_array_equal(found, np.full((5, 6, 3), -2, np.float32))


@pytest.mark.parametrize("order", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dims", [(7, 5), (30, 41), (12, 9), (3, 60)])
def test_resize_against_scikit_image(order, channels, dims):
    resize = pytest.importorskip("skimage.transform").resize
    image = (RNG.standard_normal((12, 9, channels)) * 100).astype(np.float32)
    low, high = image.min(), image.max()
    expected = resize((image - low) / (high - low), dims, order=order, mode="constant", anti_aliasing=False)
    found = io.resize_image(image, dims, interp_order=order)
    assert found.shape == (*dims, channels)
    np.testing.assert_allclose(found, expected * (high - low) + low, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("channels", [2, 4, 21])
def test_other_channels_are_interpolated_from_corner_to_corner(channels):
    image = RNG.random((4, 6, channels), np.float32)
    found = io.resize_image(image, (7, 11))
    np.testing.assert_allclose(found[::2, ::2], image, atol=1e-6)
    np.testing.assert_allclose(found[1::2, ::2], (image[1:] + image[:-1]) / 2, atol=1e-6)


def test_numpy_sizes_and_a_third_one():
    image = RNG.random((4, 6, 3), np.float32)
    np.testing.assert_array_equal(io.resize_image(image, np.array([2, 3])), io.resize_image(image, (2, 3)))
    np.testing.assert_array_equal(io.resize_image(image, (2, 3, 3)), io.resize_image(image, (2, 3)))


@pytest.mark.parametrize("kind", ["png", "jpg"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_load_image_against_scikit_image(kind, channels, write):
    skimage = pytest.importorskip("skimage")
    pytest.importorskip("skimage.io")
    smooth = cv2.GaussianBlur(RNG.integers(0, 256, (40, 50, channels), dtype=np.uint8), (0, 0), 5)
    path = write(smooth[..., :3] if kind == "jpg" else smooth, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels = skimage.img_as_float(skimage.io.imread(str(path)))
        grey = skimage.color.rgb2gray(pixels[:, :, :3]) if pixels.ndim == 3 else pixels
    colour = pixels[:, :, :3] if pixels.ndim == 3 else pixels[:, :, None].repeat(3, 2)
    tolerance = 1e-6 if kind == "png" else 2 / 255  # two builds of libjpeg
    np.testing.assert_allclose(io.load_image(path), colour, atol=tolerance)
    np.testing.assert_allclose(io.load_image(path, color=False)[:, :, 0], grey, atol=tolerance)


def test_oversample():
    images = RNG.random((2, 9, 8, 3))
    crops = io.oversample(images, (4, 5))
    assert crops.shape == (20, 4, 5, 3)
    assert crops.dtype == np.float32
    places = [(0, 0), (0, 3), (5, 0), (5, 3), (2, 1)]  # 9/2 - 4/2 = 2.5 and 8/2 - 5/2 = 1.5, cut to integers
    for number, image in enumerate(images.astype(np.float32)):
        for index, (y, x) in enumerate(places):
            window = image[y : y + 4, x : x + 5]
            np.testing.assert_array_equal(crops[10 * number + index], window)
            np.testing.assert_array_equal(crops[10 * number + 5 + index], window[:, ::-1])
    np.testing.assert_array_equal(io.oversample([images[0]], np.array([9, 8]))[0], images[0].astype(np.float32))
    with pytest.raises(ValueError, match="Images of 9x8 have no crops of 10x8"):
        io.oversample(images, (10, 8))
    with pytest.raises(ValueError, match="no images"):
        io.oversample([], (1, 1))


@needs(MODELS / "ilsvrc_2012_mean.npy")
def test_the_imagenet_mean():
    """As caffe's examples use it, for an input of 227 x 227: about the centre of the mean, and its channels' means."""
    mean = np.load(MODELS / "ilsvrc_2012_mean.npy")
    made = io.Transformer({"data": (10, 3, 227, 227)})
    made.set_mean("data", mean)
    assert made.mean["data"].shape == (3, 227, 227)
    np.testing.assert_allclose(made.mean["data"].mean((1, 2)), mean.mean((1, 2)), rtol=1e-3)
    made.set_mean("data", mean.mean(1).mean(1))
    np.testing.assert_allclose(made.mean["data"].ravel(), [104.00698793, 116.66876762, 122.67891434], rtol=1e-8)
