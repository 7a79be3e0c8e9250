"""From confidence maps to interfaces: the row of the maximum, a joint shortest path, and open snakes.

A confidence map is (rows, columns); contours are rows (real numbers, counted from the map's first row) by column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter1d, maximum_filter

#: Confidences below count as this much, so that one column without a trace of an interface does not decide a path.
_LOWEST = 1e-4


@dataclass(frozen=True)
class Contours:
    """LI and MA of one region, (2, columns) each: ``thin`` as the maps give them, ``smooth`` after the snakes."""

    thin: np.ndarray
    smooth: np.ndarray


def find_contours(maps: np.ndarray, settings: Mapping[str, Any], mm: float) -> Contours:
    """Both interfaces in two confidence maps (2, rows, columns) of a region with ``mm`` millimetres per pixel.

    ``path`` is ``joint`` (:func:`joint_path`, with a thickness of ``least_mm`` to ``most_mm``) or ``maximum``, the
    paper's :func:`row_of_maximum`. Then follow two :func:`snake` s with ``membrane``, ``plate`` and ``attraction``.
    """
    if settings["path"] == "joint":
        limits = int(settings["least_mm"] / mm), int(np.ceil(settings["most_mm"] / mm))
        thin = joint_path(maps[0], maps[1], limits)
    else:
        thin = np.stack([row_of_maximum(confidence) for confidence in maps])
    energy = {name: settings[name] for name in ("membrane", "plate", "attraction")}
    smooth = [snake(rows, confidence, **energy) for rows, confidence in zip(thin, maps)]
    return Contours(thin, np.stack(smooth))


def row_of_maximum(confidence: np.ndarray) -> np.ndarray:
    """The row of the greatest confidence in every column (Fig. 8c); of equal ones the first."""
    return confidence.argmax(axis=0)


def joint_path(li: np.ndarray, ma: np.ndarray, thickness: tuple[int, int], slope: int = 1) -> np.ndarray:
    """The likeliest pair of rows by column, LI above MA, found by one dynamic programme over both.

    It maximises the sum over columns of log li + log ma, with a thickness (MA - LI) between the two limits (pixels,
    inclusive) and at most ``slope`` pixels of change of either row from one column to the next.

    :param li: confidence map (rows, columns); ``ma`` likewise.
    :return: (2, columns) integers.
    """
    rows, columns = li.shape
    logs = [np.log(np.maximum(confidence, _LOWEST)).astype(np.float32) for confidence in (li, ma)]
    distance = np.arange(rows) - np.arange(rows)[:, None]  # of MA, along axis 1, below LI, along axis 0
    smallest = min(thickness[0], rows - 1)
    forbidden = (distance < smallest) | (distance > thickness[1])
    scores = np.empty((columns, rows, rows), np.float32)
    window = 2 * slope + 1
    for column in range(columns):
        scores[column] = logs[0][:, column, None] + logs[1][None, :, column]
        if column:
            scores[column] += maximum_filter(scores[column - 1], window, mode="constant", cval=-np.inf)
        scores[column][forbidden] = -np.inf
    path = np.empty((columns, 2), int)
    path[-1] = np.unravel_index(scores[-1].argmax(), (rows, rows))
    for column in range(columns - 2, -1, -1):
        first = np.maximum(path[column + 1] - slope, 0)
        near = scores[column][tuple(slice(a, b) for a, b in zip(first, path[column + 1] + slope + 1))]
        path[column] = first + np.unravel_index(near.argmax(), near.shape)
    return path.T


def snake(
    start: np.ndarray,
    confidence: np.ndarray,
    *,
    membrane: float,
    plate: float,
    attraction: float,
    blur: float = 1.0,
    step: float = 1.0,
    iterations: int = 500,
    tolerance: float = 0.01,
) -> np.ndarray:
    """An open snake (Kass et al. 1988) whose points keep their columns and move up and down.

    It minimises the sum over columns of (membrane * y'^2 + plate * y''^2) / 2 - attraction * P(y), where P is the
    confidence map, blurred along its columns and linear between rows of its gradient. Each iteration is implicit in the
    inner forces and explicit in the attraction (Kass et al., appendix A): one banded system, solved exactly.

    :param start: rows by column, which the snake starts from.
    :param blur: standard deviation in pixels.
    :param step: 1 / gamma of that appendix: how far one iteration follows the attraction.
    :param tolerance: it has converged when no point moves further in one iteration, in pixels.
    """
    forces = attraction * np.gradient(gaussian_filter1d(confidence, blur, axis=0, mode="nearest"), axis=0)
    system = _stiffness(len(start), membrane, plate)
    system[-1] += 1.0 / step
    rows = np.asarray(start, np.float64)
    for _ in range(iterations):
        moved = solveh_banded(system, rows / step + _sample(forces, rows))
        moved = moved.clip(0, len(confidence) - 1)
        if np.abs(moved - rows).max() < tolerance:
            return moved
        rows = moved
    return rows


def _stiffness(points: int, membrane: float, plate: float) -> np.ndarray:
    """The matrix of the inner energy of an open curve, free at both ends, as upper bands for ``solveh_banded``."""
    bands = np.zeros((3, points))
    for weight, stencil in ((membrane, (-1.0, 1.0)), (plate, (1.0, -2.0, 1.0))):
        size = len(stencil)
        for first in range(points - size + 1):
            for i in range(size):
                for j in range(i, size):
                    bands[2 + i - j, first + j] += weight * stencil[i] * stencil[j]
    return bands


def _sample(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """``values`` (rows, columns) at one real row in every column, linear in between."""
    low = np.minimum(rows.astype(int), len(values) - 2) if len(values) > 1 else np.zeros(len(rows), int)
    part, columns = rows - low, np.arange(len(rows))
    high = np.minimum(low + 1, len(values) - 1)
    return (1 - part) * values[low, columns] + part * values[high, columns]
