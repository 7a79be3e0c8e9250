"""Reduction."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from caffe_port.layers.base import Layer, Shape
from caffe_port.layers.registry import register
from caffe_port.proto import pb


@register("Reduction")
class Reduction(Layer):
    """Reduce all axes from ``axis`` on to one value: the top has the axes before it.

    With c = ``coeff``, ``operation`` SUM: c * sum x. ASUM: c * sum |x| (gradient 0 at 0). SUMSQ: c * sum x^2. MEAN:
    c * mean x. Caffe: reduction_layer.cpp.
    """

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        (shape,) = bottoms
        return [shape[: self.axis(self.layer_param.reduction_param.axis, shape)]]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        param = self.layer_param.reduction_param
        kinds = pb.ReductionParameter
        axis = self.axis(param.axis, tuple(x.shape))
        if param.operation == kinds.ASUM:
            x = x.abs()
        elif param.operation == kinds.SUMSQ:
            x = x.square()
        rows = x.flatten(axis)
        total = rows.mean(-1) if param.operation == kinds.MEAN else rows.sum(-1)
        return (total if param.coeff == 1 else param.coeff * total,)
