"""How far two arrays are apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Real Caffe's own rounding differs between machines by about 1e-6 of a blob's largest value.
TOLERANCE = 2e-5
#: Blobs of nothing but values below this (denormal, mostly) are compared as if their largest were this.
_LEAST = 1e-30

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Difference:
    """The largest difference between an array and its reference.

    ``error`` is absolute; ``scale`` the largest finite value of the reference (or of the terms it is a sum of); ``at``
    the index of the worst value, ``ours`` and ``reference`` the values there. ``error`` is infinite where one side
    alone is NaN or infinite, for infinities of other sign, and for other shapes; of those ``at`` is None.
    """

    shape: Shape
    reference_shape: Shape
    error: float = 0.0
    scale: float = 0.0
    at: Shape | None = None
    ours: float | None = None
    reference: float | None = None

    @property
    def relative(self) -> float:
        """``error`` as a part of ``scale``."""
        return self.error / max(self.scale, _LEAST)

    def within(self, tolerance: float) -> bool:
        """Whether no value is further off than ``tolerance`` times the largest."""
        return self.relative <= tolerance


def difference(ours: np.ndarray, reference: np.ndarray, scale: float = 0.0) -> Difference:
    """Compare ``ours`` with ``reference``.

    :param scale: the size of the terms that the values are sums of, where those cancel; counts if it is larger than
        every value.
    """
    reference = like(reference, ours.shape)
    if ours.shape != reference.shape:
        return Difference(ours.shape, reference.shape, math.inf)
    if not ours.size:
        return Difference(ours.shape, reference.shape)
    finite = np.isfinite(ours) & np.isfinite(reference)
    same = (ours == reference) | (np.isnan(ours) & np.isnan(reference))
    with np.errstate(invalid="ignore"):
        errors = np.where(finite, np.abs(ours.astype(np.float64) - reference), np.where(same, 0.0, np.inf))
    worst = np.unravel_index(int(errors.argmax()), errors.shape)
    largest = np.abs(reference[np.isfinite(reference)]).max(initial=0.0)
    return Difference(
        ours.shape,
        reference.shape,
        float(errors[worst]),
        max(float(largest), scale),
        tuple(int(i) for i in worst),
        float(ours[worst]),
        float(reference[worst]),
    )


def like(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """``array`` in ``shape`` if it is of the Caffe of 2014, where every blob has four axes; else as it is."""
    legacy = array.ndim == 4 and len(shape) < 4 and [n for n in array.shape if n != 1] == [n for n in shape if n != 1]
    return array.reshape(shape) if legacy else array
