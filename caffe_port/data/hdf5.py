"""HDF5 files as a source of rows. Caffe: hdf5_data_layer.cpp, util/hdf5.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch
from torch import Tensor

from caffe_port import rng
from caffe_port.data.prefetch import BatchSource, Stream
from caffe_port.errors import DataError


class Row(NamedTuple):
    """A row of file number ``file``."""

    file: int
    row: int


class HDF5Source(BatchSource):
    """Rows of the HDF5 files that the text file ``source`` lists, one top per dataset name.

    Batches cross file ends. ``shuffle`` permutes the order of the files and the rows within each, anew in every epoch.
    One file at a time is in memory. The first axis of every dataset counts the rows; all the files have one layout.

    :raises DataError: the list or a file cannot be read, a dataset is missing, or their shapes do not agree.
    """

    def __init__(self, source: str | Path, names: Sequence[str], shuffle: bool, stream: Stream) -> None:
        self.names = list(names)
        self.shuffle = shuffle
        self.stream = stream
        self.files = read_file_list(source)
        layouts = [read_layout(file, self.names) for file in self.files]
        self.row_shapes = [shape[1:] for shape in layouts[0]]
        for file, layout in zip(self.files, layouts):
            for name, wanted, shape in zip(self.names, self.row_shapes, layout):
                if shape[1:] != wanted:
                    text = f"rows of dataset '{name}' have the shape {shape[1:]}, in {self.files[0]} {wanted}."
                    raise DataError(text, remedy="All the files of one list need one layout.", file=file)
        self.rows = np.array([layout[0][0] for layout in layouts])
        self._epoch: tuple[int, np.ndarray, np.ndarray] | None = None
        self._loaded: tuple[int, list[np.ndarray]] | None = None
        self._permuted: tuple[tuple[int, int], np.ndarray] | None = None

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """One per dataset: (batch_size, ...) of its rows."""
        return [(self.stream.batch_size, *shape) for shape in self.row_shapes]

    def read(self, batch: int) -> list[np.ndarray]:
        """The rows of ``batch``, one array per dataset."""
        rows = [self.locate(item) for item in self.stream.items(batch)]
        parts: list[list[np.ndarray]] = [[] for _ in self.names]
        for file, group in groupby(rows, key=lambda row: row.file):
            picked = [row.row for row in group]
            for part, array in zip(parts, self._load(file)):
                part.append(array[picked])
        return [np.concatenate(part) for part in parts]

    def prepare(self, batch: int, raw: list[np.ndarray]) -> list[Tensor]:
        """The rows as floating point."""
        # Wide numbers stay wide until the layer's type is known; narrow ones fit float32.
        return [torch.from_numpy(a.astype(np.float64 if a.itemsize > 4 else np.float32)) for a in raw]

    def finish(self, prepared: list[Tensor], like: Tensor) -> tuple[Tensor, ...]:
        """The tops, one per dataset."""
        return tuple(top.to(like.device, like.dtype) for top in prepared)

    def locate(self, item: int) -> Row:
        """Where global item number ``item`` lies."""
        epoch, place = divmod(item, int(self.rows.sum()))
        order, ends = self._order(epoch)
        index = int(np.searchsorted(ends, place, side="right"))
        file = int(order[index])
        row = place - int(ends[index]) + int(self.rows[file])
        return Row(file, int(self._row_order(epoch, file)[row]) if self.shuffle else row)

    def _order(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The order of the files in ``epoch``, and the number of rows up to the end of each."""
        if self._epoch is None or self._epoch[0] != epoch:
            order = np.arange(len(self.files))
            if self.shuffle:
                order = rng.numpy_generator(self.stream.seed, self.stream.name, "shuffle", epoch).permutation(order)
            self._epoch = epoch, order, np.cumsum(self.rows[order])
        return self._epoch[1:]

    def _row_order(self, epoch: int, file: int) -> np.ndarray:
        if self._permuted is None or self._permuted[0] != (epoch, file):
            generator = rng.numpy_generator(self.stream.seed, self.stream.name, "rows", epoch, file)
            self._permuted = (epoch, file), generator.permutation(int(self.rows[file]))
        return self._permuted[1]

    def _load(self, file: int) -> list[np.ndarray]:
        if self._loaded is None or self._loaded[0] != file:
            self._loaded = None  # before the next file comes, not after
            self._loaded = file, read_datasets(self.files[file], self.names)
        return self._loaded[1]


def read_file_list(source: str | Path) -> list[str]:
    """The file names in the text file ``source``, separated by white space.

    :raises DataError: it cannot be read, or lists nothing.
    """
    try:
        files = Path(source).read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        remedy = "'source' is a text file that lists HDF5 files, one per line."
        raise DataError(f"Failed to open source file: {error}.", remedy=remedy, file=source) from None
    if not files:
        raise DataError("Must have at least 1 HDF5 filename listed.", file=source)
    return files


def _open(path: str | Path) -> h5py.File:
    """The HDF5 file at ``path``, read only.

    :raises DataError: it is missing or damaged.
    """
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"Failed opening HDF5 file: {error}.", file=path) from None


def read_layout(path: str | Path, names: Sequence[str]) -> list[tuple[int, ...]]:
    """The shapes of the datasets ``names``.

    :raises DataError: one is missing, holds no numbers, has no axis or no rows, or another number of rows.
    """
    shapes = []
    with _open(path) as file:
        for name in names:
            dataset = file.get(name)
            if not isinstance(dataset, h5py.Dataset):
                known = ", ".join(file.keys())
                raise DataError(f"Failed to find HDF5 dataset '{name}'.", remedy=f"There are: {known}.", file=path)
            if dataset.dtype.kind not in "fiu":
                text = f"dataset '{name}' has the unsupported type {dataset.dtype}."
                raise DataError(text, remedy="Store integers or floating point.", file=path)
            if not dataset.shape or not dataset.shape[0]:
                raise DataError(f"dataset '{name}' has no rows; its shape is {dataset.shape}.", file=path)
            shapes.append(dataset.shape)
            if dataset.shape[0] != shapes[0][0]:
                text = f"dataset '{name}' has {dataset.shape[0]} rows, '{names[0]}' {shapes[0][0]}."
                raise DataError(text, remedy="All datasets need as many rows.", file=path)
    return shapes


def read_datasets(path: str | Path, names: Sequence[str]) -> list[np.ndarray]:
    """The whole datasets ``names``.

    :raises DataError: the data are damaged.
    """
    with _open(path) as file:
        try:
            return [file[name][...] for name in names]
        except (OSError, KeyError) as error:
            raise DataError(f"Failed to read the datasets: {error}.", file=path) from None
