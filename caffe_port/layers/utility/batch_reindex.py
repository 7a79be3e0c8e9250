"""BatchReindex."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, Shape, format_shape, is_compiling
from caffe_port.layers.registry import register


@register("BatchReindex")
class BatchReindex(Layer):
    """Select, repeat or reorder the items of a batch: y[n] = x[index n].

    Bottoms: x of N items, and M indices from 0 to N - 1 (one axis, no gradient). Top: M items. The gradients of a
    repeated item add up. Caffe: batch_reindex_layer.cpp.

    :raises LayerError: in ``forward``, an index is out of range.
    """

    BOTTOMS = (2, 2)
    NO_GRADIENT = (1,)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        data, index = bottoms
        self.check(len(data) > 0, "needs a bottom with at least one axis.")
        self.check(len(index) == 1, f"takes indices with one axis, not of shape {format_shape(index)}.")
        return [(index[0], *data[1:])]

    def forward(self, x: Tensor, index: Tensor) -> tuple[Tensor, ...]:
        self.refuse_gradient((x, index), "the index")
        if not is_compiling():
            wrong = index[~((index >= 0) & (index < x.shape[0]))]
            if len(wrong):
                raise self.error(f"index {wrong[0].item():g} is out of range for a batch of {x.shape[0]} items.")
        return (x.index_select(0, index.to(torch.int64)),)
