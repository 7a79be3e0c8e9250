"""Mean images: ``.binaryproto`` and ``.npy`` (Caffe: data_transformer.cpp; tools/compute_image_mean.cpp)."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np

from caffe_port.errors import FormatError
from caffe_port.files import atomic_write
from caffe_port.proto.blob_proto import LEGACY_NUMBERS, encode_blob, read_blob, to_float32
from caffe_port.proto.mapped import NPY_MAGIC, blame, open_map, refuse_foreign
from caffe_port.proto.wire import LENGTH, VARINT, scan, write_messages

_WANTED = "a mean (.binaryproto or .npy)"


def read_mean(path: str | Path) -> np.ndarray:
    """The mean image at ``path``: float32 of shape (channels, height, width).

    A leading axis of one is dropped. The form is told by its content.

    :raises FormatError: absent, damaged, something else, or not one image.
    """
    array = read_array(path)
    image = array[0] if array.ndim == 4 and array.shape[0] == 1 else array
    if image.ndim != 3 or not image.size:
        raise FormatError(
            f"A mean image needs the shape channels x height x width, but this is {array.shape}.",
            file=path,
            remedy="Give one value per channel as mean_value instead." if array.ndim == 1 else None,
        )
    return image


def read_array(path: str | Path, wanted: str = _WANTED) -> np.ndarray:
    """The array of a file that holds one BlobProto or one ``.npy`` array: float32 of its own shape.

    :param wanted: what the file should be, for messages about a foreign one.
    :raises FormatError: as :func:`read_mean`.
    """
    data = open_map(path)
    with blame(path, wanted):
        if data[: len(NPY_MAGIC)] == NPY_MAGIC:
            return _read_npy(data)
        refuse_foreign(data, path, wanted)
        _refuse_other_message(data, wanted)
        return read_blob(data, 0, len(data)).array


def write_mean(path: str | Path, array: np.ndarray) -> None:
    """Write the mean image ``array`` (channels, height, width) as Caffe's compute_image_mean does, byte for byte.

    :raises FormatError: ``array`` has another number of axes.
    """
    array = np.asarray(array)
    if array.ndim != 3:
        raise FormatError(f"A mean image has three axes, not {array.ndim}.", file=path)
    with atomic_write(path) as file:
        write_messages(file, [encode_blob(array[None], legacy=True)])


def _read_npy(data: memoryview) -> np.ndarray:
    """An ``.npy`` array of numbers, read by NumPy's header but never beyond the file; no pickles."""
    header = io.BytesIO(bytes(data[: 2**16 + 16]))
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        shape, fortran, dtype = readers[np.lib.format.read_magic(header)](header)
    except Exception as error:  # the header is a Python literal: its damages have many faces
        raise FormatError(f"The header of the .npy array cannot be read: {error}.") from error
    if dtype.kind not in "fiu":
        raise FormatError(f"The .npy array holds {dtype}, not numbers.")
    count, start = math.prod(shape), header.tell()
    if min(shape, default=0) < 0 or count * dtype.itemsize != len(data) - start:
        raise FormatError(
            f"The .npy array of shape {shape} needs {count * dtype.itemsize} bytes but has {len(data) - start}."
        )
    if not count:
        raise FormatError(f"The .npy array of shape {shape} is empty.")
    stored = np.frombuffer(data, dtype, count, start).reshape(shape, order="F" if fortran else "C")
    return to_float32(stored)


def _refuse_other_message(data: memoryview, wanted: str) -> None:
    """Refuse nets and solver states, whose low field numbers are strings and messages instead of dimensions."""
    for field in scan(data):
        if field.number in LEGACY_NUMBERS and field.wire == LENGTH:
            raise FormatError(f"This is weights or a solver state, not {wanted}.")
        if field.number in LEGACY_NUMBERS and field.wire == VARINT:
            continue
        return
