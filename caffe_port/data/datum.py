"""Datum: one record of a database, an array of pixels with an integer label. Caffe: util/io.cpp."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.data.images import decode_image
from caffe_port.errors import DataError
from caffe_port.proto import pb


def parse_datum(value: bytes, *, name: str) -> Any:
    """The Datum message in ``value``.

    :param name: what the error message calls the record.
    :raises DataError: ``value`` is no Datum.
    """
    try:
        return pb.Datum.FromString(value)
    except Exception as error:  # protobuf's DecodeError, which only proto/ may import
        raise DataError(f"{name} is no Datum: {error}.", remedy="The record is corrupt; make the data anew.") from None


def datum_to_array(datum: Any, colour: bool | None = None, *, name: str = "the Datum") -> np.ndarray:
    """The (C, H, W) pixels of ``datum``: uint8, or float32 where it holds float_data.

    :param colour: for encoded datums: True or False force 3 channels or 1, None keeps what the image has.
    :raises DataError: the sizes do not fit the data, or an encoded image cannot be decoded.
    """
    if datum.encoded:
        return decode_image(datum.data, colour, name=name)
    shape = (datum.channels, datum.height, datum.width)
    data = datum.data
    count = len(data) or len(datum.float_data)
    if min(shape) <= 0 or math.prod(shape) != count:
        text = f"{name} holds {count} values for {shape[0]} x {shape[1]} x {shape[2]} pixels."
        raise DataError(text, remedy="The record is corrupt; make the data anew.")
    values = np.frombuffer(data, np.uint8) if data else np.array(datum.float_data, np.float32)
    return values.reshape(shape)


def decode_record(
    key: bytes, value: bytes, colour: bool | None = None, *, file: str | Path
) -> tuple[np.ndarray, int, str]:
    """The pixels (:func:`datum_to_array`) and label of a database's record, and what an error calls the record.

    :param file: the database, for the error message.
    :raises DataError: as :func:`parse_datum` and :func:`datum_to_array`.
    """
    name = f"record '{key.decode('utf-8', 'backslashreplace')}'"
    try:
        datum = parse_datum(value, name=name)
        return datum_to_array(datum, colour, name=name), datum.label, name
    except DataError as error:
        raise error.at(file=file) from None


def array_to_datum(array: np.ndarray, label: int | None = None) -> Any:
    """A Datum of a (C, H, W) array: uint8 goes to ``data``, floating point to ``float_data``.

    :raises DataError: another number of axes, or another data type.
    """
    if array.ndim != 3:
        raise DataError(f"A Datum holds (channels, height, width), not an array of shape {array.shape}.")
    datum = pb.Datum(channels=array.shape[0], height=array.shape[1], width=array.shape[2])
    if array.dtype == np.uint8:
        datum.data = array.tobytes()
    elif array.dtype.kind == "f":
        datum.float_data.extend(array.ravel().tolist())
    else:
        raise DataError(f"A Datum holds uint8 or floating point, not {array.dtype}.", remedy="Convert the array first.")
    if label is not None:
        datum.label = label
    return datum
