"""A procedural colon, seen from inside: a bent tube with folds, vessels, moisture and a lamp at the camera.

Drawn by formulas, for tests and the demo; it says nothing about real images. Lengths are in radii of the tube. A
:class:`Colon` is what the frames of one video have in common; :meth:`Colon.render` shows it from a place along it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import fft

from caffe_port import rng

#: Along the axis a colon repeats after this length, so that any place is a valid one.
LENGTH = 12.0
_MARCHING_STEPS = 32
#: Steps of a ray are this part of the distance to the wall, because folds make the wall steeper than the tube.
_CAUTION = 0.6
#: Half the angle of view, to the corner of a frame.
_HALF_VIEW = np.radians(68)
#: Sizes (along the axis, around it) of the tables of the wall's shape and of its colour.
_SHAPE_TABLE, _COLOUR_TABLE = (768, 256), (2048, 1024)


@dataclass(frozen=True)
class View:
    """Where the camera is and what it looks at.

    :param z: place along the axis.
    :param offset: (2,) distance from the axis.
    :param tilt: (2,) radians away from the axis, to the right and downwards.
    :param roll: radians.
    """

    z: float
    offset: np.ndarray
    tilt: np.ndarray
    roll: float


class Colon:
    """The colon of one video; a function of ``parts`` alone (see :func:`caffe_port.rng.key`)."""

    def __init__(self, *parts: int | str) -> None:
        random = rng.numpy_generator(*parts, "colon")
        self._bend = random.uniform(0.15, 0.4, 2)
        self._phase = random.uniform(0, 2 * np.pi, 2)
        self._radius = _shape(random)
        self._reshape()
        self._albedo = _albedo(random)
        self._moisture = _noise(random, _SHAPE_TABLE, (220, 110)) + 0.8 * _noise(random, _SHAPE_TABLE, (30, 12))
        self._wetness = random.uniform(0.3, 1.0)

    def render(self, view: View, width: int, height: int) -> np.ndarray:
        """A sharp frame, (height, width, 3) float32 in BGR from 0 to about 255, without the camera's mask and noise."""
        rays, depth, (x, y, z) = self._meet(view, width, height)
        table = self._places(x, y, z)
        normal = self._normals(x, y, table)
        facing = np.clip(-sum(n * r for n, r in zip(normal, rays, strict=True)), 0, 1)
        lit = (0.12 + 0.88 * facing) / (0.3 + depth**1.4)
        lit *= 1.05 / np.percentile(lit, 80)  # automatic exposure
        lit = 1.6 * lit / (1 + 0.55 * lit)
        at = (places * (_COLOUR_TABLE[i] / _SHAPE_TABLE[i]) for i, places in enumerate(table))
        colour = _look_up(self._albedo, *at) * lit[..., None] ** floats(1.1, 1.05, 0.8)
        return (255 * (colour + self._shine(facing, depth, table)[..., None])).astype(np.float32)

    def _reshape(self) -> None:
        """To be called when the radius has been changed."""
        self._slope_z, self._slope_angle = _slopes(self._radius)

    def _meet(self, view: View, width: int, height: int) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
        """Rays of all pixels, the distance at which each meets the wall, and that point: beside the axis, and along."""
        rays = _rays(view, width, height)
        origin = np.array([*(self._axis(view.z) + view.offset), view.z])
        depth = self._march(origin, rays)
        x, y, z = (origin[i] + depth * rays[i] for i in range(3))
        centre = self._axis(z)
        return rays, depth, (x - centre[0], y - centre[1], z)

    def _axis(self, z: np.ndarray | float) -> np.ndarray:
        """(2, ...) place of the tube's centre at ``z``."""
        turn = 2 * np.pi / LENGTH
        return np.stack([self._bend[i] * np.sin((2 + i) * turn * np.asarray(z) + self._phase[i]) for i in range(2)])

    def _march(self, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
        """Distance along each ray at which it meets the wall."""
        depth = np.full(rays.shape[1:], 0.02, np.float32)
        for _ in range(_MARCHING_STEPS):
            x, y, z = (origin[i] + depth * rays[i] for i in range(3))
            centre = self._axis(z)
            x, y = x - centre[0], y - centre[1]
            gap = _look_up(self._radius, *self._places(x, y, z)) - np.hypot(x, y)
            depth = np.minimum(depth + _CAUTION * np.maximum(gap, 0), 8).astype(np.float32)
        return np.maximum(depth, 0.02)

    def _places(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(row, column) in a shape table of points beside the axis."""
        rows, columns = _SHAPE_TABLE
        return (z / LENGTH * rows) % rows, (np.arctan2(y, x) / (2 * np.pi) * columns) % columns

    def _normals(self, x: np.ndarray, y: np.ndarray, places: tuple[np.ndarray, np.ndarray]) -> list[np.ndarray]:
        """The unit vectors from the wall inwards: the gradient of radius(z, angle) - hypot(x, y)."""
        radius = np.maximum(np.hypot(x, y), 0.05)
        along, around = _look_up(self._slope_z, *places), _look_up(self._slope_angle, *places) / radius
        u, v = x / radius, y / radius
        normal = [-u - around * v, -v + around * u, along]
        length = np.sqrt(sum(n * n for n in normal))
        return [n / length for n in normal]

    def _shine(self, facing: np.ndarray, depth: np.ndarray, places: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Highlights of the lamp on moist, uneven mucosa that faces it."""
        bumps = _look_up(self._moisture, *places)
        gloss = facing**4 * np.clip(2 - depth, 0, 1) * self._wetness
        return 1.1 / (1 + np.exp(-np.clip(20 * (bumps + 1.8 * gloss - 3.3), -50, 50)))


def floats(*values: float) -> np.ndarray:
    """A float32 vector; a colour has the order BGR."""
    return np.array(values, np.float32)


def _rays(view: View, width: int, height: int) -> np.ndarray:
    """(3, height, width) unit vectors of an equidistant wide-angle lens."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = x - (width - 1) / 2, y - (height - 1) / 2
    radius = np.hypot(x, y)
    angle = radius / np.hypot(width / 2, height / 2) * _HALF_VIEW
    side = np.sin(angle) / np.maximum(radius, 1e-3)
    cos, sin = np.cos(view.roll), np.sin(view.roll)
    rays = np.stack([side * (cos * x - sin * y), side * (sin * x + cos * y), np.cos(angle)])
    for axis, tilt in enumerate(view.tilt):
        cos, sin = np.cos(tilt), np.sin(tilt)
        rays[axis], rays[2] = cos * rays[axis] + sin * rays[2], cos * rays[2] - sin * rays[axis]
    return rays.astype(np.float32)


def _look_up(table: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Bilinear values of a table that repeats in both directions; (row, column) within it."""
    bordered = cv2.copyMakeBorder(table, 0, 1, 0, 1, cv2.BORDER_WRAP)
    return cv2.remap(bordered, column.astype(np.float32), row.astype(np.float32), cv2.INTER_LINEAR)


def _noise(random: np.random.Generator, size: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    """Smooth noise of mean 0 and deviation 1 that repeats in both directions, of about ``cells`` blobs per table."""
    along, around = fft.fftfreq(size[0], 1 / size[0]) / cells[0], fft.rfftfreq(size[1], 1 / size[1]) / cells[1]
    falloff = np.exp(-2 * (along[:, None] ** 2 + around**2)).astype(np.float32)
    values = fft.irfft2(fft.rfft2(random.standard_normal(size, np.float32)) * falloff, size)
    return (values - values.mean()) / values.std()


def _shape(random: np.random.Generator) -> np.ndarray:
    """Radius of the wall by (z, angle): haustral folds that do not go all the way round, and bumps."""
    rows, columns = _SHAPE_TABLE
    z = np.arange(rows)[:, None] / rows * LENGTH
    angle = np.arange(columns)[None] / columns * 2 * np.pi
    radius = 1 + 0.05 * _noise(random, _SHAPE_TABLE, (14, 5)) + 0.006 * _noise(random, _SHAPE_TABLE, (90, 45))
    at = 0.0
    while at < LENGTH - 0.4:
        lean = random.uniform(-0.25, 0.25) * np.sin(angle + random.uniform(0, 2 * np.pi))
        reach = np.clip(0.62 + 0.5 * np.cos(random.integers(1, 4) * angle + random.uniform(0, 2 * np.pi)), 0, 1)
        distance = (z - at - lean + LENGTH / 2) % LENGTH - LENGTH / 2
        width = random.uniform(0.08, 0.17)
        radius -= random.uniform(0.16, 0.42) * reach * np.exp(-((np.abs(distance) / width) ** 1.6))
        at += random.uniform(0.4, 1.0)
    return np.maximum(radius, 0.3).astype(np.float32)


def _slopes(radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of the radius along z and around."""
    rows, columns = _SHAPE_TABLE
    along = (np.roll(radius, -1, 0) - np.roll(radius, 1, 0)) * (rows / LENGTH / 2)
    around = (np.roll(radius, -1, 1) - np.roll(radius, 1, 1)) * (columns / (2 * np.pi) / 2)
    return along, around


def _albedo(random: np.random.Generator) -> np.ndarray:
    """Colour of the wall by (z, angle), BGR from 0 to 1: mucosa, its vessels, grain and a little residue."""
    mucosa = floats(random.uniform(0.3, 0.5), random.uniform(0.48, 0.68), random.uniform(0.88, 1.0))
    patches = _noise(random, _COLOUR_TABLE, (20, 10)) * 0.03 + _noise(random, _COLOUR_TABLE, (700, 380)) * 0.025
    albedo = mucosa * (1 + patches[..., None] * floats(1.2, 1.2, 0.4))
    vessels = _vessels(random)[..., None]
    albedo *= 1 - vessels * floats(0.5, 0.55, 0.16) * random.uniform(0.25, 0.9)
    residue = np.clip(_noise(random, _COLOUR_TABLE, (120, 60)) - random.uniform(2.2, 3.2), 0, 0.6)[..., None]
    return (albedo + residue * (floats(0.2, 0.62, 0.72) - albedo)).astype(np.float32)


def _vessels(random: np.random.Generator) -> np.ndarray:
    """Cover (0 to 1) of the wall by a branching net of vessels."""
    rows, columns = _COLOUR_TABLE
    cover = np.zeros(_COLOUR_TABLE, np.uint8)
    twigs = [(random.uniform(0, [columns, rows]), random.uniform(0, 2 * np.pi), 4.0) for _ in range(60)]
    while twigs:
        at, heading, width = twigs.pop()
        path = [at]
        for _ in range(int(random.integers(8, 26))):
            heading += random.normal(0, 0.28)
            path.append(path[-1] + random.uniform(6, 11) * np.array([np.cos(heading), np.sin(heading)]))
            if width > 1.4 and random.random() < 0.2:
                twigs.append((path[-1], heading + random.choice([-1, 1]) * random.uniform(0.4, 1.2), width * 0.65))
        line = np.rint(path).astype(np.int32)
        for shift in ([0, 0], [columns, 0], [-columns, 0], [0, rows], [0, -rows]):
            cv2.polylines(
                cover, [line + shift], False, int(min(255, 90 + 40 * width)), max(1, round(width)), cv2.LINE_AA
            )
    return cv2.GaussianBlur(cover, (0, 0), 1.2).astype(np.float32) / 255
