"""Silence."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from caffe_port.layers.base import Layer, Shape
from caffe_port.layers.registry import register


@register("Silence", v1="SILENCE")
class Silence(Layer):
    """Take bottoms of any shape and do nothing, so that they are not reported as outputs; their gradient is 0.

    Caffe: silence_layer.cpp.
    """

    BOTTOMS = (1, None)
    TOPS = (0, 0)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return []

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        return ()
