"""Power."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe_port.layers.activation.neuron import NeuronLayer
from caffe_port.layers.registry import register


@register("Power", v1="POWER")
class Power(NeuronLayer):
    """Power: y = (shift + scale * x) ^ power, element by element; shift ^ power throughout where power * scale is 0.

    The gradient is power * scale * y / (shift + scale * x), so that a base of 0 gives 0 / 0, NaN; for power 2 it is
    2 * scale * (shift + scale * x), for power 1 scale, and 0 where power * scale is 0. In-place Caffe's backward reads
    the overwritten data (y for x), and overwrites the top diff before it multiplies by it: the bottom diff is that
    gradient squared, whatever the top diff was; for power 1, scale * scale. Caffe: power_layer.cpp.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.differentiate(x, self._function, self._gradient),)

    def _function(self, x: Tensor) -> Tensor:
        param = self.layer_param.power_param
        if param.power * param.scale == 0:
            return torch.full_like(x, param.shift).pow(param.power)
        base = x * param.scale + param.shift
        return base if param.power == 1 else base.pow(param.power)

    def _gradient(self, bottom_data: Tensor, top_data: Tensor, top_diff: Tensor) -> Tensor:
        if self.layer_param.power_param.power * self.layer_param.power_param.scale == 0:
            return torch.zeros_like(top_diff)
        slope = self._slope(bottom_data, top_data)
        return slope * (slope if self.in_place else top_diff)

    def _slope(self, x: Tensor, y: Tensor) -> Tensor:
        """dy/dx by Caffe's formulas, which divide by the base."""
        param = self.layer_param.power_param
        if param.power == 1:
            return torch.full_like(x, param.scale)
        base = x * param.scale + param.shift
        if param.power == 2:
            return base * (2 * param.scale)
        return y / base * (param.power * param.scale)
