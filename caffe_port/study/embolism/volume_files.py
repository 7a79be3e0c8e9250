"""Files of CT volumes and of labels: read and written by SimpleITK; labels also in MATLAB's format.

Arrays have the axes z, y, x in the order in which a file stores them; what a header says about the direction of the
axes is not used (see :mod:`caffe_port.study.embolism.volumes`).
"""

from __future__ import annotations

import gzip
import locale
import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import scipy.io
from scipy import ndimage

from caffe_port.errors import CaffeWarning, DataError
from caffe_port.extra import extra
from caffe_port.study.files import by_number

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
_EVERY_NEIGHBOUR = np.ones((3, 3, 3), bool)


def read_image(path: Path, slices: str = "position") -> tuple[np.ndarray, tuple[float, ...]]:
    """The HU of a file or of a folder with a DICOM series: int16 (z, y, x), and the millimetres along z, y, x.

    :param slices: how the slices of a series follow each other: by ``position`` along their normal, or by ``name``
        (numbers in file names count as numbers).
    :raises DataError: it cannot be read, is not three-dimensional, or SimpleITK is not installed.
    """
    image = _read(_series(path, slices) if path.is_dir() else str(path), path)
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise DataError("is not a volume of one number per voxel.", file=path)
    hu = simpleitk(path).GetArrayFromImage(image)
    return to_int16(hu), tuple(map(float, image.GetSpacing()[::-1]))


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
        labels = simpleitk(path).GetArrayFromImage(_read(str(path), path))
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
    sitk = simpleitk(path)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((spacing,) * 3)
    try:
        sitk.WriteImage(image, str(path))
    except RuntimeError as error:
        raise DataError(f"cannot be written: {_cause(error)}", file=path) from None


def to_int16(hu: np.ndarray) -> np.ndarray:
    """HU of any type, rounded and cut off."""
    if hu.dtype == np.int16:
        return hu
    if hu.dtype.kind == "f":
        hu = np.rint(hu)
    return np.clip(hu, -32768, 32767).astype(np.int16)


def simpleitk(file: Path | None = None) -> ModuleType:
    """The module.

    :param file: what needs it, for the message.
    :raises DataError: it is not installed.
    """
    sitk = extra("SimpleITK", "ct", "CT volumes", file, DataError)
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # what matters of ITK's is told by errors and warnings of our own
    return sitk


@contextmanager
def _same_locale() -> Iterator[None]:
    """Reading DICOM leaves the process with the locale C, so with ASCII for what it opens without an encoding."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


def _read(names: str | list[str], path: Path) -> Any:
    if not path.exists():
        raise DataError("There is no such file or folder.", file=path)
    if path.name.endswith((".nii", ".nii.gz")):
        _require_whole(path)
    sitk = simpleitk(path)
    try:
        with _same_locale():
            image = sitk.ReadImage(names)
    except RuntimeError as error:
        remedy = f"Is it whole, and what its name says? A volume is a DICOM series or {', '.join(SUFFIXES)}."
        raise DataError(f"cannot be read as a volume: {_cause(error)}.", file=path, remedy=remedy) from None
    if image.HasMetaDataKey("ITK_non_uniform_sampling_deviation"):
        text = f"{path}: the slices are not evenly spaced; are some missing? Their mean distance is used."
        warnings.warn(text, CaffeWarning, stacklevel=2)
    return image


def _require_whole(path: Path) -> None:
    """Refuse a NIfTI file that is damaged or ends too early: ITK reads zeros from it, without an error."""
    remedy = "Copy or unpack it once more."
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(352)
            size = len(header) + sum(map(len, iter(partial(file.read, 1 << 24), b"")))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"is damaged: {error}.", file=path, remedy=remedy) from None
    order = next((one for one in "<>" if header.startswith(struct.pack(f"{one}i", 348))), None)
    if size < 352 or order is None:
        return  # NIfTI-2, or none at all, as SimpleITK will say
    axes, *sides = struct.unpack_from(f"{order}8h", header, 40)
    (bits,), (start,) = struct.unpack_from(f"{order}h", header, 72), struct.unpack_from(f"{order}f", header, 108)
    if size < start + math.prod(sides[:axes]) * bits / 8:
        raise DataError("ends too early.", file=path, remedy=remedy)


def _cause(error: RuntimeError) -> str:
    """The last line of what SimpleITK says, in which the cause stands."""
    return str(error).strip().splitlines()[-1].strip().removeprefix("sitk::ERROR: ").rstrip(".")


def _series(folder: Path, slices: str) -> list[str]:
    """The files of the DICOM series in ``folder``; of several series the longest, with a warning."""
    reader = simpleitk(folder).ImageSeriesReader
    with _same_locale():
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
