"""Concat."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, LayerContext, Shape, format_shape
from caffe_port.layers.registry import register


@register("Concat", v1="CONCAT")
class Concat(Layer):
    """Join the bottoms along ``axis``; they match on every other axis.

    The old ``concat_dim`` names the axis too, but not from the end. Caffe: concat_layer.cpp.
    """

    BOTTOMS = (1, None)

    def __init__(self, layer_param: object, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        param = self.layer_param.concat_param
        both = param.HasField("axis") and param.HasField("concat_dim")
        self.check(not both, "has both axis and concat_dim.", "Keep axis only.")
        self._where = param.concat_dim if param.HasField("concat_dim") else param.axis

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        first = bottoms[0]
        axis = self.axis(self._where, first)
        for shape in bottoms[1:]:
            fits = len(shape) == len(first) and all(a == b for i, (a, b) in enumerate(zip(first, shape)) if i != axis)
            text = f"All bottoms must match except on axis {axis}: {format_shape(first)} and {format_shape(shape)}."
            self.check(fits, text)
        return [(*first[:axis], sum(shape[axis] for shape in bottoms), *first[axis + 1 :])]

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        if len(bottoms) == 1:
            return (bottoms[0].view_as(bottoms[0]),)
        return (torch.cat(bottoms, self.axis(self._where, tuple(bottoms[0].shape))),)
