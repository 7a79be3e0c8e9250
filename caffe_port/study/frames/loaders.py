"""Labelled frames of the layouts that public data sets and users' own folders have.

A loader takes a folder and gives one :class:`~caffe_port.study.cases.Case` per frame: label 1 for an informative frame,
0 for a non-informative one, and as ``patient`` the video where names tell it. ``info`` holds ``path``, ``kind`` (the
name of the class folder) and, where a data set burns a navigation box into some frames, ``overlay``: its rectangle as
parts of width and height (left, top, right, bottom). The images are read only when they are needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from caffe_port.errors import DataError
from caffe_port.study.cases import Case
from caffe_port.study.files import VIDEOS_FILE, images_in, read_pairs, require_folder, usable_id
from caffe_port.study.frames.layouts import INFORMATIVE, LABEL_OF, LABELS, NAVIGATION_BOX, classes_of

CLASSES_FILE = "classes.csv"
#: The video of a frame by its path.
VideoOf = Callable[[Path], str]


def load_folders(data: Path) -> list[Case]:
    """One folder per class: ``informative/`` and ``non-informative/``, or any with ``classes.csv``.

    ``classes.csv`` has the columns class,label; a label is ``informative``, ``non-informative`` or ``left-out``. Frames
    are called ``<video>_<number>``, with anything after another ``_``, or ``videos.csv`` has the columns file,video
    (file: the path from ``data``) for every frame.

    :raises DataError: a folder or a table is missing or wrong, a name tells no video, two frames share a name.
    """
    labels = _read_classes(data / CLASSES_FILE) if (data / CLASSES_FILE).is_file() else INFORMATIVE
    if (data / VIDEOS_FILE).is_file():
        table = read_pairs(data / VIDEOS_FILE, "file", "video")
        return _cases(data, labels, lambda path: _listed_video(path, data, table))
    return _cases(data, labels, _video_of_name)


def load_hyperkvasir(data: Path) -> list[Case]:
    """HyperKvasir's labelled images: the classes of mucosal views of the lower tract, a stand-in label (how clean the
    bowel is). No name tells a video: every frame counts as one of its own, and splits go by frame.

    :raises DataError: see :func:`load_folders`.
    """
    views = _inside(data, "lower-gi-tract/quality-of-mucosal-views", 2)
    return _cases(views, classes_of("hyper-kvasir"), _own_video, NAVIGATION_BOX)


def load_nerthus(data: Path) -> list[Case]:
    """Nerthus: folders 0 to 3 by bowel preparation (BBPS), a stand-in label; 21 videos.

    :raises DataError: see :func:`load_folders`.
    """
    return _cases(_inside(data, "3", 2), classes_of("nerthus"), _nerthus_video, NAVIGATION_BOX)


def load_biomedia(data: Path) -> list[Case]:
    """BioMedia 2019 / Medico 2018: a folder per class. No name tells a video (see :func:`load_hyperkvasir`).

    :raises DataError: see :func:`load_folders`.
    """
    return _cases(_inside(data, "blurry-nothing", 1), classes_of("biomedia-2019"), _own_video, NAVIGATION_BOX)


def load_nbi_infframes(data: Path) -> list[Case]:
    """NBI-InfFrames (larynx): ``Fold1`` to ``Fold3``, each with I, B, S and U. It is known which fold a frame is
    in, not which video; folds are meant to be by patient (unverified), so that a fold takes the place of a video.

    :raises DataError: see :func:`load_folders`.
    """
    folder = _inside(data, "Fold1", 1)
    folds = sorted(path for path in folder.iterdir() if path.is_dir() and path.name.startswith("Fold"))
    classes = classes_of("nbi-infframes")
    return [case for fold in folds for case in _cases(fold, classes, lambda path: path.parts[-3], prefix=fold.name)]


#: Layout -> its loader, the most particular first.
DATASETS: Mapping[str, Callable[[Path], list[Case]]] = {
    "hyperkvasir": load_hyperkvasir,
    "nerthus": load_nerthus,
    "biomedia": load_biomedia,
    "nbi-infframes": load_nbi_infframes,
    "folders": load_folders,
}
#: What tells a layout: one of these paths, at most two folders down.
_SIGNS = {
    "folders": (CLASSES_FILE, *INFORMATIVE),
    "hyperkvasir": ("lower-gi-tract/quality-of-mucosal-views",),
    "nerthus": ("0/bowel_*_score_*", "3/bowel_*_score_*"),
    "biomedia": ("blurry-nothing",),
    "nbi-infframes": ("Fold1/I",),
}


def detect(data: Path) -> str:
    """Which of :data:`DATASETS` the folder ``data`` has the layout of.

    :raises DataError: none, or there is no such folder.
    """
    require_folder(data)
    for layout, signs in _SIGNS.items():
        depths = ("",) if layout == "folders" else ("", "*/", "*/*/")
        if any(next(data.glob(depth + sign), None) is not None for depth in depths for sign in signs):
            return layout
    raise DataError(
        "has the layout of no data set of labelled frames.",
        file=data,
        remedy=f"Make folders informative and non-informative, or write a {CLASSES_FILE} (class,label) beside your own "
        f"class folders. Other layouts: {', '.join(name for name in DATASETS if name != 'folders')}.",
    )


def _cases(
    data: Path,
    labels: Mapping[str, int | None],
    video_of: VideoOf,
    overlay: tuple[float, ...] | None = None,
    prefix: str = "",
) -> list[Case]:
    """The frames of the class folders in ``data``, in the order of their paths."""
    cases: dict[str, Case] = {}
    for kind in _class_folders(data, labels):
        label = labels[kind]
        if label is None:
            continue
        for path in images_in(data / kind):
            id_ = usable_id("-".join(filter(None, [prefix, kind, path.stem])))
            if id_ in cases:
                other = cases[id_].info["path"]
                raise DataError(f"has the same name as {other}.", file=path, remedy="Remove or rename one of them.")
            info = {"path": str(path), "kind": kind} | ({"overlay": list(overlay)} if overlay else {})
            cases[id_] = Case(id_, video_of(path), label, info)
    for label, name in enumerate(LABELS):
        if not any(case.label == label for case in cases.values()):
            wanted = ", ".join(kind for kind, value in labels.items() if value == label)
            raise DataError(
                f"holds no {name} frame.", file=data, remedy=f"They are looked for in: {wanted or 'no folder'}."
            )
    return list(cases.values())


def _class_folders(data: Path, labels: Mapping[str, int | None]) -> list[str]:
    """Names of the folders in ``data``, each one a class that has a label or is left out on purpose."""
    require_folder(data)
    present = sorted(path.name for path in data.iterdir() if path.is_dir() and not path.name.startswith("."))
    for name in present:
        if name not in labels:
            raise DataError(
                f"holds a folder of an unknown class: {name}.",
                file=data,
                remedy=f"Known are {', '.join(labels)}. For other classes write a {CLASSES_FILE} with the columns "
                "class,label and use the layout folders.",
            )
    return present


def _inside(data: Path, sign: str, depth: int) -> Path:
    """The folder at or at most ``depth`` levels under ``data`` from which ``sign`` is a path."""
    require_folder(data)
    for level in range(depth + 1):
        found = next(iter(sorted(data.glob("*/" * level + sign))), None)
        if found is not None:
            return found if "/" in sign else found.parent
    raise DataError(f"has no folder {sign} in it.", file=data, remedy="Give the folder that the archive unpacks to.")


def _own_video(path: Path) -> str:
    return path.stem


def _video_of_name(path: Path) -> str:
    """What stands before the last number: ``v03`` of ``v03_0012.jpg``, ``a_v03`` of ``a_v03_0012_blur.png``."""
    match = re.fullmatch(r"(.+)_\d+(_.*)?", path.stem)
    if match is None:
        raise DataError(
            "The name tells no video, and frames of one video must not be on both sides of a split.",
            file=path,
            remedy=f"Call frames <video>_<number>, or write a {VIDEOS_FILE} with the columns file,video.",
        )
    return match[1]


def _nerthus_video(path: Path) -> str:
    match = re.fullmatch(r"bowel_(\d+)_score_.*", path.stem)
    if match is None:
        raise DataError(
            "is no name of a Nerthus frame.", file=path, remedy="They are bowel_<video>_score_<a>-<b>_<number>.jpg."
        )
    return f"bowel_{match[1]}"


def _listed_video(path: Path, data: Path, table: Mapping[str, str]) -> str:
    name = path.relative_to(data).as_posix()
    if name not in table:
        raise DataError(f"has no line for {name}.", file=data / VIDEOS_FILE, remedy="Add its video.")
    return table[name]


def _read_classes(path: Path) -> dict[str, int | None]:
    table = read_pairs(path, "class", "label")
    for kind, label in table.items():
        if label not in LABEL_OF:
            raise DataError(
                f"Class {kind} has the label '{label}'.", file=path, remedy=f"Labels are {', '.join(LABEL_OF)}."
            )
    return {kind: LABEL_OF[label] for kind, label in table.items()}
