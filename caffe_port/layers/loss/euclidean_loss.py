"""EuclideanLoss."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from caffe_port.layers.base import Shape, format_shape
from caffe_port.layers.loss.base import LossLayer
from caffe_port.layers.registry import register


@register("EuclideanLoss", v1="EUCLIDEAN_LOSS")
class EuclideanLoss(LossLayer):
    """E = 1/2N * sum of (a - b)^2, with N the first axis.

    Bottoms: predictions and targets of one count; both get a gradient, (a - b) / N and its negative. Top: the loss (no
    axes). Caffe: euclidean_loss_layer.cpp.
    """

    NO_GRADIENT = ()

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        tops = super().reshape(bottoms)
        a, b = bottoms
        self.legacy_shape(a)
        text = f"takes two bottoms of the same dimension, not of shapes {format_shape(a)} and {format_shape(b)}."
        self.check(math.prod(a[1:]) == math.prod(b[1:]), text)
        return tops

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
        return ((a - b.reshape(a.shape)).square().sum() / a.shape[0] / 2,)
