"""Exp."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from caffe_port.layers.activation.neuron import NeuronLayer
from caffe_port.layers.base import LayerContext
from caffe_port.layers.registry import register


@register("Exp", v1="EXP")
class Exp(NeuronLayer):
    """Exponential: y = base ^ (shift + scale * x), element by element; base -1 (the default) stands for e.

    Computed as exp(x * scale * log(base) + shift * log(base)). Caffe: exp_layer.cpp.

    :raises LayerError: base is neither -1 nor positive, or infinite.
    """

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        param = layer_param.exp_param
        log_base = self.log_of_base(param.base)
        self.inner_scale = log_base * param.scale
        self.inner_shift = log_base * param.shift

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if self.inner_scale != 1:
            x = x * self.inner_scale
        if self.inner_shift != 0:
            x = x + self.inner_shift
        return (x.exp(),)
