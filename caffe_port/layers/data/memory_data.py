"""MemoryData: batches of arrays that the program sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caffe_port.data.datum import datum_to_array
from caffe_port.errors import CaffeError
from caffe_port.layers.base import LayerContext, Shape
from caffe_port.layers.data.base import DataLayer
from caffe_port.layers.registry import register


@register("MemoryData", v1="MEMORY_DATA")
class MemoryData(DataLayer):
    """Serves arrays from memory, batch by batch, beginning anew after the last.

    Tops: data (batch_size, channels, height, width) and labels (batch_size,). Give the data with :meth:`set_arrays`,
    untransformed, or with :meth:`add_datums`, which applies transform_param. Their number must be a multiple of
    batch_size. Caffe: memory_data_layer.cpp.

    Deviates from Caffe: the label top stays (batch_size,), where Caffe makes it batch_size x 1 x 1 x 1 in forward.
    """

    TOPS = (2, 2)

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        param = layer_param.memory_data_param
        self.item_shape: Shape = (param.channels, param.height, param.width)
        self.batch_size = param.batch_size
        text = "batch_size, channels, height, and width must be specified and positive in memory_data_param."
        self.check(min(self.batch_size, *self.item_shape) > 0, text)
        self._data = torch.empty(0)
        self._labels = torch.empty(0)
        self._first_pass = 0
        self._added = 0
        self._pending = False

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [(self.batch_size, *self.item_shape), (self.batch_size,)]

    def set_arrays(self, data: Any, labels: Any) -> None:
        """Serve ``data`` (n, channels, height, width) and ``labels`` (n values) from the next forward on.

        The arrays are read where they are, so later changes show. transform_param does not apply to them.

        :raises LayerError: n is no multiple of batch_size, or the shapes do not fit.
        """
        if self.layer_param.HasField("transform_param"):
            self.warn("does not transform array data; transform_param applies to datums only.")
        self._set(torch.as_tensor(data), torch.as_tensor(labels).reshape(-1))
        self._pending = False

    def add_datums(self, datums: Sequence[Any]) -> None:
        """Decode and transform Datum messages and serve them from the next forward on.

        :raises LayerError: the datums before have not all been served, or their number or shapes do not fit.
        :raises DataError: a datum is corrupt or does not fit transform_param.
        """
        self.check(not self._pending, "Can't add data until current data has been consumed.", "Run forward first.")
        self.check(len(datums) > 0, "There is no datum to add.")
        try:
            transformer = self.transformer()
            names = [f"datum {i}" for i in range(len(datums))]
            images = [datum_to_array(d, transformer.colour, name=n) for d, n in zip(datums, names)]
            cut = transformer.cut(images, range(self._added, self._added + len(datums)), names)
        except CaffeError as error:
            raise error.at(layer=self.name, layer_type=self.TYPE) from None
        labels = torch.tensor([float(datum.label) for datum in datums])
        self._set(transformer.normalise(cut, self.like), labels)
        self._added += len(datums)
        self._pending = True

    def set_batch_size(self, batch_size: int) -> None:
        """Change the batch size, and forget data that do not fit it."""
        self.check(not self._pending, "Can't change batch_size until current data has been consumed.")
        self.check(batch_size > 0, "Positive batch size required.")
        self.batch_size = batch_size
        if len(self._data) % batch_size:
            self._data = torch.empty(0)

    def _set(self, data: Tensor, labels: Tensor) -> None:
        count = len(data) if data.ndim else 0
        text = f"the number of items ({count}) must be a positive multiple of the batch size {self.batch_size}."
        self.check(count > 0 and count % self.batch_size == 0, text)
        wanted = " x ".join(map(str, self.item_shape))
        fits = tuple(data.shape[1:]) == self.item_shape
        self.check(fits, f"the data have the shape {tuple(data.shape)}, not n x {wanted}.")
        self.check(len(labels) == count, f"there are {len(labels)} labels for {count} items.")
        self._data, self._labels = data, labels
        self._first_pass = self.passes

    def forward(self) -> tuple[Tensor, ...]:
        remedy = "Call set_arrays (in pycaffe: net.set_input_arrays) before forward."
        self.check(len(self._data) > 0, "MemoryData has no data.", remedy)
        start = (self.passes - self._first_pass) * self.batch_size % len(self._data)
        stop = start + self.batch_size
        self.passes += 1
        self._pending = self._pending and stop < len(self._data)
        # copies: an in-place layer above must not change the arrays
        parts = (self._data[start:stop], self._labels[start:stop])
        return tuple(part.to(self.like.device, self.like.dtype, copy=True) for part in parts)
