"""Folders that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from caffe_port.errors import FormatError


@contextmanager
def atomic_folder(path: str | Path, files: Collection[str]) -> Iterator[Path]:
    """A new folder to write into that takes the place of ``path`` when the block ends without an exception.

    :param files: the names of what will be in it. A folder that holds nothing else is replaced.
    :raises FormatError: ``path`` is a file, or a folder with other content; its parent is absent or cannot be written.
    """
    target = Path(os.path.realpath(path))
    _check_target(target, path, files)
    part = target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}.part")
    try:
        part.mkdir()
        yield part
        _sync(part)
        _replace(part, target)
    except OSError as cause:
        raise FormatError(
            f"cannot be written: {cause.strerror or cause}.",
            file=path,
            remedy="Check that the parent folder exists, may be written and has space.",
        ) from cause
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_target(target: Path, path: str | Path, files: Collection[str]) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise FormatError("is a file.", file=path, remedy="Give the name of a folder.")
    others = sorted(set(os.listdir(target)) - {*files, "__pycache__"})
    if others:
        cause = f"exists and holds other files: {', '.join(others[:3])}{', ...' if others[3:] else ''}."
        raise FormatError(cause, file=path, remedy="Give the name of a new folder, or of an earlier export.")


def _sync(folder: Path) -> None:
    """Have the files of ``folder`` on disk before anybody sees it."""
    for path in folder.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())


def _replace(part: Path, target: Path) -> None:
    """Rename ``part`` to ``target``, moving a folder of that name out of the way first."""
    if not target.exists():
        part.rename(target)
        return
    old = part.with_suffix(".old")
    target.rename(old)
    try:
        part.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
