"""Subtract the mean, divide by the deviation: what BatchNorm and MVN share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Standardize(torch.autograd.Function):
    """(y, mean, variance): y = (x - mean) / deviation; the statistics, over ``axes``, carry no gradient.

    deviation is sqrt(variance + eps) with ``eps_in_root``, else sqrt(variance) + eps. The mean is subtracted first, as
    in Caffe, which keeps the precision of inputs far from 0. The gradient is Caffe's,
    (dy - mean(dy) - mean(dy * y) * y) / deviation; with eps outside the root it is not quite the true one.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, axes: tuple[int, ...], eps: float, eps_in_root: bool) -> tuple[Tensor, ...]:
        mean = x.mean(axes, keepdim=True)
        centred = x - mean
        variance = centred.square().mean(axes, keepdim=True)
        deviation = (variance + eps).sqrt() if eps_in_root else variance.sqrt() + eps
        y = centred.div_(deviation)
        ctx.save_for_backward(y, deviation)
        ctx.axes = axes
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        y, deviation = ctx.saved_tensors
        along = (dy * y).mean(ctx.axes, keepdim=True)
        dx = (dy - dy.mean(ctx.axes, keepdim=True)).sub_(y * along).div_(deviation)
        return dx, None, None, None
