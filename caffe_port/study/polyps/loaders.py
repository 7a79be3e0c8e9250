"""Frames with polyps and without, of the layouts that public data sets and users' own folders have.

A loader takes a folder and gives one :class:`~caffe_port.study.cases.Case` per frame, as
:func:`~caffe_port.study.polyps.layouts.cases_of` describes it: what splits go by is the video or sequence where the
data tell it, and polyps keep their ids through it.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from caffe_port.errors import CaffeWarning, DataError
from caffe_port.manifests import load
from caffe_port.study.cases import Case
from caffe_port.study.files import VIDEOS_FILE, by_number
from caffe_port.study.polyps.layouts import Frame, Video, by_video, cases_of, frames_in, pair

#: What folders of frames and of masks are called.
FRAMES, MASKS = ("images", "frames", "image"), ("masks", "mask")


def load_clinicdb(data: Path) -> list[Case]:
    """CVC-ClinicDB: ``Original/N.tif`` and ``Ground Truth/N.tif``, or Kaggle's copy of them in ``PNG`` and ``TIF``.

    Its 29 sequences are ranges of N, in its manifest. Every frame has a mask and a polyp.

    :raises DataError: a folder, a frame or a mask is not what it should be, or N is in no sequence.
    """
    folder = _inside(data, "Original", "Ground Truth", 2)
    split = load("cvc-clinicdb").split
    ranges = enumerate(split.ranges if split else (), 1)
    sequence_of = {str(n): f"sequence-{k:02d}" for k, (first, last) in ranges for n in range(first, last + 1)}
    sequences: dict[str, list[Frame]] = defaultdict(list)
    for frame in pair(folder / "Original", folder / "Ground Truth"):
        if frame.path.stem not in sequence_of:
            raise DataError("is no frame of a known sequence.", file=frame.path, remedy="Frames are called 1 to 612.")
        sequences[sequence_of[frame.path.stem]].append(frame)
    return cases_of(data, [Video(name, frames) for name, frames in sequences.items()])


def load_singles(data: Path) -> list[Case]:
    """CVC-ColonDB and ETIS-Larib, in the copies that have ``images/`` and ``masks/`` (PraNet's, Kaggle's).

    Nothing in the files tells the sequences. ``videos.csv`` beside the two folders may, with the columns frame (name of
    the file) and video; without it each image is a video of its own, as a warning says.

    :raises DataError: a folder, a frame or a mask is not what it should be, or the table lacks a frame.
    """
    folder = _flat(data)
    return cases_of(data, _grouped(pair(*_both(folder)), folder))


def load_kvasir(data: Path) -> list[Case]:
    """Kvasir-SEG, and the segmented images of HyperKvasir: ``images/`` and ``masks/``, JPEG.

    Images, not videos: each is a patient of its own. Every one has a mask and a polyp.

    :raises DataError: a folder, a frame or a mask is not what it should be.
    """
    return cases_of(data, _alone(pair(*_both(_flat(data)))))


def load_polypgen(data: Path) -> list[Case]:
    """PolypGen: single images by centre, and sequences with polyps and without.

    ``data_C1/images_C1/NAME.jpg`` and ``masks_C1/NAME_mask.jpg``, of six centres; ``sequenceData/positive/S`` with
    ``images_S`` and ``masks_S`` likewise; ``sequenceData/negativeOnly/S``, of frames only. Which single images are of
    one patient is not told: each is a video of its own, as a warning says.

    :raises DataError: a folder, a frame or a mask is not what it should be.
    """
    inside = _first(data, ("data_C[1-6]", "sequenceData"), 1)
    if inside is None:
        raise DataError("has no data_C1 or sequenceData in it.", file=data, remedy="Give the unpacked archive.")
    videos: list[Video] = []
    singles: list[Frame] = []
    for centre in sorted(inside.parent.glob("data_C[1-6]")):
        name = centre.name.removeprefix("data_")
        frames = pair(centre / f"images_{name}", centre / f"masks_{name}", suffix="_mask")
        videos += [Video(f"{name}-{video.name}", video.frames) for video in _alone(frames)]
        singles += frames
    if singles:
        _warn_of_singles(inside.parent)
    for folder in _folders(inside.parent / "sequenceData" / "positive"):
        masks = folder / f"masks_{folder.name}"
        videos.append(Video(folder.name, pair(folder / f"images_{folder.name}", masks, suffix="_mask")))
    for folder in _folders(inside.parent / "sequenceData" / "negativeOnly"):
        videos.append(Video(folder.name, [Frame(path, None) for path in frames_in(folder)]))
    return cases_of(data, videos)


def load_asu_mayo(data: Path) -> list[Case]:
    """ASU-Mayo as PNS-Net's copy has it: ``Frame/VIDEO/NAME`` and ``GT/VIDEO/NAME``, a mask for every frame.

    A mask that is all black is one of a frame without a polyp.

    :raises DataError: a folder, a frame or a mask is not what it should be.
    """
    folder = _inside(data, "Frame", "GT", 3)
    return cases_of(
        data, [Video(video.name, pair(video, folder / "GT" / video.name)) for video in _folders(folder / "Frame")]
    )


def load_masks(data: Path) -> list[Case]:
    """The general layout: ``VIDEO/images/NAME.EXT`` (or ``frames``) and ``VIDEO/masks/NAME.EXT``.

    A frame without a mask, or with one that is all black, is one without a polyp; a video without polyps needs no
    masks. Or, for single images, ``images/`` and ``masks/`` alone, and ``videos.csv`` as :func:`load_singles` says.

    :raises DataError: a folder, a frame or a mask is not what it should be, a mask has no frame, no mask shows a polyp.
    """
    if _sub_folder(data, FRAMES) is not None:
        return cases_of(data, _grouped(pair(*_both(data), demanded=False), data))
    videos = _folders(data)
    for folder in (folder for video in videos for folder in _folders(video)):
        if folder.name not in (*FRAMES, *MASKS):
            raise DataError("is not expected here.", file=folder, remedy=f"In a video are {FRAMES[0]} and {MASKS[0]}.")
    return cases_of(data, [Video(video.name, pair(*_both(video), demanded=False)) for video in videos])


#: Layout -> its loader, the most particular first.
DATASETS: Mapping[str, Callable[[Path], list[Case]]] = {
    "cvc-clinicdb": load_clinicdb,
    "polypgen": load_polypgen,
    "asu-mayo": load_asu_mayo,
    "kvasir-seg": load_kvasir,
    "cvc-colondb": load_singles,
    "etis": load_singles,
    "masks": load_masks,
}
#: How names of folders of ``images`` and ``masks`` begin, in small letters -> their layout.
_NAMES = {
    "kvasir": "kvasir-seg",
    "segmented-images": "kvasir-seg",
    "cvc-colondb": "cvc-colondb",
    "cvc-300": "cvc-colondb",
    "etis": "etis",
}
#: Kvasir-SEG's and HyperKvasir's tables of boxes, beside ``images``.
_BOXES = ("kavsir_bboxes.json", "bounding-boxes.json")


def detect(data: Path) -> str:
    """Which of :data:`DATASETS` the folder ``data`` has the layout of.

    :raises DataError: none, several beside each other, or there is no such folder.
    """
    if not data.is_dir():
        raise DataError("is no folder.", file=data, remedy="Give the folder of the frames and their masks.")
    if _first(data, ("Original",), 2, "Ground Truth"):
        return "cvc-clinicdb"
    if _first(data, ("data_C[1-6]", "sequenceData"), 1):
        return "polypgen"
    if _first(data, ("Frame",), 3, "GT"):
        return "asu-mayo"
    if known := {name for folder in (data, *_folders(data)) if (name := _known(folder))}:
        if len(known) > 1:
            raise DataError("holds several data sets.", file=data, remedy="Give the folder of one of them.")
        return known.pop()
    if any(_sub_folder(folder, FRAMES) for folder in (data, *_folders(data))):
        return "masks"
    raise DataError(
        "has the layout of no data set of polyps.",
        file=data,
        remedy="Make a folder per video with images and masks in it. Other layouts: "
        f"{', '.join(name for name in DATASETS if name != 'masks')}.",
    )


def _known(folder: Path) -> str | None:
    """The layout of ``folder`` by its name or its table of boxes, if it has images in it."""
    if _sub_folder(folder, FRAMES) is None:
        return None
    if any((folder / name).is_file() for name in _BOXES):
        return "kvasir-seg"
    name = folder.resolve().name.lower()
    return next((layout for start, layout in _NAMES.items() if name.startswith(start)), None)


def _grouped(frames: Sequence[Frame], folder: Path) -> list[Video]:
    """Videos as the table in ``folder`` tells them, or each image as its own, and a warning."""
    if (folder / VIDEOS_FILE).is_file():
        return by_video(frames, folder / VIDEOS_FILE)
    _warn_of_singles(folder)
    return _alone(frames)


def _alone(frames: Iterable[Frame]) -> list[Video]:
    """Each image as a video of its own."""
    return [Video(frame.path.stem, [frame]) for frame in frames]


def _warn_of_singles(folder: Path) -> None:
    text = (
        f"{folder}: nothing tells which single images are of one patient. Each counts as one of its own, so that a "
        "split may have one polyp on both sides and results may be too good."
    )
    warnings.warn(text, CaffeWarning, stacklevel=3)


def _inside(data: Path, frames: str, masks: str, depth: int) -> Path:
    """The folder at or at most ``depth`` levels under ``data`` that has both folders in it."""
    found = _first(data, (frames,), depth, masks)
    if found is None:
        raise DataError(
            f"has no folders {frames} and {masks} in it.", file=data, remedy="Give the folder that the archive makes."
        )
    return found.parent


def _first(data: Path, patterns: Sequence[str], depth: int, beside: str = "") -> Path | None:
    """The first folder by name that fits a pattern, on the highest level on which there is one, at most ``depth`` below
    ``data``; with a folder ``beside`` it."""
    for level in range(depth + 1):
        found = [path for name in patterns for path in data.glob("*/" * level + name) if path.is_dir()]
        if found := [path for path in found if (path.parent / beside).is_dir()]:
            return min(found)
    return None


def _flat(data: Path) -> Path:
    """``data``, or the one folder in it, that has images in it."""
    found = [folder for folder in (data, *_folders(data)) if _sub_folder(folder, FRAMES) is not None]
    if len(found) != 1:
        what = "several folders" if found else "no folder"
        raise DataError(f"has {what} with images in it.", file=data, remedy="Give the folder with images and masks.")
    return found[0]


def _both(folder: Path) -> tuple[Path, Path]:
    """The folders of frames and of masks in ``folder``; that of masks may be absent."""
    frames = _sub_folder(folder, FRAMES)
    if frames is None:
        raise DataError(f"has none of the folders {', '.join(FRAMES)}.", file=folder, remedy="Name one so.")
    return frames, _sub_folder(folder, MASKS) or folder / MASKS[0]


def _sub_folder(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _folders(data: Path) -> list[Path]:
    """The folders in ``data``, numbers in their names counting as numbers; none where it is no folder."""
    found = data.iterdir() if data.is_dir() else ()
    kept = [path for path in found if path.is_dir() and not path.name.startswith(".")]
    return sorted(kept, key=lambda path: by_number(path.name))
