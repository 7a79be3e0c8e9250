"""Frames and masks in folders, and the cases that they make."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from caffe_port.errors import DataError
from caffe_port.study.cases import Case
from caffe_port.study.files import images_in, read_pairs, usable_id
from caffe_port.study.polyps.lesions import Component, components, follow, read_mask
from caffe_port.study.threads import in_threads


class Frame(NamedTuple):
    """A frame and its mask; no mask: no polyp."""

    path: Path
    mask: Path | None


class Video(NamedTuple):
    """Frames of one video or sequence in their order, or a single image."""

    name: str
    frames: Sequence[Frame]


def pair(images: Path, masks: Path, *, suffix: str = "", demanded: bool = True) -> list[Frame]:
    """The frames in the folder ``images``, numbers in their names counting as numbers, with their masks.

    :param masks: has the mask of ``images/NAME.EXT`` as ``NAME`` + ``suffix``, with any extension.
    :param demanded: every frame must have a mask.
    :raises DataError: a folder or a mask is missing, a mask has no frame, two names differ by the extension only.
    """
    by_name = _by_name(masks, suffix) if demanded or masks.is_dir() else {}
    frames = []
    for name, path in _by_name(images).items():
        mask = by_name.pop(name, None)
        if mask is None and demanded:
            raise DataError(
                "has no mask.", file=path, remedy=f"It must be {masks / (name + suffix)}, with any extension of images."
            )
        frames.append(Frame(path, mask))
    for mask in by_name.values():
        raise DataError("is the mask of no frame.", file=mask, remedy=f"Its frame is looked for in {images}.")
    return frames


def frames_in(folder: Path) -> list[Path]:
    """As :func:`~caffe_port.study.files.images_in`.

    :raises DataError: also, when there is none.
    """
    if paths := images_in(folder):
        return paths
    raise DataError("holds no image.", file=folder, remedy="Put the images there, or remove the folder.")


def by_video(frames: Iterable[Frame], table: Path) -> list[Video]:
    """``frames`` grouped as the file ``table`` says: its columns are frame (the name of a file) and video.

    :raises DataError: it is wrong, or lacks one of the frames.
    """
    listed = read_pairs(table, "frame", "video")
    groups: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        if frame.path.name not in listed:
            raise DataError(f"has no line for {frame.path.name}.", file=table, remedy="Add its video.")
        groups[listed[frame.path.name]].append(frame)
    return [Video(name, group) for name, group in groups.items()]


def cases_of(data: Path, videos: Sequence[Video]) -> list[Case]:
    """One case per frame of the data set in the folder ``data``; its ``patient`` is the video.

    ``lesions`` are the polyps seen in it, called ``VIDEO/NUMBER``. ``info`` has ``path``, ``mask`` (None: no polyp),
    ``size`` (width, height) and ``polyps``: ``id``, ``box`` (left, top, width, height) and ``area`` of every component
    in the order of the labels of :func:`~caffe_port.study.polyps.lesions.polyps_of`. Of the frames only the headers
    are read.

    :raises DataError: a file is no image, a mask has another size than its frame, no mask shows a polyp.
    """
    with in_threads(_measure, [frame for video in videos for frame in video.frames]) as measured:
        cases = [case for video in videos for case in _cases(video, measured)]
    if not any(case.lesions for case in cases):
        raise DataError("No mask shows a polyp.", file=data, remedy="Polyps are white on black, in folders of masks.")
    return cases


def _cases(video: Video, measured: Iterator[tuple[tuple[int, int], list[Component]]]) -> Iterator[Case]:
    """The cases of ``video``, whose sizes and components come next in ``measured``."""
    sizes, found = zip(*(next(measured) for _ in video.frames))
    for frame, size, parts, numbers in zip(video.frames, sizes, found, follow(found)):
        ids = [f"{video.name}/{number}" for number in numbers]
        info: dict[str, Any] = {
            "path": str(frame.path),
            "mask": str(frame.mask) if frame.mask else None,
            "size": list(size),
            "polyps": [{"id": id_, "box": list(part.box), "area": part.area} for id_, part in zip(ids, parts)],
        }
        yield Case(_id(video, frame), video.name, None, info, tuple(dict.fromkeys(ids)))


def _measure(frame: Frame) -> tuple[tuple[int, int], list[Component]]:
    """Width and height of a frame, and the components of its mask."""
    try:
        with Image.open(frame.path) as image:  # reads no more than the header
            size = image.size
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot be read as an image: {error}.", file=frame.path, remedy="Replace it.") from None
    if frame.mask is None:
        return size, []
    mask = read_mask(frame.mask)
    if mask.shape[::-1] != size:
        raise DataError(
            f"has {mask.shape[1]}x{mask.shape[0]} pixels, its frame {size[0]}x{size[1]}.",
            file=frame.mask,
            remedy=f"A mask must be of the size of its frame: {frame.path}.",
        )
    return size, components(mask)[1] if mask.any() else []


def _by_name(folder: Path, suffix: str = "") -> dict[str, Path]:
    """The images in ``folder`` by their names without extension and ``suffix``."""
    named: dict[str, Path] = {}
    for path in frames_in(folder):
        if not path.stem.endswith(suffix):
            raise DataError(f"has no name that ends with {suffix}.", file=path, remedy="Names of masks do here.")
        name = path.stem.removesuffix(suffix)
        if name in named:
            raise DataError(f"has the same name as {named[name]}.", file=path, remedy="Remove or rename one of them.")
        named[name] = path
    return named


def _id(video: Video, frame: Frame) -> str:
    """A name of a file that says both; a single image is called as its video is."""
    single = len(video.frames) == 1 and video.name.endswith(frame.path.stem)
    return usable_id(video.name if single else f"{video.name}-{frame.path.stem}")
