"""Eltwise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import mul
from typing import Any

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, Shape, format_shape
from caffe_port.layers.registry import register
from caffe_port.proto import pb


class _UnstableProduct(torch.autograd.Function):
    """The product, with the gradient top / bottom: cheaper for many bottoms, NaN where a bottom is 0."""

    @staticmethod
    def forward(ctx: Any, *bottoms: Tensor) -> Tensor:
        top = reduce(mul, bottoms)
        ctx.save_for_backward(top, *bottoms)
        return top

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        top, *bottoms = ctx.saved_tensors
        return tuple(top / bottom * grad for bottom in bottoms)


@register("Eltwise", v1="ELTWISE")
class Eltwise(Layer):
    """Combine two or more bottoms of one shape, value by value; the top has that shape too.

    ``operation`` SUM: sum of coeff_i x_i (coefficients 1 unless given). PROD: the product; the gradient is the product
    of the other bottoms, or with ``stable_prod_grad: false`` top / bottom. MAX: the largest; of a tie between the first
    two bottoms the second gets the gradient, a later bottom gets it only if it is larger than all before it.
    Caffe: eltwise_layer.cpp.
    """

    BOTTOMS = (2, None)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        param = self.layer_param.eltwise_param
        given = len(param.coeff)
        text = f"takes one coefficient per bottom: {given} for {len(bottoms)} bottoms."
        self.check(given in (0, len(bottoms)), text)
        is_product = param.operation == pb.EltwiseParameter.PROD
        self.check(not (is_product and given), "takes coefficients for summation only.", "Remove coeff.")
        for shape in bottoms[1:]:
            text = f"The bottoms must have one shape: {format_shape(bottoms[0])} and {format_shape(shape)}."
            self.check(shape == bottoms[0], text)
        return [bottoms[0]]

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        param = self.layer_param.eltwise_param
        if param.operation == pb.EltwiseParameter.MAX:
            top = torch.where(bottoms[0] > bottoms[1], bottoms[0], bottoms[1])
            for bottom in bottoms[2:]:
                top = torch.where(bottom > top, bottom, top)
            return (top,)
        if param.operation == pb.EltwiseParameter.PROD:
            return (reduce(mul, bottoms) if param.stable_prod_grad else _UnstableProduct.apply(*bottoms),)
        coefficients = param.coeff or [1.0] * len(bottoms)
        terms = [bottom if c == 1 else c * bottom for c, bottom in zip(coefficients, bottoms)]
        return (sum(terms[1:], terms[0]),)
