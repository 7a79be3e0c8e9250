"""ArgMax."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, Shape
from caffe_port.layers.registry import register


@register("ArgMax", v1="ARGMAX")
class ArgMax(Layer):
    """Indices or values of the ``top_k`` largest entries, largest first; of equal values the later index first.

    With ``axis`` the top has the bottom's shape but ``top_k`` on that axis, holding values if ``out_max_val``, else
    indices. Without it each item of the first axis is searched as a whole and the top is N x 1 x top_k (x 1 ...), or
    N x 2 x top_k with indices and values if ``out_max_val``. The top has no gradient. Caffe: argmax_layer.cpp.
    """

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        (shape,) = bottoms
        param = self.layer_param.argmax_param
        self.check(param.top_k >= 1, "top_k must not be less than 1.")
        if param.HasField("axis"):
            axis = self.axis(param.axis, shape)
            text = f"top_k {param.top_k} must be less than or equal to the dimension {shape[axis]} of axis {axis}."
            self.check(param.top_k <= shape[axis], text)
            return [(*shape[:axis], param.top_k, *shape[axis + 1 :])]
        self.check(len(shape) > 0, "needs a bottom with at least one axis.")
        size = math.prod(shape[1:])
        self.check(
            param.top_k <= size, f"top_k {param.top_k} must be less than or equal to the {size} values of an item."
        )
        return [(shape[0], 2 if param.out_max_val else 1, param.top_k, *(1,) * (len(shape) - 3))]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        param = self.layer_param.argmax_param
        (shape,) = self.reshape([tuple(x.shape)])
        x = x.detach()
        if param.HasField("axis"):
            axis = self.axis(param.axis, tuple(x.shape))
        else:
            x, axis = x.reshape(x.shape[0], math.prod(x.shape[1:])), 1
        # A stable sort keeps equal values in order, so that the reversed axis gives the later index first.
        values, indices = x.flip(axis).sort(dim=axis, descending=True, stable=True)
        values = values.narrow(axis, 0, param.top_k)
        indices = (x.shape[axis] - 1 - indices.narrow(axis, 0, param.top_k)).to(x.dtype)
        if not param.out_max_val:
            return (indices.reshape(shape),)
        if not param.HasField("axis"):
            values = torch.stack([indices, values], 1)
        return (values.reshape(shape),)
