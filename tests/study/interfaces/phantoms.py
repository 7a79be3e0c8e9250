"""Procedural ultrasound-like regions for tests: a dark lumen over two bright layers, in speckle."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import scipy.io

from caffe_port.study.interfaces.callipers import find_crosses
from caffe_port.study.interfaces.regions import Region
from caffe_port.study.interfaces.traces import Traces

HEIGHT, WIDTH = 120, 160


def wall(seed: int, height: int = HEIGHT, width: int = WIDTH) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image (H, W) uint8, and the rows of LI and MA at every column."""
    random = np.random.default_rng(seed)
    x = np.arange(width)
    li = height * 0.5 + random.uniform(-8, 8) + random.uniform(1, 4) * np.sin(x / random.uniform(30, 60))
    ma = li + random.uniform(8, 13)
    y = np.arange(height)[:, None]
    image = 8 + 70 * _step(y - li) * (1 - 0.8 * _step(y - li - 4)) + 120 * _step(y - ma)
    image = cv2.GaussianBlur(image * random.gamma(4, 1 / 4, image.shape), (0, 0), 1)
    return image.clip(0, 255).astype(np.uint8), li, ma


def _step(distance: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-2 * distance))


def region(seed: int, mm: float = 0.06) -> Region:
    """A region of such an image, away from its borders, not in its middle."""
    image, li, ma = wall(seed)
    traces = Traces(20, li[20:-20], ma[20:-20])
    return Region(
        f"phantom{seed}",
        f"exam{seed}",
        image,
        traces,
        int(li.min()) - 18,
        int(ma.max()) + 24,
        mm,
        np.empty((0, 2), int),
    )


def with_crosses(region: Region, *places: tuple[int, int]) -> Region:
    """``region`` with calliper crosses at these x, y burnt in, and found."""
    image = region.image.copy()
    for x, y in places:
        draw_cross(image, x, y)
    return replace(region, image=image, crosses=find_crosses(image))


def draw_cross(image: np.ndarray, x: int, y: int) -> None:
    """Burn in a calliper cross, as the machines of the Cyprus images do."""
    for value, thick in ((0, 1), (176, 0)):
        for distance in range(2, 6):
            for dx, dy in ((distance, 0), (-distance, 0), (0, distance), (0, -distance)):
                rows, columns = (slice(c - thick, c + thick + 1) for c in (y + dy, x + dx))
                image[rows, columns] = value
    image[y, x] = 90


def cyprus_folder(folder: Path, exams: list[str], repeat: bool = False) -> Path:
    """Images in the layout of the Cyprus set, one for each entry of ``exams``; the last a copy of the first."""
    rows = []
    for number, exam in enumerate(exams):
        image, li, ma = wall(0 if repeat and number == len(exams) - 1 else number)
        name = f"P{number}"
        (folder / name).mkdir(parents=True)
        (folder / name / f"{name}.CRI").write_bytes(cv2.imencode(".tiff", image)[1].tobytes())
        x = np.random.default_rng(number).permutation(np.arange(10, WIDTH - 10, 14))  # clicks are in no order
        points = {"Param_3": np.empty((2 * len(x), 1)), "Param_4": np.empty((2 * len(x), 1))}
        for parity, rows_of in enumerate((li, ma)):
            points["Param_3"][parity::2, 0] = x + 1
            points["Param_4"][parity::2, 0] = rows_of[x] + 1
        with (folder / name / f"{name}.scl").open("wb") as file:
            scipy.io.savemat(file, points)
        rows.append({"id": name, "exam": exam, "mm_per_px": 0.06, "imt_mm": 0.6})
    with (folder / "cases.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder
