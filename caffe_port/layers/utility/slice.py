"""Slice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor

from caffe_port.layers.base import Layer, LayerContext, Shape
from caffe_port.layers.registry import register
from caffe_port.layers.utility.concat import axis_field


@register("Slice", v1="SLICE")
class Slice(Layer):
    """Cut the bottom along ``axis`` at the ``slice_point`` indices, or without them into equal parts, one for each top.

    The old ``slice_dim`` names the axis too, but not from the end. Caffe: slice_layer.cpp.
    """

    TOPS = (1, None)

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        self._where = axis_field(self, layer_param.slice_param, "slice_dim")
        points, tops = list(layer_param.slice_param.slice_point), len(layer_param.top)
        text = f"has {len(points)} slice points for {tops} tops; it needs one less than tops."
        self.check(not points or len(points) == tops - 1, text)
        self.check(all(a < b for a, b in pairwise([0, *points])), f"slice points {points} must increase from above 0.")

    def _sizes(self, size: int) -> list[int]:
        """How an axis of ``size`` is cut."""
        points, tops = list(self.layer_param.slice_param.slice_point), len(self.layer_param.top)
        if points:
            text = f"slice points {points} do not fit an axis of {size} with {tops} tops."
            self.check(tops <= size and points[-1] <= size, text)
            return [b - a for a, b in pairwise([0, *points, size])]
        self.check(size % tops == 0, f"The number of tops ({tops}) must evenly divide the axis to slice ({size}).")
        return [size // tops] * tops

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        (shape,) = bottoms
        axis = self.axis(self._where, shape)
        return [(*shape[:axis], size, *shape[axis + 1 :]) for size in self._sizes(shape[axis])]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        axis = self.axis(self._where, tuple(x.shape))
        return x.split(self._sizes(x.shape[axis]), axis)
