"""compute_image_mean against the file that Caffe's tool wrote, and against loops in float32."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_port.data import mean as means
from caffe_port.data.datum import array_to_datum
from caffe_port.data.mean import channel_means, compute_image_mean
from caffe_port.errors import DataError
from caffe_port.proto.means import read_mean, write_mean
from tests.data.make import encoded_datum, image_database, images, write_database
from tests.shared import ORACLE

DATA = ORACLE / "data"


@pytest.mark.parametrize(
    ("database", "backend"),
    [("lmdb", None), ("lmdb", "LMDB"), ("leveldb", None), ("leveldb", "LEVELDB"), ("lmdb_encoded", None)],
)
def test_the_file_is_caffes_byte_for_byte(database, backend, tmp_path):
    write_mean(tmp_path / "mean", compute_image_mean(DATA / database, backend))
    assert (tmp_path / "mean").read_bytes() == (DATA / "mean.binaryproto").read_bytes()


def test_gray_has_one_channel():
    assert compute_image_mean(DATA / "lmdb_gray").shape == (1, 40, 36)


def test_sums_are_float32_one_image_after_the_other(tmp_path):
    """Values that float32 rounds when added up, so that order and type show."""
    values = (np.random.default_rng(0).random((50, 1, 2, 3)) * 1e6).astype(np.float32)
    write_database(tmp_path / "db", [array_to_datum(image) for image in values])
    expected = []
    for pixel in values.reshape(50, -1).T:
        total = np.float32(0)
        for value in pixel:
            total = np.float32(total + value)
        expected.append(np.float32(total / np.float32(50)))
    found = compute_image_mean(tmp_path / "db")
    assert found.dtype == np.float32
    assert found.ravel().tolist() == expected
    assert found.ravel().tolist() != np.mean(values, axis=0, dtype=np.float64).astype(np.float32).ravel().tolist()


def test_channel_means_are_added_pixel_by_pixel():
    mean = read_mean(DATA / "mean.binaryproto")
    expected = []
    for plane in mean.reshape(3, -1):
        total = np.float32(0)
        for value in plane:
            total = np.float32(total + value)
        expected.append(total / np.float32(40 * 36))
    assert channel_means(mean) == expected


def test_encoded_images_keep_their_channels(tmp_path):
    pixels = images(2, (1, 5, 4))
    write_database(tmp_path / "db", [encoded_datum(image, 0) for image in pixels])
    np.testing.assert_array_equal(compute_image_mean(tmp_path / "db"), pixels.astype(np.float32).sum(0) / 2)


def test_only_the_number_of_values_must_agree(tmp_path):
    first, second = images(1, (3, 4, 6))[0], images(1, (3, 6, 4), seed=1)[0]
    write_database(tmp_path / "db", [array_to_datum(first), array_to_datum(second)])
    expected = (first.ravel().astype(np.float32) + second.ravel()) / 2
    found = compute_image_mean(tmp_path / "db")
    assert found.shape == (3, 4, 6)
    np.testing.assert_array_equal(found.ravel(), expected)


def test_progress_and_log_lines(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(means, "LOG_EVERY", 2)
    image_database(tmp_path / "db", images(5))
    seen = []
    with caplog.at_level("INFO", "caffe_port"):
        compute_image_mean(tmp_path / "db", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 5) for i in range(1, 6)]
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["Starting Iteration", *(f"Processed {i} files." for i in (2, 4, 5))]


def test_refused(tmp_path):
    with pytest.raises(DataError, match=r"gone: The database does not exist"):
        compute_image_mean(tmp_path / "gone")
    with pytest.raises(DataError, match=r"is no LMDB or LEVELDB database"):
        compute_image_mean(tmp_path)
    with pytest.raises(DataError, match=r"lmdb: holds LMDB data, but the backend is LEVELDB. .* --backend=lmdb"):
        compute_image_mean(DATA / "lmdb", "LEVELDB")
    write_database(tmp_path / "empty", [])
    with pytest.raises(DataError, match=r"empty: holds no records"):
        compute_image_mean(tmp_path / "empty")
    write_database(tmp_path / "sizes", [array_to_datum(images(1, (3, 4, n))[0]) for n in (6, 5)])
    with pytest.raises(DataError, match=r"sizes: record '00000001_img1': incorrect data field size: 60 .* but 72 "):
        compute_image_mean(tmp_path / "sizes")
    write_database(tmp_path / "damaged", [b"\x0a\xff"])
    with pytest.raises(DataError, match=r"damaged: record '00000000_img0' is no Datum"):
        compute_image_mean(tmp_path / "damaged")
