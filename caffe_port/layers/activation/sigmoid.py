"""Sigmoid."""

from __future__ import annotations

from torch import Tensor

from caffe_port.layers.activation.neuron import NeuronLayer
from caffe_port.layers.registry import register


@register("Sigmoid", v1="SIGMOID")
class Sigmoid(NeuronLayer):
    """Logistic function: y = 1 / (1 + exp(-x)), element by element. Caffe: sigmoid_layer.cpp."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x.sigmoid(),)
