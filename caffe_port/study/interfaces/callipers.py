"""Calliper crosses that the ultrasound machine burnt into an image, where somebody had measured the thickness.

A cross is a light plus sign with a dark outline: four arms of some pixels around a see-through centre. It lies on the
interfaces, so that a net could learn to find crosses instead of interfaces, and hides what is below it.
"""

from __future__ import annotations

import cv2
import numpy as np

#: The arms of a cross cover these distances from its centre, in pixels; the outline is one pixel wide.
_ARM = range(2, 6)
#: How much lighter (of 255) the arms are than the outline, on average, at least. A whole cross in the Cyprus images has
#: 160 to 176, one that another cross overlaps 142; speckle, blurred over several pixels, stays below 100.
_CONTRAST = 120.0


def cross_template() -> tuple[np.ndarray, np.ndarray]:
    """Masks (13, 13) of 0 and 1, float32, of the arms and of their outline; the centre belongs to neither."""
    middle = _ARM.stop
    arms = np.zeros((2 * middle + 1,) * 2, np.float32)
    for distance in _ARM:
        for row, column in ((0, distance), (0, -distance), (distance, 0), (-distance, 0)):
            arms[middle + row, middle + column] = 1
    outline = cv2.dilate(arms, np.ones((3, 3))) - arms
    return arms, outline


def find_crosses(image: np.ndarray) -> np.ndarray:
    """Centres (N, 2) as x, y of the calliper crosses in ``image`` (H, W) uint8, in the order of rows."""
    arms, outline = cross_template()
    template = arms / arms.sum() - outline / outline.sum()
    contrast = cv2.filter2D(image, cv2.CV_32F, template, borderType=cv2.BORDER_REPLICATE)
    peaks = (contrast >= _CONTRAST) & (contrast == cv2.dilate(contrast, np.ones((7, 7))))
    rows, columns = np.nonzero(peaks)
    return np.stack([columns, rows], axis=1)


def without_crosses(image: np.ndarray, crosses: np.ndarray) -> np.ndarray:
    """``image`` with arms and outlines of ``crosses`` (N, 2) filled in from around (Telea 2004)."""
    arms, outline = cross_template()
    rows, columns = np.nonzero(arms + outline)
    middle = len(arms) // 2
    mask = np.zeros(image.shape, np.uint8)
    for x, y in crosses:
        at = rows + y - middle, columns + x - middle
        inside = (at[0] >= 0) & (at[0] < image.shape[0]) & (at[1] >= 0) & (at[1] < image.shape[1])
        mask[at[0][inside], at[1][inside]] = 1
    return cv2.inpaint(image, mask, 3, cv2.INPAINT_TELEA) if len(crosses) else image


def far_from(crosses: np.ndarray, points: np.ndarray, distance: float) -> np.ndarray:
    """Which ``points`` (M, 2) lie more than ``distance`` pixels, along x or along y, from every cross (N, 2)."""
    offsets = np.abs(points[:, None] - crosses[None])
    return (offsets.max(axis=2) > distance).all(axis=1)
