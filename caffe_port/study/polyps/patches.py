"""The patches of a candidate (section VI-A): three scales, five places, the eight symmetries of the square."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

#: Shifts to the right and downwards, in parts of the setting ``shift``.
_SHIFTS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
#: The symmetries of the square; the first leaves it as it is.
SYMMETRIES = 8


class Square(NamedTuple):
    """A square of a frame: left, top and side in pixels."""

    left: int
    top: int
    side: int


def squares(box: Sequence[float], settings: Mapping[str, Any]) -> list[Square]:
    """The squares that patches are cut from: by scale, at each scale by shift.

    The square around the middle of the ``box`` (left, top, width, height) has the box's longer side times the scale,
    so that nothing is distorted; shifts are parts of that side.

    :param settings: ``scales``, and ``shift`` in parts of the side.
    """
    left, top, width, height = box
    found = []
    for scale in settings["scales"]:
        side = max(1.0, scale * max(width, height))
        for right, down in _SHIFTS:
            x = left + width / 2 + right * settings["shift"] * side - side / 2
            y = top + height / 2 + down * settings["shift"] * side - side / 2
            found.append(Square(round(x), round(y), round(side)))
    return found


def cut(frame: np.ndarray, square: Square, size: int) -> np.ndarray:
    """``square`` of ``frame`` (H, W, 3), brought to (size, size, 3); beyond the frame its border is repeated."""
    rows, columns = (
        np.arange(start, start + square.side).clip(0, length - 1)
        for start, length in zip((square.top, square.left), frame.shape)
    )
    pixels = frame[rows[:, None], columns]
    way = cv2.INTER_AREA if square.side > size else cv2.INTER_LINEAR
    return cv2.resize(pixels, (size, size), interpolation=way)


def symmetric(image: np.ndarray, number: int) -> np.ndarray:
    """One of the eight symmetries of a square image: mirrored, upside down, transposed, or several of these."""
    if number & 4:
        image = image.swapaxes(0, 1)
    return np.ascontiguousarray(image[:: -1 if number & 2 else 1, :: -1 if number & 1 else 1])


def symmetries(inputs: Tensor) -> Tensor:
    """All of :func:`symmetric` for square ``inputs`` (N, C, S, S): (8 N, C, S, S)."""
    both = (inputs, inputs.transpose(2, 3))
    return torch.cat([some.flip(axes) for some in both for axes in ((), (2,), (3,), (2, 3))])


def patches_of(
    frame: Callable[[], np.ndarray], box: Sequence[float], settings: Mapping[str, Any], size: int
) -> Iterator[Callable[[], np.ndarray]]:
    """The patches of a candidate with this ``box``, in the order of :func:`squares` and then of their symmetries.

    :param frame: gives the frame, (H, W, 3) uint8; called once for every square of which a patch is asked for.
    :return: functions that give a patch each, (size, size, 3) uint8.
    """
    for square in squares(box, settings):
        pixels = cache(partial(_cut, frame, square, size))
        for number in range(SYMMETRIES):
            yield partial(_symmetric, pixels, number)


def _cut(frame: Callable[[], np.ndarray], square: Square, size: int) -> np.ndarray:
    return cut(frame(), square, size)


def _symmetric(image: Callable[[], np.ndarray], number: int) -> np.ndarray:
    return symmetric(image(), number)
