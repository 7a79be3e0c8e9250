"""Candidates for emboli by tobogganing (section VI-B; [63] Fairfield 1990, used for emboli by [60] Liang and Bi 2007).

An embolus is "a dark region surrounded by a brighter background". Every voxel of the lungs' vessels slides to its
lowest neighbour until it can go no lower (:mod:`caffe_port.study.embolism.tobogganing`); voxels that end at the same
place make a basin. Basins whose lowest place has the HU of a clot, together with those that only a low ridge parts from
them, are candidates where their surroundings are bright enough. The details of [60] are not public; what is not in the
two papers' words is our own: the vessels' domain, the ridge, the contrast, and between what a candidate must lie.

Within the lungs all that is bright is vessels. In the margin around them, which adds the arteries of the hila, there
are heart and bones too, along whose outsides soft tissue is dark beside something bright. It is not surrounded by it:
there, candidates must have blood on opposite sides.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from caffe_port.errors import CaffeWarning
from caffe_port.study.cases import Candidate, Case
from caffe_port.study.embolism.lungs import lung_masks, vessel_mask
from caffe_port.study.embolism.tobogganing import STEPS, Basins, connected, slide
from caffe_port.study.embolism.volumes import load_labels, load_volume

#: Settings of the candidates, and what they are unless given otherwise.
DEFAULTS: Mapping[str, Any] = {
    "spacing_mm": 0.75,  # of the grid to which volumes are resampled
    "lung_margin_mm": 10.0,  # between the lungs, what is so near to them is searched too
    "vessel_hu": 150.0,  # blood with contrast is at least so bright
    "clot_low_hu": -50.0,  # and clots are between these two
    "clot_high_hu": 150.0,
    "vessel_reach_mm": 5.0,  # clots are at most so far from blood with contrast
    "wall_mm": 1.0,  # so much of a vessel's rim, which is blurred with the lung, is left out
    "ridge_hu": 15.0,  # basins that are parted by less are one candidate
    "contrast_hu": 80.0,  # candidates have at least this contrast
    "enclosed": 0.4,  # outside of the lungs, at least this share of the lines through them has blood on both sides
    "extent_low_mm": 2.0,  # and an extent between these two
    "extent_high_mm": 80.0,
    "tolerance_mm": 0.0,  # a candidate hits a clot that is at most so far away; CAD-PE's evaluation uses 0, 2 and 5
}
#: So far away a region's voxels look for its surroundings.
_LOOK_MM = 2.0
#: So far away it looks for blood: about the radius of the pulmonary trunk.
_SIGHT_MM = 15.0


def find_candidates(case: Case, app: Mapping[str, Any]) -> list[Candidate]:
    """The candidates of a volume, each with the clot that it hits, the brightest surroundings first.

    Where there is none at all, a warning says so.

    :param app: the settings of :data:`DEFAULTS`.
    :raises DataError: see :func:`~.volumes.load_volume` and :func:`~.volumes.load_labels`.
    """
    volume = load_volume(case, app["spacing_mm"])
    found = detect(volume.hu, volume.spacing, app)
    if not found:
        text = f"{case.info['image']}: nothing is found. Is it a chest with contrast, in Hounsfield units?"
        warnings.warn(text, CaffeWarning, stacklevel=2)
    places = np.array([candidate.info["index"] for candidate in found]).reshape(-1, 3)
    hit = clots_at(load_labels(case, volume), places, volume.spacing, app["tolerance_mm"])
    lesions = [f"{case.patient}/{number}" if number else "" for number in hit.tolist()]
    return [replace(candidate, lesion=lesion) for candidate, lesion in zip(found, lesions, strict=True)]


def clots_at(labels: np.ndarray, places: np.ndarray, spacing: float, tolerance: float) -> np.ndarray:
    """(N,) the number of the clot at each of ``places``, or of the nearest at most ``tolerance`` mm away; 0 for none.

    :param labels: (z, y, x), see :func:`~.volumes.load_labels`.
    :param places: (N, 3) indices.
    """
    voxels = np.argwhere(labels)
    if not len(voxels) or not len(places):
        return np.zeros(len(places), int)
    distance, nearest = cKDTree(voxels * spacing).query(places * spacing)
    numbers = labels[tuple(voxels[nearest].T)].astype(int)
    return np.where(distance <= tolerance + 1e-6 * spacing, numbers, 0)


def detect(hu: np.ndarray, spacing: float, app: Mapping[str, Any]) -> list[Candidate]:
    """The candidates in a volume, by falling score.

    ``score`` is the contrast: how much brighter than the candidate its surroundings are 2 mm away, the mean over all
    directions, in which what is darker counts as equal and the lung with the vessels' rim does not count: a clot that
    is half surrounded by blood and half by soft tissue has half the contrast.
    ``info`` has ``index`` (z, y, x: the candidate's voxel nearest to its centre), ``mm`` (the same in millimetres from
    the first voxel), ``extent_mm`` (the longest side of its box), ``volume_mm3``, ``contrast_hu`` and ``minimum_hu``.

    :param hu: int16 (z, y, x).
    :param spacing: millimetres from voxel to voxel.
    :param app: the settings of :data:`DEFAULTS`.
    """
    lungs, around = lung_masks(hu, spacing, app["lung_margin_mm"])
    box = ndimage.find_objects(around.view(np.uint8))
    if not box:
        return []
    corner = np.array([side.start for side in box[0]])
    hu, lungs, around = hu[box[0]].clip(-1024), lungs[box[0]], around[box[0]]
    rim = _extremes(hu < app["clot_low_hu"], ndimage.maximum_filter1d, max(1, round(app["wall_mm"] / spacing)))
    vessels = vessel_mask(hu, around, spacing, app["vessel_hu"])
    basins = slide(hu, _domain(vessels, lungs, round(app["vessel_reach_mm"] / spacing)) & around & ~rim)
    found = _measured(hu, rim, lungs, _regions(basins, app), spacing, app)
    order = np.lexsort((*found["index"].T[::-1], -found["contrast"]))
    return [_candidate({key: values[i] for key, values in found.items()}, corner, spacing) for i in order]


def _domain(vessels: np.ndarray, lungs: np.ndarray, reach: int) -> np.ndarray:
    """Blood with contrast and where clots are looked for: gaps in it (a morphological closing), and in the lungs, where
    all soft tissue is vessels and their walls, also what is up to ``reach`` voxels away."""
    near = _extremes(vessels, ndimage.maximum_filter1d, reach)
    closed = _extremes(near, ndimage.minimum_filter1d, reach)
    closed |= near & lungs
    return closed


def _extremes(mask: np.ndarray, extreme: Callable[..., np.ndarray], reach: int) -> np.ndarray:
    """Dilation or erosion by a cube of 2 ``reach`` + 1 voxels."""
    found = mask.view(np.uint8)
    for axis in range(3):
        found = extreme(found, 2 * reach + 1, axis)
    return found.view(bool)


@dataclass(frozen=True)
class _Regions:
    """Dark regions: (M, 3) the indices of their voxels in the order of the array, (M,) the region of each, the smoothed
    value of each, and how many regions there are."""

    voxels: np.ndarray
    region: np.ndarray
    values: np.ndarray
    count: int

    def only(self, keep: np.ndarray) -> _Regions:
        """Those for which ``keep`` (one per region) is true, numbered anew."""
        mine = keep[self.region]
        number = np.cumsum(keep) - 1
        return _Regions(self.voxels[mine], number[self.region[mine]], self.values[mine], int(keep.sum()))

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The mean of a region's ``values`` (one per voxel)."""
        return np.bincount(self.region, values, self.count) / np.bincount(self.region, minlength=self.count)


