"""SoftmaxWithLoss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caffe_port.layers.base import Shape
from caffe_port.layers.loss.base import NormalizedLoss, check_label_count, class_labels
from caffe_port.layers.registry import register

#: The least positive normal float32 (C's FLT_MIN); -log of it is 87.34.
FLT_MIN = 2.0**-126


class _SoftmaxLoss(torch.autograd.Function):
    """The summed loss and the probabilities; backward is p - 1 at the true class, p elsewhere, clamped or not."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, labels: Tensor, valid: Tensor | None, axis: int) -> tuple[Tensor, Tensor]:
        prob = x.softmax(axis)
        losses = -prob.gather(axis, labels).clamp(min=FLT_MIN).log()
        if valid is not None:
            losses = losses.where(valid, 0)
        ctx.axis = axis
        ctx.save_for_backward(prob, labels, valid)
        ctx.mark_non_differentiable(prob)
        return losses.sum(), prob

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        prob, labels, valid = ctx.saved_tensors
        diff = prob.scatter_add(ctx.axis, labels, prob.new_full((), -1).expand(labels.shape))
        if valid is not None:
            diff = diff.where(valid, 0)
        return grad * diff, None, None, None


@register("SoftmaxWithLoss", v1="SOFTMAX_LOSS")
class SoftmaxWithLoss(NormalizedLoss):
    """Multinomial logistic loss of the softmax: E = -1/Z * sum over predictions n of log(p[n, label n]).

    Bottoms: scores with the classes on ``softmax_param.axis``, and one label for each prediction (any shape of that
    count). Tops: the loss (no axes) and, if asked for, the probabilities p, through which no gradient flows. p is
    raised to FLT_MIN before the logarithm, so one prediction costs at most 87.34; the gradient, p / Z less 1 / Z at the
    label, is not clamped. Z is ``loss_param.normalization``, VALID by default. Caffe: softmax_loss_layer.cpp.
    """

    TOPS = (1, 2)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        tops = super().reshape(bottoms)
        data, label = bottoms
        check_label_count(self, self.axis(self.layer_param.softmax_param.axis, data), data, label)
        return [*tops, data][: max(1, len(self.layer_param.top))]

    def forward(self, x: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        self.refuse_gradient((x, label))
        axis = self.axis(self.layer_param.softmax_param.axis, tuple(x.shape))
        labels, valid = class_labels(self, label, x, axis, self.ignore_label)
        loss, prob = _SoftmaxLoss.apply(x, labels, valid, axis)
        loss = loss / self.normalizer(labels.numel(), math.prod(x.shape[:axis]), valid)
        return (loss, prob)[: max(1, len(self.layer_param.top))]
