"""The parser behind :func:`caffe_port.proto.text.parse_text`: tokens into a message.

The grammar and its strictness are those of protobuf's C++ ``TextFormat::Parser``, which Caffe uses. Messages of
caffe.proto do not contain themselves, so recursion is bounded by the schema; unknown values are skipped in a loop, at
any depth.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from caffe_port.errors import CaffeWarning, FormatError, UnknownFieldError
from caffe_port.proto import forks
from caffe_port.proto.scalars import Field, ScalarParser, fields_of
from caffe_port.proto.schema import FILE

_CLOSER = {"{": "}", "<": ">", "[": "]"}
_OPT_OUT = 'Mend or remove it, or skip it with unknown="warn" (--allow-unknown).'


class Parser(ScalarParser):
    """One parse of one text; ``warn_unknown`` skips unknown fields, with a warning for the first of each name."""

    def __init__(self, source: str, file: str | None, warn_unknown: bool) -> None:
        super().__init__(source, file)
        self.warn_unknown = warn_unknown
        #: (message, field) of the unknown fields warned about
        self.skipped: set[tuple[str, str]] = set()

    # -- messages -----------------------------------------------------------------------------------------------------

    def file(self, message: Any) -> None:
        """Parse the whole text into ``message``."""
        self.fields(message, "")
        if self.ignored:
            warnings.warn(
                f"{self.tokens.file or 'prototxt'}: skipped settings of other Caffe forks that do not change results: "
                f"{', '.join(self.ignored)}.",
                CaffeWarning,
                stacklevel=4,
            )

    def names(self) -> list[str]:
        """The names of the outermost fields; their values are passed over."""
        names = []
        while self.tokens.kind != "end":
            if self.tokens.kind != "identifier":
                raise self.tokens.error(f"expected a field name, found {self.tokens.describe()}.")
            names.append(self.tokens.text)
            self.tokens.next()
            self.skip_value(names[-1])
            self.separator()
        return names

    def separator(self) -> None:
        """Consume the ',' or ';' that may follow a field."""
        if self.symbol(";") or self.symbol(","):
            self.tokens.next()

    def fields(self, message: Any, closer: str) -> None:
        """Fields of ``message`` up to ``closer`` (empty: the end of the text), which is left as the current token."""
        tokens, known = self.tokens, fields_of(message.DESCRIPTOR)
        while tokens.kind != "end" and tokens.text != closer:
            if tokens.kind != "identifier":
                expected = "a field name" + (f" or {closer!r}" if closer else "")
                raise tokens.error(f"expected {expected} in {message.DESCRIPTOR.name}, found {tokens.describe()}.")
            name, start = tokens.text, tokens.start
            tokens.next()
            with _in_layer(message):
                if name in known:
                    self.value(message, known[name], start)
                else:
                    self.unknown(message.DESCRIPTOR, name, start)
            self.separator()

    def value(self, message: Any, field: Field, start: int) -> None:
        """The value, or list of values, of a known field whose name stood at ``start``."""
        tokens = self.tokens
        if not field.repeated and message.HasField(field.name):
            raise tokens.error(f"non-repeated field '{field.name}' is specified multiple times.", at=start)
        if self.symbol(":"):
            tokens.next()
        elif field.message is None:
            raise tokens.error(f"expected ':' after '{field.name}', found {tokens.describe()}.")
        if not (field.repeated and self.symbol("[")):
            self.one_value(message, field, start)
            return
        tokens.next()
        while not self.symbol("]"):
            self.one_value(message, field, start)
            if self.symbol(","):
                tokens.next()
                if self.symbol("]"):
                    raise tokens.error(f"expected another value of '{field.name}' after ','.")
            elif not self.symbol("]"):
                raise tokens.error(f"expected ',' or ']' in the list of '{field.name}', found {tokens.describe()}.")
        tokens.next()

    def one_value(self, message: Any, field: Field, start: int) -> None:
        """One scalar or one ``{...}`` message."""
        if field.message is None:
            value = field.reader(self, field)
            if value is None:
                return  # a fork's hint
            if field.repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)
            return
        tokens = self.tokens
        if not (self.symbol("{") or self.symbol("<")):
            raise tokens.error(
                f"expected '{{' after '{field.name}', found {tokens.describe()}.",
                f"{field.name} is a block of {field.message.name} fields.",
            )
        closer = _CLOSER[tokens.text]
        tokens.next()
        child = getattr(message, field.name)
        child = child.add() if field.repeated else child
        child.SetInParent()
        self.fields(child, closer)
        if tokens.kind == "end":
            raise tokens.error(f"'{field.name}' is never closed.", f"Its {closer!r} is missing.", at=start)
        for name, inner in fields_of(field.message).items():
            if inner.required and not child.HasField(name):
                raise tokens.error(f"'{field.name}' lacks its required field '{name}'.", at=start)
        tokens.next()

    # -- what the schema lacks ----------------------------------------------------------------------------------------

    def unknown(self, descriptor: Any, name: str, start: int) -> None:
        """Skip the value of a field that ``descriptor`` lacks, or raise UnknownFieldError."""
        if forks.is_harmless(descriptor.name, name):
            self.ignored[f"{descriptor.name}.{name}"] = None
        elif (descriptor.name, name) in self.skipped:
            pass
        elif self.warn_unknown:
            self.skipped.add((descriptor.name, name))
            error = self.tokens.error(_unknown_cause(descriptor, name), "It is skipped throughout.", at=start)
            warnings.warn(str(error), CaffeWarning, stacklevel=2)
        else:
            remedy = " ".join(filter(None, [_hint(descriptor, name[:60]), _OPT_OUT]))
            raise self.tokens.error(_unknown_cause(descriptor, name), remedy, at=start, kind=UnknownFieldError)
        self.skip_value(name)

    def skip_value(self, name: str) -> None:
        """Pass over a value of unknown type: scalars, or brackets with whatever they hold."""
        tokens = self.tokens
        if self.symbol(":"):
            tokens.next()
        elif not (self.symbol("{") or self.symbol("<")):
            raise tokens.error(f"expected ':' or '{{' after '{name[:60]}', found {tokens.describe()}.")
        if self.minus() or tokens.kind not in ("symbol", "string"):
            if tokens.kind not in ("identifier", "integer", "float"):
                raise tokens.error(f"expected a value for '{name[:60]}', found {tokens.describe()}.")
            tokens.next()
            return
        if tokens.kind == "string":
            while tokens.kind == "string":
                tokens.next()
            return
        if tokens.text not in _CLOSER:
            raise tokens.error(f"expected a value for '{name[:60]}', found {tokens.describe()}.")
        self.skip_brackets()

    def skip_brackets(self) -> None:
        """From an opening bracket to behind the closing one that matches it."""
        tokens = self.tokens
        open_: list[tuple[str, int]] = []
        while True:
            if tokens.kind == "end":
                raise tokens.error(f"{open_[-1][0]!r} is missing: this bracket is never closed.", at=open_[-1][1])
            if tokens.kind == "symbol" and tokens.text in _CLOSER:
                open_.append((_CLOSER[tokens.text], tokens.start))
            elif tokens.kind == "symbol" and tokens.text in _CLOSER.values():
                closer, _ = open_.pop()
                if tokens.text != closer:
                    raise tokens.error(f"expected {closer!r}, found {tokens.describe()}.")
            tokens.next()
            if not open_:
                return


def _unknown_cause(descriptor: Any, name: str) -> str:
    origin = forks.forks_with(descriptor.name, name)
    if origin:
        return f"field '{name}' of {descriptor.name} exists only in {origin}."
    return f"unknown field '{name[:60]}' in {descriptor.name}."


def _hint(descriptor: Any, name: str) -> str:
    """Where else the field may belong, or what it may have been meant to be; empty for a fork's field."""
    if forks.forks_with(descriptor.name, name):
        return ""
    other = {"NetParameter": "SolverParameter", "SolverParameter": "NetParameter"}.get(descriptor.name)
    if other and name in FILE.message_types_by_name[other].fields_by_name:
        return f"It is a field of {other}: this looks like a {'net' if other == 'NetParameter' else 'solver'}."
    blocks = [field for field in descriptor.fields if field.message_type is not None]
    inside = [field.name for field in blocks if name in field.message_type.fields_by_name]
    if 0 < len(inside) <= 6:
        return f"It belongs inside {' or '.join(inside)}."
    close = get_close_matches(name.lower(), descriptor.fields_by_name.keys(), n=1)
    return f"Did you mean '{close[0]}'?" if close else ""


@contextmanager
def _in_layer(message: Any) -> Iterator[None]:
    """Complete errors inside a layer with its name and type, as far as they have been read."""
    try:
        yield
    except FormatError as error:
        if message.DESCRIPTOR.name.endswith("LayerParameter") and message.name:
            error.at(layer=message.name, layer_type=message.type if isinstance(message.type, str) else None)
        raise
