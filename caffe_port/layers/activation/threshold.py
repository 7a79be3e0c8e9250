"""Threshold."""

from __future__ import annotations

from torch import Tensor

from caffe_port.layers.activation.neuron import NeuronLayer
from caffe_port.layers.registry import register


@register("Threshold", v1="THRESHOLD")
class Threshold(NeuronLayer):
    """Step: y = 1 for x > threshold, else 0, element by element. Has no gradient. Caffe: threshold_layer.cpp."""

    NO_GRADIENT = (0,)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        self.refuse_gradient([x], "its bottom")
        return ((x > self.layer_param.threshold_param.threshold).to(x.dtype),)
