"""The values of prototxt text: what one field's value may look like, and its range.

Rules and strictness are those of protobuf's C++ ``TextFormat::Parser``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from caffe_port.errors import CaffeWarning, FormatError
from caffe_port.proto import forks
from caffe_port.proto.tokenizer import Tokenizer, decode_utf8

_BOOLS = {"true": True, "True": True, "t": True, "false": False, "False": False, "f": False}
_NOT_FINITE = {"inf": math.inf, "infinity": math.inf, "nan": math.nan}


class Field:
    """What the parser needs to know of a field."""

    def __init__(self, descriptor: Any) -> None:
        self.name: str = descriptor.name
        self.repeated = descriptor.is_repeated if hasattr(descriptor, "is_repeated") else descriptor.label == 3
        self.required = descriptor.is_required if hasattr(descriptor, "is_required") else descriptor.label == 2
        self.message = descriptor.message_type
        self.enum = descriptor.enum_type
        #: the ScalarParser method that reads one value
        self.reader: Callable[[ScalarParser, Field], Any]
        #: inclusive range of an integer
        self.least, self.most = 0, 0
        kind = descriptor.cpp_type
        if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
            self.reader = ScalarParser.number
        elif kind == FieldDescriptor.CPPTYPE_BOOL:
            self.reader = ScalarParser.boolean
        elif kind == FieldDescriptor.CPPTYPE_ENUM:
            self.reader = ScalarParser.enum_value
        elif kind == FieldDescriptor.CPPTYPE_STRING:
            self.reader = ScalarParser.bytes if descriptor.type == FieldDescriptor.TYPE_BYTES else ScalarParser.string
        elif kind != FieldDescriptor.CPPTYPE_MESSAGE:
            self.reader = ScalarParser.integer
            bits = 32 if kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32) else 64
            signed = kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)
            self.least, self.most = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


@cache
def fields_of(descriptor: Any) -> dict[str, Field]:
    """The fields of a message by name."""
    return {field.name: Field(field) for field in descriptor.fields}


class ScalarParser:
    """A cursor over the tokens of a text that reads single values."""

    def __init__(self, source: str, file: str | None) -> None:
        self.tokens = Tokenizer(source, file)
        #: fork settings without effect that were skipped, in order
        self.ignored: dict[str, None] = {}

    def symbol(self, character: str) -> bool:
        """Whether the current token is this symbol."""
        return self.tokens.kind == "symbol" and self.tokens.text == character

    def minus(self) -> bool:
        """Consume a sign if there is one."""
        if not self.symbol("-"):
            return False
        self.tokens.next()
        return True

    def expected(self, what: str, field: Field, remedy: str | None = None) -> FormatError:
        """The error for a token that is no ``what``."""
        return self.tokens.error(f"expected {what} for '{field.name}', found {self.tokens.describe()}.", remedy)

    def integer(self, field: Field) -> int:
        """An integer (decimal, 0x hexadecimal or 0 octal) in the field's range."""
        start = self.tokens.start
        negative = self.minus()
        if self.tokens.kind != "integer":
            raise self.expected("an integer", field)
        text = self.tokens.text
        # Python refuses very long decimal strings; none of more than 40 characters fits 64 bits (but for zeros).
        value = int(text, _base(text)) if len(text) <= 40 else int(text.lstrip("0xX")[:40] or "0", 16)
        value = -value if negative else value
        if not field.least <= value <= field.most:
            shown = ("-" if negative else "") + text[:40]
            raise self.tokens.error(
                f"{shown} is out of range for '{field.name}': {field.least} to {field.most}.", at=start
            )
        self.tokens.next()
        return value

    def number(self, field: Field) -> float:
        """A decimal number, or inf, infinity or nan in any case, with or without a minus.

        The message rounds it to single precision; what is beyond that is infinite, as in C++.
        """
        negative = self.minus()
        tokens = self.tokens
        text = tokens.text.lower()
        if tokens.kind == "identifier" and text in _NOT_FINITE:
            value = _NOT_FINITE[text]
        elif tokens.kind == "float" or (tokens.kind == "integer" and _base(text) == 10):
            value = float(text.rstrip("f"))
        else:
            raise self.expected("a decimal number", field)
        tokens.next()
        return -value if negative else value

    def boolean(self, field: Field) -> bool:
        """true, True, t, 1, false, False, f or 0."""
        tokens = self.tokens
        if tokens.kind == "identifier" and tokens.text in _BOOLS:
            value = _BOOLS[tokens.text]
        elif tokens.kind == "integer" and tokens.text.lower().lstrip("0x") in ("", "1"):
            value = tokens.text.endswith("1")
        else:
            raise self.expected("true or false", field, "Booleans are written true, false, 1 or 0, without quotes.")
        tokens.next()
        return value

    def enum_value(self, field: Field) -> int | None:
        """An enum's number, given by name or number; None for a fork's engine name, which is only a hint."""
        tokens, enum = self.tokens, field.enum
        start = tokens.start
        negative = self.minus()
        if tokens.kind == "identifier" and not negative:
            found = enum.values_by_name.get(tokens.text)
        elif tokens.kind == "integer":
            number = int(tokens.text, _base(tokens.text)) if len(tokens.text) < 20 else 1 << 64
            found = enum.values_by_number.get(-number if negative else number)
        else:
            remedy = f"One of {_names(enum)}, without quotes."
            if tokens.kind == "string" and enum.full_name == "caffe.V1LayerParameter.LayerType":
                remedy += " The old 'layers' takes such names; types in quotes belong to 'layer'."
            raise self.expected("a value's name", field, remedy)
        if found is None and not self.fork_hint(field):
            raise self.unknown_value(field, start)
        tokens.next()
        return None if found is None else found.number

    def bytes(self, field: Field) -> bytes:
        """One string, or several side by side, as bytes."""
        if self.tokens.kind != "string":
            raise self.expected("a string", field, "Put it in quotes." if self.tokens.kind != "end" else None)
        parts = []
        while self.tokens.kind == "string":
            parts.append(self.tokens.string_bytes())
            self.tokens.next()
        return b"".join(parts)

    def string(self, field: Field) -> str:
        """As :meth:`bytes`, as text. What is not UTF-8 is read as Latin-1, with a warning."""
        start = self.tokens.start
        data = self.bytes(field)
        try:
            return decode_utf8(data)
        except UnicodeDecodeError:
            cause = f"the string of '{field.name}' is not UTF-8 and is read as Latin-1."
            place = self.tokens.error(cause, "Save the file as UTF-8 if it names a file or a layer.", at=start)
            warnings.warn(str(place), CaffeWarning, stacklevel=2)
            return data.decode("latin-1")

    def fork_hint(self, field: Field) -> bool:
        """Note the current enum value as skipped if it is a fork's name of an engine, which cannot change results."""
        owner = field.enum.full_name.removeprefix("caffe.")
        if not forks.is_hint(owner, self.tokens.text):
            return False
        self.ignored[f"{owner.removesuffix('.Engine')}.{field.name}: {self.tokens.text}"] = None
        return True

    def unknown_value(self, field: Field, start: int) -> FormatError:
        """The error for an enum value that BVLC Caffe does not have."""
        value, enum = self.tokens.text[:40], field.enum
        origin = forks.forks_with(enum.full_name.removeprefix("caffe."), value)
        if origin:
            cause = f"{field.name} '{value}' exists only in {origin}."
            return self.tokens.error(cause, f"Here it may be {_names(enum)}.", at=start)
        close = get_close_matches(value.upper(), enum.values_by_name.keys(), n=1)
        remedy = f"Did you mean {close[0]}? " if close else ""
        return self.tokens.error(
            f"unknown value '{value}' for '{field.name}'.", f"{remedy}Known: {_names(enum)}.", at=start
        )


def _base(text: str) -> int:
    """The base of an integer token."""
    if text[:2] in ("0x", "0X"):
        return 16
    return 8 if len(text) > 1 and text[0] == "0" else 10


def _names(enum: Any) -> str:
    # .keys(), because the first releases of protobuf 4 iterate over the values
    return ", ".join(enum.values_by_name.keys())
