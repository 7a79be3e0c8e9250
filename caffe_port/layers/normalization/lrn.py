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
        return blockwise(lambda part, y: normalize(part, *settings, y=y)[:1], 1, x)


WindowSum = Callable[[Tensor, int, float], Tensor]

#: Values that are worked on at once on a CPU: several passes over so many find them in the cache.
BLOCK = 1 << 20


def sum_across_channels(x: Tensor, size: int, weight: float) -> Tensor:
    """``weight`` times the sum of ``x`` over the ``size`` channels around each, zeros beyond the first and last.

    Shifted additions beat a banded 1x1 convolution and average pooling by two to four times on the CPU, in both memory
    formats, which they keep. A GPU sums overlapping windows in one go 1.7 times as fast as it adds.
    """
    if x.is_cuda:
        return F.pad(x, (0, 0, 0, 0, size // 2, size // 2)).unfold(1, size, 1).sum(-1).mul_(weight)
    total = x * weight
    for shift in range(1, min(size // 2, x.shape[1] - 1) + 1):
        total[:, shift:].add_(x[:, :-shift], alpha=weight)
        total[:, :-shift].add_(x[:, shift:], alpha=weight)
    return total


def sum_within_channel(x: Tensor, size: int, weight: float) -> Tensor:
    """``weight`` times the sum of ``x`` over the square of ``size`` around each place, zeros beyond the plane."""
    return F.avg_pool2d(x, size, 1, size // 2, divisor_override=1).mul_(weight)


def normalize(
    x: Tensor,
    window_sum: WindowSum,
    size: int,
    weight: float,
    k: float,
    beta: float,
    y: Tensor | None = None,
    scale: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """(x * scale^-beta, scale) with scale = k + weight * window sum of x^2, in ``y`` and ``scale`` where given."""
    scale = torch.add(window_sum(x * x, size, weight), k, out=scale)
    y = negative_power(scale, beta, y).mul_(x)
    return y, scale


def negative_power(scale: Tensor, beta: float, out: Tensor | None = None) -> Tensor:
    """scale^-beta; the usual 0.75 by square roots, which are several times faster than a power."""
    if beta == 0.75:
        root = scale.rsqrt()
        return torch.sqrt(root, out=out).mul_(root)
    return torch.pow(scale, -beta, out=out)


def blockwise(function: Callable[..., tuple[Tensor, ...]], results: int, *tensors: Tensor) -> tuple[Tensor, ...]:
    """``function(*tensors, *out)``, on a CPU in blocks of images that fit the cache.

    :param function: treats each image alone and returns its ``results`` tensors; ``out`` is where to put them, or None.
    """
    images = tensors[0].shape[0]
    if is_compiling() or tensors[0].device.type != "cpu" or tensors[0].numel() <= BLOCK:
        return function(*tensors, *[None] * results)
    count = max(1, BLOCK * images // tensors[0].numel())
    whole = tuple(torch.empty_like(tensors[0]) for _ in range(results))
    for start in range(0, images, count):
        function(*(tensor[start : start + count] for tensor in (*tensors, *whole)))
    return whole


class _Normalize(torch.autograd.Function):
    """:func:`normalize` with its gradient in closed form.

    The window is symmetric, so window_sum is its own transpose:
    dx = dy * scale^-beta - 2 * weight * beta * x * window_sum(dy * y / scale).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, window_sum: WindowSum, size: int, weight: float, k: float, beta: float) -> Tensor:
        y, scale = blockwise(lambda *parts: normalize(parts[0], window_sum, size, weight, k, beta, *parts[1:]), 2, x)
        ctx.save_for_backward(x, y, scale)
        ctx.settings = window_sum, size, weight, beta
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        window_sum, size, weight, beta = ctx.settings

        def gradient(x: Tensor, y: Tensor, scale: Tensor, dy: Tensor, dx: Tensor | None) -> tuple[Tensor]:
            spread = window_sum((dy * y).div_(scale), size, -2 * weight * beta)
            return (negative_power(scale, beta, dx).mul_(dy).addcmul_(spread, x),)

        (dx,) = blockwise(gradient, 1, *ctx.saved_tensors, dy)
        return dx, None, None, None, None, None
