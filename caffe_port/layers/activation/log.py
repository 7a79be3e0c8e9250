"""Log."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from caffe_port.layers.activation.neuron import NeuronLayer
from caffe_port.layers.base import LayerContext
from caffe_port.layers.registry import register


@register("Log")
class Log(NeuronLayer):
    """Logarithm: y = log_base(shift + scale * x), element by element; base -1 (the default) stands for e.

    The gradient is r = scale / (log(base) * (shift + scale * x)). In-place Caffe's backward reads the overwritten data,
    r taken at y, and overwrites the top diff before it multiplies by it: the bottom diff is r * r, whatever the top
    diff was. Caffe: log_layer.cpp.

    :raises LayerError: base is neither -1 nor positive, or 1, or infinite.
    """

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        param = layer_param.log_param
        log_base = self.log_of_base(param.base)
        self.check(log_base != 0, "base must not be 1: its logarithm is 0.")
        self.outer_scale = 1 / log_base

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        param = self.layer_param.log_param

        def log(x: Tensor) -> Tensor:
            y = (x * param.scale + param.shift).log()
            return y if self.outer_scale == 1 else y * self.outer_scale

        def gradient(bottom_data: Tensor, top_data: Tensor, top_diff: Tensor) -> Tensor:
            slope = self.outer_scale * param.scale / (bottom_data * param.scale + param.shift)
            return slope * (slope if self.in_place else top_diff)

        return (self.differentiate(x, log, gradient),)
