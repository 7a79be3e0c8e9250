"""What every statistic asks of its numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from caffe_port.errors import StatisticsError


def finite(values: ArrayLike, what: str, dimensions: int = 1) -> np.ndarray:
    """``values`` as a float64 array that is not empty, has ``dimensions`` axes and only finite numbers.

    :param what: its name in the error.
    :raises StatisticsError: it is something else.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != dimensions or array.size == 0:
        raise StatisticsError(f"{what} of shape {array.shape}; {dimensions} axes and some numbers are needed.")
    wrong = int(np.count_nonzero(~np.isfinite(array)))
    if wrong:
        raise StatisticsError(f"{what}: {wrong} of {array.size} are NaN or infinite.")
    return array


def two_classes(labels: ArrayLike, number: int, least: int = 1) -> np.ndarray:
    """``labels`` (0 or 1, one for each of ``number`` scores) as booleans.

    :param least: how many of each class there must be.
    :raises StatisticsError: another number of labels, other values, or too few of a class.
    """
    array = np.asarray(labels)
    if array.shape != (number,):
        raise StatisticsError(f"labels of shape {array.shape} for {number} scores.")
    if not np.isin(array, (0, 1)).all():
        raise StatisticsError("labels other than 0 and 1.", remedy="Merge the classes into two first.")
    positive = array == 1
    positives = int(positive.sum())
    if min(positives, number - positives) < least:
        raise StatisticsError(
            f"{positives} positives and {number - positives} negatives; at least {least} of each are needed.",
            remedy="Use more data.",
        )
    return positive
