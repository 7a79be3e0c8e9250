"""CT volumes of cases: brought to isotropic millimetres, mapped to 8 bits.

An array has the axes z, y, x in the order in which the file stores them; what the header says about the direction of
the axes is not used, because images and labels of the public sets agree by index where their headers do not. A place
is an index (z, y, x) of the resampled array; times the spacing it is in millimetres from the centre of the first voxel,
which resampling leaves where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from caffe_port.errors import DataError
from caffe_port.study.cases import Case
from caffe_port.study.embolism.volume_files import read_image, read_labels, simpleitk, to_int16

#: The window, in HU, that is usual for pulmonary embolism: level 100, width 700.
WINDOW = (-250, 450)
_AIR = -1024


@dataclass(frozen=True)
class Volume:
    """A CT volume on an isotropic grid.

    :param hu: int16 (z, y, x), Hounsfield units; read-only.
    :param spacing: millimetres from voxel to voxel.
    :param stored_shape: shape (z, y, x) of the file.
    :param stored_spacing: its millimetres along z, y, x.
    """

    hu: np.ndarray
    spacing: float
    stored_shape: tuple[int, ...]
    stored_spacing: tuple[float, ...]


def load_volume(case: Case, spacing: float) -> Volume:
    """The image of a case, linearly resampled. The last four are kept, since patches and scores ask for them again.

    :param spacing: millimetres from voxel to voxel.
    :raises DataError: the image cannot be read, or SimpleITK is not installed.
    """
    return _load(case.info["image"], case.info["slices"], spacing)


def load_labels(case: Case, volume: Volume) -> np.ndarray:
    """The clots of a case on the grid of its ``volume``: integers (z, y, x), 0 outside of clots, else the number that
    ends the clot's id. Resampled to the nearest voxel; a clot that falls between voxels keeps the one nearest to its
    middle.

    :raises DataError: the labels cannot be read, do not fit the image, or two clots share their only voxel.
    """
    if not case.info["label"]:
        return np.zeros(volume.hu.shape, np.uint8)
    labels = read_labels(Path(case.info["label"]), case.info["clots"])
    if labels.shape != volume.stored_shape:
        raise DataError(
            f"The labels have the shape (z, y, x) {labels.shape}, their image has {volume.stored_shape}.",
            file=case.info["label"],
            remedy=f"They must agree voxel by voxel with {case.info['image']}.",
        )
    try:
        return resample_labels(labels, volume.stored_spacing, volume.spacing)
    except DataError as error:
        raise error.at(file=case.info["label"]) from None


def window(hu: np.ndarray, low: float = WINDOW[0], high: float = WINDOW[1]) -> np.ndarray:
    """HU as 8 bits: ``low`` and below become 0, ``high`` and above 255, linear between.

    The paper does not tell its window.
    """
    return np.rint(np.clip((np.asarray(hu, np.float32) - low) * (255 / (high - low)), 0, 255)).astype(np.uint8)


def clot_numbers(labels: np.ndarray) -> list[int]:
    """The numbers of the clots in ``labels``, ascending."""
    numbers: list[int] = np.flatnonzero(np.bincount(labels[labels > 0])).tolist()
    return numbers


def resample(hu: np.ndarray, spacing: Sequence[float], to: float) -> np.ndarray:
    """``hu`` (z, y, x) with ``spacing`` millimetres along z, y, x, linearly interpolated on a grid of ``to``
    millimetres, as int16. The first voxel stays in place and nothing is extrapolated: an axis of n voxels gets
    floor((n - 1) spacing / to) + 1.

    :raises DataError: SimpleITK is not installed.
    """
    if all(abs(one - to) < 1e-6 * to for one in spacing):
        return to_int16(hu)
    sitk = simpleitk()
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing([float(one) for one in spacing[::-1]])
    size = _resampled_shape(hu.shape, spacing, to)[::-1]
    grid = (size, sitk.Transform(), sitk.sitkLinear, (0.0,) * 3, (float(to),) * 3, (1, 0, 0, 0, 1, 0, 0, 0, 1))
    return to_int16(sitk.GetArrayFromImage(sitk.Resample(image, *grid, _AIR, sitk.sitkFloat32)))


def resample_labels(labels: np.ndarray, spacing: Sequence[float], to: float) -> np.ndarray:
    """``labels`` (z, y, x) on the grid of :func:`resample`, by the nearest voxel.

    :raises DataError: two clots share their only voxel.
    """
    shape = _resampled_shape(labels.shape, spacing, to)
    scale = np.asarray(spacing) / to
    nearest = [
        np.minimum(np.rint(np.arange(n) / factor).astype(int), old - 1)
        for n, factor, old in zip(shape, scale, labels.shape, strict=True)
    ]
    new = labels[np.ix_(*nearest)]
    for number in sorted(set(clot_numbers(labels)) - set(clot_numbers(new))):
        voxels = np.argwhere(labels == number)
        middle = voxels[np.argmin(((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1))]
        new[tuple(np.minimum(np.rint(middle * scale).astype(int), np.array(shape) - 1))] = number
    lost = set(clot_numbers(labels)) - set(clot_numbers(new))
    if lost:
        text = f"Clot {min(lost)} shares its only voxel with another one."
        raise DataError(text, remedy=f"The spacing of {to:g} mm is too coarse: choose a smaller one.")
    return new


def _resampled_shape(shape: Sequence[int], spacing: Sequence[float], to: float) -> tuple[int, ...]:
    """A thousandth of a voxel is allowed for spacings that are rounded in headers."""
    return tuple(int((n - 1) * one / to + 1e-3) + 1 for n, one in zip(shape, spacing, strict=True))


@lru_cache(maxsize=4)
def _load(path: str, slices: str, spacing: float) -> Volume:
    stored, stored_spacing = read_image(Path(path), slices)
    hu = resample(stored, stored_spacing, spacing)
    hu.flags.writeable = False
    return Volume(hu, spacing, stored.shape, stored_spacing)
