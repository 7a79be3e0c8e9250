"""CT volumes: read by SimpleITK, brought to isotropic millimetres, mapped to 8 bits.

An array has the axes z, y, x in the order in which the file stores them; what the header says about the direction of
the axes is not used, because images and labels of the public sets agree by index where their headers do not. A place
is an index (z, y, x) of the resampled array; times the spacing it is in millimetres from the centre of the first voxel,
which resampling leaves where it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import scipy.io
from scipy import ndimage

from caffe_port.errors import CaffeWarning, DataError, StudyError
from caffe_port.extra import extra
from caffe_port.study.cases import Case
from caffe_port.study.files import by_number

#: The window, in HU, that is usual for pulmonary embolism: level 100, width 700.
WINDOW = (-250, 450)
SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
_AIR = -1024
_EVERY_NEIGHBOUR = np.ones((3, 3, 3), bool)


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
    :raises StudyError: the spacing is not positive.
    """
    if not spacing > 0:
        raise StudyError(f"The spacing of {spacing} mm is not positive.")
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


def read_image(path: Path, slices: str = "position") -> tuple[np.ndarray, tuple[float, ...]]:
    """The HU of a file or of a folder with a DICOM series: int16 (z, y, x), and the millimetres along z, y, x.

    :param slices: how the slices of a series follow each other: by ``position`` along their normal, or by ``name``
        (numbers in file names count as numbers).
    :raises DataError: it cannot be read, is not three-dimensional, or SimpleITK is not installed.
    """
    image = _read(_series(path, slices) if path.is_dir() else str(path), path)
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise DataError("is not a volume of one number per voxel.", file=path)
    hu = _simpleitk(path).GetArrayFromImage(image)
    return _to_int16(hu), tuple(map(float, image.GetSpacing()[::-1]))


def read_labels(path: Path, clots: str = "values") -> np.ndarray:
    """The clots in a file, uint8 or uint16 (z, y, x), 0 outside of clots.

    :param path: of SimpleITK's formats, or a MATLAB file (5 or 7.3) whose ``Mask`` has the axes y, x, z.
    :param clots: ``values`` where every clot has a value of its own; ``components`` where the clots are the connected
        components (26 neighbours) of what is not 0, numbered in the order of their first voxels.
    :raises DataError: it cannot be read or holds other than whole numbers from 0 to 65535.
    """
    if path.suffix == ".mat":
        labels = _read_mat(path)
    else:
        labels = _simpleitk(path).GetArrayFromImage(_read(str(path), path))
    if labels.ndim != 3:
        raise DataError(f"The labels have {labels.ndim} axes instead of three.", file=path)
    box = ndimage.find_objects((labels != 0).view(np.uint8))
    if not box:
        return np.zeros(labels.shape, np.uint8)
    inside = labels[box[0]]
    if clots == "components":
        inside, _ = ndimage.label(inside, _EVERY_NEIGHBOUR)
    if not (np.isfinite(inside).all() and inside.min() >= 0 and inside.max() <= 65535 and (inside % 1 == 0).all()):
        raise DataError("holds labels that are no whole numbers from 0 to 65535.", file=path)
    found = np.zeros(labels.shape, np.min_scalar_type(int(inside.max())))
    found[box[0]] = inside
    return found


def write_volume(path: Path, array: np.ndarray, spacing: float) -> None:
    """Write ``array`` (z, y, x) of isotropic voxels in the format that the name ends with.

    :param spacing: millimetres from voxel to voxel.
    :raises DataError: it cannot be written, or SimpleITK is not installed.
    """
    sitk = _simpleitk(path)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((spacing,) * 3)
    try:
        sitk.WriteImage(image, str(path))
    except RuntimeError as error:
        raise DataError(f"cannot be written: {_cause(error)}", file=path) from None


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
        return _to_int16(hu)
    sitk = _simpleitk()
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing([float(one) for one in spacing[::-1]])
    size = _resampled_shape(hu.shape, spacing, to)[::-1]
    grid = (size, sitk.Transform(), sitk.sitkLinear, (0.0,) * 3, (float(to),) * 3, (1, 0, 0, 0, 1, 0, 0, 0, 1))
    return _to_int16(sitk.GetArrayFromImage(sitk.Resample(image, *grid, _AIR, sitk.sitkFloat32)))


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


def _to_int16(hu: np.ndarray) -> np.ndarray:
    if hu.dtype == np.int16:
        return hu
    if hu.dtype.kind == "f":
        hu = np.rint(hu)
    return np.clip(hu, -32768, 32767).astype(np.int16)


def _simpleitk(file: Path | None = None) -> ModuleType:
    return extra("SimpleITK", "ct", "CT volumes", file, DataError)


def _read(names: str | list[str], path: Path) -> Any:
    if not path.exists():
        raise DataError("There is no such file or folder.", file=path)
    sitk = _simpleitk(path)
    try:
        return sitk.ReadImage(names)
    except RuntimeError as error:
        raise DataError(f"cannot be read as a volume: {_cause(error)}", file=path) from None


def _cause(error: RuntimeError) -> str:
    """The last line of what SimpleITK says, in which the cause stands."""
    return str(error).strip().splitlines()[-1].strip()


def _series(folder: Path, slices: str) -> list[str]:
    """The files of the DICOM series in ``folder``; of several series the longest, with a warning."""
    reader = _simpleitk(folder).ImageSeriesReader
    series = [reader.GetGDCMSeriesFileNames(str(folder), one) for one in reader.GetGDCMSeriesIDs(str(folder))]
    if not series:
        raise DataError("holds no DICOM series.", file=folder)
    files = max(series, key=len)
    if len(series) > 1:
        text = f"{folder} holds {len(series)} DICOM series; only the longest, of {len(files)} slices, is used."
        warnings.warn(text, CaffeWarning, stacklevel=2)
    return sorted(files, key=lambda file: by_number(Path(file).name)) if slices == "name" else list(files)


def _read_mat(path: Path) -> np.ndarray:
    """``Mask`` of a MATLAB file as (z, y, x)."""
    try:
        if h5py.is_hdf5(path):  # there MATLAB's axes are the other way round: z, x, y
            with h5py.File(path, "r") as file:
                return np.swapaxes(file["Mask"][()], 1, 2)
        return np.moveaxis(scipy.io.loadmat(path, variable_names=["Mask"])["Mask"], 2, 0)
    except OSError as error:
        raise DataError(f"cannot be read: {error}.", file=path) from None
    except Exception as error:  # of a broken file, scipy raises whatever its parser stumbles over
        raise DataError(f"is not a MATLAB file with Mask: {error!r}.", file=path) from None
