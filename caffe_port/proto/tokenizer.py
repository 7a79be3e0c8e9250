"""Prototxt text cut into tokens, each with its place.

The lexical rules are those of protobuf's C++ text format (``google/protobuf/io/tokenizer.cc``): ``#`` comments, strings
in either quote on one line, decimal, octal and hex integers, floats with an optional ``f``, identifiers, and symbols.

Text may hold bytes in any encoding inside comments. Bytes that are not UTF-8 are carried as surrogates (PEP 383), so
that a string token gives back exactly the bytes of the file.
"""

from __future__ import annotations

import codecs
import re
from bisect import bisect_right
from functools import cached_property

from caffe_port.errors import FormatError

_SKIP = re.compile(r"(?:[ \t\r\n\v\f]+|#[^\n]*)*")
_TOKEN = re.compile(
    r"""(?P<identifier>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<hex>0[xX][0-9a-fA-F]+)
      | (?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?)
      | (?P<string>"[^"\\\n]*(?:\\.[^"\\\n]*)*"|'[^'\\\n]*(?:\\.[^'\\\n]*)*')""",
    re.VERBOSE,
)
_ESCAPE = re.compile(
    rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([abfnrtv\\?'\"])|(.?))"
)
_SIMPLE_ESCAPES = dict(zip(b"abfnrtv\\?'\"", b"\a\b\f\n\r\t\v\\?'\""))
_NUMBER_TAIL = re.compile(r"[\w.]*")


def decode(data: str | bytes, file: str | None = None) -> str:
    """The characters of a prototxt file's bytes; a byte order mark (UTF-8, UTF-16) is honoured and dropped.

    :raises FormatError: a NUL byte (a binary file), or broken UTF-16.
    """
    if isinstance(data, bytes):
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            try:
                data = data.decode("utf-16")
            except UnicodeDecodeError as error:
                raise FormatError("is not valid UTF-16 text.", file=file, offset=error.start) from None
        else:
            data = data.decode("utf-8", "surrogateescape")
    data = data.removeprefix("\ufeff")
    if "\0" in data:
        raise FormatError(
            "holds a NUL byte: this looks like a binary file, not prototxt text.",
            remedy="Give the .prototxt here; weights (.caffemodel) are read elsewhere.",
            file=file,
            line=data.count("\n", 0, data.index("\0")) + 1,
            column=data.index("\0") - data.rfind("\n", 0, data.index("\0")),
        )
    return data


class Tokenizer:
    """A cursor over the tokens of ``text``: ``kind``, ``text`` and ``start`` describe the current one.

    Kinds: ``identifier``, ``integer``, ``float``, ``string``, ``symbol`` (one character) and ``end``.
    """

    def __init__(self, source: str, file: str | None = None) -> None:
        self.source = source
        self.file = file
        self.kind = "end"
        self.text = ""
        self.start = 0
        self._end = 0
        self.next()

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.source))]

    def place(self, offset: int) -> tuple[int, int]:
        """1-based line and column of a character offset."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def error(
        self, cause: str, remedy: str | None = None, *, at: int | None = None, kind: type[FormatError] = FormatError
    ) -> FormatError:
        """An error at character offset ``at`` (default: the current token)."""
        line, column = self.place(self.start if at is None else at)
        return kind(cause, remedy=remedy, file=self.file, line=line, column=column)

    def describe(self) -> str:
        """The current token for an error message."""
        if self.kind == "end":
            return "the end of the file"
        return repr(_printable(self.text if len(self.text) <= 40 else self.text[:37] + "..."))

    def next(self) -> None:
        """Advance to the next token.

        :raises FormatError: the characters here start no token.
        """
        source = self.source
        self.start = _SKIP.match(source, self._end).end()  # type: ignore[union-attr]
        if self.start == len(source):
            self.kind, self.text, self._end = "end", "", self.start
            return
        match = _TOKEN.match(source, self.start)
        if match is None:
            self._symbol(source[self.start])
            return
        self.kind, self.text, self._end = match.lastgroup or "", match.group(), match.end()
        if self.kind == "hex":
            self.kind = "integer"
            self._check_number_end()
        elif self.kind == "number":
            self.kind = "integer" if self.text.isdigit() else "float"
            self._check_number_end()

    def _symbol(self, character: str) -> None:
        if character in "\"'":
            raise self.error("a string is not closed on its line.", f"End it with {character}.")
        if character < " " or character > "~":
            raise self.error(
                f"unexpected character {_printable(character)!r} outside a string or comment.",
                "Replace it by plain ASCII; full-width punctuation and no-break spaces often come from web pages.",
            )
        self.kind, self.text, self._end = "symbol", character, self.start + 1

    def _check_number_end(self) -> None:
        """A number must not run on into letters, digits or dots (``1.2.3``, ``3px``); ``08`` is no octal number."""
        tail = _NUMBER_TAIL.match(self.source, self._end).group()  # type: ignore[union-attr]
        if tail:
            raise self.error(f"{_printable(self.text + tail[:20])!r} is not a number.")
        if self.kind == "integer" and self.text[0] == "0" and re.search("[89]", self.text) and self.text.isdigit():
            raise self.error(f"{self.text[:40]!r} is not a number: a leading zero announces octal digits.")

    def string_bytes(self) -> bytes:
        """The current string token's bytes, escapes resolved.

        :raises FormatError: an escape that C does not know.
        """
        raw = self.text[1:-1].encode("utf-8", "surrogateescape")
        return _ESCAPE.sub(self._unescape, raw) if b"\\" in raw else raw

    def _unescape(self, match: re.Match[bytes]) -> bytes:
        octal, hexadecimal, short, long, simple, _ = match.groups()
        if octal:
            return bytes([int(octal, 8) & 0xFF])
        if hexadecimal:
            return bytes([int(hexadecimal, 16)])
        if simple:
            return bytes([_SIMPLE_ESCAPES[simple[0]]])
        code = int(short or long or b"FFFFFFFF", 16)
        if code > 0x10FFFF:
            raise self.error(
                f"invalid escape sequence {match.group().decode('latin-1')!r} in a string.",
                r"Write a backslash as '\\', or use '/' in paths.",
            )
        # A UTF-16 pair arrives as two escapes, each encoded alone here; decode_utf8 joins them.
        return chr(code).encode("utf-8", "surrogatepass")


def decode_utf8(data: bytes) -> str:
    """``data`` as text; two escaped UTF-16 halves become their one character.

    :raises UnicodeDecodeError: not UTF-8.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16")


def _printable(text: str) -> str:
    """``text`` without the surrogates that stand for foreign bytes: those read as Latin-1."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
