"""The edge map of a frame: where a polyp's boundary may run, and across which direction."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

#: Blur before the gradient, in pixels.
_BLUR = 1.5
#: Darker than this in every channel there is no tissue but the frame's black surround.
_BLACK = 24
#: No edge is taken so near to the surround or to the frame's border, in pixels.
_MARGIN = 5
#: Canny's upper threshold is this percentile of the gradient of what is seen, the lower one this part of it.
_PERCENTILE, _LOWER = 85, 0.4


@dataclass(frozen=True)
class Edges:
    """Edge pixels of one frame.

    :param points: (N, 2) x, y in pixels, float32.
    :param normals: (N, 2) unit vectors from the dark side to the bright one, float32.
    """

    points: np.ndarray
    normals: np.ndarray

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: np.ndarray) -> Edges:
        return Edges(self.points[index], self.normals[index])


def find_edges(image: np.ndarray, most: int) -> Edges:
    """Canny's edges of ``image`` on the channel whose gradient is strongest, pixel by pixel.

    :param image: (H, W, 3) uint8.
    :param most: of more edge pixels than this, as many are taken evenly.
    """
    smooth = cv2.GaussianBlur(image, (0, 0), _BLUR)
    dx, dy = (cv2.Sobel(smooth, cv2.CV_16S, *order) for order in ((1, 0), (0, 1)))
    strength = dx.astype(np.int32) ** 2 + dy.astype(np.int32) ** 2
    strongest = strength.argmax(axis=2)[..., None]
    dx, dy = (np.take_along_axis(derivative, strongest, axis=2)[..., 0] for derivative in (dx, dy))
    seen = seen_of(image)
    if not seen.any():
        return Edges(np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32))
    upper = float(np.percentile(np.sqrt(strength.max(axis=2)[seen]), _PERCENTILE))
    found = cv2.Canny(np.ascontiguousarray(dx), np.ascontiguousarray(dy), _LOWER * upper, upper, L2gradient=True)
    rows, columns = np.nonzero((found > 0) & seen)
    if len(rows) > most:
        kept = np.linspace(0, len(rows) - 1, most).astype(int)
        rows, columns = rows[kept], columns[kept]
    normals = np.stack([dx[rows, columns], dy[rows, columns]], axis=1).astype(np.float32)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    return Edges(np.stack([columns, rows], axis=1).astype(np.float32), normals)


def seen_of(image: np.ndarray) -> np.ndarray:
    """(H, W) bool: tissue, away from the frame's border and from what is black and reaches the border."""
    black = (image.max(axis=2) < _BLACK).astype(np.uint8)
    black = cv2.copyMakeBorder(black, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, components = cv2.connectedComponents(black, connectivity=4)
    surround = (components == components[0, 0]).astype(np.uint8)
    kernel = np.ones((2 * _MARGIN + 1,) * 2, np.uint8)
    return cv2.dilate(surround, kernel)[1:-1, 1:-1] == 0
