"""Loaders of public carotid data sets: where images, expert points and pixel sizes lie.

Every loader gives cases whose ``info`` has ``image`` (path), ``li`` and ``ma`` (points x, y of the interfaces, counted
from 0), ``mm`` (millimetres per pixel) and ``rect`` (x, y, width, height of the region of interest, or None).
"""

from __future__ import annotations

import csv
import hashlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from caffe_port.data.images import read_image
from caffe_port.errors import CaffeWarning, DataError
from caffe_port.study.cases import Case

#: The expert whose traces are the reference in both parts of CUBS.
_EXPERT = "Manual-A1"


def load_cubs_v1(folder: Path) -> list[Case]:
    """CUBS, clinical part (Meiburger et al. 2021, doi 10.17632/fpv535fss7.1): 2,176 images of 1,088 patients.

    ``IMAGES/clin_0001_L.tiff``, ``CF/clin_0001_L_CF.txt`` with millimetres per pixel, and in
    ``SEGMENTATIONS/Manual-A1`` ``clin_0001_L-LI.txt``, ``-MA.txt`` and, where it exists, ``_rect.txt``. Left and right
    side belong to one patient.

    :raises DataError: an image has no calibration or traces, or a file is not what it should be.
    """
    profiles = folder / "SEGMENTATIONS" / _EXPERT
    return _cubs(folder / "IMAGES", folder / "CF", profiles, "clin_*.tif*", lambda name: name.rsplit("_", 1)[0])


def load_cubs_v2(folder: Path) -> list[Case]:
    """CUBS, technical part (Meiburger et al. 2022, doi 10.17632/m7ndn58sv6.1): 500 images, each taken as a patient.

    ``images/tech_001.tiff``, ``CF/tech_001_CF.txt``, ``LIMA-Profiles/Manual-A1/tech_001-LI.txt`` and ``-MA.txt``.

    :raises DataError: as :func:`load_cubs_v1`.
    """
    return _cubs(folder / "images", folder / "CF", folder / "LIMA-Profiles" / _EXPERT, "tech_*.tif*", lambda name: name)


def load_cyprus(folder: Path) -> list[Case]:
    """The IMT segmentation set of the University of Cyprus (Loizou et al. 2007).

    ``<ID>/<ID>.CRI`` is a TIFF image, ``<ID>/<ID>.scl`` a MATLAB 5 file whose Param_3 and Param_4 are x and y of the
    expert's points, counted from 1, intima and media in turn. ``cases.csv`` beside the folders gives ``id``, ``exam``
    (what splits go by) and ``mm_per_px``.

    :raises DataError: cases.csv lacks a column or names a case that is not there, or a file is not what it should be.
    """
    table = folder / "cases.csv"
    try:
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise DataError(f"Could not open or find file: {error.strerror}.", file=table) from None
    cases = []
    for line, row in enumerate(rows, 2):
        try:
            name, exam, mm = row["id"], row["exam"], float(row["mm_per_px"])
        except (KeyError, TypeError, ValueError):
            text = "A row needs the columns id, exam and mm_per_px (a number)."
            raise DataError(text, file=table, line=line) from None
        li, ma = _read_scl(folder / name / f"{name}.scl")
        cases.append(_case(name, exam, folder / name / f"{name}.CRI", li, ma, mm))
    return without_repeats(cases)


#: Loaders by the name of their data set.
DATASETS: Mapping[str, Callable[[Path], list[Case]]] = {
    "cyprus": load_cyprus,
    "cubs-v1": load_cubs_v1,
    "cubs-v2": load_cubs_v2,
}


def detect_dataset(folder: Path) -> str:
    """Which of the data sets has the layout of ``folder``.

    :raises DataError: none.
    """
    if (folder / "cases.csv").is_file():
        return "cyprus"
    if (folder / "SEGMENTATIONS").is_dir():
        return "cubs-v1"
    if (folder / "LIMA-Profiles").is_dir():
        return "cubs-v2"
    raise DataError(
        "This folder has none of the known layouts.",
        file=folder,
        remedy="It needs cases.csv (cyprus), SEGMENTATIONS (cubs-v1) or LIMA-Profiles (cubs-v2).",
    )


