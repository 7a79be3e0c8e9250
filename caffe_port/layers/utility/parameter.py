"""Parameter."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from caffe_port.layers.base import Layer, Shape
from caffe_port.layers.registry import register


@register("Parameter")
class Parameter(Layer):
    """A learnable blob of ``parameter_param.shape`` as a top. It starts as zeros. Caffe: parameter_layer.hpp."""

    BOTTOMS = (0, 0)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        shape = tuple(self.layer_param.parameter_param.shape.dim)
        self.check(all(n >= 0 for n in shape), f"shape {list(shape)} has a negative dimension.")
        self.add_blob("parameter", shape)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [self.blob_shapes[0]]

    def forward(self) -> tuple[Tensor, ...]:
        return (self.blob(0).clone(),)  # not a view: that of a leaf asks for a gradient even under no_grad
