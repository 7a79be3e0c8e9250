"""Bias."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from caffe_port.layers.base import Layer, Shape
from caffe_port.layers.registry import register


@register("Bias")
class Bias(Layer):
    """Adds an operand to the bottom: y = x + b, b broadcast over the axes it does not have.

    b is the second bottom or, without one, the learnable blob ``bias`` whose shape is ``num_axes`` axes of x from
    ``axis`` on (-1: to the last one; 0: one number). Its axes meet those of x from ``axis`` on. Caffe: bias_layer.cpp.

    :raises LayerError: an axis out of range, num_axes below -1, or an operand whose shape is not that part of x's.
    """

    BOTTOMS = (1, 2)
    IN_PLACE = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        if len(bottoms) == 1:
            param = self.layer_param.bias_param
            self.add_blob("bias", operand_shape(self, bottoms[0], param.axis, param.num_axes), param.filler)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        operand = bottoms[1] if len(bottoms) > 1 else self.blob_shapes[0]
        check_operand(self, "bias", bottoms[0], operand, self.layer_param.bias_param.axis)
        return [bottoms[0]]

    def forward(self, x: Tensor, *operand: Tensor) -> tuple[Tensor, ...]:
        bias = operand[0] if operand else self.blob(0)
        return (x + align(self, bias, x, self.layer_param.bias_param.axis),)


def operand_shape(layer: Layer, bottom: Shape, axis: int, num_axes: int) -> Shape:
    """The shape of a learnable operand of ``num_axes`` axes (-1: all that follow) from ``axis`` of ``bottom`` on."""
    start = layer.axis(axis, bottom)
    layer.check(num_axes >= -1, f"num_axes must be -1 (to the last axis), 0 or positive, not {num_axes}.")
    end = len(bottom) if num_axes == -1 else start + num_axes
    cause = f"num_axes {num_axes} from axis {start} on reaches beyond the {len(bottom)} axes of the bottom."
    layer.check(end <= len(bottom), cause)
    return bottom[start:end]


def check_operand(layer: Layer, name: str, bottom: Shape, operand: Shape, axis: int) -> None:
    """Raise a LayerError unless ``operand`` is a part of ``bottom`` that starts at ``axis`` (any, for a scalar)."""
    start = layer.axis(axis, bottom) if operand else 0
    part = bottom[start : start + len(operand)]
    layer.check(part == operand, f"{name} of shape {operand} does not fit axis {start} of the bottom, shape {bottom}.")


def align(layer: Layer, operand: Tensor, x: Tensor, axis: int) -> Tensor:
    """``operand`` with axes of 1 appended, so that it broadcasts against ``x`` from ``axis`` on."""
    if operand.dim() == 0:
        return operand
    trailing = x.dim() - layer.axis(axis, tuple(x.shape)) - operand.dim()
    return operand.reshape(*operand.shape, *[1] * trailing)
