"""The patches of a candidate, against naive crops."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from caffe_port import rng
from caffe_port.study.polyps.application import APPLICATION
from caffe_port.study.polyps.patches import SYMMETRIES, cut, patches_of, squares, symmetric, symmetries

PAPER = APPLICATION.defaults


def group_of(image: np.ndarray) -> set[bytes]:
    """The eight symmetries of a square: quarter turns, and those of the mirrored image."""
    return {np.rot90(one, turns).tobytes() for one in (image, image[:, ::-1]) for turns in range(4)}


@pytest.mark.parametrize(
    "box", [[40.0, 30.0, 24.0, 16.0], [0.0, 0.0, 20.0, 30.0], [90.0, 60.0, 30.0, 20.0], [-5.0, 20.0, 200.0, 10.0]]
)
def test_the_120_patches_are_naive_crops(box):
    frame = rng.numpy_generator("frame").integers(0, 256, (80, 120, 3), np.uint8)
    padded = np.pad(frame, ((400, 400), (400, 400), (0, 0)), mode="edge")
    patches = [image() for image in patches_of(lambda: frame, box, PAPER, 32)]
    assert len(patches) == 120
    assert {(patch.shape, patch.dtype) for patch in patches} == {((32, 32, 3), np.dtype(np.uint8))}
    longer = max(box[2:])
    places = iter(range(0, 120, 8))
    for scale in (1.0, 1.2, 1.5):
        for right, down in ((0, 0), (-0.1, 0), (0.1, 0), (0, -0.1), (0, 0.1)):
            side = scale * longer
            left = round(box[0] + box[2] / 2 + right * side - side / 2) + 400
            top = round(box[1] + box[3] / 2 + down * side - side / 2) + 400
            crop = padded[top : top + round(side), left : left + round(side)]
            way = cv2.INTER_AREA if round(side) > 32 else cv2.INTER_LINEAR
            expected = cv2.resize(crop, (32, 32), interpolation=way)
            first = next(places)
            np.testing.assert_array_equal(patches[first], expected)
            assert {patch.tobytes() for patch in patches[first : first + 8]} == group_of(expected)


def test_the_symmetries_interpolate_nothing():
    image = np.arange(9, dtype=np.uint8).reshape(3, 3)
    found = [symmetric(image, number) for number in range(SYMMETRIES)]
    np.testing.assert_array_equal(found[0], image)
    assert {one.tobytes() for one in found} == group_of(image)
    assert len(group_of(image)) == 8


def test_the_symmetries_of_a_nets_inputs_are_the_same():
    images = np.arange(54).reshape(2, 3, 3, 3)  # (N, S, S, C)
    found = symmetries(torch.from_numpy(images.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
    assert found.shape == (16, 3, 3, 3)
    expected = [symmetric(image, number) for image in images for number in range(SYMMETRIES)]
    assert {one.tobytes() for one in found} == {one.tobytes() for one in expected}


def test_other_scales_and_shifts():
    found = squares([10, 20, 40, 40], {"scales": [2.0], "shift": 0.25})
    assert found == [(-10, 0, 80), (-30, 0, 80), (10, 0, 80), (-10, -20, 80), (-10, 20, 80)]


def test_a_box_without_extent_gives_a_pixel():
    frame = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    (square, *_) = squares([1.5, 0.5, 0.0, 0.0], PAPER)
    np.testing.assert_array_equal(cut(frame, square, 4), np.broadcast_to(frame[0, 1], (4, 4, 3)))


def test_a_frame_is_asked_for_only_with_a_patch():
    reads = []

    def read() -> np.ndarray:
        reads.append(1)
        return np.zeros((50, 50, 3), np.uint8)

    images = list(patches_of(read, [10, 10, 9, 9], PAPER, 8))
    assert not reads
    for image in images[8:16]:  # one square
        image()
    assert len(reads) == 1
