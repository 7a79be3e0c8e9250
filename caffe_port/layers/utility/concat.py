"""Concat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        self._where = axis_field(self, layer_param.concat_param, "concat_dim")

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


def axis_field(layer: Layer, param: Any, old: str) -> int:
    """``param.axis``, or the ``old`` field for it where that is set, which cannot be negative.

    :raises LayerError: both are set.
    """
    layer.check(not (param.HasField("axis") and param.HasField(old)), f"has both axis and {old}.", "Keep axis only.")
    return getattr(param, old) if param.HasField(old) else param.axis
