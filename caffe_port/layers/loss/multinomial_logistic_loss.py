"""MultinomialLogisticLoss."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from caffe_port.layers.base import Shape
from caffe_port.layers.loss.base import ClampedLog, LossLayer, class_labels
from caffe_port.layers.registry import register


@register("MultinomialLogisticLoss", v1="MULTINOMIAL_LOGISTIC_LOSS")
class MultinomialLogisticLoss(LossLayer):
    """E = -1/N * sum over items n of log(max(p[n, label n], 1e-20)).

    Bottoms: probabilities, N items whose remaining axes together are the classes, and N labels (N, or N x 1 x 1 x 1).
    Top: the loss (no axes). The gradient is -1 / (N max(p, 1e-20)) at the true class. Caffe:
    multinomial_logistic_loss_layer.cpp.
    """

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        tops = super().reshape(bottoms)
        self.legacy_shape(bottoms[0])
        text = "takes one label for each item, of shape N x 1 x 1 x 1."
        self.check(self.legacy_shape(bottoms[1])[1:] == (1, 1, 1), text)
        return tops

    def forward(self, p: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        self.refuse_gradient((p, label))
        p = p.reshape(p.shape[0], -1)
        labels, _ = class_labels(self, label, p, 1, None)
        return (-ClampedLog.apply(p.gather(1, labels)).sum() / p.shape[0],)
