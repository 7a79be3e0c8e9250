"""Binary nets of Caffe's forks: which fork wrote one, and the same net as BVLC Caffe's schema reads it.

The forks gave numbers of their own, and of each other, to fields (``forks.tsv``), so a binary message has to be known
as one dialect's before it is parsed. Every field whose meaning depends on the dialect is evidence. A file in which BVLC
Caffe finds nothing foreign is BVLC's; it is a fork's if only that fork has all its fields.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from caffe_port.errors import CaffeWarning, FormatError, UnknownFieldError
from caffe_port.proto import forks
from caffe_port.proto.readings import DIALECTS, Reading, doubtful, read_in_all
from caffe_port.proto.wire import LENGTH, Field, Parts, encode_int, encode_message, read_int, read_string, scan

_MOST_NAMED = 6


class Use(NamedTuple):
    """The first occurrence of a field, or of an enum's value, whose meaning depends on the dialect."""

    message: str
    number: int
    layer: str | None
    readings: dict[str, Reading | None]  #: by dialect; None: the dialect has no such field


def to_bvlc(
    data: memoryview,
    descriptor: Any,
    path: str | Path,
    unknown: str = "error",
    dialect: str | None = None,
    blobs: bool = True,
) -> memoryview | bytes:
    """The binary message ``data`` of type ``descriptor`` as BVLC Caffe's schema reads it; ``data`` itself if it is so.

    What the dialect has under another number is renumbered. What BVLC Caffe does not have is judged by name as in a
    prototxt: harmless settings are skipped with one warning, others refused. Bytes that are no message, and numbers
    that no dialect has, are left to protobuf's parser.

    :param unknown: ``"warn"`` skips what would be refused, with a warning each.
    :param dialect: one of :data:`DIALECTS`; None: told by the fields.
    :param blobs: False leaves out the ``blobs`` of layers.
    :raises FormatError: another word for ``dialect``; or None, and several dialects differ on the fields, or none has
        them all.
    :raises UnknownFieldError: a field that BVLC Caffe does not have.
    """
    if dialect not in (None, *DIALECTS):
        raise FormatError(f"dialect is {dialect!r}.", remedy=f"Use one of {', '.join(DIALECTS)}.")
    walk = _Walk(data, blobs)
    try:
        uses = walk.uses(descriptor)
    except FormatError:
        return data
    dialects = [dialect] if dialect else _agreeing(uses, path)
    _judge(uses, dialects, path, unknown == "warn")
    parts = walk.rewritten(descriptor, 0, len(data), dialects[0])
    return data if parts is None else b"".join(parts)


class _Walk:
    """Ways through the message ``data`` and every message in it, with or without the ``blobs`` of layers."""

    def __init__(self, data: memoryview, blobs: bool) -> None:
        self.data = data
        self.blobs = blobs

    def uses(self, descriptor: Any) -> list[Use]:
        """Every field whose meaning depends on the dialect, the first of each kind."""
        found: dict[tuple, Use] = {}
        self._collect(descriptor, 0, len(self.data), None, found)
        return list(found.values())

    def _collect(self, descriptor: Any, start: int, stop: int, layer: str | None, found: dict[tuple, Use]) -> None:
        if descriptor.name.endswith("LayerParameter"):
            layer = self._layer_name(descriptor, start, stop) or layer
        for field in scan(self.data, start, stop):
            numbers: set[int | None] = {field.number}
            if field.number in doubtful(descriptor):
                readings = read_in_all(self.data, field, descriptor)
                numbers = {reading.number for reading in readings.values() if reading is not None}
                if len(set(readings.values())) > 1:
                    use = Use(descriptor.name, field.number, layer, readings)
                    found.setdefault((descriptor.name, field.number, *readings.values()), use)
            for number in numbers:
                inner = self._inner(descriptor.fields_by_number.get(number), field)
                if inner is not None:
                    self._collect(inner, field.start, field.stop, layer, found)

    def rewritten(self, descriptor: Any, start: int, stop: int, dialect: str) -> Parts | None:
        """The message in ``dialect`` at ``start:stop``, in BVLC Caffe's numbers; None: it stays as it is."""
        parts: Parts = []
        done = start
        for field, new in self._replacements(descriptor, start, stop, dialect):
            parts += [self.data[done : field.tag], *new]
            done = field.stop
        return [*parts, self.data[done:stop]] if parts else None

    def _replacements(self, descriptor: Any, start: int, stop: int, dialect: str) -> Iterator[tuple[Field, Parts]]:
        """The fields of a message that do not stay as they are, and what takes their place.

        What forks renumbered are messages and values of enums.
        """
        for field in scan(self.data, start, stop):
            number = field.number
            if number in doubtful(descriptor):
                readings = read_in_all(self.data, field, descriptor)
                reading = readings[dialect]
                if reading is None or reading.number is None:
                    if any(readings.values()):
                        yield field, []
                    continue
                number = reading.number
                if reading.value is not None and reading.value != read_int(self.data, field):
                    yield field, [encode_int(number, reading.value)]
                    continue
            known = descriptor.fields_by_number.get(number)
            if _is_blobs(known) and not self.blobs:
                yield field, []
                continue
            inner = self._inner(known, field)
            content = None if inner is None else self.rewritten(inner, field.start, field.stop, dialect)
            if content is not None or number != field.number:
                yield field, encode_message(number, content or [self.data[field.start : field.stop]])

    def _inner(self, known: Any, field: Field) -> Any:
        """The descriptor of the message in ``field``, which is BVLC Caffe's ``known``; None: none, or one left out."""
        if known is None or field.wire != LENGTH or (_is_blobs(known) and not self.blobs):
            return None
        return known.message_type

    def _layer_name(self, descriptor: Any, start: int, stop: int) -> str | None:
        number = descriptor.fields_by_name["name"].number
        names = [f for f in scan(self.data, start, stop) if (f.number, f.wire) == (number, LENGTH)]
        return read_string(self.data, names[-1]) if names else None


