"""What a parsed binary message holds that the schema does not allow: unknown fields, strings that are not UTF-8."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.unknown_fields import UnknownFieldSet

from caffe_port.errors import CaffeWarning
from caffe_port.proto.scalars import fields_of


class Unknown(NamedTuple):
    """The first occurrence of a field number that ``message`` does not have, or has in another wire type."""

    message: str  #: its message type
    number: int
    layer: str | None  #: the layer it lies in


def unknown_fields(message: Any) -> list[Unknown]:
    """The unknown fields of ``message`` and everything in it, each once."""
    found: dict[tuple[str, int], Unknown] = {}
    for part, layer in _parts(message):
        name = part.DESCRIPTOR.name
        for field in UnknownFieldSet(part):
            found.setdefault((name, field.field_number), Unknown(name, field.field_number, layer))
    return list(found.values())


def clean_strings(message: Any, file: str) -> None:
    """Re-read strings that are not UTF-8, which protobuf hands out as bytes, as Latin-1, with a warning."""
    for part, layer in _parts(message):
        for field, value in part.ListFields():
            if field.cpp_type != FieldDescriptor.CPPTYPE_STRING or field.type == FieldDescriptor.TYPE_BYTES:
                continue
            repeated = fields_of(part.DESCRIPTOR)[field.name].repeated
            values = list(value) if repeated else [value]
            if not any(isinstance(one, bytes) for one in values):
                continue
            texts = [one.decode("latin-1") if isinstance(one, bytes) else one for one in values]
            place = f"{file}, layer '{layer}'" if layer else file
            warnings.warn(
                f"{place}: a string of '{field.name}' is not UTF-8 and is read as Latin-1.", CaffeWarning, stacklevel=4
            )
            if repeated:
                value[:] = texts
            else:
                setattr(part, field.name, texts[0])


def _parts(message: Any) -> Iterator[tuple[Any, str | None]]:
    """``message`` and every message inside it, each with the name of the layer it lies in."""
    pending: list[tuple[Any, str | None]] = [(message, None)]
    while pending:
        part, layer = pending.pop()
        if part.DESCRIPTOR.name.endswith("LayerParameter") and part.name:
            layer = part.name if isinstance(part.name, str) else part.name.decode("latin-1")
        yield part, layer
        for field, value in reversed(part.ListFields()):
            if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
                repeated = fields_of(part.DESCRIPTOR)[field.name].repeated
                pending.extend((one, layer) for one in (reversed(value) if repeated else [value]))
