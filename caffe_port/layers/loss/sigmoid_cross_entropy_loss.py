"""SigmoidCrossEntropyLoss."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from caffe_port.layers.base import Shape, format_shape
from caffe_port.layers.loss.base import NormalizedLoss
from caffe_port.layers.registry import register
from caffe_port.proto import pb


@register("SigmoidCrossEntropyLoss", v1="SIGMOID_CROSS_ENTROPY_LOSS")
class SigmoidCrossEntropyLoss(NormalizedLoss):
    """Cross-entropy of the sigmoid s: E = -1/Z * sum over values of t log s(x) + (1 - t) log(1 - s(x)).

    Bottoms: scores x and targets t in [0, 1], of one count. Top: the loss (no axes). Targets that truncate to
    ``ignore_label`` do not count. The gradient is (s(x) - t) / Z; Z is ``loss_param.normalization``, BATCH_SIZE (the
    first axis) by default. Caffe: sigmoid_cross_entropy_loss_layer.cpp.
    """

    DEFAULT_NORMALIZATION = pb.LossParameter.BATCH_SIZE

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        tops = super().reshape(bottoms)
        shapes = " and ".join(map(format_shape, bottoms))
        text = f"takes two bottoms of the same count, not of shapes {shapes}."
        self.check(math.prod(bottoms[0]) == math.prod(bottoms[1]), text)
        return tops

    def forward(self, x: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        self.refuse_gradient((x, target))
        target = target.detach().reshape(x.shape)
        losses = F.binary_cross_entropy_with_logits(x, target, reduction="none")
        valid = None
        if self.ignore_label is not None:
            valid = target.to(torch.int64) != self.ignore_label
            losses = losses.where(valid, 0)
        return (losses.sum() / self.normalizer(x.numel(), x.shape[0], valid),)
