"""ReLU."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from caffe_port.layers.base import Layer, Shape
from caffe_port.layers.registry import register


@register("ReLU", v1="RELU")
class ReLU(Layer):
    """Rectified linear unit: y = max(x, 0) + negative_slope * min(x, 0), element by element.

    Bottom and top have one shape, which may be any. The gradient at 0 is negative_slope. Caffe: relu_layer.cpp.
    """

    IN_PLACE = True

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [bottoms[0]]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        slope = self.layer_param.relu_param.negative_slope
        return (F.leaky_relu(x, slope) if slope else F.relu(x),)
