"""The outline of a candidate: where, all around a place, the boundary pixels lie that point to it.

In place of the narrow bands of the paper's [42]: the closed curve of greatest support in polar coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from caffe_port.study.polyps.votes import GREATEST, LEAST, Voters

#: Directions, and distances (even in the logarithm), at which support is measured.
_ANGLES, _RADII = 32, 40
_TURNS = 2 * np.pi * np.arange(_ANGLES) / _ANGLES
_UNITS = np.stack([np.cos(_TURNS), np.sin(_TURNS)], axis=1)
_DISTANCES = np.geomspace(LEAST, GREATEST, _RADII)
_STEP = np.log(_DISTANCES[1] / _DISTANCES[0])
#: Blur of the support, in steps of both.
_BLUR = 1.5
#: A boundary pixel supports a place when its inward normal points there within acos of this.
_TOWARDS = 0.7
#: From one direction to the next the distance changes by up to so many steps.
_BEND = 2
#: Added to supports before their logarithm.
_LITTLE = 1e-3


@dataclass(frozen=True)
class Outline:
    """What lies around one place.

    :param centre: x, y in pixels.
    :param radii: (directions,) distance of the outline in pixels, from the direction of x towards y.
    :param support: (directions,) what the boundary pixels near it count, by pixel of its length.
    """

    centre: np.ndarray
    radii: np.ndarray
    support: np.ndarray

    def box(self, width: int, height: int) -> list[float]:
        """Left, top, width, height of what lies within an image of ``width`` by ``height`` pixels."""
        points = (self.centre + self.radii[:, None] * _UNITS).clip(0, [width, height])
        low, high = points.min(axis=0), points.max(axis=0)
        return [*low.tolist(), *(high - low).tolist()]

    def measures(self) -> list[float]:
        """What tells polyps from other places: how well the outline is supported, and how far it is from a circle."""
        return [float(np.log(self.support.mean() + _LITTLE)), float(np.log(self.radii).std())]


def outlines_of(centres: Sequence[np.ndarray], voters: Voters) -> list[Outline]:
    """The outline around each centre (x, y): of all closed curves that bend little, the one with the greatest support.

    Support all around at one distance counts as much as that in a direction itself, and leads the curve where a part of
    the boundary is not seen.
    """
    supports = np.array([_support(centre, voters) for centre in centres]).reshape(-1, _ANGLES, _RADII)
    paths = _closed_paths(supports + supports.mean(axis=1, keepdims=True))
    return [
        Outline(centre, _DISTANCES[path], support[np.arange(_ANGLES), path])
        for centre, support, path in zip(centres, supports, paths)
    ]


def _support(centre: np.ndarray, voters: Voters) -> np.ndarray:
    """(directions, distances): what the voters that point to ``centre`` count, by pixel of a circle's length."""
    away = voters.points - centre
    distance = np.maximum(np.hypot(*away.T), 1e-6)
    towards = -(away * voters.inward).sum(axis=1) / distance
    ring = np.round(np.log(distance / LEAST) / _STEP).astype(int)
    angle = np.round(np.arctan2(away[:, 1], away[:, 0]) / (2 * np.pi) * _ANGLES).astype(int) % _ANGLES
    counted = (towards > _TOWARDS) & (ring >= 0) & (ring < _RADII)
    cells = (angle * _RADII + ring)[counted]
    sums = np.bincount(cells, (voters.weights * towards)[counted], _ANGLES * _RADII).reshape(_ANGLES, _RADII)
    by_length = sums / (_DISTANCES * 2 * np.pi / _ANGLES)
    return gaussian_filter1d(gaussian_filter1d(by_length, _BLUR, axis=0, mode="wrap"), _BLUR, axis=1)


def _closed_paths(gains: np.ndarray) -> np.ndarray:
    """(N, directions) the index of a distance in each direction: the paths of greatest gain, by dynamic programming.

    The second of three turns is taken, at whose ends a path no longer knows where it began.

    :param gains: (N, directions, distances).
    """
    shifts = np.arange(-_BEND, _BEND + 1)
    best, origins = gains[:, 0], []
    framed = np.full((len(gains), _RADII + 2 * _BEND), -np.inf)
    for turn in range(1, 3 * _ANGLES):
        framed[:, _BEND:-_BEND] = best
        options = np.stack([framed[:, _BEND + shift :][:, :_RADII] for shift in shifts])
        chosen = options.argmax(axis=0)
        origins.append(np.arange(_RADII) + shifts[chosen])
        best = gains[:, turn % _ANGLES] + options.max(axis=0)
    path = [best.argmax(axis=1)]
    for origin in reversed(origins):
        path.append(np.take_along_axis(origin, path[-1][:, None], axis=1)[:, 0])
    return np.stack(path[::-1], axis=1)[:, _ANGLES : 2 * _ANGLES]
