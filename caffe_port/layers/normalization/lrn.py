"""LRN (local response normalization)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from caffe_port.layers.base import Layer, LayerContext, Shape, format_shape, is_compiling
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
        return blockwise(lambda part: normalize(part, *settings)[:1], x)


WindowSum = Callable[[Tensor, int], Tensor]

#: Values that are worked on at once on a CPU: several passes over so many find them in the cache.
BLOCK = 1 << 19


def sum_across_channels(x: Tensor, size: int) -> Tensor:
    """The sum of ``x`` over the ``size`` channels around each, zeros beyond the first and last.

    Shifted additions beat a banded 1x1 convolution and average pooling by two to four times on the CPU, in both memory
    formats, which they keep.
    """
    total = x.clone()
    for shift in range(1, min(size // 2, x.shape[1] - 1) + 1):
        total[:, shift:] += x[:, :-shift]
        total[:, :-shift] += x[:, shift:]
    return total


def sum_within_channel(x: Tensor, size: int) -> Tensor:
    """The sum of ``x`` over the square of ``size`` around each place, zeros beyond the plane."""
    return F.avg_pool2d(x, size, 1, size // 2, divisor_override=1)


def normalize(
    x: Tensor, window_sum: WindowSum, size: int, weight: float, k: float, beta: float
) -> tuple[Tensor, Tensor]:
    """(x * scale^-beta, scale) with scale = k + weight * window_sum(x^2)."""
    scale = window_sum(x * x, size).mul_(weight).add_(k)
    return negative_power(scale, beta).mul_(x), scale


def negative_power(scale: Tensor, beta: float) -> Tensor:
    """scale^-beta in new memory; the usual 0.75 by square roots, which are several times faster than a power."""
    if beta == 0.75:
        root = scale.rsqrt()
        return root.sqrt().mul_(root)
    return scale.pow(-beta)


def blockwise(function: Callable[..., tuple[Tensor, ...]], *tensors: Tensor) -> tuple[Tensor, ...]:
    """``function(*tensors)`` for a function of each image alone, on a CPU in blocks of images that fit the cache."""
    images = tensors[0].shape[0]
    if is_compiling() or tensors[0].device.type != "cpu" or tensors[0].numel() <= BLOCK:
        return function(*tensors)
    count = max(1, BLOCK * images // tensors[0].numel())
    results: list[Tensor] = []
    for start in range(0, images, count):
        parts = function(*(t[start : start + count] for t in tensors))
        results = results or [torch.empty_like(tensors[0]) for _ in parts]
        for whole, part in zip(results, parts):
            whole[start : start + count] = part
    return tuple(results)


class _Normalize(torch.autograd.Function):
    """:func:`normalize` with its gradient in closed form.

    The window is symmetric, so window_sum is its own transpose:
    dx = dy * scale^-beta - 2 * weight * beta * x * window_sum(dy * y / scale).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, window_sum: WindowSum, size: int, weight: float, k: float, beta: float) -> Tensor:
        y, scale = blockwise(lambda part: normalize(part, window_sum, size, weight, k, beta), x)
        ctx.save_for_backward(x, y, scale)
        ctx.settings = window_sum, size, weight, beta
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        window_sum, size, weight, beta = ctx.settings

        def gradient(x: Tensor, y: Tensor, scale: Tensor, dy: Tensor) -> tuple[Tensor]:
            spread = window_sum((dy * y).div_(scale), size).mul_(x)
            return (negative_power(scale, beta).mul_(dy).add_(spread, alpha=-2 * weight * beta),)

        x, y, scale = ctx.saved_tensors
        (dx,) = blockwise(gradient, x, y, scale, dy)
        return dx, None, None, None, None, None
