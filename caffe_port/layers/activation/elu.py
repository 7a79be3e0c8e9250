"""ELU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from caffe_port.layers.activation.neuron import NeuronLayer
from caffe_port.layers.registry import register


@register("ELU")
class ELU(NeuronLayer):
    """Exponential linear unit: y = x for x > 0, else alpha * (exp(x) - 1), element by element.

    The gradient is 1 for x > 0, else alpha + y; at 0 it is alpha. In-place the sign of y decides, which differs only
    for a negative alpha. Caffe: elu_layer.cpp; Clevert et al. 2016.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        alpha = self.layer_param.elu_param.alpha

        def elu(x: Tensor) -> Tensor:
            return F.elu(x, alpha)

        def gradient(bottom_data: Tensor, top_data: Tensor, top_diff: Tensor) -> Tensor:
            return torch.where(bottom_data > 0, top_diff, top_diff * (alpha + top_data))

        return (self.differentiate(x, elu, gradient),)
