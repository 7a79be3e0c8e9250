"""Procedural labelled images: coloured shapes on cluttered, noisy backgrounds, 32 x 32 pixels.

They are to the demo what ImageNet is to the paper: what its base net learns. Drawn by formulas, not photographed, they
say nothing about real images. A shape is given by its signed distance, the distance of a point from the shape's edge,
negative inside; a scene shows it at a random place, size, angle and colour, so only the outline tells the class. Every
image is a function of the names of its database and its shape and of its number.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from caffe_port import rng
from caffe_port.data.database import new_database
from caffe_port.data.datum import array_to_datum
from caffe_port.data.images import to_hwc
from caffe_port.errors import DataError

SIZE = 32
Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _box(x: np.ndarray, y: np.ndarray, width: float, height: float) -> np.ndarray:
    return np.maximum(np.abs(x) - width, np.abs(y) - height)


def _disc(x: np.ndarray, y: np.ndarray, radius: float = 1) -> np.ndarray:
    return np.hypot(x, y) - radius


#: Signed distance of every shape around the origin, with 1 as its radius.
DISTANCES: dict[str, Distance] = {
    "disc": _disc,
    "ring": lambda x, y: np.abs(_disc(x, y, 0.75)) - 0.25,
    "square": lambda x, y: _box(x, y, 0.8, 0.8),
    "triangle": lambda x, y: np.maximum(y, np.abs(x) * 3**0.5 / 2 - y / 2) - 0.5,
    "cross": lambda x, y: np.minimum(_box(x, y, 1, 0.3), _box(x, y, 0.3, 1)),
    "crescent": lambda x, y: np.maximum(_disc(x, y), -_disc(x - 0.55, y, 0.85)),
    "hourglass": lambda x, y: np.maximum(np.abs(y) - 0.9, 0.8 * (np.abs(x) - np.abs(y))),
    "bar": lambda x, y: _box(x, y, 1, 0.3),
    "corner": lambda x, y: np.maximum(_box(x, y, 0.8, 0.8), -np.maximum(-0.2 - x, -0.2 - y)),
}
#: The classes, in the order of their labels.
SHAPES = tuple(DISTANCES)


def draw(shape: str, random: np.random.Generator) -> np.ndarray:
    """One image of ``shape``, (3, 32, 32) uint8."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float64)
    ground = random.uniform(40, 215, 3)
    slope = random.uniform(-1.2, 1.2, (2, 3, 1, 1))
    image = ground[:, None, None] + slope[0] * (x - SIZE / 2) + slope[1] * (y - SIZE / 2)
    for _ in range(random.integers(3, 7)):
        image = _paint(image, _clutter(x, y, random), random.uniform(0, 255, 3))
    radius, angle = random.uniform(8, 12), random.uniform(0, 2 * np.pi)
    centre = random.uniform(radius, SIZE - 1 - radius, 2)
    u, v = _turn(x - centre[0], y - centre[1], angle)
    image = _paint(image, radius * DISTANCES[shape](u / radius, v / radius), _contrasting(ground, random))
    return np.clip(image + random.normal(0, 8, image.shape), 0, 255).astype(np.uint8)


def _turn(x: np.ndarray, y: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    cos, sin = np.cos(angle), np.sin(angle)
    return cos * x - sin * y, sin * x + cos * y


def _paint(image: np.ndarray, distance: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Colour the inside; the edge, one pixel wide, is mixed."""
    cover = np.clip(0.5 - distance, 0, 1)
    return image + cover * (colour[:, None, None] - image)


def _clutter(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Signed distance of a short, thin line."""
    u, v = _turn(x - random.uniform(0, SIZE), y - random.uniform(0, SIZE), random.uniform(0, np.pi))
    return _box(u, v, random.uniform(2, 8), 0.7)


def _contrasting(ground: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A random colour that is well away from ``ground``."""
    while True:
        colour = random.uniform(0, 255, 3)
        if np.linalg.norm(colour - ground) > 120:
            return colour


def write_images(path: str | Path, count: int) -> None:
    """Make an LMDB of ``count`` images, equally many of every shape (to one), in random order.

    The label of an image is the place of its shape in :data:`SHAPES`; keys are those of Caffe's convert_imageset:
    ``00000012_disc/00012.png``.

    :raises DataError: there is something at ``path`` already, or it cannot be written.
    """
    name = Path(path).name
    labels = rng.numpy_generator(name, "order").permutation(np.arange(count) % len(SHAPES))
    with new_database(path, "LMDB") as database:
        for number, label in enumerate(labels.tolist()):
            image = draw(SHAPES[label], rng.numpy_generator(name, number))
            key = f"{number:08d}_{SHAPES[label]}/{number:05d}.png"
            database.put(key.encode(), array_to_datum(image, label).SerializeToString())


def write_sheet(path: str | Path, columns: int = 16) -> None:
    """A PNG with a row of examples of every shape, enlarged twice.

    :raises DataError: it cannot be written.
    """
    rows = [[draw(shape, rng.numpy_generator("sheet", shape, n)) for n in range(columns)] for shape in SHAPES]
    sheet = np.concatenate([np.concatenate(row, axis=2) for row in rows], axis=1)
    enlarged = np.ascontiguousarray(to_hwc(sheet.repeat(2, axis=1).repeat(2, axis=2)))
    if not cv2.imwrite(str(path), enlarged):
        raise DataError("The picture cannot be written.", file=path)
