"""Votes for where polyps are: from each boundary pixel along its inward normal, best where they come from all around.

After Tajbakhsh, Gurudu and Liang (the paper's [42]): votes are accumulated by orientation, and places count that get
votes from several sides. So the shape is judged in its context: other edges, curved or not, seldom agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

#: Directions of votes.
DIRECTIONS = 16
#: Side of a cell of the vote map, in pixels of the image.
CELL = 2
#: A vote reaches from the least to the greatest radius of a polyp, in pixels of the image.
LEAST, GREATEST = 6, 110
#: Standard deviation of a vote's direction about the normal, in radians.
_SPREAD = 0.3
#: Blur of the vote map, in cells.
_BLUR = 3.0
#: Places with less than this part of the most votes are none: there the filters leave rounding errors.
_LEAST_VOTES = 1e-3


@dataclass(frozen=True)
class Voters:
    """Boundary pixels.

    :param points: (N, 2) x, y in pixels.
    :param inward: (N, 2) unit vectors towards the polyp.
    :param weights: (N,) what each counts.
    """

    points: np.ndarray
    inward: np.ndarray
    weights: np.ndarray

    def __getitem__(self, index: np.ndarray) -> Voters:
        return Voters(self.points[index], self.inward[index], self.weights[index])


def vote_map(voters: Voters, shape: tuple[int, int]) -> np.ndarray:
    """The votes in an image of ``shape`` (height, width), by cells of ``CELL`` pixels, float32.

    The square of the sum over directions of the roots of their votes: votes from n directions count n times as much as
    the same votes from one.
    """
    rows, columns = (-(-side // CELL) for side in shape)
    angles = np.arctan2(voters.inward[:, 1], voters.inward[:, 0]) / (2 * np.pi) * DIRECTIONS
    direction = np.round(angles).astype(int) % DIRECTIONS
    x, y = (voters.points // CELL).astype(int).T
    cells = (direction * rows + y) * columns + x
    weights = np.bincount(cells, voters.weights, DIRECTIONS * rows * columns).reshape(DIRECTIONS, rows, columns)
    votes = np.stack(
        [
            cv2.filter2D(plane, cv2.CV_32F, _vote(number), borderType=cv2.BORDER_CONSTANT)
            for number, plane in enumerate(weights.astype(np.float32))
        ]
    ).clip(0)
    agreement = np.sqrt(votes).sum(axis=0) ** 2
    return cv2.GaussianBlur(agreement, (0, 0), _BLUR)


def peaks(votes: np.ndarray, most: int, apart: float) -> list[tuple[np.ndarray, float]]:
    """Up to ``most`` maxima of a vote map, the highest first: x, y in pixels of the image, and the votes.

    :param apart: none lies within this distance of a higher place, or of an equal one before it, in pixels.
    """
    reach = max(1, round(apart / CELL))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    rows, columns = np.nonzero((votes == cv2.dilate(votes, disc)) & (votes > _LEAST_VOTES * votes.max()))
    order = np.argsort(-votes[rows, columns], kind="stable")
    found: list[tuple[np.ndarray, float]] = []
    for column, row in zip(columns[order], rows[order]):
        place = np.array([column, row]) * CELL + (CELL - 1) / 2
        if len(found) < most and all(np.hypot(*(place - other)) > apart for other, _ in found):  # equals are near
            found.append((place, float(votes[row, column])))
    return found


@cache
def _vote(direction: int) -> np.ndarray:
    """What one voter in the middle adds around it: the same in sum at every distance, less aside of its direction.

    filter2D correlates: the kernel is turned by 180 degrees.
    """
    reach = GREATEST // CELL
    y, x = -CELL * np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    radius = np.hypot(x, y)
    aside = np.angle(np.exp(1j * (np.arctan2(y, x) - 2 * np.pi * direction / DIRECTIONS)))
    inside = (radius >= LEAST) & (radius <= GREATEST)
    return np.where(inside, np.exp(-((aside / _SPREAD) ** 2) / 2) / np.maximum(radius, 1), 0).astype(np.float32)
