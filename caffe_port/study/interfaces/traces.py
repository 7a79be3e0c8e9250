"""Expert traces: from the few points that an expert clicked to one row for every column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from caffe_port.errors import DataError


@dataclass(frozen=True)
class Traces:
    """Rows of both interfaces at the columns ``first``, ``first + 1``, ... of an image, counted from 0, in pixels.

    :param li: lumen-intima interface, one row (a real number, downwards) for every column; ``ma`` media-adventitia.
    """

    first: int
    li: np.ndarray
    ma: np.ndarray

    @property
    def columns(self) -> np.ndarray:
        """The columns as integers."""
        return np.arange(self.first, self.first + len(self.li))

    def both(self) -> np.ndarray:
        """(2, columns): the rows of LI and MA."""
        return np.stack([self.li, self.ma])


def traces_of(li_points: np.ndarray, ma_points: np.ndarray) -> Traces:
    """Interpolate both interfaces at every integer column where both exist.

    :param li_points: (N, 2) points x, y counted from 0, in any order; ``ma_points`` likewise.
    :raises DataError: an interface has fewer than two different columns, or there is no common column.
    """
    curves = [_curve(points) for points in (li_points, ma_points)]
    first = int(np.ceil(max(curve.x[0] for curve in curves)))
    last = int(np.floor(min(curve.x[-1] for curve in curves)))
    if last < first:
        raise DataError("The traces of lumen-intima and media-adventitia have no column in common.")
    columns = np.arange(first, last + 1)
    return Traces(first, *(curve(columns) for curve in curves))


def _curve(points: np.ndarray) -> PchipInterpolator:
    """The monotone cubic through ``points``, of which those at the same x count by their mean."""
    x, where = np.unique(points[:, 0], return_inverse=True)
    if len(x) < 2:
        raise DataError("A trace needs points at two different columns at least.")
    return PchipInterpolator(x, np.bincount(where, points[:, 1]) / np.bincount(where))
