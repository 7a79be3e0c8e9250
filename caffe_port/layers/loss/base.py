"""What loss layers share: shape checks, class labels and the normalisation of ``loss_param``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, LayerContext, Shape, format_shape, is_compiling
from caffe_port.proto import pb

#: Probabilities below this are raised to it before their logarithm is taken (MultinomialLogisticLoss, InfogainLoss).
LOG_THRESHOLD = 1e-20


class LossLayer(Layer):
    """A layer whose first top is a loss, a blob of no axes. Caffe: loss_layer.cpp.

    The first axes of the first two bottoms must match. ``forward`` returns the loss without its loss_weight.
    """

    IS_LOSS = True
    BOTTOMS = (2, 2)
    NO_GRADIENT: tuple[int, ...] = (1,)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        data, label = bottoms[:2]
        self.check(len(data) > 0 and len(label) > 0, "needs bottoms with at least one axis.")
        text = f"The data has {data[0]} items and the label {label[0]}; their first axes must match."
        self.check(data[0] == label[0], text)
        return [()]

    def legacy_shape(self, shape: Shape) -> Shape:
        """``shape`` as num x channels x height x width: up to 4 axes, missing ones are 1, and num is not 0."""
        self.check(len(shape) <= 4, f"takes blobs of at most 4 axes, not one with shape {format_shape(shape)}.")
        self.check(shape[0] > 0, "needs a batch of at least one item.")
        return (*shape, *(1,) * (4 - len(shape)))


class NormalizedLoss(LossLayer):
    """A loss that ``loss_param`` normalises, and of which it may leave out the items of one label.

    ============  ==========================================================
    FULL          divide by the number of predictions
    VALID         divide by the number of predictions that are not ignored
    BATCH_SIZE    divide by the number of items (the axes before the classes)
    NONE          do not divide
    ============  ==========================================================

    The divisor is at least 1, so that a batch whose labels are all ignored gives 0. The old ``normalize`` stands for
    VALID (true) and BATCH_SIZE (false); ``normalization`` wins over it.
    """

    #: what holds where loss_param says nothing
    DEFAULT_NORMALIZATION: ClassVar[int] = pb.LossParameter.VALID

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        param = self.layer_param.loss_param
        self.ignore_label: int | None = param.ignore_label if param.HasField("ignore_label") else None
        self.normalization = self.DEFAULT_NORMALIZATION
        if param.HasField("normalization"):
            self.normalization = param.normalization
        elif param.HasField("normalize"):
            self.normalization = pb.LossParameter.VALID if param.normalize else pb.LossParameter.BATCH_SIZE

    def normalizer(self, predictions: int, items: int, valid: Tensor | None) -> Tensor | int:
        """The divisor for a loss summed over ``predictions``; ``valid`` (bool) marks those not ignored."""
        if self.normalization == pb.LossParameter.VALID and valid is not None:
            return valid.sum().clamp(min=1)
        if self.normalization == pb.LossParameter.NONE:
            return 1
        return max(1, items if self.normalization == pb.LossParameter.BATCH_SIZE else predictions)


def check_label_count(layer: Layer, axis: int, data: Shape, label: Shape) -> None:
    """Refuse a ``label`` blob that does not hold one label for each prediction of ``data`` along ``axis``.

    :raises LayerError: the counts differ.
    """
    wanted = math.prod(data[:axis]) * math.prod(data[axis + 1 :])
    layer.check(
        math.prod(label) == wanted,
        f"The number of labels must match the number of predictions: labels of shape {format_shape(label)} for "
        f"predictions of shape {format_shape(data)} with the classes on axis {axis}.",
        f"Give {wanted} integer labels from 0 to {data[axis] - 1}.",
    )


def class_labels(
    layer: Layer, label: Tensor, data: Tensor, axis: int, ignore_label: int | None
) -> tuple[Tensor, Tensor | None]:
    """The integer labels of ``data``, whose classes lie on ``axis``, for use with gather.

    :returns: int64 labels in the shape of ``data`` with 1 on ``axis`` (truncated towards 0 as Caffe does, 0 where
        ignored), and a bool mask of the same shape that is false where the label is ignored; None when none can be.
    :raises LayerError: a label is no class. Checked on the CPU and outside compiled graphs only, as it would make an
        accelerator wait.
    """
    shape = list(data.shape)
    shape[axis] = 1
    labels = label.detach().reshape(shape).to(torch.int64)
    valid = None
    if ignore_label is not None:
        valid = labels != ignore_label
        labels = labels.masked_fill(~valid, 0)
    if labels.device.type == "cpu" and not is_compiling():
        wrong = labels[(labels < 0) | (labels >= data.shape[axis])]
        if len(wrong):
            raise layer.error(
                f"label {wrong[0].item()} is not a class: there are {data.shape[axis]} classes.",
                f"Labels must be from 0 to {data.shape[axis] - 1}.",
            )
    return labels, valid


class ClampedLog(torch.autograd.Function):
    """log(max(p, threshold)) with Caffe's gradient 1 / max(p, threshold), which a clamped p does not make 0."""

    @staticmethod
    def forward(ctx: Any, p: Tensor) -> Tensor:
        clamped = p.clamp(min=LOG_THRESHOLD)
        ctx.save_for_backward(clamped)
        return clamped.log()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (clamped,) = ctx.saved_tensors
        return grad / clamped
