"""Input: blobs that the caller sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caffe_port.layers.base import LayerContext, Shape
from caffe_port.layers.data.base import DataLayer
from caffe_port.layers.registry import register


@register("Input")
class Input(DataLayer):
    """Tops of the shapes in input_param, one for all or one per top; the net puts the caller's tensors in their place.

    On its own forward gives zeros. Without a shape the tops have no axes until the caller sets them.
    Caffe: input_layer.cpp.
    """

    TOPS = (1, None)

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        shapes: list[Shape] = [tuple(shape.dim) for shape in layer_param.input_param.shape]
        tops = len(layer_param.top)
        text = "Must specify 'shape' once, once per top blob, or not at all: "
        self.check(len(shapes) in (0, 1, tops), f"{text}{tops} tops vs. {len(shapes)} shapes.")
        for shape in shapes:
            self.check(min(shape, default=0) >= 0, f"the shape {shape} has a negative axis.")
        self.shapes = shapes if len(shapes) > 1 else (shapes or [()]) * tops

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return list(self.shapes)

    def forward(self) -> tuple[Tensor, ...]:
        return tuple(torch.zeros(shape, device=self.like.device, dtype=self.like.dtype) for shape in self.shapes)
