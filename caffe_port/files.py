"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from caffe_port.errors import CaffeError, FormatError


@contextmanager
def atomic_write(path: str | Path, error: type[CaffeError] = FormatError) -> Iterator[BinaryIO]:
    """A binary file to write (and read back) that takes the place of ``path`` when the block ends without an exception.

    It is written beside ``path``, synchronised to disk and renamed, so that a crash leaves the old file or the new one
    and readers never see half of it. Symbolic links are followed; an existing file keeps its permissions. What is no
    regular file (``/dev/stdout``) is written directly.

    :param error: the exception to raise.
    :raises error: ``path`` is a folder; its folder is absent, may not be written or is full.
    """
    target = Path(os.path.realpath(path))
    try:
        if target.is_dir():
            raise error("is a folder.", file=path, remedy="Give the name of a file in it.")
        if os.path.exists(path) and not os.path.isfile(path):
            with open(path, "wb") as file:
                yield file
            return
        with _replacing(target) as file:
            yield file
    except OSError as cause:
        if cause.filename is not None and not str(cause.filename).startswith(str(target.parent)):
            raise  # the block's own trouble with another file
        raise error(
            f"cannot be written: {cause.strerror or cause}.",
            file=path,
            remedy="Check that the folder exists, may be written and has space.",
        ) from cause


@contextmanager
def working_directory(folder: str | Path) -> Iterator[None]:
    """Work in ``folder`` meanwhile, for files that are named from there, as in prototxt files."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    """A new file beside ``target`` that is renamed to it at the end, or removed after an exception."""
    part = target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}.part")
    try:
        with open(part, "x+b") as file:
            yield file
            file.flush()
            if target.exists():
                shutil.copymode(target, part)
            os.fsync(file.fileno())
        os.replace(part, target)
    except BaseException:
        with suppress(FileNotFoundError):
            part.unlink()
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make the renaming durable, where the system can (not every file system can)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
