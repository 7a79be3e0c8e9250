"""Polyps in the masks of frames: connected components, followed through a sequence so that each polyp has one id.

Sensitivity counts polyps, not frames (section VI-A): what shows the same polyp in many frames must be known to be one.
No public data set tells this, so that it is inferred from place and size. :func:`follow` does it when data are loaded;
:func:`polyps_of` gives the labelled pixels of one frame later on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from caffe_port.data.images import read_image
from caffe_port.errors import DataError
from caffe_port.study.cases import Case

#: A mask shows a polyp where it is brighter; JPEG has no sharp 0 and 255.
THRESHOLD = 127
#: Components of fewer pixels are no polyps but what JPEG leaves beside edges.
SPECK = 16
#: A polyp is the one that was nearest before, up to this distance between centres in mean diameters. Discs of one size
#: overlap up to 1; the rest is for a scope that moved.
NEAR = 1.5
#: For so many frames a polyp may be out of sight and still be the same: half a second at 25 frames per second.
GAP = 12


class Component(NamedTuple):
    """A connected part of a mask; pixels, counted from 0.

    :param box: left, top, width, height.
    :param area: in pixels.
    :param centre: x, y of its centroid.
    """

    box: tuple[int, int, int, int]
    area: int
    centre: tuple[float, float]


class Polyps(NamedTuple):
    """Where the polyps of a frame are.

    :param labels: (H, W) int32: 0, or a number from 1.
    :param ids: the polyp of label 1, of label 2, ...; a polyp that is seen in two parts stands there twice.
    """

    labels: np.ndarray
    ids: tuple[str, ...]


def polyps_of(case: Case) -> Polyps:
    """The labelled pixels of the frame ``case`` of one of the loaders.

    :raises DataError: the mask cannot be read, or is not what it was when the data were loaded.
    """
    known = case.info["polyps"]
    if not known:
        width, height = case.info["size"]
        return Polyps(np.zeros((height, width), np.int32), ())
    labels, found = components(read_mask(case.info["mask"]))
    if [[*component.box] for component in found] != [polyp["box"] for polyp in known]:
        raise DataError("The mask has changed since the data were loaded.", file=case.info["mask"])
    return Polyps(labels, tuple(polyp["id"] for polyp in known))


def hit(polyps: Polyps, x: float, y: float) -> str:
    """Id of the polyp that covers the pixel nearest to (x, y); empty for none and for places outside the frame."""
    column, row = round(x), round(y)
    height, width = polyps.labels.shape
    label = int(polyps.labels[row, column]) if 0 <= row < height and 0 <= column < width else 0
    return polyps.ids[label - 1] if label else ""


def read_mask(path: str | Path) -> np.ndarray:
    """The mask, (H, W) bool: true where the image at ``path`` is brighter than :data:`THRESHOLD`.

    :raises DataError: the file is missing, no image, or has grey pixels only, such as a mask of 0 and 1.
    """
    grey = read_image(path, colour=False)[0]
    mask: np.ndarray = grey > THRESHOLD
    if grey.any() and not mask.any():
        raise DataError(
            f"is neither black nor has it pixels brighter than {THRESHOLD}.",
            file=path,
            remedy="Make the pixels of polyps white (255), or the mask black where there is none.",
        )
    return mask


def components(mask: np.ndarray) -> tuple[np.ndarray, list[Component]]:
    """The 8-connected components of ``mask`` (H, W) of :data:`SPECK` pixels or more.

    :return: labels, (H, W) int32, and the component of label 1, 2, ..., ordered by their boxes.
    """
    count, labels, stats, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    kept = [label for label in range(1, count) if stats[label, cv2.CC_STAT_AREA] >= SPECK]
    kept.sort(key=lambda label: tuple(stats[label]))  # OpenCV promises no order
    new_label = np.zeros(count, np.int32)
    new_label[kept] = np.arange(1, len(kept) + 1)
    rows = zip(stats[kept].tolist(), centres[kept].tolist())
    return new_label.take(np.asarray(labels, np.int32)), [
        Component((x, y, w, h), area, (cx, cy)) for (x, y, w, h, area), (cx, cy) in rows
    ]


def follow(frames: Iterable[Sequence[Component]]) -> list[list[int]]:
    """Which polyp every component of a sequence's frames, in order, is a part of: numbers from 1, by appearance.

    Components are assigned one to one to polyps that were out of sight for :data:`GAP` frames at most: as many as are
    nearer than :data:`NEAR`, and among such assignments that of the least total distance (Hungarian method). One that
    is left over but lies within the box of a polyp is a part of it, cut off by an instrument or a bubble; any other is
    a new polyp.
    """
    seen: dict[int, tuple[int, Component]] = {}  # polyp -> its last frame and its place there
    followed = []
    for frame, parts in enumerate(frames):
        recent = {polyp: place for polyp, (last, place) in seen.items() if frame - last <= GAP + 1}
        assigned = _assign(recent, parts)
        numbers = []
        for i, part in enumerate(parts):
            polyp = assigned.get(i) or _around(recent, part) or len(seen) + 1
            seen.setdefault(polyp, (frame, part))
            numbers.append(polyp)
        for polyp in set(numbers):
            seen[polyp] = frame, _whole([part for part, number in zip(parts, numbers) if number == polyp])
        followed.append(numbers)
    return followed


def _assign(polyps: Mapping[int, Component], parts: Sequence[Component]) -> dict[int, int]:
    """Index of a part -> polyp, for those that are near enough."""
    if not polyps or not parts:
        return {}
    numbers = list(polyps)
    distances = np.array([[_distance(polyps[n], part) for part in parts] for n in numbers])
    too_far = NEAR * (len(numbers) + len(parts))  # more than all that are near enough together
    rows, columns = linear_sum_assignment(np.where(distances < NEAR, distances, too_far))
    return {int(part): numbers[row] for row, part in zip(rows, columns) if distances[row, part] < NEAR}


def _distance(a: Component, b: Component) -> float:
    """Between the centres, in mean diameters of discs of the same areas."""
    between = np.hypot(a.centre[0] - b.centre[0], a.centre[1] - b.centre[1])
    return float(between / (np.sqrt(a.area / np.pi) + np.sqrt(b.area / np.pi)))


def _around(polyps: Mapping[int, Component], part: Component) -> int | None:
    """The polyp in whose box the centre of ``part`` lies."""
    x, y = part.centre
    for polyp, (box, _, _) in polyps.items():
        if 0 <= x - box[0] < box[2] and 0 <= y - box[1] < box[3]:
            return polyp
    return None


def _whole(parts: Sequence[Component]) -> Component:
    """The parts of a polyp as one component."""
    corners = np.array([(x, y, x + w, y + h) for (x, y, w, h), _, _ in parts])
    left, top = (int(value) for value in corners[:, :2].min(axis=0))
    right, bottom = (int(value) for value in corners[:, 2:].max(axis=0))
    areas = [part.area for part in parts]
    x, y = np.average([part.centre for part in parts], axis=0, weights=areas)
    return Component((left, top, right - left, bottom - top), sum(areas), (float(x), float(y)))
