"""Procedural colonoscopy with polyps, by video, with masks: for tests and the demo.

Drawn by formulas, not recorded: whatever is reached on them is no evidence about real polyps, and their names and
``PROCEDURAL.txt`` say so. The bowel is that of :mod:`caffe_port.study.frames.colon`; polyps are domes of its wall, with
a colour and a grain of their own, so that folds hide them and the lamp shades them and shines on them as on the rest.
The camera moves on slowly. Folds, vessels, bubbles, diverticula and puddles are there to be mistaken for polyps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from caffe_port import rng
from caffe_port.errors import DataError
from caffe_port.files import atomic_write
from caffe_port.study.cases import Progress
from caffe_port.study.frames.colon import LENGTH, Colon, View, floats
from caffe_port.study.polyps.lesions import SPECK
from caffe_port.study.procedural import PREFIX, new_folder, write_note

SIZE = (320, 256)
#: Radii of the tube that the camera moves on per frame.
_SPEED = 0.04
#: A polyp is marked when it covers this part of a frame and the camera is so near to it: nobody marks the sliver that a
#: fold leaves, or a dark spot far ahead.
_MARKED, _NEAR = 0.003, 1.8


def write_phantoms(
    folder: str | Path,
    videos: int,
    frames: int,
    seed: int = 0,
    size: tuple[int, int] = SIZE,
    progress: Progress = lambda done, total: None,
) -> None:
    """Write ``videos`` times ``frames`` PNG files and their masks in the layout ``masks`` of the loaders:
    ``procedural_v00/images/procedural_0000.png`` and ``procedural_v00/masks/procedural_0000.png``.

    Every second video shows polyps, from the first on; in the others all masks are black. A bowel repeats after 300
    frames. Every frame is a function of the seed, its video and its number.

    :param size: width and height.
    :raises DataError: a count is not positive, or the folder cannot be written.
    """
    if videos < 1 or frames < 1 or min(size) < 64:
        raise DataError(
            f"{videos} videos of {frames} frames of {size[0]}x{size[1]} pixels cannot be made.",
            remedy="Ask for one or more of each and at least 64 pixels.",
        )
    folder = Path(folder)
    write_note(folder, "frames")
    for video in range(videos):
        scope = Scope(seed, video, size)
        inside = folder / f"{PREFIX}_v{video:02d}"
        for name in ("images", "masks"):
            new_folder(inside / name)
        for number in range(frames):
            for name, image in zip(("images", "masks"), scope.frame(number), strict=True):
                with atomic_write(inside / name / f"{PREFIX}_{number:04d}.png", DataError) as file:
                    file.write(cv2.imencode(".png", image)[1].tobytes())
            progress(video * frames + number + 1, videos * frames)


class Scope:
    """The endoscope of one video: the bowel that it is in, its way, the shape of its picture and its noise."""

    def __init__(self, seed: int, video: int, size: tuple[int, int] = SIZE) -> None:
        self._key = (PREFIX, "polyps", seed, video)
        self._size = size
        random = rng.numpy_generator(*self._key, "scope")
        self._start = random.uniform(0, LENGTH)
        self._phases = random.uniform(0, 2 * np.pi, 6)
        self._noise = random.uniform(1.5, 4.0)
        self._aperture = _aperture(size, random.uniform(0.86, 0.97))
        self._bowel = Bowel(*self._key)
        if video % 2 == 0:
            self._bowel.grow(self._places(random), random)

    def frame(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Frame ``number``, (H, W, 3) uint8 in BGR, and its mask, (H, W) uint8: 255 where a polyp is, else 0."""
        random = rng.numpy_generator(*self._key, number)
        view = self._view(number)
        image = self._bowel.render(view, *self._size)
        image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.3, 0.9) * self._size[1] / 160)
        image = image + random.normal(0, self._noise, image.shape)
        mask = self._bowel.polyps_in(view, *self._size) & (self._aperture > 0.5)
        return np.clip(image * self._aperture[..., None], 0, 255).astype(np.uint8), _marked(mask)

    def _view(self, number: int) -> View:
        """Forward and a little about; on the whole it looks at the wall ahead, now here, now there."""
        sway = [np.sin(2 * np.pi * number / period + p) for period, p in zip((61, 43, 37, 53, 71), self._phases[:5])]
        aim, tilt = self._phases[5] + 0.9 * sway[0], 0.5 + 0.2 * sway[1]
        return View(
            self._start + _SPEED * number,
            0.15 * np.array([sway[2], sway[3]]),
            tilt * np.array([np.cos(aim), np.sin(aim)]),
            0.3 * sway[4],
        )

    def _places(self, random: np.random.Generator) -> Iterator[tuple[float, float]]:
        """Places (z, angle) on the wall that come into sight, one in about 50 frames until the bowel repeats."""
        number = int(random.integers(2, 8))
        while number < (LENGTH - 3) / _SPEED:
            place = self._bowel.place_before(self._view(number))
            if place is not None:
                yield place
                number += int(random.integers(35, 60))
            number += 1


