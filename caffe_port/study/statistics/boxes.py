"""The numbers of a box plot as in Fig. 9, with the mean and standard deviation that the paper writes above each box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from caffe_port.study.statistics.checks import finite


@dataclass(frozen=True)
class Box:
    """A Tukey box plot, in the unit of its values.

    :param sd: standard deviation with n - 1; 0 for a single value.
    :param whisker_low: the lowest value within 1.5 interquartile ranges of the box; ``whisker_high`` likewise.
    :param outliers: the values beyond the whiskers, rising.
    """

    number: int
    mean: float
    sd: float
    median: float
    q1: float
    q3: float
    whisker_low: float
    whisker_high: float
    outliers: tuple[float, ...]


def tukey_box(values: ArrayLike) -> Box:
    """The box of ``values`` (N,); quartiles are interpolated linearly, as numpy, R and matplotlib do by default.

    A whisker never ends inside the box: where no value lies between quartile and fence it ends at the quartile.

    :raises StatisticsError: no values, or some are not finite.
    """
    array = np.sort(finite(values, "values"))
    q1, median, q3 = (float(q) for q in np.percentile(array, [25, 50, 75]))
    fence = 1.5 * (q3 - q1)
    inside = array[(array >= q1 - fence) & (array <= q3 + fence)]
    low, high = min(q1, float(inside[0])), max(q3, float(inside[-1]))
    outliers = tuple(float(value) for value in array[(array < low) | (array > high)])
    sd = float(array.std(ddof=1)) if len(array) > 1 else 0.0
    return Box(len(array), float(array.mean()), sd, median, q1, q3, low, high, outliers)
