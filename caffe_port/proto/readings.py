"""What one field of a binary message is taken for by BVLC Caffe and by each of its forks."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor

from caffe_port.proto import forks
from caffe_port.proto.scalars import fields_of
from caffe_port.proto.wire import FIXED32, FIXED64, LENGTH, VARINT, Field, read_int, scan

DIALECTS = (forks.BVLC, *forks.FORK_NAMES)
_WIRES = {VARINT: "varint", LENGTH: "length", FIXED32: "fixed32", FIXED64: "fixed64"}


class Reading(NamedTuple):
    """What a dialect takes a field for.

    ``number`` and ``value`` (of an enum) are those of BVLC Caffe; ``number`` is None for what it does not have.
    """

    name: str
    number: int | None
    value: int | None
    harmless: bool


@cache
def doubtful(descriptor: Any) -> frozenset[int]:
    """The field numbers of a message that forks have too, or whose enum they extend."""
    enums = [f.number for f in descriptor.fields if f.enum_type is not None and forks.numbers(_enum_name(f.enum_type))]
    return frozenset({*forks.numbers(descriptor.name), *enums})


def read_in_all(data: memoryview, field: Field, descriptor: Any) -> dict[str, Reading | None]:
    """What every dialect takes the field for."""
    return {dialect: _reading(data, field, descriptor, dialect) for dialect in DIALECTS}


def _reading(data: memoryview, field: Field, descriptor: Any, dialect: str) -> Reading | None:
    """What ``dialect`` takes the field for; None: it has no such field, or none of this wire type or value."""
    own = [entry for entry in forks.entries(descriptor.name, field.number) if dialect in entry.forks]
    if own:
        name = next((entry.name for entry in own if _WIRES[field.wire] in entry.wires), None)
        if name is None:
            return None
        moved = descriptor.fields_by_name.get(name)
        return Reading(name, None if moved is None else moved.number, None, forks.is_harmless(descriptor.name, name))
    known = descriptor.fields_by_number.get(field.number)
    if known is None or _WIRES[field.wire] not in _wires_of(known) or not _is_complete(data, field, known):
        return None
    if known.enum_type is None or field.wire != VARINT:
        return Reading(known.name, known.number, None, False)
    return _value_reading(known, read_int(data, field), dialect)


def _value_reading(known: Any, value: int, dialect: str) -> Reading | None:
    """What ``dialect`` takes ``value`` of BVLC Caffe's enum field ``known`` for."""
    enum, owner = known.enum_type, _enum_name(known.enum_type)
    own = next((entry.name for entry in forks.entries(owner, value) if dialect in entry.forks), None)
    ours = enum.values_by_number.get(value) if own is None else enum.values_by_name.get(own)
    if ours is not None:
        return Reading(f"{known.name}: {ours.name}", known.number, ours.number, False)
    return None if own is None else Reading(f"{known.name}: {own}", None, None, forks.is_hint(owner, own))


@cache
def _wires_of(known: Any) -> frozenset[str]:
    """The wire types in which protobuf reads a field."""
    kind = known.cpp_type
    if kind in (FieldDescriptor.CPPTYPE_MESSAGE, FieldDescriptor.CPPTYPE_STRING):
        return frozenset({"length"})
    fixed = {FieldDescriptor.CPPTYPE_FLOAT: "fixed32", FieldDescriptor.CPPTYPE_DOUBLE: "fixed64"}
    packed = {"length"} if fields_of(known.containing_type)[known.name].repeated else set()
    return frozenset({fixed.get(kind, "varint"), *packed})


def _is_complete(data: memoryview, field: Field, known: Any) -> bool:
    """Whether a message has the fields that BVLC Caffe requires in it (both of clip_param)."""
    if known.message_type is None:
        return True
    fields = fields_of(known.message_type)
    required = {known.message_type.fields_by_name[name].number for name in fields if fields[name].required}
    return not required or required <= {inner.number for inner in scan(data, field.start, field.stop)}


def _enum_name(enum: Any) -> str:
    return enum.full_name.removeprefix("caffe.")
