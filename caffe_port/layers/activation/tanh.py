"""TanH."""

from __future__ import annotations

from torch import Tensor

from caffe_port.layers.activation.neuron import NeuronLayer
from caffe_port.layers.registry import register


@register("TanH", v1="TANH")
class TanH(NeuronLayer):
    """Hyperbolic tangent: y = tanh(x), element by element. Caffe: tanh_layer.cpp."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x.tanh(),)
