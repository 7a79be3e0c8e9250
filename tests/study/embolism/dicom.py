"""DICOM series for tests, written slice by slice."""

from __future__ import annotations

import locale
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def write_series(
    folder: Path,
    hu: np.ndarray,
    positions: Sequence[float],
    spacing: tuple[float, float] = (1.0, 1.0),
    number: str = "1",
    prefix: str = "D",
) -> None:
    """Write slice i of ``hu`` (z, y, x) as ``D<i + 1>.dcm`` at z = positions[i] mm; ``spacing`` along y, x."""
    import SimpleITK as sitk

    folder.mkdir(parents=True, exist_ok=True)
    before = locale.setlocale(locale.LC_ALL)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for i, (image, z) in enumerate(zip(hu, positions, strict=True), 1):
        slice_ = sitk.GetImageFromArray(image[None].astype(np.int16))
        slice_.SetSpacing((spacing[1], spacing[0], 1.0))
        slice_.SetOrigin((0.0, 0.0, float(z)))
        tags = {
            "0008|0060": "CT",
            "0008|0018": f"1.2.826.0.1.3680043.2.1125.{number}.{i}",
            "0020|000d": "1.2.826.0.1.3680043.2.1125.9",
            "0020|000e": f"1.2.826.0.1.3680043.2.1125.{number}",
            "0020|0013": str(i),
            "0020|0032": f"0\\0\\{float(z)}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0028|1052": "0",
            "0028|1053": "1",
        }
        for tag, value in tags.items():
            slice_.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{prefix}{i}.dcm"))
        writer.Execute(slice_)
    locale.setlocale(locale.LC_ALL, before)  # the writer leaves it as C
