"""Softmax."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from caffe_port.layers.base import Layer, Shape
from caffe_port.layers.registry import register


@register("Softmax", v1="SOFTMAX")
class Softmax(Layer):
    """y = exp(x - max x) / sum exp(x - max x) along ``axis``; any one shape.

    Caffe: softmax_layer.cpp.
    """

    IN_PLACE = True

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self.axis(self.layer_param.softmax_param.axis, bottoms[0])
        return [bottoms[0]]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x.softmax(self.layer_param.softmax_param.axis),)
