"""Procedural CT angiographies with emboli of known place, and emboli put into a real one: for tests and the demo.

They are drawn by formulas, not recorded: whatever a net reaches on them is no evidence about real patients, and their
folders' names and ``PROCEDURAL.txt`` say so. Everything is a function of the seed and the number of the patient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from caffe_port import rng
from caffe_port.errors import DataError
from caffe_port.study.cases import Progress
from caffe_port.study.embolism.volume_files import write_volume
from caffe_port.study.embolism.volumes import Volume
from caffe_port.study.procedural import PREFIX, new_folder, write_note

#: z, y, x.
SIZE = (128, 160, 192)
#: Every such patient has no embolus.
_HEALTHY = 4
#: Clots are so many times the sum of their vessels' radii apart, and the deviation of the noise in HU.
_APART, _NOISE = 2.5, 18.0
#: Places in the vessels of a patient where blood and contrast agent have not mixed well.
_MIXED = 10
#: A box of an array.
_Box = tuple[slice, ...]


def write_phantoms(
    folder: str | Path,
    patients: int,
    seed: int = 0,
    size_voxels: tuple[int, int, int] = SIZE,
    spacing_mm: float = 1.0,
    progress: Progress = lambda done, total: None,
) -> None:
    """Write chests in the layout ``volumes``: ``procedural_000/volume.nii.gz`` and ``label.nii.gz``. Every fourth one
    has no embolus, the others have one to four, as far as their vessels have places for them.

    :param size_voxels: z, y, x.
    :raises DataError: the numbers are too small, a folder cannot be written, or SimpleITK is not installed.
    """
    if patients < 1 or min(size_voxels) * spacing_mm < 60 or not 0 < spacing_mm <= 2:
        raise DataError(
            f"{patients} chests of {'x'.join(map(str, size_voxels))} voxels of {spacing_mm:g} mm cannot be made.",
            remedy="Ask for one or more, of at least 60 mm along every axis and voxels of at most 2 mm.",
        )
    folder = Path(folder)
    write_note(folder, "CT volumes")
    for number in range(patients):
        hu, labels = phantom(seed, number, size_voxels, spacing_mm)
        target = new_folder(folder / f"{PREFIX}_{number:03d}")
        write_volume(target / "volume.nii.gz", hu, spacing_mm)
        write_volume(target / "label.nii.gz", labels, spacing_mm)
        progress(number + 1, patients)


def phantom(seed: int, number: int, size: tuple[int, int, int] = SIZE, spacing: float = 1.0) -> tuple[np.ndarray, ...]:
    """The chest of patient ``number``: int16 HU and uint8 labels of the clots, both (z, y, x)."""
    random = rng.numpy_generator(PREFIX, seed, number)
    chest = _Chest(size, spacing, random)
    vessels = chest.arteries(random.uniform(250, 450))
    wanted = 0 if number % _HEALTHY == _HEALTHY - 1 else int(random.integers(1, 5))
    places = list(_places(vessels, spacing, wanted + _MIXED, 2 * spacing, random))
    labels = _put(chest.hu, [_clot(vessels, place, spacing, random) for place in places[:wanted]], 0.0, random)
    _put(chest.hu, [_mixed(vessels, place, spacing, random) for place in places[wanted:]], 0.0, random)
    hu = ndimage.gaussian_filter(chest.hu, 0.5 / spacing)
    noise = ndimage.gaussian_filter(random.standard_normal(size, np.float32), 0.6)
    return np.rint(hu + noise * (_NOISE / noise.std())).astype(np.int16), labels


def insert_clots(volume: Volume, vessels: np.ndarray, count: int, seed: int = 0) -> tuple[Volume, np.ndarray]:
    """Put ``count`` clots into the vessels of a real volume, some filling them, some with blood around.

    :param vessels: bool (z, y, x), the volume's arteries.
    :returns: the volume, and uint8 labels (z, y, x) of the clots, numbered from 1.
    :raises DataError: the vessels have no place for so many.
    """
    random = rng.numpy_generator("clots", seed)
    places = list(_places(vessels, volume.spacing, count, 2.5 * volume.spacing, random))
    if len(places) < count:
        raise DataError(f"The vessels have places for {len(places)} clots, not for {count}.", remedy="Ask for fewer.")
    hu = volume.hu.astype(np.float32)
    labels = _put(hu, [_clot(vessels, place, volume.spacing, random) for place in places], _NOISE, random)
    return replace(volume, hu=np.rint(hu).astype(np.int16)), labels


@dataclass(frozen=True)
class _Filling:
    """What fills a part of a vessel: how much of every voxel of a box it takes, and its HU."""

    box: _Box
    coverage: np.ndarray
    hu: float


def _put(hu: np.ndarray, fillings: list[_Filling], noise: float, random: np.random.Generator) -> np.ndarray:
    """Draw into ``hu``; labels of what takes more than half of a voxel."""
    labels = np.zeros(hu.shape, np.uint8)
    for number, one in enumerate(fillings, 1):
        grain = noise * random.standard_normal(one.coverage.shape, np.float32)
        hu[one.box] += one.coverage * (one.hu + grain - hu[one.box])
        labels[one.box][one.coverage > 0.5] = number
    return labels


def _places(
    vessels: np.ndarray, spacing: float, count: int, smallest: float, random: np.random.Generator
) -> Iterator[tuple[np.ndarray, float]]:
    """At most ``count`` places (mm) along the middle of vessels with a radius of at least ``smallest`` mm, and their
    radii."""
    box = (ndimage.find_objects(vessels.view(np.uint8)) or [(slice(0),) * 3])[0]
    depth = ndimage.distance_transform_edt(np.pad(vessels[box], 1), spacing)
    middle = np.argwhere((depth >= smallest) & (depth == ndimage.maximum_filter(depth, 3)))
    corner = [(side.start or 0) - 1 for side in box]
    chosen: list[tuple[np.ndarray, float]] = []
    for index in random.permutation(middle):
        if len(chosen) == count:
            return
        place, radius = (index + corner) * spacing, float(depth[tuple(index)])
        if all(np.linalg.norm(place - other) >= _APART * (radius + another) for other, another in chosen):
            chosen.append((place, radius))
            yield place, radius


def _clot(
    vessels: np.ndarray, place: tuple[np.ndarray, float], spacing: float, random: np.random.Generator
) -> _Filling:
    """An ellipsoid along the vessel that fills it or leaves blood around, cut off where the vessel ends."""
    radius = place[1]
    full = random.random() < 0.4
    across = radius * (1.3 if full else random.uniform(0.6, 0.75))
    shift = 0.0 if full else (radius - across) * random.random()
    box, distance = _ellipsoid(vessels, place, radius * random.uniform(1.2, 2.2), across, shift, spacing, random)
    coverage = np.clip((1 - distance) * across / spacing + 0.5, 0, 1)
    return _Filling(box, coverage, random.uniform(30, 80))


def _mixed(
    vessels: np.ndarray, place: tuple[np.ndarray, float], spacing: float, random: np.random.Generator
) -> _Filling:
    """Blood that has not yet mixed with the contrast agent: a cloud without edge. It is not an embolus."""
    along, across = place[1] * random.uniform(1.0, 1.8), place[1] * random.uniform(0.5, 0.8)
    box, distance = _ellipsoid(vessels, place, along, across, 0.0, spacing, random)
    return _Filling(box, np.exp(-(distance**2)), random.uniform(40, 90))


def _ellipsoid(
    vessels: np.ndarray,
    place: tuple[np.ndarray, float],
    along: float,
    across: float,
    shift: float,
    spacing: float,
    random: np.random.Generator,
) -> tuple[_Box, np.ndarray]:
    """A box around a place in a vessel, and how far its voxels are from the centre of an ellipsoid with the half axes
    ``along`` and ``across`` the vessel (mm), which is moved aside by ``shift`` mm: 1 on its surface, infinite outside
    of the vessel."""
    box, offset = _around(vessels.shape, place[0], 3 * place[1], spacing)
    away = np.linalg.norm(offset, axis=-1)
    pieces, _ = ndimage.label(vessels[box] & (away <= 3 * place[1]))
    inside = pieces == pieces.flat[away.argmin()]  # no other vessel nearby
    axis = np.linalg.eigh(np.cov(offset[inside].T))[1][:, -1]
    aside = np.cross(axis, random.standard_normal(3))
    offset = offset - shift * aside / np.linalg.norm(aside)
    length = offset @ axis
    away = np.sqrt(np.maximum((offset**2).sum(axis=-1) - length**2, 0))
    return box, np.where(inside, np.hypot(length / along, away / across), np.inf)


@dataclass(frozen=True)
class _Tube:
    """A tapering tube with round ends: places and radii in mm, the wider end first."""

    start: np.ndarray
    end: np.ndarray
    wide: float
    narrow: float

    @property
    def along(self) -> np.ndarray:
        return self.end - self.start

    def moved(self, by: np.ndarray) -> _Tube:
        return replace(self, start=self.start + by, end=self.end + by)

    def scaled(self, factor: float) -> _Tube:
        """Thinner or thicker."""
        return replace(self, wide=factor * self.wide, narrow=factor * self.narrow)


class _Chest:
    """A chest: lungs, the space between them, spine and body wall, and what :meth:`arteries` adds.

    Places are in mm (z, y, x) from the first voxel; proportions follow the size of the volume, the arteries' radii are
    those of a grown-up as far as the chest has room for them.

    :ivar hu: float32 (z, y, x), sharp and without noise.
    """

    def __init__(self, size: tuple[int, int, int], spacing: float, random: np.random.Generator) -> None:
        self._spacing, self._random = spacing, random
        self._half = (np.array(size) - 1) * spacing / 2
        z, y, x = np.ogrid[tuple(slice(-1, 1, complex(0, n)) for n in size)]
        body = np.hypot(x / 0.97, y / 0.93) + 0 * z
        self.hu = np.select([body < 0.88, body < 1], [40.0, -100.0], -1000.0).astype(np.float32)
        lungs = np.sqrt((z / 1.15) ** 2 + (y / 0.68) ** 2 + ((np.abs(x) - 0.46) / 0.37) ** 2)
        cloud = ndimage.gaussian_filter(random.standard_normal(size, np.float32), 3 / spacing)
        self.hu = np.where(lungs < 1, -850 + 25 * cloud / cloud.std(), self.hu)
        bone = np.hypot(x / 0.13, (y - 0.62) / 0.16) + 0 * z
        self.hu[bone < 1] = 450
        self.hu[bone < 0.8] = 180

    def arteries(self, contrast: float) -> np.ndarray:
        """Draw the pulmonary artery with its branches, bronchi beside them and lymph nodes where they part; where the
        vessels are, bool (z, y, x)."""
        root = min(9.0, 0.13 * self._half.min())
        trunk = self._half * (1 + np.array([0.1, -0.1, 0.0]))
        branches: list[_Tube] = []
        for side in (-1, 1):
            hilum = self._half * (1 + np.array([0, 0, 0.2 * side]))
            branches += [_Tube(trunk, hilum, 1.3 * root, root), *self._grow(hilum, np.array([0.0, 0.0, side]), root)]
        wide = [tube for tube in branches if tube.wide > 2.5 * self._spacing]
        for tube in wide:
            bronchus = tube.moved(np.array([0, 1, 0]) * (1.8 * tube.wide + 1.5))
            self._draw(bronchus, 0.0)
            self._draw(bronchus.scaled(0.75), -1000.0)
        for tube in wide:
            crook = tube.end + tube.along * (1.3 * tube.narrow / np.linalg.norm(tube.along))
            self._draw(_Tube(crook, crook + 0.3 * tube.narrow, 0.8 * tube.narrow, 0.8 * tube.narrow), 60.0)
        vessels = np.zeros(self.hu.shape, bool)
        for tube in branches:
            self._draw(tube, contrast, vessels)
        return vessels

    def _grow(self, start: np.ndarray, direction: np.ndarray, radius: float) -> list[_Tube]:
        """Branches from ``start`` on: each parts in two until it is thinner than a voxel or finds no way within the
        lung."""
        if radius < 0.6 * self._spacing:
            return []
        length = radius * self._random.uniform(2.5, 4) + 2
        for _ in range(4):
            end = start + length * direction
            z, y, x = end / self._half - 1
            if (z / 1.05) ** 2 + (y / 0.62) ** 2 + ((abs(x) - 0.46) / 0.33) ** 2 < 1:
                break
            direction = direction + self._random.normal(0, 0.7, 3)
            direction /= np.linalg.norm(direction)
        else:
            return []
        branches = [_Tube(start, end, radius, 0.9 * radius)]
        aside = np.cross(direction, self._random.standard_normal(3))
        aside /= np.linalg.norm(aside)
        for sign in (-1, 1):
            turned = direction + sign * self._random.uniform(0.45, 0.9) * aside
            branches += self._grow(end, turned / np.linalg.norm(turned), radius * self._random.uniform(0.68, 0.84))
        return branches

    def _draw(self, tube: _Tube, hu: float, mask: np.ndarray | None = None) -> None:
        """Draw a tube; ``mask`` gets the voxels that are more than half in it."""
        reach = np.linalg.norm(tube.along) / 2 + tube.wide + self._spacing
        box, offset = _around(self.hu.shape, (tube.start + tube.end) / 2, float(reach), self._spacing)
        part = np.clip((offset @ tube.along) / (tube.along @ tube.along), -0.5, 0.5)
        distance = np.linalg.norm(offset - part[..., None] * tube.along, axis=-1)
        radius = tube.wide + (part + 0.5) * (tube.narrow - tube.wide)
        coverage = np.clip((radius - distance) / self._spacing + 0.5, 0, 1)
        self.hu[box] += coverage * (hu - self.hu[box])
        if mask is not None:
            mask[box] |= coverage > 0.5


def _around(shape: tuple[int, ...], centre: np.ndarray, reach: float, spacing: float) -> tuple[_Box, np.ndarray]:
    """The box of voxels at most ``reach`` mm from ``centre`` along the axes, and the places in it relative to the
    centre in mm: (..., 3)."""
    low = np.clip(np.ceil((centre - reach) / spacing).astype(int), 0, shape)
    high = np.clip(np.floor((centre + reach) / spacing).astype(int) + 1, low, shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    axes = [np.arange(a, b) * spacing - c for a, b, c in zip(low, high, centre, strict=True)]
    return box, np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
