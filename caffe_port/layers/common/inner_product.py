"""InnerProduct."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from caffe_port.layers.base import Layer, Shape, is_compiling
from caffe_port.layers.gradients import reuse_gradient
from caffe_port.layers.registry import register


@register("InnerProduct", v1="INNER_PRODUCT")
class InnerProduct(Layer):
    """Fully connected layer: y = W x + b, x being the bottom's axes from ``axis`` (default 1) on, flattened to K.

    Bottom (M..., K...), top (M..., N) with N = num_output. Blobs: ``weight`` (N, K), with ``transpose`` (K, N), and
    with bias_term ``bias`` (N,). Caffe: inner_product_layer.cpp.

    :raises LayerError: num_output is missing, axis is out of range, or K is not that of the weights.
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.layer_param.inner_product_param
        self.check(param.num_output > 0, "num_output must be positive.", "Set inner_product_param { num_output: N }.")
        outputs, inputs = param.num_output, prod(bottoms[0][self.axis(param.axis, bottoms[0]) :])
        shape = (inputs, outputs) if param.transpose else (outputs, inputs)
        self.add_blob("weight", shape, param.weight_filler)
        if param.bias_term:
            self.add_blob("bias", (outputs,), param.bias_filler)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        param = self.layer_param.inner_product_param
        axis = self.axis(param.axis, bottoms[0])
        inputs, expected = prod(bottoms[0][axis:]), self.blob_shapes[0][0 if param.transpose else 1]
        cause = f"the bottom has {inputs} inputs from axis {axis} on, but the weights take {expected}."
        self.check(inputs == expected, f"Input size incompatible with inner product parameters: {cause}")
        return [(*bottoms[0][:axis], param.num_output)]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        param = self.layer_param.inner_product_param
        weight = self.blob(0).t() if param.transpose else self.blob(0)
        flat = x.flatten(self.axis(param.axis, tuple(x.shape)))
        bias = self.blob(1) if param.bias_term else None
        trains = weight.requires_grad and torch.is_grad_enabled() and not is_compiling()
        if trains and weight.is_leaf and flat.ndim == 2:
            return (_Linear.apply(flat, weight, bias),)
        return (F.linear(flat, weight, bias),)


class _Linear(torch.autograd.Function):
    """``F.linear`` for a matrix, whose weight gradient is computed into the memory of the one before.

    The gradient of AlexNet's fc6 takes 151 MB; fresh memory of that size costs as much as the product itself.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return F.linear(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        dx = dy.mm(weight) if ctx.needs_input_grad[0] else None
        dw = torch.mm(dy.t(), x, out=reuse_gradient(weight))
        return dx, dw, dy.sum(0) if ctx.has_bias else None
