"""Frames of discs on a banded wall, drawn by formulas: for tests, and no evidence about polyps."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from caffe_port import rng
from caffe_port.study.cases import Case
from caffe_port.study.polyps.loaders import load_masks

SIZE = (200, 160)


def disc_frame(*key: int | str, polyps: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A frame (H, W, 3) with dark straight bands, bright streaks and ``polyps`` domes, and its mask."""
    random = rng.numpy_generator("discs", *key)
    width, height = SIZE
    y, x = np.mgrid[:height, :width].astype(np.float32)
    image = np.full((height, width), 150.0) + random.uniform(-20, 20) + 0.1 * (x - y)
    for _ in range(3):  # folds
        angle, offset = random.uniform(0, np.pi), random.uniform(-60, 60)
        across = (x - width / 2) * np.cos(angle) + (y - height / 2) * np.sin(angle) - offset
        image -= 45 * np.exp(-((across / 5) ** 2))
    mask = np.zeros((height, width), np.uint8)
    for _ in range(polyps):
        radius, aspect = random.uniform(15, 26), random.uniform(0.8, 1.25)
        place = random.uniform([35, 35], [width - 35, height - 35])
        distance = np.hypot((x - place[0]) / aspect, (y - place[1]) * aspect) / radius
        image = np.where(distance < 1, 195 - 40 * distance**2, image)
        image -= 60 * np.exp(-(((distance - 1.1) / 0.1) ** 2))  # the shadow around it
        mask[distance < 1] = 255
    for _ in range(6):  # highlights
        at, along = random.uniform([0, 0], SIZE), random.uniform(-8, 8, 2)
        cv2.line(image, tuple(at.astype(int).tolist()), tuple((at + along).astype(int).tolist()), 250.0, 2)
    colour = image[..., None] * np.array([0.6, 0.75, 1.0]) + random.normal(0, 3, (height, width, 3))
    return np.clip(colour, 0, 255).astype(np.uint8), mask


def write_videos(folder: Path, videos: int, frames: int, name: str = "v") -> list[Case]:
    """``videos`` of ``frames`` in the layout ``masks``; every third frame has no polyp. Returns their cases."""
    for video in range(videos):
        inside = folder / f"{name}{video}"
        for part in ("images", "masks"):
            (inside / part).mkdir(parents=True, exist_ok=True)
        for number in range(frames):
            image, mask = disc_frame(name, video, number, polyps=int(number % 3 != 2))
            cv2.imwrite(str(inside / "images" / f"f{number}.png"), image)
            cv2.imwrite(str(inside / "masks" / f"f{number}.png"), mask)
    return load_masks(folder)
