"""Flatten."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from caffe_port.layers.base import Layer, Shape
from caffe_port.layers.registry import register


@register("Flatten", v1="FLATTEN")
class Flatten(Layer):
    """Make one axis of the axes from ``axis`` to ``end_axis``, both included.

    An ``end_axis`` one before ``axis`` inserts an axis of 1. Caffe: flatten_layer.cpp.
    """

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        (shape,) = bottoms
        param = self.layer_param.flatten_param
        start, end = self.axis(param.axis, shape), self.axis(param.end_axis, shape) + 1
        self.check(start <= end, f"end_axis {param.end_axis} lies before axis {param.axis}.")
        return [(*shape[:start], math.prod(shape[start:end]), *shape[end:])]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x.reshape(self.reshape([tuple(x.shape)])[0]),)
