"""A folder beside what a manifest states: files, their sums, how many files of each kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from caffe_port.errors import DataError
from caffe_port.manifests.records import File, Layout, Manifest
from caffe_port.manifests.sums import compare


@dataclass(frozen=True)
class Finding:
    """One thing that a manifest lists.

    :param place: the name of the file, or the pattern.
    :param state: ``right``, ``wrong``, ``absent``; ``here``: there, but the manifest states nothing to check it by.
    :param note: by what, or in what.
    """

    place: str
    state: str
    note: str = ""


def verify(manifest: Manifest, folder: Path) -> list[Finding]:
    """What of ``manifest`` is in ``folder``, the files first.

    Archives may be gone once they are unpacked, and of several copies one is enough; but of a copy of which some is
    there, all has to be. A count that is marked as unverified cannot be wrong.

    :raises DataError: there is no such folder, or nothing of the data set is in it.
    """
    if not folder.is_dir():
        raise DataError("is not a folder.", file=folder)
    findings = [_file(folder, file) for file in manifest.files]
    for copy in dict.fromkeys(entry.copy for entry in manifest.layout):
        findings += _copy(folder, [entry for entry in manifest.layout if entry.copy == copy])
    if all(finding.state == "absent" for finding in findings):
        paths = [file.name for file in manifest.files] + [entry.path for entry in manifest.layout]
        raise DataError(
            f"nothing of {manifest.title} is in this folder.",
            file=folder,
            remedy=f"Give the folder that holds, for instance, {paths[-1]}." if paths else "Its layout is not known.",
        )
    return findings


def _file(folder: Path, file: File) -> Finding:
    path = folder / file.name
    if not path.exists():
        return Finding(file.name, "absent")
    try:
        checked = compare(path, file)
    except DataError as error:
        return Finding(file.name, "wrong", error.cause.rstrip("."))
    return Finding(file.name, "right", checked) if checked else Finding(file.name, "here", "no size or sum is stated")


def _copy(folder: Path, entries: list[Layout]) -> list[Finding]:
    """The layout of one copy of the data set."""
    counts = [sum(not path.name.startswith(".") for path in folder.glob(entry.path)) for entry in entries]
    return [_count(entry, found, any(counts)) for entry, found in zip(entries, counts, strict=True)]


def _count(entry: Layout, found: int, needed: bool) -> Finding:
    if not found:
        note = "the rest of this copy is there" if needed else ""
        return Finding(entry.path, "wrong" if needed else "absent", note)
    if entry.count is None:
        return Finding(entry.path, "here", f"{found:,}; how many there are is not stated")
    if found == entry.count:
        return Finding(entry.path, "right", f"{found:,}")
    doubt = ", which is unverified" if "count" in entry.unverified else ""
    return Finding(entry.path, "here" if doubt else "wrong", f"{found:,} instead of {entry.count:,}{doubt}")
