"""Accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, Shape
from caffe_port.layers.loss.base import check_label_count, class_labels
from caffe_port.layers.registry import register


@register("Accuracy", v1="ACCURACY")
class Accuracy(Layer):
    """The share of predictions whose true class is among the ``top_k`` highest scores.

    Bottoms: scores with the classes on ``axis``, and one label for each prediction. Tops: the accuracy (no axes) and,
    if asked for, the accuracy of each class (one axis). Predictions labelled ``ignore_label`` do not count; an average
    over no prediction is 0. A prediction is right when fewer than top_k other scores reach the true class's score, so a
    tie counts against it. No top has a gradient. Caffe: accuracy_layer.cpp.
    """

    BOTTOMS = (2, 2)
    TOPS = (1, 2)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        data, label = bottoms
        param = self.layer_param.accuracy_param
        axis = self.axis(param.axis, data)
        check_label_count(self, axis, data, label)
        text = f"top_k {param.top_k} must be less than or equal to the number of classes {data[axis]}."
        self.check(param.top_k <= data[axis], text)
        return [(), (data[axis],)][: max(1, len(self.layer_param.top))]

    def forward(self, scores: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        param = self.layer_param.accuracy_param
        scores = scores.detach()
        axis = self.axis(param.axis, tuple(scores.shape))
        ignore = param.ignore_label if param.HasField("ignore_label") else None
        labels, valid = class_labels(self, label, scores, axis, ignore)
        others = (scores >= scores.gather(axis, labels)).sum(axis, keepdim=True) - 1
        right = others < param.top_k
        counted = torch.ones_like(right) if valid is None else valid
        right = (right & counted).flatten().to(scores.dtype)
        counted = counted.flatten().to(scores.dtype)
        accuracy = right.sum() / counted.sum().clamp(min=1)
        if len(self.layer_param.top) < 2:
            return (accuracy,)
        zeros = scores.new_zeros(scores.shape[axis])
        hits, numbers = (zeros.index_add(0, labels.flatten(), each) for each in (right, counted))
        return accuracy, hits / numbers.clamp(min=1)
