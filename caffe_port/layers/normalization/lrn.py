"""LRN (local response normalization)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from caffe_port.layers.base import Layer, LayerContext, Shape, format_shape
from caffe_port.layers.registry import register


@register("LRN", v1="LRN")
class LRN(Layer):
    """Divide each element by a power of its scale, which gathers the squares around it.

    y = x * scale^-beta, for a bottom and top (N, C, H, W). With local_size n (odd), zeros beyond the borders:

    - ACROSS_CHANNELS: scale = k + alpha / n * (sum of x^2 over the n channels around it, at the same place);
    - WITHIN_CHANNEL: scale = 1 + alpha * (sum of x^2 over the n x n square around it) / n^2; k has no effect.

    engine has no effect. Krizhevsky et al., "ImageNet classification with deep convolutional neural networks" (2012),
    section 3.3, with Caffe's alpha / n. Caffe: lrn_layer.cpp.
    """

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        param = layer_param.lrn_param
        self.size: int = param.local_size
        self.check(self.size % 2 == 1, f"local_size {self.size} is even; the window must have a middle.")
        self.beta: float = param.beta
        if param.norm_region == param.ACROSS_CHANNELS:
            self.window_sum, self.weight, self.k = sum_across_channels, param.alpha / self.size, param.k
        else:
            self.window_sum, self.weight, self.k = sum_within_channel, param.alpha / self.size**2, 1.0

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        text = f"The bottom must have 4 axes (num, channels, height, width), not shape {format_shape(bottoms[0])}."
        self.check(len(bottoms[0]) == 4, text)
        return [bottoms[0]]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        settings = self.window_sum, self.size, self.weight, self.k, self.beta
        if torch.is_grad_enabled() and x.requires_grad:
            return (_Normalize.apply(x, *settings),)
        return (normalize(x, *settings)[0],)


WindowSum = Callable[[Tensor, int, float], Tensor]


def sum_across_channels(x: Tensor, size: int, start: float) -> Tensor:
    """``start`` plus the sum of ``x`` over the ``size`` channels around each, zeros beyond the first and last.

    Shifted additions beat a banded 1x1 convolution and average pooling by two to four times on the CPU, in both memory
    formats, which they keep.
    """
    total = x + start
    for shift in range(1, min(size // 2, x.shape[1] - 1) + 1):
        total[:, shift:] += x[:, :-shift]
        total[:, :-shift] += x[:, shift:]
    return total


def sum_within_channel(x: Tensor, size: int, start: float) -> Tensor:
    """``start`` plus the sum of ``x`` over the square of ``size`` around each place, zeros beyond the plane."""
    return F.avg_pool2d(x, size, 1, size // 2, divisor_override=1).add_(start)


def normalize(
    x: Tensor, window_sum: WindowSum, size: int, weight: float, k: float, beta: float
) -> tuple[Tensor, Tensor]:
    """(x * scale^-beta, scale) with scale = k + weight * window_sum(x^2)."""
    scale = window_sum((x * x).mul_(weight), size, k)
    return negative_power(scale, beta).mul_(x), scale


def negative_power(scale: Tensor, beta: float) -> Tensor:
    """scale^-beta in new memory; the usual 0.75 by square roots, which are several times faster than a power."""
    if beta == 0.75:
        root = scale.rsqrt()
        return root.sqrt().mul_(root)
    return scale.pow(-beta)


class _Normalize(torch.autograd.Function):
    """:func:`normalize` with its gradient in closed form.

    The window is symmetric, so window_sum is its own transpose:
    dx = dy * scale^-beta - 2 * weight * beta * x * window_sum(dy * y / scale).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, window_sum: WindowSum, size: int, weight: float, k: float, beta: float) -> Tensor:
        y, scale = normalize(x, window_sum, size, weight, k, beta)
        ctx.save_for_backward(x, y, scale)
        ctx.settings = window_sum, size, weight, beta
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, y, scale = ctx.saved_tensors
        window_sum, size, weight, beta = ctx.settings
        spread = window_sum((dy * y).div_(scale), size, 0.0).mul_(x)
        dx = negative_power(scale, beta).mul_(dy).add_(spread, alpha=-2 * weight * beta)
        return dx, None, None, None, None, None
