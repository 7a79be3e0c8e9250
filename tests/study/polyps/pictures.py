"""Small frames and masks on disk."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

SIZE = (64, 48)


def mask_of(*discs: tuple[float, float, float], size: tuple[int, int] = SIZE) -> np.ndarray:
    """A mask (H, W) of 0 and 255: discs of centre x, y and radius."""
    y, x = np.mgrid[: size[1], : size[0]]
    inside = [np.hypot(x - cx, y - cy) <= radius for cx, cy, radius in discs]
    return np.where(np.any([np.zeros(x.shape, bool), *inside], axis=0), 255, 0).astype(np.uint8)


def write(path: Path, image: np.ndarray | None = None) -> Path:
    """``image`` or a grey frame as a file, whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    assert cv2.imwrite(str(path), grey if image is None else image)
    return path
