"""Recognise published weights files by their SHA-1.

What is known of them stands in ``data_manifests/*.toml``, in the ``files`` of kind ``weights``.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

from caffe_port.errors import CaffeWarning
from caffe_port.log import log
from caffe_port.manifests import load_all
from caffe_port.proto.mapped import open_map

#: Bytes that names, types and shapes may add to the parameters of a weights file.
_OVERHEAD = 1 << 20


@dataclass(frozen=True)
class KnownFile:
    """A published weights file.

    :param name: its file name as published.
    :param title: what it is, in one line; ``license`` likewise.
    :param sha1: its SHA-1, in hexadecimal.
    :param url: where it is published.
    :param size: its size in bytes, or None where no source states it.
    :param parameters: how many float32 numbers it holds, or None.
    """

    name: str
    title: str
    license: str
    sha1: str
    url: str
    size: int | None = None
    parameters: int | None = None

    def may_be(self, size: int) -> bool:
        """Whether a file of ``size`` bytes can be this one.

        Without a stated size: if it holds the parameters, at 4 bytes each, and at most 1 MiB more.
        """
        if self.size is not None:
            return size == self.size
        return self.parameters is not None and 0 <= size - 4 * self.parameters <= _OVERHEAD


def known_files() -> list[KnownFile]:
    """Every file of kind ``weights`` in the shipped manifests."""
    return [
        KnownFile(file.name, manifest.title, manifest.licence, file.sha1, file.url, file.size, file.parameters)
        for manifest in load_all()
        for file in manifest.files
        if file.kind == "weights"
    ]


def identify(path: str | Path) -> KnownFile | None:
    """The published file that the file at ``path`` is, whatever its name; None if it is none of them.

    Only a file whose size fits one of them is hashed (0.3 s for 244 MB).

    :raises FormatError: the file cannot be read, or is empty.
    """
    data = open_map(path)
    return _match(data, [known for known in known_files() if known.may_be(len(data))])


def report(path: str | Path) -> None:
    """Log one line when the file at ``path`` is a published one.

    :raises FormatError: the file cannot be read, or is empty.
    :warns CaffeWarning: it bears the name of a published file but is not that file.
    """
    data = open_map(path)
    namesakes = [known for known in known_files() if known.name == Path(path).name]
    known = _match(data, namesakes + [known for known in known_files() if known.may_be(len(data))])
    if known is not None:
        log.info("%s is the published %s: %s (license: %s)", path, known.name, known.title, known.license)
    for namesake in namesakes if known is None else ():
        warnings.warn(
            f"{path}: this is not the published {namesake.name}, whose SHA-1 is {namesake.sha1}: it is damaged or "
            f"another file. The published one is at {namesake.url}",
            CaffeWarning,
            stacklevel=2,
        )


def _match(data: memoryview, candidates: list[KnownFile]) -> KnownFile | None:
    """The candidate with the SHA-1 of ``data``, which is computed only if there are candidates."""
    digest = hashlib.sha1(data, usedforsecurity=False).hexdigest() if candidates else ""
    return next((known for known in candidates if known.sha1 == digest), None)
