"""Reading images with OpenCV, as Caffe does: 8 bits, channels in the order blue, green, red. Caffe: util/io.cpp."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from caffe_port.errors import DataError


def decode_image(data: bytes, colour: bool | None, *, name: str) -> np.ndarray:
    """The (C, H, W) uint8 array of an encoded image (JPEG, PNG, ...), in OpenCV's channel order.

    :param colour: True for 3 channels, False for 1, None for as many as the file has.
    :param name: what the error message calls the image.
    :raises DataError: not an image that OpenCV knows, or not of 8 bits.
    """
    flags = {True: cv2.IMREAD_COLOR, False: cv2.IMREAD_GRAYSCALE, None: cv2.IMREAD_UNCHANGED}[colour]
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:  # such as sizes beyond what OpenCV reads
        raise DataError(f"Could not decode {name}: {error.err}.") from None
    if image is None:
        raise DataError(f"Could not decode {name}.", remedy="It is truncated, or no image.")
    if image.dtype != np.uint8:
        raise DataError(f"{name} has {image.dtype} pixels.", remedy="Image data type must be unsigned byte.")
    return to_chw(image)


def read_image(path: str | Path, height: int = 0, width: int = 0, colour: bool = True) -> np.ndarray:
    """The (C, H, W) uint8 array of the image at ``path``, resized bilinearly where ``height`` and ``width`` are set.

    :raises DataError: the file is missing or no image.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"Could not open or find file: {error.strerror}.", file=path) from None
    try:
        image = decode_image(data, colour, name="the image")
    except DataError as error:
        raise error.at(file=path) from None
    if height and width:
        image = to_chw(cv2.resize(to_hwc(image), (width, height)))
    return image


def to_chw(image: np.ndarray) -> np.ndarray:
    """OpenCV's (H, W) or (H, W, C) as a (C, H, W) view."""
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)


def to_hwc(image: np.ndarray) -> np.ndarray:
    """The reverse of :func:`to_chw`; a view."""
    return image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
