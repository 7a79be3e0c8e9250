"""HingeLoss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from caffe_port.layers.base import Shape
from caffe_port.layers.loss.base import LossLayer, class_labels
from caffe_port.layers.registry import register
from caffe_port.proto import pb


@register("HingeLoss", v1="HINGE_LOSS")
class HingeLoss(LossLayer):
    """One-versus-all hinge loss: E = 1/N * sum over items n and classes k of max(0, 1 - d[n, k] x[n, k])^q.

    d is 1 at the item's label and -1 elsewhere; q is 1 for ``norm`` L1 and 2 for L2. Bottoms: scores, N items whose
    remaining axes together are the classes, and N labels (of a larger blob the first N values). Top: the loss (no
    axes). The gradient on the hinge is 0. Caffe: hinge_loss_layer.cpp.
    """

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        tops = super().reshape(bottoms)
        self.legacy_shape(bottoms[0])
        return tops

    def forward(self, x: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        self.refuse_gradient((x, label))
        number = x.shape[0]
        x = x.reshape(number, -1)
        labels, _ = class_labels(self, label.reshape(-1)[:number], x, 1, None)
        sign = torch.ones_like(x).scatter(1, labels, -1.0)
        hinge = F.relu(1 + sign * x)
        if self.layer_param.hinge_loss_param.norm == pb.HingeLossParameter.L2:
            hinge = hinge.square()
        return (hinge.sum() / number,)
