"""SPP (spatial pyramid pooling)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, LayerContext, Shape
from caffe_port.layers.registry import register
from caffe_port.layers.vision.pooling import check_padding, check_planes, pooled_shape
from caffe_port.layers.vision.pooling_window import PoolingWindow


@register("SPP")
class SPP(Layer):
    """Pool each channel into 1, 2 x 2, 4 x 4, ... bins, so that the top's size depends little on the bottom's.

    Level l of ``pyramid_height`` has 2^l bins along each axis: kernel = stride = ceil(in / bins) and
    pad = (kernel * bins - in + 1) / 2 rounded down. Bottom (N, C, H, W); top (N, C * sum of bins^2), each level
    flattened, the coarsest first. With a single level the top is that of the pooling: (N, C, 1, 1). He et al.,
    "Spatial pyramid pooling in deep convolutional networks" (ECCV 2014). Caffe: spp_layer.cpp.

    A level whose padding would reach its kernel is refused, as Caffe's inner Pooling refuses it. STOCHASTIC samples in
    TEST phase too: Caffe's inner layers are built without a phase and so believe to train.
    """

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        param = layer_param.spp_param
        self.method: str = param.PoolMethod.Name(param.pool)
        self.levels: int = param.pyramid_height
        self.check(self.levels > 0, "pyramid_height must be at least 1.")

    def windows(self, shape: Sequence[int]) -> list[PoolingWindow]:
        """One window per level for a bottom of this shape."""
        windows = []
        for bins in (2**level for level in range(self.levels)):
            height, width = (-(-n // bins) for n in shape[2:])
            pad = ((height * bins - shape[2] + 1) // 2, (width * bins - shape[3] + 1) // 2)
            windows.append(PoolingWindow((height, width), (height, width), pad))
        return windows

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        shape = bottoms[0]
        check_planes(self, shape)
        tops = []
        for window in self.windows(shape):
            check_padding(self, window, self.method)
            tops.append(pooled_shape(self, window, shape))
        if self.levels == 1:
            return tops
        return [(shape[0], sum(c * h * w for _, c, h, w in tops))]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        windows = self.windows(x.shape)
        if self.method == "MAX":
            tops = [window.max(x)[0] for window in windows]
        elif self.method == "AVE":
            tops = [window.average(x) for window in windows]
        else:
            generator = self.random_generator()
            tops = [window.sample(x, generator) for window in windows]
        return (tops[0] if self.levels == 1 else torch.cat([y.flatten(1) for y in tops], dim=1),)
