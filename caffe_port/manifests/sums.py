"""A file beside what its manifest states of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from caffe_port.errors import DataError
from caffe_port.manifests.records import File


def compare(path: Path, file: File) -> str:
    """By what the file at ``path`` was found to be ``file``: its SHA-256, its SHA-1, its size; empty if none is stated.

    :raises DataError: it is another file.
    """
    size = path.stat().st_size
    if file.size not in (None, size):
        raise DataError(f"has {size:,} bytes, the published file {file.size:,}.", file=path)
    for algorithm, name in (("sha256", "SHA-256"), ("sha1", "SHA-1")):
        stated = getattr(file, algorithm)
        if stated:
            found = _digest(path, algorithm)
            if found != stated:
                raise DataError(f"has {name} {found}, the published file {stated}.", file=path)
            return name
    return "size" if file.size is not None else ""


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
