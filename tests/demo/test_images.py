"""The procedural image set: outlines against closed forms, and what the databases hold."""

from __future__ import annotations

import re
from math import acos, pi, sqrt

import cv2
import numpy as np
import pytest

from caffe_port.data.database import open_database
from caffe_port.data.datum import datum_to_array, parse_datum
from caffe_port.demo.images import DISTANCES, SHAPES, SIZE, draw, write_images, write_sheet
from caffe_port.errors import DataError
from caffe_port.rng import numpy_generator


def lens(r, s, d):
    """Area that two circles of radius r and s have in common, at a distance d of their centres."""
    a = r**2 * acos((d**2 + r**2 - s**2) / (2 * d * r))
    b = s**2 * acos((d**2 + s**2 - r**2) / (2 * d * s))
    return a + b - sqrt((-d + r + s) * (d + r - s) * (d - r + s) * (d + r + s)) / 2


AREAS = {
    "disc": pi,
    "ring": pi - pi / 4,
    "square": 1.6**2,
    "triangle": 3 * sqrt(3) * 0.5**2,  # equilateral with an inscribed circle of radius 1/2
    "cross": 2 * 2 * 0.6 - 0.6**2,
    "crescent": pi - lens(1, 0.85, 0.55),
    "hourglass": 2 * 0.9**2,
    "bar": 2 * 0.6,
    "corner": 1.6**2 - 1,
}


def test_every_shape_is_a_class():
    assert sorted(SHAPES) == sorted(AREAS)


@pytest.mark.parametrize("shape", DISTANCES)
def test_outline(shape):
    step = 0.002
    y, x = np.mgrid[-1.2 + step / 2 : 1.2 : step, -1.2 + step / 2 : 1.2 : step]
    distance = DISTANCES[shape](x, y)
    assert np.count_nonzero(distance < 0) * step**2 == pytest.approx(AREAS[shape], rel=0.01)
    # Nothing changes faster than the distance from an edge, so edges are one pixel wide at any size.
    assert max(np.abs(np.diff(distance, axis=axis)).max() for axis in (0, 1)) <= step * (1 + 1e-6)


@pytest.mark.parametrize("shape", DISTANCES)
def test_image(shape):
    image = draw(shape, numpy_generator("a", 1))
    assert image.shape == (3, SIZE, SIZE)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, draw(shape, numpy_generator("a", 1)))
    assert (image != draw(shape, numpy_generator("a", 2))).mean() > 0.9


def test_database(tmp_path):
    write_images(tmp_path / "a_lmdb", 50)
    database = open_database(tmp_path / "a_lmdb", "LMDB")
    assert len(database) == 50
    labels = []
    for index in range(50):
        key, value = database.get(index)
        match = re.fullmatch(r"(\d{8})_(\w+)/(\d{5})\.png", key.decode())
        datum = parse_datum(value, name="record")
        assert int(match[1]) == int(match[3]) == index
        assert match[2] == SHAPES[datum.label]
        assert datum_to_array(datum).shape == (3, SIZE, SIZE)
        labels.append(datum.label)
    assert np.bincount(labels).tolist() == [6, 6, 6, 6, 6, 5, 5, 5, 5]
    assert labels != sorted(labels)


def test_the_name_decides_the_images(tmp_path):
    for path in ("x/a", "y/a", "y/b"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        write_images(tmp_path / path, 5)
    a, again, b = ([open_database(tmp_path / p, "LMDB").get(i) for i in range(5)] for p in ("x/a", "y/a", "y/b"))
    assert a == again
    assert not {value for _, value in a} & {value for _, value in b}


def test_existing_database(tmp_path):
    write_images(tmp_path / "a", 5)
    with pytest.raises(DataError, match="exists already"):
        write_images(tmp_path / "a", 5)


def test_sheet(tmp_path):
    write_sheet(tmp_path / "sheet.png", 3)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (9 * 2 * SIZE, 3 * 2 * SIZE, 3)
    np.testing.assert_array_equal(sheet[::2, ::2], sheet[1::2, 1::2])
    second = draw(SHAPES[1], numpy_generator("sheet", SHAPES[1], 0))
    np.testing.assert_array_equal(sheet[64:128:2, 0:64:2].transpose(2, 0, 1), second)


def test_sheet_in_a_missing_folder(tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        write_sheet(tmp_path / "none" / "sheet.png", 1)
