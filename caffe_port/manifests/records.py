"""The schema of a manifest: one record per kind of table, one attribute per key.

``data_manifests/README.md`` explains the keys to those who write manifests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import PurePosixPath

#: What of the study a data set is for.
APPLICATIONS = ("polyps", "embolism", "frames", "interfaces", "all")
#: How one comes by it, and what that means.
ACCESS = {
    "open": "files can be fetched by a program",
    "by hand": "open to everybody, through a page that a person has to visit",
    "registration": "after signing up, or signing in with an account",
    "request": "from its owners, who decide",
}
#: What a file is.
KINDS = ("archive", "weights", "mean")

#: What a class folder stands for whose images the study leaves out on purpose.
LEFT_OUT = "left-out"

#: A key and what is wrong with its value.
Fault = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Record:
    """A table in which single facts can be marked as unverified.

    :param unverified: by key of the same table, what about its value was seen in one weak place only, or inferred.
    """

    unverified: Mapping[str, str] = field(default_factory=dict)

    def faults(self) -> Iterator[Fault]:
        """What the types of the keys do not rule out."""
        for key in self.unverified:
            if key == "unverified" or not getattr(self, key, None):
                yield "unverified", f"marks '{key}', which is not set."
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, str) and value != " ".join(value.split()):
                yield each.name, "begins or ends with a blank, or has several or line ends in it."


@dataclass(frozen=True, kw_only=True)
class File(Record):
    """A file of a data set, as published.

    :param name: its name here; ``kind`` one of :data:`KINDS`; ``what`` says more.
    :param url: its address, with ``mirrors`` to try in this order; or
    :param inside: the archive, among the files of the manifest, that it comes out of; or
    :param how: how a person gets it.
    :param size: in bytes; ``approximate_size`` in the words of the source, where that is all it states.
    :param sha256: in lower-case hexadecimal; ``sha1`` likewise.
    :param parameters: of a weights file: how many float32 numbers it holds.
    :param optional: fetched only when asked for by name.
    """

    name: str
    kind: str = "archive"
    what: str = ""
    url: str = ""
    mirrors: tuple[str, ...] = ()
    inside: str = ""
    how: str = ""
    size: int | None = None
    approximate_size: str = ""
    sha256: str = ""
    sha1: str = ""
    parameters: int | None = None
    optional: bool = False

    def faults(self) -> Iterator[Fault]:
        """As the base class says."""
        yield from super().faults()
        if self.name != PurePosixPath(self.name).name or self.name in ("", ".."):
            yield "name", f"'{self.name}' is not the name of a file."
        if self.kind not in KINDS:
            yield "kind", f"'{self.kind}' is none of {', '.join(KINDS)}."
        if sum(map(bool, (self.url, self.inside, self.how))) != 1:
            yield "url", "exactly one of url, inside and how says where the file comes from."
        if self.kind == "weights" and not self.sha1:
            yield "sha1", "is missing: weights are recognised by it."
        if self.mirrors and not self.url:
            yield "mirrors", "are beside a url only."
        for key, address in [("url", self.url), *(("mirrors", mirror) for mirror in self.mirrors)]:
            if address and not _is_web_address(address):
                yield key, f"'{address}' is not an http or https address."
        for key, digits in (("sha1", 40), ("sha256", 64)):
            if not re.fullmatch(rf"([0-9a-f]{{{digits}}})?", getattr(self, key)):
                yield key, f"is not {digits} digits 0-9a-f."
        for key, number in (("size", self.size), ("parameters", self.parameters)):
            if number is not None and number < 1:
                yield key, "is not positive."


@dataclass(frozen=True, kw_only=True)
class Layout(Record):
    """Paths that an unpacked data set has.

    :param path: a pattern (``*`` is any part of one name, ``[1-6]`` one of these characters), relative to the folder in
        which it was unpacked.
    :param what: what these files are.
    :param copy: which copy of the data set has them, where copies differ.
    :param count: how many there are.
    """

    path: str
    what: str = ""
    copy: str = ""
    count: int | None = None

    def faults(self) -> Iterator[Fault]:
        """As the base class says."""
        yield from super().faults()
        parts = PurePosixPath(self.path).parts
        if not parts or ".." in parts or "**" in parts or self.path.startswith("/"):
            yield "path", "is not a path below a folder ('..' and '**' are not for layouts)."
        if self.count is not None and self.count < 1:
            yield "count", "is not positive."


@dataclass(frozen=True, kw_only=True)
class Labels(Record):
    """What the labels say and how they are stored.

    :param format: in words.
    :param classes: for labels by folder: what each folder's name stands for in the study, its word for the class, or
        :data:`LEFT_OUT`.
    """

    format: str
    classes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Split(Record):
    """What has to stay on one side when the data are split.

    :param by: the unit: patient, video, sequence; or ``none``, where nothing tells images of one patient.
    :param rule: how to tell the unit of an image, and which splits are published.
    :param ranges: first and last frame number of every unit, both counted in.
    """

    by: str
    rule: str
    ranges: tuple[tuple[int, int], ...] = ()

    def faults(self) -> Iterator[Fault]:
        """As the base class says."""
        yield from super().faults()
        if any(first > last for first, last in self.ranges):
            yield "ranges", "a range ends before it begins."
        if any(after[0] != before[1] + 1 for before, after in pairwise(self.ranges)):
            yield "ranges", "they overlap or leave a gap."


@dataclass(frozen=True, kw_only=True)
class Manifest(Record):
    """A public data set, or published weights.

    :param application: one of :data:`APPLICATIONS`.
    :param access: one of :data:`ACCESS`; ``steps`` says what a person has to do where a program cannot fetch it.
    :param licence: its name or nature in a few words; ``terms`` more of it.
    :param contents: how much of what there is.
    :param approximate_size: of the whole, where its files do not say.
    :param sources: where these facts were found.
    """

    name: str
    title: str
    application: str
    access: str
    licence: str
    contents: str
    citation: str
    sources: tuple[str, ...]
    labels: Labels
    home: str = ""
    doi: str = ""
    terms: str = ""
    steps: str = ""
    approximate_size: str = ""
    notes: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    layout: tuple[Layout, ...] = ()
    split: Split | None = None

    def faults(self) -> Iterator[Fault]:
        """As the base class says."""
        yield from super().faults()
        if self.application not in APPLICATIONS:
            yield "application", f"'{self.application}' is none of {', '.join(APPLICATIONS)}."
        if self.access not in ACCESS:
            yield "access", f"'{self.access}' is none of {', '.join(ACCESS)}."
        if self.home and not _is_web_address(self.home):
            yield "home", f"'{self.home}' is not an http or https address."
        names = [file.name for file in self.files]
        if len(set(names)) < len(names):
            yield "files", "two have one name."
        if not {file.inside for file in self.files if file.inside} <= set(names):
            yield "files", "one is inside a file that is not listed."
        if any(file.url for file in self.files) != (self.access == "open"):
            yield "access", "is open where files have a url, and only there."
        if self.access != "open" and not self.steps:
            yield "steps", "are missing: what has a person to do?"

    def parts(self) -> Iterator[tuple[str, Record]]:
        """The records of this manifest with their places; its own place is empty."""
        yield "", self
        yield "labels", self.labels
        if self.split:
            yield "split", self.split
        yield from ((file.name, file) for file in self.files)
        yield from ((entry.path, entry) for entry in self.layout)

    def unverified_facts(self) -> list[tuple[str, str]]:
        """Every mark of the manifest: the place of the fact, and what about it is unverified."""
        return [
            (f"{place}: {key}" if place else key, doubt)
            for place, part in self.parts()
            for key, doubt in part.unverified.items()
        ]

    @property
    def size(self) -> str:
        """How much there is to fetch, in words; empty where that is unknown."""
        sizes = [size_of(file) for file in self.files if not file.optional and not file.inside]
        return self.approximate_size or " + ".join(filter(None, sizes))


def size_of(file: File) -> str:
    """The size of ``file`` in words; empty where it is unknown."""
    return in_bytes(file.size) if file.size is not None else file.approximate_size


def in_bytes(size: int) -> str:
    """``size`` bytes in words, in powers of 1000."""
    for factor, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def _is_web_address(text: str) -> bool:
    return re.fullmatch(r"https?://[^\s/]+(/\S*)?", text) is not None
