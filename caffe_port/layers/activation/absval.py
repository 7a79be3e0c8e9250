"""AbsVal."""

from __future__ import annotations

from torch import Tensor

from caffe_port.layers.activation.neuron import NeuronLayer
from caffe_port.layers.registry import register


@register("AbsVal", v1="ABSVAL")
class AbsVal(NeuronLayer):
    """Absolute value: y = |x|, element by element.

    The gradient at 0 is 0. Not in-place: backward needs the sign of x. Caffe: absval_layer.cpp.
    """

    IN_PLACE = False

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x.abs(),)
