"""ContrastiveLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caffe_port.layers.base import Shape
from caffe_port.layers.loss.base import LossLayer
from caffe_port.layers.registry import register


class _ContrastiveLoss(torch.autograd.Function):
    """The loss of the difference d = a - b, with Caffe's gradient, which adds 1e-4 to the distance it divides by."""

    @staticmethod
    def forward(ctx: Any, difference: Tensor, similar: Tensor, margin: float, legacy: bool) -> Tensor:
        squared = difference.square().sum(1)
        distance = squared if legacy else squared.sqrt()
        ctx.margin, ctx.legacy = margin, legacy
        ctx.save_for_backward(difference, similar, distance)
        short = (margin - distance).clamp(min=0)
        losses = torch.where(similar, squared, short if legacy else short.square())
        return losses.sum() / difference.shape[0] / 2

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        difference, similar, distance = ctx.saved_tensors
        short = ctx.margin - distance
        push = torch.ones_like(short) if ctx.legacy else short / (distance + 1e-4)
        factor = torch.where(similar, 1, torch.where(short > 0, -push, 0))
        return grad / difference.shape[0] * factor[:, None] * difference, None, None, None


@register("ContrastiveLoss", v1="CONTRASTIVE_LOSS")
class ContrastiveLoss(LossLayer):
    """E = 1/2N * sum over pairs of y d^2 + (1 - y) max(margin - d, 0)^2, d being the distance of a and b.

    With ``legacy_version`` the second term is (1 - y) max(margin - d^2, 0). Bottoms: a and b, N x C (x 1 x 1), and N
    labels that say whether the pair is similar (not 0). Top: the loss (no axes). Both a and b get a gradient; in that
    of a dissimilar pair Caffe divides by d + 1e-4. Caffe: contrastive_loss_layer.cpp; Hadsell et al. 2006.
    """

    BOTTOMS = (3, 3)
    NO_GRADIENT = (2,)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        tops = super().reshape(bottoms)
        a, b, label = (self.legacy_shape(shape) for shape in bottoms)
        self.check(a[1] == b[1], f"The bottoms have {a[1]} and {b[1]} channels; they must match.")
        self.check(a[2:] == b[2:] == (1, 1), "takes bottoms of height and width 1.")
        self.check(label[1:] == (1, 1, 1), "takes one label for each pair, of shape N x 1 x 1 x 1.")
        self.check(label[0] >= a[0], f"There are {a[0]} pairs but {label[0]} labels.")
        return tops

    def forward(self, a: Tensor, b: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        number = a.shape[0]
        param = self.layer_param.contrastive_loss_param
        similar = label.detach().reshape(-1)[:number].to(torch.int64) != 0
        difference = a.reshape(number, -1) - b.reshape(number, -1)
        return (_ContrastiveLoss.apply(difference, similar, param.margin, param.legacy_version),)
