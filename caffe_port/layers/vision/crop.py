"""Crop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from caffe_port.layers.base import Layer, LayerContext, Shape, format_shape
from caffe_port.layers.registry import register


@register("Crop")
class Crop(Layer):
    """Cut bottom[0] to the size of bottom[1] along ``axis`` (default 2) and every axis after it.

    ``offset`` says where the cut starts: absent (0), once for all these axes, or once per axis. The axes before
    ``axis`` keep the size of bottom[0]. bottom[1] lends its shape only and gets no gradient. Caffe: crop_layer.cpp.
    """

    BOTTOMS = (2, 2)

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        self.first_axis: int = layer_param.crop_param.axis
        self.offsets: list[int] = list(layer_param.crop_param.offset) or [0]

    def _cuts(self, shape: Shape) -> list[tuple[int, int]]:
        """(axis, offset) of every axis that is cut."""
        start = self.axis(self.first_axis, shape)
        axes = range(start, len(shape))
        given = len(self.offsets)
        text = f"offset is given {given} times for the {len(axes)} axes from axis {start} on."
        self.check(given in (1, len(axes)), text, "Give none, one, or one per axis.")
        return list(zip(axes, self.offsets * len(axes) if given == 1 else self.offsets))

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        data, reference = bottoms
        top = list(data)
        for axis, offset in self._cuts(data):
            text = f"has no axis {axis} in its second bottom of shape {format_shape(reference)}."
            self.check(axis < len(reference), text)
            top[axis] = reference[axis]
            self.check(
                offset + top[axis] <= data[axis],
                f"The crop of axis {axis} to size {top[axis]} at offset {offset} exceeds its size {data[axis]}.",
            )
        return [tuple(top)]

    def forward(self, data: Tensor, reference: Tensor) -> tuple[Tensor, ...]:
        for axis, offset in self._cuts(tuple(data.shape)):
            data = data.narrow(axis, offset, reference.shape[axis])
        return (data,)
