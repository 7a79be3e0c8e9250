"""BNLL."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from caffe_port.layers.activation.neuron import NeuronLayer
from caffe_port.layers.registry import register


@register("BNLL", v1="BNLL")
class BNLL(NeuronLayer):
    """Binomial normal log likelihood: y = log(1 + exp(x)), element by element.

    The gradient is 1 / (1 + exp(-x)); in-place it is taken at y instead of x, as Caffe takes it from the overwritten
    data. Caffe: bnll_layer.cpp.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.differentiate(x, _softplus, _gradient),)


def _softplus(x: Tensor) -> Tensor:
    # above the threshold y is x itself: exp(-50) is less than a rounding error, also in double precision
    return F.softplus(x, threshold=50)


def _gradient(bottom_data: Tensor, top_data: Tensor, top_diff: Tensor) -> Tensor:
    return top_diff * bottom_data.sigmoid()
