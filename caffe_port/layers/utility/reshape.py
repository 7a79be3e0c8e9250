"""Reshape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from caffe_port.layers.base import Layer, LayerContext, Shape, format_shape
from caffe_port.layers.registry import register


@register("Reshape")
class Reshape(Layer):
    """Replace ``num_axes`` axes from ``axis`` on (-1: all of them) by ``shape``, keeping the values in order.

    In ``shape``, 0 copies the bottom's axis at that place and one -1 stands for what remains. A negative ``axis``
    counts from the end, -1 being behind the last axis. Caffe: reshape_layer.cpp.
    """

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        param = self.layer_param.reshape_param
        self._dims = list(param.shape.dim)
        self.check(self._dims.count(-1) <= 1, "shape has more than one -1.", "At most one axis can be inferred.")
        self.check(min(self._dims, default=0) >= -1, f"shape {self._dims} has a dimension below -1.")
        self.check(param.num_axes >= -1, "num_axes must be >= 0, or -1 for all.")

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        (shape,) = bottoms
        param = self.layer_param.reshape_param
        start = self.axis(param.axis, shape, end=True)
        end = len(shape) if param.num_axes == -1 else start + param.num_axes
        text = f"axis {param.axis} and num_axes {param.num_axes} go beyond the bottom's {len(shape)} axes."
        self.check(end <= len(shape), text)
        new = list(self._dims)
        for i, n in enumerate(new):
            if n == 0:
                self.check(start + i < len(shape), f"shape has a 0 at {i}, but there is no bottom axis to copy.")
                new[i] = shape[start + i]
        if -1 in self._dims:
            known = math.prod(shape[:start]) * math.prod(n for n in new if n != -1) * math.prod(shape[end:])
            count = math.prod(shape)
            text = f"The bottom's count {count} must be divisible by the product {known} of the specified dimensions."
            self.check(known > 0 and count % known == 0, text)
            new[new.index(-1)] = count // known
        top = (*shape[:start], *new, *shape[end:])
        text = f"The top's count must match the bottom's: {format_shape(top)} and {format_shape(shape)}."
        self.check(math.prod(top) == math.prod(shape), text)
        return [top]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x.reshape(self.reshape([tuple(x.shape)])[0]),)
