"""ReLU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from caffe_port.layers.activation.neuron import NeuronLayer
from caffe_port.layers.registry import register


@register("ReLU", v1="RELU")
class ReLU(NeuronLayer):
    """Rectified linear unit: y = max(x, 0) + negative_slope * min(x, 0), element by element.

    The gradient is 1 for x > 0, else (also at 0) negative_slope. In-place the sign of y decides, which differs only for
    a negative negative_slope. Caffe: relu_layer.cpp.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        slope = self.layer_param.relu_param.negative_slope
        if slope == 0:
            return (F.relu(x),)
        if slope > 0:
            return (F.leaky_relu(x, slope),)

        def gradient(bottom_data: Tensor, top_data: Tensor, top_diff: Tensor) -> Tensor:
            return torch.where(bottom_data > 0, top_diff, top_diff * slope)

        return (self.differentiate(x, lambda x: F.leaky_relu(x, slope), gradient),)
