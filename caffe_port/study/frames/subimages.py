"""Frames of one size, and the sub-images cut from random places in them (section VI-C)."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from caffe_port import rng
from caffe_port.data.images import read_image, to_hwc
from caffe_port.errors import DataError
from caffe_port.study.cases import Case


def read_frame(case: Case, size: tuple[int, int], mask_overlay: bool) -> np.ndarray:
    """The frame of ``case``, (height, width, 3) uint8 in BGR, brought to ``size`` (width, height).

    :param mask_overlay: blacken the rectangle in which the data set shows the scope's position in some frames, in every
        frame alike, so that neither it nor its absence can tell the class.
    :raises DataError: the file is missing or no image.
    """
    image = np.ascontiguousarray(to_hwc(read_image(case.info["path"])))
    height, width = image.shape[:2]
    if mask_overlay and "overlay" in case.info:
        left, top, right, bottom = (
            round(part * side) for part, side in zip(case.info["overlay"], (width, height) * 2, strict=True)
        )
        image[top:bottom, left:right] = 0
    shrinks = size[0] * size[1] < width * height
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def places(case: Case, count: int, size: tuple[int, int], side: int, seed: int) -> np.ndarray:
    """(count, 2) integers: left and top of sub-images in a frame of ``size`` (width, height), uniform.

    They depend on the seed and the case's id alone, whatever else is cut before or beside.

    :raises DataError: ``side`` does not fit the frame.
    """
    if side > min(size) or side < 1 or count < 1:
        raise DataError(
            f"{count} sub-images of {side}x{side} pixels cannot be cut from frames of {size[0]}x{size[1]}.",
            remedy="Change frame_width, frame_height, sub_image or sub_images.",
        )
    random = rng.numpy_generator(seed, "sub-images", case.id)
    return random.integers(0, [size[0] - side + 1, size[1] - side + 1], (count, 2))


def cut(frame: np.ndarray, at: np.ndarray, side: int) -> Iterator[np.ndarray]:
    """The sub-images (side, side, 3) of ``frame`` whose left and top are ``at`` (N, 2)."""
    for left, top in at.tolist():
        yield frame[top : top + side, left : left + side]
