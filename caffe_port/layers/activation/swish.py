"""Swish."""

from __future__ import annotations

from torch import Tensor

from caffe_port.layers.activation.neuron import NeuronLayer
from caffe_port.layers.registry import register


@register("Swish")
class Swish(NeuronLayer):
    """Swish: y = x / (1 + exp(-beta * x)), element by element; in-place changes nothing.

    Caffe: swish_layer.cpp; Ramachandran et al. 2017.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x * (x * self.layer_param.swish_param.beta).sigmoid(),)
