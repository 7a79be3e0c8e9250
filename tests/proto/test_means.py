from __future__ import annotations

import io

import numpy as np
import pytest

from caffe_port.errors import FormatError
from caffe_port.proto import pb
from caffe_port.proto.means import read_array, read_mean, write_mean
from tests.proto.encoder import integer, layer, legacy_shape, packed, shape, string
from tests.shared import MODELS, ORACLE, needs

MEAN = ORACLE / "data" / "mean.binaryproto"
TRIPLET = MODELS / "snapshots" / "triplet_mean.binaryproto"
ILSVRC = MODELS / "ilsvrc_2012_mean.npy"


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize("path", [MEAN, pytest.param(TRIPLET, marks=needs(TRIPLET))], ids=lambda path: path.name)
def test_real_means_read_as_protobuf_reads_them_and_are_written_again_byte_for_byte(path, tmp_path):
    mean, proto = read_mean(path), pb.BlobProto.FromString(path.read_bytes())
    assert (mean.dtype, mean.shape) == (np.float32, (proto.channels, proto.height, proto.width))
    assert np.array_equal(mean.ravel(), np.array(proto.data, np.float32))
    write_mean(tmp_path / "again", mean)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


@needs(ILSVRC)
def test_the_imagenet_mean_reads_as_numpy_reads_it():
    mean = read_mean(ILSVRC)
    assert (mean.shape, mean.dtype) == ((3, 256, 256), np.float32)
    assert np.array_equal(mean, np.load(ILSVRC).astype(np.float32))


IMAGE = np.arange(12).reshape(3, 2, 2)


@pytest.mark.parametrize(
    "content",
    [
        legacy_shape(1, 3, 2, 2) + packed(5, range(12)),
        shape(1, 3, 2, 2) + packed(5, range(12)),
        shape(3, 2, 2) + packed(5, range(12)),
        packed(8, range(12), "d") + shape(3, 2, 2),
        npy(IMAGE),
        npy(IMAGE.astype(">f8")[None]),
        npy(np.asfortranarray(IMAGE.astype(np.float32))),
        npy(IMAGE.astype(np.uint8)),
    ],
)
def test_every_form_gives_the_same_image(tmp_path, content):
    (tmp_path / "mean").write_bytes(content)
    mean = read_mean(tmp_path / "mean")
    assert mean.dtype == np.float32
    assert mean.flags.c_contiguous
    assert mean.tolist() == IMAGE.tolist()


def header(text: str) -> bytes:
    """An .npy file with a header of one's own and 48 bytes of data."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(48)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "is empty"),
        (b"mean_value: 104\n", "is text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "PNG image"),
        (string(1, "net") + layer("ip"), "weights or a solver state"),
        (integer(1, 5) + string(2, "n.caffemodel"), "weights or a solver state"),
        (shape(3) + packed(5, range(3)), "channels x height x width, but this is .3,.*mean_value"),
        (legacy_shape(2, 3, 2, 2) + packed(5, range(24)), "this is .2, 3, 2, 2."),
        (shape(3, 0, 2), "this is .3, 0, 2."),
        (legacy_shape(1, 3, 2, 2) + packed(5, range(11)), "1 x 3 x 2 x 2 needs 12 values but has 11.*fetch it again"),
        (MEAN.read_bytes()[:-1], "are left.*cut off"),
        (npy(IMAGE)[:-1], "needs 96 bytes but has 95"),
        (npy(np.array([IMAGE, None], dtype=object)), "holds object, not numbers"),
        (npy(np.zeros((3, 0, 2))), "is empty"),
        (npy(np.zeros((3, 2, 2), complex)), "not numbers"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 1099511627776, 3)}"), "but has 48"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (-3, -2, 2)}"), "but has 48"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': __import__('os')}"), "header"),
        (header("(" * 5000), "header"),
        (b"\x93NUMPY\x09\x00" + bytes(20), "header"),
        (b"\x93NUMPY", "header"),
    ],
)
def test_what_is_no_mean_is_refused(tmp_path, content, cause):
    (tmp_path / "mean").write_bytes(content)
    with pytest.raises(FormatError, match=f"(?s){cause}") as caught:
        read_mean(tmp_path / "mean")
    assert caught.value.file == tmp_path / "mean"


def test_single_blobs_of_any_shape_are_read(tmp_path):
    (tmp_path / "matrix").write_bytes(shape(2, 2) + packed(5, range(4)))
    assert read_array(tmp_path / "matrix").tolist() == [[0, 1], [2, 3]]


def test_only_images_are_written(tmp_path):
    with pytest.raises(FormatError, match="three axes, not 2"):
        write_mean(tmp_path / "mean", np.zeros((2, 2)))