def _regions(basins: Basins, app: Mapping[str, Any]) -> _Regions:
    """Voxels as dark as a clot in basins whose lowest place has the HU of one; basins are one region where the ridge
    between two of them is not much higher than the higher of their lowest places."""
    lowest = basins.values[basins.ends]
    clot = (lowest >= app["clot_low_hu"]) & (lowest <= app["clot_high_hu"])
    dark = np.flatnonzero((basins.values <= app["clot_high_hu"]) & clot[basins.basin])
    inside = np.zeros(len(basins.values), bool)
    inside[dark] = True
    links = [np.zeros((2, 0), int)]
    for step in STEPS[: len(STEPS) // 2]:  # the other half are these the other way round
        near = basins.voxels.at(step, dark)
        pair = inside[near] & (near >= 0)
        first, second = dark[pair], near[pair]
        one, other = basins.basin[first], basins.basin[second]
        ridge = np.maximum(basins.values[first], basins.values[second])
        joined = (one != other) & (ridge - np.maximum(lowest[one], lowest[other]) <= app["ridge_hu"])
        links.append(np.stack([one[joined], other[joined]]))
    group = connected(len(lowest), *np.concatenate(links, axis=1))
    groups, region = np.unique(group[basins.basin[dark]], return_inverse=True)
    return _Regions(basins.voxels.indices()[dark], region, basins.values[dark], len(groups))


def _measured(
    hu: np.ndarray, rim: np.ndarray, lungs: np.ndarray, regions: _Regions, spacing: float, app: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """What the regions of the right size, contrast and surroundings are like: arrays of equal length."""
    extent = _extent(regions) * spacing
    regions = regions.only((extent >= app["extent_low_mm"]) & (extent <= app["extent_high_mm"]))
    contrast = _contrast(hu, regions, spacing, rim)
    bright = contrast >= app["contrast_hu"]
    regions = regions.only(bright)
    right = lungs[tuple(_middle(regions).T)]
    blood, reach = hu >= app["vessel_hu"], round(_SIGHT_MM / spacing)
    right[~right] = _enclosed(blood, regions.only(~right), reach) >= app["enclosed"]
    regions = regions.only(right)
    minimum = np.full(regions.count, np.inf)
    np.minimum.at(minimum, regions.region, regions.values)
    return {
        "index": _middle(regions),
        "extent": _extent(regions) * spacing,
        "volume": np.bincount(regions.region, minlength=regions.count) * spacing**3,
        "contrast": contrast[bright][right],
        "minimum": minimum,
    }


def _extent(regions: _Regions) -> np.ndarray:
    """The longest side of each region's box in voxels."""
    low = np.full((regions.count, 3), np.iinfo(int).max)
    np.minimum.at(low, regions.region, regions.voxels)
    high = np.full((regions.count, 3), -1)
    np.maximum.at(high, regions.region, regions.voxels)
    return (high - low + 1).max(axis=1, initial=0)


def _contrast(hu: np.ndarray, regions: _Regions, spacing: float, rim: np.ndarray) -> np.ndarray:
    """See :func:`detect`: what the regions' voxels see outside of their own region."""
    region_at = np.full(hu.shape, -1, np.int32)
    region_at[tuple(regions.voxels.T)] = regions.region
    mean = regions.mean(hu[tuple(regions.voxels.T)])[regions.region]
    brighter, seen = np.zeros(regions.count), np.zeros(regions.count)
    for step in STEPS:
        look = np.rint(np.array(step) / np.linalg.norm(step) * _LOOK_MM / spacing).astype(int)
        place = tuple(np.clip(regions.voxels + look, 0, np.array(hu.shape) - 1).T)
        outside = (region_at[place] != regions.region) & ~rim[place]
        more = np.maximum(hu[place] - mean, 0)[outside]
        brighter += np.bincount(regions.region[outside], more, regions.count)
        seen += np.bincount(regions.region[outside], minlength=regions.count)
    return brighter / np.maximum(seen, 1)


def _enclosed(blood: np.ndarray, regions: _Regions, reach: int) -> np.ndarray:
    """Of the 13 lines through each voxel of a region, the share that has blood on both sides at most ``reach`` voxels
    away: (count,), the mean over the voxels."""
    pairs = np.zeros(len(regions.values))
    for step in STEPS[: len(STEPS) // 2]:  # the other half are these the other way round
        unit = np.array(step) / np.linalg.norm(step)
        pairs += _sees(blood, regions.voxels, unit, reach) & _sees(blood, regions.voxels, -unit, reach)
    return regions.mean(pairs) / (len(STEPS) // 2)


def _sees(blood: np.ndarray, voxels: np.ndarray, direction: np.ndarray, reach: int) -> np.ndarray:
    """Whether there is blood in a direction of each voxel, at most ``reach`` voxels away."""
    seen = np.zeros(len(voxels), bool)
    for distance in range(1, reach + 1):
        place = np.clip(voxels + np.rint(distance * direction).astype(int), 0, np.array(blood.shape) - 1)
        seen |= blood[tuple(place.T)]
    return seen


def _middle(regions: _Regions) -> np.ndarray:
    """(count, 3) of each region the voxel nearest to its centre, the first of equally near ones."""
    centre = np.stack([regions.mean(axis) for axis in regions.voxels.T], axis=1)
    distance = ((regions.voxels - centre[regions.region]) ** 2).sum(axis=1)
    order = np.lexsort((distance, regions.region))
    _, first = np.unique(regions.region[order], return_index=True)
    return regions.voxels[order[first]]


def _candidate(found: Mapping[str, Any], corner: np.ndarray, spacing: float) -> Candidate:
    z, y, x = (found["index"] + corner).tolist()
    info = {
        "index": [z, y, x],
        "mm": [z * spacing, y * spacing, x * spacing],
        "extent_mm": float(found["extent"]),
        "volume_mm3": float(found["volume"]),
        "contrast_hu": float(found["contrast"]),
        "minimum_hu": float(found["minimum"]),
    }
    return Candidate(f"z={z},y={y},x={x}", float(found["contrast"]), info=info)
