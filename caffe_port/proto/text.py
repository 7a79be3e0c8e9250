"""Prototxt text: :func:`parse_text` reads it, :func:`format_text` writes it as protobuf's C++ library does."""

from __future__ import annotations

import math
import struct
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from caffe_port.proto.parser import Parser
from caffe_port.proto.scalars import fields_of
from caffe_port.proto.tokenizer import decode

_ESCAPES = {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t", ord('"'): '\\"', ord("'"): "\\'", ord("\\"): "\\\\"}


def parse_text(text: str | bytes, message_class: Any, *, file: str | None = None, unknown: str = "error") -> Any:
    """Parse prototxt ``text`` into a new ``message_class``.

    Everything that protobuf's C++ text format accepts is accepted, ``text`` being the file's bytes in UTF-8, UTF-16
    with a byte order mark, or any encoding that differs only inside comments. Nothing is upgraded.

    Settings that only a fork of Caffe has and that cannot change results (``forks.HARMLESS``) are skipped with one
    CaffeWarning for the file.

    :param file: the file's name, for messages.
    :param unknown: ``"error"``, or ``"warn"``: skip unknown fields, with a CaffeWarning for the first of each name.
    :raises FormatError: with line and column: syntax, type, range, a repeated singular field, an unknown enum value, a
        missing required field, a binary file.
    :raises UnknownFieldError: a field that the message does not have; names the fork that has it, or the nearest one.
    """
    if unknown not in ("error", "warn"):
        raise ValueError(f"unknown must be 'error' or 'warn', not {unknown!r}")
    message = message_class()
    Parser(decode(text, file), file, unknown == "warn").file(message)
    return message


def top_level_names(text: str | bytes, file: str | None = None) -> list[str]:
    """The names of the outermost fields of a prototxt, whatever message it is.

    :raises FormatError: the text is no sequence of fields.
    """
    return Parser(decode(text, file), file, warn_unknown=True).names()


def format_text(message: Any) -> str:
    """``message`` as prototxt text, letter for letter as ``TextFormat::Print`` and ``DebugString`` of C++ protobuf 3.

    Fields come in the order of their numbers, one a line, two spaces a level, strings in ASCII with octal escapes.
    """
    lines: list[str] = []
    _format_fields(message, "", lines)
    return "".join(lines)


def _format_fields(message: Any, indent: str, lines: list[str]) -> None:
    known = fields_of(message.DESCRIPTOR)
    for descriptor, value in message.ListFields():
        field = known[descriptor.name]
        for one in value if field.repeated else [value]:
            if field.message is not None:
                lines.append(f"{indent}{field.name} {{\n")
                _format_fields(one, indent + "  ", lines)
                lines.append(f"{indent}}}\n")
            else:
                lines.append(f"{indent}{field.name}: {_format_scalar(descriptor, one)}\n")


def _format_scalar(descriptor: Any, value: Any) -> str:
    kind = descriptor.cpp_type
    if kind == FieldDescriptor.CPPTYPE_FLOAT:
        return format_float32(value)
    if kind == FieldDescriptor.CPPTYPE_DOUBLE:
        return _format_double(value)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return "true" if value else "false"
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        known = descriptor.enum_type.values_by_number.get(value)
        return known.name if known else str(value)
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return f'"{_escape(value.encode("utf-8") if isinstance(value, str) else value)}"'
    return str(value)


def format_float32(value: float) -> str:
    """A single precision number: 6 digits where they suffice, else 9 (protobuf's ``SimpleFtoa``)."""
    text = f"{value:.6g}"
    if math.isfinite(value) and struct.unpack("f", struct.pack("f", float(text)))[0] != value:
        text = f"{value:.9g}"
    return text


def _format_double(value: float) -> str:
    """15 digits where they suffice, else 17 (protobuf's ``SimpleDtoa``)."""
    text = f"{value:.15g}"
    return text if float(text) == value or math.isnan(value) else f"{value:.17g}"


def _escape(data: bytes) -> str:
    return "".join(_ESCAPES.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in data)
