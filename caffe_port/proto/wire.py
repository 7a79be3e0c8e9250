"""The protobuf wire format: a scanner over bytes in memory and the few encoders that streaming needs.

A message is a sequence of fields, each a varint key ``number << 3 | wire type`` and a value. The scanner yields where
the values lie and copies nothing, so that weights can be read in place (Protocol Buffers, "Encoding").
Time and memory are bounded by the size of the input, whatever its bytes are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple, TypeAlias

import numpy as np

from caffe_port.errors import FormatError

VARINT, FIXED64, LENGTH, START_GROUP, END_GROUP, FIXED32 = range(6)
FIXED_SIZE = {FIXED64: 8, FIXED32: 4}

MAX_NUMBER = 2**29 - 1
#: Deepest nesting of groups that is skipped; protobuf's own default limit.
MAX_DEPTH = 100
#: protobuf refuses larger messages, so Caffe could not read them back.
MAX_MESSAGE = 2**31 - 1

#: What a message is written from: headers as bytes, arrays as views on their memory.
Parts: TypeAlias = "list[bytes | memoryview]"


class Field(NamedTuple):
    """One field of a message: ``data[start:stop]`` is its value, ``tag`` the offset of its key.

    A run of fixed-size fields with one and the same one-byte key is given as one field that reaches from the first
    value to the end of the last (see :func:`fixed_values`).
    """

    number: int
    wire: int
    tag: int
    start: int
    stop: int


def scan(data: memoryview, start: int = 0, stop: int | None = None) -> Iterator[Field]:
    """The fields of the message ``data[start:stop]`` in order; groups are skipped.

    :raises FormatError: the bytes are no message: truncated, overlong varint, key 0, length beyond the end.
    """
    stop = len(data) if stop is None else stop
    position = start
    while position < stop:
        tag = position
        number, wire, position = _read_key(data, position, stop)
        if wire == START_GROUP:
            position = _skip_group(data, number, position, stop)
            continue
        if wire == END_GROUP:
            raise FormatError(f"Field {number} ends a group that was never started.", offset=tag)
        value, position = _value_span(data, wire, position, stop)
        if wire in FIXED_SIZE and value == tag + 1:
            position = _fixed_run_end(data, value, position, stop)
        yield Field(number, wire, tag, value, position)


def read_varint(data: memoryview, position: int, stop: int) -> tuple[int, int]:
    """The unsigned 64-bit varint at ``position`` and the offset behind it.

    :raises FormatError: cut off by ``stop``, or longer than ten bytes.
    """
    if position < stop and data[position] < 0x80:  # nearly all of them
        return data[position], position + 1
    value = 0
    for index in range(10):
        if position + index >= stop:
            raise FormatError("The file or one of its messages ends in the middle of a number.", offset=position)
        byte = data[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & (2**64 - 1), position + index + 1
    raise FormatError("A number takes more than ten bytes.", offset=position)


def read_int(data: memoryview, field: Field) -> int:
    """The signed value of a varint field (int32, int64, enum, bool)."""
    value, _ = read_varint(data, field.start, field.stop)
    return value - 2**64 if value >= 2**63 else value


def read_ints(data: memoryview, field: Field) -> Iterator[int]:
    """The values of a ``repeated int64`` field in either form: one varint, or packed ones."""
    position = field.start
    while position < field.stop:
        value, position = read_varint(data, position, field.stop)
        yield value - 2**64 if value >= 2**63 else value


def read_string(data: memoryview, field: Field) -> str:
    """The value of a string field; bytes that are not UTF-8 appear as ``\\xNN``."""
    return bytes(data[field.start : field.stop]).decode("utf-8", errors="backslashreplace")


def fixed_values(data: memoryview, field: Field) -> np.ndarray:
    """The values of a fixed-size field or run of fields: uint8 of shape (count, 4 or 8), a view."""
    record = FIXED_SIZE[field.wire] + 1  # the last byte of its key precedes each value
    octets = np.frombuffer(data, np.uint8, field.stop - field.start + 1, field.start - 1)
    return octets.reshape(-1, record)[:, 1:]


def _read_key(data: memoryview, position: int, stop: int) -> tuple[int, int, int]:
    key, after = read_varint(data, position, stop)
    number, wire = key >> 3, key & 7
    if not 1 <= number <= MAX_NUMBER:
        raise FormatError(f"{number} is no field number.", offset=position)
    if wire > FIXED32:
        raise FormatError(f"Field {number} has wire type {wire}, which does not exist.", offset=position)
    return number, wire, after


def _value_span(data: memoryview, wire: int, position: int, stop: int) -> tuple[int, int]:
    """Where the value behind a key begins and ends."""
    if wire == VARINT:
        return position, read_varint(data, position, stop)[1]
    if wire == LENGTH:
        size, start = read_varint(data, position, stop)
    else:
        size, start = FIXED_SIZE[wire], position
    if size > stop - start:
        raise FormatError(f"A field of {size} bytes begins here, but only {stop - start} are left.", offset=position)
    return start, start + size


def _skip_group(data: memoryview, number: int, position: int, stop: int) -> int:
    """The offset behind the group that has just been opened. Its nesting is followed without recursion."""
    opened = [number]
    while opened:
        tag = position
        number, wire, position = _read_key(data, position, stop)
        if wire == START_GROUP:
            opened.append(number)
            if len(opened) > MAX_DEPTH:
                raise FormatError(f"Groups are nested more than {MAX_DEPTH} deep.", offset=tag)
        elif wire == END_GROUP:
            if opened.pop() != number:
                raise FormatError(f"Field {number} ends a group that another field started.", offset=tag)
        else:
            _, position = _value_span(data, wire, position, stop)
    return position


def _fixed_run_end(data: memoryview, start: int, end: int, stop: int) -> int:
    """The end of the run of fixed-size fields that begins with the value ``data[start:end]`` behind a one-byte key.

    Looks ahead in blocks that double, so that neither a long run nor many short ones cost more than one pass.
    """
    key, record, block = data[start - 1], end - start + 1, 1
    while count := min(block, (stop - end) // record):
        differs = np.frombuffer(data, np.uint8, count * record, end)[::record] != key
        if differs.any():
            return end + int(differs.argmax()) * record
        end += count * record
        block *= 2
    return end


def encode_varint(value: int) -> bytes:
    """``value`` as a varint; a negative int64 takes ten bytes."""
    value &= 2**64 - 1
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def encode_key(number: int, wire: int) -> bytes:
    """The key of a field."""
    return encode_varint(number << 3 | wire)


def encode_int(number: int, value: int) -> bytes:
    """A varint field."""
    return encode_key(number, VARINT) + encode_varint(value)


def encode_message(number: int, parts: Sequence[bytes | memoryview]) -> Parts:
    """``parts`` as one length-delimited field: their bytes are counted, not copied."""
    return [encode_key(number, LENGTH) + encode_varint(sum(map(len, parts))), *parts]


def encode_string(number: int, text: str) -> bytes:
    """A string field."""
    return b"".join(encode_message(number, [text.encode("utf-8")]))


def write_messages(file: BinaryIO, messages: Iterable[Parts]) -> None:
    """Write ``messages`` one after another; each is made only when its turn comes.

    :raises FormatError: together they exceed what protobuf reads.
    """
    written = 0
    for parts in messages:
        written += sum(map(len, parts))
        if written > MAX_MESSAGE:
            raise FormatError(
                "The file would be larger than the 2 GB that protobuf reads.",
                remedy="Use snapshot_format: HDF5 (a path ending in .h5) instead.",
            )
        for part in parts:
            file.write(part)
