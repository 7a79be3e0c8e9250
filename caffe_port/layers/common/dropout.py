"""Dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, LayerContext, Shape
from caffe_port.layers.registry import register


@register("Dropout", v1="DROPOUT")
class Dropout(Layer):
    """TRAIN: each element is 0 with probability dropout_ratio, else divided by 1 - dropout_ratio. TEST: y = x.

    Bottom and top have one shape, which may be any; in-place changes nothing. The mask depends on the net's seed, the
    layer, the number of the pass and the kind of device, not on the memory layout.
    Caffe: dropout_layer.cpp; Srivastava et al. 2014.

    Deviates from Caffe: dropout_ratio is checked in every build and phase, and may be 0.

    :raises LayerError: dropout_ratio is not in [0, 1).
    """

    IN_PLACE = True

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        self.ratio = layer_param.dropout_param.dropout_ratio
        self.check(0 <= self.ratio < 1, f"dropout_ratio must lie in [0, 1), not {self.ratio:g}.")

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [bottoms[0]]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if not self.training:
            return (x,)
        # three times faster than bernoulli_, and the mask that backward keeps takes a byte per element
        mask = torch.rand(x.shape, generator=self.random_generator(x.device), device=x.device) >= self.ratio
        return (x * mask * (1 / (1 - self.ratio)),)
