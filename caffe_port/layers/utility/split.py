"""Split."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from caffe_port.layers.base import Layer, Shape
from caffe_port.layers.registry import register


@register("Split", v1="SPLIT")
class Split(Layer):
    """The bottom as several tops, which share its data; their gradients add up. Nets insert it wherever a blob has more
    than one consumer. Caffe: split_layer.cpp.
    """

    TOPS = (1, None)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [bottoms[0]] * len(self.layer_param.top)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(x.view_as(x) for _ in self.layer_param.top)
