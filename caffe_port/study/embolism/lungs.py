"""The lungs and the bright vessels of a contrast CT, by thresholds and shape alone.

Lungs are found on a grid of about 3 mm, on which their vessels are too thin to be seen and everything is quick. Nothing
depends on whether the body ends within the volume, so that crops, whose border cuts body and lungs, do as well.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

#: Lung is darker than the first; air outside of the body and gas in the bowel have a median below the second (HU).
_LUNG, _GAS = -400, -950
#: Side of a coarse voxel in mm, and the volume in mm³ from which dark tissue is taken for lung.
_COARSE, _SMALLEST = 3.0, 3000.0
#: Radius in mm of the closing: vessels of twice the width are within the lungs.
_CLOSING = 10.0
#: Bright voxels that hang together are a vessel from this volume in mm³ on.
_SMALLEST_VESSEL = 20.0
_EVERY_NEIGHBOUR = np.ones((3, 3, 3), bool)


def lung_masks(hu: np.ndarray, spacing: float, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """The lungs with their vessels, and the lungs with what is between them at most ``margin`` mm away: the arteries of
    the hila, but no ribs. Both bool (z, y, x).

    Lung is what is dark, large, and not the air around the body or in the bowel, which is told by its median: about
    -1000 HU, where lungs have -900 to -700. The gaps that vessels leave are closed, and holes filled. The trachea hangs
    together with the lungs and counts as a part of them.

    :param hu: (z, y, x) HU; x goes from one lung to the other.
    :param spacing: millimetres from voxel to voxel.
    """
    side = max(1, round(_COARSE / spacing))
    coarse_mm = side * spacing
    coarse = _block_means(hu, side)
    dark, count = ndimage.label(coarse < _LUNG)
    medians = ndimage.median(coarse, dark, np.arange(1, count + 1)) if count else []
    large = np.bincount(dark.ravel(), minlength=count + 1)[1:] * coarse_mm**3 >= _SMALLEST
    found = np.concatenate([[False], large & (np.asarray(medians) > _GAS)])[dark]
    closed = _deeper(_within(found, _CLOSING / coarse_mm), _CLOSING / coarse_mm)
    lungs = ndimage.binary_fill_holes(closed | found)
    between = np.maximum.accumulate(lungs, axis=2) & np.maximum.accumulate(lungs[..., ::-1], axis=2)[..., ::-1]
    around = lungs | (between & _within(lungs, margin / coarse_mm))
    return _fine(lungs, side, hu.shape), _fine(around, side, hu.shape)


def vessel_mask(hu: np.ndarray, within: np.ndarray, spacing: float, lowest: float) -> np.ndarray:
    """Where vessels with contrast are: bool (z, y, x), at least ``lowest`` HU ``within`` a mask, in pieces that are
    larger than noise and small calcifications are."""
    bright, count = ndimage.label(within & (hu >= lowest), _EVERY_NEIGHBOUR)
    return (np.bincount(bright.ravel(), minlength=count + 1) * spacing**3 >= _SMALLEST_VESSEL)[bright] & (bright > 0)


def _block_means(hu: np.ndarray, side: int) -> np.ndarray:
    """Means of blocks of side³ voxels; the border is repeated to fill the last ones. HU below air count as air."""
    padded = np.pad(hu, [(0, -n % side) for n in hu.shape], mode="edge").clip(-1024)
    z, y, x = (n // side for n in padded.shape)
    return padded.reshape(z, side, y, side, x, side).mean(axis=(1, 3, 5), dtype=np.float32)


def _fine(coarse: np.ndarray, side: int, shape: tuple[int, ...]) -> np.ndarray:
    """Every voxel of ``coarse`` as side³ ones, as many as ``shape`` has."""
    for axis, size in enumerate(shape):
        coarse = np.repeat(coarse, side, axis)[(slice(None),) * axis + (slice(size),)]
    return np.ascontiguousarray(coarse)


def _within(mask: np.ndarray, radius: float) -> np.ndarray:
    """What is in ``mask`` or at most ``radius`` voxels away from it."""
    return ndimage.distance_transform_edt(~mask) <= radius if mask.any() else mask


def _deeper(mask: np.ndarray, radius: float) -> np.ndarray:
    """What is in ``mask`` and more than ``radius`` voxels from what is not; the border of the volume does not count."""
    return ndimage.distance_transform_edt(mask) > radius if not mask.all() else mask