@dataclass(frozen=True)
class Spot:
    """A roundish part of the wall: its place, its radius in radii of the tube, how its outline is turned, and how far
    that is from a circle."""

    z: float
    angle: float
    radius: float
    turn: float = 0.0
    uneven: float = 0.12

    @classmethod
    def anywhere(cls, random: np.random.Generator, smallest: float, largest: float) -> Spot:
        """One at a random place, of a radius in these bounds."""
        return cls(*random.uniform([0, 0, smallest, 0], [LENGTH, 2 * np.pi, largest, 2 * np.pi]).tolist())

    def distance(self, z: np.ndarray, angle: np.ndarray) -> np.ndarray:
        """Of places on the wall from the centre: below 1 inside."""
        along = ((z - self.z + LENGTH / 2) % LENGTH - LENGTH / 2) / self.radius
        around = ((angle - self.angle + np.pi) % (2 * np.pi) - np.pi) / self.radius
        heading = np.arctan2(around, along)
        lobes = np.cos(2 * heading + self.turn) + 0.5 * np.cos(3 * heading - 2 * self.turn)
        return np.hypot(along, around) / (1 + self.uneven * lobes)

    def cells(self, table: np.ndarray) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """The cells of a table by (z, angle) around the spot, as an index, and their distance from its centre."""
        ranges, places = [], []
        for at, count, period in zip((self.z, self.angle), table.shape, (LENGTH, 2 * np.pi)):
            reach = 1.4 * self.radius / period * count
            cells = np.arange(int(at / period * count - reach), int(at / period * count + reach) + 2)
            ranges.append(cells % count)
            places.append(cells / count * period)
        return np.ix_(*ranges), self.distance(places[0][:, None], places[1][None])


