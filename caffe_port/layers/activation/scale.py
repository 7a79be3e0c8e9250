"""Scale."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from caffe_port.layers.activation.bias import align, check_operand, operand_shape
from caffe_port.layers.base import Layer, Shape
from caffe_port.layers.registry import register
from caffe_port.proto import pb


@register("Scale")
class Scale(Layer):
    """Multiplies the bottom by an operand: y = x * s, with bias_term y = x * s + b; s and b are broadcast.

    s is the second bottom or, without one, the learnable blob ``scale`` (filled with 1 unless told otherwise), whose
    shape is ``num_axes`` axes of x from ``axis`` on (-1: to the last one; 0: one number). The learnable blob ``bias``
    has the shape of s. In-place changes nothing. Caffe: scale_layer.cpp.

    Deviates from Caffe: the diff of ``scale`` always accumulates over backward calls; Caffe overwrites it where s has
    the shape of x, or starts at its first axis.

    :raises LayerError: an axis out of range, num_axes below -1, or an operand whose shape is not that part of x's.
    """

    BOTTOMS = (1, 2)
    IN_PLACE = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.layer_param.scale_param
        num_axes = param.num_axes if len(bottoms) == 1 else len(bottoms[1])
        if len(bottoms) == 1:
            default = pb.FillerParameter(type="constant", value=1)
            filler = param.filler if param.HasField("filler") else default
            self.add_blob("scale", operand_shape(self, bottoms[0], param.axis, num_axes), filler)
        if param.bias_term:
            self.add_blob("bias", operand_shape(self, bottoms[0], param.axis, num_axes), param.bias_filler)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        operands = dict(zip(self.blob_names, self.blob_shapes))
        if len(bottoms) > 1:
            operands["scale"] = bottoms[1]
        for name, shape in operands.items():
            check_operand(self, name, bottoms[0], shape, self.layer_param.scale_param.axis)
        return [bottoms[0]]

    def forward(self, x: Tensor, *operand: Tensor) -> tuple[Tensor, ...]:
        axis = self.layer_param.scale_param.axis
        scale = align(self, operand[0] if operand else self.blob(0), x, axis)
        if not self.layer_param.scale_param.bias_term:
            return (x * scale,)
        return (torch.addcmul(align(self, self.blob(-1), x, axis), x, scale),)
