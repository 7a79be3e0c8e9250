"""A protobuf encoder of a dozen lines, independent of the one under test, for files that protobuf would not write."""

from __future__ import annotations

import struct


def varint(value: int) -> bytes:
    value %= 2**64
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])


def integer(number: int, value: int) -> bytes:
    return varint(number * 8) + varint(value)


def message(number: int, *content: bytes) -> bytes:
    body = b"".join(content)
    return varint(number * 8 + 2) + varint(len(body)) + body


def string(number: int, text: str) -> bytes:
    return message(number, text.encode())


def group(number: int, *content: bytes) -> bytes:
    return varint(number * 8 + 3) + b"".join(content) + varint(number * 8 + 4)


def packed(number: int, values: list[float], code: str = "f") -> bytes:
    return message(number, struct.pack(f"<{len(values)}{code}", *values))


def unpacked(number: int, values: list[float], code: str = "f") -> bytes:
    key = varint(number * 8 + {"f": 5, "d": 1}[code])
    return b"".join(key + struct.pack(f"<{code}", value) for value in values)


def shape(*dims: int) -> bytes:
    """BlobProto.shape."""
    return message(7, message(1, *map(varint, dims)))


def legacy_shape(*dims: int) -> bytes:
    """BlobProto.num, channels, height, width."""
    return b"".join(integer(number, dim) for number, dim in enumerate(dims, start=1))


def layer(name: str, *blobs: bytes, type: str = "InnerProduct") -> bytes:
    """NetParameter.layer of the V2 form."""
    return message(100, string(1, name), string(2, type), *(message(7, blob) for blob in blobs))
