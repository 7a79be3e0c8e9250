"""What loaders of all applications do with the files of a data set."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from caffe_port.errors import DataError

#: Images that OpenCV reads.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
#: The table that tells which frames are of one video, beside images of which no name tells it.
VIDEOS_FILE = "videos.csv"


def images_in(folder: Path) -> list[Path]:
    """The image files in ``folder`` by name, numbers as numbers; hidden files and Windows' Thumbs.db do not count.

    :raises DataError: the folder is missing, or holds something else.
    """
    require_folder(folder)
    paths = [path for path in folder.iterdir() if not path.name.startswith(".") and path.name != "Thumbs.db"]
    for path in paths:
        if path.is_dir() or path.suffix.lower() not in SUFFIXES:
            raise DataError("is no image.", file=path, remedy=f"Only images are expected here ({', '.join(SUFFIXES)}).")
    return sorted(paths, key=lambda path: by_number(path.name))


def require_folder(folder: Path) -> None:
    """Refuse what is no folder.

    :raises DataError: it is none.
    """
    if not folder.is_dir():
        raise DataError("is no folder.", file=folder, remedy="Give the folder that the data set unpacks to.")


def by_number(name: str) -> list[str | int]:
    """A key that sorts ``a2`` before ``a10``."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def usable_id(text: str) -> str:
    """``text`` as the id of a case, which is a name of a file."""
    return re.sub(r"[^\w.+-]", "_", text)


def read_pairs(path: Path, key: str, value: str) -> dict[str, str]:
    """A CSV file with the columns ``key`` and ``value`` as a mapping.

    :raises DataError: it cannot be read, a line lacks one of the two, or something has two lines.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read: {error}.", file=path) from None
    pairs: dict[str, str] = {}
    for line, row in enumerate(rows, 2):
        name, entry = row.get(key), row.get(value)
        if not name or not entry:
            raise DataError(
                f"lacks a {key} or a {value}.", file=path, line=line, remedy=f"The first line is {key},{value}."
            )
        if name in pairs:
            raise DataError(f"A second line for {name}.", file=path, line=line, remedy="Remove one.")
        pairs[name] = entry
    return pairs