def _is_blobs(known: Any) -> bool:
    return known is not None and known.name == "blobs"


# -- whose file it is -------------------------------------------------------------------------------------------------


def _agreeing(uses: list[Use], path: str | Path) -> list[str]:
    """The dialects that have every field, all to the same effect.

    :raises FormatError: there is none, or they differ.
    """
    possible = [dialect for dialect in DIALECTS if all(use.readings[dialect] for use in uses)]
    if forks.BVLC in possible:
        return [forks.BVLC]
    if not possible:
        raise FormatError(
            f"fields of different Caffe forks, which no fork has together: {_list(uses, DIALECTS)}.",
            file=path,
            remedy='Say with dialect="..." (--dialect) which Caffe wrote it; what that one lacks is judged as unknown.',
        )
    differing = [use for use in uses if len({_effect(use.readings[dialect]) for dialect in possible}) > 1]
    if differing:
        raise FormatError(
            f"a binary file of {' or '.join(forks.FORK_NAMES[fork] for fork in possible)}, which differ on what is in "
            f"it: {_list(differing, possible)}.",
            file=path,
            remedy=f'Say which with dialect="..." (--dialect {" or --dialect ".join(possible)}).',
        )
    return possible


def _effect(reading: Reading | None) -> tuple:
    """What becomes of a field, whatever its name is."""
    return () if reading is None else reading[1:]


def _judge(uses: list[Use], dialects: list[str], path: str | Path, warn: bool) -> None:
    """Warn of what ``dialects``, which agree, have and BVLC Caffe has not, or refuse it."""
    harmless = []
    for use in uses:
        reading = use.readings[dialects[0]]
        if reading is not None and reading.number is not None:
            continue
        if reading is not None and reading.harmless:
            harmless.append(f"{use.message}.{' or '.join(_names(use, dialects))}")
            continue
        error = _foreign_error(use, dialects, path)
        if not warn:
            raise error
        error.remedy = "It is skipped throughout."
        warnings.warn(str(error), CaffeWarning, stacklevel=5)
    if harmless:
        text = f"{path}: skipped settings of other Caffe forks that do not change results: {', '.join(harmless)}."
        warnings.warn(text, CaffeWarning, stacklevel=5)


def _foreign_error(use: Use, dialects: list[str], path: str | Path) -> UnknownFieldError:
    what = f"field number {use.number} in {use.message}"
    remedy = 'Skip it with unknown="warn" (--allow-unknown) if the rest is what you want.'
    if use.readings[dialects[0]] is None:
        cause = f"{what} is none of {forks.spell(dialects)}; it may be {_meant(use, DIALECTS)}."
    else:
        cause = f"{what} is {_meant(use, dialects)}, which BVLC Caffe does not have."
        if use.message == "BlobProto":
            remedy = "Such weights can be loaded into a net as they are."
    return UnknownFieldError(cause, remedy=remedy, file=path, layer=use.layer)


def _list(uses: list[Use], dialects: Iterable[str]) -> str:
    texts = [f"number {use.number} in {use.message} is {_meant(use, dialects)}" for use in uses[:_MOST_NAMED]]
    return "; ".join([*texts, *(["..."] if len(uses) > _MOST_NAMED else [])])


def _names(use: Use, dialects: Iterable[str]) -> dict[str, list[str]]:
    """Name of the field -> the ``dialects`` that call it so."""
    names: dict[str, list[str]] = {}
    for dialect in dialects:
        if (reading := use.readings[dialect]) is not None:
            names.setdefault(reading.name, []).append(dialect)
    return names


def _meant(use: Use, dialects: Iterable[str]) -> str:
    return " or ".join(f"{name} of {forks.spell(by)}" for name, by in _names(use, dialects).items())
