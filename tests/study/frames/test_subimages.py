"""Sub-images: where they lie, what they hold, and that nothing depends on order."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from caffe_port.errors import DataError
from caffe_port.study.cases import Case
from caffe_port.study.frames.subimages import cut, places, read_frame

SIZE = (500, 350)


def frame_case(path, image, **info) -> Case:
    cv2.imwrite(str(path), image)
    return Case(path.stem, "video", 1, {"path": str(path), **info})


def test_places_are_uniform_over_the_frame():
    at = np.concatenate([places(Case(str(n), "v"), 200, SIZE, 227, seed=0) for n in range(40)])
    for column, last in enumerate((500 - 227, 350 - 227)):
        counts = np.bincount(at[:, column], minlength=last + 1)
        assert len(counts) == last + 1
        assert counts.min() > 0
        expected = len(at) / (last + 1)
        assert ((counts - expected) ** 2 / expected).sum() < 1.5 * last  # chi-square: its mean is ``last``


def test_places_depend_on_case_and_seed_alone():
    first, second = Case("a", "v"), Case("b", "v")
    alone = places(second, 5, SIZE, 227, seed=3)
    places(first, 7, SIZE, 227, seed=3)
    np.testing.assert_array_equal(places(second, 5, SIZE, 227, seed=3), alone)
    assert not np.array_equal(places(first, 5, SIZE, 227, seed=3), alone)
    assert not np.array_equal(places(second, 5, SIZE, 227, seed=4), alone)


def test_a_sub_image_as_large_as_the_frame_is_the_frame():
    np.testing.assert_array_equal(places(Case("a", "v"), 3, (64, 64), 64, seed=0), np.zeros((3, 2)))


def test_cut_takes_left_and_top():
    y, x = np.mgrid[:350, :500]
    frame = np.stack([x % 256, y % 256, x // 256], axis=-1).astype(np.uint8)
    (image,) = cut(frame, np.array([[130, 40]]), 227)
    assert image.shape == (227, 227, 3)
    assert image[0, 0].tolist() == [130, 40, 0]
    assert image[226, 226].tolist() == [(130 + 226) % 256, (40 + 226) % 256, 1]


@pytest.mark.parametrize(("count", "side"), [(3, 351), (3, 0), (0, 227)])
def test_impossible_sub_images_are_refused(count, side):
    with pytest.raises(DataError, match=r"cannot be cut from frames of 500x350.*sub_image"):
        places(Case("a", "v"), count, SIZE, side, seed=0)


def test_a_frame_is_brought_to_its_size_without_aliasing(tmp_path):
    board = np.indices((700, 1000)).sum(axis=0) % 2 * 200
    case = frame_case(tmp_path / "board.png", np.repeat(board[..., None], 3, axis=2).astype(np.uint8))
    frame = read_frame(case, SIZE, mask_overlay=False)
    assert frame.shape == (350, 500, 3)
    assert (frame == 100).all()  # each pixel is the mean of two black and two grey ones


def test_the_navigation_box_is_blackened_in_every_frame_or_left(tmp_path):
    case = frame_case(tmp_path / "f.png", np.full((100, 200, 3), 90, np.uint8), overlay=[0.0, 0.5, 0.25, 1.0])
    masked = read_frame(case, (200, 100), mask_overlay=True)
    assert (masked[50:, :50] == 0).all()
    assert (masked == 0).sum() == 50 * 50 * 3
    assert (read_frame(case, (200, 100), mask_overlay=False) == 90).all()


def test_a_damaged_image_is_named(tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"\xff\xd8 not an image")
    with pytest.raises(DataError, match=r"broken\.jpg: Could not decode"):
        read_frame(Case("broken", "v", 1, {"path": str(path)}), SIZE, mask_overlay=True)
