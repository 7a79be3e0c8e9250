"""The handcrafted competitor: how badly a frame is reconstructed from its dominant DCT coefficients.

After Tajbakhsh et al., "Automatic assessment of image informativeness in colonoscopy", 2014 (the paper's [65], which
calls it "local and global features that were pooled from the image reconstruction error"). What the authors published
of it (US patent 9,978,142): the image is divided into cells, each is transformed and reconstructed, the differences
between image and reconstruction are summed to a difference image, and a probabilistic classifier sees its histogram.
The reason: few coefficients make a blurred frame, or one without structure, but not the edges of folds and vessels.

The cell's side, the numbers of coefficients, the bins, the grid and the forest below are this project's choice.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy import fft
from sklearn.ensemble import RandomForestClassifier

#: Side of a cell in pixels, and how many coefficients of it are kept for each of the summed differences.
CELL = 16
KEPT = (1, 4, 16)
#: Bins of the histogram of the whole difference image: grey values, about even in the logarithm.
BINS = (0.0, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, np.inf)
#: Rows and columns of the grid for local features.
GRID = (4, 4)
TREES = 300


def difference_image(grey: np.ndarray, cell: int = CELL, kept: Sequence[int] = KEPT) -> np.ndarray:
    """Sum over ``kept`` of |image - reconstruction from that many coefficients of largest magnitude in every cell|.

    :param grey: (H, W); what is left over after whole cells, at the right and below, is cut off.
    :returns: (H, W) in multiples of ``cell``, float32.
    """
    rows, columns = (side // cell for side in grey.shape)
    image = grey[: rows * cell, : columns * cell].astype(np.float32)
    cells = image.reshape(rows, cell, columns, cell).swapaxes(1, 2)
    coefficients = fft.dctn(cells, axes=(2, 3), norm="ortho")
    by_size = np.argsort(-np.abs(coefficients.reshape(rows, columns, -1)), axis=-1)
    total = np.zeros_like(cells)
    for count in kept:
        rest = coefficients.copy().reshape(rows, columns, -1)
        np.put_along_axis(rest, by_size[..., :count], 0, axis=-1)
        total += np.abs(fft.idctn(rest.reshape(cells.shape), axes=(2, 3), norm="ortho"))  # what the kept ones lack
    return total.swapaxes(1, 2).reshape(image.shape)


def features(frame: np.ndarray) -> np.ndarray:
    """The features of a frame (H, W, 3), uint8 in BGR, from its :func:`difference_image`.

    Global: its histogram (parts of 1), mean and deviation; local: mean and deviation in each part of a grid.
    """
    error = difference_image(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
    histogram = np.histogram(error, BINS)[0] / error.size
    parts = [part for band in np.array_split(error, GRID[0], 0) for part in np.array_split(band, GRID[1], 1)]
    return np.concatenate([histogram, *([part.mean(), part.std()] for part in [error, *parts])])


def fit(vectors: np.ndarray, labels: np.ndarray, seed: int) -> RandomForestClassifier:
    """A random forest of the features (N, F) and labels (N,) of training frames."""
    forest = RandomForestClassifier(TREES, min_samples_leaf=2, class_weight="balanced", random_state=seed)
    return forest.fit(vectors, labels)
