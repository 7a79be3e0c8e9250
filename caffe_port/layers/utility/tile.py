"""Tile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, LayerContext, Shape
from caffe_port.layers.registry import register


@register("Tile")
class Tile(Layer):
    """``tiles`` copies of the bottom joined along ``axis``; the gradients of the copies add up.

    Caffe: tile_layer.cpp.
    """

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        param = self.layer_param.tile_param
        self.check(param.HasField("tiles"), "has no number of tiles.", "Set tile_param.tiles.")
        self.check(param.tiles > 0, f"The number of tiles must be positive, not {param.tiles}.")

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        (shape,) = bottoms
        axis = self.axis(self.layer_param.tile_param.axis, shape)
        return [(*shape[:axis], shape[axis] * self.layer_param.tile_param.tiles, *shape[axis + 1 :])]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        param = self.layer_param.tile_param
        return (torch.cat([x] * param.tiles, self.axis(param.axis, tuple(x.shape))),)
