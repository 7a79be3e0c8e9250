"""BlobProto: one array in a weights file, a solver state or a mean file (Caffe: blob.cpp, FromProto and ToProto)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from caffe_port.errors import FormatError
from caffe_port.proto.wire import (
    FIXED_SIZE,
    LENGTH,
    VARINT,
    Field,
    Parts,
    encode_int,
    encode_message,
    encode_varint,
    fixed_values,
    read_int,
    read_ints,
    scan,
)

#: num, channels, height, width: the shape of old files.
LEGACY_NUMBERS = (1, 2, 3, 4)
DATA, DIFF, SHAPE, DOUBLE_DATA = 5, 6, 7, 8
#: NVIDIA Caffe's raw form: the element type and the bytes.
RAW_TYPE, RAW_DATA = 10, 12
RAW_DTYPES = {0: "<f8", 1: "<f4", 2: "<f2"}

MAX_AXES = 32
MAX_COUNT = 2**31 - 1
_DAMAGED = "The file is damaged or was cut off: fetch it again."


class Blob(NamedTuple):
    """A BlobProto: its data, float32, and whether its shape was given as num, channels, height, width."""

    array: np.ndarray
    legacy: bool


def read_blob(data: memoryview, start: int, stop: int) -> Blob:
    """The BlobProto ``data[start:stop]``.

    ``data`` that is one packed run stays where it is: the array is a view, possibly unaligned. Several runs, unpacked
    values, ``double_data`` and NVIDIA's raw data (fp16, float, double) are assembled into float32. ``diff`` is skipped.

    :raises FormatError: shape and number of values disagree (compared before anything is allocated), a dimension is
        negative, more than 32 axes or 2^31-1 values (Caffe's limits), a raw type other than floating point.
    """
    floats, doubles, raw = _Values("<f4"), _Values("<f8"), None
    raw_type = 0
    dims: list[int] = []
    legacy: dict[int, int] = {}
    for field in scan(data, start, stop):
        number, wire = field.number, field.wire
        if number == DATA:
            floats.add(data, field)
        elif number == DOUBLE_DATA:
            doubles.add(data, field)
        elif number in LEGACY_NUMBERS and wire == VARINT:
            legacy[number] = _int32(read_int(data, field))
        elif number == SHAPE and wire == LENGTH:
            _read_dims(data, field, dims)
        elif number == RAW_TYPE and wire == VARINT:
            raw_type = read_int(data, field)
        elif number == RAW_DATA and wire == LENGTH:
            raw = field
    shape = tuple(legacy.get(number, 0) for number in LEGACY_NUMBERS) if legacy else tuple(dims)
    if raw is not None:
        values = _raw_values(data, raw_type, raw)
    else:
        values = doubles if doubles.count else floats  # the order of Caffe's FromProto
    check_shape(shape, values.count, start)
    return Blob(values.array(shape), bool(legacy))


def check_shape(shape: Sequence[int], count: int, offset: int | None = None) -> None:
    """Refuse a ``shape`` that Caffe could not hold or that does not have ``count`` elements.

    :raises FormatError: at byte ``offset``.
    """
    text = " x ".join(map(str, shape)) or "scalar"
    if any(dim < 0 for dim in shape):
        raise FormatError(f"A blob has a negative dimension: {text}.", offset=offset, remedy=_DAMAGED)
    if math.prod(dim for dim in shape if dim) > MAX_COUNT:
        raise FormatError(f"A blob of {text} exceeds Caffe's {MAX_COUNT} values.", offset=offset, remedy=_DAMAGED)
    if math.prod(shape) != count:
        raise FormatError(
            f"A blob of {text} needs {math.prod(shape)} values but has {count}.", offset=offset, remedy=_DAMAGED
        )


def to_float32(values: np.ndarray) -> np.ndarray:
    """``values`` as C-contiguous float32, copied only if need be. What exceeds its range becomes infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(values, dtype=np.float32, order="C")


def encode_blob(array: np.ndarray, diff: np.ndarray | None = None, *, legacy: bool = False) -> Parts:
    """``array`` as the content of a BlobProto, in the order in which Caffe writes it: data, diff, shape.

    C-contiguous float32 arrays are passed on without a copy, others are converted.

    :param legacy: write a 4-D shape as num, channels, height, width, as mean files have it.
    """
    head = [encode_int(number, dim) for number, dim in zip(LEGACY_NUMBERS, array.shape)] if legacy else []
    parts: Parts = [b"".join(head)]
    for number, values in ((DATA, array), (DIFF, diff)):
        if values is not None and values.size:
            floats = np.asarray(values, dtype="<f4", order="C")
            parts += encode_message(number, [floats.reshape(-1).view(np.uint8).data])
    if array.ndim and not legacy:
        dims = b"".join(map(encode_varint, array.shape))
        parts += encode_message(SHAPE, encode_message(1, [dims]))
    return parts


class _Values:
    """The values of a repeated float or double field: a place in the file while they are one run, else a copy."""

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self.buffer: memoryview | bytearray = bytearray()
        self.offset = 0
        self.size = 0  # in bytes

    @property
    def count(self) -> int:
        return self.size // self.dtype.itemsize

    def add(self, data: memoryview, field: Field) -> None:
        """Append the values of one field. Another wire type makes the field an unknown one, as in protobuf."""
        if field.wire == LENGTH:
            self._add_packed(data, field)
        elif FIXED_SIZE.get(field.wire) == self.dtype.itemsize:
            self._append(fixed_values(data, field).tobytes())

    def array(self, shape: tuple[int, ...]) -> np.ndarray:
        """All values in ``shape``."""
        stored = np.frombuffer(self.buffer, self.dtype, self.count, self.offset) if self.size else np.empty(0)
        return to_float32(stored.reshape(shape))

    def _add_packed(self, data: memoryview, field: Field) -> None:
        size = field.stop - field.start
        if size % self.dtype.itemsize:
            raise FormatError(
                f"{size} bytes of data are no whole number of {self.dtype.itemsize}-byte values.",
                offset=field.start,
                remedy=_DAMAGED,
            )
        if self.size:
            self._append(data[field.start : field.stop])
        else:
            self.buffer, self.offset, self.size = data, field.start, size

    def _append(self, octets: bytes | memoryview) -> None:
        if not isinstance(self.buffer, bytearray):
            self.buffer, self.offset = bytearray(self.buffer[self.offset : self.offset + self.size]), 0
        self.buffer += octets
        self.size += len(octets)


def _raw_values(data: memoryview, raw_type: int, field: Field) -> _Values:
    if raw_type not in RAW_DTYPES:
        raise FormatError(
            f"A blob holds raw data of NVIDIA's type {raw_type}, which is no floating-point type.",
            offset=field.start,
            remedy="Save the net again with float weights.",
        )
    values = _Values(RAW_DTYPES[raw_type])
    values.add(data, field)
    return values


def _read_dims(data: memoryview, shape: Field, dims: list[int]) -> None:
    """Append the dimensions of a BlobShape to ``dims``."""
    for field in scan(data, shape.start, shape.stop):
        if field.number == 1 and field.wire in (VARINT, LENGTH):
            for dim in read_ints(data, field):
                dims.append(dim)
                if len(dims) > MAX_AXES:
                    raise FormatError(f"A blob has more than {MAX_AXES} axes.", offset=shape.start, remedy=_DAMAGED)


def _int32(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31
