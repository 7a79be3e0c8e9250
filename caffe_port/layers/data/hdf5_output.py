"""HDF5Output: writes two blobs to an HDF5 file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from torch import Tensor

from caffe_port.errors import DataError
from caffe_port.layers.base import Layer, LayerContext, Shape
from caffe_port.layers.registry import register

DATASETS = ("data", "label")


@register("HDF5Output", v1="HDF5_OUTPUT")
class HDF5Output(Layer):
    """Writes its two bottoms to file_name as the datasets ``data`` and ``label``; no tops, no gradient.

    The bottoms have at most 4 axes and as many items; missing axes are written with length 1, as num x channels x
    height x width. The file is made anew at the first forward. Caffe: hdf5_output_layer.cpp.

    Deviates from Caffe: a second forward adds its rows, where Caffe dies; and building the net alone writes nothing.
    """

    BOTTOMS = (2, 2)
    TOPS = (0, 0)

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        self.file_name = layer_param.hdf5_output_param.file_name
        self.check(bool(self.file_name), "hdf5_output_param has no file_name.")
        text = "several processes that train together cannot write one file."
        self.check(context.world == 1, text, "Use include { phase: TEST }: one process tests.")
        folder = Path(self.file_name).parent
        self.check(folder.is_dir(), f"the folder '{folder}' of file_name does not exist.", "Make it first.")
        self._mode = "w"

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        for shape in bottoms:
            text = f"a bottom has {len(shape)} axes."
            self.check(1 <= len(shape) <= 4, text, "Blobs of 1 to 4 axes can be written.")
        text = f"data blob and label blob must have the same batch size, not {bottoms[0][0]} and {bottoms[1][0]}."
        self.check(bottoms[0][0] == bottoms[1][0], text)
        return []

    def forward(self, data: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        self.reshape([tuple(data.shape), tuple(label.shape)])
        try:
            with h5py.File(self.file_name, self._mode) as file:
                for name, bottom in zip(DATASETS, (data, label)):
                    self._append(file, name, bottom.detach().cpu().numpy())
        except OSError as error:
            text = f"Failed to write: {error}."
            raise DataError(text, file=self.file_name, layer=self.name, layer_type=self.TYPE) from None
        self._mode = "a"
        return ()

    def _append(self, file: h5py.File, name: str, rows: np.ndarray) -> None:
        rows = rows.reshape(rows.shape + (1,) * (4 - rows.ndim))
        if name not in file:
            file.create_dataset(name, data=rows, maxshape=(None, *rows.shape[1:]))
            return
        dataset = file[name]
        text = f"rows of '{name}' changed their shape from {dataset.shape[1:]} to {rows.shape[1:]}."
        self.check(dataset.shape[1:] == rows.shape[1:], text)
        dataset.resize(len(dataset) + len(rows), axis=0)
        dataset[-len(rows) :] = rows