class Bowel(Colon):
    """A colon with what looks like polyps and, once they have grown, with polyps."""

    def __init__(self, *parts: int | str) -> None:
        super().__init__(*parts)
        random = rng.numpy_generator(*parts, "bowel")
        self._polyps: list[Spot] = []
        for _ in range(random.integers(6, 14)):
            self._hollow(Spot.anywhere(random, 0.08, 0.16), random.uniform(0.8, 1.6))
        for _ in range(random.integers(5, 12)):
            self._stain(Spot.anywhere(random, 0.1, 0.35), floats(0.15, 0.5, 0.62) * random.uniform(0.8, 1.3), 0.7)
        for _ in range(random.integers(15, 40)):
            self._bubbles(random)
        self._reshape()

    def grow(self, places: Iterator[tuple[float, float]], random: np.random.Generator) -> None:
        """Polyps at ``places`` (z, angle)."""
        for z, angle in list(places):  # all places first: they are looked for in the bowel without polyps
            polyp = Spot(z % LENGTH, angle, random.uniform(0.2, 0.42), random.uniform(0, 2 * np.pi))
            self._polyps.append(polyp)
            self._dome(polyp, polyp.radius * random.uniform(0.4, 0.8))
            tint = floats(*random.uniform([0.82, 0.8, 0.94], [1.1, 1.06, 1.03]))
            self._skin(polyp, tint, random)
        self._reshape()

    def place_before(self, view: View) -> tuple[float, float] | None:
        """A place (z, angle) of near wall in the picture, away from its rim and from folds; None: there is none."""
        side = 15
        depth, z, angle = (values.ravel() for values in self._wall(view, side, side))
        rows, columns = self._slope_z.shape
        steepest = cv2.dilate(np.abs(self._slope_z), np.ones((rows // 32, columns // 16)))
        steep = steepest[(z / LENGTH % 1 * rows).astype(int), (angle / (2 * np.pi) % 1 * columns).astype(int)]
        row, column = np.divmod(np.arange(side * side), side)
        from_middle = np.hypot(row - side // 2, column - side // 2)
        best = np.argmin(np.where((depth > 0.8) & (depth < 1.5), steep + 0.2 * from_middle, np.inf))
        return (float(z[best]), float(angle[best])) if 0.8 < depth[best] < 1.5 else None

    def polyps_in(self, view: View, width: int, height: int) -> np.ndarray:
        """(height, width) bool: where a polyp is to be seen."""
        mask = np.zeros((height, width), bool)
        near = [polyp for polyp in self._polyps if (polyp.z - view.z + 0.5) % LENGTH - 0.5 < _NEAR]
        if near:
            _, z, angle = self._wall(view, width, height)
            mask |= np.any([polyp.distance(z, angle) < 1 for polyp in near], axis=0)
        return mask

    def _wall(self, view: View, width: int, height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of what each pixel shows: distance from the camera, z, angle."""
        _, depth, (x, y, z) = self._meet(view, width, height)
        return depth, z, np.arctan2(y, x)

    def _dome(self, spot: Spot, height: float) -> None:
        cells, distance = spot.cells(self._radius)
        self._radius[cells] -= height * np.clip(1 - distance**3, 0, 1) ** 0.6
        np.maximum(self._radius, 0.2, out=self._radius)

    def _hollow(self, spot: Spot, depth: float) -> None:
        """A diverticulum: round as a polyp, but a hole."""
        cells, distance = spot.cells(self._radius)
        self._radius[cells] += depth * spot.radius * np.clip(1 - distance**2, 0, 1)

    def _stain(self, spot: Spot, colour: np.ndarray, cover: float) -> None:
        """Fluid on the wall."""
        cells, distance = spot.cells(self._albedo[..., 0])
        part = cover * _inside(distance, 0.08)[..., None]
        self._albedo[cells] += part * (colour - self._albedo[cells])

    def _skin(self, spot: Spot, tint: np.ndarray, random: np.random.Generator) -> None:
        """The mucosa of a polyp: a colour of its own, a coarser grain, none of the vessels."""
        cells, distance = spot.cells(self._albedo[..., 0])
        grain = cv2.GaussianBlur(random.standard_normal(distance.shape).astype(np.float32), (0, 0), 4)
        own = tint * self._albedo[cells].mean((0, 1)) * (1 + 0.05 * grain / grain.std())[..., None]
        self._albedo[cells] += 0.75 * _inside(distance, 0.15)[..., None] * (own - self._albedo[cells])

    def _bubbles(self, random: np.random.Generator) -> None:
        """A few bubbles side by side: bright rims, one highlight each."""
        first = Spot.anywhere(random, 0.03, 0.12)
        for _ in range(random.integers(1, 5)):
            z, angle = random.normal([first.z, first.angle], 1.5 * first.radius)
            bubble = Spot(z, angle, first.radius * random.uniform(0.5, 1.2), uneven=0)
            cells, distance = bubble.cells(self._albedo[..., 0])
            rim = 0.6 * np.exp(-(((distance - 0.9) / 0.1) ** 2))
            self._albedo[cells] += rim[..., None] * (1 - self._albedo[cells])
            glint = Spot(z - 0.4 * bubble.radius, angle - 0.3 * bubble.radius, 0.2 * bubble.radius)
            cells, distance = glint.cells(self._albedo[..., 0])
            self._albedo[cells] += _inside(distance, 0.3)[..., None] * (1.3 - self._albedo[cells])


def _inside(distance: np.ndarray, margin: float) -> np.ndarray:
    """1 inside a spot, 0 outside, with an edge as wide as the ``margin``."""
    return np.clip((1 - distance) / margin, 0, 1).astype(np.float32)


def _marked(mask: np.ndarray) -> np.ndarray:
    """A mask of 0 and 255 of the components that are large enough to be marked."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= max(SPECK, _MARKED * mask.size)
    large[0] = False  # the background
    return np.where(large[labels], 255, 0).astype(np.uint8)


def _aperture(size: tuple[int, int], radius: float) -> np.ndarray:
    """1 where the optics show something, 0 in the corners; ``radius`` in half diagonals."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    from_centre = np.hypot(x - (width - 1) / 2, y - (height - 1) / 2)
    return np.clip(radius * np.hypot(width, height) / 2 - from_centre, 0, 1)
