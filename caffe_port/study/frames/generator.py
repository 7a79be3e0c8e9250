"""Procedural colonoscopy frames, informative and not, by video: for tests and the demo.

They are drawn by formulas (:mod:`caffe_port.study.frames.colon`), not recorded: whatever a net reaches on them is no
evidence about real frames, and their file names and ``PROCEDURAL.txt`` say so. An informative frame shows the wall
sharply, with highlights, residue and a trace of blur; a non-informative one suffers from one of the troubles of the
paper's Fig. 5: fast motion, lack of focus, contact with the wall, fluid, glare. Every frame is a function of the seed,
its video and its number.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from caffe_port import rng
from caffe_port.errors import DataError
from caffe_port.files import atomic_write
from caffe_port.study.cases import Progress
from caffe_port.study.frames.colon import Colon, View, floats
from caffe_port.study.procedural import PREFIX, new_folder, write_note

SIZE = (500, 350)
Trouble = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def write_frames(
    folder: str | Path,
    videos: int,
    frames: int,
    seed: int = 0,
    size: tuple[int, int] = SIZE,
    progress: Progress = lambda done, total: None,
) -> None:
    """Write ``videos`` times ``frames`` JPEG files, every second frame informative, in the layout ``folders``:
    ``informative/procedural_v00_0000.jpg``, ``non-informative/procedural_v00_0001_blur.jpg``.

    :param size: width and height.
    :raises DataError: a count is not positive, or the folder cannot be written.
    """
    if videos < 1 or frames < 1 or min(size) < 32:
        raise DataError(
            f"{videos} videos of {frames} frames of {size[0]}x{size[1]} pixels cannot be made.",
            remedy="Ask for one or more of each and at least 32 pixels.",
        )
    folder = Path(folder)
    write_note(folder, "frames")
    for name in ("informative", "non-informative"):
        new_folder(folder / name)
    for video in range(videos):
        camera = Camera(seed, video, size)
        for number in range(frames):
            kind, image = camera.frame(number)
            name = f"{PREFIX}_v{video:02d}_{number:04d}"
            path = "informative/" + name if kind == "informative" else f"non-informative/{name}_{kind}"
            with atomic_write(folder / f"{path}.jpg", DataError) as file:
                file.write(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes())
            progress(video * frames + number + 1, videos * frames)


class Camera:
    """The endoscope of one video: its colon, the shape of its picture and its noise."""

    def __init__(self, seed: int, video: int, size: tuple[int, int] = SIZE) -> None:
        self._key = (PREFIX, seed, video)
        self._video = video
        self._size = size
        self._colon = Colon(*self._key)
        random = rng.numpy_generator(*self._key, "camera")
        self._corner = random.uniform(0.28, 0.55)
        self._noise = random.uniform(1.0, 4.0)

    def frame(self, number: int) -> tuple[str, np.ndarray]:
        """The kind of frame ``number`` ("informative" where it is even, or one trouble after another), and the
        frame, (H, W, 3) uint8 in BGR."""
        random = rng.numpy_generator(*self._key, number)
        width, height = self._size
        kind = "informative" if number % 2 == 0 else list(TROUBLES)[(self._video + number // 2) % len(TROUBLES)]
        place = random.uniform(-0.3, 0.3, 2), random.normal(0, [0.35, 0.25]), random.uniform(0, 2 * np.pi)
        image = self._colon.render(View(random.uniform(0, 100), *place), width, height)
        image = TROUBLES[kind](image, random) if kind in TROUBLES else _blur(image, random.uniform(0.3, 1.0))
        image = image + random.normal(0, self._noise, image.shape)
        return kind, np.clip(image * self._mask()[..., None], 0, 255).astype(np.uint8)

    def _mask(self) -> np.ndarray:
        """1 in the octagon that the optics show, 0 in the corners."""
        width, height = self._size
        y, x = np.mgrid[:height, :width]
        from_side = np.minimum(x, width - 1 - x) + np.minimum(y, height - 1 - y)
        return np.clip(from_side - self._corner * height / 2, 0, 1)


def motion(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The scope turns fast: smeared along a curved line."""
    height, width = image.shape[:2]
    angle, length = random.uniform(0, 2 * np.pi), random.uniform(0.06, 0.25) * height
    turn = random.uniform(-0.12, 0.12)
    total = np.zeros_like(image)
    steps = 24
    for part in np.linspace(-0.5, 0.5, steps):
        move = cv2.getRotationMatrix2D((width / 2, height / 2), float(np.degrees(turn * part)), 1 + 0.1 * float(part))
        move[:, 2] += part * length * np.array([np.cos(angle), np.sin(angle)])
        total += cv2.warpAffine(image, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return total / steps


def defocus(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Out of focus: highlights become discs."""
    radius = round(random.uniform(0.01, 0.035) * image.shape[0])
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)).astype(np.float32)
    return cv2.filter2D(image, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT)


def contact(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The lens touches the wall: a red, structureless glow, brighter on one side."""
    height, width = image.shape[:2]
    glow = _cloud(random, height, width, 0.8)
    hue = floats(random.uniform(20, 70), random.uniform(50, 120), random.uniform(190, 255))
    glow = np.clip(0.75 + 0.17 * glow, 0.35, 1.3)[..., None]
    wall = hue * glow ** floats(2, 1.7, 1)  # what is bright is whiter
    return 0.92 * wall + 0.08 * _blur(image, 0.05 * height)


def fluid(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Turbid fluid and bubbles before the lens."""
    height, width = image.shape[:2]
    red = random.uniform(140, 200)
    murk = red * floats(random.uniform(0.3, 0.65), random.uniform(0.78, 0.96), 1)
    density = np.clip(0.72 + 0.2 * _cloud(random, height, width, 0.3), 0.4, 0.95)[..., None]
    image = (1 - density) * _blur(image, random.uniform(0.01, 0.03) * height) + density * murk
    for _ in range(random.integers(0, 45)):
        radius = float(np.clip(random.lognormal(np.log(0.025), 0.7), 0.008, 0.16)) * height
        _bubble(image, random.uniform(0, [width, height]), radius, random)
    return _blur(image, random.uniform(0.8, 2.5))


def glare(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Too much light: patches of it saturate and bloom over the rest."""
    height, width = image.shape[:2]
    image = _blur(image, random.uniform(0.005, 0.012) * height) * random.uniform(1.0, 1.25)
    light = np.clip(_cloud(random, height, width, 0.22) - random.uniform(0.6, 1.2), 0, 2)
    bloom = light + _blur(light, 0.12 * height)
    return image + bloom[..., None] * floats(225, 240, 255)


#: The kinds of non-informative frames.
TROUBLES: dict[str, Trouble] = {
    "motion": motion,
    "defocus": defocus,
    "contact": contact,
    "fluid": fluid,
    "glare": glare,
}


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)


def _cloud(random: np.random.Generator, height: int, width: int, size: float) -> np.ndarray:
    """Smooth noise of mean 0 and deviation 1, (height, width) float32; blobs of ``size`` heights."""
    coarse = random.standard_normal((12, 12)).astype(np.float32)
    cell = size * height / 2
    y, x = np.mgrid[:height, :width].astype(np.float32) / max(cell, max(height, width) / 11)
    values = _blur(cv2.remap(coarse, x, y, cv2.INTER_CUBIC), cell / 4)
    return (values - values.mean()) / values.std()


def _bubble(image: np.ndarray, centre: np.ndarray, radius: float, random: np.random.Generator) -> None:
    """A translucent sphere with a bright rim and one highlight, drawn into ``image``."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    u, v = (x - centre[0]) / radius, (y - centre[1]) / radius
    distance = np.hypot(u, v)
    rim = np.exp(-(((distance - 0.92) / 0.09) ** 2)) * (0.55 - 0.35 * v) * random.uniform(0.3, 1)
    spot = np.exp(-((u + 0.35) ** 2 + (v + 0.4) ** 2) / 0.02)
    inside = 0.12 * (distance < 0.92)
    image += (150 * (rim + spot) - 60 * inside)[..., None] * floats(0.85, 1, 1)
