"""Clip."""

from __future__ import annotations

from torch import Tensor

from caffe_port.layers.activation.neuron import NeuronLayer
from caffe_port.layers.registry import register


@register("Clip")
class Clip(NeuronLayer):
    """Clipping: y = max(min, min(x, max)), element by element; with min > max the result is min throughout.

    The gradient is 1 for min <= x <= max and 0 elsewhere. In-place Caffe tests the overwritten data, which always lie
    in that range: the gradient is 1 throughout. Caffe: clip_layer.cpp.

    Deviates from Caffe: NaN stays NaN (Caffe's CPU code turns it into min, its GPU code keeps it).
    """

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        low, high = self.layer_param.clip_param.min, self.layer_param.clip_param.max

        def clip(x: Tensor) -> Tensor:
            return x.clamp(max=high).clamp(min=low)

        def gradient(bottom_data: Tensor, top_data: Tensor, top_diff: Tensor) -> Tensor:
            return top_diff * ((bottom_data >= low) & (bottom_data <= high))

        return (self.differentiate(x, clip, gradient),)
