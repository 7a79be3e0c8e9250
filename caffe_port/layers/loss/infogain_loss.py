"""InfogainLoss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caffe_port.errors import FormatError
from caffe_port.layers.base import LayerContext, Shape
from caffe_port.layers.loss.base import LOG_THRESHOLD, NormalizedLoss, check_label_count, class_labels
from caffe_port.layers.registry import register
from caffe_port.proto.means import read_array


class _InfogainLoss(torch.autograd.Function):
    """The summed loss and the probabilities; backward is p * sum(H[label]) - H[label], where p is clamped too."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, labels: Tensor, valid: Tensor | None, matrix: Tensor, axis: int
    ) -> tuple[Tensor, Tensor]:
        prob = x.softmax(axis)
        rows = matrix[labels.movedim(axis, -1).squeeze(-1)].movedim(-1, axis)
        losses = -(rows * prob.clamp(min=LOG_THRESHOLD).log())
        if valid is not None:
            losses = losses.where(valid, 0)
        ctx.axis = axis
        ctx.save_for_backward(prob, rows, valid)
        ctx.mark_non_differentiable(prob)
        return losses.sum(), prob

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        prob, rows, valid = ctx.saved_tensors
        diff = prob * rows.sum(ctx.axis, keepdim=True) - rows
        if valid is not None:
            diff = diff.where(valid, 0)
        return grad * diff, None, None, None, None


@register("InfogainLoss", v1="INFOGAIN_LOSS")
class InfogainLoss(NormalizedLoss):
    """E = -1/Z * sum over predictions n and classes k of H[label n, k] log p[n, k], p being the softmax of the scores.

    Bottoms: scores with the K classes on ``infogain_loss_param.axis``, one label for each prediction, and the matrix H
    of K * K values; with two bottoms H is read from the BlobProto file ``infogain_loss_param.source``. Tops: the loss
    (no axes) and, if asked for, the probabilities, through which no gradient flows. p is raised to 1e-20 before the
    logarithm. Z is ``loss_param.normalization``, VALID by default. Caffe: infogain_loss_layer.cpp.

    Deviates from Caffe: with force_backward and H as a bottom Caffe dies; here H is left out like the labels.
    """

    BOTTOMS = (2, 3)
    TOPS = (1, 2)
    NO_GRADIENT = (1, 2)
    matrix: Tensor

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        old = self.layer_param.loss_param.HasField("normalize")
        self.check(not old, "does not take loss_param.normalize.", "Use loss_param.normalization.")
        self.register_buffer("matrix", torch.empty(0), persistent=False)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        if len(bottoms) == 3:
            return
        param = self.layer_param.infogain_loss_param
        self.check(
            param.HasField("source"),
            "has no infogain matrix.",
            "Set infogain_loss_param.source or give the matrix as third bottom.",
        )
        try:
            self.matrix = torch.tensor(read_array(param.source, "an infogain matrix (.binaryproto)"))
        except FormatError as error:
            raise error.at(layer=self.name, layer_type=self.TYPE) from None

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        tops = super().reshape(bottoms)
        data, label = bottoms[:2]
        axis = self.axis(self.layer_param.infogain_loss_param.axis, data)
        check_label_count(self, axis, data, label)
        count = math.prod(bottoms[2]) if len(bottoms) == 3 else self.matrix.numel()
        classes = data[axis]
        self.check(
            count == classes**2,
            f"The infogain matrix has {count} values but there are {classes} classes; "
            f"it must be {classes} x {classes}.",
        )
        return [*tops, data][: max(1, len(self.layer_param.top))]

    def forward(self, x: Tensor, label: Tensor, matrix: Tensor | None = None) -> tuple[Tensor, ...]:
        matrix = self.matrix if matrix is None else matrix
        self.refuse_gradient((x, label, matrix), "label or infogain inputs")
        axis = self.axis(self.layer_param.infogain_loss_param.axis, tuple(x.shape))
        labels, valid = class_labels(self, label, x, axis, self.ignore_label)
        loss, prob = _InfogainLoss.apply(x, labels, valid, matrix.reshape(x.shape[axis], x.shape[axis]), axis)
        loss = loss / self.normalizer(labels.numel(), math.prod(x.shape[:axis]), valid)
        return (loss, prob)[: max(1, len(self.layer_param.top))]
