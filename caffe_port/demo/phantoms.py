"""Procedural phantoms of a common carotid artery in longitudinal ultrasound, with the true interfaces.

Made by formulas, not scanned: what is measured on them shows that the study works and says nothing about patients. File
names and ``PROCEDURAL.txt`` say so. A phantom is echogenicity times speckle (Rayleigh, as wide as the beam is),
log-compressed: tissue, near wall, lumen, then the far wall's double line: the intima, the dark media, the bright
adventitia. The lumen-intima interface is the leading edge of the intima's echo, the media-adventitia interface that of
the adventitia's.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import scipy.io
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from caffe_port import rng
from caffe_port.errors import DataError
from caffe_port.files import atomic_write
from caffe_port.study.procedural import PREFIX, new_folder, write_note

#: Rows and columns of a phantom, and the side of its pixels.
HEIGHT, WIDTH, MM_PER_PIXEL = 200, 200, 0.06
#: Columns between two points of a trace.
_STEP = 10


@dataclass(frozen=True)
class Phantom:
    """An image (H, W) uint8 and, for every column, the rows (W,) of its two interfaces."""

    image: np.ndarray
    li: np.ndarray
    ma: np.ndarray


@dataclass(frozen=True)
class Artery:
    """What the phantoms of one exam have in common; lengths in pixels.

    :param thickness: from the lumen-intima to the media-adventitia interface.
    :param beam: deviation of the beam along a column and across columns.
    """

    thickness: float
    lumen: float
    beam: tuple[float, float]
    contrast: float
    plaque: float

    @classmethod
    def of_exam(cls, *key: int | str) -> Artery:
        """The artery that belongs to ``key`` (see :func:`caffe_port.rng.key`)."""
        random = rng.numpy_generator(PREFIX, *key)
        return cls(
            thickness=random.uniform(0.5, 1.0) / MM_PER_PIXEL,
            lumen=random.uniform(4.5, 6.5) / MM_PER_PIXEL,
            beam=(random.uniform(0.8, 1.2), random.uniform(1.8, 3.0)),
            contrast=random.uniform(0.7, 1.3),
            plaque=random.uniform(0, 3),
        )

    def scan(self, random: np.random.Generator) -> Phantom:
        """One image of this artery."""
        x = np.arange(WIDTH)
        slope = random.uniform(-0.06, 0.06)
        li = random.uniform(120, 150) + slope * (x - WIDTH / 2) + _wander(random, 2.5, 30)
        ma = li + self.thickness + np.abs(_wander(random, self.plaque, 25)) + _wander(random, 0.4, 12)
        near = li - self.lumen + _wander(random, 2.5, 40)
        echo = self._echogenicity(li, ma, near, random)
        noise = random.normal(size=(2, HEIGHT, WIDTH))
        speckle = np.hypot(*(gaussian_filter(part, self.beam) for part in noise))
        amplitude = gaussian_filter(echo, (0.7, 1.5)) * speckle / speckle.mean() + 0.006
        decibel = 20 * np.log10(amplitude) + random.uniform(-4, 4)
        return Phantom(np.clip(235 + 4.6 * decibel, 0, 255).astype(np.uint8), li, ma)

    def _echogenicity(
        self, li: np.ndarray, ma: np.ndarray, near: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
        """(H, W): how strongly each place scatters."""
        row = np.arange(HEIGHT)[:, None]
        tissue = 0.16 * np.exp(gaussian_filter(random.normal(size=(HEIGHT, WIDTH)), (5, 14)) * 9)
        haze = 0.012 + 0.05 * (_pulse(li - row, 14) + _pulse(row - near, 14))  # reverberations beside both walls
        echo = np.where((row > near) & (row < li), haze, tissue)
        echo = np.where((row >= li) & (row < ma), 0.07, echo)
        # Neither echo is equally strong everywhere: where the beam meets a wall at an angle, it fades.
        echo = echo + 0.14 * self.contrast * np.exp(_wander(random, 0.8, 12)) * _pulse(row - li, 2.5)
        echo = echo + 0.5 * self.contrast * np.exp(_wander(random, 0.5, 15)) * _pulse(row - ma, 8)
        fascia = ma + random.uniform(15, 35) + _wander(random, 2.5, 30)  # lies deeper and looks like an interface too
        echo = echo + 0.5 * np.exp(_wander(random, 0.8, 20)) * _pulse(row - fascia, 3)
        return echo + 0.5 * _pulse(near - row, 6)


def _wander(random: np.random.Generator, size: float, length: float) -> np.ndarray:
    """(W,) a smooth random line around 0 with deviation ``size``, changing over about ``length`` columns."""
    line = gaussian_filter1d(random.normal(size=WIDTH + 200), length)[100:-100]
    return size * line * np.sqrt(2 * length * np.sqrt(np.pi))


def _pulse(depth: np.ndarray, length: float) -> np.ndarray:
    """An echo that begins at depth 0 and fades over ``length`` rows."""
    return np.clip(depth + 0.5, 0, 1) * np.exp(-np.maximum(depth, 0) / length)


def write_phantoms(folder: str | Path, exams: int, images: int, seed: int = 0) -> None:
    """Write ``images`` phantoms of each of ``exams`` arteries in the layout of the Cyprus set (``cyprus``).

    :raises DataError: a file cannot be written.
    """
    folder = Path(folder)
    write_note(folder, "phantoms")
    rows = []
    for exam in range(exams):
        artery = Artery.of_exam(seed, exam)
        for number in range(images):
            name = f"{PREFIX}_{exam:02d}_{number}"
            phantom = artery.scan(rng.numpy_generator(PREFIX, seed, exam, number))
            _write_case(folder / name, phantom)
            rows.append((name, f"{PREFIX}_{exam:02d}", MM_PER_PIXEL))
    table = io.StringIO(newline="")
    csv.writer(table).writerows([("id", "exam", "mm_per_px"), *rows])
    _write(folder / "cases.csv", table.getvalue().encode())


def _write_case(folder: Path, phantom: Phantom) -> None:
    """``<ID>.CRI``, a TIFF image, and ``<ID>.scl``, the points of both traces in turn, counted from 1."""
    new_folder(folder)
    x = np.arange(5, WIDTH - 5, _STEP)
    points = np.stack([np.repeat(x, 2), np.stack([phantom.li[x], phantom.ma[x]], axis=1).ravel()])
    matlab = io.BytesIO()
    scipy.io.savemat(matlab, {"Param_3": points[0] + 1, "Param_4": points[1] + 1})
    _write(folder / f"{folder.name}.CRI", cv2.imencode(".tiff", phantom.image)[1].tobytes())
    _write(folder / f"{folder.name}.scl", matlab.getvalue())


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path, DataError) as file:
        file.write(content)
