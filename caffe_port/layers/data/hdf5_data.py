"""HDF5Data: rows of HDF5 datasets."""

from __future__ import annotations

from typing import Any

from caffe_port.data.hdf5 import HDF5Source
from caffe_port.data.prefetch import BatchSource
from caffe_port.layers.base import LayerContext
from caffe_port.layers.data.base import PrefetchingDataLayer
from caffe_port.layers.registry import register


@register("HDF5Data", v1="HDF5_DATA")
class HDF5Data(PrefetchingDataLayer):
    """Rows of the HDF5 files listed in ``source``, one top per dataset of the same name.

    Each top has the shape (batch_size, ...) of its dataset's rows; any number of tops and of axes. Batches run across
    file ends and from the last file into the first. shuffle permutes the files and the rows within each, anew in every
    epoch. In a training of several processes each row goes to one of them. transform_param is refused.
    Caffe: hdf5_data_layer.cpp.

    Deviates from Caffe: all the files are looked at beforehand, and must have one layout.
    """

    TOPS = (1, None)
    INTERLEAVED = True
    workers = 1  # there is nothing to decode

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        refused = layer_param.HasField("transform_param")
        self.check(not refused, f"{self.TYPE} does not transform data.", "Remove transform_param.")
        param = layer_param.hdf5_data_param
        self.check(bool(param.source), "hdf5_data_param has no source.", "Name the text file that lists HDF5 files.")
        self._stream = self.stream(param.batch_size)

    def open_source(self) -> BatchSource:
        param = self.layer_param.hdf5_data_param
        return HDF5Source(param.source, self.layer_param.top, param.shuffle, self._stream)