def without_repeats(cases: Iterable[Case]) -> list[Case]:
    """``cases`` without those whose image equals, pixel by pixel, that of an earlier one; a warning names them."""
    first: dict[str, str] = {}
    kept = []
    for case in cases:
        image = read_image(case.info["image"], colour=False)
        digest = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
        if digest in first:
            text = f"The image of {case.id} is that of {first[digest]} again; it is left out."
            warnings.warn(text, CaffeWarning, stacklevel=3)
        else:
            first[digest] = case.id
            kept.append(case)
    return kept


def _cubs(images: Path, factors: Path, profiles: Path, pattern: str, patient: Callable[[str], str]) -> list[Case]:
    """Cases of both parts of CUBS, which differ in names only."""
    paths = sorted(images.glob(pattern))
    if not paths:
        raise DataError(f"There is no image {pattern}.", file=images)
    cases = []
    for path in paths:
        name = path.stem
        mm = _numbers(factors / f"{name}_CF.txt").ravel()
        if mm.size != 1 or not mm[0] > 0:
            raise DataError("The calibration must be one positive number.", file=factors / f"{name}_CF.txt")
        li, ma = (read_profile(profiles / f"{name}-{interface}.txt") for interface in ("LI", "MA"))
        rect = profiles / f"{name}_rect.txt"
        cases.append(_case(name, patient(name), path, li, ma, float(mm[0]), _read_rect(rect)))
    return cases


def _case(
    name: str, patient: str, image: Path, li: np.ndarray, ma: np.ndarray, mm: float, rect: list[float] | None = None
) -> Case:
    return Case(name, patient, None, {"image": str(image), "li": li, "ma": ma, "mm": mm, "rect": rect})


def read_profile(path: Path) -> np.ndarray:
    """The points (N, 2) of a CUBS profile as x, y counted from 0: N lines "x y", or a line of all x and one of all y.

    Two lines of two numbers fit both layouts; interfaces are nearly level, so that the leveller reading is right.

    :raises DataError: the file is missing or has neither layout.
    """
    points = _numbers(path)
    if points.ndim != 2 or 2 not in points.shape or points.size < 4:
        raise DataError('The profile is neither N lines "x y" nor two lines, all x and all y.', file=path)
    if points.shape[1] != 2 or (points.shape == (2, 2) and _slope(points.T) < _slope(points)):
        points = points.T
    return points - 1.0


def _slope(points: np.ndarray) -> float:
    """Of the line through two points, without its sign."""
    width, height = np.abs(points[1] - points[0])
    return float(height / width) if width else float("inf")


def _read_rect(path: Path) -> list[float] | None:
    """x, y, width and height, counted from 0; None if there is no such file."""
    if not path.exists():
        return None
    numbers = _numbers(path).ravel()
    if numbers.size != 4 or min(numbers[2:]) <= 0:
        raise DataError("The region must be four numbers: x y width height.", file=path)
    return [*(numbers[:2] - 1.0).tolist(), *numbers[2:].tolist()]


def _numbers(path: Path) -> np.ndarray:
    """The numbers of a text file as one row for every line that is not blank."""
    try:
        rows = [[float(word) for word in line.split()] for line in path.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise DataError(f"Could not open or find file: {error.strerror}.", file=path) from None
    except ValueError as error:
        raise DataError(f"Not a file of numbers: {error}.", file=path) from None
    if len({len(row) for row in rows}) != 1:
        raise DataError("The lines must have equally many numbers.", file=path)
    return np.array(rows)


def _read_scl(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points x, y of intima and media, counted from 0."""
    try:
        content: dict[str, Any] = scipy.io.loadmat(path)
        points = np.stack([content[name].ravel().astype(np.float64) for name in ("Param_3", "Param_4")], axis=1)
    except OSError as error:
        raise DataError(f"Could not open or find file: {error.strerror}.", file=path) from None
    except Exception as error:  # of a broken file, scipy raises whatever its parser stumbles over
        raise DataError(f"Not a MATLAB 5 file with Param_3 and Param_4: {error!r}.", file=path) from None
    if len(points) % 2 or len(points) < 4:
        raise DataError(f"Param_3 has {len(points)} values; intima and media must be in turn.", file=path)
    return points[0::2] - 1.0, points[1::2] - 1.0
