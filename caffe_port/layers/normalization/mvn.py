"""MVN (mean-variance normalization)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from caffe_port.layers.base import Layer, LayerContext, Shape, format_shape
from caffe_port.layers.normalization.standardize import Standardize
from caffe_port.layers.registry import register


@register("MVN", v1="MVN")
class MVN(Layer):
    """Give each plane of each sample mean 0 and, unless normalize_variance is false, deviation 1.

    y = (x - mean) / (sqrt(variance) + eps) over height and width, with across_channels also over the channels. Bottom
    (N, C, H, W); fewer axes count as if ones were appended, and the top has all 4. The gradient is Caffe's
    (:class:`Standardize`), which treats eps as if it were inside the root. Caffe: mvn_layer.cpp.
    """

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        param = layer_param.mvn_param
        self.axes = (1, 2, 3) if param.across_channels else (2, 3)
        self.normalize_variance: bool = param.normalize_variance
        self.eps: float = param.eps

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        shape = bottoms[0]
        text = f"The bottom has {len(shape)} axes, shape {format_shape(shape)}; at most 4 are possible."
        self.check(len(shape) <= 4, text, "Reshape it to (num, channels, height, width).")
        return [_four_axes(shape)]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = x if x.ndim == 4 else x.reshape(_four_axes(tuple(x.shape)))
        if not self.normalize_variance:
            return (x - x.mean(self.axes, keepdim=True),)
        return (Standardize.apply(x, self.axes, self.eps, False)[0],)


def _four_axes(shape: Shape) -> Shape:
    """``shape`` with ones appended up to 4 axes, as Caffe's num, channels, height and width read it."""
    return (*shape, *[1] * (4 - len(shape)))
