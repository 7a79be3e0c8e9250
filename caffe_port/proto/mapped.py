"""Open a binary file for reading in place, and tell what a foreign one is."""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caffe_port.errors import FormatError

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
NPY_MAGIC = b"\x93NUMPY"
_HEAD = 512

_DOWNLOAD = "Download the file itself again."
_UNPACK = "Unpack it first."
#: (offset, bytes found there, what the file is then, what to do about it)
_SIGNATURES = (
    (0, b"version https://git-lfs", "a git-lfs pointer, which only names the real file", "Run 'git lfs pull'."),
    (0, HDF5_MAGIC, "an HDF5 file", "Give the file in the form that is expected here."),
    (0, NPY_MAGIC, "a NumPy array (.npy)", "Give the file in the form that is expected here."),
    (0, b"\x1f\x8b", "a gzip archive", _UNPACK),
    (0, b"PK\x03\x04", "a zip archive (.zip, .npz, or a PyTorch file)", _UNPACK),
    (0, b"BZh", "a bzip2 archive", _UNPACK),
    (0, b"\xfd7zXZ\x00", "an xz archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\xff\xd8\xff", "a JPEG image", "Give the file that goes with the net instead."),
    (0, b"\x89PNG", "a PNG image", "Give the file that goes with the net instead."),
    (16, b"\xde\xc0\xef\xbe", "the data file of an LMDB", "Give its folder as the source of a Data layer instead."),
)


def open_map(path: str | Path) -> memoryview:
    """The bytes of the file at ``path``, mapped: nothing is read before it is used.

    The map is private: writing to it (or to arrays on it) changes copies of pages, never the file. Whatever refers to
    the view keeps the map alive. A file that is replaced by renaming stays readable as it was; one that is shortened in
    place while mapped does not.

    :raises FormatError: it is absent, unreadable, empty or no regular file.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise FormatError("This is no regular file.", file=path, remedy="Give the path of a file on disk.")
            if not info.st_size:
                raise FormatError("The file is empty.", file=path, remedy="It was probably cut off: fetch it again.")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    except IsADirectoryError:
        raise FormatError(f"This is a folder{_database(Path(path))}.", file=path, remedy="Give a file.") from None
    except (OSError, ValueError) as error:
        raise FormatError(f"Cannot be read: {getattr(error, 'strerror', None) or error}.", file=path) from error


def refuse_foreign(data: memoryview, path: str | Path, wanted: str) -> None:
    """Refuse what is evidently no binary protobuf, saying what it looks like.

    :param wanted: what the file should have been, for the message: "weights (.caffemodel)".
    :raises FormatError: ``data`` is text, an archive, an image, a database, an array, ...
    """
    head = bytes(data[:_HEAD])
    for offset, signature, what, remedy in _SIGNATURES:
        if head.startswith(signature, offset):
            raise FormatError(f"This is {what}, not {wanted}.", file=path, remedy=remedy)
    if not _is_text(head):
        return
    if head.lstrip().startswith((b"<", b"\xef\xbb\xbf<")):
        raise FormatError(f"This is an HTML or XML page, not {wanted}.", file=path, remedy=_DOWNLOAD)
    raise FormatError(
        f"This is text, not {wanted}.", file=path, remedy="A prototxt goes where a net or solver is asked."
    )


@contextmanager
def blame(path: str | Path, wanted: str) -> Iterator[None]:
    """Complete the FormatErrors of the block: the file, and what to do when it does not parse as ``wanted``."""
    try:
        yield
    except FormatError as error:
        error.remedy = error.remedy or f"Is this really {wanted}? Then it is damaged or was cut off: fetch it again."
        error.at(file=path)
        raise


def _open_without_waiting(path: str, flags: int) -> int:
    # Without O_NONBLOCK a named pipe would block until somebody writes to it.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _database(folder: Path) -> str:
    """What kind of database a folder holds, as a half-sentence."""
    if (folder / "data.mdb").exists():
        return " holding an LMDB"
    return " holding a LevelDB" if (folder / "CURRENT").exists() else ""


def _is_text(head: bytes) -> bool:
    """Whether ``head`` is UTF-8 without control characters, which a message of nested messages never is."""
    if any(byte < 32 and byte not in b"\t\n\f\r" for byte in head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return len(head) == _HEAD and error.start > _HEAD - 4  # a character cut by the end of the head
    return True
