"""HDF5 files of arrays: what weights and solver states in that form have in common.

Files come from anywhere, so nothing in them may reach outside (external links, external or virtual storage) or declare
more data than it holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from caffe_port.errors import CaffeError, FormatError
from caffe_port.proto.blob_proto import MAX_AXES, check_shape

#: DEFLATE cannot shrink data further than this.
_MAX_COMPRESSION = 1032
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}


@contextmanager
def open_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """The HDF5 file at ``path``, to read.

    :raises FormatError: it is absent, damaged or cut off; also whatever goes wrong while it is open.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file
    except CaffeError as error:
        error.at(file=path)
        raise
    except Exception as error:  # h5py raises nearly every built-in exception on damaged files
        raise FormatError(
            f"This HDF5 file cannot be read: {error}.",
            file=path,
            remedy="It is damaged or was cut off: fetch it again.",
        ) from error


@contextmanager
def new_hdf5(file: BinaryIO) -> Iterator[h5py.File]:
    """A new HDF5 file inside the open binary ``file``, in the oldest form, as Caffe writes it."""
    with h5py.File(file, "w", libver=("earliest", "v108")) as hdf5:
        yield hdf5


def members(group: h5py.Group) -> list[tuple[str, h5py.Group | h5py.Dataset]]:
    """Name and object of everything in ``group``, sorted by name.

    :raises FormatError: a member is a link to elsewhere.
    """
    return [(_printable(name), member(group, name)) for name in group]


def member(group: h5py.Group, name: str) -> Any:
    """The group or dataset ``name`` in ``group``.

    :raises FormatError: it is a link to elsewhere.
    """
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise FormatError(
            f"'{_printable(name)}' in group '{_printable(group.name)}' is a link to another place or file.",
            remedy="Store the data itself there.",
        )
    return group[name]


def read_dataset(dataset: Any, *, kinds: str = "fiu") -> np.ndarray:
    """The data of ``dataset`` in its own type.

    :param kinds: NumPy's kinds of dtype that are allowed.
    :raises FormatError: no dataset, another type, more axes or elements than Caffe holds, data elsewhere or not stored.
    """
    if not isinstance(dataset, h5py.Dataset):
        raise FormatError(f"'{dataset.name}' is no dataset.")
    if dataset.dtype.kind not in kinds or dataset.shape is None:
        raise FormatError(f"'{dataset.name}' holds values of the wrong type {dataset.dtype}.")
    if len(dataset.shape) > MAX_AXES:
        raise FormatError(f"'{dataset.name}' has {len(dataset.shape)} axes; Caffe's limit is {MAX_AXES}.")
    try:
        check_shape(dataset.shape, math.prod(dataset.shape))
        _check_storage(dataset)
    except FormatError as error:
        error.cause = f"'{dataset.name}': {error.cause}"
        raise
    return np.asarray(dataset[()])


def _printable(name: str) -> str:
    """``name`` with ``\\xNN`` for what is not UTF-8."""
    return name.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="backslashreplace")


def _check_storage(dataset: h5py.Dataset) -> None:
    """Refuse a dataset whose bytes are not in this file, or fewer than it declares."""
    settings = dataset.id.get_create_plist()
    if dataset.external or dataset.is_virtual:
        raise FormatError("The data lies in another file.", remedy="Store the data itself here.")
    filters = [settings.get_filter(index)[0] for index in range(settings.get_nfilters())]
    if not _FILTERS.issuperset(filters) or len(filters) != len(set(filters)):
        raise FormatError("The data is compressed in another way than gzip.", remedy="Write it with gzip or without.")
    # Reading one element unpacks its whole chunk, which may be larger than the dataset.
    declared = dataset.dtype.itemsize * max(math.prod(dataset.shape), math.prod(dataset.chunks or ()))
    stored = dataset.id.get_storage_size()
    if declared > stored * (_MAX_COMPRESSION if filters else 1):
        raise FormatError(
            f"{declared} bytes are declared but {stored} are stored.", remedy="The file is damaged or incomplete."
        )
