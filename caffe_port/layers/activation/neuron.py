"""What the element-by-element layers share (Caffe: neuron_layer.hpp)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, Shape

Function = Callable[[Tensor], Tensor]
Gradient = Callable[[Tensor, Tensor, Tensor], Tensor]


class NeuronLayer(Layer):
    """One bottom, one top of the same shape, which may be any; may be computed in-place."""

    IN_PLACE = True

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [bottoms[0]]

    def differentiate(self, x: Tensor, function: Function, gradient: Gradient) -> Tensor:
        """``function(x)``, whose backward is ``gradient(bottom_data, top_data, top_diff)``.

        In-place the top has overwritten the bottom before backward runs, so that ``bottom_data`` is the top's. For the
        layers that differentiate from their bottom this changes the gradient, in Caffe and therefore here.
        """
        if not (torch.is_grad_enabled() and x.requires_grad):
            return function(x)
        return _Differentiate.apply(x, function, gradient, self.in_place)

    def log_of_base(self, base: float) -> float:
        """The natural logarithm of a Log or Exp layer's ``base``, where -1 stands for e.

        :raises LayerError: the base is not positive, or its logarithm is not finite.
        """
        if base == -1:
            return 1.0
        self.check(base > 0, f"base must be strictly positive, not {base:g}.", "Leave it out (or give -1) for e.")
        self.check(math.isfinite(base), f"the logarithm of base {base:g} is not finite.")
        return math.log(base)


class _Differentiate(torch.autograd.Function):
    """A function with a gradient of its own; see :meth:`NeuronLayer.differentiate`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Function, gradient: Gradient, in_place: bool) -> Tensor:
        y = function(x)
        ctx.save_for_backward(y if in_place else x, y)
        ctx.gradient = gradient
        return y

    @staticmethod
    def backward(ctx: Any, top_diff: Tensor) -> tuple[Tensor, None, None, None]:
        bottom_data, top_data = ctx.saved_tensors
        return ctx.gradient(bottom_data, top_data, top_diff), None, None, None
