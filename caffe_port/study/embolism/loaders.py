"""CT angiographies with marked emboli, of the layouts that public data sets and users' own folders have.

A loader takes a folder and gives one :class:`~caffe_port.study.cases.Case` per volume. Its ``lesions`` are its clots,
``<patient>/<number>``; ``info`` says what :mod:`caffe_port.study.embolism.volumes` needs: ``image`` (a file or a folder
with a DICOM series), ``slices`` (their order, ``position`` or ``name``), ``label`` (a file, empty where the volume is
known to be without emboli) and ``clots`` (``values`` or ``components``). Labels are read at once, since they tell the
clots; images only when they are needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from caffe_port.errors import DataError
from caffe_port.study.cases import Case
from caffe_port.study.embolism.volume_files import SUFFIXES, read_labels
from caffe_port.study.embolism.volumes import clot_numbers
from caffe_port.study.files import require_folder, usable_id

#: An empty file beside a volume that has no label because it has no emboli.
NO_EMBOLI = "no-emboli"


def load_cad_pe(data: Path) -> list[Case]:
    """CAD-PE: ``images/001.nrrd`` (or ``e0032.nrrd``) and ``rs/0001RefStd.nrrd`` (or ``e0032RefStd.nrrd``), matched on
    the number and the letters before it; leading zeros do not count. Every clot has a value of its own.

    :raises DataError: there is no scan, one has no reference, two have the same number, a reference cannot be read.
    """
    folder = _inside(data, "rs/*RefStd.nrrd").parent.parent
    references = _numbered(sorted((folder / "rs").glob("*RefStd.nrrd")))
    images = _numbered(sorted((folder / "images").glob("*.nrrd")))
    return _cases([(path.stem, path, _reference(references.get(key), path)) for key, path in images.items()], data)


def load_fumpe(data: Path) -> list[Case]:
    """FUMPE: ``CT_scans/PAT001/*.dcm`` and ``GroundTruth/PAT001.mat``, whose slices follow the file names. Clots are
    the connected components of the mask.

    :raises DataError: there is no scan, one has no mask, or a mask cannot be read.
    """
    folder = _inside(data, "CT_scans/PAT*").parent.parent
    scans = [path for path in sorted((folder / "CT_scans").glob("PAT*")) if path.is_dir()]
    found = [(path.name, path, _reference(folder / "GroundTruth" / f"{path.name}.mat", path)) for path in scans]
    return _cases(found, data, slices="name", clots="components")


def load_read_pe(data: Path) -> list[Case]:
    """READ-PE: ``GE (DICOM files)/01GE`` and ``TOSHIBA (DICOM files)/01TS``, and ``01GE.nii.gz`` in a folder of the
    labels. Slices by their position agree with the labels by index, although the headers disagree on their direction.
    Clots are the connected components of the labels.

    :raises DataError: there is no scan, one has no label, or a label cannot be read.
    """
    maker = _inside(data, "*(DICOM files)/*[GT][ES]")
    scans = [path for path in sorted(maker.parent.parent.glob("*(DICOM files)/*[GT][ES]")) if path.is_dir()]
    labels = {path.name: path for path in sorted(data.rglob("*.nii.gz"))}
    found = [(path.name, path, _reference(labels.get(f"{path.name}.nii.gz"), path)) for path in scans]
    return _cases(found, data, clots="components")


def load_volumes(data: Path) -> list[Case]:
    """A folder per patient: ``volume.nii.gz`` (or .nii, .nrrd, .mha, or a folder ``volume`` with a DICOM series) and
    ``label.nii.gz`` (likewise, or .mat with ``Mask``), which agree by index (a series goes by the position of its
    slices). In the label every clot has a value of its own. A volume without emboli has a label of zeros, or an empty
    file ``no-emboli`` in place of it.

    :raises DataError: a folder lacks a volume or a label, or has two, or a label cannot be read.
    """
    found = []
    for folder in sorted(path.parent for path in _volumes(data)):
        image = _only(folder, "volume", ("", *SUFFIXES))
        if (folder / NO_EMBOLI).is_file():
            label = None
            if any(folder.glob("label.*")):
                raise DataError(f"holds a label and says {NO_EMBOLI}.", file=folder, remedy="Remove one of them.")
        else:
            label = _only(folder, "label", (*SUFFIXES, ".mat"))
        found.append((folder.name, image, label))
    return _cases(found, data)


#: Layout -> its loader, the most particular first.
DATASETS: Mapping[str, Callable[[Path], list[Case]]] = {
    "cad-pe": load_cad_pe,
    "fumpe": load_fumpe,
    "read-pe": load_read_pe,
    "volumes": load_volumes,
}
#: What tells the layout of a public data set: this path, at most two folders down.
_SIGNS = {
    "cad-pe": "rs/*RefStd.nrrd",
    "fumpe": "CT_scans/PAT*",
    "read-pe": "*(DICOM files)/*[GT][ES]",
}


def detect(data: Path) -> str:
    """Which of :data:`DATASETS` the folder ``data`` has the layout of.

    :raises DataError: none, or there is no such folder.
    """
    require_folder(data)
    for layout, sign in _SIGNS.items():
        if _found(data, sign):
            return layout
    if _volumes(data):
        return "volumes"
    raise DataError(
        "has the layout of no data set of CT angiographies.",
        file=data,
        remedy="Make a folder per patient with volume.nii.gz (or .nii, .nrrd, .mha, or a folder volume of DICOM files) "
        f"and label.nii.gz. Other layouts: {', '.join(name for name in DATASETS if name != 'volumes')}.",
    )


def _cases(
    found: Sequence[tuple[str, Path, Path | None]], data: Path, slices: str = "position", clots: str = "values"
) -> list[Case]:
    """Cases of patients with their images and labels; a label of None is a volume without emboli."""
    if not found:
        raise DataError("holds no volume.", file=data)
    cases = []
    for patient, image, label in found:
        numbers = clot_numbers(read_labels(label, clots)) if label else []
        info = {"image": str(image), "slices": slices, "label": str(label or ""), "clots": clots}
        cases.append(
            Case(usable_id(patient), patient, info=info, lesions=tuple(f"{patient}/{number}" for number in numbers))
        )
    return cases


def _numbered(paths: list[Path]) -> dict[tuple[str, int], Path]:
    """Files by the letters and the number that their names begin with."""
    found: dict[tuple[str, int], Path] = {}
    for path in paths:
        match = re.match(r"([A-Za-z]*)(\d+)", path.name)
        if match is None:
            raise DataError("The name has no number.", file=path, remedy="Scans are called 001.nrrd or e0032.nrrd.")
        key = (match[1].lower(), int(match[2]))
        if key in found:
            raise DataError(f"has the same number as {found[key].name}.", file=path, remedy="Remove one of them.")
        found[key] = path
    return found


def _reference(path: Path | None, image: Path) -> Path:
    if path is None or not path.is_file():
        raise DataError("has no label.", file=image, remedy=f"Expected {path}." if path else None)
    return path


def _volumes(data: Path) -> list[Path]:
    """What may be the volume of a patient, one per folder."""
    found = [path for path in data.glob("*/volume*") if path.name in {f"volume{end}" for end in ("", *SUFFIXES)}]
    return list({path.parent: path for path in found}.values())


def _only(folder: Path, stem: str, suffixes: tuple[str, ...]) -> Path:
    """The one file in ``folder`` called ``stem`` with one of ``suffixes``."""
    paths = [path for path in (folder / f"{stem}{suffix}" for suffix in suffixes) if path.exists()]
    if not paths:
        names = ", ".join(f"{stem}{suffix}" for suffix in suffixes)
        remedy = f"Expected one of {names}" + (f", or an empty file {NO_EMBOLI}." if stem == "label" else ".")
        raise DataError(f"has no {stem}.", file=folder, remedy=remedy)
    if len(paths) > 1:
        raise DataError(f"has {' and '.join(path.name for path in paths)}.", file=folder, remedy="Remove all but one.")
    return paths[0]


def _found(data: Path, sign: str) -> Path | None:
    """The first path that agrees with ``sign`` at or at most two folders under ``data``."""
    return next((path for depth in ("", "*/", "*/*/") for path in sorted(data.glob(depth + sign))), None)


def _inside(data: Path, sign: str) -> Path:
    require_folder(data)
    found = _found(data, sign)
    if found is None:
        raise DataError(f"has no {sign} in it.", file=data, remedy="Give the folder that the archive unpacks to.")
    return found
