"""Fetching a file of a manifest: resumed where it stopped, checked, and in its place only when it is whole."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from caffe_port.errors import DataError
from caffe_port.manifests.http import CutError, UnfitError, blocks, request, span, version_of
from caffe_port.manifests.records import File, in_bytes
from caffe_port.manifests.sums import compare

#: Tries of one address, each after a longer pause, that bring nothing new.
_TRIES = 3
#: Called with the number of bytes that are here and that of all.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Fetched:
    """What became of a file.

    :param path: where it is.
    :param url: where it came from; empty if it was here already.
    :param checked: by what it was checked, as :func:`compare` says.
    """

    path: Path
    url: str
    checked: str


def fetch(
    file: File,
    folder: Path,
    progress: Progress = lambda done, total: None,
    *,
    timeout: float = 60.0,
    pause: float = 2.0,
) -> Fetched:
    """Fetch ``file`` into ``folder``, from its url or else from its mirrors in order.

    What arrives is kept in ``NAME.part`` until it is whole, has the stated size and sum and gets its name. A next call
    goes on from there: if the sum is stated, or if the server has the same version still. A file that is here already
    is checked and left.

    :param timeout: seconds to wait for the server to say something.
    :param pause: seconds before the second try; tries go on as long as each brings something new.
    :raises DataError: another file has the name; no address gives the file; there is no space for it.
    :raises OSError: ``folder`` cannot be written.
    """
    target = folder / file.name
    if target.exists():
        try:
            return Fetched(target, "", compare(target, file))
        except DataError as error:
            error.remedy = "It is not overwritten: move it away, or fetch into another folder."
            raise
    folder.mkdir(parents=True, exist_ok=True)
    part = _Part(target)
    failures = []
    for url in (file.url, *file.mirrors):
        try:
            checked = _complete(url, file, part, progress, timeout, pause)
        except (CutError, UnfitError) as failure:
            failures.append(f"{url}: {failure}")
            continue
        part.rename(target)
        return Fetched(target, url, checked)
    raise DataError(
        f"could not be fetched ({'; '.join(failures)}).",
        file=file.name,
        remedy="Try again later (what has arrived is kept), or get it in another way and put it there.",
    )


class _Part:
    """A file that is not whole yet, ``NAME.part``, and beside it where it comes from, ``NAME.part.json``."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self._origin = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def origin(self) -> list[str]:
        """The address, and the version of the file there; empty if unknown."""
        try:
            return list(json.loads(self._origin.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return []

    def begin(self, url: str, version: str) -> None:
        """Forget what there is, for another version of the file."""
        self.path.write_bytes(b"")
        self._origin.write_text(json.dumps([url, version]), encoding="utf-8")

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)

    def rename(self, target: Path) -> None:
        with open(self.path, "rb+") as content:
            os.fsync(content.fileno())
        os.replace(self.path, target)
        self._origin.unlink(missing_ok=True)


def _complete(url: str, file: File, part: _Part, progress: Progress, timeout: float, pause: float) -> str:
    """Make ``part`` the whole file from ``url``, and tell by what it was checked."""
    furthest, fruitless = part.size, 0
    while True:
        try:
            resumed = _continue(url, file, part, progress, timeout)
        except CutError:
            fruitless = 0 if part.size > furthest else fruitless + 1
            furthest = max(furthest, part.size)
            if fruitless == _TRIES:
                raise
            time.sleep(pause * fruitless)
            continue
        try:
            return compare(part.path, file)
        except DataError as error:
            part.clear()
            if not resumed:
                raise UnfitError(error.cause.rstrip(".")) from error


def _continue(url: str, file: File, part: _Part, progress: Progress, timeout: float) -> bool:
    """Append to ``part`` what lacks of the file at ``url``; whether it held some of it before.

    :raises CutError: the connection ended early.
    :raises UnfitError: the address does not give the file.
    """
    offset, version = part.size, ""
    if part.origin[:1] == [url]:
        version = part.origin[1]
    if not (version or file.sha256 or file.sha1):
        offset = 0  # nothing would tell whether the two parts are of one file
    response = request(url, offset, version, timeout)
    if response is None:
        return True
    with response:
        begins, total = span(response)
        if total is None and not response.chunked and not (file.size or file.sha256 or file.sha1):
            raise UnfitError("the server does not tell the file's size, so that nothing tells whether it is whole")
        if None not in (total, file.size) and total != file.size:
            raise UnfitError(f"a file of {total:,} bytes instead of {file.size:,}")
        if begins != offset:
            if begins:
                raise CutError(f"the server began at byte {begins} instead of {offset}")
            offset = 0
        if not offset:
            part.begin(url, version_of(response))
        _need_space(part.path, (total or 0) - offset)
        with open(part.path, "ab") as content:
            for block in blocks(response):
                content.write(block)
                offset += len(block)
                progress(offset, total or 0)
    if total is not None and offset != total:
        raise CutError(f"the connection ended after {offset:,} of {total:,} bytes")
    return begins > 0


def _need_space(path: Path, size: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise DataError(
            f"{in_bytes(size)} are to come and {in_bytes(free)} are free.", file=path, remedy="Make space for it."
        )
