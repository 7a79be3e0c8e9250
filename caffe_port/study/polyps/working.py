"""Frames and masks, and the reduced size at which the detector works."""

from __future__ import annotations

import cv2
import numpy as np

from caffe_port.data.images import read_image, to_hwc
from caffe_port.errors import DataError
from caffe_port.study.cases import Case
from caffe_port.study.polyps.lesions import polyps_of


def read_frame(case: Case) -> np.ndarray:
    """The frame of ``case``, (H, W, 3) uint8 in BGR.

    :raises DataError: the file is missing, no image, or of another size than its header said: OpenCV turns images as
        EXIF tells it, and the mask would no more fit.
    """
    frame = np.ascontiguousarray(to_hwc(read_image(case.info["path"])))
    height, width = frame.shape[:2]
    if [width, height] != case.info["size"]:
        raise DataError(
            "has changed since the data were loaded, or is shown turned (EXIF orientation).",
            file=case.info["path"],
            remedy="Save it upright, of the size of its mask.",
        )
    return frame


def to_width(image: np.ndarray, width: int) -> np.ndarray:
    """``image`` (H, W) or (H, W, 3) uint8, ``width`` pixels wide."""
    height = max(1, round(width * image.shape[0] / image.shape[1]))
    way = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=way)


def mask_at_width(case: Case, width: int) -> np.ndarray:
    """Where the polyps of ``case`` are, (H, W) bool, in its frame made ``width`` pixels wide.

    :raises DataError: the mask is not what it was when the data were loaded.
    """
    return to_width(np.where(polyps_of(case).labels > 0, 255, 0).astype(np.uint8), width) > 127
